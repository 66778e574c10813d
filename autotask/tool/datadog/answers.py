"""Datadog's responses, in the one form that the rest of the tool reads.

A response without an expected list is refused: taken as empty, it would create monitors twice, or
delete them. Inside the list, a field that is missing or has another type counts as empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autotask.tool.errors import ToolError

Json = dict[str, Any]


class UnexpectedError(ToolError):
    """A response that cannot be read."""

    def __init__(self, what: str) -> None:
        super().__init__(f"Datadog sent an unexpected response: {what}")


def listed(answer: Any, key: str | None = None) -> list[Json]:
    """Return the objects of a response that is a list, or has one under a key."""
    items = answer if key is None else fields(answer).get(key)
    if not isinstance(items, list):
        raise UnexpectedError(f"no list of {key}" if key else "no list")
    return [dict(item) for item in items if isinstance(item, Mapping)]


def fields(value: Any) -> Json:
    """Return an object; for anything else an empty one."""
    return dict(value) if isinstance(value, Mapping) else {}


def monitor(answer: Json) -> Json:
    """Return a monitor whose fields have the expected types.

    Raises:
        UnexpectedError: It has no id, or no type.
    """
    if type(answer.get("id")) is not int or not isinstance(answer.get("type"), str):
        raise UnexpectedError("a monitor without an id or a type")
    texts = {}
    for name in ("name", "query", "message"):
        value = answer.get(name)
        texts[name] = value if isinstance(value, str) else ""
    options = fields(answer.get("options"))
    if "scheduling_options" in options:
        options["scheduling_options"] = fields(options["scheduling_options"])
    return {**answer, **texts, "tags": texts_of(answer.get("tags")), "options": options}


def dashboard(answer: Any) -> Json:
    """Return a dashboard, or its summary.

    Raises:
        UnexpectedError: It has no id.
    """
    result = fields(answer)
    if not isinstance(result.get("id"), str):
        raise UnexpectedError("a dashboard without an id")
    return result


def series(answer: Json) -> Json:
    """Return a series of a metric: tags, and points of a time (ms) and a value or None."""
    points = answer.get("pointlist")
    return {
        "tag_set": texts_of(answer.get("tag_set")),
        "pointlist": [point for point in points if _is_point(point)]
        if isinstance(points, list)
        else [],
    }


def texts_of(value: Any) -> list[str]:
    """Return the strings of a list."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _is_point(point: Any) -> bool:
    if not isinstance(point, list) or len(point) != 2:
        return False
    at, value = point
    return _is_number(at) and (value is None or _is_number(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
