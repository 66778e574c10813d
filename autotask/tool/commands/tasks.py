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
(skipped runs do not count), the last status and the last success. The usual duration is the median
of the last 50 successes; the trend compares the last 5 with it. The last success, the usual
duration and the trend also count runs from before --since."""
USUAL = 50  # the last successes: their median is the usual duration
RECENT = 5  # the last successes that the trend compares with it
STEADY = 10.0  # percent: a smaller change is no trend
_COLUMNS = (
    Column("TASK", shrinks=True),
    Column("FRAMEWORK", goes=1),
    Column("RUNS", right=True, goes=4),
    Column("SUCCESS", right=True),
    Column("LAST"),
    Column("LAST SUCCESS", goes=5),
    Column("USUALLY", right=True, goes=3),
    Column("TREND", goes=2),
)
_GROUPS = """
SELECT task, framework, count(*), sum(status = 'success'), sum(status = 'failure'),
    max(started_at), status  -- SQLite takes status from the row with the maximum
FROM run WHERE {} GROUP BY task, framework
"""
_SUCCESSES = """
SELECT duration, finished_at FROM run
WHERE task = ? AND framework = ? AND status = 'success' AND started_at IS NOT NULL
ORDER BY started_at DESC LIMIT ?
"""


class Summary(NamedTuple):
    """One task, summed up over its runs."""

    task: str
    framework: str
    runs: int
    success_rate: float | None  # of the runs that ended and were not skipped
    last_status: str
    last_success: str | None
    usual_duration: float | None  # seconds
    trend: float | None  # percent by which the last successes took longer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    filters.add_filters(parser)
    filters.add_format(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the tasks that ran."""
    where, values = filters.conditions(arguments)
    tasks = opening.ask(lambda index: summaries(index, where, values) if index else None)
    if arguments.format in ("json", "jsonl"):
        output.print_json((summary._asdict() for summary in tasks or ()), arguments.format)
    elif arguments.format == "csv":
        output.print_csv(Summary._fields, (summary._asdict() for summary in tasks or ()))
    elif tasks:
        now = time.time()
        print_table(_COLUMNS, [_cells(summary, now) for summary in tasks])
    else:
        print(opening.NO_RUNS if tasks is None else "no runs match")


def summaries(index: Index, where: str, values: Sequence[Any]) -> list[Summary]:
    """Return a summary of every task with runs that match, by name."""
    return [_summary(index, *row) for row in index.rows(_GROUPS.format(where), values)]


def _summary(index: Index, *row: Any) -> Summary:
    task, framework, count, successes, failures, _, last_status = row
    last = list(index.rows(_SUCCESSES, (task, framework, USUAL)))
    durations = [duration for duration, _ in last if duration is not None]
    ended = successes + failures
    return Summary(
        task=task,
        framework=framework,
        runs=count,
        success_rate=successes / ended if ended else None,
        last_status=last_status,
        last_success=last[0][1] if last else None,
        usual_duration=_median(durations) if durations else None,
        trend=_trend(durations),
    )


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def _trend(durations: Sequence[float]) -> float | None:
    """Return by how many percent the newest successes took longer; None if there are too few."""
    usual = _median(durations) if len(durations) > RECENT else 0
    return (_median(durations[:RECENT]) / usual - 1) * 100 if usual > 0 else None


def _cells(summary: Summary, now: float) -> list[Text]:
    rate = summary.success_rate
    style = "" if rate is None else "green" if rate == 1 else "yellow" if rate >= 0.9 else "red"
    return [
        output.styled(summary.task),
        output.styled(summary.framework),
        output.styled(summary.runs),
        output.styled(_rate_text(rate), style),
        output.status(summary.last_status),
        output.styled(quantities.ago(summary.last_success, now)),
        output.styled(quantities.duration_text(summary.usual_duration)),
        output.styled(*_trend_text(summary.trend)),
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
