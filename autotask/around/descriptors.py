"""Close the files that a command's parent inherited: the command alone decides when they close.

If the parent kept them, the reader of a pipe would see no end, and a lock would not be released,
until both processes have ended.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_STDIO = range(3)


def let_go(kept: Iterable[int]) -> None:
    """Close all descriptors except *kept*; 0, 1 and 2 become /dev/null unless they are kept.

    POSIX record locks (fcntl, lockf) belong to a process; a child does not inherit them. If this
    process kept some over exec, it keeps their files open: the command counts on these locks.
    """
    numbers = open_numbers()
    for number in set(numbers) - {*kept, *_with_record_locks(numbers)}:
        try:
            os.close(number)
        except OSError:  # of the listing itself, and closed since
            continue
    null = -1
    try:
        # open(2) takes the lowest free number: so this fills 0, 1 and 2, and one above them.
        while null < len(_STDIO):
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.close(null)
    except OSError:  # a root folder without /dev
        return


def open_numbers() -> list[int]:
    """Return the numbers of all open descriptors, and perhaps of some that are not."""
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
