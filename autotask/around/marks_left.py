"""Read the marks in a home: which processes have runs open, and which of them are dead."""

from __future__ import annotations

import os
import time

from autotask import journal
from autotask.around import elsewhere, journal_lines
from autotask.around.journal_lines import number_field, text_field
from autotask.around.story import Open
from autotask.journal import OWED
from autotask.marks import BECAME, marks_folder
from autotask.procfs import is_dead, start_time
from autotask.telling import ENDED, TOLD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from autotask.around.journal_lines import Event
    from autotask.around.story import Story

# Seconds from the beginning of a segment after which offsets in it are not used any more:
# `autotask prune` may write a segment anew after two hours, and then they lead nowhere.
_SETTLED = 1.5 * 3600.0
_MANY = 1000  # marks in a home: a launcher leaves more of them to `autotask`
LAUNCHER = "launcher"  # begins the name of a launcher's mark
_TORN_KEPT = 24 * 3600.0  # seconds for which a mark that cannot be read may be one being written


class Mark:
    """A mark as it lies in the folder: which process, and where its runs begin."""

    def __init__(self, path: str, fields: Event) -> None:
        self.path = path
        self.root = text_field(fields, "root")
        segment, offset = (
            text_field(fields, "segment"),
            number_field(fields, "offset") or 0,
        )
        self.position = (segment, max(offset, 0)) if journal_lines.is_segment(segment) else ("", 0)
        self.old = False  # unreadable, and too old to be still being written
        name = os.path.basename(path)
        self.told = name.startswith(TOLD)  # its ends are on the wire, and not in the journal
        self.is_over = self.told or name.startswith(ENDED)
        name = name.removeprefix(TOLD).removeprefix(ENDED)
        # The run of a command whose launcher left the mark, and the launcher's process id.
        launcher, self.launched, self.launcher = (*name.split("-"), "", "")[:3]
        if launcher != LAUNCHER:
            self.launched = self.launcher = ""
        process, pid = self.key = (
            text_field(fields, "process"),
            number_field(fields, "pid") or 0,
        )
        dead = is_dead(process, pid, text_field(fields, "host"))
        self.dead = dead is True
        # What `elsewhere.judge` needs to know of processes that we cannot see.
        self.unseen = dead is None and bool(self.root)
        self.place = elsewhere.place_of(process)
        self.is_first = pid == 1
        self.can_lock = type(fields.get("locked")) is bool  # and touches its mark
        self.held: bool | None = None  # by its launcher; None: unknown
        self.changed = 0.0  # POSIX seconds
        self.forgotten = False  # dead because nothing was heard of it for days

    def look_at(self, file: int, has_lock: bool) -> None:
        """Note when the mark was touched, and whether its launcher still holds a lock on it."""
        self.changed = os.fstat(file).st_ctime
        if self.launched and has_lock:
            self.held = elsewhere.is_held(file, self.key[0])

    def remove(self) -> None:
        """Remove the mark."""
        try:
            os.unlink(self.path)
        except OSError:
            return


def marks(home: str) -> list[Mark]:
    """Return the marks of a home, and of those that cannot be read the living launchers'.

    A full disk has taken only their names. `sweep` removes old ones.
    """
    return read_marks(mark_paths(home))


def read_marks(paths: Iterable[str]) -> list[Mark]:
    """Return the marks at some paths, judged together, but not old unreadable ones."""
    read = [mark for mark in map(read_mark, paths) if mark is not None and not mark.old]
    elsewhere.judge(read)
    return read


def mark_paths(home: str) -> list[str]:
    """Return the paths of all marks in a home."""
    folder = marks_folder(home)
    try:
        return [os.path.join(folder, name) for name in os.listdir(folder)]
    except OSError:
        return []


def few_mark_paths(home: str) -> list[str]:
    """Return the marks of a home; none if they are so many that it takes long to read them."""
    paths: list[str] = []
    try:
        with os.scandir(marks_folder(home)) as entries:
            for entry in entries:
                if len(paths) == _MANY:
                    return []
                paths.append(entry.path)
    except OSError:
        return []
    return paths


