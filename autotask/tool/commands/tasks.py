"""`autotask tasks`: one line for each task: runs, success rate, usual duration and its trend."""

from __future__ import annotations

import argparse
import fnmatch
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from autotask import journal
from autotask.tool import expected, output, quantities
from autotask.tool.datadog import config
from autotask.tool.datadog.config import Config
from autotask.tool.errors import ToolError
from autotask.tool.expected import Past
from autotask.tool.journal import filters, opening
from autotask.tool.journal.index import Index
from autotask.tool.schedule import due, machine, standing
from autotask.tool.schedule.due import Verdict
from autotask.tool.schedule.machine import Job
from autotask.tool.schedule.places import HERE, Places
from autotask.tool.table import Column, print_table

if TYPE_CHECKING:
    from rich.text import Text

DESCRIPTION = """\
List the tasks, one on each line: the number of runs, the share of finished runs that succeeded
(skipped runs and attempts that were retried do not count), the last status and the last success.
The usual duration is the median of the last 50 successes; the trend compares the last 5 with it. So
is the usual waiting, from enqueuing or due time to the start. A server, which runs until it is
stopped, has no usual duration. The last success, the usual duration and the trend also count runs
from before --since. When a task is due next, whether it is late and what it has missed is known
from this machine's crontabs and timers, from autotask.toml, or from how often it usually runs;
tasks of a watched crontab that never ran are listed, too."""
USUAL = 50  # the last successes: their median is the usual duration
RECENT = 5  # the last successes that the trend compares with it
STEADY = 10.0  # percent: a smaller change is no trend
SERVER = "server"  # in the place of a server's usual duration
_COLUMNS = (
    Column("TASK", shrinks=True),
    Column("FRAMEWORK", goes=1),
    Column("RUNS", right=True, goes=5),
    Column("RETRIED", right=True, goes=7, if_any=True),
    Column("SUCCESS", right=True),
    Column("LAST"),
    Column("LAST RUN", goes=2),
    Column("LAST SUCCESS", goes=6),
    Column("NEXT DUE", goes=9, if_any=True),
    Column("VERDICT", if_any=True),
    Column("USUALLY", right=True, goes=4),
    Column("TREND", goes=3),
    Column("WAITS", right=True, goes=8, if_any=True),
)
_STYLES = {due.LATE: "yellow", due.MISSED: "red", due.NEVER_SEEN: "yellow"}
_KINDS = ("NULL", "NOT NULL")  # of `bookkeeping`; few of the second have an index of their own
_GROUPS = """
SELECT task, framework, count(*), sum(status = 'success'), sum(status = 'failure'),
    sum(status = 'retried'),
    max(started_at), status, server  -- SQLite takes them from the row with the maximum
FROM run WHERE bookkeeping IS {} AND {} GROUP BY task, framework {}
"""
_SUCCESSES = """
SELECT duration, finished_at, waited, started_at, parent IS NULL AND "trigger" IS NOT 'terminal'
FROM run
WHERE task = ? AND framework = ? AND status = 'success' AND started_at IS NOT NULL
AND bookkeeping IS {}
ORDER BY started_at DESC LIMIT ?
"""


class Summary(NamedTuple):
    """One task, summed up over its runs."""

    task: str
    framework: str
    runs: int
    success_rate: float | None  # of the runs that ended and were neither skipped nor retried
    last_status: str | None  # None: it never ran
    last_success: str | None
    usual_duration: float | None  # seconds
    trend: float | None  # percent by which the last successes took longer
    retried: int  # runs that failed, and were tried again
    usual_waiting: float | None  # seconds, from enqueuing or due time to the start
    server: bool  # it runs until it is stopped
    bookkeeping: bool  # a framework runs it for itself
    last_run: str | None = None  # when it started
    next_due: str | None = None
    verdict: str | None = None  # ran, late, missed, never seen or not watched, if that is known
    missed: int = 0  # times in the last day, or the last time, that it was due and has not run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    filters.add_filters(parser)
    filters.add_format(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the tasks."""
    print_tasks(arguments, HERE)


def print_tasks(arguments: argparse.Namespace, places: Places) -> None:
    """Print the tasks that ran, and those of a machine's watched jobs."""
    now = time.time()
    jobs, _ = machine.jobs(places)  # `autotask cron list` tells the problems
    configuration = _config()
    tasks = opening.ask(lambda index: _listed(index, arguments, jobs, configuration, now))
    if arguments.format in ("json", "jsonl"):
        output.print_json((summary._asdict() for summary in tasks or ()), arguments.format)
    elif arguments.format == "csv":
        output.print_csv(Summary._fields, (summary._asdict() for summary in tasks or ()))
    elif tasks:
        print_table(_COLUMNS, [_cells(summary, now) for summary in tasks])
    else:
        print(opening.NO_RUNS if tasks is None else "no runs match")


def _config() -> Config:
    """Read autotask.toml; a mistake in it concerns other commands."""
    try:
        return config.load(None)
    except ToolError as problem:
        output.notice(str(problem))
        return Config()


def _listed(
    index: Index | None,
    arguments: argparse.Namespace,
    jobs: Sequence[Job],
    configuration: Config,
    now: float,
) -> list[Summary] | None:
    """Return what to list; None before the first run."""
    found = list(_summaries(index, arguments)) if index else []
    names = dict.fromkeys(past.task for _, past in found if not past.server)
    verdicts = expected.of_jobs(jobs, names, index, configuration, now)
    settled = standing.settled()
    tasks = [
        _with_verdict(
            summary,
            verdicts.get(past.task) or expected.of_habit(past, configuration, settled, now),
        )
        for summary, past in found
    ]
    tasks += [
        _with_verdict(_never_ran(name), verdicts[name])
        for name in expected.never_ran(jobs, verdicts)
        if _is_asked_for(name, arguments) and not _has_run(name, index)
    ]
    return None if index is None and not tasks else sorted(tasks, key=lambda task: task[:2])


def _with_verdict(summary: Summary, verdict: Verdict | None) -> Summary:
    if verdict is None or summary.bookkeeping:
        return summary
    return summary._replace(
        next_due=None if verdict.next_due is None else journal.moment(verdict.next_due),
        verdict=None if verdict.state == due.UNKNOWN else verdict.state,
        missed=len(verdict.missed),
    )


def _never_ran(name: str) -> Summary:
    valid = os.fsencode(name).decode("utf-8", "backslashreplace")
    return Summary(valid, "process", 0, None, None, None, None, None, 0, None, False, False)


def _is_asked_for(name: str, arguments: argparse.Namespace) -> bool:
    """Tell whether the filters leave a task that never ran."""
    if arguments.since is not None or "process" not in (arguments.framework or ["process"]):
        return False
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in arguments.task or "*")


