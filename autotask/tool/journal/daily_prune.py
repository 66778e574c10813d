"""Once a day, bring the journal back to its default bound, so that it cannot fill the disk."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time

from autotask.tool import quantities
from autotask.tool.errors import ToolError
from autotask.tool.journal import retention

_DAY = 86400.0
_STAMP = "pruned"  # a file of the home: its time tells when the last daily prune was done
_BEGUN = 0.0  # its time while a prune is running


def due(home: str) -> str | None:
    """Return why a journal has to be brought back to its default bound; None if it need not.

    It is checked once a day. A home that is read-only, or that another command is pruning, is
    left alone.
    """
    last = None
    try:
        with contextlib.suppress(FileNotFoundError):
            last = os.lstat(os.path.join(home, _STAMP)).st_mtime
            # A time far in the future, of a clock that was ahead, does not count.
            if abs(time.time() - last) < _DAY:
                return None
        with retention.alone(home):
            if retention.size_of(home) <= retention.DEFAULT_BOUND:
                _stamp(home)
                return None
    except (OSError, ToolError):
        return None
    again = " (the last prune was interrupted)" if last == _BEGUN else ""
    return f"the journal is larger than {quantities.size_text(retention.DEFAULT_BOUND)}{again}"


def keep_within_default(home: str) -> int:
    """Drop the oldest runs of a journal that is over its default bound; return how many.

    If it is killed, the next command tries again. It does nothing while another prune is running.
    """
    runs = 0
    with contextlib.suppress(OSError, ToolError), retention.alone(home):
        _stamp(home, (_BEGUN, _BEGUN))
        with contextlib.suppress(OSError, sqlite3.Error, ToolError):
            runs = retention.prune_alone(home, retention.DEFAULT_BOUND).runs
        _stamp(home)
    return runs


def tidy(home: str) -> bool:
    """Delete the copy that a killed prune has left; tell whether there was one.

    That of a running prune is left alone.
    """
    copy = retention.copy_in(home)
    if not os.path.lexists(copy):
        return False
    try:
        with retention.alone(home):
            os.unlink(copy)
    except (OSError, ToolError):
        return False
    return True


def _stamp(home: str, times: tuple[float, float] | None = None) -> None:
    """Note that the daily prune was done now, or at another time."""
    path = os.path.join(home, _STAMP)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        os.utime(file, times)
    finally:
        os.close(file)
