"""Tasks in containers that runc starts, as it does for Docker and Kubernetes.

Skipped if runc is not installed or cannot run a container here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from engine import Mount, base, machine
from support import PATIENCE, Ended, run_program, runs, write

WAYS = {
    "bare": {"PYTHONPATH": ""},
    "without a parent": {"AUTOTASK_SUPERVISE": "0"},
    "with a parent": {"AUTOTASK_SUPERVISE": "1"},
    "with an init": {"AUTOTASK_SUPERVISE": "init"},
}
TOOL = (sys.executable, "-m", "autotask.tool.cli")
NAP = "import time; print('up', flush=True); time.sleep(999)"


@dataclass(frozen=True)
class Container:
    """A container whose process 1 runs, or is about to."""

    name: str
    state: Path
    process: subprocess.Popen[str]

    def end(self, stdin: str = "") -> Ended:
        """Wait until process 1 has ended."""
        out, err = self.process.communicate(stdin, timeout=PATIENCE)
        return Ended(self.process.returncode, out, err)

    def runc(self, *words: str) -> Ended:
        """Run a command of runc on this container, for instance `exec` or `kill`."""
        command, *rest = words
        line = ("runc", "--root", str(self.state), command, self.name, *rest)
        return run_program(*line, under="bare")

    def wait_for_line(self) -> None:
        """Wait until process 1 has printed a line."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline(), self.end().stderr


@dataclass(frozen=True)
class Runtime:
    """runc, a root file system for all containers, and a folder that all of them see as /job."""

    spec: Mapping[str, Any]
    folder: Path
    job: Path

    @contextmanager
    def container(self, *command: str, env: Mapping[str, str] | None = None) -> Iterator[Container]:
        """Start a container, and remove it in the end with all of its processes."""
        name = f"autotask-{uuid.uuid4()}"  # also that of its cgroup: unique on the machine
        bundle = self.folder / name
        bundle.mkdir()
        process = {
            **self.spec["process"],
            "terminal": False,
            "args": command,
            "cwd": "/job",
            "env": [f"{key}={value}" for key, value in self._environment(env).items()],
        }
        mounts = [
            *self.spec["mounts"],
            *(_as_oci(mount) for mount in (*machine(), Mount("/job", self.job))),
        ]
        root = {"path": str(self.folder / "root"), "readonly": True}
        config = {**self.spec, "process": process, "mounts": mounts, "root": root}
        (bundle / "config.json").write_text(json.dumps(config))
        state = self.folder / "state"
        words = ["runc", "--root", str(state), "run", "--bundle", str(bundle), name]
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as started:
            container = Container(name, state, started)
            try:
                yield container
            finally:
                container.runc("delete", "--force")

    def run(self, *command: str, env: Mapping[str, str] | None = None, stdin: str = "") -> Ended:
        """Run a container to its end."""
        with self.container(*command, env=env) as container:
            return container.end(stdin)

    def _environment(self, env: Mapping[str, str] | None) -> dict[str, str]:
        return {
            "PATH": "/python/bin:/usr/bin:/bin",
            "PYTHONPATH": "/opt/autotask",
            "AUTOTASK_HOME": "/job/autotask-home",
            "AUTOTASK_DEBUG": "/job/autotask-debug.log",
            "container": "oci",  # Podman sets it
            **(env or {}),
        }


def _as_oci(mount: Mount) -> dict[str, Any]:
    options = ["rbind", *(["ro"] if mount.read_only else [])]
    return {
        "destination": mount.place,
        "type": "bind",
        "source": str(mount.folder),
        "options": options,
    }


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    """Make the root file system with a bundle in it, and try whether a container runs."""
    if shutil.which("runc") is None:
        pytest.skip("runc is not installed")
    folder = tmp_path_factory.mktemp("runc")
    subprocess.run(("runc", "spec"), cwd=folder, check=True)
    base(folder / "root")
    place = folder / "root" / "opt" / "autotask"
    words = (*TOOL, "bundle", place)
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
    (folder / "job").mkdir()
    spec = json.loads((folder / "config.json").read_text())
    runtime = Runtime(spec, folder, folder / "job")
    tried = runtime.run("true")
    if tried.status:
        pytest.skip(f"runc cannot run a container here: {tried.stderr.strip()[-300:]}")
    return runtime


