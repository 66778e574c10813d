"""Programs that leave their runs behind: by os._exit, and by os.exec* as another program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import (
    PYTHON,
    Under,
    only_run,
    run_program,
    runs,
    start_program,
    wait_until,
    write,
)

pytest.importorskip("click")

# A program that execs as its first argument says, inside or outside a task.
BECOMES = """
    import click, os, sys

    def become():
        words = sys.argv[2:]
        {how}

    @click.command(context_settings={{"ignore_unknown_options": True}})
    @click.argument("words", nargs=-1)
    def job(words):
        become()

    job(sys.argv[1:]) if sys.argv[1] == "task" else become()
"""
HOW = {
    "execv": "os.execv(words[0], words)",
    "execlp": "os.execlp(words[0], *words)",
    "execve": "os.execve(words[0], words, {**os.environ, 'MORE': '1'})",
    "execve, in bytes": "os.execve(words[0], words, {**os.environb, b'MORE': b'1'})",
    "execve by names": "os.execve(env=dict(os.environ), argv=words, path=words[0])",
    "by a descriptor": "os.execve(os.open(words[0], 0), words, os.environ)",
    "posix.execv": "import posix; posix.execv(words[0], words)",
    "from a thread": (
        "import threading;"
        " thread = threading.Thread(target=os.execv, args=(words[0], words));"
        " thread.start(); thread.join()"
    ),
}
SUCCESSOR = """
    import click, os, sys
    print(os.getpid(), flush=True)

    @click.command()
    def next():
        {body}

    next()
"""


@dataclass(frozen=True)
class End:
    """How a program ends, and how its task's run and those around it end."""

    body: str = "pass"
    status: int = 0
    inner: str | None = None
    outer: str | None = None


ENDS = {
    "returns": End(),
    "raises": End("1 / 0", 1, "exception", "nested"),
    "exits": End("sys.exit(3)", 3, "exit", "nested"),
    "os._exit": End("os._exit(4)", 4, "exit", "nested"),
}


def reasons(home: Path) -> list[tuple[str, str, str | None]]:
    return [(run["task"], run["status"], run.get("reason")) for run in runs(home)]


def ended(task: str, reason: str | None) -> tuple[str, str, str | None]:
    return task, "failure" if reason else "success", reason


@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
def test_an_execed_python_program_continues_the_runs_before_it(
    how: str, tmp_path: Path, home: Path
) -> None:
    first = write(tmp_path / "first.py", BECOMES.format(how=how))
    second = write(tmp_path / "second.py", SUCCESSOR.format(body="pass"))
    done = run_program(first, "task", PYTHON, second)
    assert (done.status, done.stderr) == (0, "")
    program, task, inner = runs(home)
    assert {run["status"] for run in (program, task, inner)} == {"success"}
    assert [run["pid"] for run in (program, task, inner)] == [int(done.stdout)] * 3
    assert (program.get("parent"), task["parent"], inner["parent"]) == (
        None,
        program["run"],
        task["run"],
    )
    assert program["duration"] >= task["duration"] >= inner["duration"]
    assert list((home / "open").iterdir()) == []


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("under", ["path", "launcher"])
def test_continued_runs_end_as_it_ends_and_a_failure_is_reported_once(
    under: Under, end: End, tmp_path: Path, home: Path
) -> None:
    first = write(tmp_path / "first.py", BECOMES.format(how=HOW["execv"]))
    second = write(tmp_path / "second.py", SUCCESSOR.format(body=end.body))
    done = run_program(first, "task", PYTHON, second, under=under)
    assert done.status == end.status
    assert reasons(home) == [
        ended("first.py", end.outer),
        ended("first", end.outer),
        ended("second", end.inner),
    ]
    assert len({run["caused_by"] for run in runs(home) if "caused_by" in run}) < 2
    assert list((home / "open").iterdir()) == []


