"""When cron lines are due around changes of the clock: as cron, and as healthchecks' cronsim."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from tool.schedule.cron_daemon import Daemon, Entry

from autotask.tool.schedule.cron_line import Schedule

LINES = [
    "30 2 * * *",
    "0,30 2 * * *",
    "15 1-3 * * *",
    "*/30 2 * * *",
    "* 2 * * *",
    "0 * * * *",
    "0 0-23 * * *",
    "30 0-23/2 * * *",
    "0 */2 * * *",
    "10 */3 * * *",
    "*/5 * * * *",
    "0-59/10 1-2 * * *",
    "0-59 * * * *",
    "0-59/7 0-23 * * *",
    "0 0 * * *",
    "30 0 * * *",
    "59 23 * * *",
    "*/20 1,2 * * 7",
    "0 2 * * 0",
    "0 0 1 * *",
    "30 23 31 * *",
    "0 3 */2 * 1",
    "0 3 1 * */2",
    "30 4 13 * fri",
    "0 1 * 3,4,10,11 *",
    "45 0 29 mar-apr *",
]
CHANGES = [  # days on which the clock is changed
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-04-05"),  # by half an hour
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Africa/Cairo", "2026-04-24"),  # this day has no midnight
    ("Africa/Cairo", "2026-10-29"),  # its last hour comes twice
    ("America/Havana", "2026-03-08"),
    ("America/Havana", "2026-11-01"),
    ("Asia/Beirut", "2026-03-29"),
    ("America/Santiago", "2026-04-04"),
    ("Antarctica/Troll", "2026-03-29"),  # by two hours
    ("Antarctica/Troll", "2026-10-25"),
    ("Africa/Casablanca", "2026-02-15"),
    ("Europe/Dublin", "2026-10-25"),
    ("America/Nuuk", "2026-03-28"),
    ("America/Scoresbysund", "2024-03-31"),  # the zone changes with the season: it skips nothing
    ("Pacific/Apia", "2011-12-30"),  # there was no such day: a correction of the clock
    ("Antarctica/Casey", "2023-03-09"),  # back by three hours
    ("Asia/Kathmandu", "2026-03-29"),  # never
]
# cronsim 2.8 adds whole hours to an hour's first minute: a change by half an hour leads it to
# 02:30, and it never sees 02:00 to 02:29. If midnight is skipped, it does not see the hour after.
CRONSIM_IS_WRONG = {
    ("Australia/Lord_Howe", line)
    for line in ("*/30 2 * * *", "* 2 * * *", "0 */2 * * *", "10 */3 * * *", "5 */6 * * *")
} | {(zone, "*/20 1,2 * * 7") for zone in ("America/Havana", "Asia/Beirut")}


def span(zone: str, day: str) -> tuple[float, float]:
    """Return a time before and a time after the days around a day."""
    middle = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone), hour=12).timestamp()
    return middle - 86400, middle + 86400


def by_daemon(zone: str, after: float, until: float) -> dict[str, list[float]]:
    """Return when cron starts each line."""
    daemon = Daemon(map(Entry, LINES), zone)
    daemon.start(after)
    started: dict[str, list[float]] = {line: [] for line in LINES}
    for minute in range(1, int(until - after) // 60 + 1):
        now = after + 60 * minute
        for line in {entry.line for entry in daemon.wake(now)}:
            started[line].append(now)
    return started


@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_each_line_is_due_when_cron_starts_it(zone: str, day: str) -> None:
    after, until = span(zone, day)
    for line, started in by_daemon(zone, after, until).items():
        due = Schedule(line, zone, in_crontab=True).due_between(after, until)
        assert (line, due) == (line, started)


def test_the_model_of_cron_does_as_its_manual_says() -> None:
    """The other tests compare with it: here are facts from cron(8), by hand."""
    started = by_daemon("Europe/Berlin", *span("Europe/Berlin", "2026-03-29"))
    assert "2026-03-29T03:00+02:00" in local(started["30 2 * * *"])
    assert [at for at in local(started["*/30 2 * * *"]) if at.startswith("2026-03-29")] == []
    started = by_daemon("Europe/Berlin", *span("Europe/Berlin", "2026-10-25"))
    assert local(started["0 0-23 * * *"]).count("2026-10-25T02:00+01:00") == 0
    assert local(started["0 * * * *"]).count("2026-10-25T02:00+01:00") == 1


def local(moments: list[float]) -> list[str]:
    berlin = ZoneInfo("Europe/Berlin")
    return [datetime.fromtimestamp(at, berlin).isoformat(timespec="minutes") for at in moments]


def by_cronsim(line: str, zone: str, after: float, until: float) -> Iterator[float]:
    cronsim = pytest.importorskip("cronsim", reason="needs Python 3.10")
    due = cronsim.CronSim(line, datetime.fromtimestamp(after, ZoneInfo(zone)))
    return takewhile(lambda at: at <= until, (at.timestamp() for at in due))


@pytest.mark.parametrize(
    ("zone", "day"), [change for change in CHANGES if change[0] not in ("Pacific/Apia",)]
)
def test_each_line_is_due_as_cronsim_says_but_for_its_mistakes(zone: str, day: str) -> None:
    after, until = span(zone, day)
    for line in LINES:
        due = Schedule(line, zone, in_crontab=True).due_between(after, until)
        if (zone, line) not in CRONSIM_IS_WRONG:
            assert (line, due) == (line, list(by_cronsim(line, zone, after, until)))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_two_years_are_as_cronsim_says(zone: str) -> None:
    after = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone)).timestamp()
    until = after + timedelta(days=2 * 366).total_seconds()
    for line in ("30 2 * * *", "0 0-23 * * *", "5 */6 * * *", "30 4 13 * fri", "0 3 */2 * 1"):
        if (zone, line) not in CRONSIM_IS_WRONG:
            due = Schedule(line, zone, in_crontab=True).due_between(after, until)
            assert (line, due) == (line, list(by_cronsim(line, zone, after, until)))
