"""Runs left open by a dead process are closed once and correctly."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from around.test_signals import launched_by
from support import (
    INSTALLED,
    LAUNCHER,
    PYTHON,
    Datagrams,
    Ended,
    a_run,
    deliveries,
    environment,
    lines,
    only_run,
    run_program,
    runs,
    small_disk,
    start_program,
    wait_until,
    write,
)

from autotask.around import closing, journal_lines, sweeping
from autotask.around.story import Story
from autotask.around.tail import Tail
from autotask.journal import Journal, finished_line, process_fields, started_line
from autotask.procfs import identity
from autotask.run import SUCCESS, End, Run
from autotask.settings import PARENT, Settings, parent_value
from autotask.telling import leave_mark

# A program of two tasks, one called by the other; the inner one fails badly.
PROGRAM = """
    import os, signal, sys, threading
    import click

    @click.group()
    def shop(): pass

    @shop.command()
    @click.pass_context
    def outer(ctx):
        ctx.invoke(inner)

    @shop.command()
    def inner():
        {body}

    if __name__ == "__main__":
        shop()
"""
# What the inner task does; how the program ends; the inner task's end.
DEATHS: list[tuple[str, int, dict[str, Any]]] = [
    ("os.kill(os.getpid(), signal.SIGKILL)", -9, {"reason": "signal", "signal": "SIGKILL"}),
    ("os.kill(os.getpid(), signal.SIGTERM)", -15, {"reason": "signal", "signal": "SIGTERM"}),
    ("os.abort()", -6, {"reason": "signal", "signal": "SIGABRT"}),
    ("os._exit(3)", 3, {"reason": "exit", "exit_code": 3}),
    ("os._exit(0)", 0, {}),
    ("os.execvp('true', ['true'])", 0, {}),
    ("os.execvp('sh', ['sh', '-c', 'exit 4'])", 4, {"reason": "exit", "exit_code": 4}),
    (
        "signal.signal(2, signal.SIG_DFL); os.kill(os.getpid(), 2)",
        -2,
        {"reason": "interrupted", "signal": "SIGINT"},
    ),
]
ENDS = ("status", "reason", "signal", "exit_code", "caused_by")


def ends(run: dict[str, Any]) -> dict[str, Any]:
    return {name: run[name] for name in ENDS if name in run}


@pytest.fixture
def program(tmp_path: Path) -> Any:
    return lambda body: write(tmp_path / "shop.py", PROGRAM.replace("{body}", body))


@pytest.mark.parametrize(("body", "status", "end"), DEATHS, ids=[row[0] for row in DEATHS])
def test_a_dead_program_leaves_no_run_open(
    body: str, status: int, end: dict[str, Any], program: Any, home: Path, datagrams: Datagrams
) -> None:
    done = run_program(program(body), "outer", under="launcher")
    assert done.status == status
    process, outer, inner = runs(home)
    assert [run["task"] for run in (process, outer, inner)] == [
        "shop.py",
        "shop.outer",
        "shop.inner",
    ]
    if not end:
        assert [ends(run) for run in (process, outer, inner)] == [{"status": "success"}] * 3
    else:
        nested = {"status": "failure", **end, "reason": "nested", "caused_by": inner["run"]}
        assert ends(inner) == {"status": "failure", **end}
        assert ends(outer) == ends(process) == nested
    assert 0 <= inner["duration"] <= process["duration"] + 1
    assert "cpu" in process
    assert os.listdir(home / "open") == []
    sent = datagrams.lines("autotask.task.runs", wait=5)
    assert len(sent) == 3
    assert sum("reason:nested" in line for line in sent) == (2 if end else 0)


# A script without tasks, and the end of its process run.
SCRIPTS: list[tuple[str, int, dict[str, Any]]] = [
    ("raise ValueError('no')", 1, {"reason": "exception"}),
    ("raise SystemExit(3)", 3, {"reason": "exit", "exit_code": 3}),
    ("raise KeyboardInterrupt", -2, {"reason": "interrupted", "signal": "SIGINT"}),
    ("import sys; sys.exit('text')", 1, {"reason": "exit", "exit_code": 1}),
    ("import os; os._exit(4)", 4, {"reason": "exit", "exit_code": 4}),
    (
        "import atexit, os; atexit.register(os.kill, os.getpid(), 9); raise ValueError",
        -9,
        {"reason": "signal", "signal": "SIGKILL"},
    ),
]


@pytest.mark.parametrize(("body", "status", "end"), SCRIPTS, ids=[row[0] for row in SCRIPTS])
def test_a_scripts_own_failure_is_reported(
    body: str, status: int, end: dict[str, Any], tmp_path: Path, home: Path
) -> None:
    assert run_program(write(tmp_path / "job.py", body), under="launcher").status == status
    (run,) = runs(home)
    assert ends(run) == {"status": "failure", **end}
    if end["reason"] == "exception":
        assert (run["error"]["type"], run["error"]["message"]) == ("ValueError", "no")
        assert run["error"]["where"].endswith("job.py:1")


# A shell around a task that fails: is the command's failure its own, or the task's?
AROUND = [
    ("ctx.exit(3)", "$task", 3, "nested"),
    ("ctx.exit(3)", "$task; exit 3", 3, "nested"),
    ("ctx.exit(3)", "$task; exit 5", 5, "exit"),
    ("ctx.exit(3)", "$task; exit 0", 0, None),
    ("ctx.exit(3)", "$task; kill -9 $$", -9, "signal"),
    ("raise ValueError", "$task || exit 9", 9, "nested"),
    ("pass", "$task; exit 3", 3, "exit"),
]


@pytest.mark.parametrize(("body", "line", "status", "reason"), AROUND, ids=str)
def test_a_command_fails_by_its_task_unless_its_status_contradicts(
    body: str, line: str, status: int, reason: str | None, tmp_path: Path, home: Path
) -> None:
    script = write(
        tmp_path / "job.py",
        f"""
        import click
        @click.command()
        @click.pass_context
        def job(ctx): {body}
        job()
        """,
    )
    line = line.replace("$task", f"'{PYTHON}' '{script}'")
    assert run_program("sh", "-c", line, under="launcher").status == status
    command, task = runs(home)
    assert command.get("reason") == reason
    assert command.get("caused_by") == (task["run"] if reason == "nested" else None)


def test_a_killed_program_of_the_command_is_lost(program: Any, home: Path) -> None:
    script = program("os.kill(os.getpid(), signal.SIGKILL)")
    done = run_program("sh", "-c", f"'{PYTHON}' '{script}' inner; exit 0", under="launcher")
    assert done.status == 0
    command, task = runs(home)
    assert ends(command) == {"status": "success"}
    assert ends(task) == {"status": "failure", "reason": "lost"}
    assert "duration" not in task
    assert os.listdir(home / "open") == []


# Writes the two lines of a run under its process as a newer autotask would, then fails badly.
NEWER = """
    import json, os, signal, sys
    from autotask import journal, procfs
    from autotask.settings import Settings, parent_of
    parent, root, _ = parent_of(os.environ)
    at = "2026-11-25T10:00:00.000000Z"
    line = {"run": "00000000000000aa", "root": root or "00000000000000aa", "at": at, "mood": {}}
    who = {"pid": os.getpid(), "process": procfs.identity(), "host": os.uname().nodename}
    names = {"parent": parent, "task": "mail", "framework": "queue", "trigger": "moon", "try": 1}
    ours = journal.Journal(Settings(os.environ).home)
    ours.append(json.dumps({"event": "started", **line, **who, **names}, separators=(",", ":")))
    end = {"event": "finished", **line, "status": sys.argv[1], "reason": "later", "again": [2]}
    ours.append(json.dumps(end, separators=(",", ":")))
    {body}
