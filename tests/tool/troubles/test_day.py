"""Bare `autotask`: the last 24 hours."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from tool.journals import DAY, HOUR, Book, answer, autotask, on_terminal

from autotask.run import SKIPPED, Outcome, failure
from autotask.tool.schedule import due

FAILED = failure("exit", exit_code=3)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be in a folder without a configuration file."""
    monkeypatch.chdir(tmp_path)


def lines() -> list[str]:
    """Return what is printed, without the times and ids."""
    printed = re.sub(r"\b\d\d:\d\d\b", "HH:MM", answer())
    printed = re.sub(r"\[[0-9a-f]{8}\]", "[RUN]", printed)
    return re.sub(r"(?<=runs for )(\dm|\dh)\d\d[sm]", r"\1", printed).splitlines()


def test_a_good_day_is_three_lines(book: Book) -> None:
    book.run("a", ago=HOUR)
    book.run("a", ago=2 * HOUR)
    book.run("b", ago=2 * DAY)
    assert lines() == [
        "2 runs of 1 task in the last 24 hours: 2 succeeded",
        "nothing failed, nothing is late",
        f"the journal is in {book.home}",
    ]


def test_it_tells_what_failed_and_what_runs(book: Book) -> None:
    book.run("a", ago=3 * HOUR, outcome=FAILED)
    book.run("b", ago=2 * HOUR, outcome=FAILED, trigger="terminal")
    book.run("c", ago=60.2, outcome=SKIPPED)
    book.run("d", ago=60.2, outcome=Outcome("retried", "exception"))
    book.run("e", ago=DAY + HOUR, duration=90)
    book.run("e", ago=125.2, outcome=None)
    first, *others = lines()
    assert first == (
        "5 runs of 5 tasks in the last 24 hours: 2 failed, 1 retried, 1 skipped, 1 running"
    )
    assert others == [
        "a failed at HH:MM (exit 3) [RUN]",
        "b failed at HH:MM (exit 3), started at a terminal [RUN]",
        f"e runs for 2m (usually 1m30s), pid {os.getpid()}",
        f"the journal is in {book.home}",
    ]
    assert lines()[1:] == others  # nothing is remembered


def test_a_program_and_its_task_are_one_run_and_a_failure_is_counted_once(book: Book) -> None:
    good = book.run("inv", "process", ago=HOUR)
    book.run("db.migrate", "invoke", ago=HOUR, parent=good)
    bad = book.run("inv", "process", ago=2 * HOUR, outcome=failure("nested"))
    book.run("db.migrate", "invoke", ago=2 * HOUR, parent=bad, outcome=FAILED)
    several = book.run("make", "process", ago=3 * HOUR)
    for task in "ab":
        book.run(task, "click", ago=3 * HOUR, parent=several)
    assert lines()[0] == "5 runs of 4 tasks in the last 24 hours: 4 succeeded, 1 failed"


def test_a_server_has_no_usual_duration(book: Book) -> None:
    book.run("worker", ago=5 * DAY, duration=3, server=True)
    book.run("worker", ago=3 * HOUR + 1, outcome=None, server=True)
    assert lines()[2] == f"worker runs for 3h, pid {os.getpid()}"


def test_very_many_troubles_do_not_fill_the_screen(book: Book) -> None:
    for number in range(50):
        book.run(f"a{number}", ago=HOUR + number, outcome=FAILED)
        book.run(f"b{number}", ago=number, outcome=None)
    shown = lines()
    assert len(shown) == 1 + 20 + 1 + 20 + 1 + 1
    assert shown[21] == "30 more: see `autotask check --since 24h`"
    assert shown[42] == "30 more are running"


def test_before_the_first_run_it_says_where_it_looked(home: Path) -> None:
    assert str(home) in answer()
    assert not home.exists()


def test_a_terminal_shows_what_is_wrong_in_red(book: Book) -> None:
    book.run("a", ago=HOUR, outcome=FAILED)
    book.run("b\x1b[31m", ago=HOUR, outcome=FAILED)
    shown = on_terminal()
    assert "\x1b[31ma failed at" in shown
    assert "b\\x1b[31m failed" in shown
    assert "\x1b[" not in answer()


def test_the_help_names_it(book: Book) -> None:
    book.run()
    assert "[COMMAND ...]" in answer("--help")
    assert autotask("--").stdout == answer()
    assert due.MISSED not in answer()