def owner_of(path: str) -> list[str]:
    """Return the words of a mark's name, without what has become of its process.

    They are the process id and the first run; or `launcher`, the run, and the process id.
    """
    name = path.rpartition("/")[2]
    return name.removeprefix(TOLD).removeprefix(ENDED).removeprefix(BECAME).split("-")


def has_all_lines(home: str, key: tuple[str, int]) -> bool:
    """Tell whether the journal has every line of a dead process, as its mark shows.

    A process that has come to its own end has removed or renamed its mark; one that a full disk has
    refused a line has renamed it.
    """
    changed = set()
    for path in mark_paths(home):
        if owner_of(path)[0] == str(key[1]):
            name, mark = os.path.basename(path), read_mark(path)
            if mark is None or mark.key == key:  # it may be empty
                changed.add(name.startswith((TOLD, ENDED)) or name.endswith(OWED))
    return changed == {False}


def read_mark(path: str) -> Mark | None:
    """Read a mark; None if it is gone, or unreadable and of no living launcher."""
    try:
        with journal_lines.open_owned(path) as file:
            data, status = file.read(4096), os.fstat(file.fileno())
            for fields in journal_lines.read(data):
                if text_field(fields, "root"):
                    mark = Mark(path, fields)
                    if mark.unseen:
                        mark.look_at(file.fileno(), fields.get("locked") is True)
                    return mark
    except OSError:
        return None
    torn = Mark(path, {})
    torn.old = time.time() - (status.st_mtime or status.st_ctime) > _TORN_KEPT  # 0: it is signed
    return torn if torn.old or (torn.launcher and start_time(torn.launcher)) else None


def launched_by(home: str, of: set[str]) -> set[str]:
    """Return which of some runs have a living launcher: it will close what is under them."""
    return {
        mark.launched
        for mark in launchers(p for p in mark_paths(home) if not of.isdisjoint(owner_of(p)))
    }


def under_launchers(home: str) -> set[str]:
    """Return the runs of commands whose launchers live, and the roots of these."""
    return {run for mark in launchers(mark_paths(home)) for run in (mark.launched, mark.root)}


def forgotten(home: str, starts: Iterable[Event]) -> set[str]:
    """Return which old runs count as ended: they have no mark, and their process cannot be seen.

    *starts* are their first lines.
    """
    names: set[object] = set()
    for mark in marks(home):
        if not mark.dead:
            names |= {mark.launched, (mark.place, mark.root)} if mark.launched else {mark.key}
    return {
        run.id
        for run in map(Open, starts)
        if names.isdisjoint((run.id, run.key, (run.place, run.root)))
        and (not run.process or is_dead(run.process, run.pid, run.host) is None)
    }


def launchers(paths: Iterable[str]) -> list[Mark]:
    """Return the marks at some paths that are of living launchers with an open run."""
    return living_launchers(read_marks(path for path in paths if owner_of(path)[0] == LAUNCHER))


def living_launchers(marks: list[Mark]) -> list[Mark]:
    """Return the marks of living launchers which have not ended their run."""
    return [mark for mark in marks if mark.launched and not (mark.dead or mark.is_over)]


def remove_done(dead: list[Mark], story: Story) -> None:
    """Remove the marks of dead processes whose runs have all ended."""
    still_open = {name for run in story.open.values() for name in (run.id, run.key)}
    for mark in dead:
        if (mark.launched or mark.key) not in still_open:
            mark.remove()


def beginning_of(mark: Mark) -> tuple[str, int]:
    """Return where to read from."""
    return unmoved(mark.position)


def unmoved(position: tuple[str, int], age: float | None = None) -> tuple[str, int]:
    """Return a position in the journal that still holds.

    In a segment that may have been written anew, that is its beginning. If the clock was set back
    since then, *age* seconds ago, it is the beginning of the segment that had that time by today's
    clock; of the journal if the age is not known.
    """
    name, offset = position
    now = time.time()
    if name > journal.segment(now):
        return ("" if age is None else journal.segment(now - age)), 0
    return (name, 0) if name <= journal.segment(now - _SETTLED) else (name, offset)
