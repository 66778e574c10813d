"""Django 3.2 to 6.1: a run for each management command, also one that `call_command` calls.

`BaseCommand.execute` is what the command line and `call_command` have in common. Its name and its
arguments are known before, where its parser is made and used.
"""

from __future__ import annotations

import os
import sys
import time

from autotask import recorder
from autotask.frameworks import PACKAGES, frames_left, replace
from autotask.guard import OURS, guarded
from autotask.recorder import hide_frame
from autotask.run import SUCCESS, Outcome, describe, exited, failure, raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

PACKAGES.update(("django", "django_extensions", "asgiref"))

_NAME = "_autotask_name"  # an attribute of commands and of their parsers
_QUESTIONS = ("help", "--help", "-h", "version", "--version")  # as the first word they run nothing
_BASE = "django.core.management.base"


def instrument_base(base: ModuleType) -> None:
    """Instrument `django.core.management.base`: commands, and what parses their arguments."""
    replace(base.BaseCommand, "create_parser", _around_create_parser)
    replace(base.CommandParser, "parse_args", _around_parse_args)
    replace(base.BaseCommand, "execute", _around_execute)


def instrument_utility(management: ModuleType) -> None:
    """Instrument `django.core.management`: what `manage.py` and `django-admin` do."""
    replace(management.ManagementUtility, "execute", _around_utility)


def _around_create_parser(original: Any) -> Any:
    def autotask_create_parser(self: Any, *args: Any, **kwargs: Any) -> Any:
        _note(self, self, args, kwargs)
        try:
            parser = original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise
        _note(parser, self, args, kwargs)
        return parser

    return autotask_create_parser


@guarded
def _note(named: Any, command: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Note the name of a command, and instrument its classes' own `execute`."""
    named.__dict__[_NAME] = str(args[1] if len(args) > 1 else kwargs["subcommand"])
    for owner in type(command).__mro__ if named is command else ():
        if type(owner.__dict__.get("execute")) is type(_name):
            replace(owner, "execute", _around_execute)


def _name(command: Any) -> str:
    """Return the name of a command; of one without a parser, as `call_command` names objects."""
    named = command.__dict__.get(_NAME)
    return named or str(type(command).__module__).rpartition(".")[2]


def _around_parse_args(original: Any) -> Any:
    def autotask_parse_args(self: Any, *args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        try:
            return original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc, _left_parsing(self, exc, began))
            raise

    return autotask_parse_args


@guarded
def _left_parsing(parser: Any, exc: BaseException, began: float) -> Run | None:
    """Report wrong arguments. `--help` and `--version` leave here as well, with the status 0."""
    outcome, name = _judged(exc), parser.__dict__.get(_NAME)
    if name is None or outcome.status != "failure" or _is_reloaded(name):
        return None
    if _is_refusal(exc):
        outcome = failure("usage", exit_code=outcome.exit_code)
    return recorder.report(name, "django", outcome, began)


def _is_refusal(exc: BaseException) -> bool:
    """Tell whether an argument parser refused the arguments."""
    return any(
        frame.f_code.co_name == "error" and frame.f_globals.get("__name__") in ("argparse", _BASE)
        for frame in frames_left(exc)
    )


def _around_execute(original: Any) -> Any:
    def autotask_execute(self: Any, *args: Any, **options: Any) -> Any:
        run = _setup(self, options)
        try:
            output = original(self, *args, **options)
        except BaseException as exc:
            recorder.fail(run, exc, _judged)
            raise
        recorder.succeed(run)
        return output

    return autotask_execute


@guarded
def _setup(command: Any, options: dict[str, Any]) -> Run | None:
    """Open the run of a command, unless a subclass's `execute` has called its base's."""
    current, name = recorder.current(), _name(command)
    if (current is not None and current.key is command) or _is_reloaded(name):
        return None
    scripts = options.get("script")
    if name == "runscript" and isinstance(scripts, list) and len(scripts) == 1:
        name = str(scripts[0])  # django-extensions: a script is what others write as a command
    return recorder.begin(name, "django", command)


def _is_reloaded(name: str) -> bool:
    """Tell whether this is the child of the development server, which has the run of both."""
    return (
        name == "runserver"
        and os.environ.get("RUN_MAIN") == "true"
        and bool(os.environ.get("AUTOTASK_PARENT"))
    )


def _judged(exc: BaseException) -> Outcome:
    """Judge what an exception means; a CommandError has the exit status of the command line."""
    if isinstance(exc, sys.modules[_BASE].CommandError):
        return exited(getattr(exc, "returncode", 1), describe(exc))
    if isinstance(exc, SystemExit) and _last_function(exc) == "trigger_reload":
        return SUCCESS  # a source file has changed: the parent starts the command again
    return raised(exc)


def _last_function(exc: BaseException) -> str:
    """Return the name of the function that has raised an exception."""
    names = [
        frame.f_code.co_name
        for frame in frames_left(exc)
        if frame.f_globals.get("__package__") not in OURS  # our sys.exit, before 3.11
    ]
    return names[-1] if names else ""


def _around_utility(original: Any) -> Any:
    def autotask_execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        try:
            return original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc, _left_utility(self, exc, began))
            raise

    return autotask_execute


@guarded
def _left_utility(utility: Any, exc: BaseException, began: float) -> Run | None:
    """Report why a command never began: there is none of that name, or the project is broken."""
    words, outcome = utility.argv[1:], _judged(exc)
    if not words or words[0] in _QUESTIONS or "DJANGO_AUTO_COMPLETE" in os.environ:
        return None
    name, last = str(words[0]), _last_function(exc)
    if outcome.status != "failure" or _is_reloaded(name) or _has_run(exc):
        return None
    if isinstance(exc, SystemExit):
        if last == "fetch_command":
            name, outcome = utility.prog_name.rpartition(" ")[2], failure("usage", exit_code=1)
        elif _is_refusal(exc):
            outcome = failure("usage", exit_code=outcome.exit_code)
    return recorder.report(name, "django", outcome, began)


def _has_run(exc: BaseException) -> bool:
    """Tell whether a command has run, and has failed as its own run says.

    Its CommandError becomes a SystemExit. And after it connections are closed: with broken settings
    that raises once more.
    """
    if isinstance(exc, SystemExit) and _last_function(exc) == "run_from_argv":
        return True
    known = [problem for problem in (exc, exc.__context__) if problem is not None]
    return any(recorder.run_behind(problem) is not None for problem in known)
