"""Runs that take longer than usual: those that hang, and those that were slow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from autotask import journal
from autotask.tool import limits
from autotask.tool.quantities import short_duration
from autotask.tool.troubles import wording
from autotask.tool.troubles.looking import Look, seconds
from autotask.tool.troubles.trouble import HANGING, SLOW, Event

_UNENDED = """
SELECT run, owner, parent, task, started_at, "trigger", server, pid FROM run
WHERE finished_at IS NULL AND status = 'running' AND bookkeeping IS NULL
AND +started_at <= ?  -- the plus: the few without an end have an index of their own
"""
_LONG = """
SELECT run, owner, parent, task, started_at, finished_at, duration FROM run
WHERE started_at > ? AND status = 'success' AND bookkeeping IS NULL AND duration >= ?
AND finished_at > ? AND finished_at <= ? AND server IS NULL AND "trigger" IS NOT 'terminal'
"""
# The usual longest duration is at least as long as the shortest of the last three. SQLite compares
# that faster than Python, and leaves few.
_LONGER = f"""
{_LONG} AND duration > ? * (
    SELECT min(duration) FROM (
        SELECT duration FROM run AS before
        WHERE before.task = run.task AND before.framework = run.framework
        AND before.status = 'success' AND before.started_at < run.started_at
        AND before.bookkeeping IS NULL AND before."trigger" IS NOT 'terminal'
        ORDER BY before.started_at DESC LIMIT 3
    )
)
"""
_STARTED_BEFORE = 7 * 86400.0  # seconds: of a run that took longer, it was told that it hung
_ROUNDED = 0.95  # what usual.rounded_up leaves of a limit, at least


class _Running(NamedTuple):
    run: str
    owner: int
    parent: str | None
    task: str
    started: str
    trigger: str
    server: int | None
    pid: int | None


class _Ended(NamedTuple):
    run: str
    owner: int
    parent: str | None
    task: str
    started: str
    finished: str
    duration: float


_Runs = Mapping[tuple[str, int], _Running]


def hanging(look: Look) -> Iterator[Event]:
    """Yield the runs that hang now; of several in one program the innermost.

    Under a server each run counts by itself.
    """
    rows = map(_Running._make, look.rows(_UNENDED, journal.moment(look.now)))
    runs = {(run.run, run.owner): run for run in rows}
    hung: dict[tuple[str, int], list[tuple[int, str, _Running, int]]] = {}
    known: dict[str, float | None] = {}
    for run in runs.values():
        limit = _hung_after(look, run, known)
        if limit is not None:
            tree = _above(run, runs)
            outermost = tree[-1]
            key = outermost.run, outermost.owner
            hung.setdefault(key, []).append((-len(tree), run.started, run, limit))
    for (tree_of, owner), found in hung.items():
        *_, run, limit = min(found)
        yield _hangs(look, run, limit, f"{HANGING} {tree_of}@{owner}")


def _hung_after(look: Look, run: _Running, known: dict[str, float | None]) -> int | None:
    """Return the limit in seconds that a run has passed, if it has."""
    if run.trigger == "terminal" or run.server or not look.watches(run.task, "hung"):
        return None
    age, settings = look.now - seconds(run.started), look.settings(run.task)
    if settings.hung_after is None and age < _ROUNDED * limits.HUNG.least:
        return None
    if settings.hung_after is None and run.task not in known:
        known[run.task] = look.longest(run.task, look.now)
    limit = limits.HUNG.seconds(settings, known.get(run.task))
    return limit if limit is not None and age > limit else None


def _above(run: _Running, runs: _Runs) -> list[_Running]:
    """Return a run and those around it that are running, but for servers; from the inside."""
    tree = [run]
    while tree[-1].parent:
        parent = runs.get((tree[-1].parent, run.owner))
        if parent is None or parent.server or parent in tree:
            break
        tree.append(parent)
    return tree


def _hangs(look: Look, run: _Running, limit: int, key: str) -> Event:
    at = seconds(run.started)
    for_long, at_most = short_duration(look.now - at), short_duration(limit)
    text = f"hangs: running since {wording.when(at, look.now)}, for {for_long}"
    text += f" (limit: {at_most})" + (f", pid {run.pid}" if run.pid else "")
    user = look.user(run.owner)
    return Event(HANGING, run.task, at, key, look.now, text, text, run=run.run, user=user)


def slow(look: Look) -> Iterator[Event]:
    """Yield the successes of a span of time that took too long; of several in one the innermost."""
    found = [
        (run, limit)
        for run in _long(look)
        for limit in [_slow_after(look, run)]
        if limit is not None
    ]
    outer = {(run.parent, run.owner) for run, _ in found}
    for run, limit in found:
        if (run.run, run.owner) not in outer:
            yield _was_slow(look, run, limit)


def _long(look: Look) -> Iterator[_Ended]:
    """Yield the runs that may have been slow: by the file, or by what is usual."""
    first = journal.moment(look.since - _STARTED_BEFORE)
    span = journal.moment(look.since), journal.moment(look.now)
    set_ones = [section.values.get("slow_after") for section in look.config.sections]
    least = min(filter(None, set_ones), default=None)
    if least is not None:
        for run in map(_Ended._make, look.rows(_LONG, first, least, *span)):
            if look.settings(run.task).slow_after is not None:
                yield run
    least = _ROUNDED * limits.SLOW.least
    shares = _ROUNDED * limits.SLOW.times
    for run in map(_Ended._make, look.rows(_LONGER, first, least, *span, shares)):
        if look.settings(run.task).slow_after is None:
            yield run


def _slow_after(look: Look, run: _Ended) -> int | None:
    """Return the limit in seconds that a run has passed, if it has: by the runs before it."""
    if not look.watches(run.task, "slow"):
        return None
    settings = look.settings(run.task)
    longest = None
    if settings.slow_after is None:
        longest = look.longest(run.task, seconds(run.started))
    limit = limits.SLOW.seconds(settings, longest)
    return limit if limit is not None and run.duration > limit else None


def _was_slow(look: Look, run: _Ended, limit: int) -> Event:
    at = seconds(run.finished)
    when = wording.when(at, look.now)
    return Event(
        SLOW,
        run.task,
        at,
        f"{SLOW} {run.run}@{run.owner}",
        until=at,
        once=f"was slow at {when}",
        often=f"was slow {{}} times, last at {when}",
        rest=f": it took {short_duration(run.duration)} (limit: {short_duration(limit)})",
        run=run.run,
        user=look.user(run.owner),
    )
