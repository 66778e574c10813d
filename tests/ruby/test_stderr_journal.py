"""AUTOTASK_JOURNAL=stderr in Ruby: a line on standard error for each run that ended, no file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hypothesis")

from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruby.half import HYPOTHESIS, Half
from support import INSTALLED, PATIENCE, Record, Tags, environment, run_program

from autotask import journal
from autotask.queued import Queued
from autotask.run import End, Outcome, Run
from autotask.stderr_journal import record

ANSWERS = Path(__file__).with_name("journal_answers.rb").read_text().partition("\n")[2]
STDERR = {"AUTOTASK_JOURNAL": "stderr"}
RUBYLIB = {**STDERR, "RUBYLIB": str(INSTALLED / "autotask_ruby")}


@pytest.fixture(scope="module")
def half(ruby: str) -> Iterator[Half]:
    assert ruby
    running = Half(ANSWERS)
    yield running
    assert running("warnings") == []
    running.close()


# --- the record ----------------------------------------------------------------------------------

TEXT = st.text() | st.sampled_from(
    [
        '"process":"x","host":"y"',
        '","tags":{"a":"b"},"unsent":true}',
        ',"at":"never",',
        ',"error":{"type":"E"}',
        "back\\slash \\\" and \\0 \\1 '",
        "line\nend, tab\t, \x00, é, \U0001f600",
    ]
)
MAYBE = st.none() | TEXT.filter(bool)
ERROR = st.none() | st.dictionaries(st.sampled_from(["type", "message", "where"]), TEXT, min_size=1)
OUTCOMES = st.just(Outcome("success")) | st.builds(
    Outcome,
    st.sampled_from(["failure", "skipped", "retried"]),
    st.sampled_from(["exception", "exit", "signal", "nested"]),
    st.none() | st.integers(0, 255),
    MAYBE,
    ERROR,
    st.none() | st.just("00000000000000aa"),
)


@settings(max_examples=100, **HYPOTHESIS)
@given(TEXT, MAYBE, st.dictionaries(TEXT, TEXT, max_size=2), OUTCOMES, *(st.booleans(),) * 3)
@example("plain", None, {}, Outcome("success"), False, False, False)
def test_a_record_is_the_same_line_as_in_python(
    half: Half,
    text: str,
    word: str | None,
    tags: dict[str, str],
    outcome: Outcome,
    unsent: bool,
    server: bool,
    known: bool,
) -> None:
    run = Run(text, "rake")
    run.started, run.trigger, run.server = 1764000000.25, "cron", server
    run.queued = Queued(2, 1.25, "00000000000000cc") if known else None
    place = journal.process_fields(7, text, text, word, Tags(word, word, word, tags, word))
    start = journal.started_line(run, place, unsent)
    took: Any = (1.5, 0.25, 48 << 20) if known else (None, None, None)
    end = journal.finished_line(run, End(outcome, 1764000001.75, *took), unsent)
    for line in (start, start.replace('"python":', '"ruby":')):
        assert half("record", line, end) == record(line, end)


# --- in a program --------------------------------------------------------------------------------

RAKEFILE = """
task(:environment) { }
task(fine: :environment) { puts "done" }
task(:wrong) { raise ArgumentError, "no" }
task(outer: :wrong) { }
task(:killed) { Process.kill("KILL", $$); sleep }
task(:many) { 1000.times { Rake::Task[:environment].execute } }
task(:few) { trap("PIPE", "SYSTEM_DEFAULT"); 3.times { Rake::Task[:environment].execute } }
task(:forks) { Process.wait(fork { Rake::Task[:fine].execute; exit! }) }
"""
ENDS = ("task", "status", "reason", "signal", "exit_code")
# What is printed of each run, and of the process run by itself and by a parent.
TASKS: dict[str, tuple[list[str], list[str], list[str]]] = {
    "fine": (["environment success", "fine success"], ["success"], ["success"]),
    "wrong": (["wrong failure exception"], ["failure nested 1"], ["failure exit 1"]),
    "outer": (
        ["wrong failure exception", "outer failure nested"],
        ["failure nested 1"],
        ["failure exit 1"],
    ),
    "killed": ([], [], ["failure signal SIGKILL"]),
    "forks": (["fine success", "forks success"], ["success"], ["success"]),
}


@pytest.fixture
def rakefile(ruby: str, tmp_path: Path) -> Path:
    assert ruby
    (tmp_path / "Rakefile").write_text(RAKEFILE)
    return tmp_path


def printed(stderr: str) -> list[Record]:
    return [json.loads(line) for line in stderr.splitlines() if line.startswith("{")]


def endings(stderr: str) -> list[str]:
    return [
        " ".join(str(run[name]) for name in ENDS if run[name] is not None)
        for run in printed(stderr)
    ]


@pytest.mark.parametrize("task", TASKS)
def test_each_run_that_ended_is_a_line(task: str, rakefile: Path, home: Path) -> None:
    bare = run_program("rake", task, under="bare", cwd=rakefile)
    alone = run_program("rake", task, under="bare", env=RUBYLIB, cwd=rakefile)
    launched = run_program("rake", task, under="launcher", env=STDERR, cwd=rakefile)
    tasks, own, parents = TASKS[task]
    for done, process in ((alone, own), (launched, parents)):
        assert (done.status, done.stdout) == (bare.status, bare.stdout)
        assert endings(done.stderr) == [*tasks, *(f"rake {task} {end}" for end in process)]
        rest = [line for line in done.stderr.splitlines() if not line.startswith("{")]
        assert rest == bare.stderr.splitlines()
        assert len({run["root"] for run in printed(done.stderr)}) <= 1
    assert not home.exists()


def test_a_reader_that_does_not_read_is_not_waited_for(rakefile: Path) -> None:
    command = ("rake", "many")
    environ = environment("bare", RUBYLIB)
    with subprocess.Popen(command, env=environ, cwd=rakefile, stderr=subprocess.PIPE) as program:
        assert program.wait(PATIENCE) == 0
        _, err = program.communicate()
    *whole, _ = err.decode().split("\n")  # the last may have been cut
    assert len(whole) > 60
    assert {json.loads(line)["task"] for line in whole} == {"environment"}


def test_a_reader_that_has_gone_is_ignored(rakefile: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    environ = environment("bare", RUBYLIB)
    program = subprocess.run(
        ["rake", "few"], env=environ, cwd=rakefile, stderr=writing, check=False, timeout=PATIENCE
    )
    os.close(writing)
    assert program.returncode != -signal.SIGPIPE
    assert program.returncode == 0


def test_a_line_longer_than_a_pipe_takes_at_once_is_written_whole(rakefile: Path) -> None:
    env = {**RUBYLIB, "AUTOTASK_TAGS": ",".join(f"tag{n}:{'x' * 180}" for n in range(60))}
    done = run_program("rake", "fine", under="bare", env=env, cwd=rakefile)
    assert [len(run["tags"]) for run in printed(done.stderr)] == [60, 60, 60]


def test_standard_error_stays_as_the_program_has_it(rakefile: Path) -> None:
    """Others may hold the same pipe: it must not become one that does not block."""
    line = "rake fine; cat /proc/self/fdinfo/2"
    done = run_program("sh", "-c", line, under="bare", env=RUBYLIB, cwd=rakefile)
    flags = int(done.stdout.partition("flags:")[2].split()[0], 8)
    assert not flags & os.O_NONBLOCK
    assert len(printed(done.stderr)) == 3
