"""The index of the journal: a SQLite file that can be deleted at any time, and is caught up here.

The journal is the truth. Every command first reads what was appended since the last one, so that
a question about a million runs costs a query and not a reading of the journal.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sqlite3
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar

from autotask.around.journal_lines import opened, pieces
from autotask.marks import BECAME, marks_folder
from autotask.procfs import is_dead
from autotask.tool import output
from autotask.tool.errors import ToolError
from autotask.tool.journal import ownership, segments, waiting

if TYPE_CHECKING:
    from autotask.around.journal_lines import Event

T = TypeVar("T")

FILE = "index.sqlite3"
SHARED_FILE = "shared.sqlite3"  # of all users' runs in a shared home; each user has one
VERSION = 4
# 1: first. 2: an index of the runs without an end, instead of those that are running.
# 3: any status, the fields that this version does not know, and owners.
# 4: what a segment was when it was read; of two ends the earlier counts, not the one read first.
_NEWEST = 1000  # a number above it is damage

_SCHEMA = """
CREATE TABLE segment (
    -- a file of the journal, as far as it has been read
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    inode INTEGER NOT NULL,         -- another inode: the file was replaced
    changed INTEGER NOT NULL,       -- Segment.changed; the same: nothing was written since
    size INTEGER NOT NULL,          -- bytes read
    consumed INTEGER NOT NULL,      -- bytes read up to the end of the last whole line
    halves INTEGER NOT NULL,        -- starts and ends read, some perhaps twice
    edges BLOB NOT NULL             -- see _edges; others: the file was written over
);
CREATE TABLE run (
    -- a started and a finished line, joined in whichever order they came; of two the earlier one
    -- counts (of one moment: a failure), but any other end replaces `lost`: another process told
    -- that, and may be wrong
    run TEXT NOT NULL,
    owner INTEGER NOT NULL,         -- user id in a shared home, else 0: no other can end this run
    parent TEXT,
    root TEXT,
    task TEXT,
    framework TEXT,
    started_at TEXT,                -- null: no started line yet, not shown
    "trigger" TEXT,
    pid INTEGER,
    process TEXT,                   -- see process.identity
    host TEXT,
    python TEXT,
    service TEXT,
    env TEXT,
    version TEXT,
    tags TEXT,                      -- JSON, null for none
    started_in INTEGER,             -- segment.id
    started_bytes INTEGER,
    started_more TEXT,              -- JSON: fields unknown to this version, null for none
    finished_at TEXT,               -- null: no finished line yet
    status TEXT NOT NULL,
    reason TEXT,
    caused_by TEXT,
    exit_code INTEGER,
    signal TEXT,
    error TEXT,                     -- JSON
    duration REAL,                  -- seconds
    cpu REAL,                       -- seconds
    max_rss INTEGER,                -- bytes
    finished_in INTEGER,            -- segment.id
    finished_bytes INTEGER,
    finished_more TEXT,             -- as started_more
    UNIQUE (run, owner)
);
-- the filters of `autotask runs` and the groups of `autotask tasks` are answered from these alone
CREATE INDEX run_by_time ON run (started_at, task, framework, status);
CREATE INDEX run_by_task ON run (task, framework, status, started_at);
CREATE INDEX run_by_parent ON run (parent) WHERE parent IS NOT NULL;
CREATE INDEX run_unended ON run (run) WHERE finished_at IS NULL;
"""
_STARTED = (
    *("parent", "root", "task", "framework", "started_at", "trigger", "pid", "process", "host"),
    *("python", "service", "env", "version", "tags", "started_in", "started_bytes"),
    "started_more",
)
_FINISHED = (
    *("finished_at", "status", "reason", "caused_by", "exit_code", "signal", "error"),
    *("duration", "cpu", "max_rss", "finished_in", "finished_bytes"),
    "finished_more",
)
_STARTED_AT = _STARTED.index("started_at")
_START = (  # what is needed of a start to write its end
    *("run", "parent", "root", "task", "framework", "started_at", "trigger", "pid", "process"),
    *("host", "service", "env", "version", "tags"),
)
_NOT_STARTED = (None,) * len(_STARTED)
_NOT_FINISHED = (None, "running", *[None] * (len(_FINISHED) - 2))
_IN_BOTH = frozenset(["event", "run", "root", "at", "unsent"])  # lines of the journal
_IN_STARTED, _IN_FINISHED = _IN_BOTH.union(_STARTED), _IN_BOTH.union(_FINISHED)
_BATCH = 20_000  # runs in memory at a time
_EDGE = 256  # bytes of a segment that tell it from another one
_TICK = 2_000_000_000  # nanoseconds in which a file may change twice and show one time for both
_REFUSED = -1  # in the place of a segment's change time: it could not be read
_TURN = 1.0  # seconds after which a long reading is committed, and others may write
_READERS_PATIENCE = 5.0  # seconds with no commit, after which a reader takes what there is


def _upsert() -> str:
    """Write the statement that adds a run, or the half of it that is not there yet."""
    columns = [f'"{column}"' for column in _STARTED + _FINISHED]
    start = "run.started_at IS NULL OR excluded.started_at < run.started_at"
    end = (
        "run.finished_at IS NULL OR (excluded.finished_at IS NOT NULL "
        "AND (excluded.reason IS 'lost', excluded.finished_at, excluded.status <> 'failure') "
        "< (run.reason IS 'lost', run.finished_at, run.status <> 'failure'))"
    )
    takes_new = [start] * len(_STARTED) + [end] * len(_FINISHED)
    sets = [
        f"{column} = CASE WHEN {condition} THEN excluded.{column} ELSE run.{column} END"
        for column, condition in zip(columns, takes_new)
    ]
    return (
        f"INSERT INTO run (run, owner, {', '.join(columns)}) VALUES (?, ?{', ?' * len(columns)}) "
        f"ON CONFLICT (run, owner) DO UPDATE SET {', '.join(sets)}"
    )


_UPSERT = _upsert()
_Values = tuple[Any, ...]


class _Halves:
    """What a batch of lines says of one run."""

    __slots__ = ("finished", "started")

    def __init__(self) -> None:
        self.started: _Values = _NOT_STARTED
        self.finished: _Values = _NOT_FINISHED


class _Unread(NamedTuple):
    """What of a segment is to be read."""

    found: segments.Segment
    key: int | None
    size: int  # what the index has read of it
    consumed: int
    was_refused: bool = False  # the last time, it could not be read to its end


class _Read(NamedTuple):
    """What of a segment was read."""

    size: int  # up to there, in bytes
    consumed: int  # up to the end of the last whole line
    halves: int
    problem: OSError | None  # that ended it


class Index:
    """The joined runs of one home, up to date as of `refresh`."""

    def __init__(self, connection: waiting.Connection, path: str, source: Source) -> None:
        self.connection = connection
        self.path = path
        self.to_read = False  # takes what there is, if another command has it locked for long
        self.lags = False  # and that was so
        self.shared = source.shared  # several users' runs: an id alone does not name one
        self.unreadable: dict[str, str] = {}  # segments by path, each with the reason
        self._source = source

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    def rows(self, statement: str, values: Iterable[Any] = ()) -> Iterator[_Values]:
        """Return what a query answers, row by row."""
        return self.connection.execute(statement, tuple(values))

    @contextlib.contextmanager
    def transaction(self, mode: str = "IMMEDIATE") -> Iterator[None]:
        """Write alone: all of the block or, after an error, nothing.

        With *mode* DEFERRED nothing is locked, and the block reads what is there at its begin.
        """
        self.connection.execute(f"BEGIN {mode}")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def refresh(self) -> bool:
        """Read every whole line not seen yet, and let no run of a dead process be running.

        False: a reader would have had to wait for long, and does without.
        """
        try:
            self._catch_up_and_end()
        except sqlite3.OperationalError as problem:
            if not (self.to_read and waiting.is_locked(problem)):
                raise
            self.lags = True
            output.notice("not waiting any longer: the newest runs and ends are left out")
        return not self.lags

    def _catch_up_and_end(self) -> None:
        self._catch_up()
        unended = self._unended()
        if unended:
            self._catch_up()  # with what they wrote between our reading and their end
            with self.transaction():
                self.connection.executemany(
                    "UPDATE run SET status = ?, reason = ? "
                    "WHERE run = ? AND owner = ? AND finished_at IS NULL",  # no rowid: used again
                    unended,
                )

    def lost_unended(self) -> list[Event]:
        """Return the first lines of the lost runs that nobody has ended in the journal.

        `sweeping.sweep` has ended most of them. These left no mark, or lie where we may only read.
        """
        return self._unended_starts("reason = 'lost'")

    def running_since(self, moment: str) -> list[Event]:
        """Return the first lines of the runs that are running, and started before a moment."""
        return self._unended_starts("status = 'running' AND started_at < ?", moment)

    def _unended_starts(self, condition: str, *values: str) -> list[Event]:
        columns = ", ".join(f'"{column}"' for column in _START)
        rows = self.connection.execute(
            f"SELECT {columns} FROM run WHERE finished_at IS NULL AND {condition} "
            "ORDER BY +rowid",  # or it would go through all rows
            values,
        )
        return [_start(dict(zip(_START, row))) for row in rows]

    def forget_starts(self, key: int, runs: str) -> None:
        """Take back the starts that were read from a segment, of the runs that a query names."""
        sets = ", ".join(f'"{column}" = NULL' for column in _STARTED)
        self.connection.execute(
            f"UPDATE run SET {sets} WHERE started_in = ? AND run IN ({runs})", (key,)
        )

    def forget(self, keys: Iterable[int]) -> None:
        """Take back all that was read from these segments, and from those with gaps.

        A start or an end that counts no longer may be in another segment, too.
        """
        inside = f"IN ({', '.join(map(str, {*keys, *self._with_gaps()}))})"
        for half, columns, empty in (
            ("started", _STARTED, _NOT_STARTED),
            ("finished", _FINISHED, _NOT_FINISHED),
        ):
            sets = ", ".join(f'"{column}" = ?' for column in columns)
            self.connection.execute(f"UPDATE run SET {sets} WHERE {half}_in {inside}", empty)
        self.connection.execute("DELETE FROM run WHERE started_at IS NULL AND finished_at IS NULL")
        self.connection.execute(f"DELETE FROM segment WHERE id {inside}")

    def forget_gaps(self) -> None:
        """Take back all that was read from segments with gaps, if there are any."""
        if self._with_gaps():  # lock others out only for a reason
            with self.transaction():
                self.forget([])

    def _with_gaps(self) -> list[int]:
        """Return the segments with more starts and ends than the runs have from there.

        Another segment has them, too, or something has damaged the index.
        """
        counts: Counter[int] = Counter()
        for half in ("started_in", "finished_in"):
            counts.update(dict(self.rows(f"SELECT {half}, count(*) FROM run GROUP BY {half}")))
        known = self.rows("SELECT id, halves FROM segment")
        return [key for key, halves in known if counts[key] < halves]

    def _catch_up(self) -> None:
        self.unreadable.clear()
        stale, unread = self._pending()
        if not stale and not any(map(self._is_news, unread)):
            return
        size = sum(max(one.found.size - one.consumed, 0) for one in unread)
        with output.progress("reading the journal", size) as advance:
            more = True
            while more:
                with self.transaction():
                    stale, unread = self._pending()  # again: nobody else writes from here on
                    if stale:
                        self.forget(stale)
                        _, unread = self._pending()
                    more = self._read_some(unread, advance)
                if more:
                    time.sleep(3 * waiting.PAUSE)  # who waits looks more often, and goes first

    def _pending(self) -> tuple[list[int], list[_Unread]]:
        """Return the segments to forget (gone, replaced, shorter than before) and those to read."""
        rows = self.rows("SELECT name, inode, size, changed, id, consumed FROM segment")
        known = {row[0]: row for row in rows}
        stale, unread = [], []
        for found in self._source.listed(self.unreadable):
            if found.name not in known:
                unread.append(_Unread(found, None, 0, 0))
                continue
            *before, key, consumed = known.pop(found.name)
            if found == tuple(before):
                continue
            _, inode, size, changed = before
            if found.inode != inode or found.size < size:
                stale.append(key)
                unread.append(_Unread(found, None, 0, 0))
            else:
                unread.append(_Unread(found, key, size, consumed, changed == _REFUSED))
        stale += [key for *_, key, _ in known.values()]
        return stale, unread

    def _is_news(self, unread: _Unread) -> bool:
        """Tell whether there is more to do than to note that a segment is still the same."""
        found, key, size, _, was_refused = unread
        if key is None or found.size != size or was_refused:
            return True
        try:
            with opened(os.path.join(self._source.folder, found.name)) as file:
                return not self._is_same(file, key, size)
        except OSError:
            return True

    def _read_some(self, unread: list[_Unread], advance: Callable[[int], None]) -> bool:
        """Read segments for a while; tell whether there are more."""
        end = time.monotonic() + _TURN
        for one in unread:
            path = os.path.join(self._source.folder, one.found.name)
            if path in self.unreadable:  # in the turn before; a bad disk takes its time to say so
                continue
            try:
                with opened(path) as file:
                    if not self._read(one, file, advance, end):
                        return True
            except FileNotFoundError:  # deleted at this moment
                continue
            except OSError as problem:
                segments.refused(self.unreadable, path, problem)
            if time.monotonic() > end:
                return True
        return False

    def _read(
        self, unread: _Unread, file: BinaryIO, advance: Callable[[int], None], end: float
    ) -> bool:
        """Read on in a segment, as far as there is time; forget it if it has become another one."""
        found, key, size, consumed, _ = unread
        owner = segments.owner_of(found.name)
        if owner and os.fstat(file.fileno()).st_uid != owner:
            return True
        if key is not None and not self._is_same(file, key, size):
            self.forget([key])
            return False
        key = key or self._added(found.name)
        read = self._take_in(file, consumed, key, owner, end)
        if read.problem:
            found = found._replace(changed=_REFUSED)
        elif found.changed > time.time_ns() - _TICK:
            found = found._replace(changed=0)  # look again the next time
        self.remember(key, found._replace(size=read.size), file, read.consumed, read.halves)
        advance(read.consumed - consumed)
        if read.problem:
            raise read.problem
        return True

    def _take_in(self, file: BinaryIO, consumed: int, key: int, owner: int, end: float) -> _Read:
        """Write the runs of the lines from a place on, as far as there is time."""
        batch: dict[str, _Halves] = {}
        halves, size, problem = 0, consumed, None
        try:
            file.seek(consumed)
            for line in file:
                size += len(line)
                for text, event in pieces(line):
                    halves += _sort_in(batch, event, key, len(text) + 1)
                if len(batch) >= _BATCH:
                    self._write(batch, owner)
                if not line.endswith(b"\n"):  # torn, or still being written: it is read again
                    break
                consumed = size
                if time.monotonic() > end:  # as if it ended here: the rest in the next turn
                    break
        except OSError as error:
            problem = error
        self._write(batch, owner)
        return _Read(size, consumed, halves, problem)

    def _is_same(self, file: BinaryIO, key: int, size: int) -> bool:
        """Tell whether a segment of which the index has read so many bytes still has them."""
        known = self.rows("SELECT edges FROM segment WHERE id = ?", (key,))
        return any(edges == _edges(file, size) for (edges,) in known)  # none: just forgotten

    def _added(self, name: str) -> int:
        cursor = self.connection.execute(
            "INSERT INTO segment (name, inode, changed, size, consumed, halves, edges) "
            "VALUES (?, 0, 0, 0, 0, 0, x'')",
            (name,),
        )
        return cursor.lastrowid or 0

    def remember(
        self, key: int, found: segments.Segment, file: BinaryIO, consumed: int, halves: int
    ) -> None:
        """Note what a segment is of which *found.size* bytes are read, with so many more halves."""
        self.connection.execute(
            "UPDATE segment SET inode = ?, changed = ?, size = ?, consumed = ?, "
            "halves = halves + ?, edges = ? WHERE id = ?",
            (
                *(found.inode, found.changed, found.size, consumed),
                *(halves, _edges(file, found.size), key),
            ),
        )

    def _write(self, batch: dict[str, _Halves], owner: int) -> None:
        self.connection.executemany(
            _UPSERT, [(run, owner, *half.started, *half.finished) for run, half in batch.items()]
        )
        batch.clear()

    def _unended(self) -> list[_Values]:
        """Return the running runs whose process is dead, each with a status and a reason."""
        running = self.connection.execute(
            "SELECT run, owner, process, pid, host FROM run "
            "WHERE finished_at IS NULL AND status = 'running' "
            "AND process IS NOT NULL AND pid IS NOT NULL AND host IS NOT NULL"
        ).fetchall()
        dead = {identity for identity in {tuple(row[2:]) for row in running} if _is_dead(*identity)}
        became = self._became() if dead else set()
        return [
            (*(("success", None) if tuple(who) in became else ("failure", "lost")), run, who[0])
            for run, *who in running
            if tuple(who[1:]) in dead
        ]

    def _became(self) -> set[_Values]:
        """Return the processes that became another program: owner, process, pid, host.

        Their marks say so: see `autotask.exec_handover`. We may be unable to end the runs.
        """
        found: set[_Values] = set()
        for folder, owner in self._source.marks():
            with contextlib.suppress(OSError):  # not there, not for us to read, or a link
                runs = [name.split("-")[2:3] for name in _names(folder) if name.startswith(BECAME)]
                for run in filter(None, runs):
                    found.update(
                        self.connection.execute(
                            "SELECT owner, process, pid, host FROM run WHERE run = ? AND owner = ?",
                            (*run, owner),
                        )
                    )
        return found


def _edges(file: BinaryIO, size: int) -> bytes:
    """Return the first bytes of a file and the last ones up to a size: most of a line each."""
    file.seek(0)
    head = file.read(min(size, _EDGE))
    file.seek(max(size - _EDGE, 0))
    return head + file.read(min(size, _EDGE))


def _names(folder: str) -> list[str]:
    """Return the names in a folder; raises OSError if it is a link."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        return os.listdir(file)
    finally:
        os.close(file)


