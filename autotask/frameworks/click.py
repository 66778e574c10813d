"""Click 7.1 to 8.5, and Typer, which is built on it: a run for each command that does work.

Also what others build on them: Flask's and Celery's command lines and the like.
"""

from __future__ import annotations

import os
import sys
import time

from autotask import recorder
from autotask.frameworks import program_name, replace
from autotask.guard import guarded
from autotask.recorder import ContextVar, passing
from autotask.run import Outcome, exited, failure, raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run


class _Program:
    """One call of a program's `main`: whether its ending has been accounted for."""

    def __init__(self) -> None:
        self.settled = False
        self.pid = os.getpid()


_program: ContextVar[_Program | None] = ContextVar("autotask_click_main", default=None)


def instrument(core: ModuleType) -> None:
    """Instrument `click.core`, or the copy of it that Typer carries along."""
    # Up to 8.1 these live on BaseCommand and MultiCommand; to ask the module for those by name
    # warns from 8.2 on.
    for owner in _own_classes(core.Command):
        replace(owner, "main", _around_main)
        replace(owner, "make_context", _around_make_context)
        replace(owner, "invoke", _around_invoke)
    if hasattr(core, "Group"):  # Typer's copy has none
        for owner in _own_classes(core.Group):
            replace(owner, "invoke", _around_group_invoke)
    commands = _own_classes(core.Command)[-1]
    replace(core.Context, "invoke", lambda own: _around_context_invoke(own, commands))


def instrument_typer(core: ModuleType) -> None:
    """Instrument `typer.core`, whose commands do not call Click's main."""
    replace(core, "_main", _around_main)
    replace(core.TyperGroup, "invoke", _around_group_invoke)  # its own from 0.26 on


def _own_classes(owner: type) -> list[type]:
    return [base for base in owner.__mro__ if base.__module__ == owner.__module__]


def _cover(command: Any) -> None:
    """Instrument the `invoke` that a class of the user's own puts before Click's."""
    around = _around_group_invoke if _is_group(command) else _around_invoke
    for owner in type(command).__mro__:
        own = owner.__dict__.get("invoke")
        if own is not None and not hasattr(own, "__autotask__") and _is_function(own):
            replace(owner, "invoke", around)


def _is_function(value: object) -> bool:
    return type(value) is type(_cover)


def _around_main(original: Any) -> Any:
    @recorder.witness
    def autotask_main(self: Any, *args: Any, **kwargs: Any) -> Any:
        outer, program, began = _program.get(), _entered(), time.monotonic()
        _program.set(program)
        run = None
        try:
            return original(self, *args, **kwargs)
        except BaseException:
            run = _left_main(self, program, passing(), began)  # noqa: F841  run_behind reads it
            raise
        finally:
            _program.set(outer)

    return autotask_main


_entered = guarded(_Program)


@guarded
def _left_main(
    command: Any, program: _Program | None, exc: BaseException, began: float
) -> Run | None:
    """Report what went wrong outside of every command: in a callback at the end, mostly."""
    if type(exc) is SystemExit and not exc.code:
        return None  # each success ends by an exit, too
    if program is None or program.settled or recorder.run_behind(exc) is not None:
        return None
    name = _program_name(os.path.basename(sys.argv[0]) if sys.argv else command.name or "")
    return _report([name], command, exc, began)


def _around_make_context(original: Any) -> Any:
    @recorder.witness
    def autotask_make_context(
        self: Any, info_name: Any, args: Any, parent: Any = None, **extra: Any
    ) -> Any:
        began, run = time.monotonic(), None
        try:
            _before_parsing(self)
            return original(self, info_name, args, parent=parent, **extra)
        except BaseException:
            run = _left_parsing(self, info_name, parent, passing(), began)  # noqa: F841  run_behind reads it
            raise

    return autotask_make_context


@guarded
def _before_parsing(command: Any) -> None:
    _cover(command)


@guarded
def _left_parsing(
    command: Any, info_name: Any, parent: Any, exc: BaseException, began: float
) -> Run | None:
    """Report arguments that were wrong."""
    name = info_name or command.name or ""
    names = [*_path(parent), name] if parent is not None else [_program_name(name)]
    return _report(names, command, exc, began)


