"""doit: which of its tasks ran, were skipped or could not start, and how they ended."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sysconfig
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from frameworks import _own
from frameworks._own import heed_interrupts, in_short
from support import (
    PATIENCE,
    PYTHON,
    Ended,
    Record,
    Under,
    run_program,
    runs,
    start_program,
    wait_until,
    write,
)

pytest.importorskip("doit")
# In a fork, doit's `dbm.dumb` is written in another order when the interpreter ends.
same = partial(_own.same, fresh=True)

DODO = """
import os, sys
from doit import create_after
from doit.exceptions import TaskError, TaskFailed
from doit.tools import PythonInteractiveAction, result_dep, run_once

DOIT_CONFIG = {"default_tasks": ["ok"], "backend": "json", "dep_file": "db.json"}

def say(text="hi"):
    print(text, flush=True)

def boom():
    print("before")
    raise ValueError("boom")

def touch(targets):
    for target in targets:
        open(target, "w").close()

def task_ok():
    return {"actions": [say], "verbosity": 2}

def task_many():
    return {"actions": [say, "echo two", ["echo", "three"], (say, ["four"])], "verbosity": 2}

def task_once():
    return {"actions": [say], "uptodate": [run_once]}

def task_boom():
    return {"actions": [boom, say]}

def task_false():
    return {"actions": [lambda: False]}

def task_wrong():
    return {"actions": [lambda: 3]}

def task_failed():
    return {"actions": [lambda: TaskFailed("no luck")]}

def task_error():
    return {"actions": [lambda: TaskError("no luck")]}

def task_interactive():
    return {"actions": [PythonInteractiveAction(boom)]}

def task_sh():
    return {"actions": ["echo out; echo err >&2; exit 5"]}

def task_sh126():
    return {"actions": ["exit 126"]}

def task_killed():
    return {"actions": ["kill -9 $$"]}

def task_exit0():
    return {"actions": [lambda: sys.exit()]}

def task_exit4():
    return {"actions": [lambda: sys.exit(4)]}

def task_exit_text():
    return {"actions": [lambda: sys.exit("a text")]}

def leave():
    raise SystemExit(6)

def task_raise():
    return {"actions": [leave]}

def interrupt():
    raise KeyboardInterrupt

def task_interrupt():
    return {"actions": [interrupt]}

def task__exit():
    return {"actions": [lambda: os._exit(9)]}

def task_noprogram():
    return {"actions": [["no-such-program"]]}

def task_badaction():
    return {"actions": [3]}

def task_expand():
    return {"actions": ["echo %(nothing)s"]}

def task_missing():
    return {"actions": [say], "file_dep": ["missing.txt"]}

def task_after():
    return {"actions": [say], "task_dep": ["boom"]}

def task_after_after():
    return {"actions": [say], "task_dep": ["after"]}

def task_group():
    for name in "ab":
        yield {"name": name, "actions": [say]}

def task_badgroup():
    yield {"name": "x", "actions": [boom]}
    yield {"name": "y", "actions": [say]}

def task_after_group():
    return {"actions": [say], "task_dep": ["badgroup"]}

def task_nothing():
    return {"actions": None, "task_dep": ["ok"]}

def task_nothing_missing():
    return {"actions": None, "file_dep": ["missing.txt"]}

def broken():
    raise RuntimeError("check")

def task_broken_check():
    return {"actions": [say], "uptodate": [broken]}

def task_removes():
    return {"actions": ["rm input.txt"], "file_dep": ["input.txt"]}

def task_copy():
    return {"actions": ["cp input.txt copy.txt"], "file_dep": ["input.txt"],
            "targets": ["copy.txt"]}

def task_from_copy():
    return {"actions": [touch], "file_dep": ["copy.txt"], "targets": ["last.txt"]}

def task_options():
    return {"actions": [say], "verbosity": 2,
            "params": [{"name": "text", "short": "t", "type": int, "default": 1}]}

def task_positional():
    return {"actions": [lambda rest: print(rest)], "pos_arg": "rest"}

def task_setup():
    return {"actions": [say], "setup": ["ok"], "uptodate": [run_once]}

