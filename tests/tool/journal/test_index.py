"""The index: it says what the journal says, whatever happens to either of them."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import wait_until
from tool.journals import (
    DAY,
    HOUR,
    Book,
    answer,
    autotask,
    dead_process,
    names,
    obey_modes,
    on_terminal,
    records,
)

from autotask import journal
from autotask.journal import moment
from autotask.run import SUCCESS, End, Outcome, failure
from autotask.tool.journal import index, opening, retention, segments, waiting
from autotask.tool.journal.record import COLUMNS, FIELDS

VERSION = 6


def index_of(home: Path) -> Path:
    return home / "index.sqlite3"


def ask(home: Path, statement: str) -> list[tuple[object, ...]]:
    """Ask, or change, the index itself."""
    with contextlib.closing(sqlite3.connect(index_of(home), isolation_level=None)) as connection:
        *first, last = statement.split("; ")
        for each in first:
            connection.execute(each)
        return connection.execute(last).fetchall()


def test_only_what_was_appended_is_read(book: Book, home: Path) -> None:
    for task in ("first", "second", "third"):
        book.run(task, ago=10)
    assert names() == ["first", "second", "third"]
    (path,) = (home / "journal").iterdir()
    with path.open("r+") as file:  # what is neither at its begin nor at its end is not looked at
        text = file.read()
        file.seek(0)
        file.write(text.replace("second", "SECOND"))
    book.run("fourth", ago=5)
    assert names() == ["first", "second", "third", "fourth"]
    assert ask(home, "SELECT count(*) FROM segment WHERE consumed < size") == [(0,)]


def test_a_run_that_was_running_ends_in_a_later_reading(book: Book) -> None:
    run = book.run(ago=2 * HOUR, outcome=None)
    assert records()[0]["status"] == "running"
    book.finish(run, failure("exit", exit_code=3))
    assert [(record["status"], record["exit_code"]) for record in records()] == [("failure", 3)]


def test_an_end_may_come_before_its_start(book: Book) -> None:
    run = book.run(ago=100, outcome=None)
    path = book.segment(100)
    started = path.read_text()
    path.unlink()
    book.finish(run)
    assert names() == []
    book.line(started, end="")
    assert [(record["task"], record["status"]) for record in records()] == [("nightly", "success")]


@pytest.mark.parametrize("readings", [1, 2])
def test_of_two_ends_the_first_counts(book: Book, readings: int) -> None:
    run = book.run(outcome=None, ago=100)
    book.finish(run, failure("signal", signal="SIGKILL"), ago=50)
    if readings == 2:
        records()
    book.finish(run, failure("lost"), ago=40)
    (record,) = records()
    assert (record["reason"], record["signal"]) == ("signal", "SIGKILL")


@pytest.mark.parametrize("readings", [1, 2])
@pytest.mark.parametrize("first", ["lost", "own"])
def test_an_end_of_its_own_replaces_lost(book: Book, first: str, readings: int) -> None:
    """Another machine or container may be wrong about a process; the process itself is not."""
    run = book.run(outcome=None, ago=100)
    ends = [failure("lost"), SUCCESS] if first == "lost" else [SUCCESS, failure("lost")]
    for outcome in (*ends, failure("lost")):
        book.finish(run, outcome, ago=50)
        if readings > 1:
            records()
    (record,) = records()
    assert (record["status"], record["reason"]) == ("success", None)


@pytest.mark.parametrize("when", ["before a new run", "between two questions"])
def test_the_index_can_be_deleted_at_any_time(book: Book, home: Path, when: str) -> None:
    book.run("first", ago=3 * HOUR)
    before = answer("runs", "--format", "jsonl")
    index_of(home).unlink()
    if when == "before a new run":
        book.run("second")
        assert names() == ["first", "second"]
    else:
        assert answer("runs", "--format", "jsonl") == before


def test_the_index_can_be_deleted_while_it_is_read_and_rebuilt(book: Book, home: Path) -> None:
    for number in range(2000):
        book.run(f"task{number}", ago=DAY)
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(names) for _ in range(12)]
        while not all(one.done() for one in asked):
            index_of(home).unlink(missing_ok=True)
            time.sleep(0.02)
    assert {len(one.result()) for one in asked} == {2000}


def test_an_index_of_an_older_version_is_rebuilt(book: Book, home: Path) -> None:
    book.run()
    with contextlib.closing(sqlite3.connect(index_of(home))) as connection:
        connection.executescript("CREATE TABLE run (old TEXT); CREATE INDEX other ON run (old);")
    assert names() == ["nightly"]
    assert ask(home, "PRAGMA user_version") == [(VERSION,)]


@pytest.mark.parametrize("words", ["runs", "tasks", "show 0123", "prune --keep 1d"])
def test_an_index_of_a_newer_version_is_left_alone(book: Book, home: Path, words: str) -> None:
    book.run()
    names()
    ask(home, f"PRAGMA user_version = {VERSION + 1}")
    ended = autotask(*words.split())
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"autotask: {index_of(home)} was written by a newer autotask: upgrade this one, or "
        "delete the file (it is rebuilt from the journal)\n"
    )
    assert ask(home, "SELECT count(*) FROM run") == [(1,)]


def overwrite(path: Path, place: float, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(int(place * path.stat().st_size))
        file.write(data)


def damaged(home: Path) -> str:
    return f"autotask: {index_of(home)} is damaged: rebuilding it from the journal\n"


DAMAGES: dict[str, Callable[[Path], object]] = {
    "garbage at its start": lambda path: overwrite(path, 0, os.urandom(200)),
    "garbage all over": lambda path: path.write_bytes(os.urandom(20_000)),
    "no tables": lambda path: ask(path.parent, "DROP TABLE run"),
    "other columns": lambda path: ask(path.parent, "ALTER TABLE run RENAME started_in TO x"),
    "cut short": lambda path: os.truncate(path, 5000),
    "empty": lambda path: path.write_bytes(b""),
    "no text": lambda path: ask(path.parent, "UPDATE run SET task = CAST(x'ff' AS TEXT)"),
    "no JSON": lambda path: ask(path.parent, "UPDATE run SET tags = '{'"),
    "other JSON": lambda path: ask(path.parent, "UPDATE run SET error = '[1]'"),
    "bytes for text": lambda path: ask(path.parent, "UPDATE run SET status = x'00ff'"),
    "bytes for a number": lambda path: ask(path.parent, "UPDATE segment SET size = x'00'"),
    "a view for a table": lambda path: ask(
        path.parent, "DROP TABLE run; CREATE VIEW run AS SELECT 1; PRAGMA user_version = 1"
    ),
    "a version that never was": lambda path: ask(path.parent, "PRAGMA user_version = 99999999"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_index_is_rebuilt(book: Book, home: Path, damage: str) -> None:
    for number in range(100):
        book.run(f"task{number}", ago=200 - number)
    before = answer("runs", "--format", "jsonl")
    DAMAGES[damage](index_of(home))
    book.run("late")
    ended = autotask("runs", "--format", "jsonl")
    assert (ended.status, ended.stdout[: len(before)]) == (0, before)
    assert ended.stderr == ("" if damage == "empty" else damaged(home))
    assert names()[-1] == "late"
    assert ask(home, "PRAGMA integrity_check") == [("ok",)]


QUESTIONS = ["runs --format jsonl", "runs --format csv", "runs", "tasks", "prune --max-size 100k"]


@pytest.mark.parametrize("words", QUESTIONS)
def test_damage_found_during_a_query_is_one_notice_and_the_answer_is_complete(
    words: str, book: Book, home: Path
) -> None:
    for number in range(600):
        book.run(f"task{number}", ago=10.5 * DAY - number)
    names()
    damage = "UPDATE run SET task = CAST(x'ff' AS TEXT), run = CAST(x'ff' AS TEXT) || run"
    ask(home, f"{damage} WHERE rowid % 300 = 299")
    ended = autotask(*words.split())
    assert (ended.status, ended.stderr) == (0, damaged(home))
    if words.startswith("prune"):
        assert 150 < len(names()) < 300
    else:
        assert ended.stdout == answer(*words.split())
        assert len(names()) == 600


def test_a_folder_beside_the_index_stops_nothing(book: Book, home: Path) -> None:
    book.run()
    home.joinpath("index.sqlite3-wal").mkdir()
    ended = autotask("runs", "--format", "csv")
    assert (ended.status, ended.stdout.count("nightly")) == (0, 1)
    assert ended.stderr == (
        f"autotask: not using {index_of(home)}: it, or a file beside it, is not a regular file of "
        "this user\n"
    )


ODD_LINES = [
    "",
    "no json",
    "[1, 2]",
    "null",
    "{}",
    '{"event":"started"}',
    '{"event":"started","run":7,"at":true}',
    '{"event":"started","run":"","at":""}',
    '{"event":"paused","run":"00000000000000aa","at":"2026-11-25T10:00:00.000000Z"}',
    '{"event":"finished","run":"00000000000000aa","at":"2026-11-25T10:00:00.000000Z"}',
    '{"event":"finished","run":"00000000000000aa","at":"2026-11-25T10:00:00Z","status":"great"}',
    "[" * 100_000,
    "\x00\x00\x00",
    '{"event":"started","run":"00000000000000aa","root":"00000000',
]


@pytest.mark.parametrize("line", ODD_LINES)
def test_a_line_with_nothing_known_harms_no_other(book: Book, line: str) -> None:
    book.run("before", ago=10)
    book.line(line)
    book.run("after", ago=5)
    assert names() == ["before", "after"]
    assert answer("tasks").count("\n") == 3


def test_values_of_other_kinds_and_unknown_fields_harm_nothing(book: Book) -> None:
    at = '"at":"2026-11-25T10:00:00.000000Z"'
    book.line(
        f'{{"event":"started","run":"00000000000000aa",{at},"task":"odd","framework":"click",'
        '"parent":3,"pid":"x","host":null,"tags":["a"],"trigger":{},"mood":"good","pids":[1]}'
    )
    book.line(
        f'{{"event":"finished","run":"00000000000000aa",{at},"status":"failure","exit_code":1.5,'
        '"error":"text","duration":1e999,"cpu":NaN,"max_rss":1' + "0" * 30 + "}"
    )
    (record,) = records()
    assert (record["task"], record["status"], record["tags"]) == ("odd", "failure", {})
    unknown = ("parent", "pid", "host", "exit_code", "error", "duration", "cpu", "max_rss")
    assert {record[name] for name in unknown} == {None}
    assert answer("runs").splitlines()[1].split()[3:] == ["odd", "failure", "-"]


@pytest.mark.parametrize("status", ["paused", "frobnicated"])
def test_an_unknown_status_and_unknown_fields_are_shown_as_they_are(
    status: str, book: Book
) -> None:
    pid, identity = dead_process()
    run = book.run("mail", outcome=None, ago=60, pid=pid, identity=identity)
    more = {"tries": 2, "mood": {"good": True}, "task": "no"}
    at = "2026-11-25T10:00:00.000000Z"
    end = {"event": "finished", "run": run.id, "root": run.root, "at": at, "status": status}
    book.line(json.dumps({**end, "duration": 2.0, "reason": "exception", **more}))
    (record,) = records()
    assert (record["task"], record["status"], record["reason"]) == ("mail", status, "exception")
    assert (record["tries"], record["mood"], record["duration"]) == (2, {"good": True}, 2.0)
    assert answer("runs").splitlines()[1].split()[3:] == ["mail", status, "2.00s", "exception"]
    assert names("--status", status) == ["mail"]
    assert names("--status", "failure") == []
    assert f"\nstatus     {status}\n" in answer("show", run.id)
    assert '\nmood       {"good": true}\n' in answer("show", run.id)
    (task,) = answer("tasks").splitlines()[1:]
    assert task.split()[:5] == ["mail", "click", "1", "-", status]
    heads, row = answer("runs", "--format", "csv").splitlines()
    assert status in row.split(",")
    assert "tries" not in heads


def test_a_run_under_another_one_may_have_any_status(book: Book) -> None:
    outer = book.run("nightly", ago=60)
    book.run("mail", ago=50, parent=outer, outcome=Outcome("frobnicated"))
    assert "mail  frobnicated" in answer("show", outer.id)
    colours = on_terminal("runs")
    assert "frobnicated" in colours


@pytest.mark.parametrize("status", ["", "running", 3, None, ["paused"]])
def test_an_end_without_a_status_is_an_end(status: object, book: Book, home: Path) -> None:
    pid, identity = dead_process()
    run = book.run("mail", outcome=None, ago=60, pid=pid, identity=identity)
    end = {"event": "finished", "run": run.id, "root": run.root, "at": moment(time.time())}
    book.line(json.dumps({**end, "status": status}))
    assert [record["status"] for record in records()] == ["unknown"]
    assert names("--status", "unknown") == ["mail"]
    assert book.segment().read_text().count('"event": "finished"') == 1


def test_a_line_glued_to_a_torn_one_counts(book: Book) -> None:
    book.line('{"event":"started","run":"00000000000000aa","root":"0000', end="")
    book.run("after", ago=5)
    assert names() == ["after"]


def test_a_whole_line_without_its_end_counts_once(book: Book) -> None:
    run = book.run("first", outcome=None, ago=20)
    path = book.segment(20)
    path.write_text(path.read_text().rstrip("\n"))
    assert names() == ["first"]
    book.finish(run, ago=5)  # glued to it
    assert [(record["task"], record["status"]) for record in records()] == [("first", "success")]


def test_a_line_that_is_being_written_behind_another_one_is_read_to_its_end(book: Book) -> None:
    run = book.run("first", outcome=None, ago=20)
    (path,) = (book.home / "journal").iterdir()
    line = journal.finished_line(run, End(SUCCESS, time.time(), 1.5))
    path.write_text(path.read_text().rstrip("\n") + line[:40])
    assert names() in ([], ["first"])
    with path.open("a") as file:
        file.write(f"{line[40:]}\n")
    assert [(record["task"], record["status"]) for record in records()] == [("first", "success")]


@pytest.mark.parametrize("kind", ["a pipe", "a folder", "a link", "a link to itself"])
def test_what_only_has_the_name_of_a_segment_is_skipped(book: Book, home: Path, kind: str) -> None:
    run = book.run(ago=3 * DAY)
    odd = home / "journal" / "2020-01-01T00.jsonl"
    if kind == "a pipe":
        os.mkfifo(odd)
    elif kind == "a folder":
        odd.mkdir()
    else:
        odd.symlink_to(odd if "itself" in kind else book.segment(3 * DAY))
    for words in ("tasks", f"show {run.id}", "prune --max-size 1"):
        assert autotask(*words.split()).status == 0
    ended = autotask("runs", "--format", "jsonl")
    assert (ended.status, ended.stdout) == (0, "")
    assert ended.stderr == f"autotask: cannot read {odd}: not a regular file\n"
    assert odd.is_symlink() or odd.exists()


def test_a_line_in_the_middle_of_its_writing_counts_when_it_is_whole(book: Book) -> None:
    book.run("first", ago=20)
    book.run("second", ago=10)
    path = book.segment(10)
    text = path.read_text()
    for size in range(len(text) - 900, len(text) + 1, 50):
        path.write_text(text[:size])
        assert set(names()) <= {"first", "second"}
    path.write_text(text)
    assert [record["status"] for record in records()] == ["success", "success"]


@pytest.mark.parametrize("change", ["deleted", "replaced", "cut", "all gone"])
def test_the_index_follows_a_journal_that_others_change(
    book: Book, home: Path, change: str
) -> None:
    book.run("old", ago=5 * HOUR)
    book.run("gone", ago=3 * HOUR)
    book.run("new", ago=10)
    assert len(names()) == 3
    path = book.segment(3 * HOUR)
    if change == "deleted":
        path.unlink()
    elif change == "replaced":
        other = path.with_name("other")
        other.write_text(path.read_text().replace("gone", "here") + " " * 3000 + "\n")
        other.replace(path)
        assert names() == ["old", "here", "new"]
        return
    elif change == "cut":
        os.truncate(path, 0)
    else:
        for segment in (home / "journal").iterdir():
            segment.unlink()
        assert answer("runs", "--format", "jsonl") == ""
        book.run("new", ago=5)
        assert names() == ["new"]
        return
    assert names() == ["old", "new"]


def both(home: Path) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Return the runs of the index as it has grown, and of a rebuilt one."""
    statement = f"SELECT {COLUMNS} FROM run WHERE started_at IS NOT NULL ORDER BY run"
    grown, built = index.open_index(str(home)), index.open_temporary(str(home))
    with contextlib.closing(grown), contextlib.closing(built):
        return [*grown.rows(statement)], [*built.rows(statement)]


