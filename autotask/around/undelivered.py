"""Which lines of runs the Datadog Agent did not take, and has not got since: by the journal.

A line is undelivered if it, or a line after it, has `unsent`, until a line has `sent`. Nothing is
decoded here and next to nothing imported, because a launcher looks at it on its way out.
"""

from __future__ import annotations

import os
import time

from autotask import journal
from autotask.around import journal_lines
from autotask.around.journal_lines import raw_field
from autotask.settings import is_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    Key = tuple[str, str]  # a run's id, and its line: `started` or `finished`

HOUR = 3600.0
COUNTED = HOUR - 60.0  # seconds for which an Agent takes the time of a count
TOLD = 18 * HOUR - 600.0  # seconds for which Datadog takes an event
_CHEAP = 1 << 19  # bytes at the end of a journal that a launcher reads
_NEEDLE = b'sent"'


class Undelivered:
    """The undelivered lines behind a position in the journal that can still be delivered."""

    def __init__(self, folder: str, position: tuple[str, int]) -> None:
        self.position = position
        self._reader = journal_lines.Reader(folder, position, _NEEDLE)
        # How often each line was refused, less how often it was sent: the journal may have these
        # in any order.
        self._counts: dict[Key, int] = {}
        self._since: dict[Key, str] = {}
        self._marked: set[Key] = set()  # lines with `unsent` in themselves; of two ends one counts
        self._given_up: set[Key] = set()

    def catch_up(self) -> dict[Key, str]:
        """Read what was appended; return the undelivered lines, each with when it was refused."""
        for line in journal_lines.parts(self._reader.lines()):
            self._take(line)
        now = time.time()
        limits = {
            "started": journal.moment(now - COUNTED),
            "finished": journal.moment(now - TOLD),
        }
        old = [key for key, at in self._since.items() if at < limits[key[1]]]
        for key in [*old, *(key for key, count in self._counts.items() if not count)]:
            self._since.pop(key, None)
            self._counts.pop(key, None)
            self._marked.discard(key)
        self._given_up &= self._since.keys()
        return {
            key: at
            for key, at in self._since.items()
            if self._counts[key] > 0 and key not in self._given_up
        }

    def give_up(self, keys: set[Key]) -> None:
        """Leave some lines out from here on, because they cannot be delivered."""
        self._given_up |= keys

    def given_up(self) -> int:
        """Return how many were given up."""
        return len(self._given_up)

    def _take(self, line: bytes) -> None:
        kind, run, of = (raw_field(line, name) for name in (b"event", b"run", b"of"))
        if kind in ("started", "finished"):
            if b',"unsent":true' not in line:  # not in a text: its quotes would have backslashes
                return
            of = kind
            if (run, of) in self._marked:  # another end, wrongly `lost`: see tool/journal/schema.py
                return
            self._marked.add((run, of))
        elif kind not in ("unsent", "sent") or of not in ("started", "finished"):
            return
        if not is_id(run):
            return
        key, at = (run, of), raw_field(line, b"at")
        self._counts[key] = self._counts.get(key, 0) + (-1 if kind == "sent" else 1)
        self._since[key] = min(at, self._since.get(key, at))


def recent(home: str) -> Undelivered:
    """Return the undelivered lines of a home that Datadog still takes."""
    return Undelivered(os.path.join(home, "journal"), (journal.segment(time.time() - TOLD), 0))


def few(folder: str) -> Undelivered | None:
    """Return what is undelivered by the last lines of this hour and the one before, if any is."""
    now, room = time.time(), _CHEAP
    position, has_unsent = None, False
    # The hour before, too: else little would be delivered in the first minutes of an hour.
    for name in (journal.segment(now), journal.segment(now - HOUR)):
        try:
            with journal_lines.open_owned(os.path.join(folder, name)) as file:
                begin = max(file.seek(0, os.SEEK_END) - room, 0)
                file.seek(begin)
                data = file.read(room)
        except OSError:
            continue
        position, has_unsent = (name, begin), has_unsent or b'"unsent"' in data
        room -= len(data)
        if not room:
            break
    if position is None or not has_unsent:
        return None
    # Segments of the future, of a clock that was ahead, would be read as well.
    if journal_lines.near(folder, _CHEAP)[0] > journal.segment(now):
        return None
    undelivered = Undelivered(folder, position)
    return undelivered if undelivered.catch_up() else None


def text(number: int) -> str:
    """Name a number of undelivered lines."""
    return f"{number} start or end" if number == 1 else f"{number} starts and ends"
