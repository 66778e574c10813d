"""Start the agent: once in a process, as early as sitecustomize, in about a millisecond.

Little is imported before there is something to record: each module is files that a stranger's
process must open.
"""

from __future__ import annotations

import os
import sys

from autotask import watch
from autotask.guard import guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_started = False


@guarded
def start() -> None:
    """Watch for the frameworks, and take over the run of this process where nobody else does."""
    global _started
    if _started:
        return
    _started = True
    environ = os.environ
    if "AUTOTASK_ENABLED" in environ and not _enabled():
        return
    watch.install()
    _watch_frameworks()
    if "AUTOTASK_FUNCTIONS" in environ:
        from autotask import functions

        functions.watch_settings()
    if "AUTOTASK_PROCESS_RUN" in environ and _launched(environ["AUTOTASK_PROCESS_RUN"]):
        return
    if "AUTOTASK_PARENT" not in environ or environ.get("AUTOTASK_PROCESS", "auto") != "auto":
        from autotask import program

        program.begin()


def _enabled() -> bool:
    from autotask.config import Settings

    return Settings(os.environ).enabled


def _watch_frameworks() -> None:
    from autotask.frameworks import TABLE

    for name, (frameworks, module, function) in TABLE.items():
        watch.when_imported(name, _instrument(frameworks, module, function))


def _instrument(frameworks: str, module: str, function: str) -> Callable[[ModuleType], None]:
    def hook(imported: ModuleType) -> None:
        from autotask import recorder

        if any(recorder.settings().uses(framework) for framework in frameworks.split()):
            __import__(module)
            getattr(sys.modules[module], function)(imported)

    return hook


def _launched(process_run: str) -> bool:
    """Tell whether a launcher outside has opened the run of this very process, and will end it."""
    run, _, pid = process_run.partition(":")
    if pid != str(os.getpid()):
        return False
    import atexit

    atexit.register(_explain, run)
    return True


@guarded
def _explain(run: str) -> None:
    """Leave word of the exception that this process dies of: the launcher sees only its status."""
    if hasattr(sys, "last_value"):
        from autotask import program, recorder

        exc = program.last_exception()
        if exc is not None:
            recorder.journal_raised(run, exc)
