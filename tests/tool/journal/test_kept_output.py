"""What was kept of outputs, read: by run, by the task that failed inside, and how it is pruned."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from tool.journals import DAY, Book, answer, records

from autotask.run import Outcome, Run, failure, passed_on
from autotask.tool.journal.kept_output import Kept

FAILED = failure("exit", exit_code=3)


def kept(home: Path, run: str, text: str = "text\n") -> Path:
    """Write what a launcher has kept of a run."""
    (home / "output").mkdir(mode=0o700, exist_ok=True)
    file = home / "output" / run
    file.write_text(text)
    return file


def nested(book: Book, outcome: Outcome = FAILED) -> list[Run]:
    """Write a program, in it a task, in that another one, of which only the innermost failed."""
    runs: list[Run] = []
    for task in ("job.py", "outer", "inner"):
        runs.append(book.run(task, outcome=None, parent=runs[-1] if runs else None))
    program, outer, inner = runs
    book.finish(inner, outcome)
    book.finish(outer, passed_on(outcome, inner.id))
    book.finish(program, passed_on(outcome, inner.id))
    return runs


def test_a_record_has_what_was_kept_of_its_run(book: Book, home: Path) -> None:
    run, other = book.run(outcome=FAILED), book.run(outcome=FAILED)
    kept(home, run.id, "one\ntwo\n")
    assert {record["run"]: record["output"] for record in records()} == {
        run.id: "one\ntwo\n",
        other.id: None,
    }
    (record,) = json.loads(answer("runs", "--format", "json", "--limit", "1"))
    assert record["output"] is None


def test_show_has_the_output_of_the_program_that_failed_because_of_a_task(
    book: Book, home: Path
) -> None:
    program, outer, inner = nested(book)
    kept(home, program.id, "why\n")
    for run, has_output in ((program, True), (inner, True), (outer, False)):
        assert ("output" in answer("show", run.id)) == has_output
    kept(home, inner.id, "its own\n")
    assert "its own" in answer("show", inner.id)


def test_a_program_that_failed_for_another_reason_lends_its_output_to_no_task(
    book: Book, home: Path
) -> None:
    program = book.run("worker", outcome=None)
    task = book.run("task", outcome=FAILED, parent=program)
    book.finish(program, FAILED)
    kept(home, program.id)
    assert "output" not in answer("show", task.id)


@pytest.mark.parametrize("what", ["a link", "a folder", "a pipe"])
def test_what_is_not_a_file_of_this_user_is_no_output(
    what: str, book: Book, home: Path, tmp_path: Path
) -> None:
    run = book.run(outcome=FAILED)
    file = kept(home, run.id)
    file.unlink()
    if what == "a link":
        file.symlink_to("/etc/passwd")
    elif what == "a folder":
        file.mkdir()
    else:
        os.mkfifo(file)
    assert records()[0]["output"] is None


def test_a_prune_takes_what_was_kept_of_its_runs(book: Book, home: Path) -> None:
    old = book.run(outcome=FAILED, ago=20 * DAY)
    new = book.run(outcome=FAILED, ago=60)
    files = [kept(home, run) for run in (old.id, new.id, "0" * 16, "1" * 16)]
    odd = kept(home, "notes")
    for file in (*files[:3], odd):
        os.utime(file, (time.time() - 2 * DAY,) * 2)
    answer("prune", "--keep", "10d")
    # The last one is of a run that has just failed, and that the index has not seen.
    assert [file.exists() for file in (*files, odd)] == [False, True, False, True, True]


def test_in_a_shared_home_each_user_has_a_folder_of_outputs(home: Path) -> None:
    run = "0" * 16
    (home / "1000").mkdir(parents=True)
    kept(home / "1000", run)
    outputs = Kept(str(home), shared=True)
    assert (outputs.of(run, 1000), outputs.of(run, 0)) == ("text\n", None)
