"""Where the kernel counts its out-of-memory kills, according to the files of /proc and of cgroups.

The files are real; which of them a machine has is what the cases are about. That a kill is told
is in test_closing.py and test_supervise_setting.py, with a real control group.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support import write

from autotask.around.supervise import oom_counter, oom_kills

V1 = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"
V2 = "low 0\nhigh 0\nmax 73\noom 9\noom_kill {}\noom_group_kill 8\n"
HYBRID = "4:memory:{}\n1:name=systemd:/x\n0::/x\n"
ROOT_OF_1 = "35 31 0:32 {} {{}}/memory rw,relatime - cgroup cgroup rw,memory\n"
ROOT_OF_2 = "29 23 0:26 {} {{}} rw,nosuid,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"

# /proc/self/cgroup, /proc/self/mountinfo (`{}` is a folder), the counters in that folder, and the
# count; /proc/vmstat, which is about the whole machine, says 99.
CASES = {
    "version 2": ("0::/a/b\n", ROOT_OF_2.format("/"), {"a/b/memory.events": V2.format(3)}, 3),
    "version 2, with other groups below": (
        "0::/a\n",
        ROOT_OF_2.format("/"),
        {"a/memory.events": V2.format(8), "a/memory.events.local": V2.format(3)},
        3,
    ),
    "version 2, in a container": (
        "0::/\n",
        ROOT_OF_2.format("/"),
        {"memory.events": V2.format(3)},
        3,
    ),
    "version 2, the container's own mount": (
        "0::/docker/1f\n",
        ROOT_OF_2.format("/docker/1f"),
        {"memory.events": V2.format(3)},
        3,
    ),
    "version 2, below the container's own": (
        "0::/docker/1f/job\n",
        ROOT_OF_2.format("/docker/1f"),
        {"memory.events": V2.format(8), "job/memory.events": V2.format(3)},
        3,
    ),
    "version 2, seen from a namespace below": (
        "0::/\n",
        ROOT_OF_2.format("/../.."),
        {"memory.events": V2.format(8)},
        0,
    ),
    "version 2, out of its namespace": (
        "0::/../1f\n",
        ROOT_OF_2.format("/"),
        {"memory.events": V2.format(8)},
        0,
    ),
    "version 2, another of a similar name": (
        "0::/docker/1f2\n",
        ROOT_OF_2.format("/docker/1f"),
        {"memory.events": V2.format(8)},
        0,
    ),
    "version 2, the root of the machine": ("0::/\n", ROOT_OF_2.format("/"), {}, 0),
    "version 1": (
        HYBRID.format("/a"),
        ROOT_OF_1.format("/"),
        {"memory/a/memory.oom_control": V1.format(3)},
        3,
    ),
    "version 1 with others on its mount": (
        "4:cpuset,memory:/a\n",
        ROOT_OF_1.format("/").replace("rw,memory", "rw,cpuset,memory"),
        {"memory/a/memory.oom_control": V1.format(3)},
        3,
    ),
    "version 1, in a container": (
        HYBRID.format("/docker/1f"),
        ROOT_OF_1.format("/docker/1f") + ROOT_OF_2.format("/"),
        {"memory/memory.oom_control": V1.format(3)},
        3,
    ),
    "version 1, of another controller": (
        HYBRID.format("/a"),
        ROOT_OF_1.format("/").replace("rw,memory", "rw,pids"),
        {"memory/a/memory.oom_control": V1.format(8)},
        0,
    ),
    "version 1 before Linux 4.13": (
        HYBRID.format("/a"),
        ROOT_OF_1.format("/"),
        {"memory/a/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n"},
        0,
    ),
    "nothing mounted": ("0::/a\n", "22 1 8:1 / / rw - ext4 /dev/root rw\n", {}, 0),
    "no cgroups": ("", "", {}, 0),
}


@pytest.mark.parametrize(("cgroup", "mountinfo", "files", "count"), CASES.values(), ids=CASES)
def test_the_counter_of_its_own_group_is_read(
    cgroup: str, mountinfo: str, files: dict[str, str], count: int, tmp_path: Path
) -> None:
    place = tmp_path / "cgroup"
    write(tmp_path / "proc/self/cgroup", cgroup)
    write(tmp_path / "proc/self/mountinfo", mountinfo.replace("{}", str(place)))
    write(tmp_path / "proc/vmstat", "oom_kill 99\nnuma_hit 7\n")
    for name, text in files.items():
        write(place / name, text)
    assert oom_kills(oom_counter(str(tmp_path / "proc"))) == count


def test_without_any_counter_there_is_none(tmp_path: Path) -> None:
    assert oom_kills(oom_counter(str(tmp_path))) == 0