def written_over(path: Path, text: str) -> None:
    """Write into a file as `cp` does: it is the same one, and so may be its size."""
    inode = path.stat().st_ino
    path.write_text(text)
    assert path.stat().st_ino == inode


# What becomes of the lines of a segment, of six runs of a task called old.
REPLACED: dict[str, Callable[[list[str]], list[str]]] = {
    "a larger one": lambda old: [line.replace("old", "new, and longer") for line in old],
    "a smaller one": lambda old: [line.replace("old", "n") for line in old],
    "one of that size": lambda old: [line.replace("old", "new") for line in old],
    "one of that size and beginning": lambda old: [*old[:2], *old[4:], *old[2:4]],
    "one without its first run": lambda old: old[2:],
    "one that was cut and has grown since": lambda old: [*old[:4], *old[:2], *old[4:]],
    "one of longer lines, cut": lambda old: [line.replace("old", "older") for line in old[:10]],
    "itself, touched": lambda old: old,
    "itself and more": lambda old: [*old, *(line.replace("0000", "1111", 1) for line in old[:2])],
    "one without a whole line": lambda old: [old[0][:-20]],
    "nothing": lambda old: [],
}


@pytest.mark.parametrize("change", REPLACED)
def test_an_overwritten_segment_is_read_again(change: str, book: Book, home: Path) -> None:
    for number in range(6):
        book.run("old", ago=5 * HOUR - number / 9)
    book.run("other", ago=HOUR)
    assert len(both(home)[0]) == 7
    path = book.segment(5 * HOUR)
    old = path.read_text().splitlines(keepends=True)
    path.write_text("".join(REPLACED[change](old)))
    grown, built = both(home)
    assert grown == built
    book.line("", ago=5 * HOUR)
    grown, built = both(home)
    assert grown == built