def test_a_program_may_exec_more_than_once(tmp_path: Path, home: Path) -> None:
    first = write(tmp_path / "first.py", BECOMES.format(how=HOW["execv"]))
    last = write(tmp_path / "last.py", "import sys; sys.exit(3)")
    again = (PYTHON, first, "plain")
    done = run_program(first, "plain", *again, *again, PYTHON, last)
    assert done.status == 3
    assert reasons(home) == [("first.py", "failure", "exit")]


def test_a_program_killed_after_its_exec_is_lost(tmp_path: Path, home: Path) -> None:
    first = write(tmp_path / "first.py", BECOMES.format(how=HOW["execv"]))
    second = write(tmp_path / "second.py", "import os; os.kill(os.getpid(), 9)")
    assert run_program(first, "task", PYTHON, second).status == -9
    sweep()
    assert reasons(home) == [ended("first.py", "nested"), ended("first", "lost")]


SILENT: dict[str, tuple[str, ...]] = {
    "no Python": ("sh", "-c", "cat; exit 3"),
    "a Python that the agent is kept out of": (
        *(PYTHON, "-I", "-c"),
        "import sys; sys.stdin.read(); sys.exit(3)",
    ),
}


@pytest.mark.parametrize("words", SILENT.values(), ids=SILENT)
def test_an_end_that_cannot_be_known_raises_no_alarm(
    words: tuple[str, ...], tmp_path: Path, home: Path
) -> None:
    """A run that exec'd a program whose end cannot be seen did all that could be seen."""
    first = write(tmp_path / "first.py", BECOMES.format(how=HOW["execlp"]))
    with start_program(first, "task", *words, stdin=subprocess.PIPE) as program:
        wait_until(lambda: became(home))
        sweep()
        assert [run["status"] for run in runs(home)] == ["running", "running"]
        program.communicate(b"")
    assert program.returncode == 3
    sweep()
    assert reasons(home) == [ended("first.py", None), ended("first", None)]
    assert list((home / "open").iterdir()) == []


def test_an_unknown_end_raises_no_alarm_if_the_tool_only_reads(tmp_path: Path, home: Path) -> None:
    first = write(tmp_path / "first.py", BECOMES.format(how=HOW["execlp"]))
    assert run_program(first, "task", "sh", "-c", "exit 3").status == 3
    home.chmod(0o777)
    words = ("runs", "--all", "--format", "jsonl")
    done = run_program(Path(PYTHON).parent / "autotask", *words, under="bare")
    assert "read-only" in done.stderr
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(run["status"], run.get("reason")) for run in shown] == [("success", None)] * 2


def test_an_unknown_end_inside_a_launcher_raises_no_alarm(tmp_path: Path, home: Path) -> None:
    first = write(tmp_path / "first.py", BECOMES.format(how=HOW["execlp"]))
    script = write(tmp_path / "nightly.sh", f"{PYTHON} {first} task sh -c 'exit 3'\necho after\n")
    done = run_program("sh", script, under="launcher")
    assert (done.status, done.stdout) == (0, "after\n")
    assert reasons(home) == [ended("nightly.sh", None), ended("first", None)]
    assert list((home / "open").iterdir()) == []


def test_a_launcher_does_not_report_success_for_a_run_hidden_by_a_full_disk(
    tmp_path: Path, home: Path
) -> None:
    """The mark of the second program is beside the one that the first left."""
    first = write(tmp_path / "first.py", BECOMES.format(how=HOW["execv"]))
    body = """
        folder = os.environ["AUTOTASK_HOME"] + "/open/"
        (mark,) = [name for name in os.listdir(folder) if name.startswith(str(os.getpid()))]
        os.rename(folder + mark, folder + mark + "-owed")
        os.kill(os.getpid(), 9)
    """
    second = write(tmp_path / "second.py", SUCCESSOR.format(body=body))
    assert run_program(first, "task", PYTHON, second, under="launcher").status == -9
    program, task, inner = runs(home)
    assert [run["status"] for run in (program, task, inner)] == ["failure"] * 3
    assert inner["reason"] == "lost"