@pytest.fixture
def runc(runtime: Runtime, tmp_path: Path) -> Runtime:
    """Return the runtime; /job is the folder of the test, with its home and its debug log."""
    return replace(runtime, job=tmp_path)


def ends(home: Path) -> list[tuple[str, str, str | None]]:
    return [(run["task"], run["status"], run.get("reason")) for run in runs(home)]


@pytest.mark.parametrize("teller", ["the next container", "autotask runs"])
def test_a_container_that_was_killed_whole_is_reported_lost_once(
    teller: str, runc: Runtime, tmp_path: Path, home: Path
) -> None:
    write(tmp_path / "nap.py", NAP)
    write(tmp_path / "next.py", "print('next')")
    supervised = {"AUTOTASK_SUPERVISE": "1"}
    with runc.container("python", "nap.py", env=supervised) as killed:
        killed.wait_for_line()
        assert ends(home) == [("nap.py", "running", None)]
        assert killed.runc("kill", "KILL").status == 0
        assert killed.end().status == 137
    # The next container may get the namespace number of the killed one, and know its end by that.
    with runc.container("sh", "-c", "echo up; exec sleep 999") as other:
        other.wait_for_line()
        if teller == "autotask runs":
            told = run_program(*TOOL, "runs", under="bare")
            assert (told.status, "lost" in told.stdout) == (0, True)
        assert runc.run("python", "next.py", env=supervised).stdout == "next\n"
        other.runc("kill", "KILL")
    assert ends(home) == [("nap.py", "failure", "lost"), ("next.py", "success", None)]
    assert os.listdir(home / "open") == []


@pytest.mark.parametrize("way", WAYS)
def test_sigterm_stops_a_program_without_a_handler_only_if_its_parent_is_an_init(
    way: str, runc: Runtime, tmp_path: Path, home: Path
) -> None:
    status = 143 if way == "with an init" else 0
    work = """
        import pathlib, time
        print("up", flush=True)
        while not pathlib.Path("told").exists():
            time.sleep(0.01)
        time.sleep(1)
        print("done")
    """
    write(tmp_path / "work.py", work)
    with runc.container("python", "work.py", env=WAYS[way]) as container:
        container.wait_for_line()
        assert container.runc("kill", "TERM").status == 0
        if status == 0:
            (tmp_path / "told").touch()
        assert container.end() == Ended(status, "" if status else "done\n", "")
    if way != "bare":
        end = ("failure", "signal") if status else ("success", None)
        assert ends(home) == [("work.py", *end)]


def test_what_runc_executes_in_a_container_is_a_run_with_a_trigger_and_an_end(
    runc: Runtime, tmp_path: Path, home: Path
) -> None:
    write(tmp_path / "nap.py", NAP)
    write(tmp_path / "clean.py", "import sys; print('clean'); sys.exit(3)")
    write(tmp_path / "killed.py", "import os; os.kill(os.getpid(), 9)")
    with runc.container("python", "nap.py", env={"AUTOTASK_SUPERVISE": "1"}) as container:
        container.wait_for_line()
        assert container.runc("exec", "python", "clean.py") == Ended(3, "clean\n", "")
        assert container.runc("exec", "python", "killed.py") == Ended(137, "", "")
        assert ends(home) == [
            ("nap.py", "running", None),
            ("clean.py", "failure", "exit"),
            ("killed.py", "failure", "signal"),
        ]
        assert {run["trigger"] for run in runs(home)} == {"container"}


def test_a_container_reads_prints_and_ends_as_without_autotask(
    runc: Runtime, tmp_path: Path, home: Path
) -> None:
    program = """
        import os, sys
        print(sys.stdin.read(), os.getcwd(), os.getuid())
        print("careful", file=sys.stderr)
        os.write(1, b"raw")
        1 / 0
    """
    write(tmp_path / "report.py", program)
    ended = {way: runc.run("python", "report.py", env=env, stdin="in") for way, env in WAYS.items()}
    assert ended["bare"].status == 1
    assert "careful" in ended["bare"].stderr
    assert ended == dict.fromkeys(WAYS, ended["bare"])
    assert ends(home) == [("report.py", "failure", "exception")] * (len(WAYS) - 1)
