"""A model of Debian's cron: which jobs it starts in which minute of a machine's life.

Made from cron(8), crontab(5) and the loop in cron.c of cron 3.0pl1, and not from our own code,
which it checks. It knows minutes of local time, as cron does, and no schedules.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

_NAMES = (
    *("sun mon tue wed thu fri sat".split(), "jan feb mar apr may jun".split()),
    "jul aug sep oct nov dec".split(),
)
_WORDS = {name: n for n, name in enumerate(_NAMES[0])}
_WORDS |= {name: n for n, name in enumerate([*_NAMES[1], *_NAMES[2]], 1)}
_LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_THREE_HOURS = 180  # minutes


class Entry:
    """A line of a crontab: five fields."""

    def __init__(self, line: str) -> None:
        texts = line.split()
        minute, hour, day, month, weekday = (
            {value for piece in text.split(",") for value in _values(piece, *limits)}
            for text, limits in zip(texts, _LIMITS)
        )
        self.line = line
        self.times = {60 * h + m for h in hour for m in minute}
        self.days, self.months = day, month
        self.weekdays = {value % 7 for value in weekday}
        self.wild = texts[0][0] == "*" or texts[1][0] == "*"  # MIN_STAR, HR_STAR
        self.both_days = texts[2][0] == "*" or texts[4][0] == "*"  # DOM_STAR, DOW_STAR

    def matches_day(self, day: datetime) -> bool:
        """Tell whether it is due on a day."""
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        on = (of_month and of_week) if self.both_days else (of_month or of_week)
        return on and day.month in self.months


def _values(piece: str, low: int, high: int) -> range:
    span, _, step = piece.partition("/")
    first, _, last = span.partition("-")
    if span != "*":
        low = _WORDS[first] if first in _WORDS else int(first)
        high = low if not last else _WORDS[last] if last in _WORDS else int(last)
    return range(low, high + 1, int(step or 1))


class Daemon:
    """Cron's loop. Its minutes are of local time, counted from 1970, as in cron.c."""

    def __init__(self, entries: Iterable[Entry], zone: str) -> None:
        self.zone = ZoneInfo(zone)
        self.entries = list(entries)
        self._of_day: dict[int, dict[int, list[Entry]]] = {}
        self._virtual = 0
        self._offsets: dict[float, float] = {}  # from UTC, in seconds

    def load(self, entries: Iterable[Entry]) -> None:
        """Read a crontab that was edited."""
        self.entries = list(entries)
        self._of_day.clear()

    def start(self, now: float) -> None:
        """Begin: what was due before, and in this minute, is not its business."""
        self._virtual = self.clock(now)

    def wake(self, now: float) -> list[Entry]:
        """Wake up at the beginning of a minute; return the jobs to start, in order."""
        running = self.clock(now)
        passed = running - self._virtual
        if passed == 1:
            self._virtual = running
            return self._at(running)
        if 1 < passed <= 5:  # it woke up late: minute by minute
            minutes = range(self._virtual + 1, running + 1)
            self._virtual = running
            return [job for minute in minutes for job in self._at(minute)]
        if 5 < passed <= _THREE_HOURS:  # as in spring: what is due at a certain time is not lost
            minutes = range(self._virtual + 1, running + 1)
            self._virtual = running
            fixed = [job for minute in minutes for job in self._at(minute) if not job.wild]
            return [*(job for job in self._at(running) if job.wild), *fixed]
        if -_THREE_HOURS < passed <= 0:  # as in autumn: and it is not repeated
            return [job for job in self._at(running) if job.wild]
        self._virtual = running  # a correction of the clock
        return self._at(running)

    def clock(self, now: float) -> int:
        """Return the minute that the clock on the wall shows."""
        quarter = now // 900  # in whose midst no clock changes
        if quarter not in self._offsets:
            offset = datetime.fromtimestamp(now, self.zone).utcoffset()
            self._offsets[quarter] = offset.total_seconds() if offset else 0
        return int(now + self._offsets[quarter]) // 60

    def _at(self, minute: int) -> list[Entry]:
        day, of_day = divmod(minute, 24 * 60)
        jobs = self._of_day.get(day)
        if jobs is None:
            jobs = self._of_day[day] = self._times_on(_EPOCH + timedelta(days=day))
        return jobs.get(of_day, [])

    def _times_on(self, day: datetime) -> dict[int, list[Entry]]:
        jobs: dict[int, list[Entry]] = {}
        for entry in self.entries:
            if entry.matches_day(day):
                for time in entry.times:
                    jobs.setdefault(time, []).append(entry)
        return jobs
