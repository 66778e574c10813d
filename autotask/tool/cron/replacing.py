"""Write a file so that at any moment the old one or the new one is there, whole."""

from __future__ import annotations

import contextlib
import os


def replace(path: str, data: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Write *data* to a file, which may exist; its folder has to.

    The file that is written first has a name in the same folder that cron, run-parts and systemd
    ignore. Extended attributes of the old file stay: SELinux lets cron read a crontab by them.

    Args:
        path: The file. A symbolic link is replaced, not followed.
        data: All that it will contain.
        mode: Its permissions, as 0o644.
        owner: Its uid and gid, if not this user's.

    Raises:
        OSError: The old file is as it was.
    """
    folder, name = os.path.split(path)
    start = f".{name}.autotask"
    temporary = f"{folder}/{start}.{os.getpid()}"  # two commands do not write into one file
    _delete_left(folder, start)
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            if owner:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            _keep_attributes(path, file.fileno())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync(folder)


def _delete_left(folder: str, start: str) -> None:
    """Delete what commands that were killed have left."""
    for name in os.listdir(folder or "."):
        process = name.rpartition(".")[2]
        if name.startswith(start) and not (process.isdecimal() and _is_another(int(process))):
            with contextlib.suppress(OSError):
                os.unlink(f"{folder}/{name}")


def _is_another(process: int) -> bool:
    """Tell whether another process of this number is running."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's, no process
        pass
    return process != os.getpid()


def _keep_attributes(path: str, file: int) -> None:
    with contextlib.suppress(OSError, AttributeError):  # no such file, or not on Linux
        for name in os.listxattr(path, follow_symlinks=False):
            os.setxattr(file, name, os.getxattr(path, name, follow_symlinks=False))


def _sync(folder: str) -> None:
    """Write a folder's entries to the disk; some file systems do not support that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
