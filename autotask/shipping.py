"""Deliver later what Datadog's Agent did not take: with its own time, and never twice.

What is owed the journal tells: lines with `unsent` in them, until a line says `sent`. That one is
written before the datagram goes. So what dies between the two is lost, and nothing comes twice.

An Agent takes the time of a count for one hour back (from 7.40 on), that of a distribution never:
a duration counts when it comes. What ended earlier is told by events, which Datadog takes for 18
hours (https://docs.datadoghq.com/api/latest/events/).
"""

from __future__ import annotations

import os
import time

from autotask import events, journal
from autotask.closing import TAGGED, Alone, settings_of
from autotask.dogstatsd import Wire
from autotask.failures import one_line
from autotask.guard import guarded
from autotask.run import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from autotask.config import Settings
    from autotask.events import Event

_TOLD = 18 * 3600.0 - 600.0  # seconds for which an end can be told by an event
_COUNTED = 3600.0 - 60.0  # seconds for which it can be counted
_ROOM = 16  # bytes that a time takes in a line
_STARTED, _FINISHED = b'{"event":"started","run":"', b'{"event":"finished","run":"'
_CHEAP = 1 << 19  # bytes of journal that a launcher reads on its way out
_FEW = 100  # debts that it delivers
_GAP = 0.001  # seconds between two datagrams to a port, which has no way to say: slower


class Debt:
    """A line of a run that Datadog has not got."""

    def __init__(self, of: str, started: Event, ended: Event | None, is_last: bool) -> None:
        self.of = of  # the line: `started` or `finished`
        self.started = started
        self.ended = ended
        self.is_last = is_last  # of its task and tags: no later run has ended since
        told = started if ended is None or of == "started" else ended
        self.at = events.timestamp(events.text(told, "at"))
        self.run, self.root = events.text(started, "run"), events.text(started, "root")
        self.task, self.framework = events.text(started, "task"), events.text(started, "framework")

    def outcome(self) -> Outcome:
        """Return how the run ended."""
        ended = self.ended or {}
        return Outcome(
            events.text(ended, "status"),
            events.text(ended, "reason") or None,
            events.number(ended, "exit_code"),
            events.text(ended, "signal") or None,
            events.error(ended),
            events.text(ended, "caused_by") or None,
        )

    def duration(self) -> float | None:
        """Return how long the run took, in seconds."""
        value = (self.ended or {}).get("duration")
        return value if isinstance(value, float) else None


class Debts:
    """What the lines of a journal say is owed, from a segment on.

    The lines of a run that is owed are looked for in the whole journal, unless it is *shallow*.
    """

    def __init__(self, folder: str, segment: str, shallow: bool = False) -> None:
        self._folder = folder
        self._segment = segment
        self._shallow = shallow
        self._reader = events.Reader(folder, (segment, 0), b'sent"')
        self._owed: dict[tuple[str, str], float] = {}  # run and line; since when, POSIX seconds

    def catch_up(self) -> int:
        """Read what has been appended; return how many lines are owed that can be delivered."""
        for line in self._reader.lines():
            for event in events.read(line):
                self._take(event)
        now = time.time()
        limits = {"started": now - _COUNTED, "finished": now - _TOLD}
        self._owed = {key: at for key, at in self._owed.items() if at > limits.get(key[1], now)}
        return len(self._owed)

    def _take(self, event: Event) -> None:
        kind, run, of = (events.text(event, name) for name in ("event", "run", "of"))
        if kind == "sent":
            self._owed.pop((run, of), None)
        elif kind == "unsent" or event.get("unsent") is True:
            at = events.timestamp(events.text(event, "at"))
            self._owed[run, of or kind] = at

    def found(self) -> list[Debt]:
        """Return the debts, the oldest first, of those runs whose lines are there."""
        if not self._owed:
            return []
        first = journal.segment(min(self._owed.values()) - 3600)
        debts = self._found_from(first)
        if len(debts) < len(self._owed) and not self._shallow:
            debts = self._found_from("")  # of a run that began long before
        return sorted(debts, key=lambda debt: debt.at)

    def _found_from(self, segment: str) -> list[Debt]:
        runs = {run for run, _ in self._owed}
        started: dict[str, Event] = {}
        ended: dict[str, Event] = {}
        series: dict[str, bytes] = {}  # by run
        last: dict[bytes, str] = {}  # run by series
        for line in events.Reader(self._folder, (segment, 0)).lines():
            if line.startswith(_STARTED):
                run, seen = _run_of(line, _STARTED), started
                series[run] = _series(line)
            elif line.startswith(_FINISHED):
                run, seen = _run_of(line, _FINISHED), ended
                of = series.get(run, b"") if run in runs else series.pop(run, b"")
                if b'"status":"skipped"' not in line and b'"reason":"nested"' not in line:
                    last[of] = run
            else:
                continue
            if run in runs:
                for event in events.read(line):
                    seen[run] = event
        return [
            Debt(of, started[run], ended.get(run), last.get(series[run]) == run)
            for run, of in self._owed
            if run in started and (of == "started" or run in ended)
        ]


