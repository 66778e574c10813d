"""Celery 5.2 to 5.7: a run for each attempt of a task, in every pool and where it is eager.

Celery catches what a task raises: how it ended is in what the tracer returns. What happened to a
message that reached no task, and how a child of the prefork pool died, its main process knows.
"""

from __future__ import annotations

import sys
import time

from autotask import recorder
from autotask.frameworks import PACKAGES, replace
from autotask.frameworks.deaths import died
from autotask.guard import guarded
from autotask.queued import Queued, retried, skipped
from autotask.recorder import hide_frame
from autotask.run import SKIPPED, SUCCESS, Outcome, describe, failure, raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

PACKAGES.update(("celery", "kombu", "billiard", "vine", "amqp"))

# The header of a message that says who asked for it, and when: `run@epoch`, or `@epoch`.
_LINK = "autotask_enqueued_by"
_UID = "autotask"
# Exceptions by which a pool says that a task took too long. Gevent's derives from BaseException.
_TIME_OUTS = {
    ("billiard.exceptions", "SoftTimeLimitExceeded"),
    ("billiard.exceptions", "TimeLimitExceeded"),
    ("gevent.timeout", "Timeout"),
}
# Exit statuses of a child that has ended of itself: also after worker_max_tasks_per_child.
_AS_PLANNED = (0, 0x9B)
# Signals that billiard's children turn into an exit with the signal's number.
_HANDLED = "SIGHUP SIGQUIT SIGTERM SIGTRAP SIGABRT SIGSYS SIGPIPE SIGALRM SIGXCPU SIGXFSZ SIGUSR2"


def instrument_trace(trace: ModuleType) -> None:
    """Instrument `celery.app.trace`: each execution of a task."""
    replace(trace, "build_tracer", _around_build_tracer)
    replace(trace.TraceInfo, "handle_error_state", _around_handle_error_state)


def instrument_amqp(amqp: ModuleType) -> None:
    """Instrument `celery.app.amqp`, which sends messages."""
    if recorder.settings().links:
        amqp.signals.before_task_publish.connect(_link, weak=False, dispatch_uid=_UID)


def instrument_request(request: ModuleType) -> None:
    """Instrument `celery.worker.request`: messages as the main process of a worker sees them."""
    replace(request.Request, "on_timeout", _around_on_timeout)
    signals = request.signals
    signals.task_revoked.connect(_revoked, weak=False, dispatch_uid=_UID)
    signals.task_unknown.connect(_unknown, weak=False, dispatch_uid=_UID)
    signals.task_rejected.connect(_rejected, weak=False, dispatch_uid=_UID)


def instrument_pool(pool: ModuleType) -> None:
    """Instrument `billiard.pool`, which notices that a child has died."""
    for method in ("_join_exited_workers", "terminate"):
        replace(pool.Pool, method, _around_deaths)


