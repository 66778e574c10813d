"""`autotask runs`: list runs, newest first for people, oldest first for programs."""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from autotask.tool import output, quantities
from autotask.tool.journal import filters, opening
from autotask.tool.journal.index import Index
from autotask.tool.journal.record import (
    COLUMNS,
    FIELDS,
    USER,
    Record,
    duration_text,
    from_row,
    reason_text,
)
from autotask.tool.table import Column, print_table

if TYPE_CHECKING:
    from rich.text import Text

DESCRIPTION = "List runs: newest first in a table, oldest first in the formats for programs."
TABLE_LIMIT = 50
_STATUSES = "success, failure, running, skipped or retried"
_COLUMNS = (
    Column("RUN"),
    Column("STARTED", goes=2),
    Column("TASK", shrinks=True),
    Column("STATUS"),
    Column("DURATION", right=True, goes=1),
    Column("REASON", falls=True),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    filters.add_filters(parser)
    text = f"only runs with this status: {_STATUSES}; may be repeated"
    filters.add_filter(parser, "--status", "S", text)
    parser.add_argument(
        "--limit",
        metavar="N",
        type=quantities.parse_count,
        help=f"only the newest N runs, 0 for all (default: {TABLE_LIMIT} in a table, else all)",
    )
    filters.add_format(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the runs that match."""
    opening.ask(_Printer(arguments).print)


class _Printer:
    """Prints the runs. If the index turns out to be damaged, a second call continues the list."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._printed = 0  # records, in the formats that print each as soon as it is read

    def print(self, index: Index | None) -> None:
        """Print the runs of an index."""
        records = _records(index, self._arguments) if index else iter(())
        form = self._arguments.format
        if form == "jsonl":
            output.print_json(self._rest(records), form)
        elif form == "json":
            output.print_json(list(records), form)
        elif form == "csv":
            shared = index is not None and index.shared
            fields = (*FIELDS, USER) if shared else FIELDS
            output.print_csv(fields, self._rest(records), heads=not self._printed)
        else:
            rows = list(records)
            none = opening.NO_RUNS
            if index and not rows:
                none = _none_match(self._arguments.status, index)
            _print_table(rows, none)

    def _rest(self, records: Iterator[Record]) -> Iterator[Record]:
        for record in itertools.islice(records, self._printed, None):
            yield record
            self._printed += 1


def _records(index: Index, arguments: argparse.Namespace) -> Iterator[Record]:
    """Yield the records: newest first for a table, else oldest first."""
    newest_first = arguments.format == "table"
    limit = arguments.limit
    if limit is None:
        limit = TABLE_LIMIT if newest_first else 0
    where, values = filters.conditions(arguments)
    # The newest runs have to be chosen before they are sorted. An index of the table alone answers
    # that, so that whole rows are read only of those chosen.
    newest = f"SELECT rowid FROM run WHERE {where} ORDER BY started_at DESC, rowid DESC"
    if limit:
        newest += f" LIMIT {limit}"
    order = "DESC" if newest_first else "ASC"
    if newest_first or limit:
        where = f"rowid IN ({newest})"
    statement = (
        f"SELECT {COLUMNS} FROM run WHERE {where} ORDER BY started_at {order}, rowid {order}"
    )
    return (from_row(row, index.shared) for row in index.rows(statement, values))


def _none_match(statuses: list[str], index: Index) -> str:
    """Say that there is no such run, and which status may be misspelled.

    None is an error: a later autotask may have written others.
    """
    known = {*output.STATUS_STYLES}
    for status in statuses:
        any_run = "SELECT status FROM run WHERE status = ? AND started_at IS NOT NULL LIMIT 1"
        if status not in known.union(*index.rows(any_run, [status])):
            return f"no runs match: {output.clean(status)} is not a status: {_STATUSES}"
    return "no runs match"


def _print_table(records: list[Record], if_empty: str) -> None:
    if not records:
        print(if_empty)
        return
    now = time.time()
    rows = [_cells(record, now) for record in records]
    if USER not in records[0]:
        print_table(_COLUMNS, rows)
        return
    for record, row in zip(records, rows):
        row.insert(1, output.styled(record[USER]))
    print_table((_COLUMNS[0], Column("USER"), *_COLUMNS[1:]), rows)


def _cells(record: Record, now: float) -> list[Text]:
    started = quantities.local_time(record["started_at"], now, short=output.for_terminal())
    return [
        output.styled(record["run"][:8], "dim"),
        output.styled(started),
        output.styled(record["task"]),
        output.status(record["status"]),
        output.styled(duration_text(record, now)),
        output.styled(reason_text(record)),
    ]
