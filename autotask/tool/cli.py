"""The `autotask` command: what to do, and what to say when it cannot be done."""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from autotask.tool import prune, runs, show, tasks
from autotask.tool.errors import ToolError
from autotask.tool.output import clean

_EXAMPLES = """\
examples:
  autotask runs --since 24h --status failure
  autotask runs --task 'db.*' --format jsonl
  autotask tasks
  autotask show last
  autotask prune --keep 90d --max-size 512M
"""
_COMMANDS = (
    ("runs", runs, "list the runs, newest first"),
    ("tasks", tasks, "a line a task: runs, success rate, usual duration and its trend"),
    ("show", show, "one run with the runs under it"),
    ("prune", prune, "drop old runs"),
)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"autotask: {clean(message)} (see `{self.prog} --help`)\n")


class _Version(argparse.Action):
    """Looks the version up only when asked: importlib.metadata is slow to import."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib import metadata

        try:
            version = metadata.version("autotask-agent")
        except metadata.PackageNotFoundError:
            version = "(not installed)"
        print(f"autotask {version}")
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    with contextlib.suppress(AttributeError, ValueError):
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        arguments = _parsed(argv)
        status = int(arguments.run_command(arguments))
        sys.stdout.flush()
        return status
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except BrokenPipeError:
        _forget_output()
        return 0
    except KeyboardInterrupt:
        return 130
    except (ToolError, OSError, sqlite3.Error) as problem:
        print(f"autotask: {clean(_line(problem))}", file=sys.stderr)
        return 1


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command == "prune" and arguments.keep is None and arguments.max_size is None:
        parser.error("prune needs --keep or --max-size")
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="autotask",
        description="Shows the runs that autotask has recorded.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module, summary in _COMMANDS:
        command = commands.add_parser(name, help=summary, description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(run_command=module.run)
    return parser


def _line(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.strerror:
        return f"{problem.filename}: {problem.strerror}" if problem.filename else problem.strerror
    if isinstance(problem, sqlite3.Error):
        return f"the index cannot be used ({problem}): delete index.sqlite3 and try again"
    return str(problem)


def _forget_output() -> None:
    """Let the interpreter's last flush go nowhere: the reader of the pipe has left."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
