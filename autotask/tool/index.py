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
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from autotask.events import opened
from autotask.lines import pieces, taken
from autotask.marks import BECAME, marks_folder
from autotask.process import is_dead
from autotask.tool import output, segments, whose
from autotask.tool.errors import ToolError

if TYPE_CHECKING:
    from autotask.lines import Event

FILE = "index.sqlite3"
SHARED_FILE = "shared.sqlite3"  # of all users' runs in a shared home; each user has one
VERSION = 3
# 1: first. 2: an index of the runs without an end, instead of those that are running.
# 3: any status, the fields that this version does not know, and owners.

_SCHEMA = """
CREATE TABLE segment (
    -- a file of the journal, as far as it has been read
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    inode INTEGER NOT NULL,         -- another inode: the file was replaced
    size INTEGER NOT NULL,          -- bytes it had when it was last looked at
    consumed INTEGER NOT NULL       -- bytes read: always the end of a whole event
);
CREATE TABLE run (
    -- a started and a finished line, joined in whichever order they came; of two the first counts,
    -- but any other end replaces `lost`, which is told by another process, and may be a mistake
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
_REASON = _FINISHED.index("reason")
_START = (  # what is needed of a start to write its end
    *("run", "parent", "root", "task", "framework", "started_at", "trigger", "pid", "process"),
    *("host", "service", "env", "version", "tags"),
)
_NOT_STARTED = (None,) * len(_STARTED)
_NOT_FINISHED = (None, "running", *[None] * (len(_FINISHED) - 2))
_IN_BOTH = frozenset(["event", "run", "root", "at", "unsent"])  # lines of the journal
_IN_STARTED, _IN_FINISHED = _IN_BOTH.union(_STARTED), _IN_BOTH.union(_FINISHED)
_BATCH = 20_000  # runs in memory at a time
_TURN = 2.0  # seconds after which a long reading is committed, and others may write
_PATIENCE = 600.0  # seconds to wait while another command builds the index, or prunes


def _upsert() -> str:
    """Write the statement that adds a run, or the half of it that is not there yet."""
    columns = [f'"{column}"' for column in _STARTED + _FINISHED]
    start = "run.started_at IS NULL"
    end = (
        "run.finished_at IS NULL OR (run.reason = 'lost' "
        "AND excluded.finished_at IS NOT NULL AND excluded.reason IS NOT 'lost')"
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
    consumed: int


class Index:
    """The joined runs of one home, up to date as of `refresh`."""

    def __init__(self, connection: sqlite3.Connection, path: str, source: Source) -> None:
        self.connection = connection
        self.path = path
        self.shared = source.shared  # several users' runs: an id alone does not name one
        self._source = source

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    def rows(self, statement: str, values: Iterable[Any] = ()) -> Iterator[_Values]:
        """Return what a query answers, row by row."""
        return self.connection.execute(statement, tuple(values))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Write alone: all of the block or, after an error, nothing."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def refresh(self) -> None:
        """Read every whole line not seen yet, and let no run of a dead process be running."""
        self._catch_up()
        unended = self._unended()
        if unended:
            self._catch_up()  # with what they wrote between our reading and their end
            with self.transaction():
                self.connection.executemany(
                    "UPDATE run SET status = ?, reason = ? WHERE rowid = ? AND finished_at IS NULL",
                    unended,
                )

    def lost_unended(self) -> list[Event]:
        """Return the first lines of the lost runs that nobody has ended in the journal.

        `closing.sweep` has ended most of them. These left no mark, or lie where we may only read.
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

    def forget(self, keys: list[int]) -> None:
        """Take back all that was read from these segments."""
        inside = f"IN ({', '.join(map(str, keys))})"
        for half, columns, empty in (
            ("started", _STARTED, _NOT_STARTED),
            ("finished", _FINISHED, _NOT_FINISHED),
        ):
            sets = ", ".join(f'"{column}" = ?' for column in columns)
            self.connection.execute(f"UPDATE run SET {sets} WHERE {half}_in {inside}", empty)
        self.connection.execute("DELETE FROM run WHERE started_at IS NULL AND finished_at IS NULL")
        self.connection.execute(f"DELETE FROM segment WHERE id {inside}")

    def _catch_up(self) -> None:
        stale, unread = self._pending()
        if not stale and not unread:
            return
        size = sum(one.found.size - one.consumed for one in unread)
        with output.progress("reading the journal", size) as advance:
            more = True
            while more:
                with self.transaction():
                    stale, unread = self._pending()  # again: nobody else writes from here on
                    if stale:
                        self.forget(stale)
                    more = self._read_some(unread, advance)

    def _pending(self) -> tuple[list[int], list[_Unread]]:
        """Return the segments to forget (gone, replaced, shorter than before) and those to read."""
        known = {
            name: (key, inode, size, consumed)
            for name, key, inode, size, consumed in self.connection.execute(
                "SELECT name, id, inode, size, consumed FROM segment"
            )
        }
        stale, unread = [], []
        for found in self._source.listed():
            key, inode, size, consumed = known.pop(found.name, (None, 0, 0, 0))
            if key is not None and (found.inode != inode or found.size < size):
                stale.append(key)
                key, size, consumed = None, 0, 0
            if key is None or found.size > size:
                unread.append(_Unread(found, key, consumed))
        stale += [key for key, *_ in known.values()]
        return stale, unread

    def _read_some(self, unread: list[_Unread], advance: Callable[[int], None]) -> bool:
        """Read segments for a while; tell whether there are more."""
        end = time.monotonic() + _TURN
        for place, one in enumerate(unread, 1):
            with contextlib.suppress(FileNotFoundError):  # deleted at this moment
                self._read(one, advance)
            if time.monotonic() > end:
                return place < len(unread)
        return False

    def _read(self, unread: _Unread, advance: Callable[[int], None]) -> None:
        found, consumed = unread.found, unread.consumed
        owner = segments.owner_of(found.name)
        with opened(os.path.join(self._source.folder, found.name)) as file:
            if owner and os.fstat(file.fileno()).st_uid != owner:
                return
            key = unread.key or self._added(found)
            file.seek(consumed)
            batch: dict[str, _Halves] = {}
            for line in file:
                events = pieces(line)
                # Torn, or still being written: the rest next time.
                consumed += len(line) if line.endswith(b"\n") else taken(line, events)
                for text, event in events:
                    _sort_in(batch, event, key, len(text) + 1)
                if len(batch) >= _BATCH:
                    self._write(batch, owner)
            self._write(batch, owner)
        advance(consumed - unread.consumed)
        self.connection.execute(
            "UPDATE segment SET size = ?, consumed = ? WHERE id = ?",
            (max(found.size, consumed), consumed, key),
        )

    def _added(self, found: segments.Segment) -> int:
        cursor = self.connection.execute(
            "INSERT INTO segment (name, inode, size, consumed) VALUES (?, ?, 0, 0)",
            (found.name, found.inode),
        )
        return cursor.lastrowid or 0

    def _write(self, batch: dict[str, _Halves], owner: int) -> None:
        self.connection.executemany(
            _UPSERT, [(run, owner, *half.started, *half.finished) for run, half in batch.items()]
        )
        batch.clear()

    def _unended(self) -> list[_Values]:
        """Return the running runs whose process is dead, each with a status and a reason."""
        running = self.connection.execute(
            "SELECT rowid, owner, process, pid, host FROM run "
            "WHERE finished_at IS NULL AND status = 'running' "
            "AND process IS NOT NULL AND pid IS NOT NULL AND host IS NOT NULL"
        ).fetchall()
        dead = {identity for identity in {tuple(row[2:]) for row in running} if _is_dead(*identity)}
        became = self._became() if dead else set()
        return [
            (*(("success", None) if tuple(who) in became else ("failure", "lost")), row)
            for row, *who in running
            if tuple(who[1:]) in dead
        ]

    def _became(self) -> set[_Values]:
        """Return the processes that became another program: owner, process, pid, host.

        Their marks say so: see `autotask.handing_over`. We may not be the one who can end the runs.
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
    listed: Callable[[], list[segments.Segment]]
    marks: Callable[[], list[tuple[str, int]]]  # folders, each with the owner of the runs
    shared: bool = False


def open_index(home: str) -> Index:
    """Open the index of this user's own home and catch up with its journal."""
    return _open(os.path.join(home, FILE), _source(home))


