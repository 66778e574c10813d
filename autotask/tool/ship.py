"""`autotask ship`: deliver what Datadog's Agent did not take at the time."""

from __future__ import annotations

import argparse
import os
import select
import signal
import socket
import time

from autotask import closing, debts, journal, shipping
from autotask.config import Settings
from autotask.tool import listening, whose
from autotask.tool.errors import ToolError

SUMMARY = "deliver what the Datadog Agent did not take"
DESCRIPTION = """\
Deliver the starts and ends of runs that the Datadog Agent on this machine did not take, each once
and with its own time: for an hour as what they are, for 18 hours as events. autotask-run does so on
its way out where that is little. What was sent to another host by UDP is not known to be lost.
With --follow it also closes the runs of processes that have died, every two seconds, and does
both once more when SIGTERM ends it."""
EXAMPLES = """\
  autotask ship
  autotask ship --follow
"""
_PATIENCE = 5.0  # seconds that a slow Agent may take for one datagram
_TURN = 2.0  # seconds between two looks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--follow",
        action="store_true",
        help="stay, deliver whenever there is something, and close the runs of dead processes",
    )


def run(arguments: argparse.Namespace) -> None:
    """Deliver, and say how much that was."""
    settings = Settings(os.environ)
    home = settings.home = whose.find(settings).to_write()
    ours, owing = journal.Journal(home), debts.recent(home)
    if arguments.follow:
        _follow(owing, settings, ours)
        return
    if not settings.dogstatsd:
        raise ToolError("datagrams are turned off: see AUTOTASK_DOGSTATSD, DD_DOGSTATSD_DISABLE")
    closing.sweep(settings)
    owed = owing.catch_up()
    if not owed:
        print("nothing is owed: the Agent has taken all that was sent")
        return
    problem = _silence(settings)
    if problem:
        kept = f"{debts.text(len(owed))} stay owed; start the Datadog Agent"
        raise ToolError(f"nobody listens at {listening.place(settings)} ({problem}): {kept}")
    done = shipping.ship(owing, settings, ours, _PATIENCE)
    if owing.catch_up():
        time.sleep(shipping.SETTLED)
        done += shipping.ship(owing, settings, ours, _PATIENCE)
    left, hopeless = len(owing.catch_up()), owing.hopeless()
    said = f"; {left} stay owed" if left else ""
    said += f"; of {hopeless} nothing can be told any more" if hopeless else ""
    print(f"delivered {debts.text(done)}{said}")


def _follow(owing: debts.Debts, settings: Settings, ours: journal.Journal) -> None:
    """Close lost runs and deliver, again and again, until a signal says stop; then once more.

    A pod stops its sidecars at the moment that the other containers have ended: the run that is to
    be closed died in that very second.
    """
    stop = _Stop()
    _turn(owing, settings, ours)
    while not stop.within(_TURN):
        _turn(owing, settings, ours)
    if _turn(owing, settings, ours):
        time.sleep(shipping.SETTLED)
        _turn(owing, settings, ours)


def _turn(owing: debts.Debts, settings: Settings, ours: journal.Journal) -> bool:
    """Close lost runs, and deliver if somebody listens; tell whether more can be delivered."""
    closing.sweep(settings)
    if not settings.dogstatsd or not owing.catch_up() or _silence(settings):
        return False
    done = shipping.ship(owing, settings, ours, _PATIENCE)
    if done:
        print(f"delivered {debts.text(done)}", flush=True)
    return bool(owing.catch_up())


class _Stop:
    """Hears SIGTERM and SIGINT, also as process 1, which is deaf to what it has no handler for."""

    def __init__(self) -> None:
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._mouth.send(b"\0"))

    def within(self, seconds: float) -> bool:
        """Wait for at most so many seconds; tell whether a signal came, then or before."""
        return bool(select.select([self._ear], [], [], seconds)[0])


def _silence(settings: Settings) -> str | None:
    """Return why nobody listens; None where somebody does, or may."""
    try:
        listening.knock(settings)
    except OSError as problem:
        return problem.strerror or str(problem)
    return None
