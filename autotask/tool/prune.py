"""`autotask prune`: drop old runs from the journal, and keep it under a size.

Only segments whose hour ended more than an hour ago are touched: nobody writes there any more. A
run that has a line anywhere else stays whole, so that no half of a run is ever left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from typing import NamedTuple

from autotask.tool import quantities, segments
from autotask.tool.errors import ToolError
from autotask.tool.index import Index, open_index

DEFAULT_BOUND = 512 << 20
QUIET = 3600.0  # seconds after a segment's hour in which it is still left alone
FAILURES = 4  # failures are kept so many times longer
_DAY = 86400.0


class Outcome(NamedTuple):
    """What a prune did, or would do."""

    runs: int
    removed: int  # segments
    rewritten: int  # segments
    freed: int  # bytes
    left: int  # bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    duration, size = quantities.parse_duration, quantities.parse_size
    parser.add_argument(
        "--keep", metavar="DURATION", type=duration, help="drop runs that ended before: 90d, 12w"
    )
    parser.add_argument(
        "--keep-failures",
        metavar="DURATION",
        type=duration,
        help="the same for failures (default: four times --keep)",
    )
    parser.add_argument(
        "--max-size",
        metavar="SIZE",
        type=size,
        help="then drop the oldest, failures last, until the journal is smaller: 512M, 2G",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be dropped")


def run(arguments: argparse.Namespace) -> int:
    """Prune, and say in a line what was done."""
    from autotask.tool import history

    home = history.home_folder()
    if not segments.listed(segments.journal_folder(home)):
        print(history.NO_RUNS)
        return 0
    outcome = prune(
        home,
        keep=arguments.keep,
        keep_failures=arguments.keep_failures,
        max_size=arguments.max_size,
        dry_run=arguments.dry_run,
    )
    print(_sentence(outcome, arguments.max_size, arguments.dry_run))
    return 0


def prune(
    home: str,
    *,
    keep: float | None = None,
    keep_failures: float | None = None,
    max_size: int | None = None,
    dry_run: bool = False,
) -> Outcome:
    """Drop runs that ended more than *keep* seconds ago, then down to *max_size* bytes."""
    if keep_failures is None and keep is not None:
        keep_failures = keep * FAILURES
    now = time.time()
    with _locked(home):
        index = open_index(home)
        try:
            _choose(index, home, now, keep, keep_failures, max_size)
            return _counted(index, home) if dry_run else _carried_out(index, home)
        finally:
            index.close()


def keep_within_default(home: str) -> int:
    """Once a day, drop the oldest runs of a journal over 512 MiB; return how many.

    So the disk does not fill where nobody ever calls prune. A home that we may only read, or that
    somebody else prunes at this moment, is left as it is.
    """
    stamp = os.path.join(home, "pruned")
    try:
        with contextlib.suppress(FileNotFoundError):
            if abs(time.time() - os.stat(stamp).st_mtime) < _DAY:
                return 0
        with open(stamp, "ab"):
            os.utime(stamp)
        if _size(home) <= DEFAULT_BOUND:
            return 0
        return prune(home, max_size=DEFAULT_BOUND).runs
    except (OSError, sqlite3.Error, ToolError):
        return 0


@contextlib.contextmanager
def _locked(home: str) -> Iterator[None]:
    with open(os.path.join(home, "prune.lock"), "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ToolError("another prune is at work") from None
        yield


def _size(home: str) -> int:
    return sum(found.size for found in segments.listed(segments.journal_folder(home)))


def _choose(
    index: Index,
    home: str,
    now: float,
    keep: float | None,
    keep_failures: float | None,
    max_size: int | None,
) -> None:
    """Fill the temporary table `doomed` with the runs to drop, `closed` with where we may write."""
    execute = index.connection.execute
    execute("CREATE TEMP TABLE closed (id INTEGER PRIMARY KEY, name TEXT, old INTEGER)")
    execute("CREATE TEMP TABLE doomed (run TEXT PRIMARY KEY, bytes INTEGER)")
    ages = [age for age in (keep, keep_failures) if age is not None]
    pinned = _pinned(home)
    for key, name in index.connection.execute("SELECT id, name FROM segment").fetchall():
        end = segments.hour_end(name)
        if end + QUIET < now and name not in pinned:
            old = bool(ages) and end + max(ages) < now
            execute("INSERT INTO closed VALUES (?, ?, ?)", (key, name, old))
    if keep is not None:
        _doom(index, "status <> 'failure' AND finished_at < ?", quantities.moment(now - keep))
    if keep_failures is not None:
        _doom(
            index, "status = 'failure' AND finished_at < ?", quantities.moment(now - keep_failures)
        )
    if max_size is not None:
        _doom_by_size(index, _size(home) - max_size)


_DROPPABLE = """
SELECT run, started_bytes + finished_bytes FROM run
WHERE finished_at IS NOT NULL AND finished_in IN (SELECT id FROM closed)
    AND (started_at IS NULL OR started_in IN (SELECT id FROM closed))
