"""`autotask runs`: which runs, in which order, in which form."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support import Datagrams, Tags, lines, run_program, write
from tool.journals import (
    DAY,
    HOST,
    HOUR,
    Book,
    answer,
    autotask,
    dead_process,
    listed,
    names,
    on_terminal,
    records,
    without_zone,
)

from autotask import procfs
from autotask.journal import Journal, moment
from autotask.run import SKIPPED, SUCCESS, Outcome, failure
from autotask.settings import Settings
from autotask.telling import leave_mark
from autotask.tool import output
from autotask.tool.journal.index import open_index
from autotask.tool.journal.opening import end_lost

ERROR = {"type": "ValueError", "message": "no such shop", "where": "/srv/shop.py:3"}
UNEXPECTED = (  # as Invoke has it
    "Encountered a bad command exit code!\n\nCommand: 'make all'\n\nExit code: 5\n\n"
    "Stdout: already printed\n\nStderr: already printed\n\n"
)
CONTRACT = (
    "run parent root task framework status reason caused_by exit_code signal error started_at"
    " finished_at duration cpu max_rss pid host python ruby service env version tags attempt"
    " waited enqueued_by server bookkeeping trigger output"
).split()

HEADS = ["RUN", "STARTED", "TASK", "STATUS", "DURATION", "REASON"]


def test_a_table_begins_with_the_newest_run(book: Book) -> None:
    book.run("old", ago=300)
    book.run("new", ago=100)
    book.run("oldest", ago=400)
    heads, *rows = answer("runs").splitlines()
    assert without_zone(heads).split() == HEADS
    assert [row.split()[3] for row in rows] == ["new", "old", "oldest"]


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_what_programs_read_begins_with_the_oldest_run(book: Book, form: str) -> None:
    for ago in (100, 300, 200):
        book.run(f"ago{ago}", ago=ago)
    for limit, expected in (((), [300, 200, 100]), (("--limit", "2"), [200, 100])):
        found = answer("runs", "--format", form, *limit)
        assert re.findall(r"ago(\d+)", found) == [str(ago) for ago in expected]


def test_the_record_has_the_fields_of_the_contract_and_no_other(book: Book) -> None:
    outer = book.run("nightly.py", "process", ago=90, server=True)
    ended = failure("exception", exit_code=1, signal="SIGTERM", error=ERROR, caused_by="0" * 16)
    queued: dict[str, Any] = {"attempt": 2, "waited": 12.345678, "enqueued_by": "e" * 16}
    inner = book.run(
        "db.migrate", "invoke", ago=80, duration=2.0, outcome=ended, parent=outer, **queued
    )
    first, second = records()
    assert (list(first), list(second)) == (CONTRACT, CONTRACT)
    assert (first["parent"], first["reason"], first["error"]) == (None, None, None)
    assert (first["attempt"], first["waited"], first["server"]) == (None, None, True)
    finished = second.pop("finished_at")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", finished)
    assert finished > second["started_at"]
    assert second == {
        "run": inner.id,
        "parent": outer.id,
        "root": outer.id,
        "task": "db.migrate",
        "framework": "invoke",
        "status": "failure",
        "reason": "exception",
        "caused_by": "0" * 16,
        "exit_code": 1,
        "signal": "SIGTERM",
        "error": ERROR,
        "started_at": moment(inner.started),
        "duration": 2.0,
        "cpu": 0.25,
        "max_rss": 48 << 20,
        "pid": second["pid"],
        "host": HOST,
        "python": "3.12.1",
        "ruby": None,
        "service": "shop",
        "env": "prod",
        "version": "1.4.2",
        "tags": {"team": "north"},
        "attempt": 2,
        "waited": 12.345678,
        "enqueued_by": "e" * 16,
        "server": False,
        "bookkeeping": False,
        "trigger": "cron",
        "output": None,
    }


def test_a_program_of_ruby_has_its_version_and_none_of_python(book: Book) -> None:
    book.run("environment", "rake", ruby="3.1.2", bookkeeping=True)
    book.run("nightly.py")
    inner, other = records("--all")
    assert (list(inner), list(other)) == (CONTRACT, CONTRACT)
    fields = ("python", "ruby", "bookkeeping")
    assert [inner[field] for field in fields] == [None, "3.1.2", True]
    assert [other[field] for field in fields] == ["3.12.1", None, False]
    rows = list(csv.DictReader(io.StringIO(answer("runs", "--all", "--format", "csv"))))
    assert [[row[field] for field in fields] for row in rows] == [
        ["", "3.1.2", "True"],
        ["3.12.1", "", "False"],
    ]


# How a run of a framework's bookkeeping ended, and whether it is listed unasked.
BOOKKEEPING: list[tuple[Outcome | None, bool]] = [
    (None, False),
    (SUCCESS, False),
    (SKIPPED, False),
    (failure("exit", exit_code=1), True),
    (failure("nested", caused_by="0" * 16), True),
    (Outcome("retried", "exception"), True),
    (Outcome("paused"), True),
]


@pytest.mark.parametrize(("outcome", "is_listed"), BOOKKEEPING)
def test_what_a_framework_runs_for_itself_is_listed_if_it_failed_or_is_asked_for(
    book: Book, outcome: Outcome | None, is_listed: bool
) -> None:
    program = book.run("rake", "process", ago=90)
    for task, ago in (("environment", 80), ("db:migrate", 70)):
        is_own = task == "environment"
        book.run(
            *(task, "rake"), ago=ago, outcome=outcome if is_own else SUCCESS,
            parent=program, bookkeeping=is_own, ruby="3.1.2",
        )  # fmt: skip
    unasked = ["environment"] if is_listed else []
    assert listed() == [*unasked, "db:migrate"]
    assert listed("--limit", "1") == ["db:migrate"]
    assert listed("--task", "env*") == unasked
    assert listed("--task", "environmen?", "--framework", "rake") == unasked
    assert listed("--task", "environment") == ["environment"]
    assert listed("--task", "db:*", "--task", "environment") == ["environment", "db:migrate"]
    assert names("--all") == ["rake", "environment", "db:migrate"]
    assert names("--all", "--task", "e*") == ["environment"]
    assert ("environment" in answer("runs")) is is_listed


def test_unknown_fields_are_null(book: Book) -> None:
    book.line('{"event":"started","run":"00000000000000aa","at":"2026-11-25T10:00:00.000000Z"}')
    (record,) = records()
    empty: dict[str, Any] = {"task": "", "framework": "", "status": "running", "tags": {}}
    empty |= {"trigger": "unknown", "server": False, "bookkeeping": False}
    known = {"run", "root", "started_at", *empty}
    assert {name: record[name] for name in empty} == empty
    assert {record[name] for name in CONTRACT if name not in known} == {None}


def test_an_error_without_a_place_has_null_for_it(book: Book) -> None:
    book.run(outcome=failure("exit", exit_code=1, error={"type": "SystemExit", "message": "no"}))
    assert records()[0]["error"] == {"type": "SystemExit", "message": "no", "where": None}


def test_csv_has_a_line_of_heads_and_one_for_each_run(book: Book) -> None:
    book.run("two\nlines, and a comma", outcome=failure("exception", error=ERROR))
    heads, row = csv.reader(io.StringIO(answer("runs", "--format", "csv")))
    assert heads == CONTRACT
    found = dict(zip(heads, row))
    assert found["task"] == "two\\nlines, and a comma"
    assert found["parent"] == ""
    assert json.loads(found["error"]) == ERROR
    assert json.loads(found["tags"]) == {"team": "north"}


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t=", "\r="])
def test_no_cell_of_csv_is_a_formula(book: Book, begin: str) -> None:
    book.run(f"{begin}1+1")
    _, row = csv.reader(io.StringIO(answer("runs", "--format", "csv")))
    cell = dict(zip(CONTRACT, row))["task"]
    assert cell[0] in "'\\"
    assert cell.endswith("1+1")


FILTERS = [
    ("", "db.migrate db.check nightly.py compile:main.c [odd]"),
    ("--task db.*", "db.migrate db.check"),
    ("--task *m*", "db.migrate compile:main.c"),
    ("--task d?.check", "db.check"),
    ("--task [cd]*", "db.migrate db.check compile:main.c"),
    ("--task [!cd]*", "nightly.py [odd]"),
    ("--task [[]odd]", "[odd]"),
    ("--task DB.*", ""),
    ("--task db", ""),
    ("--status success", "db.migrate [odd]"),
    ("--status failure", "nightly.py"),
    ("--status skipped", "compile:main.c"),
    ("--status running", "db.check"),
    ("--status success --status failure", "db.migrate nightly.py [odd]"),
    ("--status running --status lost", "db.check"),
    ("--framework invoke", "db.migrate db.check"),
    ("--framework doit --framework process", "nightly.py compile:main.c"),
    ("--task db.c* --task [!cd]*", "db.check nightly.py [odd]"),
    ("--task db.* --task n* --status failure --status running --since 2h", "db.check nightly.py"),
    ("--framework inv", ""),
    ("--status success,failure", "db.migrate nightly.py [odd]"),
    ("--framework doit,process", "nightly.py compile:main.c"),
    ("--task db.c*,[odd]", "db.check"),
    ("--task db.c*,[[]odd]", "db.check [odd]"),
    ("--reason exit", "nightly.py"),
    ("--reason signal,exit", "nightly.py"),
    ("--reason exit --status success", ""),
    ("--trigger cron", "db.migrate db.check nightly.py compile:main.c"),
    ("--trigger terminal,systemd", "[odd]"),
    ("--host web1", "db.migrate db.check"),
    ("--host web1,web2 --framework invoke --status success", "db.migrate"),
    ("--service mail --service shop", "db.migrate db.check nightly.py compile:main.c [odd]"),
    ("--service mail", "[odd]"),
    ("--env prod", "db.migrate db.check nightly.py compile:main.c"),
    ("--env staging,prod --service mail", "[odd]"),
    ("--tag team:north", "db.migrate db.check nightly.py compile:main.c"),
    ("--tag team:south,x", "[odd]"),
    ("--tag team", "db.migrate db.check nightly.py compile:main.c [odd]"),
    ("--tag tea", ""),
    ("--tag team:sout", ""),
    ("--tag am:south", ""),
    ("--tag team:west", ""),
    ("--tag team:", ""),
    ("--tag note:", "[odd]"),
    ("--tag url:a:b", "[odd]"),
    ("--tag é", "[odd]"),
    ('--tag "team":"x"', ""),
    ("--since 2h", "db.check nightly.py compile:main.c [odd]"),
    ("--since 90m", "nightly.py compile:main.c [odd]"),
    ("--since 5400s", "nightly.py compile:main.c [odd]"),
    ("--since 1w", "db.migrate db.check nightly.py compile:main.c [odd]"),
    ("--limit 2", "compile:main.c [odd]"),
    ("--limit 0", "db.migrate db.check nightly.py compile:main.c [odd]"),
    ("--limit 9", "db.migrate db.check nightly.py compile:main.c [odd]"),
    ("--task db.* --limit 1", "db.check"),
    ("--task *e* --status success --framework invoke --since 2d", "db.migrate"),
]


@pytest.mark.parametrize(("words", "expected"), FILTERS)
def test_only_the_runs_that_match_are_shown(book: Book, words: str, expected: str) -> None:
    book.run("db.migrate", "invoke", ago=DAY, host="web1")
    book.run("db.check", "invoke", ago=100 * 60, outcome=None, host="web1", identity="x/1/2")
    book.run("nightly.py", "process", ago=HOUR, outcome=failure("exit", exit_code=3))
    book.run("compile:main.c", "doit", ago=60, outcome=SKIPPED)
    more = {"team": "south", "note": "", "url": "a:b", "é": '", "team": "x"', 'a"team': "west"}
    book.run("[odd]", ago=50, trigger="terminal", tags=Tags("mail", "staging", None, more))
    assert listed(*words.split()) == expected.split()
    shown = answer("runs", *words.split())
    assert [name for name in reversed(expected.split()) if name not in shown] == []
    assert len(shown.splitlines()) == 1 + len(expected.split()) if expected else "no runs match\n"


def test_a_task_with_a_comma_in_its_name_is_found(book: Book) -> None:
    for name in ("a,b", "a", "b", "c"):
        book.run(name)
    assert listed("--task", "a,b") == ["a,b", "a", "b"]


def test_runs_since_a_day_are_listed(book: Book) -> None:
    day = time.strftime("%Y-%m-%d", time.localtime(time.time() - 2 * DAY))
    book.run("before", ago=3 * DAY)
    book.run("after", ago=HOUR)
    for since in (day, f"{day}T00:00", f"{day} 00:00"):
        assert listed("--since", since) == ["after"]
    assert listed("--since", "yesterday") == ["after"]
    assert listed("--since", "2999-01-01") == []


def test_a_table_ends_after_fifty_runs_unless_asked_for_more(book: Book) -> None:
    for number in range(60):
        book.run(f"task{number}", ago=100 - number)
    assert len(answer("runs").splitlines()) == 51
    assert len(answer("runs", "--limit", "0").splitlines()) == 61
    assert len(names()) == 60


REASONS = [
    (SUCCESS, "success 1.50s"),
    (SKIPPED, "skipped 1.50s"),
    (Outcome("skipped", "overlap"), "skipped 1.50s overlap"),
    (Outcome("retried", "exit", 3), "retried 1.50s exit 3"),
    (Outcome("paused", "later"), "paused 1.50s later"),
    (failure("timeout"), "failure 1.50s timeout"),
    (failure("exit", exit_code=3), "failure 1.50s exit 3"),
    (failure("signal", signal="SIGKILL"), "failure 1.50s signal SIGKILL"),
    (failure("oom", signal="SIGKILL"), "failure 1.50s oom SIGKILL"),
    (failure("usage", exit_code=2), "failure 1.50s usage"),
    (failure("interrupted"), "failure 1.50s interrupted"),
    (failure("nested", error=ERROR, caused_by="0" * 16), "failure 1.50s nested"),
    (failure("exception", error=ERROR), "failure 1.50s exception ValueError: no such shop"),
    (
        failure("exception", error={**ERROR, "message": "\n no\n\nsuch \t shop\n"}),
        "failure 1.50s exception ValueError: no such shop",
    ),
    (
        failure("exit", exit_code=5, error={"type": "UnexpectedExit", "message": UNEXPECTED}),
        "failure 1.50s exit 5 UnexpectedExit: 'make all'",
    ),
    (
        failure("exit", exit_code=5, error={"type": "UnexpectedExit", "message": "another's"}),
        "failure 1.50s exit 5 UnexpectedExit: another's",
    ),
]


@pytest.mark.parametrize(("outcome", "expected"), REASONS)
def test_a_row_says_how_it_ended_and_why(book: Book, outcome: object, expected: str) -> None:
    book.run(outcome=outcome)  # type: ignore[arg-type]
    row = answer("runs").splitlines()[1]
    assert " ".join(row.split()[4:]) == expected


def test_a_retried_attempt_has_a_colour_that_is_no_alarm(book: Book) -> None:
    book.run(outcome=Outcome("retried", "exception"))
    shown = on_terminal("runs", columns=120)
    colours = dict(re.findall(r"\x1b\[(\d+)m(retried|failure)", shown))
    assert [*colours.values()] == ["retried"]
    assert "31" not in colours  # red
    assert len({*output.STATUS_STYLES.values()}) == len(output.STATUS_STYLES)


def test_what_a_queue_tells_is_in_the_record_of_a_real_run(tmp_path: Path) -> None:
    program = """
        from autotask import recorder
        from autotask.queued import Queued, retried
        from autotask.run import failure
        asker = recorder.start("orders", "shop")
        known = Queued(attempt=3, waited=2.5, enqueued_by=asker.id)
        recorder.end(recorder.start("mail", "shop", queued=known), retried(failure("timeout")))
        recorder.succeed(asker)
    """
    assert run_program(write(tmp_path / "shop.py", program)).stderr == ""
    _, asker, mail = records()
    assert (mail["status"], mail["reason"]) == ("retried", "timeout")
    assert (mail["attempt"], mail["waited"]) == (3, 2.5)
    assert (mail["enqueued_by"], mail["server"]) == (asker["run"], False)


def test_a_long_reason_is_cut_in_the_table_but_not_for_programs(book: Book) -> None:
    error = {"type": "ValueError", "message": "x" * 490}
    book.run(outcome=failure("exception", error=error))
    row = answer("runs").splitlines()[1]
    assert row.endswith("xxx...")
    assert len(row) < 260
    assert records()[0]["error"]["message"] == "x" * 490


def test_a_run_is_running_only_while_its_process_lives(book: Book) -> None:
    pid, identity = dead_process()
    book.run("lives", outcome=None, ago=100)
    book.run("died", outcome=None, ago=90, pid=pid, identity=identity)
    book.run("reused", outcome=None, ago=80, identity=identity)  # our own id, another start
    book.run("elsewhere", outcome=None, ago=70, identity="other/1/2", host="other")
    found = {record["task"]: (record["status"], record["reason"]) for record in records()}
    assert found == {
        "lives": ("running", None),
        "died": ("failure", "lost"),
        "reused": ("failure", "lost"),
        "elsewhere": ("running", None),
    }
    assert names("--status", "running") == ["lives", "elsewhere"]
    assert re.search(r"lives +running +1m4\ds\+\n", answer("runs"))


def test_a_status_that_does_not_exist_is_named(book: Book) -> None:
    book.run("mail")
    assert "failed is not a status: success, failure" in answer("runs", "--status", "failed")
    assert answer("runs", "--status", "failure") == "no runs match\n"
    assert answer("runs", "--status", "retried") == "no runs match\n"
    book.run("mail", outcome=Outcome("paused"), ago=DAY)
    assert answer("runs", "--status", "paused", "--since", "1h") == "no runs match\n"


@pytest.mark.parametrize("command", ["runs", "tasks"])
@pytest.mark.parametrize("form", ["jsonl", "json", "csv"])
def test_so_it_is_on_standard_error_in_the_formats_for_programs(
    book: Book, command: str, form: str
) -> None:
    book.run("mail")
    ended = autotask(command, "--status", "failed", "--format", form)
    told = "autotask: failed is not a status: success, failure, running, skipped or retried\n"
    assert (ended.status, ended.stderr) == (0, told)
    assert ended.stdout == answer(command, "--status", "failure", "--format", form)


# Of runs that are open: the process, for how long, whose mark is there, and whether it has ended.
UNHEARD: dict[str, tuple[str, float, str, bool]] = {
    "elsewhere": ("other/1/2", 8 * DAY, "", True),
    "no boot": ("?/?/?", 8 * DAY, "", True),
    "no process": ("", 8 * DAY, "", True),
    "not long": ("other/1/2", 6 * DAY, "", False),
    "marked": ("other/1/3", 8 * DAY, "its own", False),
    "launched": ("other/1/4", 8 * DAY, "its launcher's", False),
    "here": (procfs.identity(), 8 * DAY, "", False),
}


def test_a_run_of_unknown_fate_is_lost_after_a_week_unless_it_has_a_mark(
    book: Book, home: Path, datagrams: Datagrams
) -> None:
    ours = Journal(str(home))
    for task, (identity, ago, whose, _) in UNHEARD.items():
        pid = 7 if task != "here" else os.getpid()
        run = book.run(task, outcome=None, ago=ago, pid=pid, identity=identity, host="other")
        name = f"launcher-{run.id}-6" if "launcher" in whose else f"7-{run.id}"
        if whose:
            of = (identity, 7) if "own" in whose else ("other/1/1", 6)
            assert leave_mark(ours, name, *of, "other", run.root)
    (home / "open").mkdir(exist_ok=True)
    ours.close()
    found = {record["task"]: record["reason"] == "lost" for record in records()}
    assert found == {task: row[-1] for task, row in UNHEARD.items()}
    assert begun_and_ended(home).count("finished") == 3
    sent = datagrams.lines("autotask.task.runs", wait=5)
    assert sum("reason:lost" in line for line in sent) == 3
    assert [record["reason"] for record in records()].count("lost") == 3
    assert begun_and_ended(home).count("finished") == 3


def begun_and_ended(home: Path) -> list[str]:
    """Return the kinds of the journal's lines, but for those about what was sent."""
    return [line["event"] for line in lines(home) if line["event"] != "unsent"]


