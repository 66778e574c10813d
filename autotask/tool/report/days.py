"""The days of a period in the reader's time zone."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import NamedTuple

from autotask.tool import quantities

MOST = 35  # columns of a calendar that a window has room for


class Day(NamedTuple):
    """A day of the calendar; one in which the clocks change has 23 or 25 hours."""

    date: date
    begin: float  # POSIX seconds
    end: float


def between(since: float, now: float) -> list[Day]:
    """Return the days from that of one POSIX time to that of another; the last MOST of them."""
    last = quantities.local(now).date()
    first = max(quantities.local(min(since, now)).date(), last - timedelta(MOST - 1))
    dates = [first + timedelta(number) for number in range((last - first).days + 1)]
    return [Day(each, _begin(each), _begin(each + timedelta(1))) for each in dates]


def _begin(day: date) -> float:
    return datetime.combine(day, time()).timestamp()
