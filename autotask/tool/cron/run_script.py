"""`/etc/autotask/run NAME COMMAND [ARG]...`: what a drop-in starts instead of a service's command.

It outlives the package: if `autotask-run` is gone, it becomes the command alone.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable

from autotask import homes
from autotask.tool.cron.door import IS_WHOLE, OTHER_OWNER, OTHER_VERSION, is_whole
from autotask.tool.cron.replacing import replace

_RUN = "autotask_run="
_TEXT = """\
#!/bin/sh
# autotask: run a command of a systemd service as a task.
# Without autotask-run it runs the command alone, whose environment may have a `name` of its own.
autotask_name=$1
shift
autotask_run={run}

{is_whole}
# A shell ends if autotask-run cannot be started (replaced just now, no more processes). A bash does
# so without this trap, unless execfail is set.
trap 'trap - EXIT; exec "$@"' EXIT
[ -z "${{BASH_VERSION-}}" ] || shopt -s execfail
if is_whole "$autotask_run" 2>/dev/null; then
    exec "$autotask_run" --name "$autotask_name" "$@"
fi
trap - EXIT
exec "$@"
"""


def path_for(folder: str) -> str:
    """Return where the script belongs in a folder such as /etc/autotask."""
    return f"{folder}/run"


def text(autotask_run: str) -> str:
    """Return the script; *autotask_run* is the path of that program."""
    return _TEXT.format(run=shlex.quote(autotask_run), is_whole=IS_WHOLE)


def write(folder: str, autotask_run: str) -> str:
    """Write the script; return its path.

    Raises:
        OSError: It cannot be written.
    """
    homes.make_folder(folder, 0o755)  # a service has a user of its own
    path = path_for(folder)
    replace(path, text(autotask_run).encode("utf-8", "surrogateescape"), 0o755)
    return path


def problem(path: str) -> str | None:
    """Say what is wrong with the script at a path; None if it is in order."""
    return problem_of(path, text)


def problem_of(path: str, text_for: Callable[[str], str]) -> str | None:
    """Say what is wrong with a script, which *text_for* writes for the path of autotask-run."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            content = file.read()
    except OSError as error:
        return f"cannot read {path}: {error.strerror}"
    line = next((line for line in content.splitlines() if line.startswith(_RUN)), _RUN)
    try:
        run = "".join(shlex.split(line.removeprefix(_RUN)))
    except ValueError:  # a quote has no end
        run = ""
    if content != text_for(run):
        return f"{path} {OTHER_VERSION}"
    if not os.access(path, os.X_OK):  # also if its file system is mounted noexec
        return f"{path} is not executable"
    if not is_whole(run):
        return f"{path} leads to {run}, which is missing or damaged"
    if os.stat(run).st_uid not in (0, os.stat(path).st_uid):
        return f"{path} leads to {run}, {OTHER_OWNER}"
    return None
