"""Bare `autotask`: the last 24 hours in a few lines."""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from autotask import journal
from autotask.settings import Settings
from autotask.tool import limits, output, summaries
from autotask.tool.journal import opening, ownership
from autotask.tool.journal.index import Index
from autotask.tool.quantities import duration_text, median, runs_text
from autotask.tool.schedule import machine
from autotask.tool.schedule.machine import Job
from autotask.tool.schedule.places import HERE, Places
from autotask.tool.troubles import failures, find, nagios, overview
from autotask.tool.troubles.looking import Look
from autotask.tool.troubles.overview import Running
from autotask.tool.troubles.trouble import CRITICAL, Told, Trouble, summed_up

_DAY = 86400.0
# A failure that is passed on is counted where it happened, and a program that succeeded or runs
# with the one task in it is not counted beside that.
_COUNTS = """
SELECT task, status, count(*) FROM run
WHERE started_at >= ? AND started_at <= ? AND bookkeeping IS NULL AND reason IS NOT 'nested'
AND NOT (framework = 'process' AND server IS NULL AND status IN ('success', 'running') AND 1 = (
    SELECT count(*) FROM (
        SELECT 1 FROM run AS inside WHERE inside.parent = run.run AND inside.owner = run.owner
        AND inside.bookkeeping IS NULL AND inside.framework <> 'process'
        AND inside.status = run.status LIMIT 2
    )
))
GROUP BY task, status
"""
_WORDS = {"success": "succeeded", "failure": "failed"}  # other statuses are words of their own
_ORDER = ("success", "failure", "retried", "skipped", "running")
_SHOWN = 20  # lines about troubles, and about what runs now
_Line = tuple[str, str]  # a text and its style


def run(arguments: argparse.Namespace) -> None:
    """Print the summary."""
    del arguments
    print_day(HERE, time.time())


def print_day(places: Places, now: float) -> None:
    """Print the summary of the day until a POSIX time."""
    jobs, _ = machine.jobs(places)  # `autotask cron list` tells the problems
    lines = opening.ask(lambda index: list(_lines(index, jobs, now)))
    output.print_lines(lines)


def _lines(index: Index | None, jobs: Sequence[Job], now: float) -> Iterator[_Line]:
    if index is None and not any(job.watched for job in jobs):
        yield opening.no_runs(), ""
        return
    look = Look(index, jobs, summaries.configuration(), Told(now - _DAY), now)
    yield _counted(look), "bold"
    told = [_line(trouble) for trouble in summed_up(find.events(look))]
    told += [(nagios.in_line(one), "yellow") for one in summed_up(failures.by_hand(look))]
    yield from told[:_SHOWN] or [("nothing failed, nothing is late", "green")]
    if len(told) > _SHOWN:
        yield f"{len(told) - _SHOWN} more: see `autotask check --since 24h`", "red"
    running = overview.running(index, {}) if index else []
    yield from ((_running(look, one), "cyan") for one in running[:_SHOWN])
    if len(running) > _SHOWN:
        yield f"{len(running) - _SHOWN} more are running", "cyan"
    yield f"the journal is in {ownership.find(Settings(os.environ)).path}", "dim"


def _counted(look: Look) -> str:
    """Write how many runs there were, and how they ended."""
    counts: Counter[str] = Counter()
    tasks = set()
    for task, status, count in look.rows(_COUNTS, *map(journal.moment, (look.since, look.now))):
        counts[status] += count
        tasks.add(task)
    ordered = sorted(counts, key=lambda status: [*_ORDER, status].index(status))
    how = ", ".join(f"{counts[status]} {_WORDS.get(status, status)}" for status in ordered)
    of_tasks = f"{len(tasks)} task{'s' * (len(tasks) != 1)}"
    runs = runs_text(sum(counts.values()))
    return f"{runs} of {of_tasks} in the last 24 hours" + (f": {how}" if how else "")


def _running(look: Look, run: Running) -> str:
    """Write what runs, since when, and how long it usually does."""
    user = f"{run.user}: " if run.user else ""
    if run.server:
        usually = ""
    else:
        durations = look.durations(run.task, look.now, limits.LAST_SUCCESSES)
        usually = f" (usually {duration_text(median(durations))})" if durations else ""
    pid = f", pid {run.pid}" if run.pid else ""
    return f"{user}{run.task} runs for {duration_text(look.now - run.since)}{usually}{pid}"


def _line(trouble: Trouble) -> _Line:
    return nagios.in_line(trouble), "red" if trouble.kind in CRITICAL else "yellow"