def task_bad_setup():
    return {"actions": [say], "setup": ["boom"], "uptodate": [run_once]}

def task_values():
    return {"actions": [lambda: {"x": 1, "y": "two"}], "uptodate": [run_once]}

def task_result():
    return {"actions": [lambda: "the result"]}

def task_on_result():
    return {"actions": ["echo once"], "uptodate": [result_dep("result")], "verbosity": 2}

def task_getargs():
    return {"actions": [lambda x: print("x is", x)], "getargs": {"x": ("values", "x")},
            "verbosity": 2}

def task_getall():
    return {"actions": [lambda all: print("all is", all)], "getargs": {"all": ("values", None)},
            "verbosity": 2}

def task_getbad():
    return {"actions": [lambda x: None], "getargs": {"x": ("values", "none")}}

def task_calc():
    return {"actions": [say], "calc_dep": ["deps"]}

def task_deps():
    return {"actions": [lambda: {"file_dep": ["input.txt"]}]}

def task_teardown():
    return {"actions": [say], "teardown": [boom]}

def task_cleaned():
    return {"actions": [say], "clean": [say]}

@create_after(executed="ok")
def task_delayed():
    yield {"name": "late", "actions": [say]}
"""

FAILED = "boom failure exception ValueError"
AFTER = "after failure nested UnmetDependency by boom"

# The words after `doit`, of one command or several, and the recorded runs.
ROWS = {
    "": ["ok success"],
    "run": ["ok success"],
    "ok": ["ok success"],
    "many": ["many success"],
    "-v 0 many": ["many success"],
    "-v 2 sh ok": ["sh failure exit 5 TaskFailed"],
    "-c sh ok": ["sh failure exit 5 TaskFailed", "ok success"],
    "-r executed-only ok sh": ["ok success", "sh failure exit 5 TaskFailed"],
    "-r zero sh": ["sh failure exit 5 TaskFailed"],
    # ways to end
    "boom": [FAILED],
    "false": ["false failure exit 1 TaskFailed"],
    "wrong": ["wrong failure exception TaskError"],
    "failed": ["failed failure exit 1 TaskFailed"],
    "error": ["error failure exception TaskError"],
    "interactive": ["interactive failure exception ValueError"],
    "sh126": ["sh126 failure exit 126 TaskError"],
    "killed": ["killed failure exit 137 TaskFailed"],
    "exit0": ["exit0 success"],
    "exit4": ["exit4 failure exit 4"],
    "exit_text": ["exit_text failure exit 1 SystemExit"],
    "raise": ["raise failure exit 6"],
    "interrupt": ["interrupt failure interrupted"],
    "_exit": ["_exit failure exit 9"],
    "noprogram": ["noprogram failure exception FileNotFoundError"],
    "badaction": [],  # doit gives up before it starts
    "expand": ["expand failure exception KeyError"],
    "missing": ["missing failure exception DependencyError"],
    "broken_check": ["broken_check failure exception RuntimeError"],
    "removes": ["removes failure exception DependencyError"],
    "teardown": ["teardown success"],
    # tasks that depend on others
    "after": [FAILED],
    "-c after": [FAILED, AFTER],
    "-c after_after": [FAILED, AFTER, "after_after failure nested UnmetDependency by boom"],
    "group": ["group:a success", "group:b success"],
    "group:b": ["group:b success"],
    "-c after_group": [
        "badgroup:x failure exception ValueError",
        "badgroup:y success",
        "after_group failure nested UnmetDependency by badgroup:x",
    ],
    "nothing": ["ok success"],
    "nothing_missing": ["nothing_missing failure exception DependencyError"],
    "from_copy": ["copy success", "from_copy success"],
    "last.txt": ["copy success", "from_copy success"],
    "-s from_copy": ["from_copy failure exception DependencyError"],
    "setup": ["ok success", "setup success"],
    "bad_setup": [FAILED],
    "-c bad_setup": [FAILED, "bad_setup success"],  # as doit does it
    "calc": ["deps success", "calc success"],
    "delayed": ["ok success", "delayed:late success"],
    "delayed:late": ["ok success", "delayed:late success"],
    # up to date, or not
    "once ; once": ["once success", "once skipped"],
    "once ; -a once": ["once success", "once success"],
    "once ; forget once ; once": ["once success", "once success"],
    "ignore once ; once": ["once skipped"],
    "ignore boom ; after": ["boom skipped", "after skipped"],
    "ignore group:a ; group": ["group:a skipped", "group:b success"],
    "from_copy ; from_copy": [
        "copy success",
        "from_copy success",
        "copy skipped",
        "from_copy skipped",
    ],
    "setup ; setup": ["ok success", "setup success", "setup skipped"],
    "on_result ; on_result": [
        "result success",
        "on_result success",
        "result success",
        "on_result skipped",
    ],
    "getargs ; getargs": ["values success", "getargs success", "getargs skipped"],
    "getall": ["values success", "getall success"],
    "getbad": ["values success", "getbad failure exception DependencyError"],
    "sh ; sh": ["sh failure exit 5 TaskFailed", "sh failure exit 5 TaskFailed"],
    # with processes and threads
    "-n 1 ok": ["ok success"],
    "-n 2 -c after": [FAILED, AFTER],
    "-n 2 once ; -n 2 once": ["once success", "once skipped"],
    "-n 2 from_copy ; -n 2 from_copy": [
        "copy success",
        "from_copy success",
        "copy skipped",
        "from_copy skipped",
    ],
    "-n 2 on_result ; on_result": [
        "result success",
        "on_result success",
        "result success",
        "on_result skipped",
    ],
    "-n 2 getall": ["values success", "getall success"],
    "-n 2 exit4": ["exit4 failure exit 4"],
    "-n 2 noprogram": ["noprogram failure exception FileNotFoundError"],
    "-n 2 sh": ["sh failure exit 5 TaskFailed"],
    "-n 2 missing": ["missing failure exception DependencyError"],
    "-n 2 setup": ["ok success", "setup success"],
    "-n 2 -P thread sh": ["sh failure exit 5 TaskFailed"],
    "-n 2 -P thread -c after": [FAILED, AFTER],
    "-n 2 -P thread exit4": ["exit4 failure exit 4"],
    "-n 2 -P thread from_copy": ["copy success", "from_copy success"],
    # wrong arguments
    "options -t x": ["options failure usage 3"],
    "options --bogus": ["options failure usage 3"],
    "ok options -z": ["options failure usage 3"],
    "options -t 2": ["options success"],
    "positional a b": ["positional success"],
    "nope": ["doit failure usage 3"],
    "ok nope": ["doit failure usage 3"],
    "run nope": ["doit failure usage 3"],
    "--bogus": ["doit failure usage 3"],
    "-f nope.py": ["doit failure usage 3"],
    "-n x ok": ["doit failure usage 3"],
    "-P nonsense -n 2 ok": ["doit failure usage 3"],
    # questions and other commands
    "list": [],
    "list --all -s": [],
    "list --bogus": [],
    "help": [],
    "help ok": [],
    "--help": [],
    "--version": [],
    "info ok": [],
    "info nope": [],
    "clean cleaned": [],
    "forget": [],
    "ignore ok": [],
    "reset-dep copy": [],
    "ok ; dumpdb": ["ok success"],
    "tabcompletion": [],
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with a dodo.py, in which only tasks are runs."""
    heed_interrupts()
    monkeypatch.setenv("AUTOTASK_PROCESS", "0")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    write(tmp_path / "template" / "dodo.py", DODO)
    write(tmp_path / "template" / "input.txt", "input")
    return tmp_path / "project"


