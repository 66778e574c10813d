"""Runs as a table for people: each by itself, or in trees; on a terminal the newest that fit."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from autotask.tool import output, quantities
from autotask.tool.journal.record import USER, Record, duration_text, reason_text
from autotask.tool.journal.trees import COUNTED, Drawn
from autotask.tool.table import Column, Lines, in_lines, print_text

if TYPE_CHECKING:
    from rich.text import Text

_OTHER_LINES = 3  # of a window: the heads, how many more there are, the prompt
_GUIDES = ("    ", "│   ", "├── ", "└── ")
_ASCII_GUIDES = ("    ", "|   ", "+-- ", "`-- ")


class Entry(NamedTuple):
    """A run, and what is drawn before its name in a tree."""

    record: Record
    branches: str = ""
    more: int = 0  # not the run: the number of runs under it that are not drawn


class Block(NamedTuple):
    """Rows that stay together: one run, or a tree."""

    rows: list[Entry]
    asked_for: int = 1  # runs in it that the user has asked for


def print_all(blocks: Sequence[Block], now: float) -> None:
    """Print runs in their order."""
    lines = _in_lines(blocks, now)
    print_text([lines.heads, *itertools.chain(*lines.rows)])


def print_upwards(
    blocks: Sequence[Block], now: float, height: int, more: Callable[[int], str]
) -> None:
    """Print runs with the first one last, just above the prompt.

    Args:
        blocks: At least one.
        now: POSIX seconds.
        height: Only as many as fit so many lines, and at least one; 0: all.
        more: Gets the number of runs that are printed; returns a line to print above them, or "".
    """
    heads, rows = _in_lines(blocks, now)
    lines_of_rows = iter(rows)
    left = height - _OTHER_LINES
    shown: list[list[Text]] = []
    asked_for = 0
    for block in blocks:
        lines = list(itertools.chain(*itertools.islice(lines_of_rows, len(block.rows))))
        left -= len(lines)
        if height and shown and left < 0:
            break
        shown.append(lines)
        asked_for += block.asked_for
    note = more(asked_for)
    above = [output.styled(note, "dim")] if note else []
    print_text([*above, heads, *itertools.chain(*reversed(shown))])


def trees(runs: Sequence[Drawn]) -> list[Block]:
    """Return the trees of runs, the one with the newest run first; in a tree the oldest is first.

    The runs are given oldest first.
    """
    keys = {_key(run.record) for run in runs}
    wanted = {_key(run.record) for run in runs if run.matches}
    children: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    tops = []
    for record, *_ in runs:
        parent = _key(record, "parent")
        if parent in keys:
            children[parent].append(Entry(record))
        else:
            tops.append(record)
    for record, _, more in runs:
        if more:
            children[_key(record)].append(Entry(record, more=more))
    drawn: set[tuple[str, str]] = set()
    # Runs that are each other's parents have no top.
    every = itertools.chain(tops, (run.record for run in runs))
    forest = [_tree(top, children, drawn) for top in every]
    blocks = [
        Block(rows, sum(not row.more and _key(row.record) in wanted for row in rows))
        for rows in forest
        if rows
    ]
    return sorted(blocks, key=_newest, reverse=True)


def _key(record: Record, field: str = "run") -> tuple[str, str]:
    """Return what names the run in a field of a record, also in a shared home."""
    return record[field] or "", record.get(USER, "")


def _newest(block: Block) -> str:
    return max(str(row.record["started_at"]) for row in block.rows)


def _tree(
    top: Record, children: dict[tuple[str, str], list[Entry]], drawn: set[tuple[str, str]]
) -> list[Entry]:
    """Return the rows of a tree; none if it is drawn already. A loop: it may be very deep."""
    blank, line, fork, end = _GUIDES if output.has_unicode() else _ASCII_GUIDES
    rows = []
    waiting = [(Entry(top), "")]
    while waiting:
        entry, below = waiting.pop()
        key = _key(entry.record)
        if entry.more:
            rows.append(entry)
        elif key not in drawn:
            drawn.add(key)
            rows.append(entry)
            under = children[key]
            last = len(under) - 1
            waiting += reversed(
                [
                    (
                        child._replace(branches=below + (end if number == last else fork)),
                        below + (blank if number == last else line),
                    )
                    for number, child in enumerate(under)
                ]
            )
    return rows


def _in_lines(blocks: Sequence[Block], now: float) -> Lines:
    rows = list(itertools.chain.from_iterable(block.rows for block in blocks))
    records = [row.record for row in rows]
    zone = quantities.shared_zone(record["started_at"] for record in records)
    columns = [
        Column("RUN"),
        Column("STARTED", goes=2).in_zone(zone),
        Column("TASK", shrinks=True),
        Column("STATUS"),
        Column("DURATION", right=True, goes=1),
        Column("REASON", falls=True),
    ]
    cells = [_cells(row, now, zone is None) for row in rows]
    if any(USER in record for record in records):
        columns.insert(1, Column("USER"))
        for row, shown in zip(rows, cells):
            shown.insert(1, output.styled("" if row.more else row.record[USER]))
    return in_lines(columns, cells)


def _cells(row: Entry, now: float, with_zone: bool) -> list[Text]:
    record = row.record
    if row.more:
        more = f"more than {COUNTED}" if row.more > COUNTED else row.more
        name = output.styled(f"{row.branches}and {more} more", "dim")
        blank = output.styled("")
        return [blank, blank, name, blank, blank, blank]
    started = quantities.local_time(record["started_at"], now, short=output.for_terminal())
    if with_zone:
        started += quantities.zone_text(record["started_at"])
    return [
        output.styled(record["run"][:8], "dim"),
        output.styled(started),
        output.styled(row.branches, "dim").append_text(output.styled(record["task"])),
        output.status(record["status"]),
        output.styled(duration_text(record, now)),
        output.styled(reason_text(record)),
    ]
