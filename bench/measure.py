"""Measure one command: instructions, system calls, CPU time, memory, time to exit."""

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
    """A program with its arguments, environment and folder."""

    words: list[str]
    environ: Mapping[str, str]
    cwd: Path

    def run(self, *before: str) -> subprocess.CompletedProcess[str]:
        """Run it, perhaps under another program; exit if it fails."""
        words = [*before, *self.words]
        ended = subprocess.run(
            words, env=self.environ, cwd=self.cwd, capture_output=True, text=True, check=False
        )
        if ended.returncode:
            raise SystemExit(f"{' '.join(words)}: status {ended.returncode}\n{ended.stderr}")
        return ended


def has_valgrind() -> bool:
    return shutil.which("valgrind") is not None


def has_strace() -> bool:
    return shutil.which("strace") is not None


def instructions(command: Command) -> float:
    """Count millions of instructions in user mode; repeats agree to about 0.3."""
    ended = command.run(
        "valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"
    )
    count = re.search(r"I\s+refs:\s+([\d,]+)", ended.stderr)
    assert count, ended.stderr
    return int(count[1].replace(",", "")) / 1e6


def system_calls(command: Command) -> float:
    """Count the system calls of a command with all its threads and children."""
    log = command.cwd / "strace.txt"
    command.run("strace", "-f", "-c", "-o", str(log))
    (total,) = [line for line in log.read_text().splitlines() if line.endswith(" total")]
    return float(total.split()[3])  # % time, seconds, usecs/call, calls


def cpu(command: Command) -> float:
    """Return milliseconds of CPU time, user and system, including children."""
    usage = _usage(command)
    return usage * 1000


def wall(command: Command) -> float:
    """Return milliseconds from start to end."""
    began = time.perf_counter()
    _usage(command)
    return (time.perf_counter() - began) * 1000


def memory(command: Command) -> float:
    """Return the peak resident memory in MiB, which the program itself prints (TELL_MEMORY).

    Not ru_maxrss, which starts with the size of the process that started the program.
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
    """Return milliseconds from the program's last line (TELL_END) to its exit."""
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
    """Measure commands in turn, so that noise hits all alike; return the medians."""
    measured: list[list[float]] = [[] for _ in commands]
    for turn in range(repeats):
        order = list(range(len(commands)))
        for number in order if turn % 2 else reversed(order):
            measured[number].append(measure(commands[number]))
    return tuple(choose(values) for values in measured)


def least(measure: Measure, commands: Sequence[Command], repeats: int) -> tuple[float, ...]:
    """Return the minimum for each command: noise only ever adds to a count."""
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
