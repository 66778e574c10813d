"""Marks: a small file for each process with open runs, by which it is found after its death.

A process removes its mark at its end. A mark that is left tells `sweeping.sweep` which process to
look for, and where in the journal its runs begin. Its name ends in `-owed` while a full disk keeps
the process from writing lines. If that lasts to its end, the name begins with `told-` if the Agent
has taken all ends, else with `ended-`. `telling` writes and removes them.
"""

from __future__ import annotations

import os

from autotask.telling import OPEN

BECAME = "became-"  # before a mark's name: see autotask.exec_handover


def marks_folder(home: str) -> str:
    """Return where the marks of a home lie."""
    return os.path.join(home, OPEN)


def sign_mark(home: str, begin: str) -> None:
    """Set the time of the mark whose name begins so to 0: its owner sees that the agent loaded."""
    folder = marks_folder(home)
    try:
        for name in os.listdir(folder):
            if name.startswith(begin):
                os.utime(os.path.join(folder, name), (0, 0), follow_symlinks=False)
    except OSError:
        return
