"""The command line of `autotask`: its subcommands, its help, and errors in one line."""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import autotask
from autotask.tool import interrupts, output
from autotask.tool.errors import in_one_line, meant
from autotask.tool.output import clean

# The subcommands: a summary, then examples. To add one:
# - an entry here;
# - a module of that name in commands/ (`_` for `-`) with DESCRIPTION, add_arguments() and run();
# - its tests in tests/tool/commands/.
# The module is imported only if the user asks for this subcommand: all together cost 30 ms.
SUBCOMMANDS: dict[str, tuple[str, ...]] = {
    "check": (
        "tell what went wrong since the last check",
        "autotask check",
        "autotask check --since 12h --task 'db.*'",
        "autotask check --nagios",
    ),
    "runs": (
        "list runs",
        "autotask runs --since 24h --status failure",
        "autotask runs --since yesterday --reason timeout,oom --tree",
        "autotask runs --sort duration --task 'db.*' --limit 10",
        "autotask runs --framework process --format jsonl > runs.jsonl",
    ),
    "tasks": (
        "list tasks with success rate and duration",
        "autotask tasks",
        "autotask tasks --status failure --sort last-run",
        "autotask tasks --framework process --since 7d",
    ),
    "show": (
        "show one run and its children",
        "autotask show 2f9c41d0",
        "autotask show nightly.py --format json",
        "autotask show 2f9c41d0@ann",
    ),
    "report": (
        "write a page that shows what failed, what is late, and why",
        "autotask report",
        "autotask report --since 30d -o month.html",
        "autotask report --text",
    ),
    "top": (
        "show what runs, what is due next and what just failed, live",
        "autotask top",
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
    "notify": (
        "send the record of a failed run by mail, to a webhook or through apprise",
        "autotask notify --mail ops@example.com < run.json",
        "autotask notify --webhook https://example.com/hook --apprise ntfy://ops < run.json",
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

    usage_status = 2

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
            self.error(f"unrecognized arguments: {' '.join(self._without_secrets(unknown))}")
        return arguments, unknown

    def _without_secrets(self, words: list[str]) -> list[str]:
        """Hide all but options where a file may have the words: their values may be secrets."""
        if not self.fromfile_prefix_chars:
            return words
        options = (re.match(r"--[a-z][a-z-]*(?![^\s=])", word) for word in words)
        return [option[0] if option else "***" for option in options]

    def convert_arg_line_to_args(self, arg_line: str) -> list[str]:
        """Split a line `--option value` of an @FILE as a shell does; others are one word each."""
        name = arg_line.partition(" ")[0]
        if not name.startswith("-") or "=" in name:
            return [arg_line] if arg_line.strip() else []
        import shlex

        try:
            return shlex.split(arg_line)
        except ValueError:  # a quotation that does not end
            self.error(f"argument {self._without_secrets([name])[0]}: no closing quotation")

    def error(self, message: str) -> NoReturn:
        self.exit(self.usage_status, f"autotask: {clean(message)} (see `{self.prog} --help`)\n")


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
        line = in_one_line(problem)
        if line is None:
            raise
        output.notice(line)
        _forget_output()
        return 1
    return status


def _parse(words: Sequence[str]) -> argparse.Namespace:
    if words[:1] == ["--"]:
        words = words[1:]
    if not words:
        from autotask.tool.troubles import day

        return argparse.Namespace(run_command=day.run)
    if words[0] not in SUBCOMMANDS:
        _explain(words)
    name = words[0]
    module = importlib.import_module(f"autotask.tool.commands.{name.replace('-', '_')}")
    parser = _Parser(
        prog=f"autotask {name}", description=module.DESCRIPTION, epilog=_examples(name)
    )
    module.add_arguments(parser)
    if name == "check" and "--nagios" in words:
        parser.usage_status = 3  # 2 would be CRITICAL
    parser.set_defaults(run_command=module.run)
    return parser.parse_args(words[1:])


def _explain(words: Sequence[str]) -> NoReturn:
    """Print the help, the version, or what is wrong with a command line without a subcommand."""
    width = max(map(len, SUBCOMMANDS))
    lines = (f"  {name:<{width}}  {summary}\n" for name, (summary, *_) in SUBCOMMANDS.items())
    parser = _Parser(
        prog="autotask",
        usage="autotask [-h] [--version] [COMMAND ...]",
        description="Show the runs that autotask has recorded; without a command, the last day.",
        epilog=f"commands:\n{''.join(lines)}\n{_examples(*SUBCOMMANDS)}",
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"autotask {autotask.__version__}",
        help="show the version and exit",
    )
    command = None if words[0].startswith("-") else meant(words[0], SUBCOMMANDS)
    if command:
        parser.error(f"no command {words[0]}: did you mean {command}?")
    parser.add_argument("command", metavar="COMMAND", choices=SUBCOMMANDS, help=argparse.SUPPRESS)
    parser.parse_args(words)
    parser.error("the following arguments are required: COMMAND")


def _examples(*names: str) -> str:
    lines = (line for name in names for line in SUBCOMMANDS[name][1:])
    return "examples:\n" + "".join(f"  {line}\n" for line in lines)


def _forget_output() -> None:
    """Send the interpreter's last flush to /dev/null: the reader is gone, or the disk is full."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
