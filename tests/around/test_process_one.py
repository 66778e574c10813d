"""Signals with and without a parent: as process 1, outside of a container, and behind an init."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from support import (
    LAUNCHER,
    PATIENCE,
    PYTHON,
    TEMPLATE,
    Ended,
    Under,
    environment,
    only_run,
    run_program,
    runs,
    start_program,
    write,
)

from autotask import boot_id, procfs

SIGNALS = "HUP INT QUIT USR1 USR2 PIPE ALRM TERM TSTP WINCH URG RTMIN".split()
FATAL = "HUP INT QUIT USR1 USR2 PIPE ALRM TERM RTMIN".split()  # by default, but not to process 1

# Sends each signal, in each disposition, to the process that others take for it, and prints what
# came: how often its handler ran and how often it was pending. A signal of a higher number follows
# by the same way, so that nothing has to wait for what does not come.
SUBJECT = """
    import os, signal, subprocess, sys
    target, names = sys.argv[1], sys.argv[2:]
    pid = {"self": os.getpid(), "parent": os.getppid(), "1": 1}[target]
    line = "while read number; do kill -$number %d; echo; done" % pid
    sender = subprocess.Popen(["sh", "-c", line], stdin=-1, stdout=-1, bufsize=0)
    last, seen = signal.SIGRTMAX, []
    come, comes = os.pipe()
    os.set_blocking(comes, False)
    signal.set_wakeup_fd(comes)  # a handler in Python would not run if it came just before os.read
    signal.signal(last, lambda *_: None)

    def send(number):
        sender.stdin.write(b"%d\\n" % number)
        sender.stdout.readline()

    def tried(number, disposition):
        handlers = {"ignored": signal.SIG_IGN, "caught": lambda *_: seen.append(number)}
        seen.clear()
        signal.signal(number, handlers.get(disposition, signal.SIG_DFL))
        if disposition == "blocked":
            signal.pthread_sigmask(signal.SIG_BLOCK, [number])
        send(number)
        send(last)
        while os.read(come, 1) != bytes([last]):
            pass
        pending = 0
        while number in signal.sigpending():
            signal.sigwaitinfo([number])
            pending += 1
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        return len(seen), pending

    for name in names:
        number = getattr(signal, "SIG" + name)
        for disposition in ("default", "ignored", "caught", "blocked"):
            if disposition != "default" or name not in os.environ.get("FATAL", "").split():
                print(name, disposition, *tried(number, disposition), flush=True)
    sender.stdin.close()
    sender.wait()
    sys.exit(3)
