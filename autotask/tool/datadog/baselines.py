"""The tasks to watch and what is usual for them, from the local index or from Datadog."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from autotask import journal
from autotask.run import SERVERS
from autotask.tool import limits, supported
from autotask.tool.datadog.tags import NO_TAG, tag_value
from autotask.tool.quantities import timestamp
from autotask.tool.schedule import usual

if TYPE_CHECKING:
    from autotask.tool.journal.index import Index

    _Names = tuple[str, str, str]  # task, service, env; empty: not set

LAST_STARTS = 5  # are compared with a schedule
_NOT_SET = ("n/a", NO_TAG)  # Datadog answers `N/A` for a series without the tag

# What does not count as a run that was due: an attempt that is tried again, and a run that was
# skipped for one of these reasons. Without a reason it had nothing to do, and counts.
_NOT_DONE = tuple("expired revoked overlap missed locked canceled waiting rate_limited".split())
_NEVER_PUT_OFF = ("command lines", "task runners", "ruby", "any program")  # kinds of frameworks
NO_RUN = ("!status:retried", *(f"!reason:{reason}" for reason in _NOT_DONE))

_RUNS = """
SELECT run, parent, task, framework, service, env, "trigger", started_at, status, duration,
    status = 'retried' OR (status = 'skipped' AND reason IS NOT NULL), waited, server
