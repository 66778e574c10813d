"""Deliver later what Datadog's Agent did not take: with its own time, and never twice.

`sent` is written before the datagram goes. So what dies between the two is lost, and nothing comes
twice; where the Agent refuses it again, `unsent` follows.

An Agent takes the time of a count for one hour back (from 7.40 on), that of a distribution never:
a duration counts when it comes. What ended earlier is told by events, which Datadog takes for 18
hours (https://docs.datadoghq.com/api/latest/events/). A service check may be 10 minutes old
(https://docs.datadoghq.com/api/latest/service-checks/): an older one, which is sent only while it
is the last of its task, goes without a time, because it is what holds now.

Of two counts with the same tags and second Datadog keeps the later one. So a second is delivered
whole or not at all.
"""

from __future__ import annotations

import time

from autotask import journal
from autotask.around import journal_lines
from autotask.around.closing import wire_for
from autotask.around.journal_lines import error_field, number_field, raw_field, text_field
from autotask.around.lock import Alone
from autotask.around.undelivered import COUNTED, HOUR
from autotask.dogstatsd import Wire, tag
from autotask.guard import guarded
from autotask.run import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from autotask.around.journal_lines import Event
    from autotask.around.undelivered import Debts, Key
    from autotask.settings import Settings

_ROOM = 16  # bytes that a time takes in a line
_CHECKED = 600.0 - 60.0  # seconds for which Datadog takes the time of a service check
SETTLED = 3.0  # seconds after which nothing more is to come of a second
_AHEAD = 60.0  # seconds after now: what has a later time was written by a clock that was ahead
_SLICE = 20_000  # debts in memory at a time
_FEW = 100  # debts that a launcher delivers
_GAP = 0.001  # seconds between two datagrams to a port, which has no way to say: slower


class Debt:
    """A line of a run that Datadog has not got."""

    def __init__(self, started: Event, ended: Event | None, is_last: bool, now: float) -> None:
        self.started = started
        self.ended = ended or {}  # of a start that is owed, nothing
        self.of = "finished" if ended else "started"
        self.is_last = is_last  # of its task and tags: no later run has ended since
        self.run, self.root = (
            text_field(started, "run"),
            text_field(started, "root"),
        )
        self.task, self.framework = (
            text_field(started, "task"),
            text_field(started, "framework"),
        )
        self.at = _moment(text_field(self.ended or started, "at"), now)
        self.second = _second(self.at)

    def outcome(self) -> Outcome:
        """Return how the run ended."""
        ended = self.ended
        return Outcome(
            _tag_value(text_field(ended, "status")),
            _tag_value(text_field(ended, "reason")) or None,
            number_field(ended, "exit_code"),
            text_field(ended, "signal") or None,
            error_field(ended),
            text_field(ended, "caused_by") or None,
        )

    def duration(self) -> float | None:
        """Return how long the run took, in seconds."""
        value = self.ended.get("duration")
        return value if isinstance(value, float) else None


def _moment(at: str, now: float) -> float:
    """Return the POSIX time at which something counts.

    What a clock that was ahead has dated counts in the last second before *now*, where all has
    come: Datadog would not take a later time.
    """
    seconds = journal_lines.timestamp(at)
    return int(now) - 0.5 if seconds > now + _AHEAD else seconds


def _second(at: float) -> int:
    """Return the second in which something is counted: not one of the Agent's own counts."""
    second = int(at)
    return second + (second % 10 == 0)


def _tag_value(text: str) -> str:
    """Return what a tag can hold of a status or reason that a newer autotask may have written."""
    return tag("status", text).partition(":")[2]


def _found(keys: dict[Key, str], folder: str, now: float) -> list[Debt]:
    """Return the debts, the oldest first, of those runs whose lines are in the journal."""
    debts = _debts(keys, *_read(_first(keys, now), keys, folder), now)
    return debts if len(debts) == len(keys) else _debts(keys, *_read(("", 0), keys, folder), now)


