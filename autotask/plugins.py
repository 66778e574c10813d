"""Which plugins an environment has, as its last inspection has found.

A file of the home, `plugins`: a line for each folder with interpreters in it, a tab, and what
AUTOTASK_PLUGINS is to be there. The launcher reads it before each command, so it is no JSON.
"""

from __future__ import annotations

import os

from autotask.journal import make_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST = 1 << 20  # bytes


def read(file: int) -> dict[str, str]:
    """Read the open file, and close it."""
    try:
        data = os.read(file, _MOST)
    except OSError:
        data = b""
    finally:
        os.close(file)
    pairs = [line.partition("\t") for line in os.fsdecode(data).split("\n")]
    return {folder: plugins for folder, _, plugins in pairs if plugins}


def of_command(known: dict[str, str], command: list[str], environ: Mapping[str, str]) -> str | None:
    """Return what is known of the environment of a command's Python."""
    if not known:
        return None
    from autotask.command import read as read_command

    python = read_command(command, environ).python
    return known.get(folder_of(python)) if python else None


def folder_of(python: str) -> str:
    """Return what an environment is known by: where its `python` and its scripts lie."""
    return os.path.dirname(os.path.abspath(python))


def remember(home: str, python: str, plugins: str) -> None:
    """Note what was found in an environment; raises OSError where the home can't be written."""
    path = os.path.join(home, "plugins")
    try:
        known = read(os.open(path, os.O_RDONLY))
    except OSError:
        known = {}
    folder = folder_of(python)
    if known.get(folder, "") == plugins or not folder.isprintable():
        return
    make_folder(home)
    known[folder] = plugins
    text = "".join([f"{key}\t{value}\n" for key, value in known.items() if value])
    beside = f"{path}.{os.getpid()}"
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(file, os.fsencode(text))
    finally:
        os.close(file)
    os.replace(beside, path)
