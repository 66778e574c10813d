"""What a report gathers: the days, what was missed in them, the output of failures."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tool.journals import DAY, HOUR, Book
from tool.schedule.machines import Machine

from autotask.run import failure
from autotask.tool.datadog.config import Config
from autotask.tool.journal.index import open_index
from autotask.tool.report import days, night
from autotask.tool.report.contents import Cell, Report, Task
from autotask.tool.report.gather import gather
from autotask.tool.schedule import machine, standing
from autotask.tool.schedule.machine import Job

EXIT = failure("exit", exit_code=3)


def report(book: Book, jobs: list[Job], period: float, now: float) -> Report:
    with contextlib.closing(open_index(str(book.home))) as index:
        return gather(index, jobs, Config(), now - period, now)


def task(told: Report, name: str) -> Task:
    (found,) = [each for each in told.tasks if each.key.task == name]
    return found


@pytest.fixture(autouse=True)
def utc(set_zone: Callable[[str], None]) -> None:
    set_zone("UTC")


def test_each_day_that_a_job_was_missed_has_a_mark(book: Book, tmp_path: Path) -> None:
    """The days are ahead of the clock: so this machine's boot was before them."""
    place = Machine(tmp_path / "machine")
    place.crontab("0 3 * * * autotask-run --name backup /opt/backup.sh\n")
    jobs, _ = machine.jobs(place.places)
    standing.note(jobs, time.time())
    today = time.time() // DAY * DAY
    for ahead in (2, 3, 5):
        at = today + ahead * DAY + 3 * HOUR
        book.run("backup", "process", ago=time.time() - at, duration=60)
    now = today + 6 * DAY + 12 * HOUR
    told = report(book, jobs, 4 * DAY, now)
    backup = task(told, "backup")
    assert [cell.kind for cell in backup.days] == ["ok", "ok", "missed", "ok", "missed"]
    assert backup.missed == [today + ahead * DAY + 3 * HOUR for ahead in (4, 6)]
    (lane,) = told.lanes
    assert list(lane.missed) == [today + 6 * DAY + 3 * HOUR]
    assert [trouble.kind for trouble in told.troubles] == ["missed"]


def test_the_output_of_a_failure_is_in_it_that_of_a_program_with_its_task(book: Book) -> None:
    alone = book.run("backup", "process", ago=HOUR, outcome=EXIT)
    outer = book.run("inv", "process", ago=HOUR, outcome=None)
    inner = book.run("migrate", "invoke", ago=HOUR, outcome=EXIT, parent=outer)
    book.finish(outer, failure("nested", caused_by=inner.id))
    folder = book.home / "output"
    folder.mkdir(mode=0o700)
    (folder / alone.id).write_text("disk full\n")
    (folder / outer.id).write_text("no table\n")
    told = report(book, [], DAY, time.time())
    assert {run: record["output"] for run, record in told.records.items()} == {
        alone.id: "disk full\n",
        inner.id: "no table\n",
    }
    failures = told.details[task(told, "migrate").key].failures
    assert [record["output"] for record in failures] == ["no table\n"]


def test_what_was_before_the_first_column_counts_in_the_rates(book: Book) -> None:
    book.run("mail", ago=60 * DAY, outcome=EXIT)
    book.run("mail", ago=HOUR)
    told = report(book, [], 90 * DAY, time.time())
    mail = task(told, "mail")
    assert len(told.dates) == len(mail.days) == days.MOST
    assert (mail.runs, mail.rate, mail.failed) == (2, 0.5, 1)


def test_a_task_that_did_not_run_in_the_period_is_not_in_it(book: Book) -> None:
    book.run("gone", ago=40 * DAY)
    book.run("mail", ago=HOUR)
    told = report(book, [], 7 * DAY, time.time())
    assert [each.key.task for each in told.tasks] == ["mail"]


def test_the_tasks_with_the_worst_troubles_come_first(book: Book) -> None:
    for number in range(8):
        book.run("a.slow", ago=(number + 1) * 2 * HOUR, duration=4000 if number == 0 else 10)
    book.run("b.failed", ago=3 * DAY, outcome=EXIT)
    book.run("c.failed", ago=HOUR, outcome=EXIT)
    book.run("d.fine", ago=HOUR)
    told = report(book, [], 7 * DAY, time.time())
    names = [each.key.task for each in told.tasks]
    assert names == ["c.failed", "a.slow", "b.failed", "d.fine"]
    assert [each.number for each in told.tasks] == [0, 1, 2, 3]


def test_a_failed_task_that_has_succeeded_since_is_told_from_one_that_has_not(book: Book) -> None:
    mended = book.run("mended", ago=5 * HOUR, outcome=EXIT)
    book.run("mended", "process", ago=4.5 * HOUR)
    book.run("mended", ago=4 * HOUR, duration=60)
    book.run("mended", ago=3 * HOUR)
    for ago in (3, 2):
        book.run("broken", ago=ago * HOUR, outcome=EXIT)
    book.run("broken", ago=4 * HOUR)
    told = report(book, [], DAY, time.time())
    at = pytest.approx(mended.started + HOUR + 60, abs=1)
    assert told.recovered == {mended.id: at}


