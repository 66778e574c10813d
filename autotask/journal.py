"""The journal: append one line, which is there whatever kills the process afterwards.

A segment is the file of one UTC hour. A line is one write(2) with O_APPEND: no lock, no fsync,
safe with a thousand writers.
"""

from __future__ import annotations

import os
import time
from _thread import RLock, get_ident

from autotask.guard import debug, raised_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from autotask.protocols import AnyRun, Tagged
    from autotask.run import End, Outcome, Run


_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NO_LINK
HOME = getattr(os, "O_PATH", os.O_RDONLY) | _FOLDER  # opens a folder that is not readable, too
_RETRY = 60.0  # seconds before another search for a home, if this one fails as before
_FLAGS = os.O_WRONLY | os.O_APPEND | _NO_LINK
_FLAGS |= getattr(os, "O_NONBLOCK", 0)  # else a FIFO of that name would block us until it is read
NEW = _FLAGS | os.O_CREAT | os.O_EXCL
_KIND, _FILE = 0o170000, 0o100000  # of a mode; the module `stat` has these
OWED = "-owed"  # at the end of the name of a mark
_KEPT = 1 << 18  # bytes of lines kept that the disk did not take: about a thousand
_UNSENT = ',"unsent":true'
_ESCAPED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def always() -> bool:
    """Write a line without a claim to it: nothing else could write the same."""
    return True


class Journal:
    """The segments of one home, open for appending."""

    def __init__(self, home: str) -> None:
        self.home = home  # becomes another one if this one cannot be written
        self.folder = os.path.join(home, "journal")
        self.mark: str | None = None  # the path of our process's mark, see `autotask.marks`
        self._mode = 0o600
        # Guards against another thread closing the file between the check and the write. A task in
        # a signal handler may come between, too: its thread has the lock already.
        self._lock = RLock()
        self._only = 0  # the one thread that may still write
        self._file = -1
        self._hour = (0.0, 0.0)  # of our file: POSIX seconds of its begin and end
        self._identity: tuple[int, int] | None = None  # of the file that our descriptor must have
        self._owed = b""  # what the disk did not take, for the next write
        self._late: list[bytes] = []  # lines that were to be left to another call
        self._dropped = False  # the disk has refused more than is kept
        self._is_refused = False  # the last write was
        self._hopeless: tuple[int | None, float] = (0, 0.0)  # see _opened_folder

    def append(
        self,
        line: str,
        claim: Callable[[], object] = always,
        keep: bool = True,
        later: bool = False,
    ) -> bool | None:
        """Write one line (ASCII, without its end); False if the disk does not take it.

        With *keep* the line is then kept, and written with the next one. None if this thread may no
        longer write, or if *claim* returns a false value: that is called immediately before, when
        no other thread can come between.

        *later* leaves the line to the call that a signal handler has interrupted, or to the next
        one, and waits neither for the lock nor for the disk.
        """
        if later:
            if not claim():
                return None
            self._late.append((line + "\n").encode("ascii"))
            return False
        if self._only:
            return self._append(line, claim, keep) if self._only == get_ident() else None
        with self._lock:
            return None if self._only else self._append(line, claim, keep)

    def keep_to_this_thread(self) -> None:
        """Take no more lines from other threads: the interpreter's end may stop them anywhere.

        A thread that has the lock then never releases it, so that this one goes on without it.
        """
        with self._lock:
            self._only = get_ident()

    def tell_unsent(self, run: AnyRun, of: str) -> None:
        """Journal that the Agent has not taken what was sent of a run: `started` or `finished`."""
        self.append(delivery_line("unsent", run.id, run.root, of))

    def settle(self) -> bool:
        """Write what is kept; tell whether nothing is owed. The caller is the only writer."""
        while self._late:  # one by one: a signal handler may add another one meanwhile
            self._owed += self._late.pop(0)
        if self._owed and self._is_ready():
            data, self._owed = self._owed, b""
            written = 0
            try:
                written = self._write(data)
            finally:
                self._owed = _rest(data, written, len(data)) + self._owed
        return self._owed in (b"", b"\n") and not self._dropped

    def _append(self, line: str, claim: Callable[[], object], keep: bool) -> bool | None:
        data = (line + "\n").encode("ascii")
        ready = self._is_ready()
        if not claim():
            return None
        # A task in a signal handler may write before this call does: it must not write these, too.
        owed, self._owed = self._owed, b""
        data = owed + data
        try:
            written = self._write(data) if ready else 0
        except BaseException:  # of a signal handler of the program
            self._owed = owed + self._owed
            raise
        if written == len(data):
            if self._late:
                self.settle()
            if owed or self._owed:
                self._rename_mark()
            return True
        if keep and len(data) > _KEPT:
            keep, self._dropped = False, True
        self._owed = _rest(data, written, len(data) if keep else len(owed)) + self._owed
        self._rename_mark()
        return written == len(data) - 1

    def _rename_mark(self) -> None:
        """Show in our mark's name whether lines are missing, for when this process is killed."""
        mark = self.mark
        owes = self._dropped or self._owed not in (b"", b"\n")
        if mark is None or owes == mark.endswith(OWED):
            return
        self.mark = mark + OWED if owes else mark[: -len(OWED)]
        try:
            os.rename(mark, self.mark)
        except raised_here(OSError):
            self.mark = mark

    def _is_ready(self) -> bool:
        """Tell whether the segment of this hour is open, or could be opened."""
        try:
            begin, end = self._hour
            if not (self._names() and begin <= time.time() < end):
                self._open_segment()
        except raised_here(OSError) as problem:
            self._refuse(problem)
            return False
        return True

    def _write(self, data: bytes) -> int:
        """Write as much as the disk takes; return how many bytes."""
        try:
            written = os.write(self._file, data)
        except raised_here(OSError) as problem:
            self._refuse(problem)
            return 0
        self._is_refused = False
        return written

    def _refuse(self, problem: OSError) -> None:
        if not self._is_refused:  # log it once
            debug(f"the journal does not take a line: {problem}")
        self._is_refused = True

    def position(self) -> tuple[str, int]:
        """Return the segment and the offset at which the next line will be."""
        size = os.fstat(self._file).st_size if self._is_ready() else 0
        return segment(time.time()), size

    def is_open(self) -> bool:
        """Tell whether the segment is open, so that lines can be written."""
        return self._identity is not None

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._names() is not None:
            os.close(self._file)
        self._identity = None

    def _open_segment(self) -> None:
        self.close()
        now = time.time()
        folder = self._opened_folder()
        try:
            file = above_stdio(_opened(segment(now), folder, self._mode))
        finally:
            os.close(folder)
        try:
            status = os.fstat(file)
            if status.st_mode & _KIND != _FILE or status.st_uid != os.geteuid():
                raise FileExistsError("not this user's regular file, but named like a segment")
        except BaseException:
            os.close(file)
            raise
        self._file, self._identity = file, (status.st_dev, status.st_ino)
        self._hour = now // 3600 * 3600, now // 3600 * 3600 + 3600

    def _names(self) -> int | None:
        """Return how many names our file has; 0 if it was removed.

        None if the descriptor is another file's: a program that closes them all may have reused it.
        """
        if self._identity is None:
            return None
        try:
            status = os.fstat(self._file)
        except raised_here(OSError):
            return None
        return status.st_nlink if (status.st_dev, status.st_ino) == self._identity else None

    def _opened_folder(self) -> int:
        """Open the journal's folder; if that is not possible, find out where to write instead."""
        try:
            return open_folder(self.home, "journal")
        except raised_here(OSError) as problem:
            number, until = self._hopeless
            if problem.errno == number and time.monotonic() < until:
                raise  # another search would take a hundred system calls
            self._hopeless = problem.errno, time.monotonic() + _RETRY
        from autotask import homes

        # After the first line no other home will do: its reader looks for the end beside it.
        self.home, self._mode = homes.settle(self.home, stay=self._hour[1] > 0)
        self._hopeless = (0, 0.0)
        self.folder = os.path.join(self.home, "journal")
        return open_folder(self.home, "journal")


