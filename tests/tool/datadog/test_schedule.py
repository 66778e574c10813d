"""Cron lines: when they are due, and their RRULEs for Datadog."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import islice, takewhile

import pytest
from croniter import croniter
from dateutil.rrule import rrulestr

from autotask.tool.datadog.schedule import Schedule
from autotask.tool.errors import ToolError

START = datetime(2027, 1, 1, tzinfo=timezone.utc)  # 2028 has a 29 February
END = START + timedelta(days=2 * 366)

SAID = [
    ("0 0 * * *", "FREQ=DAILY;BYHOUR=0;BYMINUTE=0"),
    ("30 2 * * *", "FREQ=DAILY;BYHOUR=2;BYMINUTE=30"),
    ("59 23 * * *", "FREQ=DAILY;BYHOUR=23;BYMINUTE=59"),
    ("  5   4 * * * ", "FREQ=DAILY;BYHOUR=4;BYMINUTE=5"),
    ("05 04 * * *", "FREQ=DAILY;BYHOUR=4;BYMINUTE=5"),
    ("@daily", "FREQ=DAILY;BYHOUR=0;BYMINUTE=0"),
    ("@midnight", "FREQ=DAILY;BYHOUR=0;BYMINUTE=0"),
    ("@weekly", "FREQ=WEEKLY;BYDAY=SU;BYHOUR=0;BYMINUTE=0"),
    ("@monthly", "FREQ=MONTHLY;BYMONTHDAY=1;BYHOUR=0;BYMINUTE=0"),
    ("@yearly", "FREQ=MONTHLY;BYMONTH=1;BYMONTHDAY=1;BYHOUR=0;BYMINUTE=0"),
    ("@annually", "FREQ=MONTHLY;BYMONTH=1;BYMONTHDAY=1;BYHOUR=0;BYMINUTE=0"),
    ("0 3 * * */1", "FREQ=DAILY;BYHOUR=3;BYMINUTE=0"),
    ("0 3 */1 * *", "FREQ=DAILY;BYHOUR=3;BYMINUTE=0"),
    ("0 3 1-31 * *", "FREQ=DAILY;BYHOUR=3;BYMINUTE=0"),
    ("0 3 * * 0-6", "FREQ=DAILY;BYHOUR=3;BYMINUTE=0"),
    ("0 3 * * 1-7", "FREQ=DAILY;BYHOUR=3;BYMINUTE=0"),
    ("0 3 * 1-12 *", "FREQ=DAILY;BYHOUR=3;BYMINUTE=0"),
    ("0 3 1-31 * 1", "FREQ=DAILY;BYHOUR=3;BYMINUTE=0"),
    ("0 3 5 * 0-6", "FREQ=DAILY;BYHOUR=3;BYMINUTE=0"),
    ("45 12 * * 0", "FREQ=WEEKLY;BYDAY=SU;BYHOUR=12;BYMINUTE=45"),
    ("45 12 * * 7", "FREQ=WEEKLY;BYDAY=SU;BYHOUR=12;BYMINUTE=45"),
    ("45 12 * * sun", "FREQ=WEEKLY;BYDAY=SU;BYHOUR=12;BYMINUTE=45"),
    ("0 6 * * 1-5", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=6;BYMINUTE=0"),
    ("0 6 * * MON-FRI", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=6;BYMINUTE=0"),
    ("0 6 * * fri-7", "FREQ=WEEKLY;BYDAY=SU,FR,SA;BYHOUR=6;BYMINUTE=0"),
    ("0 6 * * tue,thu", "FREQ=WEEKLY;BYDAY=TU,TH;BYHOUR=6;BYMINUTE=0"),
    ("0 6 * * 1-5/2", "FREQ=WEEKLY;BYDAY=MO,WE,FR;BYHOUR=6;BYMINUTE=0"),
    ("0 6 * * */3", "FREQ=WEEKLY;BYDAY=SU,WE,SA;BYHOUR=6;BYMINUTE=0"),
    ("0 6 * * 0,7", "FREQ=WEEKLY;BYDAY=SU;BYHOUR=6;BYMINUTE=0"),
    ("0 6 * 3 1", "FREQ=WEEKLY;BYMONTH=3;BYDAY=MO;BYHOUR=6;BYMINUTE=0"),
    ("0 6 * mar-may sat,sun", "FREQ=WEEKLY;BYMONTH=3,4,5;BYDAY=SU,SA;BYHOUR=6;BYMINUTE=0"),
    ("15 5 1 * *", "FREQ=MONTHLY;BYMONTHDAY=1;BYHOUR=5;BYMINUTE=15"),
    ("15 5 1,15 * *", "FREQ=MONTHLY;BYMONTHDAY=1,15;BYHOUR=5;BYMINUTE=15"),
    ("15 5 1-7 * *", "FREQ=MONTHLY;BYMONTHDAY=1,2,3,4,5,6,7;BYHOUR=5;BYMINUTE=15"),
    ("15 5 1-7,20-22 * *", "FREQ=MONTHLY;BYMONTHDAY=1,2,3,4,5,6,7,20,21,22;BYHOUR=5;BYMINUTE=15"),
    ("15 5 */10 * *", "FREQ=MONTHLY;BYMONTHDAY=1,11,21,31;BYHOUR=5;BYMINUTE=15"),
    ("15 5 5/10 * *", "FREQ=MONTHLY;BYMONTHDAY=5,15,25;BYHOUR=5;BYMINUTE=15"),
    ("15 5 10-31/7 * *", "FREQ=MONTHLY;BYMONTHDAY=10,17,24,31;BYHOUR=5;BYMINUTE=15"),
    ("15 5 31 * *", "FREQ=MONTHLY;BYMONTHDAY=31;BYHOUR=5;BYMINUTE=15"),
    ("15 5 30 2,4 *", "FREQ=MONTHLY;BYMONTH=2,4;BYMONTHDAY=30;BYHOUR=5;BYMINUTE=15"),
    ("15 5 29 feb *", "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=5;BYMINUTE=15"),
    ("15 5 1 */3 *", "FREQ=MONTHLY;BYMONTH=1,4,7,10;BYMONTHDAY=1;BYHOUR=5;BYMINUTE=15"),
    ("15 5 1 jan,jul *", "FREQ=MONTHLY;BYMONTH=1,7;BYMONTHDAY=1;BYHOUR=5;BYMINUTE=15"),
    ("15 5 24 12 ?", "FREQ=MONTHLY;BYMONTH=12;BYMONTHDAY=24;BYHOUR=5;BYMINUTE=15"),
    ("0 22 * 6-8 *", "FREQ=DAILY;BYMONTH=6,7,8;BYHOUR=22;BYMINUTE=0"),
    ("0 22 ? * 2", "FREQ=WEEKLY;BYDAY=TU;BYHOUR=22;BYMINUTE=0"),
]  # fmt: skip

SEVERAL = [  # and how many rules it takes
    ("* * * * *", 1440),
    ("@hourly", 24),
    ("0 */6 * * *", 4),
    ("0,30 9 * * *", 2),
    ("*/15 8-18 * * mon-fri", 44),
    ("5 0-23/8 1 * *", 3),
    ("0 0 1,15 * 1", 2),
    ("30 4 13 * fri", 2),
    ("30 4 30 2 mon", 1),  # there is no such day of the month
    ("0 0 1-30 * 1-6", 2),
    ("0 12 13 */2 5", 2),
    ("0 4,16 1 * mon", 4),
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


ALL = [line for line, _ in SAID] + [line for line, _ in SEVERAL]
HOUR = 3600.0


def by_cron(cron: str) -> Iterator[datetime]:
    times = croniter(cron, START, ret_type=datetime)
    return takewhile(lambda at: at < END, times)


def by_rrule(rrule: str) -> list[datetime]:
    return list(rrulestr(rrule, dtstart=START - timedelta(days=9)).between(START, END))


def rrule_of(cron: str, delay: float = 0) -> str:
    (one,) = Schedule(cron).recurrences(delay)
    return one.rrule


@pytest.mark.parametrize(("cron", "rrule"), SAID)
def test_an_rrule_and_its_cron_line_have_the_same_times(cron: str, rrule: str) -> None:
    assert rrule_of(cron) == rrule
    expected = list(by_cron(cron))
    assert expected
    assert by_rrule(rrule) == expected


@pytest.mark.parametrize(("cron", "count"), SEVERAL)
def test_several_rules_together_have_the_times_of_a_cron_line(cron: str, count: int) -> None:
    rules = Schedule(cron).recurrences()
    assert len(rules) == len({one.due for one in rules}) == count
    end = START + timedelta(days=100)
    times = {at for one in rules[:50] for at in by_rrule(one.rrule) if at < end}
    assert times <= set(takewhile(lambda at: at < end, by_cron(cron)))
    if count <= 50:
        assert times == set(takewhile(lambda at: at < end, by_cron(cron)))


def test_each_rule_comes_with_the_time_that_is_due() -> None:
    assert [one.due for one in Schedule("5 4,16 1,2 * mon,fri").recurrences(HOUR)] == [
        "04:05 on day 1,2 of the month",
        "04:05 on Mon, Fri",
        "16:05 on day 1,2 of the month",
        "16:05 on Mon, Fri",
    ]


@pytest.mark.parametrize(
    ("cron", "minutes"), [("0 3 * * *", 24 * 60), ("0,30 9 * * *", 30), ("0 22,2 * * *", 4 * 60)]
)
def test_the_closest_times_are_found_across_midnight_too(cron: str, minutes: int) -> None:
    assert Schedule(cron).closest == 60 * minutes


@pytest.mark.parametrize("minutes", [30, 21 * 60, 3 * 24 * 60])
@pytest.mark.parametrize(
    "cron", ["30 2 * * *", "45 23 * * *", "0 6 * * 1-5", "30 23 * * sat,sun", "15 5 1,15 * *",
             "0 22 25 2 *"],
)  # fmt: skip
def test_a_deadline_may_be_past_midnight(cron: str, minutes: int) -> None:
    expected = [at + timedelta(minutes=minutes) for at in by_cron(cron)]
    deadlines = by_rrule(rrule_of(cron, delay=60 * minutes))
    shared = [at for at in deadlines if at >= expected[0]]
    assert shared == expected[: len(shared)]
    assert len(shared) >= len(expected) - 3  # the last ones are due beyond the end


@pytest.mark.parametrize(
    "cron",
    [
        "30 23 31 * *",
        "30 23 28 * *",
        "30 23 * 6 *",
        "30 23 * 6 mon",
        "30 23 1-28 jan *",
        "30 23 1 6 mon",
        "30 4,23 31 * *",
    ],
)
def test_a_deadline_in_the_next_month_is_refused(cron: str) -> None:
    assert Schedule(cron).recurrences(delay=29 * 60)
    with pytest.raises(ToolError, match="the deadline falls into the next month"):
        Schedule(cron).recurrences(delay=30 * 60)


def test_a_deadline_is_rounded_up_to_the_minute() -> None:
    assert rrule_of("0 3 * * *", delay=61) == "FREQ=DAILY;BYHOUR=3;BYMINUTE=2"


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
        ("30 2 * * *", "2026-03-28T03:00+01:00", "2026-03-29T03:30+02:00"),  # 02:30 is skipped
        ("30 2 * * *", "2026-03-29T04:00+02:00", "2026-03-30T02:30+02:00"),
        ("30 2 * * *", "2026-10-24T03:00+02:00", "2026-10-25T02:30+02:00"),  # comes twice, due once
        ("30 2 * * *", "2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"),
        ("30 * * * *", "2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00"),  # each hour: due twice
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
