"""When the recorded tasks are due, and whether they ran.

The jobs of this machine say so; else `schedule` or `interval` in autotask.toml; else how often a
task usually runs.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from autotask import journal
from autotask.tool.datadog.config import Config, TaskSettings
from autotask.tool.datadog.tags import tag_value
from autotask.tool.quantities import timestamp
from autotask.tool.schedule import crontabs, due, standing, usual
from autotask.tool.schedule.due import Verdict
from autotask.tool.schedule.machine import Job
from autotask.tool.schedule.usual import Interval

if TYPE_CHECKING:
    from autotask.tool.journal.index import Index

_LEARNED_IN = 86400.0  # seconds: a burst of runs is not a pattern
# Every run of a task, also those that a filter leaves out; so many are enough.
_RUNS = """
SELECT count(*) FROM (
    SELECT 1 FROM run
    WHERE task = ? AND framework = ? AND bookkeeping IS NULL AND started_at IS NOT NULL LIMIT ?
)
"""
_FIRST = "SELECT min(started_at) FROM run WHERE started_at > ? AND started_at < ?"
# If several jobs share a name, the first of these words that applies to one of them.
_ORDER = (due.MISSED, due.LATE, due.NEVER_SEEN, due.RAN, due.UNKNOWN, due.NOT_WATCHED)


class Past(NamedTuple):
    """What is known of a task from its runs."""

    task: str
    framework: str
    last_run: float | None  # POSIX seconds
    starts: Sequence[str]  # of the last ended runs that were not part of another run, or by hand
    server: bool


def of_jobs(
    jobs: Sequence[Job],
    tasks: Iterable[str],
    index: Index | None,
    config: Config,
    now: float,
    after: float | None = None,
) -> dict[str, Verdict]:
    """Judge what is due by the jobs of this machine, else by the file.

    Args:
        jobs: Of this machine.
        tasks: The names of tasks that ran, of which the file may say more.
        index: The journal's.
        config: The file.
        now: POSIX seconds.
        after: POSIX seconds. What was missed and late since then is asked for, too.

    Returns:
        The verdicts by the names of runs.
    """
    of_machine = {job.name for job in jobs}
    others = [job for task in tasks if task not in of_machine for job in _of_file(task, config)]
    settings = {job.name: settings_of(job.name, config) for job in (*jobs, *others)}
    within = {name: found.within for name, found in settings.items() if found.within}
    every = [*jobs, *others]
    verdicts: dict[str, Verdict] = {}
    for job, verdict in zip(every, standing.verdicts(every, index, now, within, after)):
        ran_here = verdict.last_run is not None or job.name in of_machine
        if ran_here and _is_wanted(settings[job.name]):
            verdicts[job.name] = _joined(verdict, verdicts.get(job.name, verdict))
    return verdicts


def of_habit(
    past: Past, config: Config, index: Index | None, since: float, now: float
) -> Verdict | None:
    """Judge a task that no job and no schedule names: by `interval`, or by how often it runs.

    Args:
        past: The task.
        config: The file.
        index: The journal's: if another run shows that the machine was on, time counts from then.
        since: POSIX seconds, from when on it can have run: see `standing.settled`.
        now: POSIX seconds.
    """
    settings = settings_of(past.task, config)
    if past.last_run is None or past.server or not _is_wanted(settings) or settings.schedule:
        return None
    interval = _of_setting(settings) or _learned(past, index)
    if interval is None:
        return None
    within = settings.within or usual.slack(interval.longest)
    since = min(since, _first_run(index, past.last_run + interval.longest, since))
    return due.verdict_of_interval(past.last_run, *interval, within, since, now)


def _first_run(index: Index | None, after: float, before: float) -> float:
    """Return when any run started between two POSIX times; if none did, the second one."""
    if index is None or after >= before:
        return before
    span = journal.moment(after), journal.moment(before)
    ((first,),) = index.rows(_FIRST, span)
    return timestamp(first) or before


def _of_setting(settings: TaskSettings) -> Interval | None:
    return Interval(settings.interval, settings.interval) if settings.interval else None


def _learned(past: Past, index: Index | None) -> Interval | None:
    starts = [at for at in map(timestamp, past.starts) if at is not None]
    learned = usual.interval([after - before for before, after in zip(starts, starts[1:])])
    if learned is None or not learned.is_regular or not _is_pattern(past, index, learned.usual):
        return None
    return learned._replace(longest=usual.rounded_up(learned.longest))


def _is_pattern(past: Past, index: Index | None, interval: float) -> bool:
    """Tell whether a task has run often enough at an interval in seconds."""
    if index is None or interval <= 0:
        return False
    enough = math.ceil(_LEARNED_IN / interval)
    ((runs,),) = index.rows(_RUNS, (past.task, past.framework, enough))
    return bool(runs >= enough)


def settings_of(name: str, config: Config) -> TaskSettings:
    """Return what the file says of a task, by its name as its runs have it."""
    return config.settings_for(tag_value("task", name)) if config.path else config.defaults


def _is_wanted(settings: TaskSettings) -> bool:
    return not settings.retired and "did_not_run" not in settings.without


def _of_file(task: str, config: Config) -> list[Job]:
    settings = settings_of(task, config)
    schedule = settings.parsed_schedule()
    if schedule is None or config.path is None:
        return []
    job = Job(
        source=os.path.abspath(config.path),
        line=None,
        user=crontabs.this_user(),
        name=task,
        when=schedule.cron,
        words="",
        schedule=schedule,
        timezone=schedule.timezone,
        changed=crontabs.changed(str(config.path)),
        watched=True,
        tolerance=settings.tolerance,
    )
    return [job]


def _joined(first: Verdict, second: Verdict) -> Verdict:
    """Return what two jobs of one name together come to."""
    state = min(first.state, second.state, key=_ORDER.index)
    coming = [at for at in (first.next_due, second.next_due) if at is not None]
    late = [one.late for one in (first, second) if one.state == state and one.late is not None]
    return Verdict(
        state,
        first.last_run,
        min(coming, default=None),
        missed=tuple(sorted({*first.missed, *second.missed})),
        late=min(late, default=None),
        missed_since=tuple(sorted({*first.missed_since, *second.missed_since})),
        late_since=tuple(sorted({*first.late_since, *second.late_since})),
    )


def never_ran(jobs: Iterable[Job], verdicts: Mapping[str, Verdict]) -> list[str]:
    """Return the names of this user's watched jobs of which no run is known."""
    user = crontabs.this_user()
    names = [job.name for job in jobs if job.watched and job.user == user]
    return [
        name
        for name in dict.fromkeys(names)
        if name in verdicts and verdicts[name].last_run is None
    ]