FROM run WHERE started_at >= ? AND bookkeeping IS NULL ORDER BY started_at
"""


class Task(NamedTuple):
    """A task to watch; names are as Datadog stores them in tags."""

    name: str
    service: str | None = None  # None: its runs have none, or it never ran
    env: str | None = None
    framework: str = "process"
    runs: int = 0  # not counting those from a terminal
    interval: float | None = None  # usual seconds from one start to the next
    longest_interval: float | None = None  # seconds, leaving out rare gaps
    usual: float | None = None  # duration of a success, seconds
    longest: float | None = None  # the same, leaving out rare ones
    leads: bool = True  # it represents what a scheduler starts: see _leading
    spelled: str = ""  # the name as the program spells it, if known
    starts: tuple[float, ...] = ()  # the last ones, POSIX seconds, if known exactly
    last: float | None = None  # the last start, POSIX seconds
    former: tuple[tuple[str | None, str | None], ...] = ()  # services and envs it had before
    retries: int | None = None  # usual most attempts in an hour that were retried, if any were
    waits: bool = False  # it is known how long its runs waited
    server: bool = False  # it runs until it is stopped: nothing is usual for it
    program: str | None = None  # what it represents, if that always has the same name


class _Run(NamedTuple):
    """A row of the index."""

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
    is_none: bool  # see NO_RUN
    waited: float | None
    server: bool | None


def may_be_put_off(task: Task) -> bool:
    """Tell whether its runs may be retried, or skipped though they are due.

    A scheduler or a queue does that; a plugin's framework may be one.
    """
    return supported.KINDS.get(task.framework) not in _NEVER_PUT_OFF


def from_index(index: Index, now: float | None = None) -> list[Task]:
    """Return the tasks that were not started from a terminal, sorted by name."""
    now = time.time() if now is None else now
    since = journal.moment(now - limits.LOOKBACK)
    # A worker may have a million runs, of few tasks and under few parents: each text is kept once.
    once: dict[Any, Any] = {}
    runs = [
        _Run._make((row[0], *(once.setdefault(text, text) for text in row[1:7]), at, *row[8:]))
        for row in index.rows(_RUNS, (since,))
        if (at := timestamp(row[7])) is not None
    ]
    leading = _leading(runs)
    by_names: dict[_Names, list[_Run]] = {}
    retried: dict[_Names, list[float]] = {}
    for run in _innermost(runs):
        if run.trigger != "terminal":
            names = _names_of(run)
            if not run.is_none:
                by_names.setdefault(names, []).append(run)
            elif run.status == "retried":
                retried.setdefault(names, []).append(run.at)
    starts = {names: [run.at for run in group] for names, group in by_names.items()}
    former = _merge_renamed(by_names, starts, now)
    return [
        _task_from_runs(
            names,
            by_names[names],
            leading,
            former.get(names, []),
            limits.most_in_an_hour(retried.get(names, ())),
        )
        for names in sorted(by_names)
    ]


def _innermost(runs: Sequence[_Run]) -> Iterator[_Run]:
    """Leave out a program whose task has the same name: `nightly` has one start, not two."""
    names = {run.run: _names_of(run) for run in runs}
    outer = {run.parent for run in runs if run.parent and names.get(run.parent) == names[run.run]}
    return (run for run in runs if run.run not in outer)


def _names_of(run: _Run) -> _Names:
    """Return task, service and env as Datadog stores them: `Prod` and `prod` are the same."""
    return _stored(run.task, run.service, run.env)


@functools.lru_cache(maxsize=10_000)
def _stored(task: str, service: str | None, env: str | None) -> _Names:
    names = _unless_not_set(tag_value("service", service)), _unless_not_set(tag_value("env", env))
    return tag_value("task", task), *names


def by_hand(index: Index) -> int:
    """Return how many runs were started from a terminal in the same period."""
    since = journal.moment(time.time() - limits.LOOKBACK)
    query = (
        "SELECT count(*) FROM run "
        "WHERE started_at >= ? AND \"trigger\" = 'terminal' AND bookkeeping IS NULL"
    )
    ((count,),) = index.rows(query, (since,))
    return int(count)


_T = TypeVar("_T")


def _merge_renamed(
    by_names: dict[_Names, list[_T]],
    starts: Mapping[_Names, Sequence[float]],
    now: float,
    longest_pause: float = math.inf,
) -> dict[_Names, list[_Names]]:
    """Merge the runs of a task that got another service or env.

    It is one task if it stopped under the old names before it started under the new ones, and is
    overdue under the old ones. Tasks that run side by side (prod and staging) are separate.

    Args:
        by_names: The runs, or points. Those of one task are merged in place.
        starts: When they started, in order.
        now: POSIX seconds.
        longest_pause: Between old and new names, as a multiple of the longest gap between runs.

    Returns:
        The names that a task had before, by its present ones.
    """
    of_task: dict[str, list[_Names]] = {}
    for names in sorted(by_names, key=lambda names: starts[names][-1]):
        of_task.setdefault(names[0], []).append(names)
    former: dict[_Names, list[_Names]] = {}
    for variants in of_task.values():
        for old in variants[:-1]:
            last = starts[old][-1]
            gap = max((b - a for a, b in zip(starts[old], starts[old][1:])), default=0)
            latest = last + longest_pause * gap if gap else math.inf
            later = [names for names in variants if last < starts[names][0] <= latest]
            if later and now - last > gap:
                # The one with most names in common; of several, the one that started first.
                common = {
                    names: sum(name == before for name, before in zip(names, old))
                    for names in later
                }
                new = min(later, key=lambda names: (-common[names], starts[names][0]))
                by_names[new] = by_names.pop(old) + by_names[new]
                former[new] = [*former.pop(old, []), old, *former.get(new, [])]
    return former


def _leading(runs: Sequence[_Run]) -> dict[str, str]:
    """Return the run that represents each tree, with the name of the tree's program.

    It is the last task of a program, or the program.

    A scheduler starts a program. What it is about is its task, or the last one if that depends on
    others. If one of them is late, all are: one monitor is enough. Not so under a server: each of
    its runs was asked for by itself. A parent that is missing was started before all of these.
    """
    last: dict[str, str] = {}  # by the program's run
    for run in runs:
        if run.framework != "process" and run.parent:
            last[run.parent] = run.run
    programs = {run.run for run in runs if not run.server}
    roots = (run for run in runs if run.parent not in programs)
    return {last.get(run.run, run.run): run.task for run in roots}


def _task_from_runs(
    names: _Names,
    runs: list[_Run],
    leading: Mapping[str, str],
    former: Iterable[_Names],
    retries: int | None,
) -> Task:
    runs = sorted(runs, key=lambda run: run.at)
    programs = {leading[run.run] for run in runs if run.run in leading}
    server = bool(runs[-1].server)
    gaps = [after.at - before.at for before, after in zip(runs, runs[1:]) if not server]
    durations = [r.duration for r in runs if r.status == "success" and r.duration is not None]
    return _task(
        names,
        former,
        gaps,
        durations if not server else [],
        framework=runs[-1].framework,
        runs=len(runs),
        leads=2 * sum(run.run in leading for run in runs) >= len(runs),
        program=tag_value("task", programs.pop()) if len(programs) == 1 else None,
        # Of several spellings always the same one, even if they alternate.
        spelled=max(run.task for run in runs[-limits.LAST_SUCCESSES :]),
        starts=tuple(run.at for run in runs[-LAST_STARTS:]),
        last=runs[-1].at,
        retries=retries,
        waits=any(run.waited is not None for run in runs),
        server=server,
    )


def _task(
    names: _Names,
    former: Iterable[_Names],
    gaps: Sequence[float],
    durations: Sequence[float],
    **others: Any,
) -> Task:
    name, service, env = names
    interval = usual.interval(gaps)
    usual_duration, longest = limits.of_durations(durations)
    return Task(
        name=name,
        service=service or None,
        env=env or None,
        interval=interval.usual if interval else None,
        longest_interval=interval.longest if interval else None,
        usual=usual_duration,
        longest=longest,
        former=tuple((old[1] or None, old[2] or None) for old in former),
        **others,
    )


# From Datadog.

BUCKET = 3600  # seconds: a task that runs more often counts as hourly
SEEN_SPAN = 14 * 86400  # seconds
# Datadog does not know which runs were of servers: their names tell.
_SERVERS = frozenset(tag_value("task", name) for name in SERVERS.split())
_PAUSE = 1.5  # longest gaps; after a longer pause it may be another machine, and the first is down


def queries(scope: Iterable[str]) -> dict[str, str]:
    """Return what to ask Datadog for the tasks whose runs have these tags.

    By the names of what `from_series` takes.
    """

    def of(how: str, metric: str, *conditions: str) -> str:
        tags = ",".join([*conditions, *scope]) or "*"
        count = ".as_count()" if how == "sum" else ""
        by = "{task,service,env,framework}"
        return f"{how}:autotask.task.{metric}{{{tags}}} by {by}{count}.rollup({how}, {BUCKET})"

    return {
        "runs": of("sum", "runs", "!trigger:terminal", *NO_RUN),
        "durations": of("max", "duration", "status:success"),
        "retries": of("sum", "runs", "!trigger:terminal", "status:retried"),
        "waiting": of("max", "waited"),
        "starts": of("sum", "started", "!trigger:terminal"),
    }


def from_series(
    runs: Sequence[Mapping[str, Any]],
    durations: Sequence[Mapping[str, Any]],
    retries: Sequence[Mapping[str, Any]] = (),
    waiting: Sequence[Mapping[str, Any]] = (),
    starts: Sequence[Mapping[str, Any]] = (),
) -> list[Task]:
    """Return the tasks in the answers to these queries.

    Of what a framework runs for itself, Datadog knows the failures alone, and no start. So there is
    no telling how often it runs.
    """
    started = {_series_names(series)[0] for series in starts}
    if started:
        runs = [series for series in runs if _series_names(series)[0] in started]
    run_points, *others = map(_by_names, (runs, durations, retries, waiting))
    pairs = [(_series_names(series), _tags(series).get("framework", "process")) for series in runs]
    # If a program and its task have one name, the task's framework is the more precise one.
    frameworks = dict(sorted(pairs, key=lambda pair: pair[1] != "process"))
    by_names = {names: found for names, found in run_points.items() if names[0] and found}
    moments = {names: [at for at, _ in found] for names, found in by_names.items()}
    former = _merge_renamed(by_names, moments, time.time(), _PAUSE)
    return [
        _task_from_points(names, frameworks[names], by_names[names], others, former.get(names, []))
        for names in sorted(by_names)
    ]


def _by_names(answer: Iterable[Mapping[str, Any]]) -> dict[_Names, list[tuple[float, float]]]:
    """Return the points of each task, merging several series of one task.

    A program and its task, if both have one name, are two such series.
    """
    by_names: dict[_Names, dict[float, float]] = {}
    for series in answer:
        points = by_names.setdefault(_series_names(series), {})
        for at, value in _points(series):
            points[at] = max(value, points.get(at, value))
    return {names: sorted(points.items()) for names, points in by_names.items()}


def _task_from_points(
    names: _Names,
    framework: str,
    points: Sequence[tuple[float, float]],
    others: Sequence[dict[_Names, list[tuple[float, float]]]],
    former: Sequence[_Names],
) -> Task:
    of_durations, of_retries, of_waiting = others
    server = names[0] in _SERVERS
    moments = sorted(at for at, _ in points)
    gaps = [after - before for before, after in zip(moments, moments[1:]) if not server]
    durations = [
        value for variant in (*former, names) for _, value in of_durations.get(variant, [])
    ]
    retries = [value for _, value in of_retries.get(names, [])]
    return _task(
        names,
        former,
        gaps,
        durations if not server else [],
        framework=framework,
        runs=int(sum(value for _, value in points)),
        last=moments[-1],
        retries=int(usual.quantile(retries, 0.95)) if retries else None,
        waits=names in of_waiting,
        server=server,
    )


def more_often_than_a_bucket(runs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the tasks that usually run several times in a bucket: their interval is not known."""
    names = set()
    for series in runs:
        counts = [value for _, value in _points(series)]
        if counts and usual.quantile(counts, 0.5) > 1:
            names.add(_series_names(series)[0])
    return sorted(names)


def _series_names(series: Mapping[str, Any]) -> _Names:
    tags = _tags(series)
    service, env = (_unless_not_set(tags.get(key, "")) for key in ("service", "env"))
    return tags.get("task", ""), service, env


def _tags(series: Mapping[str, Any]) -> dict[str, str]:
    return dict(tag.partition(":")[::2] for tag in series.get("tag_set") or ())


def _unless_not_set(value: str) -> str:
    return "" if value.lower() in _NOT_SET else value


def _points(series: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Return times (POSIX seconds) and values, without empty buckets."""
    points = series.get("pointlist") or ()
    return [(at / 1000, value) for at, value in points if value]
