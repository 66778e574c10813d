"""Tables for people: a line a row, as wide as the window, and what gives way where that is narrow.

Columns are left out in an order that they state, names are cut, and a text that does not fit
behind its row goes to a line of its own below it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from autotask.tool import output

if TYPE_CHECKING:
    from rich.text import Text

# Columns of the screen.
LONGEST_NAME = 80
LONGEST_REASON = 160
_LONGEST_OTHER = 24
_LEGIBLE = 18  # of a name, before other columns go
_WORTH_IT = 8  # of a last column: `nested`, `exit 3`
_GAP = "  "
_INDENT = "    "


class Column(NamedTuple):
    """A column of a table; only one of them shrinks, and only the last one falls."""

    head: str
    right: bool = False  # set to the right
    shrinks: bool = False  # holds names, which are cut
    falls: bool = False  # holds texts, which go below where they do not fit
    goes: int = 0  # whether to be left out where it is narrow, and as which: 1 before 2

    @property
    def longest(self) -> int:
        """Return how wide it may be in any window."""
        if self.falls:
            return LONGEST_REASON
        return LONGEST_NAME if self.shrinks else _LONGEST_OTHER


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> None:
    """Print rows under their heads."""
    from rich.text import Text

    room = output.window_width()
    heads = [Text(column.head, "bold") for column in columns]
    rows = [
        [output.cut(cell, column.longest) for column, cell in zip(columns, row)] for row in rows
    ]
    widths = [max(cell.cell_len for cell in cells) for cells in zip(heads, *rows)]
    widths = _fitted(columns, widths, room)
    lines = [next(_lines(columns, widths, heads, room))]
    for row in rows:
        lines += _lines(columns, widths, row, room)
    output.print_rich(Text("\n", no_wrap=True, overflow="ignore").join(lines))


def _fitted(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """Return the widths that columns get: 0 for those that are left out."""
    fitted = [0 if column.falls else width for column, width in zip(columns, widths)]
    names = next(place for place, column in enumerate(columns) if column.shrinks)
    fitted[names] = min(widths[names], _LEGIBLE)
    for place in sorted(range(len(columns)), key=lambda place: columns[place].goes):
        if columns[place].goes and _taken(fitted) > room:
            fitted[place] = 0
    left = room - _taken(fitted)
    longest = max(room * 2 // 5, _LEGIBLE)  # one name without end is not to take all there is
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
    """Yield a row's line, and the one below it where its last cell does not fit."""
    from rich.text import Text

    fallen = columns[-1].falls and cells[-1].cell_len > widths[-1]
    shown = zip(columns, widths, cells[:-1] if fallen else cells)
    yield Text(_GAP).join([_set(cell, width, column) for column, width, cell in shown if width])
    if fallen:
        yield Text(_INDENT).append_text(output.cut(cells[-1], room - len(_INDENT)))


def _set(cell: Text, width: int, column: Column) -> Text:
    """Bring a cell to the width of its column."""
    cell = output.cut(cell, width).copy()
    missing = width - cell.cell_len
    if column.right:
        cell.pad_left(missing)
    else:
        cell.pad_right(missing)
    return cell