"""  # a finished line whose started line is unknown is nobody's: it goes as well


def _doom(index: Index, condition: str, value: str) -> None:
    index.connection.execute(f"INSERT INTO doomed {_DROPPABLE} AND {condition}", (value,))


def _doom_by_size(index: Index, excess: int) -> None:
    """Doom the oldest successes, then the oldest failures, until so many bytes are gone."""
    execute = index.connection.execute
    excess -= execute("SELECT coalesce(sum(bytes), 0) FROM doomed").fetchone()[0]
    oldest = (
        f"{_DROPPABLE} AND run NOT IN (SELECT run FROM doomed) "
        "ORDER BY status = 'failure', finished_at"
    )
    more = []
    for row in execute(oldest):
        if excess <= 0:
            break
        more.append(row)
        excess -= row[1]
    index.connection.executemany("INSERT INTO doomed VALUES (?, ?)", more)


def _pinned(home: str) -> set[str]:
    """Return the segments into which the marks of living processes point: offsets must hold."""
    pinned = set()
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for name in os.listdir(os.path.join(home, "open")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                with open(os.path.join(home, "open", name), "rb") as file:
                    pinned.add(str(json.loads(file.read())["segment"]))
    return pinned


def _counted(index: Index, home: str) -> Outcome:
    runs, freed = index.connection.execute(
        "SELECT count(*), coalesce(sum(bytes), 0) FROM doomed"
    ).fetchone()
    return Outcome(runs, 0, 0, freed, _size(home) - freed)


def _affected(index: Index) -> list[tuple[int, str]]:
    """Return the segments to write anew, oldest first.

    The order matters to a prune that is killed: a finished line alone is ignored, but a started
    line alone would look like a run that never ends.
    """
    statement = """
    SELECT id, name FROM closed
    WHERE id IN (SELECT started_in FROM run JOIN doomed USING (run))
        OR id IN (SELECT finished_in FROM run JOIN doomed USING (run))
        OR (old AND id NOT IN (SELECT started_in FROM run WHERE started_in IS NOT NULL)
                AND id NOT IN (SELECT finished_in FROM run WHERE finished_in IS NOT NULL))
    ORDER BY name
    """
    return index.connection.execute(statement).fetchall()


def _carried_out(index: Index, home: str) -> Outcome:
    folder = segments.journal_folder(home)
    before = _size(home)
    runs = index.connection.execute("SELECT count(*) FROM doomed").fetchone()[0]
    _sweep_leftovers(folder)
    removed = rewritten = 0
    for key, name in _affected(index):
        left = _rewrite(index, folder, name)
        removed += left == 0
        rewritten += left > 0
        if left >= 0:
            _note(index, folder, key, name, left)
    with index.transaction():
        index.connection.execute("DELETE FROM run WHERE run IN (SELECT run FROM doomed)")
    left = _size(home)
    return Outcome(runs, removed, rewritten, before - left, left)


def _sweep_leftovers(folder: str) -> None:
    """Remove what a killed prune left; the lock says that none is at work."""
    for name in os.listdir(folder):
        if name.startswith(".prune-"):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, name))


def _rewrite(index: Index, folder: str, name: str) -> int:
    """Replace a segment by its kept lines, byte for byte; return its new size.

    0: nothing was left, and it is gone. -1: somebody wrote to it meanwhile, and it stays.
    """
    path, other = os.path.join(folder, name), os.path.join(folder, f".prune-{name}")
    with open(path, "rb") as source, open(other, "wb") as target:
        before = os.fstat(source.fileno())
        os.fchmod(target.fileno(), before.st_mode & 0o777)
        with contextlib.suppress(PermissionError):
            os.fchown(target.fileno(), before.st_uid, before.st_gid)
        for line in source:
            if _kept(index, line):
                target.write(line)
        target.flush()
        os.fsync(target.fileno())
        left = os.fstat(target.fileno()).st_size
    after = os.stat(path)
    if (after.st_ino, after.st_size) != (before.st_ino, before.st_size):
        os.unlink(other)
        return -1
    if left:
        os.replace(other, path)
    else:
        os.unlink(path)
        os.unlink(other)
    _sync_folder(folder)
    return left


def _kept(index: Index, line: bytes) -> bool:
    """Tell whether a line stays: it is whole, and its run is not doomed."""
    event = segments.parse(line) if line.endswith(b"\n") else None
    if event is None:
        return False
    found = index.connection.execute(
        "SELECT 1 FROM doomed WHERE run = ?", (str(event.get("run")),)
    ).fetchone()
    if found:
        return False
    return event.get("event") != "raised" or _known(index, event)


def _known(index: Index, event: dict[str, object]) -> bool:
    found = index.connection.execute(
        "SELECT 1 FROM run WHERE run = ?", (str(event.get("run")),)
    ).fetchone()
    return found is not None


def _note(index: Index, folder: str, key: int, name: str, left: int) -> None:
    """Tell the index that a segment is another file now, so that it is not read again."""
    execute = index.connection.execute
    if not left:
        execute("DELETE FROM segment WHERE id = ?", (key,))
        return
    inode = os.stat(os.path.join(folder, name)).st_ino
    execute("UPDATE segment SET inode = ?, consumed = ? WHERE id = ?", (inode, left, key))


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sentence(outcome: Outcome, bound: int | None, dry_run: bool) -> str:
    freed, left = quantities.size_text(outcome.freed), quantities.size_text(outcome.left)
    if dry_run:
        text = f"would drop {outcome.runs} runs ({freed}); {left} would stay"
    else:
        text = (
            f"dropped {outcome.runs} runs ({freed}): {outcome.removed} segments removed, "
            f"{outcome.rewritten} rewritten; {left} stay"
        )
    if bound is not None and outcome.left > bound:
        text += "; more than asked for: the rest still runs or was written lately"
    return text
