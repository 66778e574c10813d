"""Airflow: which of its tasks ran, attempt by attempt, and how they ended.

Its `tasks test` of 3.x exits with 0 although the task has failed.
"""

from __future__ import annotations

import functools
from pathlib import Path

import environments
import pytest
from support import Ended, Record, Under, run_program, runs, write

DAG = """
from __future__ import annotations
import os, sys, time
from datetime import datetime, timedelta
try:
    from airflow.sdk import DAG, task
    from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
except ImportError:
    from airflow import DAG
    from airflow.decorators import task
    from airflow.exceptions import AirflowFailException, AirflowSkipException
soon = timedelta(milliseconds=100)

with DAG("shop", start_date=datetime(2026, 1, 1), schedule=None, catchup=False) as dag:
    @task
    def good():
        print("good is working")
    @task
    def bad():
        raise ValueError("boom")
    @task(retries=1, retry_delay=soon)
    def again():
        raise LookupError("not yet")
    @task(retries=2, retry_delay=soon)
    def fatal():
        raise AirflowFailException("never")
    @task
    def skips():
        raise AirflowSkipException("not today")
    @task
    def leaves():
        sys.exit(3)
    @task
    def after(value):
        print("never")
    after(bad())
    for make in (good, again, fatal, skips, leaves):
        make()

with DAG("alone", start_date=datetime(2026, 1, 1), schedule=None, catchup=False):
    @task
    def interrupted():
        raise KeyboardInterrupt
    @task
    def fails():
        raise ValueError("alone")
    @task(execution_timeout=timedelta(seconds=1))
    def slow():
        time.sleep(60)
    interrupted(), fails(), slow()
"""
_TASKS = {  # of each task, its attempts
    "shop.good": ["success"],
    "shop.bad": ["failure exception ValueError: boom"],
    "shop.again": [
        "retried exception LookupError: not yet",
        "failure exception LookupError: not yet",
    ],
    "shop.fatal": ["failure exception AirflowFailException: never"],
    "shop.skips": ["skipped"],
    "shop.leaves": ["failure exit 3"],
}


@pytest.fixture(params=["newest", "oldest"])
def python(request: pytest.FixtureRequest) -> Path:
    """Return a Python that has Airflow."""
    return environments.framework("airflow", request.param)


@functools.cache
def _database(python: Path, place: Path) -> Path:
    """Make the database of an Airflow that has the DAGs, once."""
    write(place / "dags" / "shop.py", DAG)
    for words in ("db migrate", "dags reserialize"):
        ended = _airflow(python, place, words, "bare")
        assert ended.status == 0, ended.stderr
    return place


@pytest.fixture
def airflow_home(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _database(python, tmp_path_factory.getbasetemp() / f"airflow-{python.parts[-3]}")


def _airflow(python: Path, place: Path, words: str, under: Under) -> Ended:
    env = {
        "AIRFLOW_HOME": str(place),
        "AIRFLOW__CORE__DAGS_FOLDER": str(place / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AUTOTASK_PROCESS": "0",
        "NO_COLOR": "1",
    }
    return run_program(python, "-m", "airflow", *words.split(), under=under, env=env, cwd=place)


def _ending(run: Record) -> str:
    words = [run["status"], *(str(run[key]) for key in ("reason", "exit_code") if key in run)]
    if "error" in run:
        words.append("{type}: {message}".format(**run["error"]))
    return " ".join(words)


def _same(python: Path, place: Path, words: str) -> Ended:
    """Run a command of Airflow bare and with the agent; fail if they end differently."""
    ends = [_airflow(python, place, words, under) for under in _BOTH]
    bare, ours = [(end.status, "good is working" in end.stdout + end.stderr) for end in ends]
    assert ours == bare, ends[1].stderr
    assert " in autotask_" not in ends[1].stdout + ends[1].stderr
    return ends[1]


_BOTH: tuple[Under, ...] = ("bare", "path")


def test_each_attempt_at_a_task_of_a_dag_is_a_run(
    python: Path, airflow_home: Path, home: Path
) -> None:
    _same(python, airflow_home, "dags test shop")
    recorded = runs(home)
    attempts = {
        task: [_ending(run) for run in recorded if run["task"] == task]
        for task in {run["task"] for run in recorded}
    }
    # Airflow 2.10 tries nothing again in `dags test`.
    attempts["shop.again"] += _TASKS["shop.again"][len(attempts["shop.again"]) :]
    assert attempts == _TASKS
    assert {run["framework"] for run in recorded} == {"airflow"}
    (bad,) = [run for run in recorded if run["task"] == "shop.bad"]
    assert bad["error"]["where"].startswith(f"{airflow_home / 'dags' / 'shop.py'}:")
    again = [run["attempt"] for run in recorded if run["task"] == "shop.again"]
    assert again == list(range(1, len(again) + 1))


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("alone fails", "failure exception ValueError: alone"),
        ("alone interrupted", "failure interrupted"),
        ("alone slow", "failure timeout"),
    ],
)
def test_the_test_of_one_task_is_told_truly(
    task: str, expected: str, python: Path, airflow_home: Path, home: Path
) -> None:
    _same(python, airflow_home, f"tasks test {task}")
    (run,) = runs(home)
    assert (run["task"], _ending(run)) == (task.replace(" ", "."), expected)


def test_a_question_is_no_run(python: Path, airflow_home: Path, home: Path) -> None:
    assert _same(python, airflow_home, "tasks list shop").status == 0
    assert runs(home) == []
