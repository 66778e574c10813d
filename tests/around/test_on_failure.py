"""on_failure: a line for a shell that is run when a run fails, and that can hold up nobody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest
from around.test_signals import launched_by
from support import (
    LAUNCHER,
    PATIENCE,
    PYTHON,
    environment,
    run_program,
    runs,
    small_disk,
    wait_until,
    write,
)
from tool.journals import answer

from autotask.around import failure_notes

VARIABLE = "AUTOTASK_ON_FAILURE"
CLICK = """
import click, sys
@click.group()
def shop(): pass
@shop.command()
def send(): raise RuntimeError("password=hunter2 was refused")
@shop.command()
def refuse(): sys.exit(4)
@shop.command()
def fine(): pass
if __name__ == "__main__":
    for words in sys.argv[1].split(","):
        try: shop(words.split())
        except SystemExit as end: code = end.code
        except RuntimeError: code = 0
    sys.exit(code)
"""


class Told:
    """What a line tells, in a file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "told.jsonl"
        self.line = f"cat >> {self.path}"

    def records(self) -> list[dict[str, Any]]:
        text = self.path.read_text() if self.path.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def tasks(self) -> list[str]:
        return sorted(record["task"] for record in self.records())


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def notes(home: Path, did: str = "") -> list[dict[str, Any]]:
    """Return the notes in a home, or those of one kind."""
    path = home / failure_notes.FILE
    lines = path.read_text().splitlines() if path.exists() else []
    return [note for note in map(json.loads, lines) if did in ("", note["did"])]


def is_over(home: Path) -> bool:
    """Tell whether each call that has begun has ended."""
    found = notes(home)
    return bool(found) and len(found) == 2 * len([n for n in found if n["did"] == "begun"])


def wait_for(home: Path) -> list[dict[str, Any]]:
    """Wait until all calls have ended; return how."""
    wait_until(lambda: is_over(home))
    return [note for note in notes(home) if note["did"] != "begun"]


# A command, and the tasks whose failure is told.
FAILING: dict[str, tuple[list[str], list[str]]] = {
    "a status": (["sh", "-c", "exit 3"], ["sh"]),
    "a signal": (["sh", "-c", "kill -9 $$"], ["sh"]),
    "not found": (["/no/such/command"], ["command"]),
    "the cause, not what it has caused": (["shop.py", "refuse"], ["shop.refuse"]),
    "an exception": (["shop.py", "send,refuse"], ["shop.refuse", "shop.send"]),
    "inside of what succeeds": (["shop.py", "refuse,fine"], ["shop.refuse"]),
    "a launcher inside": (
        ["sh", "-c", f"{LAUNCHER} {PYTHON} shop.py refuse; exit 4"],
        ["shop.refuse"],
    ),
    "nothing": (["shop.py", "fine"], []),
}


@pytest.mark.parametrize(("command", "tasks"), FAILING.values(), ids=FAILING)
def test_each_failure_is_told_once_with_the_record_that_runs_shows(
    command: list[str], tasks: list[str], told: Told, tmp_path: Path, home: Path
) -> None:
    write(tmp_path / "shop.py", CLICK)
    words = [str(LAUNCHER), *([PYTHON] if command[0].endswith(".py") else []), *command]
    run_program(*words, under="bare", env={VARIABLE: told.line}, cwd=tmp_path)
    if tasks:
        assert {note["did"] for note in wait_for(home)} == {"ended"}
    assert told.tasks() == tasks
    known = map(json.loads, answer("runs", "--format", "jsonl").splitlines())
    by_run = {record["run"]: record for record in known}
    for record in told.records():
        assert record.pop("failures") == 1
        assert record == by_run[record["run"]]
        assert record["output"] is None
    assert "hunter2" not in json.dumps(told.records())


KEEPING = ("--keep-output", "8k")
# A command, the task that is told, and what was kept of the output.
PRINTING = {
    "its own": ("echo hello; exit 3", "echo", "hello\n"),
    "of the program that failed with the task": (
        f"{LAUNCHER} --keep-output 8k {PYTHON} shop.py refuse; exit 4",
        "shop.refuse",
        "refused\n",
    ),
    "of the outer one, if only that was kept": (
        f"{LAUNCHER} {PYTHON} shop.py refuse; echo more; exit 4",
        "shop.refuse",
        "refused\nmore\n",
    ),
    "of the command that did": (f"exec {PYTHON} shop.py refuse", "shop.refuse", "refused\n"),
}


