"""The runs under a run: a few as records, many as groups of one task each.

A worker may have a hundred thousand runs under it. They are counted in SQLite, so that this process
only ever holds what is shown.
"""

from __future__ import annotations

from typing import NamedTuple

from autotask.tool import quantities
from autotask.tool.journal.index import Index
from autotask.tool.journal.record import COLUMNS, Record, from_row

FEW = 200  # runs under one: more of them are shown as groups
_GROUPS = 40  # the largest are shown
_FAILURES = 10  # the last ones are shown
_USUAL = 50  # successes, as in `autotask tasks`
_BELOW = """
WITH RECURSIVE below (id, whose) AS (
    SELECT ?, ?
    UNION SELECT run, owner FROM run JOIN below ON parent = id AND owner = whose
    -- UNION, not UNION ALL: so that a circle of parents ends
    {}
)
"""
_RUNS = f"""
SELECT {COLUMNS} FROM run JOIN below ON run = id AND owner = whose
WHERE started_at IS NOT NULL ORDER BY started_at, run.rowid
"""
_COPY = """
INSERT INTO temp.under
SELECT run.rowid, task, framework, status, reason, started_at, duration
FROM run JOIN below ON run = id AND owner = whose
WHERE started_at IS NOT NULL AND (run, owner) <> (?, ?)
"""
_LAST_FAILURES = f"""
SELECT {COLUMNS} FROM run WHERE rowid IN (
    SELECT id FROM temp.under WHERE status = 'failure' AND reason IS NOT 'nested'
    ORDER BY started_at DESC LIMIT {_FAILURES}
) ORDER BY started_at DESC, rowid DESC
"""


class Group(NamedTuple):
    """The runs of one task under a run."""

    task: str
    framework: str
    runs: int
    statuses: dict[str, int]  # how many there are of each
    usual: float | None  # seconds: the median of the last successes
    longest: float | None  # seconds


class Many(NamedTuple):
    """More runs than can be shown one by one."""

    runs: int
    groups: list[Group]  # the largest, those with most runs first
    more: int  # groups that are left out
    failures: list[Record]  # the last ones, newest first


def records(index: Index, run: str, owner: int, limit: int | None = None) -> list[Record]:
    """Return a run and the runs under it, oldest first; at most about so many if there is a limit.

    A parent is in it before its children are.
    """
    below = _BELOW.format("" if limit is None else f"LIMIT {limit}")
    rows = index.rows(below + _RUNS, (run, owner))
    return [from_row(row, index.shared, index.kept) for row in rows]


def many(index: Index, run: str, owner: int) -> Many:
    """Return the runs under a run as groups."""
    execute = index.connection.execute
    execute(
        "CREATE TEMP TABLE under (id INTEGER PRIMARY KEY, "
        "task, framework, status, reason, started_at, duration)"
    )
    execute(_BELOW.format("") + _COPY, (run, owner, run, owner))
    execute("CREATE INDEX temp.under_by_task ON under (task, framework, status, started_at)")
    ((runs, tasks),) = execute(
        "SELECT sum(runs), count(*) FROM (SELECT count(*) AS runs FROM temp.under "
        "GROUP BY task, framework)"
    )
    largest = execute(
        "SELECT task, framework, count(*), max(duration) FROM temp.under "
        f"GROUP BY task, framework ORDER BY count(*) DESC, task, framework LIMIT {_GROUPS}"
    )
    groups = [_group(index, *row) for row in largest.fetchall()]
    failures = [from_row(row, index.shared, index.kept) for row in execute(_LAST_FAILURES)]
    return Many(runs or 0, groups, tasks - len(groups), failures)


def _group(index: Index, task: str, framework: str, runs: int, longest: float | None) -> Group:
    of_task = "FROM temp.under WHERE task = ? AND framework = ?"
    statuses = index.rows(f"SELECT status, count(*) {of_task} GROUP BY status", (task, framework))
    successes = index.rows(
        f"SELECT duration {of_task} AND status = 'success' ORDER BY started_at DESC LIMIT {_USUAL}",
        (task, framework),
    )
    durations = [duration for (duration,) in successes if duration is not None]
    usual = quantities.median(durations) if durations else None
    return Group(task, framework, runs, dict(statuses), usual, longest)
