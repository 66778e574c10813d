"""Luigi: which of its tasks ran, in a worker's own process and in forks, and how they ended."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from frameworks._own import heed_interrupts, in_short
from support import Ended, Under, run_program, runs, without_our_frames, write

pytest.importorskip("luigi")

TASKS = """
import os, sys, time
import autotask, luigi

class Base(luigi.Task):
    n = luigi.IntParameter(default=0)
    def output(self): return luigi.LocalTarget(f"done/{self.task_id}")
    def finish(self):
        with self.output().open("w") as file: file.write("done")
class Returns(Base):
    def run(self): self.finish()
class Spaced(Returns):
    task_namespace = "shop"
class Raises(Base):
    def run(self): raise ValueError("boom")
class Chained(Base):
    def run(self):
        try: 1 / 0
        except ZeroDivisionError as problem: raise KeyError("gone") from problem
class Exits(Base):
    def run(self): sys.exit(3)
class ExitsWithZero(Base):
    def run(self): sys.exit(0)
class ExitsWithText(Base):
    def run(self): sys.exit("no stock")
@autotask.task(name="inner")
def inner(): raise LookupError("inside")
class Outer(Base):
    def run(self): inner()
class OnSuccess(Base):
    def run(self): self.finish()
    def on_success(self): raise KeyError("afterwards")
class OnFailure(Base):
    def run(self): raise ValueError("first")
    def on_failure(self, exc): return "handled"
class Present(Base):
    def complete(self): return True
class Broken(Base):
    def requires(self): raise RuntimeError("no requirements")
class Incomplete(Base):
    def complete(self): raise RuntimeError("cannot tell")
class Denied(Base):
    def complete(self):
        try: 1 / 0
        except ZeroDivisionError as problem:
            raise OSError("not allowed\\n  with\\npassword: hunter2") from problem
class NotThere(luigi.ExternalTask):
    def output(self): return luigi.LocalTarget("nowhere")
class NeedsData(Base):
    def requires(self): return NotThere()
class NeedsFailed(Base):
    def requires(self): return Raises()
class Dynamic(Base):
    def run(self):
        yield Leaf()
        self.finish()
class Leaf(Returns): pass
class Forgets(Base):
    def run(self): pass
class Unfulfilled(Base):
    def requires(self): return Forgets()
    def run(self): pass
class Group(luigi.WrapperTask):
    def requires(self): return [Returns(), Returns(n=2)]
class Killed(Base):
    def run(self): os.kill(os.getpid(), 9)
class Leaves(Base):
    def run(self): os._exit(4)
class Slow(Base):
    worker_timeout = 2
    def run(self): time.sleep(600)
class Late(Slow):
    worker_timeout = 1
class Interrupted(Base):
    def run(self): raise KeyboardInterrupt
class Waits(Base):
    def run(self):
        open("waits", "w").close()
        time.sleep(600)
"""
PROGRAM = """
import logging, sys
import luigi, tasks
workers, names = int(sys.argv[1]), sys.argv[2:]
logging.getLogger("luigi-interface").addHandler(logging.NullHandler())
result = luigi.build([getattr(tasks, name)() for name in names], local_scheduler=True,
    workers=workers, no_lock=True, detailed_summary=True)
print(result.status, result.scheduling_succeeded)
print(result.summary_text)
"""
SETTINGS = """
[core]
no_configure_logging = true
[worker]
wait_interval = 0.05
wait_jitter = 0.0
"""
ENDINGS = {
    "Returns": ["Returns success"],
    "Spaced": ["shop.Spaced success"],
    "Raises": ["Raises failure exception ValueError"],
    "Chained": ["Chained failure exception KeyError"],
    "Exits": ["Exits failure exit 3"],
    "ExitsWithZero": ["ExitsWithZero failure exception SystemExit"],  # to Luigi it has failed
    "ExitsWithText": ["ExitsWithText failure exit 1 SystemExit"],
    "Outer": [
        "Outer failure nested LookupError by inner",
        "inner failure exception LookupError in Outer",
    ],
    "OnSuccess": ["OnSuccess failure exception KeyError"],
    "OnFailure": ["OnFailure failure exception ValueError"],
    "Present": ["Present skipped"],
    "Broken": ["Broken failure exception RuntimeError"],
    "Incomplete": ["Incomplete failure exception RuntimeError"],
    "NeedsData": ["NeedsData skipped waiting", "NotThere skipped waiting"],
    "NeedsFailed": ["NeedsFailed skipped waiting"],
    "Dynamic": ["Dynamic skipped waiting", "Dynamic success", "Leaf success"],
    "Group": ["Group success", "Returns success"],
}
IN_FORKS = {
    **ENDINGS,
    "Killed": ["Killed failure signal SIGKILL"],
    "Leaves": ["Leaves failure exit 4"],
    "Slow": ["Slow failure timeout"],
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with tasks, in which only tasks are runs."""
    heed_interrupts()
    monkeypatch.setenv("AUTOTASK_PROCESS", "0")
    write(tmp_path / "tasks.py", TASKS)
    write(tmp_path / "program.py", PROGRAM)
    write(tmp_path / "luigi.cfg", SETTINGS)
    return tmp_path


