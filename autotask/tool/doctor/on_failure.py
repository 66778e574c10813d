"""Whether the commands of on_failure did their work, by the notes that autotask-run keeps."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any, NamedTuple

from autotask.around import failure_lines, failure_notes, journal_lines
from autotask.tool import quantities
from autotask.tool.doctor.finding import Finding, Findings

_DAYS = 7  # that doctor looks back
_MOST = 3  # tasks about which it says more
# Seconds after which a call has ended in some way, and noted it.
_OVER = failure_lines.LONGEST + 3 * failure_lines.GRACE
_LIMIT = f"{failure_lines.LONGEST:.0f} s"
_REMEDIES = {
    "failed": "run it by hand: `autotask runs --status failure --limit 1 --format jsonl | COMMAND`",
    "missing": "correct the name, or write its whole path: cron's PATH is short",
    "hung": "make it faster, or let it work in the background",
    "not started": "remove the cause: the next failure is told again",
    "cut off": "in a unit of systemd, set KillMode=process or use OnFailure=; "
    "in a container, let process 1 live on, or be told by `autotask check`",
}


class _Call(NamedTuple):
    """One call of a command."""

    at: float  # POSIX seconds
    task: str
    did: str  # "ended", a key of _REMEDIES, or "" if it is running
    text: str  # what went wrong


def findings(home: str | None, now: float | None = None) -> Findings:
    """Tell which commands of the last days did not tell of a failure, and why."""
    now = time.time() if now is None else now
    yield from _left(home, now) if home else ()
    calls = [call for call in _calls(home, now) if now - call.at < _DAYS * 86400] if home else []
    if not calls:
        return
    last = {call.task: call for call in sorted(calls) if call.did}
    bad = [call for call in sorted(last.values(), reverse=True) if call.did in _REMEDIES]
    for call in bad[:_MOST]:
        at = quantities.local(call.at).strftime("%m-%d %H:%M")
        text = f"nobody was told that {call.task} failed at {at}: the command {call.text}"
        yield Finding("problem", "on_failure", text, _REMEDIES[call.did])
    if len(bad) > _MOST:
        text = f"the same for {len(bad) - _MOST} more tasks"
        yield Finding("problem", "on_failure", text, "see above")
    failed = sum(call.did in _REMEDIES for call in calls) - len(bad)
    text = f"{len(calls)} calls in the last {_DAYS} days"
    if failed:
        text = f"{text}, {failed} of them failed, and later ones for the same tasks did not"
        yield Finding("warning", "on_failure", text)
    elif not bad:
        yield Finding("ok", "on_failure", text)


def _left(home: str, now: float) -> Findings:
    """Tell of how many tasks nothing was started, because too many failed at once."""
    notes = [note for note in _notes(home) if note.get("did") == "left"]
    since = now - _DAYS * 86400
    tasks = sum(
        journal_lines.number_field(note, "tasks") or 0
        for note in notes
        if (quantities.timestamp(journal_lines.text_field(note, "at")) or 0.0) > since
    )
    if tasks:
        text = f"nobody was told of {tasks} more tasks that failed together with 100 others"
        remedy = "see `autotask runs --status failure`"
        yield Finding("problem", "on_failure", text, remedy)


def _calls(home: str, now: float) -> list[_Call]:
    begun: dict[str, dict[str, Any]] = {}
    ended: dict[str, dict[str, Any]] = {}
    for note in _notes(home):
        (begun if note.get("did") == "begun" else ended)[str(note.get("call"))] = note
    calls = []
    for name, note in begun.items():
        at = quantities.timestamp(journal_lines.text_field(note, "at")) or 0.0
        task = journal_lines.text_field(note, "task")
        calls.append(_Call(at, task, *_end(ended.get(name), now - at)))
    return calls


def _end(note: dict[str, Any] | None, age: float) -> tuple[str, str]:
    """Return how a call ended: a word, and what is said about it."""
    if note is None:
        text = "was ended before it was done, together with all that the run had started"
        return ("cut off", text) if age > _OVER else ("", "")
    did, status = str(note.get("did")), note.get("status")
    last = journal_lines.text_field(note, "last")
    more = f": {last}" if last else ""
    if did == "hung":
        return did, f"was stopped after {_LIMIT}{more}"
    if did == "not started":
        return did, f"could not be started{more}"
    if status == 127:
        return "missing", f"was not found{more}"
    if did == "failed":
        return did, f"failed with {_status_text(status)}{more}"
    return "ended", ""


def _status_text(status: object) -> str:
    return f"signal {-status}" if isinstance(status, int) and status < 0 else f"status {status}"


def _notes(home: str) -> list[dict[str, Any]]:
    notes = []
    for name in (failure_notes.OLDER, failure_notes.FILE):
        with contextlib.suppress(OSError):
            with journal_lines.open_owned(os.path.join(home, name)) as file:
                lines = file.readlines()
            notes += [fields for line in lines for fields in _decoded(line)]
    return notes


def _decoded(line: bytes) -> list[dict[str, Any]]:
    """Return the object of a line; none if a full disk has torn it."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return []
    return [fields] if isinstance(fields, dict) else []