def compare(project: Path, *commands: str, **options: Any) -> Ended:
    """Run doit commands one after the other, bare and with the agent.

    Fails if output, status, files or what doit remembers differ.
    """
    found: list[object] = []
    shutil.rmtree(project, ignore_errors=True)

    def begin_anew() -> None:
        if project.exists():
            found.append(_remembered(project))
            shutil.rmtree(project)
        shutil.copytree(project.parent / "template", project)

    words = [shlex.join([PYTHON, "-m", "doit"]) + f" {command}" for command in commands]
    ended = same("sh", "-c", "; ".join(words), cwd=project, before=begin_anew, **options)
    assert found == [_remembered(project)]
    return ended


def _remembered(project: Path) -> object:
    """Return the names of all files, and doit's database without times of modification."""
    files = sorted(str(path.relative_to(project)) for path in project.rglob("*"))
    data = project / "db.json"
    known = json.loads(data.read_text(), parse_float=lambda _: 0) if data.exists() else None
    return files, known


@pytest.mark.parametrize("words", ROWS)
def test_doit_ends_as_without_the_agent_and_its_runs_are_recorded(
    words: str, project: Path, home: Path
) -> None:
    compare(project, *words.split(" ; "))
    assert in_short(runs(home)) == ROWS[words]


@pytest.mark.parametrize("options", ["-n 3", "-n 3 -P thread", "-n 8"])
def test_parallel_runs_are_recorded_once_each(options: str, project: Path, home: Path) -> None:
    names = [f"t:{number}" for number in range(20)]
    write(
        project.parent / "template" / "dodo.py",
        """
        import os, time
        def act():
            time.sleep(0.01)
        def task_t():
            for number in range(20):
                yield {"name": str(number), "actions": [act]}
        """,
    )
    shutil.copytree(project.parent / "template", project)
    ended = run_program("-m", "doit", *options.split(), cwd=project)
    assert ended.status == 0, ended
    assert sorted(in_short(runs(home))) == sorted(f"{name} success" for name in names)
    pids = {run["pid"] for run in runs(home)}
    assert (len(pids) > 1) == ("thread" not in options)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_each_way_to_start_processes_is_recorded(method: str, project: Path, home: Path) -> None:
    write(
        project.parent / "template" / "dodo.py",
        f"""
        import multiprocessing
        from doit.runner import MRunner
        if multiprocessing.get_start_method(allow_none=True) is None:
            multiprocessing.set_start_method("{method}")
        def task_t():
            for number in range(3):
                yield {{"name": str(number), "actions": [f"exit {{number}}"]}}
        """,
    )
    shutil.copytree(project.parent / "template", project)
    under = [run_program("-m", "doit", "-c", "-n", "2", cwd=project, under="bare")]
    under.append(
        run_program("-m", "doit", "-c", "-n", "2", cwd=project, env={"AUTOTASK_PROCESS": "auto"})
    )
    assert under[0].status == under[1].status != 0, under
    (process, *rest) = runs(home)
    assert process["task"] == "doit"
    assert {run["parent"] for run in rest} == {process["run"]}
    assert {run["root"] for run in rest} == {process["run"]}
    assert process["pid"] not in {run["pid"] for run in rest}
    assert sorted(in_short(_alone(rest))) == [
        "t:0 success",
        "t:1 failure exit 1 TaskFailed",
        "t:2 failure exit 2 TaskFailed",
    ]


