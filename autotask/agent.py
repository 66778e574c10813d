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

# The table of frameworks. To add one: its lines here, and a module in frameworks/.
# Module to watch: the names in AUTOTASK_FRAMEWORKS that it serves, our module in frameworks/, and
# its function that is called with the module each time that has been executed.
TABLE = {
    "click.core": ("click typer", "click", "instrument"),
    "asyncclick.core": ("asyncclick", "asyncclick", "instrument"),
    "typer._click.core": ("typer", "click", "instrument"),  # 0.26 and later
    "typer.core": ("typer", "click", "instrument_typer"),
    "invoke.tasks": ("invoke", "invoke", "instrument_tasks"),
    "invoke.executor": ("invoke", "invoke", "instrument_executor"),
    "invoke.program": ("invoke", "invoke", "instrument_program"),
    "doit.task": ("doit", "doit", "instrument_task"),
    "doit.runner": ("doit", "doit", "instrument_runner"),
    "doit.doit_cmd": ("doit", "doit", "instrument_main"),
}

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
        not sys.modules.keys().isdisjoint(TABLE)  # a .pth file or a peer's sitecustomize was first
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
        sys.modules["autotask.imports"].load("naming", "process_run")
        sys.modules["autotask.process_run"].begin()


def find_spec(
    name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
) -> "ModuleSpec | None":
    """Find a module that is watched; leave all others to the finders behind us."""
    # These two find all other modules of autotask, so they are left to the other finders.
    others = name[:9] != "autotask." or name in ("autotask.imports", "autotask.loading")
    if others and name not in TABLE and name not in hooks:
        return None
    global _imports
    try:
        if _imports is None:
            from autotask import loading

            loading.load("imports")
            _imports = sys.modules["autotask.imports"]
    except Exception:  # errors of our installation must not reach the program
        return None
    try:
        return _imports.find(name, path, target)  # type: ignore[no-any-return]
    except BaseException as problem:  # of a finder behind us
        _imports.hide(problem)
        raise


def _explain_at_exit(run: str) -> None:
    """Leave word at exit of the exception that ends this process: its launcher ends the run."""
    had_atexit = "atexit" in sys.modules
    import atexit

    if not had_atexit and sys.version_info >= (3, 10) and sys.implementation.name == "cpython":
        del sys.modules["atexit"]  # see autotask.stdlib

    def explain() -> None:
        if hasattr(sys, "last_value"):
            try:
                from autotask import process_run
            except Exception:  # errors of our installation must not reach the program
                return
            process_run.explain(run)

    atexit.register(explain)
