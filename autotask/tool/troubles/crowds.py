"""Too many at once: two runs of a task at the same time, and attempts that are tried again."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from autotask import journal
from autotask.tool import limits
from autotask.tool.troubles import wording
from autotask.tool.troubles.looking import Look, seconds
from autotask.tool.troubles.trouble import OVERLAP, RETRIES, Event

_DAY = 86400.0
# What a scheduler starts at its times: others may be meant to run beside each other. When a lost
# run ended is not known, and a skipped one did nothing.
_ROOTS = """
SELECT run, owner, task, host, started_at, finished_at FROM run
WHERE {} AND parent IS NULL AND "trigger" IN ('cron', 'systemd')
AND server IS NULL AND bookkeeping IS NULL AND status <> 'skipped' AND reason IS NOT 'lost'
"""
_RECENT = _ROOTS.format("started_at <= ? AND started_at > ?")
_UNENDED = _ROOTS.format("finished_at IS NULL AND status = 'running' AND +started_at <= ?")
_RETRIED = """
SELECT task, started_at FROM run
WHERE started_at > ? AND started_at <= ? AND status = 'retried' AND bookkeeping IS NULL
AND "trigger" IS NOT 'terminal'
"""
_RETRIED_BEFORE = """
SELECT started_at FROM run WHERE task = ? AND framework = ? AND status = 'retried'
AND started_at > ? AND started_at < ? AND "trigger" IS NOT 'terminal'
"""


class _Run(NamedTuple):
    run: str
    owner: int
    task: str
    host: str | None
    started: str
    finished: str | None


def overlaps(look: Look) -> Iterator[Event]:
    """Yield the runs that cron or systemd started while another one of the task was running.

    Jobs that share a name cannot be told apart: they are left out.
    """
    names = Counter(job.name for job in look.jobs)
    now, first = journal.moment(look.now), journal.moment(look.since - _DAY)
    rows = [*look.rows(_UNENDED, first), *look.rows(_RECENT, now, first)]
    groups: dict[tuple[str, int, str | None], list[_Run]] = {}
    for run in map(_Run._make, rows):
        if names[run.task] < 2:
            groups.setdefault((run.task, run.owner, run.host), []).append(run)
    for (task, *_), runs in groups.items():
        if len(runs) > 1 and look.watches(task, "overlap"):
            yield from _of_task(look, sorted(runs, key=lambda run: run.started))


def _of_task(look: Look, runs: Sequence[_Run]) -> Iterator[Event]:
    longest = runs[0]  # of those so far, the one that ended last
    for run in runs[1:]:
        at = seconds(run.started)
        if (longest.finished is None or longest.finished > run.started) and at > look.since:
            yield _overlap(look, run, longest, at)
        if longest.finished and (run.finished is None or run.finished > longest.finished):
            longest = run


def _overlap(look: Look, run: _Run, other: _Run, at: float) -> Event:
    when = wording.when(at, look.now)
    return Event(
        OVERLAP,
        run.task,
        at,
        f"{OVERLAP} {run.run}@{run.owner}",
        until=at,
        once=f"overlapped at {when}",
        often=f"overlapped {{}} times, last at {when}",
        rest=f": the run of {wording.when(seconds(other.started), look.now)} had not ended",
        run=run.run,
        user=look.user(run.owner),
    )


def retries(look: Look) -> Iterator[Event]:
    """Yield an event for each time that a task began to have too many attempts in an hour."""
    first = look.since - limits.HOUR
    moments: dict[str, list[float]] = {}
    span = journal.moment(first), journal.moment(look.now)
    for task, at in look.rows(_RETRIED, *span):
        moments.setdefault(task, []).append(seconds(at))
    for task, times in moments.items():
        if look.watches(task, "retries"):
            yield from _too_many(look, task, sorted(times))


def _too_many(look: Look, task: str, times: Sequence[float]) -> Iterator[Event]:
    usually = limits.most_in_an_hour(_retried_before(look, task, times[0]))
    limit = limits.retries_an_hour(look.settings(task), usually)
    was_too_many = False
    for number, at in enumerate(times if limit is not None else ()):
        count = number + 1 - bisect_right(times, at - limits.HOUR)
        too_many = limit is not None and count > limit
        if too_many and not was_too_many and at > look.since:
            text = (
                f"retries a lot: more than {limit} attempts failed and were tried again in an hour"
            )
            when = f", until {wording.when(at, look.now)}"
            yield Event(RETRIES, task, at, f"{RETRIES} {at:.0f} {task}", at, text, text, when)
        was_too_many = too_many


def _retried_before(look: Look, task: str, before: float) -> list[float]:
    first, last = journal.moment(before - limits.LOOKBACK), journal.moment(before)
    return [
        seconds(at)
        for framework in look.frameworks.get(task, ())
        for (at,) in look.rows(_RETRIED_BEFORE, task, framework, first, last)
    ]
