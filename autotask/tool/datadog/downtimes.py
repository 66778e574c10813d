"""Downtimes, as version 2 of Datadog's API takes them (POST /api/v2/downtime).

A downtime of autotask mutes one monitor, or the groups of one task in it. Its monitor, scope and
message identify it. Others were planned by a person, and are never touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import NamedTuple

from autotask.tool.datadog.answers import Json, fields

ALL_GROUPS = "*"
_OVER = ("canceled", "ended")


class Silence(NamedTuple):
    """A monitor that is not to notify, or a part of its groups."""

    monitor: int
    scope: str = ALL_GROUPS
    message: str = ""


def silence(monitor: int, tag: str, alone: bool) -> Silence:
    """Return what mutes a monitor of one task alone, or this task's groups in one of many tasks.

    A scope is written in Datadog's search syntax, in which a colon inside a value is special. In a
    message an `@` would notify people, but a tag cannot contain one.
    """
    key, _, value = tag.partition(":")
    scope = ALL_GROUPS if alone else f"{key}:" + re.sub(r"([^\w./-])", r"\\\1", value)
    return Silence(monitor, scope, f"Muted by `autotask monitors mute {value}`.")


def body(silence: Silence, end: float | None) -> Json:
    """Return what makes a downtime from now on; without an end it lasts until it is canceled."""
    attributes: Json = {
        "monitor_identifier": {"monitor_id": silence.monitor},
        "scope": silence.scope,
        "message": silence.message,
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
    wanted = {(one.monitor, _plain(one.scope), one.message): one for one in silences}
    for downtime in downtimes:
        number, found = downtime.get("id"), fields(downtime.get("attributes"))
        monitor = fields(found.get("monitor_identifier")).get("monitor_id")
        scope, message = found.get("scope"), found.get("message")
        if found.get("status") in _OVER or type(monitor) is not int:
            continue
        if isinstance(number, str) and isinstance(scope, str) and isinstance(message, str):
            match = wanted.get((monitor, _plain(scope), message))
            if match is not None:
                yield number, match


def _plain(scope: str) -> str:
    """Return a scope without its escapes, which the server may write otherwise."""
    return re.sub(r'[\\"]', "", scope).strip()


def _moment(seconds: float) -> str:
    """Write a moment with the offset of zero that is asked for."""
    return datetime.fromtimestamp(int(seconds), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
