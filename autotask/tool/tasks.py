"""`autotask tasks`: a line a task: how often, how reliably, how long, and where that is going."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from autotask.tool import history, output, quantities
from autotask.tool.index import Index

if TYPE_CHECKING:
    from rich.text import Text

USUAL = 50  # the last successes that say what is usual
RECENT = 5  # and those that say where it is going
STEADY = 10.0  # percent of change that is no news
FIELDS = (
    "task",
    "framework",
    "runs",
    "success_rate",
    "last_status",
    "last_run",
    "last_success",
    "usual_duration",
    "trend",
    "trend_percent",
)
_HEADS = (
    "TASK", "FRAMEWORK", ">RUNS", ">SUCCESS", "LAST", "LAST SUCCESS", ">USUALLY", "TREND",
)  # fmt: skip
_GROUPS = """
SELECT task, framework, count(*), sum(status = 'success'), sum(status = 'failure'),
    max(started_at), status  -- of the row that has the maximum: SQLite promises that
FROM run WHERE started_at IS NOT NULL AND started_at >= ? GROUP BY task, framework
"""
_SUCCESSES = """
SELECT duration, finished_at FROM run
WHERE task = ? AND framework = ? AND status = 'success' AND started_at IS NOT NULL
ORDER BY started_at DESC LIMIT ?
"""


class Summary(NamedTuple):
    """What the last weeks say about one task."""

    task: str
    framework: str
    runs: int
    success_rate: float | None  # of the runs that ended and were not skipped
    last_status: str
    last_run: str
    last_success: str | None
    usual_duration: float | None  # seconds
    trend: str | None  # up, down, same
    trend_percent: float | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--since",
        metavar="DURATION",
        type=quantities.parse_duration,
        default=quantities.parse_duration("30d"),
        help="count the runs of the last 24h, 2w, ... (default: 30d)",
    )
    parser.add_argument("--format", choices=("table", "jsonl", "csv"), default="table")


def run(arguments: argparse.Namespace) -> int:
    """Print the tasks that ran."""
    with history.opened() as index:
        found = summaries(index, time.time() - arguments.since) if index else []
        if arguments.format == "jsonl":
            output.print_json_lines(summary._asdict() for summary in found)
        elif arguments.format == "csv":
            output.print_csv(FIELDS, found)
        elif found:
            _print_table(found)
        elif index is not None:
            print("no runs in that time")
        if index is None:
            print(history.NO_RUNS, file=sys.stdout if arguments.format == "table" else sys.stderr)
    return 0


def summaries(index: Index, since: float) -> list[Summary]:
    """Return a summary of every task that started a run since a POSIX time, by name."""
    return [_summary(index, row) for row in index.rows(_GROUPS, (quantities.moment(since),))]


def _summary(index: Index, row: tuple[Any, ...]) -> Summary:
    task, framework, count, successes, failures, last_run, last_status = row
    last = list(index.rows(_SUCCESSES, (task, framework, USUAL)))
    durations = [duration for duration, _ in last if duration is not None]
    ended = successes + failures
    trend, percent = _trend(durations)
    return Summary(
        task=task,
        framework=framework,
        runs=count,
        success_rate=round(successes / ended, 6) if ended else None,
        last_status=last_status,
        last_run=last_run,
        last_success=last[0][1] if last else None,
        usual_duration=_median(durations) if durations else None,
        trend=trend,
        trend_percent=percent,
    )


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def _trend(durations: Sequence[float]) -> tuple[str | None, float | None]:
    """Compare the newest successes with the usual ones; nothing to say where they are the same."""
    if len(durations) <= RECENT:
        return None, None
    usual = _median(durations)
    if usual <= 0:
        return None, None
    percent = round((_median(durations[:RECENT]) / usual - 1) * 100, 1)
    if abs(percent) < STEADY:
        return "same", percent
    return ("up" if percent > 0 else "down"), percent


def _print_table(found: Sequence[Summary]) -> None:
    now = time.time()
    output.print_table(_HEADS, (_cells(summary, now) for summary in found))


def _cells(summary: Summary, now: float) -> list[Text]:
    rate = summary.success_rate
    style = "" if rate is None else "green" if rate == 1 else "yellow" if rate >= 0.9 else "red"
    return [
        output.styled(summary.task),
        output.styled(summary.framework),
        output.styled(str(summary.runs)),
        output.styled(_rate_text(rate), style),
        output.styled(summary.last_status, output.STATUS_STYLES.get(summary.last_status, "")),
        output.styled(quantities.ago(summary.last_success, now)),
        output.styled(quantities.duration_text(summary.usual_duration)),
        output.styled(_trend_text(summary), "yellow" if summary.trend == "up" else ""),
    ]


def _rate_text(rate: float | None) -> str:
    """Write a rate in percent, rounded down: 100% means that all succeeded."""
    if rate is None:
        return "-"
    tenths = math.floor(rate * 1000 + 1e-6)
    return f"{tenths // 10}%" if tenths % 10 == 0 else f"{tenths / 10:.1f}%"


def _trend_text(summary: Summary) -> str:
    if summary.trend is None or summary.trend_percent is None:
        return "-"
    unicode = (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")
    arrows = {"up": "↑", "down": "↓", "same": "→"} if unicode else {"same": "="}
    return f"{arrows.get(summary.trend, summary.trend)} {summary.trend_percent:+.0f}%"
