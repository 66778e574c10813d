"""What a command writes: where it goes, and how the launcher gets hold of its end.

A pipe is replaced by one that another process reads and passes on (`output_pump`). A regular file
stays what it is: what was added to it is read afterwards. A terminal, a socket, a device and what
cannot be written are left alone. With `--quiet` everything goes through such pipes.

Loaded only for a command of which the output is wanted.
"""

from __future__ import annotations

import os
import time

from autotask.around import descriptors
from autotask.around.output_pump import (
    FAILED,
    HEADER,
    SUCCEEDED,
    Pump,
    Stream,
    has_answer,
    has_reader,
)
from autotask.guard import guarded, swallow
from autotask.journal import above_stdio
from autotask.stdlib import standard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from autotask.journal import Journal

CONTEXT = 1 << 14  # bytes before what is kept: a secret may begin there
_PATIENCE = 1.0  # seconds that the reader has if the command was killed
_STREAMS = (1, 2)
_KIND, _PIPE, _FILE, _DEVICE = 0o170000, 0o010000, 0o100000, 0o020000  # of a mode
_MODES, _READ_ONLY, _WRITE_ONLY = 3, os.O_RDONLY, os.O_WRONLY  # of a descriptor
_NULL = os.makedev(1, 3)


class Target:
    """What one or both of the streams lead to, before the command is started."""

    def __init__(self, number: int) -> None:
        fcntl = standard("fcntl")
        status = os.fstat(number)
        self.number = number
        self.kind = status.st_mode & _KIND
        self.identity = _identity(status)
        self.is_null = self.kind == _DEVICE and status.st_rdev == _NULL
        self.flags: int = fcntl.fcntl(number, fcntl.F_GETFL)
        self.is_inherited = not fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        self.size = status.st_size
        self.numbers = [number]  # of all descriptors that lead to it
        self.ours = -1  # the end of a pipe that the command gets instead

    @property
    def is_writable(self) -> bool:
        """Whether it can be written to: a command may get anything as its standard output."""
        return self.flags & _MODES != _READ_ONLY


class Added:
    """What is added to a regular file."""

    def __init__(self, target: Target) -> None:
        self._identity = target.identity
        is_appended = target.flags & os.O_APPEND
        self.begin = target.size if is_appended else os.lseek(target.number, 0, os.SEEK_CUR)
        # Its name: as an open file, it would keep its disk from being unmounted.
        self._path = os.readlink(f"/proc/self/fd/{target.number}")

    def end(self, size: int) -> bytes:
        """Return its end; b"" if the file was renamed, or may not be read."""
        try:
            found = os.open(self._path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return b""
        file = -1
        try:
            status = os.fstat(found)
            if _identity(status) != self._identity:
                return b""
            file = os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)
            begin = max(self.begin, status.st_size - size)
            return os.pread(file, max(0, status.st_size - begin), begin)
        except OSError:
            return b""
        finally:
            os.close(found)
            if file != -1:
                os.close(file)


