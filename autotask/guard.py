"""Our errors stay ours: the one door between the application's code and ours.

KeyboardInterrupt, SystemExit and what a signal handler of the application's raises while we
happen to be running belong to the application and pass.
"""

from __future__ import annotations

import os

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
_FLAGS |= getattr(os, "O_NONBLOCK", 0)  # nobody may read the FIFO that is our log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")


_OURS = ("autotask", "autotask.frameworks")
_RAISED_BY_US = ("builtins", "socket", "re", "autotask")  # modules of exceptions


def guarded(function: Callable[P, T]) -> Callable[P, T | None]:
    """Make a function that never raises an error of its own; it returns None instead."""

    def guard(*args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return function(*args, **kwargs)
        except Exception as problem:
            theirs = False
            try:
                theirs = from_signal_handler(problem)
                if not theirs:
                    swallow(function.__qualname__, problem)
            except (MemoryError, RecursionError):
                pass  # as little room to look at it as there was for what we wanted
            if theirs:
                raise
            return None

    guard.__name__ = function.__name__
    guard.__qualname__ = function.__qualname__
    guard.__doc__ = function.__doc__
    return guard


def swallow(where: str, problem: BaseException) -> None:
    """Note an error of ours that went no further."""
    try:
        debug(f"swallowed {type(problem).__name__}: {problem} in {where}{_trail(problem)}")
    except Exception:  # noqa: S110  the last resort: nothing is left that could be told
        pass


def debug(text: str) -> None:
    """Write what the agent did, where AUTOTASK_DEBUG asks for it and where that can be written."""
    from autotask.config import Settings  # here, for this is rare: it costs a start nothing

    wanted = Settings(os.environ).debug
    if wanted is None:
        return
    line = f"autotask: {text}\n".encode("utf-8", "backslashreplace")
    try:
        if wanted == "1":
            os.write(2, line)
            return
        file = os.open(wanted, _FLAGS, 0o600)
        try:
            os.write(file, line)
        finally:
            os.close(file)
    except OSError as problem:
        if from_signal_handler(problem):
            raise


def _trail(problem: BaseException) -> str:
    """Write the files and lines that a problem passed, innermost last."""
    places = []
    step = problem.__traceback__
    while step is not None:
        name = os.path.basename(step.tb_frame.f_code.co_filename)
        places.append(f"{name}:{step.tb_lineno}")
        step = step.tb_next
    return " (" + " ".join(places) + ")"


def from_signal_handler(problem: BaseException) -> bool:
    """Tell whether an exception came out of a signal handler, which Python runs in any frame.

    A handler is given the frame that it has interrupted, which else nobody below us is. And none of
    our own frames raises what is neither built in nor ours: another thread has put that into it.
    """
    step, ours = problem.__traceback__, False
    while step is not None:
        frame, step = step.tb_frame, step.tb_next
        interrupted = frame.f_back
        # None of ours is a handler, and to look into a frame makes all around it live on.
        ours = frame.f_globals.get("__package__") in _OURS
        if interrupted is None or ours:
            continue
        for value in frame.f_locals.values():
            given = value if type(value) is tuple else (value,)
            if any(item is interrupted for item in given):
                return True
    return ours and type(problem).__module__ not in _RAISED_BY_US
