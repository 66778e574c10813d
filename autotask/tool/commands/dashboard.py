"""`autotask dashboard`: what may be said to it."""

from __future__ import annotations

import argparse

from autotask.tool.commands import monitors

SUMMARY = "make Datadog's dashboard of all tasks"
DESCRIPTION = """\
Make a dashboard of all tasks: what failed last, how often they succeed, how long they take, what
runs now. DD_API_KEY, DD_APP_KEY and DD_SITE say where Datadog is; only what `apply` has made is
touched."""
EXAMPLES = """\
  autotask dashboard apply --yes
  autotask dashboard export --format terraform
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    export = actions.add_parser("export", help="write the dashboard as JSON or for Terraform")
    monitors.add_source(export)
    monitors.add_export(export)
    monitors.add_plan(actions.add_parser("plan", help="show whether `apply` would change it"))
    monitors.add_apply(actions.add_parser("apply", help="make it, or bring it up to date"))


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked for; return the exit status."""
    from autotask.tool.datadog import dashboard_actions

    return dashboard_actions.ACTIONS[arguments.action](arguments) or 0
