"""Which process this is, so that another one can tell later whether it still lives.

Process ids are reused. With its start time an id is unique in one boot and one pid namespace.
"""

from __future__ import annotations

import os
import sys

from autotask.guard import raised_here
from autotask.stdlib import standard

_BOOT = "/proc/sys/kernel/random/boot_id"
_INITIAL = "4026531836"  # the machine's own pid namespace: PROC_PID_INIT_INO in the kernel's source
_UNKNOWN = "?"


def identity(pid: int | None = None) -> str:
    """Return `boot id/pid namespace/start time in clock ticks` of a process, ours by default.

    What the system does not tell is `?`; see proc(5), `/proc/pid/stat` field 22. If it hides the
    boot id, what `boot_id.guess` returns takes its place, which begins with `?`.
    """
    who = "self" if pid is None else str(pid)
    started = start_time(who) or _UNKNOWN
    return f"{_boot()}/{_namespace()}/{started}"


def start_time(who: int | str) -> str | None:
    """Return when a process of this namespace started; None for none, or a zombie."""
    fields = stat_fields(who)
    return None if fields is None or fields[0] in ("Z", "X") else fields[19]


def stat_fields(who: int | str) -> list[str] | None:
    """Return the fields of /proc/pid/stat from the third (state) on."""
    data = _read(f"/proc/{who}/stat")
    return data.rpartition(")")[2].split() if data else None


def name_of(pid: int) -> str | None:
    """Return a process's own name (`comm`)."""
    data = _read(f"/proc/{pid}/stat")
    return data.partition("(")[2].rpartition(")")[0] if data else None


def largest_memory() -> int | None:
    """Return this process's largest resident memory so far, in bytes (`VmHWM`, see proc(5)).

    getrusage(2) also counts what this process was before exec: a copy of the process that forked
    it. It is the only source without /proc (macOS).
    """
    value = _read("/proc/self/status").partition("VmHWM:")[2]
    if value:
        return int(value.split(None, 1)[0]) * 1024
    try:
        resource = standard("resource")
    except ImportError:  # Windows
        return None
    largest: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def is_dead(process: str, pid: int, host: str) -> bool | None:
    """Tell whether the process of an `identity` is gone; None if that cannot be seen from here.

    Processes of another machine or container cannot be seen. Another boot id with our host name
    means that this machine was rebooted, but only outside of containers: containers on several
    machines may share a host name.
    """
    boot, _, rest = process.partition("/")
    namespace, _, started = rest.partition("/")
    if not boot or _UNKNOWN in (boot, namespace, started):
        return None
    own_namespace = _namespace()
    if boot[0] == _UNKNOWN:
        from autotask import boot_id

        if boot != boot_id.guess() or host != os.uname().nodename:
            return None
    elif boot != _boot():
        if _boot()[0] == _UNKNOWN:
            return None
        rebooted = host == os.uname().nodename and namespace == own_namespace == _INITIAL
        return True if rebooted else None
    if namespace != own_namespace:
        return None
    if start_time(pid) == started:
        return False
    # A /proc that was mounted for another namespace counts processes differently.
    return True if os.readlink("/proc/self") == str(os.getpid()) else None


def _boot() -> str:
    boot = _read(_BOOT).strip()
    if not boot:
        from autotask import boot_id

        return boot_id.guess() or _UNKNOWN
    return boot


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid").partition("[")[2].rstrip("]") or _UNKNOWN
    except raised_here(OSError):
        return _UNKNOWN


def _read(path: str) -> str:
    file = -1
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        return os.read(file, 4096).decode("utf-8", "replace")
    except raised_here(OSError):
        return ""
    finally:
        if file != -1:
            os.close(file)
