"""What must hold after a round of the storm over the commands (`storm_commands`).

What is certain, whatever was killed, stopped, damaged or full:

- A line stays until `cp` overwrites it or a prune may drop it. If dropping successes alone can keep
  the bound of a round, no failure and no run without an end is dropped. With `--keep` only older
  runs are dropped. A run is dropped whole, or its start first.
- The index agrees with the lines, both the grown and a rebuilt one. An exception is an index with
  changes that no reader can notice (another value, missing rows): then only the result of a prune
  is checked.
- An undisturbed prune reaches its bound and stops there, and drops no failure while a success could
  be dropped.
- No start and no end of a run was sent to the Agent twice. All of them were sent if nothing was
  killed and the Agent was always listening.
- A command ends by its own rules, and prints only its own lines on standard error. After SIGINT it
  prints one line or nothing. The start of the interpreter does not count.
- An undisturbed command has shown all runs that existed throughout, and none that was gone before
  it began.
- No file is left that does not belong to the home.
"""

from __future__ import annotations

import enum
import functools
import json
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from aftermath import Event, Journal, Truth, disagreements, judged, marks, read
from support import INSTALLED

_BEGIN = b'{"event":'  # of each line
_INFINITE = float("inf")
_LINES = 3  # of error messages that a command may print
_EVERY = ("runs", "--all", "--format", "jsonl", "--limit", "0")
_SEGMENT = re.compile(r"journal/\d{4}-\d\d-\d\dT\d\d\.jsonl")
_KNOWN = {
    *("index.sqlite3", "pruned", "ballast", "first_seen.json"),
    "first_seen.json.new",  # of a killed command: the next one that writes it takes its place
}
_FRAME = rf'File "{re.escape(str(INSTALLED))}/autotask/'
# Our frames from before Ctrl-C is handled.
_START = re.compile(
    _FRAME + r'(?:(?:tool/)?__init__|tool/interrupts)\.py"|'
    + _FRAME + r'tool/cli\.py", line \d+, in <module>\n'
    r" +(?:from __future__ import annotations|import sys|from autotask.tool import interrupts)\n"
)  # fmt: skip
# Why a command may end with 1.
_PROBLEMS = {
    "show": re.compile(r"autotask: no run begins with \w+"),
    "prune": re.compile(r"autotask: another prune is running"),
    "ship": re.compile(r"autotask: nothing is listening at .*"),
}


class Bound(enum.Enum):
    """What the prunes of a round are asked to do."""

    GENTLE = "gentle"  # a size that successes alone can keep
    KEEP = "keep"  # an age
    HARSH = "harsh"  # a size for which failures are dropped too


@dataclass
class Command:
    """A command of a round, and what happened to it."""

    number: int
    words: tuple[str, ...]
    strike: signal.Signals | None = None  # still to come
    moment: float = 0.0  # when: a share of the time of such commands
    at_copy: bool = False  # only once a segment is being rewritten
    is_read: bool = True  # else its output goes into a closed pipe
    is_last: bool = False  # undisturbed
    pid: int = 0
    began: float = 0.0  # monotonic seconds
    ended: float = _INFINITE
    status: int = 0  # negative: a signal
    struck: signal.Signals | None = None
    struck_at: float = 0.0
    agent_away: bool = False  # at some time
    full: bool = False  # the disk, at some time
    given_up: str = ""  # why the storm has killed it

    @property
    def kind(self) -> tuple[str, ...]:
        return self.words[:2]

    def __str__(self) -> str:
        struck = f", {self.struck.name}" if self.struck else ""
        return f"#{self.number} autotask {' '.join(self.words)} (exit {self.status}{struck})"


@dataclass(frozen=True)
class Put:
    """A segment as `cp` has written it."""

    name: str
    began: float  # monotonic seconds
    done: float
    text: bytes

    @functools.cached_property
    def starts(self) -> dict[str, Event]:
        """The started lines by run."""
        return {event["run"]: event for event in self._events if event["event"] == "started"}

    @functools.cached_property
    def ends(self) -> dict[str, Event]:
        """The finished lines by run."""
        return {event["run"]: event for event in self._events if event["event"] == "finished"}

    @functools.cached_property
    def _events(self) -> list[Event]:
        return [json.loads(line[line.rindex(_BEGIN) :]) for line in self.text.splitlines()]


