"""Judge processes that cannot be seen from here, in other containers or on other machines.

A launcher holds a lock on its mark, which the kernel releases when the launcher dies. If it was
process 1 of its pid namespace, no process of that namespace outlives it. If the lock proves
nothing, time decides: a launcher touches its mark each minute.
"""

from __future__ import annotations

import os
import time

from autotask.procfs import identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from autotask.around.marks_left import Mark
    from autotask.around.story import Open

_SILENT = 600.0  # seconds after which a launcher that has not touched its mark counts as dead
FORGOTTEN = 7 * 86400.0  # seconds after which a process without a launcher counts as dead


def place_of(process: str) -> str:
    """Return boot id and pid namespace of an `identity`."""
    return process.rpartition("/")[0]


def is_held(file: int, launcher: str) -> bool | None:
    """Tell whether a launcher still locks its mark; None if another kernel may hold the lock.

    A network file system need not show locks of other machines. A block device is mounted by one
    machine at a time; a device number without a major part says nothing.
    """
    import fcntl

    boot = identity().partition("/")[0]
    if launcher.partition("/")[0] != boot and not os.major(os.fstat(file).st_dev):
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # this file system has no locks
        return None
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def judge(marks: list[Mark]) -> None:
    """Set `dead` on the marks of processes that cannot be seen, but must have ended."""
    unseen = [mark for mark in marks if mark.unseen]
    if not unseen:
        return
    now = time.time()
    launchers = [mark for mark in unseen if mark.launched]
    ended = _Ended([mark for mark in launchers if _has_ended(mark, now)])
    ended.add([mark for mark in launchers if not mark.held and ended.has_under(mark)])
    living = {(mark.place, mark.root) for mark in launchers if mark not in ended.launchers}
    for mark in unseen:
        # is_over: the process has ended, but the disk did not take its last lines.
        mark.dead = mark.is_over or mark in ended.launchers
        if not mark.dead and not mark.launched:
            mark.dead = ended.has_under(mark)
        if not mark.dead and mark.held is None and (mark.place, mark.root) not in living:
            mark.dead = mark.forgotten = now - mark.changed > FORGOTTEN


def _has_ended(launcher: Mark, now: float) -> bool:
    """Tell whether a launcher's lock, or its silence, says that it has ended."""
    if launcher.held or not launcher.can_lock:
        return False
    if launcher.held is False and launcher.is_first:
        return True
    return now - launcher.changed > _SILENT


class _Ended:
    """Launchers that have ended, and which processes must have ended with them."""

    def __init__(self, launchers: list[Mark]) -> None:
        self.launchers: set[Mark] = set()
        self._roots: set[tuple[str, str]] = set()  # each with its place
        self._last: dict[str, float] = {}  # POSIX time of the last change by a place's process 1
        self.add(launchers)

    def add(self, launchers: list[Mark]) -> None:
        """Add launchers."""
        self.launchers.update(launchers)
        for launcher in launchers:
            place, changed = launcher.place, launcher.changed
            self._roots.add((place, launcher.root))
            if launcher.is_first and launcher.held is False:
                self._last[place] = max(changed, self._last.get(place, changed))

    def has_under(self, mark: Mark) -> bool:
        """Tell whether a process must have ended with one of them.

        The number of a pid namespace is used again. A mark that is older than the last sign of life
        of the namespace's process 1 belongs to that namespace, or to one before it.
        """
        place = mark.place
        is_before = place in self._last and mark.changed <= self._last[place]
        return is_before or (place, mark.root) in self._roots


def ended_with(dead: Iterable[Mark]) -> dict[object, bool]:
    """Return names by which to know the runs of dead processes that cannot be seen.

    A launcher's mark names its command's run, and its place and root: all runs there. The value is
    True if the process counts as dead only because nothing was heard of it for days.
    """
    ended: dict[object, bool] = {}
    for mark in dead:
        names = [mark.launched, (mark.place, mark.root)] if mark.launched else [mark.key]
        for name in names:
            ended[name] = mark.forgotten and ended.get(name, True)
    return ended


def has_ended(run: Open, ended: dict[object, bool]) -> bool:
    """Tell whether the process of a run is one of the dead that `ended_with` names."""
    names = (run.id, run.key, (run.place, run.root))
    is_old = time.time() - run.started >= FORGOTTEN
    return any(is_old or not ended[name] for name in names if name in ended)
