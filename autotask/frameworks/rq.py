"""RQ 1.16 to 3.0: a run for each attempt of a job, under its function's name.

A job fails in more places than in its function: arguments cannot be unpickled, a callback raises.
So a run is all of `perform_job`, which RQ calls in the work horse (a fork that ends by os._exit),
and in which it decides about another attempt. The worker tells how a horse has died.
"""

from __future__ import annotations

import os
import sys
import time

from autotask import recorder
from autotask.frameworks import PACKAGES, replace
from autotask.frameworks.deaths import died
from autotask.guard import guarded, raised_here
from autotask.queued import Queued, retried
from autotask.recorder import ContextVar, hide_frame
from autotask.run import SUCCESS, Outcome, describe, failure, raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

PACKAGES.update(("rq", "rq_scheduler"))


class _Attempt:
    """What is known of one execution of a job while it goes on."""

    __slots__ = ("job", "left", "outcome")

    def __init__(self, job: Any) -> None:
        self.job = job
        self.left = getattr(job, "retries_left", None)
        self.outcome: Outcome | None = None  # as the exception says that RQ has caught


class _Horse:
    """A horse that this process waits for."""

    __slots__ = ("ended", "left")

    def __init__(self, job: Any) -> None:
        self.left = getattr(job, "retries_left", None)
        self.ended: tuple[Any, ...] | None = None  # its process id and wait status


_watched: ContextVar[_Horse | None] = ContextVar("autotask_rq_watched", default=None)


def instrument_worker(worker: ModuleType) -> None:
    """Instrument `rq.worker`: jobs in the horse, and the horse's death in the worker."""
    for owner in (worker.BaseWorker, worker.Worker):  # up to 2.0 all is in the second
        replace(owner, "perform_job", _around_perform_job)
        replace(owner, "handle_exception", _around_handle_exception)
        replace(owner, "monitor_work_horse", _around_monitor_work_horse)
        replace(owner, "wait_for_horse", _around_wait_for_horse)
        replace(owner, "kill_horse", _around_kill_horse)


def instrument_queue(queue: ModuleType) -> None:
    """Instrument `rq.queue`, which performs jobs itself if it has `is_async=False`."""
    replace(queue.Queue, "run_job", _around_run_job)


