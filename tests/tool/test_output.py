"""What long work shows of itself on a terminal, and that it shows nothing anywhere else."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from support import run_program
from tool.journals import DAY, Book, in_terminal, names

PROGRAM = """
import sys, time
from autotask.tool import output
size, long, done = map(int, sys.argv[1:])
with output.progress("reading the journal", size, long) as advance:
    advance(done // 2)
    advance(done - done // 2)
print("over", flush=True)
"""
SHORT = """
import functools, sys
from autotask.tool import cli, output
output.progress = functools.partial(output.progress, long=1)
sys.exit(cli.main(sys.argv[1:]))
"""


def shown(text: str) -> list[str]:
    """Return what was drawn of a bar, one drawing after the other: what it is, and the percent."""
    plain = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", text)
    return [" ".join(found) for found in re.findall(r"([a-z][a-z ]+[a-z]) \W+ +(\d+%)", plain)]


@pytest.mark.parametrize(("done", "percent"), [(0, "0%"), (10, "25%"), (40, "100%")])
def test_a_bar_shows_how_much_is_done(done: int, percent: str) -> None:
    text = in_terminal(sys.executable, "-c", PROGRAM, "40", "40", str(done))
    assert shown(text)[-1] == f"reading the journal {percent}"
    # Then it is wiped out, and the cursor comes back.
    assert text.rpartition("\x1b[?25h")[2].endswith("\x1b[2Kover\n")


def test_less_work_has_no_bar() -> None:
    assert in_terminal(sys.executable, "-c", PROGRAM, "39", "40", "39") == "over\n"


def test_no_bar_is_drawn_into_a_pipe() -> None:
    ended = run_program("-c", PROGRAM, "40", "40", "40", under="bare")
    assert (ended.stdout, ended.stderr) == ("over\n", "")


@pytest.mark.parametrize(
    ("words", "what"),
    [("runs", "reading the journal"), ("prune --keep 1d", "pruning")],
)
def test_a_command_shows_how_much_of_the_journal_it_has_read_or_pruned(
    words: str, what: str, book: Book, home: Path
) -> None:
    for days in (5, 4, 3):
        book.run(ago=days * DAY)
    if words != "runs":
        names()  # so that there is nothing to read
    assert shown(in_terminal(sys.executable, "-c", SHORT, *words.split()))[-1] == f"{what} 100%"
