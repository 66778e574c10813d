"""Whether the stand-in for run-parts in a watched anacrontab is in order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tool.schedule.machines import Machine

from autotask.tool.cron import anacrontab, check_anacrontab, door, run_parts_door

TEXT = b"1 5 cron.daily run-parts --report /etc/cron.daily\n"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path / "root")
    machine.program("autotask-run", f"{door.END}\n")
    return machine


def found(machine: Machine) -> list[str]:
    findings = check_anacrontab.findings(machine.places)
    return [f"{status} {check}: {text}. {remedy}" for status, check, text, remedy in findings]


def watch(machine: Machine) -> str:
    folder = machine.places.at("/etc/autotask")
    machine.write("/etc/anacrontab", anacrontab.watch(TEXT, folder))
    return run_parts_door.write(folder, f"{machine.programs}/autotask-run")


def test_one_that_is_not_there_not_watched_or_in_order_is_not_mentioned(machine: Machine) -> None:
    assert found(machine) == []
    machine.write("/etc/anacrontab", TEXT)
    assert found(machine) == []
    watch(machine)
    assert found(machine) == []


def test_a_stand_in_that_is_gone_is_a_problem(machine: Machine) -> None:
    path = watch(machine)
    os.unlink(path)
    (line,) = found(machine)
    where = machine.places.anacrontab
    assert line.startswith(f"problem door: {where}: cannot read {path}: No such file")
    assert line.endswith(f". `autotask cron watch {where}`")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_anacrontab_that_this_user_may_not_read_is_a_warning(machine: Machine) -> None:
    machine.write("/etc/anacrontab", TEXT, 0)
    (line,) = found(machine)
    assert line.startswith("warning door: cannot read ")
