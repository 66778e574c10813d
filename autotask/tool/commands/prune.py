"""`autotask prune`: drop old runs, and say what was dropped."""

from __future__ import annotations

import argparse
import os

from autotask.settings import Settings
from autotask.tool import output, quantities
from autotask.tool.journal import opening, ownership, retention, segments

DESCRIPTION = """\
Drop the runs that ended longer ago than --keep, then, until the journal is no larger than
--max-size, the oldest of the others: failures last. What still runs stays, and so does what was
written in the last two hours. Once a day any command that finds the journal over 1G brings it back
to that in the background."""
_WHY = "what still runs or was written in the last two hours is left alone"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--keep",
        metavar="DURATION",
        type=quantities.parse_duration,
        help="drop the runs that ended before: 90d, 12w, ... (default: keep them)",
    )
    parser.add_argument(
        "--max-size",
        metavar="SIZE",
        type=quantities.parse_size,
        default=retention.DEFAULT_BOUND,
        help="bring the journal down to: 200M, 2G, ... (default: 1G)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Prune, and say in a line what was done."""
    home = ownership.find(Settings(os.environ)).to_write()
    unreadable: dict[str, str] = {}
    if not segments.listed(segments.journal_folder(home), unreadable):
        opening.tell_unreadable(unreadable)
        print(opening.NO_RUNS)
        return
    done = retention.prune(home, arguments.max_size, arguments.keep)
    freed, left = quantities.size_text(done.freed), quantities.size_text(done.left)
    print(f"dropped {quantities.runs_text(done.runs)} ({freed}); {left} stay")
    opening.tell_unreadable(done.unreadable)
    if done.overdue:
        output.notice(f"{quantities.runs_text(done.overdue)} of that age cannot go yet: {_WHY}")
    if done.left > arguments.max_size:
        bound = quantities.size_text(arguments.max_size)
        output.notice(f"that is still more than {bound}: {_WHY}")
