"""The text of an anacrontab with and without autotask's line.

anacron starts each job with /bin/sh, whatever SHELL says, but its lines may set PATH (readtab() and
run_job() of anacron 2.3). So the folder of a stand-in for run-parts comes first there: that is what
the jobs of an anacrontab are for.
"""

from __future__ import annotations

import os
import re

FOLDER = "bin"  # in the folder of the doors
# As Debian's anacrontab sets it.
_USUAL = b"/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin"
_LINE = re.compile(rb"(?:\\\n|[^\n])*\n|(?:\\\n|[^\n])+")  # a line may go on after a backslash
_PATH = re.compile(rb"[ \t]*PATH[ \t]*=(.*?)\n?", re.DOTALL)
_OURS = re.compile(rb"([^:]*/autotask/bin):(.*)", re.DOTALL)
_RUN_PARTS = re.compile(
    rb"[ \t]*\S+[ \t]+\d+[ \t]+[^ \t/]+[ \t]+(?:.*[\s;&|({])?run-parts\b", re.DOTALL
)
_NO_JOB = re.compile(rb"[ \t\r]*(#|\n|$)|[ \t]*[^ \t=]+[ \t]*=")


def watch(text: bytes, folder: str) -> bytes:
    """Return an anacrontab whose PATH begins with the folder `bin` in *folder*.

    Each line that sets PATH is followed by one that sets it so; without such a line it is the first
    line, with the usual PATH.
    """
    first = os.fsencode(f"{folder}/{FOLDER}")
    result = []
    for line in _LINE.findall(unwatch(text)):
        value = _value(line)
        result.append(line)
        if value is not None and line.endswith(b"\n"):
            result.append(_path_line(first, value))
    if all(_value(line) is None for line in result):
        result.insert(0, _path_line(first, _USUAL))
    return b"".join(result)


def unwatch(text: bytes) -> bytes:
    """Return an anacrontab without autotask's lines: byte by byte what it was before.

    If the line whose PATH a line of autotask repeats is gone, that line is put in its place.
    """
    kept: list[bytes] = []
    path = _USUAL
    for line in _LINE.findall(text):
        value = _value(line)
        ours = _OURS.fullmatch(value) if value is not None else None
        rest = ours[2] if ours else value
        if not ours:
            kept.append(line)
        elif rest != path:
            kept.append(b"PATH=" + ours[2] + b"\n")
        path = path if rest is None else rest
    return b"".join(kept)


def jobs(text: bytes) -> tuple[int, int]:
    """Return how many of its jobs start run-parts, and how many others there are."""
    lines = [line for line in _LINE.findall(text) if not _NO_JOB.match(line)]
    watched = sum(bool(_RUN_PARTS.match(line)) for line in lines)
    return watched, len(lines) - watched


def folders(text: bytes) -> list[str]:
    """Return the folders of stand-ins that it names, each once."""
    values = (_value(line) for line in _LINE.findall(text))
    ours = [match[1] for value in values if value and (match := _OURS.fullmatch(value))]
    return [os.fsdecode(folder) for folder in dict.fromkeys(ours)]


def _value(line: bytes) -> bytes | None:
    match = _PATH.fullmatch(line)
    return match[1] if match else None


def _path_line(first: bytes, rest: bytes) -> bytes:
    return b"PATH=" + first + b":" + rest + b"\n"
