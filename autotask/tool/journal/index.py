"""The index of the journal: a SQLite file that can be deleted at any time, and is rebuilt here.

The journal is the truth. Every command first reads what was appended since the last one, so that
a question about a million runs costs a query, not a reading of the journal.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from autotask.tool import output
from autotask.tool.errors import ToolError
from autotask.tool.journal import schema, segments, waiting
from autotask.tool.journal.dead_runs import ends_of_dead
from autotask.tool.journal.kept_output import Kept
from autotask.tool.journal.segment_reader import SegmentReader

if TYPE_CHECKING:
    from autotask.around.journal_lines import Fields
    from autotask.tool.journal.segments import Source

T = TypeVar("T")

FILE = "index.sqlite3"
SHARED_FILE = "shared.sqlite3"  # all users' runs of a shared home; each user has such a file
_BESIDE = ("-wal", "-shm", "-journal")  # what SQLite appends to the names of its other files
_START = (  # what of a start is needed to write its end
    *("run", "parent", "root", "task", "framework", "started_at", "trigger", "pid", "process"),
    *("host", "service", "env", "version", "tags", "bookkeeping"),
)
_READERS_PATIENCE = 5.0  # seconds with no commit, after which a reader does without the newest
# What SQLite says of a file that may be sound, but cannot be used now.
_UNUSABLE = ("locked", "readonly", "unable to open", "full", "interrupted", "disk I/O")
# What comes of values in it that autotask has not written.
_ODD_VALUES = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


class Index:
    """The joined runs of one home, up to date as of `refresh`."""

    def __init__(self, connection: waiting.Connection, path: str, source: Source) -> None:
        self.connection = connection
        self.path = path
        self.reader = SegmentReader(connection, source)
        self.unreadable = self.reader.unreadable  # segments by path, each with the reason
        self.kept = Kept(source.home, source.shared)
        self.shared = source.shared  # several users' runs: an id alone does not name one
        self.to_read = False  # a reader: if another command keeps it locked, it takes what it has
        self.lags = False  # and has done so
        self._source = source

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def rows(self, statement: str, values: Iterable[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Return the rows of a query, one by one."""
        # Not the cursor: a generator that yields from it closes it when it is dropped itself, as
        # when a reader leaves, and a cursor raises if the connection is closed already.
        return itertools.chain(self.connection.execute(statement, tuple(values)))

    def refresh(self) -> bool:
        """Read every whole line that is new, and end the runs of dead processes in the index.

        Return False if another command kept the index locked, and a reader does without the rest.
        """
        try:
            self.reader.catch_up()
            ends = ends_of_dead(self.connection, self._source)
            if ends:
                # Their processes may have written more between that reading and their end.
                self.reader.catch_up()
                with self.connection.transaction():
                    self.connection.executemany(
                        # Not by rowid: SQLite may have given it to another run meanwhile.
                        "UPDATE run SET status = ?, reason = ? "
                        "WHERE run = ? AND owner = ? AND finished_at IS NULL",
                        ends,
                    )
        except sqlite3.OperationalError as problem:
            if not (self.to_read and waiting.is_locked(problem)):
                raise
            self.lags = True
            output.notice("the index stays locked: the newest runs and ends are missing")
        return not self.lags

    def lost_unended(self) -> list[Fields]:
        """Return the started lines of the lost runs that have no end in the journal.

        `sweeping.sweep` has ended most of them. The others left no mark, or are in a home that
        this user may only read.
        """
        return self._unended_starts("reason = 'lost'")

    def running_since(self, moment: str) -> list[Fields]:
        """Return the started lines of the runs that are running, and started before a moment."""
        return self._unended_starts("status = 'running' AND +started_at < ?", moment)

    def _unended_starts(self, condition: str, *values: str) -> list[Fields]:
        columns = ", ".join(f'"{column}"' for column in _START)
        rows = self.connection.execute(
            f"SELECT {columns} FROM run WHERE finished_at IS NULL AND {condition} "
            # A plus keeps SQLite from going through all rows in the order of that column.
            "ORDER BY +rowid",
            values,
        )
        starts = []
        for row in rows:
            start = dict(zip(_START, row))
            tags = json.loads(start["tags"]) if start["tags"] else {}
            start |= {"tags": tags, "bookkeeping": start["bookkeeping"] is not None}
            starts.append({"event": "started", **start, "at": start["started_at"]})
        return starts


def open_index(home: str, to_read: bool = False) -> Index:
    """Open the index of this user's own home and catch up with its journal.

    With *to_read* it waits only seconds for another command that keeps the index locked.
    """
    return _open(os.path.join(home, FILE), segments.source_of(home), to_read)


def open_shared(home: str, own: str | None) -> Index:
    """Open the index of all users' runs in a shared home; *own* is this user's folder in it."""
    path = os.path.join(own, SHARED_FILE) if own else ""
    return _open(path, segments.source_of_shared(home), to_read=True)


def open_temporary(home: str) -> Index:
    """Make an index for this command alone, of a home that it may only read."""
    return _open("", segments.source_of(home))


def answer(open_it: Callable[[], Index], question: Callable[[Index], T]) -> T:
    """Ask an index; if it turns out to be damaged, rebuild it and ask once more."""
    with contextlib.closing(open_it()) as index:
        try:
            return question(index)
        except Exception as problem:
            if not (index.path and _is_damage(problem)):
                raise
    _remove(index.path)
    with contextlib.closing(open_it()) as index:
        return question(index)


def _open(path: str, source: Source, to_read: bool = False) -> Index:
    """Open an index and catch up; rebuild a damaged one.

    If no file can be written (a read-only or full disk), it is a temporary one of SQLite's.
    """
    for _ in range(2):
        try:
            return _open_once(path, source, to_read)
        except Exception as problem:
            if isinstance(problem, sqlite3.Error) and waiting.is_locked(problem):
                raise ToolError("another autotask keeps the index locked: try again") from None
            if path and _is_damage(problem):
                _remove(path)
            elif isinstance(problem, sqlite3.Error):
                break
            else:
                raise
    return _open_once("", source)


def _open_once(path: str, source: Source, to_read: bool = False) -> Index:
    if path and not _is_safe(path):
        output.notice(
            f"not using {path}: it, or a file beside it, is not a regular file of this user"
        )
        path = ""
    connection = waiting.connect(path)
    index = Index(connection, path, source)
    try:
        schema.prepare(connection, path)
        if to_read:
            index.to_read, connection.patience = True, _READERS_PATIENCE
        index.refresh()
    except BaseException:
        index.close()
        raise
    return index


def _is_safe(path: str) -> bool:
    """Tell whether SQLite would open, or make, only regular files of this user."""
    # Made here, because SQLite's mode would let others read the messages of exceptions in it.
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600))
    for suffix in ("", *_BESIDE):
        with contextlib.suppress(FileNotFoundError):
            status = os.lstat(path + suffix)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                return False
    return True


def _is_damage(problem: Exception) -> bool:
    """Tell a damaged index from one that cannot be used now (locked, read-only)."""
    if isinstance(problem, sqlite3.OperationalError):
        return not any(word in str(problem) for word in _UNUSABLE)
    return isinstance(problem, (sqlite3.DatabaseError, *_ODD_VALUES))


def _remove(path: str) -> None:
    """Delete a damaged index and what SQLite keeps beside it."""
    output.notice(f"{path} is damaged: rebuilding it from the journal")
    for suffix in ("", *_BESIDE):
        with contextlib.suppress(OSError):
            os.unlink(path + suffix)
