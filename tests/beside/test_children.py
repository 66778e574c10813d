"""Beside programs that start Pythons: which of those are runs under PYTHONPATH alone."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from beside._peers import environment, folder
from frameworks._own import in_short
from support import Under, run_program, runs, start_program, wait_until, write

SQUARES = """\
from joblib import Parallel, delayed
def square(x):
    return x * x
if __name__ == "__main__":
    print(Parallel(n_jobs=2)(delayed(square)(x) for x in range(4)))
"""


def test_the_workers_of_joblib_are_not_runs(home: Path) -> None:
    env = environment("joblib")
    bare = run_program("python", "-", env=env, stdin=SQUARES, under="bare")
    ended = run_program("python", "-", env=env, stdin=SQUARES)
    assert ended == bare
    assert ended.stdout == "[0, 1, 4, 9]\n"
    assert runs(home) == []


@pytest.mark.parametrize("command", ["pip", "python -m pip"])
def test_the_processes_by_which_pip_builds_a_package_are_not_runs(
    command: str, tmp_path: Path, home: Path
) -> None:
    write(
        tmp_path / "pyproject.toml",
        """
        [build-system]
        requires = ["setuptools"]
        build-backend = "setuptools.build_meta"
        [project]
        name = "shop"
        version = "1.0"
        """,
    )
    write(tmp_path / "shop" / "__init__.py", "")
    install = "install --quiet --no-deps --no-build-isolation --no-index --target out ."
    words = [*command.split(), *install.split()]
    ended = run_program(*words, env=environment("pip"), cwd=tmp_path, timeout=300)
    assert ended.status == 0, ended
    assert (tmp_path / "out" / "shop" / "__init__.py").exists()
    assert runs(home) == []


_SUPERVISOR = """
[supervisord]
nodaemon = true
logfile = {place}/supervisord.log
pidfile = {place}/supervisord.pid
[program:job]
command = {python} {place}/nightly.py
startsecs = 0
autorestart = false
"""
_YACRON = """
jobs:
  - name: job
    command: {python} {place}/nightly.py
    schedule: "@reboot"
"""


@pytest.mark.parametrize("under", ["path", "launcher"])
@pytest.mark.parametrize(
    ("peer", "command", "jobs"),
    [
        ("supervisor", "supervisord", _SUPERVISOR),
        ("yacron", "yacron", _YACRON),
        ("yacron", "python -m yacron", _YACRON),
    ],
)
def test_jobs_of_a_scheduler_are_root_runs(
    peer: str, command: str, jobs: str, under: Under, tmp_path: Path, home: Path
) -> None:
    env = environment(peer)
    write(tmp_path / "nightly.py", "import sys; sys.exit(3)")
    python = folder(peer) / "bin" / "python"
    file = write(tmp_path / "jobs", jobs.format(python=python, place=tmp_path))
    first, *rest = command.split()
    words = [str(folder(peer) / "bin" / first), *rest, "-c", str(file)]
    with start_program(*words, under=under, env=env, cwd=tmp_path) as scheduler:
        try:
            wait_until(lambda: any(job.get("exit_code") == 3 for job in _jobs(home)))
        finally:
            scheduler.send_signal(signal.SIGTERM)
    (job,) = _jobs(home)
    assert (job["parent"], job["root"]) == (None, job["run"])
    assert in_short([job]) == ["nightly.py failure exit 3"]
    others = [run["task"] for run in runs(home) if run["task"] != "nightly.py"]
    assert others == ([] if under == "path" else [command.split()[-1]])


def _jobs(home: Path) -> list[dict[str, object]]:
    return [run for run in runs(home) if run["task"] == "nightly.py"] if home.exists() else []
