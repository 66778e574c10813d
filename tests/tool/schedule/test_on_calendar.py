"""Timers of systemd as cron lines and intervals. Expressions are from systemd.time(7)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import datetime, timezone

import pytest

from autotask.tool.schedule.cron_line import Schedule
from autotask.tool.schedule.on_calendar import Timing, timing

LINES = [
    ("hourly", "0 * * * *"),
    ("minutely", "* * * * *"),
    ("daily", "0 0 * * *"),
    ("Daily", "0 0 * * *"),
    ("weekly", "0 0 * * 1"),
    ("monthly", "0 0 1 * *"),
    ("quarterly", "0 0 1 1,4,7,10 *"),
    ("semiannually", "0 0 1 1,7 *"),
    ("yearly", "0 0 1 1 *"),
    ("annually", "0 0 1 1 *"),
    ("*-*-* 00:00:00", "0 0 * * *"),
    ("*-*-* 03:15:00", "15 3 * * *"),
    ("03:15", "15 3 * * *"),
    ("*-*-* 6,18:00:00", "0 6,18 * * *"),
    ("*:0/15", "*/15 * * * *"),
    ("*-*-* *:5/15:00", "5-59/15 * * * *"),
    ("*:20,40", "20,40 * * * *"),
    ("*-*-* 08..18/2:30:00", "30 8-18/2 * * *"),
    ("Mon..Fri *-*-* 09:00:00", "0 9 * * 1-5"),
    ("Mon-Fri 09:00", "0 9 * * 1-5"),
    ("Mon,Wed..Fri 12:00", "0 12 * * 1,3-5"),
    ("Fri..Sun 12:00", "0 12 * * 5-7"),
    ("Sunday 04:00", "0 4 * * 7"),
    ("Fri", "0 0 * * 5"),
    ("*-*-01 04:00:00", "0 4 1 * *"),
    ("*-*-1..7 04:00", "0 4 1-7 * *"),
    ("*-2-29", "0 0 29 2 *"),
    ("12-24 18:00", "0 18 24 12 *"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "line"), LINES)
def test_what_a_timer_says_is_a_cron_line(expression: str, line: str) -> None:
    assert timing(f"OnCalendar={expression}") == Timing(line)
    assert Schedule(line).next_after(datetime.now().astimezone())


BASE, TIMES = datetime(2026, 12, 1, 0, 0, 30, tzinfo=timezone.utc), 6


def elapses(expressions: list[str]) -> list[list[datetime]]:
    """Return when timers elapse by systemd itself."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    options = [f"--iterations={TIMES}", f"--base-time={BASE:%Y-%m-%d %H:%M:%S}"]
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
    shown = subprocess.run(
        [program, "calendar", *options, *expressions],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if shown.returncode:
        pytest.skip(f"systemd-analyze is too old: {shown.stderr}")  # before 247
    return [
        [datetime.fromisoformat(f"{at}+00:00") for at in re.findall(r"\w{3} (\S+ \S+) UTC", block)]
        for block in shown.stdout.split("Normalized form")[1:]
    ]


def test_systemd_says_the_same() -> None:
    expressions = [*(case[0] for case in LINES), "*-*-* 03:15:00 Europe/Berlin"]
    for expression, due in zip(expressions, elapses(expressions)):
        found = timing(f"OnCalendar={expression}")
        assert found is not None
        schedule, at, ours = Schedule(found.cron or "", found.timezone or "UTC"), BASE, []
        for _ in due:
            at = schedule.next_after(at)
            ours.append(at)
        assert (expression, ours) == (expression, due)
        assert due


@pytest.mark.parametrize(
    ("expression", "line", "zone"),
    [
        ("*-*-* 03:15:00 Europe/Berlin", "15 3 * * *", "Europe/Berlin"),
        ("daily UTC", "0 0 * * *", "UTC"),
        ("Sat 10:00 Asia/Tokyo", "0 10 * * 6", "Asia/Tokyo"),
    ],
)
def test_a_time_zone_of_its_own_is_kept(expression: str, line: str, zone: str) -> None:
    assert timing(f"OnCalendar={expression}") == Timing(line, zone)


NO_LINE = [
    "",
    "2026-12-24 18:00:00",  # once
    "2026..2028-*-01 00:00:00",
    "*-*-* 03:15:30",  # cron has no seconds
    "*-*-* 03:15:00/10",
    "*:*/20",
    "*:*:*",
    "*-*~01 00:00:00",  # the last day of the month
    "Mon *-*-1..7 04:00:00",  # both: to cron one of them is enough
    "*-*-* 24:00:00",
    "*-13-01",
    "Fun 04:00",
    "Sat 10:00 Mars/Olympus",
    "UTC",
    "@1790000000",
    "tomorrow",
    "*..5-1 00:00",
]


@pytest.mark.parametrize("expression", NO_LINE)
def test_what_cron_cannot_say_has_no_timing(expression: str) -> None:
    assert timing(f"OnCalendar={expression}") is None


@pytest.mark.parametrize(
    ("when", "seconds"),
    [
        ("OnUnitActiveSec=15min", 900),
        ("OnUnitActiveSec=1h 30min", 5400),
        ("OnUnitActiveSec=15min, OnBootSec=2min", 900),
        ("OnActiveSec=1min, OnUnitActiveSec=15min, OnStartupSec=2min", 900),
        ("OnUnitActiveSec=15min, OnUnitInactiveSec=10min", None),
        ("OnUnitActiveSec=15min, OnCalendar=daily", None),
        ("OnUnitInactiveSec=1d", 86400),
        ("OnUnitActiveSec=1w 2d 3h 4min 5s", 788645),
        ("OnUnitActiveSec=1month", None),
        ("OnUnitActiveSec=500ms", None),
        ("OnUnitActiveSec=often", None),
        ("OnUnitActiveSec=0s", None),
        ("OnBootSec=15min", None),
        ("OnCalendar=daily, OnCalendar=12:00", None),
        ("", None),
        ("15 3 * * *", None),
    ],
)
def test_the_time_since_it_elapsed_last_is_an_interval(when: str, seconds: float | None) -> None:
    assert timing(when) == (None if seconds is None else Timing(interval=seconds))
