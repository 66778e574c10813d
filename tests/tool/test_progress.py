"""The progress bar: a person sees it during long work, and nothing else does."""

from __future__ import annotations

import itertools
import re
import sys

import pytest
from tool.journals import DAY, HOUR, Book, autotask, in_terminal, on_terminal

from autotask.tool import output

LONG = output._LONG_WORK
# Does parts of some work; arguments: the size, then the parts.
WORK = """
import sys, time
from autotask.tool import output
size, *parts = map(int, sys.argv[1:])
with output.progress("counting sheep", size) as advance:
    for part in parts:
        time.sleep(0.25)  # the bar is redrawn ten times a second
        advance(part)
print("asleep")
"""


def percentages(shown: str, what: str) -> list[int]:
    """Return the percentages that a bar showed, without repeats."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    drawn = [int(number) for number in re.findall(rf"{what} .*?(\d+)%", plain)]
    return [number for number, _ in itertools.groupby(drawn)]


PARTS = {
    "nothing": ([0], [0]),
    "a quarter": ([LONG // 4], [0, 25]),
    "three unequal parts": ([LONG // 4, LONG // 2, LONG // 4], [0, 25, 75, 100]),
    "a tenth, eight times": ([LONG // 10 + 1] * 8, [0, 10, 20, 30, 40, 50, 60, 70, 80]),
}


@pytest.mark.parametrize(("parts", "expected"), PARTS.values(), ids=PARTS)
def test_the_bar_shows_how_much_of_all_is_done(parts: list[int], expected: list[int]) -> None:
    words = map(str, (LONG, *parts))
    shown = percentages(in_terminal(sys.executable, "-c", WORK, *words), "counting sheep")
    assert shown[-1] == expected[-1]
    assert shown == [number for number in expected if number in shown]  # a slow machine skips some


def test_the_bar_is_gone_at_the_end() -> None:
    shown = in_terminal(sys.executable, "-c", WORK, str(LONG), str(LONG))
    after = shown.rpartition("\x1b[2K")[2]  # after the last time that a line is erased
    assert after.strip().endswith("asleep")
    assert "sheep" not in after


def test_short_work_has_no_bar() -> None:
    assert in_terminal(sys.executable, "-c", WORK, str(LONG - 1), "1") == "asleep\n"


def large_segment(book: Book, ago: float) -> None:
    """Write a run with so many bytes that reading takes long."""
    run = book.run(ago=ago)
    for _ in range(LONG // 100_000 + 1):
        book.line(f'{{"event":"raised","run":"{run.id}","text":"{"x" * 100_000}"}}', ago)


def test_reading_a_large_journal_shows_how_much_of_the_new_part_was_read(book: Book) -> None:
    large_segment(book, 3 * HOUR)
    first = percentages(on_terminal("runs"), "reading the journal")
    assert first == sorted(first)
    assert first[-1] == 100
    assert percentages(on_terminal("runs"), "reading the journal") == []
    large_segment(book, HOUR)
    assert percentages(on_terminal("runs"), "reading the journal")[-1] == 100


def test_pruning_a_large_journal_shows_how_much_of_it_is_done(book: Book) -> None:
    for days in (3, 4):
        large_segment(book, days * DAY)
    on_terminal("runs")
    shown = percentages(on_terminal("prune", "--keep", "1d"), "pruning")
    assert shown == sorted(shown)
    assert shown[-1] == 100
    assert {*shown} <= {0, 50, 100}


def test_a_pipe_and_a_file_get_no_bar(book: Book) -> None:
    large_segment(book, 3 * HOUR)
    ended = autotask("runs", "--format", "csv")
    assert ended.stderr == ""
    assert len(ended.stdout.splitlines()) == 2
