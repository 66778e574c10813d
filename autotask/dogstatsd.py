"""The wire: DogStatsD datagrams, never waited for.

Four kinds of line (https://docs.datadoghq.com/developers/dogstatsd/datagram_shell/), written here
because importing the `datadog` package costs ten bare interpreters and brings `requests` along.
"""

from __future__ import annotations

import os
from _thread import RLock, get_ident, start_new_thread

from autotask.guard import from_signal_handler, guarded
from autotask.journal import above_stdio
from autotask.standard import standard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from autotask.config import Settings
    from autotask.run import Outcome

_UDP_SIZE = 1432  # bytes of a datagram that fit an Ethernet frame
_UNIX_SIZE = 8192  # the Agent's buffer
_TAG_LENGTH = 200
_WAITING = 1000  # datagrams kept while a host name is being resolved
_TAG_MARKS = frozenset("_-:./")


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
        self._size = _UDP_SIZE if self._family == "udp" else _UNIX_SIZE
        self._events = settings.events
        self._lock = RLock()  # threads share the socket; a signal handler's task may come between
        self._only = 0  # the one thread that may still send
        self._address: Any = None  # what connect takes
        self._resolving = False
        self._waiting: list[bytes] = []
        self._socket: Any = None
        self._refused = False
        self._identity: tuple[int, int] | None = None
        # Task, framework, their tags: one value, for threads.
        self._last: tuple[str | None, str, str] = (None, "", "")
        self._tags = ",".join(
            [
                tag("env", settings.env or "unknown"),
                tag("service", settings.service or "unknown"),
                *([tag("version", settings.version)] if settings.version else []),
                *[tag(key, value) for key, value in settings.tags.items()],
                *([f"dd.internal.entity_id:{settings.entity_id}"] if settings.entity_id else []),
            ]
        )

    def started(self, task: str, framework: str, trigger: str) -> None:
        """Count a start."""
        tags = f"{self._task_tags(task, framework)},trigger:{trigger}"
        self._send([f"autotask.task.started:1|c|#{tags},{self._tags}"])

    def running(self, task: str, framework: str, trigger: str, seconds: float) -> None:
        """Say for how long a run has been running by now."""
        tags = f"{self._task_tags(task, framework)},trigger:{trigger},{self._tags}"
        self._send([f"autotask.task.running_seconds:{seconds:.3f}|g|#{tags}"])

    def finished(
        self,
        task: str,
        framework: str,
        trigger: str,
        outcome: Outcome,
        duration: float | None,
        host: str,
    ) -> None:
        """Send all lines of one ending."""
        of_task = self._task_tags(task, framework)
        status, reason = outcome.status, outcome.reason or "none"
        rest = self._tags
        tags = f"{of_task},status:{status},reason:{reason},trigger:{trigger},{rest}"
        lines = [f"autotask.task.runs:1|c|#{tags}"]
        if status != "skipped" and duration is not None:
            lines.append(
                f"autotask.task.duration:{duration:.6f}|d|#{of_task},status:{status},{rest}"
            )
        if status == "success":
            lines.append(f"_sc|autotask.task.status|0|#{of_task},trigger:{trigger},{rest}")
        elif status == "failure" and reason != "nested":
            from autotask import failures

            check = f"_sc|autotask.task.status|2|#{of_task},trigger:{trigger},{rest}|m:"
            said = failures.one_line(failures.summary(outcome))
            lines.append(check + failures.cut(said, max(self._size - len(check.encode()), 0)))
            if self._events:
                tags = f"{of_task},reason:{reason},{rest}"
                lines.append(failures.event(task, tags, outcome, duration, host, self._size))
        self._send(lines)

    def _task_tags(self, task: str, framework: str) -> str:
        """Write the tags of a task, which mostly is the one that was written last."""
        last = self._last
        if last[0] != task or last[1] != framework:
            tags = f"{tag('task', task)},{tag('framework', framework)}"
            self._last = last = task, framework, tags
        return last[2]

    def _send(self, lines: list[str]) -> None:
        """Send lines in as few datagrams as hold them."""
        whole = "\n".join(lines).encode("utf-8", "replace")
        if len(whole) <= self._size:
            self._send_packet(whole)
            return
        packet = b""
        for line in lines:
            data = line.encode("utf-8", "replace")
            if packet and len(packet) + 1 + len(data) > self._size:
                self._send_packet(packet)
                packet = b""
            packet = packet + b"\n" + data if packet else data
        self._send_packet(packet)

    def _send_packet(self, packet: bytes) -> None:
        if self._only:
            if self._only == get_ident():
                self._send_alone(packet)
            return
        with self._lock:
            if not self._only:  # by now
                self._send_alone(packet)

    def keep_to_this_thread(self) -> None:
        """Take no more from other threads, as the journal does at the interpreter's end."""
        with self._lock:
            self._only = get_ident()

    def _send_alone(self, packet: bytes) -> None:
        if self._address is None and not self._find_address():
            if len(self._waiting) < _WAITING:
                self._waiting.append(packet)
            return
        try:
            self._write(packet)
            self._refused = False
        except ConnectionRefusedError:
            # The answer to an earlier datagram: this one has not been tried yet. Once in a row,
            # for where nobody listens it would double the price of each.
            if not self._refused:
                self._retry(packet)
            self._refused = not self._refused
        except OSError as problem:
            if from_signal_handler(problem):  # a TimeoutError of the program's
                raise
            self.close_alone()

    def _retry(self, packet: bytes) -> None:
        if self._family == "unix":
            self.close_alone()  # an Agent that was restarted has made another socket file
        try:
            self._write(packet)
        except OSError as problem:
            if from_signal_handler(problem):
                raise

    def _write(self, packet: bytes) -> None:
        if self._socket is None or not self._still_ours():
            self._open()
        self._socket.send(packet)

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

    def _still_ours(self) -> bool:
        """Tell whether our descriptor is: a program that closes them all may have reused it."""
        try:
            status = os.fstat(self._socket.fileno())
        except OSError as problem:
            if from_signal_handler(problem):
                raise
            status = None
        if status is not None and (status.st_dev, status.st_ino) == self._identity:
            return True
        self._socket.detach()  # not ours to close any more
        self._socket = None
        return False

    def close(self) -> None:
        """Give the socket up; the next line opens another one."""
        with self._lock:
            self.close_alone()

    def close_alone(self) -> None:
        """Do the same in a forked child, where nobody else is and nobody gives the lock back."""
        if self._socket is not None and self._still_ours():
            self._socket.close()
        self._socket = None

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
            try:
                start_new_thread(self._resolve, ())
            except RuntimeError:  # no thread to be had: as with a name that nobody knows
                pass
        return self._address is not None

    @guarded
    def _resolve(self) -> None:
        _socket = standard("_socket")
        try:
            found = _socket.getaddrinfo(self._host, self._port, 0, _socket.SOCK_DGRAM)
        except (OSError, UnicodeError):
            return  # no datagram leaves this process; the journal has the runs
        with self._lock:
            self._address = found[0][4][:2]
            while self._waiting:
                self._send_alone(self._waiting.pop(0))
