"""Commands beside each other: one that waits says so, and no long work locks the others out."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import PATIENCE, environment, wait_until
from tool.journals import COMMAND, DAY, Book, autotask, names

from autotask.tool.journal import retention
from autotask.tool.journal.index import Index

HOLDER = """
import sqlite3, sys, time
index = sqlite3.connect(sys.argv[3], isolation_level=None)
index.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(999)
"""
STALE = "autotask: the index stays locked: the newest runs and ends are missing\n"


@pytest.fixture
def holder(book: Book, home: Path) -> Iterator[int]:
    """Lock the index of a run, and append another one; the process calls itself a prune."""
    book.run("known", ago=3 * DAY)
    assert names() == ["known"]
    words = [sys.executable, "-c", HOLDER, "autotask", "prune", str(home / "index.sqlite3")]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"locked\n"
        book.run("new")
        yield child.pid
        child.kill()


def started(*words: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*before, *COMMAND, *words],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_command_that_waits_says_so_and_ends_on_ctrl_c(holder: int) -> None:
    said = f"waiting for `autotask prune` (process {holder}), which is writing the index\n"
    readers = [started(*words.split()) for words in ("runs", "runs --format jsonl", "tasks")]
    prunes = [started("prune", "--keep", "1d") for _ in range(2)]
    with contextlib.ExitStack() as stack:
        for child in (*readers, *prunes):
            stack.enter_context(child)
        told = {child.stderr.readline() for child in prunes if child.stderr}
        assert told == {f"autotask: {said}", "autotask: another prune is running\n"}
        for child in prunes:
            child.send_signal(signal.SIGINT)  # one of them has ended
        assert {child.communicate() for child in prunes} == {("", "")}
        assert {child.returncode for child in prunes} == {1, -signal.SIGINT}
        for child in readers:  # these answer from what the others have left there
            out, err = child.communicate(timeout=PATIENCE)
            assert (child.returncode, err) == (0, f"autotask: {said}{STALE}")
            assert "known" in out
            assert "new" not in out


def test_as_process_1_of_a_container_it_ends_on_ctrl_c_too(
    holder: int, as_process_1: list[str]
) -> None:
    with started("prune", before=tuple(as_process_1)) as outer:
        assert outer.stderr
        # The other one is in no namespace of its own.
        assert outer.stderr.readline() == (
            "autotask: waiting for another autotask, which is writing the index\n"
        )
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text()
        os.kill(int(children), signal.SIGINT)
        assert (*outer.communicate(), outer.returncode) == ("", "", 130)


def test_a_command_with_nothing_new_to_read_does_not_wait(holder: int, book: Book) -> None:
    book.segment(60).unlink()
    ended = autotask("runs")
    assert (ended.status, ended.stderr) == (0, "")
    assert "known" in ended.stdout


BUILDER = """
import sys, time
from autotask.tool import cli
from autotask.tool.journal import segment_reader, waiting
segment_reader._TURN, waiting.PAUSE = 0.0, 0.1  # it commits each line, and is slow
sys.exit(cli.main(["runs"]))
"""


def ask(home: Path, statement: str) -> list[tuple[Any, ...]]:
    """Ask, or change, the index itself."""
    path = home / "index.sqlite3"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as index:
        return index.execute(statement).fetchall()


def lines_read(home: Path) -> int:
    with contextlib.suppress(sqlite3.OperationalError):  # no tables yet
        return int(ask(home, "SELECT count(*) FROM run")[0][0])
    return 0


def test_a_long_reading_resumes_after_an_interruption_and_lets_others_in(
    book: Book, home: Path
) -> None:
    for number in range(100):
        book.run(f"task{number}", ago=DAY)
    expected = [f"task{number}" for number in range(100)]
    words = [sys.executable, "-c", BUILDER]
    with subprocess.Popen(words, env=environment(), stdout=subprocess.DEVNULL) as builder:
        wait_until(lambda: lines_read(home) > 2)
        builder.kill()
    assert 2 < lines_read(home) < 100  # it was one segment
    ask(home, "UPDATE run SET task = 'read before' WHERE task = 'task0'")
    with subprocess.Popen(words, env=environment(), stdout=subprocess.DEVNULL) as builder:
        assert names() == ["read before", *expected[1:]]
        assert builder.wait(PATIENCE) == 0


def test_a_prune_locks_no_other_command_out(
    book: Book, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for days in (5, 4, 3):
        book.run(f"s{days}", ago=days * DAY)
    across = book.run("across", ago=5 * DAY, outcome=None)
    book.finish(across, ago=4 * DAY)
    original = retention._copied
    seen: list[list[str]] = []

    def asks(index: Index, path: str) -> tuple[str, retention._Rewritten]:
        found = original(index, path)
        book.run(f"new{len(seen)}")
        seen.append(names())
        return found

    monkeypatch.setattr(retention, "_copied", asks)
    assert retention.prune(str(home), 1 << 30, keep=DAY).runs == 4
    assert seen == [
        ["s5", "across", "s4", "s3", "new0"],
        ["s4", "s3", "new0", "new1"],
        ["s3", "new0", "new1", "new2"],
    ]
    assert names() == ["new0", "new1", "new2"]


# The day's own prune.

SMALL = """
import os, signal, sys
from autotask.tool import cli
from autotask.tool.journal import retention
retention.DEFAULT_BOUND = int(sys.argv[1])
if sys.argv[2] == "killed":
    original = retention._copied
    retention._copied = lambda *words: original(*words) and os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "no process":  # as the limit of RLIMIT_NPROC refuses one, but not to root
    def fork(): raise BlockingIOError(11, "Resource temporarily unavailable")
    os.fork = fork
