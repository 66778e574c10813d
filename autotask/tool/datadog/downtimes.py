"""Downtimes, as version 2 of Datadog's API takes them (POST /api/v2/downtime).

One of ours mutes one monitor, or one task's groups of it, once. A downtime that repeats itself, or
is of many monitors by their tags, was planned by a person: it is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import NamedTuple

from autotask.tool.datadog.answers import Json, fields

ALL_GROUPS = "*"


class Silence(NamedTuple):
    """A monitor that is not to notify, or a part of its groups."""

    monitor: int
    scope: str = ALL_GROUPS


def of_task(monitor: int, tag: str) -> Silence:
    """Return what mutes the groups of a task.

    A scope is written in Datadog's search syntax, in which a colon inside a value is special.
    """
    key, _, value = tag.partition(":")
    return Silence(monitor, f"{key}:" + re.sub(r"([^\w./-])", r"\\\1", value))


def body(silence: Silence, end: float | None, message: str) -> Json:
    """Return what makes a downtime from now on; without an end it lasts until it is canceled."""
    attributes: Json = {
        "monitor_identifier": {"monitor_id": silence.monitor},
        "scope": silence.scope,
        "message": message,
    }
    if end is not None:
        attributes["schedule"] = {"end": _moment(end)}
    return {"data": {"type": "downtime", "attributes": attributes}}


def current(
    downtimes: Iterable[Json], silences: Iterable[Silence]
) -> Iterator[tuple[str, Silence]]:
    """Yield the ids of downtimes that mute just this, and what each mutes.

    What was canceled stays in the list for about two days.
    """
    wanted = {(one.monitor, _plain(one.scope)): one for one in silences}
    for downtime in downtimes:
        number, found = downtime.get("id"), fields(downtime.get("attributes"))
        monitor = fields(found.get("monitor_identifier")).get("monitor_id")
        scope, status = found.get("scope"), found.get("status")
        if not isinstance(number, str) or not isinstance(scope, str) or type(monitor) is not int:
            continue
        if status in ("canceled", "ended") or fields(found.get("schedule")).get("recurrences"):
            continue
        silence = wanted.get((monitor, _plain(scope)))
        if silence is not None:
            yield number, silence


def _plain(scope: str) -> str:
    """Return a scope without its escapes, which the server may write otherwise."""
    return re.sub(r'[\\"]', "", scope).strip()


def _moment(seconds: float) -> str:
    """Write a moment with the offset of zero that is asked for."""
    return datetime.fromtimestamp(int(seconds), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
