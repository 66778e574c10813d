"""What `autotask top` knows: looked up again and again, and each time only what costs little.

What runs and what failed is looked up every second or two; what is usual and what is due, which
reads the past of all tasks, less often. Both wait longer if a look takes long.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from autotask import journal
from autotask.tool import output
from autotask.tool.datadog.config import Config
from autotask.tool.errors import ToolError
from autotask.tool.journal import opening
from autotask.tool.journal.index import Index
from autotask.tool.journal.record import COLUMNS, Record, from_row
from autotask.tool.schedule import machine
from autotask.tool.schedule.places import Places
from autotask.tool.troubles import overview
from autotask.tool.troubles.overview import Overview, Running

DAY = 86400.0  # seconds: what failed longer ago is not shown
_LONGEST = 7 * DAY  # what ran for longer before it failed is not shown: the index has the starts
MOST = 100  # failures: more than a window has lines
_SHARE = 0.015  # of the time, that each of the two may take
_OFTEN, _SELDOM = 2.0, 10.0  # seconds from one look to the next, at least
_FAILED = f"""
SELECT {COLUMNS} FROM run
WHERE started_at >= ? AND status = 'failure' AND reason IS NOT 'nested' AND finished_at >= ?
ORDER BY finished_at DESC LIMIT {MOST}
"""


class Known:
    """What was found at the last looks.

    Attributes:
        all: What is known of all tasks; None before the first run.
        running: What runs, the oldest first.
        failed: What failed in the last day, the newest first.
    """

    all: Overview | None = None
    running: Sequence[Running] = ()
    failed: Sequence[Record] = ()

    def __init__(self, places: Places, settings: Config) -> None:
        self._places, self._settings = places, settings
        self._looks = (_Paced(self._look_at_all, _SELDOM), _Paced(self._look_at_recent, _OFTEN))

    def look(self) -> None:
        """Look again, if it is time to; what cannot be looked up stays as it was.

        Raises:
            ToolError: It cannot be looked up the first time.
        """
        for look in self._looks:
            look.take()

    def _look_at_all(self) -> None:
        now = time.time()
        jobs, _ = machine.jobs(self._places)  # `autotask cron list` tells the problems

        def asked(index: Index | None) -> Overview | None:
            if index is None:
                return None
            return overview.overview(index, jobs, self._settings, now - DAY, now)

        self.all = opening.ask(asked)

    def _look_at_recent(self) -> None:
        views = self.all.tasks if self.all else ()
        usual = {view.summary[:2]: view.summary.usual_duration for view in views}

        def asked(index: Index | None) -> tuple[Sequence[Running], Sequence[Record]]:
            return (overview.running(index, usual), _failed(index)) if index else ((), ())

        self.running, self.failed = opening.ask(asked)


def _failed(index: Index) -> list[Record]:
    now = time.time()
    since = journal.moment(now - _LONGEST), journal.moment(now - DAY)
    return [from_row(row, index.shared) for row in index.rows(_FAILED, since)]


class _Paced:
    """Takes a look again only as often as it takes a small share of the time."""

    def __init__(self, look: Callable[[], None], least: float) -> None:
        """Take a function, and the seconds from one call to the next, at least."""
        self._look, self._least = look, least
        self._again: float | None = None  # monotonic; None: it has not succeeded yet

    def take(self) -> None:
        """Look, if it is time to."""
        if self._again is not None and time.monotonic() < self._again:
            return
        before = _spent()
        try:
            self._look()
        except ToolError as problem:
            if self._again is None:
                raise
            output.notice(str(problem))
        self._again = time.monotonic() + max(self._least, (_spent() - before) / _SHARE)


def _spent() -> float:
    """Return the seconds of CPU that this process and its children have used."""
    return sum(os.times()[:4])
