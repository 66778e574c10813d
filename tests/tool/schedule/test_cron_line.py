"""Cron lines: when they are due."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import islice, takewhile

import pytest
from croniter import croniter

from autotask.tool.errors import ToolError
from autotask.tool.schedule.cron_line import Schedule

START = datetime(2027, 1, 1, tzinfo=timezone.utc)  # 2028 has a 29 February
END = START + timedelta(days=2 * 366)
HOUR = 3600.0

ALL = [
    "0 0 * * *",
    "30 2 * * *",
    "59 23 * * *",
    "  5   4 * * * ",
    "05 04 * * *",
    "@daily",
    "@midnight",
    "@weekly",
    "@monthly",
    "@yearly",
    "@annually",
    "0 3 * * */1",
    "0 3 */1 * *",
    "0 3 1-31 * *",
    "0 3 * * 0-6",
    "0 3 * * 1-7",
    "0 3 * 1-12 *",
    "0 3 1-31 * 1",
    "0 3 5 * 0-6",
    "45 12 * * 0",
    "45 12 * * 7",
    "45 12 * * sun",
    "0 6 * * 1-5",
    "0 6 * * MON-FRI",
    "0 6 * * fri-7",
    "0 6 * * tue,thu",
    "0 6 * * 1-5/2",
    "0 6 * * */3",
    "0 6 * * 0,7",
    "0 6 * 3 1",
    "0 6 * mar-may sat,sun",
    "15 5 1 * *",
    "15 5 1,15 * *",
    "15 5 1-7 * *",
    "15 5 1-7,20-22 * *",
    "15 5 */10 * *",
    "15 5 5/10 * *",
    "15 5 10-31/7 * *",
    "15 5 31 * *",
    "15 5 30 2,4 *",
    "15 5 29 feb *",
    "15 5 1 */3 *",
    "15 5 1 jan,jul *",
    "15 5 24 12 ?",
    "0 22 * 6-8 *",
    "0 22 ? * 2",
    "* * * * *",
    "@hourly",
    "0 */6 * * *",
    "0,30 9 * * *",
    "*/15 8-18 * * mon-fri",
    "5 0-23/8 1 * *",
    "0 0 1,15 * 1",
    "30 4 13 * fri",
    "30 4 30 2 mon",
    "0 0 1-30 * 1-6",
    "0 12 13 */2 5",
    "0 4,16 1 * mon",
]

UNREADABLE = [
    ("", "five fields"),
    ("0 3 * *", "five fields"),
    ("0 0 3 * * *", "five fields"),
    ("CRON_TZ=Europe/Berlin 0 3 * * *", "five fields"),
    ("@reboot", "five fields"),
    ("@every 1h", "five fields"),
    ("60 3 * * *", "minute '60' is not between 0 and 59"),
    ("0 24 * * *", "hour '24' is not between 0 and 23"),
    ("0 3 0 * *", "day of month '0' is not between 1 and 31"),
    ("0 3 * 13 *", "month '13' is not between 1 and 12"),
    ("0 3 * 0 *", "month '0' is not between 1 and 12"),
    ("0 3 * * 8", "day of week '8' is not between 0 and 7"),
    ("0 3 * * monday", "day of week 'monday' is not between"),
    ("0 3 L * *", "day of month 'l' is not between"),
    ("0 3 15W * *", "day of month '15w' is not between"),
    ("0 3 * * 5#2", "day of week '5#2' is not between"),
    ("H 3 * * *", "minute 'h' is not between"),
    ("? 3 * * *", "minute '?' is not between"),
    ("-5 3 * * *", "minute '' is not between"),
    ("5- 3 * * *", "minute '' is not between"),
    ("1,,2 3 * * *", "minute '' is not between"),
    ("\u0661 3 * * *", "is not between 0 and 59"),
    ("0 3 * , *", "month '' is not between"),
    ("30-10 3 * * *", "minute '30-10' ends before it starts"),
    ("0 3 * * fri-mon", "day of week 'fri-mon' ends before it starts"),
    ("*/0 3 * * *", "needs a step of at least 1"),
    ("*/ 3 * * *", "needs a step of at least 1"),
    ("*/-5 3 * * *", "needs a step of at least 1"),
    ("0 3 */2 * 1", "cron daemons interpret this differently"),
    ("0 3 1 * */2", "cron daemons interpret this differently"),
    ("0 3 30 2 *", "none of its months has such a day"),
    ("0 3 31 2,4,6,9,11 *", "none of its months has such a day"),
]


def by_cron(cron: str) -> Iterator[datetime]:
    times = croniter(cron, START, ret_type=datetime)
    return takewhile(lambda at: at < END, times)


@pytest.mark.parametrize(
    ("cron", "minutes"), [("0 3 * * *", 24 * 60), ("0,30 9 * * *", 30), ("0 22,2 * * *", 4 * 60)]
)
def test_the_closest_times_are_found_across_midnight_too(cron: str, minutes: int) -> None:
    assert Schedule(cron).closest == 60 * minutes


@pytest.mark.parametrize(("cron", "problem"), UNREADABLE)
def test_an_invalid_cron_line_is_refused(cron: str, problem: str) -> None:
    with pytest.raises(ToolError) as refusal:
        Schedule(cron)
    assert problem in str(refusal.value)
    assert str(refusal.value).startswith(f"schedule {cron!r}: ")


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "Europe", "../Berlin", "UTC\n"])
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ToolError, match="unknown time zone"):
        Schedule("0 3 * * *", name)


@pytest.mark.parametrize("cron", ALL)
def test_the_next_time_is_the_same_as_croniters(cron: str) -> None:
    schedule, at = Schedule(cron), START
    for expected in islice(by_cron(cron), 100):
        at = schedule.next_after(at)
        assert at == expected


@pytest.mark.parametrize("cron", ALL)
def test_the_interval_is_the_longest_gap(cron: str) -> None:
    years = croniter(cron, datetime(2024, 1, 1, tzinfo=timezone.utc), ret_type=datetime)
    times = list(islice(years, 3 if "29 feb" in cron else 400))
    gaps = [(after - before).total_seconds() for before, after in zip(times, times[1:])]
    assert Schedule(cron).interval == max(gaps)


@pytest.mark.parametrize(
    ("cron", "hours"),
    [
        ("30 2 * * *", 25),
        ("0 12 * * *", 25),
        ("0 6 * * 1", 7 * 24 + 1),
        ("0 * * * *", 1),
        ("*/15 * * * *", 0.25),
        ("0 */6 * * *", 7),
        ("0 6 * * 1-5", 73),
    ],
)
def test_an_interval_includes_the_hour_that_occurs_twice(cron: str, hours: float) -> None:
    assert Schedule(cron, "Europe/Berlin").interval == hours * HOUR


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("30 2 * * *", "2026-07-01T00:00+02:00", "2026-07-01T02:30+02:00"),
        ("30 2 * * *", "2026-07-01T00:30+00:00", "2026-07-02T02:30+02:00"),  # not the same again
        ("30 2 * * *", "2026-03-28T03:00+01:00", "2026-03-29T03:00+02:00"),  # 02:30 is skipped
        ("30 2 * * *", "2026-03-29T04:00+02:00", "2026-03-30T02:30+02:00"),
        ("30 2 * * *", "2026-10-24T03:00+02:00", "2026-10-25T02:30+02:00"),  # comes twice, due once
        ("30 2 * * *", "2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"),
        ("30 * * * *", "2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00"),  # by a *: due twice
        ("30 0-23 * * *", "2026-10-25T02:30+02:00", "2026-10-25T03:30+01:00"),  # not by a list
        ("*/30 2 * * *", "2026-03-28T02:30+01:00", "2026-03-30T02:00+02:00"),  # skipped, and lost
        ("30 * * * *", "2026-03-29T01:30+01:00", "2026-03-29T03:30+02:00"),
        ("0 6 * * 1", "2026-10-24T12:00+02:00", "2026-10-26T06:00+01:00"),
    ],
)
def test_daylight_saving_time_moves_what_is_due(cron: str, after: str, expected: str) -> None:
    found = Schedule(cron, "Europe/Berlin").next_after(datetime.fromisoformat(after))
    assert found.isoformat(timespec="minutes") == expected


@pytest.mark.parametrize(
    ("name", "hours"),
    [("UTC", 0), ("Europe/Berlin", 1), ("America/New_York", 1), ("Asia/Tokyo", 0),
     ("Australia/Lord_Howe", 0.5), ("Africa/Casablanca", 1)],
)  # fmt: skip
def test_the_change_of_the_clock_is_known(name: str, hours: float) -> None:
    assert Schedule("0 3 * * *", name).clock_change == hours * HOUR


def test_a_day_may_have_no_midnight() -> None:
    after = datetime.fromisoformat("2026-04-23T12:00+02:00")
    found = Schedule("0 0 * * *", "Africa/Cairo").next_after(after)
    assert found.isoformat() == "2026-04-24T01:00:00+03:00"


@pytest.mark.parametrize(
    ("cron", "minutes"),
    [
        ("5 3 * * *", 0),
        ("0~59 * * * *", 59),
        ("50~ * * * *", 9),
        ("5~9,3 * * * *", 4),
        ("5~9,10~30 * * * *", 20),
        ("0~30 1~3 * * *", 30 + 2 * 60),
    ],
)
def test_how_much_later_a_random_time_may_be_is_known(cron: str, minutes: int) -> None:
    assert Schedule(cron, in_crontab=True).spread == 60 * minutes
