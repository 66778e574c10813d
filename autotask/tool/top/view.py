"""What `autotask top` knows, drawn as lines: a head, what runs, what is due, what failed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from autotask import journal
from autotask.tool import output, quantities
from autotask.tool.journal.record import USER, reason_text
from autotask.tool.quantities import duration_text, timestamp
from autotask.tool.summaries import Summary
from autotask.tool.table import Column, in_lines
from autotask.tool.top.known import MOST, Known
from autotask.tool.troubles.trouble import HANGING, LATE, MISSED, Trouble

if TYPE_CHECKING:
    from rich.text import Text

# In columns of the screen.
_BAR = 20
_LONGEST_BAR = _BAR + 6  # with the share behind it
_LEGIBLE = 8  # that a reason needs at least
_GAP = "  "
_TIMES = 10  # times as long as usual: from here on it is not written in percent
_SMALLEST = 3  # lines of a section: a blank one, its heads, a row
_STYLES = {LATE: "yellow", MISSED: "red", "": ""}
_USER = Column("USER", if_any=True)  # in a home that several users share


class _Section(NamedTuple):
    """A table, of which no more rows are made than a window can show."""

    lines: list[Text]  # the heads, then the rows
    rows: int  # that there are


def lines(known: Known, now: float, height: int) -> list[Text]:
    """Return at most so many lines, fitted to the width of the window.

    Args:
        known: What is shown.
        now: POSIX seconds.
        height: Lines.
    """
    sections = [draw(known, now, height) for draw in (_running, _due, _failed)]
    shown = [_head(known, now)]
    for section in _fitted([section for section in sections if section.rows], height - 1):
        shown += [output.styled(""), *section]
    return shown


def _head(known: Known, now: float) -> Text:
    failed = f"{len(known.failed)}{'+' * (len(known.failed) == MOST)} failed in 24 h"
    overdue = [state for _, _, state in _overdue(known)]
    parts = [
        (f"{quantities.local(now):%H:%M:%S} {_zone(now)}", "bold"),
        (f"{len(known.running)} running", ""),
        *((f"{overdue.count(state)} {state}", _STYLES[state]) for state in dict.fromkeys(overdue)),
        (failed, "red" if known.failed else ""),
    ]
    return output.styled(_GAP).join([output.styled(*part) for part in parts])


def _fitted(sections: Sequence[_Section], height: int) -> list[list[Text]]:
    """Cut sections, so that they fit so many lines with a blank one before each.

    Each gets the same room, and leaves what it does not need to the others. In a small window the
    last ones are left out.
    """
    sections = sections[: max(height, 0) // _SMALLEST]
    room = [0] * len(sections)
    left = height - len(sections)
    while left > 0 and any(given < len(section.lines) for given, section in zip(room, sections)):
        for number, section in enumerate(sections):
            if left > 0 and room[number] < len(section.lines):
                room[number] += 1
                left -= 1
    return [_cut(section, given) for section, given in zip(sections, room)]


def _cut(section: _Section, height: int) -> list[Text]:
    shown, rows = section
    if rows < height or height < _SMALLEST:
        return shown[:height]
    return [*shown[: height - 1], output.styled(f"... {rows - height + 2} more", "dim")]


def _running(known: Known, now: float, most: int) -> _Section:
    """Draw what runs: servers last, as they run for months."""
    hanging = {trouble.run for trouble in _troubles(known, HANGING)}
    columns = (
        Column("RUNNING", shrinks=True),
        _USER,
        Column(f"SINCE {_zone(now)}", goes=2),
        Column("FOR", right=True),
        Column("USUALLY", right=True, goes=3),
        Column("", goes=1, most=_LONGEST_BAR),
    )
    rows = []
    for run in sorted(known.running, key=lambda run: (run.server, run.since))[:most]:
        style = "red" if run.run in hanging else "dim" if run.server else ""
        seconds = now - run.since
        row = [
            output.styled(run.task, style),
            output.styled(run.user or "-"),
            output.styled(_clock(run.since, now)),
            output.styled(duration_text(max(seconds, 0)), style),
            output.styled("server" if run.server else duration_text(run.usual)),
            output.styled("") if run.server or not run.usual else _bar(seconds / run.usual, style),
        ]
        rows.append(row)
    return _section(columns, rows, len(known.running))


def _bar(share: float, style: str) -> Text:
    """Draw which share of its usual duration a run has taken."""
    full, rest = ("█", "░") if output.has_unicode() else ("#", ".")
    done = min(max(int(share * _BAR), 0), _BAR)
    text = f"{share * 100:.0f}%" if share < _TIMES else f"{share:.0f}x"
    style = style or ("yellow" if share > 1 else "green")
    return output.styled(f"{full * done}{rest * (_BAR - done)} {text}", style)


def _due(known: Known, now: float, most: int) -> _Section:
    """Draw what has not run though it was due, and what is due next."""
    tasks = {summary.task: summary for summary in _summaries(known)}
    due_at = _overdue(known) + sorted(
        (at, task, "")
        for task, summary in tasks.items()
        if (at := timestamp(summary.next_due) or 0) > now
    )
    columns = (
        Column("DUE NEXT", shrinks=True),
        Column(f"AT {_zone(now)}"),
        Column("", right=True, goes=1),
        Column("USUALLY", right=True, goes=2),
    )
    rows = [
        [
            output.styled(task, _STYLES[state]),
            output.styled(quantities.due_text(at, now)),
            output.styled(state or f"in {_minutes(at - now)}", _STYLES[state]),
            output.styled(duration_text(tasks[task].usual_duration)),
        ]
        for at, task, state in due_at[:most]
    ]
    return _section(columns, rows, len(due_at))


def _overdue(known: Known) -> list[tuple[float, str, str]]:
    """Return the tasks that are late or missed: since when (POSIX seconds), the task, which."""
    states = {summary.task: summary.verdict for summary in _summaries(known)}
    return [
        (trouble.at, trouble.task, kind)
        for kind in (LATE, MISSED)
        for trouble in _troubles(known, kind)
        if states.get(trouble.task) == kind  # it has not run since
    ]


def _summaries(known: Known) -> list[Summary]:
    return [view.summary for view in known.all.tasks] if known.all else []


def _troubles(known: Known, kind: str) -> list[Trouble]:
    return [trouble for trouble in known.all.troubles if trouble.kind == kind] if known.all else []


def _minutes(seconds: float) -> str:
    """Round up to a minute: nothing is due in none."""
    minutes = math.ceil(seconds / 60)
    return f"{minutes}m" if minutes < 60 else duration_text(60 * minutes)


def _failed(known: Known, now: float, most: int) -> _Section:
    """Draw what failed, each with its reason in the rest of the line."""
    columns = (
        Column("JUST FAILED", shrinks=True),
        _USER,
        Column(f"AT {_zone(now)}"),
        Column("TOOK", right=True, goes=1),
    )
    failed = known.failed[:most]
    rows = [
        [
            output.styled(record["task"]),
            output.styled(record.get(USER, "-")),
            output.styled(_clock(timestamp(record["finished_at"]) or now, now)),
            output.styled(duration_text(record["duration"])),
        ]
        for record in failed
    ]
    below, count = _section(columns, rows, len(known.failed))
    room = output.window_width() - len(_GAP) - max((line.cell_len for line in below), default=0)
    if room < _LEGIBLE:
        return _Section(below, count)
    reasons = [output.cut(output.styled(reason_text(record), "red"), room) for record in failed]
    ends = [output.styled("REASON", "bold"), *reasons]
    return _Section([line + output.styled(_GAP) + end for line, end in zip(below, ends)], count)


def _section(columns: Sequence[Column], rows: Sequence[Sequence[Text]], count: int) -> _Section:
    if not rows:
        return _Section([], 0)
    heads, below = in_lines(columns, rows)
    return _Section([heads, *(line for row in below for line in row)], count)


def _clock(seconds: float, now: float) -> str:
    return quantities.local_time(journal.moment(seconds), now, short=True)


def _zone(now: float) -> str:
    return quantities.zone_text(journal.moment(now))