def _around_build_tracer(original: Any) -> Any:
    def autotask_build_tracer(*args: Any, **kwargs: Any) -> Any:
        try:
            tracer = original(*args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise
        name = args[0] if args else kwargs.get("name")
        judge = _judged if kwargs.get("eager") else _judged_in_worker
        return _around_tracer(tracer, name, judge) or tracer

    return autotask_build_tracer


@guarded
def _around_tracer(original: Any, name: Any, judge: Any) -> Any:
    """Make the function that traces each execution of a task."""

    def autotask_trace_task(uuid: Any, args: Any, kwargs: Any, request: Any = None) -> Any:
        run = _setup(name, request)
        try:
            result = original(uuid, args, kwargs, request)
        except BaseException as exc:
            recorder.fail(None if _is_left_open(run, exc) else run, exc, judge)
            raise
        if run is not None:
            _end(run, result)
        return result

    for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(autotask_trace_task, attribute, getattr(original, attribute))
    autotask_trace_task.__wrapped__ = original  # type: ignore[attr-defined]
    return autotask_trace_task


@guarded
def _setup(name: str, request: Any) -> Run | None:
    """Open the run of an attempt; take our header out of what the task sees of its message."""
    queued = _queued(request)
    if type(request) is dict:
        request.pop(_LINK, None)
    return recorder.begin(name, "celery", None, None, queued)


def _queued(request: Any) -> Queued:
    """Read from a message's headers what is known of the way to this attempt."""
    if not request:
        return Queued()
    retries, link, waited = request.get("retries"), request.get(_LINK), None
    asker, _, asked = link.partition("@") if isinstance(link, str) else ("", "", "")
    eta = request.get("eta")
    if eta:
        waited = _since(eta)
    elif asked.isascii() and asked.replace(".", "", 1).isdigit():
        waited = time.time() - float(asked)
    attempt = retries + 1 if isinstance(retries, int) else None
    return Queued(attempt, waited, asker or None)


def _since(eta: Any) -> float | None:
    """Return the seconds since a task was due; None if its text does not say in which zone."""
    try:
        due = sys.modules["datetime"].datetime.fromisoformat(eta)
    except (TypeError, ValueError):
        return None
    return None if due.tzinfo is None else float(time.time() - due.timestamp())


@guarded
def _end(run: Run, result: Any) -> None:
    """Close a run as the tracer's result says: (value, what it was if no success, time, text)."""
    value, info, _, text = result
    if info is not None:
        outcome = _outcome(run, info.state, info.retval)
    elif text is not None:
        outcome = SUCCESS
    elif type(value).__name__ == "ExceptionInfo":  # what was sent was no arguments
        outcome = failure("usage", error=describe(value.exception))
    else:
        outcome = SKIPPED  # worker_deduplicate_successful_tasks: it was delivered again
    recorder.end(run, outcome)


@guarded
def _is_left_open(run: Run | None, exc: BaseException) -> bool:
    """Leave a run to the main process if a signal ends this child: that one knows why.

    billiard's handler of the signal has raised SystemExit. All that could end the run in this
    process takes it for another process's from now on.
    """
    common = sys.modules.get("billiard.common")
    if run is None or common is None or not isinstance(exc, SystemExit):
        return False
    if not common._should_have_exited[0]:
        return False
    run.pid = 0
    here = recorder.state.process
    if here is not None and here.journal is not None:
        here.journal.mark = None
    return True


def _outcome(run: Run, state: str, exc: Any) -> Outcome:
    if state == "IGNORED":
        return SKIPPED
    if state == "RETRY":
        if run.task == "celery.chord_unlock":  # asks again and again whether the group is done
            return skipped("waiting")
        return retried(_failed(run, exc, _cause(exc)))
    return _failed(run, exc, exc)


def _cause(retry: Any) -> BaseException:
    """Return the exception for which a task is tried again; without one, Celery's own."""
    cause, handled = retry.exc, retry.__context__
    if type(cause).__name__ == "UnpickleableExceptionWrapper":
        cause = handled or cause
    elif isinstance(cause, type):  # `raise` takes a class, so `retry(exc=...)` does
        cause = handled if cause in type(handled).__mro__ else None
    return cause if isinstance(cause, BaseException) else retry


def _failed(run: Run, exc: BaseException, cause: BaseException) -> Outcome:
    outcome = _judged(cause)
    noted = run.key
    if isinstance(noted, tuple) and noted[0] is exc:
        return recorder.nested(noted[1], outcome)
    return outcome


def _judged(exc: BaseException) -> Outcome:
    """Judge what an exception means; Celery and its pools have some of their own."""
    for kind in type(exc).__mro__:
        if (kind.__module__, kind.__name__) in _TIME_OUTS:
            return failure("timeout", error=describe(exc))
        if (kind.__module__, kind.__name__) == ("celery.exceptions", "Reject"):
            return _refused(exc)
        if kind.__name__ == "GreenletExit":  # its greenlet was killed: revoke(terminate=True)
            return failure("interrupted")
    return raised(exc)


def _judged_in_worker(exc: BaseException) -> Outcome:
    """Judge what leaves a task in a worker: for Celery even `sys.exit()` is a lost child."""
    outcome = _judged(exc)
    return failure("exception", error=describe(exc)) if outcome is SUCCESS else outcome


def _refused(reject: Any) -> Outcome:
    """Return the outcome of a task that refuses its message; with requeue it is delivered again."""
    reason = reject.reason
    error = describe(reason if isinstance(reason, BaseException) else reject)
    if isinstance(reason, str):
        from autotask import failures

        error = {**error, **failures.error("Reject", reason)}
    outcome = failure("rejected", error=error)
    return retried(outcome) if reject.requeue else outcome


def _around_handle_error_state(original: Any) -> Any:
    def autotask_handle_error_state(self: Any, *args: Any, **kwargs: Any) -> Any:
        _note_inner(self.retval)
        try:
            return original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_handle_error_state


@guarded
def _note_inner(exc: BaseException) -> None:
    """Note the run inside that an exception has left: Celery clears its frames, which tell it."""
    run = recorder.current()
    if run is None or run.framework != "celery":
        return
    retry_of = getattr(exc, "exc", None)
    inner = recorder.run_behind(retry_of if isinstance(retry_of, BaseException) else exc, run)
    if inner is not None:
        run.key = exc, inner


@guarded
def _link(headers: Any = None, **_: Any) -> None:
    """Say in a message's headers which run asked for it, and when."""
    if headers is not None:
        run = recorder.current()
        headers[_LINK] = f"{run.id if run else ''}@{time.time():.6f}"


@guarded
def _revoked(
    sender: Any = None,
    request: Any = None,
    terminated: bool = False,
    expired: bool = False,
    **_: Any,
) -> None:
    """Report a message that is not executed; the run of a task that is terminated has begun."""
    if not terminated:
        outcome = skipped("expired" if expired else "revoked")
        recorder.report(sender.name, "celery", outcome, None, _queued(request))


@guarded
def _unknown(name: Any = None, message: Any = None, **_: Any) -> None:
    """Report a message that asks for a task which the worker does not have."""
    from autotask import failures

    outcome = failure("usage", error=failures.error("NotRegistered", repr(name)))
    recorder.report(str(name), "celery", outcome, None, _queued(message.headers))


@guarded
def _rejected(message: Any = None, exc: Any = None, **_: Any) -> None:
    """Report a message that the worker cannot read, if it says which task it is for."""
    name = (message.headers or {}).get("task")
    if isinstance(name, str):
        outcome = failure("rejected", error=describe(exc) if exc is not None else None)
        recorder.report(name, "celery", outcome, None, _queued(message.headers))


def _around_on_timeout(original: Any) -> Any:
    def autotask_on_timeout(self: Any, soft: Any, timeout: Any) -> Any:
        if not soft:
            _tell_timeout(self, timeout)
        try:
            return original(self, soft, timeout)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_on_timeout


@guarded
def _tell_timeout(request: Any, timeout: Any) -> None:
    """Record why a child is about to be killed. In other pools the task has failed already."""
    job = request._apply_result and request._apply_result()
    if type(job).__module__ != "billiard.pool":
        return
    from autotask import failures

    error = failures.error("TimeLimitExceeded", f"Hard time limit ({timeout}s) exceeded")
    outcome = failure("timeout", error=error)
    # From 5.7 on: before that such a message was dropped.
    if request.task.acks_late and not getattr(request.task, "acks_on_timeout", True):
        outcome = retried(outcome)
    recorder.end_child(request.worker_pid, outcome)


def _around_deaths(original: Any) -> Any:
    def autotask_deaths(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = _watched(self)
        try:
            return original(self, *args, **kwargs)
        except BaseException as exc:  # WorkersJoined, too: none is left
            hide_frame(exc)
            raise
        finally:
            _tell_deaths(self, before)

    return autotask_deaths


@guarded
def _watched(pool: Any) -> tuple[list[Any], list[Any]]:
    """Return a pool's children and jobs."""
    return list(pool._pool), list(pool._cache.values())


@guarded
def _tell_deaths(pool: Any, before: tuple[list[Any], list[Any]] | None) -> None:
    """End what the children that have died since have left open."""
    if before is None:
        return
    is_over = pool._state == sys.modules["billiard.pool"].TERMINATE  # the dead stay in its list
    if not is_over and len(before[0]) == len(pool._pool):
        return
    for child in before[0]:
        if child.exitcode is not None if is_over else child not in pool._pool:
            requests = [
                getattr(job._error_callback, "__self__", None)
                for job in before[1]
                if job._worker_pid == child.pid
            ]
            recorder.end_child(child.pid, _death(child.exitcode, requests))


def _death(status: int | None, requests: list[Any]) -> Outcome | None:
    """Return the outcome of what a child was doing, from its exit status, a signal's negative."""
    if status is None or status in _AS_PLANNED:
        return None
    signals = sys.modules["signal"]
    if status in {getattr(signals, name) for name in _HANDLED.split()}:
        status = -status
    outcome = died(status)
    return retried(outcome) if any(map(_is_tried_again, requests)) else outcome


def _is_tried_again(request: Any) -> bool:
    """Tell whether a message whose child has died is going to be delivered, or sent, again."""
    if getattr(request, "_already_cancelled", False):  # the worker ends, or has lost its broker
        return not request.acknowledged
    task = getattr(request, "task", None)
    if task is None or getattr(request, "_already_revoked", False):
        return False
    if getattr(task, "retry_on_worker_lost", False):  # 5.7
        retries = request.request_dict.get("retries") or 0
        return task.max_retries is None or bool(retries < task.max_retries)
    return bool(task.acks_late and task.reject_on_worker_lost)
