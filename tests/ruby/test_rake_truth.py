"""The truth of Rake: every way to end, in the journal, with the program's output as it is bare.

Each row is a real `rake` (or a Ruby script), run bare, with our folder on RUBYLIB and under
autotask-run. Each Rakefile begins with the two tasks of `COMMON`; a row's own text begins in
line 3.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest
from ruby.rake_rows import COMMON, ROWS, Row
from ruby.ruby_programs import run_under
from support import (
    PATIENCE,
    PRODUCTS,
    Ended,
    Record,
    Under,
    write,
)
from support import runs as runs_of

from autotask.around import sweeping
from autotask.settings import Settings

pytestmark = pytest.mark.usefixtures("ruby")
_OUR_FRAME = re.compile(r"(?m)^.*\(autotask\)/bin/rake:\d+.*\n")


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in ROWS.items()])
def test_every_ending_is_recorded_as_it_was(row: Row, tmp_path: Path, home: Path) -> None:
    bare = _run(row, tmp_path, home, "bare")
    assert row.status in (None, bare.status)
    for under in _unders(row):
        ended = _run(row, tmp_path, home / under, under)
        assert _masked(ended, row) == _masked(bare, row), under
        if under == "path":
            sweeping.sweep(Settings({"AUTOTASK_HOME": str(home / under)}))
        found = runs_of(home / under)
        process, tasks = _in_short(found)
        expected = row.runs if row.path is None or under == "launcher" else row.path
        assert sorted(tasks) == sorted(expected), under
        assert process == [_of_process(row, bare.status, under, expected)], under
        assert not list((home / under / "open").iterdir())
        assert "hunter2" not in str(found)
        # A program's own Time.now and Process.clock_gettime are not ours.
        assert all(
            run["started_at"] > "2020" and run["duration"] < PATIENCE
            for run in found
            if "duration" in run
        )


def _unders(row: Row) -> tuple[Under, ...]:
    """Start under autotask-run what it can tell more of: how the process ends."""
    ends = row.launched or (row.process, row.path) != (None, None)
    return ("path", "launcher") if ends or PRODUCTS == "all" else ("path",)


def _run(row: Row, folder: Path, home: Path, under: Under) -> Ended:
    """Run a row's command in its folder, in which nothing of an earlier run is left."""
    place = folder / "shop"
    shutil.rmtree(place, ignore_errors=True)
    write(place / "Rakefile", COMMON)
    with (place / "Rakefile").open("a") as rakefile:
        rakefile.write(textwrap.dedent(row.code).lstrip("\n"))
    for name, text in row.files.items():
        write(place / name, text)
    if row.files.get("Rakefile") == "-":
        (place / "Rakefile").unlink()
    env = {"AUTOTASK_HOME": str(home), **row.env}
    words = [*shlex.split(row.program), *shlex.split(row.words)]
    return run_under(under, words, env, place)


def _masked(ended: Ended, row: Row) -> Ended:
    """Return what must be the same as without us."""
    texts = []
    for text in (ended.stdout, ended.stderr):
        if row.frame:
            assert len(_OUR_FRAME.findall(text)) <= text.count("task.rb")
            text = _OUR_FRAME.sub("", text)
        for pattern, instead in (*row.masks, (r"0x[0-9a-f]{6,}|(?<=pid )\d+", "")):
            text = re.sub(pattern, instead, text)
        texts.append(text)
    return Ended(ended.status, *texts)


def _in_short(found: list[Record]) -> tuple[list[str], list[str]]:
    """Write runs in short: the process's own, and the tasks'."""
    by_id = {run["run"]: run for run in found}
    whole = [run for run in found if run["framework"] == "process"]
    return (
        [_short(run, by_id).removeprefix(run["task"] + " ") for run in whole],
        [_short(run, by_id) for run in found if run not in whole],
    )


def _short(run: Record, by_id: Mapping[str, Record]) -> str:
    """Write a run in the words of `Row`; what it passed on is in the run that caused it."""
    cause, parent = by_id.get(run.get("caused_by", "")), by_id.get(run.get("parent") or "")
    error = run.get("error") or {}
    words = [run["task"], run["status"], run.get("reason")]
    if cause:
        words.append(f"by {cause['task']}")
    else:
        words += [run.get("exit_code"), run.get("signal")]
        words += [error.get("type"), os.path.basename(error.get("where", ""))]
    if parent and parent["framework"] != "process":
        words.append(f"in {parent['task']}")
    return " ".join(str(word) for word in words if word not in (None, ""))


def _of_process(row: Row, status: int, under: Under, expected: tuple[str, ...]) -> str:
    """Say what the run of the process is: failed because of the last task that itself failed."""
    if under == "path" and row.path_process:
        return row.path_process
    if row.process:
        return row.process
    if status == 0:
        return "success"
    failed = [run for run in expected if " failure " in run and " nested " not in run]
    return "failure nested by " + failed[-1].partition(" failure")[0]
