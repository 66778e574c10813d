"""The tags that tasks can be grouped by: those that their runs are known to have.

A monitor that groups by a tag ignores series without it (https://docs.datadoghq.com/monitors/),
and `env` and `service` are only sent if they are set.
"""

from __future__ import annotations

from collections.abc import Iterable

from autotask.tool.datadog.baselines import Task

_OPTIONAL = ("env", "service")
_FEW = 10  # if at most one task in ten lacks a tag, that task is watched separately


def known(tasks: Iterable[Task], scope: Iterable[str] = ()) -> list[str]:
    """Return the tags that these tasks can be grouped by.

    A task that never ran, and for which the file sets nothing, is assumed to be like the others.

    Args:
        tasks: All of a monitor, or of the dashboard.
        scope: Tags that all their runs have.
    """
    given = {tag.partition(":")[0] for tag in scope}
    tasks = list(tasks)
    seen = [task for task in tasks if task.runs] or tasks
    count = len({task.name for task in seen})
    return [
        *(key for key in _OPTIONAL if key in given or _FEW * len(_without(key, seen)) <= count > 0),
        "task",
    ]


def lacking(tasks: Iterable[Task], scope: Iterable[str] = ()) -> list[str]:
    """Return the names of tasks without a tag that nearly all others have.

    Leaving them out may raise the share of the rest that has another tag: repeat.
    """
    given = {tag.partition(":")[0] for tag in scope}
    seen = [task for task in tasks if task.runs]
    separate: set[str] = set()
    while True:
        seen = [task for task in seen if task.name not in separate]
        keys = [key for key in known(seen, scope) if key in _OPTIONAL and key not in given]
        more = {name for key in keys for name in _without(key, seen)}
        if not more:
            return sorted(separate)
        separate |= more


def _without(key: str, tasks: Iterable[Task]) -> set[str]:
    return {task.name for task in tasks if not getattr(task, key)}
