"""AUTOTASK_JOURNAL=stderr: a line on standard error for each run that ended, and no file."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from support import (
    PATIENCE,
    PYTHON,
    Ended,
    Record,
    Tags,
    Under,
    run_program,
    start_program,
    write,
)
from tool.journals import Book, records

from autotask import journal
from autotask.queued import Queued
from autotask.run import SKIPPED, SUCCESS, End, Outcome, Run, failure
from autotask.settings import Settings
from autotask.stderr_journal import record

pytest.importorskip("click")


@pytest.fixture(autouse=True)
def switched_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOTASK_JOURNAL", "stderr")


def printed(stderr: str) -> list[Record]:
    """Return the records among what a program wrote on standard error."""
    return [json.loads(line) for line in stderr.splitlines() if line.startswith("{")]


# --- the record ----------------------------------------------------------------------------------

TEXTS = [
    "plain",
    '"process":"x","host":"y"',
    '","tags":{"a":"b"},"unsent":true}',
    ',"at":"never",',
    ',"error":{"type":"E"}',
    "back\\slash \\\" and 'quote'",
    "line\nend, tab\t, \x00, é, \U0001f600",
]
ERROR = {"type": "ValueError", "message": "boom", "where": "a.py:1"}
OUTCOMES = [
    SUCCESS,
    SKIPPED,
    failure("exit", exit_code=3),
    failure("exit", exit_code=1, error={"type": "SystemExit", "message": "text"}),
    failure("exception", error={"type": "ValueError"}),
    failure("exception", error=ERROR),
    failure("nested", caused_by="00000000000000aa", exit_code=1, error=ERROR),
    failure("signal", signal="SIGKILL"),
    Outcome("retried", "exception", error=ERROR),
    Outcome("skipped", "overlap"),
]


def told(
    text: str, outcome: Outcome, unsent: bool, named: bool, book: Book
) -> tuple[Record, Record]:
    """Return the record of a run, and what `autotask runs` makes of the same two lines."""
    run = Run(text, "click")
    run.started, run.trigger = 1764000000.25, "cron"
    run.parent = "00000000000000bb" if named else None
    if named:
        run.queued, run.server = Queued(2, 1.25, "00000000000000cc"), True
    word = text if named else None
    tags = {text: text, "host": "tag", "python": "tag", "status": "tag"} if named else {}
    place = journal.process_fields(7, text, text, word, Tags(word, word, word, tags, word))
    start = journal.started_line(run, place, unsent)
    duration, cpu, max_rss = (1.5, 0.25, 48 << 20) if named else (None, None, None)
    ended = End(outcome, 1764000001.75, duration, cpu, max_rss)
    end = journal.finished_line(run, ended, unsent)
    book.line(start)
    book.line(end)
    (read,) = [found for found in records() if found["run"] == run.id]
    return json.loads(record(start, end)), read


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.reason or outcome.status)
def test_a_record_is_what_autotask_runs_prints(outcome: Outcome, home: Path) -> None:
    for unsent in (False, True):
        for named in (False, True):
            ours, theirs = told("plain", outcome, unsent, named, Book(home))
            assert ours == theirs


@pytest.mark.parametrize("text", TEXTS)
def test_a_record_is_what_autotask_runs_prints_for_any_text(text: str, home: Path) -> None:
    error = {"type": text, "message": text, "where": text}
    outcome = failure("exception", error=error, signal=text)
    ours, theirs = told(text, outcome, True, True, Book(home))
    assert ours == theirs


# --- in a program --------------------------------------------------------------------------------

SHOP = """
    import click, os, signal, sys

    @click.group()
    def shop(): pass

    @shop.command()
    def fine(): click.echo("done")

    @shop.command()
    def wrong(): raise ValueError("no")

    @shop.command()
    @click.pass_context
    def outer(ctx): ctx.invoke(wrong)

    @shop.command()
    def killed(): os.kill(os.getpid(), signal.SIGKILL)

    if __name__ == "__main__":
        shop()
