"""Time zones by name, and this machine's: cron reads its lines in it, and Datadog wants a name."""

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
    except (KeyError, OSError, ValueError):  # not found, a folder, no name at all
        raise ToolError(f"unknown time zone: {name!r} (they look like Europe/Berlin)") from None


@cache
def of_this_machine() -> str | None:
    """Return the name of this machine's zone; None if no name agrees with its clock.

    The clock decides, as the places that hold a name may contradict each other: of /etc/localtime
    and /etc/timezone one is often left as the image had it, and TZ may hold rules and no name.
    """
    now = time.time()
    year = [now + n * _WEEK for n in range(-26, 27)]  # summer and winter
    offsets = [time.localtime(at).tm_gmtoff for at in year]
    if not any(offsets):
        return "UTC"  # under this name for all its aliases
    return next((name for name in _candidates() if _offsets(name, year) == offsets), None)


def _candidates() -> Iterator[str]:
    said = os.environ.get("TZ", "").lstrip(":")
    for path in (said, "/etc/localtime"):
        yield from _IN_ZONEINFO.findall(os.path.realpath(path)) if path[:1] == "/" else [path]
    with contextlib.suppress(OSError, UnicodeDecodeError):
        yield Path("/etc/timezone").read_text(encoding="utf-8").strip()  # Debian's


def _offsets(name: str, moments: list[float]) -> list[float]:
    """Return a zone's offsets in seconds; none for what is no zone.

    None also for UTC, which the clock is not: an image's link to it may lead to another zone, for
    a container's mount of /etc/localtime covers what the link leads to.
    """
    try:
        zone = named(name)
    except ToolError:
        return []
    if name.rpartition("/")[2] == "UTC":
        return []
    local = (datetime.fromtimestamp(at, zone).utcoffset() for at in moments)
    return [offset.total_seconds() for offset in local if offset is not None]
