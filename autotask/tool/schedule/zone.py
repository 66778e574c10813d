"""Time zones by name, and the names of this process's, cron's and systemd's: Datadog needs them."""

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
from autotask.tool.schedule import daemon
from autotask.tool.schedule.places import HERE, Places

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
    """Return the name of the zone that this process sees; None if no name matches its clock.

    The clock decides, because the sources of a name may contradict each other: /etc/localtime or
    /etc/timezone is often left as the image had it, and TZ may contain rules instead of a name.
    """
    return _of_clock()


@cache
def of_cron(places: Places = HERE) -> str | None:
    """Return the name of the zone in which cron reads crontabs; None if no name matches its clock.

    Cron has its own environment, such as a container's. TZ in that of this process is irrelevant.
    """
    tz = daemon.tz(places)
    return of_localtime(places) if tz is None else _of_tz(tz)


@cache
def of_localtime(places: Places = HERE) -> str | None:
    """Return the name of the zone of programs without TZ, such as systemd; None as above."""
    path = places.at("/etc/localtime")
    return _of_tz(f":{path}") if os.path.exists(path) else of_this_machine()


def _of_tz(tz: str) -> str | None:
    """Return the name of the zone of a process with this TZ."""
    if tz == os.environ.get("TZ") or not hasattr(time, "tzset"):
        return of_this_machine()
    with _as_tz(tz):
        return _of_clock()


@contextlib.contextmanager
def _as_tz(tz: str) -> Iterator[None]:
    """Let this process have another TZ. The C library reads it only when it is told to."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = tz
    time.tzset()
    try:
        yield
    finally:
        del os.environ["TZ"]
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()


def _of_clock() -> str | None:
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
