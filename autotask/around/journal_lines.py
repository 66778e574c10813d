"""Read the journal's lines: follow its segments, decode lines, take fields from them.

Each line is one JSON object, written by `autotask.journal`; docs/how-it-works.md shows examples.
All have `event`, `run`, `root` and `at`. By event they also have:

    started       a run starts: parent task framework trigger attempt waited enqueued_by server
                  bookkeeping pid process host python ruby service env version tags entity unsent
    finished      it ends: status reason caused_by exit_code signal error duration cpu max_rss
                  unsent
    raised        what a program died of, for its launcher: reason caused_by exit_code signal error
    unsent, sent  the Agent did not take a line *of* the run, `started` or `finished`; it was
                  delivered since: of

Torn and glued lines are normal: a full disk cuts a line short, and the next line is glued to the
rest of it. A newer autotask may write lines, fields and words that are not in this table: a run
that has a `finished` line has ended, whatever that line says.
"""

from __future__ import annotations

import os
import stat
import sys
import time

from autotask.journal import segment
from autotask.queued import Queued
from autotask.settings import is_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, BinaryIO

    Fields = dict[str, Any]  # of a decoded line

# A framework's bookkeeping (`bookkeeping`: what it runs for itself) is neither listed nor sent with
# these.
UNREMARKABLE = ("running", "success", "skipped")
_LATE = 24  # segments before the first that are watched for late lines
_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_decoder: Callable[..., Any] | None = None  # json's, once it is loaded
_BEGIN_OF_OBJECT = '{"event":'
_BEGIN = b'{"event":"'  # of every line; inside a JSON string the quotes would have backslashes


class Reader:
    """Reads the lines behind a position in the journal, each once: those with *needle* in them.

    It keeps reading all segments: a process that was stopped for long, or whose clock was set back,
    may write into an old one. Segments of hours still to come are read before the others: they
    were written while a clock was ahead, and it was set right since.
    """

    def __init__(self, folder: str, position: tuple[str, int], needle: bytes = b"") -> None:
        self._folder = folder
        self._first, offset = position
        self._offsets = {self._first: offset}  # where to read on, by segment
        self._needle = needle
        self._has_begun = False

    def lines(self) -> Iterator[bytes]:
        """Yield the lines that were appended since the last time."""
        try:
            names = list(filter(is_segment, os.listdir(self._folder)))
        except OSError:
            return
        now = segment(time.time())
        # False comes before True: first the segments of the future.
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
            # A prune that has rewritten it has dropped only lines that were read long ago.
            self._offsets[name] = size
            return
        try:
            file = open_owned(path)
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
            except OSError:  # a bad disk: try the rest again next time
                pass
        self._offsets[name] = offset


def _size(path: str, unknown: int) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return unknown


def _whole_part(line: bytes) -> bytes:
    """Return the objects at the start of a line that is torn, or still being written."""
    if b"}" not in line:
        return b""
    objects = pieces(line)
    last = objects[-1][0].encode() if objects else b""
    return line[: line.rfind(last) + len(last)] if last and last in line else b""


def open_owned(path: str) -> BinaryIO:
    """Open a file of a home to read, if it belongs to the owner of its folder.

    Links and pipes are refused: another user may have put them there.
    """
    above, name = os.path.split(path)
    folder = os.open(above, _READ | os.O_DIRECTORY)
    try:
        owner = os.fstat(folder).st_uid
        file = open(os.open(name, _READ | os.O_NONBLOCK, dir_fd=folder), "rb")
    finally:
        os.close(folder)
    # O_NONBLOCK has kept the opening of a pipe from waiting for a writer.
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode) or status.st_uid != owner:
        file.close()
        raise FileNotFoundError(path)
    return file


