"""Lines of a crontab: started by cron through the script behind SHELL, and without it."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import like_cron
import pytest
from like_cron import JobEnd
from support import LAUNCHER, PYTHON, Record, only_run, run_program, runs, write

from autotask.tool.cron import door

pytestmark = pytest.mark.installed

SH = "/bin/sh"
BASH = shutil.which("bash", path=like_cron.CRONS_PATH)

# What a line is, what is behind its `%`.
LINES: dict[str, tuple[str | bytes, bytes]] = {
    "quotes": ("""echo 'a  b' "c  d" e\\ f '"' "'" "$HOME" '$HOME' \\"x\\" '*' * """, b""),
    "backticks": ("""echo `echo "a  b"` "`echo \\`echo "c  d"\\``" $(echo "$(echo e  f)")""", b""),
    "standard input": ("cat", b"one\ntwo % three\n"),
    "standard input without a newline": ("wc -c", b"one"),
    "standard input in two parts": ("read -r a; echo $a; exec cat", b"one\ntwo\nthree"),
    "standard input that nobody reads": ("echo done", b"x" * 100_000),
    "no standard input": ("cat; echo $?", b""),
    "a subshell": ("(cd /; pwd; exit 4); echo $?; pwd; { exit 5; }", b""),
    "background jobs": ("(sleep 0.1; echo late; exit 4) & echo now; wait $!; echo $?", b""),
    "a background job that is left": ("(sleep 0.2; echo late) & echo now", b""),
    "a signal to itself": ("echo a; kill -TERM $$; echo b", b""),
    "a signal that cannot be caught": ("echo a; kill -KILL $$; echo b", b""),
    "a hang-up": ("kill -HUP $$", b""),
    "an interrupt": ("kill -INT $$", b""),
    "a crash": ("ulimit -c 0; kill -SEGV $$", b""),
    "a broken pipe": ("yes | head -n 1; echo $?", b""),
    "a closed standard output": ("exec >&-; echo a; echo $? >&2; exit 3", b""),
    "closed streams": ("exec <&- >&- 2>&-; echo a; exit 3", b""),
    "all bytes": (
        "i=0; while [ $i -lt 256 ]; do printf \\\\$(printf %o $i); i=$((i+1)); done",
        b"",
    ),
    "zeros": ("head -c 100000 /dev/zero; printf '\\377\\0'", b""),
    "no last newline": ("printf a; printf b >&2", b""),
    "both streams": ("for i in 1 2 3; do echo $i; echo $i >&2; done 2>&1", b""),
    "exec": ("exec echo a", b""),
    "exec of nothing": ("exec /no/such/command", b""),
    "a here-document": ("cat <<END | tr a-z A-Z\nhome $HOME\n'a' \"b\" \\$c\nEND\necho $?", b""),
    "a trap": ("trap 'echo bye; exit 4' EXIT; echo hello; false", b""),
    "a trapped signal": ("trap 'echo term; exit 5' TERM; kill -TERM $$; echo on", b""),
    "an ignored signal": ("trap '' TERM; kill -TERM $$; sh -c 'kill -TERM $$; echo on'", b""),
    "set -e": ("set -e; echo a; false; echo b", b""),
    "set -eu": ("set -eu; echo a; echo $no_such_variable", b""),
    "set -x": ("set -x; a=1; echo $a", b""),
    "several lines": ("echo a\n\n  if true; then\n\techo b\nfi\n# echo c\nexit 6\n", b""),
    "bytes that are not UTF-8": (b"printf '%s' '\xff\xfe\xe9' \"\xc3\xa9\"; \xe9t\xe9", b""),
    "its own name and arguments": ('echo "$0" $# "$@" $-', b""),
    "SHELL": ('echo "$SHELL"; "$SHELL" -c "echo a"', b""),
    "a status": ("exit 3", b""),
    "a large status": ("exit 258", b""),
    "statuses of pipelines": ("false | true && echo a; true | exit 7", b""),
    "a syntax error": ("echo a; if", b""),
    "an open quote": ("echo 'a", b""),
    "a command that is not found": ("no-such-command a; echo $?; /etc/passwd; echo $?; /", b""),
    "an option": ("-e", b""),
    "blanks": ("   ", b""),
    "a comment": ("# nothing", b""),
    "a long line": ("echo " + "a" * 100_000 + " | wc -c", b""),
    "what a process inherits": (
        "umask; ulimit -a; nice; pwd; ls /proc/self/fd; grep -E '^Sig(Blk|Ign)' /proc/self/status",
        b"",
    ),
    "variables": ("version=3; echo $version $bin $site $python $self $link $state $IFS", b""),
}
IN_BASH = {
    "a test of bash": "[[ abc == a* ]] && echo yes; a=(1 2 '3  4'); echo \"${a[2]}\" ${#a[@]}",
    "substitutions of bash": "diff <(echo a) <(echo b); echo ${PIPESTATUS[@]} $'\\x41' {1..3}",
    "modes of bash": "shopt -o pipefail; shopt -o posix; echo $SHLVL $0 $-; false | true",
    "a function of bash": "function f { local a=$1; return $a; }; f 9",
}
VARIABLES = dict.fromkeys(
    "version bin site python self link state first folder reason".split(), "x"
)


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    return tmp_path / "et c" / "autotask"


@pytest.fixture
def users_home(tmp_path: Path) -> Path:
    place = tmp_path / "home of 'ann'"
    place.mkdir()
    return place


def runs_of(users_home: Path) -> list[Record]:
    """Read the runs that cron's jobs have recorded: their environment names no other place."""
    return runs(users_home / ".local" / "state" / "autotask")


