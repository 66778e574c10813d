"""The segments, the journal's files, as they are in a home or in a shared home."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from autotask.marks import marks_folder
from autotask.tool.errors import ToolError
from autotask.tool.journal import ownership

_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d\.jsonl", re.ASCII)


class Segment(NamedTuple):
    """A segment as it is on the disk."""

    name: str
    inode: int
    size: int
    changed: int  # nanoseconds: time of the last change, of its bytes or of anything else

    @classmethod
    def of(cls, name: str, status: os.stat_result) -> Segment:
        """Take a file's status."""
        # An inode may be larger than SQLite's largest integer.
        inode = status.st_ino & 0x7FFF_FFFF_FFFF_FFFF
        return cls(name, inode, status.st_size, status.st_ctime_ns)


class Source(NamedTuple):
    """Where an index gets its runs from."""

    folder: str  # the names of segments begin in it
    listed: Callable[[dict[str, str]], list[Segment]]
    marks: Callable[[], list[tuple[str, int]]]  # folders, each with the owner of the runs
    shared: bool = False

    @property
    def home(self) -> str:
        """The home."""
        return self.folder if self.shared else os.path.dirname(self.folder)


def source_of(home: str) -> Source:
    """Return the source of a home of one user."""
    folder = journal_folder(home)
    return Source(
        folder,
        lambda unreadable: listed(folder, unreadable),
        lambda: [(marks_folder(home), 0)],
    )


def source_of_shared(home: str) -> Source:
    """Return the source of all users' runs in a shared home."""
    return Source(
        home,
        lambda unreadable: listed_in_shared(home, unreadable),
        lambda: [
            (marks_folder(os.path.join(home, name)), owner)
            for name, owner in ownership.journals(home)
        ],
        shared=True,
    )


def journal_folder(home: str) -> str:
    """Return the folder of the segments."""
    return os.path.join(home, "journal")


def listed(folder: str, unreadable: dict[str, str] | None = None) -> list[Segment]:
    """Return the segments in the order of their hours; none if the folder is missing.

    Anything else with such a name (a folder, a pipe, a link, a file of another user than the
    folder's owner) is left out, and added to *unreadable* with the reason.
    """
    unreadable = {} if unreadable is None else unreadable
    try:
        folder_status = os.lstat(folder)
    except FileNotFoundError:
        return []
    if stat.S_ISLNK(folder_status.st_mode):
        home = os.path.dirname(folder)
        raise ToolError(
            f"no run is recorded while {folder} is a link: "
            f"replace it with a folder, or make {home} itself the link"
        )
    if not stat.S_ISDIR(folder_status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
    regular = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name):
                try:
                    status = entry.stat(follow_symlinks=False)
                    _check(status, folder_status.st_uid)
                    regular.append(Segment.of(entry.name, status))
                except FileNotFoundError:  # just pruned
                    continue
                except OSError as problem:
                    note_unreadable(unreadable, entry.path, problem)
    return sorted(regular)


def _check(status: os.stat_result, owner: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError("not a regular file")
    if status.st_uid != owner:
        raise OSError("owned by another user than its folder")


def listed_in(home: str, shared: bool, unreadable: dict[str, str]) -> list[Segment]:
    """Return the segments of a home; those of all users if it is shared."""
    if shared:
        return listed_in_shared(home, unreadable)
    return listed(journal_folder(home), unreadable)


def listed_in_shared(home: str, unreadable: dict[str, str] | None = None) -> list[Segment]:
    """Return all users' segments in a shared home: `1000/journal/2026-11-25T03.jsonl`."""
    of_all: list[Segment] = []
    for user, _ in ownership.journals(home):
        with contextlib.suppress(PermissionError):  # not readable for this user
            folder = os.path.join(user, "journal")
            inside = listed(os.path.join(home, folder), unreadable)
            of_all += [each._replace(name=os.path.join(folder, each.name)) for each in inside]
    return of_all


def note_unreadable(unreadable: dict[str, str], path: str, problem: OSError) -> None:
    """Note why a segment cannot be read."""
    unreadable[path] = problem.strerror or str(problem)


def owner_of(name: str) -> int:
    """Return the owner of a segment in a shared home; 0 in a home of one user."""
    user = name.partition("/")[0]
    return int(user) if user.isdigit() else 0


def hour_end(name: str) -> float:
    """Return the POSIX time at which a segment's hour ends; infinity if the name has none."""
    try:
        return datetime.strptime(name[:13] + "+0000", "%Y-%m-%dT%H%z").timestamp() + 3600
    except ValueError:
        return float("inf")
