"""Python Fire 0.4 to 0.7: a run for each function that the command line leads to."""

from __future__ import annotations

import sys

from autotask import recorder
from autotask.frameworks import PACKAGES, program_name, replace
from autotask.guard import guarded
from autotask.recorder import ContextVar, hide_frame
from autotask.run import failure, raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

PACKAGES.add("fire")
_REFUSED = 2  # the exit status


class _Step:
    """The call of one function: its name, and its run once its arguments are parsed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.run: Run | None = None


_step: ContextVar[_Step | None] = ContextVar("autotask_fire_step", default=None)


def instrument(core: ModuleType) -> None:
    """Instrument `fire.core`."""
    replace(core, "_Fire", _around_fire)  # not Fire: that looks into the frame of its caller
    replace(core, "_CallAndUpdateTrace", _around_call)
    replace(core, "_MakeParseFn", _around_make_parser)


def _around_fire(original: Any) -> Any:
    def autotask_fire(*args: Any, **kwargs: Any) -> Any:
        try:
            trace = original(*args, **kwargs)
        except BaseException as exc:
            hide_frame(exc, _left(exc))
            raise
        _refused(trace)
        return trace

    return autotask_fire


@guarded
def _left(exc: BaseException) -> Run | None:
    """Report what is not a function's own: a class of which no object could be made."""
    outcome = raised(exc)
    if outcome.status != "failure" or recorder.run_behind(exc) is not None:
        return None
    return recorder.report(program_name(sys.argv[0]), "fire", outcome)


@guarded
def _refused(trace: Any) -> None:
    """Report arguments that were wrong: Fire is about to exit with the status 2."""
    if trace.HasError():
        from autotask import rest

        rest.note_exit(_REFUSED)
        recorder.report(_path(trace), "fire", failure("usage", exit_code=_REFUSED))


def _around_call(original: Any) -> Any:
    def autotask_call(component: Any, args: Any, trace: Any, *more: Any, **named: Any) -> Any:
        outer, step = _step.get(), _entered(trace, *more, **named)
        _step.set(step)
        try:
            result = original(component, args, trace, *more, **named)
        except BaseException as exc:
            recorder.fail(_run_of(step), exc)
            raise
        finally:
            _step.set(outer)
        recorder.succeed(_run_of(step))
        return result

    return autotask_call


@guarded
def _entered(trace: Any, treatment: str = "class", *_: Any, **__: Any) -> _Step | None:
    """Note a function that is about to be called; creating an object is not a run."""
    return None if treatment == "class" else _Step(_path(trace))


@guarded
def _run_of(step: _Step | None) -> Run | None:
    return step.run if step is not None else None


def _around_make_parser(original: Any) -> Any:
    def autotask_make_parser(*args: Any, **kwargs: Any) -> Any:
        parse = original(*args, **kwargs)

        def autotask_parse(*args: Any, **kwargs: Any) -> Any:
            try:
                parsed = parse(*args, **kwargs)
            except BaseException as exc:  # it cannot be called with these arguments
                hide_frame(exc)
                raise
            _begin()
            return parsed

        return autotask_parse

    return autotask_make_parser


@guarded
def _begin() -> None:
    step = _step.get()
    if step is not None and step.run is None:
        step.run = recorder.begin(step.name, "fire")


def _path(trace: Any) -> str:
    """Name what a trace has led to so far; only names of members, never arguments."""
    names = [
        element._target.replace("-", "_")
        for element in trace.elements
        if element._action == "Accessed property" and type(element._target) is str
    ]
    return ".".join([program_name(sys.argv[0]), *names])
