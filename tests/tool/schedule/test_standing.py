"""How the jobs of a machine do, by a journal."""

from __future__ import annotations

import contextlib
import json
import os
import time

import pytest
from tool.journals import DAY, HOUR, Book
from tool.schedule.machines import ME

from autotask import procfs
from autotask.run import SUCCESS
from autotask.tool.journal import opening
from autotask.tool.schedule import due, first_seen, since, standing
from autotask.tool.schedule.cron_line import Schedule
from autotask.tool.schedule.due import Verdict
from autotask.tool.schedule.machine import Job


def hourly(name: str = "nightly", **fields: object) -> Job:
    """Return a job that was due half an hour ago, and each hour before that."""
    minute = time.gmtime(time.time() - HOUR / 2).tm_min
    schedule = Schedule(f"{minute} * * * *", "UTC", in_crontab=True)
    plain = Job("crontab of me", 1, ME, name, schedule.cron, "", schedule, "UTC", 0, True)
    return plain._replace(**fields)  # type: ignore[arg-type]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all jobs have been seen long ago, on a machine that was booted long ago."""
    monkeypatch.setattr(since, "booted", lambda: time.time() - 90 * DAY)


def judge(book: Book, *jobs: Job, known: bool = True) -> list[Verdict]:
    now = time.time()
    if known:
        sights = {first_seen.key(job): [now - 9 * DAY, now] for job in jobs}
        book.home.mkdir(exist_ok=True)
        (book.home / first_seen.FILE).write_text(json.dumps(sights))
    return opening.ask(lambda index: standing.verdicts(jobs, index, now))


@pytest.mark.usefixtures("seen")
def test_the_runs_of_the_journal_count(book: Book) -> None:
    for hour in range(30):
        if hour != 4:
            book.run("nightly", "process", ago=(hour + 0.5) * HOUR - 2)
    (verdict,) = judge(book, hourly())
    assert (verdict.state, len(verdict.missed)) == (due.RAN, 1)
    assert abs(time.time() - 4.5 * HOUR - verdict.missed[0]) < 61


@pytest.mark.usefixtures("seen")
def test_nothing_is_known_of_runs_that_are_recorded_elsewhere(book: Book) -> None:
    book.run("nightly", "process", ago=4.5 * HOUR)
    (verdict,) = judge(book, hourly(elsewhere=True))
    assert (verdict.state, verdict.missed) == (due.UNKNOWN, ())


@pytest.mark.usefixtures("seen")
def test_a_run_by_hand_is_none_of_crons(book: Book) -> None:
    book.run("nightly", "process", ago=1.5 * HOUR)
    book.run("by hand", "process", ago=HOUR / 2)
    for path in (book.home / "journal").iterdir():
        path.write_text(path.read_text().replace('"trigger":"cron"', '"trigger":"terminal"'))
    (verdict, other) = judge(book, hourly(), hourly("by hand"))
    assert (verdict.last_run, other.last_run) == (None, None)
    assert verdict.state == other.state == due.LATE


@pytest.mark.usefixtures("seen")
def test_a_program_and_its_task_are_one_start(book: Book) -> None:
    """Else the second one would be taken for that of the hour before, which is missing."""
    for hour in (1, 3):
        program = book.run("nightly", "process", ago=(hour + 0.5) * HOUR - 2)
        book.run("nightly", "click", ago=(hour + 0.5) * HOUR - 3, parent=program)
    fixed = Schedule(f"{hourly().when.split()[0]} 0-23 * * *", "UTC", in_crontab=True)
    (verdict,) = judge(book, hourly(schedule=fixed))
    assert len([at for at in verdict.missed if at > time.time() - 3.1 * HOUR]) == 1


def test_what_is_first_seen_has_missed_nothing(book: Book) -> None:
    book.run("other")
    for _ in range(2):
        (verdict,) = judge(book, hourly(), known=False)
        assert (verdict.state, verdict.missed) == (due.NEVER_SEEN, ())
    assert (book.home / first_seen.FILE).exists()


def test_a_machine_that_was_off_has_missed_nothing(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(since, "booted", lambda: time.time() - 60)
    book.run("nightly", "process", ago=5 * DAY)
    (verdict,) = judge(book, hourly())
    assert (verdict.state, verdict.missed) == (due.UNKNOWN, ())


@pytest.mark.usefixtures("seen")
def test_jobs_of_other_users_are_not_in_this_journal(book: Book) -> None:
    book.run("nightly")
    stranger, unwatched = judge(
        book, hourly(user="stranger"), hourly(user="stranger", watched=False)
    )
    assert (stranger.state, unwatched.state) == (due.UNKNOWN, due.NOT_WATCHED)
    assert stranger.next_due is not None


@pytest.mark.usefixtures("seen")
def test_before_the_first_run_all_is_missing() -> None:
    (verdict,) = standing.verdicts([hourly()], None, time.time())
    assert verdict.state == due.NEVER_SEEN


def test_what_is_due_at_boot_is_known_by_the_boot_even_if_the_clock_was_wrong(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(since, "booted", lambda: time.time() - 5 * HOUR)
    monkeypatch.setattr(since, "_sees_the_machine", lambda: True)
    job = hourly(when="@reboot", schedule=None)
    book.run("nightly", "process", ago=9 * HOUR, identity="another-boot/1/1")
    assert judge(book, job)[0].state == due.MISSED
    book.run("nightly", "process", ago=8 * DAY, outcome=SUCCESS, identity=procfs.identity())
    assert judge(book, job)[0].state == due.RAN


def test_a_home_that_is_read_only_makes_no_alarms(book: Book) -> None:
    book.run("nightly", ago=3 * DAY)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(book.home / first_seen.FILE)
    book.home.chmod(0o500)
    try:
        (verdict,) = judge(book, hourly(), known=False)
    finally:
        book.home.chmod(0o700)
    assert verdict.missed == ()
