"""The usual interval of a task without a schedule, learned from its starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from autotask.tool.schedule.due import EARLY

ENOUGH_GAPS = 3  # between starts
_RARE = 0.03  # share of the longest gaps that does not count: the machine may have been off
_UNEVEN = 3.5  # longest gap over the usual one: weekdays only are 3, office hours are more
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_STEPS = (
    *(minutes * _MINUTE for minutes in (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 45)),
    *(hours * _HOUR for hours in (1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18)),
    *(days * _DAY for days in (1, 1.5, 2, 3, 4, 5, 6, 7)),
)


class Interval(NamedTuple):
    """Seconds from one start to the next."""

    usual: float
    longest: float  # leaving out rare ones

    @property
    def is_regular(self) -> bool:
        """Whether the next start can be expected."""
        return self.longest <= _UNEVEN * max(self.usual, 2 * _MINUTE)


def interval(gaps: Sequence[float]) -> Interval | None:
    """Return the interval of a task from the seconds between its starts; None for too few."""
    if len(gaps) < ENOUGH_GAPS:
        return None
    return Interval(quantile(gaps, 0.5), quantile(gaps, 1 - _RARE))


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that this share of them does not exceed."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def rounded_up(seconds: float) -> float:
    """Round a learned duration up to a step, so that it does not change every day.

    A little above a step is the step: a day and a minute is a day.
    """
    return next((step for step in _STEPS if step >= 0.95 * seconds), seconds)


def slack(interval: float) -> float:
    """Return the seconds after an interval until it is missed, unless `within` is set."""
    return max(interval / 10, EARLY)
