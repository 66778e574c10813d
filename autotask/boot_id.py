"""Guess which boot this is if /proc/sys, and with it the boot id, is hidden (sandboxes do that).

Loaded only then. Setting the clock changes the guess, so a different one does not prove a reboot.
"""

from __future__ import annotations

from autotask.guard import raised_here


def guess() -> str | None:
    """Return `?`, the second of the boot, and when process 1 of this namespace started.

    The line `btime` of /proc/stat, and field 22 of /proc/1/stat: see proc(5).
    """
    seconds = _read("/proc/stat").partition("\nbtime ")[2].split()
    first = _read("/proc/1/stat").rpartition(")")[2].split()
    return f"?{seconds[0]}.{first[19]}" if seconds and first else None


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "replace")
    except raised_here(OSError):
        return ""
