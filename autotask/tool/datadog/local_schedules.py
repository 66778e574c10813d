"""Schedules of the tasks, from this machine's crontabs and timers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from autotask.tool.datadog import monitors
from autotask.tool.datadog.assumptions import Remark
from autotask.tool.datadog.baselines import Task
from autotask.tool.datadog.config import Config, TaskSettings
from autotask.tool.datadog.definition import Monitor
from autotask.tool.datadog.tags import FROM_MACHINE, tag_value
from autotask.tool.datadog.wording import listed
from autotask.tool.schedule import on_calendar, zone
from autotask.tool.schedule.machine import Job

_LATE = 300  # seconds by which a scheduler may always be late
_NO_ZONE = "cron's time zone has no name in the database"
_NEARLY_ALWAYS = 0.9  # share of a program's runs in which its task ran


class LocalSchedule(NamedTuple):
    """What this machine says of when a task is due."""

    task: str  # as Datadog stores its name
    spelled: str  # as the line or the timer has it
    source: str  # `crontab of ann, line 3`
    values: Mapping[str, Any]  # fields of TaskSettings; empty if it gives no schedule
    why: str | None = None  # it has none; None as well if there is nothing to do about it
    recorded: bool = True  # the task has run, or the file names it


def read(jobs: Iterable[Job], tasks: Iterable[Task], config: Config) -> list[LocalSchedule]:
    """Return what the jobs say of tasks for which the file has no schedule and no interval.

    Only jobs whose runs are recorded count.

    Args:
        jobs: All of this machine.
        tasks: Those that ran here.
        config: The file.
    """
    of_name: dict[str, list[Task]] = {}
    for task in monitors.with_configured(tasks, config):
        of_name.setdefault(task.name, []).append(task)
    jobs_of: dict[str, list[Job]] = {}
    represented = _represented(of_name)
    for job in jobs:
        name = tag_value("task", job.name)
        if job.watched and name:
            jobs_of.setdefault(represented.get(name, name), []).append(job)
    return [
        _of_task(name, jobs_of[name], of_name.get(name, []), config)
        for name in sorted(jobs_of)
        if _is_asked(config.settings_for(name), of_name.get(name, []))
    ]


def with_local(config: Config, schedules: Iterable[LocalSchedule]) -> Config:
    """Add the schedules of recorded tasks to the configuration."""
    machine = {local.task: local.values for local in schedules if local.values and local.recorded}
    return replace(config, machine=machine)


def read_elsewhere(config: Config, schedules: Iterable[LocalSchedule]) -> Callable[[Monitor], bool]:
    """Return a function that tells which monitors this machine has nothing better for.

    Their schedules were read from crontabs and timers of another machine, or of this one before
    they changed, and here neither those nor the file gives one.

    Args:
        config: The file, with what this machine says.
        schedules: What this machine says, also of programs that a task represents.
    """
    read_here = {tag_value("task", local.spelled) for local in schedules if local.values}

    def is_read_elsewhere(monitor: Monitor) -> bool:
        others = [name for name in _tasks_of(monitor) if name not in read_here]
        is_open = any(_is_open(config.settings_for(name)) for name in others)
        return is_open and FROM_MACHINE in monitor["tags"]

    return is_read_elsewhere


def remarks(
    schedules: Sequence[LocalSchedule], desired: Iterable[Monitor], left: Iterable[Monitor]
) -> Iterator[Remark]:
    """Say which schedules come from this machine, and which could not be taken.

    Args:
        schedules: What this machine says.
        desired: The monitors to have.
        left: Those that stay as they are: see `read_elsewhere`.
    """
    watched = {name for one in desired if FROM_MACHINE in one["tags"] for name in _tasks_of(one)}
    used = [local for local in schedules if local.task in watched]
    if used:
        named = listed([f"{local.task} ({local.source})" for local in used])
        text = f"no `schedule` set for {named}: using this machine's"
        yield Remark("schedule", [local.task for local in used], text)
    for local in schedules:
        if local.why and local.recorded:
            text = f"{local.task}: no schedule taken from this machine: {local.why}"
            yield Remark("no_schedule", [local.task], text)
    unseen = [local for local in schedules if local.values and not local.recorded]
    if unseen:
        named = listed([f"{local.spelled} ({local.source})" for local in unseen])
        text = f"no monitors for what has not run yet: {named}; give it a section in autotask.toml"
        yield Remark("never_ran", [local.task for local in unseen], text)
    names = list(dict.fromkeys(name for monitor in left for name in _tasks_of(monitor)))
    if names:
        text = (
            f"monitors left as they are: when {listed(names)} did not run; their schedules come "
            "from a crontab or timer that was not read now: set `schedule`, or give them up with "
            "--prune"
        )
        yield Remark("left", names, text)


def _tasks_of(monitor: Monitor) -> list[str]:
    return [tag[len("task:") :] for tag in monitor["tags"] if tag.startswith("task:")]


def _represented(of_name: Mapping[str, Sequence[Task]]) -> dict[str, str]:
    """Return the tasks that represent programs, by the programs' names.

    A line names a program. The task in it has the monitors, if the program runs it each time.
    """
    leading: dict[str, set[str]] = {}
    for name, variants in of_name.items():
        for task in variants:
            if task.leads and task.program:
                leading.setdefault(task.program, set()).add(name)
    runs = {name: sum(task.runs for task in variants) for name, variants in of_name.items()}
    return {
        program: name
        for program, names in leading.items()
        for name in [min(names)]
        if len(names) == 1 and runs[name] >= _NEARLY_ALWAYS * runs.get(program, 0)
    }


def _is_asked(settings: TaskSettings, variants: Iterable[Task]) -> bool:
    """Tell whether a task needs a schedule that the file does not give."""
    return _is_open(settings) and not any(task.server for task in variants)


def _is_open(settings: TaskSettings) -> bool:
    is_off = settings.retired or "did_not_run" in settings.without
    return not (is_off or settings.schedule or settings.interval)


def _of_task(
    name: str, jobs: Sequence[Job], variants: Sequence[Task], config: Config
) -> LocalSchedule:
    source = _source(jobs)
    local = LocalSchedule(name, jobs[0].name, source, {}, recorded=bool(variants))
    if len(jobs) > 1:
        name_them = "give each its own name (AUTOTASK_NAME=... in front of a line's command)"
        return local._replace(why=f"started by {source}; {name_them}")
    if len(variants) > 1:
        tags = listed([f"{task.service or '-'}/{task.env or '-'}" for task in variants])
        return local._replace(why=f"it runs under several services or envs ({tags})")
    values = _values(jobs[0])
    if not values:
        in_crontab = len(jobs[0].when.split()) == 5
        return local._replace(why=f"{source}: {_NO_ZONE}" if in_crontab else None)
    settings = replace(config.settings_for(name), **values)
    task = variants[0] if variants else Task(name, spelled=jobs[0].name)
    why = monitors.why_not_watched(task, settings, config)
    return local._replace(why=f"{source}: {why}") if why else local._replace(values=values)


def _source(jobs: Iterable[Job]) -> str:
    """Write where jobs are: `crontab of ann, lines 3, 9 and backup.timer`."""
    lines_in: dict[str, list[str]] = {}
    for job in jobs:
        lines = lines_in.setdefault(job.source, [])
        lines += [] if job.line is None else [str(job.line)]
    places = [
        f"{source}, line{'s' if lines[1:] else ''} {listed(lines)}" if lines else source
        for source, lines in lines_in.items()
    ]
    return " and ".join(places)


def _values(job: Job) -> dict[str, Any]:
    """Return the settings that say when a job is due; empty if it has no such times."""
    late = job.tolerance if job.tolerance > _LATE else 0
    tolerance = {"tolerance": late} if late else {}
    if job.schedule is not None:
        cron, timezone = job.schedule.cron, job.schedule.timezone
        return {"schedule": cron, "timezone": timezone, **tolerance}
    timing = on_calendar.timing(job.when)
    if timing is None:
        return {}
    if timing.interval is not None:
        return {"interval": timing.interval + late}
    timezone = timing.timezone or job.timezone or zone.of_localtime() or "UTC"
    return {"schedule": timing.cron, "timezone": timezone, **tolerance}
