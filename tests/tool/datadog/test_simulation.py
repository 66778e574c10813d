"""What the monitors say in a year: each trouble is told, a quiet year is quiet."""

from __future__ import annotations

from datetime import date, datetime
from functools import cache, lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from tool.datadog import simulation
from tool.datadog.reading import DAY, HOUR
from tool.datadog.simulation import HABITS, TROUBLES, Told

PAGE = Path(__file__).resolve().parents[3] / "docs" / "datadog.md"
NIGHTLY, HOURLY, WEEKLY = HABITS
WATCHING = lru_cache(simulation.made)


@cache
def told(task: str, trouble: str, with_schedules: bool = True) -> dict[str, Told]:
    (habit,) = [one for one in HABITS if one.task == task]
    found = simulation.told(habit, trouble, WATCHING(with_schedules)[task])
    return {one.kind: one for one in found}


@pytest.mark.parametrize("task", [habit.task for habit in HABITS])
@pytest.mark.parametrize(
    ("trouble", "kind", "within"),
    [
        ("fails once", "failed", 0.1 * HOUR),
        ("fails three times", "failed", 0.1 * HOUR),
        ("does not run", "did_not_run", 5 * HOUR),
        ("hangs for 12 hours", "hung", 9 * HOUR),
        ("its machine dies", "did_not_run", 5 * HOUR),
        ("takes three times as long", "slow", 5 * HOUR),
        ("takes ever longer", "slow", 50 * DAY),
    ],
)
def test_each_trouble_is_told_each_time(task: str, trouble: str, kind: str, within: float) -> None:
    found = told(task, trouble)[kind]
    assert found.times == found.of
    assert found.at_worst <= within


@pytest.mark.parametrize("task", [habit.task for habit in HABITS])
def test_what_fails_by_hand_wakes_nobody(task: str) -> None:
    assert told(task, "fails by hand") == {}


def test_a_rare_task_that_does_not_run_is_not_told_without_a_schedule() -> None:
    assert told("weekly", "does not run", with_schedules=False) == {}


@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize("with_schedules", [True, False])
def test_a_quiet_year_is_quiet(habit: simulation.Habit, with_schedules: bool) -> None:
    found = simulation.false_alarms(habit, WATCHING(with_schedules)[habit.task])
    days = [datetime.fromtimestamp(alarm.at, ZoneInfo(habit.timezone)).date() for alarm in found]
    # 02:30 is skipped in that night, and the run comes as late as the deadline
    assert days == ([date(2026, 3, 29)] if habit is NIGHTLY and with_schedules else [])


@pytest.mark.checkout
def test_the_page_shows_the_figures_of_this_simulation() -> None:
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(simulation.MARKS[0])
    shown, _, _ = rest.partition(simulation.MARKS[1])
    assert shown.strip() == simulation.tables().strip()
    assert all(trouble in shown for trouble in TROUBLES)
