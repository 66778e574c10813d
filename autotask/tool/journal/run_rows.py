"""The lines of the journal as rows of the index: a start and an end become one run."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from autotask.tool.journal.schema import FINISHED, NOT_FINISHED, NOT_STARTED, RUNNING, STARTED

if TYPE_CHECKING:
    from autotask.around.journal_lines import Fields

UNKNOWN = "unknown"  # the status of an end that does not say it
_STARTED_AT = STARTED.index("started_at")
_IN_BOTH = frozenset(["event", "run", "root", "at", "unsent"])
_IN_STARTED, _IN_FINISHED = _IN_BOTH.union(STARTED), _IN_BOTH.union(FINISHED)


class Halves:
    """What the lines read so far tell of one run: the columns of its start and of its end."""

    __slots__ = ("finished", "started")

    def __init__(self) -> None:
        self.started: tuple[Any, ...] = NOT_STARTED
        self.finished: tuple[Any, ...] = NOT_FINISHED


def add_line(rows: dict[str, Halves], line: Fields, segment_id: int, size: int) -> bool:
    """Add a line to the row of its run; False if it is neither a start nor an end.

    Of several starts or ends the same one counts as in `schema.UPSERT`.
    """
    half = half_of(line)
    if half is None:
        return False
    kind, run, at = half
    halves = rows.setdefault(run, Halves())
    if kind == "started":
        start = halves.started
        if start is NOT_STARTED or at < start[_STARTED_AT]:
            halves.started = _started(line, run, at, segment_id, size)
        return True
    end = _finished(line, at, segment_id, size)
    if halves.finished is NOT_FINISHED or _rank(*end[:3]) < _rank(*halves.finished[:3]):
        halves.finished = end
    return True


def _rank(at: str, status: str, reason: str | None) -> tuple[bool, str, bool]:
    """Return what is least for the end that counts: not `lost`, the earliest, a failure."""
    return reason == "lost", at, status != "failure"


def run_of(line: Fields) -> str | None:
    """Return the run that a line belongs to, as the index writes its id."""
    return _text(line.get("run"))


def half_of(line: Fields) -> tuple[str, str, str] | None:
    """Return the kind, the run and the moment of a start or an end; None for other lines."""
    kind, run, at = line.get("event"), run_of(line), _text(line.get("at"))
    if not run or not at:
        return None
    if kind == "started":
        return "started", run, at
    return ("finished", run, at) if kind == "finished" else None


def _status(line: Fields) -> str:
    """Return how a run ended: any word; a newer autotask may have written none, and it ended."""
    status = _text(line.get("status"))
    return UNKNOWN if status in (None, "", RUNNING) else str(status)


def _started(line: Fields, run: str, at: str, segment_id: int, size: int) -> tuple[Any, ...]:
    get = line.get
    return (
        _text(get("parent")),
        _text(get("root")) or run,
        _text(get("task")) or "",
        _text(get("framework")) or "",
        at,
        _text(get("trigger")) or "unknown",
        _integer(get("attempt")),
        _real(get("waited")),
        _text(get("enqueued_by")),
        1 if get("server") is True else None,
        1 if get("bookkeeping") is True else None,
        _integer(get("pid")),
        _text(get("process")),
        _text(get("host")),
        _text(get("python")),
        _text(get("ruby")),
        _text(get("service")),
        _text(get("env")),
        _text(get("version")),
        _object(get("tags")),
        segment_id,
        size,
        _unknown_fields(line, _IN_STARTED),
    )


def _finished(line: Fields, at: str, segment_id: int, size: int) -> tuple[Any, ...]:
    get = line.get
    return (
        at,
        _status(line),
        _text(get("reason")),
        _text(get("caused_by")),
        _integer(get("exit_code")),
        _text(get("signal")),
        _object(get("error")),
        _real(get("duration")),
        _real(get("cpu")),
        _integer(get("max_rss")),
        segment_id,
        size,
        _unknown_fields(line, _IN_FINISHED),
    )


def _unknown_fields(line: Fields, known: frozenset[str]) -> str | None:
    """Write the fields that this version does not know as JSON."""
    if line.keys() <= known:
        return None
    fields = {name: value for name, value in line.items() if name not in known}
    try:
        return json.dumps(fields, allow_nan=False)
    except (ValueError, RecursionError):  # not JSON that every reader takes
        return None


def stored(text: str) -> str:
    """Return text as the index has it: half surrogates (odd file names) become escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _text(value: Any) -> str | None:
    return stored(value) if isinstance(value, str) else None


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and -(2**63) <= value < 2**63 else None


def _real(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _object(value: Any) -> str | None:
    return json.dumps(value) if value and isinstance(value, dict) else None
