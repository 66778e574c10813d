"""autotask-run delivers on its way out what earlier runs owe."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support import Datagrams, deliveries, run_program

from autotask.around import redeliver

NOBODY: dict[str, str | None] = {"DD_DOGSTATSD_URL": "udp://127.0.0.1:9"}


WHOLE = redeliver.SETTLED + 2  # seconds after which a second is delivered, the tenth one, too


def launch(name: str, env: dict[str, str | None] | None = None) -> None:
    run_program("true", under="launcher", env={"AUTOTASK_NAME": name, **(env or {})})


def told(datagrams: Datagrams) -> list[tuple[str, bool]]:
    """Return of each start and end that was counted its task, and whether it came late."""
    counts = datagrams.lines("autotask.task.started:", 5) + datagrams.lines("autotask.task.runs:")
    datagrams.forget()
    return [(line.partition("#task:")[2].partition(",")[0], "|T" in line) for line in counts]


def test_what_earlier_runs_owe_is_delivered_once_and_late(home: Path, datagrams: Datagrams) -> None:
    launch("a", NOBODY)
    launch("b", NOBODY)
    time.sleep(WHOLE)
    launch("c")
    assert sorted(told(datagrams)) == sorted(
        [("c", False), ("c", False), *[("a", True), ("b", True)] * 2]
    )
    launch("d")
    assert told(datagrams) == [("d", False), ("d", False)]
    assert [event for _, _, event in deliveries(home)] == ["unsent"] * 4 + ["sent"] * 4


def test_nothing_is_tried_where_nobody_listens(home: Path) -> None:
    for name in ("a", "b", "c"):
        launch(name, NOBODY)
    assert [event for _, _, event in deliveries(home)] == ["unsent"] * 6


@pytest.mark.parametrize("setting", ["AUTOTASK_DOGSTATSD", "AUTOTASK_JOURNAL"])
def test_nor_where_a_part_is_turned_off(setting: str, home: Path, datagrams: Datagrams) -> None:
    launch("a", NOBODY)
    launch("b", {setting: "0"})
    assert "sent" not in [event for _, _, event in deliveries(home)]
    assert not [line for line in datagrams.lines() if "|T" in line]


def test_of_a_long_journal_only_the_end_is_looked_at(home: Path, datagrams: Datagrams) -> None:
    filler = '{"event":"of somebody else"}\n' * 20_000
    launch("a", NOBODY)
    (segment,) = (home / "journal").iterdir()
    segment.write_text(segment.read_text() + filler)
    launch("first", NOBODY)  # others of its second may stand before the end that is looked at
    time.sleep(2)
    launch("b", NOBODY)
    time.sleep(WHOLE)
    launch("c")
    assert sorted(told(datagrams)) == [("b", True), ("b", True), ("c", False), ("c", False)]
