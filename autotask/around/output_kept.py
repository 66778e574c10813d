"""The end of a failed command's output as it is kept: masked, whole lines, a file of the home.

Loaded only after a failure.
"""

from __future__ import annotations

import os
import re

from autotask.guard import debug
from autotask.journal import NEW, open_folder
from autotask.masking import hide

FOLDER = "output"  # of a home
MOST = 1000  # files in it, of 64 KiB at most
_SPARE = 50  # files that are deleted at once beside those over the bound
_RESERVE = 1 << 20, 0.01  # bytes, and part of the disk, that stay free for the journal
# What colours a terminal's text, moves its cursor or sets its title.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
_CONTROLS = dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(0x7F, 0xA0)))


def text_of(ends: list[bytes], size: int, context: int) -> str:
    """Return the last lines of some streams in *size* bytes; the last stream has the first right.

    Each end has *context* bytes more, if there were as many: they show whether a secret goes on.
    """
    texts: list[str] = []
    wanted = size + context
    for end in reversed(ends):
        text = _last_lines(hide(_readable(end, is_cut=len(end) >= wanted)), size)
        size -= len(text.encode())
        texts.insert(0, text if text.endswith("\n") or not text or not texts else text + "\n")
    return "".join(texts)


def _readable(data: bytes, is_cut: bool) -> str:
    text = _ESCAPES.sub("", data.decode("utf-8", "replace"))
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_CONTROLS)
    if not is_cut:
        return text
    # Half of a line, or of a word, may be half of a secret, which has no known shape.
    _, newline, rest = text.partition("\n")
    return rest if newline else text.partition(" ")[2]


def _last_lines(text: str, size: int) -> str:
    """Return the whole lines at the end of a text that fit; of a longer last line its end."""
    data = text.encode()
    least = len(data) - size
    if least <= 0:
        return text
    begin = data.find(b"\n", least - 1) + 1
    return data[begin if 0 < begin < len(data) else least :].decode("utf-8", "ignore")


def keep(home: str, run: str, text: str) -> None:
    """Write what is kept of a run into the home, for this user alone, if the disk takes it."""
    try:
        folder = _opened_folder(home)
    except OSError as problem:
        debug(f"the output is not kept: {problem}")
        return
    try:
        _make_room(folder)
        data = text.encode()
        if _has_room(folder, len(data)):
            _write(folder, run, data)
        else:
            debug("the output is not kept: the disk is almost full")
    except OSError as problem:
        debug(f"the output is not kept: {problem}")
    finally:
        os.close(folder)


def _opened_folder(home: str) -> int:
    try:
        return open_folder(home, FOLDER)
    except FileNotFoundError:
        from autotask.homes import make_in

        make_in(home, FOLDER, 0o700)
        return open_folder(home, FOLDER)


def _has_room(folder: int, size: int) -> bool:
    """Tell whether some bytes may be kept: records of later runs have the first right to a disk."""
    disk = os.fstatvfs(folder)
    if not disk.f_blocks:  # this file system does not tell
        return True
    least, part = _RESERVE
    reserve = max(least, part * disk.f_blocks * disk.f_frsize)
    return disk.f_bavail * disk.f_frsize - size >= reserve


def _write(folder: int, name: str, data: bytes) -> None:
    file = os.open(name, NEW, 0o600, dir_fd=folder)
    try:
        while data:
            data = data[os.write(file, data) :]
    except OSError:  # the disk is full
        os.unlink(name, dir_fd=folder)
        raise
    finally:
        os.close(file)


def _make_room(folder: int) -> None:
    """Delete the oldest files if there are as many as may be."""
    names = os.listdir(folder)
    if len(names) < MOST:
        return

    def changed(name: str) -> float:
        try:
            return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
        except OSError:  # another launcher has deleted it
            return 0.0

    for name in sorted(names, key=changed)[: len(names) - MOST + _SPARE]:
        try:
            os.unlink(name, dir_fd=folder)
        except OSError:
            continue
