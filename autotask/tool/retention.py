"""Drop runs from the journal: those that are too old, and what is over its bound.

Why no line is lost, though writers append at any time and take no lock:

- A writer opens a segment only in its hour (`journal.Journal`), and segments are left alone until
  QUIET after that. So nobody writes there who has not had it open since.
- A process that was stopped between its look at the clock and its write has. The kernel tells of
  it: a segment that anybody has open for writing is left alone (`_is_open`). Where the kernel
  cannot tell (another machine writes, over a network), QUIET has to do.
- A segment that has grown since the index read it is left alone.
- The kept lines go, unchanged, to a copy that takes the segment's place in one step once it
  is safe on the disk.
- Whoever reads from a place in the journal on reads such a segment from its begin: marks pin none.

A run goes only as a whole: where one of its lines has to stay, both do. Segments are written anew
in the order of time, and the first that can't be ends the work. So what a killed prune leaves of a
run is its end, which nobody shows, and never its start, which would look like a run that goes on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

from autotask import events, journal
from autotask.lines import pieces
from autotask.tool import output, segments
from autotask.tool.errors import ToolError
from autotask.tool.index import Index, open_index

DEFAULT_BOUND = 1 << 30  # bytes: about two million runs
QUIET = 3600.0  # seconds after a segment's hour in which it is still left alone
_DAY = 86400.0
_COPY = ".prune"  # the segment that is being written anew


class Outcome(NamedTuple):
    """What a prune did."""

    runs: int
    freed: int  # bytes
    left: int  # bytes
    overdue: int  # runs that ended before and could not be dropped yet


class _Affected(NamedTuple):
    """A segment that is to be written anew."""

    key: int
    name: str
    size: int


def prune(home: str, max_size: int, keep: float | None = None) -> Outcome:
    """Drop the runs that ended more than *keep* seconds ago, then the oldest, down to *max_size*.

    Successes and skipped runs go before failures. Sizes in bytes.
    """
    folder = segments.journal_folder(home)
    limit = "" if keep is None else journal.moment(time.time() - keep)
    with _alone(home), contextlib.closing(open_index(home)) as index:
        before = _size(folder)
        with index.transaction():
            _list_closed(index, home)
            _doom(index, before - max_size, limit)
            _carry_out(index, folder)
        runs = index.connection.execute("SELECT count(*) FROM doomed").fetchone()[0]
        overdue = index.connection.execute(_OVERDUE, (limit,)).fetchone()[0]
        left = _size(folder)
    return Outcome(runs, before - left, left, overdue)


def keep_within_default(home: str) -> int:
    """Once a day, drop the oldest runs of a journal over its default bound; return how many.

    So the disk does not fill where nobody ever prunes. A home that we may only read, or that
    somebody else prunes at this moment, is left as it is.
    """
    stamp = os.path.join(home, "pruned")
    try:
        with contextlib.suppress(FileNotFoundError):
            if abs(time.time() - os.lstat(stamp).st_mtime) < _DAY:
                return 0
        file = os.open(stamp, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        try:
            os.utime(file)
        finally:
            os.close(file)
        if _size(segments.journal_folder(home)) <= DEFAULT_BOUND:
            return 0
        return prune(home, DEFAULT_BOUND).runs
    except (OSError, sqlite3.Error, ToolError):
        return 0


@contextlib.contextmanager
def _alone(home: str) -> Iterator[None]:
    """Keep other prunes out."""
    if fcntl is None:
        raise ToolError("this system has no way to prune a journal that is in use")
    descriptor = journal.open_folder(home, "journal")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ToolError("another prune is at work") from None
    finally:
        os.close(descriptor)


def _size(folder: str) -> int:
    return sum(found.size for found in segments.listed(folder))


def _list_closed(index: Index, home: str) -> None:
    """Fill the temporary table `closed` with the segments to which nobody writes any more."""
    execute = index.connection.execute
    execute("CREATE TEMP TABLE closed (id INTEGER PRIMARY KEY)")
    known = {str(name): key for name, key in index.rows("SELECT name, id FROM segment")}
    now, folder = time.time(), segments.journal_folder(home)
    for found in segments.listed(folder):
        if found.name in known:
            over = segments.hour_end(found.name) + QUIET < now
            if over and not _is_open(os.path.join(folder, found.name)):
                execute("INSERT INTO closed VALUES (?)", (known[found.name],))


def _is_open(path: str) -> bool:
    """Tell whether any process has a file open for writing, as far as the kernel knows.

    It grants a read lease only on a file that nobody has; see F_SETLEASE in fcntl(2).
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    signal.signal(signal.SIGIO, signal.SIG_IGN)  # comes where somebody opens it just now
    with events.opened(path) as file:
        try:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        except OSError:  # not on this file system, or another user's file
            return False
    return False  # and closing the file has given the lease back


