"""Judge processes that cannot be seen from here: those of other containers and other machines.

A launcher holds a lock on its mark, which the kernel releases when the launcher dies. If it was
process 1 of its pid namespace, no process of that namespace outlives it. If the lock proves
nothing, time decides: a launcher touches its mark each minute.
"""

from __future__ import annotations

import os
import time

from autotask.process import identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from autotask.closing import Mark, Open

_SILENT = 600.0  # seconds after which a launcher that has not touched its mark counts as dead
_FORGOTTEN = 7 * 86400.0  # seconds after which a process without a launcher counts as dead


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
    """Set `dead` of those marks whose processes cannot be seen, but must have ended."""
    unseen = [mark for mark in marks if mark.unseen]
    if not unseen:
        return
    now = time.time()
    launchers = [mark for mark in unseen if mark.launched]
    ended = [mark for mark in launchers if _has_ended(mark, now)]
    ended += [mark for mark in launchers if not mark.held and _is_under(mark, ended)]
    living = {(mark.place, mark.root) for mark in launchers if mark not in ended}
    for mark in unseen:
        # is_over: it was about to take its mark back, but a full disk refused its last lines.
        mark.dead = mark.is_over or mark in ended or (not mark.launched and _is_under(mark, ended))
        if not mark.dead and mark.held is None and (mark.place, mark.root) not in living:
            mark.dead = mark.forgotten = now - mark.changed > _FORGOTTEN


def _has_ended(launcher: Mark, now: float) -> bool:
    """Tell whether a launcher's lock, or its silence, says that it has ended."""
    if launcher.held or not launcher.can_lock:
        return False
    if launcher.held is False and launcher.is_first:
        return True
    return now - launcher.changed > _SILENT


def _is_under(mark: Mark, ended: list[Mark]) -> bool:
    """Tell whether a process must have ended with one of these launchers.

    The number of a pid namespace is used again. A mark that is older than the last sign of life of
    the namespace's process 1 belongs to that namespace, or to one before it.
    """
    return any(
        mark.place == launcher.place
        and (
            mark.root == launcher.root
            or (launcher.is_first and launcher.held is False and mark.changed <= launcher.changed)
        )
        for launcher in ended
    )


def has_ended(run: Open, dead: list[Mark]) -> bool:
    """Tell whether the process of a run is one of the dead that cannot be seen."""
    return any(
        (mark.is_of(run) or (mark.launched and (mark.place, mark.root) == (run.place, run.root)))
        and not (mark.forgotten and time.time() - run.started < _FORGOTTEN)
        for mark in dead
    )
