"""dbt-core: which of its nodes ran, under which names, and how they and its commands ended."""

from __future__ import annotations

import re
from pathlib import Path

import environments
import pytest
from support import Ended, Record, Under, run_program, runs, write

FILES = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nconfig-version: 2\nprofile: shop\n",
    "profiles.yml": """
        shop:
          target: dev
          outputs:
            dev: {type: duckdb, path: shop.duckdb, threads: 1}
        """,
    "models/orders.sql": "select 1 as id",
    "models/broken.sql": "select nothing_there from {{ ref('names') }}",
    "models/uncompiled.sql": "select {{ nothing_here() }}",
    "models/after.sql": "select * from {{ ref('broken') }}",
    "models/inlined.sql": "{{ config(materialized='ephemeral') }} select * from {{ ref('names') }}",
    "models/uses_inlined.sql": "select * from {{ ref('inlined') }}",
    "models/bad_inlined.sql": "{{ config(materialized='ephemeral') }} select {{ nor_here() }}",
    "models/uses_bad.sql": "select * from {{ ref('bad_inlined') }}",
    "tests/passes.sql": "select * from {{ ref('orders') }} where id > 1",
    "tests/warns.sql": "{{ config(severity='warn') }} select * from {{ ref('orders') }}",
    "tests/fails.sql": "select * from {{ ref('orders') }}",
    "seeds/names.csv": "id,name\n1,tea\n",
    "snapshots/kept.sql": """
        {% snapshot kept %}
        {{ config(target_schema='main', unique_key='id', strategy='check', check_cols=['id']) }}
        select * from {{ ref('names') }}
        {% endsnapshot %}
        """,
}
# Each argument is a command of dbt, in one process. What dbt writes tells of its threads' turns:
# what is compared is what it leaves, and its failures.
MAIN = """
import json, os, sys
from dbt.cli.main import cli
for words in sys.argv[1:]:
    try:
        cli([*words.split(), "--no-use-colors", "--log-path", "logs"], prog_name="dbt")
    except SystemExit as problem:
        print("RESULT", words, "exited with", problem.code)
    if os.path.exists("target/run_results.json") and "--fail-fast" not in words:
        with open("target/run_results.json") as file:
            results = json.load(file)["results"]
        for result in sorted(results, key=lambda result: result["unique_id"]):
            print("RESULT", *(repr(result[key]) for key in ("unique_id", "status", "message")))
        os.remove("target/run_results.json")
"""
BUILD = {  # of `dbt build`
    "seed.shop.names": "success",
    "snapshot.shop.kept": "success",
    "model.shop.orders": "success",
    "model.shop.broken": "failure exception DbtRuntimeError",
    "model.shop.uncompiled": "failure exception UndefinedMacroError",
    "model.shop.after": "skipped",
    "model.shop.uses_inlined": "success",
    "model.shop.bad_inlined": "failure exception Error",
    "model.shop.uses_bad": "skipped",
    "test.shop.passes": "success",
    "test.shop.warns": "success",
    "test.shop.fails": "failure exception Fail",
}
_SELECT = "--select orders"
# The commands, and how the run of each ends.
COMMANDS = {
    "build --threads 3": "failure exit 1 ResultExit: 3 of 11 nodes failed",
    "compile --select uncompiled": "failure exit 2 ExceptionExit: ...",
    f"run {_SELECT}": "success",
    f"compile {_SELECT}": "success",  # executes nothing
    f"show {_SELECT}": "success",
    f"ls {_SELECT}": "success",
    "test --select fails": "failure exit 1 ResultExit: 1 of 1 node failed",
    "run --select broken+ --fail-fast": "failure exit 1 ResultExit: ...",
    "run --profile nowhere": "failure exit 2 ExceptionExit: ...",
    "run --nonsense": "failure usage 2",
}
# The nodes that they execute.
NODES = {
    "build --threads 3": BUILD,
    f"run {_SELECT}": {"model.shop.orders": "success"},
    "test --select fails": {"test.shop.fails": "failure exception Fail"},
    "run --select broken+ --fail-fast": {"model.shop.broken": "failure exception DbtRuntimeError"},
}


@pytest.fixture(params=["newest", "oldest"])
def python(request: pytest.FixtureRequest) -> Path:
    """Return a Python that has dbt."""
    return environments.framework("dbt", request.param)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a dbt project."""
    monkeypatch.setenv("AUTOTASK_PROCESS", "0")
    place = tmp_path / "project"
    write(place / "main.py", MAIN)
    for name, text in FILES.items():
        write(place / name, text)
    return place


def _run(python: Path, project: Path, under: Under, *commands: str) -> Ended:
    for name in ("shop.duckdb", "target/partial_parse.msgpack"):
        (project / name).unlink(missing_ok=True)
    env = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DO_NOT_TRACK": "1"}
    return run_program(python, "main.py", *commands, under=under, cwd=project, env=env)


def _plain(ended: Ended) -> tuple[int, list[str], str]:
    results = [line for line in ended.stdout.splitlines() if line.startswith("RESULT")]
    return ended.status, results, ended.stderr


def _ending(run: Record) -> str:
    words = [run["status"], *(str(run[key]) for key in ("reason", "exit_code") if key in run)]
    if "error" in run:
        words.append(run["error"]["type"])
    return " ".join(words)


_BOTH: tuple[Under, ...] = ("bare", "path")


def test_each_command_ends_as_without_the_agent_and_its_nodes_are_runs(
    python: Path, project: Path, home: Path
) -> None:
    bare, ours = [_run(python, project, under, *COMMANDS) for under in _BOTH]
    assert _plain(ours) == _plain(bare)
    assert " in autotask_" not in ours.stdout
    recorded = runs(home)
    commands = [run for run in recorded if run["framework"] == "click"]
    told = {}
    for command, words in zip(commands, COMMANDS):
        error = command.get("error", {})
        text = _ending(command) + (f": {error['message']}" if error else "")
        told[words] = (
            re.sub(r"(?s): .*", ": ...", text) if COMMANDS[words].endswith("...") else text
        )
        assert command["task"] == f"dbt.{words.split()[0]}"
    assert told == COMMANDS
    for command, words in zip(commands, COMMANDS):
        nodes = [run for run in recorded if run.get("parent") == command["run"]]
        assert {run["framework"] for run in nodes} <= {"dbt"}
        assert {run["task"]: _ending(run) for run in nodes} == NODES.get(words, {}), words
    assert len(recorded) == len(COMMANDS) + sum(map(len, NODES.values()))  # each once
