"""Schedules in words: `every 5 minutes`, `at 03:15 on Mon-Fri`.

What would become long is left as it is written: who wrote it can read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from autotask.tool.errors import ToolError
from autotask.tool.schedule.cron_line import Schedule

LONGEST = 52  # characters: `at 00:00 on day 1 of the month in Jan, Apr, Jul, Oct`
_FEW = 4  # values that are listed one by one
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_WEEKDAYS = "Sun Mon Tue Wed Thu Fri Sat".split()
_FROM_MONDAY = (1, 2, 3, 4, 5, 6, 0)
_CALENDAR = re.compile(
    r"(?:([A-Za-z.,]+) )?\*-([*0-9,./]+)-([*0-9,./]+)"  # days of the week, months, days
    r" ([*0-9,./]+):([*0-9,./]+):00(?: (\S+))?"  # hours, minutes, a time zone
)


def of_cron(when: str) -> str:
    """Say when a crontab's line is due; *when* is its five fields, or `@daily` and the like."""
    text = " ".join(when.split())
    if text == "@reboot":
        return "at reboot"
    try:
        schedule = Schedule(text.removeprefix("-"), in_crontab=True)  # cronie's: not logged
    except ToolError:
        return text
    minutes = sorted({at % 60 for at in schedule.times})
    clock, day = _clock(minutes, sorted(schedule.hours)), _day(schedule)
    if schedule.spread or clock is None or day is None or len(clock + day) > LONGEST:
        return text
    return clock + day


def of_calendar(calendar: str) -> str:
    """Say what an `OnCalendar=` of systemd means; *calendar* is in its normal form.

    That is how systemd shows it, see systemd.time(7): `Mon..Fri *-*-* 03:15:00`.
    """
    match = _CALENDAR.fullmatch(calendar)
    if match is None:
        return calendar
    weekdays, months, days, hours, minutes, zone = match.groups()
    if weekdays and days != "*":  # which systemd requires both, and cron either
        return calendar
    parts = zip((minutes, hours, days, months), (59, 23, 31, 12))
    line = " ".join(_as_cron(part, last) for part, last in parts)
    line = f"{line} {(weekdays or '*').replace('..', '-')}"
    said = of_cron(line)
    if said == line:
        return calendar
    return f"{said} ({zone})" if zone else said


def _as_cron(part: str, last: int) -> str:
    """Write a field of systemd's as cron's: `00/15` counts from 0 on, `9..17` is a range."""
    return re.sub(r"(?<![0-9.])([0-9]+)/", rf"\1-{last}/", part).replace("..", "-")


def _clock(minutes: Sequence[int], hours: Sequence[int]) -> str | None:
    if len(hours) == 24:
        return _in_each_hour(minutes)
    if len(minutes) * len(hours) <= 2:
        return _listed_times(minutes, hours)
    step = _step(minutes, 60) if len(minutes) > 1 else None
    if _is_range(hours) and (step or (len(minutes) == 1 and len(hours) > 2)):
        rhythm = _every(step, "minute") if step else "every hour"
        return f"{rhythm} from {_time(hours[0], minutes[0])} to {_time(hours[-1], minutes[-1])}"
    if len(minutes) == 1 and _step(hours, 24):
        return _each_few_hours(minutes[0], hours)
    return _listed_times(minutes, hours) if len(minutes) * len(hours) <= _FEW else None


def _in_each_hour(minutes: Sequence[int]) -> str | None:
    step = _step(minutes, 60)
    if minutes == [0]:
        return "every hour"
    if step and minutes[0] == 0:
        return _every(step, "minute")
    if len(minutes) < _FEW:
        return "every hour at " + _listed(f":{minute:02}" for minute in minutes)
    return f"{_every(step, 'minute')} from :{minutes[0]:02}" if step else None


def _each_few_hours(minute: int, hours: Sequence[int]) -> str:
    rhythm = _every(hours[1] - hours[0], "hour")
    if hours[0]:
        return f"{rhythm} from {_time(hours[0], minute)}"
    return f"{rhythm} at :{minute:02}" if minute else rhythm


def _step(values: Sequence[int], cycle: int) -> int | None:
    """Return the distance between values that are evenly spread over a cycle; None if not."""
    step = cycle // len(values)
    even = range(values[0], values[0] + cycle, step)
    return step if list(values) == list(even) else None


def _day(schedule: Schedule) -> str | None:
    """Return ` on ... in ...`: empty for all days, None if it would be long."""
    days, months, weekdays = map(sorted, (schedule.days, schedule.months, schedule.weekdays))
    if len(days) == 1 and len(months) == 1 and len(weekdays) == 7:
        return f" on {days[0]} {_MONTHS[months[0] - 1]}"
    of_month = "" if len(days) == 31 else _days_of_month(days)
    of_week = "" if len(weekdays) == 7 else _days_of_week(weekdays)
    month = "" if len(months) == 12 else _spans([_MONTHS[month - 1] for month in months], months)
    if of_month is None or month is None:
        return None
    if of_month and of_week and "*" in "".join(schedule.cron.split()[2::2]):
        return None  # `*/2` in one of them: daemons differ in whether both have to fit
    on = " or on ".join(filter(None, (of_month, of_week)))
    return (f" on {on}" if on else "") + (f" in {month}" if month else "")


def _days_of_month(days: Sequence[int]) -> str | None:
    spans = _spans([str(day) for day in days], days)
    return spans and f"day{'s' if len(days) > 1 else ''} {spans} of the month"


def _days_of_week(days: Sequence[int]) -> str:
    from_monday = [day for day in _FROM_MONDAY if day in days]
    places = [_FROM_MONDAY.index(day) for day in from_monday]
    from_sunday = _is_range(days) and 0 in days and len(days) > 2
    ordered, numbers = (days, days) if from_sunday else (from_monday, places)
    names = [_WEEKDAYS[day] for day in ordered]
    return _spans(names, numbers) or _listed(names)


def _spans(names: Sequence[str], numbers: Sequence[int]) -> str | None:
    """Write names as a range or a list; None if both would be long."""
    if _is_range(numbers) and len(numbers) > 2:
        return f"{names[0]}-{names[-1]}"
    return _listed(names) if len(names) <= _FEW else None


def _is_range(values: Sequence[int]) -> bool:
    return values[-1] - values[0] == len(values) - 1


def _listed_times(minutes: Sequence[int], hours: Sequence[int]) -> str:
    return "at " + _listed(_time(hour, minute) for hour in hours for minute in minutes)


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(texts)


def _every(number: int, unit: str) -> str:
    return f"every {unit}" if number == 1 else f"every {number} {unit}s"


def _time(hour: int, minute: int) -> str:
    return f"{hour:02}:{minute:02}"
