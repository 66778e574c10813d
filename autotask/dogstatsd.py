"""The wire: DogStatsD datagrams, never waited for.

Four kinds of line (https://docs.datadoghq.com/developers/dogstatsd/datagram_shell/), written here
because importing the `datadog` package costs ten bare interpreters and brings `requests` along.
"""

from __future__ import annotations

import os
import time
from _thread import RLock, get_ident, start_new_thread

from autotask.guard import guarded, raised_here
from autotask.journal import above_stdio
from autotask.stdlib import standard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from autotask.run import Outcome
    from autotask.settings import Settings

_UDP_SIZE = 1432  # bytes of a datagram that fit an Ethernet frame
_BUFFER = 8192  # bytes that the Agent reads at once, by both ways in
_TAG_LENGTH = 200
_MOST_TAGS = 5000  # bytes of a process's tags: a line with more would not fit the Agent's buffer
_WAITING = 1000  # datagrams kept while a host name is being resolved
_PAUSE = 0.1  # seconds in which nothing is tried after a refusal: each try costs
_UNKNOWN = 10.0  # seconds after which a host name that was not known is looked up again
_TAG_MARKS = frozenset("_-:./")


def _ignore() -> None:
    """Take no note of a refusal."""


def tag(key: str, value: str) -> str:
    """Write a tag as Datadog keeps it: lower case, odd characters as `_`, 200 characters."""
    text = f"{key}:{value}".lower()
    if not (text.isascii() and text.replace("_", "").replace(":", "").isalnum()):
        text = "".join([c if c.isalnum() or c in _TAG_MARKS else "_" for c in text])
    return text[:_TAG_LENGTH].rstrip(":")


