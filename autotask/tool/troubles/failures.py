"""Failures: each once, or once for so many in a row.

Not those that pass on another run's failure, and not those that a person started at a terminal. Of
what a framework runs for itself they count: the runs around it only pass them on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from autotask import journal
from autotask.tool import limits
from autotask.tool.datadog.config import TaskSettings
from autotask.tool.journal.record import COLUMNS, from_row
from autotask.tool.troubles import wording
from autotask.tool.troubles.looking import Look, seconds
from autotask.tool.troubles.trouble import FAILED, IN_A_ROW, Event

_COUNTS = """"trigger" IS NOT 'terminal' AND reason IS NOT 'nested'"""
# The condition on started_at makes SQLite go through an index, and not through whole rows. A run
# without an end is lost, and nobody could write that.
_FAILED = """
SELECT run, owner, task, started_at, finished_at, server FROM run
WHERE started_at > '' AND status = 'failure'
AND (finished_at > ? AND finished_at <= ? OR finished_at IS NULL)
"""
_FAILURES = f"{_FAILED} AND {_COUNTS}"
_BY_HAND = f"{_FAILED} AND \"trigger\" = 'terminal' AND reason IS NOT 'nested'"
_TASKS = """
SELECT DISTINCT task, framework, owner FROM run WHERE started_at > '' AND status = 'failure'
"""
_LAST = f"""
SELECT run, owner, task, started_at, finished_at, server FROM run
WHERE task = ? AND framework = ? AND status = 'failure' AND owner = ? AND {_COUNTS}
ORDER BY started_at DESC LIMIT ?
"""
# Also one that a person started: then it is mended.
_SUCCEEDED = """
SELECT 1 FROM run WHERE task = ? AND framework = ? AND status = 'success' AND owner = ?
AND started_at > ? LIMIT 1
"""
_SINCE_THEN = """
SELECT 1 FROM run AS failed, run AS later
WHERE failed.run = ? AND failed.owner = ? AND later.task = failed.task
AND later.framework = failed.framework AND later.status = 'success'
AND later.started_at > failed.started_at AND later.owner = failed.owner LIMIT 1
"""
_ENDED = f"""
SELECT run, owner, task, started_at, finished_at, server, status FROM run
WHERE task = ? AND owner = ? AND status IN ('success', 'failure') AND {_COUNTS}
"""
_SINCE = f"{_ENDED} AND started_at >= ?"
_BEFORE = f"{_ENDED} AND started_at < ? ORDER BY started_at DESC LIMIT ?"
_RECORD = f"SELECT {COLUMNS} FROM run WHERE run = ? AND owner = ?"


class _Run(NamedTuple):
    run: str
    owner: int
    task: str
    started: str
    finished: str | None
    server: int | None
    status: str = "failure"


def events(look: Look) -> Iterator[Event]:
    """Yield the failures of a span of time."""
    for task, failures in _groups(look, _FAILURES):
        settings = settings_of(look, task)
        if not look.wants(task) or "failed" in settings.without:
            continue
        if limits.counts_in_a_row(settings, bool(failures[-1].server)):
            yield from _in_a_row(look, failures, settings)
        else:
            yield from _each(look, failures)


def by_hand(look: Look) -> Iterator[Event]:
    """Yield the failures of a span of time that a person started at a terminal."""
    for task, failures in _groups(look, _BY_HAND):
        if look.wants(task):
            for event in _each(look, failures):
                yield event._replace(rest=f"{event.rest}, started at a terminal")


def _groups(look: Look, statement: str) -> list[tuple[str, list[_Run]]]:
    """Return failures of the span of time by the task, and by the user."""
    groups: dict[tuple[str, int], list[_Run]] = {}
    span = journal.moment(look.since), journal.moment(look.now)
    for run in map(_Run._make, _padded(look.rows(statement, *span))):
        groups.setdefault((run.task, run.owner), []).append(run)
    return [(task, failures) for (task, _), failures in groups.items()]


def standing(look: Look) -> Iterator[Event]:
    """Yield an event for each task that has failed, and has not succeeded since."""
    for task, framework, owner in list(look.rows(_TASKS)):
        settings = look.settings(task)
        if not look.watches(task, "failed"):
            continue
        of_task = task, framework
        count = settings.failures_in_a_row
        found = look.rows(_LAST, *of_task, owner, count)
        failed = list(map(_Run._make, _padded(found)))
        if failed and failed[0].server:
            failed, count = failed[:1], 1
        if len(failed) < count or not _is_since(look, failed[-1]):
            continue
        if not any(look.rows(_SUCCEEDED, *of_task, owner, failed[-1].started)):
            yield _event(look, failed[0], IN_A_ROW if count > 1 else FAILED, count)


def _is_since(look: Look, run: _Run) -> bool:
    return run.finished is None or seconds(run.finished) > look.since


def settings_of(look: Look, task: str) -> TaskSettings:
    """Return the settings for failures: those of a retired task alert, too, by the defaults."""
    settings = look.settings(task)
    return look.config.defaults if settings.retired else settings


def _padded(rows: Iterator[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
    return ((*row, "failure") for row in rows)


def _each(look: Look, failures: Sequence[_Run]) -> Iterator[Event]:
    """Yield the failures. Of the new ones only the last needs its text: there may be very many."""
    new = [failure for failure in failures if _key(failure) not in look.told.keys]
    last = max(new, key=lambda run: run.finished or "~", default=None)
    for failure in failures:
        if failure is last:
            yield _event(look, failure, FAILED)
        else:
            at = _ended(look, failure)
            user = look.user(failure.owner)
            yield Event(FAILED, failure.task, at, _key(failure), at, "", "", user=user)


def _in_a_row(look: Look, failures: Sequence[_Run], settings: TaskSettings) -> Iterator[Event]:
    """Yield each failure that makes so many without a success between them; not those after it."""
    count = settings.failures_in_a_row
    oldest = min(failures, key=lambda run: run.started)
    task, owner, started = oldest.task, oldest.owner, oldest.started
    runs = list(map(_Run._make, look.rows(_BEFORE, task, owner, started, count)))
    runs += map(_Run._make, look.rows(_SINCE, task, owner, started))
    runs.sort(key=lambda run: run.finished or "~")
    inside = {failure.run for failure in failures}
    row = 0
    for run in runs:
        row = row + 1 if run.status == "failure" else 0
        if row == count and run.run in inside:
            yield _event(look, run, IN_A_ROW if count > 1 else FAILED, count)


def _event(look: Look, run: _Run, kind: str, count: int = 1) -> Event:
    at = _ended(look, run)
    when = wording.when(at, look.now)
    once, often = f"failed at {when}", f"failed {{}} times, last at {when}"
    if count > 1:
        once = f"failed {count} times in a row, last at {when}"
        often = f"failed {count} times in a row {{}} times, last at {when}"
    rest = _why(look, run)
    if any(look.rows(_SINCE_THEN, run.run, run.owner)):
        rest += ", has succeeded since"
    user = look.user(run.owner)
    return Event(kind, run.task, at, _key(run), at, once, often, rest, run=run.run, user=user)


def _why(look: Look, run: _Run) -> str:
    if look.index is None:
        return ""
    (row,) = look.rows(_RECORD, run.run, run.owner)
    output = look.index.kept.of_failure(look.index, run.run, run.owner)
    return wording.why(from_row(row), output)


def _ended(look: Look, run: _Run) -> float:
    return look.now if run.finished is None else seconds(run.finished)


def _key(run: _Run) -> str:
    return f"{FAILED} {run.run}@{run.owner}"