def test_the_end_of_a_killed_program_is_written_to_the_journal(tmp_path: Path, home: Path) -> None:
    program = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
    assert run_program(write(tmp_path / "shop.py", program)).status == -signal.SIGKILL
    assert begun_and_ended(home) == ["started"]
    (record,) = records()
    assert (record["task"], record["status"], record["reason"]) == ("shop.py", "failure", "lost")
    assert begun_and_ended(home) == ["started", "finished"]


def test_so_is_the_end_of_one_whose_mark_could_not_be_written(
    book: Book, home: Path, datagrams: Datagrams
) -> None:
    pid, identity = dead_process()
    outer = book.run("outer", outcome=None, pid=pid, identity=identity)
    inner = book.run("inner", outcome=None, pid=pid, identity=identity, parent=outer)
    (home / "open").mkdir()
    with ThreadPoolExecutor() as pool:
        list(pool.map(answer, ["runs"] * 4))  # at once
    ends = [line for line in lines(home) if line["event"] == "finished"]
    assert [(end["run"], end["reason"]) for end in ends] == [
        (inner.id, "lost"),
        (outer.id, "nested"),
    ]
    assert {record["finished_at"] for record in records()} == {end["at"] for end in ends}
    sent = datagrams.lines("autotask.task.runs", wait=5)
    assert len(sent) == 2
    assert all("service:shop" in line and "team:north" in line for line in sent)


