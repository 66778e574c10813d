"""A storm of SIGKILL over thousands of short tasks, and what is recorded of them: `make storm`.

Programs of each framework run side by side, alone, under a launcher or with their own parent, some
with forked children or a launcher inside, while their processes are killed at random moments;
`autotask runs` is called meanwhile, and killed too. Then the raw journal is compared with what the
tasks noted elsewhere (`aftermath`), and the index with the journal, twice: as it has grown, and
rebuilt. The kinds:

  plain     the programs are killed, and the processes that they started
  launcher  the launchers are killed, alone or together with the command
  disk      as plain, on a small disk that is full for a third of the time
  containers  as plain, each in a separate pid namespace: its process 1 is killed, and with it all
            others; a third of them have the same host name. At most 200 programs.
  tool      rounds of the commands that read and write a home, with programs beside them: see
            `storm_commands`
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import storm_commands
from aftermath import Aftermath, Event, disagreements, look
from storm_programs import (
    CONTAINERS,
    NOBODY,
    ROOT,
    TOOL,
    CannotRunError,
    Storm,
    keep,
    programs,
    unmount,
)

KINDS = ("plain", "launcher", "disk", "containers", "tool")


class Result(NamedTuple):
    """The results of one kind of storm."""

    kind: str
    processes: int
    tasks: int
    killed: int
    seconds: float
    found: Aftermath

    def cells(self) -> tuple[str, ...]:
        """Return a row of the table, in the order of HEAD."""
        found = self.found
        faults = found.torn, found.unended, found.twice, found.wrong, found.marks, found.index
        counts = self.processes, self.tasks, self.killed, found.runs, *map(len, faults)
        return (self.kind, *(f"{count:,}" for count in counts), f"{self.seconds:.0f}")


HEAD = (
    *("kind", "processes", "tasks", "killed", "runs", "torn lines", "runs without an end"),
    *("ended twice", "wrong status", "marks left", "index differs", "seconds"),
)


def weather(kind: str, tasks: int, processes: int, seed: int, place: Path) -> Result:
    """Run one storm, and judge what it left."""
    began = time.monotonic()
    if kind == "containers":
        tasks = min(tasks, CONTAINERS)
    storm = Storm(kind, programs(kind, tasks, seed), processes, seed, place)
    storm.rage()
    home = place / "home"
    records = told(home)  # closes what dead processes left open
    found, journal = look(storm.truth, home)
    found.index += disagreements(journal, records)
    for file in home.glob("index.sqlite3*"):
        file.unlink()
    found.index += disagreements(journal, told(home))
    log = (place / "debug.log").read_text(errors="replace").splitlines()
    found.wrong += [line for line in log if "autotask: swallowed" in line]
    seconds = time.monotonic() - began
    return Result(kind, processes, tasks, len(storm.truth.killed), seconds, found)


def told(home: Path) -> list[Event]:
    """Return the records of all runs."""
    environ = {**os.environ, "AUTOTASK_HOME": str(home), "DD_DOGSTATSD_URL": NOBODY}
    words = (str(TOOL), "runs", "--all", "--format", "jsonl", "--limit", "0")
    done = subprocess.run(words, env=environ, stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def report(result: Result) -> Iterator[str]:
    """Print the results of a storm."""
    faults = result.found.faults()
    cells = zip(HEAD[1:], result.cells()[1:])
    yield f"{'FAIL' if faults else 'ok  '} {result.kind}: " + ", ".join(
        f"{cell} {head}" for head, cell in cells
    )
    yield "     " + ", ".join(f"{n} {end}" for end, n in result.found.ends.most_common())
    yield from (f"     {fault}" for fault in faults)


def report_rounds(rounds: storm_commands.Rounds) -> Iterator[str]:
    """Print the results of the kind `tool`, besides the faults, which were printed before."""
    cells = zip(storm_commands.HEAD, rounds.cells())
    yield f"{'FAIL' if any(rounds.faults()) else 'ok  '} tool: " + ", ".join(
        f"{cell} {head}" for head, cell in cells
    )


def write(results: list[Result], rounds: storm_commands.Rounds | None) -> None:
    """Write the tables into docs/evidence.md."""
    sys.path.append(str(ROOT / "bench"))
    import evidence

    if results:
        table = evidence.table(HEAD, [result.cells() for result in results])
        evidence.write("storm", f"{_TEXT.strip()} {evidence.setting()}.\n\n{table}")
    if rounds:
        table = evidence.table(storm_commands.HEAD, [rounds.cells()])
        evidence.write("storm-tool", f"{_TOOL_TEXT.strip()} {evidence.setting()}.\n\n{table}")
    print(f"written into {evidence.PAGE.relative_to(ROOT)}")


_TEXT = """
## A storm of SIGKILL

