"""When a task is due: the five fields of a cron line, in their time zone."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from functools import cache, cached_property
from itertools import chain
from typing import NamedTuple

from autotask.tool.errors import ToolError
from autotask.tool.schedule import zone

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
WEEKDAYS = "sun mon tue wed thu fri sat".split()
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_STARS = ("*", "*/1", "?")
DAY = 24 * 60  # minutes
CATCHES_UP = 3 * 3600.0  # seconds: cron takes a longer change for a correction of the clock
_A_DAY = timedelta(days=1)
_WEEK = timedelta(weeks=1)
_YEARS = timedelta(days=9 * 366)  # 29 February may be 8 years away, around 2100
_FIRST = date(2024, 1, 1)  # a fixed year, so that the interval of a line never changes


class _Part(NamedTuple):
    """One of the five fields: which values it may have."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_PARTS = (
    _Part("minute", 0, 59),
    _Part("hour", 0, 23),
    _Part("day of month", 1, 31),
    _Part("month", 1, 12, ("", *_MONTHS)),
    _Part("day of week", 0, 7, tuple(WEEKDAYS)),
)


@cache  # thousands of tasks may share a line: compute its cached properties once
def schedule_for(cron: str, timezone: str) -> Schedule:
    """Return the schedule of a cron line in a time zone."""
    return Schedule(cron, timezone)