# The words after `doit`, doit's status, and which task's failure is the program's own.
PASSED_ON = {
    "sh": (1, "sh"),
    "-n 2 sh": (1, "sh"),
    "-n 2 -P thread sh": (1, "sh"),
    "-n 2 -c sh ok": (1, "sh"),
    "-n 2 -a ok sh": (1, "sh"),
    "-n 2 sh126": (2, "sh126"),
    "-n 2 boom": (2, "boom"),
    "-n 2 missing": (2, "missing"),
    "-n 2 after": (2, "boom"),
    "-n 2 -c after_after": (2, "boom"),
    "-n 2 -c bad_setup": (2, "boom"),
    "-n 2 -c badgroup": (2, "badgroup:x"),
}


@pytest.mark.parametrize("words", PASSED_ON)
def test_the_failure_of_a_task_is_not_another_failure_of_the_program(
    words: str, project: Path, home: Path
) -> None:
    status, cause = PASSED_ON[words]
    place = project.parent / "template"
    ended = run_program("-m", "doit", *words.split(), cwd=place, env={"AUTOTASK_PROCESS": "auto"})
    assert ended.status == status, ended
    (process, *tasks) = runs(home)
    assert (process["task"], process["reason"], process["exit_code"]) == ("doit", "nested", status)
    assert [run["task"] for run in tasks if run["run"] == process["caused_by"]] == [cause]


