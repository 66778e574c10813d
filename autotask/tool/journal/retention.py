"""Drop runs from the journal: those that are too old, and what is over its bound.

Why no line is lost, though writers append at any time and take no lock:

- A writer opens a segment only in its hour (`journal.Journal`), and segments are left alone until
  QUIET after that. So nobody writes there who has not had it open since.
- A process that was stopped between its look at the clock and its write has. The kernel tells of
  it: a segment that anybody has open for writing is left alone (`_is_open`). Where the kernel
  cannot tell (another machine writes, over a network), QUIET has to do.
- A segment that has grown since the index read it is left alone.
- The kept lines go, unchanged, to a copy that takes the segment's place in one step once it
  is safe on the disk. Only for that step the index is locked, and says the same afterwards.
- A reader that begins in the middle of such a segment reads it from its begin: marks pin none.
- A line goes because its run is one of those to drop, never because the index does not know it.

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

from autotask import journal
from autotask.around import journal_lines
from autotask.around.journal_lines import pieces
from autotask.tool import output, quantities
from autotask.tool.errors import ToolError
from autotask.tool.journal import segments
from autotask.tool.journal.index import Index, answer, half_of, open_index, run_of

DEFAULT_BOUND = 1 << 30  # bytes: about two million runs
QUIET = 3600.0  # seconds after a segment's hour in which it is still left alone
_DAY = 86400.0
_COPY = ".prune"  # the segment that is being written anew
_NOTES = frozenset(["raised", "unsent", "sent"])  # lines about a line of a run: nothing without it
_STAMP = "pruned"  # its time says when the day's prune has last come to its end
_BEGUN = 0.0  # that time while it is at work


class Outcome(NamedTuple):
    """What a prune did."""

    runs: int
    freed: int  # bytes
    left: int  # bytes
    overdue: int  # runs that ended before and could not be dropped yet
    unreadable: dict[str, str]  # segments by path, each with the reason


class _Affected(NamedTuple):
    """A segment that is to be written anew."""

    key: int
    name: str
    size: int


class _Left(NamedTuple):
    """What is left of a segment that was written anew."""

    size: int
    dropped: int  # starts and ends
    source: segments.Segment  # the segment when it was read


def prune(home: str, max_size: int, keep: float | None = None) -> Outcome:
    """Drop the runs that ended more than *keep* seconds ago, then the oldest, down to *max_size*.

    Successes and skipped runs go before failures. Sizes in bytes.
    """
    with _alone(home):
        return _prune(home, max_size, keep)


def _prune(home: str, max_size: int, keep: float | None) -> Outcome:
    try:
        return _pruned(home, max_size, keep)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(_copy_in(home))


def _pruned(home: str, max_size: int, keep: float | None) -> Outcome:
    folder = segments.journal_folder(home)
    limit = "" if keep is None else journal.moment(time.time() - keep)

    def pruned(index: Index) -> Outcome:
        index.forget_gaps()
        index.refresh()  # with what was missing: else failures might go while there are successes
        before = _size(folder)
        with index.transaction("DEFERRED"):  # others may write while we choose
            _list_closed(index, home)
            _doom(index, before - max_size, limit)
            affected = _affected(index)
        runs = _carry_out(index, folder, affected)
        overdue = index.connection.execute(_OVERDUE, (limit,)).fetchone()[0]
        left = _size(folder)
        return Outcome(runs, before - left, left, overdue, index.unreadable)

    return answer(lambda: open_index(home), pruned)


def due(home: str) -> str | None:
    """Say, once a day, why a journal is to be brought back to its default bound.

    So the disk does not fill where nobody ever prunes. A home that we may only read, or that
    another command prunes at this moment, is left as it is.
    """
    last = None
    try:
        with contextlib.suppress(FileNotFoundError):
            last = os.lstat(os.path.join(home, _STAMP)).st_mtime
            if abs(time.time() - last) < _DAY:
                return None
        with _alone(home):
            if _size(segments.journal_folder(home)) <= DEFAULT_BOUND:
                _stamp(home)
                return None
    except (OSError, ToolError):
        return None
    again = " (the last try was cut off)" if last == _BEGUN else ""
    return f"the journal is larger than {quantities.size_text(DEFAULT_BOUND)}{again}"


def keep_within_default(home: str) -> int:
    """Drop the oldest runs of a journal that is over its default bound; return how many.

    If it is killed, the next command tries again. If another prune is at work, nothing is noted.
    """
    runs = 0
    with contextlib.suppress(OSError, ToolError), _alone(home):
        _stamp(home, (_BEGUN, _BEGUN))
        with contextlib.suppress(OSError, sqlite3.Error, ToolError):
            runs = _prune(home, DEFAULT_BOUND, None).runs
        _stamp(home)
    return runs


def tidy(home: str) -> bool:
    """Delete the copy that a prune has left if it was killed; tell whether there was one.

    A prune that is at work is left alone.
    """
    if not os.path.lexists(_copy_in(home)):
        return False
    try:
        with _alone(home):
            os.unlink(_copy_in(home))
    except (OSError, ToolError):
        return False
    return True


def _stamp(home: str, times: tuple[float, float] | None = None) -> None:
    """Note that the day's prune has ended, or was not needed; or another time."""
    path = os.path.join(home, _STAMP)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        os.utime(file, times)
    finally:
        os.close(file)


