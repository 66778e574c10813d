"""`autotask show`: one run with all that is known of it, and the tree of runs under it."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from typing import TYPE_CHECKING, Any

from autotask.tool import history, output, quantities
from autotask.tool.errors import ToolError
from autotask.tool.index import Index
from autotask.tool.record import COLUMNS, Record, error_text, from_row, reason_text
from autotask.tool.runs import duration_of

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

_BELOW = f"""
WITH RECURSIVE below (id) AS (
    SELECT ? UNION SELECT run FROM run JOIN below ON parent = id  -- UNION: a circle ends
)
SELECT {COLUMNS} FROM run JOIN below ON run = id
WHERE started_at IS NOT NULL ORDER BY started_at, run.rowid
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "run", metavar="RUN", help="a run's id, its first 4 or more digits, or `last`"
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(arguments: argparse.Namespace) -> int:
    """Print the run."""
    with history.opened() as index:
        if index is None:
            out = sys.stdout if arguments.format == "table" else sys.stderr
            print(history.NO_RUNS, file=out)
            return 0
        found = _tree(index, _resolved(index, arguments.run))
        if arguments.format == "json":
            print(json.dumps(found, indent=2))
        else:
            _print_run(index, found)
    return 0


def _resolved(index: Index, wanted: str) -> str:
    """Return the id that a prefix or `last` (the newest run that has no parent) means."""
    if wanted == "last":
        return _last(index)
    prefix = wanted.lower()
    if re.fullmatch(r"[0-9a-f]{4,16}", prefix, re.ASCII) is None:
        raise ToolError(f"{wanted!r} is no run: 4 to 16 hex digits, or `last`")
    statement = (
        "SELECT run FROM run WHERE run >= ? AND run < ? AND started_at IS NOT NULL "
        "ORDER BY run LIMIT 5"
    )
    found = [row[0] for row in index.rows(statement, (prefix, prefix + "g"))]
    if not found:
        raise ToolError(f"no run begins with {prefix}")
    if len(found) > 1:
        raise ToolError(f"{prefix} is ambiguous: {', '.join(found)}")
    return str(found[0])


def _last(index: Index) -> str:
    newest = "SELECT run FROM run WHERE started_at IS NOT NULL {} ORDER BY started_at DESC LIMIT 1"
    for condition in ("AND parent IS NULL", ""):
        for row in index.rows(newest.format(condition)):
            return str(row[0])
    raise ToolError("no run has started yet")


def _tree(index: Index, wanted: str) -> Record:
    """Return the record with `children`: the same, oldest first, all the way down."""
    records = {record["run"]: record for record in map(from_row, index.rows(_BELOW, (wanted,)))}
    for record in records.values():
        record["children"] = []
    for key, record in records.items():
        if key != wanted:
            records[record["parent"]]["children"].append(record)
    return records[wanted]


def _print_run(index: Index, record: Record) -> None:
    console = output.console()
    now = time.time()
    width = max(len(name) for name, _ in _lines(index, record, now))
    for name, value in _lines(index, record, now):
        style = output.STATUS_STYLES.get(value, "") if name == "status" else ""
        label = output.styled(name.ljust(width + 2), "dim")
        console.print(label.append_text(output.styled(value, style)), soft_wrap=True)
    if record["children"]:
        console.print()
        console.print(_rendered(record, now), soft_wrap=True)


def _lines(index: Index, record: Record, now: float) -> list[tuple[str, str]]:
    """Return what is known, in the order in which a person asks for it."""
    error = record["error"] or {}
    pairs: list[tuple[str, Any]] = [
        ("run", record["run"]),
        ("task", record["task"]),
        ("framework", record["framework"]),
        ("status", record["status"]),
        ("reason", record["reason"]),
        ("exit code", record["exit_code"]),
        ("signal", record["signal"]),
        ("error", error_text(error) if error else None),
        ("where", error.get("where")),
        ("caused by", _named(index, record["caused_by"])),
        ("started", quantities.local_time(record["started_at"])),
        ("finished", record["finished_at"] and quantities.local_time(record["finished_at"])),
        ("duration", duration_of(record, now)),
        ("cpu", None if record["cpu"] is None else quantities.duration_text(record["cpu"])),
        ("memory", None if record["max_rss"] is None else quantities.size_text(record["max_rss"])),
        ("trigger", record["trigger"]),
        ("parent", _named(index, record["parent"])),
        ("root", None if record["root"] == record["run"] else _named(index, record["root"])),
        ("pid", record["pid"]),
        ("host", record["host"]),
        ("python", record["python"]),
        ("service", record["service"]),
        ("env", record["env"]),
        ("version", record["version"]),
        ("tags", ", ".join(f"{key}:{value}" for key, value in record["tags"].items())),
    ]
    return [(name, str(value)) for name, value in pairs if value is not None and value != ""]


def _named(index: Index, run_id: str | None) -> str | None:
    """Write a run's id with its task's name behind it, where the run is known."""
    if run_id is None:
        return None
    for (task,) in index.rows("SELECT task FROM run WHERE run = ?", (run_id,)):
        return f"{run_id} {task}" if task else run_id
    return run_id


def _rendered(record: Record, now: float) -> Tree:
    from rich.tree import Tree

    top = Tree(_label(record, now))
    waiting = [(record, top)]
    while waiting:
        parent, branch = waiting.pop()
        for child in parent["children"]:
            waiting.append((child, branch.add(_label(child, now))))
    return top


def _label(record: Record, now: float) -> Text:
    status = record["status"]
    label = output.styled(record["task"] + "  ")
    label.append_text(output.styled(status, output.STATUS_STYLES.get(status, "")))
    label.append_text(output.styled("  " + duration_of(record, now)))
    reason = reason_text(record)
    if reason:
        label.append_text(output.styled("  " + reason))
    return label.append_text(output.styled("  " + record["run"][:8], "dim"))
