"""A terminal with an interactive shell."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import time

from support import PATIENCE

# Prints each signal it gets; its name is split, so that an echo of the source does not match.
TALKER = """
    import os, signal, sys
    def tell(number, frame):
        os.write(1, b"got " + signal.Signals(number).name.encode() + b"\\n")
    for number in (signal.SIGINT, signal.SIGCONT, signal.SIGWINCH, signal.SIGHUP):
        signal.signal(number, tell)
    os.write(1, b"pid %d\\n" % os.getpid())
    for line in sys.stdin:
        os.write(1, b"read " + line.encode())
"""


class Terminal:
    """What a person types, and what the terminal shows."""

    def __init__(self) -> None:
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.environ.update(PS1="", PS2="", TERM="dumb")
            os.execvp("bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"])
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self.file, text.encode())

    def expect(self, text: str, timeout: float = PATIENCE) -> str:
        """Wait for a text; return what was shown before it, and continue after it."""
        end = time.monotonic() + timeout
        while text not in self.shown:
            assert time.monotonic() < end, f"no {text!r} in {self.shown!r}"
            if select.select([self.file], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    self.shown += os.read(self.file, 4096).decode(errors="replace")
        before, _, self.shown = self.shown.partition(text)
        return before

    def close(self) -> None:
        os.close(self.file)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
