"""Dramatiq: each attempt at a message, and how it ended, whoever saw that.

One process with the stub broker has all endings but those of whole processes: these have the
command line, real worker processes, and redis.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from redis_server import redis_server
from support import (
    Ended,
    Record,
    Under,
    run_program,
    runs,
    start_program,
    wait_until,
    without_our_frames,
    write,
)

dramatiq = pytest.importorskip("dramatiq")

# Each row is an actor: its body under its decorator's options, and its runs: status, reason, exit
# code, type of the error, and the attempt.
ROWS = {
    "success": ("", "pass", ["success #1"]),
    "success_with_a_value": ("", "return 7", ["success #1"]),
    "exception": ("max_retries=0", "raise ValueError('x')", ["failure exception ValueError #1"]),
    "retried": (
        "max_retries=2, min_backoff=1, max_backoff=1",
        "raise ValueError('x')",
        [
            "retried exception ValueError #1",
            "retried exception ValueError #2",
            "failure exception ValueError #3",
        ],
    ),
    "retried_once": (
        "max_retries=2, min_backoff=1, max_backoff=1",
        "if first('retried_once'): raise KeyError('x')",
        ["retried exception KeyError #1", "success #2"],
    ),
    "retry": (
        "max_retries=2",
        "if first('retry'): raise dramatiq.Retry('not yet', delay=1)",
        ["retried exception Retry #1", "success #2"],
    ),
    "retry_when": (
        "retry_when=lambda retries, exc: False",
        "raise OSError('x')",
        ["failure exception OSError #1"],
    ),
    "throws": ("throws=LookupError", "raise KeyError('x')", ["failure exception KeyError #1"]),
    "rate_limit": (
        "max_retries=1, min_backoff=1, max_backoff=1",
        "raise RateLimitExceeded('too many')",
        ["retried exception RateLimitExceeded #1", "failure exception RateLimitExceeded #2"],
    ),
    # Dramatiq holds each SystemExit for an error.
    "exit_0": ("max_retries=0", "raise SystemExit(0)", ["failure exception SystemExit #1"]),
    "exit_3": ("max_retries=0", "raise SystemExit(3)", ["failure exit 3 #1"]),
    "exit_text": ("max_retries=0", "raise SystemExit('no')", ["failure exit 1 SystemExit #1"]),
    "exit_retried": (
        "max_retries=1, min_backoff=1, max_backoff=1",
        "raise SystemExit(4)",
        ["retried exit 4 #1", "failure exit 4 #2"],
    ),
    "interrupt": ("max_retries=0", "raise KeyboardInterrupt", ["failure interrupted #1"]),
    "time_limit": (
        "max_retries=0, time_limit=100",
        "hang()",
        ["failure timeout TimeLimitExceeded #1"],
    ),
    "time_limit_retried": (
        "max_retries=2, min_backoff=1, max_backoff=1, time_limit=100",
        "if first('time_limit_retried'): hang()",
        ["retried timeout TimeLimitExceeded #1", "success #2"],
    ),
    "time_limit_caught": (
        "time_limit=100",
        """
            try: hang()
            except TimeLimitExceeded: print("tidied up")
        """,
        ["success #1"],
    ),
    "age_limit": ("max_age=1", "print('never')", ["skipped expired #1"]),
    "skipped_by_middleware": ("", "print('never')", ["skipped #1"]),
    "skipped_by_itself": ("", "raise SkipMessage('not today')", ["skipped #1"]),
    "rejected_by_middleware": ("", "print('never')", ["failure rejected #1"]),
    "chained": (
        "max_retries=0",
        """
            try: 1 / 0
            except ZeroDivisionError as problem: raise KeyError("gone") from problem
        """,
        ["failure exception KeyError #1"],
    ),
    "passes_on": (
        "max_retries=0",
        "command(['--fail'], standalone_mode=False)",
        ["failure nested ValueError #1"],
    ),
    "catches": (
        "",
        """
            try: command(["--fail"], standalone_mode=False)
            except ValueError: print("so what")
        """,
        ["success #1"],
    ),
    "calls": ("", "success()", ["success #1"]),
    "delayed": ("", "pass", ["success #1"]),
    "with_arguments": ("", "print(*args, **kwargs)", ["success #1"]),
}
# These have an actor of their own in the program.
MORE = {
    "Generic": ["success #1"],
    "another-name": ["success #1"],
    "piped": ["success #1"],
    "target": ["success #1"],
    "without_retries": ["failure exception ValueError #1"],
    "exit_without_retries": ["success #1"],
    "nobody": ["failure usage #1"],
}
if sys.version_info >= (3, 10):  # and Dramatiq 1.15
    MORE["coroutine"] = ["success #1"]
    MORE["coroutine_fails"] = ["failure exception ValueError #1"]
    MORE["coroutine_hangs"] = ["failure timeout TimeLimitExceeded #1"]

SHOP = """
import logging, os, sys, threading, time
import click, dramatiq
from dramatiq import RateLimitExceeded, middleware
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import SkipMessage
from dramatiq.middleware.time_limit import TimeLimit, TimeLimitExceeded

