"""Count how many ends of runs reach an Agent that comes and goes: `make bench-loss`.

Writes to docs/evidence.md what arrived at once under load, what arrived later, and what never did.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import evidence
from house import BIN, ROOT, House

LAUNCHERS = 4  # shells that run one short command after another under autotask-run
PROGRAM = """\
import sys, time
import autotask

end, number = time.monotonic() + float(sys.argv[1]), 0
while time.monotonic() < end:
    autotask.task(name=f"long-{number}")(lambda: None)()
    number += 1
    time.sleep(0.005)
print(number)
"""
_COUNT = re.compile(r"autotask\.task\.runs:(\d+)\|c\|#task:([a-z]+-[0-9-]+),")


class Agent:
    """The socket of an Agent, which can be closed and opened again."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._path = folder / "agent.socket"
        self._port = 0
        self._kind = kind
        self._socket = self._opened()
        self.url = f"unix://{self._path}" if kind == "unix" else f"udp://127.0.0.1:{self._port}"
        self.received: list[str] = []  # lines
        self.pause = 0.0  # seconds that it takes for each datagram
        self._is_over = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _opened(self) -> socket.socket:
        if self._kind == "unix":
            agent = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._path.unlink(missing_ok=True)
            agent.bind(str(self._path))
        else:
            agent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            agent.bind(("127.0.0.1", self._port))
            self._port = agent.getsockname()[1]
        agent.settimeout(0.1)
        return agent

    def _listen(self) -> None:
        while not self._is_over:
            try:
                self.received += self._socket.recv(1 << 16).decode().splitlines()
            except OSError:  # nothing came, or it was closed
                continue
            time.sleep(self.pause)

    def restart(self, away: float) -> None:
        """Close for so many seconds; what was not read yet is lost."""
        self._socket.close()
        time.sleep(away)
        self._socket = self._opened()

    def be_slow(self, seconds: float) -> None:
        """Read a hundred datagrams a second, at most."""
        self.pause = 0.01
        time.sleep(seconds)
        self.pause = 0.0

    def close(self) -> None:
        time.sleep(0.5)
        self._is_over = True
        self._thread.join()
        self._socket.close()


class Counted(NamedTuple):
    """Ends of runs, by when they reached the Agent."""

    ends: int
    at_once: int
    on_the_way: int
    shipped: int
    never: int
    twice: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--seconds", type=float, default=12.0, help="duration of the load, for each row"
    )
    seconds = parser.parse_args().seconds
    place = ROOT / "build" / "loss"
    house = House(place)
    (place / "long.py").write_text(PROGRAM)
    rows = []
    for kind, what, trouble in TROUBLES:
        counted = _count(house, Agent(kind, place), seconds, trouble)
        print(what, counted, flush=True)
        rows.append((what, *(f"{number}" for number in counted), *_shares(counted)))
    text = (
        "## An Agent that comes and goes\n\n"
        f"For {seconds:.0f} seconds a program runs a task each 5 ms, and {LAUNCHERS} shells start "
        "one `autotask-run true` after another. The Agent is down twice, for a sixth of the time "
        "each, and loses what it had not read; or it reads only a hundred datagrams a second, for "
        "a third of the time. Each run has a name of its own, which program and shells count. "
        "*At once* is what reached the Agent when it happened, *by autotask-run* what later "
        "launchers delivered at their end, *by ship* what one `autotask ship` delivered at the "
        f"end. {evidence.setting()}.\n\n{evidence.table(_HEAD, rows)}\n\n"
        "Over UDP the kernel silently drops what does not fit into the buffer of a slow Agent. "
        "What an Agent has not read when it stops is lost over both."
    )
    print(text)
    evidence.write("loss", text)
    shutil.rmtree(place / "home", ignore_errors=True)
    return 0


def _restarts(agent: Agent, seconds: float) -> None:
    for _ in range(2):
        time.sleep(seconds / 6)
        agent.restart(seconds / 6)
    time.sleep(seconds / 3)


def _slowness(agent: Agent, seconds: float) -> None:
    time.sleep(seconds / 3)
    agent.be_slow(seconds / 3)
    time.sleep(seconds / 3)


TROUBLES: tuple[tuple[str, str, Callable[[Agent, float], None]], ...] = (
    ("unix", "socket file, restarts", _restarts),
    ("udp", "UDP on this machine, restarts", _restarts),
    ("unix", "socket file, slow", _slowness),
    ("udp", "UDP on this machine, slow", _slowness),
)
_HEAD = (
    *("Agent", "ends", "at once", "by autotask-run", "by ship", "never", "twice"),
    *("lost without shipping", "lost with it"),
)


def _shares(counted: Counted) -> tuple[str, str]:
    late = counted.ends - counted.at_once
    return f"{late / counted.ends:.1%}", f"{counted.never / counted.ends:.2%}"


def _count(
    house: House, agent: Agent, seconds: float, trouble: Callable[[Agent, float], None]
) -> Counted:
    """Run the load against an Agent in trouble; count the ends of runs by when they arrived."""
    home = house.place / "home"
    shutil.rmtree(home, ignore_errors=True)
    names: list[str] = []
    environ = {
        **house.ours("long.py").environ,
        "DD_DOGSTATSD_URL": agent.url,
    }
    launched = {name: value for name, value in environ.items() if not name.startswith("PYTHON")}
    words = [sys.executable, str(house.place / "long.py"), str(seconds)]
    program = subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + seconds
    shells = [
        threading.Thread(target=_launch, args=(house, number, end, launched, names))
        for number in range(LAUNCHERS)
    ]
    for shell in shells:
        shell.start()
    trouble(agent, seconds)
    for shell in shells:
        shell.join()
    names += [f"long-{number}" for number in range(int(program.communicate()[0]))]
    time.sleep(0.5)
    before = len(agent.received)
    subprocess.run([str(BIN / "autotask"), "ship"], env=environ, check=True, stdout=sys.stderr)
    agent.close()
    at_once, on_the_way = (
        _arrived(agent.received[:before], late=False),
        _arrived(agent.received[:before], True),
    )
    shipped = _arrived(agent.received[before:], late=True)
    every = at_once + on_the_way + shipped
    ours = set(names)
    return Counted(
        len(ours),
        len(ours & at_once.keys()),
        len(ours & on_the_way.keys()),
        len(ours & shipped.keys()),
        len(ours - every.keys()),
        len([name for name in ours if every[name] > 1]),
    )


def _launch(
    house: House, number: int, end: float, environ: dict[str, str], names: list[str]
) -> None:
    """Start one command after another."""
    for turn in range(1 << 20):
        if time.monotonic() > end:
            return
        name = f"launched-{number}-{turn}"
        subprocess.run(
            [str(house.place / "bin" / "autotask-run"), "--name", name, "true"],
            env=environ,
            check=True,
        )
        names.append(name)


def _arrived(lines: list[str], late: bool) -> collections.Counter[str]:
    """Count the ends in datagrams by name: only those with (*late*) or without a timestamp."""
    counts: collections.Counter[str] = collections.Counter()
    for line in lines:
        match = _COUNT.match(line)
        if match and ("|T" in line) is late:
            counts[match[2]] += int(match[1])
    return counts


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        os.umask(0o077)
        sys.exit(main())
