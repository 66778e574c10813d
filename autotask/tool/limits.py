"""From when on a task hangs, is slow, retries a lot, or has failed too often.

`autotask check` looks at the journal by these limits, and the monitors in Datadog have them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from autotask.tool.schedule import usual

if TYPE_CHECKING:
    from autotask.tool.datadog.config import TaskSettings

LOOKBACK = 60 * 86400  # seconds: what was usual before no longer counts
LAST_SUCCESSES = 50  # only these count for durations
ENOUGH_SUCCESSES = 5  # for a usual duration
HOUR = 3600  # seconds, in which retried attempts are counted
_MINUTE = 60
_FEW_RETRIES = 10  # in an hour: fewer are never a lot


class Limit(NamedTuple):
    """A limit for the duration of runs."""

    setting: str  # of autotask.toml, in seconds
    times: int  # without it, so many times the usual longest
    least: float  # seconds, at least

    def seconds(self, settings: TaskSettings, longest: float | None) -> int | None:
        """Return the limit; None if neither the file nor the past gives one."""
        seconds: float | None = getattr(settings, self.setting)
        if seconds is None:
            if longest is None:
                return None
            seconds = usual.rounded_up(max(self.times * longest, self.least))
        return math.ceil(seconds)


HUNG = Limit("hung_after", times=3, least=10 * _MINUTE)
SLOW = Limit("slow_after", times=2, least=_MINUTE)


def of_durations(durations: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the usual and the usual longest duration of successes, the last ones at the end.

    None, None: there are too few.
    """
    last = durations[-LAST_SUCCESSES:]
    if len(last) < ENOUGH_SUCCESSES:
        return None, None
    return usual.quantile(last, 0.5), usual.quantile(last, 0.95)


def most_in_an_hour(moments: Iterable[float]) -> int | None:
    """Return how many there usually are at most in the hours that have any; None for none."""
    counts = Counter(at // HOUR for at in moments)
    return int(usual.quantile([*counts.values()], 0.95)) if counts else None


def retries_an_hour(settings: TaskSettings, usually: int | None) -> int | None:
    """Return how many retried attempts in an hour are not yet too many; None: there is no limit.

    Args:
        settings: Of the task.
        usually: What `most_in_an_hour` returned; None if none was retried.
    """
    if settings.retries_an_hour is not None:
        return settings.retries_an_hour
    return None if usually is None else _count_step(max(3 * usually, _FEW_RETRIES))


def _count_step(count: float) -> int:
    """Round a learned count up to a step: 10, 20, 50, 100, 200, 500, ..."""
    step = 10
    while step < 0.95 * count:
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    return step


def counts_in_a_row(settings: TaskSettings, server: bool = False) -> bool:
    """Tell whether only so many failures in a row count, and then no more until a success.

    Else each failure counts. So does each of a server: its next success may be months away.
    """
    return not server and (settings.latched or settings.failures_in_a_row > 1)