class Damage(NamedTuple):
    """What was done to the index."""

    at: float  # monotonic seconds
    how: str
    unseen: bool  # by any reader


@dataclass
class History:
    """What the storm itself did in a round."""

    bound: Bound
    place: Path
    is_calm: bool  # nothing was killed, and the Agent never left
    bound_size: int = 0  # bytes
    keep_hours: int = 20
    puts: list[Put] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    journals: list[Journal] = field(default_factory=list)  # after each of the last commands
    sizes: list[int] = field(default_factory=list)  # of these, in bytes

    @property
    def last(self) -> list[Command]:
        """The commands that ran undisturbed."""
        return [command for command in self.commands if command.is_last]

    def has_unseen_damage(self) -> bool:
        """Tell whether the index may be wrong without a sign of it."""
        return any(damage.unseen for damage in self.damages)

    def said(self, command: Command) -> tuple[str, str]:
        """Return the output and the errors of a command."""
        place = self.place / "said"
        out, err = (place / f"{command.number}.{end}" for end in ("out", "err"))
        output = out.read_text(errors="replace") if command.is_read else ""
        return output, err.read_text(errors="replace")


def unsuccessful(text: bytes) -> int:
    """Count the bytes of a segment that belong neither to a success nor to skipped lines."""
    put = Put("", 0, 0, text)
    ends = {run: end for run, end in put.ends.items() if end["status"] != "failure"}
    lines = {run: [start, ends[run]] for run, start in put.starts.items() if run in ends}
    return len(text) - sum(_size(line) for several in lines.values() for line in several)


def _size(event: Event) -> int:
    return len(json.dumps(event, separators=(",", ":"))) + 1


@dataclass
class Faults:
    """The faults, one a line."""

    index: list[str] = field(default_factory=list)  # differs from the lines
    lost: list[str] = field(default_factory=list)  # lines, failures, or what must not be pruned
    told: list[str] = field(default_factory=list)  # twice, or never
    ended: list[str] = field(default_factory=list)  # commands that broke their rules
    left: list[str] = field(default_factory=list)  # files

    def all(self) -> list[str]:
        """Return all of them."""
        return [*self.index, *self.lost, *self.told, *self.ended, *self.left]


def faults(history: History, truth: Truth, told: list[str]) -> Faults:
    """Say what is wrong after a round."""
    found = Faults()
    put, recent = (read(history.place / name) for name in ("put", "recent"))
    found.lost += _lost(history, put, recent, history.journals[-1])
    found.lost += _written(truth, history.journals[-1])
    found.lost += _pruned(history, put)
    found.index += _differences(history)
    found.told += _told(told, _surely_told(history, truth, recent))
    for command in history.commands:
        found.index += _wrong_view(history, command, recent)
        found.ended += _wrong_end(command, history.said(command)[1])
    log = history.place / "debug.log"
    if log.exists():
        lines = log.read_text(errors="replace").splitlines()
        found.ended += [line for line in lines if "autotask: swallowed" in line]
    found.left += _left(history.place)
    return found


def _lost(history: History, put: Journal, recent: Journal, left: Journal) -> Iterator[str]:
    """Yield the lines that are gone but had to stay."""
    gone: list[str] = []
    cut: list[str] = []
    for stays in (recent, put):
        for run, started in stays.started.items():
            finished = stays.finished.get(run)
            may_go = stays is put and _may_go(history, started, finished)
            if may_go and run not in left.started:
                continue
            if left.started.get(run) != started:
                gone.append(f"{started} {finished}")
            elif finished is not None and left.finished.get(run) != finished:
                cut.append(f"{started} {finished}")
    yield from _summed("runs are gone that had to stay", gone)
    yield from _summed("runs have lost their end", cut)


def _summed(what: str, several: list[str]) -> Iterator[str]:
    """Yield one line for several faults of a kind: the number and the first."""
    if several:
        yield f"{len(several)} {what}: {several[0]}"


