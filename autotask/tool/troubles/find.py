"""Find what went wrong since a moment, and what is wrong now."""

from __future__ import annotations

from collections.abc import Sequence

from autotask.tool import limits
from autotask.tool.datadog.config import Config
from autotask.tool.journal.index import Index
from autotask.tool.schedule.machine import Job
from autotask.tool.troubles import crowds, durations, failures, not_run
from autotask.tool.troubles.looking import Look
from autotask.tool.troubles.trouble import Event, Told, Trouble, summed_up

_DAY = 86400.0


def find(
    index: Index | None,
    jobs: Sequence[Job],
    config: Config,
    since: float,
    now: float,
    tasks: Sequence[str] = (),
) -> list[Trouble]:
    """Return what went wrong after a moment, and what is wrong now: the worst and newest first.

    Args:
        index: The journal's; None before the first run.
        jobs: Of this machine.
        config: The file.
        since: POSIX seconds.
        now: POSIX seconds.
        tasks: Globs of the tasks that count; none: all.
    """
    return summed_up(events(Look(index, jobs, config, Told(since), now, tasks)))


def events(look: Look) -> list[Event]:
    """Return each of them, also what an earlier check has told but for what was missed."""
    return [
        *failures.events(look),
        *not_run.events(look),
        *durations.hanging(look),
        *durations.slow(look),
        *crowds.overlaps(look),
        *crowds.retries(look),
    ]


def now_standing(
    index: Index | None,
    jobs: Sequence[Job],
    config: Config,
    now: float,
    tasks: Sequence[str] = (),
    since: float = 0.0,
) -> list[Trouble]:
    """Return what is wrong now: each task by its last run, however long ago it was.

    Args:
        index: The journal's; None before the first run.
        jobs: Of this machine.
        config: The file.
        now: POSIX seconds.
        tasks: Globs of the tasks that count; none: all.
        since: POSIX seconds: failures before then do not count.
    """
    return summed_up(standing(Look(index, jobs, config, Told(since), now, tasks)))


def standing(look: Look) -> list[Event]:
    """Return what is wrong at the end of a span of time."""
    last_day = look.narrowed(_DAY)
    last_hour = look.narrowed(limits.HOUR)
    return [
        *failures.standing(look),
        *not_run.events(look.narrowed(0)),
        *durations.hanging(look),
        *(event for event in durations.slow(last_day) if _is_last(look, event)),
        *crowds.overlaps(last_hour),
        *crowds.retries(last_hour),
    ]


_LATER = """
SELECT 1 FROM run AS later, run AS this
WHERE this.run = ? AND later.task = this.task AND later.started_at > this.started_at
AND later.status = 'success' LIMIT 1
"""


def _is_last(look: Look, event: Event) -> bool:
    """Tell whether no other run has succeeded since."""
    return not any(look.rows(_LATER, event.run))
