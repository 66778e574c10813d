"""The run of a whole process, from inside: for processes that no launcher records from outside.

The interpreter stores an uncaught exception in `sys.last_value`, even if sys.excepthook was
replaced (Typer and others do). A status given to `sys.exit` or `exit` is noted on the way. The
status of a plain `raise SystemExit(3)` is unknown: the interpreter drops that exception before it
calls us.
"""

from __future__ import annotations

import os
import sys
import time

from autotask import recorder
from autotask.exits import note_exits, noted_exit
from autotask.guard import guarded
from autotask.journal import raised_line
from autotask.naming import is_pex, is_tool, process_name, serves_itself
from autotask.run import Outcome, exited, passed_on, raised
from autotask.settings import PARENT
from autotask.stdlib import standard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from autotask.run import Run

followed: list[Run] = []  # the runs that end with this program: the first is the outermost


def _innermost_name(command: list[str]) -> str:
    """Name what a command leads to: see `naming.name_of`."""
    from autotask import command_name

    return command_name.innermost_name(command)


def begin() -> None:
    """Open this process's own run, if it has one: a root process with a script or a module."""
    wanted = recorder.settings()
    if os.environ.get(PARENT) and (wanted.process == "auto" or not _is_main_interpreter()):
        return  # it belongs to the run above it
    task = process_name(wanted, _innermost_name)
    if task is None and is_tool():
        os.environ["AUTOTASK_PROCESS"] = "0"  # what pip starts to build a package is not a task
    if task is None or is_pex(sys.argv[0]):  # a PEX drops us before its end
        return
    run = recorder.state.program = recorder.start(
        task, "process", serves=serves_itself(_innermost_name)
    )
    if run is not None:
        follow([run])


def follow(runs: list[Run]) -> None:
    """Note how this program ends, and end these runs with it: the first is the outermost."""
    followed.extend(runs)
    note_exits()
    script = sys.modules.get("__main__") if _is_script() else None
    standard("atexit").register(_finish, script)


def _is_main_interpreter() -> bool:
    """Tell whether this is the process's first interpreter, which has the program's one run."""
    try:
        if sys.version_info >= (3, 13):
            interpreters = standard("_interpreters")
        else:
            interpreters = standard("_xxsubinterpreters")
    except ImportError:
        return True
    return bool(interpreters.get_current() == interpreters.get_main())


@guarded
def explain(run_id: str) -> None:
    """Journal the exception that ends this process: the launcher sees only its status."""
    exc = last_exception()
    if exc is None or _was_caught(exc):
        return
    here = recorder.state.process
    if here is None or here.pid != os.getpid():
        here = recorder.Process(recorder.settings())
    if here.journal:
        outcome, root = recorder.judged(exc), here.root or run_id
        rest = recorder.state.program  # see `autotask.rest`
        if rest is not None and rest.ended is None:
            here.journal.append(raised_line(rest.id, root, time.time(), outcome))
            outcome = passed_on(outcome, outcome.caused_by or rest.id)
        here.journal.append(raised_line(run_id, root, time.time(), outcome))


def last_exception() -> BaseException | None:
    """Return the uncaught exception, or None."""
    last = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    if isinstance(last, SystemExit):  # `python -i` keeps it, and goes on
        return None
    return last if isinstance(last, BaseException) else None


def _was_caught(exc: BaseException) -> bool:
    """Tell whether it was caught, and stored for debuggers: pytest and IPython do that.

    An uncaught exception has left the outermost frame of its thread.
    """
    step = exc.__traceback__
    return step is not None and step.tb_frame.f_back is not None


def _is_script() -> bool:
    """Tell whether this runs a script, with no prompt after it."""
    return sys.argv[0] not in ("", "-", "-c", "-m") and not sys.flags.inspect


@guarded
def _finish(script: ModuleType | None) -> None:
    outcome = _outcome(followed[-1], script)
    for run in reversed(followed):
        recorder.end(run, outcome)
        if outcome.status == "failure":
            outcome = recorder.nested(run, outcome)


def _outcome(run: Run, script: ModuleType | None) -> Outcome:
    exc = last_exception()
    if exc is not None and not (noted_exit and _was_caught(exc)):
        return recorder.judged(exc, run)
    status = _status(script)
    if isinstance(status, (int, type(None))):
        outcome = exited(status)
        cause = _failed_inside(run, outcome.exit_code)
    else:  # a text: only a task that has given one can be the cause
        outcome = raised(SystemExit(status))
        cause = _failed_inside(run, 1) if run.failed and run.failed[1] == 1 else None
    return passed_on(outcome, cause) if outcome.status == "failure" and cause else outcome


def _failed_inside(run: Run, exit_code: int | None) -> str | None:
    """Return the id of the failed run inside *run* that may be why it ends with an exit code."""
    if run.failed is None:
        return None
    framework, its_code, cause = run.failed
    from autotask.frameworks import HAS_OWN_STATUSES

    return cause if framework in HAS_OWN_STATUSES or its_code in (None, exit_code) else None


def _status(script: ModuleType | None) -> object:
    """Return what the program gave to its exit, if that ended it; None is success.

    CPython deletes `__file__` of a script that has returned, but not of one that SystemExit has
    left: if it is gone, the program has caught the SystemExit that we noted.
    """
    if script is not None and not hasattr(script, "__file__"):
        return None if _was_opened(script) else 1 if os.path.isdir(sys.argv[0]) else 2
    return noted_exit[0] if noted_exit else None


def _was_opened(script: ModuleType) -> bool:
    """Tell whether the interpreter could open the script: then its module has got a loader."""
    loader = getattr(script, "__loader__", None)
    return getattr(loader, "__name__", "") != "BuiltinImporter"
