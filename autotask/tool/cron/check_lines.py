"""Which lines of a crontab cron refuses, and which mean something else than they seem to.

Tried with Debian's cron 3.0pl1-162: one line that it refuses makes it ignore the whole crontab.
"""

from __future__ import annotations

import pwd
import re
from collections.abc import Iterator, Sequence

from autotask.tool.doctor.finding import Finding, Findings
from autotask.tool.schedule.crontab import ASSIGNMENT, BAD, JOB, Line

LONGEST = 998  # bytes of a command, and of `NAME=value`, that Debian's cron takes
_ALL = "so cron ignores the whole crontab"
_SET_BY_CRON = ("HOME", "LOGNAME", "PATH", "PWD", "SHELL", "USER")
_MISREAD = re.compile(r"~|#|\*[^\s,/]|-\w+-|/\w+-")  # it drops the end of these without a word
_RANDOM_FROM = re.compile(r"(^|,)~")  # `~5`: cronie's
_BARE_PERCENT = re.compile(rb"(?:\\.|[^%\\])*%(.*)", re.DOTALL)
_NO_RETURNS = (
    r"remove it: in a file with `tr -d '\r'`, "
    r"in what Debian's `crontab -l` prints with `sed 's/\\r$//'`"
)
_DATE_FORMAT = re.compile(r"\bdate\b[^|;&]*\+[^|;&]*$")


def findings(source: str, lines: Sequence[Line], debians: bool = True) -> Findings:
    """Yield what is wrong with the lines.

    Args:
        source: What to call the crontab.
        lines: All its lines.
        debians: Debian's cron reads it: cronie takes some lines that Debian's refuses.
    """
    yield from _refused(source, lines, debians)
    yield from _last_line(source, lines)
    yield from _carriage_returns(source, lines)
    yield from _assignments(source, lines, debians)
    yield from _percents(source, lines)


def at(source: str, *numbers: int) -> str:
    """Say where something is: `/etc/crontab, lines 3, 7 and 12`."""
    *most, last = map(str, numbers)
    return f"{source}, lines {', '.join(most)} and {last}" if most else f"{source}, line {last}"


def _refused(source: str, lines: Sequence[Line], debians: bool) -> Findings:
    for line in lines:
        place = at(source, line.number)
        size = len(raw_command(line)) if line.kind == JOB and debians else 0
        why = _why_refused(line, debians)
        if why:
            yield Finding("problem", "crontab", f"{place}: {why}", "correct it")
        elif size > LONGEST:
            text = f"{place}: the command has {size} bytes, and cron takes {LONGEST}, {_ALL}"
            yield Finding("problem", "crontab", text, "put it into a script")


def _why_refused(line: Line, debians: bool) -> str:
    if line.kind != BAD:
        why = _why_debians_refuses(line) if debians else ""
        return f"{why}, {_ALL}" if why else ""
    if "ends before" in line.problem or "none of its months" in line.problem:
        return f"{line.problem}, so cron never runs it"
    misread = _MISREAD.search(line.when)
    return f"{line.problem}, {'so cron reads something else' if misread else _ALL}"


def _why_debians_refuses(line: Line) -> str:
    r"""Tell why Debian's cron refuses a line that cronie takes; nothing if it does not.

    The reader takes a lone `\r` as a blank line.
    """
    content = line.raw.strip(b" \t\n")
    if b"\0" in content:
        return "it contains a NUL byte"
    if line.kind == JOB:
        return _why_debians_refuses_job(line)
    is_blank = line.kind != ASSIGNMENT and not content.startswith(b"#")
    return "it contains nothing but a carriage return" if is_blank and content else ""


