"""What one run was, and how it ended: status and reason from an exception, a code, a signal."""

from __future__ import annotations

import os

_OLD_NAMES = ("SIGCLD", "SIGPOLL", "SIGIOT")  # of SIGCHLD, SIGIO, SIGABRT


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
        self.cpu = 0.0  # seconds of the process by then
        self.ended: Outcome | None = None
        self.crowd = 0  # open runs directly under it, in this process
        # Of the last run directly under it that failed: framework, exit code, and which run is why.
        self.failed: tuple[str, int | None, str] | None = None


class Outcome:
    """How a run ended: the contract's status, reason and what goes with it."""

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
    """Make the outcome of a run whose only trouble is the failure of the run *cause* inside it."""
    return failure(
        "nested",
        exit_code=seen.exit_code,
        signal=seen.signal,
        error=seen.error,
        caused_by=cause,
    )


def exited(code: object, error: dict[str, str] | None = None) -> Outcome:
    """Judge what `sys.exit(code)` means: None and 0 are success, a text is status 1."""
    if code is None:
        return SUCCESS
    # 256 is 0 to whoever waits; a class of the program's own may have another `&`.
    status = int.__and__(code, 0xFF) if isinstance(code, int) else 1
    return failure("exit", exit_code=status, error=error) if status else SUCCESS


def raised(exc: BaseException) -> Outcome:
    """Judge an exception that left a task."""
    if isinstance(exc, SystemExit):
        code = exc.code
        text = None if code is None or isinstance(code, int) else describe(exc)
        return exited(code, text)
    if isinstance(exc, KeyboardInterrupt):
        return failure("interrupted")
    return failure("exception", error=describe(exc))


def from_status(status: int) -> Outcome:
    """Judge a wait status (os.waitpid): an exit code or the signal that killed the process."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal_name(number)
        return failure("interrupted" if name == "SIGINT" else "signal", signal=name)
    return exited(os.WEXITSTATUS(status))


def signal_name(number: int) -> str:
    """Name a signal as `kill -l` does: 15 is SIGTERM."""
    import _signal  # type: ignore[import-not-found]

    first_real_time: int = getattr(_signal, "SIGRTMIN", 65)
    if number >= first_real_time:
        return "SIGRTMIN" + (f"+{number - first_real_time}" if number > first_real_time else "")
    for name, value in vars(_signal).items():
        if value == number and name[:3] == "SIG" and name[3] != "_" and name not in _OLD_NAMES:
            return str(name)
    return f"SIG{number}"


def describe(exc: BaseException) -> dict[str, str]:
    """Return an exception's type, masked message and, where known, the place it came from."""
    from autotask import failures  # on the failing path only

    return failures.describe(exc)
