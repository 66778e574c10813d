"""Let go of what a command's parent inherited: only the command decides when a file is closed.

A pipe that the parent kept open would show no end, and a lock would not be released, before both
processes are gone.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_STDIO = range(3)


def let_go(kept: Iterable[int]) -> None:
    """Close all descriptors except *kept*; 0, 1 and 2 become /dev/null unless they are kept.

    POSIX record locks (fcntl, lockf) belong to a process and do not pass to a child. If this
    process got some over exec, it keeps their files: the command runs under these locks.
    """
    numbers = _open_numbers()
    spared = {*kept, *_with_record_locks(numbers)}
    for number in set(numbers) - spared:
        try:
            os.close(number)
        except OSError:  # it was the listing's own
            continue
    null = -1
    try:
        while null < len(_STDIO):  # the lowest free number is next
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.close(null)
    except OSError:  # a root folder without /dev
        return


def _open_numbers() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:  # a root folder without /proc
        return list(range(1024))


def _with_record_locks(numbers: Iterable[int]) -> set[int]:
    """Return the descriptors of files with record locks: closing any of them drops the locks."""
    files, locked = {}, set()
    for number in numbers:
        try:
            status = os.fstat(number)
            with open(f"/proc/self/fdinfo/{number}", "rb", 0) as info:
                text = info.read()
        except OSError:
            continue
        files[number] = status.st_dev, status.st_ino
        if b" POSIX " in text:
            locked.add(files[number])
    return {number for number, file in files.items() if file in locked}
