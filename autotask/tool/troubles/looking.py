"""What is looked at: the journal in a span of time, the jobs, what the file says of tasks."""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from autotask import journal
from autotask.tool import expected, limits
from autotask.tool.datadog.config import Config, TaskSettings
from autotask.tool.journal import ownership
from autotask.tool.journal.index import Index
from autotask.tool.journal.run_rows import stored
from autotask.tool.quantities import timestamp
from autotask.tool.schedule.machine import Job
from autotask.tool.troubles.trouble import Told

# Each task that ran with each of its frameworks: one step in an index for each, however many runs.
PAIRS = """
WITH RECURSIVE names (task) AS (
    SELECT min(task) FROM run
    UNION ALL SELECT (SELECT min(task) FROM run WHERE run.task > names.task) FROM names
    WHERE names.task IS NOT NULL
), pairs (task, framework) AS (
    SELECT task, (SELECT min(framework) FROM run WHERE run.task = names.task) FROM names
    WHERE task IS NOT NULL
    UNION ALL SELECT task, (
        SELECT min(framework) FROM run
        WHERE run.task = pairs.task AND run.framework > pairs.framework
    ) FROM pairs WHERE pairs.framework IS NOT NULL
)
"""
_PAIRS = f"{PAIRS} SELECT task, framework FROM pairs WHERE framework IS NOT NULL"
# Not a program whose task has the same name: its successes are those of the task.
_DURATIONS = """
SELECT duration, started_at FROM run
WHERE task = ? AND framework = ? AND status = 'success' AND started_at > ? AND started_at < ?
AND "trigger" IS NOT 'terminal' AND bookkeeping IS NULL AND duration IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM run AS inside WHERE inside.parent = run.run AND inside.task = ?)
ORDER BY started_at DESC LIMIT ?
"""


class Look:
    """The journal, the jobs and the file, as they are looked at after a moment until another."""

    def __init__(
        self,
        index: Index | None,
        jobs: Sequence[Job],
        config: Config,
        told: Told,
        now: float,
        tasks: Sequence[str] = (),
    ) -> None:
        self.index = index
        self.jobs = jobs
        self.config = config
        self.told = told  # also says since when
        self.now = now
        self.since = min(told.since, now)
        self._tasks = tasks
        self._wanted: dict[str, bool] = {}
        self._settings: dict[str, TaskSettings] = {}

    def narrowed(self, span: float) -> Look:
        """Return the same for the last seconds of its time alone."""
        look = copy.copy(self)
        look.since = max(self.since, self.now - span)
        look.told = Told(look.since)
        return look

    def rows(self, statement: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Return the rows of a query; none before the first run."""
        return self.index.rows(statement, values) if self.index else iter(())

    def wants(self, task: str) -> bool:
        """Tell whether a task was asked for."""
        if not self._tasks:
            return True
        if task not in self._wanted:
            self._wanted[task] = any(fnmatch.fnmatchcase(task, glob) for glob in self._tasks)
        return self._wanted[task]

    def unmatched(self) -> list[str]:
        """Return the globs that match nothing known: no run, no watched job, no task of the file.

        A section for a pattern names no task.
        """
        jobs = [stored(job.name) for job in self.jobs if job.watched]
        sections = [section.pattern for section in self.config.sections]
        named = [pattern for pattern in sections if "*" not in pattern]
        known = {*self.frameworks, *jobs, *named}
        return [
            glob
            for glob in self._tasks
            if not any(fnmatch.fnmatchcase(task, glob) for task in known)
        ]

    def settings(self, task: str) -> TaskSettings:
        """Return what the file says of a task."""
        if task not in self._settings:
            self._settings[task] = expected.settings_of(task, self.config)
        return self._settings[task]

    def watches(self, task: str, kind: str) -> bool:
        """Tell whether the file wants this kind of alarm (of `config.KINDS`) for a task."""
        settings = self.settings(task)
        return self.wants(task) and not settings.retired and kind not in settings.without

    def user(self, owner: int) -> str | None:
        """Return whose run it is, in a home that several users share."""
        return ownership.short_name(owner) if self.index and self.index.shared else None

    @cached_property
    def frameworks(self) -> Mapping[str, Sequence[str]]:
        """The frameworks of each task that ran."""
        found: dict[str, list[str]] = {}
        for task, framework in self.rows(_PAIRS):
            found.setdefault(task, []).append(framework)
        return found

    def durations(self, task: str, before: float, count: int) -> list[float]:
        """Return how long the last successes took that started before a POSIX time, oldest first.

        Those that a person started at a terminal do not count, nor do those of long ago.
        """
        first, last = journal.moment(before - limits.LOOKBACK), journal.moment(before)
        found = [
            (at, duration)
            for framework in self.frameworks.get(task, ())
            for duration, at in self.rows(_DURATIONS, task, framework, first, last, task, count)
        ]
        return [duration for _, duration in sorted(found)[-count:]]

    def longest(self, task: str, before: float) -> float | None:
        """Return the usual longest duration of a task's successes before a POSIX time."""
        return limits.of_durations(self.durations(task, before, limits.LAST_SUCCESSES))[1]


def seconds(text: str | None) -> float:
    """Return the POSIX time of a time in the journal; 0 if it is malformed."""
    return timestamp(text) or 0.0
