"""What the journal says that Datadog's Agent did not take, and has not got since.

Lines of a run are owed by an `unsent` in them, or in a line after them, until a line says `sent`.
Here nothing is decoded and next to nothing imported: a launcher looks at it on its way out.
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
COUNTED = HOUR - 60.0  # seconds for which an Agent counts something back
TOLD = 18 * HOUR - 600.0  # seconds for which Datadog takes an event of it
_CHEAP = 1 << 19  # bytes at the end of a journal that a launcher looks at
_NEEDLE = b'sent"'


class Debts:
    """What is owed by the lines of a journal from a place on, as far as it can be delivered."""

    def __init__(self, folder: str, place: tuple[str, int]) -> None:
        self.place = place
        self._reader = journal_lines.Reader(folder, place, _NEEDLE)
        # By line how often it was refused less how often it was sent, in whatever order the
        # journal has it; and since when.
        self._counts: dict[Key, int] = {}
        self._since: dict[Key, str] = {}
        self._lines: set[Key] = set()  # lines that say so themselves; of two ends one counts
        self._given_up: set[Key] = set()

    def catch_up(self) -> dict[Key, str]:
        """Read what has been appended; return which lines are owed, and the moment since when."""
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
            self._lines.discard(key)
        self._given_up &= self._since.keys()
        return {
            key: at
            for key, at in self._since.items()
            if self._counts[key] > 0 and key not in self._given_up
        }

    def give_up(self, keys: set[Key]) -> None:
        """Take some as never to be delivered."""
        self._given_up |= keys

    def hopeless(self) -> int:
        """Return how many were given up."""
        return len(self._given_up)

    def _take(self, line: bytes) -> None:
        kind, run, of = (
            raw_field(line, b"event"),
            raw_field(line, b"run"),
            raw_field(line, b"of"),
        )
        if kind in ("started", "finished"):
            if b',"unsent":true' not in line:  # in no text: its quotes would have backslashes
                return
            of = kind
            if (run, of) in self._lines:  # told as `lost` by mistake: see tool/index.py
                return
            self._lines.add((run, of))
        elif kind not in ("unsent", "sent") or of not in ("started", "finished"):
            return
        if not is_id(run):
            return
        key, at = (run, of), raw_field(line, b"at")
        self._counts[key] = self._counts.get(key, 0) + (-1 if kind == "sent" else 1)
        self._since[key] = min(at, self._since.get(key, at))


def recent(home: str) -> Debts:
    """Return what a home's journal owes that can still be told."""
    return Debts(os.path.join(home, "journal"), (journal.segment(time.time() - TOLD), 0))


def few(folder: str) -> Debts | None:
    """Return what the last lines of this hour and the one before owe, if it is something."""
    now, room = time.time(), _CHEAP
    place, is_owed = None, False
    for name in (journal.segment(now), journal.segment(now - HOUR)):
        try:
            with journal_lines.open_owned(os.path.join(folder, name)) as file:
                begin = max(file.seek(0, os.SEEK_END) - room, 0)
                file.seek(begin)
                data = file.read(room)
        except OSError:
            continue
        place, is_owed = (name, begin), is_owed or b'"unsent"' in data
        room -= len(data)
        if not room:
            break
    if place is None or not is_owed:
        return None
    if journal_lines.near(folder, _CHEAP)[0] > journal.segment(now):
        return None  # a clock was ahead: what it has dated would be read, too
    debts = Debts(folder, place)
    return debts if debts.catch_up() else None


def text(number: int) -> str:
    """Name so many debts."""
    return f"{number} start or end" if number == 1 else f"{number} starts and ends"
