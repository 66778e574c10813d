"""The remarks on a plan: what it assumes, and what the journal shows against it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from autotask.tool.datadog import assumptions, config, monitors
from autotask.tool.datadog.baselines import Task

Json = dict[str, Any]
HOUR, DAY = 3600.0, 86400.0
NOW = datetime(2026, 11, 28, 12, tzinfo=ZoneInfo("Europe/Berlin"))
NIGHTLY = Task("nightly", "shop", "prod", "process", 60, DAY, DAY, 600, 900)


def texts(tasks: list[Task], sections: Json, *kinds: str) -> list[str]:
    document = config.parse({"task": sections})
    made = monitors.make(tasks, document)
    found = assumptions.remarks(tasks, made.monitors, document, NOW.timestamp())
    return [one.text for one in found if one.kind in kinds]


def started(clock: str, zone: str, *, days: int = 5, seconds: float = 3, every: int = 1) -> Task:
    """Return a task that starts at a time of day in a zone."""
    hour, minute = map(int, clock.split(":"))
    today = NOW.astimezone(ZoneInfo(zone)).replace(hour=hour, minute=minute)
    starts = [today - timedelta(days=every * ago) for ago in range(days, 0, -1)]
    moments = tuple(one.timestamp() + seconds for one in starts)
    return NIGHTLY._replace(starts=moments, last=moments[-1])


BERLIN = {"timezone": "Europe/Berlin"}
UTC = {"timezone": "UTC"}
CLOCKS = [
    ("on time", started("03:15", "Europe/Berlin"), "15 3 * * *", BERLIN, ""),
    ("read as UTC", started("03:15", "Europe/Berlin"), "15 3 * * *", UTC,
     "due 03:15 (UTC), but its runs start at 02:15"),
    ("before midnight", started("00:30", "Europe/Berlin"), "30 0 * * *", UTC,
     "due 00:30 (UTC), but its runs start at 23:30"),
    ("far away", started("03:15", "Asia/Kathmandu"), "15 3 * * *", BERLIN,
     "due 03:15 (Europe/Berlin), but its runs start at 22:30"),
    ("later", started("03:15", "UTC"), "15 3 * * *", BERLIN,
     "due 03:15 (Europe/Berlin), but its runs start at 04:15"),
    ("one of two times", started("15:00", "Europe/Berlin"), "0 3,15 * * *", UTC,
     "due 15:00 (UTC), but its runs start at 14:00"),
    ("one day a week", started("03:15", "Europe/Berlin", every=7), "15 3 * * fri", UTC,
     "due 03:15 (UTC), but its runs start at 02:15"),
    ("on other days", started("03:15", "Europe/Berlin", every=7), "15 3 * * mon", UTC, ""),
    ("minutes late", started("03:15", "UTC", seconds=900), "15 3 * * *", UTC, ""),
    ("late, but not by hours", started("03:15", "UTC", seconds=4000), "15 3 * * *", UTC, ""),
    ("too few", started("03:15", "Europe/Berlin", days=3), "15 3 * * *", UTC, ""),
    ("by its gap", started("03:15", "Europe/Berlin"), "*/5 * * * *", UTC, ""),
    ("never", NIGHTLY, "15 3 * * *", UTC, ""),
]  # fmt: skip


@pytest.mark.parametrize(("task", "cron", "zone", "told"), [case[1:] for case in CLOCKS],
                         ids=[case[0] for case in CLOCKS])  # fmt: skip
def test_a_schedule_is_compared_with_the_runs(task: Task, cron: str, zone: Json, told: str) -> None:
    expected = [f"nightly: {told}: is `timezone` right?"] if told else []
    assert texts([task], {"nightly": {"schedule": cron, **zone}}, "time") == expected


def test_one_wrong_zone_for_many_tasks_is_reported_once() -> None:
    tasks = [started("03:15", "Europe/Berlin")._replace(name=name) for name in "abcdefg"]
    sections = {"*": {"schedule": "15 3 * * *", **UTC}}
    (told,) = texts(tasks, sections, "time")
    assert told.endswith("start at 02:15: is `timezone` right? (same for b, c, d, e and 2 more)")


TOO_OFTEN = "too many for one monitor each: only a gap longer than"
IN_UTC = "using UTC, because no time zone in the database matches this machine's clock"
ZONES = [
    ("Asia/Tokyo", "using this machine's time zone, Asia/Tokyo"),
    ("ABC-5:07", IN_UTC),
]


@pytest.mark.parametrize(("tz", "told"), ZONES)
def test_the_assumed_time_zone_is_named(
    tz: str, told: str, set_zone: Callable[[str], None]
) -> None:
    set_zone(tz)
    sections = {
        "nightly": {"schedule": "15 3 * * *"},
        "never.ran": {"schedule": "@daily"},
        "said": {"schedule": "@daily", **BERLIN},
        "by.gap": {"schedule": "*/5 * * * *"},
        "off": {"schedule": "@daily", "without": ["did_not_run"], "slow_after": "1h"},
    }
    assert texts([NIGHTLY], sections, "timezone") == [
        f"no `timezone` set for nightly, never.ran: {told}"
    ]
    assert texts([NIGHTLY], {}, "timezone") == []


@pytest.mark.parametrize(
    ("cron", "told"),
    [
        ("*/15 8-18 * * *", f"due 44 times a day, {TOO_OFTEN} 13h15m alerts"),
        ("*/5 * * * *", ""),
        ("0 */4 * * *", ""),
        ("0 8,18 * * *", ""),
    ],
)
def test_a_task_due_too_often_for_one_monitor_each_time_is_named(cron: str, told: str) -> None:
    expected = [f"nightly: {told}"] if told else []
    assert texts([NIGHTLY], {"nightly": {"schedule": cron, **UTC}}, "gap") == expected


def last(days: float, task: Task = NIGHTLY) -> Task:
    return task._replace(last=NOW.timestamp() - days * DAY)


QUIET = [
    ("yesterday", last(1), {}, ""),
    ("a week ago", last(6.9), {}, ""),
    ("longer ago", last(7.5), {}, "7 days"),
    ("long ago", last(41.2), {}, "41 days"),
    ("weekly", last(13, NIGHTLY._replace(longest_interval=7 * DAY)), {}, ""),
    ("weekly, long ago", last(15, NIGHTLY._replace(longest_interval=7 * DAY)), {}, "15 days"),
    ("monthly by its schedule", last(45), {"schedule": "0 0 1 * *"}, ""),
    ("rare by its interval", last(11), {"interval": "6d"}, ""),
    ("retired", last(41), {"retired": True}, ""),
    ("a server, which may run since then", last(41, NIGHTLY._replace(server=True)), {}, ""),
    ("no monitor of its own", last(41), {"without": ["did_not_run", "hung", "slow"]}, ""),
]


@pytest.mark.parametrize(("task", "wishes", "age"), [case[1:] for case in QUIET],
                         ids=[case[0] for case in QUIET])  # fmt: skip
def test_a_task_that_has_not_run_for_long_is_named_with_its_age(
    task: Task, wishes: Json, age: str
) -> None:
    told = f"nightly (shop, prod): no run for {age}; if it is retired, set `retired = true`"
    assert texts([task], {"nightly": wishes}, "quiet") == ([told] if age else [])


def test_a_task_that_runs_under_other_tags_is_not_suggested_for_retirement() -> None:
    """A section covers all services and envs of a name."""
    tasks = [last(11, NIGHTLY._replace(env="live")), last(1)]
    assert texts(tasks, {}, "quiet") == [
        "nightly (shop, live): no run for 11 days, but it runs under another service or env"
    ]
