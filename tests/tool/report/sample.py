"""A report in which everything occurs that one may have, with names that are not kind."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from autotask.tool.journal.record import FIELDS, Record
from autotask.tool.report.contents import (
    FAILED,
    INSIDE,
    OK,
    OTHER,
    RUNNING,
    Bar,
    Cell,
    Detail,
    Key,
    Lane,
    Point,
    Report,
    Task,
)
from autotask.tool.troubles import trouble
from autotask.tool.troubles.trouble import Trouble

NOW = 1_796_104_800.0  # Tuesday, 1 December 2026, 06:00 UTC
HOUR, DAY = 3600.0, 86400.0
NIGHT = NOW - DAY
OWNED = "document.title='owned'"
SCRIPT = f"sync </script><script>{OWNED}</script>"
QUOTES = "a\"b'c&d<img src=x onerror=alert(1)>`${x}`{{ 7*7 }}"
BIDI = "\u202egnp.exe \u05d0\u05d1\u05d2"
LINES = "two\nlines\x1b[31m\x00\u2028end"
SURROGATE = "caf\udce9"
LONG = "a-very-long-name." * 20
HOSTILE = (SCRIPT, QUOTES, BIDI, LINES, SURROGATE, LONG)
OUTPUT = f"connecting\n\x1b[31mERROR\x1b[0m </pre><script>{OWNED}</script> \u202e\ndisk full"


def record(run: str, task: str, **fields: Any) -> Record:
    """Make the record of a failure."""
    return {
        **dict.fromkeys(FIELDS),
        "run": run,
        "task": task,
        "status": "failure",
        "reason": "exit",
        "exit_code": 3,
        "started_at": "2026-12-01T02:00:00.000000Z",
        "finished_at": "2026-12-01T02:41:00.000000Z",
        "duration": 2460.0,
        "host": "db-1",
        **fields,
    }


def task(
    name: str, cells: list[Cell] | None = None, troubles: tuple[Trouble, ...] = (), **fields: Any
) -> Task:
    """Make a task that did well, but for what is said of it."""
    days = cells or [Cell(4, 4)] * 8
    failed = sum(cell.failed for cell in days)
    runs = sum(cell.runs for cell in days)
    values: dict[str, Any] = {
        "key": Key(name, "process"),
        "number": 0,
        "days": days,
        "rate": 1 - failed / runs if runs else None,
        "runs": runs,
        "failed": failed,
        "retried": 0,
        "running": sum(cell.running for cell in days),
        "last_run": NOW - 3 * HOUR if runs else None,
        "last_status": "success" if runs else None,
        "server": False,
        "next_due": NOW + 20 * HOUR,
        "verdict": "ran",
        "usual": 60.0,
        "band": (45.0, 90.0),
        "last": 70.0,
        "missed": [],
        "troubles": troubles,
        **fields,
    }
    return Task(**values)


def _troubles() -> list[Trouble]:
    return [
        Trouble(
            trouble.FAILED, "backup.sh", NOW - 3 * HOUR, "failed at 02:41 (exit 3): disk full", "b1"
        ),
        Trouble(trouble.FAILED, SCRIPT, NOW - HOUR, "failed at 05:00 (exit 1)", "b2", 7),
        Trouble(trouble.MISSED, "report.weekly", NOW - 4 * HOUR, "missed: was due at 02:00", None),
        Trouble(trouble.LATE, "certs.renew", NOW - 600, "late: was due at 05:50", None),
        Trouble(trouble.HANGING, QUOTES, NOW - 5 * HOUR, "running since 01:00, usually 1m", "b3"),
        Trouble(trouble.SLOW, BIDI, NOW - HOUR, "took 2h, usually 1m", None, user="ann"),
        Trouble(trouble.OVERLAP, LINES, NOW - HOUR, "ran twice at once at 05:00", None, 2),
        Trouble(trouble.RETRIES, "mail.send", NOW - HOUR, "40 retries in an hour", None),
        Trouble("of a newer version", SURROGATE, NOW - HOUR, "something new", None),
    ]


def tasks(found: list[Trouble]) -> list[Task]:
    """Make the tasks with these troubles, and some others."""
    bad = [
        Cell(4, 3, 1),
        Cell(4, 0, 4),
        Cell(4, 3, 0, 1),
        Cell(1, running=1),
        Cell(2),
        Cell(),
        *[Cell(4, 4)] * 2,
    ]
    of = {each.task: each for each in found}
    made = [
        task("backup.sh", bad, (of["backup.sh"],)),
        task(SCRIPT, [Cell(4, 4)] * 7 + [Cell(7, 0, 7)], (of[SCRIPT],), last_status="failure"),
        task(
            "report.weekly",
            [Cell(1, 1)] * 7 + [Cell(missed=1)],
            (of["report.weekly"],),
            missed=[NOW - 4 * HOUR],
        ),
        task("certs.renew", [Cell()] * 8, (of["certs.renew"],), usual=None, band=None, last=None),
        task(QUOTES, None, (of[QUOTES],)),
        task(BIDI, None, (of[BIDI],), last=7200.0),
        task(LINES, None, (of[LINES],)),
        task(SURROGATE, None, (of[SURROGATE],)),
        task("ledger", [Cell(1, 0, 1), *[Cell(1, 1)] * 6, Cell(1, 0, 1, missed=1)]),
        task(LONG),
        task("worker", None, server=True, usual=None, band=None, last=None, next_due=None),
        *(task(f"shop.{number:02}") for number in range(50)),
    ]
    return [each._replace(number=number) for number, each in enumerate(made)]


def report() -> Report:
    """Make the report."""
    found = _troubles()
    every = tasks(found)
    by_name = {each.key.task: each for each in every}
    bars = [
        Bar(NIGHT, NIGHT + HOUR, 1, OK, second=False),
        Bar(NIGHT + 19 * HOUR, NIGHT + 20 * HOUR, 3, FAILED, second=False),
        Bar(NIGHT + 19.5 * HOUR, NIGHT + 21 * HOUR, 1, OTHER, second=True),
        Bar(NIGHT + 21 * HOUR, NIGHT + 22 * HOUR, 1, INSIDE, second=False),
        Bar(NIGHT + 22 * HOUR, NOW, 1, RUNNING, second=False),
    ]
    short = [Bar(NIGHT + 20 * HOUR, NIGHT + 20 * HOUR + 1, 1, OK, second=False)]
    lanes = [
        Lane(by_name["backup.sh"], bars, (), [by_name[SCRIPT], by_name[LONG]]),
        Lane(by_name["report.weekly"], (), (NOW - 4 * HOUR,), (), 1),
        *(Lane(by_name[name], short, (), (), 2 + place) for place, name in enumerate(HOSTILE)),
    ]
    error = {"type": "OSError", "message": "no\nspace", "where": "/srv/<b>/jobs.py:18"}
    failures = [
        record("b1" * 8, "backup.sh", output=OUTPUT),
        record("b4" * 8, "backup.sh", reason="exception", error=error, exit_code=None),
    ]
    points = [Point(NOW - n * HOUR, 60.0 + n, FAILED if n % 7 == 0 else OK) for n in range(50)]
    return Report(
        host="db-1",
        home="/var/lib/autotask",
        now=NOW,
        zone="Europe/Berlin",
        night=NIGHT,
        since=NOW - 7 * DAY,
        dates=[date(2026, 12, 1) - timedelta(7 - number) for number in range(8)],
        runs=1204,
        ran=63,
        failed=9,
        by_hand=0,
        troubles=found,
        records={"b1": failures[0]},
        recovered={"b1": NOW - HOUR},
        tasks=every,
        lanes=lanes,
        unshown=21,
        details={
            by_name["backup.sh"].key: Detail(failures, points[::-1]),
            by_name[SCRIPT].key: Detail([record("b2" * 8, SCRIPT)], points[:2]),
        },
    )
