"""Django's own tasks, and django-tasks: each execution is a run, although they raise nothing."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from frameworks._django import make_project
from frameworks._own import in_short, same
from support import runs, write

pytest.importorskip("django")
PACKAGES = [name for name in ("django.tasks", "django_tasks") if find_spec(name)]
if not PACKAGES:
    pytest.skip("neither Django 6 nor django-tasks", allow_module_level=True)

TASKS = """
import sys
from django.core.management import call_command
from {package} import signals, task
def listens(**_): raise OSError(5, "in a receiver")
@task
def works(n=1): print("works", n)
@task(takes_context=True)
def given(context): print("attempt", context.attempt)
@task
async def later(): print("later")
@task
def boom(): raise ValueError("boom")
@task
def leaves(): sys.exit(3)
@task
def returns(): return object()
@task
def asks(): print(works.enqueue(5).status)
@task
def calls(): call_command("error4")
"""
COMMANDS = {
    "error4": "raise CommandError('no', returncode=4)",
    "enqueues": """
        from shop import tasks
        for name in "works given later boom leaves returns asks calls direct".split():
            if name == "direct": print(tasks.works.call(7)); break
            result = getattr(tasks, name).enqueue()
            print(name, result.status, [error.exception_class_path for error in result.errors])
        print(tasks.boom.enqueue().errors[0].traceback)
        for signal in tasks.signals.task_started, tasks.signals.task_finished:
            signal.connect(tasks.listens)
            try: tasks.works.enqueue(9)
            except OSError as exc: print(exc)
            signal.disconnect(tasks.listens)
        """,
}


@pytest.mark.parametrize("package", PACKAGES)
def test_each_execution_is_a_run(package: str, tmp_path: Path, home: Path) -> None:
    backend = f"{package}.backends.immediate.ImmediateBackend"
    settings = f"""
    TASKS = {{"default": {{"BACKEND": "{backend}"}}}}
    LOGGING = {{"version": 1, "loggers": {{"{package}": {{"level": "CRITICAL"}}}}}}
    """
    project = make_project(tmp_path / "project", COMMANDS, settings)
    write(project / "shop" / "tasks.py", TASKS.format(package=package))
    same(project / "manage.py", "enqueues", cwd=project, env={"AUTOTASK_PROCESS": "0"})
    found = runs(home)
    assert in_short(found) == [
        "enqueues success",
        "shop.tasks.works success in enqueues",
        "shop.tasks.given success in enqueues",
        "shop.tasks.later success in enqueues",
        "shop.tasks.boom failure exception ValueError in enqueues",
        "shop.tasks.leaves failure exit 3 in enqueues",
        "shop.tasks.returns failure exception TypeError in enqueues",
        "shop.tasks.asks success in enqueues",
        "shop.tasks.works success in shop.tasks.asks",
        "shop.tasks.calls failure nested CommandError by error4 in enqueues",
        "error4 failure exit 4 CommandError in shop.tasks.calls",
        "shop.tasks.works success in enqueues",
        "shop.tasks.boom failure exception ValueError in enqueues",
        "shop.tasks.works failure exception OSError in enqueues",  # it has not begun
        "shop.tasks.works success in enqueues",
    ]
    assert {run["framework"] for run in found} == {"django"}
    assert found[4]["error"]["where"] == f"{project / 'shop' / 'tasks.py'}:13"
