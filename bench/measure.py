"""Measure one command: instructions, system calls, CPU time, memory, the way out."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Measure = Callable[["Command"], float]


@dataclass(frozen=True)
class Command:
    """A program and the whole of its environment."""

    words: list[str]
    environ: Mapping[str, str]
    cwd: Path

    def run(self, *before: str) -> subprocess.CompletedProcess[str]:
        """Run it under another program; it has to succeed."""
        words = [*before, *self.words]
        done = subprocess.run(
            words, env=self.environ, cwd=self.cwd, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(words)}: status {done.returncode}\n{done.stderr}")
        return done


def has_valgrind() -> bool:
    return shutil.which("valgrind") is not None


def has_strace() -> bool:
    return shutil.which("strace") is not None


def instructions(command: Command) -> float:
    """Count millions of instructions in user mode; repeats agree to about 0.3."""
    done = command.run(
        "valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"
    )
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    assert found, done.stderr
    return int(found[1].replace(",", "")) / 1e6


def system_calls(command: Command) -> float:
    """Count the system calls of all its threads and children."""
    log = command.cwd / "strace.txt"
    command.run("strace", "-f", "-c", "-o", str(log))
    (total,) = [line for line in log.read_text().splitlines() if line.endswith(" total")]
    return float(total.split()[3])  # % time, seconds, usecs/call, calls


def cpu(command: Command) -> float:
    """Return milliseconds of CPU time, user and system, its children's included."""
    usage = _usage(command)
    return usage * 1000


def wall(command: Command) -> float:
    """Return milliseconds from start to end."""
    began = time.perf_counter()
    _usage(command)
    return (time.perf_counter() - began) * 1000


def memory(command: Command) -> float:
    """Return its largest resident set in MiB, which the program tells at its end (TELL_MEMORY).

    Not ru_maxrss, which begins with the size of whoever started the program.
    """
    return int(command.run().stderr.split()[-1]) / 1024


TELL_MEMORY = """\
import atexit
def tell():
    with open("/proc/self/status") as file:
        peak = [line.split()[1] for line in file if line.startswith("VmHWM")]
    __import__("os").write(2, peak[0].encode())
atexit.register(tell)
"""


def way_out(command: Command) -> float:
    """Return milliseconds from the last line of the program (TELL_END) to its end."""
    with subprocess.Popen(
        command.words, env=command.environ, cwd=command.cwd, stdout=subprocess.PIPE
    ) as program:
        program.wait()
        ended = time.clock_gettime(time.CLOCK_MONOTONIC)
        assert program.stdout is not None
        return (ended - float(program.stdout.read().split()[-1])) * 1000


TELL_END = "import time; print(time.clock_gettime(time.CLOCK_MONOTONIC), flush=True)\n"


def paired(
    measure: Measure,
    commands: Sequence[Command],
    repeats: int,
    choose: Callable[[Sequence[float]], float] = statistics.median,
) -> tuple[float, ...]:
    """Measure commands in turn, so that each meets the same weather; return the medians."""
    found: list[list[float]] = [[] for _ in commands]
    for number in range(repeats):
        order = list(range(len(commands)))
        for place in order if number % 2 else reversed(order):
            found[place].append(measure(commands[place]))
    return tuple(choose(values) for values in found)


def least(measure: Measure, commands: Sequence[Command], repeats: int) -> tuple[float, ...]:
    """Return the least of what was measured: for counts, of which nothing is ever left out."""
    return tuple(min(measure(command) for _ in range(repeats)) for command in commands)


def _usage(command: Command) -> float:
    quiet = [
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    here = os.getcwd()
    os.chdir(command.cwd)
    try:
        pid = os.posix_spawn(command.words[0], command.words, command.environ, file_actions=quiet)
    finally:
        os.chdir(here)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command.words)}: wait status {status}")
    return usage.ru_utime + usage.ru_stime
