"""What the monitors say in a year: each trouble is told, a quiet year is quiet."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from tool.datadog import simulation
from tool.datadog.reading import DAY, HOUR
from tool.datadog.simulation import HABITS, TROUBLES, Habit, Told

PAGE = Path(__file__).resolve().parents[3] / "docs" / "datadog.md"
NIGHTLY, HOURLY, WEEKLY = HABITS
SCHEDULED, PATIENT, LEARNED = simulation.WISHES


def told(habit: Habit, trouble: str, title: str = SCHEDULED) -> dict[str, Told]:
    return {one.kind: one for one in simulation.told(habit, trouble, title)}


@pytest.mark.parametrize("habit", HABITS)
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
def test_each_trouble_is_told_each_time(
    habit: Habit, trouble: str, kind: str, within: float
) -> None:
    found = told(habit, trouble)[kind]
    assert found.times == found.of
    assert found.at_worst <= within


@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize("trouble", ["fails by hand, three times", "hangs by hand for 12 hours"])
@pytest.mark.parametrize("title", simulation.WISHES)
def test_what_goes_wrong_by_hand_wakes_nobody(habit: Habit, trouble: str, title: str) -> None:
    assert told(habit, trouble, title) == {}


@pytest.mark.parametrize("habit", HABITS)
def test_with_patience_only_failures_in_a_row_are_told(habit: Habit) -> None:
    assert told(habit, "fails once", PATIENT) == {}
    assert set(told(habit, "fails three times", PATIENT)) == {"failed"}
    assert set(told(habit, "does not run", PATIENT)) == {"did_not_run"}


@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize("title", [SCHEDULED, LEARNED])
def test_a_failure_is_told_once(habit: Habit, title: str) -> None:
    assert set(told(habit, "fails once", title)) == {"failed"}
    assert set(told(habit, "fails three times", title)) == {"failed"}


def test_a_rare_task_that_does_not_run_is_not_told_without_a_schedule() -> None:
    assert told(WEEKLY, "does not run", LEARNED) == {}


@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize("title", simulation.WISHES)
def test_a_quiet_year_is_quiet(habit: Habit, title: str) -> None:
    found = simulation.false_alarms(habit, title)
    days = [datetime.fromtimestamp(alarm.at, ZoneInfo(habit.timezone)).date() for alarm in found]
    # 02:30 is skipped in that night, and the run comes as late as the deadline
    skipped = [date(2026, 3, 29)] if habit is NIGHTLY and title != LEARNED else []
    assert days == skipped


@pytest.mark.checkout
def test_the_page_shows_the_figures_of_this_simulation() -> None:
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(simulation.MARKS[0])
    shown, _, _ = rest.partition(simulation.MARKS[1])
    assert shown.strip() == simulation.tables().strip()
    assert all(trouble in shown for trouble in TROUBLES)
