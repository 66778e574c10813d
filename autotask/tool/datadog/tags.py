"""Tags as Datadog stores them, and the tags that identify a monitor of autotask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autotask.dogstatsd import tag

MANAGED = "managed_by:autotask"
SET, _KEY = "autotask_set:", "autotask_key:"
# On a monitor whose schedule was read from a crontab or a timer, and not from a file.
FROM_MACHINE = "autotask_schedule:machine"
NO_TAG = "unknown"  # what older versions sent instead of leaving a tag out


def tag_value(key: str, value: str | None) -> str:
    """Return a value as Datadog stores it in a tag."""
    return tag(key, value or "")[len(key) + 1 :]


def key_tag(key: str) -> str:
    """Return the tag that holds a monitor's key."""
    return f"{_KEY}{key}"


def key_of(monitor: Mapping[str, Any]) -> str | None:
    """Return a monitor's key, which stays the same when anything else of it changes."""
    for text in monitor.get("tags") or ():
        if text.startswith(_KEY):
            return str(text[len(_KEY) :])
    return None
