"""The time line of the last night: which tasks ran when, and beside which others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from autotask import journal
from autotask.tool.quantities import timestamp
from autotask.tool.report.contents import FAILED, INSIDE, OK, OTHER, RUNNING, Bar, Key, Lane, Task
from autotask.tool.troubles.trouble import FAILED as HAS_FAILED
from autotask.tool.troubles.trouble import HANGING, IN_A_ROW, LATE, MISSED, OVERLAP

if TYPE_CHECKING:
    from autotask.tool.journal.index import Index
    from autotask.tool.troubles.overview import Running

LANES = 40  # tasks that are shown
_TURN = 4  # of each kind, before more of the first kind: no kind hides the others
_BESIDE = 3  # tasks that are named as running at the same time
_PARTS = 300  # of the line: bars that are closer than one of them become one
_BEFORE = 86400.0  # seconds: runs that started that long before the night may reach into it
# A run is in its task's bar of that minute: of a task that runs all the time there are not more.
_RUNS = """
SELECT min(started_at), max(coalesce(finished_at, started_at)), count(*), max(status = 'running'),
    max(status = 'failure' AND reason IS NOT 'nested'), max(status = 'failure'),
    max(status = 'success')
FROM run
WHERE task = ? AND framework = ? AND started_at >= ? AND started_at < ? AND bookkeeping IS NULL
AND (finished_at >= ? OR finished_at IS NULL)
GROUP BY substr(started_at, 1, 16)
ORDER BY 1
"""
_KINDS = (RUNNING, FAILED, INSIDE, OK)  # as the query has them
_BUSY = """
SELECT task, framework, sum(started_at >= ?), sum(coalesce(duration, 0)) FROM run
WHERE started_at >= ? AND started_at < ? AND bookkeeping IS NULL
AND (finished_at >= ? OR finished_at IS NULL)
GROUP BY task, framework
"""


def counts(index: Index, begin: float, now: float) -> dict[Key, tuple[int, float]]:
    """Return the tasks that ran in a night: how many runs started in it, and how long all took.

    Runs that have not ended count as 0 seconds.
    """
    of_night, before = journal.moment(begin), journal.moment(begin - _BEFORE)
    rows = index.rows(_BUSY, (of_night, before, journal.moment(now), of_night))
    return {Key(task, framework): (runs, busy) for task, framework, runs, busy in rows}


def lanes(
    index: Index,
    tasks: Sequence[Task],
    busy: Mapping[Key, tuple[int, float]],
    running: Iterable[Running],
    span: tuple[float, float],
) -> tuple[list[Lane], int]:
    """Return the time line, the first start first, and how many tasks have no place in it.

    First come tasks that run for longer than usual, then those that failed, that did not run when
    they were due, and that overlapped; then those that took longest.

    Args:
        index: The journal's.
        tasks: All tasks.
        busy: What `counts` returned.
        running: What runs now, since whenever.
        span: When the night began, and now.
    """
    begin, now = span
    long = _still(running, begin, now)
    old = {
        Key(run.task, run.framework): Bar(begin, now, 1, RUNNING, second=False)
        for run in running
        if run.since < begin - _BEFORE and not run.server
    }
    ran = [task for task in tasks if task.key in busy or task.key in old or _unmet(task, begin)]
    took = {
        task.key: busy.get(task.key, (0, 0.0))[1] + long.get(task.key, (0.0, False))[0]
        for task in ran
    }
    beyond = {key for key, (_, is_beyond) in long.items() if is_beyond}
    chosen = _in_turns(
        (_kind(task, beyond, begin), task) for task in sorted(ran, key=lambda task: -took[task.key])
    )[:LANES]
    shown = [
        (task, [*filter(None, [old.get(task.key)]), *_bars(index, task.key, begin, now)])
        for task in chosen
    ]
    beside = _beside(shown)
    made = [
        Lane(task, bars, _unmet(task, begin), beside[task.number], rank)
        for rank, (task, bars) in enumerate(shown)
    ]
    return sorted(made, key=_first), len(ran) - len(made)


def _still(running: Iterable[Running], begin: float, now: float) -> dict[Key, tuple[float, bool]]:
    """Return for how long each task runs in the night, and whether that is more than usual."""
    found: dict[Key, tuple[float, bool]] = {}
    for run in running:
        key = Key(run.task, run.framework)
        seconds, is_beyond = found.get(key, (0.0, False))
        is_beyond |= not run.server and run.usual is not None and now - run.since > run.usual
        found[key] = seconds + now - max(run.since, begin), is_beyond
    return found


def _kind(task: Task, beyond: Collection[Key], begin: float) -> int:
    """Return the first of the kinds of lanes that a task belongs to."""
    kinds = {trouble.kind for trouble in task.troubles if trouble.at >= begin}
    is_hanging = any(trouble.kind == HANGING for trouble in task.troubles)
    of = (
        is_hanging or task.key in beyond,
        bool(kinds & {HAS_FAILED, IN_A_ROW}),
        bool(kinds & {MISSED, LATE} or _unmet(task, begin)),
        OVERLAP in kinds,
        True,
    )
    return of.index(True)


def _in_turns(tasks: Iterable[tuple[int, Task]]) -> list[Task]:
    """Return the first few tasks of each kind, then the next few of each, and so on."""
    places: Counter[int] = Counter()
    turns: list[tuple[int, int, Task]] = []
    for kind, task in tasks:
        turns.append((places[kind] // _TURN, kind, task))
        places[kind] += 1
    return [task for *_, task in sorted(turns, key=lambda turn: turn[:2])]


def _unmet(task: Task, begin: float) -> list[float]:
    """Return when a task was due in the night, and has not run."""
    late = [trouble.at for trouble in task.troubles if trouble.kind == LATE]
    return [at for at in (*task.missed, *late) if at >= begin]


def _first(lane: Lane) -> float:
    return min([*(bar.begin for bar in lane.bars[:1]), *lane.missed], default=0.0)


def _bars(index: Index, key: Key, begin: float, now: float) -> list[Bar]:
    after, before = journal.moment(begin - _BEFORE), journal.moment(now)
    rows = index.rows(_RUNS, (*key, after, before, journal.moment(begin)))
    bars: list[Bar] = []
    for started, finished, runs, *kinds in rows:
        first, last = timestamp(started), timestamp(finished)
        if first is None or last is None:
            continue
        kind = next((kind for kind, is_so in zip(_KINDS, kinds) if is_so), OTHER)
        until = now if kinds[0] else min(max(last, first), now)
        ends = max((bar.end for bar in bars), default=0.0)
        bars.append(Bar(max(first, begin), until, runs, kind, second=first < ends))
    return _joined(bars, (now - begin) / _PARTS)


def _joined(bars: Iterable[Bar], gap: float) -> list[Bar]:
    """Make one bar of those of one kind that are nearly side by side."""
    joined: list[Bar] = []
    for bar in bars:
        last = joined[-1] if joined else None
        if last and last[3:] == bar[3:] and 0 <= bar.begin - last.end < gap:
            joined[-1] = last._replace(end=bar.end, runs=last.runs + bar.runs)
        else:
            joined.append(bar)
    return joined


def _beside(shown: Sequence[tuple[Task, Sequence[Bar]]]) -> dict[int, list[Task]]:
    """Return the tasks beside which each ran, by its number; those for longest first."""
    together: dict[int, list[tuple[float, Task]]] = defaultdict(list)
    for (one, bars), (other, others) in combinations(shown, 2):
        seconds = _overlap(bars, others)
        if seconds > 0:
            together[one.number].append((seconds, other))
            together[other.number].append((seconds, one))
    return defaultdict(
        list,
        {
            number: [task for _, task in sorted(tasks, key=lambda pair: -pair[0])[:_BESIDE]]
            for number, tasks in together.items()
        },
    )


def _overlap(bars: Sequence[Bar], others: Sequence[Bar]) -> float:
    """Return for how many seconds two tasks ran at the same time."""
    seconds, mine, theirs = 0.0, 0, 0
    while mine < len(bars) and theirs < len(others):
        one, other = bars[mine], others[theirs]
        seconds += max(0.0, min(one.end, other.end) - max(one.begin, other.begin))
        if one.end < other.end:
            mine += 1
        else:
            theirs += 1
    return seconds
