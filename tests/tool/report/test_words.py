"""The order of troubles, and what is said beside them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tool.report import sample
from tool.report.sample import DAY, HOUR, NOW

from autotask.tool.report import words
from autotask.tool.report.contents import Report
from autotask.tool.troubles import trouble
from autotask.tool.troubles.trouble import Trouble


@pytest.fixture(autouse=True)
def utc(set_zone: Callable[[str], None]) -> None:
    set_zone("UTC")


def _report(troubles: list[Trouble], recovered: dict[str, float]) -> Report:
    tasks = [sample.task(each.task) for each in troubles]
    tasks[-1] = tasks[-1]._replace(last_run=None)
    return sample.report()._replace(troubles=troubles, recovered=recovered, tasks=tasks)


def test_what_is_still_broken_comes_first_and_what_is_known_stands_beside_it() -> None:
    def made(kind: str, name: str, ago: float) -> Trouble:
        return Trouble(kind, name, NOW - ago, f"{name}.", name)

    troubles = [
        made(trouble.FAILED, "mended", HOUR),
        made(trouble.FAILED, "failed", 2 * HOUR),
        made(trouble.FAILED, "failed later", 1.5 * HOUR),
        made(trouble.IN_A_ROW, "in a row", 3 * HOUR),
        made(trouble.IN_A_ROW, "row mended", 3 * HOUR),
        made(trouble.HANGING, "hangs", HOUR),
        made(trouble.SLOW, "slow", HOUR),
        made(trouble.HANGING, "hangs longest", 2 * DAY),
        made(trouble.OVERLAP, "mended", HOUR),
        made(trouble.LATE, "late", 60),
        made(trouble.MISSED, "missed", 2 * HOUR),
        made(trouble.MISSED, "missed never ran", 3 * HOUR),
    ]
    report = _report(troubles, {"mended": NOW - 600, "row mended": NOW - 300})
    assert [[each.task for each in members] for _, members in words.groups(report)] == [
        ["in a row", "failed later", "failed", "row mended", "mended"],
        ["late", "missed", "missed never ran"],
        ["hangs longest", "hangs", "slow", "mended"],
    ]
    notes = words.notes(report)
    assert trouble.OVERLAP not in {each.kind for each in notes}
    assert {each.task: note for each, note in notes.items()} == {
        "mended": "succeeded again at 05:50",
        "row mended": "succeeded again at 05:55",
        "late": "last ran Tue 1 Dec 03:00",
        "missed": "last ran Tue 1 Dec 03:00",
        "missed never ran": "never ran",
    }


@pytest.mark.parametrize(
    ("runs", "failed", "by_hand", "headline"),
    [
        (0, 0, 0, "No runs last night"),
        (9, 0, 0, "All is well"),
        (9, 1, 1, "Nothing to do; 1 run failed by hand"),
        (9, 3, 2, "Nothing to do; 3 runs failed, 2 of them by hand"),
        (9, 3, 0, "Nothing to do; 3 runs failed"),
    ],
)
def test_all_is_well_only_if_nothing_failed_at_all(
    runs: int, failed: int, by_hand: int, headline: str
) -> None:
    report = sample.report()._replace(troubles=[], runs=runs, failed=failed, by_hand=by_hand)
    assert words.headline(report) == headline
