"""`/etc/autotask/bin/run-parts`: what an anacrontab's PATH leads to before the real run-parts.

It outlives the package: without `autotask-run` it becomes the real one. A line that `autotask-run`
runs itself finds the same script in the package.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from autotask import homes
from autotask.around import __file__ as around
from autotask.tool.cron import run_script
from autotask.tool.cron.replacing import replace

_SCRIPT = Path(around).with_name("stand_ins") / "run-parts"
_FROM_LAUNCHER = "${AUTOTASK_RUN_PARTS-}"


def path_for(folder: str) -> str:
    """Return where the script belongs in a folder such as /etc/autotask."""
    return f"{folder}/bin/run-parts"


def text(autotask_run: str) -> str:
    """Return the script; *autotask_run* is the path of that program."""
    return _SCRIPT.read_text("utf-8").replace(_FROM_LAUNCHER, shlex.quote(autotask_run), 1)


def write(folder: str, autotask_run: str) -> str:
    """Write the script; return its path.

    Raises:
        OSError: It cannot be written.
    """
    path = path_for(folder)
    homes.make_folder(os.path.dirname(path), 0o755)  # of a job's user, too
    replace(path, text(autotask_run).encode("utf-8", "surrogateescape"), 0o755)
    return path


def problem(path: str) -> str | None:
    """Say what is wrong with the script at a path; None if it is in order."""
    return run_script.problem_of(path, text)
