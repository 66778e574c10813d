"""`autotask cron`: the jobs of cron on this machine."""

from __future__ import annotations

import argparse
import importlib

DESCRIPTION = """\
Record the runs of the jobs in a crontab. One line at its top, `SHELL=.../autotask/shell`, makes
every job below it a run; no job's line is changed."""

# The actions: a summary, then examples. To add one:
# - an entry here;
# - a module of that name in tool/cron/ with DESCRIPTION, add_arguments() and run().
_ACTIONS: dict[str, tuple[str, ...]] = {
    "list": (
        "list the jobs of this machine, and what was missed or is late",
        "autotask cron list",
        "autotask cron list --format jsonl",
    ),
    "watch": (
        "record the runs of the jobs in a crontab",
        "autotask cron watch",
        "autotask cron watch --line 12",
        "sudo autotask cron watch /etc/cron.d/backup",
        "sudo autotask cron watch --all --yes",
    ),
    "unwatch": (
        "give a crontab back as it was before `watch`",
        "autotask cron unwatch",
        "sudo autotask cron unwatch --user ann",
    ),
    "check": (
        "find what keeps jobs from running or from being recorded",
        "autotask cron check",
        "autotask cron check new-crontab",
        "sudo autotask cron check --all",
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (summary, *examples) in _ACTIONS.items():
        module = importlib.import_module(f"autotask.tool.cron.{name}")
        action = actions.add_parser(
            name,
            help=summary,
            description=module.DESCRIPTION,
            epilog="examples:\n" + "".join(f"  {example}\n" for example in examples),
        )
        module.add_arguments(action)
        action.set_defaults(run_action=module.run)


def run(arguments: argparse.Namespace) -> int:
    """Run the action; return the exit status."""
    return int(arguments.run_action(arguments) or 0)
