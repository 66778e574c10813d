"""Whether the drop-ins of watched timers still fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from tool.schedule.machines import Machine
from tool.schedule.test_timers import describe, describe_service

from autotask.tool.cron import check_timers, door, drop_in, run_script
from autotask.tool.schedule import timers

UNIT = "/lib/systemd/system/backup.service"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Have backup.timer, which starts /usr/bin/backup."""
    machine = Machine(tmp_path / "root")
    machine.systemd()
    machine.on_path(monkeypatch)
    machine.program("autotask-run", f"{door.END}\n")
    describe(machine)
    set_command(machine, "/usr/bin/backup")
    return machine


def set_command(machine: Machine, command: str) -> None:
    path = machine.write(UNIT, f"[Service]\nExecStart={command}\n")
    describe_service(machine, FragmentPath=path, DropInPaths="")


def watch(machine: Machine) -> None:
    places = machine.places
    run_script.write(places.at(door.ETC), f"{machine.programs}/autotask-run")
    (timer,) = timers.active(places)
    text = drop_in.text(timer.service, run_script.path_for(door.ETC))
    drop_in.write(timer.service, text, places)


def found(machine: Machine) -> list[str]:
    findings = check_timers.findings(machine.places)
    return [f"{status} {check}: {text}. {remedy}" for status, check, text, remedy in findings]


def test_a_timer_that_is_not_watched_or_as_it_was_is_not_mentioned(machine: Machine) -> None:
    assert found(machine) == []
    watch(machine)
    assert found(machine) == []


def test_a_service_that_starts_something_else_since_is_a_problem(machine: Machine) -> None:
    watch(machine)
    set_command(machine, "/usr/bin/new-backup")
    text = "backup.timer: its service has changed, and still starts what it was before"
    assert found(machine) == [f"problem timer: {text}. `autotask cron watch backup.timer`"]
    watch(machine)
    assert found(machine) == []


def test_a_script_that_leads_nowhere_is_a_problem(machine: Machine) -> None:
    watch(machine)
    (machine.programs / "autotask-run").unlink()
    (line,) = found(machine)
    assert line.startswith(f"problem timer: {machine.places.at('/etc/autotask/run')} leads to ")
    assert line.endswith(". `autotask cron watch backup.timer`")


def test_a_systemd_that_does_not_answer_is_a_warning(machine: Machine) -> None:
    machine.program("systemctl", "#!/bin/sh\necho 'Failed to connect' >&2; exit 1\n")
    (line,) = found(machine)
    assert line.startswith("warning timer: ")


def test_without_systemd_nothing_is_asked(tmp_path: Path) -> None:
    assert found(Machine(tmp_path / "root")) == []
