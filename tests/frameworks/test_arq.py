"""arq: each try of a job, cron jobs among them, and how it ended; with a real redis.

One worker executes all endings but those of the worker itself.
"""

from __future__ import annotations

import json
import re
import signal
import textwrap
from collections.abc import Iterator
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

pytest.importorskip("arq")

# Each row is a job: the body of its coroutine, the options of its function, and its runs: status,
# reason, exit code, type of the error, and the attempt.
ROWS = {
    "success": ("", "pass", ["success #1"]),
    "success_with_a_value": ("", "return {'n': 7}", ["success #1"]),
    "exception": ("", "raise ValueError('x')", ["failure exception ValueError #1"]),
    "chained": (
        "",
        """
            try: 1 / 0
            except ZeroDivisionError as problem: raise KeyError("gone") from problem
        """,
        ["failure exception KeyError #1"],
    ),
    "retried": (
        "",
        "if ctx['job_try'] == 1: raise Retry(defer=0.1)",
        ["retried exception Retry #1", "success #2"],
    ),
    "retried_at_once": (
        "",
        "if ctx['job_try'] < 3: raise Retry()",
        ["retried exception Retry #1", "retried exception Retry #2", "success #3"],
    ),
    "retried_for": (
        "",
        """
            try: ctx["job_try"] > 1 or 1 / 0
            except ZeroDivisionError as problem: raise Retry(defer=0.1) from problem
        """,
        ["retried exception Retry #1", "success #2"],
    ),
    "retried_in_vain": (
        "max_tries=2",
        "raise Retry()",
        [
            "retried exception Retry #1",
            "retried exception Retry #2",
            "failure rejected JobExecutionFailed #3",
        ],
    ),
    "run_again": (
        "",
        "if ctx['job_try'] == 1: raise RetryJob('again')",
        ["retried exception RetryJob #1", "success #2"],
    ),
    "cancelled": (
        "",
        "if ctx['job_try'] == 1: raise asyncio.CancelledError",
        ["retried interrupted #1", "success #2"],
    ),
    "timeout": ("timeout=0.1", "await hang()", ["failure timeout CancelledError #1"]),
    "timeout_without_a_result": (
        "timeout=0.1, keep_result=0",
        "await hang()",
        ["failure timeout CancelledError #1"],
    ),
    "timeout_caught": (
        "timeout=0.1",
        """
            try: await hang()
            except asyncio.CancelledError: raise KeyError("tidied up") from None
        """,
        ["failure exception KeyError #1"],
    ),
    "own_timeout": (
        "",
        "await asyncio.wait_for(hang(), 0.1)",
        ["failure exception TimeoutError #1"],
    ),
    "aborted": (
        "",
        """
            asking = asyncio.ensure_future(Job(ctx["job_id"], ctx["redis"]).abort())
            try: await hang()
            finally: asking.cancel()
        """,
        ["failure interrupted #1"],
    ),
    "aborted_without_a_result": (
        "keep_result=0",
        """
            asking = asyncio.ensure_future(Job(ctx["job_id"], ctx["redis"]).abort())
            try: await hang()
            finally: asking.cancel()
        """,
        ["failure interrupted #1"],
    ),
    "aborted_before": ("", "print('never')", ["skipped canceled #1"]),
    "odd_result": ("", "return Odd()", ["failure exception RuntimeError #1"]),
    "passes_on": (
        "",
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
    "calls": ("", "await success(ctx)", ["success #1"]),
    "starts_what_goes_on": (
        "",
        """
            going_on.append(asyncio.ensure_future(hang()))
            problem = Problem("x")
            problems.append(weakref.ref(problem))
            raise problem
        """,
        ["failure exception Problem #1"],
    ),
    "delayed": ("", "pass", ["success #1"]),
    "with_arguments": ("", "print(args, kwargs)", ["success #1"]),
}
MORE = {
    "another-name": ["success #1"],
    "nobody": ["failure usage JobExecutionFailed #1"],
    "cron:tick": ["success #1"],
    "cron:tick_fails": ["failure exception ValueError #1"],
    "cron:tick_hangs": ["failure timeout CancelledError #1"],
}
SHOP = """
import asyncio, gc, os, sys, time, weakref
import click
from arq import Retry, Worker, create_pool, cron, func
from arq.connections import RedisSettings
from arq.jobs import Job
from arq.worker import RetryJob

async def hang(): await asyncio.sleep(60)
class Problem(Exception): pass
problems, going_on = [], []
class Odd:
    def __repr__(self): raise RuntimeError("no text")
@click.command()
@click.option("--fail", is_flag=True)
def command(fail):
    if fail: raise ValueError("in the command")

{jobs}

async def tick(ctx): print("tick")
async def tick_fails(ctx): raise ValueError("x")
async def tick_hangs(ctx): await hang()
async def exit_3(ctx): sys.exit(3)
async def stopped(ctx):
    # By now the worker sleeps: redis-py 4 may swallow a cancellation in the middle of a command.
    await asyncio.sleep(0.2)
    print("stopped", flush=True)
    if ctx["job_try"] == 1: await hang()
async def another(ctx): pass
LATER = (time.localtime().tm_hour + 12) % 24
ticks = [
    cron(tick, run_at_startup=True, hour=LATER),
    cron(tick_fails, run_at_startup=True, hour=LATER),
    cron(tick_hangs, run_at_startup=True, hour=LATER, timeout=0.1),
]
REDIS = RedisSettings.from_dsn(os.environ["SHOP_REDIS"])
functions = [{functions}]
class Settings:
    functions = [stopped]
    redis_settings = REDIS

async def send(name):
    pool = await create_pool(REDIS)
    await pool.enqueue_job(name)
    await pool.close(close_connection_pool=True)

async def main(names):
    pool = await create_pool(REDIS)
    for name in names:
        if name == "with_arguments": await pool.enqueue_job(name, "secret", a=1)
        elif name == "delayed": await pool.enqueue_job(name, _defer_by=0.2)
        else: job = await pool.enqueue_job(name)
        if name == "aborted_before": await pool.zadd("arq:abort", {job.job_id: time.time() * 1000})
    worker = Worker(
        functions + [func(another, name="another-name"), exit_3, stopped],
        cron_jobs=ticks if len(names) > 1 else None,
        redis_settings=REDIS,
        burst=True,
        poll_delay=0.05,
        allow_abort_jobs=True,
        ctx={"shop": 1},
    )
    await worker.async_run()
    gc.collect()
    print("alive:", [problem() for problem in problems])
    for task in going_on: task.cancel()
    for result in sorted(await pool.all_job_results(), key=lambda result: result.function):
        print(result.function, result.success, result.job_try, result.args, repr(result.result))
    print(worker.jobs_complete, worker.jobs_retried, worker.jobs_failed)
    await worker.close()
    await pool.close(close_connection_pool=True)

if __name__ == "__main__":
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(main(sys.argv[1:]))
"""


@dataclass
class Seen:
    """What a program did bare and under the agent, and its runs."""

    bare: Ended
    ours: Ended
    runs: list[Record]

    def of(self, task: str) -> list[Record]:
        return [run for run in self.runs if run["task"] == task]


def shop() -> str:
    """Write the program with the jobs of the table."""
    jobs = [
        f"async def {name}(ctx, *args, **kwargs):\n"
        + textwrap.indent(textwrap.dedent(body).strip(), "    ")
        for name, (_, body, _) in ROWS.items()
    ]
    functions = [f"func({', '.join(filter(None, (n, o)))})" for n, (o, _, _) in ROWS.items()]
    source = SHOP.replace("{jobs}", "\n".join(jobs))
    return source.replace("{functions}", ", ".join(functions))


def in_short(run: Record) -> str:
    """Write a run in short: status, reason, exit code, type of the error, attempt."""
    words = [run["status"], *(str(run[key]) for key in ("reason", "exit_code") if key in run)]
    words += [run["error"]["type"]] if "error" in run else []
    words += [f"#{run['attempt']}"] if "attempt" in run else []
    return " ".join(words)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a redis server; give its URL without the number of a database."""
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url.rpartition("/")[0]


@pytest.fixture(scope="module")
def burst(redis: str, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run a worker through all jobs, bare and under the agent."""
    folder = tmp_path_factory.mktemp("burst")
    program = write(folder / "shop.py", shop())
    names = [*ROWS, "another-name", "nobody"]
    bare = run_program(program, *names, under="bare", env={"SHOP_REDIS": f"{redis}/1"})
    env = {"AUTOTASK_HOME": str(folder / "home"), "AUTOTASK_DEBUG": str(folder / "debug")}
    ours = run_program(program, *names, env={**env, "SHOP_REDIS": f"{redis}/2"})
    assert "swallowed" not in (folder / "debug").read_text()
    return Seen(bare, ours, runs(folder / "home"))


def test_a_worker_does_the_same_as_without_the_agent(burst: Seen) -> None:
    assert burst.ours.status == burst.bare.status == 0, burst.ours.stderr
    assert plain(burst.ours.stdout) == plain(burst.bare.stdout)
    assert plain(burst.ours.stderr) == plain(burst.bare.stderr)


def plain(text: str) -> list[str]:
    """Return the lines of logs and tracebacks without what differs each time, sorted."""
    return sorted(_DIFFERS.sub("-", line) for line in without_our_frames(text).splitlines())


_DIFFERS = re.compile(r"[0-9a-f]{32}|0x[0-9a-f]+|^ *\d+\.\d\ds|\d{13}")


@pytest.mark.parametrize("name", [*ROWS, *MORE])
def test_each_try_is_a_run(name: str, burst: Seen) -> None:
    expected = ROWS[name][2] if name in ROWS else MORE[name]
    assert [in_short(run) for run in burst.of(name)] == expected
    (process,) = burst.of("shop.py")
    for run in burst.of(name):
        assert (run["framework"], run["parent"]) == ("arq", process["run"])


def test_what_a_job_runs_is_under_it(burst: Seen) -> None:
    by_id = {run["run"]: run for run in burst.runs}
    asked = {by_id[run["parent"]]["task"]: run for run in burst.runs if run["framework"] == "click"}
    assert sorted(asked) == ["catches", "passes_on"]
    (nested,) = burst.of("passes_on")
    assert nested["caused_by"] == asked["passes_on"]["run"]


def test_an_error_is_where_the_job_raised_it(burst: Seen) -> None:
    for name in ("exception", "chained", "timeout", "cron:tick_fails"):
        file, _, line = burst.of(name)[-1]["error"]["where"].rpartition(":")
        assert (Path(file).name, line.isdigit()) == ("shop.py", True)


def test_the_waiting_counts_from_the_time_when_a_job_was_due(burst: Seen) -> None:
    own = [run for run in burst.runs if run["framework"] == "arq"]
    assert {run["attempt"] for run in own if "waited" in run} == {1}
    assert all(0 <= run["waited"] < 60 for run in own if run["attempt"] == 1)


def test_arguments_are_not_recorded(burst: Seen) -> None:
    assert "secret" in burst.ours.stdout
    assert "secret" not in json.dumps(burst.runs)


@pytest.mark.parametrize("under", ["bare", "path"])
def test_a_job_that_exits_takes_its_worker_along(
    tmp_path: Path, home: Path, redis: str, under: Under
) -> None:
    program = write(tmp_path / "shop.py", shop())
    number = {"bare": 3, "path": 4}[under]
    ended = run_program(
        program, "exit_3", under=under, env={"SHOP_REDIS": f"{redis}/{number}"}, cwd=tmp_path
    )
    assert ended.status == 3
    if under == "path":
        process, job = runs(home)
        assert in_short(job) == "failure exit 3 #1"
        assert in_short(process) == "failure nested 3"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("under", ["bare", "path"])
def test_a_stopped_worker_leaves_its_jobs_to_the_next_one(
    tmp_path: Path, home: Path, redis: str, under: Under, number: signal.Signals
) -> None:
    write(tmp_path / "shop.py", shop())
    base = f"{redis}/{5 + 2 * (number == signal.SIGINT) + (under == 'path')}"
    env = {"SHOP_REDIS": base, "PYTHONUNBUFFERED": "1"}
    with (tmp_path / "told").open("wb") as told:
        worker = start_program(
            *("-m", "arq", "shop.Settings"),
            under=under,
            env={**env, "PYTHONPATH": str(tmp_path)},
            stdout=told,
            cwd=tmp_path,
        )
    try:
        send = "import asyncio, shop; asyncio.run(shop.send('stopped'))"
        assert run_program("-c", send, under="bare", env=env, cwd=tmp_path).status == 0
        wait_until(partial(_has, tmp_path / "told", "stopped"))
        worker.send_signal(number)
        assert worker.wait() == 0
    finally:
        worker.kill()
        worker.wait()
    if under == "path":
        process, *others = runs(home)
        assert (process["task"], in_short(process)) == ("arq", "success")
        assert [f"{run['task']} {in_short(run)}" for run in others] == [
            "arq success",
            "stopped retried interrupted #1",
        ]


def _has(file: Path, text: str) -> bool:
    return text in file.read_text()
