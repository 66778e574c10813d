"""The process that passes on what a command writes, and keeps the end of it in memory.

It is a fork of the launcher from before the command, with all signals blocked, in a session of its
own: what stops or kills the group of the command must not hold up or lose what that has written. It
lives until the last writer is gone, whether or not the launcher lives.
"""

from __future__ import annotations

import os
import sys

from autotask.stdlib import standard

TYPE_CHECKING = False
if TYPE_CHECKING:
    import select
    from collections.abc import Iterator
else:
    select = standard("select")

PASSED, HELD, DROPPED = "passed", "held", "dropped"  # what becomes of what is read
FAILED, SUCCEEDED = b"f", b"s"  # the launcher's one word, at the command's end
HEADER = 4  # bytes of the length before each tail in the answer
_KIND, _PIPE = 0o170000, 0o010000  # of a mode
_CHUNK = 1 << 16
_MOST_IN_PIPE = 1 << 20
_MOST_HELD = 1 << 28  # bytes: a command that never stops writing must not fill the disk
_ATOMIC = 4096  # PIPE_BUF: the most that the kernel writes in one piece among other writers
_GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL


class Stream:
    """What is read from one pipe of the command, and where it goes on to."""

    def __init__(self, source: int, target: int, wanted: int) -> None:
        self.source = source  # -1 once all writers are gone, or the reader
        self.target = target
        self.waiting = b""  # read, and not yet taken by the target
        self.tail = bytearray()
        self._wanted = wanted  # bytes of the end that are kept; up to twice as many are in memory
        self._may_block = True
        self._is_bulk = False  # it comes faster than we read, and not in whole lines
        self._is_pipe = os.fstat(target).st_mode & _KIND == _PIPE
        if self._is_pipe:
            self._open_without_waiting()

    def _open_without_waiting(self) -> None:
        """Replace the target by one that never blocks; the flag of the first is others' as well.

        A pipe that another user has made, as cron does, cannot be opened.
        """
        try:
            file = os.open(f"/proc/self/fd/{self.target}", os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return
        os.close(self.target)
        self.target, self._may_block = file, False

    def read(self, size: int = _CHUNK) -> bytes:
        """Read what has been written; b"" at the end, at which the source is closed."""
        data = os.read(self.source, size)
        if not data:
            os.close(self.source)
            self.source = -1
        elif self._wanted:
            self.tail += data[-self._wanted :]
            if len(self.tail) > 2 * self._wanted:
                del self.tail[: -self._wanted]
        self._is_bulk = len(data) == _CHUNK and not data.endswith(b"\n")
        return data

    def rush(self) -> bool:
        """Have the kernel pass on what is not of the end, without a copy; False if it has not."""
        if not (self._is_bulk and self._is_pipe and hasattr(os, "splice")):  # since Python 3.10
            return False
        size = _size_in(self.source) - self._wanted
        try:
            no_wait = os.SPLICE_F_NONBLOCK
            return size > 0 and os.splice(self.source, self.target, size, flags=no_wait) > 0
        except OSError:  # the target is full, or has no reader
            return False

    def kept(self) -> bytes:
        """Return the end of what was read."""
        return bytes(self.tail[-self._wanted :]) if self._wanted else b""

    def pass_on(self) -> None:
        """Write what waits, as far as the target takes it."""
        data, begin = self.waiting, 0
        # Into the middle of a line no other writer of the target may get. What does not end in a
        # whole line is no text, or the command writes its blocks without regard to lines.
        in_pieces = self._may_block or data.endswith(b"\n")
        while begin < len(data):
            end = _piece_end(data, begin) if in_pieces else len(data)
            try:
                if self._may_block and not _is_ready(self.target, select.POLLOUT):
                    break
                begin += os.write(self.target, data[begin:end])
            except BlockingIOError:
                break
            except OSError:
                self.close()
                return
        self.waiting = data[begin:]

    def pass_on_all(self, data: bytes) -> None:
        """Write some data, however long that takes."""
        self.waiting += data
        while self.waiting and self.target != -1:
            _is_ready(self.target, select.POLLOUT, None)
            self.pass_on()
        self.waiting = b""

    def close(self) -> None:
        """Close both ends: the reader is gone, or has everything. A writer gets SIGPIPE."""
        for file in (self.source, self.target):
            if file != -1:
                os.close(file)
        self.source = self.target = -1
        self.waiting = b""


class Pump:
    """Passes on what comes through some streams, and answers the launcher once."""

    def __init__(self, streams: list[Stream], is_quiet: bool, request: int, answer: int) -> None:
        self._streams = streams
        self._fate = HELD if is_quiet else PASSED
        self._held = Held()
        self._request = request  # -1 once it was read
        self._answer = answer  # -1 once all that had been written by the command's end is passed on

    def run(self) -> None:
        """Work until nothing can come any more."""
        while self._request != -1 or any(s.source != -1 or s.waiting for s in self._streams):
            self._turn()
            for stream in self._streams:
                if stream.source == -1 and not stream.waiting and self._fate != HELD:
                    stream.close()
            if self._request == -1 and self._answer != -1:
                self._tell_if_done()

    def _tell_if_done(self) -> None:
        if not any(stream.waiting for stream in self._streams):
            os.close(self._answer)
            self._answer = -1

    def _turn(self) -> None:
        happened = dict(self._poller().poll())
        for stream in self._streams:
            at_target = happened.get(stream.target, 0)
            if stream.waiting and at_target:
                stream.pass_on()
            elif at_target & _GONE:
                stream.close()
            elif stream.source in happened and not (self._fate == PASSED and stream.rush()):
                self._take(stream, stream.read())
        if self._request in happened:
            self._hear()

    def _poller(self) -> select.poll:
        """Return what waits for the next thing that can be done."""
        poller = select.poll()
        if self._request != -1:
            poller.register(self._request, select.POLLIN)
        for stream in self._streams:
            if stream.waiting:
                poller.register(stream.target, select.POLLOUT)
            elif stream.source != -1:
                poller.register(stream.source, select.POLLIN)
                if self._fate == PASSED:
                    poller.register(stream.target, 0)  # tells when the reader is gone
        return poller

    def _take(self, stream: Stream, data: bytes) -> None:
        if self._fate == HELD and data and not self._held.put(self._streams.index(stream), data):
            self._release()
        if self._fate == PASSED:
            stream.waiting += data
            stream.pass_on()

    def _hear(self) -> None:
        """Read the launcher's word; without one it is gone, and everything is passed on."""
        word = os.read(self._request, 1)
        os.close(self._request)
        self._request = -1
        for stream in self._streams:
            if stream.source != -1 and _is_ready(stream.source, select.POLLIN):
                self._take(stream, stream.read(_MOST_IN_PIPE))
        if word == FAILED:
            self._tell_tails()
        if self._fate == HELD and word == SUCCEEDED:
            self._fate = DROPPED
        elif self._fate == HELD:
            self._release()

    def _tell_tails(self) -> None:
        tails = [stream.kept() for stream in self._streams]
        data = b"".join([len(tail).to_bytes(HEADER, "big") + tail for tail in tails])
        try:
            while data:
                data = data[os.write(self._answer, data) :]
        except OSError:  # the launcher is gone
            return

    def _release(self) -> None:
        """Pass on what was held, in its order, and from now on everything at once."""
        self._fate = PASSED
        for number, data in self._held.parts():
            self._streams[number].pass_on_all(data)


class Held:
    """What is not passed on yet: in a file without a name, in the order in which it came."""

    def __init__(self) -> None:
        self._file = -1
        self._size = 0  # bytes that were written whole

    def put(self, number: int, data: bytes) -> bool:
        """Add what came through a stream; False if no file takes it."""
        part = bytes([number]) + len(data).to_bytes(HEADER, "big") + data
        if self._size + len(part) > _MOST_HELD:
            return False
        try:
            if self._file == -1:
                self._file = _nameless_file()
            written = 0
            while written < len(part):
                written += os.write(self._file, part[written:])
        except OSError:  # the disk is full, or there is a limit
            return False
        self._size += len(part)
        return True

    def parts(self) -> Iterator[tuple[int, bytes]]:
        """Yield what was added, and forget it."""
        if self._file == -1:
            return
        file, self._file = self._file, -1
        os.lseek(file, 0, os.SEEK_SET)
        while self._size > 0:
            head = os.read(file, 1 + HEADER)
            data = os.read(file, int.from_bytes(head[1:], "big"))
            self._size -= len(head) + len(data)
            yield head[0], data
        os.close(file)


def _nameless_file() -> int:
    for folder in (os.environ.get("TMPDIR"), "/tmp", "/var/tmp"):  # noqa: S108  no one else finds it
        name = os.path.join(folder or "", f".autotask-{os.urandom(8).hex()}")
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(name, flags, 0o600)
        except OSError:
            continue
        os.unlink(name)
        return file
    raise FileNotFoundError("no folder for a temporary file")


def _piece_end(data: bytes, begin: int) -> int:
    """Return the end of the whole lines that can be written in one piece."""
    if len(data) - begin <= _ATOMIC:
        return len(data)
    return data.rfind(b"\n", begin, begin + _ATOMIC) + 1 or begin + _ATOMIC


def _size_in(pipe: int) -> int:
    """Return how many bytes are in a pipe."""
    size = standard("fcntl").ioctl(pipe, standard("termios").FIONREAD, bytes(4))
    return int.from_bytes(size, sys.byteorder)


def _is_ready(file: int, event: int, patience: int | None = 0) -> bool:
    """Tell whether a file can be read or written without waiting, or wait for it."""
    poller = select.poll()
    poller.register(file, event)
    return bool(poller.poll(patience))


def has_answer(file: int, patience: float) -> bool:
    """Wait so many seconds at most until something can be read from a file, if only its end."""
    return _is_ready(file, select.POLLIN, int(patience * 1000))


def has_reader(pipe: int) -> bool:
    """Tell whether a pipe that we may write to has a reader."""
    return not _is_ready(pipe, 0)
