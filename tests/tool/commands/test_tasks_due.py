"""`autotask tasks`: when each task is due next, what is late and what was missed."""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import re
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from tool.journals import DAY, HOUR, Book, without_zone
from tool.schedule.machines import Machine

from autotask.run import SUCCESS, failure
from autotask.tool import summaries
from autotask.tool.commands import tasks
from autotask.tool.datadog.config import Config
from autotask.tool.journal.index import open_index
from autotask.tool.schedule import crontabs, first_seen, since

LONG_AGO = time.time() - 90 * DAY
WATCHED = "SHELL=/etc/autotask/shell\n"


@pytest.fixture(autouse=True)
def _boot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine have been booted long ago."""
    monkeypatch.setattr(since, "booted", lambda: LONG_AGO)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Give a machine, and a folder without a configuration file."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Machine(tmp_path / "root")


def minutes_ago(minutes: float) -> str:
    """Write the first two fields of a line that was due so long ago, by this machine's clock."""
    at = time.localtime(time.time() - 60 * minutes)
    return f"{at.tm_min} {at.tm_hour}"


def age(machine: Machine, home: Path) -> None:
    """Let the crontab, the file and the first sights be old."""
    for path in [*machine.root.rglob("*"), *Path.cwd().glob("*.toml")]:
        os.utime(path, (LONG_AGO, LONG_AGO))
    file = home / first_seen.FILE
    if file.exists():
        sights = json.loads(file.read_text())
        file.write_text(json.dumps({key: [LONG_AGO, time.time()] for key in sights}))


def printed(
    machine: Machine, capsys: pytest.CaptureFixture[str], *words: str, form: str = "jsonl"
) -> str:
    parser = argparse.ArgumentParser()
    tasks.add_arguments(parser)
    capsys.readouterr()
    tasks.print_tasks(parser.parse_args([*words, "--format", form]), machine.places)
    return capsys.readouterr().out


def asked(
    machine: Machine, capsys: pytest.CaptureFixture[str], *words: str
) -> dict[str, dict[str, Any]]:
    lines = printed(machine, capsys, *words).splitlines()
    return {task["task"]: task for task in map(json.loads, lines)}


