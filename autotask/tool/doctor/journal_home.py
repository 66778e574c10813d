"""Check whether this user can write the journal. Nothing is written."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import time

from autotask import homes, journal
from autotask.settings import Settings
from autotask.tool import quantities
from autotask.tool.doctor.finding import Finding, Findings
from autotask.tool.journal import ownership

_NEARLY_FULL = 64 << 20  # free bytes of a disk


def findings(settings: Settings) -> Findings:
    """Tell where the runs of this user are recorded, and what keeps them from it."""
    home = settings.home
    user = _user()
    if settings.stderr:
        text = "a line on standard error for each finished run (AUTOTASK_JOURNAL=stderr)"
        yield Finding("ok", "journal", f"{text}; `autotask runs` does not show these runs")
        return
    if not settings.journal:
        status = "warning" if settings.dogstatsd else "problem"
        yield Finding(status, "journal", "turned off by AUTOTASK_JOURNAL", "unset it to see runs")
        return
    if not home:
        yield Finding("problem", "journal", "no home folder is known", "set AUTOTASK_HOME")
        return
    yield from _owners(home)
    users_home = _users_home(home)
    try:
        _check_writable(os.path.join(users_home, "journal"))
        free = shutil.disk_usage(_nearest(users_home)).free
    except OSError as problem:
        text = f"{problem.filename}: {problem.strerror} (as {user})"
        remedy = f"let {user} write there, or set AUTOTASK_HOME"
        yield Finding("problem", "journal", text, remedy)
        return
    text = f"{users_home} is writable by {user}, {quantities.size_text(free)} free"
    yield Finding("warning" if free < _NEARLY_FULL else "ok", "journal", text)


def _owners(home: str) -> Findings:
    """Check for a home of another user, and for folders in it that do not belong to its owner."""
    owner = homes.owner(os.path.realpath(home))
    for name in ("journal", "open"):
        path = os.path.join(home, name)
        folder_owner = homes.owner(path)
        if os.path.islink(path):
            text = f"{path} is a link, which is not followed"
            yield Finding("warning", "owner", text, f"make {home} itself the link")
        elif folder_owner is not None and folder_owner != owner and owner != 0:
            user = ownership.user_name(owner or 0)
            text = f"{path} belongs to {ownership.user_name(folder_owner)}"
            text = f"{text}, so no run of {user} is recorded"
            yield Finding("warning", "owner", text, f"`chown -R {user} {shlex.quote(path)}`")
    users_home = _users_home(home)
    if not users_home.startswith(os.path.join(home, "")) and users_home != home:
        user = _user()
        text = f"{home} does not belong to {user}, so runs of {user} are recorded in {users_home}"
        remedy = "to record in one place, create it with `autotask init-home`"
        yield Finding("warning", "owner", text, remedy)


def _users_home(home: str) -> str:
    """Return the home where this user's runs are recorded, or would be; see `homes.settle`."""
    for path, _ in homes.candidates(home):
        if homes.has_journal(path):
            return path
        exists = os.path.lexists(os.path.join(path, "journal"))
        if not exists and homes.may_make(path) and _may_write(_nearest(path)):
            return path
    return home


def _check_writable(folder: str) -> None:
    """Raise OSError unless this user can write there, or create the folder. Writes nothing."""
    existing = _nearest(folder)
    if not os.path.isdir(existing):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), existing)
    segment = os.path.join(folder, journal.segment(time.time()))
    # The segment of this hour may belong to another user, if `sudo` was used in this home.
    for path in (existing, segment):
        if os.path.lexists(path) and not _may_write(path):
            read_only = os.statvfs(path).f_flag & os.ST_RDONLY
            number = errno.EROFS if read_only else errno.EACCES
            raise PermissionError(number, os.strerror(number), path)
    if existing == folder and homes.owner(existing) != os.geteuid():
        text = f"belongs to {ownership.user_name(os.stat(existing).st_uid)}"
        raise PermissionError(errno.EACCES, text, existing)


def _may_write(path: str) -> bool:
    rights = os.W_OK | (os.X_OK if os.path.isdir(path) else 0)
    return os.access(path, rights, effective_ids=os.access in os.supports_effective_ids)


def _nearest(path: str) -> str:
    """Return a path, or the nearest folder above it that exists."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def _user() -> str:
    try:
        import pwd

        return pwd.getpwuid(os.geteuid()).pw_name
    except (ImportError, KeyError, AttributeError):
        return f"user {os.geteuid()}" if hasattr(os, "geteuid") else "this user"
