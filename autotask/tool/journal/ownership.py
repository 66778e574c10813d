"""Who owns a home: where this user may write in it, or why it is read-only for them."""

from __future__ import annotations

import functools
import os
import stat
from typing import NamedTuple

from autotask import homes
from autotask.settings import Settings
from autotask.tool.errors import ToolError


class Home(NamedTuple):
    """The home that the settings name, as this user may use it."""

    path: str
    own: str | None  # where this user may write: *path*, or their own folder in a shared home
    shared: bool
    why: str  # it is read-only for this user, if so

    def to_write(self) -> str:
        """Return where this user may write; else raise an error that tells why not."""
        if self.own is None:
            raise ToolError(
                f"cannot write: {self.why or f'you have no runs in the shared home {self.path}'}"
            )
        return self.own


def find(settings: Settings) -> Home:
    """Look at the home that the agent would use."""
    path = settings.home
    if not path:
        raise ToolError("no home folder is known: set AUTOTASK_HOME")
    if homes.shared_modes(path):
        own = homes.users_folder(path)
        exists = os.path.lexists(own)
        why = _why_read_only(own) if exists else ""
        return Home(path, own if exists and not why else None, True, why)
    why = _why_read_only(path)
    return Home(path, None if why else path, False, why)


def _why_read_only(path: str) -> str:
    """Tell why this user must not write into a folder; nothing if they may."""
    if not hasattr(os, "geteuid"):
        return ""
    unsafe = homes.stranger(path, keep_out=True)
    if unsafe is not None:
        owner = os.lstat(unsafe).st_uid
        if owner not in (0, os.geteuid()):
            return f"{unsafe} belongs to {user_name(owner)}"
        return f"{unsafe} can be written by other users (`chmod go-w` it)"
    try:
        owner = os.stat(path).st_uid
    except OSError:  # it does not exist yet
        return ""
    return "" if owner == os.geteuid() else f"{path} belongs to {user_name(owner)}"


def user_name(uid: int) -> str:
    """Name a user in a sentence."""
    name = short_name(uid)
    return f"user {uid}" if name == str(uid) else name


@functools.cache
def short_name(uid: int) -> str:
    """Return a user's name, or the number of one that has no name."""
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)


def journals(home: str) -> list[tuple[str, int]]:
    """Return the users' folders in a shared home that have a journal, each with its owner.

    A folder is named by its owner's number: `1000`, 1000.
    """
    users = []
    for name in sorted(os.listdir(home)):
        # A folder with another owner is not that user's: anyone may have made it.
        owner = int(name) if name.isascii() and name.isdigit() else None
        folders = os.path.join(home, name), os.path.join(home, name, "journal")
        if owner is not None and name == str(owner) and all(_owns(owner, f) for f in folders):
            users.append((name, owner))
    return users


def _owns(user: int, folder: str) -> bool:
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == user