def _is_dead(process: str, pid: int, host: str) -> bool:
    """Tell whether a process is gone. Another user's may be out of sight: hidepid in proc(5)."""
    if not is_dead(process, pid, host):
        return False
    if os.path.exists(f"/proc/{pid}") or pid <= 0:
        return True
    try:
        os.kill(pid, 0)
    except PermissionError:
        return False
    except (OSError, OverflowError):
        pass
    return True


class Source(NamedTuple):
    """Where the segments of an index lie, and which they are."""

    folder: str
    listed: Callable[[dict[str, str]], list[segments.Segment]]
    marks: Callable[[], list[tuple[str, int]]]  # folders, each with the owner of the runs
    shared: bool = False


def open_index(home: str, to_read: bool = False) -> Index:
    """Open the index of this user's own home and catch up with its journal.

    *to_read*: without what is new, if another command keeps the index locked for seconds.
    """
    return _open(os.path.join(home, FILE), _source(home), to_read)


def open_shared(home: str, own: str | None) -> Index:
    """Open the index of all users' runs in a shared home; *own* is this user's folder in it."""
    path = os.path.join(own, SHARED_FILE) if own else ""
    return _open(
        path,
        Source(
            home,
            lambda unreadable: segments.listed_in_shared(home, unreadable),
            lambda: [
                (marks_folder(os.path.join(home, name)), owner)
                for name, owner in ownership.journals(home)
            ],
            shared=True,
        ),
        to_read=True,
    )


