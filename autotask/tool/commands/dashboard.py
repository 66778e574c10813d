"""`autotask dashboard`: one Datadog dashboard of all tasks."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable

from autotask.tool.datadog import dashboard, dashboard_plan, export, options, session
from autotask.tool.datadog.answers import Json
from autotask.tool.datadog.api import Api
from autotask.tool.datadog.config import Config

DESCRIPTION = """\
Create a Datadog dashboard of all tasks: the latest failures, success rates, durations, what is
running. DD_API_KEY, DD_APP_KEY and DD_SITE select the Datadog account. Only the dashboard that
`apply` has created is ever changed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    options.add_export(
        actions.add_parser("export", help="write the dashboard as JSON or for Terraform")
    )
    options.add_plan(actions.add_parser("plan", help="show whether `apply` would change it"))
    options.add_apply(actions.add_parser("apply", help="create it, or bring it up to date"))


def run(arguments: argparse.Namespace) -> int:
    """Run the action; return the exit status."""
    actions: dict[str, Callable[[argparse.Namespace], int | None]] = {
        "export": _export,
        "plan": _plan,
        "apply": _apply,
    }
    return actions[arguments.action](arguments) or 0


def _definition(arguments: argparse.Namespace) -> tuple[Config, Json]:
    configuration = session.read_config(arguments)
    tasks = session.list_tasks(arguments, configuration)
    tags = [*configuration.set_tags, *configuration.tags]
    return configuration, dashboard.definition(tasks, tags, configuration.scope)


def _export(arguments: argparse.Namespace) -> None:
    _, desired = _definition(arguments)
    if arguments.format == "terraform":
        files = {"dashboard.tf": export.terraform_dashboard(desired)}
    else:
        files = {"dashboard.json": export.json_text(desired)}
    session.write_export(files, arguments)


def _plan(arguments: argparse.Namespace) -> int:
    configuration, desired = _definition(arguments)
    planned = dashboard_plan.plan(Api(os.environ), desired, configuration.set_tags)
    if arguments.format == "json":
        ids = [current["id"] for current in planned.current]
        record = {"action": planned.action, "ids": ids, "differences": planned.differences}
        print(json.dumps(record, indent=2))
    else:
        print("\n".join(planned.lines()))
    return session.CHANGES if arguments.exit_code and planned.action else 0


def _apply(arguments: argparse.Namespace) -> int:
    configuration, desired = _definition(arguments)
    api = Api(os.environ)
    planned = dashboard_plan.plan(api, desired, configuration.set_tags)
    if arguments.format == "text":
        print("\n".join(planned.lines()))
    if planned.action is not None:
        session.confirm(arguments.yes, configuration)
    url = f"https://app.{api.site}/dashboard/{planned.apply(api)}"
    print(json.dumps({"action": planned.action, "url": url}) if arguments.format == "json" else url)
    return 0
