"""Let Ctrl-C kill a command at once and silently, as it kills one that is written in C.

Python's way, an exception, shows a traceback while modules are imported, waits for SQLite and other
C code, and is printed and ignored inside a destructor.
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
    import _signal  # the C part of `signal`; the rest takes 5 ms, in which Ctrl-C shows a traceback

SIGINT, SIG_DFL = _signal.SIGINT, _signal.SIG_DFL
_STATUS = 128 + SIGINT  # as a shell reports a death by this signal


def end_at_once() -> None:
    """Let Ctrl-C kill this process, unless it was started with SIGINT ignored."""
    if _signal.getsignal(SIGINT) is _signal.default_int_handler:
        _signal.signal(SIGINT, _handler())


def end() -> int:
    """Kill this process as Ctrl-C does; return the exit status to use if it survives."""
    _signal.signal(SIGINT, _handler())
    os.kill(os.getpid(), SIGINT)
    return _STATUS


def _handler() -> "Handler":
    # Process 1 of a container receives only signals that it handles: pid_namespaces(7).
    return _exit if os.getpid() == 1 else SIG_DFL


def _exit(*_: object) -> None:
    os._exit(_STATUS)


class Raised:
    """Make Ctrl-C an exception in a block that has to clean up before the process ends."""

    def __enter__(self) -> None:
        self._before = _signal.getsignal(SIGINT)
        # If the process was started with SIGINT ignored, it stays ignored.
        if self._before in (SIG_DFL, _exit):
            _signal.signal(SIGINT, _signal.default_int_handler)

    def __exit__(self, *_: object) -> None:
        _signal.signal(SIGINT, self._before)
