"""`autotask top`: what runs, what is due next and what just failed, live in the terminal."""

from __future__ import annotations

import argparse
import contextlib
import io
import time

from autotask.tool import output, summaries, table
from autotask.tool.journal import opening
from autotask.tool.schedule.places import HERE, Places
from autotask.tool.top import view
from autotask.tool.top.known import Known
from autotask.tool.top.screen import Screen, is_possible

DESCRIPTION = """\
Show what runs, since when and how long it usually takes, what is late or due next, and what failed
in the last 24 hours, in the whole window and up to date, until q or Ctrl-C is typed. Without a
terminal, print it once."""
_INTERVAL = 1.0  # seconds
_NOTICED = 10.0  # seconds that a notice is shown
_UNLIMITED = 1_000_000  # lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options: there are none."""
    del parser


def run(arguments: argparse.Namespace) -> None:
    """Show it until the user has seen enough."""
    del arguments
    show(HERE)


def show(places: Places) -> None:
    """Show what runs on a machine."""
    known = Known(places, summaries.configuration())
    known.look()  # the first time may take long, and fail: then nothing is drawn yet
    if known.all is None:
        print(opening.no_runs())
    elif not is_possible():
        table.print_text(view.lines(known, time.time(), _UNLIMITED))
    else:
        _show_live(known)


def _show_live(known: Known) -> None:
    notice, until = "", 0.0
    with Screen() as screen:
        while True:
            said = io.StringIO()
            with contextlib.redirect_stderr(said):  # it would be written into what is drawn
                known.look()
            if said.getvalue():
                notice, until = said.getvalue().splitlines()[-1], time.monotonic() + _NOTICED
            is_noticed = time.monotonic() < until
            lines = view.lines(known, time.time(), output.window_height() - is_noticed)
            screen.draw([*lines, *([output.styled(notice, "yellow")] if is_noticed else [])])
            if "q" in screen.wait(_INTERVAL):
                return
