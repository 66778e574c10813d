"""`autotask runs`: the runs, newest first for people, oldest first for programs."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from autotask import journal
from autotask.tool import history, output, quantities
from autotask.tool.index import Index
from autotask.tool.record import COLUMNS, FIELDS, Record, duration_text, from_row, reason_text

if TYPE_CHECKING:
    from rich.text import Text

SUMMARY = "list the runs"
DESCRIPTION = "List the runs: newest first in a table, oldest first in jsonl and csv."
EXAMPLES = """\
  autotask runs --since 24h --status failure
  autotask runs --task 'db.*' --limit 10
  autotask runs --framework process --format jsonl > runs.jsonl
"""
STATUSES = ("running", "success", "failure", "skipped")
TABLE_LIMIT = 50
_HEADS = ("RUN", "STARTED", "~TASK", "STATUS", ">DURATION", "~REASON")
_LONGEST_REASON = 160


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--task", metavar="GLOB", help="only tasks whose name matches: 'db.*'")
    parser.add_argument("--status", choices=STATUSES, help="only runs with this status")
    parser.add_argument("--framework", metavar="NAME", help="only runs of click, invoke, ...")
    parser.add_argument(
        "--since",
        metavar="DURATION",
        type=quantities.parse_duration,
        help="only runs that started in the last 24h, 30m, 2w, ...",
    )
    parser.add_argument(
        "--limit",
        metavar="N",
        type=quantities.parse_count,
        help=f"only the newest N runs, 0 for all (default: {TABLE_LIMIT} in a table, else all)",
    )
    parser.add_argument(
        "--format", choices=("table", "jsonl", "csv"), default="table", help="default: table"
    )


def run(arguments: argparse.Namespace) -> None:
    """Print the runs that match."""
    with history.opened() as index:
        records = _records(index, arguments) if index else iter(())
        if arguments.format == "jsonl":
            _print_json_lines(records)
        elif arguments.format == "csv":
            _print_csv(records)
        else:
            _print_table(list(records), "no runs match" if index else history.NO_RUNS)


def _records(index: Index, arguments: argparse.Namespace) -> Iterator[Record]:
    """Yield the records: newest first for a table, else oldest first."""
    table = arguments.format == "table"
    limit = arguments.limit
    if limit is None:
        limit = TABLE_LIMIT if table else 0
    where, values = _conditions(arguments)
    chosen = f"SELECT rowid FROM run WHERE {where} ORDER BY started_at DESC, rowid DESC"
    if limit:
        chosen += f" LIMIT {limit}"
    order = "DESC" if table else "ASC"
    if table or limit:
        where = f"rowid IN ({chosen})"
    statement = (
        f"SELECT {COLUMNS} FROM run WHERE {where} ORDER BY started_at {order}, rowid {order}"
    )
    return map(from_row, index.rows(statement, values))


def _conditions(arguments: argparse.Namespace) -> tuple[str, list[Any]]:
    where, values = ["started_at IS NOT NULL"], []
    if arguments.task is not None:
        where.append("task GLOB ?")
        values.append(arguments.task.replace("[!", "[^"))  # SQLite's way to say: none of these
    for column in ("status", "framework"):
        wanted = getattr(arguments, column)
        if wanted is not None:
            where.append(f"{column} = ?")
            values.append(wanted)
    if arguments.since is not None:
        where.append("started_at >= ?")
        values.append(journal.moment(time.time() - arguments.since))
    return " AND ".join(where), values


def _print_json_lines(records: Iterable[Record]) -> None:
    encode = json.JSONEncoder().encode
    for record in records:
        sys.stdout.write(encode(record) + "\n")


def _print_csv(records: Iterable[Record]) -> None:
    """Print a line of heads and a line a run; no value spans lines."""
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(FIELDS)
    for record in records:
        for name in ("error", "tags"):
            record[name] = json.dumps(record[name]) if record[name] else None
        writer.writerow(
            [output.clean(cell) if isinstance(cell, str) else cell for cell in record.values()]
        )


def _print_table(records: list[Record], otherwise: str) -> None:
    if not records:
        print(otherwise)
        return
    now = time.time()
    output.print_table(_HEADS, [_cells(record, now) for record in records])


def _cells(record: Record, now: float) -> list[Text]:
    return [
        output.styled(record["run"][:8], "dim"),
        output.styled(quantities.local_time(record["started_at"], now)),
        output.styled(record["task"]),
        output.styled(record["status"], output.STATUS_STYLES[record["status"]]),
        output.styled(duration_text(record, now)),
        output.styled(_cut(reason_text(record))),
    ]


def _cut(text: str) -> str:
    first = text.strip().split("\n", 1)[0]
    return first if len(first) <= _LONGEST_REASON else first[: _LONGEST_REASON - 3] + "..."
