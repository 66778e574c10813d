"""django-crontab 0.7: a run for each job, under the path of its function.

`run_job` swallows what a job raises, and logs it: nothing else tells that the job has failed, not
even the exit status.
"""

from __future__ import annotations

import sys

from autotask import recorder
from autotask.frameworks import PACKAGES, replace
from autotask.guard import guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

PACKAGES.add("django_crontab")

_JOB = object()  # the key of a job's run


def instrument(crontab: ModuleType) -> None:
    """Instrument `django_crontab.crontab`."""
    replace(crontab.Crontab, "run_job", _around_run_job)
    for name in ("exception", "warning"):
        if name not in vars(crontab.logger):
            wrapper = _around_log(crontab.logger, name)
            wrapper.__autotask__ = True
            setattr(crontab.logger, name, wrapper)


def _around_run_job(original: Any) -> Any:
    def autotask_run_job(self: Any, job_hash: Any) -> Any:
        run = _setup(self, job_hash)
        try:
            result = original(self, job_hash)
        except BaseException as exc:
            recorder.fail(run, exc)
            raise
        recorder.succeed(run)  # unless what was logged has ended it
        return result

    return autotask_run_job


@guarded
def _setup(crontab: Any, job_hash: Any) -> Run | None:
    try:
        job = crontab._Crontab__get_job_by_hash(job_hash)
    except RuntimeError:  # no such job: the command `crontab` fails
        return None
    return recorder.begin(str(job[1]), "django", _JOB)


def _around_log(logger: Any, name: str) -> Any:
    def autotask_log(*args: Any, **kwargs: Any) -> Any:
        _note(name, *args)
        return getattr(type(logger), name)(logger, *args, **kwargs)

    # logging looks for the caller by file names: like its own functions, ours is none.
    own = sys.modules["logging"]._srcfile
    autotask_log.__code__ = autotask_log.__code__.replace(co_filename=own)
    return autotask_log


@guarded
def _note(name: str, message: object = "", *_: object) -> None:
    """End the run of a job that another process has locked, or that has raised."""
    run, exc = recorder.current(), sys.exc_info()[1]
    if run is None or run.key is not _JOB:
        return
    if name == "warning":
        from autotask.queued import skipped  # for a job that is locked only

        recorder.end(run, skipped("locked"))
    elif exc is not None and str(message).startswith("Failed"):  # not: 'Error unlocking'
        recorder.end(run, recorder.judged(exc, run))
