"""From when on a job that did not run was missed."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time

import pytest

from autotask.tool.schedule import since
from autotask.tool.schedule.machine import Job

JOB = Job("crontab of ann", 1, "ann", "a", "15 3 * * *", "", None, "UTC", 5000, True)


@pytest.mark.parametrize(
    ("changed", "first_seen", "boot", "expected"),
    [
        (5000, 100, 200, 5000),
        (100, 5000, 200, 5000),
        (100, 200, 5000, 5000 + since.SETTLES),
        (4900, 200, 4500, 4500 + since.SETTLES),
    ],
)
def test_the_latest_counts(changed: float, first_seen: float, boot: float, expected: float) -> None:
    assert since.counted_from(JOB._replace(changed=changed), first_seen, boot) == expected


def test_the_time_of_boot_is_that_of_the_first_process() -> None:
    boot = since.booted()
    with open("/proc/stat") as file:
        machines = next(int(line.split()[1]) for line in file if line.startswith("btime"))
    assert machines - 2 <= boot <= time.time()
    assert abs(since.booted() - boot) < 1


def test_a_container_starts_with_its_first_process() -> None:
    code = "import time; time.sleep(1.5); from autotask.tool.schedule import since as s;"
    code += "print(s.booted())"
    before = time.time()
    words = ["unshare", "--map-root-user", "--fork", "--pid", "--mount-proc", sys.executable]
    ended = subprocess.run([*words, "-c", code], capture_output=True, text=True, check=False)
    if "unshare" in ended.stderr:
        pytest.skip("no namespaces for us")
    assert before - 1 < float(ended.stdout) < time.time() - 1


def test_what_is_due_at_boot_was_seen_before() -> None:
    job = since.with_reboot(JOB._replace(when="@reboot"), 7000)
    assert (job.last_due, job.tolerance) == (7000, since.SETTLES)
    assert since.with_reboot(JOB, 7000) == JOB
    initial = os.readlink("/proc/self/ns/pid") == "pid:[4026531836]"
    assert since.counted_from(job, 6000, 7000) == (6000 if initial else math.inf)
