"""Run the lines of on_failure, in a process of its own beside everything else.

It takes its order from standard input and says nothing. Each line gets the record of the run that
failed on its standard input. Of what it writes only the last line is kept, for doctor.
"""

from __future__ import annotations

import os
import sys
import time

from autotask.around import failure_notes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from subprocess import Popen
    from threading import Thread
    from typing import Any

# The program: the package is in the folder that it gets, under whatever name (in a bundle).
START = """\
import sys
from importlib import util
spec = util.spec_from_file_location("autotask", sys.argv[1] + "/__init__.py")
sys.modules["autotask"] = package = util.module_from_spec(spec)
spec.loader.exec_module(package)
from autotask.around.failure_lines import main
main()
"""
LONGEST = 60.0  # seconds for all lines of one order
_AT_ONCE = 8
GRACE = 5.0  # seconds to end after SIGTERM
_TAIL = 4096  # bytes of what a line writes
_FLOOD = 1 << 24  # bytes after which it gets SIGPIPE
_LAST = 300  # characters of its last line


def main() -> None:
    """Run the lines of the order on standard input."""
    from json import loads
    from threading import Thread

    os.setsid()  # no terminal, and in no group that a signal to the command is meant for
    os.chdir("/")
    order = loads(sys.stdin.buffer.read())
    end = time.monotonic() + LONGEST
    calls = order["calls"][::-1]

    def work() -> None:
        while True:
            try:
                call = calls.pop()
            except IndexError:  # another thread has taken the last one
                return
            _run(order, call, end)

    threads = [Thread(target=work) for _ in calls[:_AT_ONCE]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(0)  # not waiting for what still has a line's output open


def _run(order: dict[str, Any], words: list[str], end: float) -> None:
    """Run one line until it ends, or for the time that is left until *end*."""
    home, (call, line, record) = order["home"], words
    if time.monotonic() > end:
        failure_notes.add(home, call, "not started", last="the lines before it took too long")
        return
    output = Output()
    try:
        process = _started(order, line, record, output)
    except OSError as problem:
        failure_notes.add(home, call, "not started", last=str(problem))
        return
    has_ended = _wait(process, max(end - time.monotonic(), 0.1))
    did = ("ended" if process.returncode == 0 else "failed") if has_ended else "hung"
    failure_notes.add(home, call, did, status=process.returncode, last=output.last_line())


def _started(order: dict[str, Any], line: str, record: str, output: Output) -> Popen[bytes]:
    from subprocess import Popen

    folder = order["folder"].encode("latin-1")
    file = os.memfd_create("autotask-record")
    try:
        os.write(file, record.encode())
        os.lseek(file, 0, os.SEEK_SET)
        return Popen(
            ["/bin/sh", "-c", line.encode("latin-1")],
            stdin=file,
            stdout=output.writing,
            stderr=output.writing,
            env={k.encode("latin-1"): v.encode("latin-1") for k, v in order["environ"]},
            cwd=folder if os.path.isdir(folder) else "/",
            start_new_session=True,
        )
    finally:
        os.close(file)
        output.begin()


def _wait(process: Popen[bytes], seconds: float) -> bool:
    """Wait for a line's shell to end, and end it and what it has started if it does not."""
    from signal import SIGKILL, SIGTERM
    from subprocess import TimeoutExpired

    try:
        process.wait(seconds)
        return True
    except TimeoutExpired:
        pass
    for number in SIGTERM, SIGKILL:
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE)
            os.killpg(process.pid, SIGKILL)  # what ignores SIGTERM in it
            break
        except (OSError, TimeoutExpired):
            continue
    return False


class Output:
    """Reads what a line writes, so that it is never held up, and keeps the end of it."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        self._end = b""
        self._thread: Thread | None = None

    def begin(self) -> None:
        """Read until all that have the other end have closed it, or until it is far too much."""
        from threading import Thread

        os.close(self.writing)
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        left = _FLOOD
        while left > 0 and (data := os.read(self._reading, 1 << 16)):
            self._end = (self._end + data)[-_TAIL:]
            left -= len(data)
        os.close(self._reading)

    def last_line(self) -> str:
        """Return the last line so far, without secrets of known shapes."""
        from autotask import masking

        if self._thread:
            self._thread.join(0.2)  # what a background process keeps open is not waited for
        text = self._end.decode("utf-8", "replace").strip()
        return masking.hide(text.rpartition("\n")[2])[-_LAST:]