def _may_go(history: History, started: Event, finished: Event | None) -> bool:
    """Tell whether a prune of the round may drop a run; one without an end is lost, a failure."""
    if history.bound is Bound.GENTLE:
        return finished is not None and finished["status"] != "failure"
    return history.bound is Bound.HARSH or _is_old(history, finished or started)


def _is_old(history: History, event: Event) -> bool:
    limit = time.time() - history.keep_hours * 3600
    return time.strptime(event["at"][:19], "%Y-%m-%dT%H:%M:%S") < time.gmtime(limit)


def _written(truth: Truth, left: Journal) -> list[str]:
    """Return what is wrong with the runs written by programs meanwhile."""
    names = {
        run
        for run, start in left.started.items()
        if start["task"].rpartition(".")[2] in truth.expected
    }
    ours = Journal(
        {run: start for run, start in left.started.items() if run in names},
        {run: end for run, end in left.finished.items() if run in names},
        twice=left.twice,
    )
    return judged(truth, ours).faults()


def _pruned(history: History, put: Journal) -> Iterator[str]:
    """Yield what the last, undisturbed prune did wrong."""
    before, after = history.journals[1:3]
    whole = {run for run in put.started.keys() & put.finished.keys() if run in before.started}
    gone = {run for run in whole if run not in after.started}
    if history.bound is Bound.KEEP:
        stays = [run for run in sorted(whole - gone) if _is_old(history, put.finished[run])]
        yield from _summed("runs stay that are older than asked for", stays)
        return
    if not history.has_unseen_damage():  # else the index may have wrong sizes of lines
        sizes = [_size(before.started[run]) + _size(put.finished[run]) for run in gone]
        if sum(sizes) - max(sizes, default=0) >= max(history.sizes[1] - history.bound_size, 1):
            yield f"{len(gone)} runs went, more than asked for: {history.sizes}"
        if history.sizes[2] > history.bound_size and whole - gone:
            yield f"{len(whole - gone)} runs stay, the journal is over its bound: {history.sizes}"
    failures = {run for run in whole if put.finished[run]["status"] == "failure"}
    if gone & failures and whole - gone - failures:
        others = f"failures went, and {len(whole - gone - failures)} others stay"
        yield from _summed(others, sorted(gone & failures))


def _differences(history: History) -> Iterator[str]:
    """Yield where the grown index and a rebuilt one differ from the lines."""
    last = history.last
    for number in (1, 3, 4):
        if number < 4 and history.has_unseen_damage():
            continue
        try:
            records = _records(history, last[number])
        except ValueError as problem:
            yield f"no records: {last[number]}: {problem}"
            continue
        differences = disagreements(history.journals[number], records)
        how = "rebuilt" if number == 4 else "as it has grown"
        yield from _summed(f"differences of the index, {how}, after {last[number]}", differences)


def _records(history: History, command: Command) -> list[Event]:
    return [json.loads(line) for line in history.said(command)[0].splitlines()]


def _wrong_view(history: History, command: Command, recent: Journal) -> Iterator[str]:
    """Yield what an undisturbed command wrongly showed or left out."""
    was_disturbed = command.struck or command.full or not command.is_read
    if command.words != _EVERY or command.is_last or was_disturbed or command.status:
        return  # the last ones are compared with the exact lines
    try:
        shown = Counter(record["run"] for record in _records(history, command))
    except ValueError as problem:
        yield f"{command} has written no lines: {problem}"
        return
    yield from (f"{command} shows {run} twice" for run, times in shown.items() if times > 1)
    if any(damage.unseen and damage.at < command.ended for damage in history.damages):
        return
    gone, there = _gone_and_there(history, command)
    missing = sorted({*there, *recent.started} - shown.keys())
    yield from _summed(f"runs not shown by {command}", missing)
    yield from _summed(f"runs shown that are gone by {command}", sorted(gone & shown.keys()))