def _why_debians_refuses_job(line: Line) -> str:
    if line.when.startswith("-"):
        return "only cronie reads a `-` before the minute"
    if any(map(_RANDOM_FROM.search, line.when.split())):
        return "a `~` needs a number before it"
    if line.user and not raw_command(line) and not line.raw.endswith((b" \n", b"\t\n")):
        return "it has no command"
    return f"there is no user {line.user}" if line.user and not _exists(line.user) else ""


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def raw_command(line: Line) -> bytes:
    """Return the command of a job as it is written, with what follows a `%`."""
    fields = (1 if line.when.startswith("@") else 5) + (line.user is not None)
    written = re.match(rb"[ \t]*(?:\S+[ \t]*){%d}" % fields, line.raw)
    return line.raw[written.end() if written else 0 :].rstrip(b"\n")


def _last_line(source: str, lines: Sequence[Line]) -> Findings:
    """Check for a last line that is cut off. Blanks and a comment need no newline."""
    if not lines or lines[-1].raw.endswith(b"\n"):
        return
    content = lines[-1].raw.strip(b" \t")
    if content and not content.startswith(b"#"):
        text = f"{at(source, lines[-1].number)}: it does not end with a newline, {_ALL}"
        yield Finding("problem", "crontab", text, "add one")


def _carriage_returns(source: str, lines: Sequence[Line]) -> Findings:
    numbers = [line.number for line in lines if line.kind == JOB and line.raw.endswith(b"\r\n")]
    if numbers:
        text = f"{at(source, *numbers)}: a carriage return at the end is part of the command"
        yield Finding("problem", "crontab", text, _NO_RETURNS)


def _assignments(source: str, lines: Sequence[Line], debians: bool) -> Findings:
    """Check for assignments of which the jobs get something else than it seems."""
    known = set(_SET_BY_CRON)
    for line in lines:
        if line.kind != ASSIGNMENT:
            continue
        place = at(source, line.number)
        unexpanded = _unexpanded(line, known)
        if unexpanded:
            text = f"{place}: cron does not expand `{unexpanded}` in {line.variable}"
            yield Finding("warning", "variable", text, "write the value itself")
        if debians and len(f"{line.variable}={line.value}".encode(errors="replace")) > LONGEST:
            text = f"{place}: cron cuts {line.variable} off after {LONGEST} bytes"
            yield Finding("warning", "variable", text, "set it in a script")
        if debians and line.variable == "CRON_TZ":
            text = f"{place}: Debian's cron ignores CRON_TZ"
            remedy = "write the hours in the time zone of this machine"
            yield Finding("warning", "variable", text, remedy)
        known.add(line.variable)


def _unexpanded(line: Line, known: set[str]) -> str:
    """Return what looks as if a shell would read the value, if something does."""
    for match in re.finditer(r"\$(\w+)|\$\{(\w+)[^}]*\}|\$\([^)]*\)|`[^`]+`", line.value):
        name = match[1] or match[2]
        if name is None or name in known:
            return match[0]
    home = re.search(r"(?:^|:)(~/)", line.value) if line.variable == "PATH" else None
    return home[1] if home else ""


def _percents(source: str, lines: Sequence[Line]) -> Findings:
    for line, rest in _cut_off(lines):
        if _DATE_FORMAT.search(line.command) or _is_unfinished(line.command):
            word = f"%{rest.split()[0]}" if rest.strip() else "%"
            text = f"{at(source, line.number)}: cron ends the command before `{word}`"
            yield Finding("warning", "command", text, r"write each `%` as `\%`")


def _cut_off(lines: Sequence[Line]) -> Iterator[tuple[Line, str]]:
    """Yield each job whose command ends at a `%`, and what comes after it."""
    for line in lines:
        match = _BARE_PERCENT.match(raw_command(line)) if line.kind == JOB else None
        if match:
            yield line, match[1].decode(errors="replace")


def _is_unfinished(text: str) -> bool:
    """Tell whether a shell would wait for the end of a quote or a bracket."""
    inside = re.sub(r"\\.|'[^']*'", "", text)
    outside = re.sub(r'"[^"]*"', "", inside)
    return (
        inside.count("$(") > inside.count(")")
        or inside.count("`") % 2 == 1
        or "'" in outside
        or '"' in outside
    )
