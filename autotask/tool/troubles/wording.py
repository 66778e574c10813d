"""Times and failures in the lines about troubles."""

from __future__ import annotations

from typing import Any

from autotask.tool.journal.record import Record, reason_text
from autotask.tool.quantities import local

_DAY = 86400.0
_OWN = "autotask-run: "
_LONGEST = 200  # characters of a reason, and of a line of output


def when(moment: float, now: float) -> str:
    """Write a POSIX time: `03:12`, or `11-28 03:12` if that was more than a day ago."""
    at, today = local(moment), local(now)
    if abs(now - moment) < _DAY:
        return at.strftime("%H:%M")
    return at.strftime("%m-%d %H:%M" if at.year == today.year else "%Y-%m-%d %H:%M")


def why(record: Record, output: str | None) -> str:
    """Write why a run failed, and the last line of its output, if that was kept."""
    reason = _cut(reason_text(record))
    last = _last_line(output or "")
    is_new = last and last not in reason and not _repeats(last, record["error"])
    return (f" ({reason})" if reason else "") + (f": {last}" if is_new else "")


def _repeats(line: str, error: dict[str, Any] | None) -> bool:
    """Tell whether a line says no more than the error: `a.rb:3:in 'x': no rows (ArgumentError)`."""
    if not error:
        return False
    kind, message = str(error["type"] or ""), str(error["message"] or "")
    return bool(kind and message) and kind in line and message in line


def _last_line(output: str) -> str:
    """Return the last line that the program wrote: the reason says what `autotask-run` did."""
    lines = map(str.strip, reversed(output.split("\n")))
    return _cut(next((line for line in lines if line and not line.startswith(_OWN)), ""))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
