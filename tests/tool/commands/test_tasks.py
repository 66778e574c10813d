"""`autotask tasks`: a line a task."""

from __future__ import annotations

import csv
import json
import re
import time
from pathlib import Path

import pytest
from tool.journals import DAY, HOUR, Book, answer, dead_process, records

from autotask.run import SKIPPED, SUCCESS, Outcome, failure
from autotask.tool.summaries import Summary

FAILED = failure("exit", exit_code=1)
LOST = failure("lost")
RETRIED = Outcome("retried", "exception")


def rows() -> dict[str, list[str]]:
    """Return the cells of each task's line, without the time of its last run."""
    heads, *lines = answer("tasks").splitlines()
    expected = ["TASK", "FRAMEWORK", "RUNS", "SUCCESS", "LAST", "LAST RUN", "LAST SUCCESS"]
    assert re.split(r" {2,}", heads) == [*expected, "USUALLY", "TREND"]
    rows = [re.split(r" {2,}", line) for line in lines]
    return {cells[0]: [*cells[1:5], *cells[6:]] for cells in rows}


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
    ([SUCCESS, Outcome("paused")], "100%", "paused"),
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
    ("ago", "expected"), [(30, ""), (HOUR, "1h ago"), (150, "2m ago"), (90 * DAY, "90d ago")]
)
def test_the_last_success_is_shown_however_old_it_is(book: Book, ago: float, expected: str) -> None:
    begin = time.time()
    book.run(ago=ago + 1.5, duration=1.5)
    book.run(ago=ago - 10, outcome=FAILED)
    shown = rows()["nightly"][4]
    # The seconds go on until the command looks at the clock.
    seconds = range(int(ago), int(ago + time.time() - begin) + 1)
    later = [f"{number}s ago" if number < 60 else f"{number // 60}m ago" for number in seconds]
    assert shown in (later if ago < 60 else [expected])


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
    assert re.split(r" {2,}", line)[2:] == ["1", "0%", "failure", "1h ago", "1d ago", "1.50s", "→"]


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
        "retried": 0,
        "usual_waiting": None,
        "server": False,
        "bookkeeping": False,
        "last_run": records()[1]["started_at"],
        "next_due": None,
        "verdict": None,
        "missed": 0,
    }
    as_text = {name: "" if value is None else str(value) for name, value in expected.items()}
    assert first == (expected if form == "jsonl" else as_text)
    assert second["task"] == "other"


def test_attempts_that_were_retried_count_in_no_rate_and_have_a_column(book: Book) -> None:
    for number, outcome in enumerate([RETRIED, RETRIED, SUCCESS, RETRIED]):
        book.run("mail", "celery", ago=600 - number, outcome=outcome, attempt=number % 3 + 1)
    book.run("nightly")
    heads, mail, nightly = (re.split(r" {2,}", line) for line in answer("tasks").splitlines())
    assert heads[2:5] == ["RUNS", "RETRIED", "SUCCESS"]
    assert mail[2:6] == ["4", "3", "100%", "retried"]
    assert nightly[2:5] == ["1", "0", "100%"]


def test_the_usual_waiting_has_a_column_where_it_is_known(book: Book) -> None:
    for number in range(9):
        book.run("mail", "celery", ago=600 - number, waited=2.0 + number)
    book.run("mail", "celery", ago=60, waited=900.0, outcome=FAILED)
    book.run("nightly")
    heads, mail, nightly = (re.split(r" {2,}", line) for line in answer("tasks").splitlines())
    assert (heads[-1], mail[-1], nightly[-1]) == ("WAITS", "6.00s", "-")
    assert json.loads(answer("tasks", "--format", "jsonl").splitlines()[0])["usual_waiting"] == 6.0


def test_a_server_has_no_usual_duration_and_no_rate_before_it_ends(book: Book) -> None:
    book.run("worker", ago=9 * HOUR, outcome=None, server=True)
    assert rows()["worker"][2:] == ["-", "running", "never", "server", "-"]
    for number in range(6):
        book.run("uvicorn", ago=9 * HOUR - number, duration=3600.0 + number, server=True)
    assert rows()["uvicorn"][1:] == ["6", "100%", "success", "7h ago", "server", "-"]
    found = [json.loads(line) for line in answer("tasks", "--format", "jsonl").splitlines()]
    assert [(task["server"], task["usual_duration"]) for task in found] == [(True, None)] * 2


