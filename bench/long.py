"""Measure what a million runs in one process leave behind: `make bench-long`.

Writes memory, descriptors and speed after each tenth to docs/evidence.md, without autotask and with
it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys

import evidence
from house import ROOT, House
from measure import Command

STEPS = 10
PROGRAM = """\
import gc, json, os, sys, time
import click

@click.command()
def hello():
    pass

def look(began, times):
    each = (time.process_time() - began) / times * 1e6
    gc.collect()
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return {
        "kib": int(fields["RssAnon"].split()[0]),
        "files": len(os.listdir("/proc/self/fd")),
        "us": each,
    }

def work(times):
    began = time.process_time()
    for _ in range(times):
        hello.main([], standalone_mode=False)
    return look(began, times)

times = int(sys.argv[1])
found = [work(times // 100)]  # the first runs load modules and fill caches
for _ in range(int(sys.argv[2])):
    found.append(work(times // int(sys.argv[2])))
print(json.dumps(found))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1_000_000)
    runs = parser.parse_args().runs
    house = House(ROOT / "build" / "long")
    (house.place / "long.py").write_text(PROGRAM)
    words = ("long.py", str(runs), str(STEPS))
    bare, ours = _measured(house.bare(*words)), _measured(house.ours(*words))
    table = evidence.table(("after", *_HEAD), list(_rows(runs, bare, ours)))
    grown = (ours[-1]["kib"] - ours[1]["kib"]) / 1024
    slower = ours[-1]["us"] / ours[1]["us"]
    text = (
        f"## {runs:,} runs in one process\n\n"
        f"A Click command called {runs:,} times, without autotask and with it (journal and "
        "datagrams on). Memory is the process's private memory (RssAnon) after a garbage "
        f"collection. {evidence.setting()}.\n\n{table}\n\n"
        f"From the first tenth to the last: {grown:+.2f} MiB, "
        f"{ours[-1]['files'] - ours[1]['files']:+.0f} descriptors, "
        f"{slower:.2f} times the time for a run "
        f"(without autotask {(bare[-1]['kib'] - bare[1]['kib']) / 1024:+.2f} MiB, "
        f"{bare[-1]['us'] / bare[1]['us']:.2f} times)."
    )
    print(text)
    evidence.write("long", text)
    shutil.rmtree(house.place / "home", ignore_errors=True)  # half a gigabyte
    return 1 if grown > 1 or ours[-1]["files"] > ours[1]["files"] else 0


_HEAD = (
    *("MiB, without", "MiB, with", "descriptors, without", "with"),
    *("us CPU a run, without", "with"),
)


def _rows(
    runs: int, bare: list[dict[str, float]], ours: list[dict[str, float]]
) -> list[tuple[str, ...]]:
    after = [runs // 100 + runs // STEPS * step for step in range(STEPS + 1)]
    return [
        (
            f"{times:,}",
            *(f"{tenth['kib'] / 1024:.2f}" for tenth in pair),
            *(f"{tenth['files']}" for tenth in pair),
            *(f"{tenth['us']:.1f}" for tenth in pair),
        )
        for times, *pair in zip(after, bare, ours)
    ]


def _measured(command: Command) -> list[dict[str, float]]:
    tenths: list[dict[str, float]] = json.loads(command.run().stdout)
    return tenths


if __name__ == "__main__":
    sys.exit(main())
