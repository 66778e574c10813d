"""Ctrl-C: a command ends by the signal and prints nothing, at whatever moment it comes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest
from support import environment
from tool.journals import COMMAND, Book, in_terminal

MOMENTS = 24  # in the life of one command
# Each moment in a separate child. An audit hook counts what the interpreter reports: imports,
# opened files, loaded code, SQLite. Python's own start comes before, and is not tested.
STRIKES = """
import os, runpy, signal, sys
script, moments = sys.argv[1], int(sys.argv[2])


def run(strike_at):
    count, begun = 0, False

    def strike(event, words):
        nonlocal count, begun
        begun = begun or (event == "import" and words[0] == "autotask.tool.command_line")
        count += begun
        if begun and count == strike_at:
            os.kill(os.getpid(), signal.SIGINT)

    sys.addaudithook(strike)
    sys.argv = ["autotask", "runs"]
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        os.write(pipe, b"%d %d" % (count, end.code))


def ended(strike_at):
    child = os.fork()
    if not child:
        run(strike_at)
        os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


reading, pipe = os.pipe()
print(ended(0))
count, status = map(int, os.read(reading, 99).split())
print(status, *[ended(1 + count * part // moments) for part in range(moments)])
"""


def test_ctrl_c_kills_a_command_by_the_signal_at_any_moment(book: Book) -> None:
    if len(COMMAND) > 1:
        pytest.skip("no script")
    book.run()
    ended = subprocess.run(
        [sys.executable, "-c", STRIKES, COMMAND[0], str(MOMENTS)],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr == ""
    assert ended.stdout.split() == ["0", "0", *[str(int(signal.SIGINT))] * MOMENTS]


IN_A_BAR = """
import os, signal, sys
from autotask.tool import cli, output
from autotask.tool.commands import runs
def run(arguments):
    with output.progress("reading", 1 << 30):
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("it went on")
runs.run = run
sys.exit(cli.main(["runs"]))
"""


def test_ctrl_c_during_a_progress_bar_restores_the_cursor() -> None:
    shown = in_terminal(sys.executable, "-c", IN_A_BAR, status=-signal.SIGINT)
    assert re.findall(r"\x1b\[\?25[lh]", shown) == ["\x1b[?25l", "\x1b[?25h"]
    assert "Traceback" not in shown


def test_ctrl_c_stays_ignored_if_it_was_ignored_at_the_start(book: Book) -> None:
    code = (
        "import os, signal, sys; from autotask.tool import cli\n"
        "from autotask.tool.commands import runs\n"
        "runs.run = lambda _: print(os.kill(os.getpid(), signal.SIGINT))\n"
        "sys.exit(cli.main(['runs']))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        check=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert ended.stdout == b"None\n"
