"""The RRULEs for Datadog have the same times as their cron lines."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import takewhile

import pytest
from croniter import croniter
from dateutil.rrule import rrulestr

from autotask.tool.datadog.recurrence import recurrences
from autotask.tool.errors import ToolError
from autotask.tool.schedule.cron_line import Schedule

START = datetime(2027, 1, 1, tzinfo=timezone.utc)  # 2028 has a 29 February
END = START + timedelta(days=2 * 366)
HOUR = 3600.0

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


def by_cron(cron: str) -> Iterator[datetime]:
    times = croniter(cron, START, ret_type=datetime)
    return takewhile(lambda at: at < END, times)


def by_rrule(rrule: str) -> list[datetime]:
    return list(rrulestr(rrule, dtstart=START - timedelta(days=9)).between(START, END))


def rrule_of(cron: str, delay: float = 0) -> str:
    (one,) = recurrences(Schedule(cron), delay)
    return one.rrule


@pytest.mark.parametrize(("cron", "rrule"), SAID)
def test_an_rrule_and_its_cron_line_have_the_same_times(cron: str, rrule: str) -> None:
    assert rrule_of(cron) == rrule
    expected = list(by_cron(cron))
    assert expected
    assert by_rrule(rrule) == expected


@pytest.mark.parametrize(("cron", "count"), SEVERAL)
def test_several_rules_together_have_the_times_of_a_cron_line(cron: str, count: int) -> None:
    rules = recurrences(Schedule(cron))
    assert len(rules) == len({one.due for one in rules}) == count
    end = START + timedelta(days=100)
    times = {at for one in rules[:50] for at in by_rrule(one.rrule) if at < end}
    assert times <= set(takewhile(lambda at: at < end, by_cron(cron)))
    if count <= 50:
        assert times == set(takewhile(lambda at: at < end, by_cron(cron)))


def test_each_rule_comes_with_the_time_that_is_due() -> None:
    assert [one.due for one in recurrences(Schedule("5 4,16 1,2 * mon,fri"), HOUR)] == [
        "04:05 on day 1,2 of the month",
        "04:05 on Mon, Fri",
        "16:05 on day 1,2 of the month",
        "16:05 on Mon, Fri",
    ]


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
    assert recurrences(Schedule(cron), delay=29 * 60)
    with pytest.raises(ToolError, match="the deadline falls into the next month"):
        recurrences(Schedule(cron), delay=30 * 60)


def test_a_deadline_is_rounded_up_to_the_minute() -> None:
    assert rrule_of("0 3 * * *", delay=61) == "FREQ=DAILY;BYHOUR=3;BYMINUTE=2"
