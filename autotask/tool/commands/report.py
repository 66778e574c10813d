"""`autotask report`: what failed, what did not happen and how the tasks do, to look at."""

from __future__ import annotations

import argparse
import os
import stat
import sys
import time
import webbrowser
from pathlib import Path

from autotask.tool import output, quantities, summaries
from autotask.tool.cron import replacing
from autotask.tool.errors import ToolError
from autotask.tool.journal import opening
from autotask.tool.report import gather
from autotask.tool.schedule import machine
from autotask.tool.schedule.places import HERE, Places

DESCRIPTION = """\
Write one HTML file that shows what failed last night, what is late and was missed, and why; the
nights of each task; which tasks ran beside which; how long they take, and how often they succeed.
It loads nothing from anywhere. With --text it is plain text on standard output, for cron's mail."""
FILE = "autotask-report.html"
_PERIOD = 7 * 86400.0  # seconds to look back
_STDOUT = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "-o", metavar="FILE", dest="file", help=f"where to write it (default: {FILE}); - for stdout"
    )
    parser.add_argument(
        "--since",
        metavar="WHEN",
        type=quantities.parse_since,
        help="how far to look back: 30d, 12w, ..., or since yesterday, 2026-11-28, ... "
        "(default: 7d)",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--open", action="store_true", help="show it in a browser")
    kind.add_argument(
        "--text", action="store_true", help="plain text of 80 columns, on standard output"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the report."""
    write(arguments, HERE, time.time())


def write(arguments: argparse.Namespace, places: Places, now: float) -> None:
    """Write the report of a machine, as of a time in POSIX seconds."""
    file = arguments.file or (_STDOUT if arguments.text else FILE)
    if arguments.open and file == _STDOUT:
        raise ToolError("--open needs a file: leave out `-o -`")
    jobs, _ = machine.jobs(places)  # `autotask cron list` tells the problems
    configuration = summaries.configuration()
    since = now - _PERIOD if arguments.since is None else arguments.since
    report = opening.ask(lambda index: gather.gather(index, jobs, configuration, since, now))
    if arguments.text:
        from autotask.tool.report import text

        written = text.text(report)
    else:
        from autotask.tool.report import page

        written = page.page(report)
    if file == _STDOUT:
        sys.stdout.write(written)
        return
    path = os.path.realpath(file)
    _write(path, written.encode("utf-8", "backslashreplace"))
    print(f"wrote {output.clean(path)} ({quantities.size_text(os.path.getsize(path))})")
    if arguments.open and not webbrowser.open(Path(path).as_uri()):
        output.notice("no browser found: open the file yourself")


def _write(path: str, data: bytes) -> None:
    """Write it as a whole; into a device or a pipe, directly."""
    if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
        with open(path, "wb") as file:
            file.write(data)
        return
    replacing.replace(path, data, 0o600)
