"""The whole window of a terminal: drawn again and again, and left as it was before.

Signals are noticed only while it waits: nothing else is then interrupted.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autotask.tool import output

if TYPE_CHECKING:
    from rich.text import Text

# xterm's sequences, which all terminals of today know.
_ENTER = "\033[?1049h\033[?25l"  # another page than that of the shell, without a cursor
_LEAVE = "\033[?25h\033[?1049l"
_TOP, _ERASE_LINE, _ERASE_BELOW = "\033[H", "\033[2K", "\033[J"
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGTSTP", "SIGWINCH")  # not all are in Windows
_NO_CURSOR = (None, "", "dumb", "unknown")  # values of TERM


def is_possible() -> bool:
    """Tell whether standard output is a terminal whose cursor can be moved."""
    is_there = output.for_terminal() and hasattr(signal, "SIGWINCH")
    return is_there and os.environ.get("TERM") not in _NO_CURSOR


class Screen:
    """Use the window in a block; keys come one by one and are not shown."""

    def __enter__(self) -> Screen:
        for name in ("COLUMNS", "LINES"):  # as the window was: now it may change
            os.environ.pop(name, None)
        self._keys = sys.stdin.fileno() if sys.stdin and sys.stdin.isatty() else None
        self._before: list[Any] = []  # the terminal's modes
        self._woken, self._waking = os.pipe()  # a signal writes its number into it
        os.set_blocking(self._waking, False)
        self._wakeup = signal.set_wakeup_fd(self._waking)
        self._handlers = {
            number: signal.signal(number, lambda *_: None)
            for number in [getattr(signal, name) for name in _NAMES]
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        self._enter()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # the terminal is gone
            self._leave()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._woken)
        os.close(self._waking)

    def _enter(self) -> None:
        import termios
        import tty

        if self._keys is not None:
            self._before = termios.tcgetattr(self._keys)
            tty.setcbreak(self._keys, termios.TCSANOW)  # what was typed before counts, too
        _write(_ENTER)

    def _leave(self) -> None:
        import termios

        if self._keys is not None:
            termios.tcsetattr(self._keys, termios.TCSANOW, self._before)
        _write(_LEAVE)

    def draw(self, lines: Sequence[Text]) -> None:
        """Show lines from the top on; those that are longer than the window is wide are cut."""
        shown = (_ERASE_LINE + line for line in output.in_colour(lines))
        _write(_TOP + "\n".join(shown) + _ERASE_BELOW)

    def wait(self, seconds: float) -> str:
        """Wait for a key, and return it; nothing if none comes in that time, or the window changes.

        Raises:
            KeyboardInterrupt: Ctrl-C was typed.
            SystemExit: Another signal was to end this process, and did not.
        """
        waited_for = [self._woken, *([] if self._keys is None else [self._keys])]
        ready, _, _ = select.select(waited_for, [], [], seconds)
        if self._woken in ready:
            for number in os.read(self._woken, 1024):
                self._obey(number)
        if self._keys in ready:
            # Without a byte the terminal is gone.
            return os.read(self._keys, 1024).decode("ascii", "replace") or "q"
        return ""

    def _obey(self, number: int) -> None:
        if number == signal.SIGTSTP:
            self._leave()
            os.kill(os.getpid(), signal.SIGSTOP)
            self._enter()
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        elif number in (signal.SIGTERM, signal.SIGHUP):
            with contextlib.suppress(OSError):
                self._leave()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            raise SystemExit(128 + number)  # process 1 of a container survives


def _write(text: str) -> None:
    """Write to the terminal at once."""
    data = text.encode(sys.stdout.encoding or "ascii", "backslashreplace")
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]