"""
WAYS: dict[str, tuple[Under, dict[str, str]]] = {
    "its own": ("path", {"AUTOTASK_SUPERVISE": "1"}),
    "autotask-run": ("launcher", {}),
}


@pytest.fixture
def subject(tmp_path: Path) -> Path:
    return write(tmp_path / "subject.py", SUBJECT)


def words_of(subject: Path | str, under: Under, *arguments: str) -> list[str]:
    launcher = [str(LAUNCHER)] if under == "launcher" else []
    return [*launcher, PYTHON, str(subject), *arguments]


def ended(words: list[str], under: Under, env: dict[str, str]) -> Ended:
    """Run a program in its own session, so that the test's terminal has no influence."""
    done = subprocess.run(
        words,
        env=environment("path" if under == "path" else "bare", env),
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(("under", "env"), WAYS.values(), ids=WAYS)
def test_as_process_1_the_program_gets_the_signals_that_it_gets_without_a_parent(
    under: Under, env: dict[str, str], as_process_1: list[str], subject: Path, home: Path
) -> None:
    names = [*SIGNALS, "CONT", "CHLD"]
    bare = ended([*as_process_1, *words_of(subject, "bare", "1", *names)], "bare", {})
    assert (bare.status, bare.stdout.count("\n")) == (3, 4 * len(names))
    assert "TERM default 0 0\n" in bare.stdout
    assert "TERM caught 1 0\n" in bare.stdout
    assert ended([*as_process_1, *words_of(subject, under, "1", *names)], under, env) == bare
    assert only_run(home)["exit_code"] == 3


@pytest.mark.parametrize(("under", "env"), WAYS.values(), ids=WAYS)
def test_elsewhere_the_program_gets_the_signals_that_it_gets_without_a_parent(
    under: Under, env: dict[str, str], subject: Path, home: Path
) -> None:
    names = [*SIGNALS, "CHLD"]
    env = {**env, "FATAL": " ".join(FATAL)}
    bare = ended(words_of(subject, "bare", "self", *names), "bare", env)
    assert (bare.status, bare.stdout.count("\n")) == (3, 4 * len(names) - len(FATAL))
    assert ended(words_of(subject, under, "parent", *names), under, env) == bare
    assert only_run(home)["exit_code"] == 3


@pytest.mark.parametrize("name", FATAL)
def test_elsewhere_the_program_dies_of_what_it_does_not_catch(name: str, home: Path) -> None:
    with start_program(
        *("sh", "-c", "echo ready; exec sleep 60"), under="launcher", stdout=subprocess.PIPE
    ) as launcher:
        assert launcher.stdout
        launcher.stdout.readline()
        launcher.send_signal(signal.Signals[f"SIG{name}"])
        assert launcher.wait(PATIENCE) == -signal.Signals[f"SIG{name}"]
    assert only_run(home)["signal"] == f"SIG{name}"


# A signal that it does not catch, and one that shows that the first has been handled.
DEAF = "trap 'exit 9' TERM; kill -HUP 1; kill -TERM 1; while :; do sleep 0.01; done"


def as_shell(as_process_1: list[str], env: dict[str, str], before: str = ":") -> Ended:
    line = f'{before}; exec "$0" "$@"'
    return run_program(
        *as_process_1, *("sh", "-c", line, LAUNCHER, "sh", "-c", DEAF), under="bare", env=env
    )


def test_another_command_is_just_as_deaf_as_process_1(as_process_1: list[str], home: Path) -> None:
    assert as_shell(as_process_1, {}).status == 9
    assert only_run(home)["exit_code"] == 9


def test_a_parent_that_acts_as_an_init_passes_everything_on(
    as_process_1: list[str], home: Path
) -> None:
    assert as_shell(as_process_1, {"AUTOTASK_SUPERVISE": "init"}).status == 128 + signal.SIGHUP
    assert only_run(home)["signal"] == "SIGHUP"


def test_a_program_keeps_a_parent_that_is_an_init(
    as_process_1: list[str], tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "job.py", "import os, time; os.kill(1, 15); time.sleep(60)")
    done = run_program(*as_process_1, PYTHON, script, env={"AUTOTASK_SUPERVISE": "init"})
    assert done.status == 128 + signal.SIGTERM
    assert only_run(home)["signal"] == "SIGTERM"


@pytest.mark.parametrize("before", ["umount /proc", "mount -t tmpfs none /proc"])
def test_if_proc_does_not_show_the_command_everything_is_passed_on(
    before: str, as_process_1: list[str], home: Path
) -> None:
    assert as_shell(as_process_1, {}, before).status == 128 + signal.SIGHUP
    assert only_run(home)["signal"] == "SIGHUP"


def test_the_start_of_a_program_as_process_1_is_deaf_to_what_it_will_catch(
    as_process_1: list[str], tmp_path: Path, home: Path
) -> None:
    """The signals before a program's first line find no handler, and end nothing."""
    write(
        tmp_path / "own" / "sitecustomize.py",
        """
        import os
        if os.environ.pop("FIRST", None):
            os.system("kill -TERM 1; kill -USR1 1")
        """,
    )
    source = """
        import os, signal, sys
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
        os.kill(1, signal.SIGTERM)
        signal.pause()
    """
    done = run_program(
        *as_process_1,
        *(LAUNCHER, PYTHON, write(tmp_path / "job.py", source)),
        under="bare",
        env={"PYTHONPATH": str(tmp_path / "own"), "FIRST": "1"},
    )
    assert (done.status, done.stderr) == (9, "")


def test_a_command_that_waits_for_a_signal_gets_it(
    as_process_1: list[str], tmp_path: Path, home: Path
) -> None:
    """While a process waits in sigwait(3), /proc does not show what it blocks."""
    source = """
        import os, signal, subprocess, sys
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        waits = "until grep -q sigtimedwait /proc/%d/wchan; do sleep 0.01; done; kill -TERM 1"
        subprocess.Popen(["sh", "-c", waits % os.getpid()])
        sys.exit(signal.sigwait([signal.SIGTERM]))
    """
    script = write(tmp_path / "job.py", source)
    done = run_program(*as_process_1, LAUNCHER, PYTHON, script, under="bare")
    assert done.status == signal.SIGTERM


# --- behind an init that signals whole groups ----------------------------------------------------

# Prints each signal as often as it comes, and so does its child.
COUNTER = """
    import os, signal, subprocess, sys
    numbers = [signal.SIGUSR1, signal.SIGTERM, signal.SIGCONT, signal.SIGRTMAX]
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    if len(sys.argv) == 1:
        subprocess.Popen([sys.executable, "-S", __file__, "child"])
    else:
        os.write(1, b"ready %d %d\\n" % (os.getppid(), os.getpid()))
    while True:
        number = signal.sigwaitinfo(numbers).si_signo
        os.write(1, " ".join([*sys.argv[1:], signal.Signals(number).name]).encode() + b"\\n")
        if number == signal.SIGRTMAX:
            break
"""
INITS = {
    "dumb-init": ["dumb-init"],
    "tini -g": ["tini", "-s", "-g", "--"],
    "tini -sg": ["tini", "-p", "SIGWINCH", "-sg"],
    "tini by its variable": ["env", "TINI_KILL_PROCESS_GROUP=1", "tini", "-s"],
}
SINGLE = {"tini": ["tini", "-s"], "dumb-init -c": ["dumb-init", "-c"]}
BEHIND = {name: (words, "USR1 TERM CONT") for name, words in INITS.items()}
BEHIND.update({name: (words, "USR1 TERM") for name, words in SINGLE.items()})


def need(init: list[str]) -> None:
    name = next(word for word in init if word in ("dumb-init", "tini"))
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")


def come(init: list[str], names: str, under: Under, env: dict[str, str], script: Path) -> list[str]:
    """List what signals to an init lead to, one after the other."""
    with subprocess.Popen(
        [*init, *words_of(script, under)],
        env=environment("path" if under == "path" else "bare", env),
        stdout=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    ) as started:
        assert started.stdout
        program, child = map(int, started.stdout.readline().split()[1:])
        told: list[str] = []
        for name in names.split():
            before = len(told)
            started.send_signal(signal.Signals[f"SIG{name}"])
            while f"SIG{name}" not in told[before:]:
                told.append(started.stdout.readline().decode().strip())
        # A second copy would have been passed on before this.
        parent = int(Path(f"/proc/{program}/stat").read_text().rpartition(")")[2].split()[1])
        # The child first: when the program ends, dumb-init sends SIGTERM to the rest of the group.
        os.kill(child, signal.SIGRTMAX)
        while "child SIGRTMAX" not in told:
            told.append(started.stdout.readline().decode().strip())
        os.kill(program if under == "bare" else parent, signal.SIGRTMAX)
        told += started.stdout.read().decode().splitlines()
        assert started.wait(PATIENCE) == 0
    return sorted(told)


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    return write(tmp_path / "counter.py", COUNTER)


@pytest.mark.parametrize(("init", "names"), BEHIND.values(), ids=BEHIND)
@pytest.mark.parametrize(("under", "env"), WAYS.values(), ids=WAYS)
def test_behind_an_init_each_process_gets_a_signal_as_often_as_without_a_parent(
    init: list[str], names: str, under: Under, env: dict[str, str], counter: Path, home: Path
) -> None:
    need(init)
    told = come(init, names, "bare", {}, counter)
    assert come(init, names, under, env, counter) == told
    assert only_run(home)["status"] == "success"


@pytest.mark.parametrize("init", INITS.values(), ids=INITS)
@pytest.mark.parametrize(("under", "env"), WAYS.values(), ids=WAYS)
def test_behind_an_init_that_signals_groups_the_program_leads_its_own(
    init: list[str], under: Under, env: dict[str, str], tmp_path: Path
) -> None:
    need(init)
    source = "import os; print(os.getpgrp() == os.getpid(), flush=True); os.setsid()"
    script = write(tmp_path / "job.py", source)
    done = ended([*init, *words_of(script, under)], under, env)
    assert (done.status, done.stdout) == (1, "True\n")
    assert "PermissionError" in done.stderr


# --- without /proc/sys, and without /proc --------------------------------------------------------

# A program that dies, one that lives and one that comes by, none of which sees the boot id.
MEETING = """
    mount -t tmpfs none /proc/sys
    python=$1; shift
    export PYTHONPATH=$1
    "$python" dies.py
    "$python" lives.py < fifo &
    exec 3> fifo
    until grep -q lives.py "$AUTOTASK_HOME"/journal/*; do sleep 0.01; done
    %s
    grep -h finished "$AUTOTASK_HOME"/journal/* > ends
    exec 3>&-
    wait
"""


def test_without_a_boot_id_a_killed_run_is_closed_and_a_living_one_is_not(
    as_process_1: list[str], tmp_path: Path, home: Path
) -> None:
    write(tmp_path / "dies.py", "import os; os.kill(os.getpid(), 9)")
    write(tmp_path / "lives.py", "import sys; sys.stdin.read()")
    os.mkfifo(tmp_path / "fifo")
    line = write(tmp_path / "meeting.sh", MEETING % f"'{LAUNCHER}' true")
    done = run_program(*as_process_1, "sh", line, PYTHON, TEMPLATE, under="bare", cwd=tmp_path)
    assert done.status == 0, done.stderr
    assert '"lost"' in (tmp_path / "ends").read_text()
    found = {run["task"]: (run["status"], run.get("reason")) for run in runs(home)}
    assert found == {
        "dies.py": ("failure", "lost"),
        "lives.py": ("success", None),
        "true": ("success", None),
    }
    assert list((home / "open").iterdir()) == []


@pytest.mark.parametrize("place", ["seconds", "process 1", "host"])
def test_a_different_guess_of_the_boot_proves_nothing(place: str) -> None:
    boot = boot_id.guess()
    assert boot
    seconds, first = boot[1:].split(".")
    if place == "seconds":
        boot = f"?{int(seconds) + 1}.{first}"
    elif place == "process 1":
        boot = f"?{seconds}.{int(first) + 1}"
    host = "elsewhere" if place == "host" else os.uname().nodename
    _, namespace, start = procfs.identity().split("/")
    assert procfs.is_dead(f"{boot}/{namespace}/{start}", os.getpid(), host) is None
    assert procfs.is_dead(f"{boot_id.guess()}/{namespace}/1", os.getpid(), host) is (
        None if place == "host" else True
    )


def test_a_program_without_a_parent_says_why(
    as_process_1: list[str], tmp_path: Path, swallowed: Path
) -> None:
    script = write(tmp_path / "job.py", "import os; print(os.getppid())")
    line = 'mount -t tmpfs none /proc; "$@"; true'
    done = run_program(
        *as_process_1, *("sh", "-c", line, "sh", PYTHON, script), env={"AUTOTASK_SUPERVISE": "1"}
    )
    assert (done.status, done.stdout) == (0, "1\n")
    assert "is not supervised: /proc cannot be read" in swallowed.read_text()
