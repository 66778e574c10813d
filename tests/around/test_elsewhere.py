"""Containers that share a volume: what is recorded of one that was killed whole, and by which."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import (
    LAUNCHER,
    PYTHON,
    TEMPLATE,
    Datagrams,
    a_run,
    environment,
    run_program,
    runs,
    small_disk,
    wait_until,
    write,
)

from autotask import procfs
from autotask.around import elsewhere, marks_left, sweeping
from autotask.journal import Journal, process_fields, started_line
from autotask.run import Run
from autotask.settings import Settings
from autotask.telling import leave_mark

NAP = "import sys, time; print('in', flush=True); time.sleep(float(sys.argv[1]))"
BOOT, NAMESPACE, _ = procfs.identity().split("/")


def left_in_a_container(home: Path, name: str, root: Run, locked: str = "") -> None:
    """Leave a mark as a process of a container does; with *locked*, as its process 1."""
    pid = 1 if locked else 7
    notes, lock = Journal(str(home)), (lambda _: locked) if locked else None
    assert leave_mark(notes, name, f"another/1/{pid}", pid, "pod", root.id, lock)
    notes.close()


def journal_start(home: Path, run: Run, pid: int) -> None:
    notes = Journal(str(home))
    notes.append(started_line(run, process_fields(pid, f"another/1/{pid}", "pod")))
    notes.close()


@pytest.mark.parametrize("torn", [False, True])
def test_a_mark_that_is_made_during_a_sweep_is_removed_by_the_next(torn: bool, home: Path) -> None:
    """A container dies after its last process has left a mark that the sweeper did not list."""
    command, task = a_run("job.sh", "process"), a_run("task")
    task.parent = task.root = command.id
    left_in_a_container(home, f"launcher-{command.id}-1", command, ',"locked":true')
    journal_start(home, command, 1)
    paths = marks_left.mark_paths(str(home))
    listed = marks_left.read_marks(paths)
    assert [mark.dead for mark in listed] == [True]
    left_in_a_container(home, f"7-{task.id}", command)
    journal_start(home, task, 7)
    late = home / "open" / f"7-{task.id}"
    text = late.read_text()
    if torn:
        late.write_text("")
    sweeping._sweep(Settings(os.environ), str(home), paths, listed, ("", 0))
    late.write_text(text)
    assert len(os.listdir(home / "open")) == 2
    sweeping.sweep(Settings(os.environ))
    assert os.listdir(home / "open") == []
    assert [run["status"] for run in runs(home)] == ["failure", "failure"]


@pytest.fixture
def nap(tmp_path: Path) -> Path:
    return write(tmp_path / "nap.py", NAP)


def _supervised(home: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(TEMPLATE), "AUTOTASK_SUPERVISE": "1", "AUTOTASK_HOME": str(home)}


@contextmanager
def container(
    words: list[str], *command: object, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command in a separate pid namespace; wait until it is in its task."""
    with subprocess.Popen(
        [*words, *map(str, command)],
        env={**environment(), **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as outside:
        assert outside.stdout
        assert outside.stdout.readline() == b"in\n"
        try:
            yield outside
        finally:
            outside.kill()


def first_of(outside: subprocess.Popen[bytes]) -> int:
    """Return the id, outside the namespace, of its process 1."""
    children = Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text()
    return int(children.split()[0])


def kill_whole(outside: subprocess.Popen[bytes]) -> None:
    os.kill(first_of(outside), signal.SIGKILL)
    outside.wait()


@pytest.mark.parametrize("under", ["autotask-run", "AUTOTASK_SUPERVISE"])
def test_a_container_that_was_killed_whole_is_reported_by_the_next_start_anywhere(
    under: str, as_process_1: list[str], nap: Path, home: Path, datagrams: Datagrams
) -> None:
    command = [LAUNCHER, PYTHON, nap, 60] if under == "autotask-run" else [PYTHON, nap, 60]
    env = {} if under == "autotask-run" else _supervised(home)
    with container(as_process_1, *command, env=env) as outside:
        assert run_program("true", under="launcher").status == 0
        assert [run["status"] for run in runs(home)] == ["running", "success"]
        kill_whole(outside)
    datagrams.lines(wait=5)
    datagrams.forget()
    taker = subprocess.Popen(["unshare", "--pid", "--fork", "sleep", "60"])  # of its number
    assert subprocess.run([*as_process_1, str(LAUNCHER), "true"], check=False).returncode == 0
    taker.kill()
    taker.wait()
    lost, _, last = runs(home)
    assert (lost["status"], lost["reason"]) == ("failure", "lost")
    assert last["status"] == "success"
    assert os.listdir(home / "open") == []
    sent = datagrams.lines("autotask.task.runs", wait=5)
    assert sum("reason:lost" in line for line in sent) == 1


def test_only_runs_of_the_killed_container_are_reported(
    as_process_1: list[str], tmp_path: Path, home: Path
) -> None:
    script = write(
        tmp_path / "job.py",
        """
        import autotask, time
        @autotask.task(name="outer")
        def outer(): inner()
        @autotask.task(name="inner")
        def inner(): print("in", flush=True); time.sleep(60)
        outer()
        """,
    )
    env = {"PYTHONPATH": str(TEMPLATE), "AUTOTASK_HOME": str(home)}
    command = (LAUNCHER, PYTHON, script)
    with container(as_process_1, *command, env=env) as first:
        with container(as_process_1, *command, env=env) as second:
            kill_whole(first)
            # The second launcher's own first sweep may be at work: then this one leaves it to that.
            sweeping.sweep(Settings(os.environ))
            wait_until(lambda: len([run for run in runs(home) if run["status"] == "failure"]) == 3)
            found = [(run["task"], run.get("reason")) for run in runs(home)]
            assert found == [
                ("job.py", "nested"),
                ("outer", "nested"),
                ("inner", "lost"),
                ("job.py", None),
                ("outer", None),
                ("inner", None),
            ]
            kill_whole(second)
        sweeping.sweep(Settings(os.environ))
        assert {run["status"] for run in runs(home)} == {"failure"}
        assert os.listdir(home / "open") == []


@pytest.mark.parametrize("under", ["autotask-run", "AUTOTASK_SUPERVISE"])
def test_only_the_launcher_holds_the_lock(under: str, nap: Path, home: Path) -> None:
    """A command that outlives its launcher must not be taken for it."""
    command = [LAUNCHER, PYTHON, nap, 60] if under == "autotask-run" else [PYTHON, nap, 60]
    env = {} if under == "autotask-run" else _supervised(home)
    with container([], *command, env=env) as launcher:
        child = first_of(launcher)
        (mark,) = (home / "open").iterdir()
        assert json.loads(mark.read_text())["locked"] is True
        for pid, holds in ((launcher.pid, True), (child, False)):
            links = {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()}
            assert (str(mark) in links) is holds
        with mark.open() as file:
            assert elsewhere.is_held(file.fileno(), procfs.identity()) is True
            launcher.kill()
            launcher.wait()
            assert elsewhere.is_held(file.fileno(), procfs.identity()) is False
        os.kill(child, signal.SIGKILL)


# --- what the marks alone say --------------------------------------------------------------------

MINUTE, DAY = 60.0, 86400.0
HERE, THERE, FAR = f"{BOOT}/1", f"{BOOT}/2", "another/1"
Row = tuple[str, str, int, Any, float, bool]
# Place, root, pid, `locked` (`held` if it is), minutes since it was touched; is it dead?
# A negative pid is a process without a launcher.
JUDGED: dict[str, list[Row]] = {
    "process 1 has let go": [(HERE, "a", 1, True, 0, True)],
    "process 1 holds its lock, in silence": [(HERE, "a", 1, "held", 99999, False)],
    "another launcher released its lock just now": [(HERE, "a", 7, True, 1, False)],
    "another launcher released its lock, and is silent": [(HERE, "a", 7, True, 11, True)],
    "another machine's launcher": [(FAR, "a", 1, True, 1, False), (FAR, "b", 1, True, 11, True)],
    "a disk without locks": [(HERE, "a", 1, False, 1, False), (HERE, "b", 1, False, 11, True)],
    "a launcher that can neither lock nor touch": [(HERE, "a", 1, None, 60, False)],
    "a process under process 1": [
        (HERE, "a", 1, True, 0, True),
        (HERE, "a", -7, None, 0, True),
        (HERE, "a", 8, True, 0, True),
    ],
    "a mark older than the last sign of process 1": [
        (HERE, "a", 1, True, 5, True),
        (HERE, "b", -7, None, 6, True),
        (HERE, "c", -8, None, 4, False),
    ],
    "another container with the same namespace number": [
        (HERE, "a", 1, True, 5, True),
        (HERE, "b", 1, "held", 4, False),
        (HERE, "b", -7, None, 4, False),
    ],
    "another container": [(HERE, "a", 1, True, 0, True), (THERE, "a", -7, None, 0, False)],
    "no other container": [
        (HERE, "a", -7, None, 6 * 24 * 60, False),
        (HERE, "b", -7, None, 8 * 24 * 60, True),
    ],
    "a living launcher above": [
        (HERE, "a", 1, "held", 0, False),
        (HERE, "a", -7, None, 8 * 24 * 60, False),
    ],
}


@pytest.mark.parametrize("rows", JUDGED.values(), ids=JUDGED)
def test_marks_of_invisible_processes_are_judged_by_lock_and_time(
    rows: list[Row], home: Path
) -> None:
    import fcntl

    (home / "open").mkdir(mode=0o700, parents=True)
    holders, touched = [], {}
    for number, (place, root, pid, locked, minutes, _) in enumerate(rows):
        name = f"launcher-{number:016x}-{pid}" if pid > 0 else f"{-pid}-{number:016x}"
        file = os.open(home / "open" / name, os.O_WRONLY | os.O_CREAT, 0o600)
        fields = {"process": f"{place}/{number}", "pid": abs(pid), "host": "web"}
        lock = {} if locked is None else {"locked": bool(locked)}
        text = {**fields, "root": root * 16, "segment": "", "offset": 0, **lock}
        os.write(file, json.dumps(text).encode())
        if locked == "held":
            fcntl.flock(file, fcntl.LOCK_EX)
            holders.append(file)
        else:
            os.close(file)
        touched[name] = time.time() - minutes * MINUTE
    marks = {os.path.basename(mark.path): mark for mark in marks_left.marks(str(home))}
    for name, mark in marks.items():
        mark.changed, mark.dead = touched[name], False
    elsewhere.judge(list(marks.values()))
    told = [marks[name].dead for name in touched]
    on_a_device = bool(os.major(home.stat().st_dev))  # whose locks another machine shows, too
    assert told == [
        on_a_device if place == FAR and minutes < 10 else dead
        for place, _, _, _, minutes, dead in rows
    ]
    for file in holders:
        os.close(file)


class Counted(marks_left.Mark):
    """A mark that counts how often the place of its process is read."""

    looks = 0

    def __init__(self, number: int) -> None:
        fields = {"process": f"far/{number}/1", "pid": 1, "host": "web", "root": "a" * 16}
        super().__init__(f"/launcher-{number:016x}-1", fields)
        self.can_lock = True  # and silent since 1970

    @property
    def place(self) -> str:
        Counted.looks += 1
        return self._place

    @place.setter
    def place(self, place: str) -> None:
        self._place = place


def test_a_mark_is_not_compared_with_all_others() -> None:
    marks: list[marks_left.Mark] = [Counted(number) for number in range(500)]
    elsewhere.judge(marks)
    assert all(mark.dead for mark in marks)
    assert Counted.looks <= 10 * len(marks)


FILL = """
    import glob, os
    def fill(path):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        size = 1 << 20
        while size:
            try:
                os.write(file, b"\\n" * size)
            except OSError:
                size //= 2
    for path in (os.environ["BALLAST"], *glob.glob(os.environ["AUTOTASK_HOME"] + "/journal/*")):
        fill(path)  # fills the page of the segment
"""


@pytest.mark.parametrize("under", ["autotask-run", "AUTOTASK_SUPERVISE", "alone"])
def test_a_run_whose_end_a_full_volume_refused_does_not_run_for_ever(
    under: str, as_process_1: list[str], tmp_path: Path
) -> None:
    script = write(tmp_path / "job.py", FILL)
    with small_disk(tmp_path / "volume", "size=1m,mode=700") as volume:
        home = volume / "home"
        env = {**environment(), **_supervised(home), "BALLAST": str(volume / "ballast")}
        command = [PYTHON, str(script)]
        if under == "autotask-run":
            command, env["PYTHONPATH"] = [str(LAUNCHER), *command], ""
        if under == "alone":
            del env["AUTOTASK_SUPERVISE"]
        assert subprocess.run([*as_process_1, *command], env=env, check=False).returncode == 0
        (left,) = (home / "open").iterdir()
        (volume / "ballast").unlink()
        ours = {**env, "AUTOTASK_SUPERVISE": "0"}
        with subprocess.Popen(["unshare", "--pid", "--fork", "sleep", "60"]) as taker:
            sweeper = [*as_process_1, str(LAUNCHER), "true"]
            assert subprocess.run(sweeper, env=ours, check=False).returncode == 0
            taker.kill()
        text = "".join(segment.read_text() for segment in (home / "journal").iterdir())
        ends = [json.loads(line) for line in text.splitlines() if '"event":"finished"' in line]
        assert sorted(end.get("reason", "none") for end in ends) == ["lost", "none"]
        assert not left.exists()


def test_a_proc_of_another_namespace_does_not_make_a_living_process_dead(
    as_process_1: list[str], nap: Path, home: Path
) -> None:
    line = f"'{LAUNCHER}' '{PYTHON}' '{nap}' 2 & sleep 1; '{LAUNCHER}' true; wait"
    words = [word for word in as_process_1 if word != "--mount-proc"]
    assert (
        subprocess.run([*words, "sh", "-c", line], env=environment(), check=False).returncode == 0
    )
    assert {run["status"] for run in runs(home)} == {"success"}


def test_without_proc_the_tool_says_that_it_cannot_judge(
    as_process_1: list[str], nap: Path, home: Path
) -> None:
    tool = Path(PYTHON).with_name("autotask")
    with container([], LAUNCHER, PYTHON, nap, 60) as living:
        hidden = f"umount -l /proc; exec '{tool}' runs --format jsonl"
        words = ["unshare", "--mount", "sh", "-c", hidden]
        done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
        assert json.loads(done.stdout)["status"] == "running"
        assert "no /proc here: cannot tell" in done.stderr
        os.kill(first_of(living), signal.SIGKILL)
