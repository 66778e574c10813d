"""The options that `runs` and `tasks` share: of which runs, and in which form."""

from __future__ import annotations

import argparse
import time
from typing import Any

from autotask import journal
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


def add_filter(parser: argparse.ArgumentParser, name: str, metavar: str, text: str) -> None:
    """Declare an option that may be given several times: a run that matches one is shown."""
    parser.add_argument(name, metavar=metavar, action="append", default=[], help=text)


def add_format(parser: argparse.ArgumentParser) -> None:
    """Declare the option that chooses a form of a list."""
    parser.add_argument(
        "--format",
        choices=("table", "json", "jsonl", "csv"),
        default="table",
        help="default: table; jsonl is a line of JSON for each, json is one array",
    )


def one_document(text: str) -> str:
    """Take `jsonl` for `json`: of one document there are no lines."""
    return "json" if text == "jsonl" else text


def conditions(arguments: argparse.Namespace) -> tuple[str, list[Any]]:
    """Write what the filters ask for in SQL, with its values."""
    where = ["started_at IS NOT NULL"]
    values: list[Any] = []
    for column, compare in (("task", "GLOB"), ("status", "="), ("framework", "=")):
        wanted = getattr(arguments, column, [])
        if column == "task":
            wanted = [pattern.replace("[!", "[^") for pattern in wanted]  # as SQLite says: none of
        if wanted:
            where.append("(" + " OR ".join([f"{column} {compare} ?"] * len(wanted)) + ")")
            values += wanted
    if arguments.since is not None:
        where.append("started_at >= ?")
        values.append(journal.moment(time.time() - arguments.since))
    return " AND ".join(where), values
