"""Find the home that this user may write, and make folders in it.

Loaded only if the journal cannot be opened just so: at the very first run, in a shared home, and in
one that belongs to another user.
"""

from __future__ import annotations

import os

from autotask.guard import from_signal_handler
from autotask.journal import HOME as _PATH
from autotask.journal import open_folder
from autotask.stdlib import standard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED = "shared"  # a file of root's in a home that `autotask init-home` has laid
_NO_ACCESS = 13  # EACCES
_TYPE, _FOLDER, _FILE, _LINK = 0o170000, 0o040000, 0o100000, 0o120000  # of a mode
_MOST_LINKS = 40  # as many as Linux follows
_STICKY, _BY_OTHERS = 0o1000, 0o022
_PRIVATE = 0o700, 0o600
_BY_GROUP, _BY_ALL = (0o2750, 0o640), (0o755, 0o644)


def settle(home: str, stay: bool = False) -> tuple[str, int]:
    """Return the home where this user's runs go, and the mode of the files there.

    That is *home* itself; in a shared home the user's own folder; and the user's usual home if
    *home* belongs to another user. *stay*: only *home* itself. Raises OSError if there is none.
    """
    if not hasattr(os, "geteuid"):
        raise PermissionError(_NO_ACCESS, "this system has no owners of files", home)
    for place, (folder_mode, file_mode) in places(home):
        if stay and place != home:
            continue
        if may_make(place) and not os.path.islink(os.path.join(place, "journal")):
            try:
                make_in(place, "journal", folder_mode)
            except OSError as problem:
                if from_signal_handler(problem) or not (shared_modes(home) or _is_others(home)):
                    raise
        if has_journal(place):
            return place, file_mode
    folder = os.path.join(home, "journal")
    why = "is a link" if os.path.islink(folder) else "belongs to another user"
    raise PermissionError(_NO_ACCESS, why, folder)


def followed(home: str) -> str:
    """Return where a home leads that may be a link.

    Raises PermissionError where another user has made the link: it may lead anywhere.
    """
    for _ in range(_MOST_LINKS):
        status = _status(home, follow=False)
        if status is None or status.st_mode & _TYPE != _LINK:
            return home
        if status.st_uid not in (0, os.geteuid()):
            raise PermissionError(_NO_ACCESS, "is a link of another user's", home)
        home = os.path.join(os.path.dirname(home), os.readlink(home))
    return home


def may_make(home: str) -> bool:
    """Tell whether this user may make a journal in a home."""
    try:
        return owner(followed(home)) == os.geteuid() or stranger(home) is None
    except PermissionError:
        return False


def has_journal(home: str) -> bool:
    """Tell whether a home has a journal of this user's."""
    try:
        os.close(open_folder(home, "journal"))
    except OSError as problem:
        if from_signal_handler(problem):
            raise
        return False
    return True


def places(home: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield where this user's runs may go, the best place first, with the modes of what is made."""
    modes = shared_modes(home)
    yield (users_folder(home), modes) if modes else (home, _PRIVATE)
    usual = usual_home() if modes or _is_others(home) else None
    if usual:
        yield usual, _PRIVATE


def users_folder(home: str) -> str:
    """Return this user's own home in a shared one."""
    return os.path.join(home, str(os.geteuid()))


def usual_home() -> str | None:
    """Return where this user's home is if no variable says so."""
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
    """Return the first thing on the way to *path* that belongs to neither this user nor root.

    *keep_out*: or into which another user may put things of their own.
    """
    path = os.path.abspath(path)
    for way in (path, os.path.realpath(path)):
        place = ""
        for word in way.split("/"):
            place = f"{place}{word}" if place.endswith("/") else f"{place}/{word}"
            status = _status(place, follow=False)
            if status is None:
                break
            if status.st_uid not in (0, os.geteuid()):
                return place
            if keep_out and _is_open(status, place == way):
                return place
    return None


def _is_open(status: os.stat_result, itself: bool) -> bool:
    """Tell whether others can put things into a folder: a home itself, or one above it.

    Above, a group is mostly the user's own, as a umask of 002 makes it.
    """
    if status.st_mode & _TYPE != _FOLDER:
        return False
    if itself:
        return bool(status.st_mode & _BY_OTHERS)
    return bool(status.st_mode & 0o002) and not status.st_mode & _STICKY


def _is_others(home: str) -> bool:
    """Tell whether a home belongs to another user, or would have to be made in what does."""
    try:
        status = _status(followed(home))
    except PermissionError:
        return True
    if status is not None and status.st_mode & _TYPE == _FOLDER:
        return status.st_uid != os.geteuid()
    return stranger(home) is not None


def owner(path: str) -> int | None:
    """Return the user id of a file's or link's owner; None if it is not there."""
    status = _status(path, follow=False)
    return None if status is None else status.st_uid


def _status(path: str, follow: bool = True) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=follow)
    except OSError as problem:
        if from_signal_handler(problem):
            raise
        return None


def make_folder(path: str, mode: int = 0o700) -> None:
    """Make a folder and its parents; only new folders get the mode, whatever the umask.

    Raises PermissionError where another user has a folder or a link on the way.
    """
    os.close(_walked(path, mode))


def make_in(home: str, name: str, mode: int = 0o700) -> None:
    """Likewise make a folder in a home; one of this user's own may be below another user's."""
    try:
        above = open_folder(home)
    except OSError as problem:
        if from_signal_handler(problem):
            raise
        above = _walked(home, mode)
    try:
        os.close(_step(above, name, mode))
    finally:
        os.close(above)


def _walked(path: str, mode: int) -> int:
    """Open a folder, made where it is missing, step by step.

    By descriptor, and not by path: in /tmp another user could put a link there meanwhile.
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
    """Return where a link of this user's or root's leads; None where there is none."""
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
    # The umask may have left us no right to open it; a path alone needs none.
    made = os.open(name, _PATH, dir_fd=folder)
    try:
        if os.fstat(made).st_uid == os.geteuid():
            os.chmod(f"/proc/self/fd/{made}", mode)
    except OSError as problem:  # not on Linux, or no /proc
        if from_signal_handler(problem):
            raise
    return made
