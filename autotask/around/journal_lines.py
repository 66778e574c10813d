"""The journal's lines, as those around the process read them: new ones, and the fields in them.

Torn and glued lines are to be expected: a disk that is full cuts a line short, and the next
writer's line is glued to what is left of it.
"""

from __future__ import annotations

import os
import stat
import sys
import time

from autotask.journal import segment
from autotask.settings import is_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, BinaryIO

    Event = dict[str, Any]

_LATE = 24  # segments before the first that are watched for late lines
_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_decoder: Callable[..., Any] | None = None  # of json, when it is loaded
_BEGIN_OF_EVENT = '{"event":'
_BEGIN = b'{"event":"'  # of every line; inside a JSON string the quotes would have backslashes


class Reader:
    """Reads the lines from a place in the journal on, each once: those with *needle* in them.

    It goes on with all segments: a process that was stopped for long, or whose clock was set back,
    may write into an old one. Segments whose hour is still to come are read before the others:
    a clock was ahead when they were written, and was set right since.
    """

    def __init__(self, folder: str, position: tuple[str, int], needle: bytes = b"") -> None:
        self._folder = folder
        self._first, offset = position
        self._offsets = {self._first: offset}  # of all segments, where to read on
        self._needle = needle
        self._has_begun = False

    def lines(self) -> Iterator[bytes]:
        """Yield the lines that have come since the last time."""
        try:
            names = list(filter(is_segment, os.listdir(self._folder)))
        except OSError:
            return
        now = segment(time.time())
        names.sort(key=lambda name: (name <= now, name))
        known = self._offsets if self._has_begun else {**self._older(names), **self._offsets}
        self._has_begun = True
        self._offsets = {name: known.get(name, 0) for name in names}
        for name in names:
            yield from self._new_in(name)

    def _older(self, names: list[str]) -> dict[str, int]:
        """Return the sizes of the segments before the first; only the last few may still grow."""
        older = [name for name in names if name < self._first]
        sizes = dict.fromkeys(older, sys.maxsize)
        for name in older[-_LATE:]:
            sizes[name] = _size(os.path.join(self._folder, name), sys.maxsize)
        return sizes

    def _new_in(self, name: str) -> Iterator[bytes]:
        path, offset = os.path.join(self._folder, name), self._offsets[name]
        size = offset if offset == sys.maxsize else _size(path, offset)
        if size <= offset:
            self._offsets[name] = size  # shorter: written anew, without lines that are too old
            return
        try:
            file = opened(path)
        except OSError:
            return
        with file:
            try:
                file.seek(offset)
                for line in file:
                    has_end = line.endswith(b"\n")
                    whole = line if has_end else _whole_part(line)
                    offset += len(whole)
                    if whole and self._needle in whole:
                        yield whole if has_end else whole + b"\n"
            except OSError:  # a bad disk: the rest is tried again
                pass
        self._offsets[name] = offset


def _size(path: str, unknown: int) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return unknown


def _whole_part(line: bytes) -> bytes:
    """Return what is whole of a line without an end: torn by a full disk, or being written."""
    return line[: taken(line, pieces(line))] if b"}" in line else b""


def opened(path: str) -> BinaryIO:
    """Open a file of a home to read: one of the folder's owner. Links and pipes are refused."""
    above, name = os.path.split(path)
    folder = os.open(above, _READ | os.O_DIRECTORY)
    try:
        owner = os.fstat(folder).st_uid
        file = open(os.open(name, _READ | os.O_NONBLOCK, dir_fd=folder), "rb")
    finally:
        os.close(folder)
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode) or status.st_uid != owner:
        file.close()
        raise FileNotFoundError(path)
    return file


def near(folder: str, room: int) -> tuple[str, int]:
    """Return the place in the journal after which there are at most *room* bytes to read.

    A segment costs a page at least.
    """
    try:
        names = sorted(filter(is_segment, os.listdir(folder)), reverse=True)
    except OSError:
        names = []
    for name in names:
        size = max(_size(os.path.join(folder, name), 0), 4096)
        if size > room:
            return name, size - room
        room -= size
    return "", 0


