"""The options that commands share: which runs to list, and in which format."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from autotask import journal
from autotask.around.journal_lines import UNREMARKABLE
from autotask.tool import output, quantities

if TYPE_CHECKING:
    from autotask.tool.journal.index import Index

STATUSES = "success, failure, running, skipped or retried"
# The options that take the value of a column, beside --task and --tag.
_COLUMNS = ("status", "framework", "reason", "trigger", "host", "service", "env")
_VALUES = (
    ("--framework", "NAME", "only runs of click, invoke, ..."),
    ("--reason", "R", "only runs that ended for this reason: exit, signal, timeout, ..."),
    ("--trigger", "T", "only runs that cron, systemd, terminal, ... started"),
    ("--tag", "K:V", "only runs with this tag; K alone: with any value"),
    ("--host", "H", "only runs of this host"),
    ("--service", "S", "only runs of this service"),
    ("--env", "E", "only runs of this environment"),
)


def add_filters(parser: argparse.ArgumentParser, layers: str = "") -> None:
    """Declare the options that choose runs; *layers* says what else is left out without --all."""
    text = "only tasks whose name matches: 'db.*'; several values, here and below: A,B or repeated"
    parser.add_argument(
        "--task", metavar="GLOB", action="extend", type=_globs, default=[], help=text
    )
    for name, metavar, text in _VALUES:
        add_filter(parser, name, metavar, text)
    parser.add_argument(
        "--since",
        metavar="WHEN",
        type=quantities.parse_since,
        help="only runs that started in the last 24h, 1h30m, 2w, ..., or since today, yesterday, "
        "2026-11-28 or 2026-11-28T03:00",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help=f"also {layers}what frameworks run for themselves, such as Rails' task `environment`; "
        "otherwise this only if it failed, or if --task has its exact name",
    )


def add_filter(
    parser: argparse.ArgumentParser, name: str, metavar: str, text: str, **options: Any
) -> None:
    """Declare an option of several values: a run is listed if it matches one of them."""
    parser.add_argument(
        name, metavar=metavar, action="extend", type=_values, default=[], help=text, **options
    )


def _values(text: str) -> list[str]:
    return text.split(",")


def _globs(text: str) -> list[str]:
    """Return the patterns of a list, and that of a name which has a comma itself."""
    return [text, *text.split(",")] if "," in text else [text]


def add_format(parser: argparse._ActionsContainer) -> None:
    """Declare the option that chooses the format of a list."""
    parser.add_argument(
        "--format",
        choices=("table", "json", "jsonl", "csv"),
        default="table",
        help="default: table; jsonl: one JSON object per line, json: one array",
    )


def one_document(text: str) -> str:
    """Accept `jsonl` as `json` for output that is a single document."""
    return "json" if text == "jsonl" else text


def conditions(arguments: argparse.Namespace) -> tuple[str, list[Any]]:
    """Return which runs are listed as an SQL condition, and its values."""
    where, values = matching(arguments)
    remarkable, names = of_interest(arguments)
    return f"{where} AND {remarkable}", values + names


def of_interest(arguments: argparse.Namespace) -> tuple[str, list[Any]]:
    """Return which runs are listed unasked as an SQL condition, and its values.

    Of the bookkeeping of frameworks these are the failures, and tasks that --task names.
    """
    if arguments.all:
        return "1", []
    named, names = by_name(arguments)
    condition = f"(bookkeeping IS NULL OR status NOT IN {UNREMARKABLE} OR {named})"
    return condition, names


def by_name(arguments: argparse.Namespace) -> tuple[str, list[Any]]:
    """Return as an SQL condition, with its values, that --task has the exact name of a run."""
    return f"run.task IN ({', '.join('?' * len(arguments.task))})", arguments.task


def are_about_runs(arguments: argparse.Namespace) -> bool:
    """Tell whether an option asks for what only runs have, and no task that never ran."""
    of_runs = ("reason", "trigger", "tag", "host", "service", "env", "since")
    return any(getattr(arguments, name) not in ([], None) for name in of_runs)


def none_match(index: Index, statuses: list[str]) -> str:
    """Say that there is no such run, and which status may be misspelled."""
    unknown = _unknown_status(index, statuses)
    return f"no runs match: {unknown}" if unknown else "no runs match"


def tell_unknown_status(index: Index, statuses: list[str]) -> None:
    """Say on standard error which status may be misspelled: a format for programs has no place."""
    unknown = _unknown_status(index, statuses)
    if unknown:
        output.notice(unknown)


def _unknown_status(index: Index, statuses: list[str]) -> str:
    """Name a status that no run has and this autotask never writes; "" if there is none.

    It is not an error: a later autotask may have written others.
    """
    known = {*output.STATUS_STYLES}
    for status in statuses:
        any_run = "SELECT status FROM run WHERE status = ? AND started_at IS NOT NULL LIMIT 1"
        if status not in known.union(*index.rows(any_run, [status])):
            return f"{output.clean(status)} is not a status: {STATUSES}"
    return ""


def matching(arguments: argparse.Namespace, run: str = "run") -> tuple[str, list[Any]]:
    """Return the filters as an SQL condition on the table that the query calls *run*.

    With its values.
    """
    terms = [f"{run}.started_at IS NOT NULL"]
    values: list[Any] = []

    def one_of(term: str, accepted: list[str]) -> None:
        terms.append("(" + " OR ".join([term] * len(accepted)) + ")")
        values.extend(accepted)

    if arguments.task:
        # SQLite negates a set of characters with ^, a shell with !
        one_of(f"{run}.task GLOB ?", [glob.replace("[!", "[^") for glob in arguments.task])
    for column in _COLUMNS:
        accepted = getattr(arguments, column, [])
        if accepted:
            one_of(f'{run}."{column}" = ?', accepted)
    if arguments.reason:
        # No success has a reason. An index has the status, and not the reason.
        terms.append(f"{run}.status <> 'success'")
    if arguments.tag:
        one_of(f"instr({run}.tags, ?)", [form for tag in arguments.tag for form in _in_json(tag)])
    if arguments.since is not None:
        terms.append(f"{run}.started_at >= ?")
        values.append(journal.moment(arguments.since))
    return " AND ".join(terms), values


def _in_json(tag: str) -> list[str]:
    """Return what an object in JSON has of a tag: first in it, and behind another one.

    Nothing else in it looks so: quotes in texts are escaped.
    """
    key, colon, value = tag.partition(":")
    text = f"{json.dumps(key)}: {json.dumps(value) if colon else ''}"
    return ["{" + text, ", " + text]
