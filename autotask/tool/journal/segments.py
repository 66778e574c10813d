"""The journal's files as they lie in a home."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from datetime import datetime
from typing import NamedTuple

from autotask.tool.errors import ToolError
from autotask.tool.journal import ownership

_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d\.jsonl", re.ASCII)


class Segment(NamedTuple):
    """A file of the journal as it lies on disk."""

    name: str
    inode: int
    size: int
    changed: int  # nanoseconds: time of the last change, of its bytes or of anything else

    @classmethod
    def of(cls, name: str, status: os.stat_result) -> Segment:
        """Take what the system says of a file; SQLite's numbers are smaller than an inode's."""
        inode = status.st_ino & 0x7FFF_FFFF_FFFF_FFFF
        return cls(name, inode, status.st_size, status.st_ctime_ns)


def journal_folder(home: str) -> str:
    """Return where the segments lie."""
    return os.path.join(home, "journal")


def listed(folder: str, unreadable: dict[str, str] | None = None) -> list[Segment]:
    """Return the segments in the order of their hours; none where there is no folder.

    Anything else that is named like one (a folder, a pipe, a link, a file of another user than
    the folder's owner) is left out, and named in *unreadable* with the reason.
    """
    unreadable = {} if unreadable is None else unreadable
    try:
        above = os.lstat(folder)
    except FileNotFoundError:
        return []
    if stat.S_ISLNK(above.st_mode):
        home = os.path.dirname(folder)
        raise ToolError(
            f"no run is recorded while {folder} is a link: "
            f"replace it by a folder, or make {home} itself the link"
        )
    if not stat.S_ISDIR(above.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name):
                try:
                    status = entry.stat(follow_symlinks=False)
                    _check(status, above.st_uid)
                    found.append(Segment.of(entry.name, status))
                except FileNotFoundError:  # pruned at this moment
                    continue
                except OSError as problem:
                    refused(unreadable, entry.path, problem)
    return sorted(found)


def _check(status: os.stat_result, owner: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError("not a regular file")
    if status.st_uid != owner:
        raise OSError("not of the same user as its folder")


def listed_in(home: str, shared: bool, unreadable: dict[str, str]) -> list[Segment]:
    """Return the segments of a home, those of all users if several share it."""
    if shared:
        return listed_in_shared(home, unreadable)
    return listed(journal_folder(home), unreadable)


def refused(unreadable: dict[str, str], path: str, problem: OSError) -> None:
    """Note that a segment cannot be read."""
    unreadable[path] = problem.strerror or str(problem)


def listed_in_shared(home: str, unreadable: dict[str, str] | None = None) -> list[Segment]:
    """Return all users' segments in a shared home: `1000/journal/2026-11-25T03.jsonl`."""
    found = []
    for name, _ in ownership.journals(home):
        with contextlib.suppress(PermissionError):  # not for us to read
            folder = os.path.join(name, "journal")
            inside = listed(os.path.join(home, folder), unreadable)
            found += [one._replace(name=os.path.join(folder, one.name)) for one in inside]
    return found


def owner_of(name: str) -> int:
    """Return whose a segment of a shared home is; 0 for the segments of a home of one user."""
    user = name.partition("/")[0]
    return int(user) if user.isdigit() else 0


def hour_end(name: str) -> float:
    """Return the POSIX time at which the hour of a segment ends; infinity where it is none."""
    try:
        return datetime.strptime(name[:13] + "+0000", "%Y-%m-%dT%H%z").timestamp() + 3600
    except ValueError:
        return float("inf")
