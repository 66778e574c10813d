"""What went wrong in a day, all kinds together."""

from __future__ import annotations

from collections.abc import Callable

from tool.journals import HOUR, Book

from autotask.run import Outcome, failure
from autotask.tool.troubles.trouble import Trouble

Found = Callable[..., list[Trouble]]


def test_the_worst_comes_first_and_of_one_kind_the_newest(book: Book, found: Found) -> None:
    for day in range(1, 8):
        book.run("slow", ago=day * 24 * HOUR, duration=100)
        book.run("gone", ago=(day + 2) * 24 * HOUR)
    book.run("slow", ago=HOUR, duration=1000)
    book.run("a", ago=3 * HOUR, outcome=failure("exit"))
    book.run("b", ago=2 * HOUR, outcome=failure("exit"))
    troubles = [(trouble.kind, trouble.task) for trouble in found()]
    assert troubles == [("failed", "b"), ("failed", "a"), ("missed", "gone"), ("slow", "slow")]


def test_only_the_tasks_that_are_asked_for_count(book: Book, found: Found) -> None:
    for task in ("db.a", "db.b", "web"):
        book.run(task, ago=HOUR, outcome=failure("exit"))
    assert {trouble.task for trouble in found(tasks=["db.*"])} == {"db.a", "db.b"}
    assert {trouble.task for trouble in found(tasks=["db.[!a]", "web"])} == {"db.b", "web"}


def test_all_is_well_before_the_first_run_and_after_good_ones(book: Book, found: Found) -> None:
    book.run(ago=HOUR)
    book.run(ago=HOUR / 2, outcome=Outcome("skipped"))
    book.run(ago=60, outcome=None)
    assert found() == []
