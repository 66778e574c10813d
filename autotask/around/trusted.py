"""Read a file that says what is executed, if no other user can have written or put it there."""

from __future__ import annotations

import os
from errno import ELOOP

_LARGEST = 1 << 20  # bytes that are read
_KIND, _REGULAR, _STICKY, _OTHERS_WRITE = 0o170000, 0o100000, 0o1000, 0o022  # of a mode


def read(folder: int, name: str) -> bytes:
    """Read a file of an open folder; both must belong to this user or to root.

    Nobody else may be able to write them. In a sticky folder, such as /tmp, others can make files
    of their own, but not replace this one. A link is refused: its maker chose the file.

    Raises PermissionError with what is wrong, and other kinds of OSError.
    """
    owners = (0, os.geteuid())
    status = os.fstat(folder)
    is_shared = status.st_mode & _OTHERS_WRITE and not status.st_mode & _STICKY
    if status.st_uid not in owners or is_shared:
        raise PermissionError(0, "other users can write its folder: its settings are not used")
    # O_NONBLOCK: to open a pipe of that name would wait for a writer.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        file = os.open(name, flags, dir_fd=folder)
    except OSError as problem:
        if problem.errno == ELOOP:
            raise PermissionError(0, "it is a link: its settings are not used") from None
        raise
    try:
        status = os.fstat(file)
        if status.st_mode & _KIND != _REGULAR:
            raise PermissionError(0, "it is not a regular file: its settings are not used")
        if status.st_uid not in owners or status.st_mode & _OTHERS_WRITE:
            raise PermissionError(0, "other users can write it: its settings are not used")
        return os.read(file, _LARGEST)
    finally:
        os.close(file)