"""
ENDS = ("task", "status", "reason", "signal", "exit_code")
# What is run, and what is printed of each run: by a program, and by a parent.
PROGRAMS: dict[str, tuple[list[str], list[str]]] = {
    "fine": (
        ["shop.fine success", "shop.py success"],
        ["shop.fine success", "shop.py success"],
    ),
    "wrong": (
        ["shop.wrong failure exception", "shop.py failure nested"],
        ["shop.wrong failure exception", "shop.py failure exit 1"],
    ),
    "outer": (
        ["shop.wrong failure exception", "shop.outer failure nested", "shop.py failure nested"],
        ["shop.wrong failure exception", "shop.outer failure nested", "shop.py failure exit 1"],
    ),
    # Runs open in a killed process are not printed: its parent has nothing to read.
    "killed": ([], ["shop.py failure signal SIGKILL"]),
}
PARENTS: dict[str, tuple[Under, dict[str, str], int]] = {
    "alone": ("path", {}, 0),
    "AUTOTASK_SUPERVISE": ("path", {"AUTOTASK_SUPERVISE": "1"}, 1),
    "autotask-run": ("launcher", {}, 1),
}


def endings(stderr: str) -> list[str]:
    return [
        " ".join(str(run[name]) for name in ENDS if run[name] is not None)
        for run in printed(stderr)
    ]


@pytest.mark.parametrize("words", PROGRAMS)
@pytest.mark.parametrize("way", PARENTS)
def test_each_run_that_ended_is_a_line(way: str, words: str, tmp_path: Path, home: Path) -> None:
    under, env, column = PARENTS[way]
    script = write(tmp_path / "shop.py", SHOP)
    bare = run_program(PYTHON, script, words, under="bare")
    done = run_program(PYTHON, script, words, under=under, env=env)
    assert (done.status, done.stdout) == (bare.status, bare.stdout)
    assert endings(done.stderr) == PROGRAMS[words][column]
    rest = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert rest[-1:] == bare.stderr.splitlines()[-1:]
    assert not home.exists()


def test_other_commands_and_missing_ones_are_recorded() -> None:
    done = run_program("sh", "-c", "exit 4", under="launcher")
    (run,) = printed(done.stderr)
    assert (run["task"], run["status"], run["exit_code"]) == ("sh", "failure", 4)
    assert run["duration"] > 0
    done = run_program("no-such-command", under="launcher")
    (run,) = printed(done.stderr)
    assert (run["exit_code"], run["error"]["type"]) == (127, "FileNotFoundError")


def test_the_tree_is_that_of_the_journal(tmp_path: Path) -> None:
    source = """
        import click, subprocess, sys
        @click.command()
        def outer():
            subprocess.run([sys.executable, "shop.py", "fine"], check=True)
        outer()
    """
    write(tmp_path / "shop.py", SHOP)
    done = run_program(write(tmp_path / "outer.py", source), under="launcher", cwd=tmp_path)
    fine, outer, process = printed(done.stderr)
    assert [run["task"] for run in (fine, outer, process)] == ["shop.fine", "outer", "outer.py"]
    assert fine["parent"] == outer["run"]
    assert outer["parent"] == process["run"] == process["root"] == fine["root"]


def test_a_forked_child_reports_its_own_runs_once(tmp_path: Path) -> None:
    source = """
        import click, os, sys
        @click.command()
        def child(): pass
        @click.command()
        def parent():
            if os.fork() == 0:
                child.main([], standalone_mode=False)
                os._exit(0)
            os.wait()
        parent()
    """
    done = run_program(write(tmp_path / "forks.py", source))
    assert [run["task"] for run in printed(done.stderr)] == ["forks", "forks", "forks.py"]


def test_a_line_comes_when_the_run_has_ended(tmp_path: Path) -> None:
    source = """
        import click, sys
        @click.command()
        def work(): pass
        work.main([], standalone_mode=False)
        sys.stdin.read()
    """
    script = write(tmp_path / "job.py", source)
    with start_program(script, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stderr
        assert json.loads(program.stderr.readline())["task"] == "job"
        _, rest = program.communicate(b"")
    assert json.loads(rest)["task"] == "job.py"


# --- standard error is the program's -------------------------------------------------------------

MANY = """
    import click, os, sys
    @click.command()
    def work(): pass
    for _ in range({runs}):
        work.main([], standalone_mode=False)
    print("done", flush=True)