def _first(keys: dict[Key, str], now: float) -> tuple[str, int]:
    """Return where lines are looked for first; the start of a run, in the hour before."""
    return journal.segment(min(journal_lines.timestamp(min(keys.values())), now) - HOUR), 0


def _read(
    place: tuple[str, int], keys: Iterable[Key], folder: str
) -> tuple[dict[Key, Event], _Statuses]:
    """Return the lines of the runs of *keys*, and whose status is the last one."""
    runs = {run for run, _ in keys}
    found: dict[Key, Event] = {}
    statuses = _Statuses(runs)
    for line in journal_lines.parts(journal_lines.Reader(folder, place).lines()):
        kind = raw_field(line, b"event")
        if kind in ("started", "finished"):
            run = raw_field(line, b"run")
            statuses.take(kind, run, line)
            if run in runs:
                for event in journal_lines.read(line):
                    if event.get("reason") != "lost" or (run, kind) not in found:
                        found[run, kind] = event  # an end of its own replaces `lost`
    return found, statuses


def _debts(
    keys: Iterable[Key], found: dict[Key, Event], statuses: _Statuses, now: float
) -> list[Debt]:
    debts = [
        Debt(
            found[run, "started"],
            found[run, of] if of == "finished" else None,
            statuses.is_last(run),
            now,
        )
        for run, of in keys
        if {(run, "started"), (run, of)} <= found.keys()
    ]
    return sorted(debts, key=lambda debt: debt.at)


def _seconds(keys: dict[Key, str], folder: str, now: float) -> dict[Key, int]:
    """Return in which second each line is counted; when it was refused may be a later one."""
    found: dict[Key, str] = {}
    for place in (_first(keys, now), ("", 0)):
        for line in journal_lines.parts(journal_lines.Reader(folder, place).lines()):
            key = raw_field(line, b"run"), raw_field(line, b"event")
            if key in keys and (b'"reason":"lost"' not in line or key not in found):
                found[key] = raw_field(line, b"at")
        if len(found) == len(keys):
            break
    return {key: _second(_moment(found.get(key, at), now)) for key, at in keys.items()}


class _Statuses:
    """Whose status is the last one of its task and tags."""

    def __init__(self, kept: set[str]) -> None:
        self._kept = kept  # runs that will be asked for
        self._series: dict[str, bytes] = {}  # by run
        self._last: dict[bytes, str] = {}  # run by series

    def take(self, kind: str, run: str, line: bytes) -> None:
        """Take the next line of a run."""
        if kind == "started":
            self._series[run] = _series(line)
        elif _has_check(line):
            if run in self._series:
                self._last[self._series[run]] = run
            else:  # it began before, and may be of any task
                self._last.clear()
        if kind == "finished" and run not in self._kept:
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
    """Return what of a started line becomes tags."""
    tags = line[line.find(b'"task":') : line.find(b',"pid":')] + line[line.find(b'"host":') :]
    return tags.replace(b',"unsent":true', b"")