@pytest.mark.parametrize("first", ["one", "two"])
def test_a_run_that_two_segments_tell_of_stays_when_one_goes(
    first: str, book: Book, home: Path
) -> None:
    run = book.run("twice", ago=5 * HOUR, outcome=None)
    book.finish(run, failure("lost"), ago=4 * HOUR)
    book.finish(run, ago=3 * HOUR)
    book.run("other", ago=5 * HOUR)
    copy = book.segment(6 * HOUR)
    copy.write_bytes(book.segment(5 * HOUR).read_bytes())
    assert len(both(home)[0]) == 2
    (book.segment(5 * HOUR) if first == "one" else copy).unlink()
    grown, built = both(home)
    assert grown == built
    assert len(grown) == 2
    book.segment(3 * HOUR).unlink()
    grown, built = both(home)
    assert grown == built
    assert [row[FIELDS.index("reason")] for row in grown if "twice" in row] == ["lost"]


def refreshed(home: Path, meanwhile: list[Callable[[], object]]) -> list[tuple[object, ...]]:
    """Bring an index up to date; return its runs. Each look at the journal has something before it.

    That is what another command may do at that moment.
    """
    before = iter(meanwhile)

    def listed(unreadable: dict[str, str]) -> list[segments.Segment]:
        next(before, bool)()
        return segments.listed(folder, unreadable)

    path, folder = str(index_of(home)), str(home / "journal")
    source = segments.Source(folder, listed, list)
    with contextlib.closing(index.Index(waiting.connect(path), path, source)) as asked:
        asked.refresh()
        return [*asked.rows("SELECT task, status FROM run ORDER BY task")]


