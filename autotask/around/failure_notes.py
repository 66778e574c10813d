"""Notes of what became of the lines of on_failure, in a file of the home, for `autotask doctor`.

Two lines of JSON for each call: `begun`, with the run and its task, and how it ended.
"""

from __future__ import annotations

import os
import time

from autotask.around.journal_lines import open_owned
from autotask.journal import moment, open_folder, quoted
from autotask.stdlib import standard

FILE, OLDER = "on_failure", "on_failure.older"
_LARGEST = 1 << 17  # bytes, then another file is begun: two of them are kept
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def add(home: str | None, call: str, did: str, **more: str | int) -> None:
    """Note what a call did, and more about it, if there is a home that takes it."""
    if home is None:
        return
    fields = {"at": moment(time.time()), "call": call, "did": did, **more}
    words = [
        f'"{name}":{value if isinstance(value, int) else quoted(value)}'
        for name, value in fields.items()
    ]
    try:
        _append(home, ("{" + ",".join(words) + "}\n").encode("ascii"))
    except OSError:  # a full disk, another user's home
        return


def begun(home: str | None, run: str) -> bool:
    """Tell whether a launcher has begun to tell of a run."""
    needle = f'"run":"{run}"'.encode()
    for name in (FILE, OLDER) if home else ():
        try:
            with open_owned(os.path.join(str(home), name)) as file:
                if needle in file.read():
                    return True
        except OSError:
            continue
    return False


def _append(home: str, line: bytes) -> None:
    folder = open_folder(home)
    try:
        file = os.open(FILE, _FLAGS, 0o600, dir_fd=folder)
        try:
            if os.fstat(file).st_size > _LARGEST:
                _begin_another(folder, file)
            os.write(file, line)
        finally:
            os.close(file)
    finally:
        os.close(folder)


def _begin_another(folder: int, file: int) -> None:
    """Rename the file, if no other launcher that has found it too large has done so, or does."""
    fcntl = standard("fcntl")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    except OSError:  # this file system has no locks
        pass
    try:
        if os.path.samestat(os.fstat(file), os.stat(FILE, dir_fd=folder, follow_symlinks=False)):
            os.rename(FILE, OLDER, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:  # just renamed, and not made again yet
        return
