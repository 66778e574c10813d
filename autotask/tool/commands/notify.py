"""`autotask notify`: tell people and programs of a failed run, as a command of on_failure."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from autotask.tool.errors import ToolError
from autotask.tool.notify import texts
from autotask.tool.notify.targets import Targets, add_targets, send

DESCRIPTION = """\
Read the record of a run as JSON from standard input, as AUTOTASK_ON_FAILURE gives it to its
command, and send it: by mail, to a webhook, to a service of apprise. Exit with 1 if one of them
was not reached. @FILE stands for the words in a file, one a line: other users see a command line,
and with it the keys in its addresses."""
_LONGEST = 8 << 20  # bytes of a record; the output that is kept is far smaller


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_targets(parser)
    parser.set_defaults(refuse=parser.error)


def run(arguments: argparse.Namespace) -> None:
    """Send the record."""
    targets = Targets.of(arguments)
    if not targets.are_named():
        arguments.refuse("one of --mail, --webhook and --apprise is required")
    record = _read()
    send(targets, texts.title(record), texts.body(record), record)


def _read() -> dict[str, Any]:
    """Return the JSON object on standard input."""
    if sys.stdin is None or sys.stdin.isatty():
        raise ToolError("no record: `autotask notify` reads one from standard input, as JSON")
    try:
        record = json.loads(sys.stdin.buffer.read(_LONGEST))
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise ToolError("standard input is not the record of a run: one JSON object")
    return record