def test_the_bookkeeping_of_frameworks_is_listed_once_it_failed_or_if_it_is_asked_for(
    book: Book,
) -> None:
    def listed(*words: str) -> list[list[str]]:
        return [re.split(r" {2,}", line) for line in answer("tasks", *words).splitlines()[1:]]

    for number in range(3):
        ago = 3.5 * HOUR - number
        book.run("environment", "rake", ago=ago, duration=2.0, bookkeeping=True, ruby="3.1.2")
        book.run("db:migrate", "rake", ago=ago, ruby="3.1.2")
    kind = "rake (bookkeeping)"
    environment = ["environment", kind, "3", "100%", "success", "3h ago", "3h ago", "2.00s", "-"]
    assert [row[0] for row in listed()] == ["db:migrate"]
    assert listed("--task", "e*") == []
    assert listed("--task", "environment") == [environment]
    assert [row[0] for row in listed("--all")] == ["db:migrate", "environment"]
    fields = ("task", "bookkeeping")
    found = map(json.loads, answer("tasks", "--all", "--format", "jsonl").splitlines())
    assert [[task[field] for field in fields] for task in found] == [
        ["db:migrate", False],
        ["environment", True],
    ]
    # One failure, and its successes count, too: else its rate would be 0%.
    book.run("environment", "rake", ago=5 * HOUR, outcome=FAILED, bookkeeping=True, ruby="3.1.2")
    assert listed("--task", "e*") == [[*environment[:2], "4", "75%", *environment[4:]]]
    assert [row[0] for row in listed("--since", "270m")] == ["db:migrate"]


def test_a_task_that_a_framework_also_runs_for_itself_has_a_line_without_that(book: Book) -> None:
    """As Rails dumps the schema after each migration."""
    for number in range(3):
        book.run("db:schema:dump", "rake", ago=4 * HOUR - number, bookkeeping=True, duration=9.0)
    book.run("db:schema:dump", "rake", ago=3 * HOUR, outcome=FAILED)
    book.run("db:schema:dump", "rake", ago=4.5 * HOUR)
    listed, (own, bookkeeping) = rows(), answer("tasks", "--all").splitlines()[1:]
    assert listed == {
        "db:schema:dump": ["rake", "2", "50%", "failure", "4h ago", "1.50s", "-"],
    }
    assert re.split(r" {2,}", own)[1:3] == ["rake", "2"]
    assert re.split(r" {2,}", bookkeeping)[1:4] == ["rake (bookkeeping)", "3", "100%"]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_before_the_first_run_only_people_get_a_hint(form: str) -> None:
    printed = answer("tasks", "--format", form)
    assert printed == ("" if form == "jsonl" else ",".join(Summary._fields) + "\n")


def test_before_the_first_run_there_is_a_hint(home: Path) -> None:
    assert answer("tasks") == f"no runs yet in {home}: try `autotask-run python script.py`\n"


def tasks(*words: str) -> list[str]:
    return [line.split()[0] for line in answer("tasks", *words).splitlines()[1:]]


def test_tasks_are_chosen_by_the_status_of_their_last_run(book: Book) -> None:
    book.run("mended", ago=900, outcome=FAILED)
    book.run("mended", ago=800)
    book.run("broken", ago=700)
    book.run("broken", ago=600, outcome=FAILED)
    book.run("idle", ago=500, outcome=SKIPPED)
    assert tasks("--status", "failure") == ["broken"]
    assert tasks("--status", "failure,skipped") == ["broken", "idle"]
    assert tasks("--status", "success", "--status", "skipped") == ["idle", "mended"]
    (summary,) = json.loads(answer("tasks", "--status", "failure", "--format", "json"))
    assert (summary["task"], summary["runs"]) == ("broken", 2)
    assert answer("tasks", "--status", "retried") == "no runs match\n"
    told = "no runs match: failed is not a status: success, failure"
    assert answer("tasks", "--status", "failed").startswith(told)


def test_the_runs_of_tasks_are_chosen_by_all_filters(book: Book) -> None:
    book.run("mail", ago=900, trigger="terminal", outcome=FAILED)
    book.run("mail", ago=800, host="web1", identity="x/1/2")
    book.run("other", ago=700)
    for words in (["--trigger", "terminal"], ["--reason", "exit"]):
        (summary,) = json.loads(answer("tasks", *words, "--format", "json"))
        assert (summary["task"], summary["runs"], summary["success_rate"]) == ("mail", 1, 0)
    assert tasks("--host", "web1,web2") == ["mail"]
    assert tasks("--tag", "team:north") == ["mail", "other"]


SORTED = [
    ("task", "fast often slow unknown"),
    ("runs", "often fast slow unknown"),
    ("success", "often fast slow unknown"),
    ("last-run", "unknown fast slow often"),
    ("duration", "slow often fast unknown"),
]


@pytest.mark.parametrize(("by", "expected"), SORTED)
def test_tasks_are_sorted(book: Book, by: str, expected: str) -> None:
    for ago, outcome in ((9000, SUCCESS), (8000, FAILED)):
        book.run("often", ago=ago, duration=20, outcome=outcome)
    book.run("slow", ago=7000, duration=300)
    book.run("fast", ago=6000, duration=1)
    book.run("unknown", ago=50, outcome=None)
    assert tasks("--sort", by) == expected.split()
