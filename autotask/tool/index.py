"""The index of the journal: a SQLite file that can be deleted at any time, and is caught up here.

The journal is the truth. Every command first reads what was appended since the last one, so that
a question about a million runs costs a query and not a reading of the journal.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

from autotask.tool import segments
from autotask.tool.errors import NewerIndexError

FILE = "index.sqlite3"
VERSION = 1
# 1: first.

_SCHEMA = """
CREATE TABLE segment (
    -- a file of the journal, as far as it has been read
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    inode INTEGER NOT NULL,         -- another inode: prune has replaced the file
    consumed INTEGER NOT NULL       -- bytes read: always the end of a whole line
);
CREATE TABLE run (
    -- a started and a finished line, joined in whichever order they came
    run TEXT NOT NULL UNIQUE,
    parent TEXT,
    root TEXT,
    task TEXT,
    framework TEXT,
    status TEXT NOT NULL DEFAULT 'running',
    reason TEXT,
    caused_by TEXT,
    exit_code INTEGER,
    signal TEXT,
    error TEXT,                     -- JSON
    started_at TEXT,                -- null: no started line yet, not shown
    finished_at TEXT,               -- null: no finished line yet
    duration REAL,                  -- seconds
    cpu REAL,                       -- seconds
    max_rss INTEGER,                -- bytes
    pid INTEGER,
    host TEXT,
    python TEXT,
    service TEXT,
    env TEXT,
    version TEXT,
    tags TEXT,                      -- JSON, null for none
    "trigger" TEXT,
    started_in INTEGER,             -- segment.id
    finished_in INTEGER,            -- segment.id
    started_bytes INTEGER NOT NULL DEFAULT 0,
    finished_bytes INTEGER NOT NULL DEFAULT 0
);
-- newest first, with the filters of `autotask runs` answered from the index alone
CREATE INDEX run_by_time ON run (started_at, task, framework, status);
CREATE INDEX run_by_task ON run (task, framework, status, started_at);
CREATE INDEX run_by_parent ON run (parent) WHERE parent IS NOT NULL;
"""

_STARTED = (
    "run",
    "started_in",
    "started_bytes",
    "parent",
    "root",
    "task",
    "framework",
    "started_at",
    "trigger",
    "pid",
    "host",
    "python",
    "service",
    "env",
    "version",
    "tags",
)
_FINISHED = (
    "run",
    "finished_in",
    "finished_bytes",
    "finished_at",
    "status",
    "reason",
    "caused_by",
    "exit_code",
    "signal",
    "error",
    "duration",
    "cpu",
    "max_rss",
)
_ENDINGS = ("success", "failure", "skipped")
_BATCH = 20_000


def _upsert(columns: tuple[str, ...], only_if_null: str) -> str:
    """Write the statement that fills one half of a run, once: the first line counts."""
    names = ", ".join(f'"{column}"' for column in columns)
    marks = ", ".join("?" * len(columns))
    sets = ", ".join(f'"{column}" = excluded."{column}"' for column in columns[1:])
    return (
        f"INSERT INTO run ({names}) VALUES ({marks}) ON CONFLICT (run) "
        f"DO UPDATE SET {sets} WHERE run.{only_if_null} IS NULL"
    )


_INSERT_STARTED = _upsert(_STARTED, "started_at")
_INSERT_FINISHED = _upsert(_FINISHED, "finished_at")


class Index:
    """The joined runs of one home, up to date as of `refresh`."""

    def __init__(self, connection: sqlite3.Connection, folder: str) -> None:
        self.connection = connection
        self._folder = folder

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    def rows(self, statement: str, values: Iterable[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield what a query answers, row by row."""
        yield from self.connection.execute(statement, tuple(values))

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
        """Read every whole line that the index has not seen yet."""
        on_disk = segments.listed(self._folder)
        if self._stale(on_disk):
            with self.transaction():
                self._forget(self._stale(on_disk))
        known = self._known()
        for found in on_disk:
            _, _, consumed = known.get(found.name, (0, 0, -1))
            if found.size > consumed:
                with contextlib.suppress(FileNotFoundError), self.transaction():
                    self._read(found.name)

    def _known(self) -> dict[str, tuple[int, int, int]]:
        rows = self.connection.execute("SELECT name, id, inode, consumed FROM segment")
        return {name: (key, inode, consumed) for name, key, inode, consumed in rows}

    def _stale(self, on_disk: list[segments.Segment]) -> list[int]:
        """Return the ids of the segments that are gone, replaced or shorter than they were."""
        now = {found.name: found for found in on_disk}
        stale = []
        for name, (key, inode, consumed) in self._known().items():
            found = now.get(name)
            if found is None or found.inode != inode or found.size < consumed:
                stale.append(key)
        return stale

    def _forget(self, keys: list[int]) -> None:
        """Take back all that was read from these segments."""
        if not keys:
            return
        inside = ", ".join(str(key) for key in keys)
        execute = self.connection.execute
        execute(
            "UPDATE run SET started_at = NULL, started_in = NULL, started_bytes = 0 "
            f"WHERE started_in IN ({inside})"
        )
        ending = ", ".join(f"{column} = NULL" for column in _FINISHED[3:] if column != "status")
        execute(
            f"UPDATE run SET status = 'running', {ending}, finished_in = NULL, "
            f"finished_bytes = 0 WHERE finished_in IN ({inside})"
        )
        execute("DELETE FROM run WHERE started_at IS NULL AND finished_at IS NULL")
        execute(f"DELETE FROM segment WHERE id IN ({inside})")

    def _read(self, name: str) -> None:
        with open(os.path.join(self._folder, name), "rb") as file:
            status = os.fstat(file.fileno())
            key, consumed = self._place(name, file.fileno(), status)
            file.seek(consumed)
            started: list[tuple[Any, ...]] = []
            finished: list[tuple[Any, ...]] = []
            for line in file:
                if not line.endswith(b"\n"):
                    break  # torn, or still being written: next time
                consumed += len(line)
                _sort_in(line, key, started, finished)
                if len(started) + len(finished) >= _BATCH:
                    self._write(started, finished)
            self._write(started, finished)
        self.connection.execute("UPDATE segment SET consumed = ? WHERE id = ?", (consumed, key))

    def _place(self, name: str, descriptor: int, status: os.stat_result) -> tuple[int, int]:
        """Return the segment's id and where to read on, from inside the transaction."""
        row = self.connection.execute(
            "SELECT id, inode, consumed FROM segment WHERE name = ?", (name,)
        ).fetchone()
        if row is not None:
            key, inode, consumed = row
            same = inode == status.st_ino and consumed <= status.st_size
            if same and (not consumed or os.pread(descriptor, 1, consumed - 1) == b"\n"):
                return int(key), int(consumed)
            self._forget([key])
        cursor = self.connection.execute(
            "INSERT INTO segment (name, inode, consumed) VALUES (?, ?, 0)", (name, status.st_ino)
        )
        return int(cursor.lastrowid or 0), 0

    def _write(self, started: list[tuple[Any, ...]], finished: list[tuple[Any, ...]]) -> None:
        self.connection.executemany(_INSERT_STARTED, started)
        self.connection.executemany(_INSERT_FINISHED, finished)
        started.clear()
        finished.clear()


