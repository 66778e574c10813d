"""`autotask show`: one run with its children."""

from __future__ import annotations

import re

import pytest
from tool.journals import Book, answer, autotask

from autotask.run import Run, failure

ERROR = {"type": "ValueError", "message": "no such shop", "where": "/srv/shop.py:3"}


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
    assert re.fullmatch(r"\d\d-\d\d \d\d:\d\d:\d\d", shown.pop("started"))
    assert re.fullmatch(r"\d\d-\d\d \d\d:\d\d:\d\d", shown.pop("finished"))
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
    assert "task299" in answer("show", top)


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
        ("012", "'012' is not a run id: 4 to 16 hex digits, as in `autotask runs`"),
        ("nightly", "'nightly' is not a run id: 4 to 16 hex digits, as in `autotask runs`"),
        ("0123%", "'0123%' is not a run id: 4 to 16 hex digits, as in `autotask runs`"),
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


def test_before_the_first_run_there_is_a_hint() -> None:
    ended = autotask("show", "0123")
    assert ended.status == 1
    assert ended.stderr == "autotask: no runs yet: try `autotask-run python script.py`\n"
