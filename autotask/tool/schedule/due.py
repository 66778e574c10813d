"""Did a job run when it was due? Only what cron started counts, not runs by hand.

A due time has a run if one was started from EARLY before it until `usual_within` after it, or, if
the job was put off by design, that much later. After PUNCTUAL without one it is late; at its
deadline it is missed, and stays so. Only what is due after a certain moment counts: see `since`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from autotask.tool.schedule.cron_line import CATCHES_UP, Schedule

if TYPE_CHECKING:
    from autotask.tool.schedule.machine import Job

RAN, LATE, MISSED = "ran", "late", "missed"
NEVER_SEEN, NOT_WATCHED, UNKNOWN = "never seen", "not watched", "unknown"

# All in seconds.
EARLY = 10 * 60.0  # a run this long before it is due counts: clocks are set
PUNCTUAL = 2 * 60.0  # cron starts a job in the first seconds of a minute, on a busy machine later
SHORTEST_WITHIN = 5 * 60.0  # so late cron may wake up, and still start what was due each minute
_HOUR = 3600.0
_LOOK_BACK = 86400.0  # what was missed before is not in a verdict, but for the last time
_AT_LEAST = 2  # due times: of the last one it may not be known yet


class Verdict(NamedTuple):
    """What is known of a job the last time that it was due."""

    state: str  # one of the six words, about the last time that it was due
    last_run: float | None  # POSIX seconds, its last start
    next_due: float | None  # POSIX seconds
    missed: tuple[float, ...] = ()  # times in the last day, or the last one, that it was due
    late: float | None = None  # POSIX seconds: when it was due, if it is late
    # For callers who ask for what happened after a moment:
    missed_since: tuple[float, ...] = ()  # times that it was due, and has not run
    late_since: tuple[tuple[float, float], ...] = ()  # and that it ran after the deadline, and when


def usual_within(schedule: Schedule | None, longest: float = 0, tolerance: float = 0) -> float:
    """Return in how many seconds after it is due a job must run, unless `within` is set.

    Args:
        schedule: When it is due: before the next time.
        longest: Seconds that it may take, if it must also have finished.
        tolerance: Seconds by which it may start later by design.
    """
    within = max(_HOUR, longest) + tolerance
    return min(within, schedule.closest) if schedule else within


def starts_from(job: Job, moment: float, within: float | None = None) -> float:
    """Return from when on the starts must be known, to judge a job at a POSIX time and later."""
    rule = _Rule(job, within)
    due = _last_due(job, moment)
    return min(moment - _LOOK_BACK, moment - rule.patience - rule.latest, *due[:1]) - EARLY


def verdict(
    job: Job, starts: Sequence[float], since: float, now: float, within: float | None = None
) -> Verdict:
    """Judge a job by the starts of its runs.

    Args:
        job: The job.
        starts: POSIX seconds, in order, not counting runs from a terminal: the last one, and all
            since `starts_from`.
        since: POSIX seconds. What was due before may have been due otherwise, or on a machine that
            was off.
        now: POSIX seconds.
        within: Seconds, `within` in autotask.toml.
    """
    last_run = starts[-1] if starts else None
    coming = next_due(job, now)
    if not job.watched:
        return Verdict(NOT_WATCHED, last_run, coming)
    due = _last_due(job, now)
    rule = _Rule(job, within)
    without = rule.without_run(due, starts)
    missed = tuple(
        at
        for at in without
        if at > since and rule.deadline(at) <= now and (at > now - _LOOK_BACK or at == due[-1])
    )
    state, at = _state(due, without, since, now, rule)
    state = state or (UNKNOWN if starts else NEVER_SEEN)
    return Verdict(state, last_run, coming, missed, at if state == LATE else None)


def verdict_of_interval(
    last_run: float, usual: float, longest: float, within: float, since: float, now: float
) -> Verdict:
    """Judge a task without a schedule, by the time since its last start.

    Args:
        last_run: POSIX seconds.
        usual: Seconds from one start to the next.
        longest: The same, at most.
        within: Seconds after that, until it is missed.
        since: POSIX seconds, as for `verdict`: time counts from then on at the earliest.
        now: POSIX seconds.
    """
    due = max(last_run, since) + longest
    state = MISSED if due + within <= now else LATE if due + PUNCTUAL <= now else RAN
    if state == RAN and last_run + longest + PUNCTUAL <= now:
        state = UNKNOWN  # it has not run, perhaps because the machine was off
    missed = (due,) if state == MISSED else ()
    return Verdict(state, last_run, last_run + usual, missed, due if state == LATE else None)


def missed_between(
    job: Job,
    starts: Sequence[float],
    since: float,
    after: float,
    until: float,
    within: float | None = None,
) -> list[float]:
    """Return the due times without a run whose deadline is after *after*, up to *until*.

    See `between`.
    """
    return between(job, starts, since, after, until, within)[0]


def between(
    job: Job,
    starts: Sequence[float],
    since: float,
    after: float,
    until: float,
    within: float | None = None,
) -> tuple[list[float], list[tuple[float, float]]]:
    """Return the due times whose deadline is after *after*, up to *until*, and was not kept.

    First those without a run, then those that cron caught up later, each with that start.

    Repeated calls, each from the *until* of the last one on, return each of them once. If the clock
    was set back, go on from the latest *until*. In the first minute after a machine slept, cron may
    not have caught up yet: wait that minute.

    Args:
        job: The job.
        starts: As for `verdict`, since `starts_from` of *after*.
        since: POSIX seconds, as for `verdict`.
        after: POSIX seconds.
        until: POSIX seconds, now.
        within: Seconds, `within` in autotask.toml.
    """
    if not job.watched:
        return [], []
    rule = _Rule(job, within)
    # Earlier ones, too: a start that was late for one of them is not one of the next.
    first = max(since, after - rule.patience - rule.latest)
    due = _due_between(job, first, until)
    without = rule.without_run(due, starts)
    passed = [at for at in due if at > since and after < rule.deadline(at) <= until]
    later = ((at, rule.start_after(at, starts)) for at in passed if at not in without)
    late = [(at, start) for at, start in later if start is not None]
    return [at for at in passed if at in without], late


class _Rule:
    """By when a job has to start."""

    def __init__(self, job: Job, within: float | None) -> None:
        schedule = job.schedule
        patience = max(within or usual_within(schedule), SHORTEST_WITHIN)
        self.punctual = PUNCTUAL + job.tolerance
        self.patience = patience + job.tolerance  # until the deadline
        # The machine slept, or its clock was put forward: cron starts what was due meanwhile.
        catches_up = schedule is not None and not schedule.follows_clock
        self.latest = max(self.patience, CATCHES_UP * catches_up + self.punctual)
        self.early = min(EARLY, schedule.closest / 10) if schedule else EARLY

    def deadline(self, due: float) -> float:
        """Return when a due time is missed."""
        return due + self.patience

    def without_run(self, due: Sequence[float], starts: Sequence[float]) -> list[float]:
        """Return the due times without a run until their deadline, and that cron did not catch up.

        If cron catches up several, it starts as many at once. So the first start until the next
        due time is of the last one, and further ones are of those before.
        """
        served: set[int] = set()
        spare = []
        for start in starts:
            number = bisect_right(due, start + self.early) - 1
            if number in served:
                spare.append(start)
            elif number >= 0 and start <= due[number] + self.latest:
                served.add(number)
        spare.reverse()
        return [
            at
            for number, at in enumerate(due)
            if number not in served
            and not self._has_run(at, starts)
            and not self._takes_one(at, spare)
        ]

    def start_after(self, due: float, starts: Sequence[float]) -> float | None:
        """Return the first start for a due time, if that was after its deadline."""
        first = bisect_left(starts, due - self.early)
        is_late = first < len(starts) and starts[first] > self.deadline(due)
        return starts[first] if is_late else None

    def _has_run(self, due: float, starts: Sequence[float]) -> bool:
        first = bisect_left(starts, due - self.early)
        return first < len(starts) and starts[first] <= self.deadline(due)

    def _takes_one(self, due: float, spare: list[float]) -> bool:
        """Take the first spare start that may be this one's; *spare* is in reverse order."""
        while spare and spare[-1] < due:
            spare.pop()
        if spare and spare[-1] <= due + self.latest:
            spare.pop()
            return True
        return False