def open_temporary(home: str) -> Index:
    """Make an index for this command alone, of a home that is only to be read."""
    return _open("", _source(home))


def _source(home: str) -> Source:
    folder = segments.journal_folder(home)
    return Source(
        folder,
        lambda unreadable: segments.listed(folder, unreadable),
        lambda: [(marks_folder(home), 0)],
    )


def _open(path: str, source: Source, to_read: bool = False) -> Index:
    """Open an index and catch up.

    A damaged file is built anew. Where none can be written (a read-only or full disk), the index
    lives for this command only.
    """
    for _ in range(2):
        try:
            return _opened(path, source, to_read)
        except Exception as problem:
            if isinstance(problem, sqlite3.Error) and waiting.is_locked(problem):
                raise ToolError("another autotask is at work on the index: try again") from None
            if path and _is_damage(problem):
                _remove(path)
            elif isinstance(problem, sqlite3.Error):
                break
            else:
                raise
    return _opened("", source)  # SQLite's own temporary database


def answer(open_it: Callable[[], Index], question: Callable[[Index], T]) -> T:
    """Ask an index; if it turns out to be damaged, ask once more when it is built anew."""
    with contextlib.closing(open_it()) as index:
        try:
            return question(index)
        except Exception as problem:
            if not (index.path and _is_damage(problem)):
                raise
    _remove(index.path)
    with contextlib.closing(open_it()) as index:
        return question(index)


