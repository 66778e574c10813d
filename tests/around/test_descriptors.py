"""A command's parent holds nothing of the command's: files, locks, pipes, sockets, the folder."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import (
    LAUNCHER,
    Under,
    command_line,
    environment,
    only_run,
    run_program,
    start_program,
    wait_until,
    write,
)

Start = Callable[..., "subprocess.Popen[bytes]"]
WAYS: dict[str, tuple[Under, dict[str, str]]] = {
    "autotask-run": ("launcher", {}),
    "AUTOTASK_SUPERVISE": ("path", {"AUTOTASK_SUPERVISE": "1"}),
}


@pytest.fixture(params=list(WAYS.values()), ids=list(WAYS))
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Start a script with a parent; what still runs at the end of the test is killed."""
    under, more = request.param
    started: list[subprocess.Popen[bytes]] = []

    def run(source: str, *words: str, **popen: Any) -> subprocess.Popen[bytes]:
        script = write(tmp_path / "job.py", source)
        env = {**more, **popen.pop("env", {})}
        started.append(start_program(script, *words, under=under, env=env, **popen))
        return started[-1]

    yield run
    for program in started:
        for stream in (program.stdin, program.stdout):
            if stream:
                stream.close()
        program.terminate()  # passed on
        program.wait()


def test_a_reader_sees_the_end_when_the_program_closes_its_output(start: Start) -> None:
    source = "import os, time; os.write(1, b'ready'); os.close(1); time.sleep(60)"
    program = start(source, stdout=subprocess.PIPE, bufsize=0)
    assert program.stdout
    assert program.stdout.read(5) == b"ready"
    assert select.select([program.stdout], [], [], 20)[0]
    assert program.stdout.read(1) == b""
    assert program.poll() is None


def test_a_writer_is_refused_when_the_program_closes_its_input(start: Start) -> None:
    source = "import os, time; os.close(0); time.sleep(60)"
    program = start(source, stdin=subprocess.PIPE, bufsize=0)

    def is_refused() -> bool:
        assert program.stdin
        try:
            program.stdin.write(b"x")
        except BrokenPipeError:
            return True
        return False

    wait_until(is_refused)
    assert program.poll() is None


CLOSE = "import os, sys, time; os.close(int(sys.argv[1])); time.sleep(60)"