class Output:
    """The output of one command."""

    def __init__(self, size: int, is_quiet: bool, only_errors: bool) -> None:
        self._size = size  # bytes of the end that are kept, 0 for none
        self._wanted = size + CONTEXT if size else 0  # of each stream
        self._is_quiet = is_quiet
        self._only_errors = only_errors
        self._files: dict[int, Added] = {}  # by the numbers of the streams
        self._piped: list[Target] = []
        self._request = self._answer = -1  # to the pump and from it

    @property
    def files(self) -> tuple[int, ...]:
        """The descriptors that the launcher needs until the end."""
        return tuple(file for file in (self._request, self._answer) if file != -1)

    def lead(self) -> None:
        """Find out where the streams lead, and start the process that passes them on.

        All signals have to be blocked. If the system has no more pipes or processes, the streams
        are left alone.
        """
        targets = _targets()
        if self._only_errors and not self._is_quiet:
            targets = [target for target in targets if 2 in target.numbers]
        piped = [target for target in targets if self._is_piped(target)]
        for target in targets:
            if target.kind == _FILE and self._wanted and not self._is_quiet:
                self._note_file(target)
        if piped:
            _find_others(piped)
            self._start(piped)

    def _note_file(self, target: Target) -> None:
        try:
            added = Added(target)
        except OSError:  # no /proc: its name is not known
            return
        if added.begin >= target.size:  # else what others have written follows
            self._files[target.number] = added

    def _is_piped(self, target: Target) -> bool:
        if self._is_quiet:
            return not target.is_null
        is_usual = target.kind == _PIPE and not target.flags & os.O_DIRECT
        return is_usual and has_reader(target.number)

    def _start(self, targets: list[Target]) -> None:
        opened: list[int] = []
        try:
            ends = [_pipe(opened) for _ in range(len(targets) + 2)]
            pid = os.fork()
        except OSError:
            _close(opened)
            return
        (request, self._request), (self._answer, answer), *pipes = ends
        sources = [source for source, _ in pipes]
        if pid == 0:
            self._pump(targets, sources, request, answer)
        for target, (_, ours) in zip(targets, pipes):
            target.ours = ours
            if target.kind == _PIPE and target.flags & os.O_NONBLOCK:
                os.set_blocking(ours, False)
        self._piped = targets
        _close([request, answer, *sources])

    def _pump(
        self, targets: list[Target], sources: list[int], request: int, answer: int
    ) -> NoReturn:
        """Be the process that passes on; see `output_pump`."""
        try:
            numbers = [target.number for target in targets]
            descriptors.let_go((request, answer, *sources, *numbers))
            os.setsid()
            os.chdir("/")
            streams = [Stream(*ends, self._wanted) for ends in zip(sources, numbers)]
            Pump(streams, self._is_quiet, request, answer).run()
        except BaseException as problem:
            swallow("output", problem)
        finally:
            os._exit(0)

    def enter(self) -> None:
        """In the command's process, before it begins: take the pipes as its streams."""
        for target in self._piped:
            for number in target.numbers:
                os.dup2(target.ours, number)
        self.leave()

    def leave(self) -> None:
        """Close what is the launcher's; without a command the pump ends then."""
        _close([*self.files, *(target.ours for target in self._piped)])

    @guarded
    def end(self, run: str, is_failed: bool, notes: Journal | None) -> str | None:
        """Say how the command has ended; if it has failed, return and keep the end of its output.

        It is kept in the home of the journal *notes*, under the run's id.
        """
        ends = self._ask(is_failed)
        if not is_failed:
            return None
        ends.update({number: added.end(self._wanted) for number, added in self._files.items()})
        if not any(ends.values()):
            return None
        from autotask.around import output_kept

        text = output_kept.text_of([ends[number] for number in sorted(ends)], self._size, CONTEXT)
        if text and notes:
            output_kept.keep(notes.home, run, text)
        return text or None

    def _ask(self, is_failed: bool) -> dict[int, bytes]:
        if not self._piped:
            return {}
        try:
            os.write(self._request, FAILED if is_failed else SUCCEEDED)
        except OSError:  # it was killed
            return {}
        return {target.number: self._told() for target in self._piped} if is_failed else {}

    def _told(self) -> bytes:
        return self._read(int.from_bytes(self._read(HEADER), "big"))

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = os.read(self._answer, size - len(data))
            if not more:
                break
            data += more
        return data

    @guarded
    def settle(self, was_killed: bool) -> None:
        """Wait until all that the command has written by its end was passed on.

        A command that was killed would not have waited for its reader: then not for long.
        """
        if self._request != -1:
            os.close(self._request)
            self._request = -1
        end = time.monotonic() + _PATIENCE
        while self._answer != -1:
            if was_killed and not has_answer(self._answer, max(0.0, end - time.monotonic())):
                return
            if not os.read(self._answer, 1 << 16):
                os.close(self._answer)
                self._answer = -1


@guarded
def lead(size: int, is_quiet: bool, only_errors: bool) -> Output:
    """Lead the streams of this process's next child to us; see `Output`."""
    output = Output(size, is_quiet, only_errors)
    output.lead()
    return output


def _targets() -> list[Target]:
    targets: list[Target] = []
    for number in _STREAMS:
        try:
            target = Target(number)
        except OSError:  # closed
            continue
        if not target.is_writable:
            continue
        same = [other for other in targets if other.identity == target.identity]
        if same:
            same[0].numbers.append(number)
        else:
            targets.append(target)
    return targets


def _find_others(targets: list[Target]) -> None:
    """Find what else of the command's leads to a pipe, as after `exec 3>&1`: its order counts."""
    by_identity = {target.identity: target for target in targets if target.kind == _PIPE}
    for number in descriptors.open_numbers() if by_identity else ():
        try:
            other = Target(number)
        except OSError:  # of the listing itself
            continue
        target = by_identity.get(other.identity)
        is_alike = other.is_inherited and other.flags & _MODES == _WRITE_ONLY
        if target is not None and number not in _STREAMS and is_alike:
            target.numbers.append(number)


def _identity(status: os.stat_result) -> tuple[int, int]:
    """Return what two descriptors of one pipe, file or terminal have in common."""
    if status.st_mode & _KIND == _DEVICE:
        return -1, status.st_rdev
    return status.st_dev, status.st_ino


def _pipe(opened: list[int]) -> tuple[int, int]:
    reading, writing = os.pipe()
    opened += [reading, writing]
    opened[-2:] = ends = [above_stdio(reading), above_stdio(writing)]
    return ends[0], ends[1]


def _close(files: list[int]) -> None:
    for file in files:
        try:
            os.close(file)
        except OSError:  # it could not be moved above the streams
            continue
