"""The options that `runs` and `tasks` share: of which runs, and in which form."""

from __future__ import annotations

import argparse
import time
from typing import Any

from autotask import journal
from autotask.tool import quantities


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Declare the options that choose runs."""
    parser.add_argument("--task", metavar="GLOB", help="only tasks whose name matches: 'db.*'")
    parser.add_argument("--framework", metavar="NAME", help="only runs of click, invoke, ...")
    parser.add_argument(
        "--since",
        metavar="DURATION",
        type=quantities.parse_duration,
        help="only runs that started in the last 24h, 30m, 2w, ...",
    )


def add_format(parser: argparse.ArgumentParser) -> None:
    """Declare the option that chooses a form."""
    parser.add_argument(
        "--format", choices=("table", "jsonl", "csv"), default="table", help="default: table"
    )


def conditions(arguments: argparse.Namespace) -> tuple[str, list[Any]]:
    """Write what the filters ask for in SQL, with its values."""
    where, values = ["started_at IS NOT NULL"], []
    if arguments.task is not None:
        where.append("task GLOB ?")
        values.append(arguments.task.replace("[!", "[^"))  # SQLite's way to say: none of these
    for column in ("status", "framework"):
        wanted = getattr(arguments, column, None)
        if wanted is not None:
            where.append(f"{column} = ?")
            values.append(wanted)
    if arguments.since is not None:
        where.append("started_at >= ?")
        values.append(journal.moment(time.time() - arguments.since))
    return " AND ".join(where), values
