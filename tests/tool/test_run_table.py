"""Runs as a table: what fits the window, how many more there are, and times with their zone."""

from __future__ import annotations

import re

import pytest
from tool.journals import Book, answer, on_terminal

from autotask.run import failure
from autotask.tool.commands import runs

LONG = {"type": "ValueError", "message": "a message that is too long for the row " * 3}


def shown(*words: str, rows: int = 0, columns: int = 80) -> list[str]:
    """Return the lines of a terminal without their colours."""
    text = on_terminal("runs", *words, rows=rows, columns=columns)
    return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()


def tasks(lines: list[str]) -> list[str]:
    return [task for line in lines for task in re.findall(r"\btask\d+", line)]


@pytest.mark.parametrize(("rows", "newest"), [(10, 7), (24, 21), (4, 1), (2, 1)])
def test_a_terminal_shows_the_newest_runs_that_fit_it(book: Book, rows: int, newest: int) -> None:
    for number in range(30):
        book.run(f"task{number}", ago=500 - number)
    note, heads, *lines = shown(rows=rows)
    assert note == f"{30 - newest} earlier runs: --limit 0 lists all"
    assert heads.split()[0] == "RUN"
    assert tasks(lines) == [f"task{number}" for number in range(30 - newest, 30)]


def test_a_reason_below_its_run_takes_a_line_of_the_window(book: Book) -> None:
    for number in range(30):
        book.run(f"task{number}", ago=500 - number, outcome=failure("exception", error=LONG))
    lines = shown(rows=11, columns=60)
    assert len(lines) == 10
    assert tasks(lines) == ["task26", "task27", "task28", "task29"]
    assert lines[0].startswith("26 earlier runs")


def test_what_fits_is_shown_without_a_word(book: Book) -> None:
    for number in range(7):
        book.run(f"task{number}", ago=500 - number)
    heads, *lines = shown(rows=10)
    assert (heads.split()[0], len(lines)) == ("RUN", 7)
    assert shown(rows=9)[0] == "1 earlier run: --limit 0 lists all"


@pytest.mark.parametrize(("limit", "told"), [("12", "18 earlier runs"), ("0", ""), ("40", "")])
def test_a_terminal_shows_as_many_runs_as_are_asked_for(book: Book, limit: str, told: str) -> None:
    for number in range(30):
        book.run(f"task{number}", ago=500 - number)
    lines = shown("--limit", limit, rows=10)
    assert tasks(lines) == [f"task{number}" for number in range(30)][-int(limit) :]
    assert lines[0].startswith(told or "RUN")


def test_only_so_many_of_the_earlier_runs_are_counted() -> None:
    counted = runs._COUNTED
    assert runs._more(lambda enough: enough, True, 50).startswith(f"more than {counted} earlier")
    assert runs._more(lambda _: counted + 50, True, 50).startswith(f"{counted} earlier runs: ")
    assert runs._more(lambda _: 51, False, 50).startswith("1 more run: ")


def test_in_a_pipe_nothing_is_said_of_earlier_runs(book: Book) -> None:
    for number in range(60):
        book.run(f"task{number}", ago=500 - number)
    assert len(answer("runs").splitlines()) == 51
    assert "earlier" not in answer("runs")


def test_runs_are_sorted_by_what_they_took(book: Book) -> None:
    for number, duration in enumerate((5.0, 900.0, 0.5)):
        book.run(f"task{number}", ago=2000, duration=duration, waited=number)
    book.run("task3", ago=1000, outcome=None)
    assert tasks(answer("runs", "--sort", "duration").splitlines()) == [
        "task3", "task1", "task0", "task2",
    ]  # fmt: skip
    assert tasks(shown("--sort", "duration")) == ["task2", "task0", "task1", "task3"]
    assert shown("--sort", "duration", rows=5)[0] == "2 more runs: --limit 0 lists all"
    csv = answer("runs", "--sort", "duration", "--limit", "2", "--format", "csv")
    assert tasks(csv.splitlines()) == ["task1", "task3"]
    assert tasks(answer("runs", "--sort", "waited", "--limit", "1").splitlines()) == ["task2"]


def started(book: Book, *moments: str) -> None:
    for number, moment in enumerate(moments):
        book.line(
            f'{{"event":"started","run":"{number:016x}","at":"{moment}.000000Z",'
            f'"task":"task{number}"}}'
        )


ZONES = [("UTC", "UTC", "11:00:00"), ("Asia/Kolkata", "+05:30", "16:30:00"),
         ("America/St_Johns", "-03:30", "07:30:00")]  # fmt: skip


@pytest.mark.parametrize(("name", "offset", "time"), ZONES)
def test_the_zone_of_all_times_is_at_the_head_of_their_column(
    book: Book, name: str, offset: str, time: str
) -> None:
    started(book, "2020-11-25T11:00:00", "2020-11-26T11:00:00")
    heads, *rows = answer("runs", env={"TZ": name}).splitlines()
    assert f"  STARTED {offset}  " in heads
    assert [row[10:26].strip() for row in rows] == [
        f"2020-11-26 {time[:5]}", f"2020-11-25 {time[:5]}",
    ]  # fmt: skip


def test_a_change_of_the_clock_between_runs_is_shown(book: Book) -> None:
    started(book, "2020-10-25T00:30:00", "2020-10-25T01:30:00")
    heads, *rows = answer("runs", env={"TZ": "Europe/Berlin"}).splitlines()
    assert heads.split()[:3] == ["RUN", "STARTED", "TASK"]
    assert [row[10:32] for row in rows] == ["2020-10-25 02:30+01:00", "2020-10-25 02:30+02:00"]


def test_a_start_that_is_no_time_is_shown_as_it_is(book: Book) -> None:
    started(book, "2020-10-25T00:30:00")
    book.line('{"event":"started","run":"00000000000000aa","at":"soon","task":"task9"}')
    heads, *rows = answer("runs", env={"TZ": "UTC"}).splitlines()
    assert "STARTED UTC" in heads
    assert {row.split()[1] for row in rows} == {"soon", "2020-10-25"}
