"""`autotask prune` and the bound on size: what goes, what stays, and that no line is lost."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import Record, wait_until
from tool.journals import (
    COMMAND,
    DAY,
    HOUR,
    Book,
    answer,
    autotask,
    dead_process,
    names,
    records,
)

from autotask import journal
from autotask.around import sweeping
from autotask.run import SKIPPED, SUCCESS, Outcome, failure
from autotask.settings import Settings
from autotask.telling import leave_mark
from autotask.tool.journal import daily_prune, index, retention
from autotask.tool.journal.index import Index

FAILED = failure("exit", exit_code=1)
CUT = "autotask: a prune was interrupted: deleted its unfinished copy of a segment\n"
WHY = "unfinished runs, and those written in the last two hours, stay"


def prune(*words: str) -> int:
    """Prune, and return how many runs are said to be dropped."""
    ended = autotask("prune", *words)
    assert ended.status == 0
    assert not ended.stderr or ended.stderr.endswith(f": {WHY}\n")
    match = re.match(r"dropped (\d+) runs? \(.+\); .+ left\n", ended.stdout)
    assert match is not None
    return int(match[1])


def rebuilt(home: Path) -> list[Record]:
    """Return what an index built anew says."""
    (home / "index.sqlite3").unlink()
    return records()


AGES = [
    ("90d", ["1", "89"]),
    ("12w", ["1"]),
    ("91d", ["1", "89"]),
    ("365d", ["1", "89", "120", "300"]),
    ("36h", ["1"]),
    ("1s", []),
]


@pytest.mark.parametrize(("keep", "left"), AGES)
def test_runs_that_ended_before_are_dropped(
    book: Book, home: Path, keep: str, left: list[str]
) -> None:
    for days in (300, 120, 89, 1):
        book.run(str(days), ago=days * DAY, outcome=FAILED if days == 120 else SKIPPED)
    book.run("now", ago=60)
    assert prune("--keep", keep) == 4 - len(left)
    assert names() == [*reversed(left), "now"]
    assert len(list((home / "journal").iterdir())) == len(left) + 1
    before = records()
    assert rebuilt(home) == before
    assert prune("--keep", keep) == 0


def test_a_run_that_is_running_or_ended_lately_stays_whole(book: Book, home: Path) -> None:
    book.run("runs", ago=50 * DAY, outcome=None)
    book.run("ended", ago=50 * DAY, duration=49 * DAY)
    book.run("gone", ago=50 * DAY)
    late = book.run("late", ago=50 * DAY, outcome=None)
    book.finish(late, ago=HOUR / 2)  # in a segment that is left alone
    assert prune("--keep", "10d") == 1
    assert names() == ["runs", "ended", "late"]
    assert rebuilt(home) == records()


def test_a_run_with_a_line_in_the_last_hours_stays_whole(book: Book, home: Path) -> None:
    run = book.run(ago=50 * DAY, outcome=None)
    book.finish(run, ago=600)
    assert prune("--keep", "1s") == 0
    assert [record["status"] for record in rebuilt(home)] == ["success"]


@pytest.mark.parametrize(("hours", "dropped"), [(0, 0), (1, 0), (3, 1), (30, 1)])
def test_the_last_hours_are_left_alone(book: Book, hours: int, dropped: int) -> None:
    book.run(ago=hours * HOUR + 2)
    assert prune("--keep", "1s") == dropped


def test_lines_that_stay_are_the_same_to_the_byte(book: Book) -> None:
    book.run("gone", ago=3 * DAY)
    path = book.segment(3 * DAY)
    kept = book.run("kept é", ago=3 * DAY, outcome=None)
    unknown = f'{{"event":"paused","run":"{kept.id}","mood":"good"}}'
    book.line(unknown, 3 * DAY)
    expected = [line for line in path.read_text().splitlines() if kept.id in line]
    path.chmod(0o640)
    assert prune("--keep", "1d") == 1
    assert path.read_text().splitlines() == expected
    assert path.stat().st_mode & 0o777 == 0o640


def test_what_belongs_to_a_dropped_run_goes_with_it(book: Book, home: Path) -> None:
    run = book.run(ago=3 * DAY)
    book.line(journal.raised_line(run.id, run.root, 0, FAILED), 3 * DAY)
    book.line('{"event":"started","run":"torn', 5 * DAY, end="")
    prune("--keep", "1d")
    assert list((home / "journal").iterdir()) == []


def size_of(home: Path) -> int:
    return sum(path.stat().st_size for path in (home / "journal").iterdir())


def test_over_the_bound_the_oldest_successes_go_first_and_failures_last(
    book: Book, home: Path
) -> None:
    for days in range(20, 0, -1):
        book.run(f"s{days}", ago=days * DAY)
        book.run(f"f{days}", ago=days * DAY, outcome=FAILED)
    whole = size_of(home)
    prune("--max-size", str(whole * 7 // 10))
    assert size_of(home) <= whole * 7 // 10
    left = names()
    assert [name for name in left if name[0] == "f"] == [f"f{days}" for days in range(20, 0, -1)]
    successes = [name for name in left if name[0] == "s"]
    assert successes == [f"s{days}" for days in range(len(successes), 0, -1)]
    assert len(successes) == 7  # no more was dropped than had to be
    prune("--max-size", str(whole // 4))
    left = names()
    assert left == [f"f{days}" for days in range(len(left), 0, -1)]
    assert 7 <= len(left) <= 10
    assert rebuilt(home) == records()


def test_a_bound_that_cannot_be_kept_is_a_notice(book: Book) -> None:
    book.run("runs", ago=3 * DAY, outcome=None)
    book.run("late")
    ended = autotask("prune", "--max-size", "10")
    assert ended.status == 0
    assert ended.stderr == f"autotask: the journal is still larger than 10 B: {WHY}\n"
    assert names() == ["runs", "late"]


def test_old_runs_that_cannot_be_dropped_yet_are_a_notice(book: Book) -> None:
    book.run("runs", ago=3 * DAY, outcome=None)
    book.run("gone", ago=3 * DAY)
    for _ in range(2):
        book.run("late")
    ended = autotask("prune", "--keep", "0s")
    assert ended.stdout.startswith("dropped 1 run (")
    assert ended.stderr == f"autotask: 2 runs of that age cannot be dropped yet: {WHY}\n"
    assert not autotask("prune", "--keep", "1h").stderr


def test_once_a_day_any_command_keeps_the_default_bound(
    book: Book, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for days in range(20, 0, -1):
        book.run(f"s{days}", ago=days * DAY)
    monkeypatch.setattr(retention, "DEFAULT_BOUND", size_of(home) // 2)
    assert (
        daily_prune.due(str(home)) == f"the journal is larger than {size_of(home) / 2048:.1f} KiB"
    )
    assert daily_prune.keep_within_default(str(home)) == 10
    book.run("s30", ago=30 * DAY)
    assert daily_prune.due(str(home)) is None
    os.utime(home / "pruned", (1, 1))
    assert daily_prune.due(str(home)) is not None
    assert daily_prune.keep_within_default(str(home)) == 1


def test_the_daily_prune_is_noted_only_by_the_command_that_does_it(
    book: Book, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for days in range(20, 0, -1):
        book.run(f"s{days}", ago=days * DAY)
    monkeypatch.setattr(retention, "DEFAULT_BOUND", size_of(home) // 2)
    why = daily_prune.due(str(home))
    assert why
    assert daily_prune.due(str(home)) == why  # another command, before the first one's prune began
    with retention.alone(str(home)):
        assert daily_prune.keep_within_default(str(home)) == 0
    assert daily_prune.due(str(home)) == why
    assert daily_prune.keep_within_default(str(home)) == 10
    assert daily_prune.due(str(home)) is None


def test_a_command_looks_after_the_bound(book: Book, home: Path) -> None:
    book.run()
    names()
    assert (home / "pruned").exists()


@pytest.mark.parametrize(
    ("place", "oldest"), [("?/?/?", 30), ("far/1/7", 30), ("here", 30), ("here", 2)]
)
def test_marks_keep_no_segment_and_their_runs_are_still_found(
    place: str, oldest: int, book: Book, home: Path
) -> None:
    """Of a process that cannot be seen a mark stays for days, and of a living one."""
    pid, gone = dead_process()
    identity = gone if place == "here" else place
    for hours in range(oldest, 1, -1):
        for number in range(3):
            book.run(f"s{hours}-{number}", ago=hours * HOUR)
        name = f"{pid}-{hours:016x}"
        offset = book.segment(hours * HOUR).stat().st_size
        root = book.run("open", ago=hours * HOUR, outcome=None, pid=pid, identity=identity).root
        book.run("last", ago=hours * HOUR)
        mark = leave_mark(journal.Journal(str(home)), name, identity, pid, "other", root)
        assert mark is not None
        fields = {**json.loads(Path(mark).read_text()), "offset": offset}
        fields["segment"] = book.segment(hours * HOUR).name
        Path(mark).write_text(json.dumps(fields))
    whole = size_of(home)
    retention.prune(str(home), whole // 3)
    assert size_of(home) <= whole // 3
    sweeping.sweep(Settings(os.environ))
    text = "".join(path.read_text() for path in (home / "journal").iterdir())
    count, ended = oldest - 1, oldest - 1 if place == "here" else 0
    assert (text.count('"task":"open"'), text.count('"reason":"lost"')) == (count, ended)
    assert len(os.listdir(home / "open")) == count - ended
    assert len(names("--task", "open")) == count


@pytest.fixture
def held(book: Book) -> Iterator[int]:
    """Hold a segment of three days ago open, as a process that was stopped in the middle does."""
    book.run("held", ago=3 * DAY)
    file = os.open(book.segment(3 * DAY), os.O_WRONLY | os.O_APPEND)
    yield file
    os.close(file)


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel")
def test_a_segment_that_a_process_may_still_write_to_is_left_alone(book: Book, held: int) -> None:
    book.run("older", ago=5 * DAY)
    book.run("newer", ago=2 * DAY)
    across = book.run("across", ago=3 * DAY, outcome=None)
    book.finish(across, ago=2 * DAY)
    assert prune("--keep", "1d") == 2
    late = b'{"event":"finished","run":"' + across.id.encode() + b'"}\n'
    os.write(held, late)
    assert book.segment(3 * DAY).read_bytes().endswith(late)
    assert names() == ["held", "across"]


def test_readers_do_not_keep_a_segment(book: Book) -> None:
    book.run(ago=3 * DAY)
    with book.segment(3 * DAY).open():
        assert prune("--keep", "1d") == 1


def test_a_segment_that_grows_meanwhile_ends_the_work_and_nothing_is_lost(
    book: Book, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for days in (5, 4, 3):
        book.run(f"s{days}", ago=days * DAY)
    original = retention._copied

    def grows(index: Index, path: str) -> tuple[str, retention._Rewritten]:
        if path == str(book.segment(4 * DAY)):
            book.run("late", ago=4 * DAY)
        return original(index, path)

    monkeypatch.setattr(retention, "_copied", grows)
    retention.prune(str(home), 1 << 30, keep=DAY)
    assert names() == ["s4", "late", "s3"]
    assert rebuilt(home) == records()


def test_a_prune_that_is_killed_leaves_whole_runs(book: Book, home: Path) -> None:
    for number in range(600):
        run = book.run(f"task{number}", ago=90 * DAY - number * HOUR, outcome=None)
        book.finish(run, ago=90 * DAY - (number + 3) * HOUR)
    names()
    whole = len(list((home / "journal").iterdir()))
    command = [*COMMAND, "prune", "--keep", "1d"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        wait_until(lambda: len(list((home / "journal").iterdir())) < whole - 20)
        child.send_signal(signal.SIGKILL)
    if child.returncode == 0:
        pytest.skip("it was faster")
    assert autotask("runs").stderr in ("", CUT)
    found = records()
    assert {record["status"] for record in found} == {"success"}
    assert rebuilt(home) == found
    assert prune("--keep", "1d") >= len(found)  # and the ends that were left of others
    assert list((home / "journal").iterdir()) == []


def test_two_prunes_do_not_run_at_once(book: Book, home: Path) -> None:
    book.run(ago=3 * DAY)
    with retention.alone(str(home)):
        ended = autotask("prune", "--keep", "1d")
        assert (ended.status, ended.stderr) == (1, "autotask: another prune is running\n")
        assert names() == ["nightly"]
    assert prune("--keep", "1d") == 1


WRITER = """
import sys, time
sys.path[:0] = sys.argv[2:]
from autotask.journal import Journal
ours = Journal(sys.argv[1])
for number in range(1500):
    line = '{"event":"started","run":"%016x","at":"2026-11-25T10:00:00.000000Z"}' % number
    assert ours.append(line)
    time.sleep(0.001)
