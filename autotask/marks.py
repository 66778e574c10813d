"""Marks: a small file for each process that has runs open, found again when it has died.

Its owner takes it back at its end. What is left behind tells `sweeping.sweep` which process to
look for, and where in the journal its runs begin. Its name ends in `-owed` while a full disk keeps
the process from writing lines. If that is so to its end, the name begins with `told-` if the Agent
has heard of all ends, else with `ended-`.
"""

from __future__ import annotations

import os

from autotask.guard import raised_here
from autotask.journal import NEW, Journal, above_stdio, open_folder, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from autotask.dogstatsd import Wire

TOLD, ENDED = "told-", "ended-"  # before a mark's name: see take_back
OPEN = "open"  # the folder of a home in which they lie
BECAME = "became-"  # and here: see autotask.exec_handover


def marks_folder(home: str) -> str:
    """Return where the marks of a home lie."""
    return os.path.join(home, OPEN)


def leave_mark(
    journal: Journal,
    name: str,
    process: str,
    pid: int,
    host: str,
    root: str,
    lock: Callable[[int], str] | None = None,
) -> str | None:
    """Write the mark of a process before its first run; return its path, None where it cannot.

    On a full disk it may be empty: nobody can read it, and its owner takes it back all the same.
    A launcher's *lock* is called before anybody can read the mark, and returns a field of it.
    """
    segment, offset = journal.position()  # first: it finds out which home is ours to write
    if not journal.is_open():
        return None  # there will be no run to look for
    folder = marks_folder(journal.home)
    path = os.path.join(folder, name)
    try:
        file = _new(name, journal.home)
    except FileExistsError:  # left by our launcher, of which we could not know
        return path
    except raised_here(OSError):
        return None
    try:
        line = (
            f'{{"process":{quoted(process)},"pid":{pid},"host":{quoted(host)},"root":"{root}",'
            f'"segment":"{segment}","offset":{offset}{lock(file) if lock else ""}}}\n'
        )
        os.write(file, line.encode("ascii"))
    except raised_here(OSError):
        pass
    finally:
        os.close(file)
    return path


def take_back(path: str | None, journal: Journal | None, wire: Wire | None) -> None:
    """Write what the journal is owed, and remove our mark.

    Where the disk does not take all ends, the mark stays. Whoever finds it closes the runs, and
    sends their ends, unless the Agent has refused nothing. The name says which, and that we ended.
    """
    done = journal is None or journal.settle()
    if path and done:
        os.unlink(path)
    elif path:
        folder, name = os.path.split(path)
        word = ENDED if wire and wire.has_refused else TOLD
        os.rename(path, os.path.join(folder, word + name))


def sign_mark(home: str, begin: str) -> None:
    """Let who left a mark, whose name begins so, see that we were here: its time becomes 0."""
    folder = marks_folder(home)
    try:
        for name in os.listdir(folder):
            if name.startswith(begin):
                os.utime(os.path.join(folder, name), (0, 0), follow_symlinks=False)
    except OSError:
        return


def is_signed(path: str) -> bool:
    """Tell whether somebody was here."""
    try:
        return os.stat(path).st_mtime == 0
    except OSError:
        return True  # nobody can tell


def _new(name: str, home: str) -> int:
    try:
        folder = open_folder(home, OPEN)
    except FileNotFoundError:
        from autotask.homes import make_in

        # In a shared home others may see which runs became another program.
        beside = os.stat(os.path.join(home, "journal")).st_mode
        make_in(home, OPEN, beside & 0o2755)
        folder = open_folder(home, OPEN)
    try:
        return above_stdio(os.open(name, NEW, 0o600, dir_fd=folder))
    finally:
        os.close(folder)
