"""autotask-run and signals: terminals, job control, deaths and process 1 as without it."""

from __future__ import annotations

import contextlib
import os
import pty
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
    Datagrams,
    environment,
    only_run,
    run_program,
    runs,
    start_program,
    wait_until,
    write,
)
from terminal import TALKER, Terminal

FATAL = ["HUP", "INT", "QUIT", "ILL", "ABRT", "FPE", "KILL", "SEGV", "PIPE", "ALRM", "TERM"]
FATAL += ["USR1", "BUS", "SYS", "TRAP", "XCPU", "XFSZ", "VTALRM", "PROF", "RTMIN"]


def number(name: str) -> int:
    return int(signal.Signals[f"SIG{name}"])


@pytest.mark.parametrize("name", FATAL)
def test_it_dies_of_the_signal_that_killed_the_command(name: str, home: Path) -> None:
    done = run_program("sh", "-c", f"kill -{number(name)} $$", under="launcher")
    assert (done.status, done.stdout, done.stderr) == (-number(name), "", "")
    run = only_run(home)
    assert (run["status"], run["signal"]) == ("failure", f"SIG{name}")
    assert run["reason"] == ("interrupted" if name == "INT" else "signal")


def test_it_leaves_no_core_file(tmp_path: Path) -> None:
    line = f"ulimit -c unlimited 2>&-; exec '{LAUNCHER}' sh -c 'ulimit -c 0; kill -QUIT $$'"
    done = run_program("sh", "-c", line, under="bare", cwd=tmp_path)
    assert done.status == -signal.SIGQUIT
    assert list(tmp_path.glob("core*")) == []


# Prints one line for each signal that it gets, and ends at SIGUSR2.
LISTENER = """
    import os, signal, sys
    names = sys.argv[1:] + ["USR2"]
    numbers = [signal.Signals["SIG" + name] for name in names]
    for number in numbers:
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    os.write(1, b"ready\\n")
    while True:
        got = signal.sigwaitinfo(numbers)
        if got.si_signo == signal.SIGUSR2:
            sys.exit(7)
        os.write(1, signal.Signals(got.si_signo).name.encode() + b"\\n")
"""


@pytest.fixture
def listener(tmp_path: Path) -> Path:
    return write(tmp_path / "listener.py", LISTENER)


FORWARDED = ["HUP", "INT", "QUIT", "TERM", "USR1", "WINCH", "TSTP", "ALRM", "URG", "RTMIN", "PIPE"]


@pytest.mark.parametrize("name", FORWARDED)
def test_a_signal_sent_to_it_reaches_the_command_once(name: str, listener: Path) -> None:
    with start_program(
        listener, name, under="launcher", stdout=subprocess.PIPE, bufsize=0
    ) as launcher:
        assert launcher.stdout
        assert launcher.stdout.readline() == b"ready\n"
        launcher.send_signal(number(name))
        assert launcher.stdout.readline() == f"SIG{name}\n".encode()
        launcher.send_signal(signal.SIGUSR2)
        assert launcher.stdout.read() == b""
        assert launcher.wait() == 7


def test_signals_from_the_command_to_its_group_are_not_sent_back(tmp_path: Path) -> None:
    script = write(
        tmp_path / "group.py",
        """
        import os, signal
        seen = []
        signal.signal(signal.SIGTERM, lambda *_: seen.append("TERM"))
        signal.signal(signal.SIGUSR1, lambda *_: seen.append("USR1"))
        os.kill(0, signal.SIGTERM)
        os.kill(os.getppid(), signal.SIGTERM)
        # A signal sent by another process arrives after these.
        os.system("kill -USR1 %d" % os.getppid())
        while "USR1" not in seen:
            pass
        print(*seen)
        """,
    )
    done = subprocess.run(
        [str(LAUNCHER), PYTHON, str(script)],
        env=environment(),
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "TERM USR1\n")