"""


def test_a_reader_that_does_not_read_is_not_waited_for(tmp_path: Path) -> None:
    """A parent may wait for the end before it reads standard error: a pipe holds 64 KiB."""
    script = write(tmp_path / "many.py", MANY.format(runs=1000))
    with start_program(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.wait(PATIENCE) == 0
        out, err = program.communicate()
    assert out == b"done\n"
    *whole, _ = err.decode().split("\n")  # the last may have been cut
    assert len(whole) > 60
    assert {json.loads(line)["task"] for line in whole} == {"many"}


def test_a_line_longer_than_a_pipe_takes_at_once_is_written_whole(tmp_path: Path) -> None:
    tags = ",".join(f"tag{number}:{'x' * 180}" for number in range(60))
    source = "import sys; sys.stderr.write('between\\n')\n"
    script = write(tmp_path / "many.py", MANY.replace("\n    ", "\n").format(runs=1) + source)
    done = run_program(script, env={"AUTOTASK_TAGS": tags})
    inner, between, outer = done.stderr.splitlines()  # each is complete before the next one
    assert [json.loads(line)["task"] for line in (inner, outer)] == ["many", "many.py"]
    assert len(json.loads(inner)["tags"]) == 60
    assert between == "between"


@pytest.mark.parametrize("pipes", ["", "signal.signal(signal.SIGPIPE, signal.SIG_DFL)"])
def test_a_reader_that_has_gone_is_ignored(pipes: str, tmp_path: Path) -> None:
    source = f"import signal; {pipes}\n" + MANY.replace("\n    ", "\n").format(runs=3)
    script = write(tmp_path / "many.py", source)
    reading, writing = os.pipe()
    os.close(reading)
    with start_program(script, stdout=subprocess.PIPE, stderr=writing) as program:
        os.close(writing)
        assert program.communicate()[0] == b"done\n"
    assert program.returncode == 0


@pytest.mark.parametrize("closed", ["by the shell", "by the program"])
def test_a_file_that_took_the_number_of_standard_error_is_left_alone(
    closed: str, tmp_path: Path
) -> None:
    close = "os.close(2)" if closed == "by the program" else "pass"
    source = f"import os; {close}; data = open('data', 'w'); print(data.fileno())\n"
    write(tmp_path / "many.py", source + MANY.replace("\n    ", "\n").format(runs=3))
    line = f"'{PYTHON}' many.py" + (" 2>&-" if closed == "by the shell" else "")
    done = run_program("sh", "-c", line, cwd=tmp_path)
    assert (done.status, done.stdout) == (0, "2\ndone\n")
    assert (tmp_path / "data").read_text() == ""


def test_a_file_that_the_program_made_its_standard_error_gets_the_lines(tmp_path: Path) -> None:
    source = "import os; os.dup2(os.open('log', os.O_WRONLY | os.O_CREAT), 2)\n"
    write(tmp_path / "many.py", source + MANY.replace("\n    ", "\n").format(runs=2))
    done = run_program(PYTHON, "many.py", cwd=tmp_path)
    assert done == Ended(0, "done\n", "")
    tasks = [run["task"] for run in printed((tmp_path / "log").read_text())]
    assert tasks == ["many", "many", "many.py"]


def test_a_signal_handler_that_runs_tasks_loses_none(tmp_path: Path) -> None:
    source = """
        import click, os, signal
        @click.command()
        def inner(): pass
        @click.command()
        def outer(): os.kill(os.getpid(), signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, lambda *_: inner.main([], standalone_mode=False))
        for _ in range(20):
            outer.main([], standalone_mode=False)
    """
    done = run_program(write(tmp_path / "job.py", source))
    *found, process = printed(done.stderr)
    assert len(found) == 40
    assert sum(run["parent"] == process["run"] for run in found) == 20


# What a command writes before it fails, and the end of it in its record.
OUTPUTS = {
    "all of it": ("seq 3", "1\n2\n3\n"),
    "whole lines": ("seq 10000", None),
    "one line": ("head -c 20000 /dev/zero | tr '\\0' x; echo", "x" * 3000),
    "what JSON escapes": ("head -c 20000 /dev/zero | tr '\\0' '\"'; echo", '"' * 1500),
}


@pytest.mark.parametrize(("line", "end"), OUTPUTS.values(), ids=OUTPUTS)
def test_as_much_output_is_in_a_record_as_a_reader_that_is_slow_leaves_room_for(
    line: str, end: str | None
) -> None:
    words = ("sh", "-c", f"({line}) >&2; exit 3")
    options = ("--keep-output", "64k")
    launcher = start_program(*words, under="launcher", options=options, stderr=subprocess.PIPE)
    with launcher:
        assert launcher.wait(PATIENCE) == 3  # before anything is read
        assert launcher.stderr
        *_, last = launcher.stderr.read().splitlines(keepends=True)
    assert len(last) <= 4096
    output = json.loads(last)["output"]
    if end is None:
        numbers = [int(number) for number in output.splitlines()]
        assert numbers == [*range(10001 - len(numbers), 10001)]
        assert len(last) > 4000
    else:
        assert output.endswith(end.rstrip("\n") + "\n")


# --- the setting ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["stderr", " STDERR ", "stdout", "0", "1"])
def test_the_setting_takes_a_word_besides_the_switch(value: str) -> None:
    settings = Settings({"AUTOTASK_JOURNAL": value})
    is_word = value.strip().lower() == "stderr"
    assert settings.stderr is is_word
    assert settings.journal is (value in ("1", "stdout"))
    assert bool(settings.problems) is (value == "stdout")


def test_the_debug_log_says_where_runs_go(tmp_path: Path) -> None:
    script = write(tmp_path / "shop.py", SHOP)
    done = run_program(script, "fine", env={"AUTOTASK_DEBUG": "1"})
    assert "runs are journalled on standard error" in done.stderr
