"""The simulated year: each trouble alerts, and without trouble there are no alerts."""

from __future__ import annotations

from pathlib import Path

import pytest
from tool.datadog import simulation
from tool.datadog.reading import DAY, HOUR
from tool.datadog.simulation import HABITS, TROUBLES, Detection, Habit

PAGE = Path(__file__).resolve().parents[3] / "docs" / "datadog.md"
NIGHTLY, HOURLY, WEEKLY = HABITS
SCHEDULED, PATIENT, LEARNED = simulation.DOCUMENTS


def told(habit: Habit, trouble: str, title: str = SCHEDULED) -> dict[str, Detection]:
    return {one.kind: one for one in simulation.detections(habit, trouble, title)}


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
def test_each_trouble_alerts_each_time(
    habit: Habit, trouble: str, kind: str, within: float
) -> None:
    found = told(habit, trouble)[kind]
    assert found.times == found.of
    assert found.at_worst <= within


@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize("trouble", ["fails by hand, three times", "hangs by hand for 12 hours"])
@pytest.mark.parametrize("title", simulation.DOCUMENTS)
def test_trouble_with_manual_runs_does_not_alert(habit: Habit, trouble: str, title: str) -> None:
    assert told(habit, trouble, title) == {}


@pytest.mark.parametrize("habit", HABITS)
def test_with_failures_in_a_row_a_single_failure_does_not_alert(habit: Habit) -> None:
    assert told(habit, "fails once", PATIENT) == {}
    assert set(told(habit, "fails three times", PATIENT)) == {"failed"}
    assert set(told(habit, "does not run", PATIENT)) == {"did_not_run"}


@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize("title", [SCHEDULED, LEARNED])
def test_a_failure_alerts_once(habit: Habit, title: str) -> None:
    assert set(told(habit, "fails once", title)) == {"failed"}
    assert set(told(habit, "fails three times", title)) == {"failed"}


def test_a_rare_task_that_does_not_run_only_alerts_with_a_schedule() -> None:
    assert told(WEEKLY, "does not run", LEARNED) == {}


@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize("title", simulation.DOCUMENTS)
def test_a_year_without_trouble_has_no_alerts(habit: Habit, title: str) -> None:
    # also in the night in March in which 02:30 is skipped: cron starts it right after
    assert simulation.false_alarms(habit, title) == []


@pytest.mark.checkout
def test_the_docs_have_the_figures_of_this_simulation() -> None:
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(simulation.MARKS[0])
    shown, _, _ = rest.partition(simulation.MARKS[1])
    assert shown.strip() == simulation.tables().strip()
    assert all(trouble in shown for trouble in TROUBLES)
