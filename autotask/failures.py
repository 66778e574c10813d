"""What is told of a failure: its error, its line in a service check, its event.

Apart from the rest because it is loaded only when something failed.
"""

from __future__ import annotations

import os

from autotask.frameworks import ENDS_IN_OUTPUT, SUPPORTED
from autotask.guard import raised_here
from autotask.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FrameType, TracebackType
    from typing import TypeGuard

    from autotask.run import Outcome, Run

LONGEST_MESSAGE = 500  # characters of an exception's message that are kept
_LONGEST_READ = 20_000  # characters of it that are searched for secrets
_LONGEST_WORD = 2_000  # characters of a secret of unknown end
_LEAST_TEXT = 200  # bytes that say why, however little room the tags leave in a datagram

# Line ends and what turns the direction of a text, for a terminal or a page. No pattern: to import
# `re` runs code from a string, and CPython then forgets that it is to end by SIGINT because of an
# uncaught KeyboardInterrupt.
_CONTROLS = dict.fromkeys(
    (*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F)), " "
)
_CONTROLS.update(dict.fromkeys(range(0x2066, 0x206A), " "))
_keeps: bool | None = None


def describe(exc: BaseException) -> dict[str, str]:
    """Return an exception's type, masked message and, where known, the place it came from."""
    told = error(type(exc).__name__, _message(exc) if keeps_messages() else "")
    where = place(exc.__traceback__)
    if where:
        told["where"] = where
    return told


def error(kind: str, message: str) -> dict[str, str]:
    """Return an error of a type, with its message masked, or without it if AUTOTASK_MESSAGES=0."""
    return {"type": kind, "message": masked(message)} if keeps_messages() else {"type": kind}


def keeps_messages() -> bool:
    """Tell whether messages may leave this process: AUTOTASK_MESSAGES, read once."""
    global _keeps
    if _keeps is None:
        _keeps = Settings(os.environ).messages
    return _keeps


def _message(exc: BaseException) -> str:
    try:
        message = str(exc)
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

    told = hide(text[:_LONGEST_READ])
    if len(text) > _LONGEST_READ:
        told = _without_last_word(told)
    elif len(told) <= LONGEST_MESSAGE:
        return told
    return told[: LONGEST_MESSAGE - 3] + "..."


def _without_last_word(text: str) -> str:
    """Drop the word at which reading has stopped: it may be half a secret, of no known shape."""
    if text.endswith("***"):
        return text
    return text[: max(text.rfind(" "), text.rfind("\n"), len(text) - _LONGEST_WORD, 0)]


def place(step: TracebackType | None) -> str | None:
    """Return `file:line` of the innermost frame that is outside the frameworks."""
    packages = {"autotask", *SUPPORTED.split()[::3]}
    found = None
    while step is not None:
        frame = step.tb_frame
        module = frame.f_globals.get("__name__")
        top = module.partition(".")[0] if isinstance(module, str) else ""
        if top not in packages:
            found = f"{frame.f_code.co_filename}:{step.tb_lineno}"
        step = step.tb_next
    return found


# By the id of an exception that was raised without a frame (a call with wrong arguments, a function
# in C), or through frames that a debugger traces: the code and the line of the innermost frame in
# its traceback, and the run that the exception has left.
_frameless: dict[int, tuple[CodeType, int, object]] = {}
_MOST_FRAMELESS = 16


def note(exc: BaseException, run: object, caught: TracebackType) -> None:
    """Note the run that an exception has left, on the frame below the wrapper that has caught it.

    That frame is in the traceback only of an exception that has passed the wrapper. A frame that
    has ended has no use for `f_trace`, which lives as long as the frame: nothing has to be looked
    up, or forgotten again.
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
        failed = run.ended is not None and run.ended.status == "failure"
        if run.pid != os.getpid() or (failed and (outer is None or run.left >= outer.clock)):
            return run
    return None


def _is_run(noted: object) -> TypeGuard[Run]:
    """Tell a run from a debugger's own function, which may be in the same place.

    By its type's name: `run` leads to this module, so that this one cannot import it.
    """
    return type(noted).__module__ == "autotask.run"


def _noted(exc: BaseException) -> Iterator[object]:
    """Give what was noted on the way of an exception, then of the one that it was raised from."""
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
    """Tell whether a frame runs: a function in C may raise what was raised and caught before."""
    while innermost is not None and innermost is not frame:
        innermost = innermost.f_back
    return innermost is frame


def one_line(text: str, length: int = LONGEST_MESSAGE) -> str:
    """Make a text safe inside a line of the protocol: no line ends, no field marks."""
    text = text[:length].replace("|", "/").replace("\n", "\\n")
    text = text.translate(_CONTROLS)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def event(
    task: str, tags: str, outcome: Outcome, duration: float | None, host: str, size: int
) -> str:
    """Write the event of a failure so that it fits a datagram of *size* bytes."""
    title = one_line(f"task failed: {task}", 300)
    error = outcome.error or {}
    facts = [
        ("reason", summary(outcome)),
        ("where", error.get("where", "")),
        ("duration", "" if duration is None else f"{duration:.3f} s"),
        ("host", host),
    ]
    text = "\\n".join([f"{name}: {one_line(said)}" for name, said in facts if said])
    tail = f"|k:{one_line(task, 100)}|t:error|#{tags}"
    room = size - len(title.encode()) - len(tail.encode()) - 20  # the lengths, marks, line's end
    text = cut(text, room)
    return f"_e{{{len(title.encode())},{len(text.encode())}}}:{title}|{text}{tail}"


def summary(outcome: Outcome) -> str:
    """Say why a run failed: `exit 3`, `signal SIGKILL`, `exception ValueError: text`."""
    words = [outcome.reason or "failure"]
    if outcome.reason in ("exit", "usage") and outcome.exit_code is not None:
        words.append(str(outcome.exit_code))
    if outcome.signal:
        words.append(outcome.signal)
    if outcome.error:
        message = outcome.error.get("message")
        words.append(outcome.error.get("type", "") + (f": {message}" if message else ""))
    return " ".join(words)


def cut(text: str, size: int) -> str:
    """Cut a text to so many bytes, 200 at least, between characters."""
    data = text.encode()
    size = max(size, _LEAST_TEXT)
    return text if len(data) <= size else data[:size].decode("utf-8", "ignore")
