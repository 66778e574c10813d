"""Huey: which tasks ran, and how they ended, in a plain process and in its consumer."""

from __future__ import annotations

import inspect
import re
import signal
import sysconfig
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

api = pytest.importorskip("huey.api")

# In 2.4.0 an exception like others, later one of its own.
KNOWS_CANCEL = "except CancelExecution as" in inspect.getsource(api.Huey._execute)
HAS_LIMITS = hasattr(api.Huey, "rate_limit")  # from 3.0 on, as time-outs

SHOP = """
import os, signal, sys, time
from huey import CancelExecution, RetryTask, SqliteHuey, crontab

huey = SqliteHuey("shop", filename="shop.db")

@huey.task()
def returns(word):
    print("returns", word, flush=True)
    return word

@huey.task()
def raises(): raise ValueError("no goods")

@huey.task()
def exits_3(): sys.exit(3)

@huey.task()
def exits_0(): sys.exit()

@huey.task()
def exits_with_a_text(): sys.exit("a text")

@huey.task()
def is_interrupted(): raise KeyboardInterrupt

@huey.task()
def returns_a_function(): return lambda: 1

@huey.task()
def is_slow(): time.sleep(600)

@huey.task()
def is_killed(number=signal.SIGKILL):
    os.kill(os.getpid(), number)
    time.sleep(600)

@huey.task(retries=1)
def always_fails(): raise OSError(5, "always")

@huey.task(retries=1)
def asks_once():
    if not os.path.exists("asked"):
        open("asked", "w").close()
        raise RetryTask()

@huey.task()
def cancels(): raise CancelExecution()

@huey.task()
@huey.lock_task("the till")
def is_locked(): pass

@huey.task(retries=1)
@huey.lock_task("the till")
def is_locked_twice(): pass

@huey.task(name="other-name")
def named(): pass

@huey.task()
def calls(): return huey.execute(raises.s())

@huey.periodic_task(crontab(minute="*"))
def nightly(): print("nightly", flush=True)

@huey.task()
def is_refused(): print("never")

@huey.pre_execute()
def refuse(task):
    if task.name == "is_refused": raise CancelExecution()

if hasattr(huey, "rate_limit"):
    @huey.task()
    @huey.rate_limit("door", 1, 600, retry=False)
    def is_limited(): pass

    @huey.task(timeout=0.01, context=True)
    def is_late(task):
        time.sleep(0.02)
        task.check_timeout()

"""
WORK = """
import datetime, os, sys
for name in ("shop.db", "asked"):
    if os.path.exists(name): os.remove(name)
import shop
from shop import huey

def work():
    while True:
        task = huey.dequeue()
        if task is None: return
        try:
            print(task.name, "gives", huey.execute(task), flush=True)
        except BaseException as problem:
            print(task.name, "raises", repr(problem), flush=True)

shop.returns("goods")
for name in "raises exits_3 exits_0 exits_with_a_text is_interrupted returns_a_function".split():
    getattr(shop, name)()
for name in "always_fails asks_once cancels is_refused named calls".split():
    getattr(shop, name)()
work()
with huey.lock_task("the till"):
    shop.is_locked()
    shop.is_locked_twice()
    work()
if hasattr(huey, "rate_limit"):
    shop.is_limited()
    shop.is_limited()
    shop.is_late()
    work()
shop.returns("no").revoke()
huey.enqueue(shop.returns.s("old", expires=datetime.datetime(2020, 1, 1)))
work()
for task in huey.read_periodic(datetime.datetime.now()): huey.enqueue(task)
work()
scheduled = shop.returns.schedule(("late",), eta=datetime.datetime(2020, 1, 1))
work()
huey.immediate = True
print("at once:", shop.returns("at once").get())
shop.always_fails()  # its second attempt is inside the first
"""
# Each task, and its runs in order: status, reason, exit code, error and where it comes from.
ENDINGS = {
    "shop.returns": ["success", "skipped revoked", "skipped expired", "success", "success"],
    "shop.raises": [
        "failure exception ValueError(no goods) in raises",
        "failure exception ValueError(no goods) in raises",
    ],
    "shop.exits_3": ["failure exit 3"],
    "shop.exits_0": ["success"],
    "shop.exits_with_a_text": ["failure exit 1 SystemExit(a text) in exits_with_a_text"],
    "shop.is_interrupted": ["failure interrupted"],
    "shop.returns_a_function": ["failure exception"],
    "shop.always_fails": [
        "retried exception OSError([Errno 5] always) in always_fails",
        "failure exception OSError([Errno 5] always) in always_fails",
    ]
    * 2,
    "shop.asks_once": ["retried exception", "success"],
    "shop.cancels": ["skipped canceled"]
    if KNOWS_CANCEL
    else ["failure exception CancelExecution() in cancels"],
    "shop.is_refused": ["skipped canceled"],
    "shop.other-name": ["success"],
    "shop.calls": ["success"],  # Huey has caught what the other one has raised
    "shop.is_locked": ["skipped locked"],
    "shop.is_locked_twice": ["skipped locked", "skipped locked"],
    "shop.nightly": ["success"],
    **({"shop.is_limited": ["success", "skipped rate_limited"]} if HAS_LIMITS else {}),
    **({"shop.is_late": ["failure timeout"]} if HAS_LIMITS else {}),
}
_CHANGING = re.compile(r" at 0x[0-9a-f]+|\b[0-9a-f]{8}-[0-9a-f-]{27}\b")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Write the tasks into the folder of a test."""
    write(tmp_path / "shop.py", SHOP)
    return tmp_path


def endings(found: list[Record]) -> dict[str, list[str]]:
    """Write how the runs of each task ended, in the order of their starts."""
    told: dict[str, list[str]] = {}
    for run in found:
        words = [run["status"]]
        words += [str(run[key]) for key in ("reason", "exit_code", "signal") if key in run]
        error = run.get("error")
        if error and run["task"] != "shop.returns_a_function":  # pickle's texts differ
            words.append(f"{error['type']}({error['message']})")
            words.append(f"in {_function(error['where'])}")
        told.setdefault(run["task"], []).append(" ".join(words))
    return told


def _function(where: str) -> str:
    """Name the function of the tasks that has the line `file:line`."""
    file, _, line = where.rpartition(":")
    assert file.endswith("/shop.py"), where
    return str(re.findall(r"def (\w+)", "\n".join(SHOP.splitlines()[: int(line)]))[-1])


def _plain(ended: Ended) -> Ended:
    texts = (without_our_frames(text) for text in (ended.stdout, ended.stderr))
    return Ended(ended.status, *(_CHANGING.sub("", text) for text in texts))


def test_each_execution_of_a_task_is_a_run_that_ends_as_huey_says(shop: Path, home: Path) -> None:
    write(shop / "work.py", WORK)
    bare = run_program("work.py", cwd=shop, under="bare")
    ended = run_program("work.py", cwd=shop)
    assert _plain(ended) == _plain(bare)
    (_, *found) = runs(home)
    assert endings(found) == ENDINGS
    assert "shop.raises failure exception ValueError in shop.calls" in in_short(runs(home))
    (waited,) = (run["waited"] for run in found if "waited" in run)
    assert waited > 100_000_000  # due in 2020


class Consumer:
    """Huey's consumer in a process of its own, until it is stopped."""

    def __init__(self, shop: Path, home: Path, *options: str) -> None:
        self.shop, self.home = shop, home
        command = Path(sysconfig.get_path("scripts")) / "huey_consumer"
        words = ("shop.huey", "-n", *options)
        with open(shop / "consumer.log", "wb") as log:
            self.process = start_program(command, *words, cwd=shop, stdout=log, stderr=log)

    def __enter__(self) -> Consumer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.process.terminate()  # its worker processes end with it
        self.process.wait(PATIENCE)

    def ask(self, *tasks: str) -> None:
        """Queue tasks from another process."""
        lines = "".join(f"shop.{task}\n" for task in tasks)
        write(self.shop / "ask.py", f"import shop\n{lines}")
        assert run_program("ask.py", cwd=self.shop, under="bare").status == 0

    def seen(self) -> list[str]:
        """Return how its runs have ended so far, in short."""
        return sorted(run.replace(" in huey_consumer", "") for run in in_short(runs(self.home)))

    def stop(self, number: int) -> list[str]:
        """Stop it with a signal; return how all has ended."""
        self.process.send_signal(number)
        assert self.process.wait(PATIENCE) == 0, (self.shop / "consumer.log").read_text()
        return self.seen()


