"""A journal as the agent would have written it, and the `autotask` command to read it with."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import PATIENCE, PYTHON, Ended, Record, Tags, environment
from warm import TOOL, warm

from autotask import homes, journal, procfs
from autotask.queued import Queued
from autotask.run import SUCCESS, End, Outcome, Run

HOUR, DAY = 3600.0, 86400.0
HOST = os.uname().nodename
CODE = "import sys; sys.argv[0] = 'autotask'; from autotask.tool.cli import main; sys.exit(main())"
_SCRIPT = Path(sys.executable).with_name("autotask")
_PROGRAM = [str(_SCRIPT)] if _SCRIPT.exists() else ["-c", CODE]
COMMAND = _PROGRAM if _SCRIPT.exists() else [sys.executable, *_PROGRAM]
_DAC_OVERRIDE, _DAC_READ_SEARCH, _PR_CAPBSET_DROP = 1, 2, 24


def obey_modes() -> None:
    """Make file modes hold for root, too, in the program that is started next."""
    for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH):
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def autotask(
    *words: str,
    env: Mapping[str, str | None] | None = None,
    timeout: float = PATIENCE,
    fresh: bool = False,
    **options: Any,
) -> Ended:
    """Run the command with pipes for its output, and no terminal.

    If it is *fresh*, it is a Python that has just started, and no fork of a warm one.
    """
    environ = environment(env=env)
    python = None if fresh or options else warm(PYTHON, TOOL, environ)
    if python is not None:
        status, out, err = python.run([*_PROGRAM, *words], environ, os.getcwd(), timeout)
        return Ended(status, out.decode(), err.decode())
    completed = subprocess.run(
        [*COMMAND, *words],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        **options,
    )
    return Ended(completed.returncode, completed.stdout, completed.stderr)


def answer(*words: str, **options: Any) -> str:
    """Run the command, which must succeed without a notice, and return its output.

    Beside other commands on a busy machine it may wait for one of them, and say so.
    """
    ended = autotask(*words, **options)
    assert ended.status == 0, ended.stderr
    assert not re.sub("autotask: waiting for .*\n", "", ended.stderr), ended.stderr
    return ended.stdout


def on_terminal(
    *words: str, columns: int = 80, rows: int = 0, status: int = 0, types: str = "", **env: str
) -> str:
    """Return what the command writes to a terminal into which *types* is typed."""
    command = [*COMMAND, *words]
    return in_terminal(*command, columns=columns, rows=rows, status=status, types=types, **env)


def in_terminal(
    *command: str, columns: int = 80, rows: int = 0, status: int = 0, types: str = "", **env: str
) -> str:
    """Return what a program writes to a terminal into which *types* is typed.

    A terminal that does not say how many *rows* it has counts as one of 25.
    """
    outer, inner = pty.openpty()
    if rows:
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    size: dict[str, str | None] = {"COLUMNS": str(columns), "LINES": None}
    set_for = {"TERM": "xterm-256color", **size, **env}
    with subprocess.Popen(
        command, stdin=inner, stdout=inner, stderr=inner, env=environment(env=set_for)
    ) as child:
        os.close(inner)
        os.write(outer, types.encode())
        shown = b""
        with contextlib.suppress(OSError):  # raised once the child has closed the other end
            while data := os.read(outer, 4096):
                shown += data
    os.close(outer)
    assert child.returncode == status
    return shown.decode().replace("\r\n", "\n")


def without_zone(heads: str) -> str:
    """Return the heads of a table without the zone of its times."""
    return re.sub(r"(STARTED|NEXT DUE) (?:UTC|[+-]\d\d:\d\d)", r"\1", heads)


def records(*words: str) -> list[Record]:
    """Return the records of all runs, as a program asks for them."""
    lines = answer("runs", "--all", "--format", "jsonl", *words).splitlines()
    return [json.loads(line) for line in lines]


def names(*words: str) -> list[str]:
    """Return the tasks of all runs, oldest first."""
    return [record["task"] for record in records(*words)]


def listed(*words: str) -> list[str]:
    """Return the tasks of the runs that are listed unasked, oldest first."""
    lines = answer("runs", "--format", "jsonl", *words).splitlines()
    return [json.loads(line)["task"] for line in lines]


def dead_process() -> tuple[int, str]:
    """Return the id and the identity of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        return child.pid, procfs.identity(child.pid)


@dataclass
class Book:
    """Writes the journal of a home."""

    home: Path

    def run(
        self,
        task: str = "nightly",
        framework: str = "click",
        *,
        ago: float = 60,
        outcome: Outcome | None = SUCCESS,
        duration: float = 1.5,
        parent: Run | None = None,
        pid: int | None = None,
        identity: str | None = None,
        host: str = HOST,
        unsent: bool = False,
        entity: str | None = None,
        attempt: int | None = None,
        waited: float | None = None,
        enqueued_by: str | None = None,
        server: bool = False,
        bookkeeping: bool = False,
        ruby: str | None = None,
        mood: object = None,
        trigger: str = "cron",
        tags: Tags | None = None,
    ) -> Run:
        """Write a run that started this many seconds ago; without an outcome it still runs.

        *ruby* is the version of a program of Ruby, which alone knows of *bookkeeping*. *mood* is a
        field of its start that only a newer autotask knows.
        """
        run = Run(task, framework)
        run.started = time.time() - ago
        run.trigger = trigger
        if parent is not None:
            run.parent, run.root = parent.id, parent.root
        place = journal.process_fields(
            os.getpid() if pid is None else pid,
            procfs.identity() if identity is None else identity,
            host,
            "3.12.1",
            tags or Tags("shop", "prod", "1.4.2", {"team": "north"}, entity),
        )
        run.queued, run.server = Queued(attempt, waited, enqueued_by), server
        line = journal.started_line(run, place, unsent)
        if bookkeeping:
            line = line.replace('"pid":', '"bookkeeping":true,"pid":', 1)
        if ruby is not None:
            line = line.replace('"python":"3.12.1"', f'"ruby":"{ruby}"', 1)
        if mood is not None:
            line = line.replace('"pid":', f'"mood":{json.dumps(mood)},"pid":', 1)
        self.line(line, ago)
        if outcome is not None:
            self.finish(run, outcome, ago - duration, duration, unsent)
        return run

    def finish(
        self,
        run: Run,
        outcome: Outcome = SUCCESS,
        ago: float = 0,
        duration: float = 1.5,
        unsent: bool = False,
    ) -> None:
        """End a run."""
        end = End(outcome, time.time() - ago, duration, 0.25, 48 << 20)
        self.line(journal.finished_line(run, end, unsent), ago)

    def line(self, text: str, ago: float = 0, end: str = "\n") -> None:
        """Append to the segment of that time."""
        path = self.segment(ago)
        homes.make_folder(str(path.parent))
        with path.open("a") as file:
            file.write(text + end)

    def segment(self, ago: float = 0) -> Path:
        """Return the segment of this many seconds ago."""
        return self.home / "journal" / journal.segment(time.time() - ago)
