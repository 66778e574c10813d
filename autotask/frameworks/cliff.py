"""Cliff 3.0 to 4.17: a run for each command. The application logs what a command raises."""

from __future__ import annotations

import sys

from autotask import recorder
from autotask.frameworks import PACKAGES, program_name, replace
from autotask.guard import guarded
from autotask.recorder import ContextVar, hide_frame
from autotask.run import exited, failure, raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

PACKAGES.add("cliff")


class _Call:
    """A call of a subcommand: the command once it is found, and whether its end was told."""

    def __init__(self) -> None:
        self.name = ""
        self.is_told = False


_call: ContextVar[_Call | None] = ContextVar("autotask_cliff_call", default=None)
_entered = guarded(_Call)


def instrument_app(module: ModuleType) -> None:
    """Instrument `cliff.app`, which calls a command and catches what it raises."""
    replace(module.App, "run_subcommand", _around_subcommand)


def instrument_manager(module: ModuleType) -> None:
    """Instrument `cliff.commandmanager`, which knows a command's name."""
    replace(module.CommandManager, "find_command", _around_find)


def _around_subcommand(original: Any) -> Any:
    def autotask_run_subcommand(self: Any, *args: Any, **kwargs: Any) -> Any:
        outer, call = _call.get(), _entered()
        _call.set(call)
        _cover(type(self), "clean_up", _around_clean_up)
        try:
            result = original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc, _left(call, exc))
            raise
        finally:
            _call.set(outer)
        _returned(call, result)
        return result

    return autotask_run_subcommand


@guarded
def _cover(kind: Any, name: str, make: Any) -> None:
    """Instrument a method of a class, and of those that it is made of."""
    for owner in getattr(kind, "__mro__", ()):
        if type(vars(owner).get(name)) is type(_around_subcommand):
            replace(owner, name, make)


def _around_find(original: Any) -> Any:
    def autotask_find_command(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            found = original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise
        _note(*found)
        return found

    return autotask_find_command


@guarded
def _note(factory: Any, name: str, *_: Any) -> None:
    """Note which command an application is about to call; skip its own, such as `help`."""
    call = _call.get()
    if call is not None and not call.name:
        call.name = name
        call.is_told = getattr(factory, "__module__", "").startswith("cliff.")
        _cover(factory, "run", _around_run)


def _around_run(original: Any) -> Any:
    def autotask_run(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = _setup()
        try:
            result = original(self, *args, **kwargs)
        except BaseException as exc:
            recorder.fail(run, exc)
            raise
        if run is not None:
            recorder.end(run, exited(result) if isinstance(result, int) else exited(None))
        return result

    return autotask_run


@guarded
def _setup() -> Run | None:
    """Open the run of a command, once: the `run` of a class calls that of its base."""
    call = _call.get()
    if call is None or call.is_told:
        return None
    call.is_told = True
    return recorder.begin(_named(call), "cliff")


def _around_clean_up(original: Any) -> Any:
    def autotask_clean_up(self: Any, *args: Any, **kwargs: Any) -> Any:
        _ended(args[-1] if args else kwargs.get("err"))
        try:
            return original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_clean_up


@guarded
def _ended(err: BaseException | None) -> None:
    """Report what went wrong before the command was called, which is caught after this."""
    call = _call.get()
    if call is not None and err is not None and not call.is_told:
        _report(call, raised(err))


@guarded
def _returned(call: _Call | None, code: int) -> None:
    """Report a command that does not exist."""
    if call is not None and code and not call.name:
        _report(call, failure("usage", exit_code=exited(code).exit_code))


@guarded
def _left(call: _Call | None, exc: BaseException) -> Run | None:
    """Report arguments that the command's parser has refused."""
    outcome = raised(exc)
    if call is None or call.is_told or outcome.status != "failure":
        return None
    if isinstance(exc, SystemExit):
        outcome = failure("usage", exit_code=outcome.exit_code)
    return _report(call, outcome)


def _report(call: _Call, outcome: Any) -> Run | None:
    call.is_told = True
    return recorder.report(_named(call), "cliff", outcome)


def _named(call: _Call) -> str:
    return ".".join([program_name(sys.argv[0]), *call.name.split()])
