"""Dramatiq 1.12 to 2.2: a run for each attempt at a message, under the worker that processes it.

An attempt ends once all middleware has heard of its result: only then has Retries decided whether
there will be another one. We add no middleware of our own, because their order matters.
"""

from __future__ import annotations

import sys
import time

from autotask import recorder
from autotask.frameworks import PACKAGES, frames_left, replace
from autotask.frameworks.deaths import died
from autotask.guard import guarded
from autotask.queued import Queued, retried, skipped
from autotask.recorder import hide_frame
from autotask.run import SUCCESS, Outcome, describe, failure, raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

PACKAGES.add("dramatiq")

# Exceptions by which Dramatiq interrupts a thread, and what they mean.
_INTERRUPTS = {
    "dramatiq.middleware.time_limit.TimeLimitExceeded": "timeout",
    "dramatiq.middleware.shutdown.Shutdown": "interrupted",
}
# When the messages are due that this process has held back, by their ids: Dramatiq takes the time
# out of a message when it puts it on the queue. Another process may take that message.
_due: dict[str, float] = {}  # milliseconds
_MOST_DUE = 10_000


def instrument_worker(worker: ModuleType) -> None:
    """Instrument `dramatiq.worker`: the threads that process messages, and those that take them."""
    replace(worker._WorkerThread, "process_message", _around_process)
    replace(worker._ConsumerThread, "handle_message", _around_handle)


def instrument_broker(broker: ModuleType) -> None:
    """Instrument `dramatiq.broker`, which tells the middleware what became of a message."""
    replace(broker.Broker, "emit_after", _around_emit_after)


def instrument_cli(cli: ModuleType) -> None:
    """Instrument `dramatiq.cli`: the main process sees how its worker processes end."""
    replace(cli, "main", _around_main)
    # By its name, because it gets the processes: in `main` they are local.
    replace(cli, "chain", _around_chain)


def _around_process(original: Any) -> Any:
    def autotask_process_message(self: Any, message: Any) -> Any:
        run = _setup(message)
        try:
            result = original(self, message)
        except BaseException as exc:
            recorder.fail(run, exc, _judged)
            raise
        recorder.end(run, failure("lost"))  # unless it has ended in `emit_after`
        return result

    return autotask_process_message


@guarded
def _setup(message: Any) -> Run | None:
    retries = _retries(message)
    queued = Queued(attempt=retries + 1, waited=_waited(message, retries))
    return recorder.start(message.actor_name, "dramatiq", (message, retries), None, queued)


def _retries(message: Any) -> int:
    retries = message.options.get("retries")
    return retries if isinstance(retries, int) else 0


def _waited(message: Any, retries: int) -> float | None:
    """Return how long a message has been due, in seconds; None if that is not known."""
    due = _due.pop(message.message_id, None)
    if due is None:
        if retries:
            return None
        due = message.message_timestamp
    return time.time() - due / 1000


def _around_emit_after(original: Any) -> Any:
    def autotask_emit_after(self: Any, signal: str, *args: Any, **kwargs: Any) -> Any:
        try:
            result = original(self, signal, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise
        if signal in ("process_message", "skip_message"):
            _after(self, signal, *args, **kwargs)
        return result

    return autotask_emit_after


@guarded
def _after(broker: Any, signal: str, message: Any, exception: Any = None, **_: Any) -> None:
    """End the run of a message of which all middleware has heard."""
    run = recorder.current()
    if run is None or not isinstance(run.key, tuple) or run.key[0] is not message:
        return
    if signal == "skip_message":
        recorder.end(run, _skipped())
    elif exception is not None:
        recorder.end(run, _failed(run, message, exception))
    elif message.failed:
        recorder.end(run, _rejected(broker, message))
    else:
        recorder.end(run, SUCCESS)


def _skipped() -> Outcome:
    """Tell why a message is skipped, by the exception that Dramatiq is just handling."""
    exc = sys.exc_info()[1]
    frames = frames_left(exc) if exc is not None else []
    limit = "dramatiq.middleware.age_limit"
    return skipped("expired" if frames and frames[-1].f_globals["__name__"] == limit else None)


def _rejected(broker: Any, message: Any) -> Outcome:
    """Tell why a message has failed without an exception."""
    # Up to 1.12 AgeLimit skips nothing: it marks the message as failed, and so no actor is called.
    limits = [getattr(middleware, "max_age", None) for middleware in broker.middleware]
    own = broker.actors[message.actor_name].options.get("max_age")
    limit = next(filter(None, (message.options.get("max_age"), own, *limits)), None)
    if limit is not None and time.time() * 1000 - message.message_timestamp >= limit:
        return skipped("expired")
    return failure("rejected")


def _failed(run: Run, message: Any, exc: BaseException) -> Outcome:
    # Retries counts what it tries again. Without it a message that failed is done.
    again = not message.failed and _retries(message) > run.key[1]  # type: ignore[index]
    outcome = _judged(exc)
    if outcome.status == "success" and (again or message.failed):  # sys.exit(0) is an error here
        outcome = failure("exception", error=describe(exc))
    outcome = recorder.judged(exc, run, outcome)
    return retried(outcome) if again else outcome


def _judged(exc: BaseException) -> Outcome:
    """Judge what an exception means; Dramatiq interrupts threads by some of its own."""
    for kind in type(exc).__mro__:
        reason = _INTERRUPTS.get(f"{kind.__module__}.{kind.__name__}")
        if reason is not None:
            return failure(reason, error=describe(exc) if reason == "timeout" else None)
    return raised(exc)


def _around_handle(original: Any) -> Any:
    def autotask_handle_message(self: Any, message: Any) -> Any:
        try:
            result = original(self, message)
        except BaseException as exc:
            hide_frame(exc)
            raise
        _taken(self, message)
        return result

    return autotask_handle_message


@guarded
def _taken(consumer: Any, message: Any) -> None:
    """Note when a message is due that is held back; report one that no actor is there for."""
    due = message.options.get("eta")
    if isinstance(due, (int, float)):
        while len(_due) >= _MOST_DUE:
            _due.pop(next(iter(_due)), None)
        _due[message.message_id] = due
    elif message.actor_name not in consumer.broker.actors:
        retries = _retries(message)
        queued = Queued(attempt=retries + 1, waited=_waited(message, retries))
        recorder.report(message.actor_name, "dramatiq", failure("usage"), queued=queued)


_children: list[Any] = []  # the processes of this main process


def _around_chain(original: Any) -> Any:
    def autotask_chain(*iterables: Any) -> Any:
        _note_children(iterables)
        return original(*iterables)

    return autotask_chain


@guarded
def _note_children(iterables: Iterable[Any]) -> None:
    """Note the processes, and end the runs of one that has died."""
    for iterable in iterables:
        if isinstance(iterable, list):
            known = [child for child in iterable if hasattr(child, "exitcode")]
            _children.extend(child for child in known if child not in _children)
    _end_dead()


def _around_main(original: Any) -> Any:
    def autotask_main(*args: Any, **kwargs: Any) -> Any:
        try:
            result = original(*args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise
        _end_dead()
        return result

    return autotask_main


@guarded
def _end_dead() -> None:
    """End the runs that dead processes have left open."""
    for child in list(_children):
        code = child.exitcode
        if code is None:
            continue
        _children.remove(child)
        if code:
            recorder.end_child(child.pid, died(code))