class _LateWire(Wire):
    """The way to the Agent for lines with a time of their own."""

    def __init__(self, settings: Settings, patience: float) -> None:
        super().__init__(settings)
        self._size -= _ROOM
        self._patience = patience
        self._taken = 0  # datagrams of the lines that are being sent

    def _open(self) -> None:
        super()._open()
        self._socket.settimeout(self._patience)  # as long as a slow Agent's buffer is full

    def _look_up(self) -> None:
        self._resolve()  # here, where we may wait

    def _send_packet(self, packet: bytes, refused: Callable[[], object]) -> None:
        if self.has_refused:
            return
        super()._send_packet(packet, refused)
        self.give_up()  # where the address is of a name that is not known
        self._taken += not self.has_refused
        if self._patience and self._family == "udp":
            time.sleep(_GAP)

    def send(self, lines: list[str]) -> bool:
        """Send lines; tell whether the Agent took the first, as far as that can be known."""
        self._taken, self.has_refused = 0, False
        self._send(lines)
        return self._taken > 0

    def takes(self, lines: list[str]) -> bool:
        """Tell whether lines fit into one datagram."""
        return sum(len(line.encode("utf-8", "replace")) + 1 for line in lines) <= self._size

    def lines(self, debt: Debt) -> list[str]:
        """Write what would have been sent of a run at the time."""
        trigger = text_field(debt.started, "trigger")
        if not debt.ended:
            return [self.start_line(debt.task, debt.framework, trigger)]
        host = text_field(debt.started, "host")
        return self.end_lines(
            debt.task, debt.framework, trigger, debt.outcome(), debt.duration(), host
        )

    def summary(self, debts: list[Debt]) -> str:
        """Write the event that tells of runs of a task that ended too long ago to be counted."""
        from autotask.failures import one_line

        first, last = debts[0], debts[-1]
        statuses = [debt.outcome().status for debt in debts]
        counts = ", ".join(f"{statuses.count(status)} {status}" for status in sorted({*statuses}))
        begin, end = journal.moment(first.at), journal.moment(last.at)
        title = one_line(f"runs reported late: {first.task}", 300)
        text = f"{counts}; they ended between {begin} and {end}"
        key = one_line(first.task, 100)
        return (
            f"_e{{{len(title.encode())},{len(text.encode())}}}:{title}|{text}|k:{key}|t:info"
            f"|#{self.tags(first)}|d:{int(last.at)}"
        )

    def tags(self, debt: Debt) -> str:
        """Write the tags of a task and its process."""
        return f"{self._task_tags(debt.task, debt.framework)}{self._tags}"


class _Batch:
    """Debts that go together, and their lines."""

    def __init__(self, wire: _LateWire) -> None:
        self.wire = wire
        self.count = ""  # the line that counts them
        self.is_summed = False  # they are told by one event
        self.debts: list[Debt] = []
        self.rest: list[str] = []

    def lines(self) -> list[str]:
        """Write what is to be sent."""
        if self.count:
            return [self.count.replace(":1|", f":{len(self.debts)}|", 1), *self.rest]
        return [self.wire.summary(self.debts), *self.rest] if self.is_summed else self.rest


def _batches(debts: list[Debt], settings: Settings, patience: float) -> Iterable[_Batch]:
    """Put debts together that have their tags and their second in common."""
    now = time.time()
    wires: dict[str, _LateWire] = {}
    batches: dict[str, _Batch] = {}
    for debt in debts:
        started = debt.started
        if started.get("entity") != settings.entity_id:
            # The Agent soon forgets a pod that has ended. Counts that differ only in the pod would
            # then have the same tags and second.
            started = {**started, "entity": None}
        wire = wire_for(started, wires, settings, lambda tagged: _LateWire(tagged, patience))
        count, *rest = wire.lines(debt)
        rest = [line for line in rest if debt.is_last or not line.startswith("_sc|")]
        is_summed = False
        if now - debt.second < COUNTED:
            key = count = f"{count}|T{debt.second}"
        else:
            count, rest = "", [line for line in rest if line.startswith(("_e{", "_sc|"))]
            is_told = any(line.startswith("_e{") for line in rest)
            is_summed = bool(debt.ended) and settings.events and not is_told
            if not rest and not is_summed:
                continue
            key = wire.tags(debt) if is_summed else debt.run
        batch = batches.setdefault(key, _Batch(wire))
        batch.count, batch.is_summed = count, is_summed
        batch.debts.append(debt)
        batch.rest += [_timed(line, debt.second, now) for line in rest]
    return batches.values()


def _timed(line: str, second: int, now: float) -> str:
    """Give an event or a service check its time; a duration can have none."""
    if line.startswith("_sc|") and now - second < _CHECKED:
        name, status, rest = line[4:].split("|", 2)
        return f"_sc|{name}|{status}|d:{second}|{rest}"
    return f"{line}|d:{second}" if line.startswith("_e{") else line