def verdicts(machine: Machine, book: Book, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Ask a second time, long after the first."""
    asked(machine, capsys)
    age(machine, book.home)
    return {name: task["verdict"] for name, task in asked(machine, capsys).items()}


def changed_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all files have been changed long ago; nothing can set their ctime."""
    monkeypatch.setattr(crontabs, "changed", lambda *paths: LONG_AGO)


def test_a_crontab_tells_when_its_tasks_are_due(
    machine: Machine, book: Book, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    changed_long_ago(monkeypatch)
    machine.crontab(
        f"{WATCHED}{minutes_ago(30)} * * * /srv/late.sh\n{minutes_ago(90)} * * * /srv/missed.sh\n"
        f"{minutes_ago(30)} * * * /srv/fine.sh\nSHELL=/bin/sh\n0 4 1 1 * /srv/plain.sh\n"
    )
    for name in ("late.sh", "missed.sh", "plain.sh"):
        book.run(name, "process", ago=DAY + 5 * HOUR)
    book.run("fine.sh", "process", ago=29.9 * 60)
    assert verdicts(machine, book, capsys) == {
        "fine.sh": "ran",
        "late.sh": "late",
        "missed.sh": "missed",
        "plain.sh": "not watched",
    }
    found = asked(machine, capsys)
    due = found["missed.sh"]["next_due"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:00\.000000Z", due)
    ahead = datetime.fromisoformat(due[:-1]).replace(tzinfo=timezone.utc).timestamp() - time.time()
    assert 21 * HOUR < ahead < 24 * HOUR
    assert {name: task["missed"] for name, task in found.items()} == {
        "fine.sh": 0,
        "late.sh": 0,
        "missed.sh": 1,
        "plain.sh": 0,
    }


def test_a_watched_job_that_never_ran_is_listed(
    machine: Machine, book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.crontab(f"{WATCHED}0 4 * * * /srv/new.sh\nSHELL=/bin/sh\n0 4 * * * /srv/plain.sh\n")
    (new,) = asked(machine, capsys).values()  # before the first run, too
    assert (new["runs"], new["last_status"], new["verdict"]) == (0, None, "never seen")
    assert (new["framework"], new["last_run"]) == ("process", None)
    assert new["next_due"]
    book.run("other", "click")
    for words, names in [
        ([], ["new.sh", "other"]),
        (["--task", "n*"], ["new.sh"]),
        (["--task", "[!n]*"], ["other"]),
        (["--framework", "click"], ["other"]),
        (["--framework", "process"], ["new.sh"]),
        (["--since", "1h"], ["other"]),
    ]:
        assert list(asked(machine, capsys, *words)) == names
    (line,) = csv.DictReader(printed(machine, capsys, "--task", "new.sh", form="csv").splitlines())
    assert (line["verdict"], line["last_run"]) == ("never seen", "")


def test_two_jobs_of_one_name_have_the_worse_verdict(
    machine: Machine, book: Book, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    changed_long_ago(monkeypatch)
    machine.crontab(
        f"{WATCHED}{minutes_ago(30)} * * * /srv/a.sh 1\n{minutes_ago(240)} * * * /srv/a.sh 2\n"
    )
    book.run("a.sh", "process", ago=DAY + 5 * HOUR)
    book.run("a.sh", "process", ago=29.9 * 60)
    assert verdicts(machine, book, capsys) == {"a.sh": "missed"}


FILES = [
    ('[task."nightly"]\nschedule = "{past}"', "missed"),
    ('[task."nightly"]\nschedule = "{past}"\nwithin = "6h"', "late"),
    ('[task."n*"]\nschedule = "{past}"', "missed"),
    ('[task."nightly"]\nschedule = "{past}"\nretired = true', None),
    ('[task."nightly"]\nschedule = "{past}"\nwithout = ["did_not_run"]', None),
    ('[task."nightly"]\ninterval = "26h"', "late"),
    ('[task."nightly"]\ninterval = "2d"', "ran"),
    ('[task."nightly"]\ninterval = "1h"', "missed"),
    ('[task."other"]\nschedule = "{past}"', None),
]


@pytest.mark.parametrize(("text", "verdict"), FILES)
def test_the_configuration_file_tells_when_tasks_are_due(
    machine: Machine, book: Book, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, text: str, verdict: str | None,
) -> None:  # fmt: skip
    changed_long_ago(monkeypatch)
    Path("autotask.toml").write_text(text.replace("{past}", f"{minutes_ago(120)} * * *"))
    book.run("nightly", ago=27 * HOUR)
    assert verdicts(machine, book, capsys) == {"nightly": verdict}


def test_a_mistake_in_the_file_is_told_and_the_tasks_are_listed(
    machine: Machine, book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("autotask.toml").write_text("[task.a]\nshedule = 3\n")
    book.run("a")
    parser = argparse.ArgumentParser()
    tasks.add_arguments(parser)
    tasks.print_tasks(parser.parse_args(["--format", "jsonl"]), machine.places)
    out, err = capsys.readouterr()
    assert json.loads(out)["task"] == "a"
    assert "unknown key shedule" in err
    assert err.endswith("; nothing of it is used\n")


HABITS = [  # hours between starts, hours since the last one; the verdict
    ([24] * 5, 20, "ran"),
    ([24] * 5, 24.1, "late"),
    ([24] * 5, 27, "missed"),
    ([24] * 5, 20 * 24, "missed"),  # until it is retired in the file
    ([24, 24, 24, 72] * 3, 71, "ran"),  # not at weekends
    ([24] * 2, 30, None),  # too few
    ([1, 50, 3, 90, 20], 30, None),  # irregular
    ([0.1] * 20, 5, None),  # a burst
    ([1] * 30, 0.5, "ran"),
    ([1] * 30, 3, "missed"),
]


@pytest.mark.parametrize(("gaps", "ago", "verdict"), HABITS)
def test_without_a_schedule_the_usual_interval_tells(
    machine: Machine, book: Book, capsys: pytest.CaptureFixture[str],
    gaps: list[float], ago: float, verdict: str | None,
) -> None:  # fmt: skip
    for number in range(len(gaps) + 1):
        book.run("nightly", ago=(ago + sum(gaps[:number])) * HOUR)
    (task,) = asked(machine, capsys).values()
    assert task["verdict"] == verdict
    assert (task["next_due"] is not None) == (verdict is not None)


@pytest.mark.parametrize("words", [["--since", "30h"], ["--trigger", "terminal"]])
def test_runs_that_a_filter_leaves_out_tell_when_a_task_is_due(
    machine: Machine, book: Book, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    for day in range(1, 9):
        outcome = failure("exit") if day % 2 else SUCCESS
        book.run("nightly", ago=day * DAY + 300, outcome=outcome)
    book.run("nightly", ago=27 * HOUR, trigger="terminal")
    (every,) = asked(machine, capsys).values()
    (some,) = asked(machine, capsys, *words).values()
    assert some["runs"] < every["runs"]
    due_next = every["verdict"], every["next_due"], every["missed"]
    assert due_next[0] == "late"
    assert (some["verdict"], some["next_due"], some["missed"]) == due_next


def test_a_part_of_a_program_and_a_server_have_no_habit(
    machine: Machine, book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in range(9):
        program = book.run("nightly", "process", ago=(day + 2) * DAY)
        book.run("step", "click", ago=(day + 2) * DAY, parent=program)
        book.run("worker", "process", ago=(day + 2) * DAY, server=True)
    found = asked(machine, capsys)
    assert {name: task["verdict"] for name, task in found.items()} == {
        "nightly": "missed",
        "step": None,
        "worker": None,
    }


def test_people_see_what_is_due_next_or_missed(
    machine: Machine, book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in range(9):
        book.run("daily", ago=day * DAY + HOUR, outcome=failure("exit"))
        book.run("gone", ago=day * DAY + 2 * DAY)
        book.run("once", ago=HOUR)
    heads, daily, gone, once = printed(machine, capsys, form="table").splitlines()
    expected = ["LAST", "LAST RUN", "LAST SUCCESS", "NEXT DUE", "VERDICT", "USUALLY", "TREND"]
    assert re.split(" {2,}", without_zone(heads))[-7:] == expected
    assert re.split(" {2,}", gone)[4:7] == ["success", "2d ago", "1d ago"]
    assert re.split(" {2,}", gone)[8] == "missed"
    assert re.split(" {2,}", once)[-4:-2] == ["-", "-"]
    assert re.split(" {2,}", daily)[4:7] == ["failure", "1h ago", "never"]
    assert re.split(" {2,}", daily)[8] == "ran"


@pytest.mark.parametrize("booted", [90, 1])  # days ago
def test_a_task_that_no_longer_runs_does_not_look_healthy(
    book: Book, monkeypatch: pytest.MonkeyPatch, booted: float
) -> None:
    monkeypatch.setattr(since, "booted", lambda: time.time() - booted * DAY)
    for day in range(20, 30):
        book.run("gone", ago=day * DAY)
    now = time.time()
    with contextlib.closing(open_index(str(book.home))) as index:
        (summary,) = summaries.of_tasks(index, (), Config(), now)
    assert summary.verdict == ("missed" if booted > 20 else None)  # it may have been off
    assert not any("green" in str(cell.style) for cell in tasks._cells(summary, None, now))
    fine = summary._replace(verdict="ran", next_due=None)
    assert sum("green" in str(cell.style) for cell in tasks._cells(fine, None, now)) == 2


def test_other_runs_show_that_the_machine_was_on(
    book: Book, machine: Machine, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(since, "booted", lambda: time.time() - HOUR)
    for day in range(20, 30):
        book.run("gone", ago=day * DAY)
    assert asked(machine, capsys)["gone"]["verdict"] is None
    book.run("other", ago=DAY)  # not long enough ago
    assert asked(machine, capsys)["gone"]["verdict"] is None
    book.run("other", ago=2 * DAY)
    assert asked(machine, capsys)["gone"]["verdict"] == "missed"
