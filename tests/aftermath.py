"""Compare the raw journal that a storm left with what the tasks themselves noted.

What the truth can prove. Each run of a storm has its own name. Its task notes "started" first and
"ended" last, outside our journal. The line `started` of a run comes before its task begins, the
line `finished` after the task has ended, and the storm knows which processes it sent SIGKILL to. So
the end of a run is certain

- if its process was not killed: the run ended as its program says, whatever else died;
- if its process was killed and the run noted no end: it was cut off, and never succeeded;
- if its process was killed and the run noted its end: one of both, because the kill may have come
  between the note and our line, or after both.

The reason is known, too: SIGKILL for the command's own process under a living launcher, `lost`
otherwise. A run around another open one of the same process is `nested`. A command whose launcher
was killed goes on and reports its own tasks, but its own run is `lost`, unless the launcher
recorded the end first, or the command left what it died of. The runs of a container that was killed
whole are `lost`, unless their end came first.

While the disk is full a line may come late or never: the runs of that time may be lost.

SIGKILL can also cut a write short, but only at the end of a page of the file: that tears a line or
a note of the killed process.
"""

from __future__ import annotations

import json
import mmap
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

Event = dict[str, Any]
_BEGIN = b'{"event":'  # of each line, also of one glued to the rest of another
_NOTE = re.compile(r"(started|ended|launched) ([\w-]+) (\d+) (\d+\.\d+)\n")
PAGE = mmap.PAGESIZE  # bytes
_OF_ITS_TIME = 60.0  # seconds: the most that two clocks may differ


class Expected(NamedTuple):
    """A run as its program is written."""

    framework: str
    parent: str | None  # its name
    end: str  # `success`, or the reason of a failure


class Told(NamedTuple):
    """A note of a task."""

    pid: int
    at: float  # POSIX seconds


class Truth:
    """What is known apart from the journal."""

    def __init__(self) -> None:
        self.expected: dict[str, Expected] = {}
        self.started: dict[str, Told] = {}
        self.ended: dict[str, Told] = {}
        self.launchers: dict[str, int] = {}  # process ids by the name of their command's run
        self.killed: set[int] = set()  # process ids
        self.gone: set[str] = set()  # programs that were killed with their whole container
        self.full: list[tuple[float, float]] = []  # POSIX seconds in which the disk was full

    def read(self, notes: Path) -> None:
        """Take what the tasks have noted: `word name pid time`, in seconds since the boot.

        The rest of a torn note may precede another one.
        """
        boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        for word, name, pid, at in _NOTE.findall(notes.read_text()):
            if word == "launched":
                self.launchers[name] = int(pid)
            else:
                words = {"started": self.started, "ended": self.ended}[word]
                words[name] = Told(int(pid), boot + float(at))

    def was_full(self, since: float, until: float) -> bool:
        """Tell whether the disk was full at any time of a period."""
        return any(begin <= until and since <= end for begin, end in self.full)