def test_a_command_that_ignores_a_signal_goes_on(tmp_path: Path, home: Path) -> None:
    line = "trap '' TERM HUP; echo ready; read line; exit 3"
    with start_program(
        *("sh", "-c", line),
        under="launcher",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as launcher:
        assert launcher.stdout
        launcher.stdout.readline()
        launcher.send_signal(signal.SIGTERM)
        launcher.send_signal(signal.SIGHUP)
        launcher.communicate(b"\n")
        assert launcher.returncode == 3
    assert only_run(home)["exit_code"] == 3


# Which signals are ignored and which blocked, in the command: as its parent left them.
SHOWN = "import re; print(re.findall('Sig(?:Blk|Ign):.*', open('/proc/self/status').read()))"


@pytest.mark.parametrize("options", [[], ["--exec"]], ids=["beside", "exec"])
@pytest.mark.parametrize(
    ("ignored", "blocked"),
    [
        ((), ()),
        (("PIPE",), ()),
        (("XFSZ",), ()),
        (("HUP", "INT", "QUIT"), ()),
        (("TERM", "TSTP"), ("INT", "CHLD", "RTMIN")),  # a shell resets an ignored SIGCHLD
    ],
    ids=str,
)
def test_dispositions_and_mask_are_as_inherited(
    ignored: tuple[str, ...], blocked: tuple[str, ...], options: list[str]
) -> None:
    def prepare() -> None:
        for name in ("PIPE", "XFSZ"):
            signal.signal(number(name), signal.SIG_DFL)
        for name in ignored:
            signal.signal(number(name), signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, [number(name) for name in blocked])

    shown = ["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"]
    bare, ours = (
        subprocess.run(
            words,
            env=environment(),
            preexec_fn=prepare,
            restore_signals=False,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for words in (shown, [str(LAUNCHER), *options, *shown])
    )
    assert ours == bare


def test_an_alarm_that_was_set_before_reaches_the_command() -> None:
    words = ["perl", "-e", "alarm 1; exec @ARGV"]
    if shutil.which("perl") is None:
        pytest.skip("Perl is not installed")
    done = run_program(*words, LAUNCHER, "sleep", "60", under="bare")
    assert done.status == -signal.SIGALRM


class TestAsProcess1:
    def test_it_reaps_orphans(self, as_process_1: list[str]) -> None:
        line = (
            "for i in 1 2 3 4 5; do sh -c 'true & exec true'; done;"
            "(sh -c 'exec true' &) ; sleep 0.1;"
            "for f in /proc/[0-9]*/status; do grep -H '^State:.Z' $f; done; exit 3"
        )
        done = run_program(*as_process_1, LAUNCHER, "bash", "-c", line, under="bare")
        assert (done.status, done.stdout, done.stderr) == (3, "", "")

    def test_it_can_report_a_death_by_signal_as_a_status(
        self, as_process_1: list[str], home: Path
    ) -> None:
        done = run_program(*as_process_1, LAUNCHER, "sh", "-c", "kill -TERM $$", under="bare")
        assert done.status == 128 + signal.SIGTERM
        assert only_run(home)["signal"] == "SIGTERM"

    @pytest.mark.parametrize("sender", ["kill -TERM 1", "(sh -c 'kill -TERM 1'; :)"])
    def test_a_signal_to_process_1_reaches_the_command(
        self, sender: str, as_process_1: list[str]
    ) -> None:
        line = f"trap 'exit 9' TERM; {sender}; while :; do sleep 0.01; done"
        done = run_program(*as_process_1, LAUNCHER, "sh", "-c", line, under="bare")
        assert done.status == 9


PARENTS = {
    "autotask-run": f"'{LAUNCHER}'",
    "its own": f"AUTOTASK_SUPERVISE=1 PYTHONPATH='{TEMPLATE}'",
}


@pytest.fixture(params=list(PARENTS.values()), ids=list(PARENTS))
def talker(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Return a command that prints its signals, with each kind of parent."""
    return f"{request.param} '{PYTHON}' '{write(tmp_path / 'talker.py', TALKER)}'"


def test_ctrl_c_reaches_the_command_once(terminal: Terminal, talker: str, home: Path) -> None:
    terminal.type(f"{talker}; echo status $?\n")
    terminal.expect("pid ")
    terminal.expect("\r\n")
    terminal.type("\x03")
    terminal.expect("got SIGINT\r\n")
    terminal.type("one\n")
    assert "got" not in terminal.expect("read one\r\n")
    terminal.type("\x04")
    terminal.expect("status 0\r\n")
    assert only_run(home)["trigger"] == "terminal"


def test_ctrl_c_kills_a_command_that_does_not_handle_it(terminal: Terminal, home: Path) -> None:
    terminal.type(f"'{LAUNCHER}' sh -c 'echo rea''dy; exec sleep 60'\n")
    terminal.expect("ready\r\n")
    terminal.type("\x03")
    terminal.type("echo sta''tus $?\n")
    terminal.expect("status 130\r\n")
    run = only_run(home)
    assert (run["reason"], run["trigger"]) == ("interrupted", "terminal")


def test_ctrl_z_stops_it_and_fg_continues_it(terminal: Terminal, talker: str) -> None:
    terminal.type(f"{talker}\n")
    terminal.expect("pid ")
    terminal.expect("\r\n")
    terminal.type("\x1a")
    terminal.expect("Stopped")
    terminal.type("echo sta''tus $?; jobs\n")
    terminal.expect("status 148\r\n")  # 128 + SIGTSTP
    terminal.expect("Stopped")
    terminal.type("fg\n")
    terminal.expect("got SIGCONT\r\n")
    terminal.type("one\n")
    assert "got" not in terminal.expect("read one\r\n")
    terminal.type("\x04")
    terminal.type("echo sta''tus $?\n")
    terminal.expect("status 0\r\n")


def test_in_the_background_it_stops_when_it_reads(terminal: Terminal, talker: str) -> None:
    terminal.type(f"{talker} &\n")
    terminal.expect("pid ")
    terminal.type("while [ -z \"$(jobs -s)\" ]; do sleep 0.05; done; jobs; echo sto''pped\n")
    assert "Stopped" in terminal.expect("stopped\r\n")
    terminal.type("fg\n")
    terminal.expect("got SIGCONT\r\n")
    terminal.type("one\n")
    terminal.expect("read one\r\n")
    # Its handlers write to the terminal. They must not do so when that is gone.
    terminal.type("\x04")
    terminal.type("echo sta''tus $?\n")
    terminal.expect("status 0\r\n")


def test_a_command_that_stops_itself_returns_to_the_prompt(terminal: Terminal) -> None:
    terminal.type(f"'{LAUNCHER}' sh -c 'kill -STOP $$; echo on''ward; exit 5'\n")
    terminal.expect("Stopped")
    terminal.type("fg; echo sta''tus $?\n")
    terminal.expect("onward\r\n")
    terminal.expect("status 5\r\n")


def test_closing_the_terminal_hangs_up_its_leader(tmp_path: Path, home: Path) -> None:
    pid, file = pty.fork()
    if pid == 0:
        os.execv(str(LAUNCHER), [str(LAUNCHER), "sh", "-c", "echo ready; exec sleep 60"])
    assert os.read(file, 100) == b"ready\r\n"
    os.close(file)
    assert os.waitpid(pid, 0)[1] == signal.SIGHUP
    assert only_run(home)["signal"] == "SIGHUP"


@pytest.mark.parametrize("continued", ["command", "launcher"])
def test_without_a_terminal_it_does_not_stop_with_a_stopped_command(continued: str) -> None:
    with start_program(
        *("sh", "-c", "echo $$; kill -STOP $$; exit 5"),
        under="launcher",
        stdout=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    ) as launcher:
        assert launcher.stdout
        child = int(launcher.stdout.readline())
        try:
            wait_until(lambda: state(child) == "T" and has_noticed(launcher.pid))
            os.kill(child if continued == "command" else launcher.pid, signal.SIGCONT)
            assert launcher.wait(PATIENCE) == 5
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(launcher.pid, signal.SIGKILL)


def has_noticed(launcher: int) -> bool:
    """Tell whether a launcher has handled its child's stop, and sleeps again."""
    status = Path(f"/proc/{launcher}/status").read_text()
    pending = int(status.partition("ShdPnd:")[2].split()[0], 16)
    return not pending >> (signal.SIGCHLD - 1) & 1 and state(launcher) in "ST"


def launched_by(statement: str) -> list[str]:
    """Return the words of the launcher without its shell script, after a change to it."""
    code = (
        "import sys; sys.path.append(sys.argv.pop(1));"
        "from autotask.around import launch, supervise;"
        f"import _signal; {statement}; launch.main()"
    )
    return [PYTHON, "-I", "-S", "-c", code, str(TEMPLATE.parent), "px"]


def test_an_ignored_sigchld_hides_no_end_and_stays_ignored() -> None:
    words = launched_by("_signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)")
    assert run_program(*words, "sh", "-c", "exit 3", under="bare").status == 3
    done = run_program(*words, "grep", "SigIgn", "/proc/self/status", under="bare")
    assert int(done.stdout.split()[1], 16) >> (signal.SIGCHLD - 1) & 1


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_it_sends_heartbeats_while_the_command_runs(
    tmp_path: Path, datagrams: Datagrams, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the minute is shortened, by the process that starts it."""
    script = write(
        tmp_path / "job.py",
        """
        import click, sys
        @click.command()
        def job():
            sys.stdin.read()
        job()
        """,
    )
    with subprocess.Popen(
        [*launched_by("supervise.TICK = supervise.LOOK = 0.02"), PYTHON, str(script)],
        env=environment(),
        stdin=subprocess.PIPE,
    ) as launcher:
        for task in ("task:job.py,framework:process", "task:job,framework:click"):
            wait_until(
                lambda task=task: any(  # type: ignore[misc]
                    task in line for line in datagrams.lines("autotask.task.running_seconds")
                )
            )
        launcher.communicate()
    assert launcher.returncode == 0
    assert [run["status"] for run in runs(home)] == ["success", "success"]


# Where a launcher may work for long; the command; how it ends by SIGTERM meanwhile.
BUSY = {
    "it closes what others left": ("sweeping.sweep_some", "sleep 60", -signal.SIGTERM),
    "a minute is over": ("tail.Tail.close_long_lost", "sleep 60", -signal.SIGTERM),
    "the command has ended": ("tail.Tail.close_all", "exit 3", 3),
    "it delivers what the Agent missed": ("supervise.CommandRun._deliver", "exit 0", 0),
}


@pytest.mark.parametrize(("work", "command", "status"), BUSY.values(), ids=BUSY)
def test_a_signal_is_handled_while_it_works(
    work: str, command: str, status: int, tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    (home / "open").mkdir(mode=0o700, parents=True)
    (home / "open" / "1-0").touch()  # something to do
    busy = tmp_path / "busy"
    change = (
        "from autotask.around import sweeping, tail;"
        "supervise.LOOK = supervise.TICK = supervise._GRACE = 0.01;"
        f"{work} = lambda *_: (open({str(busy)!r}, 'w').close(), __import__('time').sleep(600))"
    )
    words = [*launched_by(change), "sh", "-c", command]
    with subprocess.Popen(words, env=environment()) as launcher:
        wait_until(busy.exists)  # it would work for ten minutes
        launcher.terminate()
        assert launcher.wait(PATIENCE) == status


def test_it_does_its_work_even_if_no_thread_can_be_started(home: Path) -> None:
    refused = "supervise.start_new_thread = lambda *_: (_ for _ in ()).throw(RuntimeError)"
    done = run_program(*launched_by(refused), "sh", "-c", "exit 3", under="bare")
    assert done.status == 3
    assert [(run["reason"], run["exit_code"]) for run in runs(home)] == [("exit", 3)]