def open_folder(home: str, name: str = ".") -> int:
    """Open a home or a folder in it, which must be this user's own.

    The home may be a link of this user's or root's. A folder in it may not: it could be replaced.
    """
    try:
        above = os.open(home, HOME)
    except FileNotFoundError:
        raise
    except raised_here(OSError):
        from autotask.homes import followed

        above = os.open(followed(home), HOME)
    try:
        folder = os.open(name, _FOLDER, dir_fd=above)
    finally:
        os.close(above)
    if os.fstat(folder).st_uid != os.geteuid():
        os.close(folder)
        raise PermissionError(f"{home}/{name} belongs to another user")
    return folder


def _opened(name: str, folder: int, mode: int) -> int:
    """Open a segment to append, or make it; refuse a link."""
    while True:
        try:
            return os.open(name, _FLAGS, dir_fd=folder)
        except FileNotFoundError:
            pass
        try:
            file = os.open(name, NEW, mode, dir_fd=folder)
        except FileExistsError:  # another process was faster
            continue
        try:
            os.fchmod(file, mode)  # an odd umask may have kept that from us
        except raised_here(OSError):
            pass
        except BaseException:
            os.close(file)
            raise
        return file


def _rest(data: bytes, written: int, end: int) -> bytes:
    """Return the lines up to *end* that were not written whole, after an end for what was cut."""
    begin = data.rfind(b"\n", 0, written) + 1
    if begin == written:
        return data[begin:end]
    if data[written : written + 1] == b"\n":  # the line was written, and only its end was not
        begin = written + 1
    return b"\n" + data[begin:end]


def above_stdio(file: int) -> int:
    """Move a descriptor off 0, 1 and 2: if they are closed, they are still the program's."""
    if file > 2:
        return file
    low = [file]
    try:
        while low[-1] <= 2:
            low.append(os.dup(low[-1]))
        return low.pop()
    finally:
        for taken in low:
            os.close(taken)


