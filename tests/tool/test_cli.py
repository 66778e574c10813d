"""The command itself: help, usage, errors in a line, colours, pipes, hostile text."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import Datagrams, environment, write
from tool.journals import COMMAND, Book, answer, autotask, obey_modes, on_terminal

from autotask.run import failure

COLOUR = "\x1b[3"
USAGE = [
    ("", "COMMAND"),
    ("rnus", "rnus"),
    ("runs extra", "extra"),
    ("runs --sta success", "--sta"),
    ("runs --status done", "done"),
    ("runs --since yesterday", "'yesterday' is not a duration"),
    ("runs --since 24", "'24' is not a duration"),
    ("runs --since -1h", "--since"),
    ("runs --since 99999w", "more than a hundred years"),
    ("runs --limit many", "'many' is not a number"),
    ("runs --limit -1", "--limit"),
    ("runs --format yaml", "yaml"),
    ("show", "RUN"),
    ("prune --keep", "--keep"),
    ("prune --keep 90", "'90' is not a duration"),
    ("prune --max-size big", "'big' is not a size"),
    ("tasks \x1b[31m", "\\x1b[31m"),
]


@pytest.mark.parametrize(("words", "named"), USAGE)
def test_a_usage_error_is_one_line_and_status_2(words: str, named: str) -> None:
    ended = autotask(*words.split(" ") if words else [])
    assert (ended.status, ended.stdout) == (2, "")
    assert ended.stderr.startswith("autotask: ")
    assert ended.stderr.endswith(" --help`)\n")
    assert ended.stderr.count("\n") == 1
    assert named in ended.stderr


COMMANDS = "runs tasks show prune doctor frameworks bundle".split()


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_has_examples(command: str) -> None:
    found = answer(*command.split(), "--help")
    assert f"usage: autotask {command}" in found
    examples = found.partition("examples:\n")[2].splitlines()
    assert examples
    assert all(line.startswith(f"  autotask {command}") for line in examples)


def test_the_examples_of_the_help_work(
    book: Book, datagrams: Datagrams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("inv", "nightly.py"):
        write(tmp_path / name, f"#!{sys.executable}\n").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    run = book.run("nightly.py", "process")
    for line in answer("--help").partition("examples:\n")[2].splitlines():
        words = line.partition(">")[0].replace("'", "").replace("2f9c41d0", run.id).split()
        words = [word.replace("/opt", str(tmp_path)) for word in words]
        assert answer(*words[1:])


def test_no_home_folder_is_said_in_a_line() -> None:
    nobody = {"AUTOTASK_HOME": None, "XDG_STATE_HOME": None, "HOME": None}
    code = (
        "import pwd, sys\n"
        "def unknown(uid): raise KeyError(uid)\n"  # a container's user without an entry
        "pwd.getpwuid = unknown\n"
        "from autotask.tool.cli import main\nsys.exit(main(['runs']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(env=nobody),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "autotask: no home folder is known: set AUTOTASK_HOME\n"


def test_a_journal_that_may_not_be_read_is_said_in_a_line(book: Book, home: Path) -> None:
    book.run()
    (home / "journal").chmod(0)
    ended = autotask("runs", preexec_fn=obey_modes)
    (home / "journal").chmod(0o700)
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr == f"autotask: {home}/journal: Permission denied\n"


@pytest.mark.parametrize("words", ["runs", "runs --format jsonl", "tasks"])
def test_a_full_disk_under_the_output_is_said_in_a_line(book: Book, words: str) -> None:
    book.run()
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, *words.split()], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "autotask: No space left on device\n")


@pytest.mark.parametrize("form", ["table", "jsonl", "csv"])
def test_a_reader_that_leaves_early_is_no_error(book: Book, form: str) -> None:
    for _ in range(400):
        book.run("a-task-with-quite-a-long-name", ago=100)
    command = [*COMMAND, "runs", "--limit", "0", "--format", form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        os.read(child.stdout.fileno(), 1)
        child.stdout.close()
        assert (child.stderr.read(), child.wait()) == (b"", 0)


@pytest.mark.parametrize("command", ["runs", "tasks", "show"])
def test_colours_are_for_terminals_that_want_them(book: Book, command: str) -> None:
    outer = book.run(outcome=failure("exit", exit_code=3))
    book.run("inner", parent=outer)
    words = [command, outer.id] if command == "show" else [command]
    assert COLOUR in on_terminal(*words)
    assert "\x1b" not in on_terminal(*words, NO_COLOR="1")
    assert "\x1b" not in on_terminal(*words, TERM="dumb")
    assert "\x1b" not in answer(*words)
    assert "\x1b" not in answer(*words, env={"FORCE_COLOR": "1", "TERM": "xterm"})


def test_a_table_fits_the_window_and_loses_nothing(book: Book) -> None:
    error = {"type": "ValueError", "message": "words that need more than one line of it"}
    book.run("a-task-with-quite-a-long-name", outcome=failure("exception", error=error))
    plain = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal("runs"))
    assert max(map(len, plain.splitlines())) <= 80
    assert len(plain.splitlines()) > 2
    (row,) = answer("runs").splitlines()[1:]
    assert "a-task-with-quite-a-long-name" in row
    assert row.endswith("words that need more than one line of it")


HOSTILE = "x\x1b]0;owned\x07\x1b[2J\r\n\x9b31m\u202e[bold]:boom:"


@pytest.mark.parametrize(
    "words", ["runs", "runs --format csv", "runs --format jsonl", "tasks", "show"]
)
def test_text_from_tasks_can_do_nothing_to_a_terminal(book: Book, words: str) -> None:
    error = {"type": HOSTILE, "message": HOSTILE, "where": HOSTILE}
    outer = book.run(HOSTILE, HOSTILE, outcome=failure("exception", error=error))
    book.run(HOSTILE, HOSTILE, parent=outer, outcome=failure("exit", exit_code=1, error=error))
    arguments = [*words.split(), *([outer.id] if words == "show" else [])]
    found = answer(*arguments)
    bad = {letter for letter in found if not letter.isprintable()} - {"\n"}
    assert bad == set()
    if "format" not in words:
        assert "x\\x1b]0;owned\\x07\\x1b[2J\\r\\n\\x9b31m\\u202e[bold]:boom:" in found


def test_an_error_message_can_do_nothing_to_a_terminal(book: Book) -> None:
    book.run()
    ended = autotask("show", "\x1b[2J")
    assert ended.status == 1
    assert "\x1b" not in ended.stderr


def test_names_that_are_no_unicode_are_shown(book: Book) -> None:
    book.run("caf\udce9.py", "process")
    for words in (["runs"], ["runs", "--format", "jsonl"], ["tasks"]):
        assert "caf\\" in answer(*words)


def test_an_old_terminal_gets_its_letters_escaped(book: Book) -> None:
    outer = book.run("café")
    book.run("inner", parent=outer)
    ascii_only = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    for words in (["runs"], ["tasks"], ["show", outer.id]):
        assert "caf\\xe9" in answer(*words, env=ascii_only)
