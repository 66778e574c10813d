"""The runs that match, with those that they are in, and those in them; the others are counted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from autotask.around.journal_lines import UNREMARKABLE
from autotask.tool.journal.below import FEW
from autotask.tool.journal.index import Index
from autotask.tool.journal.record import COLUMNS, Record, from_row

COUNTED = 1000  # of the runs that are not drawn under one, so many are counted
_CHOSEN = """
CREATE TEMP TABLE chosen (
    id TEXT, whose INTEGER, matches INTEGER, PRIMARY KEY (id, whose)
) WITHOUT ROWID
"""
_ABOVE = """
WITH RECURSIVE above (id, whose) AS (
    SELECT id, whose FROM temp.chosen
    UNION SELECT parent, owner FROM run JOIN above ON run = id AND owner = whose
    WHERE parent IS NOT NULL
)
INSERT OR IGNORE INTO temp.chosen SELECT id, whose, 0 FROM above
"""
_BELOW = """
WITH RECURSIVE below (id, whose) AS (
    SELECT id, whose FROM temp.chosen WHERE matches
    UNION SELECT run, owner FROM run JOIN below ON parent = id AND owner = whose WHERE {}
    LIMIT (SELECT count(*) FROM temp.chosen) + ?
)
INSERT OR IGNORE INTO temp.chosen SELECT id, whose, 0 FROM below
"""
_RUNS = """
SELECT matches, (SELECT count(*) FROM (
    SELECT 1 FROM run WHERE parent = id AND owner = whose AND started_at IS NOT NULL AND ({})
    AND NOT EXISTS (SELECT 1 FROM temp.chosen AS drawn WHERE drawn.id = run AND drawn.whose = owner)
    LIMIT {}
)), {}
FROM temp.chosen CROSS JOIN run ON run = id AND owner = whose  -- in this order: those are few
WHERE started_at IS NOT NULL ORDER BY started_at, run.rowid
"""


class Drawn(NamedTuple):
    """A run of a tree."""

    record: Record
    matches: bool  # the user has asked for it
    more: int  # runs right under it that are not drawn; COUNTED + 1: still more


def records(index: Index, chosen: Iterable[int], bookkeeping: bool) -> list[Drawn]:
    """Return runs with those around them, oldest first.

    Args:
        index: The journal's.
        chosen: Which runs: rows of its table.
        bookkeeping: Whether those in them are listed also if a framework runs them for itself.
    """
    execute = index.connection.execute
    execute(_CHOSEN)
    insert = "INSERT INTO temp.chosen SELECT run, owner, 1 FROM run WHERE rowid = ?"
    index.connection.executemany(insert, ((row,) for row in chosen))
    execute(_ABOVE)
    listed = "1" if bookkeeping else f"bookkeeping IS NULL OR status NOT IN {UNREMARKABLE}"
    execute(_BELOW.format(listed), (FEW,))
    rows = execute(_RUNS.format(listed, COUNTED + 1, COLUMNS))
    return [
        Drawn(from_row(tuple(row), index.shared), bool(matches), more)
        for matches, more, *row in rows
    ]