Short programs in many processes at once, one after the other: functions, Click, Invoke, doit,
scripts of Python and of the shell, with forked children and launchers inside; on PYTHONPATH alone,
under `autotask-run`, with a parent of their own. SIGKILL is aimed at two thirds of them at random
moments, and at `autotask runs`, which is called among them. *plain*: the programs, their children
and the launchers inside; *launcher*: the parent beside a program, alone or together with it;
*disk*: as plain, on a small disk that is full for each third part of the time; *containers*: each
program in a pid namespace of its own and on one volume, a third of them with the same host name;
process 1 is killed, and the whole container with it. Each task notes its
start and its end outside of the journal. Afterwards the raw lines are compared with these notes,
and the index with the lines, as it has grown and rebuilt (`tests/aftermath.py` says what such notes
can prove). *torn lines* are what a full disk leaves, or SIGKILL at the end of a page of the file;
what was whole in them counts.
`make storm` repeats it and writes this table; it fails if one of the other columns is not 0.
"""
_TOOL_TEXT = """
## A storm over the commands

`make storm ARGS="--kind tool"` plays rounds. Each has a journal of its own, with some hundred to
some thousand runs. `runs`, `tasks`, `show`, `prune`, `ship`, `ship --follow` and `monitors export`
work on it, two to five at once. Half of them are hit by SIGKILL, SIGINT or SIGSTOP at a random
moment, some prunes just while they rewrite a segment. Meanwhile programs write runs and are killed,
an Agent on loopback goes and comes back, the index is damaged (random bytes, a truncated file, an
old copy, missing or unreadable rows), `cp` overwrites old segments with others, and in each fifth
round the disk is small, and full at times. Then `ship`, `runs`, `prune` and `runs` run undisturbed,
and `runs` once more without an index. `tests/aftermath_commands.py` checks what must be true
afterwards: the raw lines, the grown index and the rebuilt index agree; no run is missing that a
prune had to keep, and no failure went while a success could go; the Agent was told nothing twice;
no command printed a traceback or ended against its own rules; no temporary file is left. The number
of a round determines its plan: `--first 12 --rounds 1` plays that one again, as far as processes
allow. *SIGKILL* counts programs, too. The columns from *index differs* on count faults; the storm
fails if one of them is not 0.
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this one")
    parser.add_argument("--tasks", type=int, default=2000, help="programs (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=50, help="at once (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of chance (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="write it into docs/evidence.md")
    parser.add_argument("--rounds", type=int, default=300, help="of the kind tool (default: 300)")
    parser.add_argument("--first", type=int, default=0, help="the number of its first round")
    options = parser.parse_args()
    results = []
    rounds = None
    for kind in options.kind or KINDS:
        if kind == "tool":
            at_once = os.cpu_count() or 1
            rounds = storm_commands.play_all(options.seed, options.first, options.rounds, at_once)
            print("\n".join(report_rounds(rounds)), flush=True)
            continue
        place = Path(tempfile.mkdtemp(prefix="storm-"))
        try:
            result = weather(kind, options.tasks, options.processes, options.seed, place)
        except CannotRunError as problem:
            print(f"skip {kind}: {problem}")
            continue
        results.append(result)
        print("\n".join(report(result)), flush=True)
        if result.found.faults():
            print(f"     all of it is in {keep(place, kind)}")
        unmount(place / "home")
        shutil.rmtree(place)
    if options.write:
        write(results, rounds)
    failed = [result for result in results if result.found.faults()]
    return 1 if failed or (rounds and any(rounds.faults())) else 0


if __name__ == "__main__":
    sys.exit(main())
