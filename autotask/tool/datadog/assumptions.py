"""What a plan assumes about schedules, and what the journal shows against it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from autotask.tool.datadog.baselines import LAST_STARTS, Task
from autotask.tool.datadog.config import Config, TaskSettings
from autotask.tool.datadog.definition import Monitor
from autotask.tool.datadog.monitors import has_deadlines, with_configured
from autotask.tool.datadog.wording import listed, titled
from autotask.tool.quantities import duration_text
from autotask.tool.schedule import zone
from autotask.tool.schedule.cron_line import Schedule
from autotask.tool.schedule.due import PUNCTUAL

_QUARTER = 15 * 60  # seconds: all time zones are whole quarters of an hour apart
_DAY = 86400
_QUIET = 7 * _DAY  # and twice the usual gap: after that a task may be retired


class Remark(NamedTuple):
    """A sentence about some tasks."""

    kind: str  # timezone, time, gap, quiet
    tasks: list[str]
    text: str  # with their names


def remarks(
    tasks: Iterable[Task], monitors: Iterable[Monitor], config: Config, now: float
) -> list[Remark]:
    """Return the remarks about tasks that have monitors of their own."""
    watched = {
        tag.removeprefix("task:")
        for monitor in monitors
        for tag in monitor["tags"]
        if tag.startswith("task:")
    }
    settings_of = [
        (task, config.settings_for(task.name))
        for task in with_configured(tasks, config)
        if task.name in watched
    ]
    scheduled = [
        (task, settings, schedule)
        for task, settings in settings_of
        for schedule in [settings.parsed_schedule()]
        if schedule and "did_not_run" not in settings.without
    ]
    by_deadline = [entry for entry in scheduled if has_deadlines(entry[2])]
    by_gap = [entry for entry in scheduled if not has_deadlines(entry[2])]
    return [
        *_assumed_zone(by_deadline),
        *_wrong_zone((task, schedule) for task, _, schedule in by_deadline),
        *_only_longest_gap((task, schedule) for task, _, schedule in by_gap),
        *_quiet(settings_of, now),
    ]


def _assumed_zone(scheduled: Iterable[tuple[Task, TaskSettings, Schedule]]) -> Iterator[Remark]:
    names = [task.name for task, settings, _ in scheduled if settings.timezone is None]
    if names:
        local = zone.of_this_machine()
        used = f"this machine's time zone, {local}"
        unknown = "UTC, because no time zone in the database matches this machine's clock"
        text = f"no `timezone` set for {listed(names)}: using {used if local else unknown}"
        yield Remark("timezone", names, text)


def _wrong_zone(scheduled: Iterable[tuple[Task, Schedule]]) -> Iterator[Remark]:
    """Doubt the time zone if runs start as far from their schedule as time zones are apart."""
    shifted: dict[tuple[str, int], list[tuple[str, str]]] = {}
    for task, schedule in scheduled:
        nearest = {start: schedule.nearest(start) for start in task.starts}
        pairs = [(due, start) for start, due in nearest.items() if due and _is_zone(start - due)]
        if len(pairs) >= LAST_STARTS - 1:
            due, start = pairs[-1]
            text = (
                f"due {schedule.clock(due)} ({schedule.timezone}), but its runs start at "
                f"{schedule.clock(start)}: is `timezone` right?"
            )
            quarters = round((start - due) / _QUARTER)
            shifted.setdefault((schedule.timezone, quarters), []).append((task.name, text))
    for same_shift in shifted.values():
        names = [name for name, _ in same_shift]
        others = f" (same for {listed(names[1:])})" if names[1:] else ""
        yield Remark("time", names, f"{names[0]}: {same_shift[0][1]}{others}")


def _is_zone(difference: float) -> bool:
    # Less than half an hour is more likely a late start.
    return abs(difference) > 2 * _QUARTER - PUNCTUAL and difference % _QUARTER <= PUNCTUAL


def _only_longest_gap(scheduled: Iterable[tuple[Task, Schedule]]) -> Iterator[Remark]:
    """Name tasks that are due too often for one monitor each time, but not all day long."""
    names_of: dict[str, list[str]] = {}
    for task, schedule in scheduled:
        if schedule.closest < schedule.interval / 2:
            text = (
                f"due {schedule.times_a_day} times a day, too many for one monitor each: "
                f"only a gap longer than {duration_text(schedule.interval)} alerts"
            )
            names_of.setdefault(text, []).append(task.name)
    for text, names in names_of.items():
        yield Remark("gap", names, f"{listed(names)}: {text}")


def _quiet(settings_of: Iterable[tuple[Task, TaskSettings]], now: float) -> Iterator[Remark]:
    """Name tasks that have not run for long: they may be retired."""
    ages = [
        (now - task.last, task)
        for task, settings in settings_of
        if task.last is not None and now - task.last > max(_QUIET, 2 * _gap(task, settings))
    ]
    quiet = [task for _, task in ages]
    active = {task.name for task, _ in settings_of if task not in quiet}
    for age, task in sorted(ages, key=lambda pair: -pair[0]):
        text = f"{titled(task)}: no run for {age // _DAY:.0f} days"
        if task.name in active:  # `retired` would cover all services and envs
            text += ", but it runs under another service or env"
        else:
            text += "; if it is retired, set `retired = true`"
        yield Remark("quiet", [task.name], text)


def _gap(task: Task, settings: TaskSettings) -> float:
    schedule = settings.parsed_schedule()
    return max(
        task.longest_interval or 0, settings.interval or 0, schedule.interval if schedule else 0
    )