def is_segment(name: str) -> bool:
    """Tell whether a file's name is a segment's: `2026-11-25T03.jsonl`."""
    digits = name[:4] + name[5:7] + name[8:10] + name[11:13]
    shape = name[4:5] + name[7:8] + name[10:11] + name[13:]
    return shape == "--T.jsonl" and len(digits) == 10 and not digits.strip("0123456789")


def read(line: bytes) -> list[Event]:
    """Return what a line tells: one event, as a rule; what can be saved of a torn one.

    Only events whose ids and words are such: they may be written again, as they are.
    """
    return [event for _, event in pieces(line) if _is_sound(event)]


def pieces(line: bytes) -> list[tuple[str, Event]]:
    """Return the whole events of a line, each with its text: none, or several, in a torn one."""
    text = line.decode("utf-8", "replace").rstrip("\n")
    decode = _decoder or _load_decoder()
    try:
        event, end = decode(text)
        if end == len(text) and isinstance(event, dict):
            return [(text, event)]
    except (ValueError, RecursionError):
        pass
    return _recovered(text, decode)


def _load_decoder() -> Callable[..., Any]:
    """Import json, which takes 6 ms: not before there is a line to decode."""
    global _decoder
    from json import JSONDecoder

    _decoder = JSONDecoder().raw_decode
    return _decoder


def taken(line: bytes, found: list[tuple[str, Event]]) -> int:
    """Return the number of bytes up to the end of a line's last piece: more may be to come."""
    last = found[-1][0].encode() if found else b""
    return line.rfind(last) + len(last) if last and last in line else 0


def _recovered(text: str, decode: Callable[..., Any]) -> list[tuple[str, Event]]:
    found = []
    begin = text.find(_BEGIN_OF_EVENT)
    while begin >= 0:
        try:
            event, end = decode(text, begin)
            found.append((text[begin:end], event))
        except (ValueError, RecursionError):
            end = begin + len(_BEGIN_OF_EVENT)
        begin = text.find(_BEGIN_OF_EVENT, end)  # behind it: a tag may be called event, too
    return found


def _is_sound(event: Event) -> bool:
    ids = [event.get(name) for name in ("run", "root", "parent", "caused_by")]
    words = [event.get(name) for name in ("event", "status", "reason", "of")]
    return all(value is None or (isinstance(value, str) and is_id(value)) for value in ids) and all(
        value is None or (isinstance(value, str) and _is_plain(value)) for value in words
    )


def _is_plain(text: str) -> bool:
    """Tell whether a text can stand between quotes as it is."""
    return text.isascii() and text.isprintable() and '"' not in text and "\\" not in text


def parts(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the events of lines, undecoded, without what a full disk has cut.

    A line has one, as a rule. Behind one that has lost nothing but its line end stands another one.
    """
    for line in lines:
        if line.rfind(_BEGIN) <= 0:
            yield line
        else:
            for text, _ in pieces(line):  # a tag may be called event, too: only json can tell
                yield text.encode()


def raw_field(line: bytes, name: bytes) -> str:
    """Return a text of a line without decoding it; the first ones are the journal's own."""
    mark = b'"' + name + b'":"'
    begin = line.find(mark)
    if begin < 0:
        return ""
    begin += len(mark)
    return line[begin : line.find(b'"', begin)].decode("ascii", "replace")


def text_field(event: Event, name: str) -> str:
    """Return a field that is a text; else nothing."""
    value = event.get(name)
    return value if isinstance(value, str) else ""


def number_field(event: Event, name: str) -> int | None:
    """Return a field that is a whole number."""
    value = event.get(name)
    if type(value) is not int:  # True is an int, too
        return None
    return value if -(2**63) <= value < 2**63 else None


def strings(value: object) -> dict[str, str]:
    """Return what of an object are texts."""
    if not isinstance(value, dict):
        return {}
    return {key: text for key, text in value.items() if isinstance(text, str)}


def error_field(event: Event) -> dict[str, str] | None:
    """Return the error of an end."""
    return strings(event.get("error")) or None


def timestamp(at: str) -> float:
    """Return the POSIX time of a journal's moment; 0 where it is none."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0
