"""The words that the page and the text share: the headline, times, rates."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from autotask.tool import output, quantities
from autotask.tool.report.contents import Report
from autotask.tool.troubles import trouble
from autotask.tool.troubles.trouble import Trouble

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LONGEST = 300  # characters of a line


class Group(NamedTuple):
    """Troubles that are told together."""

    name: str  # of its heading
    style: str
    kinds: Sequence[str]


GROUPS = (
    Group("Failed", "failed", (trouble.IN_A_ROW, trouble.FAILED)),
    Group("Late or missed", "missed", (trouble.LATE, trouble.MISSED)),
    Group(
        "Hanging, slow or overlapping",
        "odd",
        (trouble.HANGING, trouble.SLOW, trouble.OVERLAP, trouble.RETRIES),
    ),
)
# What a headline counts, and in which words; only without the first ones it counts the others.
_ALARMS = (
    ("failed", (trouble.FAILED, trouble.IN_A_ROW)),
    ("missed", (trouble.MISSED,)),
    ("late", (trouble.LATE,)),
    ("hanging", (trouble.HANGING,)),
)
_WARNINGS = (
    ("slow", (trouble.SLOW,)),
    ("overlapping", (trouble.OVERLAP,)),
    ("with many retries", (trouble.RETRIES,)),
)


def groups(report: Report) -> list[tuple[Group, list[Trouble]]]:
    """Return the troubles by their groups, what is still so first.

    Those that failed and have not succeeded since come before the others, and of these those in a
    row; late ones before missed ones; the longest hang first. What a newer engine may find is in
    the last group.
    """
    found: list[tuple[Group, list[Trouble]]] = [(group, []) for group in GROUPS]
    for each in sorted(report.troubles, key=lambda each: _urgency(report, each)):
        number = next((n for n, group in enumerate(GROUPS) if each.kind in group.kinds), -1)
        found[number][1].append(each)
    return [(group, members) for group, members in found if members]


def _urgency(report: Report, each: Trouble) -> tuple[bool, int, float]:
    kinds = [kind for group in GROUPS for kind in group.kinds]
    place = kinds.index(each.kind) if each.kind in kinds else len(kinds)
    at = each.at if each.kind == trouble.HANGING else -each.at
    return _recovered(report, each) is not None, place, at


def _recovered(report: Report, each: Trouble) -> float | None:
    """Return when a task that failed first succeeded since."""
    is_failure = each.kind in GROUPS[0].kinds
    return report.recovered.get(each.run or "") if is_failure else None


def notes(report: Report) -> dict[Trouble, str]:
    """Return what else is known of troubles: `succeeded again at 06:05`, `never ran`."""
    last: dict[str, float] = {}
    for task in report.tasks:
        last[task.key.task] = max(last.get(task.key.task, 0.0), task.last_run or 0.0)
    found = {}
    for each in report.troubles:
        since = _recovered(report, each)
        if since is not None:
            found[each] = f"succeeded again at {clock(since)}"
        elif each.kind in (trouble.MISSED, trouble.LATE) and each.task in last:
            at = last[each.task]
            found[each] = f"last ran {moment(at)}" if at else "never ran"
    return found


def links(report: Report) -> list[tuple[str, str]]:
    """Return the parts of the headline, and the style of the group that each counts."""
    kinds = _ALARMS if _tasks(report, _ALARMS) else _WARNINGS
    present = [members for _, members in kinds if any(e.kind in members for e in report.troubles)]
    styles = [next(g.style for g in GROUPS if members[0] in g.kinds) for members in present]
    return list(zip(headline(report).split(", "), styles))


def headline(report: Report) -> str:
    """Return what the night came to: `2 tasks failed, 1 missed`."""
    return _tasks(report, _ALARMS) or _tasks(report, _WARNINGS) or _well(report)


def _well(report: Report) -> str:
    if not report.failed:
        return "All is well" if report.runs else "No runs last night"
    failed = f"Nothing to do; {counted(report.failed, 'run')} failed"
    if report.by_hand == report.failed:
        return f"{failed} by hand"
    return f"{failed}, {report.by_hand:,} of them by hand" if report.by_hand else failed


def also(report: Report) -> str:
    """Return what the headline leaves out: `Also 2 tasks slow.`; nothing if it has it all."""
    warnings = _tasks(report, _WARNINGS) if _tasks(report, _ALARMS) else ""
    return f"Also {warnings}." if warnings else ""


def _tasks(report: Report, kinds: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Count the tasks with troubles of some kinds."""
    found = [
        (len({each.task for each in report.troubles if each.kind in members}), word)
        for word, members in kinds
    ]
    first, *others = [pair for pair in found if pair[0]] or [(0, "")]
    if not first[0]:
        return ""
    parts = [f"{counted(first[0], 'task')} {first[1]}", *(f"{n:,} {word}" for n, word in others)]
    return ", ".join(parts)


def counted(number: int, one: str, several: str = "") -> str:
    """Return a number with its noun: `1 run`, `1,204 runs`."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def clock(seconds: float) -> str:
    """Return the time of day: `03:12`."""
    return quantities.local(seconds).strftime("%H:%M")


def moment(seconds: float | None) -> str:
    """Return a day and a time: `Tue 1 Dec 03:12`."""
    if seconds is None:
        return "never"
    at = quantities.local(seconds)
    return f"{at:%a} {at.day} {at:%b %H:%M}"


def named_moment(seconds: float) -> str:
    """Return a time with its year and its zone: `Tue 1 Dec 2026, 07:00 CET`."""
    at = quantities.local(seconds)
    return f"{at:%a} {at.day} {at:%b %Y, %H:%M %Z}"


def zone(report: Report) -> str:
    """Name the reader's time zone: `Europe/Berlin (UTC+01:00)`."""
    offset = quantities.local(report.now).strftime("%z")
    offset = f"UTC{offset[:3]}:{offset[3:5]}" if offset.strip("+-0") else "UTC"
    return offset if report.zone in (None, "UTC", offset) else f"{report.zone} ({offset})"


def last_lines(text: str, most: int) -> list[str]:
    """Return the last lines of what a run has written, without the colours of a terminal."""
    lines = _COLOURS.sub("", text[-most * _LONGEST :]).expandtabs().rstrip().split("\n")
    return [short(output.clean(line)) for line in lines[-most:]] if text else []


def short(text: str, most: int = _LONGEST) -> str:
    """Cut a text that would be endless."""
    return text if len(text) <= most else text[: most - 3] + "..."


def rate(share: float | None) -> str:
    """Return a share in percent, rounded down: only if all succeeded, it is 100 %."""
    if share is None:
        return "-"
    tenths = math.floor(share * 1000 + 1e-6)
    return f"{tenths // 10}%" if tenths % 10 == 0 else f"{tenths / 10:.1f}%"