def test_another_command_may_forget_a_segment_between_two_looks(book: Book, home: Path) -> None:
    book.run()
    with contextlib.closing(index.open_index(str(home))) as other:
        assert refreshed(home, [lambda: other.reader.forget([1])]) == [("nightly", "success")]


def test_no_run_is_lost_because_it_got_the_rowid_of_a_dead_one(book: Book, home: Path) -> None:
    book.line("")
    index.open_index(str(home)).close()
    pid, identity = dead_process()
    book.run("dead", pid=pid, identity=identity, outcome=None)
    book.run("living", outcome=None)
    path = book.segment(60)
    dead, living = path.read_text().lstrip().splitlines(keepends=True)
    found = refreshed(home, [bool, bool, lambda: written_over(path, f"\n{living}{dead}")])
    assert found == [("dead", "failure"), ("living", "running")]


def test_a_question_has_one_answer_whatever_is_pruned_meanwhile(book: Book, home: Path) -> None:
    """What a command has found is taken for damage of the index if it is gone at the next look."""
    book.run(ago=5 * DAY)

    def counts(asked: index.Index | None) -> list[tuple[object, ...]]:
        assert asked is not None
        first = list(asked.rows("SELECT count(*) FROM run"))
        assert retention.prune(str(home), retention.DEFAULT_BOUND, DAY).runs == 1
        return [*first, *asked.rows("SELECT count(*) FROM run")]

    assert opening.ask(counts) == [(1,), (1,)]


