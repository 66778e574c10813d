"""From when on a job that did not run was missed: see `counted_from`."""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING

from autotask import procfs
from autotask.tool.schedule import crontab

if TYPE_CHECKING:
    from autotask.tool.schedule.machine import Job

_MACHINES_OWN = "pid:[4026531836]"  # PROC_PID_INIT_INO in the kernel's source
SETTLES = 10 * 60.0  # seconds after boot in which cron may not run yet


def booted() -> float:
    """Return when this machine was booted, or this container started, in POSIX seconds.

    By today's clock: what was set since is in it, as in `btime` of /proc/stat.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    machine = time.time() - time.clock_gettime(clock)
    first = procfs.start_time(1)  # None if /proc hides it from us
    return machine + (int(first) / os.sysconf("SC_CLK_TCK") if first else 0)


def counted_from(job: Job, first_seen: float, boot: float) -> float:
    """Return the POSIX time after which each due time of a job must have a run.

    It is the latest of the machine's boot, and a little more until cron runs; the last change of
    its crontab; and its first sight. A container does not show whether cron took its start for
    one of the machine.
    """
    if job.when == crontab.REBOOT:
        return max(job.changed, first_seen) if _sees_the_machine() else math.inf
    return max(boot + SETTLES, job.changed, first_seen)


def with_reboot(job: Job, boot: float) -> Job:
    """Return a job that is due at boot with that time; others as they are."""
    if job.when != crontab.REBOOT:
        return job
    return job._replace(last_due=boot, tolerance=job.tolerance + SETTLES)


def _sees_the_machine() -> bool:
    try:
        return os.readlink("/proc/self/ns/pid") == _MACHINES_OWN
    except OSError:
        return False
