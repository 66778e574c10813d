"""The command line of `autotask`: its subcommands, its help, and errors in one line."""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import autotask
from autotask.tool import interrupts, output
from autotask.tool.errors import ToolError
from autotask.tool.output import clean

# The subcommands: a summary, then examples. To add one:
# - an entry here;
# - a module of that name in commands/ (`_` for `-`) with DESCRIPTION, add_arguments() and run();
# - its tests in tests/tool/commands/.
# The module is imported only if the user asks for this subcommand: all together cost 30 ms.
SUBCOMMANDS: dict[str, tuple[str, ...]] = {
    "runs": (
        "list runs",
        "autotask runs --since 24h --status failure",
        "autotask runs --task 'db.*' --limit 10",
        "autotask runs --framework process --format jsonl > runs.jsonl",
    ),
    "tasks": (
        "list tasks with success rate and duration",
        "autotask tasks",
        "autotask tasks --framework process --since 7d",
    ),
    "show": (
        "show one run and its children",
        "autotask show 2f9c41d0",
        "autotask show 2f9c41d0@ann",
    ),
    "cron": (
        "list the jobs of cron, and record their runs",
        "autotask cron list",
        "autotask cron watch",
        "autotask cron watch --all --yes",
    ),
    "ship": (
        "deliver what the Datadog Agent missed",
        "autotask ship",
        "autotask ship --follow",
    ),
    "prune": (
        "drop old runs",
        "autotask prune --keep 90d",
        "autotask prune --keep 12w --max-size 200M",
    ),
    "monitors": (
        "create Datadog monitors for the recorded tasks",
        "autotask monitors init",
        "autotask monitors plan",
        "autotask monitors apply --yes",
        "autotask monitors mute nightly.py --for 2h",
    ),
    "dashboard": (
        "create a Datadog dashboard of all tasks",
        "autotask dashboard apply --yes",
        "autotask dashboard export --format terraform",
    ),
    "doctor": (
        "check whether runs are reported, and if not, why",
        "autotask doctor",
        "autotask doctor -- inv db.migrate",
        "autotask doctor --format json -- ./nightly.py",
    ),
    "frameworks": (
        "show supported frameworks, and which are installed",
        "autotask frameworks",
        "autotask frameworks --format json -- inv db.migrate",
    ),
    "bundle": (
        "write a folder for containers, turned on by PYTHONPATH alone",
        "autotask bundle /opt/autotask",
    ),
    "init-home": (
        "create a home that several users share",
        "autotask init-home /var/lib/autotask",
        "autotask init-home --group ops /var/lib/autotask",
    ),
}


class _Parser(argparse.ArgumentParser):
    """Reports a usage error in one line."""

    def __init__(self, **options: Any) -> None:
        # argparse makes a formatter for each option, only to check it. Without a width each would
        # measure the terminal, and the first would import shutil.
        quick = functools.partial(argparse.HelpFormatter, width=80)
        super().__init__(formatter_class=quick, allow_abbrev=False, **options)

    def format_help(self) -> str:
        """Format it for the width of the terminal."""
        self.formatter_class = argparse.RawDescriptionHelpFormatter
        return super().format_help()

    def parse_known_args(self, *words: Any) -> Any:  # type: ignore[override]
        """Refuse unknown arguments here: argparse would name the help of the outermost parser."""
        arguments, unknown = super().parse_known_args(*words)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return arguments, unknown

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"autotask: {clean(message)} (see `{self.prog} --help`)\n")


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    if sys.stderr is None:  # it is closed, and print(file=None) would write to standard output
        sys.stderr = open(os.devnull, "w")
    if sys.stdout is None:
        output.notice("standard output is closed")
        return 1
    # Names of tasks may have letters that the terminal's encoding lacks.
    with contextlib.suppress(AttributeError, ValueError):
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    words = sys.argv[1:] if argv is None else argv
    try:
        arguments = _parse(words)
        status = int(arguments.run_command(arguments) or 0)
        sys.stdout.flush()  # here, because an error at the interpreter's exit shows a traceback
    except BrokenPipeError:  # as in `autotask runs | head`: the reader has what it wants
        _forget_output()
        return 0
    except KeyboardInterrupt:  # only in a block of interrupts.Raised
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        return interrupts.end()
    except Exception as problem:
        line = _line(problem)
        if line is None:
            raise
        output.notice(line)
        _forget_output()
        return 1
    return status


def _parse(words: Sequence[str]) -> argparse.Namespace:
    if words[:1] == ["--"]:
        words = words[1:]
    if not words or words[0] not in SUBCOMMANDS:
        _explain(words)
    name = words[0]
    module = importlib.import_module(f"autotask.tool.commands.{name.replace('-', '_')}")
    parser = _Parser(
        prog=f"autotask {name}", description=module.DESCRIPTION, epilog=_examples(name)
    )
    module.add_arguments(parser)
    parser.set_defaults(run_command=module.run)
    return parser.parse_args(words[1:])


def _explain(words: Sequence[str]) -> NoReturn:
    """Print the help, the version, or what is wrong with a command line without a subcommand."""
    width = max(map(len, SUBCOMMANDS))
    lines = (f"  {name:<{width}}  {summary}\n" for name, (summary, *_) in SUBCOMMANDS.items())
    parser = _Parser(
        prog="autotask",
        usage="autotask [-h] [--version] COMMAND ...",
        description="Show the runs that autotask has recorded.",
        epilog=f"commands:\n{''.join(lines)}\n{_examples(*SUBCOMMANDS)}",
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"autotask {autotask.__version__}",
        help="show the version and exit",
    )
    parser.add_argument("command", metavar="COMMAND", choices=SUBCOMMANDS, help=argparse.SUPPRESS)
    parser.parse_args(words)
    parser.error("the following arguments are required: COMMAND")


def _examples(*names: str) -> str:
    lines = (line for name in names for line in SUBCOMMANDS[name][1:])
    return "examples:\n" + "".join(f"  {line}\n" for line in lines)


def _line(problem: Exception) -> str | None:
    """Say what went wrong; None if that is a bug, whose traceback is needed."""
    if isinstance(problem, OSError) and problem.strerror:
        return f"{problem.filename}: {problem.strerror}" if problem.filename else problem.strerror
    sqlite3 = sys.modules.get("sqlite3")  # loaded only by the subcommands that read the index
    if sqlite3 and isinstance(problem, sqlite3.Error):
        return f"the index cannot be used: {problem}"
    return str(problem) if isinstance(problem, (ToolError, OSError)) else None


def _forget_output() -> None:
    """Send the interpreter's last flush to /dev/null: the reader is gone, or the disk is full."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
