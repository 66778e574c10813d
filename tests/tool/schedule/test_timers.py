"""Timers of systemd: what `systemctl show` says of them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tool.schedule.machines import Machine, booted

from autotask.tool.errors import ToolError
from autotask.tool.schedule import timers

# As systemd 252 writes them.
CALENDAR = "TimersCalendar={ OnCalendar=Mon..Fri *-*-* 03:15:00 ; next_elapse=n/a }"
BOOT = "TimersMonotonic={ OnBootUSec=15min ; next_elapse=17min 41.603811s }"
AGAIN = "TimersMonotonic={ OnUnitActiveUSec=1d ; next_elapse=0 }"
EXEC = (
    "ExecStart={ path=%s ; argv[]=%s ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ;"
    " pid=0 ; code=(null) ; status=0/0 }"
)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path / "root")
    machine.systemd()
    machine.on_path(monkeypatch)
    return machine


def describe(machine: Machine, *lines: str, **properties: str) -> None:
    """Describe backup.timer and its service."""
    usual = {
        "Unit": "backup.service",
        "ActiveState": "active",
        "NextElapseUSecRealtime": "Tue 2026-12-01 03:15:00 UTC",
        "NextElapseUSecMonotonic": "0",
        "LastTriggerUSec": "Mon 2026-11-30 03:15:04 UTC",
        "AccuracyUSec": "1min",
        "RandomizedDelayUSec": "5min",
        "FragmentPath": "/lib/systemd/system/backup.timer",
        "DropInPaths": "",
    }
    machine.show("backup.timer", *(lines or (CALENDAR,)), **{**usual, **properties})


def describe_service(machine: Machine, *lines: str, **properties: str) -> None:
    usual = {
        "LoadState": "loaded",
        "Type": "oneshot",
        "User": "",
        "Environment": "",
        "RootDirectory": "",
        "RootImage": "",
        "FragmentPath": "/lib/systemd/system/backup.service",
        "DropInPaths": "/etc/systemd/system/backup.service.d/a.conf /run/b.conf",
        "ConditionResult": "yes",
        "ConditionTimestamp": "Mon 2026-11-30 03:15:04 UTC",
    }
    machine.show("backup.service", *lines, **{**usual, **properties})


def test_a_timer_says_when_it_is_due_and_when_it_was(machine: Machine) -> None:
    describe(machine)
    describe_service(machine, EXEC % ("/usr/bin/backup", "/usr/bin/backup --all"))
    (timer,) = timers.active(machine.places)
    assert timer == timers.Timer(
        unit="backup.timer",
        service=timers.Service(
            unit="backup.service",
            loaded=True,
            kind="oneshot",
            user="root",
            commands=("/usr/bin/backup --all",),
            files=(
                "/lib/systemd/system/backup.service",
                "/etc/systemd/system/backup.service.d/a.conf",
                "/run/b.conf",
            ),
        ),
        when="OnCalendar=Mon..Fri *-*-* 03:15:00",
        words="at 03:15 on Mon-Fri",
        next_due=1796094900.0,
        last_due=1796008504.0,
        tolerance=360.0,
        files=("/lib/systemd/system/backup.timer",),
    )
    assert timer.service.name == "backup"


def test_only_stable_output_of_systemctl_is_asked_for(machine: Machine) -> None:
    describe(machine)
    timers.active(machine.places)
    assert [asked.split()[0] for asked in machine.asked()] == ["show", "show"]


def test_a_timer_without_a_calendar_counts_from_the_boot(machine: Machine) -> None:
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    days, rest = divmod(now + 7200, 86400)
    span = f"{days:.0f}d {rest:.6f}s" if days else f"{rest:.6f}s"
    describe(machine, AGAIN, BOOT, NextElapseUSecRealtime="", NextElapseUSecMonotonic=span)
    (timer,) = timers.active(machine.places)
    assert timer.words == "15min after boot, 1d after its last start"
    assert timer.when == "OnBootSec=15min, OnUnitActiveSec=1d"
    assert timer.next_due == pytest.approx(time.time() + 7200, abs=60)


SPANS = [
    ("0", 0.0),
    ("1us", 1e-6),
    ("17min 41.603811s", 1061.603811),
    ("1w 2d 3h 4min 5s", 788645.0),
    ("1month 1y", 34187400.0),
    ("2ms", 0.002),
    ("infinity", None),
    ("", None),
    ("3 fortnights", None),
]


@pytest.mark.parametrize(("text", "seconds"), SPANS)
def test_a_span_of_time_is_read(machine: Machine, text: str, seconds: float | None) -> None:
    describe(machine, AccuracyUSec=text, RandomizedDelayUSec="0")
    (timer,) = timers.active(machine.places)
    assert timer.tolerance == pytest.approx(seconds or 0)


@pytest.mark.parametrize(
    ("real", "monotonic"), [("", "infinity"), ("", "0"), ("n/a", ""), ("", ""), ("0", "soon")]
)
def test_a_timer_that_is_not_due_again_says_so(machine: Machine, real: str, monotonic: str) -> None:
    describe(
        machine,
        NextElapseUSecRealtime=real,
        NextElapseUSecMonotonic=monotonic,
        LastTriggerUSec="",
    )
    (timer,) = timers.active(machine.places)
    assert (timer.next_due, timer.last_due) == (None, None)


@pytest.mark.parametrize("state", ["inactive", "failed", ""])
def test_a_timer_that_does_not_run_is_left_out(machine: Machine, state: str) -> None:
    describe(machine, ActiveState=state)
    assert timers.active(machine.places) == []


def test_a_start_that_a_condition_refused_was_never_due(machine: Machine) -> None:
    describe(machine)
    describe_service(machine, ConditionResult="no")
    (timer,) = timers.active(machine.places)
    assert timer.last_due is None


def test_a_condition_that_was_never_looked_at_refuses_nothing(machine: Machine) -> None:
    describe(machine)
    describe_service(machine, ConditionResult="no", ConditionTimestamp="")
    (timer,) = timers.active(machine.places)
    assert timer.last_due is not None


def test_a_timer_may_start_what_is_no_service_or_not_there(machine: Machine) -> None:
    describe(machine, Unit="night.target")
    (timer,) = timers.active(machine.places)
    assert timer.service == timers.Service("night.target", loaded=False)
    assert timer.service.name == "night.target"


def test_there_are_no_timers_without_systemd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path / "root")
    machine.systemd(running=False)
    machine.on_path(monkeypatch)
    describe(machine)
    assert timers.active(machine.places) == []
    assert not (machine.root / "systemctl.log").exists()


def test_a_systemctl_that_fails_says_why_in_a_line(machine: Machine) -> None:
    failing = "#!/bin/sh\nprintf 'Not booted\\nFailed\\nHost is down\\n' >&2\nexit 1\n"
    machine.program("systemctl", failing)
    with pytest.raises(ToolError, match="systemctl show: Host is down"):
        timers.active(machine.places)


def test_a_service_is_found_by_its_name(machine: Machine) -> None:
    describe_service(machine)
    assert timers.service("backup.service").loaded
    assert timers.service("nothing.service") == timers.Service("nothing.service", loaded=False)


def test_reload_lets_systemd_read_its_units_again(machine: Machine) -> None:
    timers.reload()
    assert machine.asked() == ["daemon-reload"]


UNITS = {
    "tests.target": "[Unit]\nWants=a.timer b@x.timer b@y\\x2dz.timer\n",
    "a.timer": "[Timer]\nOnCalendar=Mon..Fri 03:15\nOnCalendar=*:0/15\nRandomizedDelaySec=5min\n",
    "a.service": "[Service]\nType=oneshot\nUser=nobody\nExecStart=-/bin/sh -c 'exit 3' %%x\n",
    "b@.timer": "[Timer]\nOnActiveSec=1h\nOnUnitActiveSec=1d\nAccuracySec=1us\n",
    "b@.service": "[Service]\nType=oneshot\nExecStart=/bin/true %i\n",
}


def test_a_real_systemd_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path / "root")
    for name, text in UNITS.items():
        machine.write(f"/etc/systemd/system/{name}", text)
    with booted(machine):
        machine.on_path(monkeypatch)
        now = time.time()
        first, second, third = timers.active(machine.places)
    assert first.words == "at 03:15 on Mon-Fri, every 15 minutes"
    assert first.next_due is not None
    assert now < first.next_due <= now + 21 * 60
    assert first.last_due is None
    assert (first.tolerance, first.service.user) == (360, "nobody")
    assert first.service.commands == ("/bin/sh -c exit 3 %x",)
    assert [second.unit, third.unit] == ["b@x.timer", "b@y\\x2dz.timer"]
    assert second.words == "1h after the timer starts, 1d after its last start"
    assert second.next_due == pytest.approx(now + 3600, abs=600)
    assert third.service.name == "b@y\\x2dz"
    assert second.service.files == (f"{machine.places.units}/b@.service",)
