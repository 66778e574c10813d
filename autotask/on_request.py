"""What few processes need as they start: functions, plugins, a sign to the launcher, runs to go on.

Loaded by the agent if a setting asks for one of these: no other process pays for them.
"""

import os
import sys

from autotask.loading import call_hook, load, swallow, when_imported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any, Optional

    Hook = Callable[[ModuleType], None]


def start(imports: "Any", run: str, became: "Optional[str]") -> bool:
    """Do what the settings ask for; return whether this process has its runs from before exec.

    *run* is the process run that a launcher has opened, *became* the runs that were handed over.
    *imports* is the module `autotask.imports`, which loads this one.
    """
    for name in imports.TABLE.split()[::4]:  # imported before the agent was among the finders
        if name in sys.modules:
            call_hook(imports.instrument, sys.modules[name])
    if "AUTOTASK_FUNCTIONS" in os.environ or "AUTOTASK_PLUGINS" in os.environ:
        load("guard", "stdlib", "settings")  # an import statement would leave `__future__` behind
        settings = sys.modules["autotask.settings"].Settings(os.environ)
        for name, qualname, task in settings.functions:
            when_imported(name, _function_hook(imports.load, qualname, task))
        for name, plugin, function in settings.plugins:
            when_imported(name, _plugin_hook(imports.load, plugin, function))
    if run and "AUTOTASK_DEBUG" in os.environ:
        imports.load("marks")
        _sign_mark(run)
    if not became:
        return False
    imports.load("naming", "exits", "process_run", "exec_handover")
    return _take_over(f"{run}:{became}")


def _take_over(handed_over: str) -> bool:
    """Go on with the runs that this process had open before exec, if they can be read."""
    from autotask import exec_handover, guard, process_run, recorder

    runs = exec_handover.take_over(handed_over, recorder)
    if runs:
        guard.guarded(process_run.follow)(runs)
    return bool(runs)


def _function_hook(load: "Callable[..., None]", qualname: str, task: str) -> "Hook":
    def make_task(module: "ModuleType") -> None:
        load("functions")  # not earlier: it imports wrapt
        sys.modules["autotask.functions"].replace(module, qualname, task)

    return make_task


def _plugin_hook(load: "Callable[..., None]", plugin: str, function: str) -> "Hook":
    def call_plugin(module: "ModuleType") -> None:
        load("frameworks", "plugin")
        try:
            __import__(plugin)
            getattr(sys.modules[plugin], function)(module)
        except SystemExit as problem:  # the plugin exits, not the program
            swallow(plugin, problem)

    return call_plugin


def _sign_mark(run: str) -> None:
    """Show the launcher, which asks for it, that the agent is in its command."""
    from autotask import journal, marks, recorder

    settings = recorder.settings()
    if settings.journal and settings.home:
        segments = journal.Journal(settings.home)
        segments.position()  # finds out which home this user may write
        if segments.is_open():
            segments.close()
            marks.sign_mark(segments.home, f"launcher-{run}-")
