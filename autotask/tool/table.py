"""Tables for people: one line for each row, fitted to the width of the terminal.

In a narrow terminal, columns are left out in an order that they define, names are cut, and a last
column that does not fit is printed on a line of its own below the row. In a pipe or a file only
that last column is cut.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from autotask.tool import output

if TYPE_CHECKING:
    from rich.text import Text

# All in columns of the screen.
LONGEST_NAME = 80
LONGEST_REASON = 160
_LONGEST_OTHER = 24
_LEGIBLE = 18  # a name keeps that much, and other columns are left out instead
_WORTH_IT = 8  # the least width for a last column: `nested`, `exit 3`
_NOTHING = ("-", "0")
_GAP = "  "
_INDENT = "    "


class Column(NamedTuple):
    """A column of a table; one of them shrinks, and only the last one may fall."""

    head: str
    right: bool = False  # aligned to the right
    shrinks: bool = False  # holds names, which are cut
    falls: bool = False  # holds texts, which go below the row if they do not fit
    goes: int = 0  # which column is left out first in a narrow terminal; 0: never
    if_any: bool = False  # left out if no cell has more than `-` or `0`
    most: int = _LONGEST_OTHER  # its largest width, if it neither shrinks nor falls

    def in_zone(self, zone: str | None) -> Column:
        """Return the same column for times of one zone: its head has that, if there is one."""
        return self._replace(head=f"{self.head} {zone or ''}".rstrip())

    def cut(self, cell: Text) -> Text:
        """Shorten a cell to the largest width, however wide the terminal is."""
        if self.falls:
            return output.cut(cell, LONGEST_REASON)
        if not output.for_terminal():
            return cell
        return output.cut(cell, LONGEST_NAME if self.shrinks else self.most)


class Lines(NamedTuple):
    """A table as lines: of its heads, and of each row one or two."""

    heads: Text
    rows: list[list[Text]]


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> None:
    """Print rows under the heads of their columns."""
    heads, below = in_lines(columns, rows)
    print_text([heads, *itertools.chain(*below)])


def print_text(lines: Sequence[Text]) -> None:
    """Print lines as they are: none is wrapped."""
    from rich.text import Text

    output.print_rich(Text("\n", no_wrap=True, overflow="ignore").join(lines))


def in_lines(columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> Lines:
    """Return rows under the heads of their columns, fitted to the width of the terminal."""
    from rich.text import Text

    room = output.window_width()
    used = [
        not column.if_any or any(row[number].plain not in _NOTHING for row in rows)
        for number, column in enumerate(columns)
    ]
    columns = list(itertools.compress(columns, used))
    heads = [Text(column.head, "bold") for column in columns]
    rows = [
        [column.cut(cell) for column, cell in zip(columns, shown)]
        for shown in (itertools.compress(row, used) for row in rows)
    ]
    widths = [max(cell.cell_len for cell in cells) for cells in zip(heads, *rows)]
    widths = _fitted(columns, widths, room)
    return Lines(
        next(_lines(columns, widths, heads, room)),
        [list(_lines(columns, widths, row, room)) for row in rows],
    )


def _fitted(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """Return the widths of the columns: 0 for those that are left out."""
    fitted = [0 if column.falls else width for column, width in zip(columns, widths)]
    # First, columns are left out until names have a legible width.
    names = next(number for number, column in enumerate(columns) if column.shrinks)
    fitted[names] = min(widths[names], _LEGIBLE)
    for number in sorted(range(len(columns)), key=lambda number: columns[number].goes):
        if columns[number].goes and _taken(fitted) > room:
            fitted[number] = 0
    # Then names get what is left, up to a limit, and the last column gets the rest.
    left = room - _taken(fitted)
    longest = max(room * 2 // 5, _LEGIBLE)  # so that one endless name does not take all the room
    fitted[names] = min(widths[names], max(min(fitted[names] + left, longest), _WORTH_IT))
    left = room - _taken(fitted) - len(_GAP)
    if columns[-1].falls and left >= _WORTH_IT:
        fitted[-1] = min(widths[-1], left)
    return fitted


def _taken(widths: Sequence[int]) -> int:
    shown = [width for width in widths if width]
    return sum(shown) + len(_GAP) * (len(shown) - 1)


def _lines(
    columns: Sequence[Column], widths: Sequence[int], cells: Sequence[Text], room: int
) -> Iterator[Text]:
    """Yield the line of a row, and one below it if its last cell does not fit."""
    from rich.text import Text

    fallen = columns[-1].falls and cells[-1].cell_len > widths[-1]
    shown = zip(columns, widths, cells[:-1] if fallen else cells)
    yield Text(_GAP).join([_aligned(cell, width, column) for column, width, cell in shown if width])
    if fallen:
        yield Text(_INDENT).append_text(output.cut(cells[-1], room - len(_INDENT)))


def _aligned(cell: Text, width: int, column: Column) -> Text:
    """Cut or pad a cell to the width of its column."""
    cell = output.cut(cell, width).copy()
    missing = width - cell.cell_len
    if column.right:
        cell.pad_left(missing)
    else:
        cell.pad_right(missing)
    return cell
