"""`--timeout`: a command that runs too long is stopped, with all that it has started."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from around.test_signals import launched_by, state
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
    wait_until,
    write,
)
from terminal import TALKER, Terminal

from autotask.around import units

# The limit is reached when the file that $READY names is there, and SIGKILL follows soon.
HASTE = """
import os, time
from autotask.around import time_limit
time_limit.GRACE = {grace}
time_limit.TimeLimit.due = property(
    lambda limit: limit.next if limit.is_over
    else 0.0 if os.path.exists({ready!r}) else time.monotonic() + 0.02,
    lambda limit, due: setattr(limit, "next", due),
)
"""


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file by which a command tells that it has started what it starts."""
    monkeypatch.setenv("READY", str(tmp_path / "ready"))
    return tmp_path / "ready"


@pytest.fixture
def tagged(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return a text that is in the environment of all that the test starts; none of it stays."""
    tag = uuid.uuid4().hex
    monkeypatch.setenv("TAGGED", tag)
    yield tag
    for pid in living(tag):
        os.kill(pid, signal.SIGKILL)


def living(tag: str) -> list[int]:
    """Return the processes whose environment has a text, without zombies."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and tag.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def hasty(ready: Path, grace: float = 0.3) -> list[str]:
    """Return the words of a launcher whose command is over its limit once it is ready."""
    statement = HASTE.format(ready=str(ready), grace=grace)
    return [*launched_by(f"exec({statement!r})"), "--timeout", "1h"]


# How the launcher is started: its words are "$@" of a shell.
PLACES = {
    "leading its group": ["sh", "-c", 'exec "$@"', "sh"],
    "in the group of others": ["sh", "-c", '"$@"; exit $?', "sh"],
    "as process 1": ["unshare", "--pid", "--fork", "--mount-proc"],
    "behind an init": ["dumb-init"],
}
BUSY = ': > "$READY"; while :; do sleep 0.1; done'
COMMANDS = {
    "sleeps": BUSY,
    "ignores SIGTERM": f"trap '' TERM; {BUSY}",
    "has children": f"sleep 600 & sleep 600 & {BUSY}",
    "leaves a child that ignores SIGTERM": f"(trap '' TERM; {BUSY}) & wait",
    "has lost a child that ignores SIGTERM": f"(trap '' TERM; sh -c '{BUSY}' &); sleep 600",
    "is stopped": ': > "$READY"; kill -STOP $$; exit 5',
    "is stopped and ignores SIGTERM": "trap '' TERM; : > \"$READY\"; kill -STOP $$; kill -STOP $$",
    "has children in groups of their own": f"set -m; sleep 600 & {BUSY}",
    "starts another one at SIGTERM": f"trap 'sleep 600 & sleep 600' TERM; {BUSY}",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("line", COMMANDS.values(), ids=COMMANDS)
def test_nothing_of_a_command_that_is_over_its_limit_stays(
    line: str, place: str, ready: Path, tagged: str, home: Path
) -> None:
    words = PLACES[place]
    if shutil.which(words[0]) is None or (words[0] == "unshare" and os.geteuid() != 0):
        pytest.skip(f"{words[0]} is not installed, or not allowed")
    done = subprocess.run(
        [*words, *hasty(ready), "bash", "-c", line],
        env=environment(),
        start_new_session=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 124
    assert living(tagged) == []
    run = only_run(home)
    assert (run["status"], run["reason"], run["error"]["type"]) == (
        *("failure", "timeout"),
        "TimeLimitExceeded",
    )
    assert not {"exit_code", "signal"} & run.keys()
    message = run["error"]["message"]
    assert message.startswith("still running after 1h")
    assert line not in (COMMANDS["ignores SIGTERM"],) or message.endswith(
        ", and 0.3s after SIGTERM"
    )


# What ends at SIGTERM: it is not waited until SIGKILL.
AT_ONCE = {
    "is stopped": ': > "$READY"; kill -STOP $$; exit 5',
    "starts another one at SIGTERM, and ends": f"trap 'sleep 600 & exit 0' TERM; {BUSY}",
    "leaves a child": f"sleep 600 & {BUSY}",
}


@pytest.mark.parametrize("line", AT_ONCE.values(), ids=AT_ONCE)
def test_a_command_that_ends_at_sigterm_is_not_killed(
    line: str, ready: Path, tagged: str, home: Path
) -> None:
    words = hasty(ready, grace=2 * PATIENCE)
    assert run_program(*words, "bash", "-c", line, under="bare").status == 124
    assert living(tagged) == []
    assert only_run(home)["error"]["message"] == "still running after 1h"


def test_other_processes_of_its_group_and_daemons_stay(ready: Path, tagged: str) -> None:
    line = f"(setsid sleep 600 >&2 &); {BUSY}"
    script = 'sleep 601 & "$@"; echo $?; kill $!; wait $!; echo $?'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *hasty(ready), "bash", "-c", line],
        env=environment(),
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.stdout == f"124\n{128 + signal.SIGTERM}\n"
    (daemon,) = living(tagged)
    assert Path(f"/proc/{daemon}/cmdline").read_text() == "sleep\x00600\x00"


# A program in Python with a parent of its own; it becomes a daemon within its group.
DAEMON = """
    import os, signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        if os.fork() == 0:
            while os.getppid() != 1 and not os.path.exists("/proc/1"):
                time.sleep(0.01)
            open(os.environ["READY"], "w").close()
            time.sleep(600)
        os._exit(0)
    os.wait()
    time.sleep(600)
"""


def test_a_python_program_with_a_parent_of_its_own_is_stopped_with_its_children(
    ready: Path, tagged: str, tmp_path: Path, home: Path
) -> None:
    haste = HASTE.format(ready=str(ready), grace=0.1)
    script = write(tmp_path / "daemon.py", DAEMON)
    # Before sitecustomize, which looks for its settings; the program is not changed by it.
    code = (
        f"import sys, runpy; sys.path.insert(0, {str(TEMPLATE.parent)!r}); exec({haste!r});"
        f"sys.argv = [{str(script)!r}]; from autotask.around import supervise;"
        f"supervise.start(); runpy.run_path({str(script)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [PYTHON, "-I", "-S", "-c", code],
        env={**environment(), "AUTOTASK_SUPERVISE": "1", "AUTOTASK_PROCESS": "1",
             "AUTOTASK_TIMEOUT": "1h"},
        start_new_session=True,
        check=False,
        timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 124
    assert living(tagged) == []
    assert only_run(home)["reason"] == "timeout"


def test_a_python_program_with_a_parent_has_the_limit_of_its_variable(
    tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "nap.py", "import time; time.sleep(600)")
    done = run_program(script, env={"AUTOTASK_SUPERVISE": "1", "AUTOTASK_TIMEOUT": "0.01s"})
    assert (done.status, only_run(home)["reason"]) == (124, "timeout")


TASKS = """
    import os, signal, time
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
READY = "open(os.environ['READY'], 'w').close()"


def test_the_runs_that_are_open_in_it_end_because_of_the_limit(
    ready: Path, tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    body = f"""
        if os.fork() == 0:
            inner_of_child = click.command("below")(lambda: ({READY}, time.sleep(600)))
            inner_of_child.main([])
        time.sleep(600)"""
    script = write(tmp_path / "shop.py", TASKS.replace("{body}", body))
    done = run_program(*hasty(ready), PYTHON, script, "outer", under="bare")
    assert (done.status, done.stdout, done.stderr) == (124, "", "")
    ended = runs(home)
    assert [(run["task"], run["status"], run["reason"]) for run in ended] == [
        ("shop.py", "failure", "nested"),
        ("shop.outer", "failure", "nested"),
        ("shop.inner", "failure", "timeout"),
        ("shop", "failure", "timeout"),
    ]
    assert {run["error"]["message"] for run in ended} == {"still running after 1h"}
    assert [run.get("caused_by") for run in ended] == [ended[2]["run"]] * 2 + [None] * 2
    assert os.listdir(home / "open") == []
    lines = datagrams.lines("autotask.task.runs", wait=5)
    assert len(lines) == 4
    assert sum("status:failure,reason:timeout" in line for line in lines) == 2
    (check,) = (one for one in datagrams.lines("_sc") if "task:shop.inner" in one)
    assert check.endswith("m:timeout TimeLimitExceeded: still running after 1h")


def test_what_ends_inside_of_it_before_that_ends_as_it_does(
    ready: Path, tmp_path: Path, home: Path
) -> None:
    body = f"""
        signal.signal(signal.SIGTERM, lambda *_: os._exit(3))
        try:
            signal.signal(signal.SIGTERM, lambda *_: click.get_current_context().exit(0))
            {READY}
            time.sleep(600)
        finally:
            print("tidied up", flush=True)"""
    script = write(tmp_path / "shop.py", TASKS.replace("{body}", body))
    done = run_program(*hasty(ready), PYTHON, script, "outer", under="bare")
    assert (done.status, done.stdout) == (124, "tidied up\n")
    process, outer, inner = runs(home)
    assert process["reason"] == "timeout"
    assert (outer["status"], inner["status"]) == ("success", "success")


def test_a_server_that_is_stopped_by_its_limit_has_failed(
    ready: Path, tmp_path: Path, home: Path
) -> None:
    server = write(tmp_path / "uvicorn", f"#!/bin/sh\n{BUSY}\n")
    server.chmod(0o755)
    assert run_program(*hasty(ready), server, under="bare").status == 124
    assert only_run(home)["reason"] == "timeout"


@pytest.mark.parametrize("line", ["exit 0", "exit 3", "kill -9 $$", "exec no-such-command"])
def test_a_command_that_ends_in_time_ends_as_it_would(line: str, home: Path) -> None:
    words = ("sh", "-c", line)
    bare = run_program(*words, under="launcher")
    assert run_program(*words, under="launcher", options=("--timeout", "1h")) == bare
    before, with_limit = ({**run, **VARYING} for run in runs(home))
    assert with_limit == before


VARYING = dict.fromkeys(
    "run root started_at finished_at duration cpu max_rss pid process".split(), None
)


def test_a_command_that_ends_just_at_the_limit_ends_in_one_way(home: Path) -> None:
    statuses = [
        run_program("sleep", "0.1", under="launcher", options=("--timeout", "0.1s")).status
        for _ in range(10)
    ]
    expected = {0: ("success", None), 124: ("failure", "timeout")}
    told = [(run["status"], run.get("reason")) for run in runs(home)]
    assert told == [expected[status] for status in statuses]


def test_a_command_that_has_ended_when_the_limit_comes_is_not_over_it(
    ready: Path, home: Path
) -> None:
    """The launcher, which is stopped meanwhile, hears of both at once."""
    line = 'kill -STOP $PPID; echo $$ > "$READY"; exit 5'
    with subprocess.Popen([*hasty(ready), "sh", "-c", line], env=environment()) as launcher:
        wait_until(lambda: ready.exists() and ready.read_text().endswith("\n"))
        wait_until(lambda: state(int(ready.read_text())) == "Z")
        launcher.send_signal(signal.SIGCONT)
        assert launcher.wait(PATIENCE) == 5
    assert only_run(home)["reason"] == "exit"


TEXTS = [(0.5, "0.5s"), (45, "45s"), (1800, "30m"), (5400, "1h30m"), (90061, "1d1h1m1s"), (0, "0s")]


@pytest.mark.parametrize(("seconds", "text"), [*TEXTS, (14 * 86400, "2w")])
def test_a_duration_is_written_as_it_is_given(seconds: float, text: str) -> None:
    assert units.format_duration(seconds) == text


class TestInATerminal:
    def test_the_prompt_comes_back_with_its_status(self, terminal: Terminal, tagged: str) -> None:
        line = "(sleep 600 &); sleep 600"
        terminal.type(f"'{LAUNCHER}' --timeout 0.5s sh -c 'sleep 600' | cat; "
                      "echo sta''tus ${PIPESTATUS[*]}\n")  # fmt: skip
        terminal.expect("status 124 0\r\n")
        terminal.type(f"'{LAUNCHER}' --timeout 0.5s bash -c '{line}'; echo sta''tus $?\n")
        terminal.expect("status 124\r\n")

    def test_its_keys_work_as_ever(self, terminal: Terminal, tmp_path: Path, home: Path) -> None:
        talker = write(tmp_path / "talker.py", TALKER)
        terminal.type(f"'{LAUNCHER}' --timeout 1h '{PYTHON}' '{talker}'\n")
        terminal.expect("pid ")
        terminal.expect("\r\n")
        terminal.type("\x03")
        terminal.expect("got SIGINT\r\n")
        terminal.type("\x1a")
        terminal.expect("Stopped")
        terminal.type("fg\n")
        terminal.expect("got SIGCONT\r\n")
        terminal.type("one\n")
        assert "got" not in terminal.expect("read one\r\n")
        terminal.type("\x04")
        terminal.type("echo sta''tus $?\n")
        terminal.expect("status 0\r\n")
        assert only_run(home)["status"] == "success"

    def test_a_job_that_is_stopped_at_its_limit_ends_when_it_goes_on(
        self, terminal: Terminal, ready: Path, tmp_path: Path, home: Path
    ) -> None:
        talker = write(tmp_path / "talker.py", TALKER)
        words = shlex.join([*hasty(ready), PYTHON, str(talker)])
        job = write(tmp_path / "job", "")
        job.write_text(f"exec {words}\n")
        terminal.type(f"sh '{job}'\n")
        terminal.expect("pid ")
        terminal.expect("\r\n")
        terminal.type("\x1a")
        terminal.expect("Stopped")
        terminal.type(f": > '{ready}'; fg; echo sta''tus $?\n")
        terminal.expect("status 124\r\n")
        assert only_run(home)["reason"] == "timeout"


@pytest.mark.parametrize(
    "line",
    [': > "$READY"; read line; exit 3', '(: > "$READY"; exec sleep 600) & read line; exit 3'],
    ids=["the command", "what it leaves"],
)
def test_what_cannot_be_killed_is_not_waited_for(
    line: str, ready: Path, tagged: str, home: Path
) -> None:
    """As processes of another user, to whom no signal may be sent."""
    statement = HASTE.format(ready=str(ready), grace=0.05)
    tried = ready.with_name("tried")
    statement += f"time_limit._kill = lambda *_: open({str(tried)!r}, 'w').close()\n"
    statement += "time_limit._PATIENCE = 0.05\n"
    words = [*launched_by(f"exec({statement!r})"), "--timeout", "1h", "bash", "-c", line]
    with subprocess.Popen(words, env=environment(), stdin=subprocess.PIPE) as launcher:
        wait_until(tried.exists)
        assert launcher.stdin
        launcher.stdin.close()
        assert launcher.wait(PATIENCE) == 124
    assert only_run(home)["reason"] == "timeout"


def test_without_proc_the_command_itself_is_stopped(
    ready: Path, tagged: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = "time_limit._processes = lambda: {}\n"
    statement = HASTE.format(ready=str(ready), grace=0.1) + hidden
    words = [*launched_by(f"exec({statement!r})"), "--timeout", "1h"]
    done = run_program(*words, "bash", "-c", f"trap '' TERM; {BUSY}", under="bare")
    assert done.status == 124
