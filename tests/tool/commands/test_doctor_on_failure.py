"""`autotask doctor`: what became of the commands that tell of failures."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from support import run_program, wait_until
from tool.journals import autotask

from autotask.around import failure_notes
from autotask.journal import moment
from autotask.tool.doctor import on_failure
from autotask.tool.doctor.finding import Finding

HOUR, DAY = 3600.0, 86400.0
CUT_OFF = "was ended before it was done, together with all that the run had started"


def note(home: Path, call: int, ago: float, did: str, **more: Any) -> None:
    home.mkdir(mode=0o700, exist_ok=True)
    with (home / failure_notes.FILE).open("a") as file:
        line = {"at": moment(time.time() - ago), "call": f"{call:016x}", "did": did, **more}
        file.write(json.dumps(line) + "\n")


def call(home: Path, number: int, ago: float, task: str, did: str | None, **more: Any) -> None:
    """Note a call that has begun, and how it ended, if it did."""
    note(home, number, ago, "begun", run="0" * 16, task=task)
    if did:
        note(home, number, ago, did, **more)


def found(home: Path) -> list[tuple[str, str]]:
    """Return the status and the text of each finding, without when it was."""
    findings = list(on_failure.findings(str(home)))
    assert all(finding.remedy or finding.status != "problem" for finding in findings)
    return [(finding.status, _without_time(finding)) for finding in findings]


def _without_time(finding: Finding) -> str:
    before, at, after = finding.text.partition(" failed at ")
    return f"{before}{at}{after[len('12-01 04:05') :]}" if at else finding.text


# How the last call for a task ended, and what is said about it.
BAD: list[tuple[str | None, dict[str, Any], str]] = [
    ("failed", {"status": 7, "last": "no route"}, "failed with status 7: no route"),
    ("failed", {"status": 1, "last": ""}, "failed with status 1"),
    ("failed", {"status": -9}, "failed with signal 9"),
    ("failed", {"status": 127, "last": "sh: 1: tell: not found"},
     "was not found: sh: 1: tell: not found"),
    ("hung", {"status": -15, "last": "waiting"}, "was stopped after 60 s: waiting"),
    ("not started", {"last": "[Errno 11] Resource temporarily unavailable"},
     "could not be started: [Errno 11] Resource temporarily unavailable"),
    (None, {}, CUT_OFF),
]  # fmt: skip


@pytest.mark.parametrize(("did", "more", "said"), BAD)
def test_a_failure_that_nobody_was_told_of_is_a_problem(
    did: str | None, more: dict[str, Any], said: str, home: Path
) -> None:
    call(home, 1, 2 * HOUR, "nightly", "ended", status=0)
    call(home, 2, HOUR, "nightly", did, **more)
    call(home, 3, 2, "nightly", None)  # still running
    text = f"nobody was told that nightly failed at : the command {said}"
    assert found(home) == [("problem", text)]


def test_calls_that_did_their_work_are_counted(home: Path) -> None:
    assert found(home) == []
    call(home, 1, 8 * DAY, "nightly", "failed", status=1)
    assert found(home) == []
    call(home, 2, HOUR, "nightly", "ended", status=0)
    call(home, 3, HOUR, "hourly", "ended", status=0)
    assert found(home) == [("ok", "2 calls in the last 7 days")]


def test_an_older_call_that_failed_is_a_warning(home: Path) -> None:
    call(home, 1, 2 * HOUR, "nightly", "failed", status=1)
    call(home, 2, HOUR, "nightly", "ended", status=0)
    text = "2 calls in the last 7 days, 1 of them failed, and later ones for the same tasks did not"
    assert found(home) == [("warning", text)]


def test_of_many_tasks_the_last_ones_are_told(home: Path) -> None:
    for number in range(5):
        call(home, number, HOUR - number, f"job{number}", "failed", status=1)
    assert [text.split(" failed")[0] for _, text in found(home)] == [
        *(f"nobody was told that job{number}" for number in (4, 3, 2)),
        "the same for 2 more tasks",
    ]


def test_what_is_no_note_is_passed_over(home: Path) -> None:
    call(home, 1, HOUR, "nightly", "ended", status=0)
    with (home / failure_notes.FILE).open("a") as file:
        file.write('{"at":"2026\n[]\nnull\n{"did":"begun"}\n' + "[" * 100_000 + "\n\xff\n")
    call(home, 2, HOUR, "hourly", "ended", status=0)
    assert found(home) == [("ok", "2 calls in the last 7 days")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_notes_of_another_user_are_not_believed(home: Path) -> None:
    call(home, 1, HOUR, "nightly", "failed", status=1)
    os.chown(home / failure_notes.FILE, 12345, -1)
    assert found(home) == []


def test_a_command_that_does_not_tell_is_a_problem_of_the_doctors(
    home: Path, tmp_path: Path
) -> None:
    env = {"AUTOTASK_ON_FAILURE": f"{tmp_path}/no-such-teller"}
    run_program("false", under="launcher", options=("--name", "nightly"), env=env)
    notes = home / failure_notes.FILE
    wait_until(lambda: notes.exists() and notes.read_text().count("\n") == 2)
    ended = autotask("doctor", "--format", "json")
    (finding,) = [
        one for one in json.loads(ended.stdout)["findings"] if one["check"] == "on_failure"
    ]
    assert ended.status == 1
    assert finding["status"] == "problem"
    assert finding["text"].startswith("nobody was told that nightly failed at ")
    assert ": the command was not found: " in finding["text"]
    assert f"{tmp_path}/no-such-teller" in finding["text"]
    assert finding["remedy"] == "correct the name, or write its whole path: cron's PATH is short"


def test_tasks_that_were_too_many_to_be_told_are_a_problem(home: Path) -> None:
    note(home, 1, 9 * DAY, "left", tasks=5)
    note(home, 2, HOUR, "left", tasks=20)
    note(home, 3, HOUR, "left", tasks=3)
    text = "nobody was told of 23 more tasks that failed together with 100 others"
    assert found(home) == [("problem", text)]
