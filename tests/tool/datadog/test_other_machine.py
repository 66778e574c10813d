"""One set of monitors, applied from a machine with a crontab and from machines without it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tool.datadog.server import Datadog
from tool.journals import DAY, Book

from autotask.tool.cli import main
from autotask.tool.datadog import config
from autotask.tool.schedule import places
from autotask.tool.schedule.places import Places

Json = dict[str, Any]
Crontab = Callable[..., None]
pytestmark = pytest.mark.usefixtures("folder")
DOOR = "SHELL=/etc/autotask/shell"
AT_3 = "15 3 * * * root nightly"
FROM_MACHINE = "autotask_schedule:machine"


@pytest.fixture
def crontab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Crontab:
    """Return a function that writes the crontab of this machine, which has no other jobs."""
    root = tmp_path / "machine"
    (root / "etc/cron.d").mkdir(parents=True)
    monkeypatch.setattr(places, "HERE", Places(str(root), os.getuid()))

    def write(*lines: str) -> None:
        text = "".join(f"{line}\n" for line in lines)
        (root / "etc/crontab").write_text(text)

    return write


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, list[str]]]:
    """Return a function that runs `autotask monitors`, and returns its output and notices."""

    def run_it(*words: str) -> tuple[str, list[str]]:
        capsys.readouterr()
        status = main(["monitors", *words])
        printed = capsys.readouterr()
        assert status in (0, None), printed.err
        notices = [line.removeprefix("autotask: ") for line in printed.err.splitlines()]
        # When nightly starts depends on when the test does.
        others = ("no recipients: set `notify` in autotask.toml", "is `timezone` right?")
        return printed.out, [line for line in notices if not line.endswith(others)]

    return run_it


Run = Callable[..., tuple[str, list[str]]]


def of_nightly(datadog: Datadog) -> list[Json]:
    """Return the monitors that tell of nightly that it did not run."""
    return [
        one for one in datadog.monitors.values() if "nightly (shop, prod) did not" in one["name"]
    ]


HERE = "no `schedule` set for nightly ({}/etc/crontab, line 2): using this machine's"
LEFT = (
    "monitors left as they are: when nightly did not run; their schedules come from a crontab or "
    "timer that was not read now: set `schedule`, or give them up with --prune"
)


def test_another_machine_leaves_the_monitors_of_a_crontab_as_they_are(
    datadog: Datadog, nightly: Book, crontab: Crontab, run: Run, tmp_path: Path
) -> None:
    crontab(DOOR, AT_3)
    told, notices = run("apply", "--yes")
    assert "7 created" in told
    assert notices == [HERE.format(tmp_path / "machine")]
    (first,) = of_nightly(datadog)
    assert FROM_MACHINE in first["tags"]
    assert "BYHOUR=4;BYMINUTE=15" in str(first)

    crontab()
    for words in (("plan",), ("apply", "--yes")):
        told, notices = run(*words)
        assert ("nothing to do; 6 unchanged" in told, notices) == (True, [LEFT])
    assert of_nightly(datadog) == [first]

    crontab(DOOR, AT_3.replace("15 3", "15 5"))
    told, _ = run("apply", "--yes")
    assert "1 changed" in told
    assert "BYHOUR=6;BYMINUTE=15" in str(of_nightly(datadog))


def test_two_deadlines_are_both_left(
    datadog: Datadog, nightly: Book, crontab: Crontab, run: Run
) -> None:
    crontab(DOOR, AT_3.replace("15 3", "15 3,15"))
    run("apply", "--yes")
    assert len(of_nightly(datadog)) == 2
    crontab()
    told, notices = run("plan")
    assert ("nothing to do; 6 unchanged" in told, notices) == (True, [LEFT])
    assert "no longer needed" not in told


def test_prune_gives_the_schedule_up(
    datadog: Datadog, nightly: Book, crontab: Crontab, run: Run
) -> None:
    crontab(DOOR, AT_3)
    run("apply", "--yes")
    crontab()
    told, notices = run("apply", "--yes", "--prune")
    assert ("1 replaced" in told, notices) == (True, [])
    (monitor,) = of_nightly(datadog)
    assert FROM_MACHINE not in monitor["tags"]
    assert "sum(last_" in monitor["query"]


def test_a_schedule_in_the_file_takes_over_everywhere(
    datadog: Datadog, nightly: Book, crontab: Crontab, run: Run, folder: Path
) -> None:
    crontab(DOOR, AT_3)
    run("apply", "--yes")
    (folder / "autotask.toml").write_text('[task.nightly]\nschedule = "0 6 * * *"\n'
                                          'timezone = "UTC"\n')  # fmt: skip
    told, notices = run("apply", "--yes")
    assert ("1 changed" in told, notices) == (True, [])
    (monitor,) = of_nightly(datadog)
    assert "BYHOUR=7;BYMINUTE=0" in str(monitor)
    crontab()
    assert "nothing to do; 7 unchanged" in run("plan")[0]


def test_a_task_that_is_retired_elsewhere_loses_its_monitors(
    datadog: Datadog, nightly: Book, crontab: Crontab, run: Run, folder: Path
) -> None:
    crontab(DOOR, AT_3)
    run("apply", "--yes")
    crontab()
    (folder / "autotask.toml").write_text("[task.nightly]\nretired = true\n")
    told, notices = run("apply", "--yes")
    assert ("deleted" in told, notices, of_nightly(datadog)) == (True, [], [])


def test_what_is_left_has_no_other_reason_in_the_plan(
    datadog: Datadog, book: Book, crontab: Crontab, run: Run
) -> None:
    """After too few runs to learn from, `set schedule` would be asked for."""
    book.run("nightly", ago=DAY, duration=600)
    crontab(DOOR, AT_3)
    run("apply", "--yes")
    crontab()
    plan = json.loads(run("plan", "--format", "json")[0])
    assert [left["name"] for left in plan["left"]] == ["autotask: nightly (shop, prod) did not run"]
    assert [each["kind"] for each in plan["without"]] == ["hung", "slow"]
    assert [remark["kind"] for remark in plan["remarks"]] == ["left"]
    assert "without did_not_run" not in "".join(run("plan")[1])


def test_export_says_which_schedules_it_took(
    nightly: Book, crontab: Crontab, run: Run, tmp_path: Path
) -> None:
    crontab(DOOR, AT_3)
    exported, notices = run("export")
    assert FROM_MACHINE in exported
    assert notices == [HERE.format(tmp_path / "machine")]


def test_init_writes_what_makes_the_same_monitors_elsewhere(
    datadog: Datadog, nightly: Book, crontab: Crontab, run: Run
) -> None:
    crontab(DOOR, AT_3, "30 4 1 1 * root yearly.sh")
    assert run("init") == ("wrote autotask.toml with 3 tasks\n", [])
    found = config.load(None)
    assert found.settings_for("nightly").schedule == "15 3 * * *"
    assert found.settings_for("yearly.sh").schedule == "30 4 1 1 *"
    run("apply", "--yes")
    assert "BYHOUR=4;BYMINUTE=15" in str(of_nightly(datadog))
    crontab()
    told, notices = run("plan")
    assert "nothing to do; 8 unchanged" in told
    assert not any("schedule" in notice for notice in notices if "hung" not in notice)


def test_crontabs_say_nothing_of_the_tasks_of_all_machines(
    datadog: Datadog, crontab: Crontab, run: Run
) -> None:
    tags = ["task:nightly", "service:shop", "env:prod", "framework:click"]
    hours = [[hour * 3600_000, 1.0] for hour in range(40)]
    crontab(DOOR, AT_3)
    datadog.answers = [[{"tag_set": tags, "pointlist": hours}], []]
    exported, notices = run("export", "--from-datadog")
    assert (FROM_MACHINE in exported, "did not run" in exported) == (False, True)
    assert not any("crontab" in notice for notice in notices)


def test_a_crontab_that_is_not_watched_changes_nothing(
    nightly: Book, crontab: Crontab, run: Run
) -> None:
    crontab()
    before = run("export")
    crontab(AT_3, "0 5 * * * root other")
    assert run("export") == before
