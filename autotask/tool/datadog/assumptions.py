"""What a plan takes for granted, and what the journal says against it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from autotask.tool.datadog import zone
from autotask.tool.datadog.baselines import LAST_STARTS, Task
from autotask.tool.datadog.config import Config, Wishes
from autotask.tool.datadog.monitors import Monitor, has_deadlines, with_wished
from autotask.tool.datadog.schedule import Schedule
from autotask.tool.quantities import duration_text

_QUARTER = 15 * 60  # seconds: time zones are whole quarters of an hour apart
_PUNCTUAL = 2 * 60  # so much after it is due a scheduler has started a task
_DAY = 86400
_NAMED = 4  # tasks in a line about many
_QUIET = 7 * _DAY  # and twice the usual gap: from then on a task may be retired


class Remark(NamedTuple):
    """What is to be said about some tasks."""

    kind: str  # timezone, time, gap, quiet
    tasks: list[str]
    text: str  # a sentence, with their names


def remarks(
    tasks: Iterable[Task], monitors: Iterable[Monitor], config: Config, now: float
) -> list[Remark]:
    """Return what is to be said about tasks that have monitors of their own."""
    watched = {tag[len("task:") :] for one in monitors for tag in one["tags"] if _is_name(tag)}
    found = [task for task in with_wished(tasks, config) if task.name in watched]
    wished = [(task, config.wishes_for(task.name)) for task in found]
    due = [
        (task, wishes, schedule)
        for task, wishes in wished
        for schedule in [wishes.due()]
        if schedule and "did_not_run" not in wishes.without
    ]
    exact = [one for one in due if has_deadlines(one[2])]
    others = [one for one in due if not has_deadlines(one[2])]
    return [
        *_zone_taken(exact),
        *_at_other_times((task, schedule) for task, _, schedule in exact),
        *_by_their_gap((task, schedule) for task, _, schedule in others),
        *_quiet(wished, now),
    ]


def _is_name(tag: str) -> bool:
    return tag.startswith("task:")


def _zone_taken(due: Iterable[tuple[Task, Wishes, Schedule]]) -> Iterator[Remark]:
    names = [task.name for task, wishes, _ in due if wishes.timezone is None]
    known = zone.of_this_machine()
    whose = f"in this machine's time zone, {known}"
    unknown = "in UTC, as this machine's time zone has no name that agrees with its clock"
    if names:
        text = f"no `timezone` for {_some(names)}: read {whose if known else unknown}"
        yield Remark("timezone", names, text)


def _at_other_times(due: Iterable[tuple[Task, Schedule]]) -> Iterator[Remark]:
    """Doubt the time zone of schedules from which the runs are as far away as zones are apart."""
    shifted: dict[tuple[str, int], list[tuple[str, str]]] = {}
    for task, schedule in due:
        nearest = {start: schedule.nearest(start) for start in task.starts}
        away = [(at, start) for start, at in nearest.items() if at and _is_shifted(start - at)]
        if len(away) >= LAST_STARTS - 1:
            at, start = away[-1]
            told = f"due {schedule.clock(at)} ({schedule.timezone}), but its runs start at "
            by = round((start - at) / _QUARTER)
            one = task.name, f"{told}{schedule.clock(start)}: timezone?"
            shifted.setdefault((schedule.timezone, by), []).append(one)
    for found in shifted.values():
        names = [name for name, _ in found]
        others = f" (the same with {_some(names[1:])})" if names[1:] else ""
        yield Remark("time", names, f"{names[0]}: {found[0][1]}{others}")


def _is_shifted(by: float) -> bool:
    return abs(by) > 2 * _QUARTER - _PUNCTUAL and by % _QUARTER <= _PUNCTUAL


def _by_their_gap(due: Iterable[tuple[Task, Schedule]]) -> Iterator[Remark]:
    """Say so of those that are due too often for a monitor each time, and not all day long."""
    gaps: dict[str, list[str]] = {}
    for task, schedule in due:
        if schedule.closest < schedule.interval / 2:
            text = (
                f"due {schedule.times_a_day} times a day, too often for a monitor of each time: "
                f"only a gap longer than {duration_text(schedule.interval)} is told"
            )
            gaps.setdefault(text, []).append(task.name)
    for text, names in gaps.items():
        yield Remark("gap", names, f"{_some(names)}: {text}")


def _quiet(wished: Iterable[tuple[Task, Wishes]], now: float) -> Iterator[Remark]:
    """Name the tasks that have not run for long, with their age: they may be retired."""
    ages = [
        (now - task.last, task)
        for task, wishes in wished
        if task.last is not None and now - task.last > max(_QUIET, 2 * _gap(task, wishes))
    ]
    quiet = [task for _, task in ages]
    going_on = {task.name for task, _ in wished if task not in quiet}
    for age, task in sorted(ages, key=lambda one: -one[0]):
        places = [one for one in (task.service, task.env) if one]
        where = f" ({', '.join(places)})" if places else ""
        text = f"{task.name}{where}: no run for {age // _DAY:.0f} days"
        if task.name in going_on:  # `retired` would be of them all
            text += ", but under another service or env"
        else:
            text += "; if it is retired, say so: retired = true"
        yield Remark("quiet", [task.name], text)


def _gap(task: Task, wishes: Wishes) -> float:
    schedule = wishes.due()
    return max(
        task.longest_interval or 0, wishes.interval or 0, schedule.interval if schedule else 0
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" * (len(names) > _NAMED))
