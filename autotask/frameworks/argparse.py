"""argparse's subcommands: a run from where the arguments are parsed to the process's end.

Only where the program parses its own command line, and never for an argument parser that a library
uses for something else. Until then nothing that a run needs is loaded.
"""

from __future__ import annotations

import os
import sys

from autotask.frameworks import replace
from autotask.guard import guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, ModuleType
    from typing import Any

# Our modules, loaded once a program parses its command line, or argparse refuses something.
recorder: Any = None
rest: Any = None

_loads: list[Callable[..., None]] = []

_PARSING = ("parse_args", "parse_known_args")
_steps: list[tuple[str, Any]] = []  # the subcommands being parsed, and their parsers
_program = ""  # argparse's own name of the program whose run is open, which its usage begins with


def instrument(argparse: ModuleType) -> None:
    """Instrument `argparse` if it was imported before the agent began; see `argparse_import`."""
    replace(argparse._SubParsersAction, "__call__", _around_call)
    replace(argparse.ArgumentParser, "error", _around_error)
    from autotask.exits import note_exits

    note_exits()


@guarded
def cover(parser: Any, action: Any, load: Callable[..., None]) -> None:
    """Instrument the classes of a parser that has got subcommands, and of its action.

    *load* loads what a run needs, and our modules of these names.
    """
    _loads[:] = [load]
    for owner in type(action).__mro__:
        if hasattr(owner, "add_parser") and type(vars(owner).get("__call__")) is type(_around_call):
            replace(owner, "__call__", _around_call)
    for kind in (type(parser), action._parser_class):  # Django gives a partial of its class
        for owner in getattr(kind, "func", kind).__mro__:
            if type(vars(owner).get("error")) is type(_around_error):
                replace(owner, "error", _around_error)


def _around_call(original: Any) -> Any:
    def autotask_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        depth = len(_steps)
        _enter(self, args)
        try:
            result = original(self, *args, **kwargs)
        except BaseException as exc:
            del _steps[depth:]
            _load()
            if recorder is not None:
                recorder.hide_frame(exc)
            raise
        if depth == 0 and _steps:
            _begin(args[0])
        return result

    return autotask_call


@guarded
def _enter(action: Any, args: tuple[Any, ...]) -> None:
    """Note a subcommand that is about to be parsed, by its own name, never an alias."""
    parser, _, values = args[:3]
    if not _steps:
        if _parsing(sys._getframe(3))[1] is not parser:
            return
        _load()
        if not recorder.settings().uses("argparse") or not _is_free():
            return
    elif parser is not _steps[-1][1]:  # another program's, or a subclass calls its base's
        return
    below = action._name_parser_map.get(values[0])
    names = [name for name, known in action._name_parser_map.items() if known is below]
    if below is not None:
        _steps.append((names[0], below))


@guarded
def _begin(parser: Any) -> None:
    """Open the run: all that follows is its."""
    global _program
    path = [name for name, _ in _steps]
    _steps.clear()
    _program = parser.prog
    rest.begin(path, "argparse")


def _around_error(original: Any) -> Any:
    def autotask_error(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(self, *args, **kwargs)
        except BaseException as exc:
            _load()
            if recorder is not None:
                recorder.hide_frame(exc, _refused(self, exc))
            raise

    return autotask_error


@guarded
def _refused(parser: Any, exc: BaseException) -> Any:
    """Report what the program was given: argparse's message holds arguments, and is not recorded.

    A program may refuse something long after it was parsed, by the same method.
    """
    from autotask.run import exited

    code = exited(exc.code).exit_code if isinstance(exc, SystemExit) else None
    if not code or not recorder.settings().uses("argparse") or recorder.run_behind(exc):
        return None
    is_parsing, main = _parsing(sys._getframe(3))
    if rest.is_open():
        own = f"{parser.prog} ".startswith(f"{_program} ") and not (is_parsing and main is None)
    else:
        own = main is not None and main._subparsers is not None and _is_free()
    return rest.refused([name for name, _ in _steps], "argparse", code) if own else None


def _is_free() -> bool:
    """Tell whether this is a program's own process, and not argcomplete's, which parses to ask."""
    return "_ARGCOMPLETE" not in os.environ and bool(rest.is_free())


def _parsing(frame: FrameType | None) -> tuple[bool, Any]:
    """Tell whether a parser is parsing, and return which of them parses the command line."""
    is_parsing, words = False, sys.argv[1:]
    while frame is not None:
        local = frame.f_locals if frame.f_code.co_name in _PARSING else {}
        parser = local.get("self")
        if "_subparsers" in getattr(parser, "__dict__", ()):  # no function of the program's
            is_parsing, given = True, local.get("args")
            if type(given) not in (list, tuple, type(None)):  # parsed: what was not understood
                given = local.get("argv")
                if type(given) is list and given and not set(given) - set(words):
                    return True, parser
            elif given is None or list(given) == words:
                return True, parser
        frame = frame.f_back
    return is_parsing, None


@guarded
def _load() -> None:
    """Load what a run needs."""
    global recorder, rest
    if recorder is None:
        for quickly in _loads[:1]:
            quickly("naming", "rest")
        from autotask import recorder as used_recorder
        from autotask import rest as used_rest

        recorder, rest = used_recorder, used_rest