def test_an_execed_program_with_its_own_environment_is_separate(tmp_path: Path, home: Path) -> None:
    how = "os.environ.pop('AUTOTASK_PARENT'); os.execve(words[0], words, os.environ)"
    first = write(tmp_path / "first.py", BECOMES.format(how=how))
    second = write(tmp_path / "second.py", "import sys; sys.exit(3)")
    assert run_program(first, "plain", PYTHON, second).status == 3
    sweep()
    assert sorted(reasons(home)) == [ended("first.py", None), ended("second.py", "exit")]


REFUSED = {
    "a missing file": "os.execv('/no/such/file', ['x'])",
    "a command that is not on the path": "os.execvp('no-such-command', ['x'])",
    "a folder": "os.execv('/', ['x'])",
    "what is not a program": "os.execv(__file__, ['x'])",
    "no arguments": "os.execv(sys.executable, [])",
    "nothing": "os.execv()",
    "no environment": "os.execve(sys.executable, ['x'], 5)",
    "too many arguments": "os.execv(sys.executable, ['x'] * 3000 + ['x' * 131072])",
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_a_failed_exec_changes_nothing(body: str, tmp_path: Path, home: Path) -> None:
    source = f"""
        import os, sys
        before = dict(os.environ)
        try:
            {body}
        except Exception as problem:
            print(type(problem).__name__, problem)
        assert before == dict(os.environ)
        os.system("echo $AUTOTASK_PROCESS_RUN")
        {body}
    """
    script = write(tmp_path / "job.py", source)
    script.chmod(0o755)
    bare, done = (run_program(script, under=under) for under in ("bare", "path"))
    assert (done.status, done.stdout) == (bare.status, bare.stdout)
    if sys.version_info >= (3, 11):
        assert done.stderr == bare.stderr
    assert only_run(home)["reason"] == "exception"
    assert list((home / "open").iterdir()) == []


def test_a_program_killed_after_a_failed_exec_is_lost(tmp_path: Path, home: Path) -> None:
    source = """
        import os, signal
        try:
            os.execv(__file__, [__file__])
        except OSError:
            os.kill(os.getpid(), signal.SIGKILL)
    """
    script = write(tmp_path / "job.py", source)
    script.chmod(0o755)
    assert run_program(script).status == -signal.SIGKILL
    sweep()
    assert reasons(home) == [ended("job.py", "lost")]


def test_an_exec_in_a_forked_child_does_not_affect_its_parents_runs(
    tmp_path: Path, home: Path
) -> None:
    source = """
        import os
        if os.fork() == 0:
            os.execlp("false", "false")
        os.wait()
        os.spawnlp(os.P_WAIT, "false", "false")
    """
    assert run_program(write(tmp_path / "job.py", source)).status == 0
    assert reasons(home) == [ended("job.py", None)]


MANY = """
    import contextvars, os, sys
    import click

    def begin(number):
        # what an asyncio task leaves open in its own context
        name = f"task {{number}} ".ljust(300, "x")
        click.Command(name, callback=lambda: go_on(number + 1)).main(args=[])

    def go_on(number):
        if number == {count}:
            os.execv(sys.argv[1], sys.argv[1:])
        where = contextvars.copy_context() if {nested} else outside
        where.copy().run(begin, number)

    sys.setrecursionlimit(100_000)
    outside = contextvars.copy_context()
    go_on(0)
"""


@pytest.mark.parametrize("nested", [False, True], ids=["side by side", "one in another"])
def test_exec_works_with_many_open_runs(nested: bool, tmp_path: Path, home: Path) -> None:
    first = write(tmp_path / "first.py", MANY.format(count=300, nested=nested))
    second = write(tmp_path / "second.py", "import sys; print('here'); sys.exit(3)")
    done = run_program(first, PYTHON, second)
    assert (done.status, done.stdout, done.stderr) == (3, "here\n", "")
    program, *tasks = reasons(home)
    assert len(tasks) == 300
    assert program == ("first.py", "failure", "nested")
    assert None in {reason for _, _, reason in tasks}
    assert [reason for _, _, reason in (program, *tasks)].count("exit") == 1
    assert list((home / "open").iterdir()) == []


def test_exec_works_with_an_almost_full_environment(tmp_path: Path, home: Path) -> None:
    """The arguments take all the room, so that not one of our bytes fits in."""
    source = """
        import os, sys
        low, high = 0, 4_000_000
        while low < high:
            size = (low + high + 1) // 2
            words = [b"x" * 100_000] * (size // 100_000) + [b"x" * (size % 100_000)]
            if os.fork() == 0:
                try:
                    os.execve("/bin/true", [b"true", *words], ENVIRONMENT)
                except OSError:
                    os._exit(1)
            low, high = (size, high) if os.wait()[1] == 0 else (low, size - 1)
        words = [b"x" * 100_000] * (low // 100_000) + [b"x" * (low % 100_000)]
        os.execve("/bin/true", [b"true", *words], ENVIRONMENT)
    """
    source = source.replace("ENVIRONMENT", "os.environ")
    done = run_program(write(tmp_path / "job.py", source))
    assert (done.status, done.stderr) == (0, "")
    sweep()
    assert reasons(home) == [ended("job.py", None)]


@pytest.mark.skipif(os.getuid() != 0, reason="only root drops privileges")
@pytest.mark.parametrize("how", ["execv", "execlp", "execve"])
def test_a_run_that_drops_its_privileges_ends_at_the_exec(
    how: str, tmp_path: Path, home: Path
) -> None:
    source = BECOMES.format(how=f"os.setuid(4244); {HOW[how]}")
    first = write(tmp_path / "first.py", source)
    done = run_program(first, "task", "/bin/sh", "-c", "id -u; exit 3")
    assert (done.status, done.stdout, done.stderr) == (3, "4244\n", "")
    sweep()
    assert reasons(home) == [ended("first.py", None), ended("first", None)]
    assert list((home / "open").iterdir()) == []


# --- os._exit ------------------------------------------------------------------------------------

DAEMON = """
    import click, os

    @click.command()
    def job():
        if os.fork():
            os._exit({status})
        os.setsid()
        os.read(0, 1)
        raise ValueError

    job()
"""


@pytest.mark.parametrize("status", [0, 3])
@pytest.mark.parametrize(
    ("under", "words"),
    [
        ("path", [PYTHON, "job.py"]),
        ("launcher", [PYTHON, "job.py"]),
        ("launcher", ["sh", "-c", f"{PYTHON} job.py; true"]),
    ],
    ids=["path", "launcher", "launcher and shell"],
)
def test_a_task_ends_with_the_first_process_of_a_daemon(
    under: Under, words: list[str], status: int, tmp_path: Path, home: Path
) -> None:
    write(tmp_path / "job.py", DAEMON.format(status=status))
    run_program(*words, under=under, cwd=tmp_path)
    program, task = runs(home)
    assert (task["status"], task.get("exit_code", 0)) == (
        "failure" if status else "success",
        status,
    )
    if words[0] == "sh":
        assert program["status"] == "success"
    else:
        assert program.get("caused_by") == (task["run"] if status else None)


THREADED = """
    import click, os, threading, time

    inside = threading.Event()

    @click.command()
    def job():
        inside.set()
        time.sleep(60)

    def leave():
        inside.wait()
        os._exit({status})

    {start}
"""
ANOTHER = {
    "a thread of the program": "threading.Thread(target=leave).start(); job()",
    "the program": "threading.Thread(target=job, args=([],), daemon=True).start(); leave()",
    "a thread of another task": (
        "threading.Thread(target=job, args=([],), daemon=True).start();"
        " click.Command('other', callback=leave)([], prog_name='other')"
    ),
}


@pytest.mark.parametrize("status", [0, 3])
@pytest.mark.parametrize("start", ANOTHER.values(), ids=ANOTHER)
def test_an_exit_ends_the_tasks_of_all_threads_with_one_failure_at_most(
    start: str, status: int, tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "job.py", THREADED.format(start=start, status=status))
    assert run_program(script).status == status
    found = {task: reason for task, _, reason in reasons(home)}
    if not status:
        assert set(found.values()) == {None}
    else:
        assert sorted(map(str, found.values())) == ["exit", *["nested"] * (len(found) - 1)]
        assert found["other" if "other" in found else "job"] == "exit"
    assert list((home / "open").iterdir()) == []


def test_an_exit_that_is_refused_leaves_the_other_threads_at_work(
    tmp_path: Path, home: Path
) -> None:
    source = """
        import os, threading
        import autotask

        @autotask.task(name="work")
        def work(): pass

        try:
            os._exit((1 << 40) + 3)
        except OverflowError:
            print("refused", flush=True)
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(20)
        print("hangs" if thread.is_alive() else "goes on")
    """
    done = run_program(write(tmp_path / "job.py", source))
    assert (done.status, done.stdout, done.stderr) == (0, "refused\ngoes on\n", "")
    assert sorted(reasons(home)) == [ended("job.py", None), ended("work", None)]


def test_an_exit_does_not_wait_for_a_disk_that_does_not_answer(tmp_path: Path, home: Path) -> None:
    source = """
        import gc, os, threading
        from autotask.journal import Journal

        (journal,) = [one for one in gc.get_objects() if type(one) is Journal]
        locked = threading.Event()

        def hold():
            with journal._lock:
                locked.set()
                threading.Event().wait()

        threading.Thread(target=hold, daemon=True).start()
        locked.wait()
        os._exit(3)
    """
    script = write(tmp_path / "job.py", source)
    assert run_program(script, timeout=20).status == 3
    sweep()
    assert reasons(home) == [ended("job.py", "lost")]


def test_a_child_that_exits_with_no_run_open_leaves_no_mark(tmp_path: Path, home: Path) -> None:
    source = """
        import click, os

        job = click.Command("job", callback=lambda: None)
        if os.fork() == 0:
            job.main(args=[], standalone_mode=False)
            os._exit(0)
        os.wait()
        for name in os.listdir(os.environ["AUTOTASK_HOME"] + "/open"):
            print(name.startswith(f"{os.getpid()}-"))
        if os.fork() == 0:
            os._exit(0)
        os.wait()
        print(len(os.listdir(os.environ["AUTOTASK_HOME"] + "/open")))
    """
    done = run_program(write(tmp_path / "job.py", source))
    assert (done.status, done.stdout, done.stderr) == (0, "True\n1\n", "")


LOOKS = """
    import click, copy, inspect, os, pickle, posix, weakref

    @click.command()
    def job():
        class Holder:
            pass
        for name in ("_exit", "execv", "execve"):
            function = getattr(os, name)
            setattr(Holder, name, function)
            print(name, function, function.__name__, function.__module__, function.__doc__)
            print(inspect.signature(function), function is getattr(posix, name))
            print(pickle.loads(pickle.dumps(function)) is function, copy.copy(function) is function)
            print(copy.deepcopy(function) is function, weakref.ref(function)() is function)
            print(getattr(Holder(), name) is function, function in os.supports_fd)
            print(type(function).__name__)
            for code in ("del function._instead", "function.more = 1", "del function.__name__",
                         "function < 1", "function.__name__ = 2", "function._original = 2"):
                try:
                    exec(code)
                except Exception as problem:
                    print(code, type(problem), problem)
                else:
                    print(code)

    job()
"""


def test_the_exit_functions_look_unchanged(tmp_path: Path, home: Path) -> None:
    script = write(tmp_path / "job.py", LOOKS)
    bare, done = (run_program(script, under=under) for under in ("bare", "path"))
    assert (done.status, done.stderr, done.stdout) == (0, "", bare.stdout)


def became(home: Path) -> bool:
    return any((home / "open").glob("became-*"))


def sweep() -> None:
    """Close the runs that dead processes left open."""
    done = run_program(Path(PYTHON).parent / "autotask", "runs", under="bare")
    assert done.status == 0, done.stderr
