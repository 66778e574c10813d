"""`autotask ship`: deliver what Datadog's Agent did not take at the time."""

from __future__ import annotations

import argparse
import os
import time

from autotask import closing, journal, shipping
from autotask.config import Settings
from autotask.tool import history, listening, segments
from autotask.tool.errors import ToolError

SUMMARY = "deliver what the Datadog Agent did not take"
DESCRIPTION = """\
Deliver the starts and ends of runs that the Datadog Agent on this machine did not take, each once
and with its own time: for an hour as what they are, for 18 hours as events. autotask-run does so on
its way out where that is little. What was sent to another host by UDP is not known to be lost."""
EXAMPLES = """\
  autotask ship
  autotask ship --follow
"""
_PATIENCE = 5.0  # seconds that a slow Agent may take for one datagram
_TURN = 2.0  # seconds between two looks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--follow", action="store_true", help="stay, and deliver whenever there is something"
    )


def run(arguments: argparse.Namespace) -> None:
    """Deliver, and say how much that was."""
    settings = Settings(os.environ)
    home = history.home_of(settings)
    if not settings.dogstatsd:
        raise ToolError("datagrams are turned off: see AUTOTASK_DOGSTATSD, DD_DOGSTATSD_DISABLE")
    folder = segments.journal_folder(home)
    ours = journal.Journal(home)
    debts = shipping.recent_debts(home)
    while True:
        if segments.listed(folder):
            closing.sweep(settings)
            owed = debts.catch_up()
            if owed:
                _deliver(debts, owed, settings, ours, arguments.follow)
            elif not arguments.follow:
                print("nothing is owed: the Agent has taken all that was sent")
        elif not arguments.follow:
            print(history.NO_RUNS)
        if not arguments.follow:
            return
        time.sleep(_TURN)


def _deliver(
    debts: shipping.Debts, owed: int, settings: Settings, ours: journal.Journal, is_service: bool
) -> None:
    """Deliver to who listens; a service tries again in its next turn."""
    try:
        listening.knock(settings)
    except OSError as problem:
        if is_service:
            return
        where, why = listening.place(settings), problem.strerror or problem
        kept = f"{shipping.ends_text(owed)} stay owed; start the Datadog Agent"
        raise ToolError(f"nobody listens at {where} ({why}): {kept}") from None
    done = shipping.ship(debts, settings, ours, _PATIENCE)
    left = debts.catch_up()
    if done or not is_service:
        print(
            f"delivered {shipping.ends_text(done)}" + (f"; {left} stay owed" if left else ""),
            flush=True,
        )
