"""Text for a terminal, a pipe or a file: colours, forms for programs, how far long work has come.

rich is imported where something is drawn: what is read by programs does not pay for it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from autotask.tool import interrupts

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
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


def status(text: str) -> Text:
    """Make a status of it, in its colour; a newer autotask may have written one we do not know."""
    return styled(text, STATUS_STYLES.get(text, ""))


def for_terminal() -> bool:
    """Tell whether a person looks on, and not a pipe or a file."""
    return sys.stdout.isatty()


def window_width() -> int:
    """Return how many columns there are; a pipe or a file has as many as one likes."""
    return _console().width


def print_rich(*parts: RenderableType) -> None:
    """Print to standard output: in colour and as wide as the window only on a terminal."""
    console = _console()
    with console.capture() as capture:  # rich would answer a broken pipe with status 1
        for part in parts:
            console.print(part, markup=False, emoji=False, highlight=False)
    for line in capture.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def _console() -> Console:
    from rich.console import Console

    terminal = for_terminal()
    plain = not terminal or bool(os.environ.get("NO_COLOR"))
    return Console(
        force_terminal=terminal,
        color_system=None if plain else "auto",
        width=None if terminal else _WIDE,
    )


def cut(text: Text, width: int) -> Text:
    """Shorten a text to so many columns, with dots for what is left out."""
    if text.cell_len <= width:
        return text
    shorter = text.copy()
    shorter.truncate(max(width - 3, 0))
    return shorter.append("...")


def print_json(records: Iterable[Mapping[str, Any]], form: str) -> None:
    """Print a line of JSON for each record (`jsonl`), or one array of them (`json`)."""
    encode = json.JSONEncoder().encode
    if form == "jsonl":
        for record in records:
            sys.stdout.write(encode(record) + "\n")  # whole, even if the next one cannot be read
        return
    begin = "[\n"
    for record in records:
        sys.stdout.write(begin + encode(record))
        begin = ",\n"
    sys.stdout.write("\n]\n" if begin == ",\n" else "[]\n")


def print_csv(
    fields: Sequence[str], records: Iterable[Mapping[str, Any]], heads: bool = True
) -> None:
    """Print a line of heads and a line for each record; no value spans lines."""
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    rest = iter(records)
    first = list(itertools.islice(rest, 1))  # before anything is printed, if they fail
    if heads:
        writer.writerow(fields)
    for record in itertools.chain(first, rest):
        writer.writerow([_csv_cell(record[field]) for field in fields])


def _csv_cell(value: Any) -> Any:
    if isinstance(value, dict):
        return json.dumps(value) if value else None
    return _no_formula(clean(value)) if isinstance(value, str) else value


def _no_formula(text: str) -> str:
    """Keep a spreadsheet from calculating a cell: an apostrophe in front makes it text.

    A tab or a line end at the beginning is written out by now.
    """
    return "'" + text if text.startswith(("=", "+", "-", "@")) else text


def notice(text: str, wait: bool = True) -> None:
    """Say on standard error what is no part of the answer; see `say`."""
    say(sys.stderr, f"autotask: {clean(text)}", wait)


def say(stream: TextIO, line: str, wait: bool = True) -> None:
    """Write a line that may fail: on a full disk, or if its reader has gone, the work goes on.

    Without *wait* a reader that has stopped does not stop us either. The line goes past the
    stream's buffer, which would keep what cannot be written, and try it again at the end.
    """
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # in memory
        stream.write(f"{line}\n")
        return
    data = f"{line}\n".encode(stream.encoding or "ascii", "backslashreplace")
    with contextlib.suppress(OSError):
        stream.flush()
        if wait or select.select([], [descriptor], [], 0)[1]:
            os.write(descriptor, data)


@contextlib.contextmanager
def progress(what: str, size: int, long: int = _LONG_WORK) -> Iterator[Callable[[int], None]]:
    """Show how much of so many bytes is done, where that is much and standard error a terminal."""
    if size < long or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    # After Ctrl-C the bar goes, and the cursor comes back.
    with interrupts.Raised(), Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=size)
        yield lambda done: bar.advance(task, done)
