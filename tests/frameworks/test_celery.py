"""Celery: each attempt of a task, in every pool, and how it ended, whoever saw that.

A worker executes all endings of a table, bare and under the agent. A row is a task.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from frameworks._own import same
from redis_server import redis_server
from support import (
    PATIENCE,
    Record,
    Under,
    only_run,
    run_program,
    runs,
    start_program,
    wait_until,
    without_our_frames,
    write,
)

pytest.importorskip("celery")

SHOP = """
import datetime, json, os, signal, sys, threading, time
import click
from celery import Celery, chain, group, signals
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celery.result import AsyncResult

app = Celery("shop")
app.conf.update(json.loads(os.environ["SHOP"]))
READY = ("SUCCESS", "FAILURE", "REVOKED")

def is_first(name):
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True

@app.task
def success(): print("working"); return 7
@app.task
def exception(): raise ValueError("no stock of api_key=hunter2hunter2")
class Odd(Exception):
    def __init__(self, one, two): super().__init__("odd")
@app.task
def odd(): raise Odd(1, two=lambda: 2)
@app.task(bind=True, max_retries=2)
def retried(self):
    try:
        raise KeyError("attempt %d" % self.request.retries)
    except KeyError as problem:
        raise self.retry(exc=problem, countdown=0)
@app.task(bind=True)
def retried_once(self):
    if self.request.retries:
        return self.request.headers
    raise self.retry(countdown=0.2)
@app.task(bind=True)
def retried_odd(self):
    if self.request.retries:
        return "even"
    try:
        raise Odd(1, two=lambda: 2)
    except Odd as problem:
        raise self.retry(exc=problem, countdown=0)
@app.task(bind=True, max_retries=1)
def retried_for_its_class(self):
    try:
        raise KeyError("no class")
    except KeyError:
        raise self.retry(exc=KeyError, countdown=0)
@app.task(bind=True, max_retries=1)
def retried_for_a_class(self): raise self.retry(exc=LookupError, countdown=0)
@app.task(bind=True, max_retries=0)
def no_more(self): raise self.retry()
@app.task(bind=True, autoretry_for=(OSError,), retry_backoff=False, default_retry_delay=0)
def autoretried(self):
    if not self.request.retries:
        raise OSError("not yet")
@app.task
def ignored(): raise Ignore()
@app.task
def rejected(): raise Reject("no such article", requeue=False)
@app.task
def rejected_for():
    try:
        1 / 0
    except ZeroDivisionError as problem:
        raise Reject(problem)
@app.task(acks_late=True)
def requeued():
    if is_first("requeued"):
        raise Reject("not here", requeue=True)
@app.task(soft_time_limit=0.3)
def soft(): time.sleep(PATIENCE)
@app.task(soft_time_limit=0.3)
def soft_caught():
    try:
        time.sleep(PATIENCE)
    except SoftTimeLimitExceeded:
        return "tidied up"
@app.task(bind=True, soft_time_limit=0.3)
def soft_retried(self):
    if not self.request.retries:
        try:
            time.sleep(PATIENCE)
        except SoftTimeLimitExceeded as problem:
            raise self.retry(exc=problem, countdown=0)
@app.task(time_limit=0.5)
def hard(): time.sleep(PATIENCE)
@app.task(time_limit=0.5)
def hard_stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(PATIENCE)
@app.task(time_limit=0.5, acks_late=True, acks_on_failure_or_timeout=False)
def hard_requeued():
    if is_first("hard_requeued"):
        time.sleep(PATIENCE)
@app.task
def exit_0(): sys.exit()
@app.task
def exit_3(): sys.exit(3)
@app.task
def exit_text(): sys.exit("no more stock")
@app.task
def quick_exit_5(): time.sleep(0.5); os._exit(5)
@app.task
def interrupt(): raise KeyboardInterrupt
def die(number):
    time.sleep(0.5)  # of a child that dies at once, Celery may execute the message twice
    os.kill(os.getpid(), number)
    time.sleep(PATIENCE)
