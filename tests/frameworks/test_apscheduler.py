"""APScheduler: its jobs in threads, in asyncio and in pools of processes, and how they ended."""

from __future__ import annotations

from pathlib import Path

import pytest
from frameworks._own import in_short, same
from support import Record, run_program, runs, write

pytest.importorskip("apscheduler")

# Imported by the children of pools, too.
JOBS = """
import asyncio, logging, os, signal, sys, time, traceback
import autotask

class Told(logging.Handler):
    def emit(self, record):
        print(record.levelname, file=sys.stderr)
        if record.exc_info:
            print("".join(traceback.format_exception(*record.exc_info)), file=sys.stderr)
logging.getLogger("apscheduler").addHandler(Told())

def returns(): return 7
def raises(): raise ValueError("boom")
def chained():
    try: 1 / 0
    except ZeroDivisionError as problem: raise KeyError("gone") from problem
def exits(): sys.exit(3)
def exits_with_zero(): sys.exit(0)
def exits_with_text(): sys.exit("no stock")
def is_interrupted(): raise KeyboardInterrupt
@autotask.task(name="inner")
def inner(): raise LookupError("inside")
def outer(): inner()

async def later(function):
    await asyncio.sleep(0)
    return function()

class Shop:
    def close(self): return "closed"

def sibling():
    open("sibling", "w").close()
    time.sleep(600)
def dies(how):
    while how < 0 and not os.path.exists("sibling"): time.sleep(0.01)
    if how < 0: os.kill(os.getpid(), -how)
    os._exit(how)
def holds():
    open("sibling", "w").close()
    while not os.path.exists("release"): time.sleep(0.01)
"""
POOL = """
import logging, multiprocessing, os, sys, threading
from datetime import datetime, timedelta, timezone
from apscheduler.executors.pool import ProcessPoolExecutor, ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

def pool(method, size=1):
    if method == "thread":
        return ThreadPoolExecutor(size)
    context = multiprocessing.get_context(method)
    try:
        return ProcessPoolExecutor(size, pool_kwargs={"mp_context": context})
    except TypeError:  # before 3.8
        multiprocessing.set_start_method(method)
        return ProcessPoolExecutor(size)
"""
ENDINGS = f"""
import asyncio
{POOL}
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, EVENT_JOB_MISSED
from apscheduler.schedulers.asyncio import AsyncIOScheduler
import jobs

told, complete = [], threading.Event()
def listen(event):
    told.append(event)
    if len(told) == 16: complete.set()

def add(scheduler, function, **options):
    args = []
    if kind == "asyncio" and options.get("id") != "in a thread":
        function, args = jobs.later, [function]
    options.setdefault("misfire_grace_time", None)
    scheduler.add_job(function, args=args, **options)

def start(scheduler):
    now = datetime.now(timezone.utc)
    scheduler.add_listener(listen, EVENT_JOB_ERROR | EVENT_JOB_EXECUTED | EVENT_JOB_MISSED)
    for name in (
        "returns raises chained exits exits_with_zero exits_with_text is_interrupted outer"
    ).split():
        add(scheduler, getattr(jobs, name), id="job." + name)
    add(scheduler, jobs.returns)
    add(scheduler, jobs.returns, name="nightly mail")
    add(scheduler, jobs.raises, id="cafe", name="not this")
    add(scheduler, jobs.returns, id="in a thread")
    add(scheduler, jobs.returns, id="missed", trigger="date", run_date=now - timedelta(hours=1),
        misfire_grace_time=60)
    add(scheduler, jobs.returns, id="behind", trigger="interval", hours=1, coalesce=False,
        misfire_grace_time=5000, next_run_time=now - timedelta(minutes=150))
    scheduler.start()

async def main():
    scheduler = AsyncIOScheduler(timezone="UTC")
    start(scheduler)
    while not complete.is_set():
        await asyncio.sleep(0.01)
    scheduler.shutdown()

kind = sys.argv[1]
if __name__ == "__main__":
    if kind == "asyncio":
        asyncio.run(main())
    else:
        scheduler = BackgroundScheduler(executors={{"default": pool(kind)}}, timezone="UTC")
        start(scheduler)
        complete.wait()
        scheduler.shutdown()
    for event in sorted(told, key=lambda event: (event.code, repr(event.exception))):
        print(event.code, event.retval, repr(event.exception))
        if event.traceback:
            print("Traceback (most recent call last):\\n" + event.traceback)
"""
# What became of each run, in the order of their names.
TOLD = [
    "behind skipped missed",
    "behind skipped missed",
    "behind success",
    "cafe failure exception ValueError",
    "in a thread success",
    "inner failure exception LookupError in job.outer",
    "job.chained failure exception KeyError",
    "job.exits failure exit 3",
    "job.exits_with_text failure exit 1 SystemExit",
    "job.exits_with_zero success",
    "job.is_interrupted failure interrupted",
    "job.outer failure nested LookupError by inner",
    "job.raises failure exception ValueError",
    "job.returns success",
    "missed skipped missed",
    "nightly mail success",
    "returns success",
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with jobs and programs, in which only jobs are runs."""
    monkeypatch.setenv("AUTOTASK_PROCESS", "0")
    write(tmp_path / "jobs.py", JOBS)
    write(tmp_path / "endings.py", ENDINGS)
    return tmp_path


def _by_name(home: Path) -> dict[str, Record]:
    return {run["task"]: run for run in runs(home)}


KINDS = ("thread", "asyncio", "fork", "spawn", "forkserver")
POOLS = KINDS[2:]


@pytest.mark.parametrize("kind", KINDS)
def test_jobs_end_as_without_the_agent_and_each_of_their_runs_is_recorded(
    kind: str, project: Path, home: Path
) -> None:
    same("endings.py", kind, cwd=project, fresh=True)
    told = in_short(runs(home))
    if kind == "asyncio":
        told = [line.replace("later success", "returns success", 1) for line in told]
    assert sorted(told) == TOLD
    found = _by_name(home)
    line = 1 + JOBS.splitlines().index('def raises(): raise ValueError("boom")')
    assert found["job.raises"]["error"]["where"] == f"{project / 'jobs.py'}:{line}"
    assert all("framework" in run for run in found.values())
    assert all(run["waited"] >= 0 for run in found.values() if run["framework"] == "apscheduler")
    assert found["missed"]["waited"] >= 3600
    assert sorted(int(run["waited"] // 1800) for run in runs(home) if run["task"] == "behind") == [
        *(1, 3, 5),
    ]


def test_recording_of_apscheduler_can_be_turned_off(project: Path, home: Path) -> None:
    same("endings.py", "thread", cwd=project, fresh=True, env={
        "AUTOTASK_FRAMEWORKS": "-apscheduler", "AUTOTASK_IGNORE": "inner"
    })  # fmt: skip
    same("endings.py", "fork", cwd=project, fresh=True, env={"AUTOTASK_IGNORE": "*"})
    assert runs(home) == []


def test_executors_that_are_imported_before_the_agent_starts_are_instrumented(
    project: Path, home: Path
) -> None:
    write(project / "early" / "sitecustomize.py", "import apscheduler.executors.pool")
    same("endings.py", "spawn", cwd=project, fresh=True, env={"PYTHONPATH": str(project / "early")})
    assert sorted(in_short(runs(home))) == TOLD


OVERLAP = f"""
{POOL}
from apscheduler.events import EVENT_JOB_MAX_INSTANCES
import jobs
skipped, enough = [], threading.Event()
def listen(event):
    skipped.extend(event.scheduled_run_times)
    if not enough.is_set(): open("release", "w").close()
    enough.set()
def remove(): scheduler.remove_job("slow")
if __name__ == "__main__":
    scheduler = BackgroundScheduler(executors={{"default": pool("thread", 2)}}, timezone="UTC")
    scheduler.add_listener(listen, EVENT_JOB_MAX_INSTANCES)
    scheduler.add_job(jobs.holds, "interval", seconds=0.05, id="slow", misfire_grace_time=None)
    scheduler.start()
    enough.wait()
    scheduler.remove_job("slow")
    scheduler.shutdown()
    print(len(skipped))
"""


def test_a_job_that_still_runs_when_it_is_due_again_is_skipped(project: Path, home: Path) -> None:
    write(project / "overlap.py", OVERLAP)
    ended = run_program("overlap.py", cwd=project)
    told = in_short(runs(home))
    assert ended.status == 0
    assert told.count("slow skipped overlap") == int(ended.stdout) > 0
    assert set(told) == {"slow skipped overlap", "slow success"}


BROKEN = f"""
{POOL}
import jobs
told, complete = [], threading.Event()
class Told(logging.Handler):
    def emit(self, record):
        told.append(record.getMessage() + " " + repr(record.exc_info[1]).partition(" at 0x")[0])
        if len(told) == expected: complete.set()
if __name__ == "__main__":
    def only_here(): pass
    kind, what = sys.argv[1:]
    how = int(what) if what.lstrip("-").isdigit() else 0
    logging.getLogger("apscheduler").handlers[:] = [Told()]
    if os.path.exists("sibling"): os.remove("sibling")
    scheduler = BackgroundScheduler(executors={{"default": pool(kind, 2)}}, timezone="UTC")
    if what == "lambda":
        work = [(lambda: None, [], "job")]
    elif what == "import":
        jobs.only_here = only_here
        only_here.__module__, only_here.__qualname__ = "jobs", "only_here"
        work = [(only_here, [], "job")]
    else:
        work = [(jobs.sibling, [], "sibling"), (jobs.dies, [how], "dies")] if how < 0 else []
        work += [(jobs.dies, [how], "dies")] if how > 0 else []
        work += [(jobs.raises, [], "queued")] if how < 0 else []
    expected = len(work)
    for function, args, name in work:
        scheduler.add_job(function, args=args, id=name, misfire_grace_time=None)
    scheduler.start()
    complete.wait()
    scheduler.shutdown()
    print(*sorted(told), sep="\\n")
"""


@pytest.mark.parametrize(
    ("kind", "what", "expected"),
    [
        *(
            (kind, "-9", [
                "dies failure signal SIGKILL",
                "queued failure lost BrokenProcessPool",
                "sibling failure signal SIGTERM",  # the pool ends the children that are left
            ])
            for kind in POOLS
        ),
        ("fork", "-11", [
            "dies failure signal SIGSEGV",
            "queued failure lost BrokenProcessPool",
            "sibling failure signal SIGTERM",
        ]),
        *((kind, "4", ["dies failure exit 4"]) for kind in POOLS),
        *((kind, "lambda", ["job failure exception ValueError"]) for kind in POOLS),
        ("spawn", "import", ["job failure lost BrokenProcessPool"]),
    ],
)  # fmt: skip
def test_a_job_whose_process_dies_or_never_gets_it_is_recorded_as_it_ended(
    kind: str, what: str, expected: list[str], project: Path, home: Path
) -> None:
    write(project / "broken.py", BROKEN)
    bare = run_program("broken.py", kind, what, under="bare", cwd=project)
    ended = run_program("broken.py", kind, what, cwd=project)
    assert (ended.status, ended.stdout) == (bare.status, bare.stdout) == (0, bare.stdout)
    assert sorted(in_short(runs(home))) == expected


SIDE_BY_SIDE = f"""
{POOL}
from apscheduler.events import EVENT_JOB_EXECUTED
import jobs
complete = threading.Event()
def listen(event):
    if event.job_id == "in a pool": open("release", "w").close()
    else: complete.set()
if __name__ == "__main__":
    executors = {{"default": pool("thread", 2), "pool": pool(sys.argv[1])}}
    scheduler = BackgroundScheduler(executors=executors, timezone="UTC")
    scheduler.add_listener(listen, EVENT_JOB_EXECUTED)
    scheduler.add_job(jobs.holds, id="in a thread", misfire_grace_time=None)
    scheduler.start()
    while not os.path.exists("sibling"): pass
    scheduler.add_job(jobs.returns, id="in a pool", executor="pool", misfire_grace_time=None)
    complete.wait()
    scheduler.shutdown()
"""


@pytest.mark.parametrize("kind", POOLS)
def test_a_job_in_a_pool_is_under_its_program_not_under_a_job_that_runs_meanwhile(
    kind: str, project: Path, home: Path
) -> None:
    write(project / "side_by_side.py", SIDE_BY_SIDE)
    run_program("side_by_side.py", kind, cwd=project, under="launcher")
    assert sorted(in_short(runs(home))) == [
        "in a pool success in side_by_side.py",
        "in a thread success in side_by_side.py",
        "side_by_side.py success",
    ]
