"""RQ: which jobs ran, and how each attempt ended, with a real redis server and real workers."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from frameworks._own import in_short
from support import (
    PATIENCE,
    Ended,
    Record,
    run_program,
    runs,
    start_program,
    wait_until,
    without_our_frames,
    write,
)

rq_worker = pytest.importorskip("rq.worker")
RETRY_IS_RETURNED = hasattr(rq_worker.Worker, "handle_job_retry")  # from 2.1 on

SHOP = '''
import asyncio, os, signal, subprocess, sys, time
from pathlib import Path
import click
from rq import get_current_job
from rq.command import send_stop_job_command
from rq.job import Retry

HOLDS = """
import fcntl, os, sys, time
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
os.write(1, b"1")
time.sleep(3)
"""

class Goods:
    def __init__(self, number): self.number = number
    def count(self): return self.number

class Unloadable:
    def __reduce__(self): return load, ()

def load():
    if "RQ_WORKER_ID" in os.environ: raise RuntimeError("cannot be unpickled")
    return Unloadable()

def is_first(job):
    return job.connection.incr("tried " + job.id) == 1

def returns(word):
    print("returns", word, flush=True)
    return word

def raises(): raise ValueError("no goods")
def exits_3(): sys.exit(3)
def exits_0(): sys.exit(0)
def exits_with_a_text(): sys.exit("a text")
def is_interrupted(): raise KeyboardInterrupt
def is_slow(): time.sleep(600)
def is_stuck(): time.sleep(600)

def is_killed(number=signal.SIGKILL):
    os.kill(os.getpid(), number)
    time.sleep(600)

def is_killed_while_the_home_is_locked():
    folder = os.path.join(os.environ["AUTOTASK_HOME"], "open")
    if os.path.exists(folder):
        command = [sys.executable, "-ISc", HOLDS, folder]
        subprocess.Popen(command, stdout=subprocess.PIPE).stdout.read(1)
    is_killed()

def is_terminated(): is_killed(signal.SIGTERM)
def leaves_at_once(): os._exit(4)
def aborts(): os.abort()

def is_stopped():
    job = get_current_job()
    send_stop_job_command(job.connection, job.id)
    time.sleep(600)

async def is_awaited():
    await asyncio.sleep(0)
    return "awaited"

def returns_a_function(): return lambda: 1
def is_called_back(): return "good"
def broken_callback(job, connection, result): raise LookupError("in the callback")

def fails_once():
    if is_first(get_current_job()): raise OSError(5, "at first")
    return "the second"

def always_fails(): raise OSError(5, "always")

def is_killed_once():
    if is_first(get_current_job()): is_killed()
    return "the second"

def asks_once():
    return Retry(3) if is_first(get_current_job()) else "the second"

def always_asks(): return Retry(1)

@click.command()
@click.argument("word")
def mail(word): raise ValueError(word)

def runs_a_command(): mail.main(["no mail"], standalone_mode=False)
def was_scheduled(): return "late"

def counts_marks():
    return len(list(Path(os.environ["AUTOTASK_HOME"], "open").iterdir()))
'''
WORK = """
import datetime, os, sys, traceback
from redis import Redis
from rq import Queue, Retry, SimpleWorker, Worker
import shop

connection = Redis.from_url(os.environ["RQ_REDIS_URL"])
connection.flushdb()
queue = Queue(connection=connection)
now = datetime.datetime.now(datetime.timezone.utc)
put = []

def enqueue(function, *args, **options):
    name = "{} {}".format(len(put), getattr(function, "__name__", function)).replace(" ", "-")
    put.append(queue.enqueue(function, args=args, job_id=name.replace(".", "-"), **options))
    return put[-1]

def work(kind=Worker, killed=None, **more):
    # The name is in RQ's messages. Once a second a worker looks for a horse that is stuck.
    worker = kind([queue], connection=connection, name="worker", job_monitoring_interval=1,
                  work_horse_killed_handler=killed)
    print(worker.work(burst=True, logging_level="ERROR", log_format="%(message)s", **more))

