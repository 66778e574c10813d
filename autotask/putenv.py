"""Name the current run to new processes without a leak, in a process of very many runs.

glibc never frees the value that a variable of the environment had before: 100 bytes a run. After
many runs only os.environ is changed, and C's environment just before a process starts. A process
whose start raises no audit event (multiprocessing's spawn) hangs under the run around the current.
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
_around = ""  # the value in C's environment between two starts
_current = ""  # the value in os.environ
_is_in_c = True  # the current value is in C's environment, too


def begin(around: str) -> None:
    """Change C's environment only at a start from now on; in between it has the value *around*."""
    global _around
    _around = around
    try:
        # Of several threads here only one may add it: a hook cannot be removed.
        sys.addaudithook(_not_added.pop())
    except IndexError:
        return


def name(value: str) -> None:
    """Name the current run in os.environ; empty for no run at all."""
    global _current, _is_in_c
    if _is_in_c:
        os.putenv(PARENT, _around)
    # Setting os.environ itself would call putenv. A program may have put a dict in its place.
    data: Any = getattr(os.environ, "_data", {})
    data[_KEY] = os.fsencode(value)
    _current, _is_in_c = value, False


def _hear(event: str, _: object) -> None:
    if event in _STARTS and not _is_in_c:
        _put_in_c()


_not_added = [_hear]


@guarded
def _put_in_c() -> None:
    global _is_in_c
    _is_in_c = True
    os.putenv(PARENT, _current)