class Schedule:
    """When a task is due.

    Args:
        cron: Five fields as cron(8) reads them, or `@daily` and the like.
        timezone: A name of the tz database, such as `Europe/Berlin`.
        in_crontab: Read the line as Debian's cron and cronie read it in a crontab. Otherwise a
            line that other daemons interpret differently is refused, and a few more forms are
            accepted (`?`, `5/15`).

    Raises:
        ToolError: The line or the time zone is not valid.
    """

    def __init__(self, cron: str, timezone: str = "UTC", in_crontab: bool = False) -> None:
        self.cron = " ".join(cron.split())
        self.timezone = timezone
        self._zone = zone.named(timezone)
        fields = _fields(self.cron, in_crontab)
        self.minutes, self.hours, self.days, self.months, self.weekdays = fields.values
        self.spread = fields.spread  # seconds by which it may be due later: cron chose at random
        self.times = sorted(60 * hour + minute for hour in self.hours for minute in self.minutes)
        self.any_day = len(self.days) == 31
        self.any_weekday = len(self.weekdays) == 7
        self.follows_clock = fields.follows_clock  # what the clock skips is lost: see _moments
        # If both kinds of day are restricted, one of them is enough.
        self._either_day = fields.either_day and not (self.any_day or self.any_weekday)
        self.longest_month = max(_LONGEST_MONTHS[month - 1] for month in self.months)
        if self.any_weekday and min(self.days) > self.longest_month:
            raise self.refusal("none of its months has such a day")

    def __repr__(self) -> str:
        return f"Schedule({self.cron!r}, {self.timezone!r})"

    @property
    def times_a_day(self) -> int:
        """How often it is due, on a day on which it is due."""
        return len(self.times)

    @property
    def closest(self) -> float:
        """The shortest time in seconds from one time of day to the next."""
        later = [*self.times[1:], self.times[0] + DAY]
        return 60 * min(after - before for before, after in zip(self.times, later))

    @cached_property
    def interval(self) -> float:
        """The longest time in seconds between two times that it is due."""
        if not (self.any_day and len(self.months) == 12):
            return self._longest_gap(_FIRST, _YEARS)
        changes = [
            week for week in self._weeks() if self._offset(week) != self._offset(week + _WEEK)
        ]
        weeks = [_FIRST, *changes]  # a week without a change of the clock is like the first one
        return max(self._longest_gap(week - _WEEK, 3 * _WEEK) for week in weeks)

    def _longest_gap(self, first: date, span: timedelta) -> float:
        due = list(self._due_on(self._dates(first, span)))
        return max(after - before for before, after in zip(due, due[1:]))

    def next_after(self, moment: datetime) -> datetime:
        """Return when it is next due after an aware *moment*, in the schedule's own time zone.

        A time that is skipped by the change to daylight saving time is due right after it. One
        that occurs twice counts once, the first time. Only if the minute or the hour begins with
        `*`, nothing is due instead of a skipped time, and both times count.
        """
        now = moment.timestamp()
        yesterday = moment.astimezone(self._zone).date() - timedelta(days=1)
        due = self._due_on(self._dates(yesterday, _YEARS))
        return datetime.fromtimestamp(next(at for at in due if at > now), self._zone)

    def due_between(self, after: float, until: float) -> list[float]:
        """Return the POSIX times after *after*, up to *until*, at which it is due, in order."""
        # What is due in the last hours of a day may come in the first ones of the next: _moments.
        first = datetime.fromtimestamp(after - CATCHES_UP, self._zone).date()
        last = datetime.fromtimestamp(until, self._zone).date()
        due = list(self._due_on(self._dates(first, last - first + _A_DAY)))
        return due[bisect_right(due, after) : bisect_right(due, until)]

    def last_until(self, moment: float) -> float | None:
        """Return when it was last due, up to a POSIX time; None if it was not for nine years."""
        tomorrow = datetime.fromtimestamp(moment, self._zone).date() + _A_DAY
        days = (tomorrow - timedelta(days=n) for n in range(_YEARS.days))
        due = chain.from_iterable(reversed(self._due(day)) for day in days if self._falls_on(day))
        return next((at for at in due if at <= moment), None)

    def nearest(self, moment: float) -> float | None:
        """Return the nearest time that it is due, within a day of a POSIX time; None if none is."""
        day = datetime.fromtimestamp(moment, self._zone).date()
        near = self._dates(day - timedelta(days=1), timedelta(days=3))
        return min(self._due_on(near), key=lambda at: abs(at - moment), default=None)

    def clock(self, moment: float) -> str:
        """Write the time of day of a POSIX time, in its time zone: `03:15`."""
        return datetime.fromtimestamp(moment, self._zone).strftime("%H:%M")

    @cached_property
    def clock_change(self) -> float:
        """By how many seconds the clock is put back once a year; 0 if it never is."""
        offsets = list(map(self._offset, self._weeks()))
        return (max(offsets) - min(offsets)).total_seconds()

    def _weeks(self) -> list[date]:
        return [_FIRST + n * _WEEK for n in range(53)]

    def _offset(self, day: date) -> timedelta:
        return datetime.combine(day, time(12), self._zone).utcoffset() or timedelta()

    def _dates(self, first: date, span: timedelta) -> Iterator[date]:
        days = (first + timedelta(days=n) for n in range(span.days))
        return filter(self._falls_on, days)

    def _falls_on(self, day: date) -> bool:
        of_month = day.day in self.days
        of_week = day.isoweekday() % 7 in self.weekdays
        on = (of_month or of_week) if self._either_day else (of_month and of_week)
        return on and day.month in self.months

    def _due_on(self, days: Iterable[date]) -> Iterator[float]:
        """Yield the POSIX times at which it is due on some days, in order."""
        last = -math.inf
        for due in chain.from_iterable(map(self._due, days)):
            if due > last:  # what 23:30 became may be the next day's 00:00
                yield due
                last = due

    def _due(self, day: date) -> list[float]:
        """Return the POSIX times at which it is due on *day*, in order."""
        midnight = datetime.combine(day, time(), self._zone)
        next_midnight = (midnight + _A_DAY).replace(fold=1)
        if midnight.utcoffset() == next_midnight.utcoffset():
            # Almost every day: the clock does not change.
            start = midnight.timestamp()
            return [start + 60 * minute for minute in self.times]
        clock = (midnight + timedelta(minutes=minute) for minute in self.times)
        return sorted({moment for at in clock for moment in self._moments(at)})

    def _moments(self, at: datetime) -> list[float]:
        """Return when cron starts what is due at a local time that may be skipped or repeated.

        Facts from cron(8) and cron.c of Debian's cron 3.0: what is due at a certain time is not
        lost and not repeated by changes of less than three hours. A `*` in front of the minute or
        the hour follows the clock.
        """
        first, second = at.timestamp(), at.replace(fold=1).timestamp()
        change = abs(first - second)
        if second < first:  # the clock is put forward, and skips it
            follows = self.follows_clock or change >= CATCHES_UP
            return [] if follows else [self._next_change(first - change)]
        again = second > first and (self.follows_clock or change > CATCHES_UP)
        return [first, second] if again else [first]

    def _next_change(self, moment: float) -> float:
        """Return when the clock changes after a POSIX time, to the minute; within a day."""
        low, high = 0, DAY
        before = self._offset_at(moment)
        while low < high:
            middle = (low + high) // 2
            if self._offset_at(moment + 60 * middle) == before:
                low = middle + 1
            else:
                high = middle
        return moment + 60 * low

    def _offset_at(self, moment: float) -> timedelta | None:
        return datetime.fromtimestamp(moment, self._zone).utcoffset()

    def refusal(self, why: str) -> ToolError:
        """Return an error about this schedule."""
        return ToolError(f"schedule {self.cron!r}: {why}")