def test_failures_that_alert_of_nothing_are_counted(book: Book) -> None:
    book.run("mail", ago=HOUR, outcome=EXIT, trigger="terminal")
    book.run("mail", ago=2 * DAY, outcome=EXIT, trigger="terminal")
    book.run("mail", ago=HOUR)
    told = report(book, [], 7 * DAY, time.time())
    assert (told.troubles, told.failed, told.by_hand) == ([], 1, 1)


def test_the_time_line_has_what_hangs_failed_was_missed_or_overlapped_before_what_is_long(
    book: Book, tmp_path: Path
) -> None:
    place = Machine(tmp_path / "machine")
    place.crontab("0 3 * * * autotask-run --name missed /opt/backup.sh\n")
    jobs, _ = machine.jobs(place.places)
    standing.note(jobs, time.time())
    now = (time.time() // DAY + 3) * DAY + 12 * HOUR
    ahead = time.time() - now
    book.run("missed", "process", ago=ahead + DAY + 9 * HOUR)
    for name in ("hangs", "overlaps"):
        for number in range(2, 8):
            book.run(name, ago=ahead + number * DAY, duration=10)
    book.run("hangs", ago=ahead + 5 * HOUR, outcome=None)
    book.run("overlaps", ago=ahead + HOUR, duration=20)
    book.run("overlaps", ago=ahead + HOUR - 1, duration=20)
    for number in range(30):
        book.run(f"failed.{number}", ago=ahead + HOUR, outcome=EXIT)
    for number in range(night.LANES):
        book.run(f"long.{number}", ago=ahead + 7 * HOUR, duration=6 * HOUR + number)
    told = report(book, jobs, 7 * DAY, now)
    lanes = {lane.task.key.task: lane for lane in told.lanes}
    assert len(lanes) == night.LANES
    assert sorted(lanes, key=lambda name: lanes[name].rank)[:2] == ["hangs", "failed.0"]
    assert sum(name.startswith("failed") for name in lanes) == 20
    assert {"missed", "overlaps", f"long.{night.LANES - 1}"} <= set(lanes)
    assert lanes["missed"].missed
    assert "long.0" not in lanes
    assert told.unshown == len(told.tasks) - night.LANES


def test_what_is_still_running_is_in_each_day_since_it_began(book: Book) -> None:
    now = time.time() // DAY * DAY + 20 * DAY + 12 * HOUR  # ahead, so that no day ends meanwhile
    ago = now - time.time()

    def run(name: str, days: float, **options: Any) -> None:
        book.run(name, ago=days * DAY - ago, **options)

    run("server", 2, outcome=None, server=True)
    run("old server", 9, outcome=None, server=True)
    run("import", 1, outcome=None)
    for began in (3.1, 1.1, 0.1, 0.2, 0.3):
        run("import", began)
    run("mail", 3, outcome=None)
    run("mail", 2, outcome=EXIT)
    run("ended", 3, duration=2 * DAY)
    told = report(book, [], 3 * DAY, now)
    assert {each.key.task: [cell.kind for cell in each.days] for each in told.tasks} == {
        "server": ["none", "running", "running", "running"],
        "old server": ["running"] * 4,
        "import": ["ok", "none", "running", "running"],
        "mail": ["running", "failed", "running", "running"],
        "ended": ["ok", "none", "none", "none"],
    }
    server = task(told, "server")
    assert (server.runs, [cell.runs for cell in server.days]) == (1, [0, 1, 0, 0])


KINDS = [
    (Cell(4, 3, running=1), "running"),
    (Cell(running=1), "running"),
    (Cell(2, 1), "ok"),
    (Cell(2, 1, 0, 0, 1, missed=1), "missed"),
    (Cell(3, 1, 0, 1, 1), "inside"),
    (Cell(3, 1, 1, 0, 1, 1), "failed"),
    (Cell(1), "other"),
    (Cell(), "none"),
]


@pytest.mark.parametrize(("cell", "kind"), KINDS)
def test_a_day_shows_the_worst_of_it(cell: Cell, kind: str) -> None:
    assert cell.kind == kind


@pytest.mark.parametrize(
    ("zone", "now", "hours"),
    [
        ("UTC", 1_796_104_800, [24, 24, 24]),
        # 25 October and 28 March: the clocks change.
        ("Europe/Berlin", 1_792_994_400, [24, 25, 24]),
        ("Europe/Berlin", 1_806_300_000, [24, 23, 24]),
        ("Asia/Kolkata", 1_796_104_800, [24, 24, 24]),
    ],
)
def test_a_day_is_that_of_the_readers_clock(
    zone: str, now: float, hours: list[int], set_zone: Callable[[str], None]
) -> None:
    set_zone(zone)
    found = days.between(now - 2 * DAY, now)
    assert [(day.end - day.begin) / HOUR for day in found] == hours
    assert found[-1].begin <= now < found[-1].end
    assert all(day.end == after.begin for day, after in zip(found, found[1:]))
    assert {time.localtime(day.begin).tm_hour for day in found} == {0}
