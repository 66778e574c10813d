"""When a task is due: a cron line in its time zone, and the same as RRULEs for Datadog."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from functools import cache, cached_property
from itertools import chain
from typing import NamedTuple

from autotask.tool.datadog import zone
from autotask.tool.errors import ToolError

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
_WEEKDAYS = "sun mon tue wed thu fri sat".split()
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_NEXT_MONTH = (
    "the deadline falls into the next month, which an RRULE cannot express; set a shorter `within`"
)
_STARS = ("*", "*/1", "?")
_RRULE_WEEKDAYS = "SU MO TU WE TH FR SA".split()
_DAY = 24 * 60  # minutes
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
    _Part("day of week", 0, 7, tuple(_WEEKDAYS)),
)


class Recurrence(NamedTuple):
    """One of the rules for when a task is due."""

    due: str  # for people: `03:15`, `03:15 on Mon, Fri`
    rrule: str


@cache  # thousands of tasks may share a line: compute its cached properties once
def schedule_for(cron: str, timezone: str) -> Schedule:
    """Return the schedule of a cron line in a time zone."""
    return Schedule(cron, timezone)


class Schedule:
    """When a task is due.

    Args:
        cron: Five fields as cron(8) reads them, or `@daily` and the like.
        timezone: A name of the tz database, such as `Europe/Berlin`.

    Raises:
        ToolError: The line or the time zone is not valid, or cron daemons interpret it differently.
    """

    def __init__(self, cron: str, timezone: str = "UTC") -> None:
        self.cron = " ".join(cron.split())
        self.timezone = timezone
        self._zone = zone.named(timezone)
        minutes, self._hours, self._days, self._months, self._weekdays = _fields(self.cron)
        self._times = sorted(60 * hour + minute for hour in self._hours for minute in minutes)
        self._any_day = len(self._days) == 31
        self._any_weekday = len(self._weekdays) == 7
        self._longest_month = max(_LONGEST_MONTHS[month - 1] for month in self._months)
        if self._any_weekday and min(self._days) > self._longest_month:
            raise self._refusal("none of its months has such a day")

    def __repr__(self) -> str:
        return f"Schedule({self.cron!r}, {self.timezone!r})"

    def recurrences(self, delay: float = 0) -> list[Recurrence]:
        """Return the rules for Datadog's custom schedules, in the same time zone.

        A rule is daily, weekly or monthly, and has one time of day
        (https://docs.datadoghq.com/monitors/guide/custom_schedules/). A line needs several if it
        has several times, or days of both the month and the week.

        Args:
            delay: Seconds from when the task is due to its deadline; rounded up to minutes.

        Raises:
            ToolError: Datadog cannot express it: the delay leads into the next month.
        """
        minutes = math.ceil(delay / 60)
        return [rule for due in self._times for rule in self._at(due, minutes)]

    def _at(self, due: int, delay: int) -> Iterator[Recurrence]:
        later, minute = divmod(due + delay, _DAY)
        rules = self._day_rules(later)
        for days, rule in rules.items():
            at = f"{due // 60:02}:{due % 60:02}" + (f" on {days}" if len(rules) > 1 else "")
            rrule = [*rule, f"BYHOUR={minute // 60}", f"BYMINUTE={minute % 60}"]
            yield Recurrence(at, ";".join(rrule))

    @property
    def times_a_day(self) -> int:
        """How often it is due, on a day on which it is due."""
        return len(self._times)

    @property
    def closest(self) -> float:
        """The shortest time in seconds from one time of day to the next."""
        later = [*self._times[1:], self._times[0] + _DAY]
        return 60 * min(after - before for before, after in zip(self._times, later))

    @cached_property
    def interval(self) -> float:
        """The longest time in seconds between two times that it is due."""
        if not (self._any_day and len(self._months) == 12):
            return self._longest_gap(_FIRST, _YEARS)
        changes = [
            week for week in self._weeks() if self._offset(week) != self._offset(week + _WEEK)
        ]
        weeks = [_FIRST, *changes]  # a week without a change of the clock is like the first one
        return max(self._longest_gap(week - _WEEK, 3 * _WEEK) for week in weeks)

    def _longest_gap(self, first: date, span: timedelta) -> float:
        due = list(chain.from_iterable(map(self._due, self._dates(first, span))))
        return max(after - before for before, after in zip(due, due[1:]))

    def next_after(self, moment: datetime) -> datetime:
        """Return when it is next due after an aware *moment*, in the schedule's own time zone.

        A time that is skipped by the change to daylight saving time is due that much later. One
        that occurs twice counts once, the first time, unless the line allows every hour.
        """
        now = moment.timestamp()
        yesterday = moment.astimezone(self._zone).date() - timedelta(days=1)
        due = chain.from_iterable(map(self._due, self._dates(yesterday, _YEARS)))
        return datetime.fromtimestamp(next(at for at in due if at > now), self._zone)

    def nearest(self, moment: float) -> float | None:
        """Return the nearest time that it is due, within a day of a POSIX time; None if none is."""
        day = datetime.fromtimestamp(moment, self._zone).date()
        near = self._dates(day - timedelta(days=1), timedelta(days=3))
        due = chain.from_iterable(map(self._due, near))
        return min(due, key=lambda at: abs(at - moment), default=None)

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
        """Tell whether it is due on *day*; if both kinds of day are restricted, one is enough."""
        of_month = day.day in self._days
        of_week = day.isoweekday() % 7 in self._weekdays
        either = not (self._any_day or self._any_weekday)
        on = (of_month or of_week) if either else (of_month and of_week)
        return on and day.month in self._months

    def _due(self, day: date) -> list[float]:
        """Return the POSIX times at which it is due on *day*, in order."""
        midnight = datetime.combine(day, time(), self._zone)
        if midnight.utcoffset() == (midnight + timedelta(days=1)).utcoffset():
            # Almost every day: the clock does not change.
            start = midnight.timestamp()
            return [start + 60 * minute for minute in self._times]
        clock = [midnight + timedelta(minutes=minute) for minute in self._times]
        due = {at.timestamp() for at in clock}
        if len(self._hours) == 24:  # an hour that occurs twice counts twice
            again = ((at.timestamp(), at.replace(fold=1).timestamp()) for at in clock)
            due.update(second for first, second in again if second > first)
        return sorted(due)

    def _day_rules(self, later: int) -> dict[str, list[str]]:
        """Return the rules for the days on which it is due, moved *later* by some days.

        They are by a text for people. There are two if one of both kinds of day is enough; on a day
        of both kinds, both apply.
        """
        months = [f"BYMONTH={_listed(self._months)}"] if len(self._months) < 12 else []
        rules = {}
        if not self._any_day and min(self._days) <= self._longest_month:
            # The deadline of a month's last day would be day 1 of the next month, and
            # `BYMONTHDAY=29` to 31 skips shorter months.
            if later and max(self._days) + later > 28:
                raise self._refusal(_NEXT_MONTH)
            days = _listed(day + later for day in self._days)
            text = f"day {_listed(self._days)} of the month"
            rules[text] = ["FREQ=MONTHLY", *months, f"BYMONTHDAY={days}"]
        if later and months and (self._any_day or not self._any_weekday):
            raise self._refusal(_NEXT_MONTH)
        if not self._any_weekday:
            weekdays = sorted((day + later) % 7 for day in self._weekdays)
            text = ", ".join(_WEEKDAYS[day].capitalize() for day in sorted(self._weekdays))
            byday = ",".join(_RRULE_WEEKDAYS[day] for day in weekdays)
            rules[text] = ["FREQ=WEEKLY", *months, f"BYDAY={byday}"]
        return rules or {"": ["FREQ=DAILY", *months]}

    def _refusal(self, why: str) -> ToolError:
        return ToolError(f"schedule {self.cron!r}: {why}")


def _fields(cron: str) -> list[set[int]]:
    """Return the values that each field allows."""
    texts = _MACROS.get(cron.lower(), cron).lower().split()
    if len(texts) != len(_PARTS):
        raise ToolError(
            f"schedule {cron!r}: a cron line has five fields: minute hour day month weekday"
        )
    try:
        fields = [_field(part, text) for part, text in zip(_PARTS, texts)]
    except ValueError as error:
        raise ToolError(f"schedule {cron!r}: {error}") from None
    days, weekdays = texts[2], texts[4]
    if days not in _STARS and weekdays not in _STARS:
        if "*" in days + weekdays:
            raise ToolError(
                f"schedule {cron!r}: cron daemons interpret this differently; list the days"
            )
        # One kind of day is enough. If one of them is every day, so is the other.
        if len(fields[2]) == 31 or len(fields[4]) == 7:
            fields[2], fields[4] = set(range(1, 32)), set(range(7))
    return fields


def _field(part: _Part, text: str) -> set[int]:
    """Parse one field; raise ValueError with what is wrong."""
    values = {value for piece in text.split(",") for value in _piece(part, piece)}
    return {value % 7 for value in values} if part.name == "day of week" else values


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


def _listed(numbers: Iterable[int]) -> str:
    return ",".join(map(str, sorted(numbers)))
