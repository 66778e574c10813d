"""The agent: watches for the frameworks' imports, and instruments what comes.

Started by sitecustomize, once in a process. All that a process pays in which no task ever runs
stands in this one file, and it imports nothing: each module more is ten system calls and a
quarter of a million instructions in a stranger's process (`from __future__` is one as well).
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    Hook = Callable[[ModuleType], object]

# The table of frameworks. To add one: its lines here, and a module in frameworks/.
# The module that is watched, the names in AUTOTASK_FRAMEWORKS that it serves, and the function of
# our module of which it is told after each time it was executed.
TABLE = {
    "click.core": ("click typer", "click", "instrument"),
    "typer._click.core": ("typer", "click", "instrument"),  # 0.26 and later
    "typer.core": ("typer", "click", "instrument_typer"),
    "invoke.tasks": ("invoke", "invoke", "instrument_tasks"),
    "invoke.executor": ("invoke", "invoke", "instrument_executor"),
    "invoke.program": ("invoke", "invoke", "instrument_program"),
    "doit.task": ("doit", "doit", "instrument_task"),
    "doit.runner": ("doit", "doit", "instrument_runner"),
    "doit.doit_cmd": ("doit", "doit", "instrument_main"),
}

_hooks: "dict[str, list[Hook]]" = {}


def start() -> None:
    """Watch for the frameworks, and take over the run of this process where nobody else does."""
    if any(type(finder) is _Finder for finder in sys.meta_path):
        return
    environ = os.environ
    if "AUTOTASK_ENABLED" in environ and not _settings_say("enabled"):
        return
    sys.meta_path.insert(0, _Finder())  # type: ignore[arg-type]
    for name in TABLE:
        if name in sys.modules:
            _tell(_instrument, sys.modules[name])
    if "AUTOTASK_FUNCTIONS" in environ:
        from autotask import functions

        functions.watch_settings()
    if "AUTOTASK_PROCESS_RUN" in environ and _launched(environ["AUTOTASK_PROCESS_RUN"]):
        return
    if "AUTOTASK_PROCESS" in environ or not ("AUTOTASK_PARENT" in environ or _is_no_program()):
        from autotask import program

        program.begin()


def when_imported(name: str, hook: "Hook") -> None:
    """Call *hook* with a module after each time it is executed, and now if it is there.

    An error in a hook never reaches the importing program.
    """
    _hooks.setdefault(name, []).append(hook)
    module = sys.modules.get(name)
    if module is not None and not getattr(module.__spec__, "_initializing", False):
        _tell(hook, module)


class _Finder:
    """Finds nothing itself: asks the finders behind it, and lends their loader our ear.

    For the time of one import the loader has an `exec_module` of ours. So the module keeps its
    real spec and loader, and `python -m`, importlib.resources and reload see nothing of us.
    """

    def find_spec(
        self,
        name: str,
        path: "Sequence[str] | None" = None,
        target: "ModuleType | None" = None,
    ) -> "ModuleSpec | None":
        if name not in TABLE and name not in _hooks:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if find is None or type(finder) is _Finder:
                continue
            spec: ModuleSpec | None = find(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    _lend(name, spec.loader)
                return spec
        return None


def _lend(name: str, loader: "Any") -> None:
    """Give a loader an exec_module that takes itself back, executes, and tells our hooks."""
    own = loader.exec_module

    def exec_module(module: "ModuleType") -> None:
        if module.__name__ != name:  # a loader that several modules share
            own(module)
            return
        getattr(loader, "__dict__", {}).pop("exec_module", None)
        own(module)
        if name in TABLE:
            _tell(_instrument, module)
        for hook in _hooks.get(name, ()):
            _tell(hook, module)

    try:
        loader.exec_module = exec_module
    except Exception as problem:  # a loader that takes no attribute: unwatched, and as it was
        _swallow("_lend", problem)


def _tell(hook: "Hook", module: "ModuleType") -> None:
    try:
        hook(module)
    except Exception as problem:
        _swallow(module.__name__, problem)


def _swallow(where: str, problem: Exception) -> None:
    from autotask.guard import swallow

    swallow(where, problem)


def _instrument(module: "ModuleType") -> None:
    """Hand a framework's module to ours, if it is wanted."""
    from autotask import recorder

    served, ours, function = TABLE[module.__name__]
    if any(recorder.settings().uses(framework) for framework in served.split()):
        ours = "autotask.frameworks." + ours
        __import__(ours)
        getattr(sys.modules[ours], function)(module)


def _settings_say(switch: str) -> bool:
    from autotask.config import Settings

    return bool(getattr(Settings(os.environ), switch))


def _is_no_program() -> bool:
    """Tell `-c` and an interactive interpreter, most cheaply: they are the most frequent."""
    argv = getattr(sys, "argv", None)
    return not argv or argv[0] in ("-c", "")


def _launched(process_run: str) -> bool:
    """Tell whether a launcher outside has opened the run of this very process, and will end it."""
    run, _, pid = process_run.partition(":")
    if pid != str(os.getpid()):
        return False
    import atexit

    atexit.register(_explain, run)
    return True


def _explain(run: str) -> None:
    """Leave word of the exception that this process dies of: the launcher sees only its status."""
    if not hasattr(sys, "last_value"):
        return
    try:
        from autotask import program, recorder

        exc = program.last_exception()
        if exc is not None:
            recorder.journal_raised(run, exc)
    except Exception as problem:
        _swallow("_explain", problem)