@dataclass
class Journal:
    """The lines of a home, read with nothing but json."""

    started: dict[str, Event] = field(default_factory=dict)  # by run
    finished: dict[str, Event] = field(default_factory=dict)
    torn: list[str] = field(default_factory=list)
    torn_within_pages: list[str] = field(default_factory=list)  # not torn by a kill
    twice: list[str] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Take an event; of two for the same run, the first counts."""
        kind = event["event"]
        if kind in ("started", "finished"):
            lines = self.started if kind == "started" else self.finished
            if lines.setdefault(event["run"], event) is not event:
                self.twice.append(f"{kind} twice: {lines[event['run']]} and {event}")


def read(home: Path) -> Journal:
    """Read the segments of a home."""
    found = Journal()
    for segment in sorted((home / "journal").glob("*.jsonl")):
        begin = 0
        *whole, rest = segment.read_bytes().split(b"\n")
        for line in whole:
            for event in _events(line, begin, found):
                found.add(event)
            begin += len(line) + 1
        if rest:
            _tear(f"without an end: {rest!r}", [begin + len(rest)], found)
    return found


def _tear(fault: str, ends: list[int], found: Journal) -> None:
    """Take a torn line; *ends* is where in its segment it may have been cut."""
    found.torn.append(fault)
    if any(end % PAGE for end in ends):
        found.torn_within_pages.append(fault)


def _events(line: bytes, begin: int, found: Journal) -> Iterator[Event]:
    """Yield the event of a line; of a torn one, what is whole in it."""
    try:
        yield json.loads(line)
        return
    except ValueError:
        pieces = re.finditer(re.escape(_BEGIN), line)
        inner = [begin + piece.start() for piece in pieces if piece.start()]
        _tear(f"torn: {line!r}", inner or [begin + len(line)], found)
    for rest in line.split(_BEGIN)[1:]:
        try:
            event, _ = json.JSONDecoder().raw_decode((_BEGIN + rest).decode())
        except ValueError:
            continue
        yield event


@dataclass
class Aftermath:
    """The faults, one a line."""

    runs: int = 0
    torn: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    unended: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    index: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)

    def faults(self) -> list[str]:
        """Return all of them; a torn line alone is none (where the disk was never full, `look`)."""
        return [*self.twice, *self.unended, *self.wrong, *self.marks, *self.index]


def look(truth: Truth, home: Path) -> tuple[Aftermath, Journal]:
    """Compare the journal with the truth."""
    journal = read(home)
    found = judged(truth, journal)
    found.marks = [f"a mark left: {mark.name} {mark.read_text()}" for mark in marks(home)]
    return found, journal


def judged(truth: Truth, journal: Journal) -> Aftermath:
    """Compare the lines with the truth."""
    found = Aftermath(runs=len(journal.started), torn=journal.torn, twice=journal.twice)
    if not truth.full:
        found.wrong += journal.torn_within_pages if truth.killed else journal.torn
    judge = _Judge(truth, journal)
    for run, started in journal.started.items():
        if run not in journal.finished:
            found.unended.append(f"no end: {started}")
            continue
        found.ends[_end(journal.finished[run])] += 1
        wrong = judge.wrong(run)
        if wrong:
            found.wrong.append(f"{wrong}: {started} {journal.finished[run]}")
    found.wrong += judge.missing()
    return found


def marks(home: Path) -> list[Path]:
    """Return the marks that were left. An empty one is of a process that never began a run."""
    return [mark for mark in (home / "open").iterdir() if mark.stat().st_size]


def _end(finished: Event) -> str:
    """Return the status, or the reason of a failure."""
    return str(finished["reason"] if finished["status"] == "failure" else finished["status"])


class _Judge:
    """Checks whether runs ended correctly."""

    def __init__(self, truth: Truth, journal: Journal) -> None:
        self._truth = truth
        self._journal = journal
        self._names = {
            run: started["task"].rpartition(".")[2] for run, started in journal.started.items()
        }
        self._commands = {  # process ids of launchers, by those of their commands
            journal.started[run]["pid"]: truth.launchers[name]
            for run, name in self._names.items()
            if name in truth.launchers
        }

    def missing(self) -> Iterator[str]:
        """Yield the names of tasks that have begun without a run, and of those with several."""
        names = Counter(self._names.values())
        yield from (f"{times} runs of {name}" for name, times in names.items() if times > 1)
        for name, told in self._truth.started.items():
            if name not in names and not self._truth.was_full(told.at - _OF_ITS_TIME, told.at):
                yield f"no run of {name}, which has begun: {told}"
        for run in self._journal.finished.keys() - self._journal.started.keys():
            finished = self._journal.finished[run]
            if not self._truth.was_full(0, _timestamp(finished)):
                yield f"ended, but never started: {finished}"

    def wrong(self, run: str) -> str | None:
        """Say what is wrong with a run that has ended."""
        name, started = self._names[run], self._journal.started[run]
        expected, told = self._truth.expected.get(name), self._truth.started.get(name)
        if expected is None:
            return "it is unknown"
        if started["framework"] != expected.framework:
            return f"not of {expected.framework}"
        if self._names.get(started["parent"]) != expected.parent and not self._is_orphan(run):
            return f"not under {expected.parent}"
        if told is not None and told.pid != started["pid"]:
            return f"not the process that noted it, {told.pid}"
        return self._wrong_end(run, expected)

    def _wrong_end(self, run: str, expected: Expected) -> str | None:
        finished = self._journal.finished[run]
        end = _end(finished)
        is_gone = self._names[run].partition("-")[0] in self._truth.gone
        allowed = set((self._allowed_if_gone if is_gone else self._allowed)(run, expected))
        if end not in allowed:
            return f"{end}, not {' or '.join(sorted(allowed))}"
        if end == "signal" and finished.get("signal") != "SIGKILL":
            return "not SIGKILL"
        if self._is_late(run):
            return None
        if end == "exit" and finished.get("exit_code") != 3:
            return "not exit 3"
        caused = end != "nested" or self._is_caused(run, finished["caused_by"])
        return None if caused else "not caused by a run inside it"

    def _allowed(self, run: str, expected: Expected) -> Iterator[str]:
        """Yield the ends that a run may have had."""
        truth, name, pid = self._truth, self._names[run], self._journal.started[run]["pid"]
        launcher = self._commands.get(pid)
        if name in truth.ended or pid not in truth.killed:
            yield expected.end
        if pid in truth.killed:
            yield "nested"
            if launcher is not None:
                yield "signal"
            if launcher is None or launcher in truth.killed:
                yield "lost"
        elif launcher in truth.killed and expected.framework == "process":
            yield "lost"
        if self._is_late(run):
            yield from ("lost", "nested", *([] if expected.end == "success" else ["exit"]))

    def _allowed_if_gone(self, run: str, expected: Expected) -> Iterator[str]:
        """Yield the ends of a run whose container was killed whole."""
        yield from ("lost", "nested")
        if self._names[run] in self._truth.ended or expected.end != "success":
            yield expected.end

    def _is_orphan(self, run: str) -> bool:
        """Tell whether the disk may have refused the start of the run around."""
        return bool(self._truth.full) and self._journal.started[run]["parent"] not in self._names

    def _is_late(self, run: str) -> bool:
        """Tell whether the disk was full while the run went on."""
        begin = _timestamp(self._journal.started[run])
        return self._truth.was_full(begin, _timestamp(self._journal.finished[run]))

    def _is_caused(self, run: str, cause: str) -> bool:
        """Tell whether another run inside a run has failed by itself."""
        finished = self._journal.finished.get(cause)
        if finished is None or _end(finished) in ("success", "skipped", "nested"):
            return False
        inside: str | None = cause
        while inside is not None and inside != run:
            inside = self._journal.started.get(inside, {}).get("parent")
        return inside == run != cause


def _timestamp(event: Event) -> float:
    return datetime.fromisoformat(event["at"].replace("Z", "+00:00")).timestamp()


# A record's fields, and whether they are the started or the finished line's.
_STARTED = ("parent", "root", "task", "framework", "pid", "host", "python", "trigger")
_FINISHED = ("status", "reason", "caused_by", "exit_code", "signal", "duration", "cpu", "max_rss")


def disagreements(journal: Journal, records: list[Event]) -> list[str]:
    """List where the records of `autotask runs` differ from the journal."""
    known = {record["run"]: record for record in records}
    found = [f"{len(records) - len(known)} records twice"] if len(records) != len(known) else []
    found += [f"a record of no run: {known[run]}" for run in known.keys() - journal.started.keys()]
    for run, started in journal.started.items():
        finished = journal.finished.get(run, {})
        wanted = {
            **{name: started.get(name) for name in _STARTED},
            **{name: finished.get(name) for name in _FINISHED},
            "started_at": started["at"],
            "finished_at": finished.get("at"),
        }
        record = known.get(run, {})
        differing = {name: record.get(name) for name in wanted if record.get(name) != wanted[name]}
        if differing:
            found.append(f"the index says {differing} of {started} {finished}")
    return found