def _remove(path: str) -> None:
    """Delete a damaged index and what SQLite keeps beside it."""
    output.notice(f"{path} is damaged: building it anew from the journal")
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(OSError):
            os.unlink(path + suffix)


# What SQLite says of a file that may be sound, but cannot be used now.
_UNUSABLE = ("locked", "readonly", "unable to open", "full", "interrupted", "disk I/O")
# What comes of values in it that we have not written.
_ODD_VALUES = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


def _is_damage(problem: Exception) -> bool:
    """Tell a damaged index from one that cannot be used now (locked, read-only)."""
    if isinstance(problem, sqlite3.OperationalError):
        return not any(word in str(problem) for word in _UNUSABLE)
    return isinstance(problem, (sqlite3.DatabaseError, *_ODD_VALUES))


def _opened(path: str, source: Source, to_read: bool = False) -> Index:
    if path and not _may_open(path):
        output.notice(
            f"{path}, or a file beside it, is not a regular file of yours: it is not used"
        )
        path = ""
    connection = waiting.connect(path)
    index = Index(connection, path, source)
    try:
        _prepare(index, path)
        if to_read:
            index.to_read, connection.patience = True, _READERS_PATIENCE
        index.refresh()
    except BaseException:
        index.close()
        raise
    return index


def _may_open(path: str) -> bool:
    """Tell whether SQLite would open, or make, files of this user's own and no others."""
    with contextlib.suppress(OSError):  # messages of exceptions are nobody else's business
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600))
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            status = os.lstat(path + suffix)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                return False
    return True


