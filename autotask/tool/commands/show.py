"""`autotask show`: all that is known about one run, and the tree of runs under it."""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from autotask.tool import output, quantities
from autotask.tool.errors import ToolError
from autotask.tool.journal import below, opening, ownership
from autotask.tool.journal.index import Index
from autotask.tool.journal.record import (
    FIELDS,
    USER,
    Record,
    duration_text,
    error_text,
    reason_text,
)
from autotask.tool.table import LONGEST_NAME, LONGEST_REASON, Column, print_table

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text
    from rich.tree import Tree

DESCRIPTION = """\
Show all that is known about one run, and the tree of runs under it. If they are many, as under a
worker, show their tasks with counts and durations, and the last failures."""
_ENQUEUED = 5  # of the runs that a run enqueued, the first are shown
_COLUMNS = (  # between them: one for each status
    (Column("TASK", shrinks=True), Column("FRAMEWORK", goes=3), Column("RUNS", right=True)),
    (Column("USUALLY", right=True, goes=1), Column("LONGEST", right=True, goes=2)),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "run",
        metavar="RUN",
        help="a run's id or its first digits, at least 4; in a shared home also ID@USER",
    )
    parser.add_argument(
        "--all", action="store_true", help="draw the tree of all runs, however many there are"
    )


def run(arguments: argparse.Namespace) -> None:
    """Print the run."""
    answer = partial(_answer, wanted=arguments.run, limit=None if arguments.all else below.FEW)
    shown = opening.ask(answer)
    output.print_rich(_details(shown.lines))
    if isinstance(shown.under, below.Many):
        _print_many(shown.under)
    elif len(shown.under) > 1:
        output.print_rich("", _drawn(shown.under, shown.run, time.time()))


class _Shown(NamedTuple):
    run: str  # its whole id
    lines: list[tuple[str, str]]  # what is known of it
    under: dict[str, Record] | below.Many  # the run and those under it; or these, summed up


def _answer(index: Index | None, wanted: str, limit: int | None) -> _Shown:
    if index is None:
        raise ToolError(opening.NO_RUNS)
    run, owner = _resolved(index, wanted)
    # The run itself is one of them; one more would be too many.
    tree = below.records(index, run, owner, None if limit is None else limit + 2)
    by_id = {record["run"]: record for record in tree}
    lines = _lines(index, by_id[run], owner, time.time())
    if limit is not None and len(tree) > limit + 1:
        return _Shown(run, lines, below.many(index, run, owner))
    return _Shown(run, lines, by_id)


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

    waited = record["waited"]
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
        ("server", "yes, it runs until it is stopped" if record["server"] else None),
        ("bookkeeping", _bookkeeping(record)),
        ("attempt", record["attempt"]),
        ("waited", None if waited is None else quantities.duration_text(waited)),
        ("enqueued by", named(record["enqueued_by"])),
        ("enqueued", _enqueued(index, record["run"])),
        ("trigger", record["trigger"]),
        ("parent", named(record["parent"])),
        ("root", None if record["root"] == record["run"] else named(record["root"])),
        ("pid", record["pid"]),
        ("host", record["host"]),
        ("python", record["python"]),
        ("ruby", record["ruby"]),
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
    """Return the lines of a value: of an error's message as many as it has, mostly one."""
    has_lines = name in ("error", "enqueued")
    parts = [part for part in value.split("\n") if part.strip()] if has_lines else [value]
    return [(name if part is parts[0] else "", part.rstrip()) for part in parts]


def _bookkeeping(record: Record) -> str | None:
    framework = output.clean(record["framework"] or "its framework")
    return f"yes, {framework} runs it for itself" if record["bookkeeping"] else None


def _named(index: Index, run_id: str | None, owner: int) -> str | None:
    """Return a run's id, followed by its task's name if the run is known.

    A run may be enqueued by another user's.
    """
    statement = "SELECT task FROM run WHERE run = ? ORDER BY owner <> ?"
    for (task,) in index.rows(statement, (run_id, owner)) if run_id else ():
        if task:
            return f"{run_id} {output.clean(task)}"
    return run_id


def _enqueued(index: Index, run_id: str) -> str | None:
    """Return how many runs a run has asked for through a queue, and the first of them."""
    statement = "SELECT count(*) FROM run WHERE enqueued_by = ?"
    ((count,),) = index.rows(statement, (run_id,))
    if not count:
        return None
    first = index.rows(
        "SELECT run, task, status FROM run WHERE enqueued_by = ? ORDER BY started_at LIMIT ?",
        (run_id, _ENQUEUED),
    )
    lines = [f"{run} {output.clean(task)}, {output.clean(status)}" for run, task, status in first]
    more = [f"and {count - len(lines)} more"] if count > len(lines) else []
    return "\n".join([quantities.runs_text(count), *lines, *more])


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


def _print_many(many: below.Many) -> None:
    """Print the tasks under a run, and the last failures."""
    output.print_rich("", output.styled(f"{many.runs} runs under it; `--all` shows each", "dim"))
    found = {status for group in many.groups for status in group.statuses}
    statuses = [status for status in output.STATUS_STYLES if status in found]
    statuses += sorted(found.difference(statuses))
    before, behind = _COLUMNS
    columns = [Column(output.clean(status).upper(), right=True, goes=4) for status in statuses]
    print_table(
        [*before, *columns, *behind],
        [
            [
                output.styled(group.task),
                output.styled(group.framework),
                output.styled(group.runs),
                *(_count(status, group.statuses.get(status, 0)) for status in statuses),
                output.styled(quantities.duration_text(group.usual)),
                output.styled(quantities.duration_text(group.longest)),
            ]
            for group in many.groups
        ],
    )
    if many.more:
        output.print_rich(output.styled(f"and {many.more} more tasks", "dim"))
    if many.failures:
        now = time.time()
        output.print_rich("", output.styled("the last failures", "dim"))
        for record in many.failures:
            started = quantities.local_time(record["started_at"], now)
            output.print_rich(output.styled(f"{started}  ").append_text(_label(record, now)))


def _count(status: str, count: int) -> Text:
    return output.styled(count or "-", output.STATUS_STYLES.get(status, "") if count else "dim")
