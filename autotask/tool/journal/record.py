"""The record of a run, as in `autotask runs --format jsonl`, and its fields as text for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from autotask.tool import quantities
from autotask.tool.journal import ownership

if TYPE_CHECKING:
    from autotask.tool.journal.kept_output import Kept

# The fields in the order in which they are documented; all but the last are columns of the index.
FIELDS = (
    *("run", "parent", "root", "task", "framework", "status", "reason", "caused_by"),
    *("exit_code", "signal", "error", "started_at", "finished_at", "duration", "cpu", "max_rss"),
    *("pid", "host", "python", "ruby", "service", "env", "version", "tags"),
    *("attempt", "waited", "enqueued_by", "server", "bookkeeping", "trigger", "output"),
)
_MORE = ("started_more", "finished_more")  # fields that this version does not know
USER = "user"  # another field, in a shared home
# Quoted, because trigger is a keyword of SQL.
COLUMNS = ", ".join(f'"{field}"' for field in (*FIELDS[:-1], "owner", *_MORE))
OWNER = -1 - len(_MORE)  # its place among them
_ERROR, _TAGS = map(FIELDS.index, ("error", "tags"))
_FLAGS = tuple(map(FIELDS.index, ("server", "bookkeeping")))

Record = dict[str, Any]


def from_row(row: Iterable[Any], shared: bool = False, kept: Kept | None = None) -> Record:
    """Make the record from a row of the index that has COLUMNS; in a *shared* home with its user.

    *kept* has the output.

    Fields that this version does not know follow the others, as the journal has them.
    """
    *values, owner, started, finished = row
    if values[_ERROR]:
        error = json.loads(values[_ERROR])
        values[_ERROR] = {name: error.get(name) for name in ("type", "message", "where")}
    values[_TAGS] = json.loads(values[_TAGS]) if values[_TAGS] else {}
    for flag in _FLAGS:
        values[flag] = values[flag] is not None
    output = kept.of(values[0], owner) if kept else None
    record = dict(zip(FIELDS, (*values, output)))
    if shared:
        record[USER] = ownership.short_name(owner)
    # A field that is known keeps its value and its place, whatever the unknown ones are called.
    for more in filter(None, (started, finished)):
        record = {**record, **json.loads(more), **record}
    return record


def reason_text(record: Record) -> str:
    """Return in one line why a run failed: `exit 3`, `signal SIGKILL`, `exception Error: text`."""
    reason = record["reason"] or ""
    words = [reason]
    if reason == "exit" and record["exit_code"] is not None:
        words.append(str(record["exit_code"]))
    elif reason in ("signal", "oom") and record["signal"]:
        words.append(record["signal"])
    if record["error"] and reason != "nested":
        words.append(error_text(_informative(record["error"])))
    return " ".join(" ".join(words).split())


def _informative(error: dict[str, Any]) -> dict[str, Any]:
    """Reduce Invoke's error for a failed command to that command: the reason has the status."""
    if error["type"] == "UnexpectedExit":
        command = re.search(r"^Command: (.+)", str(error["message"]), re.MULTILINE)
        if command:
            return {**error, "message": command[1]}
    return error


def error_text(error: dict[str, Any]) -> str:
    """Return an error's type and message: `ValueError: text`."""
    kind, message = str(error["type"] or "error"), str(error["message"] or "")
    return f"{kind}: {message}" if message else kind


def duration_text(record: Record, now: float) -> str:
    """Return how long a run took, or how long it has been running, with a plus sign."""
    if record["status"] != "running":
        return quantities.duration_text(record["duration"])
    started = quantities.timestamp(record["started_at"])
    return "-" if started is None else quantities.duration_text(now - started) + "+"