"""


@pytest.mark.parametrize("status", ["retried", "frobnicated"])
@pytest.mark.parametrize(
    ("body", "end"),
    [
        ("sys.exit(3)", {"reason": "exit", "exit_code": 3}),
        ("os.kill(os.getpid(), 9)", {"reason": "signal", "signal": "SIGKILL"}),
        ("pass", {}),
    ],
)
def test_a_run_with_an_unknown_end_has_ended(
    body: str, end: dict[str, Any], status: str, tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "shop.py", NEWER.replace("{body}", body))
    env = {"PYTHONPATH": str(INSTALLED)}
    run_program(script, status, under="launcher", env=env)
    mail, process = runs(home)
    assert (mail["status"], mail["reason"], mail["again"]) == (status, "later", [2])
    assert ends(process) == {"status": "failure" if end else "success", **end}


@pytest.mark.parametrize("status", ["retried", "frobnicated"])
def test_a_run_with_an_unknown_end_is_not_closed_later(
    status: str, tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "shop.py", NEWER.replace("{body}", "os.kill(os.getpid(), 9)"))
    run_program(script, status, env={"PYTHONPATH": str(INSTALLED)})
    sweeping.sweep(Settings(os.environ))
    ended = {run["task"]: (run["status"], run["reason"]) for run in runs(home)}
    assert ended == {"mail": (status, "later"), "shop.py": ("failure", "lost")}


# Writes the start of a run as a program of Ruby does for its framework's bookkeeping, then ends.
ENVIRONMENT = """
    import os, signal, sys, time
    from autotask import journal, procfs
    from autotask.run import Run
    from autotask.settings import Settings, parent_of
    from autotask.telling import leave_mark
    run = Run("environment", "rake")
    run.parent, run.root, run.trigger = parent_of(os.environ)
    run.started = time.time()
    who = os.getpid(), procfs.identity(), os.uname().nodename
    process = journal.process_fields(*who)
    ours = journal.Journal(Settings(os.environ).home)
    leave_mark(ours, f"{who[0]}-{run.id}", who[1], who[0], who[2], run.root)
    ours.append(journal.started_line(run, '"bookkeeping":true,' + process))
    {body}