def open_index(home: str) -> Index:
    """Open the index of a home and catch up with its journal.

    A damaged file is built anew. Where none can be written (a read-only disk), the index lives
    for this command only.
    """
    path = os.path.join(home, FILE)
    folder = segments.journal_folder(home)
    for _ in range(2):
        try:
            return _opened(path, folder)
        except sqlite3.DatabaseError as problem:
            if not _damaged(problem):
                break
            remove(path)
    return _opened("", folder)  # SQLite's own temporary database


def remove(path: str) -> None:
    """Delete an index and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(OSError):
            os.unlink(path + suffix)


def _damaged(problem: sqlite3.DatabaseError) -> bool:
    """Tell a file that is no good from one that cannot be used now (locked, read-only)."""
    if isinstance(problem, sqlite3.OperationalError):
        return str(problem).startswith(("no such", "table run has no", "malformed"))
    return True


def _opened(path: str, folder: str) -> Index:
    connection = sqlite3.connect(path, timeout=60, isolation_level=None)
    index = Index(connection, folder)
    try:
        _prepare(index, path)
        index.refresh()
    except BaseException:
        index.close()
        raise
    return index


def _prepare(index: Index, path: str) -> None:
    """Make the tables, unless they are there in the version that we write."""
    if _checked_version(index, path) == VERSION:
        return
    with contextlib.suppress(sqlite3.OperationalError):  # a slower mode does as well
        index.connection.execute("PRAGMA journal_mode = WAL")
    with index.transaction():
        if _checked_version(index, path) == VERSION:
            return
        tables = index.connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        for (name,) in tables:
            index.connection.execute('DROP TABLE "' + name.replace('"', '""') + '"')
        for statement in _SCHEMA.split(";\n"):
            if statement.strip():
                index.connection.execute(statement)
        index.connection.execute(f"PRAGMA user_version = {VERSION}")


def _checked_version(index: Index, path: str) -> int:
    found = int(index.connection.execute("PRAGMA user_version").fetchone()[0])
    if found > VERSION:
        raise NewerIndexError(f"index was written by a newer autotask; delete {path} or upgrade")
    return found


def _sort_in(
    line: bytes, key: int, started: list[tuple[Any, ...]], finished: list[tuple[Any, ...]]
) -> None:
    """Turn a line into the values of its half of a run; other events are not ours."""
    event = segments.parse(line)
    if event is None:
        return
    kind, run, at = event.get("event"), _text(event.get("run")), _text(event.get("at"))
    if not run or not at:
        return
    if kind == "started":
        started.append(_started_values(event, key, len(line), run, at))
    elif kind == "finished" and event.get("status") in _ENDINGS:
        finished.append(_finished_values(event, key, len(line), run, at))


def _started_values(
    event: dict[str, Any], key: int, size: int, run: str, at: str
) -> tuple[Any, ...]:
    tags = event.get("tags")
    return (
        run,
        key,
        size,
        _text(event.get("parent")),
        _text(event.get("root")) or run,
        _text(event.get("task")) or "",
        _text(event.get("framework")) or "",
        at,
        _text(event.get("trigger")) or "unknown",
        _integer(event.get("pid")),
        _text(event.get("host")),
        _text(event.get("python")),
        _text(event.get("service")),
        _text(event.get("env")),
        _text(event.get("version")),
        json.dumps(tags) if tags and isinstance(tags, dict) else None,
    )


def _finished_values(
    event: dict[str, Any], key: int, size: int, run: str, at: str
) -> tuple[Any, ...]:
    error = event.get("error")
    return (
        run,
        key,
        size,
        at,
        event["status"],
        _text(event.get("reason")),
        _text(event.get("caused_by")),
        _integer(event.get("exit_code")),
        _text(event.get("signal")),
        json.dumps(error) if error and isinstance(error, dict) else None,
        _real(event.get("duration")),
        _real(event.get("cpu")),
        _integer(event.get("max_rss")),
    )


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
    if not isinstance(value, (int, float)):
        return None
    real = float(value) if abs(value) < 1e300 else None
    return real
