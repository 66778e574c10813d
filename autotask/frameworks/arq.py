"""arq 0.25 to 0.28: a run for each try of a job, cron jobs among them, under the worker.

A job's coroutine begins the run, and knows the exception. Whether there will be another try is
known only in `Worker.run_job` around it, which swallows the exception, and that ends the run.
"""

from __future__ import annotations

import sys
import time

from autotask import recorder
from autotask.frameworks import PACKAGES, replace
from autotask.guard import guarded
from autotask.queued import Queued, retried, skipped
from autotask.recorder import ContextVar, hide_frame
from autotask.run import SUCCESS, Outcome, describe, failure, raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

# A job that is cut off waits in asyncio: its own line says more.
PACKAGES.update(("arq", "asyncio"))


class _Job:
    """What is noted of a try of a job while its worker runs it."""

    def __init__(self, worker: Any, job_id: object, score: float) -> None:
        self.worker = worker
        self.id = job_id
        self.score = score  # when it was due, in milliseconds
        self.run: Run | None = None
        self.outcome: Outcome | None = None  # of its coroutine
        self.cancelled: dict[str, str] | None = None  # the error, if its coroutine was
        self.refusal: BaseException | None = None  # why its coroutine was never called
        self.name = ""  # of a job that was refused, and its attempt
        self.attempt: int | None = None
        self.finishes: bool | None = None  # not to be tried again


_job: ContextVar[_Job | None] = ContextVar("autotask_arq_job", default=None)


def instrument(worker: ModuleType) -> None:
    """Instrument `arq.worker`."""
    replace(worker.Worker, "__init__", _around_init)
    replace(worker.Worker, "run_job", _around_run_job)
    replace(worker.Worker, "finish_job", _around_finish)
    replace(worker, "serialize_result", _around_serialize)


def _around_init(original: Any) -> Any:
    def autotask_init(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise
        _cover(self)

    return autotask_init


@guarded
def _cover(worker: Any) -> None:
    """Instrument the coroutine of each function that a worker knows."""
    for name, function in worker.functions.items():
        replace(function, "coroutine", _around_coroutine_of(name))


def _around_coroutine_of(name: str) -> Callable[[Any], Any]:
    return lambda original: _around_coroutine(original, name)


def _around_coroutine(original: Any, name: str) -> Any:
    async def autotask_job(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        job = _setup(name, ctx)
        try:
            result = await original(ctx, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc, _left(job, exc))
            raise
        _returned(job)
        return result

    return autotask_job


@guarded
def _setup(name: str, ctx: Any) -> _Job | None:
    """Open the run of the job that a worker is about to execute."""
    job = _job.get()
    if job is None or job.run is not None:
        return None
    job.run = recorder.start(name, "arq", None, None, _queued(job, ctx["job_try"]))
    return job


def _queued(job: _Job, attempt: int | None) -> Queued:
    # A job that is tried again keeps the time at which it was due, unless Retry says another.
    waited = time.time() - job.score / 1000 if attempt == 1 else None
    return Queued(attempt=attempt, waited=waited)


@guarded
def _left(job: _Job | None, exc: BaseException) -> Run | None:
    """Note how a coroutine failed; return the run that its exception leaves."""
    if job is None or job.run is None:
        return None
    job.outcome = recorder.judged(exc, job.run)
    if isinstance(exc, sys.modules["asyncio"].CancelledError):
        job.outcome, job.cancelled = failure("interrupted"), describe(exc)
        if job.id in job.worker.aborting_tasks:
            job.cancelled = None
    elif not isinstance(exc, Exception):  # SystemExit ends the worker
        recorder.end(job.run, job.outcome)
    return job.run


@guarded
def _returned(job: _Job | None) -> None:
    if job is not None:
        job.outcome = SUCCESS


def _around_run_job(original: Any) -> Any:
    async def autotask_run_job(self: Any, job_id: str, score: int) -> Any:
        job = _begin(self, job_id, score)
        try:
            result = await original(self, job_id, score)
        except BaseException as exc:
            recorder.fail(_left_worker(job, exc), exc)
            raise
        _settle(job)
        return result

    return autotask_run_job


@guarded
def _begin(worker: Any, job_id: str, score: int) -> _Job:
    job = _Job(worker, job_id, score)
    _job.set(job)  # in the asyncio task of this job
    return job


@guarded
def _left_worker(job: _Job | None, exc: BaseException) -> Run | None:
    """Return the run of a job that the worker could not bring to an end."""
    if job is not None and isinstance(exc, sys.modules["asyncio"].CancelledError):
        _end(job)  # what has been decided goes on without it
    return job.run if job is not None else None


@guarded
def _settle(job: _Job | None) -> None:
    """End the run of a job that its worker is through with, or report why it was refused."""
    if job is None:
        return
    if job.run is not None:
        _end(job)
    elif job.refusal is not None and job.name != "<unknown>":  # its definition is lost
        recorder.report(job.name, "arq", _refused(job), queued=_queued(job, job.attempt))
    job.refusal = None  # its frames would live as long as what the job has started in asyncio


def _end(job: _Job) -> None:
    outcome = job.outcome
    if outcome is None or job.finishes is None:
        return
    if not job.finishes:
        outcome = retried(outcome if outcome.status == "failure" else failure("interrupted"))
    elif job.cancelled is not None:
        outcome = failure("timeout", error=job.cancelled)
    elif outcome.status == "success" and job.refusal is not None:  # its result cannot be shown
        outcome = raised(job.refusal)
    recorder.end(job.run, outcome)


def _refused(job: _Job) -> Outcome:
    exc = job.refusal
    if exc is None or isinstance(exc, sys.modules["asyncio"].CancelledError):
        return skipped("canceled")
    if job.name not in job.worker.functions:
        return failure("usage", error=describe(exc))
    return failure("rejected", error=describe(exc))  # too many attempts


def _around_finish(original: Any) -> Any:
    async def autotask_finish_job(
        self: Any, job_id: str, finish: bool, *args: Any, **kwargs: Any
    ) -> Any:
        _note_finish(finish)
        try:
            return await original(self, job_id, finish, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_finish_job


@guarded
def _note_finish(finish: bool) -> None:
    job = _job.get()
    if job is not None:
        job.finishes = finish


def _around_serialize(original: Any) -> Any:
    def autotask_serialize_result(*args: Any, **kwargs: Any) -> Any:
        _note_result(*args, **kwargs)
        try:
            return original(*args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_serialize_result


@guarded
def _note_result(*args: Any, **kwargs: Any) -> None:
    """Note why arq takes a job for failed."""
    result = dict(zip(_RESULT, args), **kwargs)
    job = _job.get()
    if job is None or result["success"]:
        return
    job.name, job.attempt, job.refusal = result["function"], result["job_try"], result["result"]
    if isinstance(job.refusal, sys.modules["asyncio"].CancelledError):
        job.cancelled = None  # not by its time limit, which arq tells by another exception


# The first parameters of `serialize_result`.
_RESULT = "function args kwargs job_try enqueue_time_ms success result".split()
