"""Django's own tasks (6.0, and django-tasks for older releases): a run for each execution.

All backends and their workers execute a task by its `call`, and swallow what it raises. The backend
that executes at once can also refuse what a task has returned.
"""

from __future__ import annotations

from autotask import recorder
from autotask.frameworks import PACKAGES, replace
from autotask.guard import guarded
from autotask.run import SUCCESS, failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

PACKAGES.update(("django", "django_tasks", "asgiref"))


def instrument(base: ModuleType) -> None:
    """Instrument `django.tasks.base` or `django_tasks.base`."""
    replace(base.Task, "call", _around_call)


def instrument_immediate(immediate: ModuleType) -> None:
    """Instrument `django.tasks.backends.immediate`, or that of django-tasks."""
    replace(immediate.ImmediateBackend, "_execute_task", _around_execute)


def _around_call(original: Any) -> Any:
    def autotask_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = _setup(self)
        try:
            result = original(self, *args, **kwargs)
        except BaseException as exc:
            recorder.fail(run, exc)
            raise
        _succeed(run, self)
        return result

    return autotask_call


@guarded
def _setup(task: Any) -> Run | None:
    """Return the run that a backend has opened for this call, else open one."""
    run = recorder.current()
    if run is not None and getattr(run.key, "task", None) is task:
        return run
    return recorder.begin(str(task.module_path), "django", task)


@guarded
def _succeed(run: Run | None, task: Any) -> None:
    """End the run of a call, unless it is the backend's."""
    if run is not None and run.key is task:
        recorder.end(run, SUCCESS)


def _around_execute(original: Any) -> Any:
    def autotask_execute_task(self: Any, task_result: Any) -> Any:
        run = _setup_result(task_result)
        try:
            result = original(self, task_result)
        except BaseException as exc:
            _settle(run, task_result)
            recorder.fail(run, exc)
            raise
        _settle(run, task_result)
        return result

    return autotask_execute_task


@guarded
def _setup_result(task_result: Any) -> Run | None:
    return recorder.begin(str(task_result.task.module_path), "django", task_result)


@guarded
def _settle(run: Run | None, task_result: Any) -> None:
    """End a run that no exception of the task has ended."""
    if task_result.finished_at is None:  # a receiver of `task_started` has raised
        return
    outcome = SUCCESS
    if task_result.errors:
        from autotask import failures  # on the failing path only

        path = task_result.errors[-1].exception_class_path
        outcome = failure("exception", error=failures.error(path.rpartition(".")[2], ""))
    recorder.end(run, outcome)