def near(folder: str, room: int) -> tuple[str, int]:
    """Return the position in the journal with at most *room* bytes behind it.

    A segment counts as a page at least: opening it costs as much.
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
    """Tell whether a file is named as a segment: `2026-11-25T03.jsonl`."""
    # By hand: each launcher comes here, and `re` takes longer to import than all the rest.
    digits = name[:4] + name[5:7] + name[8:10] + name[11:13]
    shape = name[4:5] + name[7:8] + name[10:11] + name[13:]
    return shape == "--T.jsonl" and len(digits) == 10 and not digits.strip("0123456789")


def decode(line: bytes) -> list[Fields]:
    """Decode a line: one object, as a rule; what can be recovered of a torn one.

    Ids and words are written again, without escaping. So an object without a sound run is left
    out, and of the others each odd value.
    """
    return [_without_odd(fields) for _, fields in pieces(line) if _is_sound(fields)]


def pieces(line: bytes) -> list[tuple[str, Fields]]:
    """Return the whole objects of a line, each with its text: none, or several, in a torn one."""
    # "replace": a full disk may have cut a character, too.
    text = line.decode("utf-8", "replace").rstrip("\n")
    raw_decode = _decoder or _load_decoder()
    try:
        fields, end = raw_decode(text)
        if end == len(text) and isinstance(fields, dict):
            return [(text, fields)]
    except (ValueError, RecursionError):
        pass
    return _recovered(text, raw_decode)


def _load_decoder() -> Callable[..., Any]:
    global _decoder
    from json import JSONDecoder  # takes 6 ms: not before there is a line to decode

    _decoder = JSONDecoder().raw_decode
    return _decoder


def _recovered(text: str, raw_decode: Callable[..., Any]) -> list[tuple[str, Fields]]:
    objects = []
    begin = text.find(_BEGIN_OF_OBJECT)
    while begin >= 0:
        try:
            fields, end = raw_decode(text, begin)
            objects.append((text[begin:end], fields))
        except (ValueError, RecursionError):
            end = begin + len(_BEGIN_OF_OBJECT)
        begin = text.find(_BEGIN_OF_OBJECT, end)  # behind it: a tag may be called event, too
    return objects


def _is_sound(fields: Fields) -> bool:
    """Tell whether an object names its run, and what it tells of it."""
    ids = all(_is_id_or_none(fields.get(name)) for name in ("run", "root", "parent"))
    return ids and _is_word_or_none(fields.get("event"))


def _without_odd(fields: Fields) -> Fields:
    """Return the fields without what a newer autotask may have put in the place of a word."""
    odd = [name for name in ("status", "reason", "of") if not _is_word_or_none(fields.get(name))]
    if not _is_id_or_none(fields.get("caused_by")):
        odd.append("caused_by")
    return {**fields, **dict.fromkeys(odd)} if odd else fields


def _is_id_or_none(value: object) -> bool:
    return value is None or (isinstance(value, str) and is_id(value))


def _is_word_or_none(value: object) -> bool:
    """Tell whether a value is a word that JSON writes between quotes as it is."""
    if not isinstance(value, str):
        return value is None
    return value.isascii() and value.isprintable() and '"' not in value and "\\" not in value


def parts(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the objects of lines, undecoded, without what a full disk has cut off.

    A line has one, as a rule. A second one follows a line that has lost only its line end.
    """
    for line in lines:
        if line.rfind(_BEGIN) <= 0:
            yield line
        else:
            # Perhaps only an object in a line: a tag may be called event, too. The decoder knows.
            for text, _ in pieces(line):
                yield text.encode()


def raw_field(line: bytes, name: bytes) -> str:
    """Return a text field of a line without decoding the line; empty if it is missing.

    The first such name counts: tags, which may have the same one, come last, and inside a text the
    quotes have backslashes.
    """
    mark = b'"' + name + b'":"'
    begin = line.find(mark)
    if begin < 0:
        return ""
    begin += len(mark)
    return line[begin : line.find(b'"', begin)].decode("ascii", "replace")


def text_field(fields: Fields, name: str) -> str:
    """Return a field if it is a text; else an empty text."""
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def number_field(fields: Fields, name: str) -> int | None:
    """Return a field if it is a whole number that fits 64 bits."""
    value = fields.get(name)
    if type(value) is not int:  # True is an int, too
        return None
    return value if -(2**63) <= value < 2**63 else None


def strings(value: object) -> dict[str, str]:
    """Return the members of an object that are texts."""
    if not isinstance(value, dict):
        return {}
    return {key: text for key, text in value.items() if isinstance(text, str)}


def error_field(fields: Fields) -> dict[str, str] | None:
    """Return the error of an end."""
    return strings(fields.get("error")) or None


def queued_fields(fields: Fields) -> Queued | None:
    """Return what a queue knew of a run before its start, by its started line; None for nothing."""
    attempt, value = number_field(fields, "attempt"), fields.get("waited")
    waited = float(value) if isinstance(value, (float, int)) else None
    enqueued_by = text_field(fields, "enqueued_by")
    if attempt is None and waited is None and not enqueued_by:
        return None
    return Queued(attempt, waited, enqueued_by or None)


def timestamp(at: str) -> float:
    """Return the POSIX time of a line's `at`; 0 if it is not a time."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0
