"""The tasks, each summed up over its runs: how many, how they ended, what is usual, when it is due.

`autotask tasks` prints them; the summary of a day and the report show the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from autotask import journal
from autotask.tool import expected, output, quantities
from autotask.tool.datadog import config
from autotask.tool.datadog.config import Config
from autotask.tool.errors import ToolError
from autotask.tool.expected import Past
from autotask.tool.journal.index import Index
from autotask.tool.journal.run_rows import stored
from autotask.tool.schedule import due, standing
from autotask.tool.schedule.due import Verdict
from autotask.tool.schedule.machine import Job

USUAL = 50  # the last successes: their median is the usual duration
RECENT = 5  # the last successes that the trend compares with it
_KINDS = ("NULL", "NOT NULL")  # of `bookkeeping`; few of the second have an index of their own
_GROUPS = """
SELECT task, framework, count(*), sum(status = 'success'), sum(status = 'failure'),
    sum(status = 'retried'),
    max(started_at), status, server  -- SQLite takes them from the row with the maximum
FROM run WHERE bookkeeping IS {} AND {} GROUP BY task, framework {}
"""
_SUCCESSES = """
SELECT duration, finished_at, waited, started_at, parent IS NULL AND "trigger" IS NOT 'terminal'
FROM run
WHERE task = ? AND framework = ? AND status = 'success' AND started_at IS NOT NULL
AND bookkeeping IS {}
ORDER BY started_at DESC LIMIT ?
"""
# A start that failed is one, too: it tells when the task is due, but not how long it takes.
_FAILURES = """
SELECT started_at, parent IS NULL AND "trigger" IS NOT 'terminal' FROM run
WHERE task = ? AND framework = ? AND status = 'failure' AND started_at IS NOT NULL
AND bookkeeping IS {}
ORDER BY started_at DESC LIMIT ?
"""
# Also of the runs that a filter leaves out. Each status by itself is one step in an index.
_LAST_OF = """
SELECT max(started_at) AS at FROM run
WHERE task = ?1 AND framework = ?2 AND status = '{}' AND bookkeeping IS NULL
"""
_STATUSES = ("success", "failure", "retried", "skipped", "running")
_LAST_RUN = f"SELECT max(at) FROM ({' UNION ALL '.join(map(_LAST_OF.format, _STATUSES))})"


class Summary(NamedTuple):
    """One task, summed up over its runs."""

    task: str
    framework: str
    runs: int
    success_rate: float | None  # of the runs that ended and were neither skipped nor retried
    last_status: str | None  # None: it never ran
    last_success: str | None
    usual_duration: float | None  # seconds
    trend: float | None  # percent by which the last successes took longer
    retried: int  # runs that failed, and were tried again
    usual_waiting: float | None  # seconds, from enqueuing or due time to the start
    server: bool  # it runs until it is stopped
    bookkeeping: bool  # a framework runs it for itself
    last_run: str | None = None  # when it started
    next_due: str | None = None
    verdict: str | None = None  # ran, late, missed, never seen or not watched, if that is known
    missed: int = 0  # times in the last day, or the last time, that it was due and has not run


class Chosen(NamedTuple):
    """Which runs count. By default all but a framework's bookkeeping, unless it failed."""

    runs: str = "started_at IS NOT NULL"  # a condition in SQL
    values: Sequence[Any] = ()  # its values
    of_interest: str = "status = 'failure'"  # a condition: bookkeeping that is listed, too
    names: Sequence[Any] = ()  # its values
    never_ran: Callable[[str], bool] = lambda _: True  # whether to list a job without runs


ALL = Chosen()
_Found = tuple[Summary, Past, list[float]]


def configuration() -> Config:
    """Read autotask.toml; a mistake in it concerns other commands, and is a notice here."""
    try:
        return config.load(None)
    except ToolError as problem:
        output.notice(f"{problem}; nothing of it is used")
        return Config()


def of_tasks(
    index: Index | None,
    jobs: Sequence[Job],
    settings: Config,
    now: float,
    chosen: Chosen = ALL,
) -> list[Summary]:
    """Return the tasks that ran, and this user's watched jobs that never did, by their names.

    See `with_durations`.
    """
    return [summary for summary, _ in with_durations(index, jobs, settings, now, chosen)]


