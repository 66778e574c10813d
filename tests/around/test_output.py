"""--keep-output and --quiet: what a command writes arrives as without them, and its end is kept."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import (
    LAUNCHER,
    PATIENCE,
    PYTHON,
    TEMPLATE,
    Datagrams,
    command_line,
    environment,
    only_run,
    run_program,
    runs,
    small_disk,
    start_program,
    wait_until,
    write,
)
from terminal import Terminal
from tool.journals import answer, in_terminal, obey_modes, records

KEEP = ("--keep-output", "8k")
QUIET = ("--quiet",)
Popen = subprocess.Popen[bytes]


def output() -> str | None:
    """Return what is kept of the one run."""
    (record,) = records("--all") if "--all" in answer("runs", "--help") else records()
    kept = record["output"]
    assert kept is None or isinstance(kept, str)
    return kept


# --- as bare -------------------------------------------------------------------------------------

BULK = """
    import os, random, sys
    block = random.Random(1).randbytes(1 << 20)
    for _ in range(int(sys.argv[1])):
        done = 0
        while done < len(block):
            done += os.write(1, block[done:])
    os.write(1, b"no last newline")
    sys.exit(3)
"""
WRITERS = {
    "nothing": "exit 3",
    "two streams": "echo one; echo two >&2; echo three; exit 3",
    "partial lines": "printf one; printf two >&2; printf three; exit 3",
    "bytes": r"printf '\000\377\r\n\033[31m\n\n'; exit 3",
    "killed": "echo one; echo two >&2; kill -KILL $$",
    "success": "echo one; echo two >&2",
    "closed": "echo one; exec >&- 2>&-; exit 3",
    "missing": "exec /nowhere/at-all",
    "many lines": "seq 100000; seq 100000 >&2; exit 3",
}


def ended(options: tuple[str, ...], line: str, **popen: Any) -> tuple[int, bytes, bytes]:
    """Return how a line for a shell ends, and what it writes; without options bare."""
    words = command_line("sh", "-c", line, under="launcher" if options else "bare", options=options)
    done = subprocess.run(
        words, env=environment(), stdin=subprocess.DEVNULL, check=False, timeout=PATIENCE, **popen
    )
    return done.returncode, done.stdout or b"", done.stderr or b""


@pytest.mark.parametrize("options", [KEEP, QUIET, (*KEEP, *QUIET)], ids="-".join)
@pytest.mark.parametrize("line", WRITERS.values(), ids=list(WRITERS))
@pytest.mark.parametrize("err", [subprocess.PIPE, subprocess.STDOUT], ids=["apart", "together"])
def test_what_a_failure_writes_arrives_as_it_is(
    options: tuple[str, ...], line: str, err: int
) -> None:
    bare = ended((), line, stdout=subprocess.PIPE, stderr=err)
    ours = ended(options, line, stdout=subprocess.PIPE, stderr=err)
    if "--quiet" in options and bare[0] == 0:
        bare = (0, b"", b"")
    assert ours == bare


def digest(file: Any, pause: Callable[[], object] | None = None) -> tuple[int, str]:
    """Read all; return how many bytes that were, and their digest."""
    size, found = 0, hashlib.blake2b()
    while data := os.read(file.fileno(), 1 << 16):
        size += len(data)
        found.update(data)
        if pause:
            pause()
    return size, found.hexdigest()


@pytest.mark.parametrize("options", [KEEP, QUIET], ids="-".join)
def test_a_hundred_megabytes_arrive_as_they_are(options: tuple[str, ...], tmp_path: Path) -> None:
    script = write(tmp_path / "bulk.py", BULK)
    found = []
    for under in ("bare", "launcher"):
        words = command_line(script, "100", under=under, options=options)
        with Popen(words, env=environment(), stdout=subprocess.PIPE) as program:
            found.append((digest(program.stdout), program.wait()))
    assert found[0] == found[1]
    assert found[0][0][0] == 100 * (1 << 20) + 15


@contextlib.contextmanager
def another_users() -> Iterator[tuple[int, int]]:
    """Make a pipe that cannot be opened anew, as cron's for a user."""
    reading, writing = os.pipe()
    os.fchmod(writing, 0)
    try:
        yield reading, writing
    finally:
        os.close(reading)
        with contextlib.suppress(OSError):
            os.close(writing)


