"""`autotask cron list`: what somebody reads in the morning, and what a program reads."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tool.journals import HOUR, Book, autotask, in_terminal, without_zone
from tool.schedule.machines import ME, Machine

from autotask import journal
from autotask.run import failure
from autotask.tool.cron import list as cron_list
from autotask.tool.cron.list import Row

OTHER = "daemon" if ME == "nobody" else "nobody"
OWN = """\
SHELL=/etc/autotask/shell
*/5 * * * * /srv/backup.sh
15 3 * * 1-5 /srv/night.sh
@reboot /srv/begin.sh
SHELL=/bin/sh
0 4 1 * * /srv/plain.sh
"""
NOW = float(int(time.time()))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path / "root")
    machine.crontab(OWN)
    return machine


def listed(machine: Machine, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    cron_list.print_jobs("jsonl", machine.places)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def lines(machine: Machine, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """Return the cells of each line of the table, and the last line."""
    cron_list.print_jobs("table", machine.places)
    return [re.split(" {2,}", line) for line in capsys.readouterr().out.splitlines()]


def row(name: str = "backup.sh", **others: Any) -> Row:
    usual: dict[str, Any] = {
        "schedule": "every 5 minutes",
        "when": "*/5 * * * *",
        "timezone": "UTC",
        "user": ME,
        "source": f"crontab of {ME}",
        "line": 2,
        "watched": True,
        "verdict": "ran",
        "next_due": journal.moment(NOW + HOUR),
        "last_run": journal.moment(NOW - HOUR),
        "last_status": "success",
        "missed": 0,
    }
    return Row(name, **{**usual, **others})


def printed(capsys: pytest.CaptureFixture[str], *rows: Row, form: str = "table") -> list[str]:
    cron_list.print_rows(rows, form, NOW)
    return capsys.readouterr().out.splitlines()


def test_tz_of_who_asks_only_changes_how_a_time_is_shown(
    machine: Machine, set_zone: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    machine.write("/proc/20/comm", "cron\n")
    machine.write("/proc/20/environ", "TZ=Europe/Berlin\0")
    machine.crontab("15 3 * * * /srv/night.sh\n")
    (expected,) = listed(machine, capsys)
    assert expected["timezone"] == "Europe/Berlin"
    at = datetime.fromisoformat(expected["next_due"].replace("Z", "+00:00"))
    for name in ("America/New_York", "Asia/Tokyo"):
        set_zone(name)
        assert listed(machine, capsys) == [expected]
        heads, cells, *_ = lines(machine, capsys)
        assert "NEXT DUE" in [without_zone(head) for head in heads]
        assert "NEXT DUE" not in heads  # with its offset
        assert at.astimezone(ZoneInfo(name)).strftime("%H:%M") in " ".join(cells)


def test_each_job_has_a_line(
    machine: Machine, book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    book.run("backup.sh", "process", ago=2)
    heads, *jobs, empty, advice = lines(machine, capsys)
    expected = ["NAME", "SCHEDULE", "NEXT DUE", "LAST RUN", "VERDICT", "SOURCE"]
    assert [without_zone(head) for head in heads] == expected
    source = f"crontab of {ME}"
    assert sorted(job[:2] + job[-2:] for job in jobs) == [
        ["backup.sh", "every 5 minutes", "ran", f"{source}:2"],
        ["begin.sh", "at reboot", "never seen", f"{source}:4"],
        ["night.sh", "at 03:15 on Mon-Fri", "never seen", f"{source}:3"],
        ["plain.sh", "at 04:00 on day 1 of the month", "not watched", f"{source}:6"],
    ]
    assert next(job[3] for job in jobs if job[0] == "backup.sh").endswith("s ago")
    assert empty == [""]
    assert advice == ["1 job is not watched: `autotask cron watch` records their runs"]


def test_a_program_gets_all_that_is_known(
    machine: Machine, book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    book.run("backup.sh", "process", ago=2, outcome=failure("exit", exit_code=3))
    backup, night, begin, plain = listed(machine, capsys)
    assert list(backup) == list(Row._fields)
    assert backup.pop("next_due") > journal.moment(NOW)
    assert journal.moment(NOW - HOUR) < backup.pop("last_run") < journal.moment(time.time())
    assert backup == {
        "name": "backup.sh",
        "schedule": "every 5 minutes",
        "when": "*/5 * * * *",
        "timezone": night["timezone"],
        "user": ME,
        "source": f"crontab of {ME}",
        "line": 2,
        "watched": True,
        "verdict": "ran",
        "last_status": "failure",
        "missed": 0,
    }
    assert (begin["when"], begin["next_due"], begin["verdict"]) == ("@reboot", None, "never seen")
    assert (plain["watched"], plain["verdict"], plain["last_run"]) == (False, "not watched", None)


def test_the_formats_for_programs_have_the_order_of_the_files(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [job["line"] for job in listed(machine, capsys)] == [2, 3, 4, 6]
    cron_list.print_jobs("csv", machine.places)
    table = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [job["name"] for job in table] == ["backup.sh", "night.sh", "begin.sh", "plain.sh"]
    cron_list.print_jobs("json", machine.places)
    assert [job["line"] for job in json.loads(capsys.readouterr().out)] == [2, 3, 4, 6]


def test_what_needs_attention_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    soon, later = (journal.moment(NOW + hours * HOUR) for hours in (1, 2))
    rows = [
        row("a", next_due=later),
        row("b", next_due=soon),
        row("c", next_due=None),
        row("d", next_due=soon, watched=False, verdict="not watched"),
        row("e", next_due=later, verdict="late"),
        row("f", next_due=later, verdict="missed", missed=1),
        row("g", next_due=soon, verdict="missed", missed=3),
        row("h", next_due=soon, verdict="never seen", last_run=None, last_status=None),
        row("i", next_due=later, missed=2),
    ]
    shown = printed(capsys, *rows)[1:-2]
    assert "".join(line[0] for line in shown) == "gfeibhacd"
    verdicts = [re.split(" {2,}", line)[-2] for line in shown]
    assert verdicts[:4] == ["missed 3 times", "missed", "late", "ran, missed 2 times"]


@pytest.mark.parametrize(
    ("status", "text"),
    [("success", "1h ago"), ("failure", "1h ago, failure"), ("running", "1h ago, running")],
)
def test_a_last_run_that_was_no_success_says_so(
    capsys: pytest.CaptureFixture[str], status: str, text: str
) -> None:
    (line,) = printed(capsys, row(last_status=status))[1:]
    assert f"  {text}  ran  " in re.sub(" {2,}", "  ", line)


def test_the_users_are_shown_if_there_are_several(capsys: pytest.CaptureFixture[str]) -> None:
    heads, first, second = printed(capsys, row(), row(user="ann"))
    assert "USER" in heads
    assert ME in first.split()
    assert "ann" in second.split()


def test_runs_of_another_user_are_in_a_home_that_is_not_read(
    machine: Machine, book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"SHELL=/etc/autotask/shell\n5 4 * * * {OTHER} /srv/backup.sh\nSHELL=/bin/sh\n"
    machine.write("/etc/crontab", f"{text}6 4 * * * {OTHER} /srv/backup.sh\n")
    book.run("backup.sh", "process")
    jobs = [job for job in listed(machine, capsys) if job["user"] == OTHER]
    assert [(job["verdict"], job["last_run"], job["last_status"]) for job in jobs] == [
        ("unknown", None, None),
        ("not watched", None, None),
    ]


ADVICE = [
    ([f"crontab of {ME}"], "1 job is not watched: `autotask cron watch` records their runs"),
    ([f"crontab of {ME}"] * 2, "2 jobs are not watched: `autotask cron watch` records their runs"),
    (["/etc/crontab"], "1 job is not watched: `{}autotask cron watch --all` records their runs"),
    (
        [f"crontab of {ME}", "a.timer"],
        "2 jobs are not watched: `{}autotask cron watch --all` records their runs",
    ),
]


@pytest.mark.parametrize(("sources", "text"), ADVICE)
def test_the_last_line_says_how_to_watch_the_rest(
    capsys: pytest.CaptureFixture[str], sources: list[str], text: str
) -> None:
    rows = [row(source=source, watched=False, verdict="not watched") for source in sources]
    assert printed(capsys, row(), *rows)[-1] == text.format("sudo " if os.geteuid() else "")
    assert "not watched" not in printed(capsys, row())[-1]


def test_a_machine_without_jobs_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cron_list.print_jobs("table", Machine(tmp_path / "empty").places)
    assert capsys.readouterr().out == "no jobs found\n"


def test_what_cannot_be_listed_is_told_on_standard_error(
    machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.write("/etc/cron.d/backup.sh", "")
    cron_list.print_jobs("jsonl", machine.places)
    shown = capfd.readouterr()
    assert len(shown.out.splitlines()) == 4
    assert shown.err.startswith(f"autotask: cron ignores {machine.root}/etc/cron.d/backup.sh: its")


HOSTILE = b"""\
5 4 * * * \x1b[31m\xe4\xe2\x80\xae '/srv/\x1b[31m'
AUTOTASK_NAME=\x1b]0;x\x07\xff
5 4 * * * root /srv/job
\xff\x1b 4 * * * root b
"""


def test_bytes_of_a_crontab_never_act_on_a_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(tmp_path / "root")
    machine.write("/etc/crontab", HOSTILE)
    for form in ("table", "jsonl", "json", "csv"):
        cron_list.print_jobs(form, machine.places)
        shown = capfd.readouterr()
        assert all(letter.isprintable() or letter == "\n" for letter in shown.out + shown.err)
        assert "[31m" in shown.out
        shown.out.encode()


NARROW = """
import sys
from autotask.tool.cron.list import print_jobs
from autotask.tool.schedule.places import Places
print_jobs("table", Places(sys.argv[1], int(sys.argv[2])))
"""
WIDTHS = [
    (120, "NAME SCHEDULE NEXT DUE LAST RUN VERDICT SOURCE"),
    (80, "NAME SCHEDULE NEXT DUE LAST RUN VERDICT"),
    (50, "NAME NEXT DUE LAST RUN VERDICT"),
    (24, "NAME VERDICT"),
]


@pytest.mark.parametrize(("columns", "heads"), WIDTHS)
def test_a_narrow_terminal_has_the_columns_that_matter(
    machine: Machine, columns: int, heads: str
) -> None:
    words = [sys.executable, "-c", NARROW, str(machine.root), str(os.getuid())]
    shown = in_terminal(*words, columns=columns)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert without_zone(plain[0]).split() == heads.split()
    assert all(len(line) <= columns for line in plain[:-1])


def test_verdicts_have_colours(machine: Machine, book: Book) -> None:
    book.run("backup.sh", "process", ago=2)
    words = [sys.executable, "-c", NARROW, str(machine.root), str(os.getuid())]
    shown = in_terminal(*words, columns=120)
    assert re.search(r"\x1b\[32mran *\x1b\[0m", shown)
    assert re.search(r"\x1b\[2mnot watched *\x1b\[0m", shown)


def test_this_machine_is_listed() -> None:
    ended = autotask("cron", "list", "--format", "json")
    assert ended.status == 0, ended.stderr
    assert all(job["name"] for job in json.loads(ended.stdout))
