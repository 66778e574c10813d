"""nox: which of its sessions ran, under which names, and how they ended."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest
from frameworks._own import heed_interrupts, in_short
from support import (
    Ended,
    Under,
    run_bare,
    run_program,
    runs,
    start_program,
    wait_until,
    without_our_frames,
    write,
)

pytest.importorskip("nox")

SESSIONS = """
import os
import sys
import nox

def python(session, code):
    session.run(sys.executable, "-c", code, external=True)

@nox.session
def good(session):
    python(session, "print('working')")

@nox.session
def exits(session):
    python(session, "import sys; sys.exit(3)")

@nox.session
def expected(session):
    session.run(sys.executable, "-c", "import sys; sys.exit(3)", success_codes=[3], external=True)

@nox.session
def killed(session):
    python(session, "import os; os.kill(os.getpid(), 9)")

@nox.session
def raises(session):
    raise ValueError("boom")

@nox.session
def aborts(session):
    session.error("bad things")

@nox.session
def skips(session):
    session.skip("not today")

@nox.session
def absent(session):
    session.run("no-such-program-anywhere", external=True)

@nox.session
def function(session):
    def divide():
        1 / 0
    session.run(divide)

@nox.session
@nox.parametrize("secret", [1, 0])
def many(session, secret):
    print(6 / secret)

@nox.session(name="other-name")
def named(session):
    print("named")

@nox.session
def notifies(session):
    session.notify("good")

@nox.session
def leaves(session):
    sys.exit(4)

@nox.session
def leaves_well(session):
    sys.exit(0)

@nox.session
def interrupted(session):
    raise KeyboardInterrupt

@nox.session
def inner(session):
    session.run(sys.executable, "-m", "nox", "--no-venv", "-s", "good", external=True)

@nox.session(venv_backend="venv", python="3.1")
def no_python(session):
    print("never")

@nox.session
def waits(session):
    print("waiting", flush=True)
    python(session, "import time; time.sleep(600)")
"""
# The words after `nox --no-venv -s`, and the recorded runs.
ROWS = {
    # All but those that end nox itself.
    "good exits expected killed raises aborts skips absent function many other-name": [
        "good success",
        "exits failure exit 3 CommandFailed",
        "expected success",
        "killed failure exit 137 CommandFailed",
        "raises failure exception ValueError",
        "aborts failure exit 1 _SessionQuit",
        "skips skipped",
        "absent failure exit 1 CommandFailed",
        "function failure exception ZeroDivisionError",
        "many success",
        "many failure exception ZeroDivisionError",
        "other-name success",
    ],
    "notifies": ["notifies success", "good success"],
    "leaves": ["leaves failure exit 4"],
    "leaves_well": ["leaves_well success"],
    "interrupted": ["interrupted failure interrupted"],
    "inner": ["inner success", "good success in inner"],
    "nothing": [],
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with a noxfile.py, in which only sessions are runs."""
    heed_interrupts()
    monkeypatch.setenv("AUTOTASK_PROCESS", "0")
    monkeypatch.setenv("NO_COLOR", "1")
    write(tmp_path / "project" / "noxfile.py", SESSIONS)
    return tmp_path / "project"


# How nox says what a session took, once that is a second.
_TOOK = re.compile(r"(?:,? \(?took| in) (?:an?|\d+) (?:second|minute)s?\)?")


def _same(project: Path, *words: str) -> Ended:
    """Run nox bare and with the agent; fail if the two differ."""
    bare = run_bare("-m", "nox", *words, cwd=project)
    ours = run_program("-m", "nox", *words, cwd=project)
    assert _plain(ours) == _plain(bare)
    return ours


def _plain(ended: Ended) -> tuple[int, str, str]:
    text = re.sub(r" at 0x[0-9a-f]+", "", _TOOK.sub("", without_our_frames(ended.stderr)))
    return ended.status, ended.stdout, text


@pytest.mark.parametrize("words", ROWS)
def test_nox_ends_as_without_the_agent_and_its_sessions_are_recorded(
    words: str, project: Path, home: Path
) -> None:
    _same(project, "--no-venv", "-s", *words.split())
    assert in_short(runs(home)) == ROWS[words]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--list", []),
        ("--version", []),
        ("--non-interactive -s no_python", ["no_python skipped"]),
        (
            "--non-interactive --error-on-missing-interpreters -s no_python",
            ["no_python failure exception InterpreterNotFound"],
        ),
        ("--no-venv --stop-on-first-error -s exits good", ["exits failure exit 3 CommandFailed"]),
    ],
)
def test_noxs_options_change_what_is_recorded(
    words: str, expected: list[str], project: Path, home: Path
) -> None:
    _same(project, *words.split())
    assert in_short(runs(home)) == expected


def test_a_session_that_needs_one_that_failed_is_a_failure_because_of_that(
    project: Path, home: Path
) -> None:
    write(
        project / "noxfile.py",
        """
        import nox
        @nox.session
        def build(session): raise ValueError("boom")
        @nox.session(requires=["build"])
        def test(session): print("never")
        @nox.session(requires=["test"])
        def publish(session): print("never")
        """,
    )
    ended = _same(project, "--no-venv", "-s", "publish")
    if "unexpected keyword" in ended.stderr:
        pytest.skip("this nox knows no `requires`")
    assert in_short(runs(home)) == [
        "build failure exception ValueError",
        "test failure nested by build",
        "publish failure nested by build",
    ]


def test_the_place_of_an_error_is_in_the_noxfile(project: Path, home: Path) -> None:
    run_program("-m", "nox", "--no-venv", "-s", "raises", "exits", "aborts", cwd=project)
    recorded = runs(home)
    assert {run["framework"] for run in recorded} == {"nox"}
    for run in recorded:
        assert run["error"]["where"].startswith(f"{project / 'noxfile.py'}:")


def test_ctrl_c_ends_a_session_as_without_the_agent(project: Path, home: Path) -> None:
    assert _interrupted(project, "path") == _interrupted(project, "bare")
    assert in_short(runs(home)) == ["waits failure interrupted"]


def _interrupted(project: Path, under: Under) -> int:
    process = start_program(
        *("-m", "nox", "--no-venv", "-s", "waits"),
        under=under,
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"waiting\n"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_until(lambda: bool(children.read_text()))
    process.send_signal(signal.SIGINT)
    with process.stdout:
        return process.wait(timeout=60)
