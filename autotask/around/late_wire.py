"""The datagrams for lines that are delivered late: with their own time, if Datadog takes it.

An Agent takes the time of a count for one hour (from 7.40 on), that of a distribution never: a
duration counts when it comes. What ended earlier is told by events, which Datadog takes for 18
hours (https://docs.datadoghq.com/api/latest/events/). A service check may be 10 minutes old
(https://docs.datadoghq.com/api/latest/service-checks/): an older one, which is sent only if it is
the last of its task, goes without a time, because it still holds.
"""

from __future__ import annotations

import time

from autotask import journal
from autotask.around.closing import wire_for
from autotask.around.journal_lines import UNREMARKABLE, text_field
from autotask.around.undelivered import COUNTED
from autotask.dogstatsd import Wire
from autotask.run import End

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from autotask.around.missed_lines import MissedLine
    from autotask.protocols import AnyRun, Tagged
    from autotask.settings import Settings

_ROOM = 16  # bytes that a time takes in a line
_CHECKED = 600.0 - 60.0  # seconds for which Datadog takes the time of a service check
_GAP = 0.001  # seconds between two datagrams to a port, which cannot signal that it is too fast


class LateWire(Wire):
    """The way to the Agent for lines with a time of their own."""

    def __init__(self, settings: Settings, tagged: Tagged, patience: float) -> None:
        super().__init__(settings.destination, tagged, settings.events)
        self._size -= _ROOM
        self._patience = patience
        self._taken = 0  # datagrams of the lines that are being sent

    def _open(self) -> None:
        super()._open()
        self._socket.settimeout(self._patience)  # waits as long as a slow Agent's buffer is full

    def _look_up(self) -> None:
        self._resolve()  # at once and not in a thread: this process may wait

    def _send_packet(self, packet: bytes, about: tuple[AnyRun, str] | None) -> None:
        if self.has_refused:
            return  # the rest of these lines, too, is delivered next time
        super()._send_packet(packet, about)
        # If the host's name is not known, the datagram waits for an address. Here it must not.
        self.give_up()
        self._taken += not self.has_refused
        if self._patience and self._family == "udp":
            time.sleep(_GAP)

    def send(self, lines: list[str]) -> bool:
        """Send lines; tell whether the Agent took the first, as far as that can be known."""
        self._taken, self.has_refused = 0, False
        self._send(lines)
        return self._taken > 0

    def fits(self, lines: list[str]) -> bool:
        """Tell whether lines fit into one datagram."""
        return sum(len(line.encode("utf-8", "replace")) + 1 for line in lines) <= self._size

    def lines(self, missed: MissedLine) -> list[str]:
        """Write what would have been sent at the time; the count is the first."""
        if not missed.ended:
            return self.start_lines(missed)
        end = End(missed.outcome(), missed.at, missed.duration())
        return self.end_lines(missed, end, text_field(missed.started, "host"))

    def summary(self, several: list[MissedLine]) -> str:
        """Write the event that tells of runs of a task that ended too long ago to be counted."""
        from autotask.messages import one_line

        first, last = several[0], several[-1]
        statuses = [missed.outcome().status for missed in several]
        counts = ", ".join(f"{statuses.count(status)} {status}" for status in sorted({*statuses}))
        begin, end = journal.moment(first.at), journal.moment(last.at)
        title = one_line(f"runs reported late: {first.task}", 300)
        text = f"{counts}; they ended between {begin} and {end}"
        key = one_line(first.task, 100)
        return (
            f"_e{{{len(title.encode())},{len(text.encode())}}}:{title}|{text}|k:{key}|t:info"
            f"|#{self.tags(first)}|d:{int(last.at)}"
        )

    def tags(self, missed: MissedLine) -> str:
        """Write the tags of a task and its process."""
        return f"{self._task_tags(missed.task, missed.framework)}{self._tags}"


class Batch:
    """Missed lines that are delivered together."""

    def __init__(self, wire: LateWire) -> None:
        self.wire = wire
        self.missed: list[MissedLine] = []
        self.count = ""  # the datagram's line that counts them
        self.is_summed = False  # one event tells of them all
        self.rest: list[str] = []  # the other lines of the datagram

    def lines(self) -> list[str]:
        """Write what is sent for them."""
        if self.count:
            return [self.count.replace(":1|", f":{len(self.missed)}|", 1), *self.rest]
        return [self.wire.summary(self.missed), *self.rest] if self.is_summed else self.rest


def batches(lines: list[MissedLine], settings: Settings, patience: float) -> Iterable[Batch]:
    """Put lines together that have their tags and their second in common.

    Lines that Datadog takes in no form are left out.
    """
    now = time.time()
    wires: dict[str, LateWire] = {}
    by_key: dict[str, Batch] = {}
    for missed in lines:
        if missed.bookkeeping and missed.status() in UNREMARKABLE:
            continue  # and never was to be sent
        started = missed.started
        if started.get("entity") != settings.entity_id:
            # The Agent soon forgets a pod that has ended. Counts that differ only in the pod would
            # then have the same tags and second.
            started = {**started, "entity": None}
        wire = wire_for(started, wires, lambda tagged: LateWire(settings, tagged, patience))
        count, *rest = wire.lines(missed)
        rest = [line for line in rest if missed.is_last or not line.startswith("_sc|")]
        is_summed = False
        if now - missed.second < COUNTED:
            key = count = f"{count}|T{missed.second}"
        else:
            count, rest = "", [line for line in rest if line.startswith(("_e{", "_sc|"))]
            has_event = any(line.startswith("_e{") for line in rest)
            is_summed = bool(missed.ended) and settings.events and not has_event
            if not rest and not is_summed:
                continue
            key = wire.tags(missed) if is_summed else missed.id
        batch = by_key.setdefault(key, Batch(wire))
        batch.count, batch.is_summed = count, is_summed
        batch.missed.append(missed)
        batch.rest += [_timed(line, missed.second, now) for line in rest]
    return by_key.values()


def _timed(line: str, second: int, now: float) -> str:
    """Give an event or a service check its time; a duration can have none."""
    if line.startswith("_sc|") and now - second < _CHECKED:
        name, status, rest = line[4:].split("|", 2)
        return f"_sc|{name}|{status}|d:{second}|{rest}"
    return f"{line}|d:{second}" if line.startswith("_e{") else line
