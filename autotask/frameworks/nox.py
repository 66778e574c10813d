"""nox 2022.1 to 2026.10: a run for each session, under its name with its Python: `tests-3.12`."""

from __future__ import annotations

import sys

from autotask import recorder
from autotask.frameworks import PACKAGES, replace
from autotask.guard import guarded
from autotask.run import SKIPPED, SUCCESS, Outcome, describe, failure, raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

PACKAGES.add("nox")

_PREREQUISITE = "Prerequisite session "  # how the reason begins of a session that was not started
_causes: dict[str, str] = {}  # of sessions that failed: the id of the run that is the cause


def instrument(sessions: ModuleType) -> None:
    """Instrument `nox.sessions`: each execution of a session, and what becomes of it."""
    replace(sessions.SessionRunner, "execute", _around_execute)
    replace(sessions.Result, "__init__", _around_result)


def _around_execute(original: Any) -> Any:
    def autotask_execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = _setup(self)
        try:
            result = original(self, *args, **kwargs)
        except BaseException as exc:
            recorder.fail(run, exc)
            raise
        _executed(run, result)
        return result

    return autotask_execute


@guarded
def _setup(session: Any) -> Run | None:
    """Open the run of a session: its name is without the arguments of `nox.parametrize`."""
    return recorder.begin(str(session.friendly_name).partition("(")[0], "nox", session)


def _around_result(original: Any) -> Any:
    def autotask_init(self: Any, session: Any, *args: Any, **kwargs: Any) -> None:
        _note_exception(session, sys.exc_info()[1])
        try:
            original(self, session, *args, **kwargs)
        except BaseException as exc:
            recorder.hide_frame(exc)
            raise

    return autotask_init


@guarded
def _note_exception(session: Any, exc: BaseException | None) -> None:
    """Note what the exception means that nox is about to keep a result of: it passes none on."""
    run = recorder.current()
    if run is not None and run.key is session and exc is not None:
        run.key = recorder.judged(exc, run, _judged(exc))


def _judged(exc: BaseException) -> Outcome:
    """Judge what an exception means; nox has some of its own."""
    kind = type(exc).__name__ if type(exc).__module__.startswith("nox.") else ""
    if kind == "_SessionQuit":  # session.error()
        return failure("exit", exit_code=1, error=describe(exc))
    if kind == "CommandFailed":
        inside = exc.__cause__ or exc.__context__
        if not getattr(exc, "reason", None) and inside is not None:  # session.run(a_function)
            return raised(inside)
        return failure("exit", exit_code=_code(exc), error=describe(exc))
    return raised(exc)


def _code(exc: Any) -> int:
    """Return the exit code of a command that failed; nox's own if it could not be started."""
    code = getattr(exc, "return_code", None)  # 2025 and later
    if code is None:
        last = str(exc).rpartition("Returned code ")[2]
        code = int(last) if last.lstrip("-").isdigit() else 1
    return code if code >= 0 else 128 - code


@guarded
def _executed(run: Run | None, result: Any) -> None:
    if run is not None:
        outcome = _outcome(run, result)
        recorder.end(run, outcome)
        if outcome.status == "failure":
            _causes[str(result.session.friendly_name)] = outcome.caused_by or run.id


def _outcome(run: Run, result: Any) -> Outcome:
    status, reason = result.status.name, str(result.reason or "")
    if status == "SUCCESS":
        return SUCCESS
    if status == "SKIPPED":
        return SKIPPED
    if reason.startswith(_PREREQUISITE):
        name = reason[len(_PREREQUISITE) :].partition(" was not ")[0]
        cause = _causes.get(name)
        return failure("nested", caused_by=cause) if cause else SKIPPED
    return run.key if isinstance(run.key, Outcome) else failure("exit", exit_code=1)
