"""What people read of a run that failed: a title, and a text of a few lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autotask.tool import quantities
from autotask.tool.journal.record import FIELDS, Record, reason_text


def title(record: Mapping[str, Any]) -> str:
    """Write the subject of a mail: `task failed: nightly.py on db1`."""
    times = record.get("failures")
    often = f" {times} times" if isinstance(times, int) and times > 1 else ""
    status = record.get("status")
    verb = "failed" if status in (None, "failure") else status
    host = record.get("host")
    return f"task {verb}{often}: {record.get('task')}{f' on {host}' if host else ''}"


def body(record: Mapping[str, Any]) -> str:
    """Write what is known of a run's failure, and the end of its output if that was kept."""
    known = _complete(record)
    seconds = quantities.timestamp(_text(known["finished_at"]))
    duration = known["duration"]
    tags = known["tags"] if isinstance(known["tags"], dict) else {}
    facts = {
        "task": known["task"],
        "user": known.get("user"),
        "host": known["host"],
        "reason": reason_text(known),
        "where": (known["error"] or {}).get("where"),
        "ended": seconds and quantities.local(seconds).strftime("%Y-%m-%d %H:%M:%S %z"),
        "duration": isinstance(duration, (int, float)) and quantities.duration_text(duration),
        "trigger": known["trigger"],
        "env": known["env"],
        "service": known["service"],
        "tags": ", ".join(f"{key}:{value}".rstrip(":") for key, value in tags.items()),
        "more": f"autotask show {known['run']}" if known["run"] else None,
    }
    lines = [f"{name + ':':10}{value}" for name, value in facts.items() if value]
    output = known.get("output")
    if output:
        lines += ["", "the end of its output:", str(output).rstrip("\n")]
    return "\n".join(lines) + "\n"


def _complete(record: Mapping[str, Any]) -> Record:
    """Return a record with all fields, and an error that is one."""
    known = {**dict.fromkeys(FIELDS), **record}
    error = known["error"]
    known["error"] = {"type": None, "message": None, **error} if isinstance(error, dict) else None
    known["reason"] = _text(known["reason"])
    return known


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