def tell():
    for job in put:
        job = queue.fetch_job(job.id)
        result = job.latest_result()
        print("---", job.id, job.get_status(), result and result.return_value)
        print(result and result.exc_string)
"""
ALL = (
    WORK
    + """
enqueue(shop.returns, "goods")
enqueue(shop.Goods(3).count)
enqueue(shop.is_awaited)
enqueue(shop.returns_a_function)
enqueue(shop.raises)
enqueue(shop.exits_3)
enqueue(shop.exits_0)
enqueue(shop.exits_with_a_text)
enqueue(shop.is_interrupted)
enqueue(shop.runs_a_command)
enqueue(shop.is_called_back, on_success=shop.broken_callback)
enqueue("shop.is_nowhere")
enqueue("no_such_module.function")
enqueue(shop.returns, shop.Unloadable())
enqueue(shop.returns, shop.Unloadable(), description="an order of goods")
enqueue(shop.is_slow, job_timeout=1)
enqueue(shop.is_stuck, job_timeout=-59)  # RQ kills a horse 60 seconds after its timeout
enqueue(shop.is_killed)
enqueue(shop.is_killed, 35)
enqueue(shop.is_terminated)
enqueue(shop.aborts)
enqueue(shop.leaves_at_once)
enqueue(shop.is_stopped, retry=Retry(2))
enqueue(shop.fails_once, retry=Retry(2))
enqueue(shop.always_fails, retry=Retry(1))
enqueue(shop.is_killed_once, retry=Retry(1))
enqueue(shop.asks_once)
enqueue(shop.always_asks)
put.append(queue.enqueue_at(now - datetime.timedelta(seconds=9), shop.was_scheduled, job_id="at"))
work(with_scheduler=True)
tell()
"""
)
_TOO_LONG = "Task exceeded maximum timeout value (1 seconds)"
# Each task, and its attempts in order: status, reason, exit code, signal, error, attempt.
ENDINGS = {
    "shop.returns": [
        "success 1",
        "failure exception DeserializationError() 1",
    ],
    "count": ["success 1"],  # RQ knows no more of a method
    "shop.is_awaited": ["success 1"],
    "shop.returns_a_function": ["success 1"],  # the result only cannot be stored
    "shop.raises": ["failure exception ValueError(no goods) in raises 1"],
    "shop.exits_3": ["failure exit 3 1"],
    "shop.exits_0": ["failure exception SystemExit(0) in exits_0 1"],  # it has failed to RQ
    "shop.exits_with_a_text": ["failure exit 1 SystemExit(a text) in exits_with_a_text 1"],
    "shop.is_interrupted": ["failure interrupted 1"],
    "shop.runs_a_command": ["failure nested ValueError(no mail) in mail 1"],
    "work": ["failure exception ValueError(no mail) in mail"],
    "shop.is_called_back": ["failure exception LookupError(in the callback) in broken_callback 1"],
    "shop.is_nowhere": ["failure exception ValueError(Invalid attribute name: is_nowhere) 1"],
    "no_such_module.function": [
        "failure exception ValueError(Invalid attribute name: no_such_module.function) 1"
    ],
    "<DeserializationError>": ["failure exception DeserializationError() 1"],
    "shop.is_slow": [f"failure timeout JobTimeoutException({_TOO_LONG}) in is_slow 1"],
    "shop.is_stuck": ["failure timeout 1"],
    "shop.is_killed": ["failure signal SIGKILL 1", "failure signal SIG35 1"],
    "shop.is_terminated": ["failure signal SIGTERM 1"],
    "shop.aborts": ["failure signal SIGABRT 1"],
    "shop.leaves_at_once": ["failure exit 4 1"],
    "shop.is_stopped": ["failure interrupted"],
    "shop.fails_once": ["retried exception OSError([Errno 5] at first) in fails_once", "success"],
    "shop.always_fails": [
        "retried exception OSError([Errno 5] always) in always_fails",
        "failure exception OSError([Errno 5] always) in always_fails",
    ],
    "shop.is_killed_once": ["retried signal SIGKILL", "success"],
    "shop.asks_once": ["retried exception 1", "success 2"] if RETRY_IS_RETURNED else ["success 1"],
    "shop.always_asks": [
        "retried exception 1",
        "failure exception Retry(exceeded maximum retry attempts (1)) 2",
    ]
    if RETRY_IS_RETURNED
    else ["success 1"],
    "shop.was_scheduled": ["success 1"],
}
SIMPLE = (
    WORK
    + """
