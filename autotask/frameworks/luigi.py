"""Luigi 3: a run for each task that a worker runs, in its own process or in a fork of it.

`TaskProcess.run` returns nothing, and no exception of a task leaves it. What became of the task is
in the events that it triggers, and in the exception that `_handle_run_exception` gets: neither puts
a frame of autotask around the task alone.
"""

from __future__ import annotations

import os
import sys
import time

from autotask import recorder
from autotask.frameworks import PACKAGES, replace
from autotask.guard import guarded
from autotask.queued import Queued, skipped
from autotask.recorder import hide_frame
from autotask.run import SKIPPED, SUCCESS, Outcome, describe, failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

PACKAGES.add("luigi")
# Of `luigi.Event`.
_SUCCESS, _PRESENT = "event.core.success", "event.core.dependency.present"
_MISSING, _BROKEN = "event.core.dependency.missing", "event.core.task.broken"
_FAILURES = "_autotask_failures"  # on a worker: how often each task has failed there, by its id
_ATTEMPT = "_autotask_attempt"  # on the process of a task
_LONGEST_DEATH = 1.0  # seconds

_terminated: list[Any] = []  # processes that were told to end, until they have
_waits_at_exit = False  # for these


def instrument_task(task: ModuleType) -> None:
    """Instrument `luigi.task`: the events of a task."""
    replace(task.Task, "trigger_event", _around_trigger_event)


def instrument_worker(worker: ModuleType) -> None:
    """Instrument `luigi.worker`: each execution of a task, and the deaths of its processes."""
    replace(worker.TaskProcess, "run", _around_run)
    replace(worker.TaskProcess, "_handle_run_exception", _around_handle_run_exception)
    replace(worker.TaskProcess, "terminate", _around_terminate)
    replace(worker.Worker, "_add_task", _around_add_task)
    replace(worker.Worker, "_create_task_process", _around_create_task_process)
    replace(worker.Worker, "_log_complete_error", _around_log_complete_error)
    replace(worker.Worker, "_purge_children", _around_purge_children)
    replace(worker.Worker, "run", _around_worker_run)


