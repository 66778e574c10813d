"""Procrastinate 3.0 to 3.10: a run for each attempt at a job, under the worker that processes it.

Its worker swallows the exception of a task. What it makes of it goes through two of its methods:
the first logs it with the exception, the second saves it, and that ends the run.
"""

from __future__ import annotations

import time

from autotask import recorder
from autotask.frameworks import PACKAGES, replace
from autotask.guard import guarded
from autotask.queued import Queued, retried
from autotask.recorder import hide_frame
from autotask.run import SUCCESS, Outcome, describe, failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

PACKAGES.update(("procrastinate", "asgiref", "asyncio"))  # with what runs its tasks


class _Job:
    """An attempt at a job, and what its worker has made of it."""

    __slots__ = ("context", "outcome")

    def __init__(self, context: Any) -> None:
        self.context = context
        self.outcome: Outcome | None = None


def instrument(worker: ModuleType) -> None:
    """Instrument `procrastinate.worker`."""
    replace(worker.Worker, "_process_job", _around_process)
    replace(worker.Worker, "_log_job_outcome", _around_log)
    replace(worker.Worker, "_persist_job_status", _around_persist)


def _around_process(original: Any) -> Any:
    async def autotask_process_job(self: Any, context: Any) -> Any:
        run = _setup(context)
        try:
            result = await original(self, context)
        except BaseException as exc:
            recorder.fail(run, exc)
            raise
        recorder.end(run, failure("lost"))  # unless it has ended as its status was saved
        return result

    return autotask_process_job


@guarded
def _setup(context: Any) -> Run | None:
    job = context.job
    queued = Queued(attempt=job.attempts + 1, waited=_waited(job))
    return recorder.start(job.task_name, "procrastinate", _Job(context), None, queued)


def _waited(job: Any) -> float | None:
    """Return how long a job has been due, in seconds; only one with a date says since when."""
    return None if job.scheduled_at is None else time.time() - float(job.scheduled_at.timestamp())


def _around_log(original: Any) -> Any:
    def autotask_log_job_outcome(self: Any, *args: Any, **kwargs: Any) -> Any:
        _note(*args, **kwargs)  # by their names, in all releases
        try:
            return original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_log_job_outcome


@guarded
def _note(status: Any, context: Any, job_retry: Any, exc_info: Any = None, **_: Any) -> None:
    """Note what a worker makes of an attempt, with its exception, which it then forgets."""
    run = recorder.current()
    if run is None or not isinstance(run.key, _Job) or run.key.context is not context:
        return
    outcome = SUCCESS
    if isinstance(exc_info, BaseException):
        outcome = _judged(run, status, context, exc_info)
    run.key.outcome = retried(outcome) if job_retry else outcome


def _judged(run: Run, status: Any, context: Any, exc: BaseException) -> Outcome:
    if status.value == "aborted":
        return failure("interrupted")
    if context.job.task_name not in context.app.tasks:
        return failure("usage")
    outcome = recorder.judged(exc, run)
    if outcome.status == "success":  # sys.exit(0) is an error here
        outcome = failure("exception", error=describe(exc))
    return outcome


def _around_persist(original: Any) -> Any:
    async def autotask_persist_job_status(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            result = await original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise
        _persisted()
        return result

    return autotask_persist_job_status


@guarded
def _persisted() -> None:
    """End the run of the job whose status has been saved, in the asyncio task that saved it."""
    run = recorder.current()
    if run is not None and isinstance(run.key, _Job) and run.key.outcome is not None:
        recorder.end(run, run.key.outcome)
