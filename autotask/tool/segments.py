"""The journal's files: which there are, and what a line of them says."""

from __future__ import annotations

import calendar
import json
import os
import re
from typing import Any, NamedTuple

_NAME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d)\.jsonl", re.ASCII)
_GLUED = b'{"event":'


class Segment(NamedTuple):
    """A file of the journal as it lies on disk."""

    name: str
    inode: int
    size: int


def journal_folder(home: str) -> str:
    """Return where the segments lie."""
    return os.path.join(home, "journal")


def listed(folder: str) -> list[Segment]:
    """Return the segments in the order of their hours; none where there is no folder."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if _NAME.fullmatch(entry.name):
                    try:
                        status = entry.stat()
                    except FileNotFoundError:
                        continue
                    found.append(Segment(entry.name, status.st_ino, status.st_size))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found)


def hour_end(name: str) -> float:
    """Return the POSIX time at which the hour of a segment ends; infinity where it has none."""
    match = _NAME.fullmatch(name)
    if match is None:
        return float("inf")
    year, month, day, hour = map(int, match.groups())
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour <= 23):
        return float("inf")
    return calendar.timegm((year, month, day, hour, 0, 0)) + 3600.0


def parse(line: bytes) -> dict[str, Any] | None:
    """Return the event of a line, None where it is torn.

    A write cut short (disk full) has the next writer's line glued to it: that one counts.
    """
    event = _loaded(line)
    if event is None:
        start = line.rfind(_GLUED)
        event = _loaded(line[start:]) if start > 0 else None
    return event


def _loaded(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None
