"""The report as plain text of 80 columns, for cron's mail."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from rich.cells import chop_cells, set_cell_size

from autotask.tool import output, quantities
from autotask.tool.report import plots, words
from autotask.tool.report.contents import (
    FAILED,
    INSIDE,
    MISSED,
    NONE,
    OK,
    OTHER,
    RUNNING,
    Lane,
    Report,
    Task,
)
from autotask.tool.troubles.trouble import Trouble

WIDTH = 80
_NAME = 30  # columns of a name in a table
_LISTED = 50  # troubles of a group
_LANES = 20
_NIGHTS = 40  # tasks
_DAYS = 8  # columns of the calendar: the last ones
_HALF_HOURS = 48
_OUTPUT = 10  # lines
_LETTERS = {FAILED: "F", MISSED: "M", INSIDE: "I", RUNNING: "R", OTHER: "S", OK: ".", NONE: " "}
_BARS = {**_LETTERS, OK: "=", RUNNING: ">"}
_WORST = (FAILED, MISSED, INSIDE, RUNNING, OTHER, OK)


def text(report: Report) -> str:
    """Lay out the report."""
    lines = [*_head(report), *_troubles(report), *_night(report), *_nights(report)]
    return "".join(line.rstrip() + "\n" for line in lines)


def _head(report: Report) -> Iterator[str]:
    yield from textwrap.wrap(f"{report.host}: {words.headline(report)}", WIDTH)
    runs, tasks = words.counted(report.runs, "run"), words.counted(report.ran, "task")
    until = words.named_moment(report.now)
    line = f"The 24 hours until {until}: {runs} of {tasks}. {words.also(report)}"
    yield from textwrap.wrap(line, WIDTH)


def _troubles(report: Report) -> Iterator[str]:
    notes = words.notes(report)
    for group, members in words.groups(report):
        yield from ("", group.name.upper())
        for trouble in members[:_LISTED]:
            yield from _trouble(report, trouble, notes.get(trouble))
        if len(members) > _LISTED:
            yield f"  and {words.counted(len(members) - _LISTED, 'more task')}"


def _trouble(report: Report, trouble: Trouble, note: str | None) -> Iterator[str]:
    user = f" ({trouble.user})" if trouble.user else ""
    yield from _wrapped(f"{trouble.task}{user}", "  ")
    yield from _wrapped(trouble.text, "      ")
    if note:
        yield from _wrapped(note, "      ")
    record = report.records.get(trouble.run or "")
    kept = record["output"] if record else None
    for line in words.last_lines(kept or "", _OUTPUT):
        yield from _wrapped(line, "      | ")


def _wrapped(line: str, indent: str) -> list[str]:
    room = WIDTH - len(indent)
    lines = textwrap.wrap(output.clean(line), room) or [""]
    # Some letters take two columns.
    return [indent + part for whole in lines for part in chop_cells(whole, room)]


def _night(report: Report) -> Iterator[str]:
    if not report.lanes:
        return
    span = plots.Span(report.night, report.now)
    lanes = _chosen(report.lanes)
    yield from ("", "LAST NIGHT    = ran  F failed  I inside  M missed  > still running  S skipped")
    hours = [" "] * _HALF_HOURS
    for mark in span.hours():
        column = _column(mark.at)
        if column + len(mark.text) <= _HALF_HOURS:
            hours[column : column + len(mark.text)] = mark.text
    yield _row("", "".join(hours))
    for lane in lanes:
        yield _row(lane.task.key.task, _line(lane, span))
    left = report.unshown + len(report.lanes) - len(lanes)
    if left:
        yield f"and {words.counted(left, 'more task')}"


def _chosen(lanes: Iterable[Lane]) -> list[Lane]:
    """Return those that matter most, in the order of their starts."""
    return [lane for lane in lanes if lane.rank < _LANES]


def _column(percent: float) -> int:
    return min(int(percent / 100 * _HALF_HOURS), _HALF_HOURS - 1)


def _line(lane: Lane, span: plots.Span) -> str:
    kinds: list[str | None] = [None] * _HALF_HOURS
    for bar in lane.bars:
        for column in range(_column(span.percent(bar.begin)), _column(span.percent(bar.end)) + 1):
            kinds[column] = min(kinds[column] or OK, bar.kind, key=_WORST.index)
    for at in lane.missed:
        kinds[_column(span.percent(at))] = MISSED
    return "".join(_BARS[kind] if kind else "." for kind in kinds)


def _nights(report: Report) -> Iterator[str]:
    if not report.tasks:
        return
    dates = report.dates[-_DAYS:]
    shown = [task for task in report.tasks if task.matters][:_NIGHTS]
    shown = shown or list(report.tasks[:_NIGHTS])
    yield from ("", "NIGHTS        . ok  F failed  I inside  M missed  R still running  S skipped")
    heads = f"{'SUCCESS':>10}{'USUALLY':>10}"
    yield _row("", "".join(f"{date:%a}"[:2].rjust(3) for date in dates) + heads)
    yield _row("", "".join(f"{date.day:3}" for date in dates))
    for task in shown:
        yield _row(task.key.task, _days(task))
    left = len(report.tasks) - len(shown)
    if left:
        yield f"and {words.counted(left, 'more task')}"


def _days(task: Task) -> str:
    days = "".join(_LETTERS[cell.kind].rjust(3) for cell in task.days[-_DAYS:])
    usually = quantities.duration_text(task.usual)
    return f"{days}{words.rate(task.rate):>10}{usually:>10}"


def _row(name: str, rest: str) -> str:
    return f"{set_cell_size(output.clean(name), _NAME)} {rest}"
