"""The downtimes that mute a task, as Datadog's API takes them (POST /api/v2/downtime).

A downtime of autotask mutes one monitor, or the groups of one task in it. It is identified by its
monitor, scope and message. Any other was created by a person, and is never changed.
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
    """A monitor to mute, or some of its groups."""

    monitor: int
    scope: str = ALL_GROUPS
    message: str = ""


def silence(monitor: int, tag: str, alone: bool) -> Silence:
    """Return what mutes a monitor: all of it if it is for one task alone, else the task's groups.

    A scope is in Datadog's search syntax, in which a colon inside a value is special. An `@` in a
    message would notify someone, but a tag cannot contain one.
    """
    key, _, value = tag.partition(":")
    scope = ALL_GROUPS if alone else f"{key}:" + re.sub(r"([^\w./-])", r"\\\1", value)
    return Silence(monitor, scope, f"Muted by `autotask monitors mute {value}`.")


def body(silence: Silence, end: float | None) -> Json:
    """Return a request for a downtime from now on; without an *end* it lasts until canceled."""
    attributes: Json = {
        "monitor_identifier": {"monitor_id": silence.monitor},
        "scope": silence.scope,
        "message": silence.message,
    }
    if end is not None:
        moment = datetime.fromtimestamp(int(end), timezone.utc)
        attributes["schedule"] = {"end": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return {"data": {"type": "downtime", "attributes": attributes}}


def current(
    downtimes: Iterable[Json], silences: Iterable[Silence]
) -> Iterator[tuple[str, Silence]]:
    """Yield the ids of the downtimes that exist for these silences, each with its silence.

    The server lists a canceled downtime for about two more days.
    """
    by_content = {(one.monitor, _plain(one.scope), one.message): one for one in silences}
    for downtime in downtimes:
        id_, attributes = downtime.get("id"), fields(downtime.get("attributes"))
        monitor = fields(attributes.get("monitor_identifier")).get("monitor_id")
        scope, message = attributes.get("scope"), attributes.get("message")
        if attributes.get("status") in _OVER or type(monitor) is not int:
            continue
        if isinstance(id_, str) and isinstance(scope, str) and isinstance(message, str):
            match = by_content.get((monitor, _plain(scope), message))
            if match is not None:
                yield id_, match


def _plain(scope: str) -> str:
    """Return a scope without escapes: the server may write them differently."""
    return re.sub(r'[\\"]', "", scope).strip()
