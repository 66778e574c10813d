"""What one run was, and how it ended: status and reason from an exception or an exit code."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from autotask.protocols import Stoppable
    from autotask.queued import Queued

# Commands that serve until they are stopped: programs, or a program and its subcommand. One text
# with a space around each, because each task's process reads it.
SERVERS = (
    " uvicorn gunicorn hypercorn daphne waitress-serve granian http.server flask.run fastapi.run"
    " fastapi.dev jupyter.lab jupyter.notebook streamlit.run mkdocs.serve rq.worker rq.worker-pool"
    " rq.cron rqworker rqscheduler huey_consumer run_huey luigid dramatiq dramatiq-gevent arq"
    " procrastinate.worker runserver runserver_plus testserver qcluster db_worker manage.runserver"
    " manage.runserver_plus manage.testserver manage.qcluster manage.rqworker manage.run_huey"
    " manage.db_worker django-admin.runserver celery.worker celery.beat celery.events"
    " celery.flower flower bokeh.serve panel.serve vllm.serve label-studio.start pypi-server.run"
    " airflow.scheduler airflow.api-server airflow.webserver airflow.standalone"
    " airflow.dag-processor airflow.triggerer dagster.dev prefect.server prefect.server.start"
    " scrapyd puma unicorn thin rackup rails.server rails.s sidekiq shoryuken clockwork"
    " foreman.start resque-scheduler good_job"
    " rake.jobs:work rake.resque:work rake.resque:workers rake.resque:scheduler "
)


class Run:
    """One execution of a task, from its start on."""

    # Of few runs, so that the others do not pay for them.
    queued: Queued | None = None  # what a queue knew of it
    server = False  # it serves until it is stopped
    bookkeeping = False  # its framework runs it for itself: only its failure is sent
    was_stopped = False  # it was, or a server under it: no failure, however it ends

    def __init__(self, task: str, framework: str) -> None:
        self.id: str = os.urandom(8).hex()
        self.task = task
        self.framework = framework
        self.key: object = None  # what the framework calls it
        self.outer: Run | None = None  # the run around it in this process
        self.parent: str | None = None  # ids
        self.root: str = self.id
        self.trigger = "unknown"
        self.pid = 0
        self.started = 0.0  # POSIX seconds
        self.clock = 0.0  # seconds, monotonic, at its start
        self.left = 0.0  # and at its end
        self.cpu = 0.0  # seconds of CPU that the process had used at its start
        self.ended: Outcome | None = None
        self.crowd = 0  # open runs directly under it, in this process
        # Of the last run directly under it that failed: framework, exit code, id of the cause.
        self.failed: tuple[str, int | None, str] | None = None


class Outcome:
    """How a run ended: the contract's status and reason, and what belongs to them."""

    def __init__(
        self,
        status: str,
        reason: str | None = None,
        exit_code: int | None = None,
        signal: str | None = None,
        error: dict[str, str] | None = None,
        caused_by: str | None = None,
    ) -> None:
        self.status = status
        self.reason = reason
        self.exit_code = exit_code
        self.signal = signal
        self.error = error
        self.caused_by = caused_by


class End:
    """An end: its outcome, when it was (POSIX seconds), and what the run took (seconds, bytes)."""

    output: str | None = None  # the last lines of a failed command, where they were asked for

    def __init__(
        self,
        outcome: Outcome,
        at: float,
        duration: float | None = None,
        cpu: float | None = None,
        max_rss: int | None = None,
    ) -> None:
        self.outcome = outcome
        self.at = at
        self.duration = duration
        self.cpu = cpu
        self.max_rss = max_rss


TIMEOUT = "timeout"  # the reason of a failure because of a time limit
SUCCESS = Outcome("success")
SKIPPED = Outcome("skipped")


def is_stop(run: Stoppable, outcome: Outcome) -> bool:
    """Tell whether a failure is the end of a server that SIGTERM or SIGINT has stopped."""
    return (run.server and outcome.status == "failure") and (
        run.was_stopped
        or outcome.reason == "interrupted"
        or outcome.signal in ("SIGTERM", "SIGINT")
        or outcome.exit_code in (130, 143)  # a shell's statuses for these
    )


def failure(
    reason: str,
    *,
    exit_code: int | None = None,
    signal: str | None = None,
    error: dict[str, str] | None = None,
    caused_by: str | None = None,
) -> Outcome:
    """Make the outcome of a run that failed."""
    return Outcome("failure", reason, exit_code, signal, error, caused_by)


def passed_on(seen: Outcome, cause: str) -> Outcome:
    """Make the outcome of a run that failed only because the run *cause* inside it did."""
    return failure(
        "nested",
        exit_code=seen.exit_code,
        signal=seen.signal,
        error=seen.error,
        caused_by=cause,
    )


def exited(code: object, error: dict[str, str] | None = None) -> Outcome:
    """Return what `sys.exit(code)` means: None and 0 are success, a text is exit status 1."""
    if code is None:
        return SUCCESS
    # A waiting process sees 256 as 0. Not `code & 0xFF`: a class of the program's may redefine it.
    status = int.__and__(code, 0xFF) if isinstance(code, int) else 1
    return failure("exit", exit_code=status, error=error) if status else SUCCESS


def raised(exc: BaseException) -> Outcome:
    """Return what an exception that has left a task means."""
    if isinstance(exc, SystemExit):
        code = exc.code
        text = None if code is None or isinstance(code, int) else describe(exc)
        return exited(code, text)
    if isinstance(exc, KeyboardInterrupt):
        return failure("interrupted")
    return failure("exception", error=describe(exc))


def describe(exc: BaseException) -> dict[str, str]:
    """Return an exception's type, masked message and, where known, the place it came from."""
    from autotask import failures  # on the failing path only

    return failures.describe(exc)
