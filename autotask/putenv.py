"""What the programs that a long process starts inherit: the run that has started them.

glibc never gives back a value that a variable of the environment has had: 100 bytes a run. After
many runs they are named in os.environ alone, and to C just before a program is started. Where
nobody hears of a start (a spawned child of multiprocessing) it hangs under what is around the run.
"""

from __future__ import annotations

import os
import sys

from autotask.guard import guarded
from autotask.settings import PARENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_STARTS = frozenset(
    "os.exec os.fork os.forkpty os.posix_spawn os.spawn os.system subprocess.Popen".split()
)
_KEY: Any = os.fsencode(PARENT)
_around = ""  # the value that C has between two starts
_current = ""
_is_told = True  # C has the current value


def begin(around: str) -> None:
    """From now on, tell C when it matters; *around* is the value of the variable in between."""
    global _around
    _around = around
    try:
        sys.addaudithook(_unheard.pop())
    except IndexError:  # two threads have come here
        return


def name(value: str) -> None:
    """Name the current run in os.environ; empty for no run at all."""
    global _current, _is_told
    if _is_told:
        os.putenv(PARENT, _around)
    data: Any = getattr(os.environ, "_data", {})  # a program may have put a dict in its place
    data[_KEY] = os.fsencode(value)
    _current, _is_told = value, False


def _hear(event: str, _: object) -> None:
    if event in _STARTS and not _is_told:
        _tell()


_unheard = [_hear]  # until the interpreter has it


@guarded
def _tell() -> None:
    global _is_told
    _is_told = True
    os.putenv(PARENT, _current)
