"""The script behind `SHELL=` in a crontab: cron starts it as `$SHELL -c COMMAND` for each job.

It outlives the package, because a SHELL that fails would fail every job of its crontab: if
autotask-run is gone or damaged, the script becomes the real shell.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from importlib import metadata
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from autotask.tool.cron.replacing import replace
from autotask.tool.errors import ToolError

ETC = "/etc/autotask"  # for crontabs of the system; a user's own are led to `users_folder()`
END = "# end of autotask-run"  # the last line of bin/autotask-run
OTHER_OWNER = "whose owner is another user: they can change what its jobs run"
NOEXEC = "cannot be executed: its file system is mounted noexec"
OTHER_VERSION = "was not written by this version of autotask"
_NAME = "shell"
_USUAL = "/bin/sh"
_MODE = 0o755  # /etc/autotask/shell is everybody's
_LONGEST = 1 << 20  # bytes of a file that is read: a crontab may name any
IS_WHOLE = f"""\
# $1 is autotask-run. Of a file that is cut short the shell runs what is left, and not the job.
is_whole() {{
    [ -f "$1" ] && [ -r "$1" ] && [ -x "$1" ] || return
    command -v tail >/dev/null || return 0
    [ "$(tail -n 1 "$1")" = '{END}' ]
}}
"""
_TEXT = f"""\
#!/bin/sh
# The SHELL of crontabs that `autotask cron watch` has changed. It hands each job to autotask-run,
# which records it, or to the real shell if autotask-run is missing or damaged.
# Keep this file as long as a crontab names it: without it, no job of that crontab runs.
#
# This script sets no variables of its own: the job's environment may have the same names.

unrecorded() {{
    trap - EXIT
    exec @shell@ "$@"
}}

{IS_WHOLE}
export SHELL=@shell@
# A shell ends if a command cannot be started (replaced just now, no more processes). A bash does so
# without this trap, unless execfail is set.
trap 'unrecorded "$@"' EXIT
[ -z "${{BASH_VERSION-}}" ] || shopt -s execfail
if [ $# -eq 2 ] && [ "$1" = -c ] && [ -n "$2" ] && is_whole @run@ 2>/dev/null; then
    exec @run@ --shell "$2"
fi
unrecorded "$@"
"""


def users_folder() -> str:
    """Return the folder for crontabs of this user, with an absolute path."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(base):  # the specification: others are to be ignored
        base = os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(base, "autotask")


def path_for(shell: str, folder: str) -> str:
    """Return the path of the script that starts a shell: `shell.usr.bin.zsh` for zsh.

    No two shells have the same, and `shell_of` finds the shell again: a dot of its own is `%2E`.
    """
    name = quote(os.fsencode(shell), safe="/").replace(".", "%2E").replace("/", ".")
    return os.path.join(folder, _NAME if shell == _USUAL else _NAME + name)


def shell_of(path: str) -> str:
    """Return the absolute path of the shell that the script at *path* starts."""
    name = os.path.basename(path)[len(_NAME) :]
    return os.fsdecode(unquote_to_bytes(name.replace(".", "/"))) if name else _USUAL


def text(shell: str, autotask_run: str) -> str:
    """Return the script that hands a job to *autotask_run* or to *shell*: absolute paths."""
    words = {"@shell@": shlex.quote(shell), "@run@": shlex.quote(autotask_run)}
    return re.sub("@(shell|run)@", lambda match: words[match[0]], _TEXT)


def launcher() -> str:
    """Return the path of this installation's autotask-run."""
    beside = Path(__file__).parents[3] / "bin" / "autotask-run"  # in a checkout
    for path in (*_installed_scripts(), beside):
        if is_whole(str(path)):
            return os.path.abspath(path)
    raise ToolError("autotask-run is missing or damaged: install autotask-agent again")


def _installed_scripts() -> list[Path]:
    try:
        files = metadata.files("autotask-agent") or []
    except metadata.PackageNotFoundError:
        return []
    return [Path(str(file.locate())) for file in files if file.name == "autotask-run"]


def write(folder: str, shell: str) -> str:
    """Write the script for a shell at once and whole, and return its path.

    Raises OSError if that is not possible, and ToolError without an autotask-run to lead to.
    """
    path = path_for(shell, folder)
    content = os.fsencode(text(shell, launcher()))
    if not os.path.isdir(folder):
        os.makedirs(folder)
        os.chmod(folder, _MODE)  # whatever the umask
    replace(path, content, _MODE)
    return path


def problem(path: str) -> str | None:
    """Say why the jobs of a crontab with this SHELL fail or are not recorded; None if all is well.

    The text follows the path: `is missing: no job runs`.
    """
    try:
        status = os.stat(path)
        content = _read(path) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        return f"cannot be read ({error.strerror}): no job runs"
    if not stat.S_ISREG(status.st_mode) or status.st_mode & _MODE != _MODE:
        return "is not a file that everybody may read and execute: no job runs"
    if not os.access(path, os.X_OK):
        return f"{NOEXEC}: no job runs"
    shell, run = _shell_and_run(os.fsdecode(content))
    if not run:
        return OTHER_VERSION
    if not os.access(shell, os.X_OK):
        return f"leads to {shell}, which cannot be executed: no job runs"
    if not is_whole(run):
        return f"leads to {run}, which is missing or damaged: its jobs are not recorded"
    if os.stat(run).st_uid not in (0, status.st_uid):
        return f"leads to {run}, {OTHER_OWNER}"
    return None


def _shell_and_run(script: str) -> tuple[str, str]:
    """Return the real shell and the autotask-run of a script; "" if it is not ours."""
    for shell in re.findall(r"^export SHELL=(.*)$", script, re.MULTILINE):
        for run in re.findall(r"^    exec (.*) --shell ", script, re.MULTILINE):
            words = shlex.split(shell), shlex.split(run)
            if text(words[0][0], words[1][0]) == script:
                return words[0][0], words[1][0]
    return "", ""


def is_whole(autotask_run: str) -> bool:
    """Tell whether the scripts would start this autotask-run."""
    try:
        lines = _read(autotask_run).splitlines()
    except OSError:
        return False
    return lines[-1:] == [END.encode()] and os.access(autotask_run, os.X_OK)


def _read(path: str) -> bytes:
    """Return what a file contains; nothing if it is too long to be ours."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # not waiting for a pipe
        return b"" if os.fstat(file.fileno()).st_size > _LONGEST else file.read(_LONGEST)