def test_a_lost_run_of_a_frameworks_bookkeeping_is_sent_without_a_service_check(
    book: Book, home: Path, datagrams: Datagrams
) -> None:
    pid, identity = dead_process()
    (home / "open").mkdir(mode=0o700, parents=True)
    for is_own in (False, True):
        task = "environment" if is_own else "db:migrate"
        book.run(task, "rake", outcome=None, pid=pid, identity=identity, bookkeeping=is_own)
    assert [record["reason"] for record in records()] == ["lost"] * 2
    checks = datagrams.lines("_sc", wait=5)
    assert ["task:db:migrate" in check for check in checks] == [True]
    assert len(datagrams.lines("autotask.task.runs")) == len(datagrams.lines("_e")) == 2


def test_a_lost_run_under_a_dead_launcher_is_ended_even_if_its_mark_is_torn(
    book: Book, home: Path
) -> None:
    pid, identity = dead_process()
    run = book.run(outcome=None, pid=pid, identity=identity)
    (home / "open").mkdir()
    (home / "open" / f"launcher-{run.id}-{pid}").touch()
    assert records()[0]["reason"] == "lost"
    assert begun_and_ended(home) == ["started", "finished"]


def test_a_lost_run_is_not_ended_twice(book: Book, home: Path) -> None:
    pid, identity = dead_process()
    run = book.run(outcome=None, pid=pid, identity=identity)
    (home / "open").mkdir()
    with contextlib.closing(open_index(str(home))) as index:
        book.finish(run, failure("lost"))  # by another command, while this one waits
        end_lost(Settings(os.environ), str(home), index)
    assert begun_and_ended(home) == ["started", "finished"]


