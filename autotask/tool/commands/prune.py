"""`autotask prune`: drop old runs."""

from __future__ import annotations

import argparse
import os

from autotask.settings import Settings
from autotask.tool import output, quantities
from autotask.tool.journal import opening, ownership, retention, segments

DESCRIPTION = """\
Drop the runs that ended longer ago than --keep; then, until the journal is no larger than
--max-size, the oldest of the others, failures last. Unfinished runs stay, and so does everything
that was written in the last two hours. Once a day, any command that finds the journal larger than
1G brings it back to that size in the background."""
_WHY = "unfinished runs, and those written in the last two hours, stay"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--keep",
        metavar="DURATION",
        type=quantities.parse_duration,
        help="drop runs that ended longer ago: 90d, 12w, ... (default: keep all)",
    )
    parser.add_argument(
        "--max-size",
        metavar="SIZE",
        type=quantities.parse_size,
        default=retention.DEFAULT_BOUND,
        help="bring the journal down to this size: 200M, 2G, ... (default: 1G)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Prune, and say what was dropped."""
    home = ownership.find(Settings(os.environ)).to_write()
    unreadable: dict[str, str] = {}
    if not segments.listed(segments.journal_folder(home), unreadable):
        opening.tell_unreadable(unreadable)
        print(opening.no_runs())
        return
    pruned = retention.prune(home, arguments.max_size, arguments.keep)
    freed, left = quantities.size_text(pruned.freed), quantities.size_text(pruned.left)
    print(f"dropped {quantities.runs_text(pruned.runs)} ({freed}); {left} left")
    opening.tell_unreadable(pruned.unreadable)
    if pruned.overdue:
        runs = quantities.runs_text(pruned.overdue)
        output.notice(f"{runs} of that age cannot be dropped yet: {_WHY}")
    if pruned.left > arguments.max_size:
        limit = quantities.size_text(arguments.max_size)
        output.notice(f"the journal is still larger than {limit}: {_WHY}")
