"""Invoke 1.7 to 3.0: a run for each task that is executed or called, under its full name.

A task's body runs below one frame of autotask, the wrapper of `Task.__call__`. What else a run
needs (the collection, the name that was asked for) is noted in functions that return before it.
"""

from __future__ import annotations

import sys
import time

from autotask import recorder
from autotask.frameworks import frames_left, program_name, replace
from autotask.guard import guarded
from autotask.recorder import ContextVar, hide_frame
from autotask.run import Outcome, describe, exited, failure, raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

# The steps of Program.run before it executes tasks.
_STEPS = ("parse_core", "parse_collection", "parse_tasks", "parse_cleanup", "update_config")
_QUESTIONS = ("complete", "list", "help")  # options that run no task
_SIGINT = -2  # as the exit code of a shell command


class _Names:
    """The names of the tasks in a collection, listed when the first one is asked for."""

    __slots__ = ("collection", "pairs")

    def __init__(self, collection: Any) -> None:
        self.collection = collection
        self.pairs: list[tuple[str, Any]] | None = None

    def of(self, task: Any, called_as: str | None) -> str | None:
        """Return a task's full name; if it has several, the one by which it was called."""
        if self.pairs is None:
            self.pairs = list(_tasks_in(self.collection))
        if called_as and any(name == called_as for name, _ in self.pairs):
            return called_as
        for name, known in self.pairs:
            # Not `is`: a namespace is copied before it is executed, but functions never are.
            # Nor `==`: it holds two tasks from one factory for the same.
            if known.body is task.body and known.name == task.name:
                return name
        return None


_names: ContextVar[_Names | None] = ContextVar("autotask_invoke_names", default=None)
_call: ContextVar[Any] = ContextVar("autotask_invoke_call", default=None)


def instrument_tasks(tasks: ModuleType) -> None:
    """Instrument `invoke.tasks`: each execution of a task."""
    replace(tasks.Task, "__call__", _around_call)
    replace(tasks.Call, "make_context", _around_make_context)


def instrument_executor(executor: ModuleType) -> None:
    """Instrument `invoke.executor`, which knows the collection."""
    replace(executor.Executor, "normalize", _around_normalize)


def instrument_program(program: ModuleType) -> None:
    """Instrument `invoke.program`, which reads the command line."""
    for step in _STEPS:
        replace(program.Program, step, _around_step)


def _around_call(original: Any) -> Any:
    def autotask_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        outermost = type(self).__call__
        is_inner = outermost is not autotask_call and outermost in _calls
        names = _names.get()
        run = None if is_inner else _setup(self, args)  # a subclass's own __call__ called us
        try:
            result = original(self, *args, **kwargs)
        except BaseException as exc:
            recorder.fail(run, exc, _judged)
            raise
        finally:
            _names.set(names)  # the task may have executed others, of another collection
        recorder.succeed(run)
        return result

    _calls.add(autotask_call)
    return autotask_call


_calls: set[Any] = set()  # our wrappers of a __call__


@guarded
def _setup(task: Any, args: tuple[Any, ...]) -> Run | None:
    """Open the run of a task; a dry run, which only prints its commands, has none."""
    call, called_as = _call.get(), None
    if call is not None and call.task is task:
        called_as = call.called_as
        _call.set(None)
    if args and hasattr(args[0], "config") and args[0].config.run.dry:
        return None
    outer = getattr(recorder.current(), "key", None)
    known = [names for names in (_names.get(), outer) if isinstance(names, _Names)]
    name = _full_name(task, called_as, known)
    return recorder.start(name, "invoke", known[0] if known else None)


def _full_name(task: Any, called_as: str | None, known: list[_Names]) -> str:
    """Find a task in the collection that is executed, or in the calling task's."""
    for names in known:
        name = names.of(task, called_as)
        if name is not None:
            return name
    return str(sys.modules["invoke.collection"].Collection().transform(task.name))


