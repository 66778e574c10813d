"""`autotask runs`: the runs, newest first for people, oldest first for programs."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from autotask.tool import history, output, quantities
from autotask.tool.index import Index
from autotask.tool.record import COLUMNS, FIELDS, Record, from_row, reason_text

if TYPE_CHECKING:
    from rich.text import Text

STATUSES = ("running", "success", "failure", "skipped")
TABLE_LIMIT = 50
_HEADS = ("RUN", "STARTED", "TASK", "FRAMEWORK", "STATUS", ">DURATION", "REASON")
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
        help="only runs started in the last 24h, 30m, 2w, ...",
    )
    parser.add_argument(
        "--limit",
        metavar="N",
        type=quantities.parse_count,
        help=f"the newest N runs, 0 for all (default: {TABLE_LIMIT} in a table, else all)",
    )
    parser.add_argument("--format", choices=("table", "jsonl", "csv"), default="table")


def run(arguments: argparse.Namespace) -> int:
    """Print the runs that match."""
    with history.opened() as index:
        if arguments.format == "jsonl":
            output.print_json_lines(_records(index, arguments) if index else ())
        elif arguments.format == "csv":
            rows = _records(index, arguments) if index else iter(())
            output.print_csv(FIELDS, (_csv_row(record) for record in rows))
        elif index is not None:
            _print_table(list(_records(index, arguments)))
        if index is None:
            print(history.NO_RUNS, file=sys.stdout if arguments.format == "table" else sys.stderr)
    return 0


def _records(index: Index, arguments: argparse.Namespace) -> Iterator[Record]:
    """Yield the records: newest first for a table, else oldest first."""
    table = arguments.format == "table"
    limit = arguments.limit
    if limit is None:
        limit = TABLE_LIMIT if table else 0
    where, values = _conditions(arguments)
    newest = f"FROM run WHERE {where} ORDER BY started_at DESC, rowid DESC"
    if table or limit:
        statement = f"SELECT {COLUMNS}, rowid AS place {newest}"
        if limit:
            statement += f" LIMIT {limit}"
        if not table:
            statement = f"SELECT {COLUMNS} FROM ({statement}) ORDER BY started_at, place"
    else:
        statement = f"SELECT {COLUMNS} FROM run WHERE {where} ORDER BY started_at, rowid"
    return (from_row(row[: len(FIELDS)]) for row in index.rows(statement, values))


def _conditions(arguments: argparse.Namespace) -> tuple[str, list[Any]]:
    where, values = ["started_at IS NOT NULL"], []
    if arguments.task is not None:
        where.append("task GLOB ?")
        values.append(arguments.task)
    for column in ("status", "framework"):
        wanted = getattr(arguments, column)
        if wanted is not None:
            # The plus keeps SQLite on the index by time, which holds this column too.
            where.append(f"+{column} = ?")
            values.append(wanted)
    if arguments.since is not None:
        where.append("started_at >= ?")
        values.append(quantities.moment(time.time() - arguments.since))
    return " AND ".join(where), values


def _csv_row(record: Record) -> list[Any]:
    record["error"] = json.dumps(record["error"]) if record["error"] else None
    record["tags"] = json.dumps(record["tags"]) if record["tags"] else None
    return list(record.values())


def _print_table(records: Sequence[Record]) -> None:
    if not records:
        print("no runs match")
        return
    now = time.time()
    output.print_table(_HEADS, (_cells(record, now) for record in records))


def _cells(record: Record, now: float) -> list[Text]:
    return [
        output.styled(record["run"][:8], "dim"),
        output.styled(quantities.local_time(record["started_at"])),
        output.styled(record["task"]),
        output.styled(record["framework"]),
        output.styled(record["status"], output.STATUS_STYLES.get(record["status"], "")),
        output.styled(duration_of(record, now)),
        output.styled(_cut(reason_text(record))),
    ]


def duration_of(record: Record, now: float) -> str:
    """Write how long a run took; of one that still runs, how long by now, with a plus sign."""
    if record["status"] != "running":
        return quantities.duration_text(record["duration"])
    started = quantities.timestamp(record["started_at"])
    return "-" if started is None else quantities.duration_text(now - started) + "+"


def _cut(text: str) -> str:
    first = text.strip().split("\n", 1)[0]
    return first if len(first) <= _LONGEST_REASON else first[: _LONGEST_REASON - 3] + "..."
