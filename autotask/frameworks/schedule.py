"""schedule 1.0 to 1.2: a run for each time that a job is run, under its function's name."""

from __future__ import annotations

import sys
import time

from autotask import recorder
from autotask.frameworks import PACKAGES, replace
from autotask.guard import guarded
from autotask.queued import Queued, skipped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run


def instrument(schedule: ModuleType) -> None:
    """Instrument `schedule`, unless it is a module of the user's that has the same name."""
    job = getattr(schedule, "Job", None)
    if hasattr(schedule, "CancelJob") and hasattr(job, "_schedule_next_run"):
        PACKAGES.add("schedule")
        replace(job, "run", _around_run)


def _around_run(original: Any) -> Any:
    def autotask_run(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = getattr(self, "last_run", None)
        run = _setup(self)
        try:
            result = original(self, *args, **kwargs)
        except BaseException as exc:
            recorder.fail(run, exc)
            raise
        _settle(self, run, before)
        return result

    return autotask_run


@guarded
def _setup(job: Any) -> Run | None:
    """Open the run of a job, unless the deadline of `until` has passed."""
    deadline = getattr(job, "cancel_after", None)  # since 1.1
    if deadline is not None and deadline.timestamp() < time.time():
        return None
    waited = time.time() - job.next_run.timestamp() if job.next_run is not None else -1.0
    # `run_all`, and the program itself, may run it before it is due.
    queued = Queued(waited=waited) if waited >= 0 else None
    return recorder.start(_name(job), "schedule", None, None, queued)


@guarded
def _settle(job: Any, run: Run | None, before: Any) -> None:
    if job.last_run is not before:
        recorder.succeed(run)
    elif run is not None:  # the deadline has passed since we asked
        recorder.end(run, skipped("expired"))
    else:
        recorder.report(_name(job), "schedule", skipped("expired"))


def _name(job: Any) -> str:
    """Return the qualified name of a job's function, which `do` has put into a partial."""
    function, partial = job.job_func, sys.modules["functools"].partial
    # A partial of the user's has no name. Not "what has a `func`": of a Mock each attribute has.
    while isinstance(function, partial) and not hasattr(function, "__qualname__"):
        function = function.func
    return str(getattr(function, "__qualname__", type(function).__qualname__))
