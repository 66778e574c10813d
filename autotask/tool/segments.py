"""The journal's files as they lie in a home."""

from __future__ import annotations

import os
import re
import stat
from datetime import datetime
from typing import NamedTuple

_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d\.jsonl", re.ASCII)


class Segment(NamedTuple):
    """A file of the journal as it lies on disk."""

    name: str
    inode: int
    size: int


def journal_folder(home: str) -> str:
    """Return where the segments lie."""
    return os.path.join(home, "journal")


def listed(folder: str) -> list[Segment]:
    """Return the segments in the order of their hours; none where there is no folder.

    What is named like one and is no file (a folder, a pipe, a link) is none.
    """
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if _NAME.fullmatch(entry.name):
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:  # pruned at this moment
                        continue
                    if stat.S_ISREG(status.st_mode):
                        found.append(Segment(entry.name, status.st_ino, status.st_size))
    except FileNotFoundError:
        return []
    return sorted(found)


def hour_end(name: str) -> float:
    """Return the POSIX time at which the hour of a segment ends; infinity where it is none."""
    try:
        return datetime.strptime(name[:13] + "+0000", "%Y-%m-%dT%H%z").timestamp() + 3600
    except ValueError:
        return float("inf")