@pytest.mark.parametrize("blocks", [True, False], ids=["blocking", "non-blocking"])
@pytest.mark.parametrize("opens", [True, False], ids=["own", "another user's"])
def test_a_slow_reader_gets_everything(opens: bool, blocks: bool, tmp_path: Path) -> None:
    """The other stream does not wait for it."""
    script = write(
        tmp_path / "slow.py",
        """
        import os, select, sys
        os.write(2, b"first\\n")
        data = b"".join(b"line %d\\n" % number for number in range(60000))
        while data:
            select.select([], [1], [])
            try:
                data = data[os.write(1, data[:4096]):]
            except BlockingIOError:
                pass
            if len(data) < 300000 and data[-1:] == b"\\n":
                data = data[:-1]
                os.write(2, b"second\\n")
        sys.exit(3)
        """,
    )
    with another_users() as (reading, writing):
        os.set_blocking(writing, blocks)
        words = command_line(script, under="launcher", options=KEEP)
        program = Popen(
            words,
            env=environment(),
            stdout=writing,
            stderr=subprocess.PIPE,
            preexec_fn=None if opens else obey_modes,
        )
        os.close(writing)
        assert program.stderr
        assert program.stderr.readline() == b"first\n"
        size = 0
        with os.fdopen(os.dup(reading), "rb", buffering=0) as source:
            while size < 350000:
                size += len(source.read(1000) or b"")
            assert program.stderr.readline() == b"second\n"  # nothing was read meanwhile
            time.sleep(0.1)
            rest = source.read()
        assert size + len(rest or b"") == len("".join(f"line {n}\n" for n in range(60000))) - 1
        assert program.wait(PATIENCE) == 3
        program.stderr.close()
    assert (output() or "").endswith("\nline 59999\nfirst\nsecond\n")


@pytest.mark.parametrize("options", [(), KEEP], ids=["bare", "kept"])
def test_a_writer_whose_reader_leaves_is_killed(options: tuple[str, ...]) -> None:
    words = command_line("yes", under="launcher" if options else "bare", options=options)
    with Popen(words, env=environment(), stdout=subprocess.PIPE) as program:
        assert program.stdout
        program.stdout.read(10)
        program.stdout.close()
        assert program.wait(PATIENCE) == -signal.SIGPIPE