@pytest.mark.parametrize("torn", [False, True])
def test_a_lost_run_under_a_living_launcher_is_left_to_it(
    torn: bool, book: Book, home: Path
) -> None:
    pid, identity = dead_process()
    run = book.run(outcome=None, pid=pid, identity=identity)
    ours = Journal(str(home))
    name = f"launcher-{run.id}-{os.getpid()}"
    mark = leave_mark(ours, name, procfs.identity(), os.getpid(), HOST, run.root)
    assert mark is not None
    if torn:  # by a full disk; signed by the agent in the command
        os.truncate(mark, 0)
        os.utime(mark, (0, 0))
    assert records()[0]["reason"] == "lost"
    assert begun_and_ended(home) == ["started"]
    os.unlink(mark)
    assert records()[0]["reason"] == "lost"
    assert begun_and_ended(home) == ["started", "finished"]


def test_an_end_in_the_journal_replaces_a_presumed_loss(book: Book) -> None:
    pid, identity = dead_process()
    run = book.run(outcome=None, pid=pid, identity=identity)
    assert records()[0]["reason"] == "lost"
    book.finish(run, failure("signal", signal="SIGSEGV"))
    assert (records()[0]["reason"], records()[0]["signal"]) == ("signal", "SIGSEGV")


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
@pytest.mark.parametrize("what", ["no home", "no journal", "an empty segment"])
def test_before_the_first_run_only_people_get_a_hint(
    book: Book, home: Path, form: str, what: str
) -> None:
    if what != "no home":
        (home / "journal").mkdir(parents=True)
    if what == "an empty segment":
        book.segment().touch()
    found = answer("runs", "--format", form)
    if form == "table":
        assert found.startswith("no runs")
    else:
        assert found == {"json": "[]\n", "jsonl": "", "csv": ",".join(CONTRACT) + "\n"}[form]
    assert home.exists() == (what != "no home")
