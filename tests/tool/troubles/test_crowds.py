"""Two runs of a task at the same time, and attempts that are tried again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tool.journals import DAY, HOUR, Book
from tool.schedule.test_due import job
from tool.troubles.conftest import settings

from autotask.run import Outcome, Run, failure
from autotask.tool.troubles.trouble import Trouble

Found = Callable[..., list[Trouble]]
MINUTE = 60.0
RETRIED = Outcome("retried", "exception")
AGO = 2 * HOUR  # the second run began; the first one an hour earlier


def overlaps(troubles: list[Trouble]) -> list[Trouble]:
    return [trouble for trouble in troubles if trouble.kind == "overlap"]


OVERLAPS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    # of the first run, of the second one; do they overlap?
    ({"duration": 2 * HOUR}, {}, True),
    ({"duration": HOUR - 1}, {}, False),
    ({"outcome": None}, {}, True),
    ({"outcome": None, "ago": 9 * DAY}, {}, True),
    ({"outcome": None}, {"outcome": None}, True),
    ({"duration": 2 * HOUR, "outcome": failure("exit")}, {"outcome": failure("nested")}, True),
    ({"duration": 2 * HOUR, "outcome": failure("lost")}, {}, False),  # its end is not known
    ({"outcome": None}, {"outcome": Outcome("skipped", "overlap")}, False),
    ({"outcome": None, "trigger": "systemd"}, {}, True),
    ({"outcome": None, "trigger": "terminal"}, {}, False),
    ({"outcome": None}, {"trigger": "unknown"}, False),  # perhaps meant so
    ({"outcome": None, "host": "other"}, {}, False),
    ({"outcome": None, "server": True}, {}, False),
    ({"outcome": None, "task": "other"}, {}, False),
    ({"outcome": None, "ago": 2 * DAY}, {"ago": DAY + MINUTE}, False),  # that was before
]


@pytest.mark.parametrize(("first", "second", "overlap"), OVERLAPS)
def test_runs_that_a_scheduler_started_overlap(
    book: Book, found: Found, first: dict[str, Any], second: dict[str, Any], overlap: bool
) -> None:
    book.run(**{"ago": AGO + HOUR, **first})
    run = book.run(**{"ago": AGO, **second})
    troubles = overlaps(found())
    assert [(one.task, one.times, one.run) for one in troubles] == [
        ("nightly", 1, run.id)
    ] * overlap


def test_the_longest_run_before_counts(book: Book, found: Found) -> None:
    book.run(ago=AGO + HOUR, duration=3 * HOUR)
    for minute in (30, 20, 10):
        book.run(ago=AGO + minute * MINUTE, duration=MINUTE)
    (trouble,) = overlaps(found())
    assert trouble.times == 3
    assert trouble.text.startswith("overlapped 3 times, last at ")
    assert trouble.text.endswith(" had not ended")


def test_a_run_that_overlapped_is_overlapped_in_turn(book: Book, found: Found) -> None:
    for ago, duration in ((6, 1), (5.5, 3), (3, 1), (1.5, 1)):
        book.run(ago=ago * HOUR, duration=duration * HOUR)
    (trouble,) = overlaps(found())
    assert trouble.times == 2


def test_what_runs_inside_a_program_may_run_side_by_side(book: Book, found: Found) -> None:
    program = Run("program", "process")
    for _ in range(2):
        book.run("task", ago=AGO, duration=HOUR, parent=program)
    assert overlaps(found()) == []


def test_jobs_that_share_a_name_may_run_side_by_side(book: Book, found: Found) -> None:
    for _ in range(2):
        book.run(ago=AGO, duration=HOUR)
    assert len(overlaps(found())) == 1
    assert len(overlaps(found(jobs=[job()._replace(name="nightly")]))) == 1
    assert overlaps(found(jobs=[job()._replace(name="nightly")] * 2)) == []


@pytest.mark.parametrize("section", [{"without": ["overlap"]}, {"retired": True}])
def test_the_file_can_allow_overlaps(book: Book, found: Found, section: dict[str, Any]) -> None:
    for _ in range(2):
        book.run(ago=AGO, duration=HOUR)
    assert overlaps(found(settings(**section))) == []


RETRIES: list[tuple[dict[str, Any], int, list[int], int]] = [
    # what the file says, attempts an hour last week, attempts in several hours; how often too many
    ({}, 1, [10], 0),
    ({}, 1, [11], 1),
    ({}, 0, [500], 0),  # nothing is known of the past
    ({}, 30, [60], 0),
    ({}, 30, [101], 1),
    ({"retries_an_hour": 5}, 0, [5], 0),
    ({"retries_an_hour": 5}, 30, [6], 1),
    ({"retries_an_hour": 5}, 0, [6, 0, 6], 2),
    ({"retries_an_hour": 5}, 0, [6, 6, 6], 1),
    ({"retries_an_hour": 5, "without": ["retries"]}, 0, [6], 0),
]


@pytest.mark.parametrize(("section", "usual", "hours", "times"), RETRIES)
def test_more_attempts_in_an_hour_than_usual_are_told(
    book: Book, found: Found, section: dict[str, Any], usual: int, hours: list[int], times: int
) -> None:
    for number in range(usual):
        book.run(ago=7 * DAY - number, outcome=RETRIED)
    for hour, count in enumerate(hours):
        for number in range(count):
            ago = (10 - hour) * HOUR - number * 50 * MINUTE / count
            book.run(ago=ago, outcome=RETRIED)
            book.run(ago=ago, outcome=RETRIED, trigger="terminal")
    troubles = found(settings(**section))
    assert [(one.kind, one.times) for one in troubles] == [("retries", times)] * (times > 0)


def test_an_hour_that_began_before_counts_from_its_begin(book: Book, found: Found) -> None:
    file = replace(settings(retries_an_hour=5))
    for number in range(20):
        book.run(ago=DAY + (10 - number) * MINUTE, outcome=RETRIED)
    assert found(file, span=DAY) == []  # it was too many before
    assert [one.kind for one in found(file, span=DAY + 6 * MINUTE)] == ["retries"]