def _prepare(index: Index, path: str) -> None:
    """Make the tables, unless they are there in the version that we write."""
    execute = index.connection.execute
    execute("PRAGMA synchronous = NORMAL")
    execute("PRAGMA cache_size = -131072")  # KiB, where a long reading needs them
    if _checked_version(index, path) == VERSION:
        return
    with contextlib.suppress(sqlite3.OperationalError):  # a slower mode does as well
        execute("PRAGMA journal_mode = WAL")
    with index.transaction():
        if _checked_version(index, path) == VERSION:
            return
        for table in ("segment", "run"):
            execute(f"DROP TABLE IF EXISTS {table}")
        for statement in _SCHEMA.split(";\n"):
            execute(statement)
        execute(f"PRAGMA user_version = {VERSION}")


def _checked_version(index: Index, path: str) -> int:
    found = int(index.connection.execute("PRAGMA user_version").fetchone()[0])
    if not 0 <= found < _NEWEST:
        raise sqlite3.DatabaseError(f"no version has the number {found}")
    if found > VERSION:
        raise ToolError(
            f"{path} was written by a newer autotask: upgrade this one, or delete the file "
            "(it is built again from the journal)"
        )
    return found


def _sort_in(batch: dict[str, _Halves], event: Event, key: int, size: int) -> bool:
    """Add an event to its run, if it is one of its halves."""
    half = half_of(event)
    if half is None:
        return False
    kind, run, at = half
    halves = batch.setdefault(run, _Halves())
    if kind == "started":
        start = halves.started
        if start is _NOT_STARTED or at < start[_STARTED_AT]:
            halves.started = _started(event, run, at, key, size)
        return True
    end = _finished(event, at, key, size)
    if halves.finished is _NOT_FINISHED or _rank(*end[:3]) < _rank(*halves.finished[:3]):
        halves.finished = end
    return True


