"""Drop runs from the journal: those that are too old, and the oldest if it is over its bound.

Why no line is lost, although writers append at any time and take no lock:

- A writer opens a segment only in its hour (`journal.Journal`), and a prune leaves a segment alone
  until QUIET after that. So the only possible writers are those that have had it open since.
- A process that was stopped between reading the clock and writing is such a writer. The kernel
  knows it: a segment that is open for writing is left alone (`_is_open`). If the kernel cannot know
  (another machine writes, over a network), QUIET has to be enough.
- A segment that has grown since the index read it is left alone.
- The kept lines are copied, unchanged, to a file that replaces the segment in one step, once it
  is safe on the disk. Only for that step the index is locked, and it is updated in it.
- A reader that was in the middle of such a segment reads it from its beginning.
- A line is dropped because its run is, never because the index does not know it.

A run is dropped only as a whole: if one of its lines has to stay, both do. Segments are rewritten
in the order of time, and the first that can't be ends the work. So a killed prune may leave the end
of a run, which no command shows, but never its start, which would look like a running run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

from autotask import journal
from autotask.around.journal_lines import open_owned, pieces
from autotask.tool import output
from autotask.tool.errors import ToolError
from autotask.tool.journal import schema, segments
from autotask.tool.journal.index import Index, answer, open_index
from autotask.tool.journal.run_rows import half_of, run_of

if TYPE_CHECKING:
    from autotask.around.journal_lines import Fields

DEFAULT_BOUND = 1 << 30  # bytes: about two million runs
QUIET = 3600.0  # seconds after a segment's hour in which it is still left alone
_NOTES_LIVE = 86400.0  # seconds after a segment's hour in which notes of a missing run stay
_COPY = ".prune"  # the file that will replace a segment
_NOTES = frozenset(["raised", "unsent", "sent"])  # lines about a line of a run: nothing without it


class Pruned(NamedTuple):
    """What a prune did."""

    runs: int  # dropped
    freed: int  # bytes
    left: int  # bytes
    overdue: int  # runs that are old enough, but cannot be dropped yet
    unreadable: dict[str, str]  # segments by path, each with the reason


class _Affected(NamedTuple):
    """A segment that has to be rewritten."""

    id: int  # in the index
    name: str
    size: int


class _Rewritten(NamedTuple):
    """What was copied of a segment."""

    size: int
    dropped: int  # starts and ends
    source: segments.Segment  # the segment when it was copied


def prune(home: str, max_size: int, keep: float | None = None) -> Pruned:
    """Drop the runs that ended more than *keep* seconds ago, then the oldest, down to *max_size*.

    Successes and skipped runs are dropped before failures. Sizes in bytes.
    """
    with alone(home):
        return prune_alone(home, max_size, keep)


def prune_alone(home: str, max_size: int, keep: float | None = None) -> Pruned:
    """Do the same for a caller that has locked other prunes out."""
    folder = segments.journal_folder(home)
    limit = "" if keep is None else journal.moment(time.time() - keep)

    def pruned(index: Index) -> Pruned:
        # With gaps in the index, failures might be dropped while there are successes.
        index.reader.forget_gaps()
        index.refresh()
        before = size_of(home)
        # Others may write while this one chooses: what changes meanwhile is left alone later.
        with index.connection.transaction("DEFERRED"):
            _list_closed(index, home)
            _choose(index, before - max_size, limit)
            affected = _affected(index)
        runs = _carry_out(index, folder, affected)
        if not index.unreadable:
            index.kept.prune(index)
        overdue = index.connection.execute(_OVERDUE, (limit,)).fetchone()[0]
        left = size_of(home)
        return Pruned(runs, before - left, left, overdue, index.unreadable)

    try:
        return answer(lambda: open_index(home), pruned)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(copy_in(home))


@contextlib.contextmanager
def alone(home: str) -> Iterator[None]:
    """Lock other prunes out."""
    if fcntl is None:
        raise ToolError("cannot prune on this system: it has no file locks")
    descriptor = journal.open_folder(home, "journal")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ToolError("another prune is running") from None
    finally:
        os.close(descriptor)


def copy_in(home: str) -> str:
    """Return the path of the copy that will replace a segment."""
    return os.path.join(segments.journal_folder(home), _COPY)


def size_of(home: str) -> int:
    """Return the size of a home's journal in bytes."""
    return sum(segment.size for segment in segments.listed(segments.journal_folder(home)))


