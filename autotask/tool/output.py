"""Tables for people, JSON lines and CSV for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from autotask.tool.record import Record

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

STATUS_STYLES = {"success": "green", "failure": "bold red", "running": "cyan", "skipped": "dim"}
_WIDE = 100_000  # into a file or a pipe nothing is cut


def clean(text: str) -> str:
    """Write out what a terminal would obey: escape sequences, line ends, text direction marks."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def console() -> Console:
    """Return the console on standard output: in colour only on a terminal."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(
        file=sys.stdout,
        force_terminal=terminal,
        width=None if terminal else _WIDE,
        markup=False,
        emoji=False,
        highlight=False,
    )


def styled(value: str, style: str = "") -> Text:
    """Make a cell: cleaned, and never read as markup."""
    from rich.text import Text

    return Text(clean(value), style=style)


def print_table(heads: Sequence[str], rows: Iterable[Sequence[Text]]) -> None:
    """Print rows under their heads; a head that begins with `>` is set to the right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        right = head.startswith(">")
        table.add_column(head.lstrip(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def print_json_lines(records: Iterable[Record]) -> None:
    """Print one JSON object a line, ASCII only."""
    write = sys.stdout.write
    encode = json.JSONEncoder().encode
    for record in records:
        write(encode(record) + "\n")


def print_csv(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a line of heads and a line a row; no value spans lines."""
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(heads)
    for row in rows:
        writer.writerow([clean(cell) if isinstance(cell, str) else cell for cell in row])
