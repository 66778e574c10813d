"""What one run was, and how it ended: status and reason from an exception or an exit code."""

from __future__ import annotations

import os


class Run:
    """One execution of a task, from its start on."""

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


SUCCESS = Outcome("success")
SKIPPED = Outcome("skipped")


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