def _rank(at: str, status: str, reason: str | None) -> tuple[bool, str, bool]:
    """Return what is least for the end that counts: see the table of runs, and `_upsert`."""
    return reason == "lost", at, status != "failure"


def run_of(event: Event) -> str | None:
    """Return the run that an event tells of, as the index has it."""
    return _text(event.get("run"))


def half_of(event: Event) -> tuple[str, str, str] | None:
    """Return the kind, the run and the moment of a start or an end; None of other events."""
    kind, run, at = event.get("event"), run_of(event), _text(event.get("at"))
    if not run or not at:
        return None
    if kind == "started":
        return "started", run, at
    if kind == "finished" and _text(event.get("status")) not in (None, "", "running"):
        return "finished", run, at
    return None


def _start(row: dict[str, Any]) -> Event:
    """Make a started line from a row of the index."""
    tags = json.loads(row["tags"]) if row["tags"] else {}
    return {"event": "started", **row, "at": row["started_at"], "tags": tags}


def _started(event: Event, run: str, at: str, key: int, size: int) -> _Values:
    get = event.get
    return (
        _text(get("parent")),
        _text(get("root")) or run,
        _text(get("task")) or "",
        _text(get("framework")) or "",
        at,
        _text(get("trigger")) or "unknown",
        _integer(get("pid")),
        _text(get("process")),
        _text(get("host")),
        _text(get("python")),
        _text(get("service")),
        _text(get("env")),
        _text(get("version")),
        _object(get("tags")),
        key,
        size,
        _more(event, _IN_STARTED),
    )


def _finished(event: Event, at: str, key: int, size: int) -> _Values:
    get = event.get
    return (
        at,
        _text(get("status")),
        _text(get("reason")),
        _text(get("caused_by")),
        _integer(get("exit_code")),
        _text(get("signal")),
        _object(get("error")),
        _real(get("duration")),
        _real(get("cpu")),
        _integer(get("max_rss")),
        key,
        size,
        _more(event, _IN_FINISHED),
    )


def _more(event: Event, known: frozenset[str]) -> str | None:
    """Write the fields that this version does not know as JSON."""
    if event.keys() <= known:
        return None
    fields = {name: value for name, value in event.items() if name not in known}
    try:
        return json.dumps(fields, allow_nan=False)
    except (ValueError, RecursionError):  # not JSON that every reader takes
        return None


def _text(value: Any) -> str | None:
    """Return text that SQLite takes: half surrogates (odd file names) are written out."""
    if not isinstance(value, str):
        return None
    if value.isascii():
        return value
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and -(2**63) <= value < 2**63 else None


def _real(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _object(value: Any) -> str | None:
    return json.dumps(value) if value and isinstance(value, dict) else None