def recent_debts(home: str) -> Debts:
    """Return what a home's journal owes that can still be told."""
    return Debts(os.path.join(home, "journal"), journal.segment(time.time() - _TOLD))


def ends_text(number: int) -> str:
    """Name so many debts."""
    return f"{number} start or end" if number == 1 else f"{number} starts and ends"


def _run_of(line: bytes, begin: bytes) -> str:
    return line[len(begin) : len(begin) + 16].decode("ascii", "replace")


def _series(line: bytes) -> bytes:
    """Return what of a started line becomes tags."""
    tags = line[line.find(b'"task":') : line.find(b',"pid":')] + line[line.find(b'"host":') :]
    return tags.replace(b',"unsent":true', b"")


class _LateWire(Wire):
    """The way to the Agent for lines with a time of their own."""

    def __init__(self, settings: Settings, patience: float) -> None:
        super().__init__(settings)
        self._size -= _ROOM
        self._patience = patience

    def _open(self) -> None:
        super()._open()
        self._socket.settimeout(self._patience)  # as long as a slow Agent's buffer is full

    def _look_up(self) -> None:
        self._resolve()  # here, where we may wait

    def send(self, lines: list[str]) -> bool:
        """Send lines; tell whether the Agent took them, as far as that can be known."""
        refusals: list[bool] = []
        self._send(lines, lambda: refusals.append(True))
        self.give_up()  # where the address is of a name that is not known
        if self._patience and self._family == "udp":
            time.sleep(_GAP)
        return not refusals

    def lines(self, debt: Debt) -> list[str]:
        """Write what would have been sent of a run at the time."""
        trigger = events.text(debt.started, "trigger")
        if debt.of == "started":
            return [self.start_line(debt.task, debt.framework, trigger)]
        host = events.text(debt.started, "host")
        return self.end_lines(
            debt.task, debt.framework, trigger, debt.outcome(), debt.duration(), host
        )

    def summary(self, debts: list[Debt]) -> str:
        """Write the event that tells of runs of a task that ended too long ago to be counted."""
        first, last = debts[0], debts[-1]
        statuses = [debt.outcome().status for debt in debts]
        counts = ", ".join(f"{statuses.count(status)} {status}" for status in sorted({*statuses}))
        begin, end = journal.moment(first.at), journal.moment(last.at)
        title = one_line(f"runs reported late: {first.task}", 300)
        text = f"{counts}; they ended between {begin} and {end}, while no Datadog Agent listened"
        tags = f"{self._task_tags(first.task, first.framework)},{self._tags}"
        key = one_line(first.task, 100)
        return (
            f"_e{{{len(title.encode())},{len(text)}}}:{title}|{text}|k:{key}|t:info|#{tags}"
            f"|d:{int(last.at)}"
        )


