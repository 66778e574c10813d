"""The script in a drop-in: with autotask-run, and without it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support import LAUNCHER
from tool.cron.machines import DAMAGES, lay_damaged
from tool.journals import records
from tool.schedule.machines import mode_of

from autotask.tool.cron import door, run_script

COMMAND = ["sh", "-c", 'printf "%s|" "$0" "$@"; exit 3', "a  b", "", "--name", "c"]
SAYS = "a  b||--name|c|"


def run(script: str) -> tuple[int, str, str]:
    """Run the command by the script as `backup`."""
    ended = subprocess.run(
        [script, "backup", *COMMAND], capture_output=True, text=True, check=False
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_it_runs_a_command_as_a_task(tmp_path: Path) -> None:
    script = run_script.write(str(tmp_path / "etc"), str(LAUNCHER))
    assert script == run_script.path_for(str(tmp_path / "etc")) == str(tmp_path / "etc/run")
    assert mode_of(script) == 0o755
    assert run_script.problem(script) is None
    assert run(script) == (3, SAYS, "")
    (record,) = records()
    assert (record["task"], record["exit_code"]) == ("backup", 3)


def test_every_user_may_execute_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        script = run_script.write(str(tmp_path / "etc"), str(LAUNCHER))
    finally:
        os.umask(before)
    assert mode_of(script) == mode_of(os.path.dirname(script)) == 0o755


@pytest.mark.parametrize("left", DAMAGES)
def test_without_autotask_it_runs_the_command_alone(tmp_path: Path, left: str) -> None:
    place = tmp_path / "it's" / "autotask-run"
    lay_damaged(left, place, 500)
    script = run_script.write(str(tmp_path), str(place))
    said = run(script)
    assert said[:2] == (3, SAYS)
    assert (said[2] == "") != (left == "no shell")  # of that the shell complains


def test_what_is_wrong_with_it_is_said(tmp_path: Path) -> None:
    program = tmp_path / "an autotask-run"
    script = run_script.write(str(tmp_path), str(program))
    assert run_script.problem(script) == f"{script} leads to {program}, which is missing or damaged"
    shutil.copy(LAUNCHER, program)
    assert run_script.problem(script) is None
    os.chmod(script, 0o644)
    assert run_script.problem(script) == f"{script} is not executable"
    Path(script).write_text("#!/bin/sh\n")
    assert run_script.problem(script) == f"{script} was not written by this version of autotask"
    os.unlink(script)
    assert run_script.problem(script) == f"cannot read {script}: No such file or directory"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_an_autotask_run_of_another_user_is_a_problem(tmp_path: Path) -> None:
    program = tmp_path / "autotask-run"
    shutil.copy(LAUNCHER, program)
    script = run_script.write(str(tmp_path), str(program))
    os.chown(program, 4217, -1)
    assert run_script.problem(script) == f"{script} leads to {program}, {door.OTHER_OWNER}"
