"""Counts, lists of names and tasks, as messages show them."""

from __future__ import annotations

from collections.abc import Sequence

from autotask.tool.datadog.baselines import Task

_MOST_NAMES = 4  # in one line


def counted(count: int, noun: str) -> str:
    """Write a number of things: `1 task`, `6 tasks`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(names: Sequence[str]) -> str:
    """Write the first names of a list, and how many more there are."""
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def titled(task: Task) -> str:
    """Write a task with its service and env: `nightly.py (shop, prod)`."""
    known = [value for value in (task.service, task.env) if value]
    return f"{task.name} ({', '.join(known)})" if known else task.name
