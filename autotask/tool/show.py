"""`autotask show`: one run with all that is known of it, and the tree of runs under it."""

from __future__ import annotations

import argparse
import json
import re
import time
from typing import TYPE_CHECKING, Any

from autotask.tool import history, output, quantities
from autotask.tool.errors import ToolError
from autotask.tool.index import Index
from autotask.tool.record import (
    COLUMNS,
    FIELDS,
    Record,
    duration_text,
    error_text,
    from_row,
    reason_text,
)
from autotask.tool.table import LONGEST_NAME, LONGEST_REASON

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text
    from rich.tree import Tree

SUMMARY = "show one run with its children"
DESCRIPTION = "Show all that is known of one run, and the tree of runs under it."
EXAMPLES = """\
  autotask show 2f9c41d0
"""
_BELOW = f"""
WITH RECURSIVE below (id) AS (
    SELECT ? UNION SELECT run FROM run JOIN below ON parent = id  -- UNION: a circle ends
)
SELECT {COLUMNS} FROM run JOIN below ON run = id
WHERE started_at IS NOT NULL ORDER BY started_at, run.rowid
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", metavar="RUN", help="a run's id, or its first 4 or more digits")


def run(arguments: argparse.Namespace) -> None:
    """Print the run."""
    with history.opened() as index:
        if index is None:
            raise ToolError(history.NO_RUNS)
        wanted = _resolved(index, arguments.run)
        tree = {record["run"]: record for record in map(from_row, index.rows(_BELOW, (wanted,)))}
        now = time.time()
        output.print_rich(_details(_lines(index, tree[wanted], now)))
        if len(tree) > 1:
            output.print_rich("", _drawn(tree, wanted, now))


def _resolved(index: Index, wanted: str) -> str:
    """Return the id that begins so."""
    prefix = wanted.lower()
    if re.fullmatch(r"[0-9a-f]{4,16}", prefix) is None:
        raise ToolError(f"{wanted!r} is no run: 4 to 16 hex digits, as in `autotask runs`")
    statement = (
        "SELECT run FROM run WHERE run >= ? AND run < ? AND started_at IS NOT NULL "
        "ORDER BY run LIMIT 5"
    )
    found = [str(run) for (run,) in index.rows(statement, (prefix, prefix + "g"))]
    if not found:
        raise ToolError(f"no run begins with {prefix}")
    if len(found) > 1:
        raise ToolError(f"{prefix} is ambiguous: {', '.join(found)}")
    return found[0]


def _details(lines: list[tuple[str, str]]) -> Table:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in lines:
        shown = output.status(value) if name == "status" else output.styled(value)
        grid.add_row(output.styled(name, "dim"), shown)
    return grid


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
        ("started", quantities.local_time(record["started_at"], now)),
        ("finished", record["finished_at"] and quantities.local_time(record["finished_at"], now)),
        ("duration", duration_text(record, now)),
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
    pairs += [
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, value in record.items()
        if name not in FIELDS
    ]
    return [
        (label, line)
        for name, value in pairs
        if value is not None and value != ""
        for label, line in _labelled(name, str(value))
    ]


def _labelled(name: str, value: str) -> list[tuple[str, str]]:
    """Give an error's message the lines it has; what else there is gets one."""
    parts = [part for part in value.split("\n") if part.strip()] if name == "error" else [value]
    return [(name if part is parts[0] else "", part.rstrip()) for part in parts]


def _named(index: Index, run_id: str | None) -> str | None:
    """Write a run's id with its task's name behind it, where the run is known."""
    for (task,) in index.rows("SELECT task FROM run WHERE run = ?", (run_id,)):
        if task:
            return f"{run_id} {task}"
    return run_id


def _drawn(tree: dict[str, Record], wanted: str, now: float) -> Tree:
    """Draw the runs of a tree, each under its parent, oldest first."""
    from rich.tree import Tree

    branches = {run: Tree(_label(record, now)) for run, record in tree.items()}
    for run, branch in branches.items():
        if run != wanted:
            branches[tree[run]["parent"]].children.append(branch)
    return branches[wanted]


def _label(record: Record, now: float) -> Text:
    label = output.cut(output.styled(record["task"]), LONGEST_NAME).append("  ")
    label.append_text(output.status(record["status"]))
    label.append_text(output.styled("  " + duration_text(record, now)))
    reason = reason_text(record)
    if reason:
        label.append("  ").append_text(output.cut(output.styled(reason), LONGEST_REASON))
    return label.append_text(output.styled("  " + record["run"][:8], "dim"))
