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
from _thread import get_ident

from autotask import recorder
from autotask.guard import guarded
from autotask.journal import raised_line
from autotask.naming import is_pex, is_tool, process_name
from autotask.patches import StandIn
from autotask.run import Outcome, exited, passed_on, raised
from autotask.settings import PARENT
from autotask.stdlib import standard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

_exit_code: list[object] = []


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
    run = recorder.state.program = recorder.start(task, "process")
    if run is not None:
        follow([run])


def follow(runs: list[Run]) -> None:
    """Note how this program ends, and end these runs with it: the first is the outermost."""
    _note_exits()
    script = sys.modules.get("__main__") if _is_script() else None
    standard("atexit").register(_finish, runs, script)


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


def _note_exits() -> None:
    """Note the status that the program gives to its exit; the exit itself is unchanged."""
    thread = get_ident()

    @guarded
    def note(*given: object, **named: object) -> None:
        if len(given) > 1 or named:
            return  # sys.exit will refuse that
        if get_ident() == thread and not _is_at_exit():  # in another thread it ends only that
            _exit_code[:] = given or (None,)

    def leave(original: Any, *args: Any, **kwargs: Any) -> None:
        note(*args, **kwargs)
        original(*args, **kwargs)

    def autotask_system_exit(code: object = None) -> SystemExit:
        note(code)
        return SystemExit(code)

    setattr(sys, "exit", StandIn(sys.exit, leave))  # noqa: B010  mypy: it never returns
    sitebuiltins: Any = sys.modules.get("_sitebuiltins")  # of exit() and quit(), which raise it
    if sitebuiltins is not None:
        sitebuiltins.SystemExit = autotask_system_exit


def _is_at_exit() -> bool:
    """Tell whether an atexit function runs, which cannot change the exit status any more.

    The outermost frame is then that function's: not a script's, nor of what runs a module or (in
    PyPy) everything.
    """
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
    if "greenlet" in sys.modules:  # each has a bottom of its own
        return False
    return frame.f_code.co_name not in ("<module>", "_run_module_as_main", "entry_point")


@guarded
def _finish(runs: list[Run], script: ModuleType | None) -> None:
    outcome = _outcome(runs[-1], script)
    for run in reversed(runs):
        recorder.end(run, outcome)
        if outcome.status == "failure":
            outcome = recorder.nested(run, outcome)


def _outcome(run: Run, script: ModuleType | None) -> Outcome:
    exc = last_exception()
    if exc is not None and not (_exit_code and _was_caught(exc)):
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
    return _exit_code[0] if _exit_code else None


def _was_opened(script: ModuleType) -> bool:
    """Tell whether the interpreter could open the script: then its module has got a loader."""
    loader = getattr(script, "__loader__", None)
    return getattr(loader, "__name__", "") != "BuiltinImporter"
