"""Which boot this is, where /proc/sys is hidden and with it the boot id (sandboxes do that).

Loaded only then. A guess: a clock that is set changes it, so that another one proves nothing.
"""

from __future__ import annotations

from autotask import procfs
from autotask.guard import from_signal_handler


def guess() -> str | None:
    """Return `?`, the second of the boot, and when process 1 of this namespace started."""
    seconds = _boot_time()
    first = procfs.stat_fields(1)
    return f"?{seconds}.{first[19]}" if seconds and first else None


def _boot_time() -> str | None:
    """Return the line `btime` of /proc/stat, see proc(5)."""
    try:
        with open("/proc/stat", "rb") as file:
            for line in file:
                if line.startswith(b"btime "):
                    return line.split()[1].decode()
    except OSError as problem:
        if from_signal_handler(problem):
            raise
    return None
