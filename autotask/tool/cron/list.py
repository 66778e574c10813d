"""`autotask cron list`: the jobs of this machine, and what came of them."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from autotask import journal
from autotask.tool import output, quantities
from autotask.tool.journal import filters, opening
from autotask.tool.journal.index import Index
from autotask.tool.journal.run_rows import stored
from autotask.tool.schedule import crontabs, machine, standing, words
from autotask.tool.schedule.due import LATE, MISSED, NOT_WATCHED, RAN, UNKNOWN, Verdict
from autotask.tool.schedule.machine import Job
from autotask.tool.schedule.places import HERE, Places
from autotask.tool.table import Column, print_table

if TYPE_CHECKING:
    from rich.text import Text

DESCRIPTION = """\
List the jobs of this machine: of your crontab (for root: of everybody's), /etc/crontab,
/etc/cron.d, cron.daily and its like, anacron, and systemd's timers. First what was missed and what
is late, then what is due next, at the end what is not watched; in the formats for programs as the
files have them."""

_STYLES = {RAN: "green", LATE: "yellow", MISSED: "red", NOT_WATCHED: "dim", UNKNOWN: "dim"}
_USER, _DUE = Column("USER", goes=3), Column("NEXT DUE", goes=5)
_COLUMNS = (
    Column("NAME", shrinks=True),
    Column("SCHEDULE", goes=2, most=words.LONGEST),
    _USER,
    _DUE,
    Column("LAST RUN", goes=4),
    Column("VERDICT"),
    Column("SOURCE", goes=1, most=60),
)
_LAST = """
SELECT status FROM run
WHERE task = ? AND started_at IS NOT NULL AND "trigger" IS NOT 'terminal' AND bookkeeping IS NULL
ORDER BY started_at DESC LIMIT 1
"""


class Row(NamedTuple):
    """One job, as programs see it. Times are in RFC 3339, UTC."""

    name: str
    schedule: str  # in words
    when: str  # as it is written
    timezone: str | None  # of the schedule; None: cron's, which has no name, or none
    user: str
    source: str
    line: int | None
    watched: bool
    verdict: str
    next_due: str | None
    last_run: str | None
    last_status: str | None
    missed: int  # times in the last day, or the last time, that it was due and has not run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    filters.add_format(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the jobs."""
    print_jobs(arguments.format, HERE)


def print_jobs(form: str, places: Places) -> None:
    """Print the jobs of a machine in a format: `table`, `json`, `jsonl` or `csv`."""
    jobs, problems = machine.jobs(places)
    for problem in problems:
        output.notice(problem)
    now = time.time()
    rows = opening.ask(lambda index: _rows(jobs, index, now))
    print_rows(rows, form, now)


def print_rows(rows: Sequence[Row], form: str, now: float) -> None:
    """Print rows in a format."""
    if form in ("json", "jsonl"):
        output.print_json((row._asdict() for row in rows), form)
    elif form == "csv":
        output.print_csv(Row._fields, (row._asdict() for row in rows))
    elif rows:
        _print_table(rows, now)
        _advise(rows)
    else:
        print("no jobs found")


def _rows(jobs: Sequence[Job], index: Index | None, now: float) -> list[Row]:
    verdicts = standing.verdicts(jobs, index, now)
    return [_row(job, verdict, index) for job, verdict in zip(jobs, verdicts)]


def _last_status(name: str, index: Index | None) -> str | None:
    rows = index.rows(_LAST, (stored(name),)) if index else iter(())
    return next((status for (status,) in rows), None)


def _row(job: Job, verdict: Verdict, index: Index | None) -> Row:
    return Row(
        name=_valid(job.name),
        schedule=_valid(job.words),
        when=_valid(job.when),
        timezone=job.timezone or None,
        user=_valid(job.user),
        source=_valid(job.source),
        line=job.line,
        watched=job.watched,
        verdict=verdict.state,
        next_due=_moment(verdict.next_due),
        last_run=_moment(verdict.last_run),
        last_status=_last_status(job.name, index) if verdict.last_run else None,
        missed=len(verdict.missed),
    )


def _valid(text: str) -> str:
    """Escape bytes that are not UTF-8: a crontab may contain them, JSON must not."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else journal.moment(seconds)


def _print_table(rows: Sequence[Row], now: float) -> None:
    several = len({row.user for row in rows}) > 1
    zone = quantities.shared_zone(row.next_due for row in rows)
    columns = [column.in_zone(zone) if column == _DUE else column for column in _COLUMNS]
    if not several:
        columns.remove(_USER)
    cells = [_cells(row, several, zone, now) for row in sorted(rows, key=_urgency)]
    print_table(columns, cells)


def _urgency(row: Row) -> tuple[int, str]:
    order = [row.verdict == MISSED, row.verdict == LATE, row.missed, row.verdict != NOT_WATCHED, 1]
    return next(rank for rank, applies in enumerate(order) if applies), row.next_due or "~"


def _cells(row: Row, several: bool, zone: str | None, now: float) -> list[Text]:
    style = "dim" if row.verdict == NOT_WATCHED else ""
    due = quantities.next_due_text(row.next_due, zone, now)
    cells = [
        output.styled(row.name, style),
        output.styled(row.schedule, style),
        output.styled(row.user, style),
        output.styled(due, style),
        _last_run(row, now),
        _verdict(row),
        output.styled(row.source if row.line is None else f"{row.source}:{row.line}", style),
    ]
    return cells if several else [*cells[:2], *cells[3:]]


def _verdict(row: Row) -> Text:
    """Return the verdict, with what was missed in the last day."""
    style = _STYLES.get(row.verdict, "")
    times = f"missed {row.missed} times" if row.missed > 1 else "missed"
    if row.verdict == MISSED or not row.missed:
        return output.styled(times if row.missed else row.verdict, style)
    return output.styled(f"{row.verdict}, {times}", "yellow" if row.verdict == RAN else style)


def _last_run(row: Row, now: float) -> Text:
    """Say how long ago it was, and how it ended if that was no success."""
    if row.last_run is None:
        return output.styled("-", "dim")
    ago = quantities.ago(row.last_run, now)
    if row.last_status in (None, "success"):
        return output.styled(ago)
    style = output.STATUS_STYLES.get(row.last_status or "", "")
    return output.styled(f"{ago}, {row.last_status}", style)


def _advise(rows: Sequence[Row]) -> None:
    """Print how many jobs are not watched, and how to watch them."""
    sources = [row.source for row in rows if not row.watched]
    if not sources:
        return
    command = "autotask cron watch"
    if set(sources) != {f"crontab of {crontabs.this_user()}"}:
        command = f"{'' if crontabs.this_user() == 'root' else 'sudo '}{command} --all"
    which = "1 job is" if len(sources) == 1 else f"{len(sources)} jobs are"
    print(f"\n{which} not watched: `{command}` records their runs")
