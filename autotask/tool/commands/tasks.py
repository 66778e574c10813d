"""`autotask tasks`: one line for each task: runs, success rate, usual duration and its trend."""

from __future__ import annotations

import argparse
import fnmatch
import math
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from autotask.tool import output, quantities, summaries
from autotask.tool.journal import filters, opening
from autotask.tool.journal.index import Index
from autotask.tool.schedule import due, machine
from autotask.tool.schedule.places import HERE, Places
from autotask.tool.summaries import Chosen, Summary
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
STEADY = 10.0  # percent: a smaller change is no trend
SERVER = "server"  # in the place of a server's usual duration
_DUE = Column("NEXT DUE", goes=8, if_any=True)
_COLUMNS = (
    Column("TASK", shrinks=True),
    Column("FRAMEWORK", goes=3),
    Column("RUNS", right=True, goes=6),
    Column("RETRIED", right=True, goes=2, if_any=True),
    Column("SUCCESS", right=True),
    Column("LAST"),
    Column("LAST RUN", goes=9),
    Column("LAST SUCCESS", goes=7),
    _DUE,
    Column("VERDICT", if_any=True),
    Column("USUALLY", right=True, goes=5),
    Column("TREND", goes=4),
    Column("WAITS", right=True, goes=1, if_any=True),
)
_STYLES = {due.LATE: "yellow", due.MISSED: "red", due.NEVER_SEEN: "yellow"}
# By what to sort; what is not known is last.
_SORTS: dict[str, Callable[[Summary], Any]] = {
    "task": lambda summary: (summary.task, summary.framework),
    "runs": lambda summary: -summary.runs,
    "success": lambda summary: 2 if summary.success_rate is None else summary.success_rate,
    "last-run": lambda summary: -(quantities.timestamp(summary.last_run) or 0),
    "duration": lambda summary: -(summary.usual_duration or 0),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    filters.add_filters(parser)
    text = f"only tasks whose last run has this status: {filters.STATUSES}"
    filters.add_filter(parser, "--status", "S", text, dest="last_status")
    parser.add_argument(
        "--sort",
        choices=_SORTS,
        default="task",
        help="by name, or first the most runs, the worst success rate, the newest or the longest "
        "runs (default: task)",
    )
    filters.add_format(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the tasks."""
    print_tasks(arguments, HERE)


def print_tasks(arguments: argparse.Namespace, places: Places) -> None:
    """Print the tasks that ran, and those of a machine's watched jobs."""
    now = time.time()
    jobs, _ = machine.jobs(places)  # `autotask cron list` tells the problems
    settings = summaries.configuration()
    chosen = _chosen(arguments)

    statuses = arguments.last_status

    def listed(index: Index | None) -> tuple[list[Summary], str]:
        every = summaries.of_tasks(index, jobs, settings, now, chosen)
        tasks = [task for task in every if not statuses or task.last_status in statuses]
        tasks.sort(key=_SORTS[arguments.sort])
        if index and not tasks and arguments.format != "table":
            filters.tell_unknown_status(index, statuses)
        return tasks, filters.none_match(index, statuses) if index else opening.no_runs()

    tasks, if_empty = opening.ask(listed)
    if arguments.format in ("json", "jsonl"):
        output.print_json((summary._asdict() for summary in tasks), arguments.format)
    elif arguments.format == "csv":
        output.print_csv(Summary._fields, (summary._asdict() for summary in tasks))
    elif tasks:
        zone = quantities.shared_zone(summary.next_due for summary in tasks)
        columns = [column.in_zone(zone) if column == _DUE else column for column in _COLUMNS]
        print_table(columns, [_cells(summary, zone, now) for summary in tasks])
    else:
        print(if_empty)


def _chosen(arguments: argparse.Namespace) -> Chosen:
    where, values = filters.matching(arguments)
    of_interest, names = filters.of_interest(arguments)
    return Chosen(where, values, of_interest, names, partial(_is_asked_for, arguments))


def _is_asked_for(arguments: argparse.Namespace, name: str) -> bool:
    """Tell whether the filters leave a task that never ran."""
    if filters.are_about_runs(arguments) or "process" not in (arguments.framework or ["process"]):
        return False
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in arguments.task or "*")


def _cells(summary: Summary, zone: str | None, now: float) -> list[Text]:
    rate = summary.success_rate
    # What no longer runs must not look healthy, however well it went.
    is_missed = summary.verdict == due.MISSED
    next_due = quantities.timestamp(summary.next_due)
    is_healthy = not is_missed and (next_due is None or next_due > now)
    healthy = "green" if is_healthy else ""
    style = "" if rate is None else healthy if rate == 1 else "yellow" if rate >= 0.9 else "red"
    last = summary.last_status or "-"
    return [
        output.styled(summary.task),
        output.styled(summary.framework + " (bookkeeping)" * summary.bookkeeping),
        output.styled(summary.runs),
        output.styled(summary.retried),
        output.styled(_rate_text(rate), style),
        output.styled(last, healthy if last == "success" else output.STATUS_STYLES.get(last, "")),
        output.styled(quantities.ago(summary.last_run, now), "red" if is_missed else ""),
        output.styled(quantities.ago(summary.last_success, now)),
        output.styled(quantities.next_due_text(summary.next_due, zone, now)),
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
    up, down, same = "↑↓→" if output.has_unicode() else "+-="
    if abs(percent) < STEADY:
        return same, "dim"
    return (f"{up} {percent:.0f}%", "yellow") if percent > 0 else (f"{down} {-percent:.0f}%", "")
