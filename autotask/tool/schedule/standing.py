"""Judge the jobs of this machine by the journal of this user's home."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from autotask import homes, journal, procfs
from autotask.settings import Settings
from autotask.tool.errors import ToolError
from autotask.tool.journal import ownership
from autotask.tool.journal.run_rows import stored
from autotask.tool.quantities import timestamp
from autotask.tool.schedule import crontab, crontabs, due, first_seen, since
from autotask.tool.schedule.due import Verdict

if TYPE_CHECKING:
    from autotask.tool.journal.index import Index
    from autotask.tool.schedule.machine import Job

# A program and its task of the same name are one start. What a person starts at a terminal is not
# what cron does.
_STARTS = """
SELECT started_at, process FROM run
WHERE task = ? AND started_at >= ? AND "trigger" IS NOT 'terminal' AND bookkeeping IS NULL
AND NOT EXISTS (SELECT 1 FROM run AS outer WHERE outer.run = run.parent AND outer.task = run.task)
ORDER BY started_at
"""
_LAST = """
SELECT max(started_at), process FROM run
WHERE task = ? AND "trigger" IS NOT 'terminal' AND bookkeeping IS NULL
"""


def verdicts(
    jobs: Sequence[Job],
    index: Index | None,
    now: float,
    within: Mapping[str, float] | None = None,
    after: float | None = None,
) -> list[Verdict]:
    """Judge each job, in their order, and note in the home which ones are new.

    Nothing is known of the jobs of other users, unless all share the home.

    Args:
        jobs: The jobs of this machine.
        index: The journal's; None before the first run.
        now: POSIX seconds.
        within: Seconds, `within` of autotask.toml, by the name of the runs.
        after: POSIX seconds. What was missed and late since then is asked for, too.
    """
    boot = since.booted()
    firsts = first_seen.look(jobs, _own_home(), now)
    starts = _Starts(index, boot)
    return [
        _verdict(
            since.with_reboot(job, boot),
            since.counted_from(job, first, boot),
            now,
            starts,
            (within or {}).get(job.name),
            after,
        )
        for job, first in zip(jobs, firsts)
    ]


def note(jobs: Sequence[Job], now: float) -> None:
    """Note in the home which jobs are new, as `verdicts` does; a home that is missing is made.

    Args:
        jobs: The jobs of this machine.
        now: POSIX seconds.
    """
    home = Settings(os.environ).home
    with contextlib.suppress(OSError):
        if home:
            homes.settle(home)
    first_seen.look(jobs, _own_home(), now)


def settled() -> float:
    """Return since when this machine has certainly run its jobs, in POSIX seconds."""
    return since.booted() + since.SETTLES


def _own_home() -> str | None:
    try:
        return ownership.find(Settings(os.environ)).own
    except ToolError:  # there is none
        return None


def _verdict(
    job: Job,
    counted_from: float,
    now: float,
    starts: _Starts,
    within: float | None,
    after: float | None,
) -> Verdict:
    if not starts.has(job):
        state = due.UNKNOWN if job.watched else due.NOT_WATCHED
        return Verdict(state, None, due.next_due(job, now))
    earliest = now if after is None else min(now, after)
    known = starts.of(job, due.starts_from(job, earliest, within))
    verdict = due.verdict(job, known, counted_from, now, within)
    if after is None:
        return verdict
    missed, late = due.between(job, known, counted_from, after, now, within)
    return verdict._replace(missed_since=tuple(missed), late_since=tuple(late))


class _Starts:
    """When runs started, in the journal of one user, or of all."""

    def __init__(self, index: Index | None, boot: float) -> None:
        self._index = index
        self._boot = boot
        self._boot_id = procfs.identity().partition("/")[0]
        self._user = crontabs.this_user()
        self._known: dict[tuple[str, bool], tuple[float, list[float]]] = {}  # and since when

    def has(self, job: Job) -> bool:
        """Tell whether the runs of a job are in this journal."""
        if job.elsewhere:
            return False
        return job.user == self._user or (self._index is not None and self._index.shared)

    def of(self, job: Job, after: float) -> list[float]:
        """Return the starts after a time, or the last one before it, as POSIX seconds."""
        by_boot = job.when == crontab.REBOOT
        first, starts = self._known.get((job.name, by_boot), (after + 1, []))
        if first > after:  # jobs may share a name
            starts = self._ask(job.name, after, by_boot)
            self._known[job.name, by_boot] = after, starts
        return starts

    def _ask(self, name: str, after: float, by_boot: bool) -> list[float]:
        if self._index is None:
            return []
        name = stored(name)
        after = 0 if by_boot else after  # at boot, the clock may have been wrong
        rows = list(self._index.rows(_STARTS, (name, journal.moment(after))))
        rows = rows or list(self._index.rows(_LAST, (name,)))
        times = [(timestamp(at), process) for at, process in rows]
        return sorted(
            max(at, self._boot) if by_boot and self._is_of_this_boot(process) else at
            for at, process in times
            if at is not None
        )

    def _is_of_this_boot(self, process: str | None) -> bool:
        return (process or "").partition("/")[0] == self._boot_id
