"""Find out why a monitor can be deleted: its task is retired, or has another service or env."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from autotask.tool.datadog.baselines import Task
from autotask.tool.datadog.config import Config
from autotask.tool.datadog.definition import Monitor
from autotask.tool.datadog.queries import name_tags_in, name_tags_of
from autotask.tool.datadog.tags import NO_TAG, key_of


def reasons(tasks: Iterable[Task], config: Config) -> Callable[[Monitor], str | None]:
    """Return a function that says why a monitor has nothing to watch; None: not known."""
    tasks = list(tasks)
    moved = {}  # by the name tags that the monitors of a task had
    for task in tasks:
        for old_service, old_env in task.former:
            # Older versions sent NO_TAG for a tag that is not set.
            for service, env in (
                (old_service, old_env),
                (old_service or NO_TAG, old_env or NO_TAG),
            ):
                old = task._replace(service=service, env=env)
                moved[name_tags_of(old, config)] = _moved_to(task)
    by_name = {task.name: _moved_to(task) for task in tasks if task.former}
    patterns = {section.pattern for section in config.sections}

    def why(monitor: Monitor) -> str | None:
        tags = name_tags_in(monitor)
        names = [tag.partition(":")[2] for tag in tags if tag.startswith("task:")]
        if any(config.settings_for(name).retired for name in names):
            return "the task is retired"
        if not (key_of(monitor) or "").startswith("failed."):
            return moved.get(tags)
        # Unless a section asks for it, a task has its own monitor for failures only because it
        # lacked a tag.
        return by_name.get(names[0]) if names and names[0] not in patterns else None

    return why


def _moved_to(task: Task) -> str:
    return f"the task now runs with service {task.service or 'any'}, env {task.env or 'any'}"
