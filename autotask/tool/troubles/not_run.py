"""What was due and did not run, or has not run yet."""

from __future__ import annotations

from collections.abc import Iterator

from autotask.tool import expected, summaries
from autotask.tool.expected import Past
from autotask.tool.journal.run_rows import stored
from autotask.tool.quantities import short_duration, timestamp
from autotask.tool.schedule import due, standing
from autotask.tool.schedule.due import Verdict
from autotask.tool.troubles import wording
from autotask.tool.troubles.looking import PAIRS, Look, seconds
from autotask.tool.troubles.trouble import LATE, MISSED, Event

_DAY = 86400.0
_SERVERS = "SELECT DISTINCT task FROM run WHERE started_at > '' AND server IS NOT NULL"
# A start that failed is one, too. Each status by itself is one step in an index for each row.
_ENDED = ("success", "failure")
_BY_ITSELF = """bookkeeping IS NULL AND parent IS NULL AND "trigger" IS NOT 'terminal'"""
_STARTS = f"""
SELECT started_at FROM run
WHERE task = ? AND framework = ? AND status = ? AND started_at IS NOT NULL AND {_BY_ITSELF}
ORDER BY started_at DESC LIMIT ?
"""
_START = f"""(
    SELECT started_at FROM run
    WHERE run.task = pairs.task AND run.framework = pairs.framework AND status = '{{}}'
    AND {_BY_ITSELF} ORDER BY started_at DESC LIMIT 1 OFFSET {{}}
)"""
_LAST = [_START.format(status, offset) for status in _ENDED for offset in range(3)]
_LAST_STARTS = f"{PAIRS} SELECT task, framework, {', '.join(_LAST)} FROM pairs"
_LAST_STARTS += " WHERE framework IS NOT NULL"
_ALL = """
SELECT max(started_at), server FROM run
WHERE task = ? AND framework = ? AND bookkeeping IS NULL AND started_at IS NOT NULL
"""
_ROUNDED = 0.95  # what usual.rounded_up leaves of an interval, at least


def events(look: Look) -> Iterator[Event]:
    """Yield what was missed, one event a task, and what is late."""
    after = look.since if look.told.until is None else look.told.until
    if after > look.now:  # the clock was set back
        after = look.now - _DAY
    verdicts = expected.of_jobs(look.jobs, _names(look), look.index, look.config, look.now, after)
    for name, verdict in verdicts.items():
        task = stored(name)
        if look.wants(task):
            yield from _of_verdict(look, task, verdict)
    settled = standing.settled()
    for task, framework, *starts in look.rows(_LAST_STARTS):
        if task in verdicts or not look.watches(task, "did_not_run"):
            continue
        if look.settings(task).interval or _may_be_late(look, *starts):
            yield from _of_habit(look, task, framework, settled)


def _names(look: Look) -> list[str]:
    """Return the tasks of which the file may say when they are due."""
    if look.config.path is None:
        return []
    servers = {task for (task,) in look.rows(_SERVERS)}
    return [task for task in look.frameworks if task not in servers]


def _of_verdict(look: Look, task: str, verdict: Verdict) -> Iterator[Event]:
    told = look.told.missed.get(task, 0.0)
    missed = {*verdict.missed_since}
    if verdict.state == due.MISSED:
        missed.update(verdict.missed[-1:])
    missed = {at for at in missed if at > told}
    if missed:
        last = max(missed)
        when = wording.when(last, look.now)
        yield Event(
            MISSED,
            task,
            last,
            MISSED,
            until=last,
            once=f"did not run when it was due at {when}",
            often=f"did not run {{}} times, last when it was due at {when}",
            times=len(missed),
        )
    if verdict.late is not None:
        when = wording.when(verdict.late, look.now)
        text = f"is late: due at {when}, and not started yet"
        yield _late(look, task, verdict.late, text)
    for at, start in verdict.late_since:
        by = short_duration(start - at)
        text = f"was {by} late: due at {wording.when(at, look.now)}"
        yield _late(look, task, at, text)


def _late(look: Look, task: str, at: float, once: str) -> Event:
    often = f"was late {{}} times, last when it was due at {wording.when(at, look.now)}"
    return Event(LATE, task, at, f"{LATE} {at:.0f} {task}", look.now, once, often)


def _of_habit(look: Look, task: str, framework: str, settled: float) -> Iterator[Event]:
    starts = _starts(look, task, framework, summaries.USUAL)
    ((last, server),) = look.rows(_ALL, task, framework)
    past = Past(task, framework, timestamp(last), starts[::-1], bool(server))
    verdict = expected.of_habit(past, look.config, look.index, settled, look.now)
    if verdict is None or past.last_run is None or verdict.next_due is None:
        return
    when = wording.when(past.last_run, look.now)
    usually = short_duration(verdict.next_due - past.last_run)
    if verdict.late is not None:
        text = f"is late: it last ran at {when}, and usually every {usually}"
        yield _late(look, task, verdict.late, text)
    elif verdict.missed and past.last_run > look.told.missed.get(task, 0.0):
        at = verdict.missed[-1]
        text = f"has not run since {when}; it usually does every {usually}"
        yield Event(MISSED, task, at, MISSED, at, text, text)


def _may_be_late(look: Look, *last: str | None) -> bool:
    """Tell whether a task without a schedule may be late, by its last starts alone.

    With three starts there is no usual interval yet. With more it is at least as long as the second
    longest gap between two of the last fifty.
    """
    starts = sorted(filter(None, last), reverse=True)[:3]
    if len(starts) < 3:
        return False
    newest, before, oldest = map(seconds, starts)
    return look.now - newest >= _ROUNDED * min(newest - before, before - oldest)


def _starts(look: Look, task: str, framework: str, count: int) -> list[str]:
    """Return when the last runs started, newest first."""
    starts = [
        at for status in _ENDED for (at,) in look.rows(_STARTS, task, framework, status, count)
    ]
    return sorted(starts, reverse=True)[:count]