class Own(middleware.Middleware):
    def before_process_message(self, broker, message):
        if message.actor_name == "skipped_by_middleware": raise SkipMessage("not today")
        if message.actor_name == "rejected_by_middleware": message.fail()
    def after_skip_message(self, broker, message): print("skipped", message.actor_name)
    def after_nack(self, broker, message): print("nack", message.actor_name)
    def after_ack(self, broker, message): print("ack", message.actor_name)
    def after_process_message(self, broker, message, *, result=None, exception=None):
        if exception is not None: print(message.actor_name, "raised", repr(exception))

kinds = [kind for kind in middleware.default_middleware if kind.__name__ != "Prometheus"]
stack = [TimeLimit(interval=20) if kind is TimeLimit else kind() for kind in kinds]
if hasattr(middleware, "AsyncIO"):
    stack.append(middleware.AsyncIO())
broker = StubBroker(middleware=[*stack, Own()])
poor = StubBroker(middleware=[Own()])
dramatiq.set_broker(broker)
for known in (broker, poor):
    known.emit_after("process_boot")

seen = set()
def first(name):
    if name in seen: return False
    seen.add(name)
    return True
def hang():
    while True: time.sleep(0.01)
@click.command()
@click.option("--fail", is_flag=True)
def command(fail):
    if fail: raise ValueError("in the command")

{actors}

class Generic(dramatiq.GenericActor):
    class Meta: max_retries = 0
    def perform(self): print("generic")
@dramatiq.actor(actor_name="another-name")
def named(): pass
@dramatiq.actor
def piped(): return 5
@dramatiq.actor
def target(value): print("got", value)
@dramatiq.actor(broker=poor)
def without_retries(): raise ValueError("x")
@dramatiq.actor(broker=poor)
def exit_without_retries(): raise SystemExit
if hasattr(middleware, "AsyncIO"):
    import asyncio
    @dramatiq.actor(max_retries=0)
    async def coroutine():
        await asyncio.sleep(0)
        command([], standalone_mode=False)
    @dramatiq.actor(max_retries=0)
    async def coroutine_fails(): raise ValueError("x")
    @dramatiq.actor(max_retries=0, time_limit=100)
    async def coroutine_hangs(): await asyncio.sleep(60)

def send(name, broker):
    if name in ("nobody", "target"): return
    actor = broker.get_actor(name)
    if name == "delayed": actor.send_with_options(delay=200)
    elif name == "piped": (actor.message() | broker.get_actor("target").message()).run()
    elif name == "with_arguments": actor.send("secret", end="!\\n")
    else: actor.send()

if __name__ == "__main__":
    for known in (broker, poor):
        for name in sorted(known.get_declared_actors()):
            send(name, known)
    unknown = dict(queue_name="default", actor_name="nobody", args=(), kwargs={}, options={})
    broker.enqueue(dramatiq.Message(**unknown))
    time.sleep(0.01)
    for known in (broker, poor):
        worker = dramatiq.Worker(known, worker_timeout=20, worker_threads=1)
        worker.start()
        known.join("default", fail_fast=False)
        worker.join()
        worker.stop()
    print(success(), command.callback(fail=False))
