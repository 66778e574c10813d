"""Measure what autotask costs, and compare it with its budgets: `make bench`.

Counts instructions (if valgrind is installed) and system calls (if strace is); times are medians
of alternating runs. `--gate` fails if the instruction counts have grown over MEASURED, which other
load on the machine cannot change.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import measure
from house import CALLS, NO_GC, ROOT, House
from measure import Command
from rich.console import Console
from rich.table import Table

# The base of the gate, in millions of instructions over the bare program: CPython 3.11, November
# 2026. `make bench ARGS=--gate` shows today's. An idle process repeats exactly, and Pythons differ
# by 0.05; in the other programs one garbage collection more or less is 1 to 2 M.
MEASURED = {
    "idle: python -c pass": 1.09,
    "Click hello": 12.6,
    "Click hello, Agent refuses": 12.6,
    "Invoke hello": 15.6,
    "doit hello": 16.0,
    "idle: ruby -e 0": 1.97,  # Ruby 3.1, as what follows
    "rake hello": 33.4,
    "rake: one more run": 0.28,
}
MARGINS = {"idle: python -c pass": 1.1, "idle: ruby -e 0": 1.1}
USUAL_MARGIN = 1.25
WRAPPED_CALLS = 200_000
RAKE_CALLS = 500  # while instructions are counted: valgrind is slow


@dataclass(frozen=True)
class Row:
    """One measured quantity, without and with autotask, and the budget for the difference."""

    what: str
    unit: str
    measured: tuple[float, ...]  # without autotask, with it
    budget: float | None = None

    @property
    def bare(self) -> float:
        return self.measured[0]

    @property
    def ours(self) -> float:
        return self.measured[1]

    @property
    def extra(self) -> float:
        return self.ours - self.bare

    @property
    def is_over(self) -> bool:
        return self.budget is not None and self.extra > self.budget

    @property
    def limit(self) -> float | None:
        """The most that the gate accepts: a little over the base. A budget is an aim."""
        measured = MEASURED.get(self.what)
        if measured is None:
            return None
        return measured * MARGINS.get(self.what, USUAL_MARGIN)

    @property
    def is_refused(self) -> bool:
        return self.limit is not None and self.extra > self.limit


class Bench:
    """The rows of the budget table."""

    def __init__(self, house: House, quick: bool) -> None:
        self.house = house
        self.quick = quick

    def counts(self) -> Iterator[Row]:
        """Yield the instruction counts, which hardly vary."""
        if not measure.has_valgrind():
            return
        for what, bare, ours, budget in self._hellos():
            yield self._count(what, bare, ours, budget)
        if self.house.has_ruby:
            yield self._one_rake_run()

    def gate(self) -> list[Row]:
        """Count what the gate compares, in parallel: other load does not change the counts."""
        wanted = [hello for hello in self._hellos() if hello[0] in MEASURED]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            rows = list(pool.map(lambda hello: self._count(*hello), wanted))
        return [*rows, self._one_rake_run()] if self.house.has_ruby else rows

    def _count(self, what: str, bare: Command, ours: Command, budget: float | None) -> Row:
        counted = measure.least(measure.instructions, (bare, ours), 1 if self.quick else 3)
        return Row(what, "M instructions", counted, budget)

    def _one_rake_run(self) -> Row:
        bare, bare_none, ours, ours_none = (
            measure.instructions(command("rake", "loop", CALLS=calls))
            for command in (self.house.bare, self.house.ruby)
            for calls in (str(RAKE_CALLS), "0")
        )
        costs = (bare - bare_none) / RAKE_CALLS, (ours - ours_none) / RAKE_CALLS
        return Row("rake: one more run", "M instructions", costs, 0.31)

    def all(self) -> Iterator[Row]:
        yield from self.counts()
        yield from self._system_calls()
        yield from self._times()
        yield from self._memory()
        yield from self._calls()
        yield from self._ways_out()
        yield from self._launcher()

    def _hellos(self) -> Iterator[tuple[str, Command, Command, float | None]]:
        house = self.house
        yield "idle: python -c pass", self._idle(), house.ours("-c", "pass"), 1.1
        click = ("hello.py",)
        yield "Click hello", house.bare(*click), house.ours(*click), 6.0
        refused = house.ours(*click, DD_DOGSTATSD_URL=house.refused)
        yield "Click hello, Agent refuses", house.bare(*click), refused, 6.0
        alone = house.ours(*click, AUTOTASK_PROCESS="auto")
        yield "Click hello and its process run", house.bare(*click), alone, None
        invoke, doit = ("inv", "hello"), ("doit", "-v0", "hello")
        yield "Invoke hello", house.bare(*invoke), house.ours(*invoke), 8.0
        yield "doit hello", house.bare(*doit), house.ours(*doit), 8.0
        if house.has_ruby:
            idle, rake = ("ruby", "-e", "0"), ("rake", "hello")
            yield "idle: ruby -e 0", house.bare(*idle), house.ruby(*idle), 1.9
            bare, ours = house.bare(*rake, **NO_GC), house.ruby(*rake, **NO_GC)
            yield "rake hello", bare, ours, 25.0

    def _idle(self) -> Command:
        return self.house.bare("-c", "pass", PYTHONPATH=str(self.house.place / "empty"))

    def _system_calls(self) -> Iterator[Row]:
        if not measure.has_strace():
            return
        budgets = {"idle: python -c pass": 25.0}
        for what, bare, ours, _ in self._hellos():
            counted = measure.least(measure.system_calls, (bare, ours), 1)
            yield Row(what, "system calls", counted, budgets.get(what))

    def _times(self) -> Iterator[Row]:
        budgets = {"idle: python -c pass": 0.5, "Click hello": 1.5}
        for what, bare, ours, _ in self._hellos():
            times = measure.paired(measure.cpu, (bare, ours), self._repeats(60))
            yield Row(what, "ms CPU", times, budgets.get(what))

    def _memory(self) -> Iterator[Row]:
        house, empty = self.house, str(self.house.place / "empty")
        idle = house.bare("idle.py", PYTHONPATH=empty), house.ours("idle.py")
        sizes = measure.paired(measure.memory, idle, self._repeats(30))
        yield Row("idle: python -c pass", "MiB", sizes, 0.1)
        click = house.bare("memory.py"), house.ours("memory.py")
        sizes = measure.paired(measure.memory, click, self._repeats(30))
        yield Row("Click hello", "MiB", sizes, 0.5)

    def _calls(self) -> Iterator[Row]:
        """Yield the cost of one more call in a process that makes many."""
        more, once = str(CALLS), "0"
        yield self._one_call("one more run", "loop.py", more, once, 20.0)
        many = str(WRAPPED_CALLS)
        ignored = {"AUTOTASK_IGNORE": "*"}
        yield self._one_call("a call that is ignored", "wrapped.py", many, once, 0.5, **ignored)
        off = {"AUTOTASK_FRAMEWORKS": "-click"}
        yield self._one_call("a call, Click excluded", "wrapped.py", many, once, 0.5, **off)
        off = {"AUTOTASK_ENABLED": "0"}
        yield self._one_call("a call, the agent off", "wrapped.py", many, once, 0.5, **off)
        if self.house.has_ruby:
            commands = [
                command("rake", "loop", CALLS=calls)
                for calls in (more, once)
                for command in (self.house.bare, self.house.ruby)
            ]
            yield self._cost_of_one("rake: one more run", commands, CALLS, 140.0)

    def _one_call(
        self, what: str, program: str, many: str, none: str, budget: float, **more: str
    ) -> Row:
        commands = [
            command
            for times in (many, none)
            for command in (
                self.house.bare(program, times),
                self.house.ours(program, times, **more),
            )
        ]
        return self._cost_of_one(what, commands, int(many), budget)

    def _cost_of_one(self, what: str, commands: list[Command], calls: int, budget: float) -> Row:
        """Measure many calls, bare and ours, and then none."""
        bare, ours, bare_none, ours_none = measure.paired(measure.cpu, commands, self._repeats(10))
        each = 1000 / calls
        costs = (bare - bare_none) * each, (ours - ours_none) * each
        return Row(what, "us CPU", costs, budget)

    def _ways_out(self) -> Iterator[Row]:
        """Yield how long a process takes to exit, for each way in which the Agent misbehaves."""
        house = self.house
        moods = {
            "listens": {"DD_DOGSTATSD_URL": house.listening},
            "refuses": {"DD_DOGSTATSD_URL": house.refused},
            "hangs": {"DD_DOGSTATSD_URL": house.full},
            "absent": {"DD_DOGSTATSD_URL": f"unix://{house.place}/nobody.socket"},
            "host unknown": {"DD_DOGSTATSD_URL": "udp://nobody.invalid:8125"},
        }
        commands = [
            house.bare("out.py"),
            *(house.ours("out.py", **mood) for mood in moods.values()),
        ]
        # The minimum: a process that waits does so each time, and the rest is noise of the machine.
        bare, *ours = measure.paired(measure.way_out, commands, self._repeats(60), min)
        for mood, took in zip(moods, ours):
            yield Row(f"end of process, Agent {mood}", "ms", (bare, took), 0.2)
        if house.has_ruby:
            commands = [
                house.bare("rake", "out", OUT="1"),
                *(house.ruby("rake", "out", OUT="1", **mood) for mood in moods.values()),
            ]
            bare, *ours = measure.paired(measure.way_out, commands, self._repeats(60), min)
            for mood, took in zip(moods, ours):
                yield Row(f"end of rake, Agent {mood}", "ms", (bare, took), 0.5)

    def _launcher(self) -> Iterator[Row]:
        house = self.house
        by_hand, launched = (
            house.ours("hello.py"),
            house.ours("autotask-run", sys.executable, "hello.py"),
        )
        for unit, kind in (("ms CPU", measure.cpu), ("ms", measure.wall)):
            times = measure.paired(kind, (by_hand, launched), self._repeats(60))
            yield Row("autotask-run over PYTHONPATH", unit, times, 12.0)
        # Its output is a pipe: of other streams nothing has to be passed on.
        plain, kept = (
            house.ours("sh", "-c", f"autotask-run {option} true 2>&1 | cat")
            for option in ("", "--keep-output 8k")
        )
        for unit, kind in (("ms CPU", measure.cpu), ("ms", measure.wall)):
            times = measure.paired(kind, (plain, kept), self._repeats(60))
            yield Row("--keep-output over autotask-run", unit, times, 2.0)
        yield Row("autotask-run while it waits", "MiB", (0.0, _waiting_size(house)), 10.0)

    def million(self) -> Iterator[Row]:
        """Yield the cost of listing runs of a long history."""
        home = self.house.place / "million"
        maker = [sys.executable, str(ROOT / "bench" / "make_journal.py"), "1000000", str(home)]
        subprocess.run(maker, check=True)
        runs = self.house.ours("autotask", "runs", AUTOTASK_HOME=str(home))
        began = time.perf_counter()
        runs.run()
        yield Row("autotask runs, a million new", "s", (0.0, time.perf_counter() - began))
        (took,) = measure.paired(measure.wall, (runs,), 7)
        yield Row("autotask runs, of a million", "s", (0.0, took / 1000), 0.3)

    def _repeats(self, full: int) -> int:
        return max(full // 6, 3) if self.quick else full


def _waiting_size(house: House) -> float:
    """Return the resident memory of a waiting launcher, in MiB."""
    command = house.ours("autotask-run", "sleep", "1")
    with subprocess.Popen(command.words, env=command.environ, cwd=command.cwd) as launcher:
        time.sleep(0.5)
        status = Path(f"/proc/{launcher.pid}/status").read_text()
        launcher.wait()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def table(rows: list[Row]) -> Table:
    made = Table(box=None, pad_edge=False)
    made.add_column("what", no_wrap=True)
    for name in ("without", "with", "more", "ratio", "budget"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("", no_wrap=True)
    for row in rows:
        ratio = f"{row.ours / row.bare:.3f}" if row.bare else ""
        budget = "" if row.budget is None else f"{row.budget:g}"
        style = "red" if row.is_over else None
        numbers = (f"{row.bare:.2f}", f"{row.ours:.2f}", f"{row.extra:+.2f}", ratio, budget)
        verdict = "OVER" if row.is_over else ""
        made.add_row(f"{row.what} ({row.unit})", *numbers, verdict, style=style)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument(
        "--gate", action="store_true", help="count only instructions; fail if they have grown"
    )
    parser.add_argument(
        "--million", action="store_true", help="also measure a journal of a million runs"
    )
    options = parser.parse_args()
    bench = Bench(House(ROOT / "build" / "bench"), options.quick or options.gate)
    if options.gate:
        if not measure.has_valgrind():
            print("bench: skipped: valgrind is not installed")
            return 0
        rows = bench.gate()
    else:
        rows = list(bench.all())
        rows += bench.million() if options.million else ()
    Console(width=None if sys.stdout.isatty() else 120).print(table(rows))
    refused = [row for row in rows if row.is_refused] if options.gate else []
    for row in refused:
        print(f"bench: {row.what}: {row.extra:.2f} {row.unit} more, at most {row.limit:.2f}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