class Wire:
    """The way to the Datadog Agent that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self._family, self._host, self._port = settings.destination
        is_here = self._host in ("localhost", "::1") or self._host.startswith("127.")
        self._size = _BUFFER if is_here or self._family == "unix" else _UDP_SIZE
        self._events = settings.events
        self._lock = RLock()  # threads share the socket; a signal handler's task may come between
        self._only = 0  # the one thread that may still send
        self._address: Any = None  # what connect takes
        self._resolving = False
        self._waiting: list[tuple[bytes, Callable[[], object]]] = []
        self._paused = 0.0  # until then, time.monotonic()
        self.was_taken = False  # the last datagram, for certain
        self.has_refused = False  # any one
        # SOL_SOCKET, SO_ERROR where the kernel answers: over UDP on this machine.
        self._answers: tuple[int, int] | None = None
        self._socket: Any = None
        self._identity: tuple[int, int] | None = None
        # Task, framework, their tags: one value, for threads.
        self._last: tuple[str | None, str, str] = (None, "", "")
        said = {"env": settings.env, "service": settings.service, "version": settings.version}
        tags = "".join([f",{tag(key, value)}" for key, value in said.items() if value])
        if settings.entity_id:
            tags += f",dd.internal.entity_id:{settings.entity_id}"
        tags += "".join([f",{tag(key, value)}" for key, value in settings.tags.items()])
        if len(tags) * 4 > _MOST_TAGS and len(tags.encode()) > _MOST_TAGS:
            tags = tags.encode()[:_MOST_TAGS].decode("utf-8", "ignore").rpartition(",")[0]
        self._tags = tags  # of each line, after its own: with a comma before each

    def is_paused(self) -> bool:
        """Tell whether the Agent was away a moment ago, and nothing is to be sent."""
        return self._paused > 0.0 and time.monotonic() < self._paused

    def started(
        self, task: str, framework: str, trigger: str, refused: Callable[[], object] = _ignore
    ) -> None:
        """Count a start; *refused* is called, at once or later, where it is known to be lost."""
        self._send([self.start_line(task, framework, trigger)], refused)

    def running(self, task: str, framework: str, trigger: str, seconds: float) -> None:
        """Say for how long a run has been running by now."""
        tags = f"{self._task_tags(task, framework)},trigger:{trigger}{self._tags}"
        self._send([f"autotask.task.running_seconds:{seconds:.3f}|g|#{tags}"])

    def finished(
        self,
        task: str,
        framework: str,
        trigger: str,
        outcome: Outcome,
        duration: float | None,
        host: str,
        refused: Callable[[], object] = _ignore,
    ) -> None:
        """Send all lines of one ending; *refused* as in `started`."""
        self._send(self.end_lines(task, framework, trigger, outcome, duration, host), refused)

    def start_line(self, task: str, framework: str, trigger: str) -> str:
        """Write the line that counts a start."""
        tags = f"{self._task_tags(task, framework)},trigger:{trigger}"
        return f"autotask.task.started:1|c|#{tags}{self._tags}"

    def end_lines(
        self,
        task: str,
        framework: str,
        trigger: str,
        outcome: Outcome,
        duration: float | None,
        host: str,
    ) -> list[str]:
        """Write the lines of one ending: the count is the first."""
        of_task = self._task_tags(task, framework)
        status, reason = outcome.status, outcome.reason or "none"
        rest = self._tags
        tags = f"{of_task},status:{status},reason:{reason},trigger:{trigger}{rest}"
        lines = [f"autotask.task.runs:1|c|#{tags}"]
        if status != "skipped" and duration is not None:
            lines.append(
                f"autotask.task.duration:{duration:.6f}|d|#{of_task},status:{status}{rest}"
            )
        if status == "success":
            lines.append(f"_sc|autotask.task.status|0|#{of_task},trigger:{trigger}{rest}")
        elif status == "failure" and reason != "nested":
            from autotask import failures

            check = f"_sc|autotask.task.status|2|#{of_task},trigger:{trigger}{rest}|m:"
            said = failures.one_line(failures.summary(outcome))
            lines.append(check + failures.cut(said, self._size - len(check.encode()) - 1))
            if self._events:
                tags = f"{of_task},reason:{reason}{rest}"
                lines.append(failures.event(task, tags, outcome, duration, host, self._size))
        return lines

    def _task_tags(self, task: str, framework: str) -> str:
        """Write the tags of a task, which mostly is the one that was written last."""
        last = self._last
        if last[0] != task or last[1] != framework:
            tags = f"{tag('task', task)},{tag('framework', framework)}"
            self._last = last = task, framework, tags
        return last[2]

    def _send(self, lines: list[str], refused: Callable[[], object] = _ignore) -> None:
        """Send lines in as few datagrams as hold them; the first one stands for all.

        Each line has an end: with `dogstatsd_eol_required` the Agent drops one that has none.
        """
        whole = ("\n".join(lines) + "\n").encode("utf-8", "replace")
        if len(whole) <= self._size:
            self._send_packet(whole, refused)
            return
        packet = b""
        for line in lines:
            data = f"{line}\n".encode("utf-8", "replace")
            if packet and len(packet) + len(data) > self._size:
                self._send_packet(packet, refused)
                packet, refused = b"", _ignore
            packet += data
        self._send_packet(packet, refused)

    def _send_packet(self, packet: bytes, refused: Callable[[], object]) -> None:
        if self._only:
            if self._only != get_ident() or self._send_alone(packet, refused):
                return
        else:
            with self._lock:
                if self._only or self._send_alone(packet, refused):  # by now
                    return
        self._lose(refused)

    def keep_to_this_thread(self) -> None:
        """Take no more from other threads, as the journal does at the interpreter's end."""
        with self._lock:
            self._only = get_ident()

    def _send_alone(self, packet: bytes, refused: Callable[[], object]) -> bool:
        """Send a datagram, or let it wait for an address; False where it is known to be lost."""
        if self._address is None and not self._find_address():
            if len(self._waiting) < _WAITING:
                self._waiting.append((packet, refused))
                return True
            return False
        self.was_taken = False
        try:
            self._write(packet)
        except BlockingIOError:  # its buffer is full: the next one may find room
            return False
        except raised_here(OSError):
            self._paused = time.monotonic() + _PAUSE
            self.close_alone()
            return False
        self.was_taken = self._family == "unix" or self._answers is not None
        return True

    def _write(self, packet: bytes) -> None:
        kept = self._socket is not None and self._still_ours()
        if not kept:
            self._open()
        try:
            self._socket.send(packet)
        except ConnectionRefusedError:
            if not kept:
                raise
            # An Agent that was restarted has made another socket file; over UDP it is the answer
            # to an earlier datagram.
            self.close_alone()
            self._open()
            self._socket.send(packet)
        if self._answers and self._socket.getsockopt(*self._answers):
            raise ConnectionRefusedError("nobody listens")

    def _open(self) -> None:
        _socket = standard("_socket")
        if self._family == "unix":
            family = _socket.AF_UNIX
        else:
            family = _socket.AF_INET6 if ":" in str(self._address) else _socket.AF_INET
        made = _socket.socket(family, _socket.SOCK_DGRAM, 0)
        if made.fileno() <= 2:
            made = _socket.socket(family, _socket.SOCK_DGRAM, 0, above_stdio(made.detach()))
        made.setblocking(False)
        try:
            made.connect(self._address)
        except BaseException:
            made.close()
            raise
        status = os.fstat(made.fileno())
        self._identity = (status.st_dev, status.st_ino)
        self._socket = made
        if self._family == "udp" and self._address[0].startswith(("127.", "::1")):
            self._answers = _socket.SOL_SOCKET, _socket.SO_ERROR

    def _still_ours(self) -> bool:
        """Tell whether our descriptor is: a program that closes them all may have reused it."""
        try:
            status = os.fstat(self._socket.fileno())
        except raised_here(OSError):
            status = None
        if status is not None and (status.st_dev, status.st_ino) == self._identity:
            return True
        self._socket.detach()  # not ours to close any more
        self._socket = None
        return False

    def close(self) -> None:
        """Give the socket up, and what waits for an address; the next line opens another one."""
        with self._lock:
            self.close_alone()
        self.give_up()

    def close_alone(self) -> None:
        """Give the socket up where nobody else is: in a forked child nobody gives the lock back."""
        if self._socket is not None and self._still_ours():
            self._socket.close()
        self._socket = None

    def give_up(self) -> None:
        """Say of what still waits for an address that it will not be sent."""
        waiting, self._waiting = self._waiting, []
        for _, refused in waiting:
            self._lose(refused)

    def _lose(self, refused: Callable[[], object]) -> None:
        """Say of a datagram that it is lost; without our lock, for that wants the journal's."""
        self.has_refused = True
        refused()

    def _find_address(self) -> bool:
        """Find where to send; a name of a host is resolved beside the task, by a thread."""
        if self._family == "unix":
            self._address = self._host
        elif self._host == "localhost":
            self._address = ("127.0.0.1", self._port)
        elif self._host.replace(".", "").isdigit() or ":" in self._host:
            self._address = (self._host, self._port)
        elif not self._resolving:
            self._resolving = True
            self._look_up()
        return self._address is not None

    def _look_up(self) -> None:
        try:
            start_new_thread(self._resolve, ())
        except RuntimeError:  # no thread to be had: as with a name that nobody knows
            pass

    @guarded
    def _resolve(self) -> None:
        _socket = standard("_socket")
        try:
            found = _socket.getaddrinfo(self._host, self._port, 0, _socket.SOCK_DGRAM)
        except (OSError, UnicodeError):
            with self._lock:
                self._resolving = False
                self._paused = time.monotonic() + _UNKNOWN
            self.give_up()
            return
        lost = []
        with self._lock:
            self._address = found[0][4][:2]
            while self._waiting:
                packet, refused = self._waiting.pop(0)
                if not self._send_alone(packet, refused):
                    lost.append(refused)
        for refused in lost:
            self._lose(refused)
