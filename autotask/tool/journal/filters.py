"""The options that commands share: which runs to list, and in which format."""

from __future__ import annotations

import argparse
import time
from typing import Any

from autotask import journal
from autotask.around.journal_lines import UNREMARKABLE
from autotask.tool import quantities


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Declare the options that choose runs."""
    add_filter(parser, "--task", "GLOB", "only tasks whose name matches: 'db.*'")
    add_filter(parser, "--framework", "NAME", "only runs of click, invoke, ...")
    parser.add_argument(
        "--since",
        metavar="DURATION",
        type=quantities.parse_duration,
        help="only runs that started in the last 24h, 30m, 2w, ...",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="also what frameworks run for themselves, such as Rails' task `environment`; "
        "otherwise only if it failed, or if --task has its exact name",
    )


def add_filter(parser: argparse.ArgumentParser, name: str, metavar: str, text: str) -> None:
    """Declare an option that may be repeated: a run is listed if it matches one of the values."""
    parser.add_argument(name, metavar=metavar, action="append", default=[], help=text)


def add_format(parser: argparse.ArgumentParser) -> None:
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
    names = ", ".join("?" * len(arguments.task))
    condition = f"(bookkeeping IS NULL OR status NOT IN {UNREMARKABLE} OR task IN ({names}))"
    return condition, arguments.task


def matching(arguments: argparse.Namespace) -> tuple[str, list[Any]]:
    """Return the filters as an SQL condition, and its values."""
    terms = ["started_at IS NOT NULL"]
    values: list[Any] = []
    for column, compare in (("task", "GLOB"), ("status", "="), ("framework", "=")):
        accepted = getattr(arguments, column, [])
        # SQLite negates a set of characters with ^, a shell with !
        if column == "task":
            accepted = [pattern.replace("[!", "[^") for pattern in accepted]
        if accepted:
            terms.append("(" + " OR ".join([f"{column} {compare} ?"] * len(accepted)) + ")")
            values += accepted
    if arguments.since is not None:
        terms.append("started_at >= ?")
        values.append(journal.moment(time.time() - arguments.since))
    return " AND ".join(terms), values
