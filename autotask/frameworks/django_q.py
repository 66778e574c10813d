"""django-q2 1.7 to 1.11: a run for each task that a worker executes.

A worker is one long function. `TimeoutHandler` alone is entered and left around the task's own, and
is handed the exception that the worker swallows. Why a worker died, the sentinel knows.
"""

from __future__ import annotations

import sys
import time

from autotask import recorder
from autotask.frameworks import PACKAGES, replace
from autotask.frameworks.deaths import died
from autotask.guard import guarded
from autotask.queued import Queued
from autotask.recorder import ContextVar, hide_frame
from autotask.run import SUCCESS, Outcome, describe, failure, raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

PACKAGES.add("django")

_task: ContextVar[Any] = ContextVar("autotask_django_q_task", default=None)  # the next one
_terminated: list[Any] = []  # worker processes that the sentinel has told to end


def instrument_worker(worker: ModuleType) -> None:
    """Instrument `django_q.worker`."""
    worker.pre_execute.connect(_note_task, weak=False, dispatch_uid="autotask")
    replace(worker.TimeoutHandler, "__enter__", _around_enter)
    replace(worker.TimeoutHandler, "__exit__", _around_exit)


def instrument_cluster(cluster: ModuleType) -> None:
    """Instrument `django_q.cluster`: the process that watches the workers."""
    replace(cluster.Sentinel, "reincarnate", _around_reincarnate)
    replace(cluster.Sentinel, "status", _around_status)
    replace(cluster.Sentinel, "stop", _around_stop)


@guarded
def _note_task(func: Any = None, task: Any = None, **_: Any) -> None:
    """Note what is executed next. A function that does not exist, the worker does not execute."""
    _task.set(task)
    if func is None:
        from autotask import failures  # on the failing path only

        name, queued = _described(task)
        error = failures.error("ValueError", f"Function {name} is not defined")
        recorder.report(name, "django_q", failure("usage", error=error), queued=queued)


def _described(task: dict[str, Any]) -> tuple[str, Queued]:
    """Return the name of a task's function, and how long the task has waited."""
    name = sys.modules["django_q.worker"].get_func_repr(task["func"])
    return str(name), Queued(waited=time.time() - task["started"].timestamp())


def _around_enter(original: Any) -> Any:
    def autotask_enter(self: Any) -> Any:
        run = _setup(self)
        try:
            return original(self)
        except BaseException as exc:
            recorder.fail(run, exc, _judged)
            raise

    return autotask_enter


@guarded
def _setup(handler: Any) -> Run | None:
    task = _task.get()
    if task is None:
        return None
    _task.set(None)
    name, queued = _described(task)
    return recorder.begin(name, "django_q", handler, queued=queued)


def _around_exit(original: Any) -> Any:
    def autotask_exit(self: Any, exc_type: Any, exc: Any, traceback: Any) -> Any:
        try:
            return original(self, exc_type, exc, traceback)
        except BaseException as problem:
            hide_frame(problem)
            raise
        finally:
            _settle(self, exc)

    return autotask_exit


@guarded
def _settle(handler: Any, exc: BaseException | None) -> None:
    run = recorder.current()
    if run is not None and run.key is handler:
        outcome = SUCCESS if exc is None else recorder.judged(exc, run, _judged(exc))
        recorder.end(run, outcome)


def _judged(exc: BaseException) -> Outcome:
    if type(exc).__name__ == "TimeoutException":  # a SystemExit
        return failure("timeout", error=describe(exc))
    return raised(exc)


def _around_reincarnate(original: Any) -> Any:
    def autotask_reincarnate(self: Any, process: Any) -> Any:
        _end_runs(self, process)
        try:
            return original(self, process)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_reincarnate


@guarded
def _end_runs(sentinel: Any, process: Any) -> None:
    """End the runs of a worker that is dead, or that will be terminated in a moment."""
    if process not in sentinel.pool:
        return
    if process.exitcode is None:
        _terminated.append(process)
        recorder.end_child(process.pid, failure("timeout"))
    else:
        code = process.exitcode
        recorder.end_child(process.pid, died(code) if code else failure("lost"))


def _around_status(original: Any) -> Any:
    def autotask_status(self: Any) -> Any:
        if _terminated:
            _end_terminated()
        try:
            return original(self)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_status


@guarded
def _end_terminated() -> None:
    """End the runs of the workers that have been terminated, once they are dead."""
    for process in [*_terminated]:
        if process.exitcode is not None:
            _terminated.remove(process)
            recorder.end_child(process.pid)


def _around_stop(original: Any) -> Any:
    def autotask_stop(self: Any) -> Any:
        pool = [*self.pool]  # loses each worker that has ended
        try:
            return original(self)
        except BaseException as exc:
            hide_frame(exc)
            raise
        finally:
            _end_pool(pool)

    return autotask_stop


@guarded
def _end_pool(pool: list[Any]) -> None:
    for process in pool:
        if process.exitcode:
            recorder.end_child(process.pid, died(process.exitcode))
    _end_terminated()
