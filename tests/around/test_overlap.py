"""`--no-overlap`: beside a living run of its task, a command does not run."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from around.test_elsewhere import container, first_of, kill_whole, left_in_a_container
from around.test_signals import launched_by
from support import (
    LAUNCHER,
    Datagrams,
    Ended,
    a_run,
    command_line,
    environment,
    lines,
    run_program,
    runs,
    small_disk,
    wait_until,
    write,
)
from terminal import Terminal
from tool.journals import answer

from autotask import procfs

ALONE = ("--no-overlap", "--name", "nightly")
SKIPPED = Ended(0, "", "")
RAN = Ended(0, "ran\n", "")


def second(**options: str) -> Ended:
    """Run the task a second time, in a way that shows whether it ran."""
    return run_program("echo", "ran", under="launcher", options=ALONE, env=options)


@contextmanager
def first(*command: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command while its standard input is open; wait until it says `in`."""
    with subprocess.Popen(
        command,
        env={**environment(), **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as started:
        assert started.stdout
        assert started.stdout.readline() == b"in\n"
        yield started
        assert started.stdin
        started.stdin.close()


def rewrite(mark: Path, fields: dict[str, object]) -> None:
    mark.write_text(json.dumps(fields, separators=(",", ":")) + "\n")


WAIT = "echo in; read line; exit 0"
NAP = "import sys; print('in', flush=True); sys.stdin.read()"
OF_TASK = [str(LAUNCHER), "--name", "nightly"]


def test_it_is_skipped_in_silence_and_recorded_so(home: Path, datagrams: Datagrams) -> None:
    with first(*OF_TASK, "sh", "-c", WAIT):
        datagrams.lines(wait=5)
        datagrams.forget()
        assert second() == SKIPPED
    assert second() == RAN
    before, skipped, after = runs(home)
    assert [(run["status"], run.get("reason")) for run in (before, skipped, after)] == [
        ("success", None),
        ("skipped", "overlap"),
        ("success", None),
    ]
    assert (skipped["task"], skipped["framework"], skipped["trigger"]) == (
        *("nightly", "process"),
        before["trigger"],
    )
    assert "duration" not in skipped
    table = answer("runs", "--limit", "2")
    assert [" ".join(line.split()[4:]) for line in table.splitlines()[2:]] == ["skipped - overlap"]
    sent = [line for line in datagrams.lines(wait=5) if "skipped" in line or "started" in line]
    of_task = "task:nightly,framework:process"
    assert sent[0].startswith(f"autotask.task.started:1|c|#{of_task}")
    assert sent[1].startswith(f"autotask.task.runs:1|c|#{of_task},status:skipped,reason:overlap")
    kinds = {line.partition(":")[0] for line in datagrams.lines() if "nightly" in line}
    assert "autotask.task.running_seconds" not in kinds
    assert os.listdir(home / "open") == []


def test_on_a_terminal_it_says_so_in_a_line(terminal: Terminal, home: Path) -> None:
    with first(*OF_TASK, "sh", "-c", WAIT):
        terminal.type(f"'{LAUNCHER}' {' '.join(ALONE)} echo ran; echo sta''tus $?\n")
        (run,) = runs(home)
        said = f"autotask-run: nightly is skipped: its run {run['run'][:8]} has not ended\r\n"
        assert terminal.expect("status 0\r\n") == said


# How the run began beside which a second one is skipped.
BEGAN = {
    "without the option": [*OF_TASK, "sh", "-c", WAIT],
    "from a line of cron's": [str(LAUNCHER), "--shell", f"AUTOTASK_NAME=nightly sh -c '{WAIT}'"],
    "in another task": [str(LAUNCHER), "--name", "all", *OF_TASK, "sh", "-c", WAIT],
    "in another task of its name": [*OF_TASK, *OF_TASK, "sh", "-c", WAIT],
}


@pytest.mark.parametrize("words", BEGAN.values(), ids=BEGAN)
def test_a_run_counts_however_it_began(words: list[str]) -> None:
    with first(*words):
        assert second() == SKIPPED
    assert second() == RAN


@pytest.mark.parametrize("setting", [{"AUTOTASK_SUPERVISE": "1"}, {}], ids=["parent", "agent"])
def test_a_python_program_without_a_launcher_counts(
    setting: dict[str, str], tmp_path: Path
) -> None:
    script = write(tmp_path / "nightly.py", NAP)
    words = command_line(script)
    env = {**environment("path"), **setting, "AUTOTASK_NAME": "nightly"}
    with first(*words, env=env):
        assert second() == SKIPPED
    assert second() == RAN


def test_a_program_counts_to_which_a_full_disk_owes_lines(tmp_path: Path, home: Path) -> None:
    script = write(tmp_path / "nightly.py", NAP)
    env = {**environment("path"), "AUTOTASK_NAME": "nightly"}
    with first(*command_line(script), env=env):
        (mark,) = (home / "open").iterdir()
        owed = mark.rename(f"{mark}-owed")
        assert second() == SKIPPED
        owed.rename(mark)


def test_a_python_program_with_a_parent_can_be_skipped(tmp_path: Path, home: Path) -> None:
    script = write(tmp_path / "nightly.py", "print('ran')")
    setting = {"AUTOTASK_SUPERVISE": "1", "AUTOTASK_NO_OVERLAP": "1", "AUTOTASK_NAME": "nightly"}
    with first(*OF_TASK, "sh", "-c", WAIT):
        assert run_program(script, env=setting) == SKIPPED
    assert run_program(script, env=setting) == RAN
    assert [run.get("reason") for run in runs(home)] == [None, "overlap", None]


def test_a_command_counts_that_has_lost_its_launcher(home: Path) -> None:
    with first(*OF_TASK, "sh", "-c", f"echo in; read line; {WAIT}; :") as launcher:
        launcher.kill()
        launcher.wait()
        assert second() == SKIPPED
        assert launcher.stdin
        launcher.stdin.write(b"\n")
        launcher.stdin.flush()
        launcher.stdin.write(b"\n")
    wait_until(lambda: second() == RAN)
    assert {run["status"] for run in runs(home)} <= {"success", "skipped", "failure"}


OTHERS = [
    [str(LAUNCHER), "--name", "nightly2", "sh", "-c", WAIT],
    [str(LAUNCHER), "--name", "Nightly", "sh", "-c", WAIT],
    [str(LAUNCHER), "--tag", "task:nightly", "sh", "-c", WAIT],
    [str(LAUNCHER), "--name", '"task":"nightly', "sh", "-c", WAIT],
]


@pytest.mark.parametrize("words", OTHERS, ids=lambda words: str(words[2]))
def test_another_task_does_not_count(words: list[str]) -> None:
    with first(*words):
        assert second() == RAN


@pytest.mark.parametrize("name", ["x" * 3000, '"\\\n\u00e9\U0001f600' * 60])
def test_a_name_may_be_long_and_odd(name: str) -> None:
    options = ("--no-overlap", "--name", name)
    with first(str(LAUNCHER), "--name", name, "sh", "-c", WAIT):
        assert run_program("echo", "ran", under="launcher", options=options) == SKIPPED
    assert run_program("echo", "ran", under="launcher", options=options) == RAN


def test_of_long_names_the_end_counts() -> None:
    options = ("--no-overlap", "--name", "x" * 300 + "a")
    with first(str(LAUNCHER), "--name", "x" * 300 + "b", "sh", "-c", WAIT):
        assert run_program("echo", "ran", under="launcher", options=options) == RAN


# A task that starts itself is no overlap: its own run would keep it from ending.
AGAIN = " ".join(f"'{word}'" for word in [str(LAUNCHER), *ALONE, "echo", "ran"])
ITSELF = [
    AGAIN,
    f'sh -c "{AGAIN}"; :',
    f"'{LAUNCHER}' --name between sh -c \"{AGAIN}\"; :",
    f"env -u AUTOTASK_PARENT {AGAIN}; :",
    f'(sh -c "sleep 0.1; {AGAIN}" &); sleep 1; :',
]


@pytest.mark.parametrize("line", ITSELF)
def test_a_task_that_starts_itself_is_no_overlap(line: str) -> None:
    done = run_program("sh", "-c", line, under="launcher", options=ALONE)
    assert done == RAN


def test_two_that_a_task_starts_at_once_are_one(tmp_path: Path, home: Path) -> None:
    line = f"('{LAUNCHER}' {' '.join(ALONE)} sh -c 'echo in; read line'); :"
    with first(str(LAUNCHER), "--name", "all", "sh", "-c", line):
        (everything, _) = runs(home)
        parent = f"{everything['run']}:{everything['root']}:unknown"
        assert second(AUTOTASK_PARENT=parent) == SKIPPED


# Forks of a warm launcher that go on at the same moment. Those that run wait for a line.
RACE = """
    import os, signal, sys
    signal.alarm(120)
    from autotask.around import launch
    tries, each = map(int, sys.argv[1:3])
    words = ["autotask-run", "px", "--no-overlap", "--name", "nightly"]
    nothing = os.open("/dev/null", os.O_RDONLY)
    for turn in range(tries):
        gate, start = os.pipe()
        stdin, release = os.pipe()
        out, write = os.pipe()
        for _ in range(each):
            if os.fork() == 0:
                os.dup2(stdin, 0)
                os.dup2(write, 1)
                for file in (start, release):
                    os.close(file)
                os.read(gate, 1)
                sys.argv = [*words, "sh", "-c", "echo ran; read line; exit 3"]
                launch.main()
        for file in (gate, stdin, write):
            os.close(file)
        os.close(start)
        statuses = [os.wait()[1] >> 8 for _ in range(each - 1)]
        os.close(release)
        statuses.append(os.wait()[1] >> 8)
        print(statuses == [0] * (each - 1) + [3], os.read(out, 100) == b"ran\\n", flush=True)
"""


@pytest.mark.parametrize(("tries", "each"), [(100, 2), (1, 60)])
def test_of_several_at_the_same_moment_exactly_one_runs(
    tries: int, each: int, tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "race.py", RACE)
    done = run_program(script, str(tries), str(each), under="bare", env={"AUTOTASK_DOGSTATSD": "0"})
    assert done.stdout == "True True\n" * tries
    recorded = [run.get("reason") for run in runs(home)]
    assert (recorded.count("overlap"), len(recorded)) == (tries * (each - 1), tries * each)


class TestNothingBlocksForGood:
    """What a death, a reboot or a broken home leaves keeps no task from running."""

    def test_a_launcher_and_a_command_that_were_killed(self, home: Path) -> None:
        with first(*OF_TASK, "sh", "-c", WAIT) as launcher:
            os.killpg(launcher.pid, signal.SIGKILL)
            launcher.wait()
        assert os.listdir(home / "open") != []
        assert second() == RAN

    def test_a_machine_that_went_down(self, home: Path) -> None:
        change = "from autotask import procfs; procfs._INITIAL = procfs._namespace()"
        words = [*launched_by(change), *ALONE, "echo", "ran"]
        with first(*OF_TASK, "sh", "-c", WAIT) as launcher:
            launcher.kill()
            launcher.wait()
            assert run_program(*words, under="bare") == SKIPPED
            boot = procfs.identity().partition("/")[0]
            for file in (*(home / "open").iterdir(), *(home / "journal").iterdir()):
                file.write_text(file.read_text().replace(boot, boot[::-1]))
            assert run_program(*words, under="bare") == RAN

    def test_a_launcher_that_hangs_while_it_looks(self, home: Path) -> None:
        assert second() == RAN
        impatient = launched_by("from autotask.around import overlap; overlap._PATIENCE = 0.1")
        with open(home / "overlap.lock") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            assert run_program(*impatient, *ALONE, "echo", "ran", under="bare") == RAN
            with first(*OF_TASK, "sh", "-c", WAIT):
                assert run_program(*impatient, *ALONE, "echo", "ran", under="bare") == SKIPPED

    @pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
    def test_something_else_in_the_place_of_the_lock(self, kind: str, home: Path) -> None:
        home.mkdir(mode=0o700)
        lock = home / "overlap.lock"
        if kind == "link":
            lock.symlink_to(home / "elsewhere")
        elif kind == "pipe":
            os.mkfifo(lock)
        else:
            lock.mkdir()
        assert second() == RAN
        assert not (home / "elsewhere").exists()

    def test_marks_that_cannot_be_read(self, home: Path) -> None:
        assert second() == RAN
        (home / "open" / f"launcher-{'a' * 16}-{os.getpid()}").touch()
        (home / "open" / f"{os.getpid()}-{'b' * 16}").write_text("{")
        (home / "open" / "launcher").write_text('"task":"nightly"')
        (home / "open" / f"launcher-{'c' * 16}-1").write_text('{"root":"c","task":"nightly"')
        assert second() == RAN

    @pytest.mark.parametrize("setting", ["AUTOTASK_JOURNAL", "AUTOTASK_ENABLED"])
    def test_no_journal(self, setting: str) -> None:
        with first(*OF_TASK, "sh", "-c", WAIT):
            assert second(**{setting: "0"}) == RAN

    def test_a_home_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert second(AUTOTASK_HOME=str(tmp_path / "file" / "home")) == RAN

    def test_a_full_disk(self, tmp_path: Path) -> None:
        with small_disk(tmp_path / "disk", "size=64k") as disk:
            with open(disk / "filler", "wb", 0) as filler:
                try:
                    while True:
                        filler.write(b"\0" * 4096)
                except OSError:
                    pass
            env = {"AUTOTASK_HOME": str(disk / "home")}
            with first(*OF_TASK, "sh", "-c", WAIT, env=env):
                assert second(**env) == RAN


class TestInOtherContainers:
    """They share the home, and see nothing of each other's processes."""

    def test_a_launcher_counts_while_it_lives(
        self, as_process_1: list[str], tmp_path: Path, home: Path
    ) -> None:
        words = [*as_process_1, *OF_TASK]
        with container(words, "sh", "-c", "echo in; exec sleep 600") as outside:
            assert second() == SKIPPED
            kill_whole(outside)
        assert second() == RAN

    def test_of_a_launcher_under_another_process_the_lock_tells(
        self, as_process_1: list[str], home: Path
    ) -> None:
        inside = " ".join(f"'{word}'" for word in [*OF_TASK, "sh", "-c", "echo in; sleep 600"])
        with container([*as_process_1, "sh", "-c", f"{inside}; :"]) as outside:
            assert second() == SKIPPED
            os.kill(first_of(outside), signal.SIGKILL)
            outside.wait()
        assert second() == RAN

    @pytest.mark.parametrize(
        ("locked", "age", "expected"),
        [
            (',"locked":false', 0, SKIPPED),
            (',"locked":false', 700, RAN),
            (',"locked":true', 0, RAN),
            ("", 0, RAN),
        ],
    )
    def test_where_there_are_no_locks_a_launcher_counts_for_some_minutes(
        self, locked: str, age: float, expected: Ended, home: Path
    ) -> None:
        run = a_run("nightly", "process")
        name = f"launcher-{run.id}-1"
        left_in_a_container(home, name, run, f'{locked},"task":"nightly"')
        change = f"import time; now = time.time; time.time = lambda: now() + {age}"
        words = [*launched_by(change), *ALONE, "echo", "ran"]
        assert run_program(*words, under="bare") == expected

    def test_a_program_without_a_launcher_does_not_count(self, home: Path) -> None:
        run = a_run("nightly", "process")
        left_in_a_container(home, f"7-{run.id}", run)
        assert second() == RAN


def test_an_old_run_is_found_where_prune_has_moved_its_line(tmp_path: Path, home: Path) -> None:
    script = write(tmp_path / "nightly.py", NAP)
    env = {**environment("path"), "AUTOTASK_NAME": "nightly"}
    with first(*command_line(script), env=env):
        (mark,) = (home / "open").iterdir()
        left = json.loads(mark.read_text())
        (segment,) = (home / "journal").iterdir()
        old = home / "journal" / "2020-01-01T00.jsonl"
        segment.rename(old)
        rewrite(mark, {**left, "segment": old.name, "offset": 10_000})
        assert second() == SKIPPED
    assert lines(home)


def test_without_the_option_nothing_of_it_is_loaded(home: Path) -> None:
    statement = (
        "import os, sys; end = os._exit;"
        "os._exit = lambda status: end(100 if 'autotask.around.overlap' in sys.modules"
        " or 'autotask.around.time_limit' in sys.modules else status)"
    )
    for options, status in (((), 3), (("--no-overlap",), 100), (("--timeout", "1h"), 100)):
        words = [*launched_by(statement), *options, "sh", "-c", "exit 3"]
        assert run_program(*words, under="bare").status == status
