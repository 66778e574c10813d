"""Procrastinate: each attempt at a job, and how it ended, with its connector in memory.

The same program and rows serve the proof that a plugin can do this: tests/test_plugins.py.
"""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import Ended, Record, run_program, runs, without_our_frames, write

# Each row is a task: its body, the options of its decorator, and its runs: status, reason, exit
# code, type of the error, and the attempt. Tasks are coroutines, but those called `sync_...`.
ROWS = {
    "success": ("", "pass", ["success #1"]),
    "success_with_a_value": ("", "return 7", ["success #1"]),
    "sync_success": ("", "return 7", ["success #1"]),
    "sync_awaitable": ("", "return asyncio.sleep(0)", ["success #1"]),
    "exception": ("", "raise ValueError('x')", ["failure exception ValueError #1"]),
    "sync_exception": ("", "raise ValueError('x')", ["failure exception ValueError #1"]),
    "chained": (
        "",
        """
            try: 1 / 0
            except ZeroDivisionError as problem: raise KeyError("gone") from problem
        """,
        ["failure exception KeyError #1"],
    ),
    "retried": (
        "retry=RetryStrategy(max_attempts=2)",
        "raise ValueError('x')",
        [
            "retried exception ValueError #1",
            "retried exception ValueError #2",
            "failure exception ValueError #3",
        ],
    ),
    "retried_once": (
        "retry=True",
        "if not context.job.attempts: raise KeyError('x')",
        ["retried exception KeyError #1", "success #2"],
    ),
    "sync_retried_once": (
        "retry=True",
        "if not context.job.attempts: raise KeyError('x')",
        ["retried exception KeyError #1", "success #2"],
    ),
    "retried_for_others": (
        "retry=RetryStrategy(retry_exceptions=[OSError])",
        "raise KeyError('x')",
        ["failure exception KeyError #1"],
    ),
    # Procrastinate takes each SystemExit for an error, and goes on.
    "exit_0": ("", "raise SystemExit", ["failure exception SystemExit #1"]),
    "exit_3": ("", "raise SystemExit(3)", ["failure exit 3 #1"]),
    "exit_text": ("", "raise SystemExit('no')", ["failure exit 1 SystemExit #1"]),
    "exit_retried": (
        "retry=RetryStrategy(max_attempts=1)",
        "raise SystemExit(4)",
        ["retried exit 4 #1", "failure exit 4 #2"],
    ),
    "aborted_by_itself": ("", "raise JobAborted", ["failure interrupted #1"]),
    "cancelled": ("", "raise asyncio.CancelledError", ["failure interrupted #1"]),
    "aborted": (
        "",
        """
            await app.job_manager.cancel_job_by_id_async(context.job.id, abort=True)
            await asyncio.sleep(60)
        """,
        ["failure interrupted #1"],
    ),
    "passes_on": (
        "",
        "command(['--fail'], standalone_mode=False)",
        ["failure nested ValueError #1"],
    ),
    "sync_passes_on": (
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
    "calls": ("", "await success(context)", ["success #1"]),
    "scheduled": ("", "pass", ["success #1"]),
    "with_arguments": ("", "print(arguments)", ["success #1"]),
    # The worker is stopped under these.
    "stopped": ("", "await asyncio.sleep(60)", ["failure interrupted #1"]),
    "stopped_retried": (
        "retry=True",
        "if not context.job.attempts: await asyncio.sleep(60)",
        ["retried interrupted #1", "success #2"],
    ),
    "unsaved": ("", "connector.breaks = True", ["failure exception OSError #1"]),
}
MORE = {"nobody": ["failure usage #1"]}
SHOP = """
import asyncio, datetime, logging, sys
import click
from procrastinate import App, RetryStrategy
from procrastinate.exceptions import JobAborted
from procrastinate.testing import InMemoryConnector

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
class Connector(InMemoryConnector):
    breaks = False
    async def execute_query_async(self, query, **arguments):
        if self.breaks:
            self.breaks = False
            raise OSError(28, "no space")
        return await super().execute_query_async(query, **arguments)
connector = Connector()
app = App(connector=connector)
@click.command()
@click.option("--fail", is_flag=True)
def command(fail):
    if fail: raise ValueError("in the command")

{tasks}

def has(status):
    if status == "ended": return not has("todo") and not has("doing")
    return any(job["status"] == status for job in connector.jobs.values())

async def work(*until):
    stop = until == ("doing",)
    worker = asyncio.ensure_future(
        app.run_worker_async(
            wait=bool(until),
            install_signal_handlers=False,
            fetch_job_polling_interval=0.05,
            abort_job_polling_interval=0.05,
            shutdown_graceful_timeout=0.05 if stop else None,
            listen_notify=False,
            concurrency=2,
        )
    )
    if until:
        while not has(*until): await asyncio.sleep(0.01)
        worker.cancel()
    await asyncio.wait([worker])

async def main():
    async with app.open_async():
        for name in names:
            task = app.configure_task(name)
            if name in ("aborted", "stopped", "stopped_retried", "unsaved"): continue
            if name == "scheduled": task = app.configure_task(name, schedule_in={"seconds": 0})
            await task.defer_async(**({"secret": 1} if name == "with_arguments" else {}))
        while has("todo"): await work()
        for name in ("stopped", "stopped_retried"):
            await app.configure_task(name).defer_async()
            await work("doing")
        while has("todo"): await work()
        await app.configure_task("aborted").defer_async()
        await work("ended")
        await app.configure_task("unsaved").defer_async()
        await work()
    for job in connector.jobs.values():
        print(job["task_name"], job["status"], job["attempts"])

if __name__ == "__main__":
    asyncio.run(main())
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
    """Write the program with the tasks of the table."""
    tasks = [
        f"@app.task({', '.join(filter(None, (repr(name), 'pass_context=True', options)))})\n"
        f"{'' if name.startswith('sync_') else 'async '}def {name}(context, **arguments):\n"
        + textwrap.indent(textwrap.dedent(body).strip(), "    ")
        for name, (options, body, _) in ROWS.items()
    ]
    names = f"\n\nnames = {[*ROWS, *MORE]}"
    return SHOP.replace(
        "{tasks}", "\n".join(tasks).replace("@app.task('", "@app.task(name='") + names
    )


def in_short(run: Record) -> str:
    """Write a run in short: status, reason, exit code, type of the error, attempt."""
    words = [run["status"], *(str(run[key]) for key in ("reason", "exit_code") if key in run)]
    words += [run["error"]["type"]] if "error" in run else []
    words += [f"#{run['attempt']}"] if "attempt" in run else []
    return " ".join(words)


def seen(folder: Path, env: dict[str, str]) -> Seen:
    """Run the program bare and under the agent."""
    program = write(folder / "shop.py", shop())
    bare = run_program(program, under="bare")
    home = {"AUTOTASK_HOME": str(folder / "home"), "AUTOTASK_DEBUG": str(folder / "debug")}
    ours = run_program(program, env={**home, **env})
    assert "swallowed" not in (folder / "debug").read_text()
    return Seen(bare, ours, runs(folder / "home"))


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    pytest.importorskip("procrastinate")
    return seen(tmp_path_factory.mktemp("procrastinate"), {})


def test_a_worker_does_the_same_as_without_the_agent(worker: Seen) -> None:
    assert worker.ours.status == worker.bare.status == 0, worker.ours.stderr
    assert plain(worker.ours.stdout) == plain(worker.bare.stdout)
    assert plain(worker.ours.stderr) == plain(worker.bare.stderr)


def plain(text: str) -> list[str]:
    """Return the lines of logs and tracebacks without what differs each time, sorted."""
    lines = (_DIFFERS.sub("-", line) for line in without_our_frames(text).splitlines())
    return sorted(line for line in lines if not line.startswith("INFO Waiting for job"))


# The repr of an asyncio task tells where its coroutine is defined: ours, in our module.
_DIFFERS = re.compile(r"\d+\.\d+ s|0x[0-9a-f]+|defined at \S+")


@pytest.mark.parametrize("name", [*ROWS, *MORE])
def test_each_attempt_is_a_run(name: str, worker: Seen) -> None:
    check_attempts(name, worker, "procrastinate")


def check_attempts(name: str, worker: Seen, framework: str) -> None:
    """Compare the runs of a row with what it expects."""
    expected = ROWS[name][2] if name in ROWS else MORE[name]
    assert [in_short(run) for run in worker.of(name)] == expected
    (process,) = worker.of("shop.py")
    for run in worker.of(name):
        assert (run["framework"], run["parent"]) == (framework, process["run"])


def test_what_a_task_runs_is_under_it(worker: Seen) -> None:
    by_id = {run["run"]: run for run in worker.runs}
    commands = [run for run in worker.runs if run["framework"] == "click"]
    asked = {by_id[run["parent"]]["task"]: run for run in commands}
    assert sorted(asked) == ["catches", "passes_on", "sync_passes_on"]
    for name in ("passes_on", "sync_passes_on"):
        (nested,) = worker.of(name)
        assert nested["caused_by"] == asked[name]["run"]


def test_an_error_is_where_the_task_raised_it(worker: Seen) -> None:
    for name in ("exception", "sync_exception", "chained", "exit_text"):
        file, _, line = worker.of(name)[-1]["error"]["where"].rpartition(":")
        assert (Path(file).name, line.isdigit()) == ("shop.py", True)


def test_the_waiting_is_known_of_a_job_with_a_date(worker: Seen) -> None:
    (scheduled,) = worker.of("scheduled")
    assert 0 <= scheduled["waited"] < 60
    assert [("waited" in run) for run in worker.of("retried")] == [False, True, True]


def test_arguments_are_not_recorded(worker: Seen) -> None:
    assert "secret" in worker.ours.stdout
    assert "secret" not in json.dumps(worker.runs)