@pytest.mark.parametrize("options", ["", "-n 2", "-n 2 -P thread"])
def test_the_run_that_failed_first_is_the_cause_of_all(
    options: str, project: Path, home: Path
) -> None:
    pytest.importorskip("click")
    place = project.parent / "template"
    command = "import click\n@click.command()\ndef ship():\n    raise ValueError('sold out')\n"
    tasks = "def task_shop(): return {'actions': [lambda: ship.main([], standalone_mode=False)]}\n"
    tasks += "def task_after_shop(): return {'actions': None, 'task_dep': ['shop']}\n"
    tasks += "def task_last(): return {'actions': [say], 'task_dep': ['after_shop']}\n"
    (place / "dodo.py").write_text(f"{DODO}\n{command}{tasks}")
    words = [*options.split(), "-c", "last"]
    run_program("-m", "doit", *words, cwd=place, env={"AUTOTASK_PROCESS": "auto"})
    ship = next(run for run in runs(home) if run["framework"] == "click")
    causes = {run["task"]: run["caused_by"] for run in runs(home) if run != ship}
    assert causes == dict.fromkeys(("doit", "shop", "last"), ship["run"])


@pytest.mark.parametrize("options", ["-n 2", "-n 2 -P thread"])
def test_the_last_of_two_failed_tasks_is_the_programs_failure(
    options: str, project: Path, home: Path
) -> None:
    place = project.parent / "template"
    words = [*options.split(), "-c", "sh", "false"]
    run_program("-m", "doit", *words, cwd=place, env={"AUTOTASK_PROCESS": "auto"})
    (process, *tasks) = runs(home)
    assert sorted(run["task"] for run in tasks) == ["false", "sh"]
    assert (process["reason"], process["exit_code"]) == ("nested", 1)
    assert process["caused_by"] in {run["run"] for run in tasks}


def test_a_task_that_is_not_a_run_is_not_the_cause_of_the_programs_failure(
    project: Path, home: Path
) -> None:
    env = {"AUTOTASK_PROCESS": "auto", "AUTOTASK_IGNORE": "sh"}
    run_program("-m", "doit", "-n", "2", "sh", cwd=project.parent / "template", env=env)
    assert in_short(runs(home)) == ["doit failure exit 1"]


def test_a_failing_teardown_fails_no_task(project: Path, home: Path) -> None:
    place = project.parent / "template"
    env = {"AUTOTASK_PROCESS": "auto"}
    run_program("-m", "doit", "-n", "2", "-P", "thread", "teardown", cwd=place, env=env)
    assert in_short(runs(home)) == ["doit success", "teardown success in doit"]


def _alone(found: list[Record]) -> list[Record]:
    """Return runs without their parents."""
    return [{key: run[key] for key in run if key != "parent"} for run in found]


def test_a_failed_save_in_another_process_is_reported_too(project: Path, home: Path) -> None:
    compare(project, "-n 2 removes")
    assert in_short(runs(home)) == [
        "removes success",  # in the process that executed it, which has ended the run
        "removes failure exception DependencyError",
    ]


def test_skipped_tasks_have_no_error_and_no_parent(project: Path, home: Path) -> None:
    compare(project, "once", "once")
    first, second = runs(home)
    assert (first["framework"], second["framework"]) == ("doit", "doit")
    assert "error" not in second
    assert "reason" not in second
    assert second["duration"] < 60  # not since the boot of the machine


def test_an_exception_has_the_place_where_it_was_raised(project: Path, home: Path) -> None:
    compare(project, "boom")
    (run,) = runs(home)
    assert run["error"]["message"] == "boom"
    assert run["error"]["where"].startswith(f"{project / 'dodo.py'}:")


def test_a_console_script_is_named_by_its_file(project: Path, home: Path) -> None:
    script = Path(sysconfig.get_path("scripts")) / "doit"
    if not script.exists():
        pytest.skip("no doit here")
    shutil.copytree(project.parent / "template", project)
    same(script, "nope", cwd=project)
    assert in_short(runs(home)) == ["doit failure usage 3"]


