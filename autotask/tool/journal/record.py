"""One run as people and programs get it: the record of `autotask runs --format jsonl`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from autotask.tool import quantities
from autotask.tool.journal import ownership

# The contract's fields in its order, which are columns of the index.
FIELDS = (
    *("run", "parent", "root", "task", "framework", "status", "reason", "caused_by"),
    *("exit_code", "signal", "error", "started_at", "finished_at", "duration", "cpu", "max_rss"),
    *("pid", "host", "python", "service", "env", "version", "tags", "trigger"),
)
_MORE = ("started_more", "finished_more")  # fields that this version does not know
USER = "user"  # a field more in a shared home
COLUMNS = ", ".join(
    f'"{field}"' for field in (*FIELDS, "owner", *_MORE)
)  # quoted: trigger is a word of SQL
_ERROR, _TAGS = FIELDS.index("error"), FIELDS.index("tags")

Record = dict[str, Any]


def from_row(row: Iterable[Any], shared: bool = False) -> Record:
    """Make the record from a row of the index that holds COLUMNS.

    That of a *shared* home says whose run it is.
    Fields that this version does not know follow the others, as the journal has them.
    """
    *values, owner, started, finished = row
    if values[_ERROR]:
        error = json.loads(values[_ERROR])
        values[_ERROR] = {name: error.get(name) for name in ("type", "message", "where")}
    values[_TAGS] = json.loads(values[_TAGS]) if values[_TAGS] else {}
    record = dict(zip(FIELDS, values))
    if shared:
        record[USER] = ownership.short_name(owner)
    for more in filter(None, (started, finished)):
        record = {**record, **json.loads(more), **record}
    return record


def reason_text(record: Record) -> str:
    """Say in one line why a run failed: `exit 3`, `signal SIGKILL`, `exception Error: text`."""
    reason = record["reason"] or ""
    words = [reason]
    if reason == "exit" and record["exit_code"] is not None:
        words.append(str(record["exit_code"]))
    elif reason in ("signal", "oom") and record["signal"]:
        words.append(record["signal"])
    if record["error"] and reason != "nested":
        words.append(error_text(_telling(record["error"])))
    return " ".join(" ".join(words).split())


def _telling(error: dict[str, Any]) -> dict[str, Any]:
    """Of Invoke's error for a command that failed, keep the command: the status is said already."""
    if error["type"] == "UnexpectedExit":
        command = re.search(r"^Command: (.+)", str(error["message"]), re.MULTILINE)
        if command:
            return {**error, "message": command[1]}
    return error


def error_text(error: dict[str, Any]) -> str:
    """Write an error's type and message: `ValueError: text`."""
    kind, message = str(error["type"] or "error"), str(error["message"] or "")
    return f"{kind}: {message}" if message else kind


def duration_text(record: Record, now: float) -> str:
    """Write how long a run took; of one that still runs, how long by now, with a plus sign."""
    if record["status"] != "running":
        return quantities.duration_text(record["duration"])
    started = quantities.timestamp(record["started_at"])
    return "-" if started is None else quantities.duration_text(now - started) + "+"
