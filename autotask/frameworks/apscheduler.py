"""APScheduler 3.6 to 3.11: a run for each due time of a job, in threads, processes and asyncio.

`run_job` executes a job once for each of its due times. It is handed one at a time, so that no
frame of autotask is around the job alone: listeners get tracebacks as texts. What became of it is
in the event that `run_job` returns.
"""

from __future__ import annotations

import sys
import time
from _thread import get_ident

from autotask import recorder
from autotask.frameworks import PACKAGES, replace
from autotask.guard import guarded
from autotask.queued import Queued, skipped
from autotask.recorder import hide_frame
from autotask.run import Outcome, describe, failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, ModuleType
    from typing import Any

    from autotask.run import Run

_EXECUTED, _ERROR, _MISSED = 1 << 12, 1 << 13, 1 << 14  # codes of events
_EXECUTORS = ("asyncio", "debug", "gevent", "pool", "tornado", "twisted")
_RUNNERS = ("run_job", "run_coroutine_job")

PACKAGES.add("apscheduler")
# The jobs that a broken pool gives up, by the thread that gives them up.
_given_up: dict[int, list[tuple[str, Outcome]]] = {}


def instrument(base: ModuleType) -> None:
    """Instrument `apscheduler.executors.base`; up to 3.10 coroutines are in `base_py3`."""
    replace(base, "format_tb", _around_format_tb)
    for name, around in zip(_RUNNERS, (_around_run_job, _around_run_coroutine_job)):
        original = vars(base).get(name)
        replace(base, name, around)
        for executor in _EXECUTORS:  # imported before us: a pool pickles what it has by its name
            module = sys.modules.get(f"apscheduler.executors.{executor}")
            if original is not None and vars(module or base).get(name) is original:
                setattr(module, name, vars(base)[name])
    if hasattr(base, "BaseExecutor"):
        replace(base.BaseExecutor, "submit_job", _around_submit_job)
        replace(base.BaseExecutor, "_run_job_error", _around_run_job_error)


def instrument_pool(pool: ModuleType) -> None:
    """Instrument `apscheduler.executors.pool`: what a pool of processes starts, and its end."""
    replace(pool.BasePoolExecutor, "_do_submit_job", _around_do_submit_job)


def _around_run_job(original: Any) -> Any:
    def autotask_run_job(job: Any, jobstore_alias: Any, run_times: Any, logger_name: Any) -> Any:
        events: list[Any] = []
        for run_time in run_times:
            run = _setup(job, run_time)
            try:
                told = original(job, jobstore_alias, [run_time], logger_name)
            except BaseException as exc:
                recorder.fail(run, exc)
                raise
            _settle(job, run_time, run, told)
            events += told
        return events

    return autotask_run_job


def _around_run_coroutine_job(original: Any) -> Any:
    async def autotask_run_coroutine_job(
        job: Any, jobstore_alias: Any, run_times: Any, logger_name: Any
    ) -> Any:
        events: list[Any] = []
        for run_time in run_times:
            run = _setup(job, run_time)
            try:
                told = await original(job, jobstore_alias, [run_time], logger_name)
            except BaseException as exc:
                recorder.fail(run, exc)
                raise
            _settle(job, run_time, run, told)
            events += told
        return events

    return autotask_run_coroutine_job


@guarded
def _setup(job: Any, run_time: Any) -> Run | None:
    """Open the run of a job, unless it is too late for it."""
    name, grace = _name(job), job.misfire_grace_time
    waited = time.time() - run_time.timestamp()
    if name is None or (grace is not None and waited > grace):
        return None
    # As its key a place for its outcome, once it has failed.
    return recorder.start(name, "apscheduler", [], None, Queued(waited=waited))


def _name(job: Any) -> str | None:
    """Return a job's id if the user has given one, else its name."""
    given, name = job.id, getattr(job, "name", None)
    if isinstance(given, str) and (len(given) != 32 or given.strip("0123456789abcdef")):
        return given
    return name if isinstance(name, str) else None


@guarded
def _settle(job: Any, run_time: Any, run: Run | None, told: list[Any]) -> None:
    """Close the run of a job by the event that it led to."""
    for event in told:
        if run is not None and event.code == _EXECUTED:
            recorder.succeed(run)
        elif run is not None:
            recorder.end(run, _outcome(event, run))
        elif event.code == _MISSED:
            waited = time.time() - run_time.timestamp()
            name = _name(job)
            if name is not None:
                recorder.report(
                    name, "apscheduler", skipped("missed"), queued=Queued(waited=waited)
                )


def _outcome(event: Any, run: Run) -> Outcome:
    if event.code == _MISSED:  # since we asked
        return skipped("missed")
    noted = run.key
    if isinstance(noted, list) and noted:
        return noted[0]  # type: ignore[no-any-return]
    return recorder.judged(event.exception, run)


def _around_format_tb(original: Any) -> Any:
    def autotask_format_tb(*args: Any, **kwargs: Any) -> Any:
        _note(sys.exc_info()[1])
        return original(*args, **kwargs)

    return autotask_format_tb


