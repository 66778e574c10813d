"""The steps that `autotask monitors` and `autotask dashboard` share.

They read the configuration, list the tasks, ask before a change, and write an export.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from autotask.tool import asking, output, quantities
from autotask.tool.datadog import baselines, config, export, local_schedules
from autotask.tool.datadog.api import Api
from autotask.tool.datadog.baselines import Task
from autotask.tool.datadog.config import Config
from autotask.tool.datadog.local_schedules import LocalSchedule
from autotask.tool.datadog.wording import counted, listed
from autotask.tool.journal import opening
from autotask.tool.schedule import machine, places

CHANGES = 2  # the exit status of `plan --exit-code`


def read_config(arguments: argparse.Namespace) -> Config:
    """Read the configuration file, and tell the user which file it is."""
    configuration = config.load(arguments.config)
    path = configuration.path
    if getattr(arguments, "format", None) == "text":
        shown = path or f"none (no {config.FILE} in this folder or above it)"
        output.print_rich(output.styled(f"configuration file: {shown}"))
    elif path is not None and path.is_absolute() and not arguments.config:
        # Standard output is for data here. A file in a folder above may surprise: name it.
        output.notice(f"configuration file: {path}")
    return configuration


def list_tasks(arguments: argparse.Namespace, configuration: Config) -> list[Task]:
    """Return the tasks that Datadog or the local journal has seen."""
    if arguments.from_datadog:
        return _tasks_in_datadog(Api(os.environ), configuration)
    return opening.ask(lambda index: baselines.from_index(index) if index else [])


def list_schedules(
    arguments: argparse.Namespace, tasks: Sequence[Task], configuration: Config
) -> list[LocalSchedule]:
    """Return what this machine's crontabs and timers say; nothing of what ran elsewhere."""
    if arguments.from_datadog:
        return []
    jobs, _ = machine.jobs(places.HERE)
    return local_schedules.read(jobs, tasks, configuration)


def _tasks_in_datadog(api: Api, configuration: Config) -> list[Task]:
    seen = {
        name: api.query(query, baselines.SEEN_SPAN)
        for name, query in baselines.queries(configuration.scope).items()
    }
    inexact = []
    for name in baselines.more_often_than_a_bucket(seen["runs"]):
        settings = configuration.settings_for(name)
        if settings.interval is None and settings.schedule is None:
            inexact.append(name)
    if inexact:
        output.notice(
            f"{counted(len(inexact), 'task')} counted as hourly ({listed(inexact)}): "
            "data from Datadog is by the hour; set `interval`"
        )
    return baselines.from_series(**seen)


def why_no_tasks(arguments: argparse.Namespace) -> str:
    """Say why there are no tasks."""
    if arguments.from_datadog:
        return "Datadog has seen none in the last 14 days (runs from a terminal are ignored)"
    by_hand = opening.ask(lambda index: None if index is None else baselines.by_hand(index))
    if by_hand is None:
        return opening.no_runs()
    if not by_hand:
        return "no runs in the last 60 days"
    return (
        f"{quantities.runs_text(by_hand)} in the last 60 days, but only from a terminal, which is "
        "ignored; start a task from cron, a timer or CI"
    )


def confirm(yes: bool, configuration: Config) -> None:
    """Ask before anything is changed, unless --yes was given.

    Raises:
        ToolError: The user declined, or standard input is not a terminal.
    """
    missing = "" if configuration.path else f"no {config.FILE} in this folder or above it"
    question = f"{missing}; apply without it?" if missing else "apply these changes?"
    asking.confirm(yes, question, missing)


def write_export(files: dict[str, str], arguments: argparse.Namespace) -> None:
    """Write files into a folder, or their contents to standard output."""
    folder: Path | None = arguments.output
    if arguments.format == "terraform":
        files = export.with_provider(files, folder)
    if folder is None:
        sys.stdout.write("\n".join(files.values()))
    else:
        export.write(files, folder)
        output.print_rich(output.styled(f"wrote {counted(len(files), 'file')} to {folder}"))
