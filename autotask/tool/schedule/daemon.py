"""Whether cron is running, and the TZ that it has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain

from autotask.tool.schedule.places import Places

_NAMES = frozenset(["cron", "crond", "supercronic"])
_PID_FILES = ("/run/crond.pid", "/run/cron.pid", "/var/run/crond.pid", "/var/run/cron.pid")


def is_running(places: Places) -> bool | None:
    """Tell whether a cron daemon is running; None if this user may not know."""
    proc = places.at("/proc")
    if any(_by_pid_file(places)):
        return True
    if not _first_line(f"{proc}/1/comm"):  # no /proc, or other users' processes are hidden
        return None
    return any(_by_name(places))


def tz(places: Places) -> str | None:
    """Return TZ in the environment of the running cron.

    None if TZ is not set, no cron is running, or this user may not read its environment.
    """
    for process in chain(_by_pid_file(places), _by_name(places)):
        for variable in _environment(places.at(f"/proc/{process}/environ")):
            if variable.startswith(b"TZ="):
                return os.fsdecode(variable[len(b"TZ=") :])
    return None


def _by_pid_file(places: Places) -> Iterator[str]:
    """Yield the processes in cron's pid files, if they are cron's."""
    for path in map(places.at, _PID_FILES):
        process = _first_line(path)
        if _name(places.at("/proc"), process) in _NAMES:
            yield process


def _by_name(places: Places) -> Iterator[str]:
    """Yield the processes that have cron's name."""
    proc = places.at("/proc")
    for process in filter(str.isdigit, _listed(proc)):
        if _name(proc, process) in _NAMES and not _is_containers(proc, process):
            yield process


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _environment(path: str) -> list[bytes]:
    try:
        with open(path, "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def _name(proc: str, process: str) -> str:
    """Return the name of a process: of busybox's, that of the applet."""
    name = _first_line(f"{proc}/{process}/comm") if process.isdigit() else ""
    if name != "busybox":
        return name
    return os.path.basename(
        _first_line(f"{proc}/{process}/cmdline").partition("\0")[2].split("\0")[0]
    )


def _is_containers(proc: str, process: str) -> bool:
    """Tell whether a process is in a container below this system: it has an id there, too."""
    try:
        with open(f"{proc}/{process}/status", encoding="utf-8", errors="replace") as file:
            ids = [line.split()[1:] for line in file if line.startswith("NSpid:")]
    except OSError:
        return False
    return any(len(of_namespaces) > 1 for of_namespaces in ids)


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return ""