"""


@dataclass
class Seen:
    """What a program did bare and under the agent, and its runs."""

    bare: Ended
    ours: Ended
    runs: list[Record]

    def of(self, task: str) -> list[Record]:
        return [run for run in self.runs if run["task"] == task]


def in_short(run: Record) -> str:
    """Write a run in short: status, reason, exit code, signal, type of the error, attempt."""
    words = [run["status"], *(str(run[key]) for key in WORDS if key in run)]
    words += [run["error"]["type"]] if "error" in run else []
    words += [f"#{run['attempt']}"] if "attempt" in run else []
    return " ".join(words)


WORDS = ("reason", "exit_code", "signal")


def actors() -> str:
    """Write the actors of the table."""
    return "\n".join(
        f"@dramatiq.actor({options})\ndef {name}(*args, **kwargs):\n"
        + textwrap.indent(textwrap.dedent(body).strip(), "    ")
        for name, (options, body, _) in ROWS.items()
    )


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run the program with all endings, bare and under the agent."""
    folder = tmp_path_factory.mktemp("stub")
    shop = write(folder / "shop.py", SHOP.replace("{actors}", actors()))
    bare = run_program(shop, under="bare")
    env = {"AUTOTASK_HOME": str(folder / "home"), "AUTOTASK_DEBUG": str(folder / "debug")}
    ours = run_program(shop, env=env)
    assert "swallowed" not in (folder / "debug").read_text()
    return Seen(bare, ours, runs(folder / "home"))


def test_a_worker_does_the_same_as_without_the_agent(stub: Seen) -> None:
    assert stub.ours.status == stub.bare.status == 0
    assert sorted(stub.ours.stdout.splitlines()) == sorted(stub.bare.stdout.splitlines())
    ours = [plain(stub.ours.stderr), plain(stub.bare.stderr)]
    assert ours[0] == ours[1]


def plain(text: str) -> list[str]:
    """Return the lines of logs and tracebacks without what differs each time, sorted.

    An actor can be interrupted anywhere in what waits for it.
    """
    lines = (_ID.sub("-", line) for line in without_our_frames(text).splitlines())
    return sorted(line for line in lines if not line.startswith("    ") and not _WAITS.match(line))


_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|0x[0-9a-f]+|\d{6,}")
_WAITS = re.compile(r'  File ".*/(?:concurrent/futures/|threading|dramatiq/asyncio)')


@pytest.mark.parametrize("name", [*ROWS, *MORE])
def test_each_attempt_is_a_run(name: str, stub: Seen) -> None:
    if name.startswith("coroutine") and not hasattr(dramatiq.middleware, "AsyncIO"):
        pytest.skip("before 1.15 an actor is no coroutine")
    expected = ROWS[name][2] if name in ROWS else MORE[name]
    if name == "success":  # `calls` calls it directly, and so does the program: no runs
        assert len(stub.of(name)) == 1
    assert [in_short(run) for run in stub.of(name)] == expected
    (process,) = stub.of("shop.py")
    for run in stub.of(name):
        assert (run["framework"], run["parent"]) == ("dramatiq", process["run"])


def test_what_a_task_runs_is_under_it(stub: Seen) -> None:
    commands = [run for run in stub.runs if run["framework"] == "click"]
    by_id = {run["run"]: run for run in stub.runs}
    asked = {by_id[run["parent"]]["task"]: run for run in commands}
    (nested,) = stub.of("passes_on")
    assert nested["caused_by"] == asked["passes_on"]["run"]
    assert {"passes_on", "catches"} <= set(asked)
    if stub.of("coroutine"):
        assert asked["coroutine"]["status"] == "success"


def test_an_error_is_where_the_actor_raised_it(stub: Seen) -> None:
    for name in ("exception", "throws", "without_retries", "time_limit"):
        file, _, line = stub.of(name)[-1]["error"]["where"].rpartition(":")
        assert (Path(file).name, line.isdigit()) == ("shop.py", True)


def test_the_waiting_is_known_unless_a_message_was_held_back_elsewhere(stub: Seen) -> None:
    assert all(0 <= run["waited"] < 60 for run in stub.runs if run["framework"] == "dramatiq")
    (delayed,) = stub.of("delayed")
    (age,) = stub.of("age_limit")
    assert delayed["waited"] < 0.2 or delayed["waited"] < age["waited"] + 60


def test_arguments_and_messages_are_not_recorded(stub: Seen) -> None:
    assert "secret" in stub.ours.stdout
    assert "secret" not in json.dumps(stub.runs)


SHOP_OF_PROCESSES = """
import os, signal, sys, time
import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware.shutdown import Shutdown

broker = RedisBroker(url=os.environ["SHOP_REDIS"])
dramatiq.set_broker(broker)
def tell(text):
    with open("told", "a") as file: file.write(text + "\\n")
    print(text, flush=True)
@dramatiq.actor
def success(): tell("success")
@dramatiq.actor(max_retries=1, min_backoff=1, max_backoff=1)
def retried(): tell("retried"); raise ValueError("x")
@dramatiq.actor
def delayed(): tell("delayed")
@dramatiq.actor(notify_shutdown=True)
def interrupted():
    tell("interrupted")
    try:
        while True: time.sleep(0.01)
    except Shutdown:
        tell("tidied up")
        raise
@dramatiq.actor
def killed(): tell("killed"); os.kill(os.getpid(), signal.SIGKILL)
@dramatiq.actor
def quick_exit(): tell("quick_exit"); os._exit(4)
"""


