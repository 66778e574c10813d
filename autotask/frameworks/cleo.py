"""Cleo 2.0 to 2.1: a run for each command. The application catches what a command raises."""

from __future__ import annotations

import sys

from autotask import recorder
from autotask.frameworks import PACKAGES, frames_left, program_name, replace
from autotask.guard import guarded
from autotask.recorder import hide_frame
from autotask.run import Outcome, exited, failure, passed_on, raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

PACKAGES.add("cleo")


def instrument_command(module: ModuleType) -> None:
    """Instrument `cleo.commands.base_command`."""
    replace(module.BaseCommand, "run", _around_run)


def instrument_application(module: ModuleType) -> None:
    """Instrument `cleo.application`, which finds the command."""
    replace(module.Application, "_run", _around_application)


def _around_run(original: Any) -> Any:
    def autotask_run(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = _setup(self)
        try:
            result = original(self, *args, **kwargs)
        except BaseException as exc:
            recorder.fail(run, exc, _judged)
            raise
        if run is not None:
            recorder.end(run, _returned(run, result) or exited(1))
        return result

    return autotask_run


@guarded
def _setup(command: Any) -> Run | None:
    """Open the run of a command, but of Cleo's own `list`, `help` and `completions`."""
    if type(command).__module__.startswith("cleo."):
        return None
    for owner in type(command).__mro__:
        if owner.__module__[:5] != "cleo." and type(vars(owner).get("handle")) is type(_judged):
            replace(owner, "handle", _around_handle)
    return recorder.begin(".".join([_program(), *(command.name or "").split()]), "cleo", command)


def _around_handle(original: Any) -> Any:
    def autotask_handle(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(self, *args, **kwargs)
        except KeyboardInterrupt as exc:  # Cleo returns 1 after this
            run = recorder.current()
            recorder.fail(run if run is not None and run.key is self else None, exc)
            raise
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_handle


@guarded
def _returned(run: Run, code: object) -> Outcome:
    """Return what a status means; it may be that of a command that this one has called."""
    outcome = exited(code if isinstance(code, int) else None)
    if outcome.status == "failure" and run.failed and run.failed[1] in (None, outcome.exit_code):
        return passed_on(outcome, run.failed[2])
    return outcome


def _around_application(original: Any) -> Any:
    def autotask_run(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc, _left(exc))
            raise

    return autotask_run


@guarded
def _left(exc: BaseException) -> Run | None:
    """Report why no command was called."""
    outcome = _judged(exc)
    if outcome.status != "failure" or recorder.run_behind(exc) is not None:
        return None
    return recorder.report(_program(), "cleo", outcome)


def _judged(exc: BaseException) -> Outcome:
    """Judge what an exception means; its own are refusals unless the command raises them."""
    if type(exc).__module__ == "cleo.exceptions" and not any(
        frame.f_code.co_name == "execute" for frame in frames_left(exc)
    ):
        return failure("usage", exit_code=1)
    return raised(exc)


def _program() -> str:
    return program_name(sys.argv[0])
