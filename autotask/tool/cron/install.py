"""Replace a crontab safely: a copy is kept, and what was written is read back.

Whenever this is killed, the old crontab or the new one is there, whole: crontab(1) and `replace`
rename a finished file.
"""

from __future__ import annotations

import itertools
import os
import time

from autotask import homes
from autotask.settings import Settings
from autotask.tool.cron.tables import Table
from autotask.tool.errors import ToolError

_FOLDER = "crontabs"


def install(table: Table, old: bytes, new: bytes, copies: str) -> str:
    """Replace a crontab; return the path of the copy of the old one, if there was one.

    Args:
        table: The crontab, or what else has jobs.
        old: What it contains now: nothing is written if it was changed meanwhile.
        new: What it is to contain.
        copies: The folder for the copy.

    Raises:
        ToolError: It was not written. The old one is there, or the message says what to do.
        OSError: The copy or a system crontab could not be written. The old one is there.
    """
    copy = keep(copies, table.name, old) if old else ""
    if table.read() != old:
        raise ToolError(f"{table.name} was changed meanwhile: run the command again")
    problem = ""
    try:
        table.write(new)
    except ToolError as error:
        problem = str(error)
    _read_back(table, old, new, copy, problem)
    return copy


def _read_back(table: Table, old: bytes, new: bytes, copy: str, problem: str) -> None:
    """Raise an error if something else than *new* was written; then put *old* back."""
    try:
        written = table.read()
    except (ToolError, OSError) as error:
        raise ToolError(
            f"{table.name} cannot be read back: {error}; {_help(table, copy)}"
        ) from None
    if written == new:
        if problem:
            raise ToolError(f"{table.name} was written, but {problem}")
    elif written == old:
        why = problem or "`crontab` succeeded, but wrote nothing"
        raise ToolError(f"{table.name} was not changed: {why}")
    else:
        _restore(table, old, copy, problem or "`crontab` wrote something else than it was given")


def _restore(table: Table, old: bytes, copy: str, why: str) -> None:
    try:
        table.write(old)
        restored = table.read() == old
    except (ToolError, OSError):
        restored = False
    if restored:
        raise ToolError(f"{table.name} was not changed: {why}; it was restored")
    raise ToolError(f"{table.name} is damaged: {why}; {_help(table, copy)}")


def _help(table: Table, copy: str) -> str:
    return f"compare it with its copy, and restore that if need be: {table.restoring(copy)}"


def copies_folder() -> str:
    """Return the folder for copies in this user's home of autotask, which is made.

    Raises:
        ToolError: No home is known.
        OSError: It cannot be made.
    """
    home = Settings(os.environ).home
    if not home:
        raise ToolError("no home folder is known: set AUTOTASK_HOME")
    own, _ = homes.settle(home)
    homes.make_in(own, _FOLDER)
    return os.path.join(own, _FOLDER)


def keep(folder: str, name: str, text: bytes) -> str:
    """Write a copy that only this user may read; return its path."""
    start = "-".join(name.replace("/", " ").split())
    start = f"{start}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    for number in itertools.count(1):
        path = os.path.join(folder, start if number == 1 else f"{start}-{number}")
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:  # of the same second
            continue
        with open(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        return path
    raise AssertionError