@app.task
def sigkill(): die(signal.SIGKILL)
@app.task
def sigsegv(): die(signal.SIGSEGV)
@app.task
def sigterm(): die(signal.SIGTERM)
@app.task(acks_late=True, reject_on_worker_lost=True)
def lost_requeued():
    if is_first("lost_requeued"):
        die(signal.SIGKILL)
@app.task
def terminated(): is_first("terminated"); time.sleep(PATIENCE)
@app.task
def terminated_hard(): is_first("terminated_hard"); time.sleep(PATIENCE)
@app.task
def revoked(): return "never"
@app.task
def expired(): return "never"
@app.task
def late(): pass
@app.task
def invalid(): return "never"
@app.task
def first(): return 1
@app.task
def second(x): return x + 1
@app.task(bind=True)
def replaced(self): raise self.replace(second.s(7).set(task_id="replacement"))
@app.task
def sub_success(): pass
@app.task
def sub_exception(): raise ValueError("in the sub")
@app.task
def calls(): success(); return exit_0.name
@app.task
def applies(): sub_success.apply(); sub_exception.apply()
@app.task
def applies_and_throws(): sub_exception.apply(throw=True)
@click.command()
def report(): raise LookupError("no report")
@app.task
def command(): report.main([], prog_name="report", standalone_mode=False)
@app.task
def command_caught():
    try:
        report.main([], prog_name="report", standalone_mode=False)
    except LookupError:
        print("so what")
@app.task(bind=True, max_retries=1)
def command_retried(self):
    if not self.request.retries:
        try:
            report.main([], prog_name="report", standalone_mode=False)
        except LookupError as problem:
            raise self.retry(exc=problem, countdown=0)
class Loud(app.Task):
    def __call__(self, *args): print("before"); return super().__call__(*args)
    def after_return(self, *args): print("after")
@app.task(base=Loud)
def loud(): print("loud")
@app.task
def health(): return "not recorded"
@app.task
def pauses(): is_first("pauses"); time.sleep(PATIENCE)

HOW = {
    "late": dict(eta=datetime.datetime(2001, 1, 1, tzinfo=datetime.timezone.utc)),
    "expired": dict(expires=0.001, countdown=0.3),
}

def ask(names):
    for name in names:
        if name in ("terminated", "terminated_hard"):
            app.tasks["shop." + name].apply_async(task_id=name)
            wait(lambda: os.path.exists(name))
            how = "SIGKILL" if name == "terminated_hard" else "SIGTERM"
            app.control.revoke(name, terminate=True, signal=how)
        elif name == "unknown":
            app.send_task("shop.unknown", task_id=name)
        elif name == "invalid":
            invalid.apply_async(task_id=name, headers={"eta": "never"})
        elif name == "chained":
            chain(first.si().set(task_id="first"), second.s().set(task_id=name)).apply_async()
        else:
            if name == "revoked":
                app.control.revoke(name, reply=True, timeout=PATIENCE, limit=1)
            app.tasks["shop." + name].apply_async(task_id=name, **HOW.get(name, {}))

def told(names, silent, is_idle):
    "Wait for the results, as far as there are any, and return them."
    for name in names:
        if name not in silent:
            wait(lambda: app.backend.get_state(name) in READY)
    wait(is_idle)
    return {n: [app.backend.get_state(n), repr(app.backend.get_result(n))] for n in names}