enqueue(shop.returns, "goods")
enqueue(shop.raises)
enqueue(shop.exits_3)
enqueue(shop.is_slow, job_timeout=1)
enqueue(shop.fails_once, retry=Retry(2))
work(SimpleWorker)
queue = Queue(connection=connection, is_async=False)
enqueue(shop.returns, "at once")
enqueue(shop.raises)
enqueue(shop.exits_0)
tell()
"""
)
SPAWN = (
    WORK
    + """
import rq.worker
for job in (shop.returns, "goods"), (shop.raises,), (shop.is_killed,), (shop.leaves_at_once,):
    enqueue(*job)
work(rq.worker.SpawnWorker)
tell()
"""
)
MANY = (
    WORK
    + """
for number in range(60):
    enqueue(shop.returns, str(number))
enqueue(shop.counts_marks)
work()
print(queue.fetch_job(put[-1].id).latest_result().return_value)
"""
)
LATE = (
    WORK
    + """
job = enqueue(shop.returns, "goods")
job.enqueued_at -= datetime.timedelta(seconds=1000)
job.save()
work()
"""
)
_CHANGING = re.compile(r" at 0x[0-9a-f]+|waitpid returned \d+|\b[0-9a-f]{32}\b")


@pytest.fixture
def shop(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the jobs into a folder of a test, whose programs find the redis server."""
    monkeypatch.setenv("RQ_REDIS_URL", redis_url)  # the command `rq` reads it as well
    write(tmp_path / "shop.py", SHOP)
    return tmp_path


def work(shop: Path, program: str) -> Ended:
    """Run a program bare and with the agent; fail if the two differ."""
    write(shop / "work.py", program)
    bare, ended = (_run(shop, under) for under in ("bare", "path"))
    assert _plain(ended) == _plain(bare)
    return ended


def _run(shop: Path, under: str) -> Ended:
    return run_program("work.py", cwd=shop, under="path" if under == "path" else "bare")


def _plain(ended: Ended) -> Ended:
    texts = (without_our_frames(text) for text in (ended.stdout, ended.stderr))
    return Ended(ended.status, *(_CHANGING.sub("", text) for text in texts))


def endings(found: list[Record]) -> dict[str, list[str]]:
    """Write how the runs of each task ended, in the order of their starts."""
    told: dict[str, list[str]] = {}
    for run in found:
        words = [run["status"]]
        words += [str(run[key]) for key in ("reason", "exit_code", "signal") if key in run]
        error = run.get("error")
        if error:
            words.append(f"{error['type']}({error['message']})")
            words += [f"in {_function(error['where'])}"] if error.get("where") else []
        words += [str(run["attempt"])] if "attempt" in run else []
        told.setdefault(run["task"], []).append(" ".join(words))
    return told


def _function(where: str) -> str:
    """Name the function of the jobs that has the line `file:line`."""
    file, _, line = where.rpartition(":")
    assert file.endswith("/shop.py"), where
    return str(re.findall(r"def (\w+)", "\n".join(SHOP.splitlines()[: int(line)]))[-1])


def test_each_attempt_of_a_job_is_a_run_that_ends_as_rq_says(shop: Path, home: Path) -> None:
    work(shop, ALL)
    (program, *found) = runs(home)
    assert endings(found) == ENDINGS
    assert {run["parent"] for run in found if run["framework"] == "rq"} == {program["run"]}
    assert all(0 <= run["waited"] < PATIENCE for run in found if run["framework"] == "rq")


