"""Jobs, not layers: of the runs around one another only those that say something are listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from support import run_program, write
from tool.journals import Book, answer, listed, names, records

from autotask.run import SKIPPED, SUCCESS, Outcome, Run, failure

EXIT = failure("exit", exit_code=3)
OTHER = failure("exception")


class A(NamedTuple):
    """A run of a case: *inside* names the run that it is in, *because* the cause of a nested one.

    Those are named by their first letters.
    """

    task: str
    framework: str = "click"
    outcome: Outcome | None = SUCCESS
    inside: str = ""
    because: str = ""
    server: bool = False
    bookkeeping: bool = False


def nested(task: str, because: str, inside: str = "", framework: str = "process") -> A:
    return A(task, framework, failure("nested"), inside, because)


CASES: dict[str, tuple[list[A], str]] = {
    "a process around one task": ([A("p", "process"), A("t", inside="p")], "t"),
    "both are running": (
        [A("p", "process", None), A("t", outcome=None, inside="p")],
        "t",
    ),
    "the process goes on": ([A("p", "process", None), A("t", inside="p")], "p t"),
    "the task was skipped": ([A("p", "process"), A("t", outcome=SKIPPED, inside="p")], "p t"),
    "both were skipped": (
        [A("p", "process", SKIPPED), A("t", outcome=SKIPPED, inside="p")],
        "t",
    ),
    "the task will be tried again": (
        [A("p", "process"), A("t", outcome=Outcome("retried", "exception"), inside="p")],
        "p t",
    ),
    "the failure is the task's": ([nested("p", "t"), A("t", outcome=EXIT, inside="p")], "t"),
    "the process failed by itself": ([A("p", "process", EXIT), A("t", inside="p")], "p t"),
    "each failed by itself": (
        [A("p", "process", EXIT), A("t", outcome=OTHER, inside="p")],
        "p t",
    ),
    "the failure of the task did not matter": (
        [A("p", "process"), A("t", outcome=EXIT, inside="p")],
        "p t",
    ),
    "two tasks": ([A("p", "process"), A("t", inside="p"), A("u", inside="p")], "p t u"),
    "two tasks, one failed": (
        [nested("p", "t"), A("t", outcome=EXIT, inside="p"), A("u", inside="p")],
        "t u",
    ),
    "no task": ([A("p", "process")], "p"),
    "a process in a process": ([A("p", "process"), A("q", "process", inside="p")], "p q"),
    "and a task in that": (
        [A("p", "process"), A("q", "process", inside="p"), A("t", inside="q")],
        "p t",
    ),
    "a task in a task": ([A("p", "process"), A("t", inside="p"), A("u", inside="t")], "t u"),
    "layers of a failure": (
        [
            nested("p", "u"),
            nested("t", "u", "p", "click"),
            A("u", outcome=EXIT, inside="t"),
        ],
        "u",
    ),
    "a failure whose cause is not known": ([nested("p", ""), A("t", inside="p")], "p t"),
    "nor any run inside": ([nested("p", "")], "p"),
    "one whose cause will be tried again": (
        [
            nested("p", "t"),
            A("t", outcome=Outcome("retried", "exception"), inside="p"),
            A("u", inside="p"),
        ],
        "p t u",
    ),
    "one whose cause did not fail": ([nested("t", "u", "", "click"), A("u", inside="t")], "t u"),
    "one that caused itself": ([nested("p", "p")], "p"),
    "a server": ([A("p", "process", server=True), A("t", inside="p")], "p t"),
    "bookkeeping beside the task": (
        [A("p", "process"), A("e", bookkeeping=True, inside="p"), A("t", inside="p")],
        "t",
    ),
    "only the bookkeeping ended as the process did": (
        [
            A("p", "process"),
            A("e", bookkeeping=True, inside="p"),
            A("t", outcome=SKIPPED, inside="p"),
        ],
        "p t",
    ),
    "nothing but bookkeeping": (
        [A("p", "process"), A("e", bookkeeping=True, inside="p")],
        "p",
    ),
    "bookkeeping that failed": (
        [
            nested("p", "e"),
            A("e", outcome=EXIT, bookkeeping=True, inside="p"),
            nested("t", "e", "p", "click"),
        ],
        "e",
    ),
}


def written(book: Book, runs: list[A]) -> None:
    """Write the runs, each a second after the one before."""
    by_letter: dict[str, Run] = {}
    for number, a in enumerate(runs):
        by_letter[a.task] = book.run(
            *(a.task, a.framework), outcome=None, ago=600 - number,
            parent=by_letter.get(a.inside), server=a.server, bookkeeping=a.bookkeeping,
        )  # fmt: skip
    for a in reversed(runs):
        if a.outcome is not None:
            cause = by_letter[a.because].id if a.because else None
            outcome = a.outcome if not cause else failure("nested", caused_by=cause)
            book.finish(by_letter[a.task], outcome, ago=500)


@pytest.mark.parametrize(("runs", "expected"), CASES.values(), ids=CASES)
def test_each_job_and_each_failure_is_listed_once(book: Book, runs: list[A], expected: str) -> None:
    written(book, runs)
    assert listed() == expected.split()
    assert listed("--limit", "9") == expected.split()
    assert names() == [a.task for a in runs]
    failed = [a.task for a in runs if a.outcome and a.outcome.status == "failure"]
    assert listed("--status", "failure") == [task for task in expected.split() if task in failed]


A_JOB = [nested("nightly.py", "db.migrate"), A("db.migrate", outcome=EXIT, inside="nightly.py")]
ASKED: list[tuple[str, str]] = [
    ("", "db.migrate"),
    ("--all", "nightly.py db.migrate"),
    ("--task nightly.py", "nightly.py"),
    ("--task night*", "nightly.py"),
    ("--task *", "db.migrate"),
    ("--task nightly.py,db.migrate", "nightly.py db.migrate"),
    ("--task night*,db.*", "db.migrate"),
    ("--framework process", "nightly.py"),
    ("--framework process,click", "db.migrate"),
    ("--reason nested", "nightly.py"),
    ("--reason nested,exit", "db.migrate"),
    ("--status failure", "db.migrate"),
]


@pytest.mark.parametrize(("words", "expected"), ASKED)
def test_a_layer_is_listed_if_what_it_is_around_is_not(
    book: Book, words: str, expected: str
) -> None:
    written(book, A_JOB)
    assert listed(*words.split()) == expected.split()


def test_behind_very_many_layers_there_are_jobs(book: Book) -> None:
    book.run("oldest", ago=2000)
    for number in range(270):  # more layers than are looked at in one go
        top = book.run("p", "process", ago=100 + number, outcome=None)
        inner = book.run("q", ago=100 + number, parent=top, outcome=None)
        cause = book.run("t", ago=1000 + number, parent=inner, outcome=EXIT)
        for run in (inner, top):
            book.finish(run, failure("nested", caused_by=cause.id), ago=90)
    assert listed("--limit", "2") == ["t", "t"]
    assert listed("--limit", "271") == ["oldest", *["t"] * 270]
    assert listed("--limit", "3", "--task", "[po]*") == ["p"] * 3
    assert [row.split()[3] for row in answer("runs").splitlines()[1:]] == ["t"] * 50


SHOP = """
import os, signal, sys
import click

@click.group()
def cli(): pass

@cli.command()
def good(): pass

@cli.command()
def bad(): sys.exit(3)

@cli.command()
def ugly(): os.kill(os.getpid(), signal.SIGKILL)

cli()
"""


@pytest.mark.parametrize("command", ["good", "bad", "ugly", "none"])
def test_a_command_under_the_launcher_is_one_row(command: str, tmp_path: Path) -> None:
    run_program(write(tmp_path / "shop.py", SHOP), command, under="launcher")
    assert len(records()) == 2
    assert listed() == ["shop" if command == "none" else f"shop.{command}"]


@pytest.mark.parametrize("command", ["good", "bad"])
def test_a_row_has_the_output_that_was_kept_of_its_process(command: str, tmp_path: Path) -> None:
    program = SHOP.replace("def bad():", "def bad(): print('why');")
    script = write(tmp_path / "shop.py", program)
    run_program(script, command, under="launcher", options=("--keep-output", "1k"))
    process, task = records()
    kept = "why\n" if command == "bad" else None
    assert (process["output"], task["output"]) == (kept, None)
    job = json.loads(answer("runs", "--format", "jsonl"))
    assert (job["run"], job["output"]) == (task["run"], kept)
