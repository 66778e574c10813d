"""Runs that hang, and runs that were slow."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from tool.journals import DAY, HOUR, Book
from tool.troubles.conftest import settings

from autotask.run import Run, failure
from autotask.tool.troubles.trouble import Trouble

Found = Callable[..., list[Trouble]]
MINUTE = 60.0


def history(
    book: Book,
    task: str = "nightly",
    count: int = 6,
    duration: float = 100,
    framework: str = "click",
) -> None:
    for day in range(count):
        book.run(task, framework, ago=(day + 2) * DAY, duration=duration)
        book.run(task, framework, ago=(day + 2) * DAY, duration=9999, outcome=failure("exit"))


def kinds(troubles: list[Trouble]) -> list[tuple[str, str]]:
    """Return what is told of durations: the tasks have not run for two days, either."""
    about = ("hanging", "slow")
    return [(trouble.kind, trouble.task) for trouble in troubles if trouble.kind in about]


HANGING: list[tuple[dict[str, Any], int, float, dict[str, Any], bool]] = [
    # what the file says, successes before, minutes so far, more about the run; does it hang?
    ({}, 6, 11, {}, True),
    ({}, 6, 9, {}, False),
    ({}, 4, 600, {}, False),  # too few successes
    ({"hung_after": "1m"}, 0, 2, {}, True),
    ({"hung_after": "1h"}, 6, 50, {}, False),
    ({}, 6, 11, {"trigger": "terminal"}, False),
    ({}, 6, 11, {"server": True}, False),
    ({}, 6, 11, {"bookkeeping": True}, False),
    ({"without": ["hung"]}, 6, 11, {}, False),
    ({"retired": True}, 6, 11, {}, False),
    ({"without": ["slow"]}, 6, 11, {}, True),
]


@pytest.mark.parametrize(("section", "before", "minutes", "run", "hangs"), HANGING)
def test_a_run_hangs_after_three_times_its_longest(
    book: Book, found: Found, section: dict[str, Any], before: int, minutes: float,
    run: dict[str, Any], hangs: bool,
) -> None:  # fmt: skip
    history(book, count=before)
    hung = book.run(ago=minutes * MINUTE, outcome=None, **run)
    troubles = found(settings(**section))
    assert kinds(troubles) == [("hanging", "nightly")] * hangs
    if hangs:
        assert troubles[0].run == hung.id
        assert f", for {minutes:.0f}m" in troubles[0].text
        assert troubles[0].text.endswith(f", pid {os.getpid()}")


def nest(book: Book, *tasks: str, **more: Any) -> Run:
    """Write runs inside each other, which are running; return the innermost."""
    run: Run | None = None
    for number, task in enumerate(tasks):
        framework = "click" if number else "process"
        server = task == "worker"
        run = book.run(
            task, framework, ago=HOUR - number, outcome=None, parent=run, server=server, **more
        )
    assert run is not None
    return run


def test_of_a_program_that_hangs_the_innermost_run_is_told_once(book: Book, found: Found) -> None:
    for task in ("program", "task", "step"):
        history(book, task)
    nest(book, "program", "task", "step")
    assert kinds(found()) == [("hanging", "step")]


def test_a_program_hangs_too_if_nothing_is_known_of_its_task(book: Book, found: Found) -> None:
    history(book, "program")
    nest(book, "program", "task")
    assert kinds(found()) == [("hanging", "program")]


def test_each_task_of_a_server_hangs_by_itself(book: Book, found: Found) -> None:
    for task in ("worker", "a", "b"):
        history(book, task)
    worker = nest(book, "worker")
    for task in ("a", "b"):
        book.run(task, "click", ago=HOUR, outcome=None, parent=worker)
    assert sorted(kinds(found())) == [("hanging", "a"), ("hanging", "b")]


SLOW: list[tuple[dict[str, Any], int, float, dict[str, Any], bool]] = [
    # what the file says, successes before, seconds it took, more about the run; was it slow?
    ({}, 6, 400, {}, True),
    ({}, 6, 200, {}, False),
    ({}, 4, 4000, {}, False),
    ({"slow_after": "20s"}, 0, 21, {}, True),
    ({"slow_after": "20s"}, 6, 19, {}, False),
    ({"slow_after": "1h"}, 6, 400, {}, False),
    ({}, 6, 400, {"trigger": "terminal"}, False),
    ({}, 6, 400, {"server": True}, False),
    ({}, 6, 400, {"bookkeeping": True}, False),
    ({}, 6, 400, {"outcome": failure("nested")}, False),
    ({"without": ["slow"]}, 6, 400, {}, False),
    ({}, 6, 400, {"ago": DAY + 500}, False),  # it ended before
    ({}, 6, 400, {"ago": DAY + 100}, True),  # it only began before
]


@pytest.mark.parametrize(("section", "before", "seconds", "run", "slow"), SLOW)
def test_a_run_was_slow_after_twice_its_longest(
    book: Book, found: Found, section: dict[str, Any], before: int, seconds: float,
    run: dict[str, Any], slow: bool,
) -> None:  # fmt: skip
    history(book, count=before)
    book.run(**{"ago": HOUR, "duration": seconds, **run})
    troubles = found(settings(**section))
    assert kinds(troubles) == [("slow", "nightly")] * slow


def test_short_tasks_are_never_slow_below_a_minute(book: Book, found: Found) -> None:
    history(book, duration=0.1)
    history(book, "other", duration=0.1)
    book.run("other", ago=2 * HOUR, duration=59)
    book.run(ago=HOUR, duration=61)
    (trouble,) = found()
    assert trouble.text.endswith(": it took 1m01s (limit: 1m)")


def test_several_slow_runs_are_one_trouble(book: Book, found: Found) -> None:
    history(book, count=60)
    for hour in range(3):
        book.run(ago=(hour + 1) * HOUR, duration=1000)
    (trouble,) = found()
    assert (trouble.kind, trouble.times) == ("slow", 3)
    assert trouble.text.startswith("was slow 3 times, last at ")


def test_of_a_slow_program_the_innermost_run_is_told(book: Book, found: Found) -> None:
    history(book, "program", framework="process")
    history(book, "task")
    program = book.run("program", "process", ago=HOUR, duration=1001)
    book.run("task", "click", ago=HOUR, duration=1000, parent=program)
    assert kinds(found()) == [("slow", "task")]


def test_a_program_and_its_task_of_one_name_are_one(book: Book, found: Found) -> None:
    for day in range(6):
        program = book.run("nightly", "process", ago=(day + 2) * DAY, duration=900)
        book.run("nightly", "click", ago=(day + 2) * DAY, duration=100, parent=program)
    program = book.run("nightly", "process", ago=HOUR, duration=901)
    book.run("nightly", "click", ago=HOUR, duration=400, parent=program)
    (trouble,) = found()  # by what the task takes, not by what the program does
    assert trouble.text.endswith(": it took 6m40s (limit: 4m)")


def test_now_only_the_last_run_is_slow(book: Book, standing: Found) -> None:
    history(book)
    book.run(ago=2 * HOUR, duration=400)
    assert kinds(standing()) == [("slow", "nightly")]
    book.run(ago=HOUR, duration=100)
    assert standing() == []
