"""`autotask check`: each trouble is told once, and none is forgotten."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import http.server
import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import environment, wait_until
from tool.journals import (
    COMMAND,
    DAY,
    HOST,
    HOUR,
    Book,
    answer,
    autotask,
    obey_modes,
    records,
)
from tool.schedule.machines import Machine

from autotask.run import failure
from autotask.tool.commands import check
from autotask.tool.errors import ToolError
from autotask.tool.schedule import since
from autotask.tool.schedule.places import Places
from autotask.tool.troubles import state

FAILED = failure("exit", exit_code=3)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be in a folder without a configuration file."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Give a machine without jobs."""
    return Machine(tmp_path / "machine").places


class Checks:
    """Checks at times that the test chooses."""

    def __init__(self, places: Places, capsys: pytest.CaptureFixture[str]) -> None:
        self._places, self._capsys = places, capsys

    def __call__(self, *words: str, now: float = 0.0) -> list[str]:
        """Return the lines that a check prints."""
        parser = argparse.ArgumentParser()
        check.add_arguments(parser)
        self._capsys.readouterr()
        status = check.check(parser.parse_args(words), self._places, now or time.time())
        lines = self._capsys.readouterr().out.splitlines()
        if "--nagios" not in words and "json" not in words:
            assert status == bool(lines)
        return lines


@pytest.fixture
def checks(places: Places, capsys: pytest.CaptureFixture[str]) -> Checks:
    """Give a function that checks."""
    return Checks(places, capsys)


def tasks(lines: list[str]) -> list[str]:
    return [line.partition(" ")[0] for line in lines]


def test_all_is_well_silently(book: Book) -> None:
    book.run()
    assert answer("check") == ""


def test_a_failure_is_one_line_and_status_1(book: Book) -> None:
    run = book.run("backup.sh", ago=HOUR, outcome=FAILED)
    ended = autotask("check", fresh=True)
    assert (ended.status, ended.stderr) == (1, "")
    text = rf"backup\.sh failed at \d\d:\d\d \(exit 3\) \[{run.id[:8]}\]\n"
    assert re.fullmatch(text, ended.stdout)
    assert answer("show", run.id[:8])
    assert answer("check") == ""


def test_each_failure_is_told_once(book: Book, checks: Checks) -> None:
    book.run("a", ago=3 * HOUR, outcome=FAILED)
    assert tasks(checks()) == ["a"]
    book.run("b", ago=2 * HOUR, outcome=FAILED)  # the line of an earlier end, read later
    book.run("a", ago=HOUR, outcome=FAILED)
    assert tasks(checks()) == ["a", "b"]
    book.run("a", ago=2 * HOUR, outcome=FAILED)
    assert "a failed at" in checks()[0]
    assert checks() == []
    assert checks(now=time.time() + 40 * HOUR) == []


def test_the_first_check_looks_a_day_back_and_a_late_one_until_the_last(
    book: Book, checks: Checks
) -> None:
    book.run("old", ago=30 * HOUR, outcome=FAILED)
    book.run("new", ago=20 * HOUR, outcome=FAILED)
    assert tasks(checks()) == ["new"]
    book.run("later", ago=-1 * HOUR, outcome=FAILED)
    assert tasks(checks(now=time.time() + 9 * DAY)) == ["later"]


@pytest.mark.parametrize("back", [HOUR, 20 * HOUR, 3 * DAY, 1000 * DAY])
def test_a_clock_that_is_set_back_hides_no_failure(book: Book, checks: Checks, back: float) -> None:
    now = time.time()
    book.run("before", ago=HOUR, outcome=FAILED)
    assert "before" in tasks(checks(now=now + 60)) + tasks(checks(now=now))
    assert checks(now=now + back) == []
    book.run("after", ago=-600, outcome=FAILED)
    told = tasks(checks(now=now + 1200))
    assert "after" in told
    assert checks(now=now + 1260) == []
    assert checks(now=now + back + 60) == []


def test_what_hangs_is_told_once(book: Book, checks: Checks) -> None:
    for day in range(1, 7):
        book.run(ago=day * DAY - 2 * HOUR, duration=60)
    hung = book.run(ago=2 * HOUR, outcome=None)
    (line,) = checks()
    assert line.startswith("nightly hangs")
    assert line.endswith(f" [{hung.id[:8]}]")
    assert checks() == []
    assert [line for line in checks(now=time.time() + 2 * DAY) if "hangs" in line] == []
    book.finish(hung)
    book.run(ago=HOUR, outcome=None)
    assert any("nightly hangs" in line for line in checks())


