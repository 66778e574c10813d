"""Read a crontab by lines, byte by byte as it is: what is read is also what `watch` writes back.

The rules are those of Debian's cron and cronie, crontab(5) and load_env() and load_entry() of both;
what only one of the two accepts is accepted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from autotask.tool.errors import ToolError
from autotask.tool.schedule.cron_line import Schedule

USUAL_SHELL = "/bin/sh"
REBOOT = "@reboot"
JOB, ASSIGNMENT, OTHER, BAD = "job", "assignment", "other", "bad"
_DOOR = re.compile(r".*/autotask/shell(\.[^/]+)?", re.DOTALL)
_ASSIGNMENT = re.compile(
    rb"""[ \t]* (?: "([^"]*)" | '([^']*)' | ([^\s=#"'][^\s=]*) ) [ \t]* = [ \t]*"""
    rb"""(?: "([^"]*)" | '([^']*)' | ([^\s"'].*?) ) [ \t\r]*""",
    re.VERBOSE | re.DOTALL,
)
_WHEN = re.compile(rb"[ \t]*(@\S*|-?[^\s@]\S*(?:[ \t]+\S+){4})(?:[ \t]+|$)")
_USER = re.compile(rb"(\S+)(?:[ \t]+|$)")


class Line(NamedTuple):
    """A line of a crontab."""

    number: int  # from 1
    raw: bytes  # whole, with its end
    kind: str  # JOB, ASSIGNMENT, OTHER (blank, or a comment) or BAD
    variable: str = ""  # of an assignment
    value: str = ""  # of an assignment, without quotes
    when: str = ""  # of a job: the five fields, one space between them, or `@daily`
    user: str | None = None  # of a job in a system crontab
    command: str = ""  # of a job: what the shell gets, which ends at the first bare `%`
    problem: str = ""  # of a bad line: why cron does not run it
    wrapped: bool = False  # the SHELL that applies to a job is autotask's
    shell: str = USUAL_SHELL  # the job's own shell, which autotask's starts in turn


def read(text: bytes, system: bool = False) -> list[Line]:
    """Read a crontab; its lines joined are *text* again.

    Args:
        text: What the file contains.
        system: Its jobs have a user: /etc/crontab, and what is in /etc/cron.d.
    """
    return list(_lines(text, system))


def _lines(text: bytes, system: bool) -> Iterator[Line]:
    own, current = USUAL_SHELL, USUAL_SHELL
    # Not splitlines(): a lone \r, a form feed or the like does not end a line.
    for number, raw in enumerate(re.findall(rb"[^\n]*\n|[^\n]+", text), 1):
        line = _line(number, raw, system)
        if line.variable == "SHELL":
            current = line.value
            if not is_door(current):
                own = current
        yield line._replace(wrapped=line.kind == JOB and is_door(current), shell=own)


def _line(number: int, raw: bytes, system: bool) -> Line:
    content = raw.rstrip(b"\n")
    stripped = content.strip(b" \t\r")
    if not stripped or stripped.startswith(b"#"):
        return Line(number, raw, OTHER)
    assignment = _ASSIGNMENT.fullmatch(content)
    if assignment:
        variable, value = (_text(assignment, *groups) for groups in ((1, 2, 3), (4, 5, 6)))
        return Line(number, raw, ASSIGNMENT, variable, value)
    return _job(number, raw, content, system)


def _job(number: int, raw: bytes, content: bytes, system: bool) -> Line:
    match = _WHEN.match(content)
    if not match:
        return Line(number, raw, BAD, problem="it has fewer than five fields")
    line = Line(number, raw, JOB, when=" ".join(os.fsdecode(match[1]).split()))
    rest = content[match.end() :]
    if system:
        user = _USER.match(rest)
        if not user:
            return line._replace(kind=BAD, problem="it has no user and no command")
        line, rest = line._replace(user=os.fsdecode(user[1])), rest[user.end() :]
    problem = _problem(line.when)
    kind = BAD if problem else JOB
    return line._replace(kind=kind, problem=problem, command=_command(rest))


def _text(match: re.Match[bytes], *groups: int) -> str:
    return next((os.fsdecode(match[group]) for group in groups if match[group] is not None), "")


def _command(rest: bytes) -> str:
    r"""Return what the shell gets: up to the first bare `%`; `\%` is `%` and `\\` is `\`."""
    text = re.match(rb"(?:\\.|[^%\\]|\\$)*", rest, re.DOTALL)
    return os.fsdecode(re.sub(rb"\\([%\\])", rb"\1", text[0] if text else b""))


def _problem(when: str) -> str:
    if when == REBOOT:
        return ""
    try:
        _schedule(when, "UTC")
    except ToolError as error:
        return str(error).partition(": ")[2]
    return ""


def schedule_of(line: Line, timezone: str) -> Schedule | None:
    """Return when a job is due, in the time zone of cron; None for `@reboot` and a bad line."""
    if line.kind != JOB or line.when == REBOOT:
        return None
    return _schedule(line.when, timezone)


@cache
def _schedule(when: str, timezone: str) -> Schedule:
    # A leading `-` is cronie's: do not log the job.
    return Schedule(when.removeprefix("-"), timezone, in_crontab=True)


def is_door(shell: str) -> bool:
    """Tell by its path whether a shell is autotask's, which records a job and starts the real one.

    The path of another shell than /bin/sh has that shell's in its name: `shell.usr.bin.zsh`.
    """
    return bool(_DOOR.fullmatch(shell))
