"""Find undelivered lines in the journal, with their runs: the oldest first, in whole seconds.

Of two counts with the same tags and second Datadog keeps the later one. So a second is delivered
as a whole or not at all.
"""

from __future__ import annotations

from autotask import journal
from autotask.around import journal_lines
from autotask.around.journal_lines import error_field, number_field, raw_field, text_field
from autotask.around.undelivered import HOUR
from autotask.dogstatsd import tag
from autotask.run import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from autotask.around.journal_lines import Fields
    from autotask.around.undelivered import Key, Undelivered

SLICE = 20_000  # lines in memory at a time
_FEW = 100  # lines that a launcher delivers
# What tells the runs of a series: not the pod, which is another one for each run of a job.
_TAGGED = (b"task", b"framework", b"trigger", b"host", b"service", b"env", b"version", b"tags")
_BOOKKEEPING = b',"bookkeeping":true'
_AHEAD = 60.0  # seconds after now: a later time was written by a clock that was ahead


class MissedLine:
    """A line of a run that Datadog has not got: `started` or `finished`."""

    def __init__(self, started: Fields, ended: Fields | None, is_last: bool, now: float) -> None:
        self.started = started
        self.ended = ended or {}  # empty if the start is the missed line
        self.of = "finished" if ended else "started"
        self.is_last = is_last  # no later run of its task and tags has ended since
        self.id, self.root = text_field(started, "run"), text_field(started, "root")
        self.task = text_field(started, "task")
        self.framework = text_field(started, "framework")
        self.trigger = text_field(started, "trigger")
        self.queued = journal_lines.queued_fields(started)
        self.server = started.get("server") is True
        self.bookkeeping = started.get("bookkeeping") is True
        self.at = _moment(text_field(self.ended or started, "at"), now)
        self.second = _second(self.at)

    def status(self) -> str:
        """Return how the run ended; `running` if the start is the missed line."""
        if not self.ended:
            return "running"
        return _tag_value(text_field(self.ended, "status") or "unknown")

    def outcome(self) -> Outcome:
        """Return how the run ended."""
        ended = self.ended
        return Outcome(
            self.status(),
            _tag_value(text_field(ended, "reason")) or None,
            number_field(ended, "exit_code"),
            text_field(ended, "signal") or None,
            error_field(ended),
            text_field(ended, "caused_by") or None,
        )

    def duration(self) -> float | None:
        """Return how long the run took, in seconds."""
        value = self.ended.get("duration")
        return float(value) if isinstance(value, (float, int)) else None


def find(missed: dict[Key, str], folder: str, now: float) -> tuple[list[MissedLine], set[Key]]:
    """Find the undelivered lines of the seconds before *now*, the oldest first.

    Return them, and the keys of these lines and of those whose run is not in the journal. More
    lines may come of a second after *now*, which was chosen before *missed* was read.
    """
    for position in (_beginning(missed, now), ("", 0)):
        fields, statuses = _read(position, missed, folder)
        lines = _lines(missed, fields, statuses, now)
        if len(lines) == len(missed):
            break
    limit = _second(now)
    before = {
        key
        for key, refused_at in missed.items()
        if _second(_moment(text_field(fields.get(key, {}), "at") or refused_at, now)) < limit
    }
    return [line for line in lines if line.second < limit], before


def oldest(
    missed: dict[Key, str], seconds: dict[Key, int], folder: str, now: float
) -> dict[Key, str]:
    """Return the SLICE oldest of undelivered lines, and the others of their last second.

    It reads the journal to learn their seconds, which the caller keeps in *seconds*: when a line
    was refused may be a later one.
    """
    new = {key: at for key, at in missed.items() if key not in seconds}
    found: dict[Key, str] = {}
    for position in (_beginning(new, now), ("", 0)) if new else ():
        for line in journal_lines.parts(journal_lines.Reader(folder, position).lines()):
            key = raw_field(line, b"run"), raw_field(line, b"event")
            if key in new and (b'"reason":"lost"' not in line or key not in found):
                found[key] = raw_field(line, b"at")
        if len(found) == len(new):
            break
    for key, refused_at in new.items():
        seconds[key] = _second(_moment(found.get(key, refused_at), now))
    ordered = sorted((seconds[key], key) for key in missed)
    # The last second is not split: all of it goes into this slice.
    end = SLICE
    while end < len(ordered) and ordered[end][0] == ordered[end - 1][0]:
        end += 1
    return {key: missed[key] for _, key in ordered[:end]}


