"""Catch up with the journal: read into the index what was appended since the last time."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from autotask.around.journal_lines import open_owned, pieces
from autotask.tool import output
from autotask.tool.journal import segments, waiting
from autotask.tool.journal.run_rows import Halves, add_line
from autotask.tool.journal.schema import FINISHED, NOT_FINISHED, NOT_STARTED, STARTED, UPSERT

if TYPE_CHECKING:
    from autotask.tool.journal.segments import Segment, Source

_BATCH = 20_000  # runs in memory at a time
_EDGE = 256  # bytes of a segment that tell it from another one
_TICK = 2_000_000_000  # nanoseconds in which a file may change twice and show one time for both
_REFUSED = -1  # in the place of a segment's change time: it could not be read to its end
_TURN = 1.0  # seconds after which a long reading is committed, and others may write


class _Unread(NamedTuple):
    """A segment of which something is to be read."""

    segment: Segment
    id: int | None  # in the index; None if it is new
    size: int  # bytes that the index has read
    consumed: int
    was_refused: bool = False  # the last time, it could not be read to its end


class _Progress(NamedTuple):
    """How far a segment was read."""

    size: int  # bytes
    consumed: int  # bytes up to the end of the last whole line
    halves: int  # starts and ends
    problem: OSError | None  # that ended the reading


class SegmentReader:
    """Reads each line of the segments into the index once, and forgets segments that are gone."""

    def __init__(self, connection: waiting.Connection, source: Source) -> None:
        self.unreadable: dict[str, str] = {}  # segments by path, each with the reason
        self._connection = connection
        self._source = source

    def catch_up(self) -> None:
        """Read every whole line that is new."""
        self.unreadable.clear()
        stale, unread = self._pending()
        if not stale and not any(map(self._is_news, unread)):
            return
        size = sum(max(each.segment.size - each.consumed, 0) for each in unread)
        with output.progress("reading the journal", size) as advance:
            more = True
            while more:
                with self._connection.transaction():
                    # Again: another command may have read them. From here on none can.
                    stale, unread = self._pending()
                    if stale:
                        self.forget(stale)
                        _, unread = self._pending()
                    more = self._read_some(unread, advance)
                if more:
                    # Longer than the pause of a command that waits, so that it gets its turn.
                    time.sleep(3 * waiting.PAUSE)

    def forget(self, ids: Iterable[int]) -> None:
        """Undo the reading of these segments, and of those with gaps.

        A start or an end that no longer counts may be in another segment, too.
        """
        inside = f"IN ({', '.join(map(str, {*ids, *self._with_gaps()}))})"
        execute = self._connection.execute
        for half, columns, empty in (
            ("started", STARTED, NOT_STARTED),
            ("finished", FINISHED, NOT_FINISHED),
        ):
            sets = ", ".join(f'"{column}" = ?' for column in columns)
            execute(f"UPDATE run SET {sets} WHERE {half}_in {inside}", empty)
        execute("DELETE FROM run WHERE started_at IS NULL AND finished_at IS NULL")
        execute(f"DELETE FROM segment WHERE id {inside}")

    def forget_gaps(self) -> None:
        """Undo the reading of segments with gaps, if there are any."""
        if self._with_gaps():  # lock others out only for a reason
            with self._connection.transaction():
                self.forget([])

    def remember(
        self, segment_id: int, segment: Segment, file: BinaryIO, consumed: int, halves: int
    ) -> None:
        """Note that *segment.size* bytes of a segment are read, with so many more halves."""
        self._connection.execute(
            "UPDATE segment SET inode = ?, changed = ?, size = ?, consumed = ?, "
            "halves = halves + ?, edges = ? WHERE id = ?",
            (
                *(segment.inode, segment.changed, segment.size, consumed),
                *(halves, _edges(file, segment.size), segment_id),
            ),
        )

    def _with_gaps(self) -> list[int]:
        """Return the segments with more starts and ends than the runs have from there.

        Either another segment has the same lines, or the index was damaged.
        """
        counts: Counter[int] = Counter()
        execute = self._connection.execute
        for half in ("started_in", "finished_in"):
            counts.update(dict(execute(f"SELECT {half}, count(*) FROM run GROUP BY {half}")))
        return [
            segment_id
            for segment_id, halves in execute("SELECT id, halves FROM segment")
            if counts[segment_id] < halves
        ]

    def _pending(self) -> tuple[list[int], list[_Unread]]:
        """Return the segments to forget (gone, replaced, shorter than before) and those to read."""
        rows = self._connection.execute(
            "SELECT name, inode, size, changed, id, consumed FROM segment"
        )
        known = {row[0]: row for row in rows}
        stale, unread = [], []
        for segment in self._source.listed(self.unreadable):
            if segment.name not in known:
                unread.append(_Unread(segment, None, 0, 0))
                continue
            *before, segment_id, consumed = known.pop(segment.name)
            if segment == tuple(before):
                continue
            _, inode, size, changed = before
            if segment.inode != inode or segment.size < size:
                stale.append(segment_id)
                unread.append(_Unread(segment, None, 0, 0))
            else:
                unread.append(_Unread(segment, segment_id, size, consumed, changed == _REFUSED))
        stale += [segment_id for *_, segment_id, _ in known.values()]
        return stale, unread

    def _is_news(self, unread: _Unread) -> bool:
        """Tell whether there is more to do than to note that a segment is still the same."""
        segment, segment_id, size, _, was_refused = unread
        if segment_id is None or segment.size != size or was_refused:
            return True
        try:
            with open_owned(os.path.join(self._source.folder, segment.name)) as file:
                return not self._is_same(file, segment_id, size)
        except OSError:
            return True

    def _read_some(self, unread: list[_Unread], advance: Callable[[int], None]) -> bool:
        """Read segments for a while; tell whether there are more."""
        end = time.monotonic() + _TURN
        for each in unread:
            path = os.path.join(self._source.folder, each.segment.name)
            if path in self.unreadable:  # since the last turn; a bad disk takes long to refuse
                continue
            try:
                with open_owned(path) as file:
                    if not self._read(each, file, advance, end):
                        return True
            except FileNotFoundError:  # just deleted
                continue
            except OSError as problem:
                segments.note_unreadable(self.unreadable, path, problem)
            if time.monotonic() > end:
                return True
        return False

    def _read(
        self, unread: _Unread, file: BinaryIO, advance: Callable[[int], None], end: float
    ) -> bool:
        """Read on in a segment until *end*; False if it is another file now, and is forgotten."""
        segment, segment_id, size, consumed, _ = unread
        # In a shared home, a user may have replaced their folder since it was listed.
        owner = segments.owner_of(segment.name)
        if owner and os.fstat(file.fileno()).st_uid != owner:
            return True
        if segment_id is not None and not self._is_same(file, segment_id, size):
            self.forget([segment_id])
            return False
        if segment_id is None:
            cursor = self._connection.execute(
                "INSERT INTO segment (name, inode, changed, size, consumed, halves, edges) "
                "VALUES (?, 0, 0, 0, 0, 0, x'')",
                (segment.name,),
            )
            segment_id = cursor.lastrowid or 0
        progress = self._take_in(file, consumed, segment_id, owner, end)
        segment = segment._replace(size=progress.size)
        if progress.problem:
            segment = segment._replace(changed=_REFUSED)
        elif segment.changed > time.time_ns() - _TICK:
            # It may change again without showing: look at its bytes next time.
            segment = segment._replace(changed=0)
        self.remember(segment_id, segment, file, progress.consumed, progress.halves)
        advance(progress.consumed - consumed)
        if progress.problem:
            raise progress.problem
        return True

    def _take_in(
        self, file: BinaryIO, consumed: int, segment_id: int, owner: int, end: float
    ) -> _Progress:
        """Write the runs of the lines behind *consumed* bytes, until *end*."""
        rows: dict[str, Halves] = {}
        halves, size, problem = 0, consumed, None
        try:
            file.seek(consumed)
            for line in file:
                size += len(line)
                for text, fields in pieces(line):
                    halves += add_line(rows, fields, segment_id, len(text) + 1)
                if len(rows) >= _BATCH:
                    self._write(rows, owner)
                # Torn, or still being written: it is read again next time. A start or an end in it
                # then counts twice, and the segment seems to have a gap: one reading more at worst.
                if not line.endswith(b"\n"):
                    break
                consumed = size
                if time.monotonic() > end:  # the rest in the next turn
                    break
        except OSError as error:
            problem = error
        self._write(rows, owner)
        return _Progress(size, consumed, halves, problem)

    def _write(self, rows: dict[str, Halves], owner: int) -> None:
        self._connection.executemany(
            UPSERT, [(run, owner, *half.started, *half.finished) for run, half in rows.items()]
        )
        rows.clear()

    def _is_same(self, file: BinaryIO, segment_id: int, size: int) -> bool:
        """Tell whether a segment still has the bytes that the index has read of it."""
        rows = self._connection.execute("SELECT edges FROM segment WHERE id = ?", (segment_id,))
        return any(edges == _edges(file, size) for (edges,) in rows)  # no row: just forgotten


def _edges(file: BinaryIO, size: int) -> bytes:
    """Return the first bytes of a file and the last ones up to a size: most of a line each."""
    file.seek(0)
    head = file.read(min(size, _EDGE))
    file.seek(max(size - _EDGE, 0))
    return head + file.read(min(size, _EDGE))