def test_a_habit_that_ended_is_told_once(
    book: Book, checks: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(since, "booted", lambda: time.time() - 90 * DAY)
    for day in range(20, 30):
        book.run(ago=day * DAY)
    (line,) = checks()
    assert "has not run since" in line
    for days in (0, 1, 5, 80):
        assert checks(now=time.time() + days * DAY) == []
    monkeypatch.setattr(since, "booted", lambda: time.time() - 5 * DAY)
    assert checks(now=time.time() + 81 * DAY) == []


def test_each_choice_of_tasks_is_remembered_by_itself(book: Book, checks: Checks) -> None:
    for task in ("db.a", "web"):
        book.run(task, ago=HOUR, outcome=FAILED)
    assert tasks(checks("--task", "db.*")) == ["db.a"]
    assert checks("--task", "db.*") == []
    assert sorted(tasks(checks("--task", "w*", "--task", "db.*"))) == ["db.a", "web"]
    assert checks("--task", "db.*", "--task", "w*") == []
    assert sorted(tasks(checks())) == ["db.a", "web"]


def test_since_remembers_nothing(book: Book, checks: Checks) -> None:
    book.run("a", ago=2 * HOUR, outcome=FAILED)
    book.run("b", ago=3 * DAY, outcome=FAILED)
    assert tasks(checks("--since", "1h")) == []
    for _ in range(2):
        assert tasks(checks("--since", "4d")) == ["a", "b"]
    assert not (book.home / state.FILE).exists()
    assert tasks(checks()) == ["a"]


def test_very_many_failures_are_one_line_and_are_remembered(
    book: Book, checks: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "_MOST", 10)
    for number in range(50):
        book.run("a", ago=HOUR + 2 * number, outcome=FAILED)
    book.run("b", ago=HOUR)
    assert checks("--task", "b") == []
    assert checks()[0].startswith("a failed 50 times, last at ")
    assert len(json.loads((book.home / state.FILE).read_text())["[]"]["told"]) == 10
    assert checks() == []
    book.run("a", ago=HOUR / 2, outcome=FAILED)
    assert len(checks()) == 1


def test_what_nobody_could_read_is_told_again(book: Book) -> None:
    book.run("a", ago=HOUR, outcome=FAILED)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed, open("/dev/full", "wb") as full:
        for stream in (closed, full):
            done = subprocess.run(
                [*COMMAND, "check"], env=environment(), stdout=stream, stderr=subprocess.PIPE
            )
            assert done.returncode == 1
            assert done.stderr.startswith(b"autotask: ")
            assert done.stderr.count(b"\n") == 1
    done = subprocess.run([*COMMAND, "check"], env=environment(), preexec_fn=lambda: os.close(1))
    assert done.returncode == 1
    assert autotask("check").stdout.startswith("a failed")


def test_two_checks_at_once_tell_each_failure_once(book: Book) -> None:
    for number in range(40):
        book.run(f"task{number}", ago=HOUR, outcome=FAILED)
    running = [
        subprocess.Popen([*COMMAND, "check"], env=environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    lines = [line for one in running for line in one.communicate()[0].splitlines()]
    assert sorted(tasks(lines)) == sorted(f"task{number}" for number in range(40))
    assert sorted(one.returncode for one in running) == [0, 0, 0, 1]


def has_open(pid: int, path: Path) -> bool:
    """Tell whether a process has a file open; False if it opens or closes others just now."""
    with contextlib.suppress(OSError):
        return any(file.samefile(path) for file in Path(f"/proc/{pid}/fd").iterdir())
    return False


def test_a_check_waits_for_another_and_does_not_tell_what_that_has_told(book: Book) -> None:
    book.run("a", ago=HOUR, outcome=FAILED)
    assert autotask("check").status == 1
    told = (book.home / state.FILE).read_text()
    (book.home / state.FILE).unlink()
    lock = book.home / "checked.lock"
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        second = subprocess.Popen([*COMMAND, "check"], env=environment(), stdout=subprocess.PIPE)
        wait_until(lambda: has_open(second.pid, lock))
        (book.home / state.FILE).write_text(told)
    assert (second.communicate()[0], second.returncode) == (b"", 0)


def test_a_home_that_cannot_be_written_is_checked_and_that_is_said(book: Book) -> None:
    book.run("a", ago=HOUR, outcome=FAILED)
    answer("tasks")
    book.home.chmod(0o500)
    for words, status in (([], 1), (["--since", "2h"], 1), (["--since", "1m"], 0)):
        ended = autotask("check", *words, preexec_fn=obey_modes)
        assert ended.status == status
        assert ended.stdout.startswith("a failed") == ("1m" not in words)
        assert ended.stderr.startswith("autotask: cannot remember what was told") == (not words)
    book.home.chmod(0o700)


def test_in_a_home_that_others_may_write_nothing_is_remembered(book: Book) -> None:
    book.run("a", ago=HOUR, outcome=FAILED)
    book.home.chmod(0o777)
    for _ in range(2):
        ended = autotask("check")
        assert (ended.status, ended.stdout[:8]) == (1, "a failed")
        assert "can be written by other users" in ended.stderr.splitlines()[-1]
    assert not (book.home / state.FILE).exists()


NAN = '{"[]": {"since": NaN, "until": NaN, "told": [], "missed": {"a": NaN}}}'
HUGE = f'{{"[]": {{"since": 1{"0" * 400}, "until": 1, "told": [], "missed": {{}}}}}}'
DAMAGED = [NAN, HUGE, "", "{", "[]", '{"[]": 3}', '{"[]": {"since": "x"}}', "[" * 100_000, "\xff"]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_memory_tells_the_last_day_again(book: Book, checks: Checks, text: str) -> None:
    book.run("a", ago=HOUR, outcome=FAILED)
    (book.home / state.FILE).write_text(text, encoding="latin-1")
    assert tasks(checks()) == ["a"]
    assert checks() == []
    assert stat.S_IMODE((book.home / state.FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("name", [state.FILE, "checked.lock"])
def test_a_link_or_a_pipe_in_its_place_is_not_followed(
    book: Book, tmp_path: Path, name: str
) -> None:
    book.run("a", ago=HOUR, outcome=FAILED)
    target = tmp_path / "target"
    target.write_text("mine")
    (book.home / name).symlink_to(target)
    ended = autotask("check")
    assert ended.status == 1
    assert ended.stdout.startswith("a failed")
    assert target.read_text() == "mine"


def test_before_the_first_run_it_does_not_say_that_all_is_well(home: Path) -> None:
    for words in ([], ["--since", "1h"]):
        ended = autotask("check", *words)
        assert (ended.status, ended.stdout) == (1, "")
        assert ended.stderr.startswith("autotask: no runs yet")
    ended = autotask("check", "--nagios")
    assert (ended.status, ended.stderr) == (3, "")
    assert ended.stdout.startswith("AUTOTASK UNKNOWN: no runs yet")
    assert not home.exists()


def test_a_watched_job_is_enough_to_be_checked(
    home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    machine = Machine(tmp_path / "other")
    machine.crontab("SHELL=/etc/autotask/shell\n0 4 * * * /srv/new.sh\n")
    assert Checks(machine.places, capsys)() == []
    assert (home / state.FILE).exists()


def test_programs_get_one_document(book: Book, checks: Checks) -> None:
    run = book.run("a", ago=HOUR, outcome=FAILED)
    document = json.loads("\n".join(checks("--format", "json")))
    assert document["host"] == HOST
    (trouble,) = document["troubles"]
    assert re.fullmatch(r"failed at \d\d:\d\d \(exit 3\)", trouble.pop("text"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", trouble.pop("at"))
    assert trouble == {"kind": "failed", "task": "a", "run": run.id, "times": 1, "user": None}
    later = json.loads("\n".join(checks("--format", "json")))
    assert later["troubles"] == []
    assert later["since"] == document["until"]


def test_hostile_names_are_one_line(book: Book, checks: Checks) -> None:
    book.run("a\x1b[31m\nb", ago=HOUR, outcome=FAILED)
    (line,) = checks()
    assert line.startswith("a\\x1b[31m\\nb failed")


CHECKS = [
    (["autotask-run", "autotask", "check"], "success"),
    (["autotask-run", "--shell", "cd / && autotask check"], "success"),
    (["autotask-run", "--shell", "true; env autotask check"], "success"),
    (["autotask-run", "--name", "morning", "autotask", "check"], "failure"),
]


@pytest.mark.parametrize(("command", "status"), CHECKS)
def test_a_recorded_check_is_no_failure_of_its_own(
    book: Book, command: list[str], status: str
) -> None:
    """Else the next one would tell of this one, for ever."""
    book.run("a", ago=HOUR, outcome=FAILED)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = environment(env={"PATH": path})
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stdout.startswith("a failed")
    assert done.stdout.count("\n") == 1
    (check,) = (run for run in records() if run["task"] != "a")
    assert (check["task"], check["status"]) == (
        "morning" if status == "failure" else "autotask check",
        status,
    )


NAGIOS: list[tuple[list[dict[str, Any]], int, str]] = [
    ([{}], 0, r"OK: 1 task \| tasks=1 failed=0 .*"),
    ([{"outcome": FAILED}], 2,
     r"CRITICAL: nightly failed at \S+ \(exit 3\) \[\w{8}\] \| .*failed=1 .*"),
    ([{"outcome": FAILED, "ago": 9 * DAY}], 2, "CRITICAL: .*"),
    ([{"outcome": FAILED, "ago": 2 * HOUR}, {}], 0, "OK: .*"),
    ([{"ago": HOUR * n, "duration": 60} for n in range(2, 9)] + [{"duration": 999}], 1,
     r"WARNING: nightly was slow .*slow=1.*"),
    ([{"task": f"t{n}", "outcome": FAILED} for n in range(7)], 2, r".*; 2 more \| tasks=7 .*"),
    ([{"task": "a|b", "outcome": FAILED}], 2, r"CRITICAL: a/b failed .*"),
]  # fmt: skip


@pytest.mark.parametrize(("runs", "status", "line"), NAGIOS)
def test_nagios_gets_one_line_about_the_last_runs(
    book: Book, runs: list[dict[str, Any]], status: int, line: str
) -> None:
    for run in runs:
        book.run(**{"ago": 1000, **run})
    for _ in range(2):  # it remembers nothing
        ended = autotask("check", "--nagios")
        assert (ended.status, ended.stderr) == (status, "")
        assert re.fullmatch(f"AUTOTASK {line}\n", ended.stdout)
    assert not (book.home / state.FILE).exists()


def test_since_bounds_how_old_a_failure_is_for_nagios(book: Book) -> None:
    book.run(ago=9 * DAY, outcome=FAILED)
    assert autotask("check", "--nagios", "--since", "8d").status == 0
    assert autotask("check", "--nagios", "--since", "10d").status == 2


USAGE = ["--nope", "--since never", "--ping ftp://host", "--ping file:///etc/passwd", "--ping x"]


@pytest.mark.parametrize("words", USAGE)
def test_a_usage_error_is_2_and_unknown_for_nagios(book: Book, words: str) -> None:
    book.run()
    assert autotask("check", *words.split()).status == 2
    assert autotask("check", *words.split(), "--nagios").status == 3


def test_nagios_has_a_format_of_its_own(book: Book) -> None:
    book.run()
    ended = autotask("check", "--nagios", "--format", "json")
    assert (ended.status, ended.stdout) == (3, "")
    assert "not allowed with" in ended.stderr


def test_an_error_is_unknown_for_nagios(book: Book) -> None:
    book.run()
    (book.home / "journal").chmod(0)
    ended = autotask("check", "--nagios", preexec_fn=obey_modes)
    (book.home / "journal").chmod(0o700)
    assert (ended.status, ended.stderr) == (3, "")
    assert ended.stdout.endswith("Permission denied\n")
    ended = autotask("check", "--nagios", "--webhook", "http://localhost/")
    assert ended.status == 3


class Web:
    """Answers requests with statuses, one after the other; the last one stays."""

    def __init__(self) -> None:
        self.statuses = [200]
        self.asked: list[tuple[str, str, bytes]] = []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                web.asked.append((self.command, self.path, self.rfile.read(size)))
                status = web.statuses.pop(0) if len(web.statuses) > 1 else web.statuses[0]
                if status:
                    self.send_response(status)
                    self.end_headers()
                self.close_connection = True

            do_POST = do_GET  # noqa: N815  so http.server calls it

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def web() -> Iterator[Web]:
    """Give a server of HTTP."""
    web = Web()
    yield web
    web.server.shutdown()
    web.server.server_close()


def test_a_dead_mans_switch_is_told_if_all_is_well(book: Book, web: Web) -> None:
    book.run("a", ago=HOUR)
    assert answer("check", "--ping", f"{web.url}/secret") == ""
    assert answer("check", "--nagios", "--ping", f"{web.url}/secret").startswith("AUTOTASK OK")
    assert web.asked == [("GET", "/secret", b"")] * 2
    book.run("a", ago=HOUR, outcome=FAILED)
    assert autotask("check", "--ping", f"{web.url}/secret").status == 1
    assert len(web.asked) == 2
    assert answer("check", "--ping", f"{web.url}/secret") == ""
    assert len(web.asked) == 3


KNOWN: list[tuple[str, str | None]] = [
    # what --task says, and which of it is unknown
    ("nightly", None),
    ("n*", None),
    ("watched.sh", None),
    ("of-the-file", None),
    ("nosuch", "nosuch"),
    ("unwatched.sh", "unwatched.sh"),
    ("web.a", "web.a"),  # a section for a pattern names no task
    ("nightly,nigthly", "nigthly"),
]


@pytest.mark.parametrize(("globs", "unknown"), KNOWN)
def test_a_pattern_for_no_known_task_is_an_error_and_no_ping(
    book: Book, web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    globs: str, unknown: str | None,
) -> None:  # fmt: skip
    book.run("nightly", ago=HOUR)
    (tmp_path / "autotask.toml").write_text('[task.of-the-file]\n[task."web.*"]\n')
    machine = Machine(tmp_path / "other")
    month_ago = time.localtime(time.time() - 30 * DAY)
    when = f"0 4 {month_ago.tm_mday} {month_ago.tm_mon} *"
    machine.crontab(
        f"{when} /srv/unwatched.sh\nSHELL=/etc/autotask/shell\n{when} /srv/watched.sh\n"
    )
    checks = Checks(machine.places, capsys)
    words = ("--task", globs, "--ping", web.url)
    if unknown is None:
        assert checks(*words) == []
    else:
        said = f"no task is known that matches --task {unknown}: see `autotask tasks`"
        with pytest.raises(ToolError, match=f"^{re.escape(said)}$"):
            checks(*words)
        assert checks("--nagios", *words) == [f"AUTOTASK UNKNOWN: {said}"]
    assert len(web.asked) == (unknown is None)


PINGS = [([500, 200], 0, ""), ([500], 1, "status 500"), ([404], 1, "status 404"), ([0], 1, "")]


@pytest.mark.parametrize(("statuses", "status", "why"), PINGS)
def test_a_ping_that_fails_is_tried_once_more_and_then_told(
    book: Book, web: Web, statuses: list[int], status: int, why: str
) -> None:
    book.run("a", ago=HOUR)
    web.statuses = statuses
    ended = autotask("check", "--ping", f"{web.url}/secret")
    assert (ended.status, ended.stdout) == (status, "")
    assert len(web.asked) == 2
    assert ended.stderr.count("\n") == status
    assert why in ended.stderr
    assert "secret" not in ended.stderr
    assert ("ping of 127.0.0.1 failed: " in ended.stderr) == bool(status)


def test_nobody_at_the_address_is_told(book: Book, web: Web) -> None:
    book.run("a", ago=HOUR)
    web.server.shutdown()
    web.server.server_close()
    ended = autotask("check", "--nagios", "--ping", web.url)
    assert (ended.status, ended.stderr) == (3, "")
    assert "ping of 127.0.0.1 failed: Connection refused" in ended.stdout


def test_others_are_told_too_and_again_until_they_take_it(
    book: Book, web: Web, checks: Checks
) -> None:
    book.run("a", ago=HOUR, outcome=FAILED)
    assert checks("--since", "1m", "--webhook", web.url) == []
    assert web.asked == []
    web.statuses = [500]
    with pytest.raises(ToolError):
        checks("--webhook", web.url)
    web.statuses = [200]
    (line,) = checks("--webhook", web.url)
    assert [method for method, *_ in web.asked] == ["POST", "POST"]
    document = json.loads(web.asked[1][2])
    (trouble,) = document["troubles"]
    assert f"a {trouble['text']} [{trouble['run'][:8]}]" == line
    assert checks("--webhook", web.url) == []
    assert len(web.asked) == 2
