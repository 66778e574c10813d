"""Ctrl-C ends a command at once and in silence, by the signal, as it ends one written in C.

Python's own way, an exception, shows a traceback while modules are imported, waits for SQLite and
any other C code, and is printed and dropped inside a destructor.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from types import FrameType
    from typing import Optional, Union

    Handler = Union[int, Callable[[int, Optional[FrameType]], None]]
else:
    import _signal  # what is in C of it: the rest would be 5 ms in which Ctrl-C is a traceback

SIGINT, SIG_DFL = _signal.SIGINT, _signal.SIG_DFL
_STATUS = 128 + SIGINT  # as a shell names an end by this signal


def end_at_once() -> None:
    """Let Ctrl-C end this process, unless the parent process has it ignored."""
    if _signal.getsignal(SIGINT) is _signal.default_int_handler:
        _signal.signal(SIGINT, _usual())


def end() -> int:
    """End this process as Ctrl-C does; return the exit status to use if it does not end."""
    _signal.signal(SIGINT, _usual())
    os.kill(os.getpid(), SIGINT)
    return _STATUS


def _usual() -> "Handler":
    # Process 1 of a container gets no signal that has no handler: pid_namespaces(7).
    return _exit if os.getpid() == 1 else SIG_DFL


def _exit(*_: object) -> None:
    os._exit(_STATUS)


class Raised:
    """Make Ctrl-C an exception in a block that has something to put in order before the end."""

    def __enter__(self) -> None:
        self._before = _signal.getsignal(SIGINT)
        if self._before in (SIG_DFL, _exit):
            _signal.signal(SIGINT, _signal.default_int_handler)

    def __exit__(self, *_: object) -> None:
        _signal.signal(SIGINT, self._before)
