"""Names of tasks and patterns for them as Datadog stores them in tags; only `*` is special."""

from __future__ import annotations

from autotask.dogstatsd import tag


def stored(name: str) -> str:
    """Return a task's name as Datadog stores it."""
    return tag("task", name)[len("task:") :]


def stored_pattern(spelled: str) -> str:
    """Return a pattern in the same form."""
    # Datadog drops colons at the end of a tag: the dot keeps those in front of a `*`.
    *parts, last = spelled.split("*")
    return "*".join([*(stored(f"{part}.")[:-1] for part in parts), stored(last)])


def covers(spelled: str, name: str) -> bool:
    """Tell whether a pattern in a file covers a task."""
    return matches(stored_pattern(spelled), stored(name))


def matches(pattern: str, name: str) -> bool:
    """Match greedily from both ends; a `*` of *name* is matched by a `*` only."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == name
    *middle, last = rest
    if not name.startswith(first) or not name[len(first) :].endswith(last):
        return False
    between = name[len(first) : len(name) - len(last)]
    for part in middle:
        _, separator, between = between.partition(part) if part else ("", "*", between)
        if not separator:
            return False
    return True
