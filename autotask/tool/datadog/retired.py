"""The monitors of tasks that have gone: retired, or going on under another service or env."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from autotask.tool.datadog.baselines import NO_TAG, Task
from autotask.tool.datadog.config import Config
from autotask.tool.datadog.monitors import Monitor, key_of, tags_in, tags_of


def reasons(tasks: Iterable[Task], config: Config) -> Callable[[Monitor], str | None]:
    """Return what says why a monitor has nothing to watch any more; None: it is not known to."""
    tasks = list(tasks)
    moved = {
        tags_of(task._replace(service=service, env=env), config): _moved_to(task)
        for task in tasks
        for one in task.former
        for service, env in (one, (one[0] or NO_TAG, one[1] or NO_TAG))
    }
    by_name = {task.name: _moved_to(task) for task in tasks if task.former}
    sections = {section.pattern for section in config.sections}

    def why(monitor: Monitor) -> str | None:
        tags = tags_in(monitor)
        names = [one.partition(":")[2] for one in tags if one.startswith("task:")]
        if any(config.wishes_for(name).retired for name in names):
            return "the task is retired"
        if not (key_of(monitor) or "").startswith("failed."):
            return moved.get(tags)
        # The task had a monitor of its own because it lacked a tag. No section asks for that one.
        return by_name.get(names[0]) if names and names[0] not in sections else None

    return why


def _moved_to(task: Task) -> str:
    return f"the task goes on with service {task.service or 'any'}, env {task.env or 'any'}"