def _luigi(project: Path, workers: int, *names: str) -> Ended:
    """Run tasks bare and with the agent; fail if the two differ."""
    ends = []
    unders: tuple[Under, ...] = ("bare", "path")
    for under in unders:
        folder = project / under
        folder.mkdir()
        for file in project.glob("*.*"):
            write(folder / file.name, file.read_text())
        words = ("program.py", str(workers), *names)
        ends.append(run_program(*words, under=under, cwd=folder))
    plain = [without_our_frames(end.stderr).replace("/path/", "/bare/") for end in ends]
    assert plain[0] == plain[1]
    assert (ends[0].status, ends[0].stdout) == (ends[1].status, ends[1].stdout)
    return ends[1]


@pytest.mark.parametrize(("workers", "endings"), [(1, ENDINGS), (2, IN_FORKS)])
def test_tasks_end_as_without_the_agent_and_their_runs_are_recorded(
    workers: int, endings: dict[str, list[str]], project: Path, home: Path
) -> None:
    ended = _luigi(project, workers, *endings)
    assert ended.status == 0  # although tasks have failed
    assert ended.stdout.startswith("LuigiStatusCode.FAILED_AND_SCHEDULING_FAILED False\n")
    assert sorted(in_short(runs(home))) == sorted(
        line for lines in endings.values() for line in lines
    )


def test_a_run_has_its_framework_its_place_and_its_attempt(project: Path, home: Path) -> None:
    run_program("program.py", "1", "Raises", "Unfulfilled", cwd=project)
    found = runs(home)
    assert {run["framework"] for run in found} == {"luigi"}
    (raised,) = [run for run in found if run["task"] == "Raises"]
    line = 1 + TASKS.splitlines().index('    def run(self): raise ValueError("boom")')
    assert raised["error"]["where"] == f"{project / 'tasks.py'}:{line}"
    assert raised["attempt"] == 1
    again = [run for run in found if run["task"] == "Unfulfilled"]  # Luigi tries it once more
    assert in_short(again) == ["Unfulfilled failure exception RuntimeError"] * 2
    assert [run["attempt"] for run in again] == [1, 2]
    # How often the other one runs is for the scheduler to say.
    assert {run["status"] for run in found if run["task"] == "Forgets"} == {"success"}


def test_the_error_of_a_completeness_check_is_masked(project: Path, home: Path) -> None:
    run_program("program.py", "1", "Denied", cwd=project)
    (run,) = runs(home)
    assert (run["error"]["type"], run["error"]["message"]) == (
        "OSError",
        "not allowed\n  with\npassword: ***",
    )


def test_a_worker_that_ends_many_tasks_keeps_nothing_of_them(project: Path) -> None:
    program = """
    import atexit, luigi, tasks
    for number in range(2):
        luigi.build([tasks.Late(number)], local_scheduler=True, no_lock=True, workers=2)
        print(atexit._ncallbacks())
    """
    ended = run_program(write(project / "program.py", program), cwd=project)
    assert len(set(ended.stdout.split())) == 1, ended


@pytest.mark.parametrize("workers", [1, 2])
def test_the_tasks_of_its_own_command_line_are_under_it(
    workers: int, project: Path, home: Path
) -> None:
    words = ("-m", "luigi", "--module", "tasks", "Raises", "--local-scheduler", "--no-lock")
    env = {"AUTOTASK_PROCESS": "1", "PYTHONPATH": str(project)}
    ended = run_program(*words, "--workers", str(workers), cwd=project, env=env)
    assert ended.status == 0
    assert in_short(runs(home)) == [
        "luigi success",
        "Raises failure exception ValueError in luigi",
    ]


def test_a_task_that_is_interrupted_is_recorded_as_that(project: Path, home: Path) -> None:
    assert _luigi(project, 1, "Interrupted").status != 0
    assert in_short(runs(home)) == ["Interrupted failure interrupted"]


def test_a_task_in_a_fork_is_recorded_as_interrupted_if_its_worker_is(
    project: Path, home: Path
) -> None:
    interrupts = """
    import os, luigi.worker
    purge = luigi.worker.Worker._purge_children
    def interrupted(self):
        if os.path.exists("waits"): raise KeyboardInterrupt
        purge(self)
    luigi.worker.Worker._purge_children = interrupted
    """
    write(project / "program.py", textwrap.dedent(interrupts) + PROGRAM)
    _luigi(project, 2, "Waits")
    assert in_short(runs(home)) == ["Waits failure interrupted"]


def test_recording_of_luigi_can_be_turned_off(project: Path, home: Path) -> None:
    run_program("program.py", "2", "Raises", cwd=project, env={"AUTOTASK_FRAMEWORKS": "-luigi"})
    run_program("program.py", "1", "Dynamic", cwd=project, env={"AUTOTASK_IGNORE": "*"})
    assert runs(home) == []