def find_few(undelivered: Undelivered, folder: str, now: float) -> list[MissedLine]:
    """Return the oldest undelivered lines before *now* whose runs are in the part that is read."""
    missed, position = undelivered.catch_up(), undelivered.position
    fields, statuses = _read(position, missed, folder)
    lines = _lines(missed, fields, statuses, now)
    incomplete = {  # seconds of lines whose run began before that part
        _second(_moment(text_field(fields[key], "at"), now))
        for key in fields.keys() & missed.keys() - {(line.id, line.of) for line in lines}
    }
    if position[1] and lines:
        incomplete.add(lines[0].second)  # more lines of it may be before that part
    limit = _second(now)
    lines = [line for line in lines if line.second < limit and line.second not in incomplete]
    # Nor is it here: all of it is left to the next launcher.
    end = min(_FEW, len(lines))
    while 0 < end < len(lines) and lines[end].second == lines[end - 1].second:
        end -= 1
    return lines[:end]


def _moment(at: str, now: float) -> float:
    """Return the POSIX time at which a line counts.

    If a clock was ahead, that is the last second before *now* that is settled: Datadog would not
    take a later time.
    """
    seconds = journal_lines.timestamp(at)
    return int(now) - 0.5 if seconds > now + _AHEAD else seconds


def _second(at: float) -> int:
    """Return the second in which a line is counted: not one in which the Agent itself counts.

    Both counts would have the same tags and second. The Agent's own are of every tenth second.
    """
    second = int(at)
    return second + (second % 10 == 0)


def _tag_value(text: str) -> str:
    """Return what a tag can have of a status or reason, which a newer autotask may have written."""
    return tag("status", text).partition(":")[2]


def _beginning(missed: dict[Key, str], now: float) -> tuple[str, int]:
    """Return where to look first: most runs began at most an hour before the first refusal."""
    return journal.segment(min(journal_lines.timestamp(min(missed.values())), now) - HOUR), 0


def _read(
    position: tuple[str, int], keys: Iterable[Key], folder: str
) -> tuple[dict[Key, Fields], _Statuses]:
    """Return the lines of the runs of *keys*, and which of these have their task's last status."""
    runs = {run for run, _ in keys}
    lines: dict[Key, Fields] = {}
    statuses = _Statuses(runs)
    # All lines of hours come through here. So only those of these runs are decoded.
    for line in journal_lines.parts(journal_lines.Reader(folder, position).lines()):
        kind = raw_field(line, b"event")
        if kind in ("started", "finished"):
            run = raw_field(line, b"run")
            statuses.take(kind, run, line)
            if run in runs:
                for fields in journal_lines.decode(line):
                    # An end of its own replaces `lost`, which another process wrote.
                    if fields.get("reason") != "lost" or (run, kind) not in lines:
                        lines[run, kind] = fields
    return lines, statuses


def _lines(
    keys: Iterable[Key], fields: dict[Key, Fields], statuses: _Statuses, now: float
) -> list[MissedLine]:
    """Return the lines whose run is known, the oldest first."""
    lines = [
        MissedLine(
            fields[run, "started"],
            fields[run, of] if of == "finished" else None,
            statuses.is_last(run),
            now,
        )
        for run, of in keys
        if {(run, "started"), (run, of)} <= fields.keys()
    ]
    return sorted(lines, key=lambda line: line.at)


class _Statuses:
    """Which run had the last status of its task and tags."""

    def __init__(self, runs: set[str]) -> None:
        self._runs = runs  # those that `is_last` will be asked for
        self._series: dict[str, bytes] = {}  # by run
        self._last: dict[bytes, str] = {}  # run by series

    def take(self, kind: str, run: str, line: bytes) -> None:
        """Take the next line of a run."""
        if kind == "started":
            # A framework's bookkeeping has no check, and may have the name of a task that has one.
            self._series[run] = b"" if _BOOKKEEPING in line else _series(line)
        elif _has_check(line):
            if run in self._series:
                self._last[self._series[run]] = run
            else:  # it began before, and may be of any task
                self._last.clear()
        if kind == "finished" and run not in self._runs:
            self._series.pop(run, None)

    def is_last(self, run: str) -> bool:
        """Tell whether no later run of its task and tags has ended since."""
        return self._last.get(self._series.get(run, b"")) == run


def _has_check(line: bytes) -> bool:
    """Tell whether a finished line has a service check; see `Wire.end_lines`."""
    if b'"status":"success"' in line:
        return True
    return b'"status":"failure"' in line and b'"reason":"nested"' not in line


def _series(line: bytes) -> bytes:
    """Return what of a started line becomes tags, and the host, which the Agent adds."""
    return b"|".join([_raw_value(line, name) for name in _TAGGED])


def _raw_value(line: bytes, name: bytes) -> bytes:
    """Return the beginning of a line's value as it is written: enough to compare two lines."""
    begin = line.find(b'"' + name + b'":')
    # A quote with a comma or brace behind it ends a text, or all of the tags.
    end = line.find(b'"}' if name == b"tags" else b'",', begin)
    return line[begin : end if end >= 0 else None] if begin >= 0 else b""