def _judged(exc: BaseException) -> Outcome:
    """Judge what an exception means; Invoke has some of its own."""
    for kind in type(exc).__mro__:
        if kind.__module__ != "invoke.exceptions":
            continue
        if kind.__name__ == "Exit":
            error = describe(exc) if exc.message else None  # type: ignore[attr-defined]
            return exited(exc.code, error)  # type: ignore[attr-defined]
        if kind.__name__ == "UnexpectedExit":
            code = exc.result.exited  # type: ignore[attr-defined]
            if code == _SIGINT:  # Invoke passes Ctrl-C to the command
                return failure("interrupted", exit_code=code & 0xFF)
            return exited(code, describe(exc))
    return raised(exc)


def _around_make_context(original: Any) -> Any:
    def autotask_make_context(self: Any, *args: Any, **kwargs: Any) -> Any:
        _note(self)
        try:
            return original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_make_context


@guarded
def _note(call: Any) -> None:
    """Note by which name a task is about to be called; instrument its class's own `__call__`."""
    _call.set(call)
    for owner in type(call.task).__mro__:
        own = owner.__dict__.get("__call__")
        if type(own) is type(_note) and own not in _calls:
            replace(owner, "__call__", _around_call)


def _around_normalize(original: Any) -> Any:
    def autotask_normalize(self: Any, *args: Any, **kwargs: Any) -> Any:
        _enter(self)
        try:
            return original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_normalize


@guarded
def _enter(owner: Any) -> None:
    """Take names from the collection of an executor or a program from now on."""
    collection = getattr(owner, "collection", None)
    if collection is not None:
        _names.set(_Names(collection))


def _around_step(original: Any) -> Any:
    def autotask_parse(self: Any, *args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        try:
            result = original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc, _left_parsing(self, exc, began))
            raise
        _enter(self)
        return result

    return autotask_parse


@guarded
def _left_parsing(program: Any, exc: BaseException, began: float) -> Run | None:
    """Report why a program executed nothing: wrong arguments, or a broken tasks.py."""
    if _asks(program) or recorder.run_behind(exc) is not None:
        return None
    outcome = _judged(exc)
    name = program_name(program.argv[0] if program.argv else "invoke")
    if outcome.status != "failure":
        return None
    if _is_refusal(exc):
        name, outcome = _misused(exc) or name, failure("usage", exit_code=1)
    return recorder.report(name, "invoke", outcome, began)


def _asks(program: Any) -> bool:
    """Tell whether the command line only asks for a list, help or completions."""
    core = getattr(program, "core", None)
    args = core[0].args if core else {}
    return any(name in args and args[name].value for name in _QUESTIONS)


def _misused(exc: BaseException) -> str | None:
    """Return the name of the task whose arguments were wrong; None if the name was."""
    if str(exc).startswith("No idea what '") and "'-" not in str(exc):
        return None
    for frame in frames_left(exc):
        parser: Any = frame.f_locals.get("self")
        if frame.f_code.co_name == "handle" and parser.context is not None:
            return parser.context.name or None
    return getattr(getattr(exc, "context", None), "name", None)


def _is_refusal(exc: BaseException) -> bool:
    """Tell whether Invoke refused the arguments; if not, a tasks.py is broken or has exited."""
    frames = frames_left(exc)
    if type(exc).__name__ == "Exit":  # no such collection
        return frames[-1].f_globals.get("__name__") == "invoke.program"
    return type(exc).__name__ == "ParseError" or any(
        frame.f_code.co_name == "parse_argv" for frame in frames
    )


def _tasks_in(collection: Any) -> Iterator[tuple[str, Any]]:
    """Yield each task with its full name, as `Collection.task_names` writes it."""
    yield from collection.tasks.items()
    for own_name, inner in collection.collections.items():
        for name, task in _tasks_in(inner):
            yield collection.subtask_name(own_name, name), task
