"""The timers of systemd, and the services that they start.

`systemctl show` is what systemd promises not to change, unlike `list-timers`
(https://systemd.io/PORTABILITY_AND_STABILITY/). It writes times in the time zone of its
environment, to the second. Timers of users (`systemctl --user`) are not read.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from autotask.tool.errors import ToolError
from autotask.tool.schedule import words
from autotask.tool.schedule.places import HERE, Places

_PATIENCE = 30.0  # seconds
_OF_TIMER = (
    "Id,Unit,ActiveState,NextElapseUSecRealtime,NextElapseUSecMonotonic,LastTriggerUSec,"
    "AccuracyUSec,RandomizedDelayUSec,TimersCalendar,TimersMonotonic,FragmentPath,DropInPaths"
)
_OF_SERVICE = (
    "Id,LoadState,Type,User,ExecStart,Environment,RootDirectory,RootImage,FragmentPath,"
    "DropInPaths,ConditionResult,ConditionTimestamp"
)
_TOLERANCES = ("AccuracyUSec", "RandomizedDelayUSec")
_STRUCTURE = re.compile(r"\{ (\w+)=(.*?) ; (.*) \}")
_ARGV = re.compile(r"argv\[\]=(.*?) ; ignore_errors=")
_SPAN = re.compile(r"([0-9.]+) ?([a-z]+)")
_SECONDS = {
    "y": 31557600,
    "month": 2629800,
    "w": 604800,
    "d": 86400,
    "h": 3600,
    "min": 60,
    "s": 1,
    "ms": 1e-3,
    "us": 1e-6,
}
_MEANINGS = {
    "OnActive": "after the timer starts",
    "OnBoot": "after boot",
    "OnStartup": "after boot",
    "OnUnitActive": "after its last start",
    "OnUnitInactive": "after its last end",
}


class Service(NamedTuple):
    """What a timer starts."""

    unit: str  # backup.service; another unit may be no service
    loaded: bool
    kind: str = ""  # Type=
    user: str = "root"
    commands: tuple[str, ...] = ()  # the words of each command, as systemd shows them: no quotes
    environment: str = ""
    other_root: bool = False  # it sees another file system than we do
    files: tuple[str, ...] = ()  # that define it: the unit's own, then its drop-ins, in order
    refused: bool = False  # the last time, a condition was not fulfilled

    @property
    def name(self) -> str:
        """How its runs are named."""
        return self.unit.removesuffix(".service")


class Timer(NamedTuple):
    """A timer that runs."""

    unit: str  # backup.timer
    service: Service
    when: str  # `OnCalendar=*-*-* 06:00:00`; several are separated by `, `
    words: str
    next_due: float | None  # POSIX seconds
    last_due: float | None  # the same, if it has started its service
    tolerance: float  # seconds by which systemd may be late: to wake up less often, or by chance
    files: tuple[str, ...]  # that define it


def active(places: Places = HERE) -> list[Timer]:
    """Return the timers that run, by name; none if this machine has no systemd.

    Raises:
        ToolError: systemd does not answer.
    """
    if not places.has_systemd:
        return []
    shown = [unit for unit in _show(_OF_TIMER, "*.timer") if unit["ActiveState"] == ["active"]]
    services = {service.unit: service for service in _services(_unit_of(unit) for unit in shown)}
    return sorted(_timer(unit, services) for unit in shown)


def service(unit: str) -> Service:
    """Return a service by its name; `loaded` is false if there is none.

    Raises:
        ToolError: systemd does not answer.
    """
    return next(_services([unit]), Service(unit, loaded=False))


def reload() -> None:
    """Let systemd read its units again.

    Raises:
        ToolError: It does not.
    """
    _systemctl("daemon-reload")


def _services(units: Iterable[str]) -> Iterator[Service]:
    names = sorted(set(units))
    return map(_service, _show(_OF_SERVICE, *names)) if names else iter(())


_Unit = dict[str, list[str]]  # the values of each property


def _show(properties: str, *units: str) -> list[_Unit]:
    text = _systemctl("show", f"--property={properties}", "--", *units)
    return [_properties(block, properties) for block in text.split("\n\n") if block.strip()]


def _properties(block: str, names: str) -> _Unit:
    found: _Unit = {name: [] for name in names.split(",")}
    for line in block.splitlines():
        name, equals, value = line.partition("=")
        if equals and value and name in found:
            found[name].append(value)
    return found


def _systemctl(*words: str) -> str:
    program = shutil.which("systemctl") or "/usr/bin/systemctl"
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
    try:
        ended = subprocess.run(
            [program, *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"systemctl {words[0]} has not answered in {_PATIENCE:.0f} s") from None
    if ended.returncode:
        why = os.fsdecode(ended.stderr).strip().splitlines() or [f"status {ended.returncode}"]
        raise ToolError(f"systemctl {words[0]}: {why[-1]}")
    return os.fsdecode(ended.stdout)


def _timer(unit: _Unit, services: dict[str, Service]) -> Timer:
    started = services.get(_unit_of(unit)) or Service(_unit_of(unit), loaded=False)
    bases = [match for match in map(_STRUCTURE.fullmatch, _bases(unit)) if match]
    last_due = _moment(_first(unit, "LastTriggerUSec"))
    return Timer(
        unit=_first(unit, "Id"),
        service=started,
        when=", ".join(f"{match[1].replace('USec', 'Sec')}={match[2]}" for match in bases),
        words=", ".join(_in_words(match[1], match[2]) for match in bases),
        next_due=_next_due(unit),
        last_due=None if started.refused else last_due,
        tolerance=sum(_span(_first(unit, name)) or 0 for name in _TOLERANCES),
        files=_files(unit),
    )


def _bases(unit: _Unit) -> list[str]:
    """Return what a timer counts from, as its file has it: systemd shows the last one first."""
    return [*unit["TimersCalendar"][::-1], *unit["TimersMonotonic"][::-1]]


def _in_words(base: str, value: str) -> str:
    if base == "OnCalendar":
        return words.of_calendar(value)
    return f"{value} {_MEANINGS.get(base.replace('USec', ''), base)}"


def _next_due(unit: _Unit) -> float | None:
    monotonic = _span(_first(unit, "NextElapseUSecMonotonic"))
    known = [_moment(_first(unit, "NextElapseUSecRealtime"))]
    if monotonic:  # 0: none
        known.append(time.time() + monotonic - time.clock_gettime(time.CLOCK_MONOTONIC))
    return min((moment for moment in known if moment is not None), default=None)


def _moment(text: str) -> float | None:
    """Return the POSIX time of `Tue 2026-12-01 00:17:01 UTC`; None for none."""
    try:
        moment = datetime.fromisoformat(text[4:].replace(" UTC", "+00:00"))
        return moment.timestamp()
    except ValueError:
        return None


def _span(text: str) -> float | None:
    """Return the seconds of `1h 17min 41.603811s`; None for `infinity` and for what is unknown."""
    if text == "0":
        return 0.0
    parts = _SPAN.findall(text)
    if not parts or any(unit not in _SECONDS for _, unit in parts):
        return None
    return float(sum(float(number) * _SECONDS[unit] for number, unit in parts))


def _service(unit: _Unit) -> Service:
    return Service(
        unit=_first(unit, "Id"),
        loaded=_first(unit, "LoadState") == "loaded",
        kind=_first(unit, "Type"),
        user=_first(unit, "User") or "root",
        commands=tuple(match[1] for match in map(_ARGV.search, unit["ExecStart"]) if match),
        environment=_first(unit, "Environment"),
        other_root=bool(_first(unit, "RootDirectory").strip("/") or _first(unit, "RootImage")),
        files=_files(unit),
        refused=_first(unit, "ConditionResult") == "no" and bool(unit["ConditionTimestamp"]),
    )


def _files(unit: _Unit) -> tuple[str, ...]:
    return (*unit["FragmentPath"], *_first(unit, "DropInPaths").split())


def _unit_of(unit: _Unit) -> str:
    return _first(unit, "Unit")


def _first(unit: _Unit, name: str) -> str:
    return unit[name][0] if unit[name] else ""