def test_threads_of_a_consumer(shop: Path, home: Path) -> None:
    with Consumer(shop, home, "-k", "thread", "-w", "3") as consumer:
        consumer.ask("returns('goods')", "exits_3()", "is_slow()")
        ended = ["shop.exits_3 failure exit 3", "shop.returns success"]
        wait_until(lambda: consumer.seen()[1:] == [ended[0], "shop.is_slow running", ended[1]])
        assert consumer.stop(signal.SIGTERM) == [
            *("huey_consumer success", ended[0], "shop.is_slow failure interrupted", ended[1])
        ]


def test_processes_of_a_consumer(shop: Path, home: Path) -> None:
    with Consumer(shop, home, "-k", "process", "-w", "3", "-c", "1") as consumer:
        consumer.ask("returns('goods')", "is_killed()", "is_killed(35)", "is_slow()")
        ended = [
            "shop.is_killed failure signal SIG35",
            "shop.is_killed failure signal SIGKILL",
            "shop.returns success",
        ]
        wait_until(lambda: consumer.seen()[1:] == sorted([*ended, "shop.is_slow running"]))
        assert consumer.stop(signal.SIGTERM) == sorted(
            ["huey_consumer success", *ended, "shop.is_slow failure interrupted"]
        )


@pytest.mark.skipif(not HAS_LIMITS, reason="Huey 2 does not stop its greenlets")
def test_greenlets_of_a_consumer(shop: Path, home: Path) -> None:
    pytest.importorskip("gevent")
    with Consumer(shop, home, "-k", "greenlet", "-w", "3") as consumer:
        consumer.ask("returns('goods')", "raises()", "always_fails()")
        ended = [
            "shop.always_fails failure exception OSError",
            "shop.always_fails retried exception OSError",
            "shop.raises failure exception ValueError",
            "shop.returns success",
        ]
        wait_until(lambda: consumer.seen()[1:] == ended)
        assert consumer.stop(signal.SIGINT) == ["huey_consumer success", *ended]
