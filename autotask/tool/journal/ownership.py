"""Whose a home is: where this user may write in it, and why only read elsewhere."""

from __future__ import annotations

import functools
import os
import stat
from typing import NamedTuple

from autotask import homes
from autotask.settings import Settings
from autotask.tool.errors import ToolError


class Home(NamedTuple):
    """The home that the settings name, as this user finds it."""

    path: str
    own: str | None  # where this user may write: *path*, or a folder of their own in a shared home
    shared: bool
    why: str  # this user may only read, if so

    def to_write(self) -> str:
        """Return where this user may write; else say why not."""
        if self.own is None:
            raise ToolError(f"{self.why or f'no run of yours is in {self.path}'}: nothing to write")
        return self.own


def find(settings: Settings) -> Home:
    """Look at the home that the agent would use."""
    path = settings.home
    if not path:
        raise ToolError("no home folder is known: set AUTOTASK_HOME")
    if homes.shared_modes(path):
        own = homes.users_folder(path)
        there = os.path.lexists(own)
        why = _why_foreign(own) if there else ""
        return Home(path, own if there and not why else None, True, why)
    why = _why_foreign(path)
    return Home(path, None if why else path, False, why)


def _why_foreign(path: str) -> str:
    """Say why this user must not write into a folder; nothing if they may."""
    if not hasattr(os, "geteuid"):
        return ""
    place = homes.stranger(path, keep_out=True)
    if place is None:
        return _why_roots(path)
    status = os.lstat(place)
    if status.st_uid not in (0, os.geteuid()):
        return f"{place} belongs to {user_name(status.st_uid)}"
    return f"{place} can be written by other users (`chmod go-w` it)"


def _why_roots(path: str) -> str:
    try:
        owner = os.stat(path).st_uid
    except OSError:  # not there yet: nobody's
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
    """Return the users' folders in a shared home, each with its owner: `1000`, 1000."""
    found = []
    for name in sorted(os.listdir(home)):
        owner = int(name) if name.isascii() and name.isdigit() else None
        places = os.path.join(home, name), os.path.join(home, name, "journal")
        if owner is not None and name == str(owner) and all(_is_of(p, owner) for p in places):
            found.append((name, owner))
    return found


def _is_of(folder: str, owner: int) -> bool:
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == owner
