"""Huey 2.4 to 3.5: a run for each execution of a task, and for each one that Huey skips.

Huey catches what a task raises, and tells its own signals what becomes of it. A run listens there.
"""

from __future__ import annotations

from autotask import recorder
from autotask.frameworks import PACKAGES, replace
from autotask.frameworks.deaths import died
from autotask.guard import guarded
from autotask.queued import Queued, retried, skipped
from autotask.recorder import hide_frame
from autotask.run import SUCCESS, failure, raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Outcome, Run

PACKAGES.add("huey")

# Its signals for a task that it does not do, or not now, and our reasons.
_SKIPPED = {"canceled": "canceled", "locked": "locked", "rate-limited": "rate_limited"}


class _Execution:
    """An open run, and what Huey has said of it so far."""

    __slots__ = ("outcome", "run")

    def __init__(self, run: Run) -> None:
        self.run = run
        self.outcome: Outcome | None = None


# By the address of its task. Not by the task: it is equal to its next attempt, which may have begun
# in another thread. Nor in a context variable: the consumer's main thread says `interrupted`.
_going_on: dict[int, _Execution] = {}


def instrument_api(api: ModuleType) -> None:
    """Instrument `huey.api`: the execution of a task, and the signals about it."""
    replace(api.Huey, "_execute", _around_execute)
    replace(api.Huey, "_emit", _around_emit)


def instrument_consumer(consumer: ModuleType) -> None:
    """Instrument `huey.consumer`, which replaces worker processes that have died."""
    replace(consumer.ProcessEnvironment, "is_alive", _around_is_alive)


def _around_execute(original: Any) -> Any:
    def autotask_execute(self: Any, task: Any, timestamp: Any) -> Any:
        run = _setup(task, timestamp)
        try:
            result = original(self, task, timestamp)
        except BaseException as exc:  # SystemExit, or Huey's own: a result cannot be stored
            _settle(task)
            recorder.fail(run, exc)
            raise
        _settle(task, SUCCESS)
        return result

    return autotask_execute


@guarded
def _setup(task: Any, now: Any) -> Run | None:
    run = recorder.start(_name(task), "huey", queued=Queued(waited=_waited(task, now)))
    if run is not None:
        _going_on[id(task)] = _Execution(run)
    return run


def _name(task: Any) -> str:
    return f"{type(task).__module__}.{task.name}"


def _waited(task: Any, now: Any) -> float | None:
    """Return the seconds since a task was due; of one for at once Huey does not keep the time."""
    due = task.eta  # as *now* in UTC, or local if Huey is told so
    return None if due is None else float((now - due).total_seconds())


@guarded
def _settle(task: Any, usual: Outcome | None = None) -> None:
    """End the run of a task as Huey has said, or as is *usual* where it has said nothing."""
    execution = _going_on.pop(id(task), None)
    outcome = execution and (execution.outcome or usual)
    if execution and outcome:
        recorder.end(execution.run, outcome)


def _around_emit(original: Any) -> Any:
    def autotask_emit(self: Any, signal: Any, task: Any, *args: Any, **kwargs: Any) -> Any:
        _listen(signal, task, args)
        try:
            return original(self, signal, task, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_emit


@guarded
def _listen(signal: str, task: Any, args: tuple[Any, ...]) -> None:
    """Note what a signal says of a task's run."""
    execution = _going_on.get(id(task))
    if execution is None:
        if signal in ("revoked", "expired"):  # instead of an execution
            recorder.report(_name(task), "huey", skipped(signal))
        return
    execution.outcome = _meaning(signal, args, execution) or execution.outcome
    # Here end two: `interrupted` often comes from another thread, as the task's may not come back.
    # And if Huey is immediate, the next attempt begins inside this one, with the same task.
    if signal in ("interrupted", "retrying"):
        _settle(task)


def _meaning(signal: str, args: tuple[Any, ...], execution: _Execution) -> Outcome | None:
    """Return what a signal says of the end; `locked` and the like stay so if it is tried again."""
    if signal == "complete":
        return SUCCESS
    if signal == "error":
        return recorder.judged(args[0], execution.run, raised(args[0]))
    if signal in ("timeout", "interrupted"):
        return failure(signal)
    if signal == "retrying":
        tried = execution.outcome or failure("exception")  # RetryTask has no signal of its own
        return retried(tried) if tried.status == "failure" else tried
    return skipped(_SKIPPED[signal]) if signal in _SKIPPED else None


def _around_is_alive(original: Any) -> Any:
    def autotask_is_alive(self: Any, process: Any) -> Any:
        try:
            is_alive = original(self, process)
        except BaseException as exc:
            hide_frame(exc)
            raise
        if not is_alive:
            _bury(process)
        return is_alive

    return autotask_is_alive


@guarded
def _bury(process: Any) -> None:
    """End what a worker process has left open."""
    code = process.exitcode
    if code is None:  # not started yet
        return
    recorder.end_child(process.pid, died(code) if code else failure("lost"))