@pytest.mark.parametrize(("line", "task", "output"), PRINTING.values(), ids=PRINTING)
def test_the_end_of_the_output_is_told_if_it_was_kept(
    line: str, task: str, output: str, told: Told, tmp_path: Path, home: Path
) -> None:
    write(tmp_path / "shop.py", CLICK.replace("sys.exit(4)", "print('refused'); sys.exit(4)"))
    keeping = () if "--keep" in line else KEEPING
    words = [str(LAUNCHER), *keeping, "sh", "-c", line]
    run_program(*words, under="bare", env={VARIABLE: told.line}, cwd=tmp_path)
    wait_for(home)
    assert [(record["task"], record["output"]) for record in told.records()] == [(task, output)]


# What a line does that it should not, and what the note about it says.
BAD: dict[str, tuple[str, dict[str, Any]]] = {
    "fails": ("cat > /dev/null; echo first; echo no route >&2; exit 7",
              {"did": "failed", "status": 7, "last": "no route"}),
    "is missing": ("/no/such/teller", {"did": "failed", "status": 127}),
    "is killed": ("kill -9 $$", {"did": "failed", "status": -9}),
    "is no shell's": ("if (", {"did": "failed", "status": 2}),
    "ignores its stdin": ("exec <&-", {"did": "ended", "status": 0}),
    "floods": ("i=0; while [ $i -lt 3000 ]; do echo " + "x" * 5000 + "; i=$((i+1)); done; echo end",
               {"did": "ended", "status": 0, "last": "end"}),
    "floods without an end": ("exec yes", {"did": "failed", "status": -13, "last": "y"}),
    "has secrets": ("echo TOKEN=hunter2hunter2; exit 1",
                    {"did": "failed", "status": 1, "last": "TOKEN=***"}),
    "leaves something behind": ("sleep 1000 & echo $! > {left}; echo started",
                                {"did": "ended", "status": 0, "last": "started"}),
}  # fmt: skip


@pytest.mark.parametrize(("line", "note"), BAD.values(), ids=BAD)
def test_what_a_line_does_wrong_is_noted_and_changes_nothing(
    line: str, note: dict[str, Any], tmp_path: Path, home: Path
) -> None:
    left = tmp_path / "left"
    env = {VARIABLE: line.replace("{left}", str(left))}
    done = run_program("sh", "-c", "echo hello; exit 3", under="launcher", env=env)
    assert (done.status, done.stdout, done.stderr) == (3, "hello\n", "")
    (end,) = wait_for(home)
    assert {name: end[name] for name in note} == note
    if left.exists():
        os.kill(int(left.read_text()), signal.SIGKILL)


# How the launcher is started, and its variables. It keeps standard error open for a debug log, and
# the files on which it has record locks.
LOCKING = """
import fcntl, os, sys
file = os.open("locked", os.O_RDWR | os.O_CREAT)
os.set_inheritable(file, True)
fcntl.lockf(file, fcntl.LOCK_EX)
os.execv(sys.argv[1], sys.argv[1:])
"""
STARTED: dict[str, tuple[list[str], dict[str, str]]] = {
    "as usual": ([], {}),
    "with a debug log on standard error": ([], {"AUTOTASK_DEBUG": "1"}),
    "with record locks": ([PYTHON, "-c", LOCKING], {}),
}


