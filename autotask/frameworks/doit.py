"""doit 0.33 to 0.37: a run for each task that is executed or skipped.

A run begins and ends around `Task.execute`, in the process that executes: one more action in the
task's list would change its result, and with it what `result_dep` compares. What else goes wrong
with a task is reported as the runner handles it, in the process that selects.
"""

from __future__ import annotations

import sys
import time

from autotask import recorder
from autotask.frameworks import frames_left, program_name, replace
from autotask.guard import guarded
from autotask.recorder import ContextVar, hide_frame
from autotask.run import SKIPPED, Outcome, failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

_OUTCOME = "_autotask_outcome"  # on a failure, until the task has returned it
_RUN = "_autotask_run"  # the id of the run behind a failure, also across processes; on nodes too
_REFUSALS = ("CmdParseError", "InvalidCommand")  # exceptions about arguments
_REFUSED = 3  # the exit status

# The task that the runner has selected, and whose result it will process in this very thread.
_selected: ContextVar[Any] = ContextVar("autotask_doit_selected", default=None)


def instrument_task(task: ModuleType) -> None:
    """Instrument `doit.task`: each execution of a task, and the failures that it returns."""
    replace(task.Task, "execute", _around_execute)
    fail = getattr(task, "BaseFail", None) or task.CatchedException  # BaseFail since 0.36
    for owner in fail.__mro__:
        if owner.__module__ == fail.__module__:
            replace(owner, "__init__", _around_fail)


def instrument_runner(runner: ModuleType) -> None:
    """Instrument `doit.runner`, which selects tasks and judges what became of them."""
    replace(runner.Runner, "select_task", _around_select)
    replace(runner.Runner, "process_task_result", _around_result)
    replace(runner.Runner, "_handle_task_error", _around_error)


def instrument_main(main: ModuleType) -> None:
    """Instrument the commands of `doit.doit_cmd`: what goes wrong outside of every task."""
    for owner in main.Run.__mro__:
        if owner.__module__ == "doit.cmd_base":
            replace(owner, "parse_execute", _around_command)


def _around_execute(original: Any) -> Any:
    def autotask_execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = _setup(self)
        try:
            fail = original(self, *args, **kwargs)
        except BaseException as exc:
            recorder.fail(run, exc)
            raise
        _executed(self, run, fail)
        return fail

    return autotask_execute


@guarded
def _setup(task: Any) -> Run | None:
    """Open the run of a task; a task without actions only groups others and has none."""
    return recorder.start(task.name, "doit", task) if _works(task) else None


def _works(task: Any) -> bool:
    return bool(task._actions or task._action_instances)


@guarded
def _executed(task: Any, run: Run | None, fail: Any) -> None:
    if fail is not None:
        _note_failure(fail, run)
    elif _selected.get() is not task:
        recorder.succeed(run)
    # Else the run stays open until the runner has saved the success, which can fail.


def _note_failure(fail: Any, run: Run | None) -> None:
    """Close a run that ended with a failure object, and note the run's id on it."""
    outcome = fail.__dict__.pop(_OUTCOME, None) or _judged(fail)
    fail.__dict__[_RUN] = (outcome.caused_by or run.id) if run is not None else ""
    recorder.end(run, outcome)


