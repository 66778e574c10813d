"""Reading crontabs: as cron reads them, and byte by byte."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tool.schedule.crontab_lines import AFTER, BAD, OTHERS, OUR_OWN, PUBLISHED, ZONE, Row

from autotask.command_name import name_of_line
from autotask.tool.schedule import crontab

ROWS = [*PUBLISHED, *OUR_OWN]
# Debian's cron refuses what only cronie reads.
CRONIES = ("~ ", "-")


def line_of(row: Row) -> crontab.Line:
    (line,) = crontab.read(os.fsencode(f"{row}\n"), system=row.user is not None)
    return line


def test_there_are_as_many_rows_as_there_should_be() -> None:
    assert len(PUBLISHED) == 22
    assert len(OUR_OWN) >= 60


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_job_is_read_as_cron_reads_it(row: Row) -> None:
    line = line_of(row)
    assert (line.kind, line.problem) == (crontab.JOB, "")
    assert (line.when, line.user, line.command) == (row.when, row.user, row.command)
    assert line.raw == os.fsencode(f"{row}\n")


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_job_is_named_as_a_person_would_name_it(row: Row) -> None:
    assert name_of_line(row.command) == row.name


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_job_is_due_when_cron_runs_it(row: Row) -> None:
    schedule = crontab.schedule_of(line_of(row), ZONE)
    if row.due is None:
        assert schedule is None
        return
    assert schedule is not None
    due = schedule.next_after(AFTER)
    assert due.tzinfo == ZoneInfo(ZONE)
    assert due.strftime("%m-%d %H:%M") == row.due


@pytest.mark.parametrize("text", OTHERS)
@pytest.mark.parametrize("system", [False, True])
def test_other_lines_are_no_jobs(text: str, system: bool) -> None:
    (line,) = crontab.read(text.encode() + b"\n", system)
    expected = OTHERS[text]
    assert line.kind == (crontab.ASSIGNMENT if expected else crontab.OTHER)
    assert (line.variable, line.value) == (expected or ("", ""))


@pytest.mark.parametrize("text", BAD)
def test_a_line_that_cron_does_not_run_has_a_reason(text: str) -> None:
    (line,) = crontab.read(text.encode() + b"\n")
    assert line.kind == crontab.BAD
    assert BAD[text] in line.problem
    assert crontab.schedule_of(line, ZONE) is None


def test_a_system_crontab_needs_a_user() -> None:
    (line,) = crontab.read(b"5 * * * *\n", system=True)
    assert (line.kind, line.problem) == (crontab.BAD, "it has no user and no command")


@pytest.mark.skipif(not shutil.which("crontab"), reason="cron is not installed")
@pytest.mark.parametrize(
    "text",
    [*(str(row) for row in ROWS if row.user is None), *OTHERS, *BAD],
)
def test_debians_cron_accepts_the_same_lines(text: str, tmp_path: Path) -> None:
    usage = subprocess.run(["crontab", "-h"], capture_output=True, text=True).stderr
    if "dry run" not in usage:
        pytest.skip("this crontab has no dry run")
    file = tmp_path / "crontab"
    file.write_bytes(os.fsencode(text + "\n"))
    refused = subprocess.run(["crontab", "-n", str(file)], capture_output=True).returncode != 0
    (line,) = crontab.read(file.read_bytes())
    is_never_due = "ends before" in line.problem or "none of its months" in line.problem
    assert refused == ((line.kind == crontab.BAD and not is_never_due) or text.startswith(CRONIES))


@given(st.binary(max_size=200) | st.text("*/5 %\\=#@\"'SHEL~-\t\r\n", max_size=80).map(str.encode))
def test_what_is_read_is_the_text_byte_by_byte(text: bytes) -> None:
    for system in (False, True):
        lines = crontab.read(text, system)
        assert b"".join(line.raw for line in lines) == text
        assert [line.number for line in lines] == list(range(1, len(lines) + 1))
        assert all(b"\n" not in line.raw[:-1] for line in lines)


SHELLS = b"""\
5 * * * * one
SHELL=/etc/autotask/shell
5 * * * * two
SHELL = "/bin/bash"
5 * * * * three
SHELL=/home/ann/.config/autotask/shell.bin.bash
5 * * * * four
SHELL=/usr/local/autotask/shell/zsh
5 * * * * five
"""


def test_a_job_has_the_shell_of_the_last_line_above_it() -> None:
    jobs = [line for line in crontab.read(SHELLS) if line.kind == crontab.JOB]
    assert [(line.command, line.wrapped, line.shell) for line in jobs] == [
        ("one", False, "/bin/sh"),
        ("two", True, "/bin/sh"),
        ("three", False, "/bin/bash"),
        ("four", True, "/bin/bash"),
        ("five", False, "/usr/local/autotask/shell/zsh"),
    ]


def test_the_time_zone_of_cron_is_that_of_the_schedule() -> None:
    (line,) = crontab.read(b"0 3 * * * job\n")
    schedule = crontab.schedule_of(line, "Asia/Tokyo")
    assert schedule is not None
    assert schedule.next_after(AFTER) == datetime.fromisoformat("2026-12-01T03:00+09:00")
