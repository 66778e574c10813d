"""/etc/anacrontab: what anacron runs once in some days, and when it has.

The rules are those of anacrontab(5), and of readtab.c of Debian's anacron and cronie's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

PROGRAM = "/usr/sbin/anacron"
_ASSIGNMENT = re.compile(r"[ \t]*([^ \t=]+)[ \t]*=(.*)", re.DOTALL)
_JOB = re.compile(r"[ \t]*([0-9]+|@\S+)[ \t]+([0-9]+)[ \t]+([^ \t/]+)[ \t]+([^ \t].*)", re.DOTALL)
_NAMED = {
    "@daily": "every day",
    "@weekly": "every week",
    "@monthly": "every month",
    "@yearly": "every year",
    "@annually": "every year",
}
_MINUTE = 60.0  # seconds


class Entry(NamedTuple):
    """A job of anacron."""

    line: int  # its first one, from 1
    period: str  # days, or `@monthly`
    delay: float  # seconds, after anacron has started, at most
    identifier: str
    command: str  # that /bin/sh runs, whatever SHELL is
    environment: Mapping[str, str]

    @property
    def words(self) -> str:
        """When it runs, for people."""
        if self.period.startswith("@"):
            return f"{_NAMED[self.period]}, by anacron"
        number = int(self.period)
        return f"every {f'{number} days' if number != 1 else 'day'}, by anacron"


def read(text: bytes) -> tuple[list[Entry], list[int]]:
    """Return the jobs of an anacrontab, and the numbers of the lines that anacron skips."""
    entries: list[Entry] = []
    bad: list[int] = []
    environment: dict[str, str] = {}
    for number, line in _lines(os.fsdecode(text)):
        assignment, job = _ASSIGNMENT.fullmatch(line), _JOB.fullmatch(line)
        if not line.strip(" \t") or line.lstrip(" \t").startswith("#"):
            continue
        if assignment:
            environment = {**environment, assignment[1]: assignment[2].strip(" \t")}
        elif job and (job[1].isdigit() or job[1] in _NAMED):
            period, delay, identifier, command = job.groups()
            seconds = (int(delay) + _random_delay(environment)) * _MINUTE
            entries.append(Entry(number, period, seconds, identifier, command, environment))
        else:
            bad.append(number)
    return entries, bad


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers; one that ends with a backslash goes on in the next."""
    start, whole = 1, ""
    for number, line in enumerate(text.split("\n"), 1):
        if line.endswith("\\"):
            whole += line[:-1] + " "
            continue
        yield start, whole + line
        start, whole = number + 1, ""


def _random_delay(environment: Mapping[str, str]) -> int:
    """Return the minutes that cronie's anacron may add by chance."""
    text = environment.get("RANDOM_DELAY", "")
    return int(text) if text.isdigit() else 0
