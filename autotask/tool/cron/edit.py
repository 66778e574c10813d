"""The text of a crontab with and without autotask's lines: whole lines come and go, none changes.

Whatever is in a crontab, also what was edited since: no job gets another shell than it had.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from autotask.tool.cron import door
from autotask.tool.errors import ToolError
from autotask.tool.schedule import crontab
from autotask.tool.schedule.crontab import Line

END = b"# autotask: the shell of the lines below"


def watch(text: bytes, folder: str, system: bool = False) -> bytes:
    """Return a crontab in which every job is started by a door in *folder*.

    Its first line names the door of /bin/sh. Where a line sets another shell, the next line names
    that shell's door; if no job is before the first such line, that is enough. A shell that is not
    an absolute path has no door: cron cannot start it, either.

    Args:
        text: The crontab; it may be watched already.
        folder: The absolute path of the folder with the doors.
        system: Its jobs have a user.
    """
    lines = crontab.read(unwatch(text, system), system)
    result = [] if _sets_its_shell_first(lines) else [_door_line(crontab.USUAL_SHELL, folder)]
    for line in lines:
        result.append(line.raw)
        if line.variable == "SHELL" and line.raw.endswith(b"\n") and _is_path(line.value):
            result.append(_door_line(line.value, folder))
    return b"".join(result)


def _sets_its_shell_first(lines: Sequence[Line]) -> bool:
    """Tell whether no job comes before the first line that sets SHELL."""
    deciding = (
        line.variable == "SHELL"
        for line in lines
        if line.variable == "SHELL" or line.kind in (crontab.JOB, crontab.BAD)
    )
    return next(deciding, False)


def watch_lines(text: bytes, numbers: Iterable[int], folder: str, system: bool = False) -> bytes:
    """Return a crontab in which the jobs in some lines are started by a door in *folder*.

    A line before the job names the door, and two lines after it give the shell back. A job that is
    watched already is left alone.

    Args:
        text: The crontab.
        numbers: The jobs' lines, from 1.
        folder: The absolute path of the folder with the doors.
        system: Its jobs have a user.

    Raises:
        ToolError: A line has no job, or the job's shell is not an absolute path.
    """
    lines = crontab.read(text, system)
    chosen = {_job(lines, number).number for number in numbers}
    result, own = [], _shell_line(crontab.USUAL_SHELL)
    for line in lines:
        if line.variable == "SHELL" and not crontab.is_door(line.value):
            own = line.raw
        surround = line.number in chosen and not line.wrapped
        result += _surrounded(line, own, folder) if surround else [line.raw]
    return b"".join(result)


def _job(lines: Sequence[Line], number: int) -> Line:
    """Return the line of a job that can be watched."""
    if not 1 <= number <= len(lines):
        raise ToolError(f"there is no line {number}: the crontab has {len(lines)}")
    line = lines[number - 1]
    if line.kind != crontab.JOB:
        jobs = ", ".join(str(other.number) for other in lines if other.kind == crontab.JOB)
        raise ToolError(
            f"line {number} is not a job; the jobs are in these lines: {jobs or 'none'}"
        )
    if not _is_path(line.shell):
        raise ToolError(f"line {number}: its SHELL is not a path: {line.shell}")
    return line


def _surrounded(line: Line, own: bytes, folder: str) -> list[bytes]:
    """Return a job's line between those that name the door and give the shell *own* back."""
    before = _door_line(line.shell, folder)
    # Nothing can follow a last line without an end; cron would not read it, either.
    after = [END + b"\n", own] if line.raw.endswith(b"\n") else []
    return [before, line.raw, *after]


def unwatch(text: bytes, system: bool = False) -> bytes:
    """Return a crontab without autotask's lines: byte by byte what it was before they came.

    If the line that sets a door's own shell is gone, that line is put in the place of the door's.
    """
    kept: list[bytes] = []
    own = crontab.USUAL_SHELL
    ended = False  # the line before says that the shell is given back
    for line in crontab.read(text, system):
        given_back, ended = ended, line.raw.strip() == END
        if ended or line.variable != "SHELL":
            kept += [] if ended else [line.raw]
            continue
        is_door = crontab.is_door(line.value)
        shell = door.shell_of(line.value) if is_door else line.value
        if shell != own or not (is_door or given_back):
            kept.append(_shell_line(shell) if is_door else line.raw)
        own = shell
    return b"".join(kept)


def doors(text: bytes) -> list[str]:
    """Return the paths of the doors that a crontab names, in order, each once."""
    values = [line.value for line in crontab.read(text) if line.variable == "SHELL"]
    return list(dict.fromkeys(filter(crontab.is_door, values)))


def _is_path(shell: str) -> bool:
    return shell.startswith("/") and bool(shell.strip("/"))


def _door_line(shell: str, folder: str) -> bytes:
    return _shell_line(door.path_for(shell, folder))


def _shell_line(shell: str) -> bytes:
    return b"SHELL=" + os.fsencode(shell) + b"\n"
