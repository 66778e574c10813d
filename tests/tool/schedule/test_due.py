"""Whether a job ran when it was due: a table of starts, and what each comes to."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from autotask.tool.schedule import due
from autotask.tool.schedule.cron_line import Schedule
from autotask.tool.schedule.due import Verdict
from autotask.tool.schedule.machine import Job

BERLIN = ZoneInfo("Europe/Berlin")
HOUR, DAY = 3600.0, 86400.0


def at(text: str) -> float:
    """Return the POSIX time of a time of day in Berlin, on 10 June 2026: `03:15`, `9 23:00`."""
    day, _, clock = text.rpartition(" ")
    hour, minute, second = [*map(int, clock.split(":")), 0][:3]
    return datetime(2026, 6, int(day or 10), hour, minute, second, tzinfo=BERLIN).timestamp()


def times(text: str) -> list[float]:
    return [at(one.strip()) for one in text.split(",") if one.strip()]


def job(when: str = "15 3 * * *", **fields: object) -> Job:
    schedule = Schedule(when, "Europe/Berlin", in_crontab=True) if when[0] != "@" else None
    plain = Job(
        source="crontab of ann",
        line=1,
        user="ann",
        name="nightly",
        when=when,
        words="",
        schedule=schedule,
        timezone="Europe/Berlin",
        changed=0,
        watched=True,
    )
    return plain._replace(**fields)  # type: ignore[arg-type]


CASES = [  # when, starts, now; state, missed
    # A nightly job.
    ("15 3 * * *", "9 03:15:01, 03:15:01", "03:15:30", "ran", ""),
    ("15 3 * * *", "9 03:15:01", "03:15:30", "ran", ""),  # it may still come
    ("15 3 * * *", "9 03:15:01", "03:16:59", "ran", ""),
    ("15 3 * * *", "9 03:15:01", "03:17", "late", ""),
    ("15 3 * * *", "9 03:15:01", "04:14:59", "late", ""),
    ("15 3 * * *", "9 03:15:01", "04:15", "missed", "03:15"),
    ("15 3 * * *", "9 03:15:01", "23:00", "missed", "03:15"),
    ("15 3 * * *", "9 03:15:01, 03:50", "04:00", "ran", ""),  # late, and then it ran
    ("15 3 * * *", "9 03:15:01, 03:50", "23:00", "ran", ""),
    ("15 3 * * *", "9 03:15:01, 03:05", "23:00", "ran", ""),  # ten minutes early
    ("15 3 * * *", "9 03:15:01, 03:04:59", "23:00", "missed", "03:15"),  # too early
    ("15 3 * * *", "9 03:15:01, 06:15", "23:00", "ran", ""),  # cron caught up
    ("15 3 * * *", "9 03:15:01, 06:30", "23:00", "missed", "03:15"),
    ("15 3 * * *", "", "04:15", "missed", "03:15"),
    ("15 3 * * *", "", "03:17", "late", ""),
    ("15 3 * * *", "", "9 04:00", "never seen", ""),
    ("15 3 * * *", "8 04:00", "9 04:00", "unknown", ""),
    ("15 3 * * *", "8 03:15", "9 03:16", "ran", ""),  # both before it counts
    ("15 3 * * *", "9 03:15", "9 04:00", "ran", ""),  # before it counts, and it did run
    ("15 3 * * 1", "8 03:15", "12 12:00", "ran", ""),  # on Monday
    ("15 3 11 * *", "", "12 12:00", "missed", "11 03:15"),
    ("15 3 10,12 * *", "12 03:15:01", "12 12:00", "ran", ""),  # what was missed two days ago
    # Each hour, by a * or a list: each time has its own run.
    ("0 * * * *", "12:00:01, 14:00:01", "14:30", "ran", "13:00"),
    ("0 0-23 * * *", "12:00:01, 14:00:01", "14:30", "ran", "13:00"),
    ("0 0-23 * * *", "12:00:01, 15:45:01, 15:45:02, 15:45:03", "15:46", "ran", ""),  # caught up
    ("0 0-23 * * *", "12:00:01, 15:45:01, 15:45:02", "15:46", "ran", "14:00"),
    ("0 * * * *", "12:00:01, 15:45:01, 15:45:02, 15:45:03", "15:46", "ran", "13:00, 14:00"),
    ("*/5 * * * *", "12:00:01, 12:10:01", "12:11", "ran", "12:05"),
    ("*/5 * * * *", "12:00:01, 12:09:50, 12:10:01", "12:11", "ran", ""),
    # Each minute: five minutes without a run.
    ("* * * * *", "12:00:01, 12:01:01, 12:03:01, 12:04:50", "12:05", "ran", ""),
    ("* * * * *", "12:00:01, 12:08:01", "12:08:30", "ran", "12:01, 12:02, 12:03"),
    ("* * * * *", "12:00:01", "12:02:30", "ran", ""),
    ("* * * * *", "12:00:01", "12:04:30", "late", ""),
    ("* * * * *", "12:00:01", "12:06:30", "late", "12:01"),
]


@pytest.mark.parametrize(("when", "starts", "now", "state", "missed"), CASES)
def test_a_job_is_judged_by_its_starts(
    when: str, starts: str, now: str, state: str, missed: str
) -> None:
    since = at("9 12:00" if when.startswith("15 3") else "11:59:59")
    found = due.verdict(job(when), times(starts), since, at(now))
    assert (found.state, list(found.missed)) == (state, times(missed))
    assert found.last_run == (times(starts)[-1] if starts else None)
    assert found.next_due == job(when).schedule.due_between(at(now), at(now) + 31 * DAY)[0]  # type: ignore[union-attr]


def test_what_is_not_watched_is_not_judged() -> None:
    found = due.verdict(job(watched=False), times("9 03:15"), 0, at("12:00"))
    assert found == Verdict(due.NOT_WATCHED, at("9 03:15"), at("11 03:15"))
    assert due.missed_between(job(watched=False), [], 0, at("9 12:00"), at("12:00")) == []


def test_a_job_that_may_be_put_off_has_that_much_longer() -> None:
    put_off = job(tolerance=HOUR)
    states = [
        due.verdict(put_off, times("9 03:15"), at("9 12:00"), at(now)).state
        for now in ("04:16", "04:17", "05:14:59", "05:15")
    ]
    assert states == [due.RAN, due.LATE, due.LATE, due.MISSED]


@pytest.mark.parametrize(
    ("within", "now", "state"),
    [
        (None, "04:14:59", due.LATE),
        (None, "04:15", due.MISSED),
        (2 * HOUR, "05:14:59", due.LATE),
        (2 * HOUR, "05:15", due.MISSED),
        (60.0, "03:19:59", due.LATE),  # cron may be as late as that
        (60.0, "03:20", due.MISSED),
    ],
)
def test_within_is_when_it_is_missed(within: float | None, now: str, state: str) -> None:
    found = due.verdict(job(), times("9 03:15"), at("9 12:00"), at(now), within)
    assert found.state == state


TIMERS = [  # last and next due, starts, now; state
    ("03:15", "11 03:15", "03:15:02", "12:00", due.RAN),
    ("03:15", "11 03:15", "9 03:15:02", "03:16", due.UNKNOWN),
    ("03:15", "11 03:15", "9 03:15:02", "03:18", due.LATE),
    ("03:15", "11 03:15", "9 03:15:02", "12:00", due.MISSED),
    ("9 03:15", "11 03:15", "9 03:15:02", "12:00", due.RAN),
    (None, "11 03:15", "", "12:00", due.NEVER_SEEN),
    (None, None, "9 03:15", "12:00", due.UNKNOWN),
]


@pytest.mark.parametrize(("last", "coming", "starts", "now", "state"), TIMERS)
def test_a_timer_is_due_when_systemd_says_so(
    last: str | None, coming: str | None, starts: str, now: str, state: str
) -> None:
    timer = job("@timer", last_due=last and at(last), next_due=coming and at(coming))
    found = due.verdict(timer, times(starts), at("9 12:00"), at(now))
    assert (found.state, found.next_due) == (state, coming and at(coming))


def test_each_missed_run_is_told_once_however_often_one_asks() -> None:
    looks = times("9 12:00, 03:00, 03:20, 04:14, 04:15, 04:16, 11 04:00, 11 12:00, 12 12:00")
    told = [
        due.missed_between(job(), times("9 03:15:01"), at("9 12:00"), after, until)
        for after, until in zip(looks, looks[1:])
    ]
    expected = ["", "", "", "03:15", "", "", "11 03:15", "12 03:15"]
    assert told == [times(one) for one in expected]


def test_a_clock_that_was_set_back_tells_nothing_twice() -> None:
    assert due.missed_between(job(), [], 0, at("12:00"), at("4:00")) == []


@pytest.mark.parametrize(
    ("now", "state"), [(23.9, due.RAN), (24.1, due.LATE), (26.3, due.LATE), (26.5, due.MISSED)]
)
def test_a_task_without_a_schedule_is_expected_after_its_interval(now: float, state: str) -> None:
    found = due.verdict_of_interval(0, 23 * HOUR, 24 * HOUR, 2.4 * HOUR, -DAY, now * HOUR)
    assert (found.state, found.next_due) == (state, 23 * HOUR)
    assert found.missed == ((24 * HOUR,) if state == due.MISSED else ())
    # Until ten o'clock the machine may have been off.
    state = due.RAN if state == due.RAN else due.UNKNOWN
    assert due.verdict_of_interval(0, DAY, DAY, HOUR, 10 * HOUR, now * HOUR).state == state


def test_the_starts_that_a_verdict_needs_begin_before_the_last_time_that_it_was_due() -> None:
    monthly = job("15 3 1 * *")
    assert due.starts_from(monthly, at("12:00")) <= at("1 03:05")
    assert due.starts_from(job("* * * * *"), at("12:00")) <= at("9 12:00") - due.SHORTEST_WITHIN
