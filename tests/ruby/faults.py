"""Faults in our Ruby code: programs run in forks of a warm Ruby, each with a fault in one place.

No place is listed by hand: a run without a fault notes each line, call and block of ours that the
program reaches, and each of Ruby's own methods that we call there.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from support import INSTALLED, Datagrams, environment, lines

DOOR = (INSTALLED / "autotask_ruby").resolve()
SEPARATOR = "\x1f"
NOTE, NOTE_ALL = "?", "??"  # in the place of a fault
# Our frame, and the server's, which a thread does not have.
FRAME = re.compile(r".*(?:\(autotask\)/bin/rake|/fault_server\.rb:).*\n")
VARYING = re.compile(r"0x[0-9a-f]+|pid \d+")


@dataclass(frozen=True)
class Program:
    """A command line of `rake` in a folder with *files*."""

    words: tuple[str, ...]
    files: tuple[tuple[str, str], ...] = ()
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Seen:
    """What a program showed, and what was recorded of it."""

    status: str  # the wait status, or "hung"
    stdout: str
    stderr: str
    ended: Counter[tuple[str, str, str | None]]  # task, status, reason
    left_open: int  # runs without an end
    reached: tuple[str, ...]  # places of our code, in the order in which they were reached

    def looks_like(self, other: Seen) -> bool:
        return self.shown == other.shown

    @property
    def shown(self) -> tuple[str, str, str]:
        return self.status, self.stdout, self.stderr


class Server:
    """Runs programs in forks of a warm Ruby: bare, or with a fault in our code."""

    def __init__(self, folder: Path, ruby: str) -> None:
        self._place = folder / "place"
        self._agent = Datagrams()  # takes all that is sent, and reads nothing
        env = environment("bare", {"DD_DOGSTATSD_URL": self._agent.url, "AUTOTASK_DEBUG": None})
        env["AUTOTASK_HOME"] = str(self._place / "home")
        env["AUTOTASK_PROCESS"] = "0"
        words = [ruby, str(Path(__file__).with_name("fault_server.rb"))]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd=folder
        )

    def run(
        self, program: Program, door: Path | None = DOOR, fault: str = "", kind: str = ""
    ) -> Seen:
        """Run a program with a fault of a *kind* at a place of our code; without a *door* bare."""
        shutil.rmtree(self._place, ignore_errors=True)
        self._place.mkdir()
        for name, text in program.files:
            (self._place / name).write_text(text)
        rake = shutil.which("rake") or "rake"
        environ = "\t".join(f"{name}={value}" for name, value in program.env)
        ours = "" if door is None else str(door)
        request = (str(self._place), rake, "\t".join(program.words), environ, ours, fault, kind)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write((SEPARATOR.join(request) + "\n").encode())
        self._process.stdin.flush()
        status = self._process.stdout.readline().decode().strip()
        return self._seen(status)

    def _seen(self, status: str) -> Seen:
        out, err = (self.file(name) for name in ("out", "err"))
        started: dict[str, str] = {}
        ended: list[tuple[str, str, str | None]] = []
        try:
            journal = lines(self._place / "home")
        except ValueError as problem:
            journal = [{"event": "finished", "run": "", "status": f"unreadable: {problem}"}]
        for line in journal:
            if line["event"] == "started":
                started[line["run"]] = line["task"]
            elif line["event"] == "finished":
                ended.append((line["run"], line["status"], line.get("reason")))
        found = Counter((started.get(run, "?"), state, reason) for run, state, reason in ended)
        reached = tuple(dict.fromkeys(self.file("reached").splitlines()))
        out, err = (VARYING.sub("", FRAME.sub("", text)) for text in (out, err))
        return Seen(status, out, err, found, len(started) - len(ended), reached)

    def file(self, name: str) -> str:
        """Return what a file of the last program contains."""
        path = self._place / name
        return path.read_text(errors="backslashreplace") if path.exists() else ""

    def close(self) -> None:
        self._process.communicate(timeout=300)
        self._agent.close()