def _list_closed(index: Index, home: str) -> None:
    """Fill the temporary table `closed` with the segments that no process writes to any more."""
    execute = index.connection.execute
    execute("CREATE TEMP TABLE closed (id INTEGER PRIMARY KEY)")
    known = {str(name): segment_id for name, segment_id in execute("SELECT name, id FROM segment")}
    now, folder = time.time(), segments.journal_folder(home)
    for segment in segments.listed(folder):
        path = os.path.join(folder, segment.name)
        is_read = segment.name in known and path not in index.unreadable
        if is_read and _is_over(segment, now) and not _is_open(path):
            execute("INSERT INTO closed VALUES (?)", (known[segment.name],))


def _is_over(segment: segments.Segment, now: float) -> bool:
    """Tell whether the time in which a segment is written to is over.

    A clock that was ahead has made segments whose hour is still to come. It was set right since,
    or another machine has it: then the segment was changed not long ago.
    """
    end = segments.hour_end(segment.name)
    is_ahead = end - 3600.0 - QUIET > now
    return end + QUIET < now or (is_ahead and abs(now - segment.changed / 1e9) > QUIET)


def _is_open(path: str) -> bool:
    """Tell whether any process has a file open for writing, as far as the kernel knows.

    It grants a read lease only on a file that no process has; see F_SETLEASE in fcntl(2).
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    # The kernel sends SIGIO, which would end this process, if another one opens the file just now.
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    with open_owned(path) as file:
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
_AS_READ = "SELECT 1 FROM segment WHERE id = ? AND name = ? AND size = ?"
_ENDED = "coalesce(finished_at, started_at)"
_OVERDUE = f"""
SELECT count(*) FROM run
WHERE started_at IS NOT NULL AND status <> 'running' AND {_ENDED} < ?
"""


def _choose(index: Index, excess: int, limit: str) -> None:
    """Fill the temporary table `doomed` with the runs to drop.

    Those that ended before the moment *limit*, and more of them for *excess* bytes.
    """
    execute = index.connection.execute
    execute(
        "CREATE TEMP TABLE doomed "
        "(run TEXT PRIMARY KEY, finished_at TEXT, status TEXT, started_in, last_in)"
    )
    # The end of a run that seems to have none may be in a segment that cannot be read.
    has_end = "AND finished_at IS NOT NULL" if index.unreadable else ""
    oldest = (
        f"SELECT run, finished_at, status, started_in, coalesce(finished_in, started_in), "
        f"{_ENDED} < ?, coalesce(started_bytes, 0) + coalesce(finished_bytes, 0) "
        f"{_DROPPABLE} {has_end} ORDER BY {_ENDED} >= ?, status = 'failure', {_ENDED}"
    )
    doomed = []
    for *run, is_old, size in execute(oldest, (limit, limit)):
        if not is_old and excess <= 0:
            break
        doomed.append(run)
        excess -= size
    index.connection.executemany("INSERT INTO doomed VALUES (?, ?, ?, ?, ?)", doomed)
    for column in ("started_in", "last_in"):
        execute(f"CREATE INDEX temp.doomed_{column} ON doomed ({column})")


def _affected(index: Index) -> list[_Affected]:
    """Return the segments with doomed runs, and those that hold no run at all, oldest first."""
    statement = """
    SELECT id, name, size FROM segment WHERE id IN (SELECT id FROM closed) AND (
        id IN (SELECT started_in FROM doomed UNION SELECT last_in FROM doomed)
        OR id NOT IN (
            SELECT started_in FROM run WHERE started_in IS NOT NULL
            UNION SELECT finished_in FROM run WHERE finished_in IS NOT NULL
        )
    ) ORDER BY name <= ?, name  -- a name in the future is older: a clock was ahead
    """
    return [_Affected(*row) for row in index.rows(statement, [journal.segment(time.time())])]


def _carry_out(index: Index, folder: str, affected: list[_Affected]) -> int:
    """Rewrite the affected segments without the doomed runs; return how many runs were dropped.

    Each is committed by itself, and others are locked out only while the copy replaces it.
    """
    dropped = 0
    with output.progress("pruning", sum(segment.size for segment in affected)) as advance:
        for segment in affected:
            path = os.path.join(folder, segment.name)
            copy, rewritten = _copied(index, path)
            with index.connection.transaction():
                # Another command may have read more of it meanwhile, or read it anew.
                if not any(index.rows(_AS_READ, segment)):
                    break
                if not _replaced(path, copy, segment.size, rewritten):
                    break
                dropped += _forget_doomed(index, segment.id)
                if rewritten.size:
                    _remember(index, path, segment.id, rewritten)
                else:
                    index.connection.execute("DELETE FROM segment WHERE id = ?", (segment.id,))
            advance(segment.size)
    return dropped


def _copied(index: Index, path: str) -> tuple[str, _Rewritten]:
    """Copy the kept lines of a segment to a file beside it; return its path, and what it has."""
    folder, name = os.path.split(path)
    copy, dropped = os.path.join(folder, _COPY), 0
    drop_notes = segments.hour_end(name) + _NOTES_LIVE < time.time()
    # A killed prune may have left one.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(copy)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with open_owned(path) as source, open(os.open(copy, flags, 0o600), "wb") as target:
        # Before it is read: what is written to it from here on shows in `_replaced`.
        status = os.fstat(source.fileno())
        os.fchmod(target.fileno(), status.st_mode & 0o777)
        for line in source:
            for text, fields in pieces(line):
                if _is_kept(index, fields, drop_notes):
                    target.write(text.encode() + b"\n")
                else:
                    dropped += half_of(fields) is not None
        target.flush()
        os.fsync(target.fileno())
        return copy, _Rewritten(target.tell(), dropped, segments.Segment.of(name, status))


def _is_kept(index: Index, line: Fields, drop_notes: bool) -> bool:
    """Tell whether a line stays: its run does, or it has none.

    *drop_notes*: those of runs that are missing, too.
    """
    run = run_of(line)
    if run is None:
        return True
    doomed = "SELECT finished_at, status FROM doomed WHERE run = ?"
    for at, status in index.rows(doomed, (run,)):
        is_end = line.get("at") == at and line.get("reason") != "lost"
        if is_end and line.get("status") == "failure" != status:
            # The index is damaged: it would have dropped a failure as a success.
            raise sqlite3.DatabaseError(f"a {status} that is a failure")
        return False
    if not drop_notes or line.get("event") not in _NOTES or index.unreadable:
        return True
    return any(index.rows("SELECT 1 FROM run WHERE run = ?", (run,)))


def _replaced(path: str, copy: str, size: int, rewritten: _Rewritten) -> bool:
    """Replace a segment by its copy, or remove the segment if nothing is left of it.

    Return False if the segment was written to since the index read it, or is open for writing.
    """
    segment = segments.Segment.of(rewritten.source.name, os.lstat(path))
    if _is_open(path) or segment != rewritten.source or segment.size != size:
        return False
    if rewritten.size:
        os.replace(copy, path)
    else:
        os.unlink(path)
    return True


def _forget_doomed(index: Index, segment_id: int) -> int:
    """Delete from the index what a segment had of the doomed runs; return how many runs that were.

    A run whose end is in a later segment is deleted with that: until then its end is known.
    """
    starts = ", ".join(f'"{column}" = NULL' for column in schema.STARTED)
    index.connection.execute(
        f"UPDATE run SET {starts} WHERE started_in = ?1 "
        "AND run IN (SELECT run FROM doomed WHERE started_in = ?1 AND last_in <> ?1)",
        (segment_id,),
    )
    doomed = "DELETE FROM run WHERE run IN (SELECT run FROM doomed WHERE last_in = ?)"
    return index.connection.execute(doomed, (segment_id,)).rowcount


def _remember(index: Index, path: str, segment_id: int, rewritten: _Rewritten) -> None:
    """Note in the index what a segment is now, so that it is not read again."""
    with open_owned(path) as file:
        segment = segments.Segment.of(os.path.basename(path), os.fstat(file.fileno()))
        segment = segment._replace(size=rewritten.size)
        index.reader.remember(segment_id, segment, file, rewritten.size, -rewritten.dropped)
