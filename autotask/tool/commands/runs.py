"""`autotask runs`: list runs, newest first for people, oldest first for programs."""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from autotask.tool import output, quantities, run_table
from autotask.tool.journal import filters, layers, opening, trees
from autotask.tool.journal.index import Index
from autotask.tool.journal.record import COLUMNS, FIELDS, OWNER, USER, Record, from_row
from autotask.tool.run_table import Block, Entry

Row = tuple[Any, ...]  # of the index, with COLUMNS

DESCRIPTION = """\
List runs: newest first in a table, oldest first in the formats for programs. A terminal shows those
that fit the window, the newest at the bottom. The process around a single task, and failures that a
failure inside has caused, are left out."""
TABLE_LIMIT = 50
_COUNTED = 1000  # of the runs that are not shown, so many are counted
_STARTED = "started"
_SORTS = {
    _STARTED: "started_at",
    "duration": "CASE status WHEN 'running' THEN (julianday('now') - julianday(started_at)) * 86400"
    " ELSE duration END",
    "cpu": "cpu",
    "memory": "max_rss",
    "waited": "waited",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    filters.add_filters(
        parser, "the process around a single task, failures that a failure inside has caused, and "
    )
    text = f"only runs with this status: {filters.STATUSES}"
    filters.add_filter(parser, "--status", "S", text)
    parser.add_argument(
        "--sort",
        choices=_SORTS,
        default=_STARTED,
        help=f"the largest first where the newest would be (default: {_STARTED})",
    )
    parser.add_argument(
        "--limit",
        metavar="N",
        type=quantities.parse_count,
        help="only the newest N runs, 0 for all (default: what fits a terminal, "
        f"{TABLE_LIMIT} in another table, else all)",
    )
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument(
        "--tree", action="store_true", help="draw the runs with those around and inside them"
    )
    filters.add_format(forms)


def run(arguments: argparse.Namespace) -> None:
    """Print the runs that match."""
    opening.ask(_Printer(arguments).print)


class _Printer:
    """Prints the runs. If the index turns out to be damaged, a second call continues the list."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._printed = 0  # records, in the formats for programs

    def print(self, index: Index | None) -> None:
        """Print the runs of an index."""
        form = self._arguments.format
        if form == "table":
            _print_table(index, self._arguments)
            return
        records = _records(index, self._arguments) if index else iter(())
        if form == "jsonl":
            output.print_json(self._rest(records), form)
        elif form == "json":
            every = list(records)
            output.print_json(every, form)
            self._printed = len(every)
        else:
            shared = index is not None and index.shared
            fields = (*FIELDS, USER) if shared else FIELDS
            output.print_csv(fields, self._rest(records), heads=not self._printed)
        if index and not self._printed:
            filters.tell_unknown_status(index, self._arguments.status)

    def _rest(self, records: Iterator[Record]) -> Iterator[Record]:
        for record in itertools.islice(records, self._printed, None):
            yield record
            self._printed += 1


def _records(index: Index, arguments: argparse.Namespace) -> Iterator[Record]:
    """Yield the records for programs: oldest first."""
    order = _order(arguments, "ASC")
    if arguments.limit:
        newest = layers.first(index, arguments, _order(arguments, "DESC"), arguments.limit)
        rows = _of_rows(index, newest[::-1], order)
    else:
        where, values = layers.listed(arguments)
        rows = _of_query(index, where, values, order)
    return (_record(index, row, not arguments.all) for row in rows)


def _order(arguments: argparse.Namespace, direction: str) -> str:
    """Return the order of the runs in SQL."""
    return f"{_SORTS[arguments.sort]} {direction}, rowid {direction}"


def _record(index: Index, row: tuple[Any, ...], stands_for_layers: bool) -> Record:
    """Return the record of a run; that of a job has the output that was kept of its process."""
    record = from_row(row, index.shared, index.kept)
    if stands_for_layers and record["status"] == "failure":
        record["output"] = index.kept.of_failure(index, record["run"], row[OWNER])
    return record


def _of_query(index: Index, where: str, values: list[Any], order: str) -> Iterator[Row]:
    return index.rows(f"SELECT {COLUMNS} FROM run WHERE {where} ORDER BY {order}", values)


def _of_rows(index: Index, rows: list[int], order: str) -> Iterator[Row]:
    """Yield some rows of the table, which are in this order."""
    for at in range(0, len(rows), layers.ROWS):
        yield from _of_query(index, layers.among(rows[at : at + layers.ROWS]), [], order)


def _print_table(index: Index | None, arguments: argparse.Namespace) -> None:
    if index is None:
        print(opening.no_runs())
        return
    height = output.window_height() if output.for_terminal() else 0
    limit = arguments.limit
    if limit is None:
        limit = height or TABLE_LIMIT
    blocks = _blocks(index, arguments, limit)
    now = time.time()
    if not blocks:
        print(filters.none_match(index, arguments.status))
    elif not height:
        run_table.print_all(blocks, now)
    else:
        read = sum(block.asked_for for block in blocks)
        count = partial(_count, index, arguments) if read == limit else lambda _: read
        more = partial(_more, count, arguments.sort == _STARTED)
        run_table.print_upwards(blocks, now, height if arguments.limit is None else 0, more)


def _blocks(index: Index, arguments: argparse.Namespace, limit: int) -> list[Block]:
    """Return the newest or largest runs, in this order, or the trees around them."""
    order = _order(arguments, "DESC")
    rows = layers.first(index, arguments, order, limit)
    if arguments.tree:
        return run_table.trees(trees.records(index, rows, arguments.all))
    entries = (Entry(from_row(row, index.shared)) for row in _of_rows(index, rows, order))
    return [Block([entry]) for entry in entries]


def _count(index: Index, arguments: argparse.Namespace, enough: int) -> int:
    """Return how many runs match, or *enough* if they are more."""
    where, values = layers.listed(arguments)
    statement = f"SELECT count(*) FROM (SELECT 1 FROM run WHERE {where} LIMIT {enough})"
    ((count,),) = index.rows(statement, values)
    return int(count)


def _more(count: Callable[[int], int], by_time: bool, shown: int) -> str:
    """Say how many runs match beside those that are shown."""
    more = count(shown + _COUNTED + 1) - shown
    if not more:
        return ""
    number = f"more than {_COUNTED}" if more > _COUNTED else str(more)
    runs = "run" if more == 1 else "runs"
    return f"{number} {'earlier' if by_time else 'more'} {runs}: --limit 0 lists all"
