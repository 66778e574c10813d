"""Find the home that this user may write, and make folders in it.

Loaded only if the journal's folder cannot be opened at once: at the very first run, in a shared
home, and if the home belongs to another user.
"""

from __future__ import annotations

import os

from autotask.guard import raised_here
from autotask.stdlib import standard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED = "shared"  # a file of root's in a home that `autotask init-home` has made
_FOLDER_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_FOLDER_FLAGS |= getattr(os, "O_CLOEXEC", 0)
_PATH = _FOLDER_FLAGS | getattr(os, "O_PATH", 0)  # to open what need not be readable
_NO_ACCESS = 13  # EACCES
_TYPE, _FOLDER, _FILE, _LINK = 0o170000, 0o040000, 0o100000, 0o120000  # of a mode
_MOST_LINKS = 40  # as many as Linux follows
_STICKY, _BY_OTHERS = 0o1000, 0o022
_PRIVATE = 0o700, 0o600
_BY_GROUP, _BY_ALL = (0o2750, 0o640), (0o755, 0o644)


def settle(home: str, stay: bool = False) -> tuple[str, int]:
    """Return the home for this user's runs, and the mode of the files in it.

    That is *home* itself; in a shared home the user's own folder; and the user's usual home if
    *home* belongs to another user. *stay*: only *home* itself. Raises OSError if there is none.
    """
    if not hasattr(os, "geteuid"):
        raise PermissionError(_NO_ACCESS, "this system has no owners of files", home)
    for candidate, (folder_mode, file_mode) in candidates(home):
        if stay and candidate != home:
            continue
        if may_make(candidate) and not os.path.islink(os.path.join(candidate, "journal")):
            try:
                make_in(candidate, "journal", folder_mode)
            except raised_here(OSError):
                if not (shared_modes(home) or _is_others(home)):
                    raise
        if has_journal(candidate):
            return candidate, file_mode
    folder = os.path.join(home, "journal")
    why = "is a link" if os.path.islink(folder) else "belongs to another user"
    raise PermissionError(_NO_ACCESS, why, folder)


def followed(home: str) -> str:
    """Return the folder that a home is, or that it leads to as a link.

    Raises PermissionError if another user has made the link: it may lead anywhere.
    """
    for _ in range(_MOST_LINKS):
        status = _status(home, follow=False)
        if status is None or status.st_mode & _TYPE != _LINK:
            return home
        if status.st_uid not in (0, os.geteuid()):
            raise PermissionError(_NO_ACCESS, "is another user's link", home)
        home = os.path.join(os.path.dirname(home), os.readlink(home))
    return home


def may_make(home: str) -> bool:
    """Tell whether this user may make a journal in a home."""
    try:
        return owner(followed(home)) == os.geteuid() or stranger(home) is None
    except PermissionError:
        return False


def has_journal(home: str) -> bool:
    """Tell whether a home has a journal that belongs to this user."""
    try:
        os.close(_own_folder(home, "journal"))
    except raised_here(OSError):
        return False
    return True


def _own_folder(home: str, name: str = ".") -> int:
    """Open a home or a folder in it, which must be this user's own.

    As `journal.open_folder` does, which each task loads, and which comes here only for a link.
    """
    above = os.open(followed(home), _PATH)
    try:
        folder = os.open(name, _FOLDER_FLAGS, dir_fd=above)
    finally:
        os.close(above)
    if os.fstat(folder).st_uid != os.geteuid():
        os.close(folder)
        raise PermissionError(_NO_ACCESS, "belongs to another user", name)
    return folder