def test_an_idle_writer_hears_at_once_that_its_reader_has_left(tmp_path: Path) -> None:
    script = write(
        tmp_path / "idle.py",
        """
        import select, os
        os.write(1, b"ready\\n")
        poller = select.poll()
        poller.register(1, 0)
        poller.poll()
        os.write(2, b"left\\n")
        """,
    )
    with start_program(
        script, under="launcher", options=KEEP, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        assert program.stdout
        assert program.stderr
        assert program.stdout.readline() == b"ready\n"
        program.stdout.close()
        assert program.stderr.read() == b"left\n"


def test_the_first_write_to_a_pipe_without_a_reader_kills() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = command_line("sh", "-c", "echo one; echo two", under="launcher", options=KEEP)
    assert subprocess.call(words, env=environment(), stdout=writing) == -signal.SIGPIPE
    os.close(writing)


REDIRECTED = (">&-", "2>&-", ">&- 2>&-", "1<&0", ">/dev/full 2>&1")
ODD: list[tuple[str, tuple[str, ...]]] = [
    *((redirected, KEEP) for redirected in REDIRECTED),
    *((redirected, QUIET) for redirected in (">&-", ">&- 2>&-", "1<&0")),
]


@pytest.mark.parametrize(("redirected", "options"), ODD)
def test_odd_streams_are_left_alone(redirected: str, options: tuple[str, ...]) -> None:
    """What cannot be written to fails as without us."""
    line = "ls /proc/self/fd; echo one; echo $? >&2; echo two >&2; exit 3"
    found = []
    for words in ([], [str(LAUNCHER), *options]):
        whole = " ".join([*(f"'{word}'" for word in words), f"sh -c '{line}' {redirected}"])
        done = run_program("sh", "-c", f"{whole}; echo ended $?", under="bare")
        found.append((done.stdout, done.stderr))
    assert found[0] == found[1]


def test_a_full_disk_is_the_programs_own_trouble(tmp_path: Path) -> None:
    line = "head -c 1000000 /dev/zero; echo $? >&2; exit 3"
    with small_disk(tmp_path / "disk", "size=64k") as disk:
        found = []
        for options in ((), KEEP):
            with open(disk / "log", "wb") as log:
                done = ended(options, line, stdout=log, stderr=subprocess.PIPE)
            found.append((done, (disk / "log").stat().st_size))
    assert found[0] == found[1]
    assert b"No space left" in found[0][0][2]


@pytest.mark.parametrize("mode", ["wb", "ab"])
@pytest.mark.parametrize("options", [KEEP, QUIET, (*KEEP, *QUIET)], ids="-".join)
def test_two_streams_to_one_file_keep_their_order(
    mode: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    line = "for i in 1 2 3 4 5 6 7 8; do echo out $i; echo err $i >&2; done; exit 3"
    found = []
    for words in ((), options):
        log = tmp_path / f"log{len(words)}"
        log.write_text("earlier\n")
        with open(log, mode) as file:
            assert ended(words, line, stdout=file, stderr=subprocess.STDOUT)[0] == 3
        found.append(log.read_text())
    assert found[0] == found[1]
    if "--keep-output" in options:
        assert output() == found[0].replace("earlier\n", "")


def test_the_end_of_a_flood_is_kept() -> None:
    words = command_line("sh", "-c", "seq 4000000; exit 3", under="launcher", options=KEEP)
    with Popen(words, env=environment(), stdout=subprocess.PIPE) as program:
        size, _ = digest(program.stdout)
    assert size == sum(len(str(n)) + 1 for n in range(1, 4000001))
    assert output() == "".join(f"{n}\n" for n in range(3998977, 4000001))


def test_a_file_is_read_back_as_far_as_its_end_is_kept(tmp_path: Path) -> None:
    with open(tmp_path / "log", "wb") as log:
        ended(KEEP, "seq 100000; exit 3", stdout=log, stderr=subprocess.STDOUT)
    kept = output() or ""
    assert kept.endswith("\n99999\n100000\n")
    assert 8000 < len(kept) <= 8192


def test_a_renamed_file_is_not_read_back(tmp_path: Path) -> None:
    """Another one may have its name by now."""
    with open(tmp_path / "log", "wb") as log:
        line = f"cd '{tmp_path}'; echo one; mv log log.1; echo other > log; exit 3"
        ended(KEEP, line, stdout=log, stderr=subprocess.STDOUT)
    assert output() is None


def test_of_a_file_that_is_written_from_its_middle_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("password and more of others\n")
    with open(tmp_path / "log", "r+b") as log:
        ended(KEEP, "echo mine; exit 3", stdout=log)
    assert output() is None


def test_a_terminal_stays_one() -> None:
    shown = "test -t 1 && test -t 2 && echo a terminal; exit 3"
    assert in_terminal(str(LAUNCHER), *KEEP, "sh", "-c", shown, status=3) == "a terminal\n"
    assert output() is None


def test_a_record_on_standard_error_comes_after_the_output() -> None:
    env = {"AUTOTASK_JOURNAL": "stderr"}
    words = "sh", "-c", "seq 20000 >&2; exit 3"
    done = run_program(*words, under="launcher", options=KEEP, env=env)
    *lines, record = done.stderr.splitlines()
    assert lines == [str(n) for n in range(1, 20001)]
    assert json.loads(record)["output"].endswith("\n19999\n20000\n")


@pytest.mark.parametrize("most", [12, 14, 16])
@pytest.mark.parametrize("options", [KEEP, QUIET], ids="-".join)
def test_without_descriptors_the_command_runs_all_the_same(
    options: tuple[str, ...], most: int
) -> None:
    command = " ".join([f"'{LAUNCHER}'", *options, "sh -c 'echo one; echo two >&2; exit 3'"])
    done = run_program("sh", "-c", f"ulimit -n {most}; exec {command}", under="bare")
    assert (done.status, done.stdout, done.stderr) == (3, "one\n", "two\n")


@pytest.mark.parametrize("way", ["autotask-run", "AUTOTASK_SUPERVISE"])
def test_no_other_descriptor_reaches_the_command(way: str, tmp_path: Path) -> None:
    script = write(
        tmp_path / "job.py",
        "import os, sys; print(sorted(os.listdir('/proc/self/fd'))); sys.exit(3)",
    )
    env = {"AUTOTASK_KEEP_OUTPUT": "8k", "AUTOTASK_QUIET": "1"}
    bare = run_program(script, under="bare")
    if way == "autotask-run":
        ours = run_program(script, under="launcher", env=env)
    else:
        ours = run_program(script, under="path", env={**env, "AUTOTASK_SUPERVISE": "1"})
    assert (ours.status, ours.stdout) == (bare.status, bare.stdout)
    assert output() == bare.stdout


def test_another_descriptor_of_the_same_pipe_keeps_its_place() -> None:
    line = "for i in 1 2 3 4 5 6 7 8 9; do echo out $i; echo three $i >&3; done; exit 3"
    command = f"exec 3>&1; exec '{LAUNCHER}' --keep-output 8k sh -c '{line}'"
    done = run_program("sh", "-c", command, under="bare")
    assert done.stdout == "".join(f"out {n}\nthree {n}\n" for n in range(1, 10))


def test_lines_of_several_writers_stay_whole() -> None:
    """Each line is one write(2), which the kernel does not split; the reader is slow."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, 1031, 4096)  # F_SETPIPE_SZ
    line = "i=0; while [ $i -lt 2000 ]; do echo $0 $0 $0 $0 $0 $i; i=$((i+1)); done"
    programs = [
        Popen(
            command_line("sh", "-c", line, letter * 20, under="launcher", options=KEEP),
            env=environment(),
            stdout=writing,
        )
        for letter in "ab"
    ]
    os.close(writing)
    time.sleep(0.3)
    with os.fdopen(reading, "rb") as source:
        found = source.read().decode().splitlines()
    for program in programs:
        assert program.wait(PATIENCE) == 0
    whole = [f"{' '.join([letter * 20] * 5)} {n}" for letter in "ab" for n in range(2000)]
    assert sorted(found) == sorted(whole)


# --- ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 3])
def test_all_that_was_written_has_arrived_at_the_end(status: int) -> None:
    with start_program(
        *("sh", "-c", f"seq 9000; exit {status}"),
        under="launcher",
        options=KEEP,
        stdout=subprocess.PIPE,
    ) as program:
        assert program.wait(PATIENCE) == status
        assert program.stdout
        os.set_blocking(program.stdout.fileno(), False)
        assert os.read(program.stdout.fileno(), 1 << 16).endswith(b"\n9000\n")


def test_what_the_command_leaves_in_the_background_goes_on_writing() -> None:
    line = "exec 3<&0; (read go; seq 50000; echo last) <&3 & echo first; exit 3"
    with start_program(
        *("sh", "-c", line),
        under="launcher",
        options=KEEP,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as program:
        assert program.stdin
        assert program.stdout
        assert program.wait(PATIENCE) == 3  # does not wait for it
        program.stdin.write(b"go\n")
        program.stdin.close()
        text = program.stdout.read().decode()
    assert text == "first\n" + "".join(f"{n}\n" for n in range(1, 50001)) + "last\n"
    assert output() == "first\n"


def test_a_reader_sees_the_end_when_the_command_closes_its_output() -> None:
    with start_program(
        *("sh", "-c", "echo one; exec >&-; read line"),
        under="launcher",
        options=KEEP,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as program:
        assert program.stdout
        assert program.stdin
        assert program.stdout.read() == b"one\n"
        assert program.poll() is None
        program.stdin.close()


@pytest.mark.parametrize("options", [KEEP, QUIET], ids="-".join)
def test_the_output_outlives_the_launcher(options: tuple[str, ...]) -> None:
    """SIGKILL to it alone: the command goes on, and nothing of what it writes is lost."""
    with start_program(
        *("sh", "-c", "echo $$; echo one; read line; seq 50000; exit 3"),
        under="launcher",
        options=options,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as program:
        assert program.stdout
        assert program.stdin
        wait_until(lambda: bool(runs(Path(os.environ["AUTOTASK_HOME"]))))
        program.kill()
        program.wait()
        program.stdin.write(b"\n")
        program.stdin.close()
        text = program.stdout.read().decode().partition("\n")[2]
    assert text == "one\n" + "".join(f"{n}\n" for n in range(1, 50001))


def test_a_group_that_is_killed_has_written_what_it_has(tmp_path: Path) -> None:
    for _ in range(5):
        with start_program(
            *("sh", "-c", f"seq 9000; touch '{tmp_path}/done'; exec sleep 60"),
            under="launcher",
            options=KEEP,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as program:
            wait_until((tmp_path / "done").exists)
            os.killpg(program.pid, signal.SIGKILL)
            assert program.stdout
            assert program.stdout.read().endswith(b"\n9000\n")
        (tmp_path / "done").unlink()


def test_a_stopped_group_is_continued() -> None:
    with start_program(
        *("sh", "-c", "echo ready; while read line; do echo $line; done; exit 3"),
        under="launcher",
        options=KEEP,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    ) as program:
        assert program.stdout
        assert program.stdin
        program.stdout.readline()
        for number in ("one", "two"):
            os.killpg(program.pid, signal.SIGSTOP)
            program.stdin.write(f"{number}\n".encode())
            os.killpg(program.pid, signal.SIGCONT)
            assert program.stdout.readline() == f"{number}\n".encode()
        program.stdin.close()
        assert program.wait(PATIENCE) == 3


def test_a_slow_reader_does_not_hold_up_the_record(tmp_path: Path, home: Path) -> None:
    """The end of the output is still in a pipe when it is kept; the launcher waits for it."""
    script = write(
        tmp_path / "fast.py",
        """
        import fcntl, os, sys
        fcntl.fcntl(1, 1031, 1 << 20)  # F_SETPIPE_SZ: it can write all before anything is read
        os.write(1, b"".join(b"line %d\\n" % number for number in range(40000)))
        sys.exit(3)
        """,
    )
    with start_program(script, under="launcher", options=KEEP, stdout=subprocess.PIPE) as program:
        wait_until(lambda: "failure" in [run["status"] for run in runs(home)])
        assert (output() or "").endswith("\nline 39998\nline 39999\n")
        assert program.poll() is None
        assert program.stdout
        assert program.stdout.read().endswith(b"\nline 39999\n")
        assert program.wait(PATIENCE) == 3


@pytest.mark.parametrize("end", ["kill -KILL $$", "sleep 60"])
def test_a_command_that_is_killed_waits_for_no_reader(end: str) -> None:
    """What it has written still arrives, if the reader reads after all."""
    with start_program(
        *("sh", "-c", f"head -c 100000 /dev/zero; {end}"),
        under="launcher",
        options=(*KEEP, "--timeout", "1s"),
        stdout=subprocess.PIPE,
    ) as program:
        assert program.wait(PATIENCE) in (124, -signal.SIGKILL)
        assert program.stdout
        assert len(program.stdout.read()) == 100000


def test_as_process_1_everything_arrives(as_process_1: list[str]) -> None:
    for options in (KEEP, QUIET):
        line = "seq 50000; (sleep 60 &) ; exit 3"
        done = run_program(*as_process_1, LAUNCHER, *options, "sh", "-c", line, under="bare")
        assert done.status == 3
        assert done.stdout == "".join(f"{n}\n" for n in range(1, 50001))


def test_a_signal_ends_it_though_its_reader_does_not_read() -> None:
    with start_program(
        *("sh", "-c", "head -c 10000000 /dev/zero; echo end >&2; exit 3"),
        under="launcher",
        options=KEEP,
        stdout=subprocess.PIPE,
    ) as program:
        wait_until(lambda: bool(runs(Path(os.environ["AUTOTASK_HOME"]))))
        time.sleep(0.2)
        program.terminate()
        assert program.wait(PATIENCE) == -signal.SIGTERM


# --- quiet ---------------------------------------------------------------------------------------


def test_quiet_says_nothing_of_a_success_and_everything_of_a_failure() -> None:
    line = "echo out; echo err >&2; exit $0"
    for status, wanted in ((0, ("", "")), (3, ("out\n", "err\n"))):
        done = run_program("sh", "-c", line, str(status), under="launcher", options=QUIET)
        assert (done.status, done.stdout, done.stderr) == (status, *wanted)


@pytest.mark.parametrize(
    ("name", "line", "status"),
    [
        ("autotask check", "echo found; exit 1", 1),  # what it has found is no failure of its own
        ("gunicorn", "echo found; kill -TERM $$", -signal.SIGTERM),  # nor is a server's stop
    ],
)
def test_quiet_passes_on_what_says_more_than_success(
    name: str, line: str, status: int, tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / name.split()[0], f"#!/bin/sh\n{line}")
    script.chmod(0o755)
    words = (str(script), *name.split()[1:])
    env = {"AUTOTASK_QUIET": "1", "AUTOTASK_KEEP_OUTPUT": "8k"}
    options = ("--name", name)
    done = run_program(*words, under="launcher", options=options, env=env)
    assert (done.status, done.stdout, only_run(home)["status"]) == (status, "found\n", "success")
    assert not (home / "output").exists(), "nothing is kept of a success"


def test_quiet_keeps_a_terminal_quiet(terminal: Terminal) -> None:
    terminal.type(f"'{LAUNCHER}' --quiet sh -c 'echo one >&2; exit 0'; echo st''atus $?\n")
    assert "one" not in terminal.expect("status 0\r\n")
    terminal.type(
        f"'{LAUNCHER}' --quiet sh -c 'echo one; echo two >&2; exit 3'; echo st''atus $?\n"
    )
    assert terminal.expect("status 3\r\n").endswith("one\r\ntwo\r\n")


def test_what_no_file_takes_is_passed_on_at_once(tmp_path: Path) -> None:
    """As much as the disk takes comes first, in its order."""
    with (
        small_disk(tmp_path / "disk", "size=64k") as disk,
        start_program(
            *("sh", "-c", "seq 90000; read line"),
            under="launcher",
            options=QUIET,
            env={"TMPDIR": str(disk)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as program,
    ):
        assert program.stdout
        assert program.stdin
        wanted = "".join(f"{n}\n" for n in range(1, 90001)).encode()
        assert program.stdout.read(len(wanted)) == wanted
        assert program.poll() is None
        program.stdin.close()


def test_more_than_is_held_is_passed_on_at_once() -> None:
    """Only the bound is lower, by the process that starts it."""
    code = (
        "import sys; sys.path.append(sys.argv.pop(1));"
        "from autotask.around import launch, output_pump;"
        "output_pump._MOST_HELD = 100000; launch.main()"
    )
    words = [PYTHON, "-I", "-S", "-c", code, str(TEMPLATE.parent), "px", *QUIET]
    wanted = "".join(f"{n}\n" for n in range(1, 90001))
    assert run_program(*words, "seq", "90000", under="bare").stdout == wanted
    assert run_program(*words, "seq", "9000", under="bare").stdout == ""


@pytest.mark.parametrize("status", ["0", "3"])
def test_quiet_leaves_no_file(status: str, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    words = "sh", "-c", f"seq 90000; ls -A '{folder}' >&2; exit {status}"
    done = run_program(*words, under="launcher", options=QUIET, env={"TMPDIR": str(folder)})
    assert done.stderr == ""
    assert os.listdir(folder) == []


# --- kept ----------------------------------------------------------------------------------------


def test_the_end_of_a_failure_is_kept_masked_beside_the_journal(home: Path) -> None:
    line = "echo connecting; echo 'login failed: password=hunter2' >&2; exit 3"
    run_program("sh", "-c", line, under="launcher", options=KEEP)
    (file,) = (home / "output").iterdir()
    assert file.name == only_run(home)["run"]
    assert file.read_text() == "connecting\nlogin failed: password=***\n" == output()
    modes = [path.stat().st_mode & 0o777 for path in (file, file.parent)]
    assert modes == [0o600, 0o700]
    shown = answer("show", file.name[:8])
    assert "output     connecting\n           login failed: password=***\n" in shown


@pytest.mark.parametrize(
    ("options", "env", "line"),
    [
        (KEEP, {}, "echo out; exit 0"),
        (("--keep-output", "0"), {}, "echo out; exit 3"),
        ((), {}, "echo out; exit 3"),
        (KEEP, {"AUTOTASK_MESSAGES": "0"}, "echo out; exit 3"),
        (KEEP, {}, "exit 3"),
    ],
    ids=["success", "off", "not asked for", "no messages", "no output"],
)
def test_nothing_is_kept(
    options: tuple[str, ...], env: dict[str, str], line: str, home: Path
) -> None:
    run_program("sh", "-c", line, under="launcher", options=options, env=env)
    assert output() is None
    assert not (home / "output").exists()


# The two streams: what is kept of each, by default behind cron's door.
DOORS: dict[str, tuple[dict[str, Any], str | None]] = {
    "one pipe": ({"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}, "out\nerr\n"),
    "two pipes": ({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}, "err\n"),
    "only output": ({"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}, None),
}


@pytest.mark.parametrize(("streams", "kept"), DOORS.values(), ids=list(DOORS))
def test_a_line_of_cron_keeps_standard_error(streams: dict[str, Any], kept: str | None) -> None:
    words = [str(LAUNCHER), "--shell", "echo out; echo err >&2; exit 3"]
    with Popen(words, env=environment(), **streams) as program:
        program.communicate()
    assert output() == kept


def test_each_stream_has_room_and_errors_come_last() -> None:
    line = "seq 2000; echo why >&2; seq 9000; exit 3"
    run_program("sh", "-c", line, under="launcher", options=("--keep-output", "1k"))
    kept = output() or ""
    assert kept.endswith("\n9000\nwhy\n")
    assert 1000 < len(kept) <= 1024


def test_a_task_that_failed_inside_shows_the_commands_output(tmp_path: Path, home: Path) -> None:
    script = write(
        tmp_path / "job.py",
        """
        import click
        @click.command()
        def job():
            click.echo("at work")
            raise ValueError("no")
        job()
        """,
    )
    done = run_program(script, under="launcher", options=KEEP)
    program, task = runs(home)
    assert program["caused_by"] == task["run"]
    for run in (program, task):
        shown = answer("show", run["run"])
        assert re.search("^output +at work$", shown, re.MULTILINE)
        assert "ValueError: no" in shown.partition("output  ")[2]
    assert "at work" in done.stdout


def test_the_event_and_the_check_tell_the_last_lines(datagrams: Datagrams) -> None:
    line = "seq 5000; echo cannot reach the database >&2; exit 3"
    run_program("sh", "-c", line, under="launcher", options=KEEP)
    (check,) = [text for text in datagrams.lines("_sc", wait=PATIENCE) if "|2|" in text]
    assert check.endswith("|m:exit 3: cannot reach the database")
    (event,) = datagrams.lines("_e")
    assert "\\noutput:\\n" in event
    assert event.partition("|k:")[0].endswith("\\n5000\\ncannot reach the database")
    assert 3000 < len(event.partition("}:")[2].partition("|k:")[0]) < 4100  # what Datadog keeps


def test_a_disk_that_is_full_keeps_nothing_and_records_the_run(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=16k") as disk:
        line = f"head -c 20000 /dev/zero > '{disk}/full' 2>&-; seq 5000; exit 3"
        env = {"AUTOTASK_HOME": str(disk / "home")}
        done = run_program("sh", "-c", line, under="launcher", options=KEEP, env=env)
        assert done.status == 3
        assert done.stdout.endswith("\n5000\n")
        assert [*(disk / "home").glob("output/*")] == []
        (disk / "full").unlink()


@pytest.mark.parametrize(("size", "kept"), [("128k", 0), ("1200k", 2)])
def test_kept_outputs_leave_room_on_the_disk_for_later_records(
    size: str, kept: int, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", f"size={size}") as disk:
        env = {"AUTOTASK_HOME": str(disk / "home")}
        for _ in range(6):
            words = ("sh", "-c", "seq 20000; exit 3")
            options = ("--keep-output", "60k")
            assert run_program(*words, under="launcher", options=options, env=env).status == 3
        assert len(runs(disk / "home")) == 6
        assert len([*(disk / "home").glob("output/*")]) == kept


def test_a_record_has_its_output_as_its_last_field() -> None:
    run_program("sh", "-c", "echo one; exit 3", under="launcher", options=KEEP)
    last = answer("runs", "--format", "jsonl").splitlines()[-1]
    assert list(json.loads(last).items())[-1] == ("output", "one\n")
