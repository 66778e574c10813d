"""`autotask tasks`: a line a task."""

from __future__ import annotations

import csv
import json
import re

import pytest
from tool.journals import DAY, HOUR, Book, answer, dead_process, records

from autotask.run import SKIPPED, SUCCESS, Outcome, failure
from autotask.tool.commands.tasks import Summary

FAILED = failure("exit", exit_code=1)
LOST = failure("lost")


def rows() -> dict[str, list[str]]:
    """Return the cells of each task's line."""
    heads, *lines = answer("tasks").splitlines()
    expected = ["TASK", "FRAMEWORK", "RUNS", "SUCCESS", "LAST", "LAST SUCCESS", "USUALLY", "TREND"]
    assert re.split(r" {2,}", heads) == expected
    return {cells[0]: cells[1:] for cells in (re.split(r" {2,}", line) for line in lines)}


def test_each_task_has_a_line_in_the_order_of_names(book: Book) -> None:
    for task, framework in (("b", "click"), ("a", "invoke"), ("b", "doit"), ("a", "invoke")):
        book.run(task, framework, ago=3 * HOUR)
    lines = [line.split()[:3] for line in answer("tasks").splitlines()[1:]]
    assert lines == [["a", "invoke", "2"], ["b", "click", "1"], ["b", "doit", "1"]]


RATES: list[tuple[list[Outcome | None], str, str]] = [
    ([SUCCESS], "100%", "success"),
    ([FAILED], "0%", "failure"),
    ([SUCCESS, FAILED], "50%", "failure"),
    ([FAILED, SUCCESS, SUCCESS], "66.6%", "success"),
    ([SUCCESS, SKIPPED], "100%", "skipped"),
    ([SKIPPED], "-", "skipped"),
    ([None], "-", "running"),
    ([FAILED, SUCCESS, None], "50%", "running"),
    ([FAILED, *[SUCCESS] * 1999], "99.9%", "success"),
]


@pytest.mark.parametrize(("outcomes", "rate", "last"), RATES)
def test_the_success_rate_counts_runs_that_did_something_and_ended(
    book: Book, outcomes: list[Outcome | None], rate: str, last: str
) -> None:
    for number, outcome in enumerate(outcomes):
        book.run(ago=3 * HOUR - number, outcome=outcome)
    (cells,) = rows().values()
    assert cells[1:4] == [str(len(outcomes)), rate, last]


@pytest.mark.parametrize(
    ("ago", "expected"), [(30, "30s ago"), (HOUR, "1h ago"), (150, "2m ago"), (90 * DAY, "90d ago")]
)
def test_the_last_success_is_shown_however_old_it_is(book: Book, ago: float, expected: str) -> None:
    book.run(ago=ago + 1.5, duration=1.5)
    book.run(ago=ago - 10, outcome=FAILED)
    assert rows()["nightly"][4] == expected


def test_a_task_that_never_succeeded_says_so(book: Book) -> None:
    book.run(outcome=FAILED)
    assert rows()["nightly"][3:] == ["failure", "never", "-", "-"]


def test_a_dead_process_makes_the_last_status_a_failure(book: Book) -> None:
    pid, identity = dead_process()
    book.run(outcome=None, pid=pid, identity=identity)
    assert rows()["nightly"][1:4] == ["1", "0%", "failure"]


TRENDS = [
    ([2.0], "2.00s", "-"),
    ([2.0] * 5, "2.00s", "-"),
    ([2.0] * 6, "2.00s", "→"),
    ([2.0] * 45 + [2.1] * 5, "2.00s", "→"),
    ([2.0] * 45 + [3.0] * 5, "2.00s", "↑ 50%"),
    ([2.0] * 45 + [1.0] * 5, "2.00s", "↓ 50%"),
    ([2.0] * 49 + [200.0], "2.00s", "→"),  # one of them is no trend
    ([9.0] * 100 + [2.0] * 50, "2.00s", "→"),  # what was usual once is not any more
    ([1.0, 2.0, 3.0, 4.0], "2.50s", "-"),
    ([0.0] * 10, "0ms", "-"),
    ([300.0] * 10, "5m00s", "→"),
]


@pytest.mark.parametrize(("durations", "usual", "trend"), TRENDS)
def test_the_last_successes_tell_the_usual_duration_and_its_trend(
    book: Book, durations: list[float], usual: str, trend: str
) -> None:
    for number, duration in enumerate(durations):
        book.run(ago=5 * HOUR - number * 60, duration=duration)
        book.run(ago=5 * HOUR - number * 60, duration=5000.0, outcome=FAILED)
    assert rows()["nightly"][5:] == [usual, trend]


FILTERS = [
    ("--task db.*", "db.check db.migrate"),
    ("--framework process", "nightly.py"),
    ("--since 2h", "db.check nightly.py"),
    ("--task db.* --since 2h --framework invoke", "db.check"),
    ("--task other", ""),
]


@pytest.mark.parametrize(("words", "expected"), FILTERS)
def test_only_the_tasks_with_runs_that_match_are_shown(
    book: Book, words: str, expected: str
) -> None:
    book.run("db.migrate", "invoke", ago=DAY)
    book.run("db.check", "invoke", ago=HOUR)
    book.run("nightly.py", "process", ago=HOUR)
    _, *lines = answer("tasks", *words.split()).splitlines()
    assert [line.split()[0] for line in lines] == expected.split()
    if not expected:
        assert answer("tasks", *words.split()) == "no runs match\n"


def test_since_counts_the_runs_after_it_and_looks_back_for_what_is_usual(book: Book) -> None:
    for number in range(6):
        book.run(ago=2 * DAY - number)
    book.run(ago=HOUR, outcome=FAILED)
    (line,) = answer("tasks", "--since", "24h").splitlines()[1:]
    assert re.split(r" {2,}", line)[2:] == ["1", "0%", "failure", "1d ago", "1.50s", "→"]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_programs_get_the_numbers(book: Book, form: str) -> None:
    book.run(ago=HOUR)
    book.run(ago=60, outcome=FAILED)
    book.run("other", "doit", outcome=None)
    printed = answer("tasks", "--format", form).splitlines()
    first: dict[str, object]
    if form == "jsonl":
        first, second = map(json.loads, printed)
    else:
        first, second = csv.DictReader(printed)
    expected = {
        "task": "nightly",
        "framework": "click",
        "runs": 2,
        "success_rate": 0.5,
        "last_status": "failure",
        "last_success": records()[0]["finished_at"],
        "usual_duration": 1.5,
        "trend": None,
    }
    as_text = {name: "" if value is None else str(value) for name, value in expected.items()}
    assert first == (expected if form == "jsonl" else as_text)
    assert second["task"] == "other"


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_before_the_first_run_only_people_get_a_hint(form: str) -> None:
    printed = answer("tasks", "--format", form)
    assert printed == ("" if form == "jsonl" else ",".join(Summary._fields) + "\n")


def test_before_the_first_run_there_is_a_hint() -> None:
    assert answer("tasks") == "no runs yet: try `autotask-run python script.py`\n"
