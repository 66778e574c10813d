"""The tables of the index, their version, and the statement that adds a run to them."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

from autotask.tool.errors import ToolError

if TYPE_CHECKING:
    from autotask.tool.journal.waiting import Connection

VERSION = 6
# 1: first. 2: an index of the runs without an end, instead of those that are running.
# 3: any status, the fields that this version does not know, and owners.
# 4: what a segment was when it was read; of two ends the earlier counts, not the one read first.
# 5: attempts, waiting, who enqueued a run, servers; an end without a status is one.
# 6: bookkeeping runs; the version of Ruby.
RUNNING = "running"  # the status of a run without an end
_NEWEST = 1000  # a number above it is damage

_TABLES = """
CREATE TABLE segment (
    -- a file of the journal, as far as it has been read
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    inode INTEGER NOT NULL,         -- another inode: the file was replaced
    changed INTEGER NOT NULL,       -- Segment.changed; the same: nothing was written since
    size INTEGER NOT NULL,          -- bytes read
    consumed INTEGER NOT NULL,      -- bytes read up to the end of the last whole line
    halves INTEGER NOT NULL,        -- starts and ends read, some perhaps twice
    edges BLOB NOT NULL             -- its first and last bytes; others: the file was overwritten
);
CREATE TABLE run (
    -- a started and a finished line, joined in whichever order they came; of two the earlier one
    -- counts (at the same moment: a failure), but any other end replaces `lost`: another process
    -- wrote that, and may be wrong
    run TEXT NOT NULL,
    owner INTEGER NOT NULL,         -- user id in a shared home, else 0: no other can end this run
    parent TEXT,
    root TEXT,
    task TEXT,
    framework TEXT,
    started_at TEXT,                -- null: no started line yet, not shown
    "trigger" TEXT,
    attempt INTEGER,                -- from 1
    waited REAL,                    -- seconds
    enqueued_by TEXT,               -- a run, perhaps of another owner or machine
    server INTEGER,                 -- 1 or null
    bookkeeping INTEGER,            -- 1 or null: a framework runs it for itself
    pid INTEGER,
    process TEXT,                   -- see procfs.identity
    host TEXT,
    python TEXT,                    -- null in a program of Ruby
    ruby TEXT,                      -- null in one of Python
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
CREATE INDEX run_by_time ON run (started_at, task, framework, status, bookkeeping);
CREATE INDEX run_by_task ON run (task, framework, status, started_at, server, bookkeeping);
CREATE INDEX run_of_framework ON run (task, framework, status, started_at, server, bookkeeping)
    WHERE bookkeeping IS NOT NULL;
CREATE INDEX run_by_parent ON run (parent) WHERE parent IS NOT NULL;
CREATE INDEX run_by_asker ON run (enqueued_by, started_at) WHERE enqueued_by IS NOT NULL;
CREATE INDEX run_unended ON run (run) WHERE finished_at IS NULL;
"""
# The columns of a run that come from its started line, and those from its finished line.
STARTED = (
    *("parent", "root", "task", "framework", "started_at", "trigger"),
    *("attempt", "waited", "enqueued_by", "server", "bookkeeping", "pid", "process"),
    *("host", "python", "ruby", "service", "env", "version", "tags"),
    *("started_in", "started_bytes"),
    "started_more",
)
FINISHED = (
    *("finished_at", "status", "reason", "caused_by", "exit_code", "signal", "error"),
    *("duration", "cpu", "max_rss", "finished_in", "finished_bytes"),
    "finished_more",
)
# Their values as long as that line is missing.
NOT_STARTED: tuple[Any, ...] = (None,) * len(STARTED)
NOT_FINISHED: tuple[Any, ...] = (None, RUNNING, *[None] * (len(FINISHED) - 2))


def _upsert() -> str:
    columns = [f'"{column}"' for column in STARTED + FINISHED]
    start = "run.started_at IS NULL OR excluded.started_at < run.started_at"
    # `run_rows` compares two ends of one reading in the same way.
    end = (
        "run.finished_at IS NULL OR (excluded.finished_at IS NOT NULL "
        "AND (excluded.reason IS 'lost', excluded.finished_at, excluded.status <> 'failure') "
        "< (run.reason IS 'lost', run.finished_at, run.status <> 'failure'))"
    )
    takes_new = [start] * len(STARTED) + [end] * len(FINISHED)
    sets = [
        f"{column} = CASE WHEN {condition} THEN excluded.{column} ELSE run.{column} END"
        for column, condition in zip(columns, takes_new)
    ]
    return (
        f"INSERT INTO run (run, owner, {', '.join(columns)}) VALUES (?, ?{', ?' * len(columns)}) "
        f"ON CONFLICT (run, owner) DO UPDATE SET {', '.join(sets)}"
    )


UPSERT = _upsert()  # add a run, or the line of it that was missing: run, owner, STARTED, FINISHED


def prepare(connection: Connection, path: str) -> None:
    """Create the tables, unless they exist in this version."""
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA cache_size = -131072")  # KiB, for a long reading
    if _checked_version(connection, path) == VERSION:
        return
    with contextlib.suppress(sqlite3.OperationalError):  # a slower mode works, too
        connection.execute("PRAGMA journal_mode = WAL")
    with connection.transaction():
        if _checked_version(connection, path) == VERSION:  # created by another command meanwhile
            return
        for table in ("segment", "run"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in _TABLES.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _checked_version(connection: Connection, path: str) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if not 0 <= version < _NEWEST:
        raise sqlite3.DatabaseError(f"no version has the number {version}")
    if version > VERSION:
        raise ToolError(
            f"{path} was written by a newer autotask: upgrade this one, or delete the file "
            "(it is rebuilt from the journal)"
        )
    return version