class _Batch:
    """Debts that go together, and their lines."""

    def __init__(self, wire: _LateWire) -> None:
        self.wire = wire
        self.count = ""  # the line that counts them
        self.debts: list[Debt] = []
        self.rest: list[str] = []

    def lines(self) -> list[str]:
        """Write what is to be sent."""
        if self.count:
            return [self.count.replace(":1|", f":{len(self.debts)}|", 1), *self.rest]
        return self.rest or [self.wire.summary(self.debts)]


def _batches(debts: list[Debt], settings: Settings, patience: float) -> Iterable[_Batch]:
    """Put debts together that have their tags and their second in common.

    Of two counts of the same second and tags Datadog would keep the later one.
    """
    now = time.time()
    wires: dict[str, _LateWire] = {}
    batches: dict[tuple[_LateWire, str], _Batch] = {}
    for debt in debts:
        tagged = repr([debt.started.get(name) for name in TAGGED])
        if tagged not in wires:
            wires[tagged] = _LateWire(settings_of(debt.started, settings), patience)
        wire = wires[tagged]
        count, *rest = wire.lines(debt)
        at = int(debt.at)
        if now - debt.at < _COUNTED:
            at += at % 10 == 0  # when the Agent's own counts are
            count = f"{count}|T{at}"
            rest = [line for line in rest if debt.is_last or not line.startswith("_sc|")]
            key = count
        elif debt.of == "finished" and settings.events:
            count, rest = "", [line for line in rest if line.startswith("_e{")]
            key = debt.run if rest else f"{debt.framework} {debt.task}"
        else:
            continue
        batch = batches.setdefault((wire, key), _Batch(wire))
        batch.count = count
        batch.debts.append(debt)
        batch.rest += [_timed(line, at) for line in rest]
    return batches.values()


def _timed(line: str, at: int) -> str:
    """Give an event or a service check its time; a duration can have none."""
    if line.startswith("_sc|"):
        name, status, rest = line[4:].split("|", 2)
        return f"_sc|{name}|{status}|d:{at}|{rest}"
    return f"{line}|d:{at}" if line.startswith("_e{") else line


def ship(
    debts: Debts,
    settings: Settings,
    ours: journal.Journal,
    patience: float = 0.0,
    most: int | None = None,
) -> int:
    """Deliver what is owed, the oldest first and *most* of it; return how many debts that were.

    For where somebody listens. *patience* is how many seconds a slow Agent is waited for. Nothing
    is done where another process delivers at this moment.
    """
    with Alone(os.path.dirname(ours.folder)) as alone:
        if not alone or not debts.catch_up():
            return 0
        done = 0
        batches = _batches(debts.found()[:most], settings, patience)
        for batch in batches:
            if not _deliver(batch, ours):
                break
            done += len(batch.debts)
        for wire in {batch.wire for batch in batches}:
            wire.close()
        return done


def _deliver(batch: _Batch, ours: journal.Journal) -> bool:
    noted = all(_note("sent", debt, ours) for debt in batch.debts)
    if noted and batch.wire.send(batch.lines()):
        return True
    for debt in batch.debts:
        _note("unsent", debt, ours)
    return False


def _note(event: str, debt: Debt, ours: journal.Journal) -> bool | None:
    line = journal.delivery_line(event, debt.run, debt.root, debt.of)
    return ours.append(line, keep=False)


@guarded
def ship_few(settings: Settings, ours: journal.Journal) -> None:
    """Deliver what is owed, where it is little, it is cheap to find, and somebody listens.

    Nearly always nothing is, which costs a look at the last two segments.
    """
    now = time.time()
    names = [journal.segment(now - 3600), journal.segment(now)]
    size = owed = 0
    for name in names:
        try:
            with events.opened(os.path.join(ours.folder, name)) as file:
                data = file.read(_CHEAP)
        except OSError:
            continue
        size += len(data)
        owed += data.count(b'"unsent"') - data.count(b'{"event":"sent"')
    if owed > 0 and size < _CHEAP:
        ship(Debts(ours.folder, names[0], shallow=True), settings, ours, most=_FEW)