def _around_perform_job(original: Any) -> Any:
    def autotask_perform_job(self: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
        run = _setup(job)
        try:
            is_done = original(self, job, *args, **kwargs)
        except BaseException as exc:  # RQ's own: redis is gone
            recorder.fail(run, exc)
            raise
        _settle(run, job, is_done)
        return is_done

    return autotask_perform_job


def _around_run_job(original: Any) -> Any:
    def autotask_run_job(self: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
        run = _setup(job, is_queued=False)
        try:
            result = original(self, job, *args, **kwargs)
        except BaseException as exc:
            recorder.fail(run, exc, _judged)
            raise
        recorder.succeed(run)
        return result

    return autotask_run_job


@guarded
def _setup(job: Any, is_queued: bool = True) -> Run | None:
    queued = Queued(_attempt_number(job), _waited(job)) if is_queued else None
    return recorder.start(_name(job), "rq", _Attempt(job), queued=queued)


def _name(job: Any) -> str:
    """Return the name of a job's function; of one that cannot be unpickled as RQ describes it."""
    try:
        return str(job.func_name)
    except raised_here(Exception):
        name = str(job.description).partition("(")[0]  # of `shop.jobs.mail('x')`, RQ's own text
        return name if name.replace(".", "").isidentifier() else "<DeserializationError>"


def _attempt_number(job: Any) -> int | None:
    """Return the number of this attempt, from 1; None if RQ does not keep it.

    Of a `retry=Retry(3)` RQ only counts down what is left, but not what it began with.
    """
    if getattr(job, "retries_left", None) is not None:
        return None
    return (getattr(job, "number_of_retries", None) or 0) + 1  # of returned Retries


def _waited(job: Any) -> float | None:
    since = job.enqueued_at  # UTC, naive up to 2.0
    if since is None:
        return None
    utc = sys.modules["datetime"].timezone.utc
    return time.time() - float(since.replace(tzinfo=utc).timestamp())


@guarded
def _settle(run: Run | None, job: Any, is_done: Any) -> None:
    """End the run of a job as RQ has judged it."""
    if run is None or not isinstance(run.key, _Attempt):
        return
    attempt = run.key
    if is_done:
        recorder.end(run, _returned(job))
        return
    outcome = attempt.outcome or failure("exception")
    will_retry = job.retries_left != attempt.left  # RQ counts it down when it queues it again
    recorder.end(run, retried(outcome) if will_retry else outcome)


def _returned(job: Any) -> Outcome:
    """Return what the result of a job means; from 2.1 on a `Retry` asks for another attempt."""
    result: Any = getattr(job, "_result", None)
    kind = type(result)
    if (kind.__module__, kind.__name__) != ("rq.job", "Retry"):
        return SUCCESS
    tried = getattr(job, "number_of_retries", None)
    if tried is None:  # before 2.1 it is a result like others
        return SUCCESS
    if job.get_status(refresh=False) == "failed":
        message = f"exceeded maximum retry attempts ({result.max})"
        return failure("exception", error={"type": "Retry", "message": message})
    return retried(failure("exception"))


def _judged(exc: BaseException) -> Outcome:
    """Judge what an exception means to RQ; for one, that a job which exits has failed."""
    for kind in type(exc).__mro__:
        if kind.__module__ == "rq.timeouts":
            return failure("timeout", error=describe(exc))
        if kind.__name__ == "ShutDownImminentException":  # on Heroku; its module differs
            return failure("interrupted")
    outcome = raised(exc)
    return failure("exception", error=describe(exc)) if outcome.status == "success" else outcome


def _around_handle_exception(original: Any) -> Any:
    def autotask_handle_exception(self: Any, job: Any, *exc_info: Any) -> Any:
        _note(job, exc_info)
        try:
            return original(self, job, *exc_info)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_handle_exception


@guarded
def _note(job: Any, exc_info: tuple[Any, ...]) -> None:
    """Note the exception that RQ has caught from a job, or from its callback."""
    run = recorder.current()
    attempt = run.key if run is not None else None
    if isinstance(attempt, _Attempt) and attempt.job is job:
        attempt.outcome = recorder.judged(exc_info[1], run, _judged(exc_info[1]))


def _around_monitor_work_horse(original: Any) -> Any:
    def autotask_monitor_work_horse(self: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
        _watch(job)
        try:
            return original(self, job, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise
        finally:
            _bury()

    return autotask_monitor_work_horse


@guarded
def _watch(job: Any) -> None:
    _watched.set(_Horse(job))


def _around_wait_for_horse(original: Any) -> Any:
    def autotask_wait_for_horse(self: Any) -> Any:
        try:
            ended = original(self)
        except BaseException as exc:
            hide_frame(exc)
            raise
        _note_death(ended)
        return ended

    return autotask_wait_for_horse


@guarded
def _note_death(ended: tuple[Any, ...]) -> None:
    """Note how a horse has ended. No more: RQ's alarm is set, and would cut off what it returns."""
    horse = _watched.get()
    if horse is not None and ended[0]:
        horse.ended = ended


@guarded
def _bury() -> None:
    """End what a horse has left open, from its wait status. RQ counts one that exits with 0."""
    horse = _watched.get()
    _watched.set(None)
    if horse is None or horse.ended is None:
        return
    pid, status = horse.ended[:2]
    if status:
        recorder.end_child(pid, _tried_again(died(os.waitstatus_to_exitcode(status)), horse))


def _tried_again(outcome: Outcome, horse: _Horse | None) -> Outcome:
    """Return the outcome of the job whose horse has died, which RQ may queue again."""
    return retried(outcome) if horse is not None and (horse.left or 0) > 0 else outcome


def _around_kill_horse(original: Any) -> Any:
    def autotask_kill_horse(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not args and not kwargs:  # with a signal, HerokuWorker only asks it to end
            _doom(self, sys._getframe(1).f_code.co_name)
        try:
            return original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_kill_horse


@guarded
def _doom(worker: Any, caller: str) -> None:
    """Say why a worker kills its horse: its job is stuck, or is stopped, or the worker is."""
    if not worker.horse_pid:
        return
    if caller == "monitor_work_horse":  # a minute after the job's own timeout
        outcome = _tried_again(failure("timeout"), _watched.get())
    else:
        outcome = failure("interrupted")
    recorder.end_child(worker.horse_pid, outcome)