def with_durations(
    index: Index | None,
    jobs: Sequence[Job],
    settings: Config,
    now: float,
    chosen: Chosen = ALL,
) -> list[tuple[Summary, list[float]]]:
    """Return the tasks by their names, each with the durations of its last successes.

    Args:
        index: The journal's; None before the first run.
        jobs: Of this machine.
        settings: The file.
        now: POSIX seconds.
        chosen: Which runs count.
    """
    found = list(_summaries(index, chosen)) if index else []
    names = dict.fromkeys(past.task for _, past, _ in found if not past.server)
    verdicts = expected.of_jobs(jobs, names, index, settings, now)
    settled = standing.settled()
    tasks = []
    for summary, past, durations in found:
        verdict = verdicts.get(past.task)
        verdict = verdict or expected.of_habit(past, settings, index, settled, now)
        tasks.append((_with_verdict(summary, verdict), durations))
    tasks += [
        (_with_verdict(_never_ran(name), verdicts[name]), [])
        for name in expected.never_ran(jobs, verdicts)
        if chosen.never_ran(name) and not _has_run(name, index)
    ]
    return sorted(tasks, key=lambda task: task[0][:2])


def _with_verdict(summary: Summary, verdict: Verdict | None) -> Summary:
    if verdict is None or summary.bookkeeping:
        return summary
    return summary._replace(
        next_due=None if verdict.next_due is None else journal.moment(verdict.next_due),
        verdict=None if verdict.state == due.UNKNOWN else verdict.state,
        missed=len(verdict.missed),
    )


def _never_ran(name: str) -> Summary:
    return Summary(stored(name), "process", 0, None, None, None, None, None, 0, None, False, False)


def _has_run(name: str, index: Index | None) -> bool:
    statement = "SELECT 1 FROM run WHERE task = ? LIMIT 1"
    return index is not None and any(index.rows(statement, (stored(name),)))


def _summaries(index: Index, chosen: Chosen) -> Iterator[_Found]:
    """Yield a summary of every task with runs that match, what tells when it is due, durations.

    The runs of a task that are a framework's bookkeeping are a task of their own. If one of them
    failed, the others count, too: else its success rate would be wrong.
    """
    others, bookkeeping = _KINDS
    having = f"HAVING sum({chosen.of_interest})"  # of the others, perhaps a million, all are
    several = (
        (others, _GROUPS.format(others, chosen.runs, ""), chosen.values),
        (
            bookkeeping,
            _GROUPS.format(bookkeeping, chosen.runs, having),
            (*chosen.values, *chosen.names),
        ),
    )
    for kind, statement, given in several:
        for row in index.rows(statement, given):
            yield _summary(index, kind, *row)


def _summary(index: Index, kind: str, *row: Any) -> _Found:
    task, framework, count, successes, failures, retried, last_run, last_status, server = row
    last = list(index.rows(_SUCCESSES.format(kind), (task, framework, USUAL)))
    durations = [success[0] for success in last if success[0] is not None and not server]
    waited = [success[2] for success in last if success[2] is not None]
    judged = successes + failures
    summary = Summary(
        task=task,
        framework=framework,
        runs=count,
        success_rate=successes / judged if judged else None,
        last_status=last_status,
        last_success=last[0][1] if last else None,
        usual_duration=quantities.median(durations) if durations else None,
        trend=_trend(durations),
        retried=retried,
        usual_waiting=quantities.median(waited) if waited else None,
        server=bool(server),
        bookkeeping=kind != _KINDS[0],
        last_run=last_run,
    )
    failed = index.rows(_FAILURES.format(kind), (task, framework, USUAL))
    ended = [*(success[3:] for success in last), *failed]
    starts = sorted(started for started, by_itself in ended if by_itself)[-USUAL:]
    ((newest,),) = index.rows(_LAST_RUN, (task, framework))
    newest = quantities.timestamp(max(last_run, newest or ""))
    past = Past(task, framework, newest, starts, bool(server))
    return summary, past, durations


def _trend(durations: Sequence[float]) -> float | None:
    """Return by how many percent the newest successes took longer; None if there are too few."""
    usual = quantities.median(durations) if len(durations) > RECENT else 0
    return (quantities.median(durations[:RECENT]) / usual - 1) * 100 if usual > 0 else None
