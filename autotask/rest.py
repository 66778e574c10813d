"""A run that is what the rest of its process is: a program that has read its subcommand.

No function call surrounds it, so it ends when the process ends. A launcher outside sees that best,
and closes what is left open (`around.closing`); without one, this process does (`process_run`). It
is the run of all that the program does from here on, in any thread.
"""

from __future__ import annotations

import os
import sys

from autotask import loading, naming, recorder
from autotask.frameworks import program_name
from autotask.guard import guarded
from autotask.run import failure
from autotask.settings import PROCESS_RUN
from autotask.stdlib import standard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from autotask.run import Run

_state: dict[str, Run] = {}  # the one such run, also after its end


def is_free() -> bool:
    """Tell whether this is a program's own process, in which no task has a run so far."""
    words = sys.argv[1:]
    given = naming.command_line()
    # A test may give the program that it tests a sys.argv; and what is at a prompt has no name.
    if given[len(given) - len(words) :] != words or sys.argv[0] in ("", "-", "-c"):
        return False
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.current_process().name != "MainProcess":
        return False  # it imports the program's main module again
    threading = sys.modules.get("threading")
    if threading is not None and threading.current_thread() is not threading.main_thread():
        return False
    around = recorder.current()
    if _state or (around is not None and around.framework != "process") or naming.is_tool():
        return False
    launched = _launched_run()  # before it became this program, the process may have begun a task
    parent = os.environ.get("AUTOTASK_PARENT", "")
    return around is not None or not launched or parent.startswith(launched)


def begin(path: list[str], framework: str) -> None:
    """Open the run of a program and a path of subcommands; only if `is_free`."""
    run = recorder.begin(_named(path), framework)
    here = recorder.state.process
    if run is None or here is None:
        return
    recorder.state.program = _state["run"] = run
    loading.load("exits", "process_run")
    process_run = sys.modules["autotask.process_run"]
    if _launched_run() and here.journal and here.journal.home:
        standard("atexit").register(_end_if_returned, sys.modules.get("__main__"))
    elif process_run.followed:
        process_run.followed.append(run)
    else:
        process_run.follow([run])


@guarded
def _end_if_returned(main: ModuleType | None) -> None:
    """End the run if it is a success for sure, which saves the launcher half of its work.

    CPython deletes `__file__` of a script that has returned. All else the launcher sees better.
    """
    from autotask import process_run

    has_returned = main is not None and not hasattr(main, "__file__")
    if has_returned and process_run.last_exception() is None:
        recorder.succeed(_state.get("run"))


def note_exit(code: int) -> None:
    """Note for the process run the status of a SystemExit that a framework is raising."""
    process_run = sys.modules.get("autotask.process_run")
    if process_run is not None:
        process_run.noted_exit[:] = (code,)


def refused(path: list[str], framework: str, exit_code: int) -> Run | None:
    """End the run because of wrong arguments, or report one if there is none."""
    note_exit(exit_code)
    outcome, run = failure("usage", exit_code=exit_code), _state.get("run")
    if run is None:
        run = recorder.report(_named(path), framework, outcome)
        if run is not None:
            _state["run"] = run
    else:
        recorder.end(run, outcome)
    return run


def is_open() -> bool:
    """Tell whether the run has begun, and not ended."""
    return "run" in _state and _state["run"].ended is None


def _named(path: list[str]) -> str:
    return ".".join([program_name(sys.argv[0]), *path])


def _launched_run() -> str:
    """Return the id of the process run that a launcher has opened for this very process."""
    run, _, pid = os.environ.get(PROCESS_RUN, "").partition(":")
    return run if pid == str(os.getpid()) else ""