@pytest.mark.parametrize("line", LINES)
def test_a_line_runs_as_without_autotask(line: str, etc: Path, users_home: Path) -> None:
    command, stdin = LINES[line]
    bare, ours = (
        like_cron.run(shell, command, users_home, stdin, VARIABLES)
        for shell in (SH, door.write(str(etc), SH))
    )
    assert ours == bare
    (run,) = runs_of(users_home)
    ended = (run["status"], run.get("exit_code"), run.get("signal"))
    if bare.status < 0:
        assert ended == ("failure", None, signal.Signals(-bare.status).name)
    else:
        assert ended == ("failure" if bare.status else "success", bare.status or None, None)


@pytest.mark.skipif(BASH is None, reason="needs a bash where cron looks for commands")
@pytest.mark.parametrize("line", [*IN_BASH, *LINES])
def test_a_line_runs_in_its_own_shell(line: str, etc: Path, users_home: Path) -> None:
    assert BASH is not None
    command, stdin = (IN_BASH[line], b"") if line in IN_BASH else LINES[line]
    script = door.write(str(etc), BASH)
    assert Path(script).name == f"shell{BASH.replace('/', '.')}"
    bare, ours = (
        like_cron.run(shell, command, users_home, stdin, VARIABLES) for shell in (BASH, script)
    )
    assert ours == bare
    assert len(runs_of(users_home)) == 1


def test_a_hundred_megabytes_pass(etc: Path, users_home: Path) -> None:
    line = "yes 'a line of a large output' | head -c 100000000; echo done >&2; exit 3"
    ends = []
    for shell in (SH, door.write(str(etc), SH)):
        with like_cron.start(shell, line, users_home) as job:
            assert job.stdout is not None
            digest, size = hashlib.sha256(), 0
            while block := job.stdout.read(1 << 20):
                digest.update(block)
                size += len(block)
            ends.append((digest.digest(), size, like_cron.end_of(job)))
    assert ends[0] == ends[1]
    assert ends[0][1:] == (100_000_000, JobEnd(3, b"", b"done\n"))


def killed(shell: str, line: str, users_home: Path, kill: Callable[[int, int], None]) -> JobEnd:
    """Run a job that says its process id, and let *kill* end it by its or cron's child's id."""
    with like_cron.start(shell, line, users_home) as job:
        assert job.stdout is not None
        said = job.stdout.readline()
        kill(int(said), job.pid)
        return like_cron.end_of(job)


KILLS: dict[str, Callable[[int, int], None]] = {
    "the job by SIGKILL": lambda inner, _: os.kill(inner, signal.SIGKILL),
    "the job by SIGTERM": lambda inner, _: os.kill(inner, signal.SIGTERM),
    "cron's child by SIGTERM": lambda _, outer: os.kill(outer, signal.SIGTERM),
    "cron's child by SIGHUP": lambda _, outer: os.kill(outer, signal.SIGHUP),
    "its group by SIGTERM": lambda _, outer: os.killpg(outer, signal.SIGTERM),
    "its group by SIGKILL": lambda _, outer: os.killpg(outer, signal.SIGKILL),
}


@pytest.mark.parametrize("kill", KILLS)
@pytest.mark.parametrize(
    "line",
    [
        "echo $$; exec 2>&-; while :; do sleep 0.01; done",
        # What is sent to its group reaches it a second time, from autotask-run.
        (
            "trap 'trap \"\" TERM; echo term; exit 5' TERM; echo $$; exec 2>&-;"
            " while :; do sleep 0.01; done"
        ),
    ],
    ids=["", "trap"],
)
def test_signals_from_outside_end_it_as_without_autotask(
    kill: str, line: str, etc: Path, users_home: Path
) -> None:
    bare, ours = (
        killed(shell, line, users_home, KILLS[kill]) for shell in (SH, door.write(str(etc), SH))
    )
    assert ours == bare


