"""`autotask show`: all that is known about one run, and the tree of runs under it."""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from autotask.tool import output, quantities
from autotask.tool.errors import ToolError
from autotask.tool.journal import opening, ownership
from autotask.tool.journal.index import Index
from autotask.tool.journal.record import (
    COLUMNS,
    FIELDS,
    USER,
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

DESCRIPTION = "Show all that is known about one run, and the tree of runs under it."
_BELOW = f"""
WITH RECURSIVE below (id, whose) AS (
    SELECT ?, ?
    UNION SELECT run, owner FROM run JOIN below ON parent = id AND owner = whose
    -- UNION, not UNION ALL: so that a circle of parents ends
)
SELECT {COLUMNS} FROM run JOIN below ON run = id AND owner = whose
WHERE started_at IS NOT NULL ORDER BY started_at, run.rowid
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "run",
        metavar="RUN",
        help="a run's id or its first digits, at least 4; in a shared home also ID@USER",
    )


def run(arguments: argparse.Namespace) -> None:
    """Print the run."""
    output.print_rich(*opening.ask(partial(_answer, wanted=arguments.run)))


def _answer(index: Index | None, wanted: str) -> list[Table | Tree | str]:
    """Return what to print: the run, and the tree of runs under it, if any."""
    if index is None:
        raise ToolError(opening.NO_RUNS)
    run, owner = _resolved(index, wanted)
    rows = index.rows(_BELOW, (run, owner))
    tree = {record["run"]: record for record in (from_row(row, index.shared) for row in rows)}
    now = time.time()
    details = _details(_lines(index, tree[run], owner, now))
    return [details, "", _drawn(tree, run, now)] if len(tree) > 1 else [details]


def _resolved(index: Index, wanted: str) -> tuple[str, int]:
    """Return a run's id and owner in the index: of several users' runs, this user's."""
    prefix, _, user = wanted.partition("@")
    prefix = prefix.lower()
    if re.fullmatch(r"[0-9a-f]{4,16}", prefix) is None:
        raise ToolError(f"{wanted!r} is not a run id: 4 to 16 hex digits, as in `autotask runs`")
    if user and not index.shared:
        raise ToolError(f"{wanted!r}: only runs in a shared home have a user")
    # A range, which the index of the table answers, as it would not with LIKE; "g" follows "f".
    statement = (
        "SELECT run, owner FROM run WHERE run >= ? AND run < ? AND started_at IS NOT NULL "
        "ORDER BY run, owner"
    )
    matches = [
        (str(run), int(owner))
        for run, owner in index.rows(statement, (prefix, prefix + "g"))
        if user in ("", str(owner), ownership.short_name(owner))
    ]
    own = [(run, owner) for run, owner in matches if index.shared and owner == os.geteuid()]
    if own and not user:
        matches = own
    if not matches:
        raise ToolError(f"no run{f' of {user}' if user else ''} begins with {prefix}")
    if len(matches) > 1:
        names = [
            f"{run}@{ownership.short_name(owner)}" if index.shared else run
            for run, owner in matches[:5]
        ]
        raise ToolError(f"{prefix} is ambiguous: {', '.join(names)}")
    return matches[0]


def _details(lines: list[tuple[str, str]]) -> Table:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in lines:
        shown = output.status(value) if name == "status" else output.styled(value)
        grid.add_row(output.styled(name, "dim"), shown)
    return grid


def _lines(index: Index, record: Record, owner: int, now: float) -> list[tuple[str, str]]:
    """Return what is known, the most interesting first."""

    def named(run_id: str | None) -> str | None:
        return _named(index, run_id, owner)

    error = record["error"] or {}
    pairs: list[tuple[str, Any]] = [
        ("run", record["run"]),
        (USER, record.get(USER)),
        ("task", record["task"]),
        ("framework", record["framework"]),
        ("status", record["status"]),
        ("reason", record["reason"]),
        ("exit code", record["exit_code"]),
        ("signal", record["signal"]),
        ("error", error_text(error) if error else None),
        ("where", error.get("where")),
        ("caused by", named(record["caused_by"])),
        ("started", quantities.local_time(record["started_at"], now)),
        ("finished", record["finished_at"] and quantities.local_time(record["finished_at"], now)),
        ("duration", duration_text(record, now)),
        ("cpu", None if record["cpu"] is None else quantities.duration_text(record["cpu"])),
        ("memory", None if record["max_rss"] is None else quantities.size_text(record["max_rss"])),
        ("trigger", record["trigger"]),
        ("parent", named(record["parent"])),
        ("root", None if record["root"] == record["run"] else named(record["root"])),
        ("pid", record["pid"]),
        ("host", record["host"]),
        ("python", record["python"]),
        ("service", record["service"]),
        ("env", record["env"]),
        ("version", record["version"]),
        ("tags", ", ".join(f"{key}:{value}".rstrip(":") for key, value in record["tags"].items())),
    ]
    pairs += [
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, value in record.items()
        if name not in (*FIELDS, USER)
    ]
    return [
        (label, line)
        for name, value in pairs
        if value is not None and value != ""
        for label, line in _labelled(name, str(value))
    ]


def _labelled(name: str, value: str) -> list[tuple[str, str]]:
    """Return the lines of a value: of an error's message as many as it has, else one."""
    parts = [part for part in value.split("\n") if part.strip()] if name == "error" else [value]
    return [(name if part is parts[0] else "", part.rstrip()) for part in parts]


def _named(index: Index, run_id: str | None, owner: int) -> str | None:
    """Return a run's id, followed by its task's name if the run is known."""
    for (task,) in index.rows("SELECT task FROM run WHERE run = ? AND owner = ?", (run_id, owner)):
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
