"""What a framework of Ruby runs for itself, from a real `rake` to the lists and the wire."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support import PATIENCE, RUBY, Datagrams, command_line, environment, write
from tool.journals import answer, listed, names, records

pytestmark = pytest.mark.usefixtures("ruby")
RAKEFILE = """
    task(:environment) { {body} }
    namespace(:db) { task(:migrate => :environment) { :done } }
"""


def rake(folder: Path, body: str) -> int:
    """Run a Rakefile whose task `environment` does this, under autotask-run."""
    write(folder / "Rakefile", RAKEFILE.replace("{body}", body))
    ended = subprocess.run(
        command_line("rake", "db:migrate", under="launcher"),
        env={**environment("launcher"), "RUBYLIB": str(RUBY)},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return ended.returncode


def sent(datagrams: Datagrams) -> list[str]:
    """Return the kinds of the lines about `environment`."""
    found = [line for line in datagrams.lines(wait=5) if "task:environment" in line]
    return [line.partition("{" if line[:2] == "_e" else ":")[0] for line in found]


def test_a_success_is_in_no_list_and_not_sent(tmp_path: Path, datagrams: Datagrams) -> None:
    assert rake(tmp_path, ":loaded") == 0
    assert listed() == ["db:migrate"]
    assert len(names()) == 3
    assert {"db:migrate", "environment"} < {*names()}
    (record,) = records("--task", "environment")
    version = subprocess.check_output(["ruby", "-e", "print RUBY_VERSION"], text=True)
    assert (record["bookkeeping"], record["ruby"], record["python"]) == (True, version, None)
    assert "environment  success" in answer("show", record["root"])
    assert "environment" not in answer("tasks")
    assert sent(datagrams) == []


# How `environment` fails, and what its process can tell of it.
DEATHS = [
    ("raise 'no database'", "exception"),
    ("Process.kill(:KILL, Process.pid); sleep", "signal"),
]


@pytest.mark.parametrize(("body", "reason"), DEATHS)
def test_a_failure_is_listed_as_the_cause_and_sent_without_a_service_check(
    body: str, reason: str, tmp_path: Path, datagrams: Datagrams
) -> None:
    assert rake(tmp_path, body) == (1 if reason == "exception" else -9)
    found = {record["task"]: record for record in records()}
    cause = found.pop("environment")
    assert (cause["status"], cause["reason"]) == ("failure", reason)
    assert {record["caused_by"] for record in found.values()} == {cause["run"]}
    assert sent(datagrams) == ["autotask.task.runs", "autotask.task.duration", "_e"]
    assert not os.listdir(Path(os.environ["AUTOTASK_HOME"]) / "open")
