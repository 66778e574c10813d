"""Text for a terminal, a pipe or a file: tables, trees, colours, and how far long work has come.

rich is imported where something is drawn: what is read by programs does not pay for it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

STATUS_STYLES = {"success": "green", "failure": "red", "running": "cyan", "skipped": "dim"}
_WIDE = 100_000  # columns of a file or a pipe: nothing is cut there
_LONG_WORK = 32 << 20  # bytes to read; below it is done before one looks


def clean(text: str) -> str:
    """Write out what a terminal would obey: escape sequences, line ends, text direction marks."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def styled(text: object, style: str = "") -> Text:
    """Make a piece of text that is cleaned, and never read as markup."""
    from rich.text import Text

    return Text(clean(str(text)), style)


def print_rich(*parts: RenderableType) -> None:
    """Print to standard output: in colour and as wide as the window only on a terminal."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    plain = not terminal or bool(os.environ.get("NO_COLOR"))
    console = Console(
        force_terminal=terminal,
        color_system=None if plain else "auto",
        width=None if terminal else _WIDE,
    )
    with console.capture() as capture:  # rich would answer a broken pipe with status 1
        for part in parts:
            console.print(part, markup=False, emoji=False, highlight=False)
    for line in capture.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def print_table(heads: Sequence[str], rows: Iterable[Sequence[Text]]) -> None:
    """Print rows under their heads.

    A head that begins with `>` is set to the right, and the columns whose head begins with `~`
    give way where the window is narrow.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head in heads:
        table.add_column(
            head.lstrip(">~"),
            justify="right" if head.startswith(">") else "left",
            no_wrap=not head.startswith("~"),
            overflow="fold",
        )
    for row in rows:
        table.add_row(*row)
    print_rich(table)


def notice(text: str) -> None:
    """Say on standard error what is no part of the answer."""
    print(f"autotask: {clean(text)}", file=sys.stderr)


@contextlib.contextmanager
def progress(what: str, size: int) -> Iterator[Callable[[int], None]]:
    """Show how much of so many bytes is done, where that is much and standard error a terminal."""
    if size < _LONG_WORK or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=size)
        yield lambda done: bar.advance(task, done)