def wait(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "still not so"
        time.sleep(0.02)

def main(is_idle, asks=True):
    names, silent = json.loads(os.environ["ROWS"])
    if asks:
        ask(names)
    results = told(names, silent, is_idle)
    with open("results.json", "w") as file:
        json.dump(results, file)

# kombu reads files that another process has only begun to write: this one writes them before.
@signals.worker_init.connect
def begin(**_):
    if app.conf.broker_url.startswith("filesystem"):
        ask(json.loads(os.environ["ROWS"])[0])

@signals.worker_ready.connect
def ready(**_):
    is_first("ready")
    if "ASKS_ITSELF" in os.environ:
        threading.Thread(target=work).start()

def work():
    from celery.worker import state
    try:
        asks = app.conf.broker_url.startswith("memory")
        main(lambda: not (state.active_requests or state.reserved_requests), asks)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
""".replace("PATIENCE", f"{PATIENCE:.0f}")
ASK = """
import gc, shop
gc.disable()  # a result that is deleted while redis-py holds its lock waits for that for ever
def is_idle():
    inspect = shop.app.control.inspect(timeout=10, limit=1)
    return not any(any((f() or {"": [1]}).values()) for f in (
        inspect.active, inspect.reserved, inspect.scheduled))
shop.main(is_idle)
"""

# The runs of each task, in the order of their starts. #2 is a second attempt.
ANYWHERE = {
    "success": ["success"],
    "exception": ["failure exception ValueError"],
    "retried": [
        "retried exception KeyError",
        "retried exception KeyError #2",
        "failure exception KeyError #3",
    ],
    "retried_once": ["retried exception Retry", "success #2"],
    "no_more": ["failure exception MaxRetriesExceededError"],
    "autoretried": ["retried exception OSError", "success #2"],
    "ignored": ["skipped"],
    "rejected": ["failure rejected Reject"],
    "rejected_for": ["failure rejected ZeroDivisionError"],
    "requeued": ["retried rejected Reject", "success"],
    "expired": ["skipped expired"],
    "unknown": ["failure usage NotRegistered"],
    "invalid": ["failure rejected InvalidTaskError"],
    "late": ["success"],
    "chained": [],
    "calls": ["success"],
    "applies": ["success"],
    "applies_and_throws": ["failure nested ValueError by sub_exception"],
    "command": ["failure nested LookupError by report"],
    "command_caught": ["success"],
    "command_retried": ["retried nested LookupError by report", "success #2"],
    "replaced": ["skipped"],
    "loud": ["success"],
    "health": [],
}
EXITS = {
    "exit_0": ["failure exception SystemExit"],
    "exit_3": ["failure exit 3"],
}
DEATHS = {
    "soft": ["failure timeout SoftTimeLimitExceeded"],
    "soft_caught": ["success"],
    "soft_retried": ["retried timeout SoftTimeLimitExceeded", "success #2"],
    "hard": ["failure timeout TimeLimitExceeded"],
    "hard_stubborn": ["failure timeout TimeLimitExceeded"],
    "quick_exit_5": ["failure exit 5"],
    "interrupt": ["failure interrupted"],
    "sigkill": ["failure signal SIGKILL"],
    "sigsegv": ["failure signal SIGSEGV"],
    "sigterm": ["failure signal SIGTERM"],
    "lost_requeued": ["retried signal SIGKILL", "success"],
    "terminated": ["failure signal SIGTERM"],
    "terminated_hard": ["failure signal SIGKILL"],
    "revoked": ["skipped revoked"],
}
# The runs that others have caused, by their tasks; in which run they are, and who asked for them.
CAUSED = {
    "first": ["success"],
    "second": ["success", "success"],
    "sub_success": ["success"],
    "sub_exception": ["failure exception ValueError", "failure exception ValueError"],
    "report": ["failure exception LookupError"] * 3,
}
PREFORK = {**ANYWHERE, **EXITS, **DEATHS}
# The last three: of Celery 5.5, whose newer billiard tells it what it cannot write down.
SILENT = tuple(
    "ignored rejected rejected_for invalid replaced exit_0 exit_3 interrupt".split()
)  # they give no result


_CONF = {
    "broker_connection_retry_on_startup": True,
    "worker_prefetch_multiplier": 1,
    "worker_log_format": "%(levelname)s %(message)s",
    "worker_task_log_format": "%(levelname)s %(message)s",
    "task_default_retry_delay": 0,
}
_WORKER = (
    "-m",
    "celery",
    "-A",
    "shop",
    "worker",
    "-c",
    "3",
    "-n",
    "w@shop",
    "-l",
    "INFO",
    "--without-gossip",
    "--without-mingle",
)
_NUMBER = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8}-[-0-9a-f]{27}|\d+(\.\d+)?(e-?\d+)?")
_JOB = re.compile(r"Job: \d+")
_OUR_HEADER = re.compile(r"(, )?'autotask_enqueued_by': '[^']*'")


@dataclass
class Worked:
    """What a worker has done: how it ended, its output, the results of its tasks, and the runs."""

    status: int
    output: Counter[str]  # its lines: tasks run side by side
    results: dict[str, list[str]]
    runs: list[Record]

    def of(self, task: str) -> list[Record]:
        return [run for run in self.runs if run["task"] in (task, f"shop.{task}")]

    def only(self, task: str) -> Record:
        (run,) = self.of(task)
        return run


class Shop:
    """A worker in a folder of its own, bare or under the agent."""

    def __init__(self, place: Path, under: Under, rows: list[str]) -> None:
        self.place, self.under = place / under, under
        self.started: list[subprocess.Popen[bytes]] = []
        write(self.place / "shop.py", SHOP)
        write(self.place / "ask.py", ASK)
        for folder in ("queue", "results"):
            (self.place / folder).mkdir()
        self.env = {
            "ROWS": json.dumps([rows, SILENT]),
            "AUTOTASK_HOME": str(self.place / "home"),
            "AUTOTASK_DEBUG": str(self.place / "debug.log"),
            "AUTOTASK_IGNORE": "shop.health",
            "DD_DOGSTATSD_URL": "udp://127.0.0.1:9",
        }

    def start(self, *words: str, **conf: Any) -> subprocess.Popen[bytes]:
        """Start a program of the project, whose output goes to worker.log."""
        self.env["SHOP"] = json.dumps({**_CONF, **conf}).replace("PLACE", str(self.place))
        with open(self.place / "worker.log", "ab") as log:
            self.started.append(
                start_program(
                    *words, under=self.under, env=self.env, cwd=self.place, stdout=log, stderr=log
                )
            )
        return self.started[-1]

    def close(self) -> None:
        """Kill what a failed test has left."""
        for program in self.started:
            program.kill()
            program.wait()

    def wait_for(self, name: str) -> None:
        wait_until((self.place / name).exists)

    def said(self) -> str:
        return (self.place / "worker.log").read_text(errors="backslashreplace")

    def worked(self, worker: subprocess.Popen[bytes]) -> Worked:
        """Wait for the end of the worker."""
        status = worker.wait(PATIENCE)
        results = self.place / "results.json"
        assert results.exists(), self.said()
        log, home = self.place / "debug.log", self.place / "home"
        swallowed = [line for line in _lines(log) if "autotask: swallowed" in line]
        assert not swallowed, swallowed
        return Worked(
            status,
            Counter(map(_plain, without_our_frames(self.said()).splitlines())),
            json.loads(_JOB.sub("Job", results.read_text())),
            runs(home) if home.exists() else [],
        )


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def _plain(line: str) -> str:
    """Take numbers out of a line, and our header, which the dump of an unknown message shows."""
    line = _OUR_HEADER.sub("", line).replace("/path/", "/bare/")
    return _NUMBER.sub("#", line)


def _in_short(found: list[Record], names: dict[str, str]) -> list[str]:
    return [_short(run, names) for run in found]


def _short(run: Record, names: dict[str, str]) -> str:
    words = [run["status"]]
    words += [str(run[key]) for key in ("reason", "exit_code", "signal") if key in run]
    if "error" in run:
        words.append(run["error"]["type"])
    if "caused_by" in run:
        words.append(f"by {names[run['caused_by']].removeprefix('shop.')}")
    if run.get("attempt", 1) > 1:
        words.append(f"#{run['attempt']}")
    return " ".join(words)


@contextmanager
def _pair(place: Path, rows: dict[str, list[str]]) -> Iterator[tuple[Shop, Shop]]:
    """Make a project for a bare worker, and one for a worker under the agent."""
    shops = Shop(place, "bare", list(rows)), Shop(place, "path", list(rows))
    try:
        yield shops
    finally:
        for shop in shops:
            shop.close()


@pytest.fixture(scope="module")
def prefork(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Worked, Worked]]:
    """Let a worker with child processes work, with redis; at last it is stopped at once."""
    pytest.importorskip("redis")
    place = tmp_path_factory.mktemp("prefork")
    with redis_server(place / "redis") as url, _pair(place, PREFORK) as shops:
        bare, ours = shops
        urls = {
            shop: {"broker_url": f"{url[:-1]}{db}", "result_backend": f"{url[:-1]}{db + 1}"}
            for shop, db in ((bare, 1), (ours, 3))
        }
        workers = {shop: shop.start(*_WORKER, **urls[shop]) for shop in shops}
        for shop in shops:
            shop.wait_for("ready")
        asking = [shop.start("ask.py", **urls[shop]) for shop in shops]
        assert [program.wait(PATIENCE) for program in asking] == [0, 0], bare.said() + ours.said()
        for shop in shops:
            shop.start("-c", "import shop; shop.ask(['pauses'])", **urls[shop]).wait(PATIENCE)
            shop.wait_for("pauses")
            workers[shop].send_signal(signal.SIGQUIT)
        yield bare.worked(workers[bare]), ours.worked(workers[ours])


def _worked_alone(
    place: Path, pool: str, rows: dict[str, list[str]], **conf: Any
) -> tuple[Worked, Worked]:
    """Let workers with a pool work whose own main process asks for tasks, and stops it."""
    with _pair(place, rows) as (bare, ours):
        for shop in (bare, ours):
            shop.env["ASKS_ITSELF"] = "1"
            shop.start(*_WORKER, "-P", pool, **conf)
        return bare.worked(bare.started[0]), ours.worked(ours.started[0])


_MEMORY = {
    "broker_url": "memory://localhost/",
    "result_backend": "cache+memory://",
    "broker_transport_options": {"polling_interval": 0.02},
}
_FILES = {
    "broker_url": "filesystem://localhost/",
    "result_backend": "file://PLACE/results",
    "broker_transport_options": {
        "polling_interval": 0.02,
        "data_folder_in": "PLACE/queue",
        "data_folder_out": "PLACE/queue",
        "control_folder": "PLACE/queue",
    },
}


def _check(worked: tuple[Worked, Worked], rows: dict[str, list[str]]) -> None:
    """Compare what has happened with the bare worker, and with the table."""
    bare, ours = worked
    assert ours.status == bare.status
    assert ours.results == bare.results
    names = {run["run"]: run["task"] for run in ours.runs}
    assert {task: _in_short(ours.of(task), names) for task in rows} == rows
    assert ours.output - bare.output == bare.output - ours.output == Counter()


def test_a_worker_with_children_records_every_ending(prefork: tuple[Worked, Worked]) -> None:
    _check(prefork, {**PREFORK, **CAUSED})


# What they have of the table: in such a pool, sys.exit() in a task breaks the worker itself.
# And an exception that cannot be pickled, which breaks Celery 5.2 if a child raises it.
INSIDE = {
    **ANYWHERE,
    "odd": ["failure exception Odd"],
    "retried_odd": ["retried exception Odd", "success #2"],
}
POOLS = {
    "solo": INSIDE,
    "threads": INSIDE,
    "gevent": {**INSIDE, "hard": ["failure timeout Timeout"]},
}


@pytest.mark.parametrize("pool", POOLS)
def test_a_worker_without_children_records_the_same(pool: str, tmp_path: Path) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    worked = _worked_alone(tmp_path, pool, POOLS[pool], **_MEMORY)
    _check(worked, {**POOLS[pool], **CAUSED})


# No deaths: children of such a pool share locks, which a dead one may keep, also without us.
FILES = {name: ANYWHERE[name] for name in ("success", "exception", "no_more", "late")}


def test_a_broker_of_files_and_a_pool_that_has_threads_record_the_same(tmp_path: Path) -> None:
    worked = _worked_alone(tmp_path, "prefork", FILES, **_FILES)
    _check(worked, FILES)


def test_an_error_has_its_place_and_no_secrets(prefork: tuple[Worked, Worked]) -> None:
    _, ours = prefork
    source = SHOP.splitlines()
    for task in ("exception", "soft", "no_more", "rejected_for"):
        where = ours.only(task)["error"]["where"].rpartition(":")
        body = "\n".join(source[int(where[2]) - 3 : int(where[2])])
        assert where[0].endswith("shop.py"), task
        assert f"{task}(" in body or "1 / 0" in body, task
    assert ours.only("exception")["error"]["message"] == "no stock of api_key=***"
    assert ours.only("rejected")["error"]["message"] == "no such article"
    assert ours.only("hard")["error"]["message"] == "Hard time limit (0.5s) exceeded"


def test_a_run_hangs_under_its_worker_and_links_to_the_run_that_asked_for_it(
    prefork: tuple[Worked, Worked],
) -> None:
    _, ours = prefork
    (worker,) = ours.of("celery.worker")
    (asking,) = (run for run in ours.of("ask.py"))
    by_id = {run["run"]: run for run in ours.runs}
    for run in ours.runs:
        if run["framework"] != "celery" or run["task"].startswith("shop.sub_"):
            continue
        assert run["parent"] == worker["run"], run
        asker = by_id.get(run["enqueued_by"], {}) if "enqueued_by" in run else None
        if run["task"] in ("shop.pauses", "shop.invalid") or run is ours.of("second")[0]:
            continue
        assert asker is not None, run
        if run["attempt"] > 1:
            assert (asker["task"], asker["attempt"]) == (run["task"], run["attempt"] - 1)
    assert ours.only("success")["enqueued_by"] == asking["run"]
    chained, replacement = sorted(ours.of("second"), key=lambda run: str(run["enqueued_by"]))
    assert {chained["enqueued_by"], replacement["enqueued_by"]} == {
        ours.only("first")["run"],
        ours.only("replaced")["run"],
    }


def test_what_is_called_in_a_task_is_its_child(prefork: tuple[Worked, Worked]) -> None:
    _, ours = prefork
    for child, parents in {
        "sub_success": ["applies"],
        "sub_exception": ["applies", "applies_and_throws"],
        "report": ["command", "command_caught", "command_retried"],
    }.items():
        expected = {ours.of(parent)[0]["run"] for parent in parents}
        assert {run["parent"] for run in ours.of(child)} == expected


def test_waiting_is_counted_from_the_due_time_if_there_is_one(
    prefork: tuple[Worked, Worked],
) -> None:
    _, ours = prefork
    due = datetime(2001, 1, 1, tzinfo=timezone.utc)
    waited = (_started(ours.only("late")) - due).total_seconds()
    assert ours.only("late")["waited"] == pytest.approx(waited, abs=5)
    (asking,) = ours.of("ask.py")
    for task in ("success", "exception", "hard"):
        run = ours.only(task)
        assert 0 < run["waited"] < (_started(run) - _started(asking)).total_seconds()
    assert "waited" not in ours.only("sub_success")
    assert ours.only("sub_success")["attempt"] == 1


def _started(run: Record) -> datetime:
    return datetime.fromisoformat(run["started_at"].replace("Z", "+00:00"))


def test_a_worker_that_is_stopped_at_once_ends_what_its_children_were_doing(
    prefork: tuple[Worked, Worked],
) -> None:
    _, ours = prefork
    pauses = ours.only("pauses")
    assert _short(pauses, {}) == "failure signal SIGTERM"
    assert all(run["status"] != "running" for run in ours.runs)
    (worker,) = ours.of("celery.worker")
    assert worker["server"]


EAGER = """
import json, os
os.environ["SHOP"] = json.dumps({"task_always_eager": True})
import shop
for name in NAMES:
    for throw in (False, True):
        try:
            result = shop.app.tasks["shop." + name].apply(throw=throw, retries=0)
            print(name, result.state, repr(result.result))
        except BaseException as problem:
            print(name, type(problem).__name__, problem)
print(shop.success.delay().get(), shop.success())
"""
EAGERLY = {
    "success": ["success"] * 3,
    "exception": ["failure exception ValueError"] * 2,
    "retried": [
        "retried exception KeyError",
        "retried exception KeyError #2",
        "failure exception KeyError #3",
        "failure exception Retry",
    ],
    # A worker could not write such a cause down.
    "retried_for_its_class": [
        "retried exception KeyError",
        "failure exception KeyError #2",
        "failure exception Retry",
    ],
    "retried_for_a_class": [
        "retried exception Retry",
        "failure exception LookupError #2",
        "failure exception Retry",
    ],
    "ignored": ["skipped"] * 2,
    "rejected": ["failure rejected Reject"] * 2,
    "exit_0": ["success"] * 2,
    "exit_3": ["failure exit 3"] * 2,
    "exit_text": ["failure exit 1 SystemExit"] * 2,
    "interrupt": ["failure interrupted"] * 2,
    "command": ["failure nested LookupError by report"] * 2,
    "health": [],
}


def test_an_eager_task_is_a_run_and_a_direct_call_is_none(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOTASK_IGNORE", "shop.health")
    write(tmp_path / "shop.py", SHOP)
    program = write(tmp_path / "eager.py", EAGER.replace("NAMES", repr(list(EAGERLY))))
    same(program, cwd=tmp_path)
    found = runs(home)
    names = {run["run"]: run["task"] for run in found}
    for task, expected in EAGERLY.items():
        own = [run for run in found if run["task"] == f"shop.{task}"]
        assert [_short(run, names) for run in own] == expected
        assert all(names[run["parent"]] == "eager.py" for run in own)


SENDS = """
import json, os
os.environ["SHOP"] = json.dumps({"broker_url": "memory://localhost/"})
import shop
shop.success.delay()
with shop.app.connection() as connection:
    message = connection.SimpleQueue("celery").get(timeout=60)
print(sorted(message.headers))
"""


@pytest.mark.parametrize("links", [None, "0"])
def test_a_message_has_our_header_unless_a_setting_says_no(
    links: str | None, tmp_path: Path, home: Path
) -> None:
    write(tmp_path / "shop.py", SHOP)
    program = write(tmp_path / "sends.py", SENDS)
    bare = run_program(program, under="bare", cwd=tmp_path)
    ours = run_program(program, cwd=tmp_path, env={"AUTOTASK_LINKS": links})
    more = "'argsrepr', 'autotask_enqueued_by'," if links is None else "'argsrepr',"
    assert ours.stdout == bare.stdout.replace("'argsrepr',", more)
    assert (ours.status, ours.stderr) == (0, bare.stderr)
    assert only_run(home)["task"] == "sends.py"


BEAT = """
import json, os
os.environ["SHOP"] = json.dumps({"broker_url": "memory://localhost/"})
from shop import app
from celery import signals
app.conf.beat_schedule = {"often": {"task": "shop.success", "schedule": 0.05}}
@signals.after_task_publish.connect
def sent(headers=None, **_):
    os.write(1, headers["autotask_enqueued_by"].partition("@")[0].encode() + b"\\n")
"""


def test_beat_is_a_server_that_asks_for_tasks(tmp_path: Path, home: Path) -> None:
    write(tmp_path / "shop.py", SHOP)
    write(tmp_path / "beats.py", BEAT)
    beat = start_program(
        "-m", "celery", "-A", "beats", "beat", cwd=tmp_path, stdout=subprocess.PIPE
    )
    assert beat.stdout is not None
    with beat.stdout:
        asker = beat.stdout.readline().decode().strip()
        beat.terminate()
        beat.stdout.read()
    assert beat.wait(PATIENCE) == 0
    whole, run = runs(home)
    assert (whole["task"], run["task"], run["run"]) == ("celery", "celery.beat", asker)
    assert whole["status"] == run["status"] == "success"
    assert run["server"]
