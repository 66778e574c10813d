"""When autotask first saw each job: what was due before may have been due otherwise.

The file is of one user's home. Losing it delays alarms, and makes no false ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autotask.tool.schedule.machine import Job

FILE = "first_seen.json"
_FORGOTTEN = 90 * 86400.0  # seconds without being seen
_DAY = 86400.0  # seconds: so exactly it is known when a job was last seen
_WRITTEN_IN = 60.0  # seconds
_LARGEST = 4 << 20  # bytes: some 50,000 jobs
_Sights = dict[str, tuple[float, float]]  # POSIX seconds of the first and the last one, by key


def key(job: Job) -> str:
    """Return what a job is known by: its place, its line, and the name of its runs."""
    parts = (job.source, job.user, job.when, job.timezone, job.command, job.name)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def look(jobs: Iterable[Job], home: str | None, now: float) -> list[float]:
    """Return when each job was first seen, in POSIX seconds, and note those that are new.

    If the home cannot be written, what is new is new again the next time.

    Args:
        jobs: All that is to be seen. Others are forgotten after 90 days.
        home: The user's own, None if there is none.
        now: POSIX seconds.
    """
    keys = [key(job) for job in jobs]
    noted = _read(home) if home else {}
    # A time in the future was noted by a clock that was wrong.
    known = {name: (_past(first, now), _past(last, now)) for name, (first, last) in noted.items()}
    sights = {name: times for name, times in known.items() if now - times[1] < _FORGOTTEN}
    for name in keys:
        first, last = sights.get(name, (now, now))
        sights[name] = first, last if now - last < _DAY else now
    if home and sights != noted:
        with contextlib.suppress(OSError):
            _write(home, sights)
    return [sights[name][0] for name in keys]


def _past(moment: float, now: float) -> float:
    return moment if moment <= now else now  # also NaN


def _read(home: str) -> _Sights:
    """Return what was noted; nothing if the file is damaged."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        with open(os.open(os.path.join(home, FILE), flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return {}
            document: Any = json.loads(file.read(_LARGEST))
        return {name: (float(first), float(last)) for name, (first, last) in document.items()}
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}


def _write(home: str, sights: Mapping[str, tuple[float, float]]) -> None:
    path = os.path.join(home, FILE)
    temporary = f"{path}.new"
    try:
        new = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        # Another command is writing it, or was killed while it did: then the next one may.
        if time.time() - os.lstat(temporary).st_mtime > _WRITTEN_IN:
            os.unlink(temporary)
        raise
    try:
        with open(new, "w", encoding="utf-8") as file:
            json.dump(sights, file)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
