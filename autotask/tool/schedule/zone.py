"""Time zones by name, and the name of this machine's: cron uses it, and Datadog needs a name."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from autotask.tool.errors import ToolError

_WEEK = 7 * 86400  # seconds
_IN_ZONEINFO = re.compile(r"/zoneinfo[^/]*/(?:posix/|right/)?(.+)")


def named(name: str) -> ZoneInfo:
    """Return a zone of the tz database.

    Raises:
        ToolError: It has no such zone.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # not found, a folder, not a name
        raise ToolError(f"unknown time zone {name!r}; use a name like Europe/Berlin") from None


@cache
def of_this_machine() -> str | None:
    """Return the name of this machine's zone; None if no name matches its clock.

    The clock decides, because the sources of a name may contradict each other: /etc/localtime or
    /etc/timezone is often left as the image had it, and TZ may contain rules instead of a name.
    """
    now = time.time()
    year = [now + n * _WEEK for n in range(-26, 27)]  # summer and winter
    offsets = [time.localtime(at).tm_gmtoff for at in year]
    if not any(offsets):
        return "UTC"  # also for all its aliases
    return next((name for name in _candidates() if _offsets(name, year) == offsets), None)


def _candidates() -> Iterator[str]:
    for path in (os.environ.get("TZ", "").lstrip(":"), "/etc/localtime"):
        yield from _IN_ZONEINFO.findall(os.path.realpath(path)) if path[:1] == "/" else [path]
    with contextlib.suppress(OSError, UnicodeDecodeError):
        yield Path("/etc/timezone").read_text(encoding="utf-8").strip()  # Debian's


def _offsets(name: str, moments: list[float]) -> list[float]:
    """Return a zone's offsets in seconds; none if there is no such zone.

    None for UTC, either: the clock is known not to be in UTC. In an image, /etc/localtime may be a
    link to UTC, and a container that mounts another zone there mounts it over the link's target.
    """
    try:
        zone = named(name)
    except ToolError:
        return []
    if name.rpartition("/")[2] == "UTC":
        return []
    local = (datetime.fromtimestamp(at, zone).utcoffset() for at in moments)
    return [offset.total_seconds() for offset in local if offset is not None]
