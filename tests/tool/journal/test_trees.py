"""`autotask runs --tree`: runs with those around them and those in them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from tool.journals import Book, answer, on_terminal

from autotask.run import Run, failure
from autotask.tool.journal import below

EXIT = failure("exit", exit_code=3)


def drawn(*words: str, env: Mapping[str, str] | None = None) -> list[str]:
    """Return the column of the names, with what is drawn before them."""
    return names(answer("runs", "--tree", *words, env=env))


def names(table: str) -> list[str]:
    """Return the same of a table."""
    heads, *rows = table.splitlines()
    start, end = heads.index("TASK"), heads.index("STATUS")
    return [row[start:end].rstrip() for row in rows]


def on_window(rows: int) -> str:
    """Return what a terminal of so many lines shows, without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", on_terminal("runs", "--tree", rows=rows))


def night(book: Book) -> None:
    """Write a job with several layers, one with a single task, and one in between."""
    top = book.run("nightly.sh", "process", ago=900, outcome=None)
    inner = book.run("shop.py", "process", ago=800, parent=top, outcome=None)
    first = book.run("fetch", ago=700, parent=inner)
    book.run("part", ago=690, parent=first)
    book.run("environment", "rake", ago=685, parent=first, bookkeeping=True)
    cause = book.run("ship", ago=680, parent=inner, outcome=EXIT)
    book.run("between", ago=650)
    book.run("clean", ago=600, parent=top)
    for run in (inner, top):
        book.finish(run, failure("nested", caused_by=cause.id), ago=500)
    single = book.run("tidy.sh", "process", ago=400)
    book.run("tidy", ago=390, parent=single)


TIDY = ["tidy.sh", "└── tidy"]
NIGHTLY = [
    "nightly.sh",
    "├── shop.py",
    "│   ├── fetch",
    "│   │   └── part",
    "│   └── ship",
    "└── clean",
]
# What is asked for, and what is drawn: that, what it is in, and what is in it.
ASKED: list[tuple[str, list[str]]] = [
    ("", [*TIDY, *NIGHTLY, "between"]),
    ("--limit 1", TIDY),
    ("--limit 2", [*TIDY, "nightly.sh", "├── clean", "└── and 1 more"]),
    ("--status failure", [
        "nightly.sh", "├── shop.py", "│   ├── ship", "│   └── and 1 more", "└── and 1 more",
    ]),
    ("--task part", [*NIGHTLY[:4], "│   └── and 1 more", "└── and 1 more"]),
    ("--task shop.py", [*NIGHTLY[:5], "└── and 1 more"]),
    ("--task nightly.sh", NIGHTLY),
    ("--task between --since 1h", ["between"]),
    ("--all --task between,environment", [
        "between", *NIGHTLY[:3], "│   │   ├── environment", "│   │   └── and 1 more",
        "│   └── and 1 more", "└── and 1 more",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("words", "expected"), ASKED)
def test_runs_are_drawn_with_those_around_and_inside_them(
    book: Book, words: str, expected: list[str]
) -> None:
    night(book)
    assert drawn(*words.split()) == expected


def test_a_terminal_without_lines_gets_letters(book: Book) -> None:
    night(book)
    trees = drawn("--task", "shop.py", env={"PYTHONIOENCODING": "ascii"})
    assert trees[1:4] == ["+-- shop.py", "|   +-- fetch", "|   |   `-- part"]


def test_the_newest_tree_is_at_the_bottom_of_a_terminal(book: Book) -> None:
    night(book)
    assert names(on_window(12)) == ["between", *NIGHTLY, *TIDY]


def test_a_tree_that_does_not_fit_is_left_out_whole(book: Book) -> None:
    night(book)
    for rows, shown, told in (
        (11, [*NIGHTLY, *TIDY], "1 earlier run: --limit 0 lists all"),
        (10, TIDY, "5 earlier runs: --limit 0 lists all"),
        (3, TIDY, "5 earlier runs: --limit 0 lists all"),  # at least one
    ):
        first, _, table = on_window(rows).partition("\n")
        assert (first, names(table)) == (told, shown)


def test_runs_that_are_each_others_parents_are_drawn_once(book: Book) -> None:
    one, other = Run("one", "click"), Run("other", "click")
    for run, parent in ((one, other), (other, one)):
        book.line(
            f'{{"event":"started","run":"{run.id}","root":"{one.id}","parent":"{parent.id}",'
            f'"at":"2026-11-25T10:00:00.000000Z","task":"{run.task}"}}'
        )
    assert drawn() == ["one", "└── other"]


def test_of_very_many_runs_inside_one_some_are_drawn(book: Book) -> None:
    top = book.run("worker", "process", ago=9000, outcome=None, server=True)
    for number in range(below.FEW + 100):
        book.run("mail", "celery", ago=8000 - number, parent=top)
    some = drawn("--task", "worker")
    assert (len(some), some[-1]) == (1 + below.FEW + 1, "└── and 100 more")
    mails = ["├── mail"] * 3
    assert drawn("--limit", "3") == ["worker", *mails, "└── and 297 more"]
    for number in range(below.FEW + 100, 1004):
        book.run("mail", "celery", ago=8000 - number, parent=top)
    assert drawn("--limit", "3") == ["worker", *mails, "└── and more than 1000 more"]