def _gone_and_there(history: History, command: Command) -> tuple[set[str], set[str]]:
    """Return the runs gone before a command began, and those that existed throughout."""
    current: dict[str, Put] = {}
    for put in history.puts:
        if put.done < command.began:
            current[put.name] = put
    touched = {p.name for p in history.puts if p.began < command.ended and p.done >= command.began}
    known = {run for put in current.values() for run in put.starts}
    older = {run for put in history.puts if put.done < command.began for run in put.starts}
    there = {
        run
        for name, put in current.items()
        if name not in touched
        for run, started in put.starts.items()
        if not _may_go(history, started, put.ends.get(run))
    }
    return older - known, there


_COUNT = re.compile(r"autotask\.task\.(runs|started):(\d+)\|c\|#task:([\w.-]+),")
_EVENT = re.compile(r"_e\{\d+,\d+\}:(task failed|runs reported late): ([\w.-]+)\|")
_OWN = re.compile(r"'(?:owed-|old-|(?:shop\.)?s\d{4}-)")  # names that only one run has


def _surely_told(history: History, truth: Truth, recent: Journal) -> dict[tuple[str, str], str]:
    """Return what the Agent must have received in a calm round, and of which run."""
    if not history.is_calm:
        return {}
    owed = {("runs", start["task"]): start["run"] for start in recent.started.values()}
    written = {
        (what, start["task"].lower()): start["run"]
        for start in history.journals[-1].started.values()
        if start["task"].rpartition(".")[2] in truth.expected
        for what in ("started", "runs")
    }
    return {**owed, **written}


def _told(lines: list[str], surely: dict[tuple[str, str], str]) -> Iterator[str]:
    """Yield what was sent twice, and what was not sent but had to be."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in lines:
        count, event = _COUNT.match(line), _EVENT.match(line)
        if count:
            counts[count[1], count[3]] += int(count[2])
        elif event:
            counts["event", event[2]] += 1
    twice = [f"{times} times: {what}" for what, times in counts.items() if times > 1]
    yield from _summed("things sent twice", [text for text in twice if _OWN.search(text)])
    never = sorted(f"{run}: {what}" for what, run in surely.items() if not counts[what])
    yield from _summed("things never sent", never)


def _wrong_end(command: Command, errors: str) -> Iterator[str]:
    """Yield what is wrong with how a command ended."""
    if command.given_up:
        yield f"{command} {command.given_up}"
        return
    lines = errors.splitlines()
    if command.struck == signal.SIGINT and "Traceback" in errors and _is_start(errors):
        return
    foreign = [line for line in lines if not line.startswith("autotask: ")]
    is_long = len(lines) > _LINES and command.words[0] != "monitors"
    if foreign or is_long or not _is_its_own(command, lines):
        text = " | ".join(line.strip() for line in lines)
        yield f"{command} said: {text[-700:]}"


def _is_start(errors: str) -> bool:
    """Tell whether a traceback is from before the tool could handle Ctrl-C."""
    return len(re.findall(_FRAME, errors)) == len(_START.findall(errors))


def _is_its_own(command: Command, lines: list[str]) -> bool:
    """Tell whether a command may end with this status and these messages."""
    status = command.status
    if status == 0:
        return True
    if command.struck == signal.SIGKILL and status == -signal.SIGKILL:
        return True
    if command.struck == signal.SIGINT and status in (130, -signal.SIGINT):
        return True
    if command.struck == signal.SIGTERM and status == -signal.SIGTERM:
        return not lines  # before it handled the signal as a request to stop
    if status != 1 or not lines:
        return False
    known = _PROBLEMS.get(command.words[0])
    if command.full:
        return True
    if command.words[0] == "ship" and not command.agent_away:
        return False
    return known is not None and known.fullmatch(lines[-1]) is not None


def _left(place: Path) -> Iterator[str]:
    """Yield the files that are left against every rule."""
    home = place / "home"
    for path in sorted(home.rglob("*")):
        name = path.relative_to(home).as_posix()
        is_known = name in _KNOWN or name.startswith("open/") or _SEGMENT.fullmatch(name)
        if path.is_file() and not is_known:
            yield f"left: {name}, {path.stat().st_size} bytes"
    yield from (f"left: {path}" for path in (place / "tmp").iterdir())
    if (home / "open").exists():
        yield from (f"a mark left: {mark.name} {mark.read_text()}" for mark in marks(home))
