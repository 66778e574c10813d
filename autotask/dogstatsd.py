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

    from autotask.protocols import AnyRun, Tagged
    from autotask.run import End

_UDP_SIZE = 1432  # bytes of a datagram that fit an Ethernet frame
_BUFFER = 8192  # bytes that the Agent reads at once, by both ways in
_TAG_LENGTH = 200
_MOST_TAGS = 5000  # bytes of a process's tags: a line with more would not fit the Agent's buffer
_WAITING = 1000  # datagrams kept while a host name is being resolved
_PAUSE = 0.1  # seconds in which nothing is tried after a refusal: each try costs
_UNKNOWN = 10.0  # seconds after which a host name that was not known is looked up again
_TAG_MARKS = frozenset("_-:./")


def tag(key: str, value: str) -> str:
    """Write a tag as Datadog keeps it: lower case, odd characters as `_`, 200 characters."""
    text = f"{key}:{value}".lower()
    if not (text.isascii() and text.replace("_", "").replace(":", "").isalnum()):
        for letter in set(text):
            if not (letter.isalnum() or letter in _TAG_MARKS):
                text = text.replace(letter, "_")
    return text[:_TAG_LENGTH].rstrip(":")


class Wire:
    """The way to a Datadog Agent, for runs that have the same tags.

    *refused* is called, at once or later, with each run of which `started` or `finished` is known
    to be lost, and with which of the two it is.
    """

    def __init__(
        self,
        destination: tuple[str, str, int],
        tagged: Tagged,
        events: bool = True,
        refused: Callable[[AnyRun, str], object] | None = None,
    ) -> None:
        self._family, self._host, self._port = destination
        is_here = self._host in ("localhost", "::1") or self._host.startswith("127.")
        self._size = _BUFFER if is_here or self._family == "unix" else _UDP_SIZE
        self._events = events
        self._refused = refused
        self._lock = RLock()  # threads share the socket; a signal handler's task may come between
        self._only = 0  # the one thread that may still send
        self._address: Any = None  # what connect takes
        self._resolving = False
        self._waiting: list[tuple[bytes, tuple[AnyRun, str] | None]] = []
        self._paused = 0.0  # until then, time.monotonic()
        self.was_taken = False  # the last datagram, for certain
        self.has_refused = False  # any one
        # SOL_SOCKET, SO_ERROR where the kernel answers: over UDP on this machine.
        self._answers: tuple[int, int] | None = None
        self._socket: Any = None
        self._identity: tuple[int, int] | None = None
        # Task, framework, their tags: one value, for threads.
        self._last: tuple[str | None, str, str] = (None, "", "")
        tags = f",{tag('env', tagged.env)}" if tagged.env else ""
        if tagged.service:
            tags += f",{tag('service', tagged.service)}"
        if tagged.version:
            tags += f",{tag('version', tagged.version)}"
        if tagged.entity_id:
            tags += f",dd.internal.entity_id:{tagged.entity_id}"
        for key, value in tagged.tags.items():
            tags += f",{tag(key, value)}"
        if len(tags) * 4 > _MOST_TAGS and len(tags.encode()) > _MOST_TAGS:
            tags = tags.encode()[:_MOST_TAGS].decode("utf-8", "ignore").rpartition(",")[0]
        self._tags = tags  # of each line, after its own: with a comma before each

    def is_paused(self) -> bool:
        """Tell whether the Agent was away a moment ago, and nothing is to be sent."""
        return self._paused > 0.0 and time.monotonic() < self._paused

    def started(self, run: AnyRun) -> None:
        """Count a start."""
        self._send(self.start_lines(run), (run, "started"))

    def running(self, run: AnyRun, seconds: float) -> None:
        """Send for how long a run has been running."""
        tags = f"{self._task_tags(run.task, run.framework)},trigger:{run.trigger}{self._tags}"
        self._send([f"autotask.task.running_seconds:{seconds:.3f}|g|#{tags}"])

    def finished(self, run: AnyRun, end: End, host: str) -> None:
        """Send all lines of one end."""
        self._send(self.end_lines(run, end, host), (run, "finished"))

    def start_lines(self, run: AnyRun) -> list[str]:
        """Write the lines of one start: the count is the first."""
        of_task = self._task_tags(run.task, run.framework)
        lines = [f"autotask.task.started:1|c|#{of_task},trigger:{run.trigger}{self._tags}"]
        if run.queued is not None and run.queued.waited is not None:
            lines.append(f"autotask.task.waited:{run.queued.waited:.6f}|d|#{of_task}{self._tags}")
        return lines

    def end_lines(self, run: AnyRun, end: End, host: str) -> list[str]:
        """Write the lines of one end: the count is the first."""
        of_task, trigger = self._task_tags(run.task, run.framework), run.trigger
        outcome, duration = end.outcome, end.duration
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
            from autotask import messages

            if not run.bookkeeping:  # no success would clear it
                check = f"_sc|autotask.task.status|2|#{of_task},trigger:{trigger}{rest}|m:"
                lines.append(check + messages.check(end, self._size - len(check.encode()) - 1))
            if self._events:
                tags = f"{of_task},reason:{reason}{rest}"
                lines.append(messages.event(run.task, tags, end, host, self._size))
        return lines

    def _task_tags(self, task: str, framework: str) -> str:
        """Write the tags of a task, which mostly is the one that was written last."""
        last = self._last
        if last[0] != task or last[1] != framework:
            tags = f"{tag('task', task)},{tag('framework', framework)}"
            self._last = last = task, framework, tags
        return last[2]

    def _send(self, lines: list[str], about: tuple[AnyRun, str] | None = None) -> None:
        """Send lines in as few datagrams as hold them; if the first one is lost, all count so.

        Each line has an end: with `dogstatsd_eol_required` the Agent drops one that has none.
        """
        whole = ("\n".join(lines) + "\n").encode("utf-8", "replace")
        if len(whole) <= self._size:
            self._send_packet(whole, about)
            return
        packet = b""
        for line in lines:
            data = f"{line}\n".encode("utf-8", "replace")
            if packet and len(packet) + len(data) > self._size:
                self._send_packet(packet, about)
                packet, about = b"", None
            packet += data
        self._send_packet(packet, about)

    def _send_packet(self, packet: bytes, about: tuple[AnyRun, str] | None) -> None:
        if self._only:
            if self._only != get_ident() or self._send_alone(packet, about):
                return
        else:
            with self._lock:  # another thread may have set _only while this one waited for it
                if self._only or self._send_alone(packet, about):
                    return
        self._lose(about)

    def keep_to_this_thread(self) -> None:
        """Send nothing more for other threads, as the journal does at the interpreter's end."""
        with self._lock:
            self._only = get_ident()

    def _send_alone(self, packet: bytes, about: tuple[AnyRun, str] | None) -> bool:
        """Send a datagram, or keep it until there is an address; False if it is known to be lost.

        The caller holds the lock, or is the only thread.
        """
        if self._address is None and not self._find_address():
            if len(self._waiting) < _WAITING:
                self._waiting.append((packet, about))
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
            # An Agent that was restarted has made another socket file. Over UDP the kernel gives
            # the answer to an earlier datagram.
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
        """Tell whether the descriptor is the socket: the program may have closed and reused it."""
        try:
            status = os.fstat(self._socket.fileno())
        except raised_here(OSError):
            status = None
        if status is not None and (status.st_dev, status.st_ino) == self._identity:
            return True
        self._socket.detach()  # closing it would close a file of the program's
        self._socket = None
        return False

    def close(self) -> None:
        """Close the socket, and give up what waits for an address; a further line opens another."""
        with self._lock:
            self.close_alone()
        self.give_up()

    def close_alone(self) -> None:
        """Close the socket without the lock, which a forked child may have inherited locked."""
        if self._socket is not None and self._still_ours():
            self._socket.close()
        self._socket = None

    def give_up(self) -> None:
        """Count as lost what still waits for an address."""
        waiting, self._waiting = self._waiting, []
        for _, about in waiting:
            self._lose(about)

    def _lose(self, about: tuple[AnyRun, str] | None) -> None:
        """Note that a datagram is lost; without the lock, because noting it takes the journal's."""
        self.has_refused = True
        if about is not None and self._refused is not None:
            self._refused(*about)

    def _find_address(self) -> bool:
        """Find where to send; a thread resolves the name of a host, so that no task waits."""
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
        except RuntimeError:  # no more threads are allowed: as with a name that does not resolve
            pass

    @guarded
    def _resolve(self) -> None:
        _socket = standard("_socket")
        try:
            addresses = _socket.getaddrinfo(self._host, self._port, 0, _socket.SOCK_DGRAM)
        except (OSError, UnicodeError):
            with self._lock:
                self._resolving = False
                self._paused = time.monotonic() + _UNKNOWN
            self.give_up()
            return
        lost = []
        with self._lock:
            self._address = addresses[0][4][:2]
            while self._waiting:
                packet, about = self._waiting.pop(0)
                if not self._send_alone(packet, about):
                    lost.append(about)
        for about in lost:
            self._lose(about)