@pytest.mark.parametrize(("before", "env"), STARTED.values(), ids=STARTED)
def test_nobody_waits_for_a_line_and_it_keeps_no_file_of_the_caller_open(
    before: list[str], env: dict[str, str], tmp_path: Path, home: Path
) -> None:
    os.mkfifo(tmp_path / "go")
    line = f"read word < go; ls -l /proc/$$/fd /proc/$PPID/fd > {tmp_path}/files"
    reading, writing = os.pipe()
    launcher = subprocess.Popen(
        [*before, str(LAUNCHER), "sh", "-c", "echo hello; exit 3"],
        env=environment(env={VARIABLE: line, **env}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[writing],
        cwd=tmp_path,
    )
    os.close(writing)
    out, err = launcher.communicate(b"", PATIENCE)  # until both pipes are closed
    assert (launcher.returncode, out, err) == (3, b"hello\n", b"")
    assert os.read(reading, 1) == b""
    os.close(reading)
    assert notes(home, "ended") == []
    (tmp_path / "go").write_text("on\n")
    (end,) = wait_for(home)
    assert end["did"] == "ended"
    files = [line.partition(" -> ")[2] for line in (tmp_path / "files").read_text().splitlines()]
    kinds = {name.split(":")[0].split(" ")[0] for name in files if name}
    assert kinds <= {"/memfd", "pipe", str(tmp_path / "files"), "/dev/null"}


def with_watcher(change: str) -> list[str]:
    """Return the words of a launcher after a change to the process that runs the lines."""
    return launched_by(
        "from autotask.around import failure_calls as calls; calls.START = calls.START.replace("
        f"'\\nmain()', '\\nfrom autotask.around import failure_lines\\n{change}\\nmain()')"
    )


def test_a_line_that_hangs_is_stopped_with_all_that_it_started(tmp_path: Path, home: Path) -> None:
    inner = f"trap '' TERM; echo $$ > {tmp_path}/inner; echo waiting; sleep 1000; sleep 1000"
    line = f"sh {write(tmp_path / 'inner.sh', inner)} & sleep 1000"
    words = with_watcher("failure_lines.LONGEST = 1.0; failure_lines.GRACE = 0.3")
    env = {VARIABLE: line}
    done = run_program(*words, "false", under="bare", env=env)
    assert done.status == 1
    (end,) = wait_for(home)
    assert (end["did"], end["last"]) == ("hung", "waiting")
    wait_until(lambda: not is_running(int((tmp_path / "inner").read_text())))


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_many_tasks_that_fail_at_once_are_all_told(told: Told, tmp_path: Path, home: Path) -> None:
    source = """
        import autotask
        for number in range(20):
            for _ in range(3):
                @autotask.task(name=f"job{number}")
                def job(): raise ValueError
                try: job()
                except ValueError: pass
    """
    run_program(write(tmp_path / "many.py", source), under="launcher", env={VARIABLE: told.line})
    wait_for(home)
    assert told.tasks() == sorted(f"job{number}" for number in range(20))
    assert {record["failures"] for record in told.records()} == {3}


@pytest.mark.parametrize("looks", [1, 2])
def test_of_too_many_tasks_the_rest_is_told_at_the_next_look_or_noted(
    looks: int, told: Told, tmp_path: Path, home: Path
) -> None:
    """The most at one look is made smaller."""
    source = """
        import autotask, sys
        for number in range(7):
            @autotask.task(name=f"job{number}")
            def job(): raise ValueError
            try: job()
            except ValueError: pass
        print("worked", flush=True)
        sys.stdin.readline()
    """
    script = write(tmp_path / "many.py", source)
    change = "from autotask.around import on_failure; on_failure._MOST = 4"
    if looks == 2:
        change += "; supervise.TICK = supervise.LOOK = 0.05"
    words = [*launched_by(change), PYTHON, str(script)]
    env = environment(env={VARIABLE: told.line})
    with subprocess.Popen(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout
        worker.stdout.readline()
        if looks == 2:
            wait_until(lambda: len(told.tasks()) == 7)
        worker.communicate(b"\n")
    wait_until(lambda: len(notes(home, "ended")) == len(notes(home, "begun")) > 0)
    assert told.tasks() == [f"job{number}" for number in range(4 if looks == 1 else 7)]
    assert [note["tasks"] for note in notes(home, "left")] == ([3] if looks == 1 else [])


def test_lines_that_another_version_has_written_hide_no_other_failure(
    told: Told, tmp_path: Path, home: Path
) -> None:
    source = """
        import glob, os
        root = os.environ["AUTOTASK_PARENT"].split(":")[1]
        (segment,) = glob.glob(os.environ["AUTOTASK_HOME"] + "/journal/*.jsonl")
        head = '{"event":"%s","run":"00000000000000aa","root":"' + root + '"'
        with open(segment, "a") as file:
            print(head % "started" + ',"parent":null,"task":"odd"}', file=file)
            print(head % "finished" + ',"status":"failure"}', file=file)
        raise SystemExit(3)
    """
    script = write(tmp_path / "odd.py", source)
    run_program(script, under="launcher", env={VARIABLE: told.line})
    wait_for(home)
    assert told.tasks() == ["odd.py"]


WORKER = """
import sys, autotask
def fail(): raise ValueError("no")
for line in sys.stdin:
    for name in line.split():
        try: autotask.task(name=name)(fail)()
        except ValueError: pass
    print("worked", flush=True)
"""


def test_what_fails_in_a_worker_is_told_while_it_works_and_once(
    told: Told, tmp_path: Path, home: Path
) -> None:
    """Only the minute is shortened."""
    script = write(tmp_path / "worker.py", WORKER)
    words = [*launched_by("supervise.TICK = supervise.LOOK = 0.05"), PYTHON, str(script)]
    with subprocess.Popen(
        words,
        env=environment(env={VARIABLE: told.line}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as worker:
        assert worker.stdin
        assert worker.stdout

        def count(task: str) -> int:
            return sum(r["failures"] for r in told.records() if r["task"] == task)

        worker.stdin.write("mail mail pay\n")
        worker.stdin.flush()
        worker.stdout.readline()
        wait_until(lambda: (count("mail"), count("pay")) == (2, 1))
        worker.stdin.write("mail\n")
        worker.stdin.flush()
        worker.stdout.readline()
        wait_until(lambda: count("mail") == 3)
        worker.communicate("pay\n")
    assert worker.returncode == 0
    wait_until(lambda: count("pay") == 2)
    wait_for(home)
    assert (count("mail"), count("pay"), len(told.records())) == (3, 2, len(notes(home, "begun")))


FILE = """
[task."*"]
on_failure = "cat >> {place}/all"
[task."shop.*"]
on_failure = "cat >> {place}/shop"
[task."quiet"]
on_failure = "0"
"""
ONLY_SHOP = '[task."shop.*"]\non_failure = "cat >> {place}/shop"\n'
ONLY_TIDY = '[task."tidy"]\non_failure = "cat >> {place}/tidy"\n'
TIDY = f"{LAUNCHER} --name tidy false"
SHOP = f"{LAUNCHER} {PYTHON} {{place}}/shop.py refuse"
# The variable, the files of the folder of the launcher and of one below, the line that it runs,
# and what was told where.
NESTED: dict[str, tuple[str | None, str, str, str, dict[str, list[str]]]] = {
    "a file has a line for each task": (
        None, FILE, "", f"{SHOP}; {TIDY}; {LAUNCHER} --name quiet false; exit 9",
        {"shop": ["shop.refuse"], "all": ["night", "tidy"]},
    ),
    "the variable is for all": (
        "cat >> {place}/var", FILE, FILE, f"{SHOP}; cd below; {TIDY}; exit 9",
        {"var": ["night", "shop.refuse", "tidy"]},
    ),
    "the variable turns it off": ("0", FILE, FILE, f"{SHOP}; cd below; {TIDY}; exit 9", {}),
    "another file below": (
        None, ONLY_SHOP, ONLY_TIDY, f"{SHOP}; cd below; {SHOP}; {TIDY}; {TIDY}; exit 9",
        {"shop": ["shop.refuse", "shop.refuse"], "tidy": ["tidy", "tidy"]},
    ),
    "a launcher that looks after nothing is between": (
        None, ONLY_SHOP, ONLY_TIDY,
        f"cd below; {LAUNCHER} --name x sh -c 'cd ..; {SHOP}; cd below; {TIDY}; exit 8'; exit 9",
        {"shop": ["shop.refuse"], "tidy": ["tidy"]},
    ),
    "another one beside it fails meanwhile": (
        None, "", "",
        (
            f"mkfifo f; {VARIABLE}='cat >> {{place}}/own' {LAUNCHER} --name tidy"
            " sh -c 'echo > f; read x < f; exit 7' & read x < f;"
            f" {LAUNCHER} --name other false; echo > f; wait; exit 9"
        ),
        {"own": ["tidy"]},
    ),
    "one inside has a line of its own": (
        "cat >> {place}/var", "", "", f"{VARIABLE}='cat >> {{place}}/own' {TIDY}; exit 9",
        {"var": ["night", "tidy"], "own": ["tidy"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("variable", "file", "below", "line", "expected"), NESTED.values(), ids=NESTED
)
def test_launchers_inside_one_another_tell_a_failure_once(
    variable: str | None,
    file: str,
    below: str,
    line: str,
    expected: dict[str, list[str]],
    tmp_path: Path,
    home: Path,
) -> None:
    write(tmp_path / "shop.py", CLICK)
    for folder, text in (tmp_path, file), (tmp_path / "below", below):
        write(folder / "autotask.toml", text.replace("{place}", str(tmp_path)))
    words = [str(LAUNCHER), "--name", "night", "sh", "-c", line.replace("{place}", str(tmp_path))]
    env = {VARIABLE: variable and variable.replace("{place}", str(tmp_path))}
    assert run_program(*words, under="bare", env=env, cwd=tmp_path).status == 9
    if expected:
        assert {note["did"] for note in wait_for(home)} == {"ended"}
    found = {}
    for name in "all", "shop", "tidy", "var", "own":
        if (path := tmp_path / name).exists():
            records = [json.loads(line) for line in path.read_text().splitlines()]
            found[name] = sorted(r["task"] for r in records for _ in range(r["failures"]))
    assert found == expected


INNER = f"'{LAUNCHER}' --name inner sh -c"
LATE = "echo $PPID >> pids; read line < go; exit 3"
ASIDE = "> /dev/null 2>&1 &"
# What a command runs inside, of which the outer launcher sees nothing or not all, and what is told
# then. The outer one is gone before anything comes through the pipe.
UNSEEN = {
    "it outlives the outer one": (f"setsid {INNER} '{LATE}' {ASIDE} exit 0", ["inner"]),
    "one in it outlives the outer one": (
        f"setsid '{LAUNCHER}' --name middle sh -c \"{INNER} '{LATE}'; :\" {ASIDE} exit 0",
        ["inner"],
    ),
    "no journal": (f"AUTOTASK_JOURNAL=0 {INNER} 'exit 3'; :", ["inner"]),
    "a journal on standard error": (
        f"AUTOTASK_JOURNAL=stderr {INNER} 'exit 3' 2>&-; :",
        ["inner"],
    ),
    "another home": (f"AUTOTASK_HOME=./other {INNER} 'exit 3'; :", ["inner"]),
    "the same home": (f"AUTOTASK_HOME=$AUTOTASK_HOME/. {INNER} 'exit 3'; :", ["inner"]),
}


@pytest.mark.parametrize("by_file", [False, True], ids=["variable", "file"])
@pytest.mark.parametrize(("line", "tasks"), UNSEEN.values(), ids=UNSEEN)
def test_what_an_outer_launcher_cannot_see_is_told_by_the_one_inside(
    line: str, tasks: list[str], by_file: bool, tmp_path: Path, home: Path
) -> None:
    place = tmp_path / "a:b%3A:c"
    place.mkdir()
    told = Told(place)
    if by_file:
        write(place / "autotask.toml", f'[task."*"]\non_failure = "cat >> \'{told.path}\'"\n')
    os.mkfifo(place / "go")
    env = {VARIABLE: None if by_file else f"cat >> '{told.path}'"}
    done = run_program("sh", "-c", line, under="launcher", env=env, cwd=place)
    assert done.status == 0
    if LATE in line:
        assert told.records() == []
        (place / "go").write_text("\n")
    wait_until(lambda: told.tasks() != [])
    wait_until(lambda: all(not is_running(int(pid)) for pid in pids(place)))
    if notes(home):
        wait_for(home)
    assert told.tasks() == tasks


def pids(place: Path) -> list[str]:
    path = place / "pids"
    return path.read_text().split() if path.exists() else []


def test_a_launcher_without_a_journal_leaves_those_inside_to_tell(
    told: Told, tmp_path: Path, home: Path
) -> None:
    line = f"AUTOTASK_JOURNAL=1 {INNER} 'exit 3'; :"
    env = {VARIABLE: told.line, "AUTOTASK_JOURNAL": "0"}
    run_program("sh", "-c", line, under="launcher", env=env)
    wait_for(home)
    assert told.tasks() == ["inner"]


def test_a_line_runs_in_the_folder_and_the_environment_of_the_command_and_is_not_recorded(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("RUBYLIB", "/of/the/user")
    monkeypatch.setenv("LATIN", os.fsdecode(b"\xe9"))
    inner = f"{LAUNCHER} {PYTHON} -m compileall -h > /dev/null; {LAUNCHER} false"
    line = f"env -0 > env; pwd > folder; cat > /dev/null; {inner}"
    place = tmp_path / "here"
    place.mkdir()
    before = dict(os.environ)
    words = ("run-parts", "/no/such")
    run_program(*words, under="launcher", env={VARIABLE: line}, cwd=place)
    (end,) = wait_for(home)
    assert end["status"] == 1
    assert (place / "folder").read_text() == f"{place}\n"
    pairs = (
        word.partition("=")[::2] for word in os.fsdecode((place / "env").read_bytes()).split("\0")
    )
    env = dict(pairs)
    for name in "_", "", "PWD", "OLDPWD", "SHLVL":
        env.pop(name, None)
        before.pop(name, None)
    assert env == {**before, "AUTOTASK_ENABLED": "0"}
    assert [run["task"] for run in runs(home)] == ["such"]


def test_a_folder_that_is_gone_is_no_obstacle(told: Told, tmp_path: Path, home: Path) -> None:
    place = tmp_path / "here"
    place.mkdir()
    command = ("sh", "-c", f"rmdir {place}; exit 3")
    run_program(*command, under="launcher", env={VARIABLE: told.line}, cwd=place)
    wait_for(home)
    assert told.tasks() == ["rmdir"]


@pytest.mark.parametrize("setting", ["0", "stderr"])
def test_without_a_journal_the_commands_own_failure_is_told(
    setting: str, told: Told, tmp_path: Path, home: Path
) -> None:
    env = {VARIABLE: told.line, "AUTOTASK_JOURNAL": setting}
    done = run_program("sh", "-c", "exit 3", under="launcher", env=env)
    assert done.status == 3
    wait_until(lambda: bool(told.records()))
    (record,) = told.records()
    assert (record["task"], record["reason"], record["exit_code"]) == ("sh", "exit", 3)
    assert not home.exists()
    if setting == "stderr":
        assert {**record, **json.loads(done.stderr)} == record


def test_on_a_full_disk_the_commands_own_failure_is_told(told: Told, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=64k") as disk:
        home = disk / "home"
        command = ("sh", "-c", f"cat /dev/zero > {disk}/full; exit 3")
        env = {VARIABLE: told.line, "AUTOTASK_HOME": str(home)}
        run_program(*command, under="launcher", env=env)
        wait_until(lambda: bool(told.records()))
    (record,) = told.records()
    assert (record["task"], record["exit_code"]) == ("cat", 3)


def test_a_program_with_a_parent_of_its_own_tells_too(
    told: Told, tmp_path: Path, home: Path
) -> None:
    """Also from a bundle, in which the package has another name."""
    bundle = tmp_path / "bundle"
    answer("bundle", str(bundle))
    script = write(
        tmp_path / "job.py", f"import os, sys; sys.exit({VARIABLE!r} in os.environ or 3)"
    )
    for path in None, str(bundle):
        env = {VARIABLE: told.line, "AUTOTASK_SUPERVISE": "1", "PYTHONPATH": path}
        done = run_program(
            script,
            env=env if path else {k: v for k, v in env.items() if v},
            under="bare" if path else "path",
        )
        assert done.status == 1  # a launcher inside is told to leave it
    wait_for(home)
    wait_until(lambda: told.tasks() == ["job.py", "job.py"])


def test_a_command_that_became_process_1_ends_all_the_same_and_doctor_says_what_was_lost(
    as_process_1: list[str], tmp_path: Path, home: Path
) -> None:
    line = f"echo > {tmp_path}/begun; sleep 1000"
    words = [*as_process_1, str(LAUNCHER), "sh", "-c", "exit 3"]
    done = run_program(*words, under="bare", env={VARIABLE: line})
    assert (done.status, done.stdout, done.stderr) == (3, "", "")
    (begun,) = notes(home)
    assert begun["did"] == "begun"
    assert begun["task"] == "sh"


def test_two_that_find_the_notes_too_large_at_once_lose_none(home: Path) -> None:
    """Each process stops between its look at the size and what it does about that."""
    home.mkdir(mode=0o700)
    (home / failure_notes.FILE).write_text("old\n" * (1 << 16))
    source = """
        import os, sys
        from autotask.around import failure_notes
        look = os.fstat
        def fstat(file):
            status = look(file)
            if status.st_size > failure_notes._LARGEST and hasattr(sys, "stdin_is_left"):
                del sys.stdin_is_left
                print("looked", flush=True)
                sys.stdin.readline()
            return status
        os.fstat = fstat
        sys.stdin_is_left = True
        failure_notes.add(os.environ["AUTOTASK_HOME"], sys.argv[1], "ended")
    """
    words = [PYTHON, "-c", textwrap.dedent(source)]
    pipe = subprocess.PIPE
    notings = [subprocess.Popen([*words, name], stdin=pipe, stdout=pipe) for name in ("a", "b")]
    for noting in notings:
        assert noting.stdout
        noting.stdout.readline()
    for noting in notings:
        noting.communicate(b"\n")
        failure_notes.add(str(home), "c", "ended")
    text = "".join((home / name).read_text() for name in ("on_failure", "on_failure.older"))
    assert text.count("old\n") == 1 << 16
    assert [text.count(f'"call":"{name}"') for name in "abc"] == [1, 1, 2]


# What keeps the process from being started.
CANNOT = {
    "no Python": "import sys; sys.executable = '/no/such/python'",
    "no file in memory": "import os; del os.memfd_create",
}


@pytest.mark.parametrize("statement", CANNOT.values(), ids=CANNOT)
def test_what_cannot_be_started_is_noted(statement: str, home: Path) -> None:
    done = run_program(*launched_by(statement), "false", under="bare", env={VARIABLE: "true"})
    assert (done.status, done.stderr) == (1, "")
    assert [note["did"] for note in notes(home)] == ["begun", "not started"]


def test_lines_that_come_too_late_are_noted(tmp_path: Path, home: Path) -> None:
    source = """
        import autotask
        for number in range(9):
            @autotask.task(name=f"job{number}")
            def job(): raise ValueError
            try: job()
            except ValueError: pass
    """
    words = [*with_watcher("failure_lines.LONGEST = 0.5; failure_lines.GRACE = 0.2"), PYTHON]
    script = write(tmp_path / "many.py", source)
    run_program(*words, script, under="bare", env={VARIABLE: "sleep 1000"})
    ends = wait_for(home)
    assert [end["did"] for end in ends].count("hung") == 8
    (late,) = [end for end in ends if end["did"] != "hung"]
    assert (late["did"], late["last"]) == ("not started", "the lines before it took too long")


def test_the_notes_take_little_room(home: Path) -> None:
    home.mkdir(mode=0o700)
    for number in range(4000):
        failure_notes.add(str(home), f"{number:016x}", "failed", status=1, last="x" * 300)
    sizes = [path.stat().st_size for path in home.iterdir()]
    assert len(sizes) == 2
    assert max(sizes) < 200_000
    assert notes(home)[-1]["call"] == f"{3999:016x}"
    assert {path.stat().st_mode & 0o777 for path in home.iterdir()} == {0o600}


def test_notes_are_not_written_where_another_user_may_lead_them(home: Path, tmp_path: Path) -> None:
    home.mkdir(mode=0o700)
    (home / failure_notes.FILE).symlink_to(tmp_path / "elsewhere")
    failure_notes.add(str(home), "0" * 16, "begun")
    assert not (tmp_path / "elsewhere").exists()
