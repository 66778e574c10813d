"""Whether cron is running, by its pid file or its name in /proc, and its TZ."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotask.tool.schedule import daemon
from autotask.tool.schedule.places import Places


def process(root: Path, pid: int, name: str, *words: str) -> None:
    folder = root / "proc" / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "comm").write_text(f"{name}\n")
    (folder / "cmdline").write_bytes(b"".join(f"{word}\0".encode() for word in words))


@pytest.mark.parametrize(
    ("name", "words", "running"),
    [
        ("cron", (), True),
        ("crond", (), True),
        ("supercronic", (), True),
        ("busybox", ("busybox", "crond", "-f"), True),
        ("busybox", ("/bin/busybox", "/usr/sbin/crond"), True),
        ("busybox", ("busybox", "sh"), False),
        ("busybox", (), False),
        ("cronolog", (), False),
    ],
)
def test_a_daemon_is_known_by_its_name(
    tmp_path: Path, name: str, words: tuple[str, ...], running: bool
) -> None:
    process(tmp_path, 1, "init")
    process(tmp_path, 20, name, *words)
    (tmp_path / "proc" / "self").mkdir()
    assert daemon.is_running(Places(str(tmp_path))) is running


def test_without_a_view_of_all_processes_it_is_unknown(tmp_path: Path) -> None:
    assert daemon.is_running(Places(str(tmp_path))) is None
    process(tmp_path, 20, "bash")
    assert daemon.is_running(Places(str(tmp_path))) is None


@pytest.mark.parametrize(("ids", "running"), [("20", True), ("20\t7", False)])
def test_the_cron_of_a_container_does_not_count(tmp_path: Path, ids: str, running: bool) -> None:
    process(tmp_path, 1, "init")
    process(tmp_path, 20, "cron")
    (tmp_path / "proc/20/status").write_text(f"Name:\tcron\nNSpid:\t{ids}\nThreads:\t1\n")
    assert daemon.is_running(Places(str(tmp_path))) is running


@pytest.mark.parametrize("file", ["run/crond.pid", "run/cron.pid", "var/run/crond.pid"])
def test_a_pid_file_leads_to_it(tmp_path: Path, file: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text("20\n")
    process(tmp_path, 20, "cron")
    assert daemon.is_running(Places(str(tmp_path))) is True
    process(tmp_path, 20, "bash")  # the pid is another process's now
    assert daemon.is_running(Places(str(tmp_path))) is None
    path.write_text("../20\n")
    assert daemon.is_running(Places(str(tmp_path))) is None


ENVIRONMENTS = [  # of cron, and its TZ
    (b"HOME=/\0TZ=Europe/Berlin\0LANG=C\0", "Europe/Berlin"),
    (b"TZ=\0", ""),
    (b"HOME=/\0", None),
    (b"MY_TZ=Europe/Berlin\0", None),
    (b"", None),  # it has ended, but its parent has not noticed
    (None, None),  # only its owner and root may read it
]


@pytest.mark.parametrize(("environment", "tz"), ENVIRONMENTS)
def test_the_tz_of_cron_is_read_from_its_environment(
    tmp_path: Path, environment: bytes | None, tz: str | None
) -> None:
    process(tmp_path, 1, "init")
    process(tmp_path, 20, "cron")
    (tmp_path / "proc/1/environ").write_bytes(b"TZ=Asia/Tokyo\0")
    if environment is not None:
        (tmp_path / "proc/20/environ").write_bytes(environment)
    assert daemon.tz(Places(str(tmp_path))) == tz


def test_without_a_cron_there_is_no_tz(tmp_path: Path) -> None:
    assert daemon.tz(Places(str(tmp_path))) is None