"""
SENT = ["autotask.task.runs", "autotask.task.duration", "_e"]  # of a failure: no service check


def lines_of(task: str, datagrams: Datagrams) -> list[str]:
    """Return the names of the lines that were sent about a task."""
    found = [line for line in datagrams.lines(wait=5) if f"task:{task}" in line]
    return [line.partition("{" if line[:2] == "_e" else ":")[0] for line in found]


@pytest.mark.parametrize(("body", "status", "end"), DEATHS, ids=[row[0] for row in DEATHS])
def test_of_a_frameworks_bookkeeping_only_a_failure_is_sent_and_no_service_check(
    body: str, status: int, end: dict[str, Any], tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    script = write(tmp_path / "rails.py", ENVIRONMENT.replace("{body}", body))
    env: dict[str, str | None] = {"PYTHONPATH": str(INSTALLED)}
    assert run_program(script, under="launcher", env=env).status == status
    process, run = runs(home)
    assert ends(run) == {"status": "failure" if end else "success", **end}
    assert process.get("reason") == ("nested" if end else None)
    assert lines_of("environment", datagrams) == (SENT if end else [])
    assert "autotask.task.runs" in lines_of("rails.py", datagrams)
    run_program(script, under="launcher", env={**env, **AWAY})
    missed = {(run, of) for run, of, _ in deliveries(home)}
    process, run = runs(home)[2:]
    expected = [(process["run"], "finished"), (process["run"], "started")]
    assert sorted(missed) == sorted([*expected, *([(run["run"], "finished")] if end else [])])


def test_rakes_own_status_is_explained_by_the_failure_of_its_task(
    tmp_path: Path, home: Path
) -> None:
    """Rake ends with 1, whatever the command of a task has ended with."""
    body = "from autotask.run import End, failure\n"
    body += "    end = End(failure('exit', exit_code=3), time.time(), 0.1)\n"
    body += "    ours.append(journal.finished_line(run, end)); os._exit(1)"
    script = write(tmp_path / "rails.py", ENVIRONMENT.replace("{body}", body))
    run_program(script, under="launcher", env={"PYTHONPATH": str(INSTALLED)})
    process, run = runs(home)
    expected = {"status": "failure", "reason": "nested", "exit_code": 1, "caused_by": run["run"]}
    assert ends(process) == expected


def test_a_frameworks_bookkeeping_has_no_heartbeats(
    tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    """Only the minute is shortened."""
    body = "run.id, run.task = '00000000000000aa', 'db:migrate'\n"
    body += "    ours.append(journal.started_line(run, process)); sys.stdin.read()"
    script = write(tmp_path / "rails.py", ENVIRONMENT.replace("{body}", body))
    with subprocess.Popen(
        [*launched_by("supervise.TICK = supervise.LOOK = 0.02"), PYTHON, str(script)],
        env=environment(env={"PYTHONPATH": str(INSTALLED)}),
        stdin=subprocess.PIPE,
    ) as launcher:
        wait_until(lambda: "autotask.task.running_seconds" in lines_of("db:migrate", datagrams))
        launcher.communicate()
    assert launcher.returncode == 0
    assert lines_of("environment", datagrams) == []


def test_a_lost_run_of_a_frameworks_bookkeeping_is_sent_without_a_service_check(
    home: Path, datagrams: Datagrams
) -> None:
    crash(home, 1, bookkeeping=True)
    sweep()
    assert statuses(home) == {"failure"}
    assert lines_of("crashed-1", datagrams) == ["autotask.task.runs", "_e"]


def test_a_program_that_outlives_the_command_keeps_its_run(program: Any, home: Path) -> None:
    script = program("os.write(1, b'in\\n'); sys.stdin.read()")
    fifo = home.with_name("fifo")
    os.mkfifo(fifo)
    with start_program(
        *("sh", "-c", f"'{PYTHON}' '{script}' inner <'{fifo}' & read line; exit 0"),
        under="launcher",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as launcher:
        written = os.open(fifo, os.O_WRONLY)
        assert launcher.stdout
        assert launcher.stdin
        assert launcher.stdout.readline() == b"in\n"
        launcher.stdin.write(b"\n")
        assert launcher.wait() == 0
        command, task = runs(home)
        assert (command["status"], task["status"]) == ("success", "running")
        assert len(os.listdir(home / "open")) == 1
        os.close(written)
        wait_until(lambda: os.listdir(home / "open") == [])
    assert runs(home)[1]["status"] == "success"


def test_an_inner_launcher_closes_its_own_runs(program: Any, home: Path) -> None:
    script = program("os.kill(os.getpid(), signal.SIGTERM)")
    line = f"'{LAUNCHER}' '{PYTHON}' '{script}' inner; exit 0"
    assert run_program("sh", "-c", line, under="launcher").status == 0
    outer, inner, task = runs(home)
    assert outer["status"] == "success"
    assert (inner["reason"], inner["caused_by"]) == ("nested", task["run"])
    assert (task["reason"], task["signal"]) == ("signal", "SIGTERM")
    assert {run["root"] for run in (outer, inner, task)} == {outer["run"]}


def left_behind(script: Path, home: Path, *options: str) -> int:
    """Kill a program in its task without a launcher; return its pid."""
    with start_program(script, *options, stdout=subprocess.PIPE) as killed:
        killed.wait()
    return killed.pid


def edit_mark(home: Path, **changes: Any) -> Path:
    """Change the fields of the one mark, and the process in the journal with it."""
    (path,) = (home / "open").iterdir()
    before = json.loads(path.read_text())
    after = {**before, **changes}
    path.write_text(json.dumps(after, separators=(",", ":")) + "\n")
    for segment in (home / "journal").iterdir():
        text = segment.read_text()
        for name in ("process", "host"):
            text = text.replace(f'"{name}":"{before[name]}"', f'"{name}":"{after[name]}"')
        segment.write_text(text)
    return path


def sweep() -> None:
    sweeping.sweep(Settings(os.environ))


def swept(home: Path) -> list[dict[str, Any]]:
    sweep()
    return runs(home)


def test_the_next_launcher_closes_the_runs_that_it_finds(
    program: Any, home: Path, datagrams: Datagrams
) -> None:
    script = program("os.kill(os.getpid(), signal.SIGKILL)")
    left_behind(script, home, "outer")
    assert [run["status"] for run in runs(home)] == ["running"] * 3
    datagrams.lines(wait=5)
    datagrams.forget()
    env = {"DD_SERVICE": "another", "DD_ENV": "another", "AUTOTASK_TAGS": "team:another"}
    assert run_program("true", under="launcher", env=env).status == 0
    process, outer, inner, other = runs(home)
    assert ends(inner) == {"status": "failure", "reason": "lost"}
    assert ends(outer) == ends(process)
    assert ends(outer) == {"status": "failure", "reason": "nested", "caused_by": inner["run"]}
    assert other["status"] == "success"
    assert os.listdir(home / "open") == []
    sent = [line for line in datagrams.lines("autotask.task.runs", wait=5) if "true" not in line]
    assert len(sent) == 3
    assert not any(
        "another" in line for line in sent
    )  # their own, not those of the closing process


KILLED = "os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize("pod", ["5a1f", None])
def test_a_lost_run_is_reported_under_its_own_pod_or_none(
    pod: str | None,
    program: Any,
    home: Path,
    datagrams: Datagrams,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if pod:
        monkeypatch.setenv("DD_ENTITY_ID", pod)
    left_behind(program(KILLED), home, "inner")
    datagrams.lines(wait=5)
    datagrams.forget()
    assert run_program("true", under="launcher", env={"DD_ENTITY_ID": "sweeper"}).status == 0
    assert [run.get("reason") for run in runs(home)] == ["nested", "lost", None]
    sent = datagrams.lines("autotask.task.runs", wait=5)
    named = [line.partition(",dd.internal.entity_id:")[2] for line in sorted(sent)]
    assert named == [pod or "", pod or "", "sweeper"]


def test_each_run_is_closed_even_if_its_process_is_not_a_run(
    tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    script = write(
        tmp_path / "shop.py",
        """
        import autotask, os, signal
        @autotask.task(name="done")
        def done(): pass
        @autotask.task(name="outer")
        def outer(): inner()
        @autotask.task(name="inner")
        def inner(): os.kill(os.getpid(), signal.SIGKILL)
        done(); done(); outer()
        """,
    )
    assert run_program(script, env={"AUTOTASK_PROCESS": "0"}).status == -signal.SIGKILL
    datagrams.lines(wait=5)
    datagrams.forget()
    done, again, outer, inner = swept(home)
    assert len({done["root"], again["root"], outer["root"]}) == 3
    assert ends(inner) == {"status": "failure", "reason": "lost"}
    assert ends(outer) == {"status": "failure", "reason": "nested", "caused_by": inner["run"]}
    assert os.listdir(home / "open") == []
    assert len(datagrams.lines("autotask.task.runs", wait=5)) == 2


def test_a_reused_process_id_is_not_a_sign_of_life(program: Any, home: Path) -> None:
    left_behind(program(KILLED), home, "inner")
    boot, namespace, _ = json.loads(next((home / "open").iterdir()).read_text())["process"].split(
        "/"
    )
    edit_mark(home, pid=os.getpid(), process=f"{boot}/{namespace}/1")
    sweep()
    assert {run["status"] for run in runs(home)} == {"failure"}
    assert os.listdir(home / "open") == []


INITIAL = os.readlink("/proc/self/ns/pid") == "pid:[4026531836]"  # tests may run in a container
FOREIGN = [
    ({"boot": "another"}, INITIAL),  # this machine was rebooted
    ({"boot": "another", "namespace": "1"}, False),  # a container of another machine
    ({"boot": "another", "host": "elsewhere"}, False),
    ({"namespace": "1"}, False),
    ({"start": "?"}, False),
]


@pytest.mark.parametrize(("changes", "closed"), FOREIGN, ids=str)
def test_only_what_is_surely_dead_is_closed(
    changes: dict[str, str], closed: bool, program: Any, home: Path
) -> None:
    left_behind(program(KILLED), home, "inner")
    mark = json.loads(next((home / "open").iterdir()).read_text())
    names = ("boot", "namespace", "start")
    parts = dict(zip(names, mark["process"].split("/")))
    process = "/".join({**parts, **changes}[name] for name in names)
    edit_mark(home, process=process, host=changes.get("host", mark["host"]))
    sweep()
    assert {run["status"] for run in runs(home)} == {"failure" if closed else "running"}
    assert len(os.listdir(home / "open")) == (0 if closed else 1)


def test_a_task_reported_lost_by_mistake_still_explains_its_commands_failure(
    tmp_path: Path, home: Path
) -> None:
    script = write(
        tmp_path / "job.py",
        """
        import os, click
        from autotask import journal, run
        from autotask.settings import Settings, parent_of
        @click.command()
        @click.pass_context
        def job(ctx):
            ours = journal.Journal(Settings(os.environ).home)
            task, root, _ = parent_of(os.environ)
            lost = run.failure("lost")
            ended = run.Run("job", "click")
            ended.id, ended.root = task, root
            ours.append(journal.finished_line(ended, run.End(lost, 1.0)))
            ctx.exit(3)
        job()
        """,
    )
    line = f"'{PYTHON}' '{script}'"
    assert run_program("sh", "-c", line, under="launcher").status == 3
    (segment,) = (home / "journal").iterdir()
    lost, task, command = (
        end for end in map(json.loads, segment.read_text().splitlines()) if "status" in end
    )
    assert (lost["reason"], task["reason"], task["run"]) == ("lost", "exit", lost["run"])
    assert (command["reason"], command["caused_by"]) == ("nested", task["run"])


@contextmanager
def inside(script: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program that reports when it is in its task, and ends with its input."""
    with start_program(
        script, "inner", stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as living:
        assert living.stdout
        living.stdout.readline()
        yield living


def test_a_living_process_keeps_its_runs(program: Any, home: Path) -> None:
    script = program("os.write(1, b'in\\n'); sys.stdin.read()")
    with inside(script) as living:
        sweep()
        assert {run["status"] for run in runs(home)} == {"running"}
        living.communicate()
    assert {run["status"] for run in runs(home)} == {"success"}


def test_many_sweepers_close_each_run_once(program: Any, home: Path) -> None:
    script = program(KILLED)
    for _ in range(5):
        left_behind(script, home, "inner")
    read, written = os.pipe()
    sweepers = [subprocess.Popen(SWEEPER_WORDS, env=environment(), stdin=read) for _ in range(8)]
    os.close(read)
    os.close(written)  # now, all at once
    assert [sweeper.wait() for sweeper in sweepers] == [0] * 8
    sweep()
    assert {run["status"] for run in runs(home)} == {"failure"}  # fails if one ended twice
    assert os.listdir(home / "open") == []


@contextlib.contextmanager
def nobody_sweeps(home: Path) -> Iterator[None]:
    import fcntl

    folder = os.open(home / "open", os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    yield
    os.close(folder)


def test_a_sweeper_never_waits(program: Any, home: Path) -> None:
    left_behind(program(KILLED), home, "inner")
    with nobody_sweeps(home):
        sweep()
        assert {run["status"] for run in runs(home)} == {"running"}
    sweep()
    assert {run["status"] for run in runs(home)} == {"failure"}


def test_a_killed_launcher_is_distinguished_from_its_command(program: Any, home: Path) -> None:
    script = program("os.write(1, b'in\\n'); sys.stdin.read()")
    with start_program(
        script,
        "inner",
        under="launcher",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as launcher:
        assert launcher.stdout
        launcher.stdout.readline()
        launcher.kill()
        launcher.wait()
        sweep()
        assert [run["status"] for run in runs(home)] == ["running", "running"]
        os.kill(runs(home)[0]["pid"], signal.SIGKILL)
        launcher.communicate()
    wait_until(lambda: swept(home)[0]["status"] != "running")
    process, task = runs(home)
    assert ends(task) == {"status": "failure", "reason": "lost"}
    assert (process["reason"], process["caused_by"]) == ("nested", task["run"])
    assert os.listdir(home / "open") == []


def test_what_lives_under_a_launcher_is_left_to_the_launcher(program: Any, home: Path) -> None:
    script = program(KILLED)
    line = f"'{PYTHON}' '{script}' inner; echo dead; read line; exit 0"
    with start_program(
        *("sh", "-c", line),
        under="launcher",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as launcher:
        assert launcher.stdout
        launcher.stdout.readline()
        sweep()
        assert [run["status"] for run in runs(home)] == ["running", "running"]
        launcher.communicate(b"\n")
    assert [run.get("reason") for run in runs(home)] == [None, "lost"]


def test_what_a_process_wrote_before_it_died_counts_whenever_that_was_read(
    program: Any, home: Path
) -> None:
    script = program("os.write(1, b'in\\n'); sys.stdin.read()")
    with inside(script) as living:
        root = runs(home)[0]["root"]
        story = Story({root}, str(home / "journal"), ("", 0))
        story.catch_up()
        assert len(story.open) == 2
        living.communicate()  # now it is dead
    closer = closing.Closer(Settings(os.environ), Journal(str(home)))
    closer.close_lost(story, story.open.values())
    assert [run["status"] for run in runs(home)] == ["success"] * 2


def test_an_inner_launcher_leaves_the_mark_of_the_dead_outer_program(
    program: Any, home: Path
) -> None:
    inside = [str(LAUNCHER), "sh", "-c", "echo in; read line"]
    script = program(f"import subprocess; subprocess.run({inside})")
    with start_program(
        script, "inner", stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as around:
        assert around.stdout
        around.stdout.readline()
        with nobody_sweeps(home):
            around.kill()
            around.wait()
            around.communicate()
            wait_until(lambda: not list((home / "open").glob("launcher-*")))
    sweep()
    assert [run.get("reason") for run in runs(home)] == ["nested", "lost", "exit"]
    assert os.listdir(home / "open") == []


def test_a_process_that_begins_and_dies_behind_a_launchers_back_keeps_its_mark(
    program: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, ours = Run("command", "process"), Journal(str(home))
    command.pid, position = os.getpid(), ours.position()
    tail = Tail(Settings(os.environ), ours, position, command, identity())
    tail.catch_up()
    monkeypatch.setenv(PARENT, parent_value(command.id, command.root, "cron"))
    left_behind(program(KILLED), home, "inner")
    tail.close_all(SUCCESS)
    sweep()
    assert [run.get("reason") for run in runs(home)] == ["lost"]
    assert os.listdir(home / "open") == []


LATE = """
import os, sys
from autotask import settings
from autotask.around import supervise
program = supervise.CommandRun(settings.Settings(os.environ), "late", False, print)
environ = program.prepare({})
if not os.fork():
    sys.stdin.read()
    program.begin(environ)
os._exit(0)
"""


def test_a_command_is_reported_even_if_its_launcher_died_before_its_first_line(home: Path) -> None:
    with start_program("-c", LATE, under="bare", stdin=subprocess.PIPE) as launcher:
        launcher.wait()
        sweep()
        assert launcher.stdin
        launcher.stdin.close()
    wait_until(lambda: [run["status"] for run in swept(home)] == ["failure"])
    assert os.listdir(home / "open") == []


# A command whose disk is full when its first task ends; then it does what it is told.
REFUSED = """
import os, resource, signal, sys, autotask

def limit(size): resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def last(body): autotask.task(name="last")(lambda: exec(body))()

@autotask.task(name="first")
def first(): limit(0)

@autotask.task(name="failing")
def failing(): raise ValueError

first()
"""
AWAY: dict[str, str | None] = {
    "AUTOTASK_DEBUG": None,
    "DD_DOGSTATSD_URL": "unix:///no/such/socket",
}
LOST = {"status": "failure", "reason": "lost"}
EXIT = {"status": "failure", "reason": "exit", "exit_code": 3}
# What the command does then, how it ends itself, and the ends of its tasks as the journal has them.
REFUSALS: dict[str, tuple[str, dict[str, Any], list[dict[str, Any]]]] = {
    "it fails by itself": ("sys.exit(3)", EXIT, [LOST]),
    "it is cut off": ("os._exit(3)", EXIT, [LOST]),
    "it is killed": (
        "os.kill(os.getpid(), 9)",
        {"status": "failure", "reason": "signal", "signal": "SIGKILL"},
        [LOST],
    ),
    "it succeeds": ("", {"status": "success"}, [LOST]),
    "it succeeds, though a task failed": (
        "limit(-1)\ntry: limit(0); failing()\nexcept ValueError: pass",
        {"status": "success"},
        [LOST],
    ),
    "the disk has room again": (
        "limit(-1); last('os._exit(3)')",
        {**EXIT, "reason": "nested"},
        [{"status": "success"}, EXIT],
    ),
    "it is full again": (
        "limit(-1); last('limit(0)'); os._exit(3)",
        EXIT,
        [{"status": "success"}, LOST],
    ),
}


@pytest.mark.parametrize(("body", "command", "tasks"), REFUSALS.values(), ids=REFUSALS)
def test_a_commands_status_does_not_end_a_task_whose_end_a_full_disk_refused(
    body: str, command: dict[str, Any], tasks: list[dict[str, Any]], tmp_path: Path, home: Path
) -> None:
    run_program(write(tmp_path / "shop.py", REFUSED + body), under="launcher", env=AWAY)
    program, *inside = runs(home)
    told = {name: value for name, value in ends(program).items() if name != "caused_by"}
    assert (told, [ends(run) for run in inside]) == (command, tasks)
    assert os.listdir(home / "open") == []


def test_a_commands_status_does_not_end_a_task_if_the_disk_took_no_mark_either(
    tmp_path: Path, home: Path
) -> None:
    home.mkdir(mode=0o700)
    (home / "open").write_text("no folder")
    script = write(tmp_path / "shop.py", REFUSED + "sys.exit(3)")
    assert run_program(script, under="launcher", env=AWAY).status == 3
    assert [ends(run) for run in runs(home)] == [EXIT, LOST]


def test_a_launcher_does_not_rename_its_mark_on_a_full_disk_before_its_end(
    tmp_path: Path, home: Path
) -> None:
    """Others that read the marks at that moment would not find it."""
    source = f"""
        import os, resource, sys
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        os.execv({str(LAUNCHER)!r}, ["autotask-run", "true"])
    """
    script = write(tmp_path / "full.py", source)
    assert run_program(script, under="bare", env=AWAY).status == 0
    (mark,) = os.listdir(home / "open")
    assert mark.startswith("ended-launcher-")
    assert mark.count("-") == 3


def test_an_end_that_the_agent_received_is_not_sent_again(
    tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    script = write(tmp_path / "shop.py", REFUSED + "sys.exit(3)")
    run_program(script, under="launcher", env={"AUTOTASK_DEBUG": None})
    assert [ends(run) for run in runs(home)] == [EXIT, LOST]
    sent = datagrams.lines("autotask.task.runs", wait=5)
    assert sorted("status:success" in line for line in sent) == [False, True]


def test_a_launcher_counts_before_the_first_line_of_its_command(
    program: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, ours = Run("command", "process"), Journal(str(home))
    name = f"launcher-{command.id}-{os.getpid()}"
    mark = leave_mark(ours, name, identity(), os.getpid(), os.uname().nodename, command.root)
    monkeypatch.setenv(PARENT, parent_value(command.id, command.root, "cron"))
    left_behind(program(KILLED), home, "inner")
    assert [run["status"] for run in swept(home)] == ["running"]
    assert mark is not None
    os.unlink(mark)
    assert [run["status"] for run in swept(home)] == ["failure"]


EARLY = """
import os, signal
from autotask import settings
from autotask.around import supervise
program = supervise.CommandRun(settings.Settings(os.environ), "early", False, print)
program.prepare({})
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
pid = os.fork()
if not pid:
    os.kill(os.getpid(), signal.SIGKILL)
program.started(pid)
status, usage = supervise.Wait(pid, program.tick, False, 0).until_end()
program.end(status, usage, "")
"""


def test_a_command_that_was_killed_before_its_first_line_is_a_run(home: Path) -> None:
    assert run_program("-c", EARLY, under="bare").status == 0
    run = only_run(home)
    assert (run["task"], run["reason"], run["signal"]) == ("early", "signal", "SIGKILL")


def test_torn_marks_and_lines_are_skipped(program: Any, home: Path) -> None:
    left_behind(program(KILLED), home, "inner")
    folder = home / "open"
    old, new, odd = folder / "1-old", folder / "2-new", folder / "3-odd"
    for torn in (old, new):
        torn.write_text('{"process":"a/b')
    os.utime(old, (1, 1))  # 0 would be a signed mark
    odd.write_text('{"process":7,"pid":"x","host":[],"root":"r","segment":null,"offset":{}}\n')
    segment = next((home / "journal").iterdir())
    text = segment.read_text().splitlines(keepends=True)
    glued = text[0][:40] + text[0]
    segment.write_text(glued + "\0\xff{}[\n" + "".join(text[1:]) + '{"event":"finished","run":"')
    sweep()
    assert {line["status"] for line in whole_lines(segment) if line["event"] == "finished"} == {
        "failure"
    }
    assert sorted(os.listdir(folder)) == ["2-new", "3-odd"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_not_a_file_among_segments_and_marks_is_skipped(
    make: Callable[[str], None], program: Any, home: Path
) -> None:
    left_behind(program(KILLED), home, "inner")
    for name in ("open/1-odd", "journal/2999-01-01T00.jsonl"):
        make(str(home / name))
    assert run_program(program(KILLED), "inner", under="launcher").status == -9
    segment = min((home / "journal").iterdir())
    closed = [line["reason"] for line in whole_lines(segment) if line["event"] == "finished"]
    assert sorted(closed) == ["lost", "nested", "nested", "signal"]
    assert os.listdir(home / "open") == ["1-odd"]


def whole_lines(segment: Path) -> list[dict[str, Any]]:
    return [
        event for line in segment.read_bytes().splitlines() for event in journal_lines.decode(line)
    ]


def test_a_run_that_has_ended_since_is_not_closed_again(program: Any, home: Path) -> None:
    # A forked child runs no atexit: its mark stays, although its runs have all ended.
    script = program("sys.exit(0) if os.fork() else (os._exit(0))")
    done = run_program(script, "inner", under="path")
    assert done.status == 0
    path = home / "open" / "1-x"
    (started,) = [
        line
        for line in whole_lines(next((home / "journal").iterdir()))
        if line["event"] == "started" and line["framework"] == "click"
    ]
    process = started["process"]
    mark = {
        "process": process,
        "pid": started["pid"],
        "host": started["host"],
        "root": started["root"],
    }
    path.write_text(
        json.dumps({**mark, "segment": "2000-01-01T00.jsonl", "offset": 10}).replace(" ", "")
    )
    wait_until(lambda: bool(swept(home)) and not path.exists())
    assert {run["status"] for run in runs(home)} == {"success"}


SWEEPER = (
    "import os, sys; sys.path.append(sys.argv[1]); sys.stdin.read();"
    "from autotask import settings; from autotask.around import sweeping;"
    "sweeping.sweep(settings.Settings(os.environ))"
)
SWEEPER_WORDS = [PYTHON, "-c", SWEEPER, str(Path(closing.__file__).parent.parent)]


def test_what_a_full_disk_does_not_take_is_left_for_later(
    program: Any, home: Path, datagrams: Datagrams
) -> None:
    left_behind(program(KILLED), home, "inner")
    datagrams.lines(wait=5)
    datagrams.forget()
    limited = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *SWEEPER_WORDS]
    assert run_program(*limited, under="bare", env={"AUTOTASK_DEBUG": None}).status == 0
    assert {run["status"] for run in runs(home)} == {"running"}
    assert datagrams.lines() == []
    sweep()
    assert {run["status"] for run in runs(home)} == {"failure"}
    assert len(datagrams.lines("autotask.task.runs", wait=5)) == 2


# A program that finds no room for the ends of its runs, which it sends.
FULL = """
    import resource, autotask

    @autotask.task(name="a")
    def work(): resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    work()
"""


def test_ends_that_the_disk_never_took_are_written_later_and_not_sent_again(
    tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    script = write(tmp_path / "shop.py", FULL)
    assert run_program(script, env={"AUTOTASK_DEBUG": None}) == Ended(0, "", "")
    assert {run["status"] for run in runs(home)} == {"running"}
    ends = datagrams.lines("autotask.task.runs", wait=5)
    assert len([line for line in ends if "status:success" in line]) == len(ends) == 2
    sweep()
    assert [run["reason"] for run in runs(home)] == ["nested", "lost"]
    assert datagrams.lines("autotask.task.runs") == ends
    assert list((home / "open").iterdir()) == []


def test_ends_that_were_never_sent_are_sent_later(
    tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    script = write(tmp_path / "shop.py", FULL)
    assert run_program(script, env=AWAY) == Ended(0, "", "")
    sweep()
    assert len(datagrams.lines("autotask.task.runs", wait=5)) == 2


# The disk has room again at the end; the mark could not be left.
FREED = """
    import resource, autotask

    @autotask.task(name="a")
    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    work()
    import atexit
    free = (resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    atexit.register(resource.setrlimit, *free)
"""


def test_kept_lines_are_written_at_the_end_even_without_a_mark(tmp_path: Path, home: Path) -> None:
    home.mkdir(mode=0o700)
    (home / "open").write_text("no folder")
    script = write(tmp_path / "shop.py", FREED)
    env: dict[str, str | None] = {"AUTOTASK_DEBUG": None, "AUTOTASK_PROCESS": "0"}
    assert run_program(script, env=env) == Ended(0, "", "")
    assert [run["status"] for run in runs(home)] == ["success"]


def test_under_a_launcher_kept_lines_are_written_at_once(
    tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    script = write(tmp_path / "shop.py", FULL)
    env: dict[str, str | None] = {"AUTOTASK_DEBUG": None}
    assert run_program(script, under="launcher", env=env) == Ended(0, "", "")
    assert [ends(run) for run in runs(home)] == [{"status": "success"}, LOST]
    assert len(datagrams.lines("autotask.task.runs", wait=5)) == 2
    assert list((home / "open").iterdir()) == []


def test_a_start_that_the_disk_did_not_take_is_written_with_the_end(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=64k") as disk:
        home = disk / "home"
        env: dict[str, str | None] = {"AUTOTASK_HOME": str(home)}
        run_program("true", under="launcher", env=env)  # makes the segment
        filler = disk / "filler"
        run_program("sh", "-c", f"cat /dev/zero > {filler}", under="bare")
        with next((home / "journal").iterdir()).open("a") as file:
            file.write("x" * (4096 - file.tell() % 4096))  # its last page is full, too
        ended = run_program("rm", filler, under="launcher", env=env)
        assert ended == Ended(0, "", "")
        text = next((home / "journal").iterdir()).read_text().replace("x" * 100, "").lstrip("x")
        assert [run["task"] for run in closed_runs(text)] == ["true", "rm"]


def closed_runs(text: str) -> list[dict[str, Any]]:
    """Return the started lines of the runs in a journal that have ended."""
    told = [event for line in text.encode().splitlines() for event in journal_lines.decode(line)]
    ended = {event["run"] for event in told if event["event"] == "finished"}
    return [event for event in told if event["event"] == "started" and event["run"] in ended]


def crash(home: Path, number: int, bookkeeping: bool = False) -> str:
    """Write what a process leaves if it dies in its task, as in a power cut; return its run."""
    run, ours = Run(f"crashed-{number}", "click"), Journal(str(home))
    run.started, gone = time.time(), f"{identity().rpartition('/')[0]}/{number}"
    assert leave_mark(ours, f"{1 << 22}-{run.id}", gone, 1 << 22, "web", run.root)
    fields = process_fields(1 << 22, gone, "web")
    ours.append(started_line(run, f'"bookkeeping":true,{fields}' if bookkeeping else fields))
    return run.id


def pad(home: Path, size: int) -> None:
    """Append this many bytes of other runs' lines to the journal."""
    line = finished_line(a_run(run_id="0" * 16), End(SUCCESS, 0.0, 1.0, 1.0, 1)) + "\n"
    with max((home / "journal").iterdir()).open("a") as segment:
        segment.write(line * (size // len(line)))


def statuses(home: Path) -> set[str]:
    return {run["status"] for run in runs_of(home, "crashed-")}


def runs_of(home: Path, begin: str) -> list[dict[str, Any]]:
    """Read the runs of some tasks from a journal that has lines of runs that never started."""
    found = [line for line in lines(home) if line["run"] != "0" * 16]
    tasks = {line["run"]: line["task"] for line in found if line["event"] == "started"}
    ended = {line["run"]: line for line in found if line["event"] == "finished"}
    return [
        ended.get(run, {"status": "running"})
        for run, task in tasks.items()
        if task.startswith(begin)
    ]


def bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().partition("rchar: ")[2].split()[0])


def test_the_journal_is_not_read_again_for_each_dead_process(home: Path) -> None:
    size, read = 1 << 20, []
    for crashes in (1, 30):
        for number in range(crashes):
            crash(home, number)
        pad(home, size)
        before = bytes_read()
        sweep()
        read.append(bytes_read() - before)
        assert statuses(home) == {"failure"}
        assert os.listdir(home / "open") == []
        next((home / "journal").iterdir()).unlink()
    assert read[1] < read[0] + size


def copy_mark(home: Path) -> None:
    (mark,) = (home / "open").iterdir()
    for number in range(1000):
        mark.with_name(f"{1 << 22}-{number:016x}").write_text(mark.read_text())


# What is too much for a launcher, which then leaves dead processes to `autotask`.
TOO_MUCH: dict[str, Callable[[Path], None]] = {
    "a long journal": lambda home: pad(home, 3 << 20),
    "many marks": copy_mark,
}


@pytest.mark.parametrize("fill", TOO_MUCH.values(), ids=TOO_MUCH)
def test_a_launcher_closes_only_what_it_finds_quickly(
    fill: Callable[[Path], None], home: Path
) -> None:
    run_program("true", under="launcher")
    crash(home, 1)
    fill(home)
    for command in ("true", "false"):
        run_program(command, under="launcher")
    assert statuses(home) == {"running"}
    sweep()
    assert statuses(home) == {"failure"}
    crash(home, 2)
    run_program("true", under="launcher")
    assert statuses(home) == {"failure"}


def test_a_living_process_keeps_its_mark_between_its_runs(program: Any, home: Path) -> None:
    left_behind(program(KILLED), home, "inner")
    (mark,) = (home / "open").iterdir()
    fields = {**json.loads(mark.read_text()), "process": identity(), "pid": os.getpid()}
    other = mark.with_name("1-living")
    other.write_text(json.dumps(fields).replace(" ", ""))
    sweep()
    assert list((home / "open").iterdir()) == [other]


def test_there_is_nothing_to_do_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep()
    monkeypatch.delenv("AUTOTASK_HOME")
    monkeypatch.setenv("HOME", "/no/such/place")
    sweep()


def test_an_out_of_memory_kill_is_distinguished_from_another_kill(
    limited_group: Path, home: Path
) -> None:
    code = "x = []\nwhile True: x.append(bytearray(1 << 20))"
    line = f"echo $$ > {limited_group}/cgroup.procs; exec '{LAUNCHER}' '{PYTHON}' -c '{code}'"
    done = run_program("sh", "-c", line, under="bare")
    assert done.status == -signal.SIGKILL
    (run,) = runs(home)
    assert ends(run) == {"status": "failure", "reason": "oom", "signal": "SIGKILL"}


def looks(pid: int) -> int:
    """Return how often a process has slept, as a launcher does after each check."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def test_an_old_out_of_memory_kill_does_not_explain_a_later_kill(
    limited_group: Path, tmp_path: Path, home: Path
) -> None:
    """Only the seconds between two reads of the counter are shortened."""
    eater = "x = []\nwhile True: x.append(bytearray(1 << 20))"
    source = f"""
        import os, subprocess, sys
        print(subprocess.run([sys.executable, "-c", {eater!r}]).returncode, flush=True)
        input()
        os.kill(os.getpid(), 9)
    """
    script = write(tmp_path / "job.py", source)
    words = [*launched_by("supervise.LOOK = 0.02"), PYTHON, str(script)]
    line = f'echo $$ > {limited_group}/cgroup.procs; exec "$@"'
    with subprocess.Popen(
        ["sh", "-c", line, "sh", *words],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as launcher:
        assert launcher.stdout
        assert launcher.stdout.readline() == b"-9\n"
        before = looks(launcher.pid)
        wait_until(lambda: looks(launcher.pid) > before + 3)
        launcher.communicate(b"\n")
    assert launcher.returncode == -9
    (run,) = [run for run in runs(home) if run["framework"] == "process"]
    assert ends(run) == {"status": "failure", "reason": "signal", "signal": "SIGKILL"}


def test_a_run_across_hours_is_reported_though_its_beginning_was_pruned(
    home: Path, program: Any
) -> None:
    left_behind(program(KILLED), home, "inner")
    segment = next((home / "journal").iterdir())
    first, *rest = segment.read_text().splitlines(keepends=True)
    segment.write_text("".join(rest))
    earlier = time.strftime("%Y-%m-%dT%H.jsonl", time.gmtime(time.time() - 4 * 3600))
    segment.with_name(earlier).write_text(first)
    for mark in (home / "open").iterdir():
        fields = json.loads(mark.read_text())
        mark.write_text(json.dumps({**fields, "segment": earlier, "offset": 500}).replace(" ", ""))
    sweep()
    assert {run["status"] for run in runs(home)} == {"failure"}


def test_a_run_started_while_the_clock_was_ahead_keeps_its_own_end(home: Path) -> None:
    """The sweep is hours after the clock was corrected."""
    run = crash(home, 1)
    (segment,), (mark,) = (home / "journal").iterdir(), (home / "open").iterdir()
    begun = segment.rename(segment.with_name("2999-01-01T00.jsonl"))
    end = finished_line(a_run(run_id=run), End(SUCCESS, time.time(), 1.0, 1.0, 1))
    then = time.strftime("%Y-%m-%dT%H.jsonl", time.gmtime(time.time() - 5 * 3600))
    segment.with_name(then).write_text(end + "\n")
    fields = json.loads(mark.read_text())
    mark.write_text(json.dumps({**fields, "segment": begun.name}, separators=(",", ":")))
    sweep()
    assert [line["status"] for line in lines(home) if line["event"] == "finished"] == ["success"]
    assert not mark.exists()


def test_a_hundred_programs_at_once_are_each_closed_once(program: Any, home: Path) -> None:
    script = program(KILLED)
    line = f"for i in 1 2 3 4 5 6 7 8 9 10; do '{PYTHON}' '{script}' inner & done; wait; exit 0"
    launchers = [
        threading.Thread(target=run_program, args=("sh", "-c", line), kwargs={"under": "launcher"})
        for _ in range(3)
    ]
    for launcher in launchers:
        launcher.start()
    for launcher in launchers:
        launcher.join()
    found = runs(home)
    assert len(found) == 33
    assert [run["status"] for run in found].count("failure") == 30
    assert os.listdir(home / "open") == []
