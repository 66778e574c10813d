"""The agent: stands in front of the finders and waits for a framework to be imported.

Started by sitecustomize, once in a process. All that a process pays in which no task ever runs
stands in this file, and it imports nothing (`from __future__` would be an import as well). What
happens when a framework comes is in `autotask.imports`.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

# The table of frameworks. To add one: its lines here, and a module in frameworks/.
# The module that is watched, the names in AUTOTASK_FRAMEWORKS that it serves, and the function of
# our module of which it is told after each time it was executed.
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

# Programs that become by os.exec what they are given. What they are given has the runs: one that
# was opened here would never end.
WRAPPERS = {
    *("ddtrace-run", "elasticapm-run", "newrelic-admin", "opentelemetry-instrument"),
    *("dotenv", "hatch", "pipenv", "pipx", "poetry"),
}

# Programs that start the user's jobs for as long as the machine is up. Each job is a run under no
# other one, and the scheduler is no run of its own, unless autotask-run starts it.
SCHEDULERS = "supervisord circusd yacron"  # one text: each idle process reads it

hooks: "dict[str, list[Callable[[ModuleType], object]]]" = {}  # of modules that tasks brought in


def start() -> None:  # noqa: C901  each function more costs every idle process
    """Watch for the frameworks, and take over the run of this process where nobody else does."""
    environ = os.environ
    if "autotask.agent" in [getattr(finder, "__name__", "") for finder in sys.meta_path]:
        return
    if environ.get("AUTOTASK_ENABLED", "1") != "1":
        from autotask.settings import Settings

        if not Settings(environ).enabled:
            return
    script = sys.argv[0].rpartition("/")[2]
    if script in WRAPPERS:
        from autotask import wrapper

        wrapper.begin(script)
        return
    # A module is an object with a `find_spec` too: no class has to be made.
    sys.meta_path.insert(0, sys.modules[__name__])
    if not sys.modules.keys().isdisjoint(TABLE):  # a .pth file or a peer's sitecustomize was first
        from autotask import imports

        imports.catch_up()
    if "AUTOTASK_FUNCTIONS" in environ:
        from autotask import imports

        imports.watch_functions()
    if "AUTOTASK_PLUGINS" in environ:
        from autotask import imports

        imports.watch_plugins()
    if environ.get("AUTOTASK_PARENT") and (script == "-m" or script in SCHEDULERS):
        from autotask import naming

        if naming.is_scheduler_process():
            environ["AUTOTASK_PARENT"] = ""
    run, _, pid = environ.get("AUTOTASK_PROCESS_RUN", "").partition(":")
    if run and "AUTOTASK_DEBUG" in environ:
        from autotask import imports

        imports.tell_launcher(run)
    if run and pid == str(os.getpid()):
        _leave_word(run)
        return
    if run and pid.startswith(f"{os.getpid()}:"):  # before exec, this process had runs open
        from autotask import imports

        if imports.take_over(f"{run}:{pid}"):
            return
    wanted = environ.get("AUTOTASK_PROCESS", "0" if environ.get("AUTOTASK_PARENT") else "1")
    if wanted != "0" and ("AUTOTASK_PROCESS" in environ or sys.argv[0] not in ("-c", "")):
        from autotask import imports

        imports.load("naming", "process_run")
        sys.modules["autotask.process_run"].begin()


def find_spec(
    name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
) -> "ModuleSpec | None":
    """Find a module that is watched; leave all others to the finders behind us."""
    others = name[:9] != "autotask." or name == "autotask.imports"
    if others and name not in TABLE and name not in hooks:
        return None
    try:
        from autotask import imports
    except Exception:  # errors of our installation must not reach the program
        return None
    try:
        return imports.find(name, path, target)
    except BaseException as problem:  # of a finder behind us
        imports.hide(problem)
        raise


def _leave_word(run: str) -> None:
    """Let this process tell its launcher what it dies of: the launcher ends its run."""
    had_it = "atexit" in sys.modules
    import atexit

    if not had_it and sys.version_info >= (3, 10) and sys.implementation.name == "cpython":
        del sys.modules["atexit"]  # see autotask.stdlib

    def explain() -> None:
        if hasattr(sys, "last_value"):
            try:
                from autotask import process_run
            except Exception:  # errors of our installation must not reach the program
                return
            process_run.explain(run)

    atexit.register(explain)
