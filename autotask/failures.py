"""From an exception to the error that is recorded: type, masked message, where it came from.

Also which run an exception has left already. Loaded only after a failure: most tasks never need it.
"""

from __future__ import annotations

import os

from autotask.frameworks import ENDS_IN_OUTPUT, MESSAGES, OFTEN_THE_USERS, PACKAGES, SUPPORTED
from autotask.guard import raised_here
from autotask.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FrameType, TracebackType
    from typing import TypeGuard

    from autotask.run import Run

LONGEST_MESSAGE = 500  # characters of an exception's message that are kept
_LONGEST_READ = 20_000  # characters of it that are searched for secrets
_LONGEST_WORD = 2_000  # characters of a secret of unknown end
_keeps: bool | None = None


def describe(exc: BaseException) -> dict[str, str]:
    """Return an exception's type, masked message and, where known, the place it came from."""
    described = error(type(exc).__name__, _message(exc) if keeps_messages() else "")
    where = source_line(exc.__traceback__)
    if where:
        described["where"] = where
    return described


def error(kind: str, message: str) -> dict[str, str]:
    """Return an error of a type, with its message masked, or without it if AUTOTASK_MESSAGES=0."""
    return {"type": kind, "message": masked(message)} if keeps_messages() else {"type": kind}


def keeps_messages() -> bool:
    """Tell whether messages may be recorded and sent: AUTOTASK_MESSAGES, read once."""
    global _keeps
    if _keeps is None:
        _keeps = Settings(os.environ).messages
    return _keeps


def _message(exc: BaseException) -> str:
    try:
        message = MESSAGES.get(type(exc), str)(exc)
    except raised_here(Exception):  # the application's own __str__
        return ""
    if type(exc).__name__ == ENDS_IN_OUTPUT[0]:
        return message.partition(ENDS_IN_OUTPUT[1])[0]
    return message


def masked(text: str) -> str:
    """Hide the secrets of known shapes in a text, and cut it at 500 characters."""
    if not text:
        return text
    from autotask.masking import hide

    hidden = hide(text[:_LONGEST_READ])
    if len(text) <= _LONGEST_READ:
        if len(hidden) <= LONGEST_MESSAGE:
            return hidden
    elif not hidden.endswith("***"):
        # Half of the last word was not read: it may be half a secret, which has no known shape.
        ends = hidden.rfind(" "), hidden.rfind("\n"), len(hidden) - _LONGEST_WORD, 0
        hidden = hidden[: max(ends)]
    return hidden[: LONGEST_MESSAGE - 3] + "..."


def source_line(step: TracebackType | None) -> str | None:
    """Return `file:line` of the innermost frame that is outside the frameworks."""
    packages = {"autotask", *SUPPORTED.split()[::3]}.difference(OFTEN_THE_USERS) | PACKAGES
    innermost = None
    while step is not None:
        frame = step.tb_frame
        module = frame.f_globals.get("__name__")
        top = module.partition(".")[0] if isinstance(module, str) else ""
        if top not in packages:
            innermost = f"{frame.f_code.co_filename}:{step.tb_lineno}"
        step = step.tb_next
    return innermost


# The runs of exceptions that have no frame to note the run on: those raised without a frame (a call
# with wrong arguments, a function in C), and those that pass frames traced by a debugger.
# Key: the exception's id. Value: code and line of its innermost frame, and the run.
_frameless: dict[int, tuple[CodeType, int, object]] = {}
_MOST_FRAMELESS = 16


def note(exc: BaseException, run: object, caught: TracebackType) -> None:
    """Note the run that an exception has left, on the frame below the wrapper that has caught it.

    Only exceptions that have passed the wrapper have that frame in their traceback. The frame has
    ended, so nothing else uses its `f_trace`. That attribute lives as long as the frame, which
    saves a table that would have to be searched and cleaned.
    """
    wrapper = caught.tb_frame
    if caught.tb_next is None:
        caller = wrapper.f_back
        if caller is not None:
            _note_aside(exc, caller.f_code, caller.f_lineno, run)
        return
    below = caught.tb_next.tb_frame
    if below.f_back is not wrapper and _is_running(below, wrapper):
        return
    noted: object = below.f_trace
    if noted is None or _is_run(noted):
        below.f_trace = run  # type: ignore[assignment]
        return
    innermost = caught.tb_next
    while innermost.tb_next is not None:
        innermost = innermost.tb_next
    _note_aside(exc, innermost.tb_frame.f_code, innermost.tb_lineno, run)


def _note_aside(exc: BaseException, code: CodeType, line: int, run: object) -> None:
    while len(_frameless) >= _MOST_FRAMELESS:
        _frameless.pop(next(iter(_frameless)), None)
    _frameless[id(exc)] = code, line, run


def run_behind(exc: BaseException, outer: Run | None) -> Run | None:
    """Return the run that `recorder.run_behind` asks for."""
    for run in _noted(exc):
        if not _is_run(run) or run is outer:
            continue
        failed = run.ended is not None and (run.ended.status == "failure" or run.was_stopped)
        if run.pid != os.getpid() or (failed and (outer is None or run.left >= outer.clock)):
            return run
    return None


def _is_run(noted: object) -> TypeGuard[Run]:
    """Tell a run from a debugger's own function, which may be in the same place.

    By its type's name: `run` leads to this module, so that this one cannot import it.
    """
    return type(noted).__module__ == "autotask.run"


def _noted(exc: BaseException) -> Iterator[object]:
    """Yield what was noted on the way of an exception, then of the one that it was raised from."""
    seen: list[BaseException] = []
    cause: BaseException | None = exc
    while cause is not None and not any(cause is other for other in seen):
        step, last = cause.__traceback__, None
        while step is not None:
            if step.tb_frame.f_trace is not None:
                yield step.tb_frame.f_trace
            step, last = step.tb_next, step
        code, line, run = _frameless.get(id(cause), (None, 0, None))
        if last is not None and last.tb_frame.f_code is code and last.tb_lineno == line:
            yield run
        seen.append(cause)
        cause = cause.__cause__


def _is_running(frame: FrameType, innermost: FrameType | None) -> bool:
    """Tell whether a frame still runs: functions in C may raise again what was caught before."""
    while innermost is not None and innermost is not frame:
        innermost = innermost.f_back
    return innermost is frame