def open_shared(home: str, own: str | None) -> Index:
    """Open the index of all users' runs in a shared home; *own* is this user's folder in it."""
    path = os.path.join(own, SHARED_FILE) if own else ""
    return _open(
        path,
        Source(
            home,
            lambda: segments.listed_in_shared(home),
            lambda: [
                (marks_folder(os.path.join(home, name)), owner)
                for name, owner in whose.journals(home)
            ],
            shared=True,
        ),
    )


def open_temporary(home: str) -> Index:
    """Make an index for this command alone, of a home that is only to be read."""
    return _open("", _source(home))


def _source(home: str) -> Source:
    folder = segments.journal_folder(home)
    return Source(folder, lambda: segments.listed(folder), lambda: [(marks_folder(home), 0)])


def _open(path: str, source: Source) -> Index:
    """Open an index and catch up.

    A damaged file is built anew. Where none can be written (a read-only or full disk), the index
    lives for this command only.
    """
    for _ in range(2):
        try:
            return _opened(path, source)
        except sqlite3.DatabaseError as problem:
            if "locked" in str(problem):
                raise ToolError("another autotask is at work on the index: try again") from None
            if not is_damage(problem):
                break
            remove(path)
    return _opened("", source)  # SQLite's own temporary database


def remove(path: str) -> None:
    """Delete an index and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(OSError):
            os.unlink(path + suffix)


def is_damage(problem: sqlite3.DatabaseError) -> bool:
    """Tell a file that is no good from one that cannot be used now (locked, read-only)."""
    if isinstance(problem, sqlite3.OperationalError):
        return str(problem).startswith(("no such", "table run has no", "malformed"))
    return type(problem) is sqlite3.DatabaseError


def _opened(path: str, source: Source) -> Index:
    if path and not _may_open(path):
        path = ""
    connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
    index = Index(connection, path, source)
    try:
        _prepare(index, path)
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
    if found > VERSION:
        raise ToolError(
            f"{path} was written by a newer autotask: upgrade this one, or delete the file "
            "(it is built again from the journal)"
        )
    return found


def _sort_in(batch: dict[str, _Halves], event: Event, key: int, size: int) -> None:
    """Add an event to its run; those of other kinds are not for us."""
    kind, run, at = event.get("event"), _text(event.get("run")), _text(event.get("at"))
    if not run or not at:
        return
    if kind == "started":
        halves = batch.setdefault(run, _Halves())
        if halves.started is _NOT_STARTED:
            halves.started = _started(event, run, at, key, size)
    elif kind == "finished" and _text(event.get("status")) not in (None, "", "running"):
        halves = batch.setdefault(run, _Halves())
        known = halves.finished
        if known is _NOT_FINISHED or (known[_REASON] == "lost" != event.get("reason")):
            halves.finished = _finished(event, at, key, size)


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