def segment(timestamp: float) -> str:
    """Name the segment of a POSIX time: `2026-11-25T03.jsonl`."""
    return time.strftime("%Y-%m-%dT%H.jsonl", time.gmtime(timestamp))


_last_second = (-1, "")  # and its text: most moments fall into the same second as the last one


def moment(timestamp: float) -> str:
    """Write a POSIX time in RFC 3339, UTC, with microseconds."""
    global _last_second
    seconds, micros = divmod(int(timestamp * 1_000_000 + 0.5), 1_000_000)
    last, text = _last_second
    if last != seconds:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        _last_second = seconds, text
    return f"{text}.{micros:06}Z"


def quoted(text: str) -> str:
    """Write a JSON string in ASCII."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(letter: str) -> str:
    if letter in _ESCAPED:
        return _ESCAPED[letter]
    code = ord(letter)
    if 32 <= code < 127:
        return letter
    if code > 0xFFFF:
        code -= 0x10000
        return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
    return f"\\u{code:04x}"


def mapping(pairs: dict[str, str]) -> str:
    """Write a JSON object of strings."""
    return "{" + ",".join([f"{quoted(key)}:{quoted(value)}" for key, value in pairs.items()]) + "}"


# Task, framework, trigger, and their fields.
_last_task: tuple[str | None, str, str, str] = (None, "", "", "")


def started_line(run: Run, process: str, unsent: bool = False) -> str:
    """Write a run's first line; *process* are the `process_fields` of its process.

    *unsent*: Datadog's Agent was away a moment ago, and nothing is sent to it.
    """
    global _last_task
    parent = f'"{run.parent}"' if run.parent else "null"
    task, framework, trigger = run.task, run.framework, run.trigger
    last = _last_task
    if last[0] != task or last[1] != framework or last[2] != trigger:
        fields = (
            f'"task":{quoted(task)},"framework":{quoted(framework)},"trigger":{quoted(trigger)}'
        )
        _last_task = last = task, framework, trigger, fields
    more = run.queued.fields() if run.queued is not None else ""
    if run.server:
        more += ',"server":true'
    return (
        f'{{"event":"started","run":"{run.id}","root":"{run.root}","parent":{parent},'
        f'"at":"{moment(run.started)}",{last[3]}{more},{process}{_UNSENT if unsent else ""}}}'
    )


def process_fields(
    pid: int,
    process: str,
    host: str,
    python: str | None = None,
    tagged: Tagged | None = None,
) -> str:
    """Write the fields of a started line that are the same for all runs of a process.

    *process* is its `procfs.identity`, *python* the version of Python that it runs.
    """
    pod = f'"entity":{quoted(tagged.entity_id)},' if tagged and tagged.entity_id else ""
    fields = f'"pid":{pid},{pod}"process":{quoted(process)},"host":{quoted(host)}'
    if python:
        fields += f',"python":{quoted(python)}'
    if tagged is not None:
        if tagged.service:
            fields += f',"service":{quoted(tagged.service)}'
        if tagged.env:
            fields += f',"env":{quoted(tagged.env)}'
        if tagged.version:
            fields += f',"version":{quoted(tagged.version)}'
        if tagged.tags:
            fields += f',"tags":{mapping(tagged.tags)}'
    return fields


def finished_line(run: AnyRun, end: End, unsent: bool = False) -> str:
    """Write a run's last line; *unsent* as in `started_line`."""
    outcome = end.outcome
    return (
        f'{{"event":"finished","run":"{run.id}","root":"{run.root}","at":"{moment(end.at)}",'
        f'"status":"{outcome.status}"{_outcome_fields(outcome)}'
        + (f',"duration":{end.duration:.6f}' if end.duration is not None else "")
        + (f',"cpu":{end.cpu:.6f}' if end.cpu is not None else "")
        + (f',"max_rss":{end.max_rss}' if end.max_rss is not None else "")
        + (_UNSENT if unsent else "")
        + "}"
    )


def raised_line(run_id: str, root: str, at: float, outcome: Outcome) -> str:
    """Write which exception has ended a program, for the launcher that closes its process run."""
    return (
        f'{{"event":"raised","run":"{run_id}","root":"{root}","at":"{moment(at)}"'
        f"{_outcome_fields(outcome)}}}"
    )


def delivery_line(event: str, run_id: str, root: str, of: str) -> str:
    """Write that a run's `started` or `finished` was `unsent`, or has been `sent` since."""
    return (
        f'{{"event":"{event}","run":"{run_id}","root":"{root}","at":"{moment(time.time())}",'
        f'"of":"{of}"}}'
    )


def _outcome_fields(outcome: Outcome) -> str:
    fields = ""
    if outcome.reason:
        fields += f',"reason":"{outcome.reason}"'
    if outcome.caused_by:
        fields += f',"caused_by":"{outcome.caused_by}"'
    if outcome.exit_code is not None:
        fields += f',"exit_code":{outcome.exit_code}'
    if outcome.signal:
        fields += f',"signal":{quoted(outcome.signal)}'
    if outcome.error:
        fields += f',"error":{mapping(outcome.error)}'
    return fields
