"""`autotask top`: what runs, what is due next and what just failed, on a real terminal or once."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import PATIENCE
from terminal import Terminal
from tool.journals import COMMAND, DAY, HOUR, Book, answer
from tool.schedule.machines import Machine

from autotask import journal
from autotask.run import failure
from autotask.tool.commands import top
from autotask.tool.datadog.config import Config
from autotask.tool.schedule import crontabs, first_seen, since
from autotask.tool.schedule.machine import jobs as all_jobs
from autotask.tool.schedule.places import HERE
from autotask.tool.summaries import Summary
from autotask.tool.top import view
from autotask.tool.top.known import Known
from autotask.tool.troubles.overview import Overview, Running, TaskView

ENTERED, LEFT = "\033[?1049h", "\033[?1049l"
RUN = " ".join(COMMAND) + " top"
LONG_AGO = time.time() - 60 * DAY


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Give a machine, and a folder without a configuration file."""
    monkeypatch.chdir(tmp_path)
    return Machine(tmp_path / "root")


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Give a terminal of 80 columns and 24 lines, with a shell in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    terminal = Terminal()
    resize(terminal, 24, 80)
    yield terminal
    terminal.close()


def resize(terminal: Terminal, height: int, width: int) -> None:
    """Change the size of a window, as a person does it with the mouse."""
    fcntl.ioctl(terminal.file, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def frame(terminal: Terminal, *texts: str) -> list[str]:
    """Wait until the window shows all texts, and return its lines."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        before = terminal.expect("\033[J")
        shown = before.rpartition("\033[H")[2].replace("\033[2K", "")
        shown = re.sub(r"\033\[[0-9;]*m", "", shown)
        if all(text in shown for text in texts):
            return shown.split("\r\n")
    raise AssertionError(f"{texts} not in {shown!r}")


def habit(book: Book, task: str, duration: float = 100) -> None:
    """Let a task have run each hour of two days."""
    for hour in range(48, 0, -1):
        book.run(task, "process", ago=hour * HOUR - 60, duration=duration)


@pytest.fixture
def busy(book: Book) -> Book:
    """Give a journal in which one run runs, and one has failed."""
    habit(book, "nightly")
    book.run("nightly", "process", ago=50, outcome=None)
    book.run("load", ago=300, outcome=failure("exit", exit_code=3), duration=20)
    return book


def test_it_shows_what_runs_what_is_due_and_what_failed(busy: Book) -> None:
    habit(busy, "hourly")
    head, *lines = answer("top").splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d \S+  1 running  1 failed in 24 h", head)
    running, due, failed = "\n".join(lines).strip().split("\n\n")
    assert re.search(r"nightly +\d\d:\d\d:\d\d +5\d\.\ds +1m40s +█{10,11}░{9,10} 5\d%", running)
    assert re.search(r"hourly +(\w+ )?\d\d:\d\d +in \d+m +1m40s", due)
    assert re.search(r"load +(\S+ )?\d\d:\d\d(:\d\d)? +20\.0s +exit 3", failed)


def test_without_runs_it_says_where_it_looked(home: Path) -> None:
    assert answer("top").startswith("no runs yet")


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_without_a_cursor_shows_it_once(
    busy: Book, terminal: Terminal, term: str
) -> None:
    terminal.type(f"TERM={term} {RUN}; echo ended=$?\n")
    shown = terminal.expect("ended=0")
    assert "nightly" in shown
    assert "\033[?" not in shown


def test_it_shows_what_did_not_run_though_it_was_due(
    book: Book,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    at = [time.localtime(time.time() - 60 * minutes) for minutes in (20, 150)]
    lines = [
        f"{moment.tm_min} {moment.tm_hour} * * * autotask-run --name {name} true\n"
        for moment, name in zip(at, ("backup", "mail"))
    ]
    machine.crontab("".join(lines))
    monkeypatch.setattr(since, "booted", lambda: LONG_AGO)
    monkeypatch.setattr(crontabs, "changed", lambda *_: LONG_AGO)
    for name in ("backup", "mail"):
        book.run(name, "process", ago=3 * DAY)
    jobs, _ = all_jobs(machine.places)
    first_seen.look(jobs, str(book.home), LONG_AGO)
    top.show(machine.places)
    shown = capsys.readouterr().out
    assert "1 late  1 missed" in shown.splitlines()[0]
    assert re.search(r"^backup +\S+ +late +1\.50s$", shown, re.MULTILINE)
    assert re.search(r"^mail +(\S+ )?\S+ +missed +1\.50s$", shown, re.MULTILINE)
    assert re.search(r"^backup +(\w+ )?\S+ +in 2[234]h\d\dm", shown, re.MULTILINE)


def test_a_server_has_no_bar_and_a_name_is_no_sequence_for_the_terminal(book: Book) -> None:
    book.run("flask.run", ago=3 * DAY, outcome=None, server=True)
    book.run("evil\033]0;x\007", ago=60, outcome=None)
    shown = answer("top")
    assert re.search(r"^evil\\x1b\]0;x\\x07 +\S+ +1m0\ds +- *$", shown, re.MULTILINE)
    assert re.search(r"^flask\.run +\S+ \S+ +3d00h +server$", shown, re.MULTILINE)
    assert shown.index("evil") < shown.index("flask")


@pytest.mark.parametrize(
    ("height", "rows"),
    [
        # Running, due, failed: each with its heads, and a line for those that are not shown.
        (40, (9, 9, 3)),
        (20, (7, 6, 3)),
        (11, (3, 2, 2)),
        (8, (3, 2, 0)),
        (4, (2, 0, 0)),
        (3, (0, 0, 0)),
    ],
)
def test_the_sections_share_the_window(height: int, rows: tuple[int, ...]) -> None:
    """Heads count as rows here."""
    known = Known(HERE, Config())
    known.running = [Running("r", f"run-{n}", "click", 0, 1, None, 60.0) for n in range(8)]
    summaries = [
        Summary(f"due-{n}", *("click", 9, 1.0, "success", None, 60.0, None, 0, None, False, False))
        for n in range(8)
    ]
    later = journal.moment(2000)
    views = [TaskView(one._replace(next_due=later), {}) for one in summaries]
    known.all = Overview(0, 1000, views, [], [])
    known.failed = [
        {"task": f"fail-{n}", "finished_at": later, "duration": 1.0, "reason": "lost"}
        | {"exit_code": None, "signal": None, "error": None}
        for n in range(2)
    ]
    lines = [line.plain for line in view.lines(known, 1000, height)]
    assert len(lines) <= height
    parts = [part.splitlines() for part in "\n".join(lines[1:]).strip().split("\n\n") if part]
    assert tuple(map(len, parts)) == tuple(filter(None, rows))


def test_it_follows_what_happens_until_q(busy: Book, terminal: Terminal) -> None:
    terminal.type("stty -a > before\n")
    terminal.type(f"TERM=xterm {RUN}; echo ended=$?\n")
    terminal.expect(ENTERED)
    frame(terminal, "1 running", "1 failed")
    run = busy.run("import.orders", ago=0, outcome=None)
    frame(terminal, "2 running", "import.orders")
    busy.finish(run, failure("signal", signal="SIGKILL"))
    lines = frame(terminal, "1 running", "2 failed", "signal SIGKILL")
    assert len(lines) <= 24
    terminal.type("q")
    terminal.expect(LEFT)
    terminal.expect("ended=0")
    terminal.type("stty -a > after; echo com''pared=$(cmp before after; echo $?)\n")
    terminal.expect("compared=0")


@pytest.mark.parametrize(
    ("way", "said", "status"),
    [("\x03", "\n", 130), (signal.SIGTERM, "Terminated", 143), (signal.SIGHUP, "Hangup", 129)],
)
def test_it_leaves_the_terminal_as_it_was(
    busy: Book, terminal: Terminal, way: str | int, said: str, status: int
) -> None:
    terminal.type("stty -a > before\n")
    terminal.type(f"sh -c 'echo $$ > pid; TERM=xterm exec {RUN}'\n")
    frame(terminal, "1 running")
    if isinstance(way, str):
        terminal.type(way)
    else:
        os.kill(int(Path("pid").read_text()), way)
    terminal.expect(LEFT)
    terminal.expect(said)  # by the shell, as it was killed
    terminal.type("echo ended=$?\n")
    terminal.expect(f"ended={status}")
    terminal.type("stty -a > after; echo com''pared=$(cmp before after; echo $?)\n")
    terminal.expect("compared=0")


def test_what_was_typed_while_it_starts_counts(busy: Book, terminal: Terminal) -> None:
    terminal.type(f"TERM=xterm {RUN}; echo ended=$?\nq")
    terminal.expect(ENTERED)
    terminal.expect(LEFT)
    terminal.expect("ended=0")


def test_a_notice_is_shown_in_the_last_line(busy: Book, terminal: Terminal) -> None:
    terminal.type(f"TERM=xterm {RUN}\n")
    frame(terminal, "1 running")
    busy.segment(ago=-9 * HOUR).mkdir()
    lines = frame(terminal, "cannot read")
    assert lines[-1].startswith("autotask: cannot read")
    assert len(lines) <= 24
    terminal.type("q")
    terminal.expect(LEFT)


def test_it_can_be_suspended(busy: Book, terminal: Terminal) -> None:
    terminal.type(f"TERM=xterm {RUN}; echo ended=$?\n")
    frame(terminal, "1 running")
    terminal.type("\x1a")
    terminal.expect(LEFT)
    terminal.type("echo in''between\n")
    terminal.expect("inbetween")
    terminal.type("fg\n")
    terminal.expect(ENTERED)
    frame(terminal, "1 running")
    terminal.type("q")
    terminal.expect(LEFT)


def test_it_fits_the_window_at_once(busy: Book, terminal: Terminal) -> None:
    for number in range(40):
        busy.run(f"failing-{number}", ago=HOUR, outcome=failure("exit", exit_code=1))
    # A shell may export the size that it once had.
    terminal.type(f"export COLUMNS=80 LINES=24; TERM=xterm {RUN}\n")
    assert len(frame(terminal, "41 failed", "more")) == 24
    for height, width in ((10, 40), (4, 30), (1, 10)):
        resize(terminal, height, width)
        drawn = [frame(terminal) for _ in range(3)]  # perhaps first as it was before
        lines = drawn[-1]
        assert (len(lines), max(map(len, lines))) <= (height, width), drawn
    resize(terminal, 60, 200)
    frame(terminal, "nightly", "failing-39", "exit 1")
    terminal.type("q")
    terminal.expect(LEFT)
