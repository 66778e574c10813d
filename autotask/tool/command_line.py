"""The command line of `autotask`: what to do, and what to say when it cannot be done."""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import autotask
from autotask.tool import interrupts, output
from autotask.tool.commands import (
    bundle,
    dashboard,
    doctor,
    frameworks,
    init_home,
    monitors,
    prune,
    runs,
    ship,
    show,
    tasks,
)
from autotask.tool.errors import ToolError
from autotask.tool.output import clean

_COMMANDS = {
    "runs": runs,
    "tasks": tasks,
    "show": show,
    "ship": ship,
    "prune": prune,
    "monitors": monitors,
    "dashboard": dashboard,
    "doctor": doctor,
    "frameworks": frameworks,
    "bundle": bundle,
    "init-home": init_home,
}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options
        )

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"autotask: {clean(message)} (see `{self.prog} --help`)\n")


class _Command(_Parser):
    """Sends the user of a subcommand to its own help, also where a word is too much."""

    def parse_known_args(self, *words: Any) -> Any:  # type: ignore[override]
        """Take no word that is not known."""
        arguments, unknown = super().parse_known_args(*words)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return arguments, unknown


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    if sys.stderr is None:  # closed: print() would take standard output instead
        sys.stderr = open(os.devnull, "w")
    if sys.stdout is None:
        output.notice("standard output is closed")
        return 1
    with contextlib.suppress(AttributeError, ValueError):
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        arguments = _parser().parse_args(argv)
        status = int(arguments.run_command(arguments) or 0)
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()
        return 0
    except KeyboardInterrupt:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        return interrupts.end()
    except (ToolError, OSError, sqlite3.Error) as problem:
        output.notice(_line(problem))
        _forget_output()
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="autotask",
        description="Show the runs that autotask has recorded.",
        epilog="examples:\n" + "".join(module.EXAMPLES for module in _COMMANDS.values()),
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"autotask {autotask.__version__}",
        help="show the version and exit",
    )
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=_Command
    )
    for name, module in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=module.DESCRIPTION,
            epilog="examples:\n" + module.EXAMPLES,
        )
        module.add_arguments(command)
        command.set_defaults(run_command=module.run)
    return parser


def _line(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.strerror:
        return f"{problem.filename}: {problem.strerror}" if problem.filename else problem.strerror
    if isinstance(problem, sqlite3.Error):
        return f"the index cannot be used: {problem}"
    return str(problem)


def _forget_output() -> None:
    """Send the interpreter's last flush to /dev/null: the reader has gone, or the disk is full."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
