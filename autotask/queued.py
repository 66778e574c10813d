"""What queues and schedulers know of an execution: before it starts, and that others will follow.

Loaded by the modules of such frameworks alone.
"""

from __future__ import annotations

from autotask.run import Outcome
from autotask.settings import is_id


class Queued:
    """What a queue knows of an execution before it starts.

    *attempt* counts from 1. *waited* are the seconds from enqueuing, or from the time when it was
    due, to the start. *enqueued_by* is the id of the run that has asked for it, 16 hex digits. What
    is None is not known.
    """

    __slots__ = ("attempt", "enqueued_by", "waited")

    def __init__(
        self,
        attempt: int | None = None,
        waited: float | None = None,
        enqueued_by: str | None = None,
    ) -> None:
        self.attempt = attempt
        self.waited = None if waited is None else max(0.0, waited)  # clocks differ
        self.enqueued_by = enqueued_by if enqueued_by and is_id(enqueued_by) else None

    def fields(self) -> str:
        """Write the fields of a started line, each after a comma."""
        return (
            (f',"attempt":{self.attempt:d}' if self.attempt is not None else "")
            + (f',"waited":{self.waited:.6f}' if self.waited is not None else "")
            + (f',"enqueued_by":"{self.enqueued_by}"' if self.enqueued_by else "")
        )


def retried(seen: Outcome) -> Outcome:
    """Make the outcome of an attempt that failed as *seen* says, and that will be tried again."""
    return Outcome("retried", seen.reason, seen.exit_code, seen.signal, seen.error, seen.caused_by)


def skipped(reason: str | None = None) -> Outcome:
    """Make the outcome of an execution that the framework decided against.

    The reasons are the journal's: `expired`, `revoked`, `overlap`, `missed`, `locked`, `canceled`,
    `waiting`, `rate_limited`.
    """
    return Outcome("skipped", reason)
