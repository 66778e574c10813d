"""All tasks at a moment: what is usual for each, what runs now, what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from autotask import journal
from autotask.tool import summaries
from autotask.tool.datadog.config import Config
from autotask.tool.journal import ownership
from autotask.tool.journal.index import Index
from autotask.tool.quantities import timestamp
from autotask.tool.schedule import usual as quantiles
from autotask.tool.schedule.machine import Job
from autotask.tool.summaries import Summary
from autotask.tool.troubles.find import find
from autotask.tool.troubles.trouble import Trouble

_COUNTS = """
SELECT task, framework, status, count(*) FROM run
WHERE started_at >= ? AND started_at <= ? AND bookkeeping IS NULL GROUP BY task, framework, status
"""
# Of a program and what runs in it, only the innermost; but all of what runs in a server.
_RUNNING = """
SELECT run, task, framework, started_at, pid, host, server, owner FROM run
WHERE finished_at IS NULL AND status = 'running' AND started_at IS NOT NULL
AND bookkeeping IS NULL AND (server IS NOT NULL OR NOT EXISTS (
    SELECT 1 FROM run AS inside
    WHERE inside.parent = run.run AND inside.owner = run.owner
    AND inside.finished_at IS NULL AND inside.status = 'running' AND inside.bookkeeping IS NULL
    AND inside.started_at IS NOT NULL
))
ORDER BY +started_at
"""


class TaskView(NamedTuple):
    """A task, and what became of it since a moment."""

    summary: Summary  # over all runs
    counts: Mapping[str, int]  # runs since that moment, by their status
    band: tuple[float, float] | None = None  # seconds: 10 to 90 % of the last successes


class Running(NamedTuple):
    """A run that has not ended."""

    run: str
    task: str
    framework: str
    since: float  # POSIX seconds
    pid: int | None
    host: str | None
    usual: float | None  # seconds
    server: bool = False  # it runs until it is stopped
    user: str | None = None  # in a home that several users share


class Overview(NamedTuple):
    """All that is known at a moment."""

    since: float  # POSIX seconds
    now: float  # POSIX seconds
    tasks: list[TaskView]
    running: list[Running]  # the oldest first
    troubles: list[Trouble]


def overview(
    index: Index | None, jobs: Sequence[Job], config: Config, since: float, now: float
) -> Overview:
    """Look at all tasks.

    Args:
        index: The journal's; None before the first run.
        jobs: Of this machine.
        config: The file.
        since: POSIX seconds, from when on runs and troubles count.
        now: POSIX seconds.
    """
    counts: dict[tuple[str, str], dict[str, int]] = {}
    span = journal.moment(since), journal.moment(now)
    for task, framework, status, count in index.rows(_COUNTS, span) if index else ():
        counts.setdefault((task, framework), {})[status] = count
    views = [
        TaskView(summary, counts.get((summary.task, summary.framework), {}), _band(durations))
        for summary, durations in summaries.with_durations(index, jobs, config, now)
    ]
    usual = {view.summary[:2]: view.summary.usual_duration for view in views}
    runs = running(index, usual) if index else []
    return Overview(since, now, views, runs, find(index, jobs, config, since, now))


def running(index: Index, usual: Mapping[tuple[str, str], float | None]) -> list[Running]:
    """Return what runs now, the oldest first: of a program whose task runs, the task.

    Args:
        index: The journal's.
        usual: Seconds, by task and framework.
    """
    return [
        Running(
            *(run, task, framework, at, pid, host),
            usual=usual.get((task, framework)),
            server=server is not None,
            user=ownership.short_name(owner) if index.shared else None,
        )
        for run, task, framework, started, pid, host, server, owner in index.rows(_RUNNING)
        if (at := timestamp(started)) is not None
    ]


def _band(durations: Sequence[float]) -> tuple[float, float] | None:
    if not durations:
        return None
    return quantiles.quantile(durations, 0.1), quantiles.quantile(durations, 0.9)
