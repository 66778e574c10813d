"""Which runs a monitor's query covers: written for a task, and read back from a monitor."""

from __future__ import annotations

import re

from autotask.around.patterns import matches
from autotask.tool.datadog.baselines import Task
from autotask.tool.datadog.config import Config
from autotask.tool.datadog.definition import Monitor
from autotask.tool.datadog.tags import key_of

BY_HAND = "trigger:terminal"  # runs that somebody tries out must not alert
_NAME_TAGS = ("task:", "service:", "env:")


def scope_of(task: Task, config: Config) -> list[str]:
    """Return the tags that select the runs of a task."""
    named = {"task": task.name, "service": task.service, "env": task.env}
    tags = [*(f"{key}:{value}" for key, value in named.items() if value), *config.scope]
    return list(dict.fromkeys(tags))


def name_tags_of(task: Task, config: Config) -> frozenset[str]:
    """Return the tags for task, service and env in the queries of a task."""
    return frozenset(tag for tag in scope_of(task, config) if tag.startswith(_NAME_TAGS))


def name_tags_in(monitor: Monitor) -> frozenset[str]:
    """Return the tags for task, service and env in the query of a monitor."""
    included = str(monitor["query"]).partition(".exclude(")[0]
    return frozenset(re.findall(rf'(?<=[{{,("])(?:{"|".join(_NAME_TAGS)})[^,}}"]*', included))


def covers(monitor: Monitor, task_tag: str) -> bool:
    """Tell whether a monitor can alert because of a task: its query names it, or no task."""
    name = task_tag[len("task:") :]
    # Metrics have `{task:a,!task:b}`, service checks `.over("task:a").exclude("task:b")`.
    included, _, excluded = str(monitor["query"]).partition(".exclude(")
    refused = re.findall(r"!task:([^,}]*)", included) + re.findall(r'"task:([^"]*)"', excluded)
    taken = re.findall(r'(?<!!)task:([^,}"]*)', included)
    return not any(matches(pattern, name) for pattern in refused) and (
        not taken or any(matches(pattern, name) for pattern in taken)
    )


def awaited_by(monitor: Monitor) -> list[str]:
    """Return the tags of a run that a `did_not_run` monitor waits for; of others, none."""
    if not (key_of(monitor) or "").startswith("did_not_run."):
        return []
    scope = monitor["query"].partition("{")[2].partition("}")[0].split(",")
    return [*(tag for tag in scope if not tag.startswith("!")), "status:success"]
