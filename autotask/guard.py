"""Keep our errors from the program: each of its calls into our code goes through here.

KeyboardInterrupt, SystemExit and what a signal handler of the program raises while our code runs
belong to the program, and pass.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")
    E = TypeVar("E", bound=BaseException)


OURS = ("autotask", "autotask.frameworks", "autotask.around")
_ENVIRON = ("os", "collections.abc")  # modules of the functions of os.environ
_RAISED_BY_US = ("builtins", "socket", "re", "autotask")  # modules of exceptions


def guarded(function: Callable[P, T]) -> Callable[P, T | None]:
    """Wrap one of our functions: it returns None instead of raising an error."""

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
                pass  # memory or stack is exhausted: the problem cannot be examined either
            if theirs:
                raise
            return None

    guard.__name__ = function.__name__
    guard.__qualname__ = function.__qualname__
    guard.__doc__ = function.__doc__
    return guard


def swallow(where: str, problem: BaseException) -> None:
    """Log one of our errors that was caught."""
    try:
        debug(where, problem)
    except Exception:  # noqa: S110  the log is the last way to report it
        pass


def debug(text: str, swallowed: BaseException | None = None) -> None:
    """Write what the agent did to the debug log, if AUTOTASK_DEBUG asks for one.

    With an error that was *swallowed*, the text is the place where that happened.
    """
    from autotask.settings import Settings  # not earlier: few processes need it here

    settings = Settings(os.environ)
    if settings.debug is not None:
        from autotask import debuglog

        if swallowed is not None:
            text = debuglog.describe(swallowed, text, settings.messages)
        try:
            debuglog.write(settings.debug, text)
        except raised_here(OSError):  # the log is not worth an error
            pass


def raised_here(kind: type[E]) -> tuple[type[E], ...]:
    """Make an `except` clause catch *kind*, unless a signal handler has raised it.

    Use it around each of our system calls: `except raised_here(OSError):`. While the call waits, a
    signal handler of the program may raise a TimeoutError, which is an OSError. The program needs
    that exception, so we must not catch it. Python evaluates the expression only if an exception
    has been raised: without one, the clause costs nothing.
    """
    problem = sys.exc_info()[1]
    is_theirs = isinstance(problem, kind) and from_signal_handler(problem)
    return () if is_theirs else (kind,)


def from_signal_handler(problem: BaseException) -> bool:
    """Tell whether an exception came out of a signal handler, which Python runs in any frame.

    A handler's arguments hold the frame that it has interrupted; no other function that we call has
    its caller's frame. And an exception whose innermost frame is ours or that of os.environ, but
    whose class is neither built in nor ours, was put there by another thread
    (PyThreadState_SetAsyncExc).
    """
    step, ours = problem.__traceback__, False
    while step is not None:
        frame, step = step.tb_frame, step.tb_next
        interrupted = frame.f_back
        # None of our functions is a handler, and reading f_locals keeps the locals alive.
        names = frame.f_globals
        ours = names.get("__package__") in OURS or names.get("__name__") in _ENVIRON
        if interrupted is None or ours:
            continue
        for value in frame.f_locals.values():
            given = value if type(value) is tuple else (value,)
            if any(item is interrupted for item in given):
                return True
    return ours and type(problem).__module__ not in _RAISED_BY_US
