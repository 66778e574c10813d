"""The agent: the first finder on sys.meta_path, which waits for a framework to be imported.

sitecustomize starts it, once in a process. This file is the whole cost of a process that never runs
a task, so it imports nothing (`from __future__` would be an import as well). What happens when a
framework is imported is in `autotask.imports`, which this file and no other one loads.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence  # noqa: F401  in type comments
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any  # noqa: F401

# The modules to watch: those of the table of frameworks in `autotask.imports`, which a test holds
# equal. One text, because each idle process reads it.
WATCHED = frozenset(
    """
    click.core asyncclick.core typer._click.core typer.core
    invoke.tasks invoke.executor invoke.program
    doit.task doit.runner doit.doit_cmd
    rq.worker rq.queue huey.api huey.consumer
    apscheduler.executors.base apscheduler.executors.base_py3 apscheduler.executors.pool
    luigi.task luigi.worker schedule
    dramatiq.worker dramatiq.broker dramatiq.cli arq.worker procrastinate.worker
    django.core.management.base django.core.management
    django_crontab.crontab django.tasks.base django_tasks.base
    django.tasks.backends.immediate django_tasks.backends.immediate
    django_q.worker django_q.cluster
    celery.app.trace celery.app.amqp celery.worker.request billiard.pool
    argparse docopt fire.core cyclopts.core cleo.commands.base_command cleo.application
    cliff.app cliff.commandmanager
    dbt.task.base dbt.cli.exceptions nox.sessions
    scrapy.crawler scrapy.core.engine scrapy.core.scraper scrapy.logformatter scrapy.utils.log
    airflow.sdk.execution_time.task_runner airflow.models.taskinstance
    """.split()
)

# Launchers that exec() their argument. The program that they become owns the run: one that was
# opened here would never end.
EXEC_LAUNCHERS = {
    *("ddtrace-run", "elasticapm-run", "newrelic-admin", "opentelemetry-instrument"),
    *("dotenv", "hatch", "pipenv", "pipx", "poetry"),
}

# As in `naming`, which explains them. One text, because each idle process reads it.
SCHEDULERS = "supervisord circusd yacron"

# Comments give these types: an annotation here would cost each idle process.
hooks = {}  # type: dict[str, list[Callable[[ModuleType], object]]]  # see `loading.when_imported`
_imports = None  # type: Any  # our module, once it is loaded


def start() -> None:  # noqa: C901  each function more costs every idle process
    """Watch for the frameworks, and open this process's own run unless a parent has opened it."""
    environ = os.environ
    if "autotask.agent" in [getattr(finder, "__name__", "") for finder in sys.meta_path]:
        return
    if environ.get("AUTOTASK_ENABLED", "1") != "1":
        from autotask.settings import Settings

        if not Settings(environ).enabled:
            return
    script = sys.argv[0].rpartition("/")[2]
    if script in EXEC_LAUNCHERS:
        from autotask import exec_launchers

        exec_launchers.begin(script)
        return
    # A module is an object with a `find_spec` too: no class has to be made.
    sys.meta_path.insert(0, sys.modules[__name__])
    if environ.get("AUTOTASK_PARENT") and (script == "-m" or script in SCHEDULERS):
        from autotask import naming

        if naming.is_scheduler_process():
            environ["AUTOTASK_PARENT"] = ""
    run, _, pid = environ.get("AUTOTASK_PROCESS_RUN", "").partition(":")
    became = run and pid.startswith(f"{os.getpid()}:")  # before exec, this process had runs open
    if (
        # A .pth file or a peer's sitecustomize was first.
        not sys.modules.keys().isdisjoint(WATCHED)
        or "AUTOTASK_FUNCTIONS" in environ
        or "AUTOTASK_PLUGINS" in environ
        or (run and (became or "AUTOTASK_DEBUG" in environ))
    ):
        from autotask import loading

        loading.load("imports", "on_request")
        imports = sys.modules["autotask.imports"]
        if sys.modules["autotask.on_request"].start(imports, run, became and pid):
            return
    if run and pid == str(os.getpid()):
        _explain_at_exit(run)
        return
    own_run = environ.get("AUTOTASK_PROCESS", "0" if environ.get("AUTOTASK_PARENT") else "1")
    if own_run != "0" and ("AUTOTASK_PROCESS" in environ or sys.argv[0] not in ("-c", "")):
        from autotask import loading

        loading.load("imports")
        sys.modules["autotask.imports"].load("naming", "exits", "process_run")
        sys.modules["autotask.process_run"].begin()


def find_spec(
    name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
) -> "ModuleSpec | None":
    """Find a module that is watched; leave all others to the finders behind us."""
    # These two find all other modules of autotask, so they are left to the other finders.
    others = name[:9] != "autotask." or name in ("autotask.imports", "autotask.loading")
    if others and name not in WATCHED and name not in hooks:
        return None
    global _imports
    finder = _imports
    try:
        if name == "argparse" and name not in hooks:  # most who import it have no subcommands
            own = "autotask.argparse_import"
            finder = sys.modules.get(own)
            if finder is None:  # alone, and as sitecustomize loads us: in a tenth
                loader = sys.modules["_frozen_importlib_external"].SourceFileLoader
                finder = type(sys)(own)
                finder.__package__ = "autotask"
                loader(own, __file__[:-8] + "argparse_import.py").exec_module(finder)
                sys.modules[own] = finder
        elif finder is None:
            from autotask import loading

            loading.load("imports")
            finder = _imports = sys.modules["autotask.imports"]
    except Exception:  # errors of our installation must not reach the program
        return None
    try:
        return finder.find(name, path, target)  # type: ignore[no-any-return]
    except BaseException as problem:  # of a finder behind us
        from autotask import imports

        imports.hide(problem)
        raise


def _explain_at_exit(run: str) -> None:
    """Leave word at exit of the exception that ends this process: its launcher ends the run."""
    had_atexit = "atexit" in sys.modules
    import atexit

    if not had_atexit and sys.version_info >= (3, 10) and sys.implementation.name == "cpython":
        del sys.modules["atexit"]  # see autotask.stdlib

    pid = os.getpid()

    def explain() -> None:
        if hasattr(sys, "last_value") and os.getpid() == pid:  # not in a child that it has forked
            try:
                from autotask import process_run
            except Exception:  # errors of our installation must not reach the program
                return
            process_run.explain(run)

    atexit.register(explain)
