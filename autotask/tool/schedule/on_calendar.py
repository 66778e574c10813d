"""Timers of systemd as a cron line or an interval, where they can be said so (systemd.time(7))."""

from __future__ import annotations

import re
from typing import NamedTuple

from autotask.tool.errors import ToolError
from autotask.tool.schedule import zone

_NAMED = {
    "minutely": "*-*-* *:*",
    "hourly": "*-*-* *:00",
    "daily": "*-*-* 00:00",
    "weekly": "Mon *-*-* 00:00",
    "monthly": "*-*-01 00:00",
    "quarterly": "*-01,04,07,10-01 00:00",
    "semiannually": "*-01,07-01 00:00",
    "yearly": "*-01-01 00:00",
    "annually": "*-01-01 00:00",
}
_WEEKDAYS = "mon tue wed thu fri sat sun".split()  # 1 to 7
_EXPRESSION = re.compile(
    r"(?:(?P<weekdays>[A-Za-z]{3}[A-Za-z,.-]*),?(?:\s+|$))?"
    r"(?:(?:\*-)?(?P<month>[\d*/.,]+)-(?P<day>[\d*/.,]+)(?:\s+|$))?"
    r"(?:(?P<hour>[\d*/.,]+):(?P<minute>[\d*/.,]+)(?::0+(?:\.0+)?)?(?:\s+|$))?"
    r"(?P<zone>[A-Za-z]\S*)?"
)
_PIECE = re.compile(r"(\d+)(?:\.\.(\d+))?(?:/(\d+))?")
_ONCE = ("OnActiveSec=", "OnBootSec=", "OnStartupSec=")
_SETTING = re.compile(r"On(Calendar|UnitActiveSec|UnitInactiveSec)=(.+)")
_AMOUNT = re.compile(r"(\d+)([a-z]+)")
_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}  # as systemctl writes them


class Timing(NamedTuple):
    """When a timer elapses: by a cron line, or by the time since it did so last."""

    cron: str | None = None
    timezone: str | None = None  # None: the machine's
    interval: float | None = None  # seconds


def timing(when: str) -> Timing | None:
    """Return what a timer says; None if neither a cron line nor an interval can.

    Args:
        when: Its settings: `OnCalendar=Mon..Fri 03:15`, `OnUnitActiveSec=15min, OnBootSec=2min`.
    """
    settings = [text for text in re.split(r", (?=On)", when) if not text.startswith(_ONCE)]
    setting = _SETTING.fullmatch(settings[0]) if len(settings) == 1 else None
    if setting is None:
        return None
    if setting[1] == "Calendar":
        return _calendar(setting[2].strip())
    seconds = _seconds(setting[2].strip())
    return Timing(interval=seconds) if seconds else None


def _calendar(expression: str) -> Timing | None:
    words = expression.split()
    named = _NAMED.get(words[0].lower() if words else "")
    parts = _EXPRESSION.fullmatch(" ".join([named, *words[1:]]) if named else expression)
    if parts is None or not any(parts.group("weekdays", "month", "hour")):
        return None
    try:
        weekdays = _weekdays(parts["weekdays"])
        day, month = _field(parts["day"] or "*", 1, 31), _field(parts["month"] or "*", 1, 12)
        hour, minute = _field(parts["hour"] or "0", 0, 23), _field(parts["minute"] or "0", 0, 59)
        if parts["zone"]:
            zone.named(parts["zone"])
    except (ValueError, ToolError):
        return None
    if weekdays != "*" and day != "*":  # systemd wants both, cron one of them
        return None
    return Timing(f"{minute} {hour} {day} {month} {weekdays}", parts["zone"])


def _weekdays(text: str | None) -> str:
    """Write `Mon..Fri,Sun` as cron does; raise ValueError if a word is not a day."""
    if text is None:
        return "*"
    days = []
    for piece in text.lower().replace("..", "-").split(","):
        numbers = [_WEEKDAYS.index(word[:3]) + 1 for word in piece.split("-")]
        days.append("-".join(map(str, numbers)))
    return ",".join(days)


def _field(text: str, low: int, high: int) -> str:
    """Write `0..30/10,45` as cron does; raise ValueError if cron cannot say it."""
    return ",".join(_piece(piece, low, high) for piece in text.split(","))


def _piece(text: str, low: int, high: int) -> str:
    if text == "*":
        return text
    parts = _PIECE.fullmatch(text)
    if parts is None:
        raise ValueError(text)
    first, last, step = parts.groups()
    numbers = [int(number) for number in (first, last or (high if step else first))]
    if not low <= numbers[0] <= numbers[1] <= high:
        raise ValueError(text)
    span = str(numbers[0]) if numbers[0] == numbers[1] else f"{numbers[0]}-{numbers[1]}"
    whole = "*" if numbers == [low, high] else span
    return f"{whole}/{int(step)}" if step and numbers[0] != numbers[1] else span


def _seconds(span: str) -> float:
    """Return the seconds of `1h 30min`; 0 if it has another unit."""
    amounts = [_AMOUNT.fullmatch(word) for word in span.split()]
    if not all(amount and amount[2] in _UNITS for amount in amounts):
        return 0
    return sum(int(amount[1]) * _UNITS[amount[2]] for amount in amounts if amount)
