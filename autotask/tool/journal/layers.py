"""Which runs are layers around another one, and say nothing that it does not say.

`inv db.migrate` is two runs, that of the process and that of the task in it: one job. If the task
fails, so does the process, and a task around it: one failure. A list shows each job and each
failure once, by the run that says most.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterable
from typing import Any

from autotask.tool.journal import filters
from autotask.tool.journal.index import Index

# Each is left out only if the other run is listed itself, for which the filters are filled in.
_ONE_TASK = """
(run.framework = 'process' AND run.server IS NULL AND run.status <> 'failure'
-- two of them are enough to know: a worker has very many
AND 1 = (SELECT count(*) FROM (
    SELECT 1 FROM run AS child WHERE child.parent = run.run AND child.owner = run.owner
    AND child.started_at IS NOT NULL AND child.bookkeeping IS NULL LIMIT 2
))
AND EXISTS (
    SELECT 1 FROM run AS other WHERE other.parent = run.run AND other.owner = run.owner
    AND other.framework <> 'process' AND other.bookkeeping IS NULL
    AND other.status = run.status AND {}
))
"""
_NESTED = """
(run.status = 'failure' AND run.reason IS 'nested' AND EXISTS (
    SELECT 1 FROM run AS other WHERE other.run = run.caused_by AND other.owner = run.owner
    AND other.status = 'failure' AND other.run <> run.run AND {}
))
"""
ROWS = 500  # of the table, that one query asks for
_AT_ONCE = 4  # times as many runs as are wanted: mostly enough, and quicker to sort than all


def listed(arguments: argparse.Namespace) -> tuple[str, list[Any]]:
    """Return which runs are listed as an SQL condition on the table `run`, and its values."""
    where, values = filters.conditions(arguments)
    no_layers, more = _no_layers(arguments)
    return f"{where} AND {no_layers}", values + more


def first(index: Index, arguments: argparse.Namespace, order: str, limit: int) -> list[int]:
    """Return the rows of so many runs that are listed, the first ones in an order of SQL.

    No limit (0): all. Whether a run is a layer costs most: only the first ones that match are asked
    for it, which an index of the table alone can tell.
    """
    where, values = filters.conditions(arguments)
    no_layers, more = _no_layers(arguments)
    candidates = f"SELECT rowid FROM run WHERE {where} ORDER BY {order}"
    unfolded = f"{no_layers} ORDER BY {order}"
    found: list[int] = []
    wanted = limit or math.inf
    some_of_all = ((0, _AT_ONCE * limit), (_AT_ONCE * limit, -1))
    for start, count in some_of_all if limit else ((0, -1),):
        rows = index.rows(f"{candidates} LIMIT {count} OFFSET {start}", values)
        read = 0
        while len(found) < wanted and (some := [row for (row,) in itertools.islice(rows, ROWS)]):
            read += len(some)
            statement = f"SELECT rowid FROM run WHERE {among(some)} AND {unfolded}"
            found += (row for (row,) in index.rows(statement, more))
        if read < count or len(found) >= wanted:
            break
    return found[: limit or None]


def among(rows: Iterable[int]) -> str:
    """Return an SQL condition for some rows of the table `run`."""
    return f"run.rowid IN ({', '.join(map(str, rows))})"


def _no_layers(arguments: argparse.Namespace) -> tuple[str, list[Any]]:
    if arguments.all:
        return "1", []
    named, names = filters.by_name(arguments)
    other, values = filters.matching(arguments, "other")
    condition = f"({named} OR NOT {_ONE_TASK.format(other)} AND NOT {_NESTED.format(other)})"
    return condition, [*names, *values, *values]
