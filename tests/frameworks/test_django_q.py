"""django-q2: the tasks of a real cluster, with its broker in SQLite, and how each ended."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from frameworks._django import make_project
from frameworks._own import in_short, same
from support import PATIENCE, Under, run_program, runs, start_program, wait_until, write

pytest.importorskip("django_q")

TASKS = """
import os, signal, sys, time
from django.core.management import call_command
def works(*args): print("works", args)
def boom(): raise ValueError("boom")
def leaves(code): sys.exit(code)
def breaks_off(): os._exit(4)
def is_killed(): os.kill(os.getpid(), signal.SIGKILL)
def slow(): time.sleep(60)
def stubborn():
    try: time.sleep(60)
    except BaseException: time.sleep(60)
def calls(): call_command("nightly")
def calls_boom(): call_command("error4")
"""
COMMANDS = {
    "nightly": "print('nightly')",
    "error4": "raise CommandError('no', returncode=4)",
    "enqueues": """
        def add_arguments(self, parser):
            parser.add_argument("tasks")
            parser.add_argument("--sync", action="store_true")
        def handle(self, *args, **options):
            import json
            from django_q.tasks import async_task
            for words in json.loads(options["tasks"]):
                how = {"timeout": 1, "sync": options["sync"]}
                try: async_task(words[0], *words[1:], q_options=how)
                except BaseException as problem: print("raised", repr(problem))
        """,
}
SETTINGS = """
INSTALLED_APPS += ["django_q"]
Q_CLUSTER = {"name": "shop", "workers": 1, "orm": "default", "poll": 0.05, "retry": 3600,
    "timeout": 600, "max_attempts": 1, "ack_failures": True, "save_limit": 0}
"""
# Each task with its arguments, and its runs inside `qcluster`. One cluster executes all.
ROWS: list[tuple[list[object], list[str]]] = [
    (["shop.tasks.works", 1], ["shop.tasks.works success"]),
    (["shop.tasks.boom"], ["shop.tasks.boom failure exception ValueError"]),
    (["shop.tasks.nothing"], ["shop.tasks.nothing failure usage ValueError"]),
    (["shop.tasks.leaves", 3], ["shop.tasks.leaves failure exit 3"]),
    (["shop.tasks.breaks_off"], ["shop.tasks.breaks_off failure exit 4"]),
    (["shop.tasks.is_killed"], ["shop.tasks.is_killed failure signal SIGKILL"]),
    (["shop.tasks.slow"], ["shop.tasks.slow failure timeout TimeoutException"]),
    (["shop.tasks.stubborn"], ["shop.tasks.stubborn failure timeout"]),
    (["shop.tasks.calls"], ["shop.tasks.calls success", "nightly success in shop.tasks.calls"]),
    (
        ["shop.tasks.calls_boom"],
        [
            "shop.tasks.calls_boom failure nested CommandError by error4",
            "error4 failure exit 4 CommandError in shop.tasks.calls_boom",
        ],
    ),
    (["math.sqrt", 4], ["math.sqrt success"]),
]
# Those of a worker that died have none.
RESULTS = 7


def test_a_cluster_executes_as_without_the_agent_and_its_runs_are_recorded(
    project: Path, home: Path
) -> None:
    other = project.with_name("other")
    shutil.copytree(project, other)
    clusters = [_Cluster(project, "bare"), _Cluster(other, "launcher")]
    try:
        wait_until(lambda: _ended(home) == sum(len(expected) for _, expected in ROWS))
        wait_until(lambda: all(len(cluster.results()) == RESULTS for cluster in clusters))
        for cluster in clusters:
            cluster.process.send_signal(signal.SIGTERM)
        ends = [cluster.process.wait(PATIENCE) for cluster in clusters]
    finally:
        for cluster in clusters:
            cluster.kill()
    assert ends == [0, 0]
    assert clusters[0].results() == clusters[1].results()
    found = runs(home)
    lines = in_short(found)
    assert lines[:2] == ["manage.py qcluster success", "qcluster success in manage.py qcluster"]
    told = [line.replace(" in qcluster", "") for line in lines[2:]]
    assert told == [line for _, expected in ROWS for line in expected]
    boom = found[3]
    assert boom["framework"] == "django_q"
    assert boom["error"]["where"] == f"{other / 'shop' / 'tasks.py'}:5"
    assert all(run["waited"] >= 0 for run in found if run["framework"] == "django_q")
    assert not list((home / "open").iterdir())


def test_tasks_that_are_executed_at_once_are_runs(project: Path, home: Path) -> None:
    tasks = json.dumps([["shop.tasks.works", 1], ["shop.tasks.boom"], ["shop.tasks.slow"]])
    words, env = (project / "manage.py", "enqueues", tasks, "--sync"), {"AUTOTASK_PROCESS": "0"}
    with (project / "site_settings.py").open("a") as settings:
        settings.write("\nQ_CLUSTER['log_level'] = 'CRITICAL'\n")  # its lines have chance names
    assert "raised ValueError" in same(*words, cwd=project, env=env).stdout
    assert in_short(runs(home)) == [
        "enqueues success",
        "shop.tasks.works success in enqueues",
        "shop.tasks.boom failure exception ValueError in enqueues",
        "shop.tasks.slow failure timeout TimeoutException in enqueues",
    ]


def _ended(home: Path) -> int:
    return sum(run["status"] != "running" for run in runs(home) if "qcluster" not in run["task"])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a project whose database holds the tasks to execute."""
    made = make_project(tmp_path / "bare", COMMANDS, SETTINGS)
    write(made / "shop" / "tasks.py", TASKS)
    for words in (["migrate", "-v0"], ["enqueues", json.dumps([words for words, _ in ROWS])]):
        ended = run_program(made / "manage.py", *words, under="bare", cwd=made)
        assert ended.status == 0, ended.stderr
    return made


class _Cluster:
    """A cluster in its project, bare or under autotask-run."""

    def __init__(self, project: Path, under: Under) -> None:
        self._log = project.with_suffix(".log")
        with self._log.open("wb") as log:
            self.process = start_program(
                *(project / "manage.py", "qcluster"),
                under=under,
                cwd=project,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def results(self) -> list[tuple[str, str]]:
        """Return what the cluster has logged of the ends of tasks."""
        return sorted(re.findall(r"(Processed|Failed) '([^']+)'", self._log.read_text()))

    def kill(self) -> None:
        """End what is left of it."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
