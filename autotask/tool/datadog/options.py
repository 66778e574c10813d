"""The command-line options that `autotask monitors` and `autotask dashboard` share."""

from __future__ import annotations

import argparse
from pathlib import Path

from autotask.tool.journal import filters


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the configuration file."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="configuration file (default: the nearest autotask.toml, in this folder or above)",
    )


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where tasks and settings come from."""
    add_config(parser)
    parser.add_argument(
        "--from-datadog",
        action="store_true",
        help="use the tasks that Datadog has seen in the last 14 days (with hourly precision) "
        "instead of this machine's journal and schedules",
    )


def add_export(parser: argparse.ArgumentParser) -> None:
    """Add the options of `export`."""
    add_source(parser)
    parser.add_argument(
        "--format", type=filters.one_document, choices=("json", "terraform"), default="json"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=lambda text: None if text == "-" else Path(text),
        help="write files to this folder (default, or -: standard output)",
    )


def add_plan(parser: argparse.ArgumentParser) -> None:
    """Add the options of `plan`."""
    add_source(parser)
    parser.add_argument("--exit-code", action="store_true", help="exit with 2 if there are changes")
    parser.add_argument(
        "--format", type=filters.one_document, choices=("text", "json"), default="text"
    )


def add_apply(parser: argparse.ArgumentParser) -> None:
    """Add the options of `apply`."""
    add_source(parser)
    parser.add_argument("--yes", action="store_true", help="apply without confirmation")
    parser.add_argument(
        "--format", type=filters.one_document, choices=("text", "json"), default="text"
    )
