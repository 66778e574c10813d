"""django-crontab: each job is a run, and its failure is known although the process exits with 0."""

from __future__ import annotations

import fcntl
import hashlib
import json
import tempfile
from pathlib import Path

import pytest
from frameworks._django import make_project
from frameworks._own import in_short, same
from support import runs, write

pytest.importorskip("django_crontab")

JOBS = """
import logging, sys
from django.core.management import call_command
log = logging.getLogger("django_crontab.crontab")
def works(): print("works")
def given(*args, **kwargs): print("given", args, kwargs)
def boom(): raise ValueError("boom")
def leaves(code=None): sys.exit(code)
def interrupted(): raise KeyboardInterrupt
def calls(): call_command("nightly")
def calls_boom(): call_command("error")
def logs():
    try: 1 / 0
    except ZeroDivisionError: log.exception("Not done: %s", "a")
    log.info("going on")
"""
CRONJOBS = [
    ["0 1 * * *", "shop.cron.works"],
    ["0 1 * * *", "shop.cron.given", [1], {"b": 2}],
    ["0 1 * * *", "shop.cron.works", ">> /dev/null"],
    ["0 1 * * *", "shop.cron.boom"],
    ["0 1 * * *", "shop.cron.leaves", [3]],
    ["0 1 * * *", "shop.cron.leaves"],
    ["0 1 * * *", "shop.cron.leaves", ["a text"]],
    ["0 1 * * *", "shop.cron.interrupted"],
    ["0 1 * * *", "shop.cron.calls"],
    ["0 1 * * *", "shop.cron.calls_boom"],
    ["0 1 * * *", "shop.cron.logs"],
    ["0 1 * * *", "shop.cron.missing"],
    ["0 1 * * *", "shop.nowhere.works"],
    ["0 1 * * *", "django.core.management.call_command", ["nightly"]],
]
SETTINGS = f"""
INSTALLED_APPS += ["django_crontab"]
CRONJOBS = {CRONJOBS!r}
LOGGING = {{
    "version": 1,
    "formatters": {{"all": {{"format": "%(levelname)s %(module)s:%(lineno)d %(message)s"}}}},
    "handlers": {{"all": {{"class": "logging.StreamHandler", "formatter": "all"}}}},
    "root": {{"handlers": ["all"], "level": "INFO"}},
}}
"""
COMMANDS = {"nightly": "print('nightly')", "error": "raise CommandError('no', returncode=4)"}
# Runs each job in a command of its own.
DRIVER = """
import json, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
from django.core.management import execute_from_command_line
for hashed in json.loads(sys.argv.pop()):
    print("##", hashed, flush=True)
    try: execute_from_command_line(["manage.py", "crontab", "run", hashed])
    except Exception as problem: print("raised", repr(problem), flush=True)
"""
# By job: the runs inside the command `crontab`, which `in crontab` follows.
EXPECTED = [
    ["shop.cron.works success"],
    ["shop.cron.given success"],
    ["shop.cron.works success"],
    ["shop.cron.boom failure exception ValueError"],
    ["shop.cron.leaves failure exit 3"],
    ["shop.cron.leaves success"],
    ["shop.cron.leaves failure exit 1 SystemExit"],
    ["shop.cron.interrupted failure interrupted"],
    ["shop.cron.calls success", "nightly success in shop.cron.calls"],
    [
        "shop.cron.calls_boom failure nested CommandError by error",
        "error failure exit 4 CommandError in shop.cron.calls_boom",
    ],
    ["shop.cron.logs success"],
    ["shop.cron.missing failure exception AttributeError"],
    ["shop.nowhere.works failure exception ModuleNotFoundError"],
    [
        "django.core.management.call_command success",
        "nightly success in django.core.management.call_command",
    ],
]


def _hashed(job: object) -> str:
    text = json.JSONEncoder(sort_keys=True).encode(job)
    return hashlib.md5(text.encode()).hexdigest()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    made = make_project(tmp_path / "project", COMMANDS, SETTINGS)
    write(made / "shop" / "cron.py", JOBS)
    write(made / "driver.py", DRIVER)
    return made


def test_each_job_is_a_run_inside_the_command(project: Path, home: Path) -> None:
    hashes = [_hashed(job) for job in CRONJOBS]
    same(project / "driver.py", json.dumps(hashes), cwd=project, env={"AUTOTASK_PROCESS": "0"})
    found: list[list[str]] = []
    for line in in_short(runs(home)):
        if line.startswith("crontab "):
            found.append([])
        else:
            found[-1].append(line.replace(" in crontab", ""))
    assert found == EXPECTED
    commands = [line for line in in_short(runs(home)) if line.startswith("crontab")]
    assert [line for line in commands if line != "crontab success"] == [
        "crontab failure nested AttributeError by shop.cron.missing",
        "crontab failure nested ModuleNotFoundError by shop.nowhere.works",
    ]
    (boom,) = [run for run in runs(home) if run["task"] == "shop.cron.boom"]
    assert boom["framework"] == "django"
    assert boom["error"]["where"] == f"{project / 'shop' / 'cron.py'}:7"


def test_a_job_that_is_locked_is_skipped(project: Path, home: Path) -> None:
    job = _hashed(CRONJOBS[0])
    with (project / "site_settings.py").open("a") as settings:
        settings.write("\nCRONTAB_LOCK_JOBS = True\n")
    words = (project / "manage.py", "crontab", "run", job)
    with (Path(tempfile.gettempdir()) / f"django_crontab_{job}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        same(*words, cwd=project, env={"AUTOTASK_PROCESS": "0"})
    same(*words, cwd=project, env={"AUTOTASK_PROCESS": "0"})
    assert in_short(runs(home)) == [
        "crontab success",
        "shop.cron.works skipped locked in crontab",
        "crontab success",
        "shop.cron.works success in crontab",
    ]


def test_a_job_that_is_not_in_the_settings_is_the_commands_failure(
    project: Path, home: Path
) -> None:
    words = (project / "manage.py", "crontab", "run", "0123")
    same(*words, cwd=project, env={"AUTOTASK_PROCESS": "0"})
    assert in_short(runs(home)) == ["crontab failure exception RuntimeError"]


def test_a_silent_log_hides_no_failure(project: Path, home: Path) -> None:
    with (project / "site_settings.py").open("a") as settings:
        settings.write("\nLOGGING['root']['level'] = 'CRITICAL'\n")
    words = (project / "manage.py", "crontab", "run", _hashed(CRONJOBS[3]))
    assert same(*words, cwd=project, env={"AUTOTASK_PROCESS": "0"}).stderr == ""
    assert in_short(runs(home))[1] == "shop.cron.boom failure exception ValueError in crontab"
