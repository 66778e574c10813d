"""Deliver what the Datadog Agent did not take at the time, and never twice.

A line `sent` is written before the datagram is sent. So if this process dies between the two, the
datagram is lost, but none is sent twice. If the Agent refuses it again, a line `unsent` follows.
"""

from __future__ import annotations

import time

from autotask.around import missed_lines
from autotask.around.late_wire import batches
from autotask.around.lock import Alone
from autotask.guard import guarded
from autotask.journal import delivery_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from autotask.around.late_wire import Batch
    from autotask.around.undelivered import Key, Undelivered
    from autotask.journal import Journal
    from autotask.settings import Settings

SETTLED = 3.0  # seconds after which no more lines of a second are expected


def ship(
    undelivered: Undelivered,
    settings: Settings,
    journal: Journal,
    patience: float,
    goes_on: Callable[[], bool] = lambda: True,
) -> int:
    """Deliver undelivered lines, the oldest first; return how many were.

    The caller has checked that the Agent is there. *patience* is how many seconds to wait for a
    slow one; *goes_on* is called between datagrams. While another process delivers, this does
    nothing.
    """
    delivered = 0
    with Alone(journal.home) as alone:
        if not alone:
            return 0
        seconds: dict[Key, int] = {}
        now = time.time() - SETTLED
        while missed := undelivered.catch_up():
            if len(missed) > missed_lines.SLICE:
                missed = missed_lines.oldest(missed, seconds, journal.folder, now)
            lines, keys = missed_lines.find(missed, journal.folder, now)
            if not keys:
                break
            count, is_done = _deliver(batches(lines, settings, patience), journal, goes_on)
            delivered += count
            if not is_done:
                break
            # What is left has no form that Datadog takes, or the journal does not have its run.
            undelivered.give_up(keys & {*undelivered.catch_up()})
    journal.settle()
    return delivered


@guarded
def ship_few(undelivered: Undelivered, settings: Settings, journal: Journal) -> None:
    """Deliver the oldest undelivered lines, without waiting for anything."""
    with Alone(journal.home) as alone:
        if alone:
            now = time.time() - SETTLED
            lines = missed_lines.find_few(undelivered, journal.folder, now)
            fitting = [b for b in batches(lines, settings, 0.0) if b.wire.fits(b.lines())]
            _deliver(fitting, journal, lambda: True)


def _deliver(
    several: Iterable[Batch], journal: Journal, goes_on: Callable[[], bool]
) -> tuple[int, bool]:
    """Send batches until one is refused; return how many lines were delivered, and whether all."""
    delivered, is_done = 0, True
    for batch in several:
        is_done = goes_on() and _send(batch, journal)
        if not is_done:
            break
        delivered += len(batch.missed)
    for wire in {batch.wire for batch in several}:
        wire.close()
    return delivered, is_done


def _send(batch: Batch, journal: Journal) -> bool:
    if not journal.append(_notes("sent", batch), keep=False):
        # A full disk: without this note it would be sent a second time later.
        return False
    if batch.wire.send(batch.lines()):
        return True
    journal.append(_notes("unsent", batch))
    return False


def _notes(event: str, batch: Batch) -> str:
    return "\n".join(
        [delivery_line(event, missed.id, missed.root, missed.of) for missed in batch.missed]
    )
