"""Where the parts of the plots are, in percent of their width and height: SVG without a library.

Percent, because a browser then fits them to any window, and the text in them keeps its size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from autotask.tool import quantities
from autotask.tool.report.contents import Bar, Point, Task

_LEAST = 0.25  # percent: what is shorter could not be seen
_HOURS = 3  # between the marks of a time line
_ENOUGH = 3  # runs, to be worth a plot
_STEPS = (
    *(0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 6 * 3600.0, 86400.0),
    *(7 * 86400.0, 70 * 86400.0),
)


class Mark(NamedTuple):
    """A mark on an axis."""

    at: float  # percent
    text: str
    is_minor: bool = False  # left out where there is little room


class Box(NamedTuple):
    """A bar of a time line."""

    x: float  # percent
    width: float  # percent
    bar: Bar


class Span(NamedTuple):
    """From when to when a time line goes."""

    begin: float
    end: float

    def percent(self, at: float) -> float:
        """Return where a time is."""
        share = (at - self.begin) / (self.end - self.begin)
        return round(100 * min(max(share, 0.0), 1.0), 2)

    def box(self, bar: Bar) -> Box:
        """Return where a bar is."""
        x = min(self.percent(bar.begin), 100 - _LEAST)
        return Box(x, round(max(self.percent(bar.end) - x, _LEAST), 2), bar)

    def hours(self) -> list[Mark]:
        """Return the marks of the axis: each third full hour of the reader's clock."""
        first = quantities.local(self.begin).replace(minute=0, second=0, microsecond=0)
        marks = []
        for number in range(int((self.end - self.begin) / 3600) + 2):
            # In seconds, because local times jump when the clocks change.
            at = first.timestamp() + number * 3600
            moment = quantities.local(at)
            if self.begin <= at <= self.end and moment.hour % _HOURS == 0:
                is_minor = moment.hour % (2 * _HOURS) != 0
                marks.append(Mark(self.percent(at), f"{moment:%H:%M}", is_minor))
        return marks


class Scale:
    """A logarithmic scale of durations that all tasks share, so that their plots compare."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        durations = [each for task in tasks for each in _durations(task)]
        least = max(min(durations, default=1.0), _STEPS[0])
        most = max(max(durations, default=1.0), least)
        self._from = max((step for step in _STEPS if step <= least), default=_STEPS[0])
        self._to = min(
            (step for step in _STEPS if step >= most and step > self._from), default=most
        )

    def percent(self, seconds: float) -> float:
        """Return where a duration is."""
        share = math.log(max(seconds, self._from) / self._from) / math.log(self._to / self._from)
        return round(2 + 96 * min(share, 1.0), 1)  # a dot at an end has room

    def marks(self) -> list[Mark]:
        """Return the marks of the axis."""
        return [
            Mark(self.percent(step), _step_text(step))
            for step in _STEPS
            if self._from <= step <= self._to
        ]


def _durations(task: Task) -> Iterator[float]:
    yield from task.band or ()
    yield from (each for each in (task.usual, task.last) if each is not None)


def _step_text(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size:
            return f"{seconds / size:g}{unit}"
    return f"{seconds * 1000:g}ms"


class Spot(NamedTuple):
    """A run in the plot of a task's durations, in thousandths of its width and height."""

    x: int
    y: int  # from the top
    point: Point


class History(NamedTuple):
    """The plot of a task's last durations: each run as a spot, in the order of time."""

    spots: Sequence[Spot]
    top: float  # seconds at the upper edge
    upper: float | None  # percent from the top: the edges of the usual band
    lower: float | None

    @property
    def runs(self) -> int:
        """How many there are."""
        return len(self.spots)


def history(points: Sequence[Point], band: tuple[float, float] | None) -> History | None:
    """Lay out the durations of a task's last runs; None if there is too little to see."""
    if len(points) < _ENOUGH:
        return None
    top = max(point.duration for point in points) * 1.1 or 1.0
    spots = [
        Spot(10 + 980 * number // (len(points) - 1), _y(point.duration, top), point)
        for number, point in enumerate(points)
    ]
    upper, lower = (_y(band[1], top) / 10, _y(band[0], top) / 10) if band else (None, None)
    return History(spots, top, upper, lower)


def _y(seconds: float, top: float) -> int:
    return round(980 - 960 * min(seconds / top, 1.0))