@guarded
def _note(exc: BaseException | None) -> None:
    """Judge an exception before `run_job` clears its frames, which know the runs that it left."""
    run = recorder.current()
    noted = run.key if run is not None and run.framework == "apscheduler" else None
    if exc is not None and isinstance(noted, list):
        noted.append(recorder.judged(exc, run))


def _around_submit_job(original: Any) -> Any:
    def autotask_submit_job(self: Any, job: Any, run_times: Any) -> Any:
        try:
            return original(self, job, run_times)
        except BaseException as exc:
            hide_frame(exc, _left_submitting(job, run_times, exc))
            raise

    return autotask_submit_job


@guarded
def _left_submitting(job: Any, run_times: Any, exc: BaseException) -> Run | None:
    """Report each due time of a job that no executor has taken."""
    name, run = _name(job), None
    if name is not None and recorder.run_behind(exc) is None:
        outcome = recorder.judged(exc)
        if type(exc).__name__ == "MaxInstancesReachedError":
            outcome = skipped("overlap")
        for _ in run_times:
            run = recorder.report(name, "apscheduler", outcome)
    return run


def _around_run_job_error(original: Any) -> Any:
    def autotask_run_job_error(
        self: Any, job_id: Any, exc: BaseException, *args: Any, **kwargs: Any
    ) -> Any:
        _left_running(sys._getframe(1), exc)
        return original(self, job_id, exc, *args, **kwargs)

    return autotask_run_job_error


@guarded
def _left_running(caller: FrameType, exc: BaseException) -> None:
    """Report a job that was taken but could not be executed; *caller* is its executor's."""
    job = caller.f_locals.get("job")
    name = _name(job) if job is not None else None
    if name is None or type(exc).__name__ == "CancelledError" or recorder.run_behind(exc):
        return
    if type(exc).__name__ == "BrokenProcessPool" and get_ident() in _given_up:
        _given_up[get_ident()].append((name, failure("lost", error=describe(exc))))
    # What comes from a child was told there. But a job that cannot be pickled never gets there.
    elif type(exc.__cause__).__name__ != "_RemoteTraceback" or "in _feed\n" in str(exc.__cause__):
        recorder.report(name, "apscheduler", recorder.judged(exc))


def _around_do_submit_job(original: Any) -> Any:
    def autotask_do_submit_job(self: Any, *args: Any, **kwargs: Any) -> Any:
        named = _before_submission(self._pool)
        try:
            return original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise
        finally:
            _after_submission(named)

    return autotask_do_submit_job


@guarded
def _before_submission(pool: Any) -> tuple[Run | None, Run | None] | None:
    """Name the run around the scheduler to a child of the pool that may be started now.

    Else the child would be taken for one of the job that is running in a thread meanwhile.
    """
    if not hasattr(pool, "_processes"):  # a pool of threads
        return None
    manager = sys.modules["concurrent.futures.process"]._ExecutorManagerThread
    replace(manager, "terminate_broken", _around_terminate_broken)
    here, around = recorder.state.process, recorder.current()
    if here is None or here.handed_on is around:
        return None
    named = here.handed_on
    recorder._hand_on(around, here)
    return named, around


@guarded
def _after_submission(before: tuple[Run | None, Run | None] | None) -> None:
    """Name again the run that was named before."""
    here = recorder.state.process
    if before is None or here is None:
        return
    named, around = before
    while named is not None and named.ended is not None:
        named = named.outer
    if here.handed_on is around:
        recorder._hand_on(named, here)


def _around_terminate_broken(original: Any) -> Any:
    def autotask_terminate_broken(self: Any, *args: Any, **kwargs: Any) -> Any:
        children = _begin_to_break(self)
        try:
            return original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise
        finally:
            _end_children(children)

    return autotask_terminate_broken


@guarded
def _begin_to_break(manager: Any) -> list[Any]:
    _given_up[get_ident()] = []
    return list(manager.processes.values())


@guarded
def _end_children(children: list[Any] | None) -> None:
    """End the runs of a pool's children: one has died, the others were terminated for that."""
    from autotask.frameworks.deaths import died  # on the failing path only

    given_up = _given_up.pop(get_ident(), [])
    codes = [child.exitcode for child in children or ()]
    for child, code in zip(children or (), codes):
        # No code: the program has waited for the child itself.
        outcome = failure("lost") if code is None else died(code)
        tasks = recorder.end_child(child.pid, outcome)
        for job in [job for job in given_up if job[0] in (tasks or ())][:1]:
            given_up.remove(job)
    # Children that have left by os._exit have told it themselves. They had begun the first of these
    # jobs. (But 1 is the exit status of those that could not import the job's function.)
    begun = [code for code in codes if code is not None and code >= 0 and code != 1]
    for name, outcome in given_up[len(begun) :]:
        recorder.report(name, "apscheduler", outcome)