# What a case sends to the workers, the status in the end, and all runs: those of actors as above.
# What is sent last stops them; without it, SIGTERM does.
CASES = {
    "stopped": (
        ("success", "retried", "delayed", "interrupted"),
        0,
        [
            "delayed success #1",
            "dramatiq success",
            "interrupted retried interrupted #1",
            "retried failure exception ValueError #2",
            "retried retried exception ValueError #1",
            "success success #1",
        ],
    ),
    "killed": (
        ("success", "killed"),
        1,
        ["dramatiq failure exit 1", "killed failure signal SIGKILL #1", "success success #1"],
    ),
    "quick_exit": (
        ("success", "quick_exit"),
        4,
        ["dramatiq failure exit 4", "quick_exit failure exit 4 #1", "success success #1"],
    ),
}
WANTED: list[tuple[str, Under]] = [(case, under) for case in CASES for under in ("bare", "path")]
WANTED.append(("stopped", "launcher"))


class Workers:
    """The processes of the command line, in a folder and a database of their own."""

    def __init__(self, folder: Path, redis: str, under: Under, case: str) -> None:
        self.told = write(folder / "told", "")
        self.home, self.log = folder / "home", folder / "log"
        self._redis = redis
        self._case = case
        write(folder / "shop.py", SHOP_OF_PROCESSES)
        environ = {"SHOP_REDIS": redis, "AUTOTASK_HOME": str(self.home), "AUTOTASK_DEBUG": None}
        with self.log.open("wb") as log:
            self.process = start_program(
                *("-m", "dramatiq", "shop", "--processes=2", "--threads=2"),
                under=under,
                cwd=folder,
                env=environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def work(self) -> None:
        """Let them do all that the case has.

        Not before all of them are ready: the main process waits forever for one that is killed
        while it says so.
        """
        wait_until(lambda: self.log.read_text().count("Worker process is ready") == 2)
        for name in CASES[self._case][0]:
            self._send(name)
            wait_until(partial(self._has_told, name, 2 if name == "retried" else 1))
        if self._case == "stopped":
            self.process.terminate()

    def _send(self, name: str) -> None:
        from dramatiq.brokers.redis import RedisBroker

        broker = RedisBroker(url=self._redis, middleware=[])  # type: ignore[no-untyped-call]
        broker.declare_queue("default")
        message = dramatiq.Message(
            queue_name="default", actor_name=name, args=(), kwargs={}, options={}
        )
        broker.enqueue(message, delay=100 if name == "delayed" else None)
        broker.close()
        broker.client.connection_pool.disconnect()

    def _has_told(self, name: str, times: int) -> bool:
        return self.told.read_text().splitlines().count(name) == times


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, Under], Workers]]:
    """Start the workers of all cases at the same time: they sleep most of it."""
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        made = {}
        try:
            for number, (case, under) in enumerate(WANTED):
                folder = tmp_path_factory.mktemp(f"{case}-{under}")
                own = f"{url.rpartition('/')[0]}/{number}"
                made[case, under] = Workers(folder, own, under, case)
            for one in made.values():
                one.work()
            for one in made.values():
                one.process.wait()
            yield made
        finally:
            for one in made.values():
                with suppress(ProcessLookupError):
                    os.killpg(one.process.pid, signal.SIGKILL)
                one.process.wait()


@pytest.mark.parametrize(("case", "under"), WANTED)
def test_the_main_process_knows_how_its_processes_end(
    case: str, under: Under, workers: dict[tuple[str, Under], Workers]
) -> None:
    own = workers[case, under]
    _, status, expected = CASES[case]
    assert own.process.returncode == status, own.log.read_text()
    assert own.told.read_text() == workers[case, "bare"].told.read_text()
    if under == "bare":
        return
    found = runs(own.home)
    assert sorted(f"{run['task']} {in_short(run)}" for run in found) == expected
    (main,) = (run for run in found if run["task"] == "dramatiq")
    assert {run["parent"] for run in found if run is not main} == {main["run"]}
    assert not list((own.home / "open").iterdir())
