"""The run of a whole program, from inside: where no launcher stands outside to record it.

Of an uncaught exception the interpreter itself keeps word in `sys.last_value`, whatever has
become of sys.excepthook (Typer and others replace it). A status given to `sys.exit` is noted on
the way. `raise SystemExit(3)` written out, in a program that nobody supervises, cannot be seen.
"""

from __future__ import annotations

import os
import sys
from _thread import get_ident

from autotask import recorder
from autotask.guard import guarded
from autotask.naming import python_program
from autotask.run import SUCCESS, Outcome, exited
from autotask.standard import standard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from autotask.run import Run

_TOOLS = frozenset(["pip", "ensurepip", "venv", "virtualenv", "site", "compileall", "build"])
_exit_code: list[object] = []


def begin() -> None:
    """Open this process's own run, if it is one: a root process with a script or a module."""
    wanted = recorder.settings().process
    if wanted == "0":
        return
    task = task_name(_command_line())
    if task is None and wanted == "auto":
        return
    run = recorder.start_program(
        recorder.settings().name or task or os.path.basename(sys.executable or "python")
    )
    if run is not None:
        _note_exit()
        standard("atexit").register(_finish, run)


@guarded
def explain(run_id: str) -> None:
    """Leave word of the exception that this process dies of: the launcher sees only its status."""
    exc = last_exception()
    if exc is not None and not _was_caught(exc):
        recorder.journal_raised(run_id, exc)


def last_exception() -> BaseException | None:
    """Return the exception that nobody caught, None where there was none."""
    found = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    if isinstance(found, SystemExit):  # kept where `python -i` went on after it
        return None
    return found if isinstance(found, BaseException) else None


def _was_caught(exc: BaseException) -> bool:
    """Tell whether somebody has caught and kept it, as pytest and IPython do for debuggers.

    What nobody catches leaves the outermost frame of its thread.
    """
    step = exc.__traceback__
    return step is not None and step.tb_frame.f_back is not None


def task_name(command: list[str]) -> str | None:
    """Name a Python program by its command line; None for `-c`, a prompt, and known tools."""
    name = python_program(command[1:])
    # pip3.12 is a tool, build.py is a program of the user's own.
    return None if name is None or name.rstrip(".0123456789") in _TOOLS else name


def _command_line() -> list[str]:
    found = getattr(sys, "orig_argv", None)  # 3.10
    if found is not None:
        return list(found)
    try:
        with open("/proc/self/cmdline", "rb") as file:
            return [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
    except OSError:
        return []


def _note_exit() -> None:
    """Note the status that the program gives to sys.exit; the exit itself is left alone."""
    original, thread = sys.exit, get_ident()

    def autotask_exit(status: object = None, /) -> NoReturn:
        if get_ident() == thread:  # elsewhere it ends a thread alone
            _exit_code[:] = [status]
        original(status)  # type: ignore[arg-type]

    autotask_exit.__name__ = autotask_exit.__qualname__ = "exit"
    autotask_exit.__doc__ = original.__doc__
    autotask_exit.__module__ = "sys"
    sys.exit = autotask_exit


@guarded
def _finish(run: Run) -> None:
    recorder.end(run, _outcome(run))


def _outcome(run: Run) -> Outcome:
    exc = last_exception()
    if exc is not None and not (_exit_code and _was_caught(exc)):
        return recorder.judged(exc, run)
    outcome = exited(_exit_code[0]) if _exit_code else SUCCESS
    if outcome.status != "failure":
        return outcome
    inner = recorder.failed_inside(run, outcome.exit_code)
    return recorder.nested(inner, outcome) if inner is not None else outcome
