"""Click 7.1 to 8.5, and Typer, which is built on it: a run for each command that does work.

That covers what others build on them: the command lines of Flask, Celery and the like.
"""

from __future__ import annotations

import os
import sys
import time

from autotask import recorder
from autotask.frameworks import program_name, replace
from autotask.guard import guarded
from autotask.recorder import ContextVar, hide_frame
from autotask.run import Outcome, describe, exited, failure, raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run


class _Program:
    """One call of a program's `main`, and whether its end has been reported."""

    def __init__(self) -> None:
        self.settled = False
        self.failed: Run | None = None  # the last of its runs that failed
        self.pid = os.getpid()


main_call: ContextVar[_Program | None] = ContextVar("autotask_click_main", default=None)


def instrument(core: ModuleType, wrappers: Any = sys.modules[__name__]) -> None:
    """Instrument `click.core`, or the copy of it that Typer carries along.

    *wrappers* is the module whose `_around_...` make the wrappers.
    """
    # Up to 8.1 these are methods of BaseCommand and MultiCommand. From 8.2 on the module warns if
    # it is asked for those names.
    for owner in _own_classes(core.Command):
        replace(owner, "main", wrappers._around_main)
        replace(owner, "make_context", wrappers._around_make_context)
        replace(owner, "invoke", wrappers._around_invoke)
    if hasattr(core, "Group"):  # Typer's copy has none
        for owner in _own_classes(core.Group):
            replace(owner, "invoke", wrappers._around_group_invoke)
    commands = _own_classes(core.Command)[-1]
    replace(core.Context, "invoke", lambda own: wrappers._around_context_invoke(own, commands))


def instrument_typer(core: ModuleType) -> None:
    """Instrument `typer.core`: its commands do not call Click's `main`."""
    replace(core, "_main", _around_main)
    replace(core.TyperGroup, "invoke", _around_group_invoke)  # its own from 0.26 on


def _own_classes(owner: type) -> list[type]:
    return [base for base in owner.__mro__ if base.__module__ == owner.__module__]


@guarded
def cover(command: Any, wrappers: Any = sys.modules[__name__]) -> None:
    """Instrument the `invoke` of a class of the user's, which hides Click's."""
    around = wrappers._around_group_invoke if _is_group(command) else wrappers._around_invoke
    for owner in type(command).__mro__:
        own = owner.__dict__.get("invoke")
        if own is not None and not hasattr(own, "__autotask__") and _is_function(own):
            replace(owner, "invoke", around)


def _is_function(value: object) -> bool:
    return type(value) is type(_is_function)


def _around_main(original: Any) -> Any:
    def autotask_main(self: Any, *args: Any, **kwargs: Any) -> Any:
        outer, program, began = main_call.get(), entered(), time.monotonic()
        main_call.set(program)
        try:
            return original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc, left_main(self, program, exc, began))
            raise
        finally:
            main_call.set(outer)

    return autotask_main


entered = guarded(_Program)


@guarded
def left_main(
    command: Any, program: _Program | None, exc: BaseException, began: float
) -> Run | None:
    """Report what went wrong outside every command: mostly in a result callback.

    Returns the run that has failed, unless it is noted on the exception.
    """
    if type(exc) is SystemExit and not exc.code:
        return None  # a success ends with SystemExit, too
    if program is None or recorder.run_behind(exc) is not None:
        return None
    if program.settled:
        return _reported(program)
    name = _program_name(os.path.basename(sys.argv[0]) if sys.argv else command.name or "")
    return _report([name], command, exc, began)


def _around_make_context(original: Any) -> Any:
    def autotask_make_context(
        self: Any, info_name: Any, args: Any, parent: Any = None, **extra: Any
    ) -> Any:
        began = time.monotonic()
        try:
            cover(self)
            return original(self, info_name, args, parent=parent, **extra)
        except BaseException as exc:
            hide_frame(exc, left_parsing(self, info_name, parent, exc, began))
            raise

    return autotask_make_context