def _copy_in(home: str) -> str:
    return os.path.join(segments.journal_folder(home), _COPY)


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
        path = os.path.join(folder, found.name)
        is_read = found.name in known and path not in index.unreadable
        if is_read and _is_over(found, now) and not _is_open(path):
            execute("INSERT INTO closed VALUES (?)", (known[found.name],))


def _is_over(found: segments.Segment, now: float) -> bool:
    """Tell whether writers are done with a segment.

    A clock that was ahead has made some whose hour is still to come. It was set right since, or
    another machine has it: then something was written there lately.
    """
    end = segments.hour_end(found.name)
    is_ahead = end - 3600.0 - QUIET > now
    return end + QUIET < now or (is_ahead and abs(now - found.changed / 1e9) > QUIET)


def _is_open(path: str) -> bool:
    """Tell whether any process has a file open for writing, as far as the kernel knows.

    It grants a read lease only on a file that nobody has; see F_SETLEASE in fcntl(2).
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    signal.signal(signal.SIGIO, signal.SIG_IGN)  # comes where somebody opens it just now
    with journal_lines.opened(path) as file:
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
    execute(
        "CREATE TEMP TABLE doomed "
        "(run TEXT PRIMARY KEY, finished_at TEXT, status TEXT, started_in, last_in)"
    )
    seen = "AND finished_at IS NOT NULL" if index.unreadable else ""  # else it may be there
    oldest = (
        f"SELECT run, finished_at, status, started_in, coalesce(finished_in, started_in), "
        f"{_ENDED} < ?, coalesce(started_bytes, 0) + coalesce(finished_bytes, 0) "
        f"{_DROPPABLE} {seen} ORDER BY {_ENDED} >= ?, status = 'failure', {_ENDED}"
    )
    doomed = []
    for *run, old, size in execute(oldest, (limit, limit)):
        if not old and excess <= 0:
            break
        doomed.append(run)
        excess -= size
    index.connection.executemany("INSERT INTO doomed VALUES (?, ?, ?, ?, ?)", doomed)
    for column in ("started_in", "last_in"):
        execute(f"CREATE INDEX temp.doomed_{column} ON doomed ({column})")


def _carry_out(index: Index, folder: str, affected: list[_Affected]) -> int:
    """Write the affected segments anew, without the doomed runs; return how many runs went.

    Each is committed by itself, and others are kept out only while the copy takes its place.
    """
    went = 0
    with output.progress("pruning", sum(one.size for one in affected)) as advance:
        for one in affected:
            path = os.path.join(folder, one.name)
            copy, left = _copied(index, path)
            with index.transaction():
                if not _is_as_read(index, one) or not _replaced(path, copy, one.size, left):
                    break
                went += _forget(index, one.key)
                if left.size:
                    _note(index, path, one.key, left)
                else:
                    index.connection.execute("DELETE FROM segment WHERE id = ?", (one.key,))
            advance(one.size)
    return went


def _forget(index: Index, key: int) -> int:
    """Let the index forget what was in a segment of the doomed runs; return how many there were.

    A run whose end is in a later segment goes with that: until then its end is known.
    """
    index.forget_starts(
        key, f"SELECT run FROM doomed WHERE started_in = {key} AND last_in <> {key}"
    )
    doomed = "DELETE FROM run WHERE run IN (SELECT run FROM doomed WHERE last_in = ?)"
    return index.connection.execute(doomed, (key,)).rowcount


def _is_as_read(index: Index, one: _Affected) -> bool:
    """Tell whether no other command has read more of a segment, or read it anew."""
    statement = "SELECT 1 FROM segment WHERE id = ? AND name = ? AND size = ?"
    return any(index.rows(statement, one))


def _affected(index: Index) -> list[_Affected]:
    """Return the segments with doomed runs, and those that hold no run at all, oldest first."""
    statement = """
    SELECT id, name, size FROM segment WHERE id IN (SELECT id FROM closed) AND (
        id IN (SELECT started_in FROM doomed UNION SELECT last_in FROM doomed)
        OR id NOT IN (
            SELECT started_in FROM run WHERE started_in IS NOT NULL
            UNION SELECT finished_in FROM run WHERE finished_in IS NOT NULL
        )
    ) ORDER BY name <= ?, name  -- a clock that was ahead was so before
    """
    return [_Affected(*row) for row in index.rows(statement, [journal.segment(time.time())])]


def _note(index: Index, path: str, key: int, left: _Left) -> None:
    """Let the index know a segment as it is now, so that it is not read again."""
    with journal_lines.opened(path) as file:
        found = segments.Segment.of(os.path.basename(path), os.fstat(file.fileno()))
        index.remember(key, found._replace(size=left.size), file, left.size, -left.dropped)


def _copied(index: Index, path: str) -> tuple[str, _Left]:
    """Write the kept lines of a segment to a copy beside it; return its path, and what they are."""
    folder, name = os.path.split(path)
    copy, dropped = os.path.join(folder, _COPY), 0
    notes_go = segments.hour_end(name) + _DAY < time.time()
    with journal_lines.opened(path) as source, _new(copy) as target:
        status = os.fstat(source.fileno())
        os.fchmod(target.fileno(), status.st_mode & 0o777)
        for line in source:
            for text, event in pieces(line):
                if _is_kept(index, event, notes_go):
                    target.write(text.encode() + b"\n")
                else:
                    dropped += half_of(event) is not None
        target.flush()
        os.fsync(target.fileno())
        return copy, _Left(target.tell(), dropped, segments.Segment.of(name, status))


def _replaced(path: str, copy: str, size: int, left: _Left) -> bool:
    """Put a copy in the place of its segment, or remove the segment if nothing is left of it.

    False: the segment was written to since the index read it, or is about to be.
    """
    found = segments.Segment.of(left.source.name, os.lstat(path))
    if _is_open(path) or found != left.source or found.size != size:
        return False
    if left.size:
        os.replace(copy, path)
    else:
        os.unlink(path)
    return True


def _new(path: str) -> BinaryIO:
    """Make a file, in the place of what a killed prune may have left."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def _is_kept(index: Index, event: dict[str, Any], notes_go: bool) -> bool:
    """Tell whether a line stays: its run does, or it is of none.

    *notes_go* if they are too old for anybody to read them when their run is not there any more.
    """
    run = run_of(event)
    if run is None:
        return True
    doomed = "SELECT finished_at, status FROM doomed WHERE run = ?"
    for at, status in index.rows(doomed, (run,)):
        is_end = event.get("at") == at and event.get("reason") != "lost"
        if is_end and event.get("status") == "failure" != status:
            raise sqlite3.DatabaseError(f"a {status} that is a failure")  # the index is damaged
        return False
    if not notes_go or event.get("event") not in _NOTES or index.unreadable:
        return True
    return bool(index.connection.execute("SELECT 1 FROM run WHERE run = ?", (run,)).fetchone())