def candidates(home: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the homes for this user's runs, the best one first, with the modes of new things."""
    modes = shared_modes(home)
    yield (users_folder(home), modes) if modes else (home, _PRIVATE)
    usual = usual_home() if modes or _is_others(home) else None
    if usual:
        yield usual, _PRIVATE


def users_folder(home: str) -> str:
    """Return this user's own home in a shared one."""
    return os.path.join(home, str(os.geteuid()))


def usual_home() -> str | None:
    """Return this user's home if no variable names another one."""
    try:
        folder = standard("pwd").getpwuid(os.geteuid()).pw_dir
    except (ImportError, KeyError):
        return None
    return os.path.join(folder, ".local", "state", "autotask") if folder else None


def shared_modes(home: str) -> tuple[int, int] | None:
    """Return the modes of folders and files in a shared home; None if it is not one.

    Root owns it and it is sticky, so one user cannot remove another user's folder.
    """
    folder, file = _status(home), _status(os.path.join(home, SHARED), follow=False)
    if folder is None or file is None or file.st_mode & _TYPE != _FILE:
        return None
    if folder.st_uid or file.st_uid or not folder.st_mode & _STICKY:
        return None
    return _BY_ALL if folder.st_mode & 0o002 else _BY_GROUP


def stranger(path: str, keep_out: bool = False) -> str | None:
    """Return the first folder or link on the way to *path* that another user (but root) owns.

    *keep_out*: or that another user may write to.
    """
    path = os.path.abspath(path)
    for whole in (path, os.path.realpath(path)):
        step = ""
        for word in whole.split("/"):
            step = f"{step}{word}" if step.endswith("/") else f"{step}/{word}"
            status = _status(step, follow=False)
            if status is None:
                break
            if status.st_uid not in (0, os.geteuid()):
                return step
            if keep_out and _is_open(status, step == whole):
                return step
    return None


def _is_open(status: os.stat_result, itself: bool) -> bool:
    """Tell whether others may write to a folder: to a home itself, or to a folder above it.

    Above it a group may: that is mostly the user's own, as a umask of 002 makes it.
    """
    if status.st_mode & _TYPE != _FOLDER:
        return False
    if itself:
        return bool(status.st_mode & _BY_OTHERS)
    return bool(status.st_mode & 0o002) and not status.st_mode & _STICKY


def _is_others(home: str) -> bool:
    """Tell whether a home belongs to another user, or would be made in another user's folder."""
    try:
        status = _status(followed(home))
    except PermissionError:
        return True
    if status is not None and status.st_mode & _TYPE == _FOLDER:
        return status.st_uid != os.geteuid()
    return stranger(home) is not None


def owner(path: str) -> int | None:
    """Return the user id of the owner of a file or link; None if it does not exist."""
    status = _status(path, follow=False)
    return None if status is None else status.st_uid


def _status(path: str, follow: bool = True) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=follow)
    except raised_here(OSError):
        return None


def make_folder(path: str, mode: int = 0o700) -> None:
    """Make a folder and its parents; only new folders get the mode, whatever the umask.

    Raises PermissionError if a folder or link on the way belongs to another user.
    """
    os.close(_walked(path, mode))


def make_in(home: str, name: str, mode: int = 0o700) -> None:
    """Likewise make a folder in a home; a home that this user owns may be below another user's."""
    try:
        above = _own_folder(home)
    except raised_here(OSError):
        above = _walked(home, mode)
    try:
        os.close(_step(above, name, mode))
    finally:
        os.close(above)


def _walked(path: str, mode: int) -> int:
    """Open a folder step by step; make it, and those above it, if they are missing.

    By descriptor, not by path: in /tmp another user could put a link there meanwhile.
    """
    folder = os.open("/", _PATH)
    words = path.split("/")[::-1]
    links = 0
    try:
        while words:
            word = words.pop()
            if word in ("", "."):
                continue
            target = _target(folder, word)
            if target:
                links += 1
                if links > _MOST_LINKS:
                    raise PermissionError(_NO_ACCESS, "is a circle of links", path)
                words += target.split("/")[::-1]
                word = "/" if target[0] == "/" else "."
            below = _step(folder, word, mode)
            os.close(folder)
            folder = below
    except BaseException:
        os.close(folder)
        raise
    return folder


def _target(folder: int, name: str) -> str | None:
    """Return where a link of this user's or root's leads; None if it is not a link."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if status.st_mode & _TYPE != _LINK:
        return None
    _check_owner(status, name)
    return os.readlink(name, dir_fd=folder)


def _step(folder: int, name: str, mode: int) -> int:
    """Open a folder in another one, made if it is missing; no link is followed."""
    try:
        below = os.open(name, _PATH, dir_fd=folder)
    except FileNotFoundError:
        below = _made_in(folder, name, mode)
    try:
        _check_owner(os.fstat(below), name)
    except BaseException:
        os.close(below)
        raise
    return below


def _check_owner(status: os.stat_result, name: str) -> None:
    if status.st_uid not in (0, os.geteuid()):
        raise PermissionError(_NO_ACCESS, "belongs to another user", name)


def _made_in(folder: int, name: str, mode: int) -> int:
    try:
        os.mkdir(name, mode, dir_fd=folder)
    except FileExistsError:  # another process was faster
        return os.open(name, _PATH, dir_fd=folder)
    # The umask may forbid us to open the new folder; O_PATH needs no right to it.
    made = os.open(name, _PATH, dir_fd=folder)
    try:
        if os.fstat(made).st_uid == os.geteuid():
            os.chmod(f"/proc/self/fd/{made}", mode)
    except raised_here(OSError):  # not on Linux, or no /proc
        pass
    return made
