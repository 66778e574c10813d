"""AUTOTASK_SUPERVISE: a Python program gets a parent, and does not notice."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import (
    INSTALLED,
    PATIENCE,
    PYTHON,
    SUPPORTED,
    TEMPLATE,
    Datagrams,
    Ended,
    Under,
    only_run,
    pythons,
    run_program,
    runs,
    start_program,
    wait_until,
    write,
)
from terminal import Terminal
from test_bootstrap import LOOK


@pytest.fixture(autouse=True)
def switched_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOTASK_SUPERVISE", "1")


def test_the_program_is_the_child_of_a_parent_that_looks_like_it(
    tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    script = write(
        tmp_path / "job.py",
        """
        import os
        print(os.getppid(), os.getpid(), os.getpgrp() == os.getpgid(os.getppid()),
              os.getsid(0) == os.getsid(os.getppid()))
        """,
    )
    with start_program(script, stdout=subprocess.PIPE) as program:
        out, _ = program.communicate()
    parent, pid, *same = out.decode().split()
    assert (int(parent), same, program.returncode) == (program.pid, ["True", "True"], 0)
    run = only_run(home)
    assert (run["task"], run["status"], run["pid"]) == ("job.py", "success", int(pid))
    assert (run["parent"], run["python"]) == (None, "{}.{}.{}".format(*sys.version_info[:3]))
    assert run["cpu"] > 0
    assert run["max_rss"] > 1_000_000
    assert list((home / "open").iterdir()) == []
    assert len(datagrams.lines("autotask.task.started", 5)) == 1
    assert len(datagrams.lines("autotask.task.runs", 5)) == 1


# What a program can see of its process. By /proc, for `signal` knows not all dispositions.
STATE = """
import os, re
print(re.findall("(?:Sig|Shd)(?:Blk|Ign|Cgt|Pnd):.*|Threads.*", open("/proc/self/status").read()))
print([number for number in range(64) if os.path.exists("/proc/self/fd/%d" % number)])
print(sorted(name for name in os.environ if not name.startswith("AUTOTASK_")), os.getcwd())
import resource, signal
print(resource.getrlimit(resource.RLIMIT_CORE), signal.getsignal(signal.SIGINT))
"""


@pytest.mark.parametrize("version", SUPPORTED)
def test_the_program_sees_nothing_else_of_the_parent(
    version: str, tmp_path: Path, home: Path
) -> None:
    def prepare() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGUSR1, signal.SIGRTMIN])

    def seen(script: Path, under: Under) -> str:
        with start_program(
            *(pythons(version), script, "x"),
            under=under,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PYTHONPATH": str(tmp_path)},
            preexec_fn=prepare,
        ) as program:
            out = program.communicate()[0].decode().replace(f"{TEMPLATE}{os.pathsep}", "")
            out = out.replace(f", '{INSTALLED}/autotask'", "")  # where our modules were found
            if version == "3.9":  # which frees functions with an unreferenced module
                out = out.replace("'atexit', ", "")
            assert program.returncode == 0, out
            return out

    for name, source in (("look.py", LOOK), ("state.py", STATE)):
        script = write(tmp_path / name, source)
        assert seen(script, "path") == seen(script, "bare")
    assert [run["status"] for run in runs(home)] == ["success", "success"]


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_closed_streams_stay_closed(closed: tuple[int, ...], tmp_path: Path, home: Path) -> None:
    seen = tmp_path / "seen"
    source = f"""
        import os, sys
        numbers = [number for number in (0, 1, 2, 3) if os.path.exists("/proc/self/fd/%d" % number)]
        seen = os.open({str(seen)!r}, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(seen, repr((numbers, sys.stdin and 0, sys.stdout and 1)).encode())
    """
    script = write(tmp_path / "probe.py", source)
    redirections = " ".join(f"{number}>&-" for number in closed)
    told = []
    ways: tuple[Under, ...] = ("bare", "path")
    for under in ways:
        run_program("sh", "-c", f"{PYTHON} {script} {redirections}", under=under)
        told.append(seen.read_text())
    assert told[0] == told[1]
    assert only_run(home)["status"] == "success"


def test_its_name_is_not_handed_on(tmp_path: Path, home: Path) -> None:
    script = write(tmp_path / "job.py", "import os; print(os.environ.get('AUTOTASK_NAME'))")
    assert run_program(script, env={"AUTOTASK_NAME": "nightly"}).stdout == "None\n"
    assert only_run(home)["task"] == "nightly"


UNSUPERVISED: list[tuple[str, list[str], dict[str, str]]] = [
    ("off", ["job.py"], {"AUTOTASK_SUPERVISE": "0"}),
    ("neither on nor off", ["job.py"], {"AUTOTASK_SUPERVISE": "maybe"}),
    ("empty", ["job.py"], {"AUTOTASK_SUPERVISE": ""}),
    ("all off", ["job.py"], {"AUTOTASK_ENABLED": "0"}),
    ("no process runs", ["job.py"], {"AUTOTASK_PROCESS": "0"}),
    ("ignored", ["job.py"], {"AUTOTASK_IGNORE": "job*"}),
    ("no such framework", ["job.py"], {"AUTOTASK_FRAMEWORKS": "-process"}),
    ("of a run", ["job.py"], {"AUTOTASK_PARENT": "0123456789abcdef:0123456789abcdef:cron"}),
    ("a command", ["-c", "{source}"], {}),
    ("from standard input", ["-"], {}),
    ("a tool", ["pip"], {}),
]
PARENT = "import os; print(os.getppid())"


@pytest.mark.parametrize(
    ("words", "more"),
    [row[1:] for row in UNSUPERVISED],
    ids=[row[0] for row in UNSUPERVISED],
)
def test_some_programs_get_no_parent(
    words: list[str], more: dict[str, str], tmp_path: Path
) -> None:
    for name in ("job.py", "pip"):
        write(tmp_path / name, PARENT)
    words = [word.replace("{source}", PARENT) for word in words]
    done = run_program(PYTHON, *words, cwd=tmp_path, env=more, stdin=PARENT)
    assert (done.status, done.stdout, done.stderr) == (0, f"{os.getpid()}\n", "")


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (["job.py"], {}),
        (["-m", "job"], {}),
        (["-c", PARENT], {"AUTOTASK_PROCESS": "1"}),
        (["job.py"], {"AUTOTASK_SUPERVISE": "true"}),
        (["job.py"], {"AUTOTASK_JOURNAL": "0"}),
        (["job.py"], {"AUTOTASK_HOME": "/proc/no"}),
    ],
    ids=str,
)
def test_other_programs_get_a_parent(
    words: list[str], more: dict[str, str], tmp_path: Path
) -> None:
    write(tmp_path / "job.py", PARENT)
    done = run_program(PYTHON, *words, cwd=tmp_path, env=more)
    assert (done.status, done.stderr) == (0, "")
    assert int(done.stdout) != os.getpid()


def test_a_program_of_autotask_run_is_not_supervised_twice(tmp_path: Path, home: Path) -> None:
    script = write(tmp_path / "job.py", PARENT)
    with start_program(script, under="launcher", stdout=subprocess.PIPE) as launcher:
        assert int(launcher.communicate()[0]) == launcher.pid
    assert only_run(home)["task"] == "job.py"


@pytest.mark.parametrize(
    "start",
    [
        "subprocess.run([sys.executable, 'inner.py'], check=True)",
        "os.system('exec ' + sys.executable + ' inner.py')",
        "multiprocessing.set_start_method('spawn'); spawn()",
        "sys.stdout.flush(); pid = os.fork() or runpy.run_path('inner.py'); os.wait()",
        "os.execv(sys.executable, [sys.executable, 'inner.py'])",
    ],
    ids=["subprocess", "system", "spawn", "fork", "exec"],
)
def test_what_it_starts_is_not_supervised(start: str, tmp_path: Path, home: Path) -> None:
    write(tmp_path / "inner.py", "import os; print(os.getppid(), os.getpid(), flush=True)")
    source = f"""
        import multiprocessing, os, runpy, subprocess, sys
        def spawn():
            process = multiprocessing.Process(target=runpy.run_path, args=("inner.py",))
            process.start(); process.join()
        if __name__ == "__main__":
            print(os.getpid(), flush=True)
            {start}
    """
    done = run_program(write(tmp_path / "job.py", source), cwd=tmp_path)
    pid, parent, inner, *_ = map(int, done.stdout.split())
    assert pid in (parent, inner)  # its child, or itself
    assert (done.status, only_run(home)["task"]) == (0, "job.py")


# Why there is no parent: the command, the settings, and the message.
ALONE: dict[str, tuple[tuple[str, ...], dict[str, str], str]] = {
    "no run": (("-c", "pass"), {}, "it has no run of its own"),
    "ignored": (("job.py",), {"AUTOTASK_IGNORE": "job*"}, "'job.py' is excluded or ignored"),
    "excluded": (
        ("job.py",),
        {"AUTOTASK_FRAMEWORKS": "-process"},
        "'job.py' is excluded or ignored",
    ),
    "no /proc": (("job.py",), {}, "/proc cannot be read"),
    "threads": (("job.py",), {}, "it has 2 threads already"),
}
WITHOUT_PROC = ("unshare", "--mount", "sh", "-c", 'umount -lR /proc && exec "$@"', "sh")
THREADED = f"""
    import sys, threading
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    sys.path[:] = [{str(TEMPLATE)!r}] + [entry for entry in sys.path if entry[-4:] != "/own"]
    del sys.modules["sitecustomize"]
    import sitecustomize
"""


@pytest.mark.parametrize("case", ALONE)
def test_the_debug_log_says_why_there_is_no_parent(case: str, tmp_path: Path) -> None:
    words, env, why = ALONE[case]
    before = WITHOUT_PROC if case == "no /proc" else ()
    if before and run_program(*before, PYTHON, "-S", "-c", "", under="bare").status:
        pytest.skip("not allowed here")
    write(tmp_path / "job.py", "print('done')")
    write(tmp_path / "own" / "sitecustomize.py", THREADED)
    folder = tmp_path / "own" if case == "threads" else TEMPLATE
    done = run_program(
        *(*before, PYTHON, *words),
        under="bare",
        env={"PYTHONPATH": str(folder), "AUTOTASK_DEBUG": "1", **env},
        cwd=tmp_path,
    )
    assert done.status == 0
    (said,) = [line for line in done.stderr.splitlines() if "supervised" in line]
    assert re.match(r"autotask: process \d+ is not supervised: ", said), done
    assert why in said


def test_the_debug_log_says_that_there_is_a_parent(tmp_path: Path) -> None:
    script = write(tmp_path / "job.py", "import os; print(os.getpid(), os.getppid())")
    done = run_program(PYTHON, script, env={"AUTOTASK_DEBUG": "1"})
    pid, parent = done.stdout.split()
    assert f"autotask: process {pid} is supervised by process {parent}\n" in done.stderr


@pytest.mark.parametrize("order", ["before", "behind"])
def test_the_machines_own_sitecustomize_runs_once(order: str, tmp_path: Path, home: Path) -> None:
    """It runs only in the program; if it came first and has threads, there is no parent."""
    source = """
        import os, sys, threading
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        os.write(1, b"own\\n")
        here = os.path.dirname(__file__)
        if here in sys.path and TEMPLATE in sys.path:
            sys.path.remove(here)
            del sys.modules["sitecustomize"]
            import sitecustomize
    """
    write(tmp_path / "own" / "sitecustomize.py", source.replace("TEMPLATE", repr(str(TEMPLATE))))
    folders = [str(tmp_path / "own"), str(TEMPLATE)]
    done = run_program(
        write(tmp_path / "job.py", PARENT),
        under="bare",
        env={"PYTHONPATH": os.pathsep.join(folders if order == "before" else folders[::-1])},
    )
    own, parent = done.stdout.split()
    assert (done.status, done.stderr, own) == (0, "", "own")
    assert (int(parent) == os.getpid()) == (order == "before")
    assert only_run(home)["status"] == "success"


def test_two_installations_on_the_path_leave_one_parent(tmp_path: Path, home: Path) -> None:
    for part in ("autotask", TEMPLATE.name):
        shutil.copytree(INSTALLED / part, tmp_path / "other" / part)
    folders = [str(TEMPLATE), str(tmp_path / "other" / TEMPLATE.name)]
    script = write(tmp_path / "job.py", PARENT)
    with start_program(
        script,
        under="bare",
        env={"PYTHONPATH": os.pathsep.join(folders)},
        stdout=subprocess.PIPE,
    ) as program:
        assert int(program.communicate()[0]) == program.pid
    assert only_run(home)["status"] == "success"


@pytest.mark.parametrize("wrapper", ["ddtrace-run", "pipenv"])
def test_the_program_that_a_wrapper_execs_is_supervised(
    wrapper: str, tmp_path: Path, home: Path
) -> None:
    write(tmp_path / "job.py", PARENT)
    source = "import os, sys; os.execv(sys.executable, [sys.executable, 'job.py'])"
    with start_program(
        *(PYTHON, write(tmp_path / wrapper, source)), stdout=subprocess.PIPE, cwd=tmp_path
    ) as program:
        assert int(program.communicate()[0]) == program.pid
    assert only_run(home)["task"] == "job.py"


def test_it_sends_heartbeats_while_the_program_runs(
    tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    """Only the minute is shortened, by a sitecustomize before ours."""
    source = f"""
        import sys
        sys.path.insert(0, {str(INSTALLED)!r})
        import autotask.around.supervise
        autotask.around.supervise.TICK = autotask.around.supervise.LOOK = 0.02
        sys.path.remove({str(INSTALLED)!r})
        sys.path.remove({str(tmp_path / "own")!r})
        del sys.modules["sitecustomize"]
        import sitecustomize
    """
    write(tmp_path / "own" / "sitecustomize.py", source)
    script = write(tmp_path / "job.py", "import sys; sys.stdin.read()")
    path = os.pathsep.join([str(tmp_path / "own"), str(TEMPLATE)])
    with start_program(
        script, under="bare", env={"PYTHONPATH": path}, stdin=subprocess.PIPE
    ) as program:
        wait_until(lambda: bool(datagrams.lines("autotask.task.running_seconds")))
        program.communicate(b"")
    assert (program.returncode, only_run(home)["status"]) == (0, "success")


def test_a_program_with_an_interpreter_inside_is_left_alone(tmp_path: Path) -> None:
    program = tmp_path / "shopd"
    shutil.copy(os.path.realpath(PYTHON), program)
    script = write(tmp_path / "job.py", PARENT)
    done = run_program(program, script, env={"PYTHONHOME": sys.base_prefix})
    if done.status == 127:
        pytest.skip("a copy of this interpreter does not run")
    assert (done.status, done.stdout) == (0, f"{os.getpid()}\n")


KILLED = """
    import click, os
    @click.command()
    def ship():
        {body}
    ship()
"""


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ("os.kill(os.getpid(), 9)", -9, "signal"),
        ("os.kill(os.getpid(), 15)", -15, "signal"),
        ("os.abort()", -6, "signal"),
        ("os.kill(os.getpid(), 2); import time; time.sleep(60)", 1, "interrupted"),
        ("os.execlp('false', 'false')", 1, "exit"),
        ("raise SystemExit(3)", 3, "exit"),
    ],
)
def test_runs_left_open_by_a_death_are_closed(
    body: str, status: int, reason: str, tmp_path: Path, home: Path
) -> None:
    pytest.importorskip("click")
    script = write(tmp_path / "shop.py", KILLED.format(body=body))
    assert run_program(script).status == status
    program, task = runs(home)
    assert (program["task"], program["framework"]) == ("shop.py", "process")
    assert (task["task"], task["parent"], task["reason"]) == ("shop", program["run"], reason)
    assert (program["reason"], program["caused_by"]) == ("nested", task["run"])
    assert list((home / "open").iterdir()) == []


LISTENER = """
    import os, signal, sys
    numbers = [getattr(signal, "SIG" + name) for name in sys.argv[1:]] + [signal.SIGUSR2]
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    os.write(1, b"ready\\n")
    while True:
        got = signal.sigwaitinfo(numbers)
        if got.si_signo == signal.SIGUSR2:
            sys.exit(7)
        os.write(1, signal.Signals(got.si_signo).name.encode() + b"\\n")
"""


@pytest.mark.parametrize("name", ["HUP", "INT", "TERM", "USR1", "WINCH", "TSTP", "PIPE", "RTMIN"])
def test_a_signal_sent_to_the_parent_reaches_the_program_once(
    name: str, tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "listener.py", LISTENER)
    with start_program(script, name, stdout=subprocess.PIPE, bufsize=0) as program:
        assert program.stdout
        assert program.stdout.readline() == b"ready\n"
        program.send_signal(signal.Signals[f"SIG{name}"])
        assert program.stdout.readline() == f"SIG{name}\n".encode()
        program.send_signal(signal.SIGUSR2)
        assert program.stdout.read() == b""
        assert program.wait() == 7
    assert only_run(home)["exit_code"] == 7


@pytest.mark.parametrize("name", ["TERM", "HUP", "INT", "KILL"])
def test_it_dies_as_the_program_died(name: str, tmp_path: Path, home: Path) -> None:
    source = "import os, signal; signal.signal(2, signal.SIG_DFL); os.kill(os.getpid(), {})"
    script = write(tmp_path / "job.py", source.format(int(signal.Signals[f"SIG{name}"])))
    assert run_program(script).status == -signal.Signals[f"SIG{name}"]
    assert only_run(home)["signal"] == f"SIG{name}"


def test_ctrl_c_interrupts_a_program_that_does_not_handle_it(
    terminal: Terminal, tmp_path: Path, home: Path
) -> None:
    source = "import time; print('rea' + 'dy', flush=True); time.sleep(600)"
    script = write(tmp_path / "job.py", source)
    terminal.type(f"PYTHONPATH='{TEMPLATE}' '{PYTHON}' '{script}'\n")
    terminal.expect("ready\r\n")
    terminal.type("\x03")
    terminal.expect("KeyboardInterrupt")
    terminal.type("echo sta''tus $?\n")
    terminal.expect("status 130\r\n")
    assert only_run(home)["reason"] == "interrupted"


class TestAsProcess1:
    """In the first program of a container."""

    @pytest.fixture
    def contained(self, as_process_1: list[str], tmp_path: Path) -> Callable[..., Ended]:
        def run(source: str, **env: str) -> Ended:
            script = write(tmp_path / "job.py", source)
            return run_program(*as_process_1, PYTHON, script, env=env)

        return run

    def test_the_program_is_a_separate_process(
        self, contained: Callable[..., Ended], home: Path
    ) -> None:
        source = "import os, sys; print(os.getpid() > 1, os.getppid()); sys.exit(3)"
        done = contained(source)
        assert (done.status, done.stdout) == (3, "True 1\n")
        assert only_run(home)["exit_code"] == 3

    @pytest.mark.parametrize("number", [9, 15])
    def test_a_death_by_signal_becomes_a_status_and_is_recorded(
        self, number: int, contained: Callable[..., Ended], home: Path
    ) -> None:
        done = contained(f"import os; os.kill(os.getpid(), {number})")
        assert done.status == 128 + number
        assert only_run(home)["signal"] == signal.Signals(number).name

    def test_it_reaps_orphans(self, contained: Callable[..., Ended]) -> None:
        source = """
            import glob, os, time
            for _ in range(5):
                os.system("sh -c 'true & exec true'")
            deadline = time.monotonic() + 120
            while len(glob.glob("/proc/[0-9]*")) > 2 and time.monotonic() < deadline:
                time.sleep(0.01)
            print(len(glob.glob("/proc/[0-9]*")))
        """
        assert contained(source).stdout == "2\n"


EATER = "x = []\nwhile True: x.append(bytearray(1 << 20))"


@pytest.mark.parametrize("first", [False, True], ids=["beside others", "as process 1"])
def test_an_out_of_memory_kill_is_reported(
    first: bool,
    limited_group: Path,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    home: Path,
    datagrams: Datagrams,
) -> None:
    words = request.getfixturevalue("as_process_1") if first else []
    script = write(tmp_path / "job.py", EATER)
    line = f'echo $$ > {limited_group}/cgroup.procs; exec "$@"'
    done = run_program("sh", "-c", line, "sh", *words, PYTHON, script)
    assert done.status == (137 if first else -9)
    run = only_run(home)
    assert (run["status"], run["reason"], run["signal"]) == ("failure", "oom", "SIGKILL")
    (check,) = datagrams.lines("_sc|autotask.task.status|2", 5)
    assert check.endswith("|m:oom SIGKILL")


def test_another_kill_in_a_limited_group_is_not_out_of_memory(
    limited_group: Path, tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "job.py", "import os; os.kill(os.getpid(), 9)")
    line = f'echo $$ > {limited_group}/cgroup.procs; exec "$@"'
    assert run_program("sh", "-c", line, "sh", PYTHON, script).status == -9
    assert only_run(home)["reason"] == "signal"


def test_an_out_of_memory_kill_of_another_group_does_not_count(
    limited_group: Path, tmp_path: Path, home: Path
) -> None:
    """A program that cannot see its own group does not take the machine's count for it."""
    script = write(tmp_path / "job.py", "input(); import os; os.kill(os.getpid(), 9)")
    hide = 'umount --lazy --recursive /sys/fs/cgroup; exec "$@"'
    words = ["unshare", "--mount", "sh", "-c", hide, "sh", PYTHON, str(script)]
    if run_program("unshare", "--mount", "umount", "-lR", "/sys/fs/cgroup", under="bare").status:
        pytest.skip("not allowed to unmount here")
    with start_program(*words, stdin=subprocess.PIPE) as program:
        wait_until(lambda: bool(runs(home)))
        line = f"echo $$ > {limited_group}/cgroup.procs; exec '{PYTHON}' -c '{EATER}'"
        assert run_program("sh", "-c", line, under="bare").status == -9
        program.communicate(b"\n")
    assert program.returncode == -9
    assert only_run(home)["reason"] == "signal"


def test_it_waits_only_for_the_program(tmp_path: Path, home: Path) -> None:
    source = """
        import os, sys, time
        if os.fork() == 0:
            os.close(1); os.close(2)
            time.sleep(60)
        print(os.getpid())
    """
    script = write(tmp_path / "job.py", source)
    with start_program(script, stdout=subprocess.PIPE, start_new_session=True) as program:
        assert program.wait(PATIENCE) == 0
        os.killpg(program.pid, signal.SIGKILL)
    assert only_run(home)["status"] == "success"


ASKED = {"AUTOTASK_NO_OVERLAP": "1", "AUTOTASK_TIMEOUT": "1h", "AUTOTASK_KEEP_OUTPUT": "8k"}
OWN = ("fcntl", "json", "re", "string", "resource", "tomllib")


@pytest.mark.parametrize("asked", [*ASKED, "autotask.toml"])
def test_what_the_parent_has_read_hides_no_module_of_the_program(
    asked: str, tmp_path: Path, home: Path
) -> None:
    for name in OWN:
        write(tmp_path / f"{name}.py", "is_own = True")
    if asked == "autotask.toml":
        write(tmp_path / asked, '[task."*"]\nno_overlap = true\ntimeout = "1h"')
    (home / "open").mkdir(mode=0o700, parents=True)
    (home / "open" / f"{os.getpid()}-{'a' * 16}").write_text(f'{{"root":"{"a" * 16}"}}\n')
    script = write(
        tmp_path / "own.py",
        f"import sys, {', '.join(OWN)}\n"
        f"print([n for n in {OWN} if not hasattr(sys.modules[n], 'is_own')])",
    )
    env = {"AUTOTASK_SUPERVISE": "1", asked: ASKED.get(asked)}
    done = run_program(script, env=env, cwd=tmp_path)
    assert done == Ended(0, "[]\n", "")
