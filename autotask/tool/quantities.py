"""Durations, sizes and times: parsed from the command line, and formatted for people."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone

from autotask.around import units

_SECONDS = {"d": 86400, "h": 3600, "m": 60}
# [0-9], because \d also matches the digits of other scripts.
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[ T]([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{6})?)?)(Z|[+-][0-9]{2}:[0-9]{2})?)?"
)


def parse_duration(text: str) -> float:
    """Return the seconds of `90d`, `24h`, `1h30m`, `45s` or `2w`."""
    try:
        return units.parse_duration(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def parse_size(text: str) -> int:
    """Return the bytes of `512M`, `2G`, `64K` or `1000` (powers of 1024)."""
    try:
        return units.parse_size(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def parse_since(text: str, now: float | None = None) -> float:
    """Return the POSIX time of `24h` (ago), `today`, `yesterday`, `2026-11-28 [03:00[:05][Z]]`.

    A day begins at midnight in the reader's time zone. Instead of `Z`, `+01:00` or the like.
    """
    words = text.strip()
    now = time.time() if now is None else now
    match = _TIME.fullmatch(words)
    try:
        if words in ("today", "yesterday"):
            day = local(now).date() - timedelta(days=words == "yesterday")
            return _posix(day.isoformat(), "00:00", "")
        if match is not None:
            return _posix(match[1], match[2] or "00:00", match[3] or "")
        return now - units.parse_duration(words)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(
            f"{problem}; times are today, yesterday, 2026-11-28 and 2026-11-28T03:00"
        ) from None


def _posix(day: str, of_day: str, zone: str) -> float:
    """Return the POSIX time of a date and a time of day, in a zone or the reader's."""
    # Up to Python 3.10 fromisoformat() does not accept "Z".
    text = f"{day}T{of_day}{'+00:00' if zone == 'Z' else zone}"
    try:
        return max(datetime.fromisoformat(text).timestamp(), 0.0)
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text} is not in the calendar") from None


def parse_count(text: str) -> int:
    """Return a number of rows."""
    if re.fullmatch(r"[0-9]{1,12}", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of runs, such as 20")
    return int(text)


def timestamp(text: str | None) -> float | None:
    """Return the POSIX time of a time in the journal; None if it is malformed."""
    if text is None or not text.endswith("Z"):
        return None
    try:
        # Up to Python 3.10 fromisoformat() does not accept "Z".
        return datetime.fromisoformat(text[:-1] + "+00:00").timestamp()
    except ValueError:
        return None


def median(values: Sequence[float]) -> float:
    """Return the value in the middle; `statistics` has it too, and takes 10 ms to import."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def local(seconds: float) -> datetime:
    """Return a time in the reader's time zone, or in UTC if Python does not support that zone.

    POSIX allows TZ=XXX24, but Python's offsets are shorter than a day.
    """
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    try:
        return moment.astimezone()
    except (ValueError, OverflowError):
        return moment


def local_time(text: str | None, now: float, short: bool = False) -> str:
    """Format a time in the reader's time zone: to the second, or with the year if it is another.

    *short*: only the time if it is today, else at most 11 characters.
    """
    seconds = timestamp(text)
    if seconds is None:
        return text or "-"
    moment, today = local(seconds), local(now)
    if moment.year != today.year:
        return moment.strftime("%Y-%m-%d" if short else "%Y-%m-%d %H:%M")
    if not short:
        return moment.strftime("%m-%d %H:%M:%S")
    return moment.strftime("%H:%M:%S" if moment.date() == today.date() else "%m-%d %H:%M")


def zone_text(text: str | None) -> str:
    """Return the offset of the reader's time zone at a time: `+01:00` or `UTC`; `` if malformed."""
    seconds = timestamp(text)
    if seconds is None:
        return ""
    offset = local(seconds).strftime("%z")
    return "UTC" if offset == "+0000" else f"{offset[:3]}:{offset[3:5]}"


def shared_zone(texts: Iterable[str | None]) -> str | None:
    """Return the one offset that times have; None if daylight saving came between them."""
    zones = {zone_text(text) for text in texts} - {""}
    return None if len(zones) > 1 else "".join(zones)


def duration_text(seconds: float | None) -> str:
    """Format a duration with about three digits: `12ms`, `1.53s`, `2m05s`, `3h07m`, `4d02h`."""
    if seconds is None:
        return "-"
    # The limits are values that would round up to a digit more, such as 1000ms.
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f}ms"
    if seconds < 9.995:
        return f"{seconds:.2f}s"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{left:02}s"


def short_duration(seconds: float) -> str:
    """Format a duration without trailing zeros: `1h` and not `1h00m`."""
    return re.sub(r"(?<=[dhm])00[hms]$|\.0+(?=s$)", "", duration_text(seconds))


def ago(text: str | None, now: float) -> str:
    """Format how long before *now* a time was, in its largest unit: `5m ago`."""
    seconds = timestamp(text)
    if seconds is None:
        return text or "never"
    passed = max(0, int(now - seconds))
    for unit in ("d", "h", "m"):
        if passed >= _SECONDS[unit]:
            return f"{passed // _SECONDS[unit]}{unit} ago"
    return f"{passed}s ago"


def next_due_text(text: str | None, zone: str | None, now: float) -> str:
    """Format a time to come as `due_text` does; with its offset if *zone* has not that of all."""
    offset = zone_text(text) if zone is None else ""
    return due_text(timestamp(text), now) + offset


def due_text(seconds: float | None, now: float) -> str:
    """Format a POSIX time to come in the reader's time zone: `14:05`, `Tue 06:25`, `01-24 06:25`.

    With the year instead of the time of day if it is another year, and not in the next week.
    """
    if seconds is None:
        return "-"
    moment, today = local(seconds), local(now)
    days = (moment.date() - today.date()).days
    if days == 0:
        return moment.strftime("%H:%M")
    if 0 < days < 7:
        return moment.strftime("%a %H:%M")
    return moment.strftime("%m-%d %H:%M" if moment.year == today.year else "%Y-%m-%d")


def runs_text(count: int) -> str:
    """Format a number of runs: `1 run`, `20 runs`."""
    return "1 run" if count == 1 else f"{count} runs"


def size_text(size: int) -> str:
    """Format a number of bytes: `812 B`, `3.2 MiB`."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
