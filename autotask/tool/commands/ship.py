"""`autotask ship`: deliver what the Datadog Agent missed."""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import time
from collections.abc import Callable

from autotask import journal
from autotask.around import redeliver, sweeping, undelivered
from autotask.settings import Settings
from autotask.tool import output
from autotask.tool.doctor import listening
from autotask.tool.errors import ToolError
from autotask.tool.journal import ownership

DESCRIPTION = """\
Deliver the starts and ends of runs that the Datadog Agent on this machine missed, each once and
with its original time: for an hour as metrics, for 18 hours as events. If there are only a few,
autotask-run has delivered them at its end. What is sent to another host over UDP may be lost
without notice. With --follow, deliver every two seconds, close the runs of processes that have
died, and do both once more on SIGTERM; it goes on even if its output cannot be written."""
_PATIENCE = 5.0  # seconds that a slow Agent may take for one datagram
_INTERVAL = 2.0  # seconds between two deliveries
_CLOCK_SET = 30.0  # seconds: if the clock jumps that far, it was set
_LAST_DELIVERY = 6.0  # seconds after a signal: Docker and Kubernetes kill after 10 or more


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--follow",
        action="store_true",
        help="keep running: deliver, and close the runs of dead processes",
    )


def run(arguments: argparse.Namespace) -> None:
    """Deliver, and say how much."""
    settings = Settings(os.environ)
    home = settings.home = ownership.find(settings).to_write()
    notes = _Notes(home)
    if arguments.follow:
        _follow(home, settings, notes)
        return
    if not settings.dogstatsd:
        raise ToolError("datagrams are turned off: see AUTOTASK_DOGSTATSD, DD_DOGSTATSD_DISABLE")
    sweeping.sweep(settings)
    missed = undelivered.recent(home)
    count = len(missed.catch_up())
    if not count:
        print("nothing to deliver")
        return
    problem = _why_refused(settings)
    if problem:
        text = f"nothing is listening at {listening.address(settings)} ({problem})"
        remedy = f"start the Datadog Agent, {listening.WITHOUT_DATADOG}"
        raise ToolError(f"{text}: {undelivered.text(count)} still to deliver; {remedy}")
    delivered = redeliver.ship(missed, settings, notes, _PATIENCE)
    # A second that is not over may get more lines, and Datadog keeps only one count for a second.
    if missed.catch_up():
        time.sleep(redeliver.SETTLED)
        delivered += redeliver.ship(missed, settings, notes, _PATIENCE)
    left, given_up = len(missed.catch_up()), missed.given_up()
    if left and notes.refusal and not delivered:
        raise ToolError(f"{notes.refusal}: {undelivered.text(left)} still to deliver")
    rest = f"; {left} still to deliver" if left else ""
    rest += f"; {given_up} can no longer be delivered" if given_up else ""
    print(f"delivered {undelivered.text(delivered)}{rest}")
    if left and notes.refusal:
        raise ToolError(notes.refusal)


class _Notes(journal.Journal):
    """The journal, which also knows why it refused a line: nothing is sent without a note of it."""

    refusal = ""

    def _refuse(self, problem: OSError) -> None:
        super()._refuse(problem)
        why = f"cannot write to {self.folder} ({problem.strerror})"
        self.refusal = f"{why}, and nothing is sent without a note of it"


def _follow(home: str, settings: Settings, notes: _Notes) -> None:
    """Close lost runs and deliver, again and again, until a signal says stop; then once more.

    A pod stops its sidecars as soon as its other containers have ended: the run to close died in
    that same second.
    """
    stop, missed, clock = _Stop(), undelivered.recent(home), _ahead_of_monotonic()
    _sweep_and_deliver(missed, settings, notes, lambda: not stop.comes(0))
    while not stop.comes(_INTERVAL):
        before, clock = clock, _ahead_of_monotonic()
        if abs(clock - before) > _CLOCK_SET:  # what seemed too old to deliver may not be
            missed = undelivered.recent(home)
        _sweep_and_deliver(missed, settings, notes, lambda: not stop.comes(0))
    end = time.monotonic() + _LAST_DELIVERY
    if _sweep_and_deliver(missed, settings, notes, lambda: time.monotonic() < end):
        time.sleep(redeliver.SETTLED)
        _sweep_and_deliver(missed, settings, notes, lambda: time.monotonic() < end)


def _ahead_of_monotonic() -> float:
    """Return seconds that change only if the clock is set or the machine sleeps."""
    return time.time() - time.monotonic()


def _sweep_and_deliver(
    missed: undelivered.Undelivered,
    settings: Settings,
    notes: _Notes,
    goes_on: Callable[[], bool],
) -> bool:
    """Close lost runs, and deliver if an Agent is listening; tell whether there is more."""
    sweeping.sweep(settings)
    if not settings.dogstatsd or not missed.catch_up() or _why_refused(settings):
        return False
    known, notes.refusal = notes.refusal, ""
    delivered = redeliver.ship(missed, settings, notes, _PATIENCE, goes_on)
    # Without waiting: nothing may be reading these lines.
    if delivered:
        output.say(sys.stdout, f"delivered {undelivered.text(delivered)}", wait=False)
    if notes.refusal not in ("", known):
        output.notice(notes.refusal, wait=False)
    return bool(missed.catch_up()) and goes_on()


class _Stop:
    """SIGTERM and SIGINT, noticed only between two deliveries.

    They need handlers: process 1 of a container ignores signals that have none.
    """

    def __init__(self) -> None:
        # A signal writes to the pipe and so wakes select(). A flag that a handler sets could be set
        # between the check of it and the wait.
        self._reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing)
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: None)

    def comes(self, within: float) -> bool:
        """Wait for a signal for so many seconds; tell whether one has come."""
        return bool(select.select([self._reading], [], [], within)[0])


def _why_refused(settings: Settings) -> str | None:
    """Return why nothing is listening for datagrams; None if something is, or may be."""
    try:
        listening.knock(settings)
    except OSError as problem:
        return problem.strerror or str(problem)
    return None