def test_a_worker_without_a_horse_and_a_queue_without_a_worker_perform_jobs_too(
    shop: Path, home: Path
) -> None:
    work(shop, SIMPLE)
    (_, *found) = runs(home)
    assert endings(found) == {
        "shop.returns": ["success 1", "success"],
        "shop.raises": [
            "failure exception ValueError(no goods) in raises 1",
            "failure exception ValueError(no goods) in raises",
        ],
        "shop.exits_3": ["failure exit 3 1"],
        "shop.exits_0": ["failure exception SystemExit(0) in exits_0"],
        "shop.is_slow": ENDINGS["shop.is_slow"],
        "shop.fails_once": ENDINGS["shop.fails_once"],
    }
    assert [run["task"] for run in found if "waited" not in run] == [
        *("shop.returns", "shop.raises", "shop.exits_0")
    ]


@pytest.mark.skipif(not hasattr(rq_worker, "SpawnWorker"), reason="since RQ 2.2")
def test_a_horse_that_is_a_new_process_is_seen_as_well(shop: Path, home: Path) -> None:
    work(shop, SPAWN)
    (program, *found) = runs(home)
    assert endings(found) == {
        task: ENDINGS[task][:1]
        for task in ("shop.returns", "shop.raises", "shop.is_killed", "shop.leaves_at_once")
    }
    assert {run["parent"] for run in found} == {program["run"]}


def test_a_job_has_waited_since_it_was_queued(shop: Path, home: Path) -> None:
    work(shop, LATE)
    (job,) = (run for run in runs(home) if run["framework"] == "rq")
    assert 1000 <= job["waited"] < 1000 + PATIENCE


def test_horses_that_have_ended_leave_no_marks(shop: Path, home: Path) -> None:
    write(shop / "work.py", MANY)
    ended = run_program("work.py", cwd=shop)
    assert ended.stdout.split()[-1] == "2", ended  # of the worker, and of the job that counts
    assert len(runs(home)) == 62
    assert list((home / "open").iterdir()) == []


LOCKED = (
    WORK
    + """
def tell_death(job, pid, status, usage): print("killed by signal", status, flush=True)

enqueue(shop.is_killed_while_the_home_is_locked)
work(killed=tell_death)
"""
)


def test_a_home_that_is_locked_hides_no_death_from_a_worker(shop: Path, home: Path) -> None:
    work(shop, LOCKED)


@contextmanager
def serving(shop: Path, command: str, job: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server of RQ's under autotask-run, and queue one job; in the end stop it."""
    ask = f"""
    import os
    from redis import Redis
    from rq import Queue
    connection = Redis.from_url(os.environ["RQ_REDIS_URL"])
    connection.flushdb()
    Queue(connection=connection).enqueue({job!r})
    """
    asked = run_program(write(shop / "ask.py", ask), cwd=shop, under="bare")
    assert asked.status == 0, asked
    rq, env = Path(sysconfig.get_path("scripts")) / "rq", {"PYTHONPATH": str(shop)}
    server = start_program(rq, command, cwd=shop, under="launcher", env=env)
    try:
        yield server
    finally:
        while server.poll() is None:  # takes no notice of a second signal within a second
            server.terminate()
            with suppress(subprocess.TimeoutExpired):
                server.wait(0.3)


def has(home: Path, run: str) -> bool:
    return run in in_short(runs(home))


@pytest.mark.parametrize("command", ["worker", "worker-pool"])
def test_a_worker_that_is_stopped_has_succeeded(shop: Path, home: Path, command: str) -> None:
    with serving(shop, command, "shop.is_called_back") as server:
        wait_until(lambda: has(home, f"shop.is_called_back success in rq.{command}"))
        server.terminate()
        assert server.wait(PATIENCE) == 0
    assert has(home, "rq success")
    assert has(home, f"rq.{command} success in rq")


def test_a_worker_that_is_stopped_twice_interrupts_its_job(shop: Path, home: Path) -> None:
    with serving(shop, "worker", "shop.is_slow"):
        wait_until(lambda: has(home, "shop.is_slow running in rq.worker"))
    assert has(home, "shop.is_slow failure interrupted in rq.worker")
    assert has(home, "rq.worker success in rq")