@guarded
def left_parsing(
    command: Any, info_name: Any, parent: Any, exc: BaseException, began: float
) -> Run | None:
    """Report arguments that were wrong."""
    return _report(_names(parent, command, info_name), command, exc, began)


def _around_invoke(original: Any) -> Any:
    def autotask_invoke(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = setup(self, *args, **kwargs)
        try:
            result = original(self, *args, **kwargs)
        except BaseException as exc:
            recorder.fail(run, exc, judge)
            if run is not None:
                settle(run)
            raise
        recorder.succeed(run)
        return result

    return autotask_invoke


@guarded
def setup(command: Any, *args: Any, **kwargs: Any) -> Run | None:
    """Open the run of a command that does work; a group that only calls others has none.

    The `invoke` of a class of the user's may have other parameters than Click's.
    """
    ctx = _given(args, kwargs)
    if not hasattr(ctx, "invoked_subcommand"):
        return None
    if ctx.invoked_subcommand is not None and _is_group(command):
        return None
    current = recorder.current()
    if current is not None and current.key is ctx:
        return None  # a subclass's invoke has called its base's
    framework = _framework(command)
    if not recorder.settings().uses(framework):
        return None  # before the work of building the name
    return recorder.begin(".".join(_path(ctx)), framework, ctx)


def _given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the context that an `invoke` was given, whatever the parameter is called."""
    return args[0] if args else next(iter(kwargs.values()), None)


def _around_group_invoke(original: Any) -> Any:
    def autotask_invoke(self: Any, *args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        try:
            return original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc, left_group(self, exc, began, *args, **kwargs))
            raise

    return autotask_invoke


@guarded
def left_group(
    command: Any, exc: BaseException, began: float, *args: Any, **kwargs: Any
) -> Run | None:
    """Report a group that failed before or after its commands ran, or had no such command.

    A group that fails because of what it caught from a command of its own is not reported. Returns
    the run that has failed, unless it is noted on the exception.
    """
    ctx = _given(args, kwargs)
    if recorder.run_behind(exc) is not None or not hasattr(ctx, "invoked_subcommand"):
        return None
    return _reported(main_call.get()) or _report(_path(ctx), command, exc, began)


def _reported(program: _Program | None) -> Run | None:
    """Return the last failed run of a call of `main`, if it is directly below the current run."""
    failed = None if program is None else program.failed
    return failed if failed is not None and failed.outer is recorder.current() else None


def _around_context_invoke(original: Any, commands: type) -> Any:
    def autotask_invoke(*args: Any, **kwargs: Any) -> Any:
        # With a plain function it is how Command.invoke calls the callback: not a run.
        is_command = len(args) > 1 and issubclass(type(args[1]), commands)
        run = setup_called(args[0], args[1]) if is_command else None
        try:
            result = original(*args, **kwargs)
        except BaseException as exc:
            recorder.fail(run, exc, judge)
            if run is not None:
                settle(run)
            raise
        if run is not None:
            recorder.succeed(run)
        return result

    return autotask_invoke


@guarded
def setup_called(ctx: Any, command: Any) -> Run | None:
    """Open the run of a command that another one calls by ctx.invoke or ctx.forward."""
    return recorder.begin(".".join(_path_to(ctx, command)), _framework(command))


def _report(names: list[str], command: Any, exc: BaseException, began: float) -> Run | None:
    """Report a failure outside every run; help, which exits with 0 or 2, is not one."""
    program = main_call.get()
    if program is not None and program.pid != os.getpid():
        return None  # a forked child that leaves the `main` which its parent has called
    run = None
    outcome = judge(exc)
    if outcome.status == "failure" and type(exc).__name__ != "NoArgsIsHelpError":  # 8.2
        run = recorder.report(".".join(names), _framework(command), outcome, began)
    settle(run)
    return run


@guarded
def settle(run: Run | None) -> None:
    """Note that what leaves a command has been reported, and by which run if that has failed."""
    program = main_call.get()
    if program is not None:
        program.settled = True
        if run is not None and run.ended is not None and run.ended.status == "failure":
            program.failed = run


def judge(exc: BaseException) -> Outcome:
    """Judge what an exception means; Click has some of its own."""
    for kind in type(exc).__mro__:
        if not kind.__module__.endswith(("click.exceptions", "typer.exceptions")):  # typer: 0.29
            continue
        if kind.__name__ == "Exit":
            return exited(exc.exit_code)  # type: ignore[attr-defined]
        if kind.__name__ == "Abort":
            return failure("interrupted")
        if kind.__name__ == "UsageError":  # its message holds arguments: not recorded
            code = exited(exc.exit_code).exit_code  # type: ignore[attr-defined]
            return failure("usage", exit_code=code)
        if kind.__name__ == "ClickException" and _has_own_code(exc, kind):
            if isinstance(exc.__context__, KeyboardInterrupt):  # dbt catches it
                return failure("interrupted", exit_code=exited(exc.exit_code).exit_code)  # type: ignore[attr-defined]
            return exited(exc.exit_code, describe(exc))  # type: ignore[attr-defined]
    return raised(exc)


def _has_own_code(exc: BaseException, base: type) -> bool:
    """Tell whether a ClickException carries an exit code that is not merely Click's 1 for all."""
    own = type(exc).__mro__[: type(exc).__mro__.index(base)]
    return "exit_code" in exc.__dict__ or any("exit_code" in vars(kind) for kind in own)


def _is_group(command: Any) -> bool:
    return hasattr(command, "list_commands")


_last_class: tuple[type, str] = (object, "click")  # of a command, and its framework


def _framework(command: Any) -> str:
    global _last_class
    last = _last_class
    if last[0] is not type(command):
        framework = "click"
        for kind in type(command).__mro__:
            package = kind.__module__.partition(".")[0]
            if package in ("typer", "asyncclick"):
                framework = package
        _last_class = last = type(command), framework
    return last[1]


def _path(ctx: Any) -> list[str]:
    """Return the names of the program and of the commands down to a context's own.

    Not `ctx.command_path`: since 8.0 it mixes in arguments of the groups.
    """
    return _names(ctx.parent, ctx.command, ctx.info_name)


def _names(parent: Any, command: Any, called: str | None) -> list[str]:
    names = []
    while parent is not None and called != "":
        name = called or command.name or ""
        if name != command.name:
            from autotask.frameworks.click_names import own_name

            name = own_name(parent.command, command, name)
        names.append(name)
        parent, command, called = parent.parent, parent.command, parent.info_name
    if called == "" and sys.argv[0] not in ("", "-"):
        # django-click passes "" for a command that Django's call_command runs.
        names.append(command.name or "")
        called = os.path.basename(sys.argv[0])
    names.append(_program_name(called or command.name or ""))
    return names[::-1]


def _path_to(ctx: Any, command: Any) -> list[str]:
    """Return the names down to a command that another one calls from its context.

    They lead through the nearest group above that has the command; if there is none, through the
    caller.
    """
    from autotask.frameworks.click_names import path_below

    above = ctx
    while above is not None:
        below = path_below(above.command, command)
        if below is not None:
            return [*_path(above), *below]
        above = above.parent
    return [*_path(ctx), command.name or "?"]


def _program_name(name: str) -> str:
    """Return the program's name; for `python -m pkg` Click has that in it from 8.0 on."""
    if " " not in name:
        return program_name(name)
    program, _, command = name.partition(" ")
    if program == "python" and command.startswith("-m "):
        return command[3:]
    # django-click calls itself `manage.py COMMAND`.
    is_command = program == os.path.basename(sys.argv[0]) and " " not in command
    return f"{program_name(program)}.{command}" if is_command else program_name(name)
