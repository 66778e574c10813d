"""`autotask show`: one run with its children."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support import Ended
from tool.journals import Book, answer, autotask, records

from autotask.run import SUCCESS, Outcome, Run, failure
from autotask.tool.journal import below

ERROR = {"type": "ValueError", "message": "no such shop", "where": "/srv/shop.py:3"}

NEITHER = "is neither a task that ran nor a run id: 4 to 16 hex digits, as in `autotask runs`"
TIME = r"\d\d-\d\d \d\d:\d\d:\d\d (?:UTC|[+-]\d\d:\d\d)"


def details(run: str) -> dict[str, str]:
    """Return what is said of the run, by name."""
    above = answer("show", run).partition("\n\n")[0]
    return dict(re.split(r" {2,}", line, maxsplit=1) for line in above.splitlines())


def test_all_that_is_known_about_a_run_is_shown(book: Book) -> None:
    outer = book.run("nightly.py", "process", ago=90)
    run = book.run(
        "db.migrate",
        "invoke",
        duration=2.0,
        parent=outer,
        outcome=failure("exception", exit_code=1, error=ERROR),
    )
    shown = details(run.id)
    assert re.fullmatch(TIME, shown.pop("started"))
    assert re.fullmatch(TIME, shown.pop("finished"))
    del shown["pid"], shown["host"]
    assert shown == {
        "run": run.id,
        "task": "db.migrate",
        "framework": "invoke",
        "status": "failure",
        "reason": "exception",
        "exit code": "1",
        "error": "ValueError: no such shop",
        "where": "/srv/shop.py:3",
        "duration": "2.00s",
        "cpu": "250ms",
        "memory": "48.0 MiB",
        "trigger": "cron",
        "parent": f"{outer.id} nightly.py",
        "root": f"{outer.id} nightly.py",
        "python": "3.12.1",
        "service": "shop",
        "env": "prod",
        "version": "1.4.2",
        "tags": "team:north",
    }


def test_an_error_has_the_lines_of_its_message(book: Book) -> None:
    error = {"type": "ValueError", "message": "no such shop:\n\n  north\n"}
    run = book.run("two\nlines", outcome=failure("exception", error=error))
    shown = answer("show", run.id)
    assert "error      ValueError: no such shop:\n             north\n" in shown
    assert "task       two\\nlines\n" in shown


def test_what_is_not_known_is_not_shown(book: Book) -> None:
    run = book.run(outcome=None)
    assert details(run.id).keys().isdisjoint(("reason", "error", "finished", "cpu", "parent"))


def test_a_nested_failure_names_its_cause(book: Book) -> None:
    outer = book.run("nightly.py", "process", ago=90, outcome=None)
    inner = book.run("db.migrate", parent=outer, outcome=failure("exit", exit_code=3))
    book.finish(outer, failure("nested", caused_by=inner.id))
    assert details(outer.id)["caused by"] == f"{inner.id} db.migrate"


def test_the_runs_under_it_are_drawn_as_a_tree_oldest_first(book: Book) -> None:
    top = book.run("top", ago=100)
    first = book.run("first", ago=90, parent=top)
    book.run("second", ago=80, parent=top, outcome=failure("exit", exit_code=3))
    book.run("inner", ago=85, parent=first)
    book.run("stranger", ago=70)
    tree = answer("show", top.id).partition("\n\n")[2].splitlines()
    assert [re.sub(r" {2}(success|failure).*", "", line) for line in tree] == [
        "top",
        "├── first",
        "│   └── inner",
        "└── second",
    ]
    assert re.fullmatch(r"└── second  failure  1\.50s  exit 3  [0-9a-f]{8}", tree[3])
    below = answer("show", first.id).partition("\n\n")[2].splitlines()
    assert [line.split()[0] for line in below] == ["first", "└──"]


def test_a_run_without_children_has_no_tree(book: Book) -> None:
    assert "\n\n" not in answer("show", book.run().id)


def test_a_deep_tree_is_drawn(book: Book) -> None:
    run = book.run("task0", ago=900)
    top = run.id
    for number in range(1, 300):
        run = book.run(f"task{number}", ago=900 - number, parent=run)
    assert "task299" in answer("show", "--all", top)
    assert "task299" not in answer("show", top)


def test_runs_that_are_each_others_parents_end_the_tree(book: Book) -> None:
    one, other = Run("one", "click"), Run("other", "click")
    for run, parent in ((one, other), (other, one)):
        book.line(
            f'{{"event":"started","run":"{run.id}","root":"{one.id}","parent":"{parent.id}",'
            f'"at":"2026-11-25T10:00:00.000000Z","task":"{run.task}"}}'
        )
    assert answer("show", one.id).count("other  running") == 1


def test_the_first_digits_of_a_run_are_enough(book: Book) -> None:
    run = book.run()
    for digits in (run.id, run.id[:8], run.id[:4], run.id.upper()):
        assert details(digits)["run"] == run.id


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("0123", "no run begins with 0123"),
        ("012", f"'012' {NEITHER}"),
        ("nightly", f"'nightly' {NEITHER}"),
        ("0123%", f"'0123%' {NEITHER}"),
        ("abcd", "abcd is ambiguous: abcd000000000001, abcd000000000002"),
    ],
)
def test_a_wrong_run_id_is_an_error_in_one_line(book: Book, run: str, message: str) -> None:
    for number in (1, 2):
        book.line(
            f'{{"event":"started","run":"abcd00000000000{number}",'
            '"at":"2026-11-25T10:00:00.000000Z"}'
        )
    ended = autotask("show", run)
    assert (ended.status, ended.stdout, ended.stderr) == (1, "", f"autotask: {message}\n")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("backup", "no task backup: did you mean backup.sh?"),
        ("feed", "no run begins with feed: did you mean feed.py?"),
        ("mial", "no task mial: did you mean mail?"),
        ("nightly", f"'nightly' {NEITHER}"),
    ],
)
def test_a_misspelled_task_is_told_which_is_meant(book: Book, asked: str, message: str) -> None:
    for task in ("mail", "backup.sh", "feed.py", "mail", "zip"):
        book.run(task)
    assert autotask("show", asked) == Ended(1, "", f"autotask: {message}\n")


def test_the_name_of_a_task_shows_its_last_run(book: Book) -> None:
    book.run("nightly.py", "process", ago=900)
    last = book.run("nightly.py", ago=90, outcome=failure("exit", exit_code=3))
    book.run("nightly.py", "process", ago=300)
    book.run("other", ago=10)
    assert details("nightly.py")["run"] == last.id
    odd = book.run("caf\udce9 au lait.py")  # not Unicode
    assert details("caf\udce9 au lait.py")["run"] == odd.id
    at = book.run("deploy@north")
    assert details("deploy@north")["run"] == at.id
    assert autotask("show", "night*").status == 1
    assert autotask("show", "nightly").status == 1


def test_digits_of_a_run_win_over_a_task_of_that_name(book: Book) -> None:
    run = book.run("nightly", ago=90)
    named = book.run(run.id[:6], ago=80)
    assert details(run.id[:6])["run"] == run.id
    ids = (run.id[:4], named.id[:4])
    other = book.run(next(word for word in ("beef", "feed", "cafe") if word not in ids))
    if not other.id.startswith(other.task):
        assert details(other.task)["run"] == other.id


def document(*words: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(answer("show", "--format", "json", *words))
    return shown


def test_json_is_the_record_with_the_runs_under_it(book: Book) -> None:
    outer = book.run("nightly.py", "process", ago=90)
    inner = book.run("db.migrate", ago=80, parent=outer)
    part = book.run("db.check", ago=70, parent=inner)
    shown = document("nightly.py")
    under = shown.pop("under")
    first, *others = records()
    assert shown == first
    assert (under.pop("count"), under.pop("runs")) == (2, others)
    assert [run["run"] for run in others] == [inner.id, part.id]
    assert under == {"tasks": None, "more_tasks": 0, "failures": None}
    assert document(part.id)["under"]["runs"] == []
    assert answer("show", "--format", "jsonl", part.id) == answer(
        "show", "--format", "json", part.id
    )


def test_json_of_many_runs_is_as_bounded_as_the_text(book: Book) -> None:
    server = worker(book, 300)
    under = document(server.id)["under"]
    assert (under["count"], under["runs"], under["more_tasks"]) == (301, None, 0)
    assert under["tasks"][0] == {
        "task": "mail0", "framework": "celery", "runs": 150,
        "statuses": {"success": 90, "failure": 30, "retried": 30}, "usual": 216.0, "longest": 298.0,
    }  # fmt: skip
    assert [run["error"]["message"] for run in under["failures"]] == [
        f"no shop {n}" for n in range(296, 250, -5)
    ]
    every = document("--all", server.id)["under"]
    assert (every["count"], len(every["runs"]), every["tasks"]) == (301, 301, None)


def test_before_the_first_run_there_is_a_hint(home: Path) -> None:
    ended = autotask("show", "0123")
    assert ended.status == 1
    hint = f"autotask: no runs yet in {home}: try `autotask-run python script.py`\n"
    assert ended.stderr == hint


def test_an_attempt_tells_how_long_it_waited_and_for_whom(book: Book) -> None:
    asker = book.run("shop.orders", "django", ago=90)
    run = book.run(
        "mail", "celery", outcome=Outcome("retried", "exception", error=ERROR),
        attempt=2, waited=12.345678, enqueued_by=asker.id,
    )  # fmt: skip
    shown = details(run.id)
    assert shown["status"] == "retried"
    assert (shown["reason"], shown["error"]) == ("exception", "ValueError: no such shop")
    assert (shown["attempt"], shown["waited"]) == ("2", "12.3s")
    assert shown["enqueued by"] == f"{asker.id} shop.orders"
    assert details(asker.id)["enqueued"] == "1 run"
    assert re.search(rf"\n +{run.id} mail, retried\n", answer("show", asker.id))
    assert "parent" not in shown
    stranger = book.run(enqueued_by="0" * 16)  # of another machine
    assert details(stranger.id)["enqueued by"] == "0" * 16


def test_of_the_runs_that_one_enqueued_the_first_are_shown(book: Book) -> None:
    asker = book.run("shop.orders", ago=900)
    sent = [book.run(f"mail{n}", ago=800 - n, enqueued_by=asker.id) for n in range(12)]
    shown = answer("show", asker.id)
    assert details(asker.id)["enqueued"] == "12 runs"
    assert [run.id in shown for run in sent] == [True] * 5 + [False] * 7
    assert "and 7 more\n" in shown


def test_a_server_is_called_one(book: Book) -> None:
    run = book.run("celery.worker", outcome=None, server=True)
    assert details(run.id)["server"] == "yes, it runs until it is stopped"
    assert "server" not in details(book.run().id)


def test_a_run_shows_what_its_framework_runs_for_itself(book: Book) -> None:
    top = book.run("rake", "process", ago=90, ruby="3.1.2")
    inner = book.run("environment", "rake", ago=80, parent=top, bookkeeping=True, ruby="3.1.2")
    shown = details(inner.id)
    assert shown["bookkeeping"] == "yes, rake runs it for itself"
    assert (shown["ruby"], "python" in shown) == ("3.1.2", False)
    assert "── environment  success" in answer("show", top.id)
    other = details(book.run().id)
    assert (other["python"], "ruby" in other, "bookkeeping" in other) == ("3.12.1", False, False)
    for _ in range(below.FEW):
        book.run("environment", "rake", ago=70, parent=top, bookkeeping=True)
    assert re.search(rf"\nenvironment +rake +{below.FEW + 1} ", answer("show", top.id))


def worker(book: Book, children: int) -> Run:
    """Write a server, a worker in it, and its children: of five, one fails, one is retried."""
    server = book.run("celery", "process", ago=9000, outcome=None, server=True)
    run = book.run("celery.worker", ago=9000, outcome=None, parent=server, server=True)
    for n in range(children):
        outcome = SUCCESS
        if n % 5 == 1:
            outcome = failure("exception", error={**ERROR, "message": f"no shop {n}"})
        if n % 5 == 2:
            outcome = Outcome("retried", "exception", error=ERROR)
        book.run(f"mail{n % 2}", "celery", ago=8000 - n, duration=n, parent=run, outcome=outcome)
    return server


def test_many_runs_are_summed_up_by_task_with_the_last_failures(book: Book) -> None:
    server = worker(book, 300)
    _, table, failures = answer("show", server.id).split("\n\n")
    title, heads, *rows = table.splitlines()
    assert title == "301 runs under it; `--all` shows each"
    heads_expected = "TASK FRAMEWORK RUNS SUCCESS FAILURE RETRIED RUNNING USUALLY LONGEST"
    assert heads.split() == heads_expected.split()
    assert [row.split() for row in rows] == [
        ["mail0", "celery", "150", "90", "30", "30", "-", "3m36s", "4m58s"],
        ["mail1", "celery", "150", "90", "30", "30", "-", "3m37s", "4m59s"],
        ["celery.worker", "click", "1", "-", "-", "-", "1", "-", "-"],
    ]
    told, *lines = failures.splitlines()
    assert told == "the last failures"
    assert re.findall(r"no shop (\d+)", failures) == [str(n) for n in range(296, 250, -5)]
    assert re.search(rf"^{TIME}  mail0  failure  4m56s  exception", lines[0])
    assert answer("show", "--all", server.id).count("mail") == 300


def test_as_many_runs_as_can_be_read_are_a_tree(book: Book) -> None:
    few, many = worker(book, below.FEW - 1), worker(book, below.FEW)
    assert answer("show", few.id).count("── mail") == below.FEW - 1
    assert "── mail" not in answer("show", many.id)
    assert f"{below.FEW + 1} runs under it" in answer("show", many.id)


def test_of_many_tasks_the_largest_are_shown_and_a_status_of_the_future_is_counted(
    book: Book,
) -> None:
    top = book.run("make", outcome=None, ago=900)
    for n in range(210):
        book.run(f"file{n}", "doit", ago=800, parent=top, outcome=Outcome("paused", "later"))
    for _ in range(2):
        book.run("link", "doit", ago=800, parent=top)
    _, table = answer("show", top.id).split("\n\n")
    lines = table.splitlines()
    assert lines[1].split() == "TASK FRAMEWORK RUNS SUCCESS PAUSED USUALLY LONGEST".split()
    assert lines[2].split()[:5] == ["link", "doit", "2", "2", "-"]
    assert (len(lines), lines[-1]) == (43, "and 171 more tasks")


def test_what_hides_in_a_run_is_no_more_than_its_own(book: Book) -> None:
    """A failure that was passed on is left out: the run that caused it is there."""
    server = worker(book, 260)
    outer = book.run("group", ago=60, parent=server, outcome=None)
    inner = book.run("part", ago=50, parent=outer, outcome=failure("exit", exit_code=3))
    book.finish(outer, failure("nested", caused_by=inner.id))
    shown = answer("show", server.id)
    assert inner.id[:8] in shown
    assert outer.id[:8] not in shown