def _around_invoke(original: Any) -> Any:
    @recorder.witness
    def autotask_invoke(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = _setup(self, *args, **kwargs)
        try:
            result = original(self, *args, **kwargs)
        except BaseException:
            _failed(run, passing())
            raise
        recorder.succeed(run)
        return result

    return autotask_invoke


@guarded
def _setup(command: Any, *args: Any, **kwargs: Any) -> Run | None:
    """Open the run of a command that works; a group that only hands on is none.

    A class of the user's own may have an `invoke` with other names and more of them.
    """
    ctx = _given(args, kwargs)
    if not hasattr(ctx, "invoked_subcommand"):
        return None
    if ctx.invoked_subcommand is not None and _is_group(command):
        return None
    current = recorder.current()
    if current is not None and current.key is ctx:
        return None  # a subclass's own invoke, which calls that of its base
    framework = _framework(command)
    if not recorder.settings().uses(framework):
        return None  # before the name is put together
    return recorder.begin(".".join(_path(ctx)), framework, ctx)


def _given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the context that an `invoke` was given, by whatever name."""
    return args[0] if args else next(iter(kwargs.values()), None)


@guarded
def _failed(run: Run | None, exc: BaseException) -> None:
    if run is None:
        return
    _settle()
    recorder.end(run, recorder.judged(exc, run, _judged(exc)))


def _around_group_invoke(original: Any) -> Any:
    @recorder.witness
    def autotask_invoke(self: Any, *args: Any, **kwargs: Any) -> Any:
        began, run = time.monotonic(), None
        try:
            return original(self, *args, **kwargs)
        except BaseException:
            run = _left_group(self, passing(), began, *args, **kwargs)  # noqa: F841  run_behind reads it
            raise

    return autotask_invoke


@guarded
def _left_group(
    command: Any, exc: BaseException, began: float, *args: Any, **kwargs: Any
) -> Run | None:
    """Report a group that failed before or after its commands ran, or knew no such command."""
    ctx = _given(args, kwargs)
    if recorder.run_behind(exc) is not None or not hasattr(ctx, "invoked_subcommand"):
        return None
    return _report(_path(ctx), command, exc, began)


def _around_context_invoke(original: Any, commands: type) -> Any:
    @recorder.witness
    def autotask_invoke(*args: Any, **kwargs: Any) -> Any:
        if len(args) < 2 or not issubclass(type(args[1]), commands):
            return original(*args, **kwargs)  # a plain function: Command.invoke's own way to it
        run = _setup_called(args[0], args[1])
        try:
            result = original(*args, **kwargs)
        except BaseException:
            _failed(run, passing())
            raise
        recorder.succeed(run)
        return result

    return autotask_invoke


@guarded
def _setup_called(ctx: Any, command: Any) -> Run | None:
    """Open the run of a command that another one calls by ctx.invoke or ctx.forward."""
    return recorder.begin(".".join(_path_to(ctx, command)), _framework(command))


def _report(names: list[str], command: Any, exc: BaseException, began: float) -> Run | None:
    """Report a failure that no run has seen; help, which is an exit with 0 or 2, is none."""
    program = _program.get()
    if program is not None and program.pid != os.getpid():
        return None  # a forked child on its way out, through what its parent has entered
    _settle()
    outcome = _judged(exc)
    if outcome.status != "failure" or type(exc).__name__ == "NoArgsIsHelpError":  # 8.2
        return None
    return recorder.report(".".join(names), _framework(command), outcome, began)


def _settle() -> None:
    program = _program.get()
    if program is not None:
        program.settled = True


def _judged(exc: BaseException) -> Outcome:
    """Say what an exception means, Click's own among them."""
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
    return raised(exc)


def _is_group(command: Any) -> bool:
    return hasattr(command, "list_commands")


_last_class: tuple[type, str] = (object, "click")  # of a command, and the framework it is of


def _framework(command: Any) -> str:
    global _last_class
    last = _last_class
    if last[0] is not type(command):
        packages = [kind.__module__.partition(".")[0] for kind in type(command).__mro__]
        framework = "typer" if "typer" in packages else "click"
        _last_class = last = type(command), framework
    return last[1]


def _path(ctx: Any) -> list[str]:
    """Return the names of the program and of the commands down to a context's own.

    Not `ctx.command_path`: since 8.0 it mixes in arguments of the groups.
    """
    names = []
    parent = ctx.parent
    while parent is not None:
        names.append(ctx.info_name or ctx.command.name or "")
        ctx, parent = parent, parent.parent
    names.append(_program_name(ctx.info_name or ctx.command.name or ""))
    return names[::-1]


def _path_to(ctx: Any, command: Any) -> list[str]:
    """Return the names down to a command that is called from a context of another one.

    That is where the command has its place, in the nearest group above; else under its caller.
    """
    above = ctx
    while above is not None:
        below = _path_below(above.command, command)
        if below is not None:
            return [*_path(above), *below]
        above = above.parent
    return [*_path(ctx), command.name or "?"]


def _path_below(group: Any, command: Any) -> list[str] | None:
    commands = getattr(group, "commands", None)
    if isinstance(commands, dict):
        for name, found in commands.items():
            below = [] if found is command else _path_below(found, command)
            if below is not None:
                return [name, *below]
    return None


def _program_name(name: str) -> str:
    """Return the program's name; as `python -m pkg` Click says it itself from 8.0 on."""
    said = "python -m "
    return name[len(said) :] if name.startswith(said) else program_name(name)