def test_a_missing_dodo_file_is_a_usage_error(tmp_path: Path, home: Path) -> None:
    env = {"AUTOTASK_PROCESS": "0"}
    same("-m", "doit", "ok", cwd=tmp_path, env=env)
    same("-m", "doit", "list", cwd=tmp_path, env=env)
    assert in_short(runs(home)) == ["doit failure usage 3"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import nowhere_to_be_found", "doit failure exception ModuleNotFoundError"),
        ("def broken(:", "doit failure exception SyntaxError"),
        ("import sys; sys.exit(4)", "doit failure exit 4"),
        ("import sys; sys.exit(0)", None),
        ("def task_x(): return {'actons': []}", "doit failure exception InvalidTask"),
        ("DOIT_CONFIG = 3", "doit failure exception InvalidDodoFile"),
        (
            "def task_x(): return {'actions': [], 'task_dep': ['nope']}",
            "doit failure exception InvalidTask",
        ),
        (
            """
            def task_x(): return {"actions": ["true"], "task_dep": ["y"]}
            def task_y(): return {"actions": ["true"], "task_dep": ["x"]}
            """,
            "doit failure exception InvalidDodoFile",
        ),
    ],
)
def test_a_broken_dodo_file_is_the_programs_failure(
    source: str, expected: str | None, project: Path, home: Path
) -> None:
    write(project.parent / "template" / "dodo.py", source)
    compare(project, "")
    assert in_short(runs(home)) == ([expected] if expected else [])


def test_a_task_that_cannot_be_made_is_the_programs_failure(project: Path, home: Path) -> None:
    write(
        project.parent / "template" / "dodo.py",
        """
        from doit import create_after
        def task_ok(): return {"actions": ["true"]}
        @create_after(executed="ok")
        def task_late(): raise RuntimeError("creator")
        """,
    )
    compare(project, "late")
    assert in_short(runs(home)) == ["doit failure exception RuntimeError", "ok success"]


SCRIPT = """
import sys
def say(): print("hi", flush=True)
def task_ok(): return {"actions": [say]}
def task_sh(): return {"actions": ["exit 5"]}
"""


@pytest.mark.parametrize(
    ("end", "words", "expected"),
    [
        ("import doit; doit.run(globals())", "ok", ["ok success"]),
        ("import doit; doit.run(globals())", "nope", ["shop failure usage 3"]),
        (
            """
from doit.doit_cmd import DoitMain
from doit.cmd_base import ModuleTaskLoader
print(DoitMain(ModuleTaskLoader(globals())).run(["sh"]))
""",
            "",
            ["sh failure exit 5 TaskFailed"],
        ),
        (
            """
from doit.task import Stream, Task
Task("own", [say]).execute(Stream(2))
Task("none", None).execute(Stream(2))
""",
            "",
            ["own success"],
        ),
    ],
)
def test_a_users_own_program_is_recorded(
    end: str, words: str, expected: list[str], tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "shop.py", f"{SCRIPT}\n{end}\n")
    for name in ("shop.db", "shop.py.db"):
        (tmp_path / name).unlink(missing_ok=True)
    same(script, *words.split(), cwd=tmp_path, env={"AUTOTASK_PROCESS": "0"})
    assert in_short(runs(home)) == expected


def test_a_users_own_runner_ends_its_runs(tmp_path: Path, home: Path) -> None:
    script = write(
        tmp_path / "shop.py",
        SCRIPT
        + """
from doit import cmd_run, doit_cmd, runner
from doit.cmd_base import ModuleTaskLoader
class Own(runner.Runner):
    def process_task_result(self, node, fail):
        print("processed", node.task.name, bool(fail))
        node.run_status = "successful"
cmd_run.Runner = Own
print(doit_cmd.DoitMain(ModuleTaskLoader(globals())).run(["ok", "sh"]))
""",
    )
    same(script, cwd=tmp_path, env={"AUTOTASK_PROCESS": "0"})
    assert in_short(runs(home)) == ["ok success", "sh failure exit 5 TaskFailed"]


