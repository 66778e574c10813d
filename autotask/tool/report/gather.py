"""Gather from the index what a report says: counts in SQLite, details only of what matters."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from autotask import journal
from autotask.settings import Settings
from autotask.tool import expected
from autotask.tool.journal.record import COLUMNS, Record, from_row
from autotask.tool.quantities import timestamp
from autotask.tool.report import days, night
from autotask.tool.report.contents import FAILED, OK, Cell, Detail, Key, Point, Report, Task
from autotask.tool.report.days import Day
from autotask.tool.schedule import due, zone
from autotask.tool.schedule.due import Verdict
from autotask.tool.troubles import overview
from autotask.tool.troubles.overview import Overview, TaskView
from autotask.tool.troubles.trouble import FAILED as HAS_FAILED
from autotask.tool.troubles.trouble import IN_A_ROW, KINDS, MISSED, Trouble

if TYPE_CHECKING:
    from autotask.tool.datadog.config import Config
    from autotask.tool.journal.index import Index
    from autotask.tool.schedule.machine import Job

NIGHT = 86400.0  # seconds: the last night is the day until now
DETAILED = 200  # tasks that matter, and have details
_FAILED = 5  # of a task, the last ones
_RECORDS = 100  # troubles whose run is looked at
_SPOTS = 50  # of a task, the last runs

_STATUSES = """
SELECT task, framework, status, count(*) FROM run
WHERE started_at >= ? AND started_at < ? AND bookkeeping IS NULL GROUP BY task, framework, status
"""
_PASSED_ON = """
SELECT task, framework, count(*) FROM run
WHERE started_at >= ? AND started_at < ? AND bookkeeping IS NULL
AND status = 'failure' AND reason = 'nested' GROUP BY task, framework
"""
# As in `overview`: the few runs without an end are to be found by their own index.
_RUNNING = """
SELECT task, framework, started_at FROM run
WHERE finished_at IS NULL AND status = 'running' AND started_at IS NOT NULL
AND bookkeeping IS NULL ORDER BY +started_at
"""
_NIGHT_FAILED = """
SELECT count(*), coalesce(sum("trigger" = 'terminal'), 0) FROM run
WHERE started_at >= ? AND started_at < ? AND bookkeeping IS NULL
AND status = 'failure' AND reason IS NOT 'nested'
"""
_LAST_SUCCESS = """
SELECT duration FROM run
WHERE task = ? AND framework = ? AND status = 'success' AND started_at IS NOT NULL
AND bookkeeping IS NULL ORDER BY started_at DESC LIMIT 1
"""
# Of a program's last run, the tasks directly under it: two are enough to know.
_INSIDE = """
SELECT framework FROM run AS inner
WHERE parent = (
    SELECT run FROM run WHERE task = ? AND framework = 'process' AND started_at = ?
) AND started_at IS NOT NULL AND bookkeeping IS NULL LIMIT 2
"""
_FAILURES = f"""
SELECT {COLUMNS}, owner FROM run
WHERE task = ? AND framework = ? AND status = 'failure' AND reason IS NOT 'nested'
AND started_at >= ? AND bookkeeping IS NULL ORDER BY started_at DESC LIMIT {_FAILED}
"""
_POINTS = f"""
SELECT started_at, duration, status FROM run
WHERE task = ? AND framework = ? AND status IN ('success', 'failure')
AND bookkeeping IS NULL ORDER BY started_at DESC LIMIT {_SPOTS}
"""
# As in `failures`: also one that a person started.
_RECOVERED = """
SELECT (
    SELECT finished_at FROM run AS after
    WHERE task = failed.task AND framework = failed.framework AND owner = failed.owner
    AND status = 'success' AND started_at > failed.started_at ORDER BY started_at LIMIT 1
) FROM run AS failed WHERE run = ?
"""
_RECORD = f"SELECT {COLUMNS}, owner FROM run WHERE run = ? AND started_at IS NOT NULL"


class _Counts:
    """The runs of the tasks in each day of the period."""

    def __init__(self, index: Index | None, columns: Sequence[Day], since: float) -> None:
        # What was before the first column counts in the rates.
        early = [Day(columns[0].date, since, columns[0].begin)] if since < columns[0].begin else []
        self._hidden = len(early)
        self._spans = [*early, *columns]
        self._statuses: dict[Key, list[dict[str, int]]] = {}
        self._passed_on: dict[tuple[Key, int], int] = {}
        self._running: dict[Key, list[str]] = defaultdict(list)  # when they started, in order
        for task, framework, started in index.rows(_RUNNING) if index else ():
            self._running[Key(task, framework)].append(started)
        for number, day in enumerate(self._spans if index else ()):
            assert index is not None
            self._read(index, number, (journal.moment(day.begin), journal.moment(day.end)))

    def _read(self, index: Index, number: int, span: tuple[str, str]) -> None:
        for task, framework, status, runs in index.rows(_STATUSES, span):
            key = Key(task, framework)
            of_days = self._statuses.setdefault(key, [{} for _ in self._spans])
            of_days[number][status] = runs
        for task, framework, runs in index.rows(_PASSED_ON, span):
            self._passed_on[Key(task, framework), number] = runs

    def cells(self, key: Key, missed: Mapping[int, int]) -> list[Cell]:
        """Return the days of a task; *missed* has by column how often it did not run."""
        return [
            self._cell(key, number, missed.get(number - self._hidden, 0))
            for number in range(self._hidden, len(self._spans))
        ]

    def _cell(self, key: Key, number: int, missed: int) -> Cell:
        statuses = self._statuses[key][number] if key in self._statuses else {}
        inside = self._passed_on.get((key, number), 0)
        return Cell(
            runs=sum(statuses.values()),
            succeeded=statuses.get("success", 0),
            failed=statuses.get("failure", 0) - inside,
            inside=inside,
            running=bisect_left(self._running[key], journal.moment(self._spans[number].end)),
            missed=missed,
        )

    def total(self, key: Key, status: str) -> int:
        """Return how many runs of a task have a status."""
        return sum(statuses.get(status, 0) for statuses in self._statuses.get(key, ()))

    def running(self, key: Key) -> int:
        """Return how many runs of a task have not ended."""
        return len(self._running.get(key, ()))

    def runs(self, key: Key) -> int:
        """Return how many runs a task has."""
        return sum(sum(statuses.values()) for statuses in self._statuses.get(key, ()))

    def own_failures(self, key: Key) -> int:
        """Return how many runs failed for a reason of their own."""
        passed_on = (self._passed_on.get((key, n), 0) for n in range(len(self._spans)))
        return self.total(key, "failure") - sum(passed_on)


def gather(
    index: Index | None, jobs: Sequence[Job], config: Config, since: float, now: float
) -> Report:
    """Gather a report.

    Args:
        index: The journal's; None before the first run.
        jobs: Of this machine.
        config: autotask.toml.
        since: POSIX seconds, how far to look back. The first day is in the report as a whole.
        now: POSIX seconds.
    """
    columns = days.between(since, now)
    since = min(columns[0].begin, since)
    begin = now - NIGHT
    seen = overview.overview(index, jobs, config, begin, now)
    names = {view.summary.task for view in seen.tasks if not view.summary.server}
    verdicts = expected.of_jobs(jobs, names, index, config, now, since)
    missed = _missed(verdicts, seen.troubles)
    tasks = _tasks(index, seen, missed, _Counts(index, columns, since), columns)
    busy = night.counts(index, begin, now) if index else {}
    lanes, unshown = (
        night.lanes(index, tasks, busy, seen.running, (begin, now)) if index else ([], 0)
    )
    span = journal.moment(begin), journal.moment(now)
    failed, by_hand = next(index.rows(_NIGHT_FAILED, span)) if index else (0, 0)
    return Report(
        host=os.uname().nodename,
        home=Settings(os.environ).home or "",
        now=now,
        zone=zone.of_this_machine(),
        night=begin,
        since=since,
        dates=[day.date for day in columns],
        runs=sum(runs for runs, _ in busy.values()),
        ran=sum(runs > 0 for runs, _ in busy.values()),
        failed=failed,
        by_hand=by_hand,
        troubles=seen.troubles,
        records=_records(index, seen.troubles),
        recovered=_recovered(index, seen.troubles),
        tasks=tasks,
        lanes=lanes,
        unshown=unshown,
        details=_details(index, tasks, since),
    )


def _tasks(
    index: Index | None,
    seen: Overview,
    missed: Mapping[str, set[float]],
    counts: _Counts,
    columns: Sequence[Day],
) -> list[Task]:
    """Return the tasks that ran in the period, and those of which something is to tell."""
    by_name: dict[str, list[Trouble]] = defaultdict(list)
    for trouble in seen.troubles:
        by_name[trouble.task].append(trouble)
    tasks = [
        _task(index, view, by_name[view.summary.task], missed[view.summary.task], counts, columns)
        for view in seen.tasks
        if not view.summary.bookkeeping
    ]
    tasks = [
        task
        for task in tasks
        if task.matters
        or task.verdict == due.NEVER_SEEN
        or ((task.runs or task.days[-1].running) and not _is_layer(index, task))
    ]
    tasks.sort(key=lambda task: (_rank(task), task.key))
    return [task._replace(number=number) for number, task in enumerate(tasks)]


def _rank(task: Task) -> int:
    """Return where a task comes: the one with the worst trouble first."""
    kinds = [KINDS.index(each.kind) for each in task.troubles if each.kind in KINDS]
    return min(kinds, default=len(KINDS) + (not task.matters))


def _task(
    index: Index | None,
    view: TaskView,
    troubles: Sequence[Trouble],
    missed: Iterable[float],
    counts: _Counts,
    columns: Sequence[Day],
) -> Task:
    summary = view.summary
    key = Key(summary.task, summary.framework)
    last = next(index.rows(_LAST_SUCCESS, key), None) if index else None
    succeeded = counts.total(key, "success")
    ended = succeeded + counts.total(key, "failure")
    return Task(
        key=key,
        number=0,
        days=counts.cells(key, _by_day(missed, columns)),
        rate=succeeded / ended if ended else None,
        runs=counts.runs(key),
        failed=counts.own_failures(key),
        retried=counts.total(key, "retried"),
        running=counts.running(key),
        last_run=timestamp(summary.last_run),
        last_status=summary.last_status,
        server=summary.server,
        next_due=timestamp(summary.next_due),
        verdict=summary.verdict,
        usual=summary.usual_duration,
        band=view.band,
        last=last[0] if last and not summary.server else None,
        missed=sorted(missed),
        troubles=troubles,
    )


def _is_layer(index: Index | None, task: Task) -> bool:
    """Tell whether a program only runs one task, which has a row of its own."""
    if index is None or task.key.framework != "process" or task.server or task.last_run is None:
        return False
    inside = list(index.rows(_INSIDE, (task.key.task, journal.moment(task.last_run))))
    return len(inside) == 1 and inside[0][0] != "process"


def _missed(verdicts: Mapping[str, Verdict], troubles: Iterable[Trouble]) -> dict[str, set[float]]:
    """Return when each task was due in the period, and did not run."""
    missed: dict[str, set[float]] = defaultdict(set)
    for name, verdict in verdicts.items():
        task = os.fsencode(name).decode("utf-8", "backslashreplace")
        missed[task].update(verdict.missed_since)
    for trouble in troubles:  # of tasks that have no schedule, too
        if trouble.kind == MISSED:
            missed[trouble.task].add(trouble.at)
    return missed


def _by_day(missed: Iterable[float], columns: Sequence[Day]) -> Counter[int]:
    """Return how often a task did not run, by the number of the day."""
    return Counter(
        number for at in missed for number, day in enumerate(columns) if day.begin <= at < day.end
    )


def _records(index: Index | None, troubles: Iterable[Trouble]) -> dict[str, Record]:
    wanted = [trouble.run for trouble in troubles if trouble.run][:_RECORDS]
    if index is None:
        return {}
    return {str(record["run"]): record for run in wanted for record in _read(index, _RECORD, run)}


def _recovered(index: Index | None, troubles: Iterable[Trouble]) -> dict[str, float]:
    failed = [one.run for one in troubles if one.run and one.kind in (HAS_FAILED, IN_A_ROW)]
    found = {}
    for run in failed if index else ():
        assert index is not None
        for (finished,) in index.rows(_RECOVERED, (run,)):
            at = timestamp(finished)
            if at is not None:
                found[run] = at
    return found


def _details(index: Index | None, tasks: Iterable[Task], since: float) -> dict[Key, Detail]:
    if index is None:
        return {}
    matter = [task.key for task in tasks if task.matters][:DETAILED]
    after = journal.moment(since)
    return {
        key: Detail(list(_read(index, _FAILURES, *key, after)), _points(index, key))
        for key in matter
    }


def _points(index: Index, key: Key) -> list[Point]:
    points = [
        Point(at, duration, OK if status == "success" else FAILED)
        for started, duration, status in index.rows(_POINTS, key)
        if (at := timestamp(started)) is not None and duration is not None
    ]
    return points[::-1]


def _read(index: Index, statement: str, *values: str) -> Iterator[Record]:
    for *row, owner in index.rows(statement, values):
        record = from_row(row, index.shared)
        record["output"] = index.kept.of_failure(index, record["run"], owner)
        yield record