"""


def test_nothing_is_lost_that_is_written_while_old_runs_go(book: Book, home: Path) -> None:
    for number in range(500):
        book.run("old", ago=90 * DAY - number * HOUR)
    paths = [path for path in sys.path if path]
    with subprocess.Popen([sys.executable, "-c", WRITER, str(home), *paths]) as writer:
        dropped, days = 0, 90
        while writer.poll() is None:
            days -= 3
            dropped += prune("--keep", f"{max(days, 1)}d")
    dropped += prune("--keep", "1d")
    assert (writer.returncode, dropped) == (0, 500)
    assert len(names()) == 1500


@pytest.mark.parametrize("words", ["", "--keep 1d"])
def test_before_the_first_run_there_is_a_hint(home: Path, words: str) -> None:
    hint = f"no runs yet in {home}: try `autotask-run python script.py`\n"
    assert answer("prune", *words.split()) == hint
    assert not home.exists()


def test_a_prune_takes_its_time_from_the_end_of_a_run(book: Book) -> None:
    book.run("long", ago=10 * DAY, duration=9.5 * DAY)
    assert prune("--keep", "1d") == 0
    assert prune("--keep", "6h") == 1


UNKNOWN = '{"event":"counted","run":"00000000000000aa","count":7}'
GONE = '{"event":"sent","run":"00000000000000bb","root":"00000000000000bb","of":"started"}'


def test_a_line_that_the_index_does_not_know_stays(book: Book, home: Path) -> None:
    book.run("gone", ago=3 * DAY)
    path = book.segment(3 * DAY)
    known = names()
    book.line(UNKNOWN, 3 * DAY)
    book.line(GONE, 3 * DAY)  # says nothing without its run
    book.line('{"event":"counted"}', 3 * DAY)
    assert prune("--keep", "1d") == len(known)
    assert path.read_text() == f'{UNKNOWN}\n{{"event":"counted"}}\n'


def test_runs_of_the_future_go_as_successes_do_and_their_lines_with_them(
    book: Book, home: Path
) -> None:
    for number, status in enumerate(["retried", "paused", "failure", "success"]):
        run = book.run(status, ago=50 * DAY - number, outcome=Outcome(status))
        book.line(f'{{"event":"paused","run":"{run.id}","mood":1}}', 50 * DAY)
    end = '{"event":"finished","run":"%s","root":"%s","at":"%s"}'
    run = book.run("no status", ago=50 * DAY, outcome=None)
    book.line(end % (run.id, run.root, journal.moment(time.time() - 50 * DAY)), 50 * DAY)
    assert prune("--max-size", "1K") == 4
    assert names() == ["failure"]
    assert book.segment(50 * DAY).read_text().count('"paused"') == 1
    assert rebuilt(home) == records()
    assert prune("--keep", "10d") == 1
    assert not book.segment(50 * DAY).exists()


def test_a_line_of_no_run_stays_whatever_it_is(book: Book) -> None:
    book.run("gone", ago=3 * DAY)
    path = book.segment(3 * DAY)
    lines = [
        f'{{"event":"{event}"{run},"of":"started"}}'
        for event in ("counted", "raised", "unsent", "sent", "started", "finished")
        for run in ("", ',"run":null', ',"run":7')
    ]
    for line in lines:
        book.line(line, 3 * DAY)
    assert prune("--keep", "1d") == 1
    assert path.read_text().splitlines() == lines


@pytest.mark.parametrize("moment", ["before it is copied", "after it was copied"])
def test_a_segment_that_is_replaced_during_a_prune_keeps_its_lines(
    moment: str, book: Book, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        book.run("old", ago=3 * DAY)
    path = book.segment(3 * DAY)
    old = path.read_text()
    path.unlink()
    for _ in range(3):
        book.run("new", ago=3 * DAY)
    new = path.read_text()
    path.write_text(old)
    original = retention._copied

    def copied_over(index: Index, path: str) -> tuple[str, retention._Rewritten]:
        if moment == "before it is copied":
            Path(path).write_text(new)
        copied = original(index, path)
        Path(path).write_text(new)
        return copied

    monkeypatch.setattr(retention, "_copied", copied_over)
    retention.prune(str(home), 1 << 30, keep=DAY)
    assert path.read_text() == new


@pytest.mark.parametrize("change", ["written over", "missing in the index", "wrong in the index"])
def test_failures_stay_while_successes_suffice_whatever_the_index_says(
    change: str, book: Book, home: Path
) -> None:
    if change == "written over":
        for _ in range(20):
            book.run("old", ago=3 * DAY)
        names()
        book.segment(3 * DAY).write_text("")
    for _ in range(20):
        book.run("failed", ago=3 * DAY, outcome=FAILED)
        book.run("new", ago=2 * DAY)
    if change != "written over":
        names()
    statement = {
        "written over": "SELECT 1",
        "missing in the index": "DELETE FROM run WHERE status = 'success'",
        "wrong in the index": "UPDATE run SET status = 'success' WHERE task = 'failed'",
    }[change]
    with contextlib.closing(sqlite3.connect(home / "index.sqlite3")) as connection, connection:
        connection.execute(statement)
    ended = autotask("prune", "--max-size", str(size_of(home) - 2000))
    assert ended.status == 0
    assert names() == [*["failed"] * 20, *["new"] * 16]
    assert rebuilt(home) == records()


@pytest.mark.parametrize(
    ("ends", "counts"),
    [
        ([SUCCESS, failure("lost")], "success"),
        ([failure("lost"), SUCCESS], "success"),
        ([SUCCESS, FAILED], "failure"),
        ([FAILED, SUCCESS], "failure"),
    ],
)
def test_two_ends_of_one_moment_are_no_damage(
    ends: list[Outcome], counts: str, book: Book, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, now = book.run("twice", ago=3 * DAY, outcome=None), time.time()
    for outcome in ends:
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: now)
            book.finish(run, outcome, ago=3 * DAY)
        index.open_index(str(home)).close()
    assert [record["status"] for record in records("--task", "twice")] == [counts]
    assert rebuilt(home) == records()
    assert prune("--keep", "1d") > 0
    assert names("--task", "twice") == []


@pytest.mark.parametrize(("ago", "left"), [(4 * DAY, "new"), (60, "old new")])
def test_segments_of_the_future_are_within_the_bound_too(
    ago: float, left: str, book: Book, home: Path
) -> None:
    """A clock was ahead, and has been set right; or another machine's is, which writes there."""
    for _ in range(9):
        book.run("old", ago=-30 * DAY)
    book.run("new", ago=-31 * DAY, outcome=FAILED)
    folder = home / "journal"
    wrong = "import sys, time; real = time.time; time.time = lambda: real() + float(sys.argv[1])"
    code = f"{wrong}; from autotask.tool import cli; sys.exit(cli.main(sys.argv[2:]))"
    words = ["prune", "--max-size", str(size_of(home) // 7)]
    ended = subprocess.run(
        [sys.executable, "-c", code, str(ago), *words], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0
    assert sorted({*names()}) == sorted(left.split())
    assert len(list(folder.iterdir())) == len(left.split())
