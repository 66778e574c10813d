"""`autotask ship`: deliver what Datadog's Agent did not take at the time."""

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

SUMMARY = "deliver what the Datadog Agent did not take"
DESCRIPTION = """\
Deliver the starts and ends of runs that the Datadog Agent on this machine did not take, each once
and with its own time: for an hour as what they are, for 18 hours as events. autotask-run does so on
its way out where that is little. What was sent to another host by UDP is not known to be lost.
With --follow it also closes the runs of processes that have died, every two seconds, and does
both once more when SIGTERM ends it; it goes on even if its output cannot be written."""
EXAMPLES = """\
  autotask ship
  autotask ship --follow
"""
_PATIENCE = 5.0  # seconds that a slow Agent may take for one datagram
_TURN = 2.0  # seconds between two looks
_SET = 30.0  # seconds: a clock that jumps so far was set
_LAST = 6.0  # seconds for what is owed when a signal has come: an engine waits for ten


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
    home = settings.home = ownership.find(settings).to_write()
    ours = _Journal(home)
    if arguments.follow:
        _follow(home, settings, ours)
        return
    if not settings.dogstatsd:
        raise ToolError("datagrams are turned off: see AUTOTASK_DOGSTATSD, DD_DOGSTATSD_DISABLE")
    sweeping.sweep(settings)
    owing = undelivered.recent(home)
    owed = owing.catch_up()
    if not owed:
        print("nothing is owed: the Agent has taken all that was sent")
        return
    problem = _silence(settings)
    if problem:
        kept = (
            f"{undelivered.text(len(owed))} stay owed; start the Datadog Agent, {listening.WITHOUT}"
        )
        raise ToolError(f"nobody listens at {listening.place(settings)} ({problem}): {kept}")
    done = redeliver.ship(owing, settings, ours, _PATIENCE)
    if owing.catch_up():
        time.sleep(redeliver.SETTLED)
        done += redeliver.ship(owing, settings, ours, _PATIENCE)
    left, hopeless = len(owing.catch_up()), owing.hopeless()
    said = f"; {left} stay owed" if left else ""
    said += f"; of {hopeless} nothing can be told any more" if hopeless else ""
    if left and ours.refusal and not done:
        raise ToolError(f"{ours.refusal}: {undelivered.text(left)} stay owed")
    print(f"delivered {undelivered.text(done)}{said}")
    if left and ours.refusal:
        raise ToolError(ours.refusal)


class _Journal(journal.Journal):
    """Knows why it took no line: what cannot be noted as sent is not sent."""

    refusal = ""

    def _refuse(self, problem: OSError) -> None:
        super()._refuse(problem)
        why = f"{self.folder} cannot be written ({problem.strerror})"
        self.refusal = f"{why}, and what cannot be noted is not sent"


def _follow(home: str, settings: Settings, ours: _Journal) -> None:
    """Close lost runs and deliver, again and again, until a signal says stop; then once more.

    A pod stops its sidecars at the moment that the other containers have ended: the run that is to
    be closed died in that very second.
    """
    stop, owing, clock = _Stop(), undelivered.recent(home), _ahead_of_monotonic()
    _turn(owing, settings, ours, lambda: not stop.comes(0))
    while not stop.comes(_TURN):
        before, clock = clock, _ahead_of_monotonic()
        if abs(clock - before) > _SET:  # what was forgotten as too old may not be so
            owing = undelivered.recent(home)
        _turn(owing, settings, ours, lambda: not stop.comes(0))
    end = time.monotonic() + _LAST
    if _turn(owing, settings, ours, lambda: time.monotonic() < end):
        time.sleep(redeliver.SETTLED)
        _turn(owing, settings, ours, lambda: time.monotonic() < end)


def _ahead_of_monotonic() -> float:
    """Return a number of seconds that changes only if the clock is set, or the machine sleeps."""
    return time.time() - time.monotonic()


def _turn(
    owing: undelivered.Undelivered, settings: Settings, ours: _Journal, goes_on: Callable[[], bool]
) -> bool:
    """Close lost runs, and deliver if somebody listens; tell whether more can be delivered."""
    sweeping.sweep(settings)
    if not settings.dogstatsd or not owing.catch_up() or _silence(settings):
        return False
    known, ours.refusal = ours.refusal, ""
    done = redeliver.ship(owing, settings, ours, _PATIENCE, goes_on)
    # It goes on even if these lines are not read.
    if done:
        output.say(sys.stdout, f"delivered {undelivered.text(done)}", wait=False)
    if ours.refusal not in ("", known):
        output.notice(ours.refusal, wait=False)
    return bool(owing.catch_up()) and goes_on()


class _Stop:
    """SIGTERM and SIGINT, noticed only where nothing is half delivered.

    They need handlers: process 1 of a container ignores a signal that has none.
    """

    def __init__(self) -> None:
        self._reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing)
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: None)

    def comes(self, within: float) -> bool:
        """Wait for a signal for so many seconds; tell whether one has come by now."""
        return bool(select.select([self._reading], [], [], within)[0])


def _silence(settings: Settings) -> str | None:
    """Return why nobody listens; None where somebody does, or may."""
    try:
        listening.knock(settings)
    except OSError as problem:
        return problem.strerror or str(problem)
    return None