ASK_ALL = """
import sys
from autotask.tool import cli
for words in sys.argv[1:]:
    assert cli.main(words.split()) == 0
    print(words, file=sys.stderr)
"""
NOT_READ = {
    "a file for nobody": "Permission denied",
    "a file of a bad disk": "Input/output error",
    "a folder": "not a regular file",
    "a pipe": "not a regular file",
    "a link": "not a regular file",
}


@pytest.mark.parametrize("kind", NOT_READ)
def test_an_unreadable_segment_is_one_notice_and_stops_nothing(
    kind: str, book: Book, home: Path
) -> None:
    kept = book.run("kept", ago=3 * DAY, outcome=failure("exit", exit_code=1))
    book.run("old", ago=3 * DAY)
    book.run("new")
    pid, identity = dead_process()
    across = book.run("across", ago=3 * DAY, outcome=None, pid=pid, identity=identity)
    path = book.segment(2 * DAY)
    command = [sys.executable, "-c", ASK_ALL]
    if kind == "a file for nobody":
        book.finish(across, ago=2 * DAY)
        path.chmod(0)
    elif kind == "a file of a bad disk":
        path.touch()
        bind = f'mount --bind /proc/$$/mem {path} && exec "$@"'  # memory that is not there
        command = ["unshare", "--mount", "sh", "-c", bind, "sh", *command]
        if os.geteuid() or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
            pytest.skip("unshare --mount is not allowed here")
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(book.segment(3 * DAY))
    size = sum(path.stat().st_size for path in (home / "journal").iterdir() if path.is_file())
    if kind == "a link":
        size -= path.stat().st_size
    words = ["runs", "tasks", f"show {kept.id}", f"prune --max-size {size - 300}"]
    asked = subprocess.run(
        [*command, *words], capture_output=True, text=True, check=False, preexec_fn=obey_modes
    )
    said = asked.stderr.splitlines()
    notice = f"autotask: cannot read {path}: {NOT_READ[kind]}"
    told = [line for word in words for line in (notice, word)]
    assert [line for line in said if "still more than" not in line] == told
    assert "dropped 1 run (" in asked.stdout
    assert all(task in asked.stdout for task in ("kept", "old", "new", "across"))
    if kind == "a file for nobody":
        path.chmod(0o600)
        assert [record["status"] for record in records("--task", "across")] == ["success"]
        assert path.read_text().count("\n") == 1


