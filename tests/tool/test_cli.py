"""The command itself: help, usage, errors in a line, colours, pipes, hostile text."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import Datagrams, Ended, environment, run_program, write
from tool.datadog.server import Datadog
from tool.journals import COMMAND, DAY, Book, answer, autotask, obey_modes, on_terminal

from autotask.run import Outcome, failure
from autotask.tool import commands
from autotask.tool.command_line import SUBCOMMANDS

COLOUR = "\x1b[3"
USAGE = [
    ("rnus", "rnus"),
    ("--verbose runs", "--verbose"),
    ("runs extra", "extra"),
    ("runs --sta success", "--sta"),
    ("runs --since soon", "'soon' is not a duration"),
    ("runs --since 2026-02-30", "is not in the calendar"),
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
    ("tasks --since 24", "'24' is not a duration"),
    ("tasks --sort size", "--sort"),
    ("runs --sort task", "--sort"),
    ("runs --tree --format csv", "--tree"),
    ("tasks \x1b[31m", "\\x1b[31m"),
    ("monitors", "ACTION"),
    ("monitors --nope plan", "--nope"),
    ("monitors plan --nope", "--nope"),
    ("monitors mute", "TASK"),
    ("dashboard plan extra", "extra"),
]


@pytest.mark.parametrize(("words", "named"), USAGE)
def test_a_usage_error_is_one_line_and_status_2(words: str, named: str) -> None:
    ended = autotask(*words.split(" ") if words else [])
    assert (ended.status, ended.stdout) == (2, "")
    command, _, action = words.partition(" ")
    action = action.split(" ")[0]
    helped = f"autotask {command}" if command in SUBCOMMANDS else "autotask"
    helped += f" {action}" if command in ("monitors", "dashboard") and action.isalpha() else ""
    assert ended.stderr.startswith("autotask: ")
    assert ended.stderr.endswith(f" (see `{helped} --help`)\n")
    assert ended.stderr.count("\n") == 1
    assert named in ended.stderr


def test_a_misspelled_command_is_told_which_is_meant() -> None:
    message = "autotask: no command chekc: did you mean check? (see `autotask --help`)\n"
    assert autotask("chekc") == Ended(2, "", message)


@pytest.mark.parametrize("command", ["", *SUBCOMMANDS])
def test_the_help_has_examples(command: str) -> None:
    printed = answer(*command.split(), "--help", fresh=True)
    assert f"usage: autotask {command}" in printed
    examples = printed.partition("examples:\n")[2].splitlines()
    assert examples
    assert all(line.startswith(f"  autotask {command}") for line in examples)


TELL_SUBCOMMANDS = """
import sys
from autotask.tool.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
package = "autotask.tool.commands."
loaded = [name[len(package) :] for name in sys.modules if name.startswith(package)]
print("loaded:", *loaded)
"""


@pytest.mark.parametrize("command", ["", *SUBCOMMANDS])
def test_a_command_imports_no_other_subcommand(
    command: str, book: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.run()
    monkeypatch.chdir(tmp_path)  # `report` writes a file
    for words in ([*command.split(), "--help"], command.split()):
        ended = run_program("-c", TELL_SUBCOMMANDS, *words, under="bare")
        loaded = ended.stdout.splitlines()[-1].split()[1:]
        assert loaded == [command.replace("-", "_")] * bool(command), ended.stderr


def test_each_module_of_a_subcommand_has_its_entry_in_the_help() -> None:
    folder = Path(commands.__file__).parent
    names = {path.stem.replace("_", "-") for path in folder.glob("[a-z]*.py")}
    assert names == set(SUBCOMMANDS)


def test_the_examples_of_the_help_work(
    book: Book,
    datagrams: Datagrams,
    datadog: Datadog,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("inv", "nightly.py"):
        write(tmp_path / name, f"#!{sys.executable}\n").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    for task, framework in (("db.migrate", "invoke"), ("nightly.py", "process")):
        runs = [book.run(task, framework, ago=60 + night * DAY) for night in range(9)]
    run = runs[0]
    for line in answer("--help").partition("examples:\n")[2].splitlines():
        words = line.partition(">")[0].replace("'", "").replace("2f9c41d0", run.id).split()
        words = [word.replace("/opt", str(tmp_path)) for word in words]
        # One never ends, one is for root, one changes crontabs, and one needs a shared home.
        # commands/test_notify.py has what reads standard input.
        elsewhere = ("init-home", "cron", "notify")
        if "--follow" not in words and words[1] not in elsewhere and "@ann" not in line:
            # `check` prints nothing if all is well.
            assert answer(*words[1:], fresh=True) or words[1] == "check"
        if words[-1] == "init":  # else the next ones warn about missing recipients
            write(tmp_path / "autotask.toml", '[datadog]\nnotify = ["@ops"]\n')


def test_without_a_home_folder_the_error_is_one_line() -> None:
    nobody = {"AUTOTASK_HOME": None, "XDG_STATE_HOME": None, "HOME": None}
    code = (
        "import pwd, sys\n"
        "def unknown(uid): raise KeyError(uid)\n"  # a container's user without an entry
        "pwd.getpwuid = unknown\n"
        "from autotask.tool.cli import main\nsys.exit(main(['runs']))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(env=nobody),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "autotask: no home folder is known: set AUTOTASK_HOME\n"


def test_an_unreadable_journal_is_an_error_in_one_line(book: Book, home: Path) -> None:
    book.run()
    (home / "journal").chmod(0)
    ended = autotask("runs", preexec_fn=obey_modes)
    (home / "journal").chmod(0o700)
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr == f"autotask: {home}/journal: Permission denied\n"


UNREADABLE = [
    ("a file", "{home}/journal: Not a directory"),
    ("a folder with a file in the journal's place", "{home}/journal: Not a directory"),
    ("a folder that may not be entered", "{home}/journal: Permission denied"),
]


@pytest.mark.parametrize("command", ["runs", "tasks", "show 2f9c41d0", "prune"])
@pytest.mark.parametrize(("what", "message"), UNREADABLE)
def test_an_unreadable_home_is_not_taken_for_one_without_runs(
    home: Path, command: str, what: str, message: str
) -> None:
    if what == "a file":
        home.touch()
    else:
        home.mkdir()
        if "journal" in what:
            (home / "journal").touch()
        else:
            home.chmod(0)
    ended = autotask(*command.split(), preexec_fn=obey_modes)
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr == f"autotask: {message.format(home=home)}\n"


@pytest.mark.parametrize(
    "words", ["runs", "runs --format csv", "tasks", "show ID", "prune", "--help"]
)
def test_a_closed_standard_output_is_an_error_in_one_line(book: Book, words: str) -> None:
    arguments = words.replace("ID", book.run().id).split()
    ended = autotask(*arguments, preexec_fn=lambda: os.close(1))
    assert ended.status == 1
    assert ended.stderr == "autotask: standard output is closed\n"


def test_with_standard_error_closed_no_message_goes_to_the_output(book: Book) -> None:
    book.run()
    for words, status in (("show 0123", 1), ("runs --statu", 2), ("prune --max-size 0", 0)):
        ended = autotask(*words.split(), preexec_fn=lambda: os.close(2))
        assert (ended.status, ended.stderr) == (status, "")
        assert "autotask" not in ended.stdout
    both = autotask("runs", preexec_fn=lambda: os.closerange(0, 3))
    assert (both.status, both.stdout, both.stderr) == (1, "", "")
    assert "nightly" in autotask("runs", preexec_fn=lambda: os.close(2)).stdout


@pytest.mark.parametrize("words", ["runs", "tasks"])
def test_json_is_one_array_of_the_lines_of_jsonl(book: Book, words: str) -> None:
    for count in (0, 1, 3):
        for _ in range(count):
            book.run("ü\n", ago=100)
            book.run("other", ago=200)
        lines = answer(words, "--format", "jsonl").splitlines()
        printed = json.loads(answer(words, "--format", "json"))
        assert printed == [json.loads(line) for line in lines]
        assert bool(printed) == bool(count)


ONE_DOCUMENT = [
    "doctor -- sh -c true",
    "frameworks",
    "monitors export",
    "dashboard export",
]


@pytest.mark.parametrize("words", ONE_DOCUMENT)
def test_jsonl_of_a_single_document_is_json(book: Book, words: str) -> None:
    book.run()
    command, *more = words.split(" -- ")
    action = [*command.split(), "--format"]
    behind = ["--", *more[0].split()] if more else []
    first, second = (autotask(*action, form, *behind).stdout for form in ("json", "jsonl"))
    assert json.loads(first) == json.loads(second)


@pytest.mark.parametrize("words", ["monitors plan", "monitors apply", "dashboard plan"])
def test_commands_that_ask_datadog_accept_jsonl_as_well(words: str) -> None:
    ended = autotask(*words.split(), "--format", "jsonl")
    assert ended.status == 1  # no keys, no tasks: the option was understood


@pytest.mark.parametrize("words", ["runs", "runs --format jsonl", "tasks"])
def test_a_full_disk_under_the_output_is_an_error_in_one_line(book: Book, words: str) -> None:
    book.run()
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [*COMMAND, *words.split()], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (ended.returncode, ended.stderr) == (1, "autotask: No space left on device\n")


def test_an_unwritable_standard_error_changes_nothing_else(book: Book) -> None:
    book.run("runs", ago=3 * DAY, outcome=None)
    for words, status, message in (
        ("prune --max-size 10", 0, "dropped 0 runs"),
        ("show 0123", 1, ""),
    ):
        with Path("/dev/full").open("w") as full:
            ended = subprocess.run(
                [*COMMAND, *words.split()], stdout=subprocess.PIPE, stderr=full, check=False
            )
        assert ended.returncode == status
        assert ended.stdout.decode().startswith(message)


def test_a_time_zone_that_python_refuses_counts_as_utc(book: Book) -> None:
    run = book.run(ago=3 * DAY)
    for words, zone in (("runs", "XXX24"), (f"show {run.id}", "<+2459>-24:59:59")):
        answers = [answer(*words.split(), env={"TZ": name}) for name in (zone, "UTC")]
        assert answers[0] == answers[1]


@pytest.mark.parametrize("limit", ["0", "1000"])
@pytest.mark.parametrize("form", ["table", "jsonl", "csv"])
def test_a_reader_that_stops_early_is_not_an_error(book: Book, form: str, limit: str) -> None:
    for _ in range(400):
        book.run("a-task-with-quite-a-long-name", ago=100)
    command = [*COMMAND, "runs", "--limit", limit, "--format", form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        os.read(child.stdout.fileno(), 1)
        child.stdout.close()
        assert (child.stderr.read(), child.wait()) == (b"", 0)


@pytest.mark.parametrize("command", ["runs", "tasks", "show"])
def test_only_a_terminal_that_supports_colours_gets_them(book: Book, command: str) -> None:
    outer = book.run(outcome=failure("exit", exit_code=3))
    book.run("inner", parent=outer)
    words = [command, outer.id] if command == "show" else [command]
    assert COLOUR in on_terminal(*words)
    assert "\x1b" not in on_terminal(*words, NO_COLOR="1")
    assert "\x1b" not in on_terminal(*words, TERM="dumb")
    assert "\x1b" not in answer(*words)
    assert "\x1b" not in answer(*words, env={"FORCE_COLOR": "1", "TERM": "xterm"})


def rows_on_terminal(*words: str, columns: int) -> list[str]:
    """Return the lines on a terminal, without their colours."""
    shown = on_terminal(*words, columns=columns, TZ="UTC")
    return re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()


LONG = {"type": "ValueError", "message": "words that need\nmore than one line, " + "and more " * 40}
HEADS = [
    ("runs", 36, "RUN TASK STATUS"),
    ("runs", 50, "RUN STARTED UTC TASK STATUS"),
    ("runs", 60, "RUN STARTED UTC TASK STATUS DURATION"),
    ("runs", 80, "RUN STARTED UTC TASK STATUS DURATION REASON"),
    ("tasks", 36, "TASK SUCCESS LAST"),
    ("tasks", 60, "TASK SUCCESS LAST LAST RUN LAST SUCCESS"),
    ("tasks", 80, "TASK RUNS SUCCESS LAST LAST RUN LAST SUCCESS USUALLY"),
    ("tasks", 100, "TASK FRAMEWORK RUNS SUCCESS LAST LAST RUN LAST SUCCESS USUALLY TREND"),
]


@pytest.mark.parametrize(("command", "columns", "heads"), HEADS)
def test_a_table_leaves_out_columns_in_a_narrow_terminal(
    book: Book, command: str, columns: int, heads: str
) -> None:
    book.run("shop.orders.fetch", ago=3 * DAY)
    book.run("shop.orders.ship", outcome=failure("signal", signal="SIGKILL"))
    printed, *rows = rows_on_terminal(command, columns=columns)
    assert printed.split() == heads.split()
    assert all(len(row) <= columns for row in rows)
    assert all(
        any(name in row for row in rows) for name in ("shop.orders.fetch", "shop.orders.ship")
    )


WHEN = "SUCCESS LAST LAST RUN LAST SUCCESS NEXT DUE UTC VERDICT"
QUEUED = [
    (60, "TASK SUCCESS LAST LAST RUN VERDICT"),
    (80, "TASK SUCCESS LAST LAST RUN NEXT DUE UTC VERDICT"),
    (100, f"TASK RUNS {WHEN} USUALLY"),
    (150, f"TASK FRAMEWORK RUNS RETRIED {WHEN} USUALLY TREND WAITS"),
]


def test_what_few_tasks_have_is_left_out_before_what_all_have(book: Book) -> None:
    for day in range(1, 5):
        book.run("shop.orders.fetch", ago=day * DAY + 60, waited=0.2)
    book.run("shop.orders.ship", ago=90, outcome=Outcome("retried", "exception"))
    for columns, heads in QUEUED:
        assert rows_on_terminal("tasks", columns=columns)[0].split() == heads.split()


def test_a_reason_that_does_not_fit_is_below_its_run(book: Book) -> None:
    book.run("short", ago=50, outcome=failure("nested"))
    book.run("long", ago=60, outcome=failure("exception", error=LONG))
    _, long, below, short = rows_on_terminal("runs", columns=80)
    assert short.endswith("  nested")
    assert long.split()[-1] == "1.50s"
    assert below.startswith("    exception ValueError: words that need more than one line, and")
    assert below.endswith("...")
    assert len(below) == 80
    assert rows_on_terminal("runs", columns=50)[-1].strip() == "nested"


def test_an_endless_name_is_cut_on_a_terminal_and_whole_elsewhere(book: Book) -> None:
    name = "n" * 3000
    outer = book.run("top", ago=90)
    run = book.run(name, ago=80, parent=outer, outcome=failure("exception", error=LONG))
    book.run("other", ago=70)
    for words in (["runs"], ["tasks"], ["show", outer.id]):
        assert name in answer(*words)
        rows = rows_on_terminal(*words, columns=100)
        assert len(rows) < 40
        assert any(f"{'n' * 20}..." in row for row in rows)
    assert len(rows_on_terminal("runs", columns=60)) == 5
    for words in (["runs", "--format", "jsonl"], ["tasks", "--format", "csv"], ["show", run.id]):
        assert name in answer(*words)


def test_a_start_is_short_on_a_terminal_and_whole_in_a_file(book: Book) -> None:
    book.run("before", ago=DAY + 60)
    assert re.search(r"  \d\d-\d\d \d\d:\d\d:\d\d  before", answer("runs"))
    (row,) = rows_on_terminal("runs", columns=80)[1:]
    assert re.search(r"^[0-9a-f]{8}  (\d\d-\d\d \d\d:\d\d|\d{4}-\d\d-\d\d)  before", row)


def test_labels_of_a_run_are_dim_and_their_values_bright(book: Book) -> None:
    run = book.run(outcome=failure("exception", error={**LONG, "where": "/srv/shop.py:3"}))
    shown = on_terminal("show", run.id, columns=60)
    assert re.search(r"\x1b\[2mtask *\x1b\[0m  nightly\n", shown)
    assert re.search(r"\x1b\[2mstatus *\x1b\[0m  \x1b\[31mfailure *\x1b\[0m\n", shown)
    first, *more = shown.partition("error")[2].partition("where")[0].splitlines()[:-1]
    assert first.endswith("  ValueError: words that need")
    assert len(more) > 3
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in more]
    assert {re.match(" *", line).end() for line in plain} == {11}  # type: ignore[union-attr]


HOSTILE = "x\x1b]0;owned\x07\x1b[2J\r\n\x9b31m\u202e[bold]:boom:"


@pytest.mark.parametrize(
    "words", ["runs", "runs --format csv", "runs --format jsonl", "tasks", "show"]
)
def test_text_from_tasks_cannot_control_the_terminal(book: Book, words: str) -> None:
    error = {"type": HOSTILE, "message": HOSTILE, "where": HOSTILE}
    outer = book.run(HOSTILE, HOSTILE, outcome=failure("exception", error=error))
    book.run(HOSTILE, HOSTILE, parent=outer, outcome=failure("exit", exit_code=1, error=error))
    arguments = [*words.split(), *([outer.id] if words == "show" else [])]
    printed = answer(*arguments)
    bad = {letter for letter in printed if not letter.isprintable()} - {"\n"}
    assert bad == set()
    if "format" not in words:
        assert "x\\x1b]0;owned\\x07\\x1b[2J\\r\\n\\x9b31m\\u202e[bold]:boom:" in printed


def test_an_error_message_cannot_control_the_terminal(book: Book) -> None:
    book.run()
    ended = autotask("show", "\x1b[2J")
    assert ended.status == 1
    assert "\x1b" not in ended.stderr


def test_names_that_are_not_unicode_are_shown(book: Book) -> None:
    book.run("caf\udce9.py", "process")
    for words in (["runs"], ["runs", "--format", "jsonl"], ["tasks"]):
        assert "caf\\" in answer(*words)


def test_letters_are_escaped_for_a_terminal_that_lacks_them(book: Book) -> None:
    outer = book.run("café")
    book.run("inner", parent=outer)
    ascii_only = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    for words in (["runs"], ["tasks"], ["show", outer.id]):
        assert "caf\\xe9" in answer(*words, env=ascii_only)
