"""`autotask monitors`: what may be said to it. What it does is imported where it is asked for."""

from __future__ import annotations

import argparse
from pathlib import Path

from autotask.tool import quantities
from autotask.tool.journal import filters

SUMMARY = "make Datadog's monitors of the tasks that were seen"
DESCRIPTION = """\
Turn the tasks that were seen into monitors: a task failed, did not run, hangs, is slow.
autotask.toml, or [tool.autotask] in pyproject.toml, says what cannot be seen: schedules, limits,
whom to notify. DD_API_KEY, DD_APP_KEY and DD_SITE say where Datadog is; only what `apply` has made
is touched."""
EXAMPLES = """\
  autotask monitors init
  autotask monitors plan
  autotask monitors apply --yes
  autotask monitors mute nightly.py --for 2h
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    init = actions.add_parser("init", help="write autotask.toml, with what was learned as comments")
    add_source(init)
    init.add_argument("--force", action="store_true", help="write over a file that is there")
    export = actions.add_parser("export", help="write the monitors as JSON or for Terraform")
    add_source(export)
    add_export(export)
    export.add_argument(
        "--prune", action="store_true", help="remove files of an earlier export no longer needed"
    )
    plan = actions.add_parser("plan", help="show what `apply` would change")
    add_plan(plan)
    apply = actions.add_parser("apply", help="show what is to change, and change it")
    add_apply(apply)
    for one in (plan, apply):
        one.add_argument(
            "--prune", action="store_true", help="delete monitors that are no longer needed"
        )
    mute = actions.add_parser("mute", help="mute all monitors of a task")
    mute.add_argument(
        "--for",
        dest="span",
        metavar="DURATION",
        type=quantities.parse_duration,
        help="for so long: 2h, 3d, ... (default: until it is unmuted)",
    )
    for one in (mute, actions.add_parser("unmute", help="take that back")):
        one.add_argument("task", metavar="TASK", help="its name, as `autotask tasks` shows it")
        add_config(one)


def add_config(parser: argparse.ArgumentParser) -> None:
    """Declare the option that names the file."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="configuration file (default: the nearest autotask.toml, from here upwards)",
    )


def add_source(parser: argparse.ArgumentParser) -> None:
    """Declare where the tasks come from."""
    add_config(parser)
    parser.add_argument(
        "--from-datadog",
        action="store_true",
        help="the tasks that Datadog has seen in 14 days, by the hour, not this machine's journal",
    )


def add_export(parser: argparse.ArgumentParser) -> None:
    """Declare how to export."""
    parser.add_argument(
        "--format", type=filters.one_document, choices=("json", "terraform"), default="json"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=_folder,
        help="into files there (default, or -: print)",
    )


def _folder(text: str) -> Path | None:
    return None if text == "-" else Path(text)


def add_plan(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `plan`."""
    add_source(parser)
    parser.add_argument("--exit-code", action="store_true", help="exit with 2 if there are changes")
    parser.add_argument(
        "--format", type=filters.one_document, choices=("text", "json"), default="text"
    )


def add_apply(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `apply`."""
    add_source(parser)
    parser.add_argument("--yes", action="store_true", help="apply without confirmation")
    parser.add_argument(
        "--format", type=filters.one_document, choices=("text", "json"), default="text"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked for; return the exit status."""
    from autotask.tool.datadog import monitors_actions

    return monitors_actions.ACTIONS[arguments.action](arguments) or 0