def test_a_lock_is_free_when_the_program_closes_its_file(start: Start, tmp_path: Path) -> None:
    with open(tmp_path / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        program = start(CLOSE, str(lock.fileno()), pass_fds=[lock.fileno()])

    def is_free() -> bool:
        with open(tmp_path / "lock") as other:
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    wait_until(is_free)
    assert program.poll() is None


def test_a_port_is_free_when_the_program_closes_its_socket(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        program = start(CLOSE, str(server.fileno()), pass_fds=[server.fileno()])

    def is_refused() -> bool:
        try:
            socket.create_connection(address).close()
        except ConnectionRefusedError:
            return True
        return False

    wait_until(is_refused)
    assert program.poll() is None


def test_a_terminal_hangs_up_when_the_program_lets_go(start: Start) -> None:
    ours, theirs = os.openpty()
    source = "import os, time; os.closerange(0, 3); time.sleep(60)"
    program = start(source, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    poll = select.poll()
    poll.register(ours, select.POLLHUP)
    assert poll.poll(20_000)
    assert program.poll() is None
    os.close(ours)


WAIT = "import time; time.sleep(60)"


def held(pid: int) -> set[str]:
    """Return what a process has open, without numbers of inodes, and its folder."""
    place = Path(f"/proc/{pid}")
    files = (os.readlink(file).partition("[")[0] for file in (place / "fd").iterdir())
    return {*files, os.readlink(place / "cwd")}


def test_no_other_descriptor_is_held(start: Start, tmp_path: Path, home: Path) -> None:
    """The pipe is our own: the program has the other end until it begins. So is the mark."""
    with open(tmp_path / "file", "w") as file:
        program = start(
            WAIT,
            env={"AUTOTASK_DEBUG": None, "AUTOTASK_DOGSTATSD": "0"},
            cwd=tmp_path,
            stdin=file,
            stdout=file,
            pass_fds=[file.fileno()],
        )
        wait_until(lambda: any((home / "open").glob("launcher-*")))
        (mark,) = (home / "open").glob("launcher-*")
        wait_until(lambda: held(program.pid) == {"/dev/null", "pipe:", "/", str(mark)})
    assert {os.readlink(f"/proc/{program.pid}/fd/{n}") for n in range(3)} == {"/dev/null"}


@pytest.mark.parametrize("log", ["1", "debug.log"])
def test_a_debug_log_is_written_to_its_end(log: str, start: Start, tmp_path: Path) -> None:
    """It needs standard error, or the folder that a relative path begins at."""
    with open(tmp_path / "stderr", "wb") as stderr:
        env = {"AUTOTASK_DEBUG": log, "AUTOTASK_HOME": "/proc/no"}  # which is reported at the end
        program = start("", env=env, cwd=tmp_path, stderr=stderr)
        assert program.wait() == 0
    text = (tmp_path / ("stderr" if log == "1" else log)).read_text()
    assert text.count("the journal does not take a line") > 1


def test_record_locks_are_held_on_behalf_of_the_command(tmp_path: Path, home: Path) -> None:
    """They belong to one process: a command exec'd by the locker has them, its child would not."""
    source = f"""
        import fcntl, os, sys
        file = open("lock", "w")
        fcntl.lockf(file, fcntl.LOCK_EX)
        os.set_inheritable(file.fileno(), True)
        other = os.open("lock", os.O_RDONLY)  # closing this one would drop the lock, too
        os.set_inheritable(other, True)
        os.execv({str(LAUNCHER)!r}, ["autotask-run", "sh", "-c", "echo ready; cat"])
    """
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
    script = write(tmp_path / "locker.py", source)
    env = {"AUTOTASK_DEBUG": None}
    with start_program(script, under="bare", env=env, cwd=tmp_path, **pipes) as program:
        assert program.stdout
        assert program.stdout.readline() == b"ready\n"
        wait_until(lambda: os.readlink(f"/proc/{program.pid}/cwd") == "/")
        with open(tmp_path / "lock", "w") as file, pytest.raises(BlockingIOError):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        program.communicate(b"")
    assert only_run(home)["status"] == "success"


TELL = "import os; print(os.getpid(), *[os.environ.get(n, '-') for n in {names}])"
NAMES = ("LISTEN_PID", "WATCHDOG_PID", "SYSTEMD_EXEC_PID", "LISTEN_FDS", "LISTEN_PIDFDID")


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("to_another", [False, True], ids=["to it", "to another"])
def test_what_a_service_manager_says_to_the_command_reaches_it(
    to_another: bool, way: tuple[Under, dict[str, str]], tmp_path: Path
) -> None:
    """As in sd_listen_fds(3): the process that the manager has started is named by its id."""
    under, more = way
    script = write(tmp_path / "job.py", TELL.format(names=NAMES))
    source = f"""
        import os
        own = str(1 if {to_another} else os.getpid())
        given = dict.fromkeys({NAMES[:3]}, own)
        os.environ.update(given, LISTEN_FDS="1", LISTEN_PIDFDID="4711")
        os.environ.update({environment(under, more)})
        words = {command_line(script, under=under)}
        os.execv(words[0], words)
    """
    done = run_program(write(tmp_path / "manager.py", source), under="bare")
    pid, *told = done.stdout.split()
    assert told == (["1"] * 4 + ["4711"] if to_another else [pid] * 3 + ["1", "-"])


def test_a_message_that_nobody_reads_changes_no_status(home: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with start_program("no-such-command", under="launcher", stderr=writing) as program:
        os.close(writing)
    assert (program.returncode, only_run(home)["exit_code"]) == (127, 127)


def test_an_agents_relative_socket_is_found_wherever_the_parent_is(
    start: Start, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as agent:
        agent.bind(str(tmp_path / "dsd"))
        env = {"DD_DOGSTATSD_URL": "unix://dsd", "AUTOTASK_DEBUG": None}
        assert start("", env=env, cwd=tmp_path).wait() == 0
        agent.settimeout(20)
        received = b""
        while b"autotask.task.runs" not in received:
            received = agent.recv(1 << 16)