def _state(
    due: Sequence[float], without: Sequence[float], since: float, now: float, rule: _Rule
) -> tuple[str | None, float | None]:
    """Return what became of the last due time of which that is known, and that time."""
    for at in reversed(due):
        if at not in without:
            return RAN, at
        if now < at + rule.punctual:
            continue  # it may still come
        if at <= since:
            return None, None
        return (MISSED if rule.deadline(at) <= now else LATE), at
    return None, None


def next_due(job: Job, now: float) -> float | None:
    """Return when a job is next due, in POSIX seconds; None if that is not known."""
    if job.schedule is None:
        return job.next_due
    return job.schedule.next_after(datetime.fromtimestamp(now, timezone.utc)).timestamp()


def _last_due(job: Job, now: float) -> list[float]:
    """Return when it was due in the last day, at least the last two times."""
    due = _due_between(job, now - _LOOK_BACK, now)
    while job.schedule and len(due) < _AT_LEAST:
        before = job.schedule.last_until(due[0] - 1 if due else now)
        if before is None:
            break
        due.insert(0, before)
    return due or [at for at in (job.last_due,) if at is not None and at <= now]


def _due_between(job: Job, after: float, until: float) -> list[float]:
    if job.schedule is not None:
        return job.schedule.due_between(after, until)
    known = {at for at in (job.last_due, job.next_due) if at is not None}
    return sorted(at for at in known if after < at <= until)