def _around_fail(original: Any) -> Any:
    def autotask_init(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise
        for value in (*args, *kwargs.values()):
            if isinstance(value, BaseException):
                _note_exception(self, value)

    return autotask_init


@guarded
def _note_exception(fail: Any, exc: BaseException) -> None:
    """Judge an exception while it still exists: doit keeps only its text."""
    run = recorder.current()
    if run is not None and hasattr(run.key, "execute_teardown"):  # a task's
        fail.__dict__[_OUTCOME] = recorder.judged(exc, run)


def _judged(fail: Any) -> Outcome:
    """Judge what a failure without an exception means."""
    from autotask import failures  # on the failing path only

    error = failures.error(fail.get_name(), str(fail.message))
    if fail.message.startswith(("Command failed: ", "Command error: ")):
        code = int(fail.message.rpartition(" returned ")[2])
        return failure("exit", exit_code=code if code >= 0 else 128 - code, error=error)
    if fail.get_name() == "TaskFailed":  # an action returned False
        return failure("exit", exit_code=1, error=error)
    return failure("exception", error=error)


def _around_select(original: Any) -> Any:
    def autotask_select_task(self: Any, node: Any, *args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        try:
            selected = original(self, node, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc, _left_selecting(node, exc, began))
            raise
        _after_select(self, node, selected, began)
        return selected

    return autotask_select_task


@guarded
def _left_selecting(node: Any, exc: BaseException, began: float) -> Run | None:
    """Report a task whose up-to-date check raised."""
    return recorder.report(node.task.name, "doit", recorder.judged(exc), began)


@guarded
def _after_select(runner: Any, node: Any, selected: bool, began: float) -> None:
    _selected.set(node.task if selected and _is_serial(runner) else None)
    # Not selected with status `run`: its set-up tasks go first.
    if not selected and node.run_status in ("up-to-date", "ignore") and _works(node.task):
        recorder.report(node.task.name, "doit", SKIPPED, began)


def _is_serial(runner: Any) -> bool:
    """Tell whether a runner executes what it selects, itself and at once."""
    own = sys.modules["doit.runner"].Runner
    return all(
        getattr(type(runner), name) is getattr(own, name)
        for name in ("run_tasks", "process_task_result")
    )


def _around_result(original: Any) -> Any:
    def autotask_process_task_result(self: Any, node: Any, *args: Any, **kwargs: Any) -> Any:
        run = _run_of(node)
        try:
            result = original(self, node, *args, **kwargs)
        except BaseException as exc:
            recorder.fail(run, exc)
            raise
        recorder.succeed(run)  # unless a failure to save it has ended it
        return result

    return autotask_process_task_result


@guarded
def _run_of(node: Any) -> Run | None:
    """Return the run of a node's task that was left open for the runner."""
    run = recorder.current()
    return run if run is not None and run.key is node.task else None


def _around_error(original: Any) -> Any:
    def autotask_handle_task_error(self: Any, node: Any, fail: Any) -> Any:
        _note_error(node, fail)
        try:
            return original(self, node, fail)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_handle_task_error


@guarded
def _note_error(node: Any, fail: Any) -> None:
    """Report a failure that the runner handles, unless the execution has reported it."""
    if _RUN not in fail.__dict__:
        fail.__dict__[_RUN] = _report(node, fail)
    cause = node.__dict__[_RUN] = fail.__dict__[_RUN]
    around = recorder.current()
    if cause and around is not None:  # if a worker process ran the task, only this one knows
        around.failed = "doit", None, cause


def _report(node: Any, fail: Any) -> str:
    """Report a failure before or after the actions; return the id of the run behind it."""
    outcome = _judged(fail)
    cause = _cause(node)
    if cause:  # UnmetDependency: a task that it depends on has failed
        outcome = failure("nested", caused_by=cause, error=outcome.error)
    open_run = _run_of(node)
    if open_run is not None:
        recorder.end(open_run, outcome)
        return open_run.id
    if fail.get_name() == "UnmetDependency" and not _works(node.task):
        return cause
    run = recorder.report(node.task.name, "doit", outcome)
    return cause or (run.id if run is not None else "")


def _cause(node: Any) -> str:
    for dependency in node.bad_deps:
        if dependency.__dict__.get(_RUN):
            return str(dependency.__dict__[_RUN])
    return ""


def _around_command(original: Any) -> Any:
    def autotask_parse_execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        try:
            return original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc, _left_command(self, exc, began))
            raise

    return autotask_parse_execute


@guarded
def _left_command(command: Any, exc: BaseException, began: float) -> Run | None:
    """Report why doit executed nothing: wrong arguments, or a broken dodo file."""
    if not command.execute_tasks or recorder.run_behind(exc) is not None:
        return None
    functions = [frame.f_code.co_name for frame in frames_left(exc)]
    if functions[-1] == "run_tasks":  # raised again after a process that has reported it
        return None
    if isinstance(exc, KeyboardInterrupt) and "run_tasks" in functions:  # each of them has
        return None
    name, outcome = program_name(sys.argv[0] if sys.argv else "doit"), recorder.judged(exc)
    if type(exc).__name__ in _REFUSALS or functions[-1] == "exist_or_raise":  # no dodo file
        name, outcome = _misused(exc) or name, failure("usage", exit_code=_REFUSED)
    if outcome.status != "failure":
        return None
    return recorder.report(name, "doit", outcome, began)


def _misused(exc: BaseException) -> str | None:
    """Return the name of the task whose options were wrong."""
    for frame in frames_left(exc):
        if frame.f_code.co_name == "init_options":
            return str(frame.f_locals["self"].name)
    return None