def _always() -> bool:
    return True


def ship(
    debts: Debts,
    settings: Settings,
    ours: journal.Journal,
    patience: float,
    goes_on: Callable[[], bool] = _always,
) -> int:
    """Deliver what is owed, the oldest first; return how many lines of runs that were.

    For where somebody listens. *patience* is how many seconds a slow Agent is waited for. Nothing
    is done where another process delivers at this moment. *goes_on* is asked between datagrams.
    """
    done = 0
    with Alone(ours.home) as alone:
        if not alone:
            return 0
        seconds: dict[Key, int] = {}
        now = time.time() - SETTLED
        while keys := _oldest(debts.catch_up(), seconds, ours.folder, now):
            found = _found(keys, ours.folder, now)
            delivered, more = _deliver(_batches(found, settings, patience), ours, goes_on)
            done += delivered
            if not more:
                break
            debts.give_up({*keys} & {*debts.catch_up()})  # in no form, or its lines are not there
    ours.settle()
    return done


def _oldest(
    owed: dict[Key, str], seconds: dict[Key, int], folder: str, now: float
) -> dict[Key, str]:
    """Return the oldest debts, of whole seconds only; from *now* on more may come.

    *seconds* keeps what was found of them.
    """
    new = {key: at for key, at in owed.items() if key not in seconds}
    if new:
        seconds.update(_seconds(new, folder, now))
    limit = _second(now)
    ordered = sorted((seconds[key], key) for key in owed if seconds[key] < limit)
    end = _SLICE
    while end < len(ordered) and ordered[end][0] == ordered[end - 1][0]:
        end += 1
    return {key: owed[key] for _, key in ordered[:end]}


def _deliver(
    batches: Iterable[_Batch], ours: journal.Journal, goes_on: Callable[[], bool] = _always
) -> tuple[int, bool]:
    """Send batches until one is refused; return how many debts went, and whether all did."""
    done, more = 0, True
    for batch in batches:
        more = goes_on() and _sent(batch, ours)
        if not more:
            break
        done += len(batch.debts)
    for wire in {batch.wire for batch in batches}:
        wire.close()
    return done, more


def _sent(batch: _Batch, ours: journal.Journal) -> bool:
    if not ours.append(_notes("sent", batch), keep=False):
        return False  # a full disk: still owed once, and not twice
    if batch.wire.send(batch.lines()):
        return True
    ours.append(_notes("unsent", batch))
    return False


def _notes(event: str, batch: _Batch) -> str:
    return "\n".join(
        [journal.delivery_line(event, debt.run, debt.root, debt.of) for debt in batch.debts]
    )


@guarded
def ship_few(debts: Debts, settings: Settings, ours: journal.Journal) -> None:
    """Deliver the oldest of what is owed, as far as one need not wait for it."""
    with Alone(ours.home) as alone:
        if not alone:
            return
        batches = _batches(_few(debts.catch_up(), debts.place, ours.folder), settings, 0.0)
        _deliver([batch for batch in batches if batch.wire.takes(batch.lines())], ours)


def _few(owed: dict[Key, str], place: tuple[str, int], folder: str) -> list[Debt]:
    """Return the oldest debts whose lines stand behind a place, of whole seconds only."""
    lines, statuses = _read(place, owed, folder)
    now = time.time() - SETTLED
    debts = _debts(owed, lines, statuses, now)
    whole = {(debt.run, debt.of) for debt in debts}
    partly = {
        _second(_moment(text_field(lines[key], "at"), now))
        for key in lines.keys() & owed.keys() - whole  # the run began before
    }
    if place[1] and debts:
        partly.add(debts[0].second)  # which may have begun before
    limit = _second(now)
    debts = [debt for debt in debts if debt.second < limit and debt.second not in partly]
    end = min(_FEW, len(debts))
    while 0 < end < len(debts) and debts[end].second == debts[end - 1].second:
        end -= 1
    return debts[:end]
