"""autotask-run says, if AUTOTASK_DEBUG is set, that the agent could not load."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

import environments
import pytest
from support import PYTHON, Ended, only_run, pythons, run_program, runs, write

BEGIN = "autotask: the agent could not load in "
END = "; see `autotask doctor -- COMMAND`\n"
HELLO = "print('hello')\n"


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a program whose first line keeps the agent out."""
    tool = write(tmp_path_factory.mktemp("tool") / "tool", f"#!{PYTHON} -I\n{HELLO}")
    tool.chmod(0o755)
    return tool


KEPT_OUT = [
    ("{python} -I {script} secret", "-I on the command line keeps it out (isolated mode)"),
    ("{python} -SE {script}", "-E on the command line keeps it out (it ignores PYTHONPATH)"),
    ("env -i {python} {script}", "`env` on the command line removes PYTHONPATH"),
    ("timeout 60 {python} -S {script}", "-S on the command line keeps it out (no sitecustomize)"),
    ("{tool} secret", "-I in the first line of {tool} keeps it out (isolated mode)"),
]


@pytest.mark.parametrize("options", [(), ("--exec",)])
@pytest.mark.parametrize(("line", "why"), KEPT_OUT)
def test_it_says_in_one_line_what_keeps_the_agent_out(
    tmp_path: Path, tool: Path, home: Path, line: str, why: str, options: tuple[str, ...]
) -> None:
    script = write(tmp_path / "hello.py", HELLO)
    words = line.format(python=PYTHON, script=script, tool=tool).split()
    env = {"AUTOTASK_DEBUG": "1"}
    ended = run_program(*words, under="launcher", options=options, env=env)
    assert (ended.status, ended.stdout) == (0, "hello\n")
    assert ended.stderr == f"{BEGIN}{words[0]}: {why.format(tool=tool)}{END}"
    assert [run["status"] for run in runs(home)] == ([] if options else ["success"])


KEPT_OUT_OF_RUBY = [
    (
        "ruby --disable-gems {script}",
        "--disable-gems on the command line keeps it out (no RubyGems)",
    ),
    ("env -u RUBYLIB ruby {script}", "`env` on the command line removes RUBYLIB"),
    ("{tool}", "--disable=gems in the first line of {tool} keeps it out (no RubyGems)"),
    ("ruby {script}", None),
    ("env -u PYTHONPATH ruby {script}", None),
]


@pytest.mark.parametrize(("line", "why"), KEPT_OUT_OF_RUBY)
def test_it_says_in_one_line_what_keeps_the_agent_out_of_ruby(
    tmp_path: Path, home: Path, line: str, why: str | None
) -> None:
    ruby = shutil.which("ruby")
    if ruby is None:
        pytest.skip("no Ruby on this machine")
    script = write(tmp_path / "hello.rb", "puts 'hello'\n")
    tool = write(tmp_path / "tool", f"#!{ruby} --disable=gems\nputs 'hello'\n")
    tool.chmod(0o755)
    words = line.format(script=script, tool=tool).split()
    ended = run_program(*words, under="launcher", env={"AUTOTASK_DEBUG": "1"})
    said = f"{BEGIN}{words[0]}: {why.format(tool=tool)}{END}" if why else ""
    assert ended == Ended(0, "hello\n", said)
    assert only_run(home)["status"] == "success"


@pytest.mark.parametrize("version", ["2.7", "3.8"])
def test_it_recognizes_a_python_that_is_too_old(version: str, tmp_path: Path) -> None:
    python, script = pythons(version), write(tmp_path / "hello.py", HELLO)
    ended = run_program(python, script, under="launcher", env={"AUTOTASK_DEBUG": "1"})
    assert ended.stdout == "hello\n"
    assert ended.stderr == f"{BEGIN}{python}: it has not announced itself{END}"


def test_it_recognizes_a_wrapper_that_resets_the_path(tmp_path: Path) -> None:
    wrapper = write(tmp_path / "python", f'#!/bin/sh\nPYTHONPATH=/x exec {PYTHON} "$@"\n')
    wrapper.chmod(0o755)
    env = {"AUTOTASK_DEBUG": "1"}
    ended = run_program(wrapper, "-c", HELLO, under="launcher", env=env)
    assert (ended.stdout, ended.stderr.count(BEGIN)) == ("hello\n", 1)


IS_LOADED = "import sys; print('autotask.agent' in sys.modules)\n"
SILENT = [  # the command, and what it prints
    ("{python} {script}", "True\n"),
    ("timeout 60 {python} {script}", "True\n"),
    ("sh -c '{python} {script}; exit 0'", "True\n"),
    ("sh -c '{python} -I {script}; exit 0'", "False\n"),  # a shell: what it starts is unknown
    ("echo hello", "hello\n"),
]


@pytest.mark.parametrize(("line", "printed"), SILENT)
def test_it_says_nothing_if_the_reason_is_unknown(
    tmp_path: Path, home: Path, line: str, printed: str
) -> None:
    script = write(tmp_path / "loaded.py", IS_LOADED)
    words = shlex.split(line.format(python=PYTHON, script=script))
    ended = run_program(*words, under="launcher", env={"AUTOTASK_DEBUG": "1"})
    assert ended == Ended(0, printed, "")
    assert only_run(home)["status"] == "success"


def test_a_missing_command_is_all_that_is_reported(home: Path) -> None:
    ended = run_program("/no/such/command", under="launcher", env={"AUTOTASK_DEBUG": "1"})
    assert (ended.status, ended.stdout) == (127, "")
    assert "/no/such/command" in ended.stderr
    assert BEGIN not in ended.stderr
    assert only_run(home)["exit_code"] == 127


def test_without_autotask_debug_it_says_nothing(tool: Path) -> None:
    ended = run_program(tool, under="launcher", env={"AUTOTASK_DEBUG": None})
    assert (ended.stdout, ended.stderr) == ("hello\n", "")


def test_it_says_so_in_the_given_file(tool: Path, tmp_path: Path) -> None:
    log = tmp_path / "debug.log"
    ended = run_program(tool, under="launcher", env={"AUTOTASK_DEBUG": str(log)})
    assert ended.stderr == ""
    assert log.read_text().startswith(f"{BEGIN}{tool}: -I in the first line")
    assert log.read_text().count("\n") == 1


def test_a_log_that_cannot_be_written_changes_nothing(tool: Path) -> None:
    ended = run_program(tool, under="launcher", env={"AUTOTASK_DEBUG": "/no/such/folder/log"})
    assert (ended.status, ended.stdout, ended.stderr) == (0, "hello\n", "")


def test_without_a_journal_only_the_command_line_is_used(tool: Path) -> None:
    env = {"AUTOTASK_DEBUG": "1", "AUTOTASK_JOURNAL": "0"}
    assert BEGIN in run_program(tool, under="launcher", env=env).stderr
    assert run_program(PYTHON, "-c", HELLO, under="launcher", env=env).stderr == ""


def test_the_agent_in_the_command_leaves_no_mark_behind(tmp_path: Path, home: Path) -> None:
    python = environments.make(tmp_path / "venv")
    ended = run_program(python, "-c", IS_LOADED, under="launcher", env={"AUTOTASK_DEBUG": "1"})
    assert ended == Ended(0, "True\n", "")
    assert only_run(home)["status"] == "success"
    assert os.listdir(home / "open") == []
