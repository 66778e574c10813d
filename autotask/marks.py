"""Marks: a small file for each process with open runs, by which it is found after its death.

A process removes its mark at its end. A mark that is left tells `sweeping.sweep` which process to
look for, and where in the journal its runs begin. Its name ends in `-owed` while a full disk keeps
the process from writing lines. If that lasts to its end, the name begins with `told-` if the Agent
has taken all ends, else with `ended-`. `telling` writes and removes them.

Not even __future__ is imported here, see `exec_handover`.
"""

import os

from autotask.guard import raised_here
from autotask.journal import OWED
from autotask.telling import OPEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from autotask.run import Run
    from autotask.telling import Teller

BECAME = "became-"  # before a mark's name: see autotask.exec_handover
_LONGEST = 250  # characters of a task's name in a launcher's mark, which has 4 KiB at most


def marks_folder(home: str) -> str:
    """Return where the marks of a home lie."""
    return os.path.join(home, OPEN)


def marked_name(task: str) -> str:
    """Return a task's name as a launcher's mark has it: of a long one the begin and a hash."""
    if len(task) <= _LONGEST:
        return task
    number = 0xCBF29CE484222325  # FNV-1a: it needs no module
    for byte in task.encode("utf-8", "surrogatepass"):
        number = (number ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{task[:_LONGEST]}...{number:016x}"


def renew(here: "Teller", run: "Run", opened: "dict[str, Run]") -> None:
    """Leave another mark for *run*, the only open one, in the place of a process's old mark.

    Who finds the process dead reads the journal from the mark on: a worker that runs a task a
    second would have an hour of them read for the last one.
    """
    journal = here.journal
    if journal is None:
        return
    with journal._lock:  # a run that is not in *opened* yet has not written its line either
        old = journal.mark
        others = [one for one in opened.values() if one.pid == here.pid and one is not run]
        if old is None or old.endswith(OWED) or others:
            return
        here.leave_mark(f"{here.pid}-{run.id}", run.root)
        if journal.mark is None:
            journal.mark = old
        elif journal.mark != old:
            try:
                os.unlink(old)
            except raised_here(
                OSError
            ):  # it was deleted, perhaps by a process that thought us dead
                pass


def sign_mark(home: str, begin: str) -> None:
    """Set the time of the mark whose name begins so to 0: its owner sees that the agent loaded."""
    folder = marks_folder(home)
    try:
        for name in os.listdir(folder):
            if name.startswith(begin):
                os.utime(os.path.join(folder, name), (0, 0), follow_symlinks=False)
    except OSError:
        return
