"""`autotask show`: all that is known about one run, and the tree of runs under it."""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from autotask.tool import output, quantities
from autotask.tool.errors import ToolError
from autotask.tool.journal import asked_run, below, filters, opening
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
Show all that is known about one run, or about the last run of a task, and the tree of runs under
it. If they are many, as under a worker, show their tasks with counts and durations, and the last
failures."""
_ENQUEUED = 5  # of the runs that a run enqueued, the first are shown
_COLUMNS = (  # between them: one for each status
    (Column("TASK", shrinks=True), Column("FRAMEWORK", goes=3), Column("RUNS", right=True)),
    (Column("USUALLY", right=True, goes=1), Column("LONGEST", right=True, goes=2)),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "run",
        metavar="RUN|TASK",
        help="a run's id or its first digits, at least 4, or a task's name: its last run; in a "
        "shared home also ID@USER and TASK@USER",
    )
    parser.add_argument(
        "--all", action="store_true", help="show all runs under it, however many there are"
    )
    parser.add_argument(
        "--format",
        type=filters.one_document,
        choices=("text", "json"),
        default="text",
        help="default: text; json: the record of the run, with those under it",
    )


def run(arguments: argparse.Namespace) -> None:
    """Print the run."""
    limit = None if arguments.all else below.FEW
    if arguments.format == "json":
        answer = partial(_document, wanted=arguments.run, limit=limit)
        print(json.dumps(opening.ask(answer), indent=2))
        return
    shown = opening.ask(partial(_answer, wanted=arguments.run, limit=limit))
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
        raise ToolError(opening.no_runs())
    run, owner = asked_run.find(index, wanted)
    by_id, many = _tree(index, run, owner, limit)
    return _Shown(run, _lines(index, by_id[run], owner, time.time()), many or by_id)


def _tree(
    index: Index, run: str, owner: int, limit: int | None
) -> tuple[dict[str, Record], below.Many | None]:
    """Return a run and those under it, oldest first; if they are more, also summed up."""
    # The run itself is one of them; one more would be too many.
    tree = below.records(index, run, owner, None if limit is None else limit + 2)
    by_id = {record["run"]: record for record in tree}
    is_many = limit is not None and len(tree) > limit + 1
    return by_id, below.many(index, run, owner) if is_many else None


def _document(index: Index | None, wanted: str, limit: int | None) -> Record:
    """Return the record of a run, and beside its fields what is under it."""
    if index is None:
        raise ToolError(opening.no_runs())
    run, owner = asked_run.find(index, wanted)
    by_id, many = _tree(index, run, owner, limit)
    record = by_id.pop(run)
    under: Record = {"count": len(by_id), "runs": [*by_id.values()], "tasks": None}
    under |= {"more_tasks": 0, "failures": None}
    if many is not None:
        tasks = [group._asdict() for group in many.groups]
        under = {"count": many.runs, "runs": None, "tasks": tasks}
        under |= {"more_tasks": many.more, "failures": many.failures}
    return {**record, "under": under}


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
        ("started", _time(record["started_at"], now)),
        ("finished", record["finished_at"] and _time(record["finished_at"], now)),
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
    pairs.append(("output", index.kept.of_failure(index, record["run"], owner)))
    return [
        (label, line)
        for name, value in pairs
        if value is not None and value != ""
        for label, line in _labelled(name, str(value))
    ]


def _time(text: str, now: float) -> str:
    return f"{quantities.local_time(text, now)} {quantities.zone_text(text)}".rstrip()


def _labelled(name: str, value: str) -> list[tuple[str, str]]:
    """Return the lines of a value: of an error's message and of output as many as they have."""
    has_lines = name in ("error", "enqueued", "output")
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
    name = output.styled(record["task"])
    label = (output.cut(name, LONGEST_NAME) if output.for_terminal() else name).append("  ")
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
            started = _time(record["started_at"], now)
            output.print_rich(output.styled(f"{started}  ").append_text(_label(record, now)))


def _count(status: str, count: int) -> Text:
    return output.styled(count or "-", output.STATUS_STYLES.get(status, "") if count else "dim")
