"""AUTOTASK_DEBUG in Ruby: where runs go, each start and end, and why there is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import INSTALLED, Ended, run_program

pytestmark = pytest.mark.usefixtures("ruby")
RUBYLIB = {"RUBYLIB": str(INSTALLED / "autotask_ruby")}
# Variables, and what `rake ok` then logs.
CASES: dict[str, tuple[dict[str, str], list[str]]] = {
    "a run": (
        {},
        [
            "process PID: runs are journalled in HOME/journal, sent to udp localhost:8125",
            'run ID of process task "rake ok" began under none',
            'run ID of rake task "ok" began under ID',
            "run ID ended: success",
            "run ID ended: success",
        ],
    ),
    "a task that is not recorded": (
        {"AUTOTASK_IGNORE": "o*", "AUTOTASK_PROCESS": "0"},
        ['no run: rake task "ok" is excluded or ignored'],
    ),
    "a bad value, nothing recorded": (
        {
            "AUTOTASK_EVENTS": "perhaps",
            "AUTOTASK_PROCESS": "0",
            "AUTOTASK_JOURNAL": "0",
            "AUTOTASK_DOGSTATSD": "0",
        },
        [
            "process PID: runs are journalled nowhere, sent nowhere",
            "counts as unset: AUTOTASK_EVENTS: 'perhaps' is neither 0 nor 1",
            'run ID of rake task "ok" began under none',
            "run ID ended: success",
        ],
    ),
}


@pytest.fixture(autouse=True)
def rakefile(tmp_path: Path) -> None:
    (tmp_path / "Rakefile").write_text('task(:ok) { puts "ok" }\ntask(:bad) { exit 3 }\n')


@pytest.mark.parametrize("case", CASES)
def test_the_log_says_what_became_of_a_task(case: str, tmp_path: Path, home: Path) -> None:
    env, expected = CASES[case]
    log = tmp_path / "log"
    own = {**RUBYLIB, "AUTOTASK_DEBUG": str(log), "DD_DOGSTATSD_URL": "udp://localhost:8125"}
    done = run_program("rake", "ok", under="bare", env={**own, **env}, cwd=tmp_path)
    assert done == Ended(0, "ok\n", "")
    text = re.sub(r"\b[0-9a-f]{16}\b", "ID", log.read_text().replace(str(home), "HOME"))
    text = re.sub(r"process \d+:", "process PID:", text)
    assert text.splitlines() == [f"autotask: {line}" for line in expected]


def test_the_log_may_be_standard_error(tmp_path: Path) -> None:
    env = {"AUTOTASK_DEBUG": "1"}
    done = run_program("rake", "bad", under="launcher", env=env, cwd=tmp_path)
    assert done.status == 3
    assert "ended: failure exit" in done.stderr
