"""The journal's files, and what a line of them says: torn and glued lines are to be expected.

A disk that is full cuts a line short, and the next writer's line is glued to what is left of it.
"""

from __future__ import annotations

import json
import os
import re
from datetime import datetime
from typing import Any, NamedTuple

Event = dict[str, Any]

_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d\.jsonl", re.ASCII)
_BEGIN = '{"event":'  # of every line; inside a JSON string the quotes would have backslashes
_decode = json.JSONDecoder().raw_decode


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
                    except FileNotFoundError:  # pruned at this moment
                        continue
                    found.append(Segment(entry.name, status.st_ino, status.st_size))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found)


def hour_end(name: str) -> float:
    """Return the POSIX time at which the hour of a segment ends; infinity where it is none."""
    try:
        return datetime.strptime(name[:13] + "+0000", "%Y-%m-%dT%H%z").timestamp() + 3600
    except ValueError:
        return float("inf")


def pieces(line: bytes) -> list[tuple[str, Event]]:
    """Return the whole events of a line, each with its text: none, or several, in a torn one."""
    text = line.decode("utf-8", "replace").rstrip("\n")
    try:
        event, end = _decode(text)
        if end == len(text) and isinstance(event, dict):
            return [(text, event)]
    except (ValueError, RecursionError):
        pass
    return _recovered(text)


def _recovered(text: str) -> list[tuple[str, Event]]:
    found = []
    for rest in text.split(_BEGIN)[1:]:
        whole = _BEGIN + rest
        try:
            event, end = _decode(whole)
        except (ValueError, RecursionError):
            continue
        found.append((whole[:end], event))
    return found
