"""The monitors of kind `failed`: each failure of each task alerts exactly once.

One monitor covers all tasks. A section of the configuration that sets something else for failures
gets its own monitor, and wider ones exclude its tasks. By default a monitor reads the metric, and
each failure alerts. If failures are latched, or counted in a row, it reads the service check.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from autotask.tool import limits
from autotask.tool.datadog import groups
from autotask.tool.datadog.baselines import Task
from autotask.tool.datadog.config import Config, Section, TaskSettings
from autotask.tool.datadog.definition import Monitor, define, write_message
from autotask.tool.datadog.queries import BY_HAND

_EVERY_TASK = Section("*", {})
_LIST_FAILURES = "`autotask runs --status failure --since 1d`"
_ByName = dict[str, list[Task]]  # tasks by name, in the order of the names


def monitors(tasks: Iterable[Task], config: Config) -> Iterator[Monitor]:
    """Yield the monitors for the failures of all tasks."""
    tasks = list(tasks)
    config = _with_servers(tasks, config)
    by_name: _ByName = {}
    for task in sorted(tasks, key=lambda task: task.name):
        by_name.setdefault(task.name, []).append(task)
    sections = _sections_with_a_monitor(config)
    sections += _sections_of_untagged(sections, by_name, config)
    for number, section in enumerate(sections, 1):
        narrower = [other for other in sections[number:] if _may_overlap(section, other)]
        yield from _monitors_of(section, narrower, by_name, config)


def _with_servers(tasks: Iterable[Task], config: Config) -> Config:
    """Return a configuration in which each failure of a server alerts.

    Its next success may be months away: an alert that lasts until then would never end.
    """
    names = {task.name for task in tasks if task.server}
    latched = {name for name in names if limits.counts_in_a_row(config.settings_for(name))}
    each: Mapping[str, Any] = {"latched": False, "failures_in_a_row": 1}
    sections = tuple(Section(name, each) for name in sorted(latched))
    return replace(config, sections=config.sections + sections) if sections else config


def _sections_with_a_monitor(config: Config) -> list[Section]:
    """Return the sections that treat failures differently, the wider ones first."""
    chosen = [_EVERY_TASK]
    by_width = sorted(config.sections, key=lambda section: len(config.covering(section.pattern)))
    for section in by_width:
        if config.settings_for(section.pattern).retired:
            continue
        around: list[Section] = []
        for other in chosen:
            if other.covers(section.pattern):
                around = [other]
            elif _may_overlap(other, section):
                around.append(other)
        treatment = _treatment(section, config)
        if any(_treatment(other, config) != treatment for other in around):
            chosen.append(section)
    return chosen


def _treatment(section: Section, config: Config) -> tuple[object, ...]:
    """Return all settings of a section that change its monitor for failures."""
    settings = config.settings_for(section.pattern)
    if "failed" in settings.without:
        return ()
    return (
        limits.counts_in_a_row(settings),
        settings.failures_in_a_row,
        settings.notify,
        settings.priority,
    )


def _may_overlap(one: Section, other: Section) -> bool:
    """Tell whether a task may belong to both sections."""
    both_patterns = "*" in one.pattern and "*" in other.pattern
    return both_patterns or one.covers(other.pattern) or other.covers(one.pattern)


def _sections_of_untagged(
    sections: list[Section], by_name: _ByName, config: Config
) -> list[Section]:
    """Return a section for each task without a tag that nearly all others of its section have."""
    tasks_of: dict[str, list[Task]] = {}
    for name, tasks in by_name.items():
        # If several sections cover a task, the last one has its monitor.
        section = next(section for section in reversed(sections) if section.covers(name))
        tasks_of.setdefault(section.pattern, []).extend(tasks)
    return [
        Section(name, {})
        for tasks in tasks_of.values()
        for name in groups.lacking(tasks, config.scope)
    ]


def _monitors_of(
    section: Section, narrower: list[Section], by_name: _ByName, config: Config
) -> Iterator[Monitor]:
    """Yield the monitors of a section, which exclude the tasks of narrower sections."""
    settings = config.settings_for(section.pattern)
    if "failed" in settings.without:
        return
    if limits.counts_in_a_row(settings):
        yield from _from_service_check(section, narrower, by_name, settings, config)
    else:
        excluded = [name for other in narrower for name in _excluded_for(other, by_name, config)]
        by = _group_tags(section, narrower, by_name, config)
        yield _from_metric(section, excluded, by, settings, config)


def _excluded_for(section: Section, names: Iterable[str], config: Config) -> list[str]:
    """Return what a wider monitor excludes for a section: its pattern, which covers new tasks too.

    A section that is watched by the service check only has monitors for known tasks, because the
    scope of a service check cannot contain a pattern. So exclude only these: until the next
    `apply`, a new task stays with the wider monitor.
    """
    settings = config.settings_for(section.pattern)
    ignored = "failed" in settings.without
    if ignored or not limits.counts_in_a_row(settings) or "*" not in section.pattern:
        return [section.pattern]
    return [name for name in names if section.covers(name)]


def _group_tags(
    section: Section, narrower: list[Section], by_name: _ByName, config: Config
) -> list[str]:
    names = by_name if "*" in section.pattern else {section.pattern} & by_name.keys()
    tasks = [
        task
        for name in names
        if section.covers(name) and not any(other.covers(name) for other in narrower)
        for task in by_name[name]
    ]
    return groups.known(tasks, config.scope)


def _from_metric(
    section: Section,
    excluded: list[str],
    by: list[str],
    settings: TaskSettings,
    config: Config,
) -> Monitor:
    subject = "a task" if section == _EVERY_TASK else section.pattern
    scope = ["status:failure", "!reason:nested", f"!{BY_HAND}", *config.scope]
    scope += [f"task:{section.pattern}"] if section != _EVERY_TASK else []
    scope += [f"!task:{pattern}" for pattern in excluded]
    query = f"sum(last_10m):sum:autotask.task.runs{{{','.join(scope)}}} by {{{','.join(by)}}}"
    alert = f"""\