sys.exit(cli.main(["runs"]))
"""
CUT = "autotask: a prune was interrupted: deleted its unfinished copy of a segment\n"
LARGER = "autotask: the journal is larger than {}{}: dropping its oldest runs in the background\n"
AGAIN = " (the last prune was interrupted)"


def asked(home: Path, bound: int, how: str) -> tuple[int, str]:
    """Ask for the runs with a small bound; return how many there are, and what is said."""
    done = subprocess.run(
        [sys.executable, "-c", SMALL, str(bound), how],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.count("\n") - 1, done.stderr


def size_of(home: Path) -> int:
    return sum(path.stat().st_size for path in (home / "journal").glob("*.jsonl"))


def test_the_daily_prune_delays_no_command_and_is_tried_again_if_interrupted(
    book: Book, home: Path
) -> None:
    for days in range(20, 0, -1):
        book.run(f"s{days}", ago=days * DAY)
    names()
    (home / "pruned").unlink()
    whole, copy = size_of(home), home / "journal" / ".prune"
    bound = whole // 2
    larger = f"{bound / 1024:.1f} KiB"
    assert asked(home, bound, "no process") == (20, LARGER.format(larger, ""))
    with contextlib.closing(sqlite3.connect(home / "index.sqlite3")) as index:
        index.execute("BEGIN IMMEDIATE")  # so that the prune waits
        assert asked(home, bound, "") == (20, LARGER.format(larger, ""))
        wait_until(copy.exists)
        assert asked(home, bound, "") == (20, "")  # it is at work
        assert size_of(home) == whole
        os.kill(pruner(home), signal.SIGKILL)
        wait_until(lambda: pruner(home) == 0)
    assert asked(home, bound, "killed") == (20, CUT + LARGER.format(larger, AGAIN))
    wait_until(lambda: copy.exists() and pruner(home) == 0)
    assert asked(home, bound, "") == (20, CUT + LARGER.format(larger, AGAIN))
    wait_until(lambda: (home / "pruned").stat().st_mtime > 0)
    assert asked(home, bound, "") == (10, "")
    assert not copy.exists()
    assert size_of(home) <= bound


def pruner(home: Path) -> int:
    """Return the process that has the journal's folder to itself; 0 if there is none."""
    inode = str((home / "journal").stat().st_ino)
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if words[1] == "FLOCK" and words[5].rpartition(":")[2] == inode:
            return int(words[4])
    return 0