def _around_run(original: Any) -> Any:
    def autotask_run(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = _setup(self)
        try:
            result = original(self, *args, **kwargs)
        except BaseException as exc:
            _settle(run, failed=True)  # raised by `on_failure`, after the task's own
            recorder.fail(run, exc)
            raise
        _settle(run)
        return result

    return autotask_run


@guarded
def _setup(process: Any) -> Run | None:
    """Open the run of a task."""
    queued = Queued(attempt=getattr(process, _ATTEMPT, None))
    task = process.task
    # As its key the task, and then what became of it.
    return recorder.start(str(task.task_family), "luigi", [task], None, queued)


@guarded
def _settle(run: Run | None, failed: bool = False) -> None:
    if run is None or not isinstance(run.key, list):
        return
    if run.key[1:]:
        recorder.end(run, run.key[-1])
    elif not failed:  # it has asked for more requirements, or its data is not there yet
        recorder.end(run, skipped("waiting"))


def _note(task: Any, outcome: Outcome | None, exc: BaseException | None = None) -> None:
    """Note the outcome of the task that is running, by an exception where there is one."""
    run = recorder.current()
    if run is None or not isinstance(run.key, list) or run.key[0] is not task:
        return
    if exc is not None:
        outcome = recorder.judged(exc, run)
        if outcome.status == "success":  # SystemExit(0) leaves the task undone, says Luigi
            outcome = failure("exception", error=describe(exc))
    run.key.append(outcome)


def _around_handle_run_exception(original: Any) -> Any:
    def autotask_handle_run_exception(self: Any, ex: BaseException) -> Any:
        _note_exception(self, ex)
        try:
            return original(self, ex)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_handle_run_exception


@guarded
def _note_exception(process: Any, exc: BaseException) -> None:
    _note(process.task, None, exc)


def _around_trigger_event(original: Any) -> Any:
    def autotask_trigger_event(self: Any, event: Any, *args: Any, **kwargs: Any) -> Any:
        _hear(self, event, args)
        try:
            return original(self, event, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_trigger_event


@guarded
def _hear(task: Any, event: Any, args: tuple[Any, ...]) -> None:
    """Hear of the events that tell more than a task's execution."""
    if event == _SUCCESS:
        _note(task, SUCCESS)
    elif event == _PRESENT:
        recorder.report(str(task.task_family), "luigi", SKIPPED)
    elif event == _MISSING and (task.run is None or task.run == NotImplemented):
        recorder.report(str(task.task_family), "luigi", skipped("waiting"))
    elif event == _BROKEN:  # `requires` has raised
        recorder.report(str(task.task_family), "luigi", recorder.judged(args[1]))


def _around_log_complete_error(original: Any) -> Any:
    def autotask_log_complete_error(self: Any, task: Any, tb: Any, *args: Any) -> Any:
        _left_complete(task, tb)
        try:
            return original(self, task, tb, *args)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_log_complete_error


@guarded
def _left_complete(task: Any, traceback: str) -> None:
    """Report a task whose `complete` has raised; all that is left of that is its traceback."""
    from autotask import failures  # on the failing path only

    lines = traceback.rpartition("Traceback (most recent call last):\n")[2].splitlines()
    while lines and lines[0].startswith(" "):  # the frames
        del lines[0]
    first, *more = lines or ["Exception"]  # of a group no line is at the margin
    kind, _, message = first.partition(": ")
    error = failures.error(kind.rpartition(".")[2], "\n".join([message, *more]))
    recorder.report(str(task.task_family), "luigi", failure("exception", error=error))


def _around_add_task(original: Any) -> Any:
    def autotask_add_task(self: Any, *args: Any, **kwargs: Any) -> Any:
        _count(self, kwargs.get("task_id"), kwargs.get("status"))
        try:
            return original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_add_task


@guarded
def _count(worker: Any, task_id: Any, status: Any) -> None:
    """Count a failure of a task: its next execution is another attempt."""
    if status == "FAILED":
        failures = worker.__dict__.setdefault(_FAILURES, {})
        failures[task_id] = failures.get(task_id, 0) + 1


def _around_create_task_process(original: Any) -> Any:
    def autotask_create_task_process(self: Any, task: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            process = original(self, task, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise
        _number(self, task, process)
        return process

    return autotask_create_task_process


@guarded
def _number(worker: Any, task: Any, process: Any) -> None:
    setattr(process, _ATTEMPT, worker.__dict__.get(_FAILURES, {}).get(task.task_id, 0) + 1)


def _around_terminate(original: Any) -> Any:
    def autotask_terminate(self: Any, *args: Any, **kwargs: Any) -> Any:
        _before_termination(self)
        try:
            return original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise
        finally:
            _end_terminated()

    return autotask_terminate


@guarded
def _before_termination(process: Any) -> None:
    """Tell why a worker ends a task's process: because of its time-out, or of the worker's end."""
    global _waits_at_exit
    if not _waits_at_exit:
        _waits_at_exit = True
        # Not a delay: multiprocessing waits for them at exit as well, but only after the recorder.
        sys.modules["atexit"].register(_end_terminated, _LONGEST_DEATH)
    _terminated.append(process)
    outcome = failure("signal", signal="SIGTERM")
    if process.timeout_time is not None and time.time() > float(process.timeout_time):
        outcome = failure("timeout")
    elif isinstance(sys.exc_info()[1], KeyboardInterrupt):  # which may not have reached the child
        outcome = failure("interrupted")
    recorder.end_child(process.pid, outcome)


@guarded
def _end_terminated(patience: float = 0.0) -> None:
    """End the runs of processes that are gone since a worker has ended them."""
    for process in list(_terminated):
        if patience and process.is_alive():
            process.join(patience)
        recorder.end_child(process.pid)
        if _is_gone(process):
            _terminated.remove(process)


def _is_gone(process: Any) -> bool:
    if not process.is_alive():
        return True
    try:
        os.kill(process.pid, 0)  # psutil has waited for it: multiprocessing takes it for alive
    except ProcessLookupError:
        return True
    return False


def _around_purge_children(original: Any) -> Any:
    def autotask_purge_children(self: Any, *args: Any, **kwargs: Any) -> Any:
        _bury(self)
        try:
            return original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_purge_children


@guarded
def _bury(worker: Any) -> None:
    """End the runs of a worker's processes that have died."""
    if _terminated:
        _end_terminated()
    for process in worker._running_tasks.values():
        if not process.is_alive() and process.exitcode:
            from autotask.frameworks.deaths import died  # on the failing path only

            recorder.end_child(process.pid, died(process.exitcode))


def _around_worker_run(original: Any) -> Any:
    def autotask_worker_run(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            result = original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise
        _left_pending(self)
        return result

    return autotask_worker_run


@guarded
def _left_pending(worker: Any) -> None:
    """Report the tasks that a worker leaves because of what others of its tasks came to.

    What a worker leaves to a scheduler of many, another one may have run.
    """
    if type(worker._scheduler).__name__ != "Scheduler":
        return
    pending: dict[str, Any] = {}
    for task, status, runnable in worker._add_task_history:
        if status != "PENDING" or not runnable:
            pending[task.task_id] = None
        pending.setdefault(task.task_id, task)
    for task in pending.values():
        if task is not None:
            recorder.report(str(task.task_family), "luigi", skipped("waiting"))
