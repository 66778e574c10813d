"""The evaluator of monitors that the simulation uses."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from tool.datadog.reading import DAY, HOUR, Point, alarms

START, END = 0.0, 10 * DAY
FAILED = (
    "sum(last_10m):sum:autotask.task.runs{status:failure,!trigger:terminal}"
    " by {task}.as_count() >= 1"
)
NOT_RUN = "sum(last_26h):sum:autotask.task.runs{task:nightly}.as_count() < 1"
HUNG = "max(last_5m):max:autotask.task.running_seconds{task:nightly} by {host} > 600"
SLOW = "max(last_1d):max:autotask.task.duration{status:success} > 60"
RUNS, DURATION = "autotask.task.runs", "autotask.task.duration"
CHECK, RUNNING = "autotask.task.status", "autotask.task.running_seconds"


def monitor(query: str, critical: float, **options: Any) -> dict[str, Any]:
    return {
        "type": "query alert",
        "query": query,
        "tags": ["autotask_key:failed.1"],
        "options": {"thresholds": {"critical": critical}, "on_missing_data": "resolve", **options},
    }


def sent(metric: str, *at: float, value: float = 1, **tags: str) -> list[Point]:
    tags = {"task": "nightly", "host": "web-1", "status": "failure", "trigger": "cron", **tags}
    return [Point(one, metric, value, tags) for one in at]


def told(watching: dict[str, Any], points: list[Point]) -> list[float]:
    found = alarms(watching, points, START, END)
    assert {alarm.kind for alarm in found} <= {"failed"}
    return [alarm.at for alarm in found]


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], []),
        (sent(RUNS, 90), [120]),
        (sent(RUNS, 90, 300, 800), [120]),  # still an alert: told once
        (sent(RUNS, 90, 715), [120]),  # one goes, one comes
        (sent(RUNS, 90, 750), [120, 780]),  # it had resolved in between
        (sent(RUNS, 90, 1500), [120, 1500]),
        (sent(RUNS, 90) + sent(RUNS, 200, task="other"), [120, 240]),  # each group for itself
        (sent(RUNS, 90, status="success"), []),
        (sent(RUNS, 90, trigger="terminal"), []),
        (sent(DURATION, 90), []),
        (sent(RUNS, END + 5), []),
    ],
)
def test_a_count_alerts_while_it_is_in_the_window(
    points: list[Point], expected: list[float]
) -> None:
    assert told(monitor(FAILED, 1), points) == expected


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], [START]),
        (sent(RUNS, *(n * DAY for n in range(11))), []),
        (sent(RUNS, 0, DAY, 3 * DAY, *(n * DAY for n in range(4, 11))), [DAY + 26 * HOUR]),
        (
            sent(RUNS, 7, DAY + 26 * HOUR + 60, *(n * DAY for n in range(3, 11))),
            [START, 26 * HOUR + 600],
        ),
    ],
)
def test_missing_data_counts_as_zero_every_ten_minutes(
    points: list[Point], expected: list[float]
) -> None:
    assert told(monitor(NOT_RUN, 1, on_missing_data="default"), points) == expected


def test_missing_data_does_not_alert_otherwise() -> None:
    assert told(monitor(NOT_RUN, 1), []) == []


def test_the_highest_value_of_a_host_counts() -> None:
    points = [one for n in range(1, 13) for one in sent(RUNNING, n * 60, value=n * 60)]
    assert told(monitor(HUNG, 600), points) == [660]
    assert told(monitor(HUNG, 600), points[:10]) == []
    later = [one for n in range(1, 13) for one in sent(RUNNING, n * 90, value=n * 90, host="b")]
    assert told(monitor(HUNG, 600), points + later) == [660, 660]


def test_a_window_of_a_day_is_evaluated_every_ten_minutes() -> None:
    points = sent(DURATION, 61, value=70, status="success")
    assert told(monitor(SLOW, 60), points) == [600]
    assert told(monitor(SLOW, 60), sent(DURATION, 61, value=60, status="success")) == []


def berlin(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_a_custom_schedule_notifies_each_time_that_it_is_not_ok() -> None:
    rrule = "FREQ=DAILY;BYHOUR=3;BYMINUTE=30"
    scheduled = monitor(
        "sum(last_90m):sum:autotask.task.runs{task:nightly}.as_count() < 1",
        1,
        on_missing_data="default",
        scheduling_options={
            "custom_schedule": {"recurrences": [{"rrule": rrule, "timezone": "Europe/Berlin"}]}
        },
    )
    points = sent(RUNS, berlin("2026-03-28T03:00+01:00"), berlin("2026-03-31T02:00:01+02:00"))
    found = alarms(
        scheduled, points, berlin("2026-03-28T00:00+01:00"), berlin("2026-03-31T12:00+02:00")
    )
    assert [alarm.at for alarm in found] == [
        berlin("2026-03-29T03:30+02:00"), berlin("2026-03-30T03:30+02:00"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("statuses", "critical", "expected"),
    [
        ([0, 2, 2, 0, 2], 1, [60, 240]),
        ([0, 2, 2, 0, 2, 2, 2, 2], 3, [360]),
        ([2, 0, 2, 0, 2], 2, []),
        ([2, 2, 2, 0, 2, 2], 2, [60, 300]),
    ],
)
def test_a_service_check_counts_failures_in_a_row(
    statuses: list[int], critical: int, expected: list[float]
) -> None:
    query = '"autotask.task.status".over("*").exclude("trigger:terminal","task:other").by("task")'
    watching = monitor(f"{query}.last({critical + 1}).count_by_status()", critical)
    watching["type"] = "service check"
    points = [one for n, status in enumerate(statuses) for one in sent(CHECK, n * 60, value=status)]
    others = sent(CHECK, 10, 70, 130, 190, value=2, task="other")
    by_hand = sent(CHECK, 20, 80, 140, 200, value=2, trigger="terminal")
    assert told(watching, points + others + by_hand) == expected


def test_an_unknown_query_is_an_error() -> None:
    with pytest.raises(AssertionError):
        told(monitor("avg(last_5m):anomalies(sum:autotask.task.runs{*}) > 1", 1), [])
    with pytest.raises(AssertionError):
        told(monitor(FAILED, 2), [])  # not what the options say
