"""Cyclopts 3.0 to 5.5: a run for each command, from its parsed arguments to its end."""

from __future__ import annotations

import sys

from autotask import recorder
from autotask.frameworks import PACKAGES, program_name, replace
from autotask.guard import guarded
from autotask.recorder import ContextVar
from autotask.run import Outcome, exited, failure, raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

PACKAGES.add("cyclopts")


class _Call:
    """A call of an app, and the run of the command that it leads to."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self.is_parsed = False


_call: ContextVar[_Call | None] = ContextVar("autotask_cyclopts_call", default=None)
_entered = guarded(_Call)


def instrument(core: ModuleType) -> None:
    """Instrument `cyclopts.core`."""
    replace(core.App, "__call__", _around_call)
    replace(core.App, "run_async", _around_run_async)  # 4.0
    replace(core.App, "parse_args", _around_parse)


def _around_call(original: Any) -> Any:
    def autotask_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        outer, call = _call.get(), _entered()
        _call.set(call)
        try:
            result = original(self, *args, **kwargs)
        except BaseException as exc:
            run = _run_of(call)
            if run is not None:
                recorder.fail(run, exc, _judged)
            else:
                recorder.hide_frame(exc, _left(call, exc))
            raise
        finally:
            _call.set(outer)
        recorder.succeed(_run_of(call))
        return result

    _disguise(autotask_call, original)
    return autotask_call


def _around_run_async(original: Any) -> Any:
    async def autotask_run_async(self: Any, *args: Any, **kwargs: Any) -> Any:
        outer, call = _call.get(), _entered()
        _call.set(call)
        try:
            result = await original(self, *args, **kwargs)
        except BaseException as exc:
            run = _run_of(call)
            if run is not None:
                recorder.fail(run, exc, _judged)
            else:
                recorder.hide_frame(exc, _left(call, exc))
            raise
        finally:
            _call.set(outer)
        recorder.succeed(_run_of(call))
        return result

    _disguise(autotask_run_async, original)
    return autotask_run_async


def _around_parse(original: Any) -> Any:
    def autotask_parse_args(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            parsed = original(self, *args, **kwargs)
        except BaseException as exc:
            recorder.hide_frame(exc)
            raise
        _setup(self, parsed[0], *args, **kwargs)
        return parsed

    _disguise(autotask_parse_args, original)
    return autotask_parse_args


@guarded
def _disguise(wrapper: Any, original: Any) -> None:
    """Let Cyclopts take our frame for its own: it searches the stack for its caller's module."""
    name = original.__code__.co_filename
    wrapper.__code__ = wrapper.__code__.replace(co_filename=name)


@guarded
def _setup(app: Any, command: Any, tokens: Any = None, **_: Any) -> None:
    """Open the run of a command; a meta app has none, because it calls the app it belongs to."""
    call = _call.get()
    if call is None or call.is_parsed:
        return
    call.is_parsed = True
    if app._meta_parent is not None or getattr(command, "__module__", "").startswith("cyclopts."):
        return
    chain = app.parse_commands(tokens)[0]
    names = [program_name(sys.argv[0])]
    for token in chain:
        app = app[token]
        names.append(app.name[0])
    call.run = recorder.begin(".".join(names), "cyclopts")


@guarded
def _run_of(call: _Call | None) -> Run | None:
    return call.run if call is not None else None


@guarded
def _left(call: _Call | None, exc: BaseException) -> Run | None:
    """Report arguments that were wrong, or what a meta app failed of."""
    outcome = _judged(exc)
    if call is None or outcome.status != "failure" or recorder.run_behind(exc) is not None:
        return None
    if not call.is_parsed and outcome.reason in ("exit", "exception"):
        outcome = failure("usage", exit_code=outcome.exit_code)
    return recorder.report(program_name(sys.argv[0]), "cyclopts", outcome)


def _judged(exc: BaseException) -> Outcome:
    """Judge what an exception means; Cyclopts ends with the status 130 after Ctrl-C."""
    if isinstance(exc, SystemExit) and isinstance(exc.__context__, KeyboardInterrupt):
        return failure("interrupted", exit_code=exited(exc.code).exit_code)
    return raised(exc)
