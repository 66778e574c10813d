"""The stand-in for run-parts in an anacrontab's PATH: with autotask-run, and without it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support import LAUNCHER, environment, write
from tool.cron.machines import DAMAGES, lay_damaged
from tool.journals import records
from tool.schedule.machines import mode_of

from autotask.tool.cron import run_parts_door

SAYS = "a/b:\ndone\n"


@pytest.fixture(autouse=True)
def debians() -> None:
    if "Debian" not in subprocess.getoutput("run-parts --version"):
        pytest.skip("the run-parts of this machine is not Debian's")


def run(script: str, place: Path, **env: str) -> tuple[int, str, str]:
    """Run the scripts of a folder as a job of an anacrontab does whose PATH begins with ours."""
    write(place / "a/b", '#!/bin/sh\necho done\necho "$PATH$run" >&2\nexit 3\n').chmod(0o755)
    ended = subprocess.run(
        ["/bin/sh", "-c", "run-parts --report a"],
        cwd=place,
        env={**environment(), "PATH": f"{Path(script).parent}:{os.environ['PATH']}", **env},
        capture_output=True,
        text=True,
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_it_makes_a_run_of_each_script_and_gives_path_back(tmp_path: Path) -> None:
    umask = os.umask(0o077)
    script = run_parts_door.write(str(tmp_path / "etc"), str(LAUNCHER))
    os.umask(umask)
    assert mode_of(f"{tmp_path}/etc/bin") == mode_of(f"{tmp_path}/etc") == 0o755
    assert script == run_parts_door.path_for(str(tmp_path / "etc"))
    assert script == str(tmp_path / "etc/bin/run-parts")
    assert (mode_of(script), run_parts_door.problem(script)) == (0o755, None)
    status, out, err = run(script, tmp_path, run="kept")
    real = subprocess.run(
        ["run-parts", "--report", "a"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "run": "kept"},
    )
    assert (status, out, err) == (real.returncode, SAYS, real.stderr)
    assert err.startswith(f"{os.environ['PATH']}kept\n")
    (record,) = records()
    assert (record["task"], record["exit_code"], record["parent"]) == ("b", 3, None)


@pytest.mark.parametrize("left", DAMAGES)
def test_without_autotask_the_real_one_runs(tmp_path: Path, left: str) -> None:
    place = tmp_path / "it's" / "autotask-run"
    lay_damaged(left, place, 200)
    script = run_parts_door.write(str(tmp_path), str(place))
    assert run(script, tmp_path)[:2] == (1, SAYS)
    assert records() == []


@pytest.mark.parametrize("path", ["{bin}:{bin}:{rest}", "/nowhere::{bin}/:{rest}", "{link}:{rest}"])
def test_it_finds_the_real_one_wherever_it_stands_itself(tmp_path: Path, path: str) -> None:
    script = run_parts_door.write(str(tmp_path), str(LAUNCHER))
    (tmp_path / "link").symlink_to(Path(script).parent)
    path = path.format(bin=Path(script).parent, link=tmp_path / "link", rest=os.environ["PATH"])
    assert run(script, tmp_path, PATH=path)[:2] == (1, SAYS)
    (record,) = records()
    assert record["task"] == "b"


def test_two_of_them_make_one_run(tmp_path: Path) -> None:
    scripts = [run_parts_door.write(str(tmp_path / name), str(LAUNCHER)) for name in "xy"]
    folders = ":".join(str(Path(script).parent) for script in scripts)
    assert run(scripts[0], tmp_path, PATH=f"{folders}:{os.environ['PATH']}")[:2] == (1, SAYS)
    (record,) = records()
    assert record["task"] == "b"


def test_what_is_wrong_with_it_is_said(tmp_path: Path) -> None:
    program = tmp_path / "an autotask-run"
    script = run_parts_door.write(str(tmp_path), str(program))
    assert (
        run_parts_door.problem(script)
        == f"{script} leads to {program}, which is missing or damaged"
    )
    shutil.copy(LAUNCHER, program)
    assert run_parts_door.problem(script) is None
    os.chmod(script, 0o644)
    assert run_parts_door.problem(script) == f"{script} is not executable"
    Path(script).write_text("#!/bin/sh\n")
    assert run_parts_door.problem(script) == f"{script} was not written by this version of autotask"
    assert "cannot read" in str(run_parts_door.problem(str(tmp_path / "nothing")))