def test_a_segment_that_takes_long_to_refuse_is_tried_once(book: Book) -> None:
    """As a bad disk does; here a turn has no time for any segment."""
    for days in range(1, 4):
        book.run(f"task{days}", ago=days * DAY)
    book.segment(2 * DAY).chmod(0)
    code = (
        "from autotask.tool import cli; from autotask.tool.journal import segment_reader;"
        "segment_reader._TURN = -1.0; cli.main(['runs'])"
    )
    command = [sys.executable, "-c", code]
    asked = subprocess.run(
        command, capture_output=True, text=True, check=True, preexec_fn=obey_modes, timeout=30
    )
    assert [task in asked.stdout for task in ("task1", "task2", "task3")] == [True, False, True]
    assert asked.stderr.count("\n") == 1


@pytest.mark.parametrize("before", ["no index", "an index"])
def test_a_read_only_home_can_be_read(book: Book, home: Path, before: str) -> None:
    book.run("first", ago=100)
    if before == "an index":
        assert names() == ["first"]
    book.run("second", ago=50, outcome=None)
    known = sorted(home.iterdir())
    folders = [home, home / "journal"]
    files = [path for path in home.rglob("*") if path.is_file()]
    for path in (*files, *folders):
        path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        for words in ("runs", "tasks"):
            found = answer(*words.split(), preexec_fn=obey_modes)
            assert "first" in found
            assert "second" in found
        ended = autotask("prune", "--keep", "1h", preexec_fn=obey_modes)
        assert (ended.status, ended.stderr) == (0, "")  # nothing is old enough to be touched
    finally:
        for path in folders:
            path.chmod(0o700)
    assert sorted(home.iterdir()) == known


