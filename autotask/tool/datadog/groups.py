"""By which tags tasks are told apart: those that their runs are known to have.

A monitor that groups by a tag is silent about series without it
(https://docs.datadoghq.com/monitors/), and `env` and `service` are sent only if they are set.
"""

from __future__ import annotations

from collections.abc import Iterable

from autotask.tool.datadog.baselines import Task

_MAYBE = ("env", "service")
_FEW = 10  # one in so many may lack a tag: it is watched by itself


def known(tasks: Iterable[Task], scope: Iterable[str] = ()) -> list[str]:
    """Return the tags by which these tasks can be grouped; *scope* is of all that is asked for.

    A task that has not been seen, and of which the file says nothing, is taken to be as the others.
    """
    said = {tag.partition(":")[0] for tag in scope}
    tasks = list(tasks)
    seen = [task for task in tasks if task.runs] or tasks
    count = len({task.name for task in seen})
    return [
        *(key for key in _MAYBE if key in said or _FEW * len(_without(key, seen)) <= count > 0),
        "task",
    ]


def lacking(tasks: Iterable[Task], scope: Iterable[str] = ()) -> list[str]:
    """Return the names of those that were seen without a tag that nearly all of them have.

    Once they are apart, nearly all of the others may have one more.
    """
    said = {tag.partition(":")[0] for tag in scope}
    seen = [task for task in tasks if task.runs]
    apart: set[str] = set()
    while True:
        seen = [task for task in seen if task.name not in apart]
        keys = [key for key in known(seen, scope) if key in _MAYBE and key not in said]
        more = {name for key in keys for name in _without(key, seen)}
        if not more:
            return sorted(apart)
        apart |= more


def _without(key: str, tasks: Iterable[Task]) -> set[str]:
    return {task.name for task in tasks if not getattr(task, key)}
