"""Text for a terminal, a pipe or a file: tables, trees, colours; lines in, lines out.

Our own forty lines and no table library: `import rich` and its table cost more than all else that
`autotask runs` does, and our one rule (cut what is widest) keeps a row on a line.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TextIO

STATUS_STYLES = {"success": "green", "failure": "red", "running": "cyan", "skipped": "dim"}
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_LONGEST = 160  # of a cell, however wide the paper
_NARROWEST = 8  # no column is cut below it
_GAP = "  "


class Paper(NamedTuple):
    """What we write on."""

    width: int | None  # columns; None: as wide as need be
    colour: bool
    unicode: bool


class Cell(NamedTuple):
    """A text and its style."""

    text: str
    style: str = ""


def paper(stream: TextIO | None = None) -> Paper:
    """Look at standard output: only a terminal has a width and colours (NO_COLOR takes these)."""
    stream = stream or sys.stdout
    unicode = (stream.encoding or "").lower().startswith("utf")
    if not stream.isatty():
        return Paper(None, False, unicode)
    import shutil

    colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Paper(shutil.get_terminal_size().columns, colour, unicode)


def clean(text: str) -> str:
    """Write out what a terminal would obey: escape sequences, line ends, text direction marks."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def painted(text: str, style: str, sheet: Paper) -> str:
    """Clean a text, and colour it where there are colours."""
    code = _CODES.get(style) if sheet.colour else None
    return f"\x1b[{code}m{clean(text)}\x1b[0m" if code else clean(text)


def table(
    heads: Sequence[str], rows: Iterable[Sequence[Cell]], sheet: Paper, right: Sequence[str] = ()
) -> Iterator[str]:
    """Yield the lines of a table; the columns of the heads in *right* are set to the right."""
    more = "…" if sheet.unicode else "..."
    lines = [[Cell(head, "bold") for head in heads]]
    lines += [[Cell(cut(clean(text), _LONGEST, more), style) for text, style in row] for row in rows]
    widths = [max(columns(cell.text) for cell in column) for column in zip(*lines)]
    _fit(widths, sheet.width)
    for line in lines:
        cells = []
        for head, cell, width in zip(heads, line, widths):
            text = cut(cell.text, width, more)
            space = " " * (width - columns(text))
            shown = painted(text, cell.style, sheet)
            cells.append(space + shown if head in right else shown + space)
        yield _GAP.join(cells).rstrip()


def _fit(widths: list[int], limit: int | None) -> None:
    """Take from the widest column until a line fits."""
    if limit is None:
        return
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - limit
    while excess > 0 and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
        excess -= 1


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_letter_columns, text))


def _letter_columns(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def cut(text: str, width: int, more: str) -> str:
    """Cut a text to so many columns; *more* then stands at its end."""
    if columns(text) <= width:
        return text
    kept, left = "", width - len(more)
    for letter in text:
        left -= _letter_columns(letter)
        if left < 0:
            break
        kept += letter
    return kept + more


def notice(text: str) -> None:
    """Say on standard error what is no part of the answer."""
    print(f"autotask: {clean(text)}", file=sys.stderr)