def test_no_other_user_can_read_the_index(book: Book, home: Path) -> None:
    book.run()
    home.chmod(0o755)
    names()
    assert index_of(home).stat().st_mode & 0o777 == 0o600


def test_many_commands_at_once_all_see_everything(book: Book) -> None:
    for number in range(3000):
        book.run(f"task{number % 7}", ago=2 * DAY - number * 20)
    with ThreadPoolExecutor(8) as pool:
        found = [one.result() for one in [pool.submit(names) for _ in range(8)]]
    assert {len(one) for one in found} == {3000}


WRITER = """
import sys, time
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from tool.journals import Book
book = Book(Path(sys.argv[1]))
for number in range(300):
    book.run(f"task{number}", ago=0.5, duration=0.1)
    time.sleep(0.003)
"""


def test_lines_appended_during_a_reading_are_not_missed(book: Book, home: Path) -> None:
    paths = [path for path in sys.path if path]
    with subprocess.Popen([sys.executable, "-c", WRITER, str(home), *paths]) as writer:
        wait_until(lambda: bool(list(home.glob("journal/*.jsonl"))))
        seen = []
        while writer.poll() is None:
            seen.append(len(names()))
    assert seen == sorted(seen)
    assert [name for name in names() if not name.startswith("task")] == []
    assert len(names()) == 300
    assert {record["status"] for record in records()} == {"success"}


def test_the_records_are_json_that_any_reader_takes(book: Book) -> None:
    book.run('"quoted" \\ \t é \U0001f40d')
    line = answer("runs", "--format", "jsonl")
    assert line.isascii()
    assert json.loads(line)["task"] == '"quoted" \\ \t é \U0001f40d'