def test_a_job_gets_the_environment_of_its_crontab(etc: Path, users_home: Path) -> None:
    line = "exec env -0"
    more = {**VARIABLES, "MAILTO": "", "a": "b  c\nd", "_x": "é", "AUTOTASK_NAME": "x"}
    bare, ours = (
        set(like_cron.run(shell, line, users_home, more=more).stdout.split(b"\0"))
        for shell in (SH, door.write(str(etc), SH))
    )
    assert bare - ours == {b"AUTOTASK_NAME=x"}
    added = {entry.partition(b"=")[0] for entry in ours - bare}
    assert added == {b"PYTHONPATH", b"RUBYLIB", b"AUTOTASK_PARENT", b"AUTOTASK_PROCESS_RUN"}


NAMES = [
    ("cd /; env A=hunter2 nice ls hunter2 > /dev/null 2>&1 || :", {}, (), "ls"),
    ("AUTOTASK_NAME='nightly mail' ls / hunter2 || :", {}, (), "nightly mail"),
    ("AUTOTASK_NAME=nightly cd /; ls", {"AUTOTASK_NAME": "all"}, (), "nightly"),
    ("echo hunter2", {"AUTOTASK_NAME": "all"}, (), "all"),
    ("AUTOTASK_NAME=nightly true", {"AUTOTASK_NAME": "all"}, ("--name", "given"), "given"),
    ("AUTOTASK_NAME=$HOME exit", {}, (), "sh"),
    ("exit 0", {}, (), "sh"),
]


@pytest.mark.parametrize(("line", "env", "options", "name"), NAMES)
def test_a_line_is_named_by_itself(
    line: str, env: dict[str, str], options: tuple[str, ...], name: str, home: Path
) -> None:
    for words in (("--shell", line), (f"--shell={line}",)):
        ended = run_program(LAUNCHER, *options, *words, under="bare", env=env)
        assert ended.status == 0
    assert [run["task"] for run in runs(home)] == [name, name]
    assert "hunter2" not in "".join(path.read_text() for path in home.glob("journal/*"))


CLICK = "import click\n@click.command()\ndef mail(): print('sent')\nmail()\n"
RAKE = "task(:mail) { puts 'sent' }\n"


@pytest.mark.parametrize(
    ("name", "program", "command", "tasks"),
    [
        ("shop.py", CLICK, f"{PYTHON} shop.py", {("shop.py", "process"), ("shop", "click")}),
        ("Rakefile", RAKE, "rake mail", {("rake mail", "process"), ("mail", "rake")}),
    ],
    ids=["Python", "Ruby"],
)
def test_the_tasks_in_a_line_are_runs_below_it(
    name: str,
    program: str,
    command: str,
    tasks: set[tuple[str, str]],
    etc: Path,
    users_home: Path,
    tmp_path: Path,
) -> None:
    if shutil.which(command.split()[0], path=like_cron.CRONS_PATH) is None:
        pytest.skip("no rake where cron looks for commands")
    write(tmp_path / name, program)
    line = f"cd '{tmp_path}' && {command} 2>&1 | tee log"
    ended = like_cron.run(door.write(str(etc), SH), line, users_home)
    assert ended == (0, b"sent\n", b"")
    outer, inner = runs_of(users_home)
    assert {(run["task"], run["framework"]) for run in (outer, inner)} == tasks
    assert inner["parent"] == outer["run"]


def test_a_server_that_is_stopped_has_not_failed(tmp_path: Path, home: Path) -> None:
    script = "#!/bin/sh\ntrap 'exit 0' TERM\necho up\nkill -TERM $PPID\nsleep 9 & wait\n"
    write(tmp_path / "uvicorn", script).chmod(0o755)
    ended = run_program(LAUNCHER, "--shell", "cd . && exec ./uvicorn x", under="bare", cwd=tmp_path)
    assert ended.stdout == "up\n"
    assert (only_run(home)["task"], only_run(home)["status"]) == ("uvicorn", "success")


@pytest.mark.parametrize("shell", [None, ""], ids=["unset", "empty"])
def test_without_a_shell_it_is_sh(shell: str | None) -> None:
    ended = run_program(LAUNCHER, "--shell", 'echo "$0"', under="bare", env={"SHELL": shell})
    assert (ended.status, ended.stdout) == (0, "/bin/sh\n")


def test_a_shell_that_is_missing_is_told(home: Path) -> None:
    ended = run_program(LAUNCHER, "--shell", "true", under="bare", env={"SHELL": "/no/shell"})
    said = "/no/shell: No such file or directory"
    assert (ended.status, ended.stdout, ended.stderr) == (127, "", f"autotask-run: {said}\n")
    assert only_run(home)["error"]["message"] == said


def test_exec_becomes_the_shell(home: Path) -> None:
    words = ("--exec", "--shell", "echo $$")
    with subprocess.Popen([LAUNCHER, *words], stdout=subprocess.PIPE, text=True) as launcher:
        out, _ = launcher.communicate()
    assert int(out) == launcher.pid
    assert not home.exists()
