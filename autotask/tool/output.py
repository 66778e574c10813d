"""Write to a terminal, a pipe or a file: colours, formats for programs, progress of long work.

rich is imported only when something is drawn: it takes 40 ms, which formats for programs save.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from autotask.tool import interrupts

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

STATUS_STYLES = {
    "success": "green",
    "failure": "red",
    "retried": "magenta",
    "skipped": "dim",
    "running": "cyan",
}
_UNLIMITED = 100_000  # columns of a file or a pipe, in which nothing is cut
_LONG_WORK = 32 << 20  # bytes to read: less is done before a bar could be read


def clean(text: str) -> str:
    """Escape what a terminal would act on: control sequences, line ends, text direction marks."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def styled(text: object, style: str = "") -> Text:
    """Return clean text with a style; it is not read as markup."""
    from rich.text import Text

    return Text(clean(str(text)), style)


def status(text: str) -> Text:
    """Return a status in its colour; one from a newer autotask may be unknown, and has none."""
    return styled(text, STATUS_STYLES.get(text, ""))


def for_terminal() -> bool:
    """Tell whether standard output is a terminal, rather than a pipe or a file."""
    return sys.stdout.isatty()


def window_width() -> int:
    """Return the number of columns of the terminal; unlimited for a pipe or a file."""
    return _console().width


def window_height() -> int:
    """Return the number of lines of the terminal."""
    return _console().height


def has_unicode() -> bool:
    """Tell whether standard output takes lines and arrows, beside ASCII."""
    return sys.stdout.encoding.lower().startswith("utf")


def print_rich(*parts: RenderableType) -> None:
    """Print to standard output: in colour and as wide as the window only on a terminal."""
    console = _console()
    with console.capture() as capture:  # rich itself would exit with status 1 on a broken pipe
        for part in parts:
            console.print(part, markup=False, emoji=False, highlight=False)
    # rich pads each line to the width of its widest; a file should not have these blanks.
    for line in capture.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def in_colour(lines: Iterable[Text]) -> list[str]:
    """Return lines as they are written to a terminal, cut to the width of its window."""
    console = _console()
    written = []
    for line in lines:
        with console.capture() as capture:
            console.print(line, end="", no_wrap=True, overflow="crop", highlight=False)
        written.append(capture.get())
    return written


def print_lines(lines: Iterable[tuple[str, str]]) -> None:
    """Print lines, each with its style, which is seen on a terminal only; none is wrapped."""
    if not for_terminal():
        sys.stdout.writelines(f"{clean(text)}\n" for text, _ in lines)
        return
    from rich.text import Text

    texts = [styled(text, style) for text, style in lines]
    if texts:
        print_rich(Text("\n", no_wrap=True, overflow="ignore").join(texts))


def _console() -> Console:
    from rich.console import Console

    # Left alone, rich obeys FORCE_COLOR and writes colours into a file.
    terminal = for_terminal()
    plain = not terminal or bool(os.environ.get("NO_COLOR"))
    return Console(
        force_terminal=terminal,
        color_system=None if plain else "auto",
        width=None if terminal else _UNLIMITED,
    )


def cut(text: Text, width: int) -> Text:
    """Shorten a text to a number of columns; dots stand for the rest."""
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
            # In one write: this line is whole even if the next record fails.
            sys.stdout.write(encode(record) + "\n")
        return
    separator = "[\n"
    for record in records:
        sys.stdout.write(separator + encode(record))
        separator = ",\n"
    sys.stdout.write("\n]\n" if separator == ",\n" else "[]\n")


def print_csv(
    fields: Sequence[str], records: Iterable[Mapping[str, Any]], heads: bool = True
) -> None:
    """Print a line of heads, then one for each record; no value spans lines."""
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    records = iter(records)
    first = list(itertools.islice(records, 1))  # if that fails, no heads are printed
    if heads:
        writer.writerow(fields)
    for record in itertools.chain(first, records):
        writer.writerow([_csv_cell(record[field]) for field in fields])


def _csv_cell(value: Any) -> Any:
    if isinstance(value, dict):
        return json.dumps(value) if value else None
    if not isinstance(value, str):
        return value
    text = clean(value)
    # A spreadsheet would calculate such a cell; the apostrophe makes it text.
    return "'" + text if text.startswith(("=", "+", "-", "@")) else text


def notice(text: str, wait: bool = True) -> None:
    """Write a message to standard error; see `say`."""
    say(sys.stderr, f"autotask: {clean(text)}", wait)


def say(stream: TextIO, line: str, wait: bool = True) -> None:
    """Write a line, and ignore failure: the work goes on with a full disk or without a reader.

    Without *wait*, a reader that has stopped reading is not waited for. The line bypasses the
    stream's buffer, which would keep what cannot be written, and try again at exit.
    """
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # in memory
        stream.write(f"{line}\n")
        return
    data = f"{line}\n".encode(stream.encoding or "ascii", "backslashreplace")
    with contextlib.suppress(OSError):
        stream.flush()
        if wait or _is_writable(descriptor):
            os.write(descriptor, data)


def _is_writable(descriptor: int) -> bool:
    import select

    return bool(select.select([], [descriptor], [], 0)[1])


@contextlib.contextmanager
def progress(what: str, size: int, long: int = _LONG_WORK) -> Iterator[Callable[[int], None]]:
    """Show how many bytes of *size* are done, if it is much and standard error is a terminal."""
    if size < long or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    # Raised: on Ctrl-C the bar is removed and the cursor shown again before the process ends.
    with interrupts.Raised(), Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=size)
        yield lambda done: bar.advance(task, done)
