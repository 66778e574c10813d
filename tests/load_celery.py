"""Load a Celery worker whose children are killed, and measure what a task costs: `make load`.

One task in ten fails, one in twenty is retried. First bare and with the agent in turn, nothing is
killed; then, with the agent, children are killed at random, and the journal is held against what
the tasks' own signals have written down. Needs redis-server.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from redis_server import redis_server
from support import PATIENCE, Under, environment, lines, wait_until, write

_NULL = subprocess.DEVNULL
SHOP = """
import os, time
from celery import Celery, signals
app = Celery("load", broker=os.environ["BROKER"])
app.conf.update(
    task_ignore_result=True, worker_prefetch_multiplier=64, broker_connection_retry_on_startup=True,
)
@app.task(bind=True, max_retries=1)
def work(self, number):
    if number % 100 == 3:
        time.sleep(float(os.environ["SLOW"]))  # long enough to be killed in
    if number % 10 == 1:
        raise ValueError("every tenth fails")
    if number % 20 == 0 and not self.request.retries:
        raise self.retry(countdown=0)
@signals.worker_ready.connect
def ready(**_): open("ready", "w").close()
@signals.task_prerun.connect
def begun(**_): os.write(BEGUN, b".")
@signals.task_postrun.connect
def count(state=None, **_): os.write(DONE, state[:1].encode())
BEGUN = os.open("begun", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
DONE = os.open("done", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
"""
ASK = """
import sys, shop
with shop.app.producer_or_acquire() as producer:
    for number in range(int(sys.argv[1])):
        shop.work.apply_async((number,), producer=producer)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=100_000, help="(default: %(default)s)")
    parser.add_argument("--turns", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--turn-tasks", type=int, default=10_000, help="(default: %(default)s)")
    parser.add_argument(
        "--kills", type=float, default=2.0, help="seconds between two kills (default: %(default)s)"
    )
    options = parser.parse_args()
    took: dict[str, list[float]] = {"bare": [], "path": []}
    for turn in range(options.turns):
        for under in ("bare", "path"):
            with tempfile.TemporaryDirectory() as folder:
                took[under].append(_turn(Path(folder), under, options.turn_tasks, 0.0))
                print(f"turn {turn + 1} {under}: {took[under][-1]:.1f} us a task", flush=True)
    if options.turns:
        more = statistics.median(took["path"]) - statistics.median(took["bare"])
        print(f"median: {more:+.1f} us of time a task over bare", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        _turn(Path(folder), "path", options.tasks, options.kills)
        faults = _faults(Path(folder), options.tasks)
        for words in (("tasks",), ("monitors", "export")):
            _show(Path(folder) / "home", *words)
    print("\n".join(faults) or "nothing lost, nothing twice")
    return 1 if faults else 0


def _show(home: Path, *words: str) -> None:
    """Show what a command says of such a journal, and how long it takes."""
    command, began = (str(Path(sys.executable).with_name("autotask")), *words), time.monotonic()
    environ = {**os.environ, "AUTOTASK_HOME": str(home)}
    said = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    print(f"autotask {' '.join(words)}: {time.monotonic() - began:.2f} s\n{said.stdout[:1500]}")


def _turn(place: Path, under: Under, tasks: int, pause: float) -> float:
    """Let a worker with one child do all tasks; return the microseconds that each took."""
    write(place / "shop.py", SHOP)
    write(place / "ask.py", ASK)
    with redis_server(place / "redis") as url:
        env = {
            **environment(under),
            "BROKER": url,
            "SLOW": str(pause / 40),
            "AUTOTASK_HOME": str(place / "home"),
            "DD_DOGSTATSD_URL": "udp://127.0.0.1:9",
        }
        asking = (sys.executable, "ask.py", str(tasks))
        subprocess.run(asking, env=env, cwd=place, check=True)
        words = (
            sys.executable,
            "-m",
            "celery",
            "-A",
            "shop",
            "worker",
            "-c",
            "1",
            "-l",
            "CRITICAL",
        )
        began = time.monotonic()
        with subprocess.Popen(words, env=env, cwd=place, stdout=_NULL, stderr=_NULL) as worker:
            wait_until((place / "ready").exists)
            began = time.monotonic()
            _watch(place, worker, tasks, pause)
            took = time.monotonic() - began
            worker.terminate()
            worker.wait(PATIENCE)
    return took / tasks * 1e6


def _watch(place: Path, worker: subprocess.Popen[bytes], tasks: int, pause: float) -> None:
    """Kill children until the worker has nothing to do any more; tell how its memory grows."""
    killed, before, still = 0, -1, 0
    sizes: list[int] = []
    kill_at = time.monotonic() + pause
    while still < 150:  # half a minute: a new child takes its time on a busy machine
        time.sleep(0.2)
        now = (place / "done").stat().st_size
        still, before = (still + 1 if now == before else 0), now
        if now >= tasks + tasks // 20 - killed:
            break
        if len(sizes) * tasks <= now * 4:
            sizes.append(_memory(worker.pid))
        if pause and time.monotonic() > kill_at:
            killed += _kill_child(worker.pid)
            kill_at = time.monotonic() + random.uniform(0, 2 * pause)
    print(f"  {killed} children killed; KiB of the main process: {sizes}")


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _kill_child(pid: int) -> int:
    for child in _children(pid):
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
            return 1
    return 0


def _memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def _faults(place: Path, tasks: int) -> list[str]:
    """Hold the journal against what the tasks' own signals have written down."""
    starts: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    for line in lines(place / "home"):
        if line["event"] == "started" and line["framework"] == "celery":
            starts[line["run"]] += 1
        elif line["event"] == "finished" and line["run"] in starts:
            ends[line["run"]] += 1
            statuses[" ".join(filter(None, (line["status"], line.get("reason"))))] += 1
    begun, done = (place / "begun").stat().st_size, Counter((place / "done").read_text())
    print(f"  {begun} begun, {json.dumps(done)}; journal: {json.dumps(statuses)}")
    faults = [
        f"run {run}: {starts[run]} starts, {ends[run]} ends"
        for run in starts
        if (starts[run], ends[run]) != (1, 1)
    ][:10]
    # A child may be killed between a line of ours and one of its signals': as often as it is.
    killed = statuses["failure signal"]
    known = {"success": "S", "failure exception": "F", "retried exception": "R"}
    differences = [len(starts) - begun, *(statuses[key] - done[one] for key, one in known.items())]
    if any(abs(difference) > killed for difference in differences):
        faults.append(f"the signals and the journal differ by {differences}")
    if begun < tasks:
        faults.append(f"only {begun} attempts at {tasks} tasks")
    return faults


if __name__ == "__main__":
    sys.exit(main())
