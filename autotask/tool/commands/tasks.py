"""`autotask tasks`: one line for each task: runs, success rate, usual duration and its trend."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from autotask.tool import output, quantities
from autotask.tool.journal import filters, opening
from autotask.tool.journal.index import Index
from autotask.tool.table import Column, print_table

if TYPE_CHECKING:
    from rich.text import Text

DESCRIPTION = """\
List the tasks, one on each line: the number of runs, the share of finished runs that succeeded
(skipped runs and attempts that were retried do not count), the last status and the last success.
The usual duration is the median of the last 50 successes; the trend compares the last 5 with it. So
is the usual waiting, from enqueuing or due time to the start. A server, which runs until it is
stopped, has no usual duration. The last success, the usual duration and the trend also count runs
from before --since."""
USUAL = 50  # the last successes: their median is the usual duration
RECENT = 5  # the last successes that the trend compares with it
STEADY = 10.0  # percent: a smaller change is no trend
SERVER = "server"  # in the place of a server's usual duration
_COLUMNS = (
    Column("TASK", shrinks=True),
    Column("FRAMEWORK", goes=1),
    Column("RUNS", right=True, goes=4),
    Column("RETRIED", right=True, goes=6, if_any=True),
    Column("SUCCESS", right=True),
    Column("LAST"),
    Column("LAST SUCCESS", goes=5),
    Column("USUALLY", right=True, goes=3),
    Column("TREND", goes=2),
    Column("WAITS", right=True, goes=7, if_any=True),
)
_KINDS = ("NULL", "NOT NULL")  # of `bookkeeping`; few of the second have an index of their own
_GROUPS = """
SELECT task, framework, count(*), sum(status = 'success'), sum(status = 'failure'),
    sum(status = 'retried'),
    max(started_at), status, server  -- SQLite takes them from the row with the maximum
FROM run WHERE bookkeeping IS {} AND {} GROUP BY task, framework {}
"""
_SUCCESSES = """
SELECT duration, finished_at, waited FROM run
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
    last_status: str
    last_success: str | None
    usual_duration: float | None  # seconds
    trend: float | None  # percent by which the last successes took longer
    retried: int  # runs that failed, and were tried again
    usual_waiting: float | None  # seconds, from enqueuing or due time to the start
    server: bool  # it runs until it is stopped
    bookkeeping: bool  # a framework runs it for itself


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    filters.add_filters(parser)
    filters.add_format(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the tasks that ran."""
    tasks = opening.ask(lambda index: summaries(index, arguments) if index else None)
    if arguments.format in ("json", "jsonl"):
        output.print_json((summary._asdict() for summary in tasks or ()), arguments.format)
    elif arguments.format == "csv":
        output.print_csv(Summary._fields, (summary._asdict() for summary in tasks or ()))
    elif tasks:
        now = time.time()
        print_table(_COLUMNS, [_cells(summary, now) for summary in tasks])
    else:
        print(opening.NO_RUNS if tasks is None else "no runs match")


def summaries(index: Index, arguments: argparse.Namespace) -> list[Summary]:
    """Return a summary of every task with runs that match, by name.

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
    found = [
        _summary(index, kind, *row)
        for kind, statement, given in several
        for row in index.rows(statement, given)
    ]
    return sorted(found, key=lambda summary: summary[:2])


def _summary(index: Index, kind: str, *row: Any) -> Summary:
    task, framework, count, successes, failures, retried, _, last_status, server = row
    last = list(index.rows(_SUCCESSES.format(kind), (task, framework, USUAL)))
    durations = [duration for duration, *_ in last if duration is not None and not server]
    waited = [seconds for *_, seconds in last if seconds is not None]
    ended = successes + failures
    return Summary(
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
    )


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
        output.status(summary.last_status),
        output.styled(quantities.ago(summary.last_success, now)),
        output.styled(
            SERVER if summary.server else quantities.duration_text(summary.usual_duration),
            "dim" if summary.server else "",
        ),
        output.styled(*_trend_text(summary.trend)),
        output.styled(quantities.duration_text(summary.usual_waiting)),
    ]


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