def _has_run(name: str, index: Index | None) -> bool:
    statement = "SELECT 1 FROM run WHERE task = ? LIMIT 1"
    return index is not None and any(index.rows(statement, (name,)))


def _summaries(index: Index, arguments: argparse.Namespace) -> Iterator[tuple[Summary, Past]]:
    """Yield a summary of every task with runs that match, and what tells when it is due.

    The runs of a task that are a framework's bookkeeping are a task of their own. If one of them
    failed, the others count, too: else its success rate would be wrong.
    """
    where, values = filters.matching(arguments)
    of_interest, names = filters.of_interest(arguments)
    others, bookkeeping = _KINDS
    having = f"HAVING sum({of_interest})"  # of the others, perhaps a million, all are
    several = (
        (others, _GROUPS.format(others, where, ""), values),
        (bookkeeping, _GROUPS.format(bookkeeping, where, having), values + names),
    )
    for kind, statement, given in several:
        for row in index.rows(statement, given):
            yield _summary(index, kind, *row)


def _summary(index: Index, kind: str, *row: Any) -> tuple[Summary, Past]:
    task, framework, count, successes, failures, retried, last_run, last_status, server = row
    last = list(index.rows(_SUCCESSES.format(kind), (task, framework, USUAL)))
    durations = [success[0] for success in last if success[0] is not None and not server]
    waited = [success[2] for success in last if success[2] is not None]
    ended = successes + failures
    summary = Summary(
        task=task,
        framework=framework,
        runs=count,
        success_rate=successes / ended if ended else None,
        last_status=last_status,
        last_success=last[0][1] if last else None,
        usual_duration=quantities.median(durations) if durations else None,
        trend=_trend(durations),
        retried=retried,
        usual_waiting=quantities.median(waited) if waited else None,
        server=bool(server),
        bookkeeping=kind != _KINDS[0],
        last_run=last_run,
    )
    starts = [started for *_, started, by_itself in last if by_itself]
    return summary, Past(task, count, quantities.timestamp(last_run), starts[::-1], bool(server))


def _trend(durations: Sequence[float]) -> float | None:
    """Return by how many percent the newest successes took longer; None if there are too few."""
    usual = quantities.median(durations) if len(durations) > RECENT else 0
    return (quantities.median(durations[:RECENT]) / usual - 1) * 100 if usual > 0 else None


def _cells(summary: Summary, now: float) -> list[Text]:
    rate = summary.success_rate
    style = "" if rate is None else "green" if rate == 1 else "yellow" if rate >= 0.9 else "red"
    return [
        output.styled(summary.task),
        output.styled(summary.framework + " (bookkeeping)" * summary.bookkeeping),
        output.styled(summary.runs),
        output.styled(summary.retried),
        output.styled(_rate_text(rate), style),
        output.status(summary.last_status or "-"),
        output.styled(quantities.ago(summary.last_run, now)),
        output.styled(quantities.ago(summary.last_success, now)),
        output.styled(quantities.due_text(quantities.timestamp(summary.next_due), now)),
        _verdict_text(summary),
        output.styled(
            SERVER if summary.server else quantities.duration_text(summary.usual_duration),
            "dim" if summary.server else "",
        ),
        output.styled(*_trend_text(summary.trend)),
        output.styled(quantities.duration_text(summary.usual_waiting)),
    ]


def _verdict_text(summary: Summary) -> Text:
    style = _STYLES.get(summary.verdict or "", "dim")
    return output.styled(summary.verdict or "-", style)


def _rate_text(rate: float | None) -> str:
    """Write a rate in percent, rounded down, so that 100% means that all succeeded."""
    if rate is None:
        return "-"
    tenths = math.floor(rate * 1000 + 1e-6)
    return f"{tenths // 10}%" if tenths % 10 == 0 else f"{tenths / 10:.1f}%"


def _trend_text(percent: float | None) -> tuple[str, str]:
    """Return a trend as text, and its style."""
    if percent is None:
        return "-", ""
    unicode = sys.stdout.encoding.lower().startswith("utf")
    up, down, same = "↑↓→" if unicode else "+-="
    if abs(percent) < STEADY:
        return same, "dim"
    return (f"{up} {percent:.0f}%", "yellow") if percent > 0 else (f"{down} {-percent:.0f}%", "")
