"""When a task is due, as RRULEs for Datadog's custom schedules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from autotask.tool.schedule.cron_line import DAY, WEEKDAYS, Schedule

_NEXT_MONTH = (
    "the deadline falls into the next month, which an RRULE cannot express; set a shorter `within`"
)
_RRULE_WEEKDAYS = "SU MO TU WE TH FR SA".split()


class Recurrence(NamedTuple):
    """One of the rules for when a task is due."""

    due: str  # for people: `03:15`, `03:15 on Mon, Fri`
    rrule: str


def recurrences(schedule: Schedule, delay: float = 0) -> list[Recurrence]:
    """Return the rules for Datadog's custom schedules, in the schedule's time zone.

    A rule is daily, weekly or monthly, and has one time of day
    (https://docs.datadoghq.com/monitors/guide/custom_schedules/). A line needs several if it has
    several times, or days of both the month and the week.

    Args:
        schedule: When the task is due.
        delay: Seconds from when the task is due to its deadline; rounded up to minutes.

    Raises:
        ToolError: Datadog cannot express it: the delay leads into the next month.
    """
    minutes = math.ceil(delay / 60)
    return [rule for due in schedule.times for rule in _at(schedule, due, minutes)]


def _at(schedule: Schedule, due: int, delay: int) -> Iterator[Recurrence]:
    later, minute = divmod(due + delay, DAY)
    rules = _day_rules(schedule, later)
    for days, rule in rules.items():
        at = f"{due // 60:02}:{due % 60:02}" + (f" on {days}" if len(rules) > 1 else "")
        rrule = [*rule, f"BYHOUR={minute // 60}", f"BYMINUTE={minute % 60}"]
        yield Recurrence(at, ";".join(rrule))


def _day_rules(schedule: Schedule, later: int) -> dict[str, list[str]]:
    """Return the rules for the days on which it is due, moved *later* by some days.

    They are by a text for people. There are two if one of both kinds of day is enough; on a day of
    both kinds, both apply.
    """
    days, months, weekdays = schedule.days, schedule.months, schedule.weekdays
    of_months = [f"BYMONTH={_listed(months)}"] if len(months) < 12 else []
    rules = {}
    if not schedule.any_day and min(days) <= schedule.longest_month:
        # The deadline of a month's last day would be day 1 of the next month, and
        # `BYMONTHDAY=29` to 31 skips shorter months.
        if later and max(days) + later > 28:
            raise schedule.refusal(_NEXT_MONTH)
        text = f"day {_listed(days)} of the month"
        monthdays = f"BYMONTHDAY={_listed(day + later for day in days)}"
        rules[text] = ["FREQ=MONTHLY", *of_months, monthdays]
    if later and of_months and (schedule.any_day or not schedule.any_weekday):
        raise schedule.refusal(_NEXT_MONTH)
    if not schedule.any_weekday:
        moved = sorted((day + later) % 7 for day in weekdays)
        text = ", ".join(WEEKDAYS[day].capitalize() for day in sorted(weekdays))
        byday = ",".join(_RRULE_WEEKDAYS[day] for day in moved)
        rules[text] = ["FREQ=WEEKLY", *of_months, f"BYDAY={byday}"]
    return rules or {"": ["FREQ=DAILY", *of_months]}


def _listed(numbers: Iterable[int]) -> str:
    return ",".join(map(str, sorted(numbers)))
