"""`autotask report`: what it gathers from a journal, and where it writes it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len
from support import PATIENCE, write
from tool.journals import COMMAND, DAY, HOUR, Book, answer, autotask, in_terminal

from autotask.run import Outcome, failure
from autotask.tool.commands import report

EXIT = failure("exit", exit_code=3)
NESTED = failure("nested")


def page(*words: str) -> str:
    """Return the page, with each blank as one."""
    return " ".join(answer("report", "-o", "-", *words).split())


def text(*words: str) -> str:
    return answer("report", "--text", *words)


@pytest.fixture
def lively(book: Book) -> Book:
    """Write a journal in which something failed today, and something on another day."""
    book.run("mail", ago=3 * HOUR)
    book.run("mail", ago=2 * DAY)
    book.run("backup.sh", "process", ago=2 * HOUR, outcome=EXIT, duration=600)
    book.run("ledger", ago=3 * DAY, outcome=EXIT)
    book.run("ledger", ago=HOUR)
    return book


def test_it_is_written_as_a_whole_for_this_user_alone(
    lively: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / report.FILE
    path.write_text("the old one")
    path.chmod(0o644)
    old = path.stat().st_ino
    before = set(os.listdir(tmp_path))
    said = answer("report")
    assert re.fullmatch(rf"wrote {re.escape(str(path))} \([0-9.]+ KiB\)\n", said)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_ino != old
    assert path.read_text().startswith("<!doctype html>")
    assert set(os.listdir(tmp_path)) == before


def test_a_link_to_the_file_stays(lively: Book, tmp_path: Path) -> None:
    (tmp_path / "link.html").symlink_to(tmp_path / "page.html")
    answer("report", "-o", str(tmp_path / "link.html"))
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_a_pipe_with_a_name_is_written_into_and_stays(lively: Book, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    answer("report", "-o", str(pipe))
    reader.join(PATIENCE)
    assert pipe.is_fifo()
    assert read[0].startswith("<!doctype html>")


def test_a_folder_that_does_not_exist_is_an_error_in_one_line(lively: Book) -> None:
    ended = autotask("report", "-o", "/nowhere/at/all.html")
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr == "autotask: /nowhere/at: No such file or directory\n"


def test_a_browser_is_given_the_address_of_the_file(lively: Book, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    browser = write(tmp_path / "browser", f'#!/bin/sh\necho "$1" > {seen}\n')
    browser.chmod(0o755)
    path = tmp_path / "a page.html"
    answer("report", "--open", "-o", str(path), env={"BROWSER": f"{browser} %s"})
    assert seen.read_text().strip() == path.as_uri()


def test_without_a_browser_it_says_so(lively: Book, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    ended = autotask("report", "--open", "-o", str(path), env={"BROWSER": "/nowhere/browser %s"})
    assert ended.status == 0
    assert ended.stdout.startswith(f"wrote {path} (")
    assert ended.stderr == "autotask: no browser found: open the file yourself\n"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--open", "-o", "-"), 1, "--open needs a file: leave out `-o -`"),
        (("--open", "--text"), 2, "not allowed with argument"),
        (("--since", "long ago"), 2, "long ago"),
    ],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], status: int, said: str) -> None:
    ended = autotask("report", *words)
    assert ended.status == status
    assert said in ended.stderr


def test_before_the_first_run_all_is_empty(tmp_path: Path) -> None:
    assert '<h1 class="good">No runs last night</h1>' in page()
    assert "No runs last night" in text()


def test_a_quiet_night_says_that_all_is_well(book: Book) -> None:
    book.run("mail", ago=3 * HOUR)
    assert '<h1 class="good">All is well</h1>' in page()
    assert "All is well" in text()


def test_what_failed_last_night_comes_first_and_says_why(lively: Book) -> None:
    shown = page()
    (headline,) = re.findall("<h1[^>]*>(.*?)</h1>", shown)
    assert re.sub("<[^>]*>", "", headline) == "1 task failed"
    assert 'href="#failed"' in headline
    first, _, rest = shown.partition('id="night"')
    assert "backup.sh" in first
    assert "(exit 3)" in first
    assert "ledger" not in first
    assert "ledger" in rest
    lines = text().splitlines()
    assert lines[0].endswith(": 1 task failed")
    assert lines[3:5] == ["FAILED", "  backup.sh"]
    assert "(exit 3)" in lines[5]


def _nights(*words: str) -> dict[str, str]:
    """Return the letters of the nights in the text, by the task."""
    _, _, below = text(*words).partition("\nNIGHTS ")
    rows = re.findall(r"^(\S+) +((?:  [ .FIMRS])+) ", below, re.MULTILINE)
    return {name: letters[2::3].rstrip() for name, letters in rows}


def test_each_task_has_a_row_and_each_day_a_cell(
    book: Book, set_zone: Callable[[str], None]
) -> None:
    set_zone("UTC")
    for ago in range(4):
        book.run("mail", ago=ago * DAY + 1, outcome=EXIT if ago == 2 else Outcome("success"))
    book.run("doit", ago=DAY + 1, outcome=Outcome("skipped"))
    book.run("doit", ago=1, outcome=EXIT)
    nights = _nights("--since", "3d")
    assert nights["mail"] == ".F.."
    assert nights["doit"].endswith("SF")


def test_a_failure_is_told_where_it_happened(book: Book) -> None:
    outer = book.run("nightly.py", "process", ago=HOUR, outcome=NESTED)
    book.run("db.migrate", ago=HOUR, outcome=EXIT, parent=outer)
    shown = text()
    assert "db.migrate" in shown
    assert "nightly.py" not in shown
    assert ": 1 task failed" in shown


def test_a_program_with_several_tasks_shows_that_one_in_it_failed(book: Book) -> None:
    outer = book.run("worker.py", "process", ago=HOUR, outcome=NESTED)
    book.run("mail", ago=HOUR, parent=outer)
    book.run("sms", ago=HOUR, outcome=EXIT, parent=outer)
    shown = page()
    cells = re.findall(r"<bdi>(\S+)</bdi></a>(?:<td>)*<td class=(\w+)>", shown)
    assert dict(cells) == {"worker.py": "inside", "mail": "ok", "sms": "failed"}
    assert ", a task in it failed" in _bar(shown, "worker.py")


def _bar(shown: str, name: str) -> str:
    """Return what the first bar of a task says in the time line."""
    row = re.search(rf"<bdi>{name}</bdi>.*?<title>(.*?)</title>", shown)
    assert row is not None
    return row[1]


def test_a_program_that_only_runs_one_task_has_no_row(book: Book) -> None:
    outer = book.run("nightly.py", "process", ago=HOUR)
    book.run("db.migrate", ago=HOUR, parent=outer)
    worker = book.run("worker.py", "process", ago=HOUR)
    for name in ("mail", "sms"):
        book.run(name, ago=HOUR, parent=worker)
    assert set(_nights()) == {"db.migrate", "mail", "sms", "worker.py"}


def test_the_time_line_shows_who_ran_beside_whom(book: Book) -> None:
    book.run("long", ago=5 * HOUR, duration=3 * HOUR)
    book.run("inside", ago=4 * HOUR, duration=HOUR)
    book.run("behind", ago=HOUR, duration=60)
    shown = page()
    assert _bar(shown, "long").endswith("; beside inside")
    assert _bar(shown, "inside").endswith("; beside long")
    assert "beside" not in _bar(shown, "behind")
    assert "<small>beside" not in shown, "it is said in words only of what hangs or overlaps"


def test_the_time_line_shows_a_task_that_ran_beside_itself(book: Book) -> None:
    book.run("alone", ago=5 * HOUR, duration=HOUR)
    book.run("alone", ago=3 * HOUR, duration=HOUR)
    book.run("self", ago=5 * HOUR, duration=HOUR)
    book.run("self", ago=4.5 * HOUR, duration=HOUR)
    shown = page()
    heights = {
        name: re.findall(r'<rect class="bar ok"[^>]* y="(\d+)"', row)
        for name, row in re.findall(
            r"<bdi>(\w+)</bdi></a> (?:<small>.*?</small>)?(<td.*?</svg>)", shown
        )
    }
    assert heights == {"alone": ["10", "10"], "self": ["10", "20"]}


def test_the_time_line_has_what_still_runs_and_what_began_before_the_night(book: Book) -> None:
    book.run("begun", ago=30 * HOUR, duration=10 * HOUR)
    book.run("over", ago=30 * HOUR, duration=2 * HOUR)
    book.run("twice", ago=30 * HOUR, duration=2 * HOUR)
    book.run("twice", ago=3 * HOUR, duration=60)
    book.run("running", ago=2 * HOUR, outcome=None)
    head, _, below = text().partition("LAST NIGHT")
    assert "2 runs of 2 tasks" in head
    assert re.search(r"^twice +[.]{41,42}=[.]+$", below, re.MULTILINE)
    line = re.search(r"^begun +(=+)\.", below, re.MULTILINE)
    assert line is not None
    assert 7 <= len(line[1]) <= 9  # half hours: four hours
    assert re.search(r"^running +\.+>{4,5}$", below, re.MULTILINE)
    night = below.partition("NIGHTS")[0]
    assert "over" not in night


def test_times_are_in_the_readers_zone_which_is_named(
    lively: Book, set_zone: Callable[[str], None]
) -> None:
    set_zone("Asia/Kolkata")
    assert "Times are in Asia/Kolkata (UTC+05:30)." in page()
    assert " IST: " in text()


def test_the_text_has_no_line_of_more_than_80_columns(book: Book) -> None:
    names = ("x" * 200, "two\nlines", "\u202eevil", "漢字" * 40, "a word " * 30)
    for name in names:
        book.run(name, ago=HOUR, outcome=EXIT)
    assert [line for line in text().splitlines() if cell_len(line) > 80] == []


def test_a_terminal_gets_the_same_text(lively: Book) -> None:
    shown = in_terminal(*COMMAND, "report", "--text", columns=40)
    assert "\x1b" not in shown


def test_the_page_is_the_same_without_the_rest_of_the_environment(lively: Book) -> None:
    """As cron starts it: no locale, no terminal, no PATH to speak of."""
    env = {"PATH": "/usr/bin:/bin", "AUTOTASK_HOME": str(lively.home), "HOME": str(lively.home)}
    lively.run("caf\u00e9", ago=HOUR, outcome=EXIT)
    done = subprocess.run(
        [sys.executable, "-m", "autotask.tool.cli", "report", "-o", "-"],
        env=env,
        capture_output=True,
        check=True,
    )
    assert "café".encode() in done.stdout