@pytest.mark.parametrize("under", ["path", "launcher"])
@pytest.mark.parametrize("task", ["boom", "sh", "sh126", "exit4"])  # doit ends with 2, 1, 2, 4
def test_tasks_are_children_of_the_run_of_their_process(
    task: str, under: Under, project: Path, home: Path
) -> None:
    main = "import sys, doit.doit_cmd as doit; sys.exit(doit.DoitMain().run(sys.argv[1:]))"
    place = project.parent / "template"
    program = write(place / "build.py", main)
    run_program(program, task, under=under, cwd=place, env={"AUTOTASK_PROCESS": "1"})
    process, inner = runs(home)
    assert (process["task"], process["status"], process["reason"]) == (
        "build.py",
        "failure",
        "nested",
    )
    assert process["caused_by"] == inner["run"]
    assert (inner["task"], inner["parent"]) == (task, process["run"])


def test_a_program_started_by_a_task_is_its_child(project: Path, home: Path) -> None:
    dodo = project.parent / "template" / "dodo.py"
    command = f"{PYTHON} -m doit ok"
    dodo.write_text(DODO + f"\ndef task_again(): return {{'actions': [{command!r}]}}\n")
    compare(project, "again")
    assert in_short(runs(home)) == ["again success", "ok success in again"]


def test_doit_may_run_inside_a_doit_task(project: Path, home: Path) -> None:
    dodo = project.parent / "template" / "dodo.py"
    dodo.write_text(
        f"{DODO}\n"
        "from doit.doit_cmd import DoitMain\n"
        "def inner(): return DoitMain().run(['--db-file', 'inner.json', 'ok', 'sh']) == 0\n"
        "def task_outer(): return {'actions': [inner]}\n"
    )
    compare(project, "outer")
    assert in_short(runs(home)) == [
        "outer failure exit 1 TaskFailed",
        "ok success in outer",
        "sh failure exit 5 TaskFailed in outer",
    ]


@pytest.mark.parametrize("options", ["", "-n 2", "-n 2 -P thread"])
def test_ctrl_c_ends_it_as_without_the_agent(options: str, project: Path, home: Path) -> None:
    write(
        project.parent / "template" / "dodo.py",
        """
        import time
        def wait():
            open("waiting", "w").close()
            time.sleep(600)
        def task_wait(): return {"actions": [wait]}
        """,
    )
    ends = [_interrupted(project, options, bare=True), _interrupted(project, options, bare=False)]
    assert ends[0] == ends[1]
    (run,) = in_short(runs(home))
    if options == "":
        assert run == "wait failure interrupted"
    else:  # doit leaves its threads alone, and kills its processes, if they have not ended yet
        assert run in ("wait failure interrupted", "wait failure lost", "wait running")


def _interrupted(project: Path, options: str, *, bare: bool) -> int:
    shutil.rmtree(project, ignore_errors=True)
    shutil.copytree(project.parent / "template", project)
    process = start_program(
        "-m",
        "doit",
        *options.split(),
        under="bare" if bare else "path",
        cwd=project,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until((project / "waiting").exists)
    os.killpg(process.pid, signal.SIGINT)  # like a terminal
    return process.wait(PATIENCE)


def test_what_is_wrapped_keeps_its_signature(tmp_path: Path) -> None:
    script = write(
        tmp_path / "script.py",
        """
        import inspect, pickle
        from doit import task, runner, exceptions, cmd_run
        for function in (task.Task.execute, runner.Runner.select_task,
                         runner.Runner.process_task_result, runner.Runner._handle_task_error,
                         exceptions.TaskFailed.__init__, cmd_run.Run.parse_execute):
            print(function.__qualname__, inspect.signature(function), function.__doc__)
        fail = exceptions.TaskFailed("no luck", ValueError("x"))
        copy = pickle.loads(pickle.dumps(fail))
        print(repr(fail), sorted(vars(copy)), copy.get_msg())
        """,
    )
    same(script, cwd=tmp_path)


def test_recording_of_doit_can_be_turned_off(project: Path, home: Path) -> None:
    compare(project, "-c ok boom", env={"AUTOTASK_FRAMEWORKS": "-doit"})
    compare(project, "-c ok boom", env={"AUTOTASK_IGNORE": "ok,boom"})
    assert in_short(runs(home)) == []
