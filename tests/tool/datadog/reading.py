"""A small evaluator of monitors: when would they alert, given the points that were sent?

It knows the forms of queries that autotask uses, and evaluates them as Datadog documents it:
windows up to a day every minute, up to two days every ten minutes, longer ones every half hour. A
custom schedule only evaluates at its own times, and notifies each time that the result is not OK.
Datadog's own delays are not included.
"""

from __future__ import annotations

import itertools
import math
import operator
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

from autotask.around.patterns import matches
from autotask.tool.datadog.tags import key_of

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
_UNITS = {"m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_COMPARISONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt}
_METRIC = re.compile(
    r"(?P<over>sum|max)\(last_(?P<size>\d+)(?P<unit>[mhdw])\):(?P<across>sum|max):"
    r"(?P<metric>[\w.]+)\{(?P<scope>[^}]*)\}( by \{(?P<by>[^}]*)\})?(\.as_count\(\))?"
    r" (?P<how>[<>]=?) (?P<limit>[\d.]+)"
)
_CHECK = re.compile(
    r'"(?P<check>[\w.]+)"\.over\((?P<over>[^)]*)\)(\.exclude\((?P<exclude>[^)]*)\))?'
    r"\.by\((?P<by>[^)]*)\)\.last\((?P<last>\d+)\)\.count_by_status\(\)"
)


class Point(NamedTuple):
    """A value that Datadog received; of a service check, its status."""

    at: float
    metric: str
    value: float
    tags: Mapping[str, str]


class Alarm(NamedTuple):
    """A notification."""

    at: float
    kind: str


def alarms(
    monitor: Mapping[str, Any], points: Sequence[Point], start: float, end: float
) -> list[Alarm]:
    """Return when a monitor alerts between two times, in order."""
    kind = (key_of(monitor) or "").partition(".")[0]
    evaluate = _check if monitor["type"] == "service check" else _metric
    return sorted(Alarm(at, kind) for at in evaluate(monitor, points, start, end))


def _check(
    monitor: Mapping[str, Any], points: Sequence[Point], start: float, end: float
) -> Iterator[float]:
    query = _CHECK.fullmatch(monitor["query"])
    assert query, monitor["query"]
    terms = _words(query["over"]) + [f"!{term}" for term in _words(query["exclude"] or "")]
    critical = monitor["options"]["thresholds"]["critical"]
    assert critical < int(query["last"])
    for series in _grouped(points, query["check"], terms, _words(query["by"])):
        bad, alert = 0, False
        for at, value in series:
            bad = bad + 1 if value else 0
            if bad >= critical and not alert and start <= at < end:
                yield math.ceil(at / MINUTE) * MINUTE
            alert = bad >= critical or (alert and bad > 0)


def _metric(
    monitor: Mapping[str, Any], points: Sequence[Point], start: float, end: float
) -> Iterator[float]:
    query = _METRIC.fullmatch(monitor["query"])
    assert query, monitor["query"]
    options = monitor["options"]
    assert float(query["limit"]) == options["thresholds"]["critical"]
    by = query["by"].split(",") if query["by"] else []
    groups = _grouped(points, query["metric"], query["scope"].split(","), by)
    schedule = options.get("scheduling_options", {}).get("custom_schedule")
    for series in groups or [[]]:
        window = _Window(series, query, options["on_missing_data"] == "default")
        if schedule:
            yield from filter(window.bad, _moments(schedule, start, end))
        else:
            yield from _turns(window, start, end)


def _turns(window: _Window, start: float, end: float) -> Iterator[float]:
    """Yield the evaluations at which it changes from OK to alert."""
    before = False
    for at in window.changes(start, end):
        now = window.bad(at)
        if now and not before:
            yield at
        before = now


class _Window:
    """The query of one group."""

    def __init__(
        self, series: Sequence[tuple[float, float]], query: re.Match[str], zero: bool
    ) -> None:
        self.times = [at for at, _ in series]
        self.values = [value for _, value in series]
        self.sums = list(itertools.accumulate(self.values, initial=0.0))
        self.size = int(query["size"]) * _UNITS[query["unit"]]
        self.over, self.zero = query["over"], zero
        self.compare, self.limit = _COMPARISONS[query["how"]], float(query["limit"])

    def bad(self, at: float) -> bool:
        """Tell whether an evaluation at this time is not OK."""
        first, last = bisect_right(self.times, at - self.size), bisect_right(self.times, at)
        if first == last and not self.zero:
            return False  # no data: resolved
        if self.over == "sum":
            value = self.sums[last] - self.sums[first]
        else:
            value = max(self.values[first:last])
        return bool(self.compare(value, self.limit))

    def changes(self, start: float, end: float) -> list[float]:
        """Return the evaluations after a point entered or left: others have the same result."""
        step = MINUTE if self.size < DAY else 10 * MINUTE if self.size <= 2 * DAY else 30 * MINUTE
        moments = itertools.chain([start], self.times, (at + self.size for at in self.times))
        return sorted({math.ceil(at / step) * step for at in moments if start <= at < end})


def _moments(schedule: Mapping[str, Any], start: float, end: float) -> list[float]:
    (recurrence,) = schedule["recurrences"]
    zone = ZoneInfo(recurrence["timezone"])
    first, last = (datetime.fromtimestamp(at, zone).replace(tzinfo=None) for at in (start, end))
    rule = rrulestr(recurrence["rrule"], dtstart=first.replace(second=0, microsecond=0))
    return [at.replace(tzinfo=zone).timestamp() for at in rule.between(first, last, inc=True)]


def _grouped(
    points: Sequence[Point], metric: str, terms: Sequence[str], by: Sequence[str]
) -> list[list[tuple[float, float]]]:
    """Return the series of each group, in order of time."""
    series: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    known: dict[int, tuple[str, ...] | None] = {}  # points share their tags
    for point in points:
        if point.metric == metric:
            if id(point.tags) not in known:
                known[id(point.tags)] = _group(point.tags, terms, by)
            group = known[id(point.tags)]
            if group is not None:
                series.setdefault(group, []).append((point.at, point.value))
    return [sorted(one) for one in series.values()]


def _group(
    tags: Mapping[str, str], terms: Sequence[str], by: Sequence[str]
) -> tuple[str, ...] | None:
    """Return the group of a point; None if the query does not cover it."""
    if not all(_holds(term, tags) for term in terms):
        return None
    return tuple(tags[key] for key in by)  # all must be there


def _holds(term: str, tags: Mapping[str, str]) -> bool:
    if term == "*":
        return True
    key, _, value = term.lstrip("!").partition(":")
    return matches(value, tags.get(key, "")) is not term.startswith("!")


def _words(text: str) -> list[str]:
    return re.findall(r'"([^"]*)"', text)