The task `{{{{task.name}}}}` failed{_group_text(by)}.

Next: run {_LIST_FAILURES} on its host to list the failed runs with their reasons, and \
`autotask show RUN` to see one of them. The event `task failed: {{{{task.name}}}}` in Datadog has \
the reason, the error and the host."""
    return define(
        settings,
        config,
        kind="failed",
        identity=section.pattern,
        title=f"{subject} failed: {{{{task.name}}}}",
        query=f"{query}.as_count() >= 1",
        # No recovery: that no other failure followed does not mean that the task succeeded.
        message=write_message(settings, alert),
        critical=1,
    )


def _group_text(by: list[str]) -> str:
    tags = ", ".join(f"{key} {{{{{key}.name}}}}" for key in ("service", "env") if key in by)
    return f" ({tags})" if tags else ""


def _from_service_check(
    section: Section,
    narrower: list[Section],
    by_name: _ByName,
    settings: TaskSettings,
    config: Config,
) -> Iterator[Monitor]:
    """Yield one monitor for all tasks, or one for each task of a section.

    The scope of a service check cannot contain a pattern.
    """
    if section == _EVERY_TASK:
        others = {name for name in by_name if any(other.covers(name) for other in narrower)}
        others |= {other.pattern for other in narrower if "*" not in other.pattern}
        by = _group_tags(section, narrower, by_name, config)
        yield _in_a_row(None, sorted(others), by, settings, config)
        return
    for name, tasks in by_name.items():
        if section.covers(name) and not any(other.covers(name) for other in narrower):
            by = groups.known(tasks, config.scope)
            yield _in_a_row(name, [], by, settings, config)


def _in_a_row(
    task: str | None,
    excluded: list[str],
    by: list[str],
    settings: TaskSettings,
    config: Config,
) -> Monitor:
    count = settings.failures_in_a_row
    included = [*([f"task:{task}"] if task else []), *config.scope] or ["*"]
    query = f'"autotask.task.status".over({_quoted(included)})'
    query += f".exclude({_quoted([BY_HAND, *(f'task:{name}' for name in excluded)])})"
    query += f".by({_quoted(by)}).last({count + 1}).count_by_status()"
    failed = "failed" if count == 1 else f"failed {count} times in a row"
    alert = f"""\
The task `{{{{task.name}}}}`{_group_text(by)} {failed} \
and has not succeeded since: {{{{check_message}}}}

Next: run {_LIST_FAILURES} on its host, then `autotask show RUN`."""
    return define(
        settings,
        config,
        # The same key as that of the monitor of the metric, so that one replaces the other.
        kind="failed",
        identity=task or "*",
        title=f"{task or 'a task'} {'is failing' if count == 1 else failed}: {{{{task.name}}}}",
        query=query,
        message=write_message(settings, alert, "`{{task.name}}` succeeded again."),
        critical=count,
        type_="service check",
    )


def _quoted(words: Iterable[str]) -> str:
    return ",".join(f'"{word}"' for word in words)
