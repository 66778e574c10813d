"""The `autotask` command: what to do, and what to say when it cannot be done."""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from autotask.tool import bundle, doctor, frameworks, prune, runs, show, tasks
from autotask.tool.errors import ToolError
from autotask.tool.output import clean

_COMMANDS = {
    "runs": runs,
    "tasks": tasks,
    "show": show,
    "prune": prune,
    "doctor": doctor,
    "frameworks": frameworks,
    "bundle": bundle,
}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options
        )

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"autotask: {clean(message)} (see `{self.prog} --help`)\n")


class _Version(argparse.Action):
    """Looks the version up only when asked: importlib.metadata is slow to import."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib import metadata

        print("autotask", metadata.version("autotask-agent"))
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
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
        return 130
    except (ToolError, OSError, sqlite3.Error) as problem:
        print(f"autotask: {clean(_line(problem))}", file=sys.stderr)
        _forget_output()
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="autotask",
        description="Show the runs that autotask has recorded.",
        epilog="examples:\n" + "".join(module.EXAMPLES for module in _COMMANDS.values()),
    )
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=_Parser
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
    """Let the interpreter's last flush go nowhere: nobody reads it, or the disk is full."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