class _Fields(NamedTuple):
    """What the five fields say."""

    values: list[set[int]]  # that each field allows
    either_day: bool  # a day of the month or of the week is enough, if both are restricted
    spread: float  # seconds
    follows_clock: bool


def _fields(cron: str, in_crontab: bool) -> _Fields:
    name = cron if in_crontab else cron.lower()
    texts = _MACROS.get(name, cron).lower().split()
    if len(texts) != len(_PARTS):
        raise ToolError(
            f"schedule {cron!r}: a cron line has five fields: minute hour day month weekday"
        )
    read = _piece_of_crontab if in_crontab else _piece
    try:
        values = [_field(part, text, read) for part, text in zip(_PARTS, texts)]
    except ValueError as error:
        raise ToolError(f"schedule {cron!r}: {error}") from None
    days, weekdays = texts[2], texts[4]
    either = days not in _STARS and weekdays not in _STARS
    if either and "*" in days + weekdays:
        if not in_crontab:
            raise ToolError(
                f"schedule {cron!r}: cron daemons interpret this differently; list the days"
            )
        either = not (days.startswith("*") or weekdays.startswith("*"))
    # One kind of day is enough. If one of them is every day, so is the other.
    if either and (len(values[2]) == 31 or len(values[4]) == 7):
        values[2], values[4] = set(range(1, 32)), set(range(7))
    follows_clock = any(text.startswith("*") for text in texts[:2])
    return _Fields(values, either, _spread(texts), follows_clock)


def _spread(texts: list[str]) -> float:
    """Return by how many seconds random values (`0~59`) may make a job later than their first."""
    units = zip(_PARTS, texts, (60.0, 3600.0, 86400.0))
    return sum(unit * _random(part, text) for part, text, unit in units)


def _random(part: _Part, text: str) -> int:
    """Return how many values more than the first one the random pieces of a field may have."""
    ends = (piece.partition("~")[::2] for piece in text.split(",") if "~" in piece)
    return max((int(high or part.high) - int(low or part.low) for low, high in ends), default=0)


def _field(part: _Part, text: str, read: Callable[[_Part, str], range]) -> set[int]:
    """Parse one field; raise ValueError with what is wrong."""
    values = {value for piece in text.split(",") for value in read(part, piece)}
    return {value % 7 for value in values} if part.name == "day of week" else values


def _piece_of_crontab(part: _Part, text: str) -> range:
    """Parse a piece as cron does, also `0~59`, a random value: return the first one."""
    low, tilde, high = text.partition("~")
    if not tilde:
        span, slash, _ = text.partition("/")
        if "?" in span or (slash and span != "*" and "-" not in span):
            raise ValueError(f"{part.name} {text!r} is not what cron reads")
        return _piece(part, text)
    first = _number(part, low) if low else part.low
    if (_number(part, high) if high else part.high) < first:
        raise ValueError(f"{part.name} {text!r} ends before it starts")
    return range(first, first + 1)


def _piece(part: _Part, text: str) -> range:
    """Parse `*`, `5`, `mon-fri`, `*/15`, `8-18/2` or `5/15` (from 5 to the end)."""
    span, slash, step_text = text.partition("/")
    low_text, dash, high_text = span.partition("-")
    every = span == "*" or (span == "?" and part.name.startswith("day"))
    low = part.low if every else _number(part, low_text)
    last = part.high if every or slash else low
    high = _number(part, high_text) if dash else last
    if high < low:
        raise ValueError(f"{part.name} {span!r} ends before it starts")
    if not slash:
        return range(low, high + 1)
    if not (step_text.isascii() and step_text.isdigit() and int(step_text)):
        raise ValueError(f"{part.name} {text!r} needs a step of at least 1")
    return range(low, high + 1, int(step_text))


def _number(part: _Part, text: str) -> int:
    if text and text in part.names:
        return part.names.index(text)
    if not (text.isascii() and text.isdigit() and part.low <= int(text) <= part.high):
        raise ValueError(f"{part.name} {text!r} is not between {part.low} and {part.high}")
    return int(text)