_DROPPABLE = """
FROM run WHERE status <> 'running'
    AND coalesce(started_in, finished_in) IN (SELECT id FROM closed)
    AND coalesce(finished_in, started_in) IN (SELECT id FROM closed)
"""
_ENDED = "coalesce(finished_at, started_at)"
_OVERDUE = f"""
SELECT count(*) FROM run
WHERE started_at IS NOT NULL AND status <> 'running' AND {_ENDED} < ?
"""


def _doom(index: Index, excess: int, limit: str) -> None:
    """Fill the temporary table `doomed` with the runs to drop.

    Those that ended before the moment *limit*, and more of them for *excess* bytes.
    """
    execute = index.connection.execute
    execute("CREATE TEMP TABLE doomed (run TEXT PRIMARY KEY)")
    oldest = (
        f"SELECT run, {_ENDED} < ?, coalesce(started_bytes, 0) + coalesce(finished_bytes, 0) "
        f"{_DROPPABLE} ORDER BY {_ENDED} >= ?, status = 'failure', {_ENDED}"
    )
    doomed = []
    for run, old, size in execute(oldest, (limit, limit)):
        if not old and excess <= 0:
            break
        doomed.append((run,))
        excess -= size
    index.connection.executemany("INSERT INTO doomed VALUES (?)", doomed)


def _carry_out(index: Index, folder: str) -> None:
    """Write the affected segments anew, without the lines whose run the index has no more."""
    execute = index.connection.execute
    affected = _affected(index)
    execute("DELETE FROM run WHERE run IN (SELECT run FROM doomed)")
    with output.progress("pruning", sum(one.size for one in affected)) as advance:
        for place, (key, name, size) in enumerate(affected):
            left = _rewritten(index, os.path.join(folder, name), size)
            if left is None:
                index.forget([one.key for one in affected[place:]])  # to be read again
                break
            if left:
                _note(index, os.path.join(folder, name), key)
            else:
                execute("DELETE FROM segment WHERE id = ?", (key,))
            advance(size)


def _affected(index: Index) -> list[_Affected]:
    """Return the segments with doomed runs, and those that hold no run at all, oldest first."""
    statement = """
    SELECT id, name, size FROM segment WHERE id IN (SELECT id FROM closed) AND (
        id IN (SELECT started_in FROM run WHERE run IN (SELECT run FROM doomed))
        OR id IN (SELECT finished_in FROM run WHERE run IN (SELECT run FROM doomed))
        OR id NOT IN (
            SELECT started_in FROM run WHERE started_in IS NOT NULL
            UNION SELECT finished_in FROM run WHERE finished_in IS NOT NULL
        )
    ) ORDER BY name
    """
    return [_Affected(*row) for row in index.rows(statement)]


def _note(index: Index, path: str, key: int) -> None:
    """Let the index know a segment as it is now, so that it is not read again."""
    status = os.lstat(path)
    index.connection.execute(
        "UPDATE segment SET inode = ?, size = ?, consumed = ? WHERE id = ?",
        (status.st_ino, status.st_size, status.st_size, key),
    )


def _rewritten(index: Index, path: str, size: int) -> int | None:
    """Replace a segment by its kept lines; return its new size, 0 where none is left.

    None: it was written to since the index read it, or somebody is about to.
    """
    copy = os.path.join(os.path.dirname(path), _COPY)
    with events.opened(path) as source, _new(copy) as target:
        os.fchmod(target.fileno(), os.fstat(source.fileno()).st_mode & 0o777)
        for line in source:
            for text, event in pieces(line):
                if _is_kept(index, event):
                    target.write(text.encode() + b"\n")
        target.flush()
        os.fsync(target.fileno())
        left = target.tell()
    if _is_open(path) or os.lstat(path).st_size != size:
        os.unlink(copy)
        return None
    if left:
        os.replace(copy, path)
    else:
        os.unlink(path)
        os.unlink(copy)
    return left


def _new(path: str) -> BinaryIO:
    """Make a file, in the place of what a killed prune may have left."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def _is_kept(index: Index, event: dict[str, Any]) -> bool:
    """Tell whether a line stays: its run does, or it is of no run."""
    run = event.get("run")
    if not isinstance(run, str):
        return True
    found = index.connection.execute("SELECT 1 FROM run WHERE run = ?", (run,)).fetchone()
    return found is not None
