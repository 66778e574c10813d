"""Failures: which count, and how they are told."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from tool.journals import DAY, HOUR, Book, dead_process
from tool.troubles.conftest import settings

from autotask.run import SKIPPED, SUCCESS, Outcome, failure
from autotask.tool.troubles.trouble import Trouble

Found = Callable[..., list[Trouble]]
FAILED = failure("exit", exit_code=3)
ERROR = {"type": "ValueError", "message": "no rows", "where": "a.py:3"}


def test_failures_of_a_task_are_one_trouble_about_the_last(book: Book, found: Found) -> None:
    book.run("fine")
    for ago in (30 * HOUR, 3 * HOUR, HOUR):
        last = book.run("nightly", ago=ago, outcome=FAILED)
    (trouble,) = found()
    assert (trouble.kind, trouble.task, trouble.times) == ("failed", "nightly", 2)
    assert trouble.run == last.id
    assert trouble.text.startswith("failed 2 times, last at ")
    assert trouble.text.endswith(" (exit 3)")


REASONS = [
    (failure("exit", exit_code=3), " (exit 3)"),
    (failure("exception", error=ERROR), " (exception ValueError: no rows)"),
    (failure("signal", signal="SIGKILL"), " (signal SIGKILL)"),
    (failure("timeout"), " (timeout)"),
    (Outcome("failure"), ""),
]


@pytest.mark.parametrize(("outcome", "text"), REASONS)
def test_a_failure_is_told_with_its_reason(
    book: Book, found: Found, outcome: Outcome, text: str
) -> None:
    book.run(ago=HOUR, outcome=outcome)
    (trouble,) = found()
    at, _, rest = trouble.text.removeprefix("failed at ").partition(" ")
    assert len(at) == len("03:12")
    assert rest == text.strip()


OUTPUTS = [
    ("starting\ntar: disk full\n \n", ": tar: disk full"),
    ("Traceback:\nValueError: no rows", ""),  # the reason says the same
    ("", ""),
    ("autotask-run: tidy.py: command not found", ""),
    ("tar: disk full\nautotask-run: stopped after 30m", ": tar: disk full"),
    ("a.rb:3:in 'x': no rows (ValueError)", ""),  # as Ruby says it
    ("there are no rows", ": there are no rows"),
    ("x" * 1000, f": {'x' * 197}..."),
]


@pytest.mark.parametrize(("output", "told"), OUTPUTS)
def test_the_last_line_of_the_output_is_told(
    book: Book, found: Found, output: str, told: str
) -> None:
    run = book.run(ago=HOUR, outcome=failure("exception", error=ERROR))
    folder = book.home / "output"
    folder.mkdir(mode=0o700)
    (folder / run.id).write_text(output)
    (trouble,) = found()
    assert trouble.text.partition("no rows)")[2] == told


SINCE: list[tuple[dict[str, Any], str]] = [
    ({}, "(exit 3), has succeeded since"),
    ({"trigger": "terminal"}, "(exit 3), has succeeded since"),
    ({"ago": 3 * HOUR}, "(exit 3)"),
    ({"outcome": SKIPPED}, "(exit 3)"),
    ({"task": "other"}, "(exit 3)"),
]


@pytest.mark.parametrize(("run", "told"), SINCE)
def test_a_success_since_is_told(book: Book, found: Found, run: dict[str, Any], told: str) -> None:
    book.run(ago=2 * HOUR, outcome=FAILED)
    book.run(**{"ago": HOUR, **run})
    (trouble,) = found()
    assert trouble.text.endswith(told)


NOT_TOLD = [
    {"outcome": failure("nested")},
    {"outcome": FAILED, "trigger": "terminal"},
    {"outcome": Outcome("retried", "exception")},
    {"outcome": SKIPPED},
    {"outcome": SUCCESS},
    {"outcome": Outcome("paused")},
    {"outcome": FAILED, "ago": 2 * DAY},
    {"outcome": FAILED, "ago": -HOUR},  # by a clock that was wrong: when that time has come
]


@pytest.mark.parametrize("run", NOT_TOLD)
def test_these_are_not_told(book: Book, found: Found, run: dict[str, Any]) -> None:
    book.run(**{"ago": HOUR, **run})
    assert found() == []


def test_a_failure_of_bookkeeping_is_told_because_what_it_broke_is_not(
    book: Book, found: Found
) -> None:
    program = book.run("rake", "process", ago=HOUR, outcome=failure("nested"))
    book.run("environment", "rake", ago=HOUR, outcome=FAILED, bookkeeping=True, parent=program)
    book.run("other", "rake", ago=HOUR, bookkeeping=True, parent=program)
    assert [trouble.task for trouble in found()] == ["environment"]


def test_a_run_whose_process_died_is_told_though_its_end_cannot_be_written(
    book: Book, found: Found
) -> None:
    pid, identity = dead_process()
    book.run(ago=3 * DAY, outcome=None, pid=pid, identity=identity)
    (trouble,) = found()
    assert trouble.text.endswith("(lost)")


def test_a_failure_that_began_long_ago_is_told_when_it_ends(book: Book, found: Found) -> None:
    book.run(ago=9 * DAY, duration=9 * DAY - HOUR, outcome=FAILED)
    assert [trouble.kind for trouble in found()] == ["failed"]


IN_A_ROW: list[tuple[dict[str, Any], str, list[tuple[str, int]]]] = [
    ({"failures_in_a_row": 3}, "FF", []),
    ({"failures_in_a_row": 3}, "FFF", [("in a row", 1)]),
    ({"failures_in_a_row": 3}, "FFFFFF", [("in a row", 1)]),
    ({"failures_in_a_row": 3}, "FFSFF", []),
    ({"failures_in_a_row": 3}, "FFSFFF", [("in a row", 1)]),
    ({"failures_in_a_row": 3}, "FFFSFFF", [("in a row", 2)]),
    ({"failures_in_a_row": 2}, "FskrF", [("in a row", 1)]),  # these are neither
    ({"failures_in_a_row": 2}, "F|F", [("in a row", 1)]),  # one was before
    ({"failures_in_a_row": 2}, "FF|F", []),
    ({"latched": True}, "FFF", [("failed", 1)]),
    ({"latched": True}, "F|F", []),
    ({"latched": True}, "F|SF", [("failed", 1)]),
    ({"latched": True}, "FSF", [("failed", 2)]),
    ({"without": ["failed"]}, "FFF", []),
    ({"without": ["slow"]}, "F", [("failed", 1)]),
    ({"retired": True, "failures_in_a_row": 3}, "FF", [("failed", 2)]),  # by the defaults
]
OUTCOMES = {
    "F": FAILED,
    "S": SUCCESS,
    "s": SKIPPED,
    "k": failure("nested"),
    "r": Outcome("retried", "exception"),
}


@pytest.mark.parametrize(("section", "runs", "expected"), IN_A_ROW)
def test_the_file_says_how_many_failures_in_a_row_count(
    book: Book, found: Found, section: dict[str, Any], runs: str, expected: list[tuple[str, int]]
) -> None:
    before, _, inside = runs.rpartition("|")
    for ago, letters in ((2 * DAY, before), (10 * HOUR, inside)):
        for number, letter in enumerate(letters):
            book.run(ago=ago - number * HOUR, outcome=OUTCOMES[letter])
    troubles = found(settings(**section))
    assert [(trouble.kind, trouble.times) for trouble in troubles] == expected


def test_each_failure_of_a_server_counts(book: Book, found: Found, standing: Found) -> None:
    for hour in range(3):
        book.run(ago=(hour + 1) * HOUR, outcome=FAILED, server=True)
    (trouble,) = found(settings(latched=True, failures_in_a_row=9))
    assert (trouble.kind, trouble.times) == ("failed", 3)
    (trouble,) = standing(settings(latched=True, failures_in_a_row=9))
    assert (trouble.kind, trouble.times) == ("failed", 1)


STANDING: list[tuple[dict[str, Any], str, list[str]]] = [
    ({}, "SF", ["failed"]),
    ({}, "FS", []),
    ({}, "Fskr", ["failed"]),
    ({"failures_in_a_row": 2}, "SF", []),
    ({"failures_in_a_row": 2}, "FF", ["in a row"]),
    ({"failures_in_a_row": 2}, "FFS", []),
    ({"without": ["failed"]}, "F", []),
    ({"retired": True}, "F", []),
]


@pytest.mark.parametrize(("section", "runs", "expected"), STANDING)
def test_now_the_last_runs_count_however_long_ago(
    book: Book, standing: Found, section: dict[str, Any], runs: str, expected: list[str]
) -> None:
    for number, letter in enumerate(runs):
        book.run(ago=20 * DAY - number * HOUR, outcome=OUTCOMES[letter])
    file = settings(**section)
    assert [trouble.kind for trouble in standing(file)] == expected
    assert standing(file, since=time.time() - 19 * DAY) == []


def test_a_success_by_hand_mends_a_failure(book: Book, standing: Found) -> None:
    book.run(ago=2 * HOUR, outcome=FAILED)
    assert [trouble.kind for trouble in standing()] == ["failed"]
    book.run(ago=HOUR, trigger="terminal")
    assert standing() == []
