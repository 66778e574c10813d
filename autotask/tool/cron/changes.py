"""Change crontabs: show the differences, ask, write each, and say how to undo it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from autotask.tool import asking, output
from autotask.tool.cron import install
from autotask.tool.cron.tables import Table
from autotask.tool.errors import ToolError

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


class Change(NamedTuple):
    """What is to become of a crontab."""

    table: Table
    old: bytes
    new: bytes
    result: str  # `3 jobs are watched`
    undo: str = ""  # the command that takes it back; by default to restore the copy


def plan(
    tables: Iterable[Table], make: Callable[[Table], Change | None], go_on: bool
) -> tuple[list[Change], bool]:
    """Return the changes of crontabs, and whether all could be planned.

    Args:
        tables: The crontabs.
        make: Returns the change of one, None if nothing is to be changed.
        go_on: Report an error, and continue with the next one. Otherwise it is raised.
    """
    changes, complete = [], True
    for table in tables:
        try:
            change = make(table)
            if change:
                table.check(change.new)
        except (ToolError, OSError) as error:
            if not go_on:
                raise
            complete = _tell(table, error)
            continue
        if change:
            changes.append(change)
    return changes, complete


def ask(changes: Sequence[Change], yes: bool) -> None:
    """Show the differences, and ask unless *yes*.

    Raises:
        ToolError: The user declined, or standard input is not a terminal.
    """
    for change in changes:
        output.print_lines(_difference(change))
    asking.confirm(yes, "apply these changes?")


def carry_out(
    changes: Sequence[Change], prepare: Callable[[Change], None] = lambda _: None
) -> bool:
    """Make the changes; tell whether all were made.

    Args:
        changes: The changes.
        prepare: Called before each one; if it raises an error, that one is not made.

    Raises:
        ToolError, OSError: The only change failed.
    """
    copies = install.copies_folder()
    complete = True
    for change in changes:
        try:
            prepare(change)
            copy = install.install(change.table, change.old, change.new, copies)
        except (ToolError, OSError) as error:
            if len(changes) == 1:
                raise
            complete = _tell(change.table, error)
            continue
        kept = f"; copy of the old one: {copy}" if copy else ""
        print(output.clean(f"{change.table.name}: {change.result}{kept}"))
        print(output.clean(f"  to undo: {change.undo or change.table.restoring(copy)}"))
    return complete


def _tell(table: Table, error: Exception) -> bool:
    name = table.name
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    output.notice(text if name in text else f"{name}: {text}")
    return False


def _difference(change: Change) -> Iterator[tuple[str, str]]:
    """Yield the lines of a unified difference, each with its style."""
    lines = difflib.unified_diff(
        _lines(change.old),
        _lines(change.new),
        change.table.name,
        f"{change.table.name}, changed",
        lineterm="",
    )
    for line in lines:
        is_head = line.startswith(("---", "+++"))
        yield line, "bold" if is_head else _STYLES.get(line[:1], "")


def _lines(text: bytes) -> list[str]:
    lines = re.findall(rb"[^\n]+|(?<=\n)(?=\n)|^(?=\n)", text)
    return [line.decode("utf-8", "backslashreplace").expandtabs() for line in lines]
