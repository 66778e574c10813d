"""When a job was first seen: kept in a file of the home, which may be damaged or unwritable."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from autotask.tool.schedule import first_seen
from autotask.tool.schedule.machine import Job

NOW = 1_780_000_000.0
DAY = 86400.0


def job(command: str = "backup.sh", when: str = "15 3 * * *", user: str = "ann") -> Job:
    return Job(
        source="crontab of ann",
        line=3,
        user=user,
        name="backup.sh",
        when=when,
        words="",
        schedule=None,
        timezone="UTC",
        changed=0,
        watched=True,
        command=command,
    )


def look(home: Path | None, now: float, *jobs: Job) -> list[float]:
    return first_seen.look(jobs, str(home) if home else None, now)


def test_a_job_keeps_its_first_sight(tmp_path: Path) -> None:
    assert look(tmp_path, NOW, job()) == [NOW]
    assert look(tmp_path, NOW + 9 * DAY, job(), job(when="15 4 * * *")) == [NOW, NOW + 9 * DAY]
    assert look(tmp_path, NOW + 10 * DAY, job(when="15 4 * * *"), job()) == [NOW + 9 * DAY, NOW]


@pytest.mark.parametrize("other", [job("backup.sh -v"), job(when="@daily"), job(user="root")])
def test_a_job_that_is_changed_is_a_new_one(tmp_path: Path, other: Job) -> None:
    look(tmp_path, NOW, job())
    assert look(tmp_path, NOW + DAY, other) == [NOW + DAY]


def test_its_number_is_none_of_a_job(tmp_path: Path) -> None:
    look(tmp_path, NOW, job())
    assert look(tmp_path, NOW + DAY, job()._replace(line=4)) == [NOW]


def test_what_is_not_seen_for_90_days_is_forgotten(tmp_path: Path) -> None:
    look(tmp_path, NOW, job(), job("other"))
    assert look(tmp_path, NOW + 89 * DAY, job()) == [NOW]
    assert look(tmp_path, NOW + 91 * DAY, job(), job("other")) == [NOW, NOW + 91 * DAY]


def test_the_file_is_written_only_if_something_is_new(tmp_path: Path) -> None:
    file = tmp_path / first_seen.FILE
    look(tmp_path, NOW, job())
    before = file.stat()
    look(tmp_path, NOW + DAY - 1, job())
    assert file.stat() == before
    look(tmp_path, NOW + DAY, job())
    assert file.stat().st_ino != before.st_ino
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [first_seen.FILE]


def test_a_clock_that_was_ahead_heals(tmp_path: Path) -> None:
    look(tmp_path, NOW + 900 * DAY, job())
    assert look(tmp_path, NOW, job()) == [NOW]
    assert look(tmp_path, NOW + DAY, job()) == [NOW]


DAMAGE = ["", "{", "[]", "3", '{"a": 3}', '{"a": [1]}', '{"a": ["x", 2]}', "[" * 100_000, "\0",
          '{"a": [1' + "0" * 400 + ", 2]}", '{"a": [null, 2]}']  # fmt: skip


@pytest.mark.parametrize("text", DAMAGE)
def test_a_damaged_file_is_made_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / first_seen.FILE).write_text(text)
    assert look(tmp_path, NOW, job()) == [NOW]
    assert look(tmp_path, NOW + DAY, job()) == [NOW]


def test_no_number_becomes_now(tmp_path: Path) -> None:
    (tmp_path / first_seen.FILE).write_text(
        json.dumps({first_seen.key(job()): [math.nan, math.inf]})
    )
    assert look(tmp_path, NOW, job()) == [NOW]


def test_a_home_that_cannot_be_written_makes_each_look_the_first(tmp_path: Path) -> None:
    for home in (None, tmp_path / "missing"):
        assert look(home, NOW, job()) == [NOW]
        assert look(home, NOW + DAY, job()) == [NOW + DAY]


def test_a_link_or_a_pipe_in_its_place_is_not_read(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    look(real, NOW, job())
    os.symlink(real / first_seen.FILE, tmp_path / first_seen.FILE)
    assert look(tmp_path, NOW + DAY, job()) == [NOW + DAY]
    (tmp_path / first_seen.FILE).unlink()
    os.mkfifo(tmp_path / first_seen.FILE)
    assert look(tmp_path, NOW + DAY, job()) == [NOW + DAY]
    assert json.loads((real / first_seen.FILE).read_text())[first_seen.key(job())] == [NOW, NOW]


def test_what_a_killed_command_left_is_in_the_way_for_a_minute_alone(tmp_path: Path) -> None:
    left = tmp_path / f"{first_seen.FILE}.new"
    left.write_text("{")
    assert look(tmp_path, NOW, job()) == [NOW]
    assert look(tmp_path, NOW + DAY, job()) == [NOW + DAY]  # it may be another command's
    os.utime(left, (NOW, os.stat(left).st_mtime - 61))
    look(tmp_path, NOW + 2 * DAY, job())
    assert look(tmp_path, NOW + 3 * DAY, job()) == [NOW + 3 * DAY]
    assert look(tmp_path, NOW + 4 * DAY, job()) == [NOW + 3 * DAY]
    assert [path.name for path in tmp_path.iterdir()] == [first_seen.FILE]
