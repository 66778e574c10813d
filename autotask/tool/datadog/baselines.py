"""The tasks to be watched, and what is usual for them: from the local index, or from Datadog."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from autotask import journal
from autotask.dogstatsd import tag
from autotask.tool.quantities import timestamp

if TYPE_CHECKING:
    from autotask.tool.journal.index import Index

    _Names = tuple[str, str, str]

LOOKBACK = 60 * 86400  # seconds of history that say what is usual
LAST_SUCCESSES = 50  # and of these the last ones, for durations
ENOUGH_SUCCESSES = 5
ENOUGH_GAPS = 3  # between starts, before an interval counts as learned
LAST_STARTS = 5  # that are held against a schedule
NO_TAG = "unknown"  # what older versions have sent instead of no tag
_NONE = ("n/a", NO_TAG)  # `N/A` is how Datadog answers for series without a tag
_RARE = 0.03  # the longest gaps, once there are many: a machine that was off says nothing

_RUNS = """
SELECT run, parent, task, framework, service, env, "trigger", started_at, status, duration
FROM run WHERE started_at >= ? ORDER BY started_at
"""


class Task(NamedTuple):
    """A task to be watched; names are as Datadog keeps them in tags."""

    name: str
    service: str | None = None  # None: none was seen, or whichever
    env: str | None = None
    framework: str = "process"
    runs: int = 0  # not from a terminal
    interval: float | None = None  # seconds, usual, from one start to the next
    longest_interval: float | None = None  # seconds, usual
    usual: float | None = None  # seconds, of successes
    longest: float | None = None  # seconds, usual, of successes
    leads: bool = True  # it stands for what a scheduler starts; its fellows go with it
    spelled: str = ""  # the name as the program spells it, where that is known
    starts: tuple[float, ...] = ()  # the last ones, POSIX seconds, where they are known exactly
    last: float | None = None  # when it started last, POSIX seconds
    former: tuple[tuple[str | None, str | None], ...] = ()  # services and envs that it ran under


class _Started(NamedTuple):
    """A run, as it is read from the index."""

    run: str
    parent: str | None
    task: str
    framework: str
    service: str | None
    env: str | None
    trigger: str
    at: float
    status: str
    duration: float | None


def from_index(index: Index, now: float | None = None) -> list[Task]:
    """Learn the tasks that something else than a terminal started, in the order of their names."""
    now = time.time() if now is None else now
    since = journal.moment(now - LOOKBACK)
    runs = list(_read(index.rows(_RUNS, (since,))))
    leading = _leading(runs)
    groups: dict[tuple[str, str, str], list[_Started]] = {}
    for run in _innermost(runs):
        if run.trigger != "terminal":
            groups.setdefault(_names_of(run), []).append(run)
    former = _join(groups, {key: [run.at for run in groups[key]] for key in groups}, now)
    return [_learned(key, groups[key], leading, former.get(key, [])) for key in sorted(groups)]


def _innermost(runs: Sequence[_Started]) -> Iterator[_Started]:
    """Leave out a program around a task of its name: `nightly` has one start, and not two."""
    names = {run.run: _names_of(run) for run in runs}
    around = {run.parent for run in runs if run.parent and names.get(run.parent) == names[run.run]}
    return (run for run in runs if run.run not in around)


def _names_of(run: _Started) -> tuple[str, str, str]:
    """Return task, service and env as Datadog keeps them: `Prod` and `prod` are one."""
    service, env = (_said(tag_value(*one)) for one in (("service", run.service), ("env", run.env)))
    return tag_value("task", run.task), service, env


def from_terminal(index: Index) -> int:
    """Return how many runs in the same time a terminal started."""
    since = journal.moment(time.time() - LOOKBACK)
    counted = "SELECT count(*) FROM run WHERE started_at >= ? AND \"trigger\" = 'terminal'"
    ((count,),) = index.rows(counted, (since,))
    return int(count)


_Key = TypeVar("_Key", bound="tuple[str, ...]")  # a name, a service, an environment, ...


def _join(
    groups: dict[_Key, list[Any]],
    starts: Mapping[_Key, Sequence[float]],
    now: float,
    longest_pause: float = math.inf,
) -> dict[_Key, list[_Key]]:
    """Put the runs of one task together that were tagged otherwise at another time.

    A task that got another env or service lives on under it: the one stopped before the other
    began, and is overdue. Those that run side by side (prod and staging) are several tasks.

    Args:
        groups: The runs, by their tags; those of one task are put together.
        starts: When they started, in order.
        now: In POSIX seconds.
        longest_pause: Between the two, in longest gaps between its runs.

    Returns:
        Under which keys a task ran formerly.
    """
    fellows: dict[str, list[_Key]] = {}
    for key in sorted(groups, key=lambda key: starts[key][-1]):
        fellows.setdefault(key[0], []).append(key)
    former: dict[_Key, list[_Key]] = {}
    for keys in fellows.values():
        for key in keys[:-1]:
            last = starts[key][-1]
            gap = max((b - a for a, b in zip(starts[key], starts[key][1:])), default=0)
            latest = last + longest_pause * gap if gap else math.inf
            later = [one for one in keys if last < starts[one][0] <= latest]
            if later and now - last > gap:
                heir = min(later, key=lambda one: (-_shared(one, key), starts[one][0]))
                groups[heir] = groups.pop(key) + groups[heir]
                former[heir] = [*former.pop(key, []), key, *former.get(heir, [])]
    return former


def _read(rows: Iterable[Sequence[Any]]) -> Iterator[_Started]:
    for row in rows:
        at = timestamp(row[7])
        if at is not None:
            yield _Started._make((*row[:7], at, *row[8:]))


def _leading(runs: Sequence[_Started]) -> set[str]:
    """Return the run of each tree that stands for it: the last task of a program, or the program.

    A scheduler starts a program; what it is about is its task, or the last one where others are
    needed first. One of them is late where all are.
    """
    last: dict[str, str] = {}  # by the program's run
    for run in runs:
        if run.framework != "process" and run.parent:
            last[run.parent] = run.run
    roots = (run for run in runs if run.parent is None)
    return {last.get(run.run, run.run) for run in roots}


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    return sum(mine == theirs for mine, theirs in zip(one, other))


def _learned(
    key: tuple[str, str, str],
    runs: list[_Started],
    leading: set[str],
    former: Iterable[tuple[str, str, str]],
) -> Task:
    name, service, env = key
    runs = sorted(runs, key=lambda run: run.at)
    gaps = [after.at - before.at for before, after in zip(runs, runs[1:])]
    durations = [r.duration for r in runs if r.status == "success" and r.duration is not None]
    return _task(
        name=name,
        service=service or None,
        env=env or None,
        framework=runs[-1].framework,
        runs=len(runs),
        gaps=gaps,
        durations=durations[-LAST_SUCCESSES:],
        leads=2 * sum(run.run in leading for run in runs) >= len(runs),
        spelled=max(run.task for run in runs[-LAST_SUCCESSES:]),  # one, of several that take turns
        starts=tuple(run.at for run in runs[-LAST_STARTS:]),
        last=runs[-1].at,
        former=tuple((one[1] or None, one[2] or None) for one in former),
    )


def _task(gaps: Sequence[float], durations: Sequence[float], **known: Any) -> Task:
    regular = len(gaps) >= ENOUGH_GAPS
    steady = len(durations) >= ENOUGH_SUCCESSES
    return Task(
        interval=_quantile(gaps, 0.5) if regular else None,
        longest_interval=_quantile(gaps, 1 - _RARE) if regular else None,
        usual=_quantile(durations, 0.5) if steady else None,
        longest=_quantile(durations, 0.95) if steady else None,
        **known,
    )


def _quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that so many of them do not exceed."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def tag_value(key: str, value: str | None) -> str:
    """Return a value as Datadog keeps it in a tag."""
    return tag(key, value or "")[len(key) + 1 :]


# What Datadog itself has seen.

RUNS_SEEN = (
    "sum:autotask.task.runs{{!trigger:terminal{scope}}} "
    "by {{task,service,env,framework}}.as_count().rollup(sum, {bucket})"
)
DURATIONS_SEEN = (
    "max:autotask.task.duration{{status:success{scope}}} "
    "by {{task,service,env,framework}}.rollup(max, {bucket})"
)
BUCKET = 3600  # seconds: what is more frequent counts as hourly
SEEN_SPAN = 14 * 86400  # seconds
_PAUSE = (
    1.5  # longest gaps: what begins later may be another machine's, and the first one's trouble
)


def from_series(
    runs: Sequence[Mapping[str, Any]], durations: Sequence[Mapping[str, Any]]
) -> list[Task]:
    """Learn the tasks from what the two queries above answered."""
    seen, lasted = _by_names(runs), _by_names(durations)
    pairs = [(_names(one), _tags(one).get("framework", "process")) for one in runs]
    frameworks = dict(sorted(pairs, key=lambda pair: pair[1] != "process"))
    groups = {names: points for names, points in seen.items() if names[0] and points}
    starts = {names: [at for at, _ in points] for names, points in groups.items()}
    former = _join(groups, starts, time.time(), _PAUSE)
    return [
        _of_series(names, frameworks[names], groups[names], lasted, former.get(names, []))
        for names in sorted(groups)
    ]


def _by_names(answer: Iterable[Mapping[str, Any]]) -> dict[_Names, list[tuple[float, float]]]:
    """Return the points of each task; of several series that are one task, as of one.

    A program and a task in it that have one name are such.
    """
    found: dict[_Names, dict[float, float]] = {}
    for series in answer:
        points = found.setdefault(_names(series), {})
        for at, value in _points(series):
            points[at] = max(value, points.get(at, value))
    return {names: sorted(points.items()) for names, points in found.items()}


def _of_series(
    names: _Names,
    framework: str,
    points: Sequence[tuple[float, float]],
    lasted: Mapping[_Names, list[tuple[float, float]]],
    former: Sequence[_Names],
) -> Task:
    moments = sorted(at for at, _ in points)
    durations = [value for one in (*former, names) for _, value in lasted.get(one, [])]
    return _task(
        name=names[0],
        service=names[1] or None,
        env=names[2] or None,
        framework=framework,
        runs=int(sum(value for _, value in points)),
        gaps=[after - before for before, after in zip(moments, moments[1:])],
        durations=durations[-LAST_SUCCESSES:],
        last=moments[-1],
        former=tuple((one[1] or None, one[2] or None) for one in former),
    )


def often(runs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the tasks that mostly run more than once in a bucket: how often is not known."""
    counts = ((_names(one)[0], [value for _, value in _points(one)]) for one in runs)
    return sorted({name for name, values in counts if values and _quantile(values, 0.5) > 1})


def _names(series: Mapping[str, Any]) -> _Names:
    tags = _tags(series)
    service, env = (_said(tags.get(key, "")) for key in ("service", "env"))
    return tags.get("task", ""), service, env


def _tags(series: Mapping[str, Any]) -> dict[str, str]:
    return dict(one.partition(":")[::2] for one in series.get("tag_set") or ())


def _said(value: str) -> str:
    return "" if value.lower() in _NONE else value


def _points(series: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Return moments (POSIX seconds) and values; buckets in which nothing was are left out."""
    points = series.get("pointlist") or ()
    return [(at / 1000, value) for at, value in points if value]
