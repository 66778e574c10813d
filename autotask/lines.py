"""What a line of the journal says: torn and glued ones are to be expected.

A disk that is full cuts a line short, and the next writer's line is glued to what is left of it.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Event = dict[str, Any]

_BEGIN = '{"event":'  # of every line; inside a JSON string the quotes would have backslashes
_decode = json.JSONDecoder().raw_decode


def pieces(line: bytes) -> list[tuple[str, Event]]:
    """Return the whole events of a line, each with its text: none, or several, in a torn one."""
    text = line.decode("utf-8", "replace").rstrip("\n")
    try:
        event, end = _decode(text)
        if end == len(text) and isinstance(event, dict):
            return [(text, event)]
    except (ValueError, RecursionError):
        pass
    return _recovered(text)


def taken(line: bytes, found: list[tuple[str, Event]]) -> int:
    """Return the number of bytes up to the end of a line's last piece: more may be to come."""
    last = found[-1][0].encode() if found else b""
    return line.rfind(last) + len(last) if last and last in line else 0


def _recovered(text: str) -> list[tuple[str, Event]]:
    found = []
    begin = text.find(_BEGIN)
    while begin >= 0:
        try:
            event, end = _decode(text, begin)
            found.append((text[begin:end], event))
        except (ValueError, RecursionError):
            end = begin + len(_BEGIN)
        begin = text.find(_BEGIN, end)  # behind it: a tag may be called event, too
    return found
