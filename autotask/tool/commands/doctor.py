"""`autotask doctor`: check whether it works here; if not, say why and what to do."""

from __future__ import annotations

import argparse

from autotask.tool.doctor.checks import all_findings
from autotask.tool.doctor.environment import Environment, default_command
from autotask.tool.doctor.report import report
from autotask.tool.errors import ToolError
from autotask.tool.journal import filters

DESCRIPTION = """\
Check the Python that COMMAND would use (default: python3), as `autotask-run` would start it, and
where runs are recorded and sent. COMMAND itself is never started, and nothing is written. Exit
with 1 if something keeps runs from being reported; warnings alone do not count."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--format", type=filters.one_document, choices=("text", "json"), default="text"
    )
    parser.add_argument(
        "--cron", action="store_true", help="check crontabs instead, as `autotask cron check`"
    )
    parser.add_argument(
        "words", metavar="COMMAND", nargs="*", help="the command to check (after --)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; return the exit status."""
    if arguments.cron:
        return _check_crontabs(arguments)
    words = arguments.words or default_command()
    environment = Environment(words)
    return report(list(all_findings(environment)), arguments.format, command=words)


def _check_crontabs(arguments: argparse.Namespace) -> int:
    from autotask.tool.cron import check

    if arguments.words:
        raise ToolError("--cron takes no COMMAND; `autotask cron check FILE` checks one crontab")
    return report(check.own_findings(), arguments.format)
