"""`autotask cron watch`: record the runs of the jobs in a crontab."""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import subprocess
import time
from collections.abc import Iterable, Sequence
from typing import Any

from autotask.tool import output
from autotask.tool.cron import changes, door, tables
from autotask.tool.cron.changes import Change
from autotask.tool.cron.formats import Crontab
from autotask.tool.cron.tables import Table, UsersCrontab
from autotask.tool.errors import ToolError
from autotask.tool.schedule import machine, standing

DESCRIPTION = """\
Record a run for each job of a crontab; by default of your own. A line `SHELL=.../autotask/shell` is
added at its top, or below each line that sets SHELL; no other line changes. An anacrontab gets a
line that sets PATH, a timer a drop-in. The difference is shown first, and a copy is kept.

Root's scripts behind SHELL are in /etc/autotask, those of other users in ~/.config/autotask. If
autotask is removed, they start the jobs without it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_crontab(parser)
    parser.add_argument(
        "--line",
        metavar="N",
        type=int,
        action="append",
        help="watch only the job in this line; can be repeated",
    )


def add_crontab(parser: argparse.ArgumentParser) -> None:
    """Declare which crontab is meant."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="/etc/crontab, a file of /etc/cron.d, /etc/anacrontab; or a timer: backup.timer",
    )
    which.add_argument("--user", metavar="U", help="the crontab of this user")
    which.add_argument("--all", action="store_true", help="all crontabs and timers of this machine")
    parser.add_argument("--yes", action="store_true", help="write without confirmation")


def chosen(arguments: argparse.Namespace) -> tuple[list[Table], list[str]]:
    """Return the crontabs and timers that are meant, and lines about those that cannot be."""
    if arguments.all:
        return tables.everything()
    if arguments.file:
        table = tables.named(arguments.file)
        return [table], tables.problems_of(table)
    return [tables.of_user(arguments.user)], []


def run(arguments: argparse.Namespace) -> int:
    """Show the difference, ask, and write; return the exit status."""
    if arguments.line and arguments.all:
        raise ToolError("--line needs one crontab: leave out --all")
    folder = door.ETC if os.geteuid() == 0 else door.users_folder()

    def plan(table: Table) -> Change | None:
        return _change(table, folder, arguments.line or ())

    def prepare(change: Change) -> None:
        _write_doors(change.table, change.new, folder)
        _check_can_start(change)

    found, problems = chosen(arguments)
    for problem in problems:
        output.notice(problem)
    planned, complete = changes.plan(found, plan, go_on=arguments.all)
    if planned:
        _warn_of_users(planned)
        changes.ask(planned, arguments.yes)
        complete &= changes.carry_out(planned, prepare)
    _note_first_sights()
    return 0 if complete else 1


def _note_first_sights() -> None:
    """Note which jobs are new: only what is due later can be missed. It may fail."""
    with contextlib.suppress(OSError, ToolError):
        jobs, _ = machine.jobs()
        standing.note(jobs, time.time())


def _change(table: Table, folder: str, numbers: Sequence[int]) -> Change | None:
    """Return how to watch a crontab; None, which is said, if it need not be changed."""
    old = table.read()
    if old is None:
        raise ToolError(f"{table.name} does not exist: write it with `crontab -e`")
    if not any(table.format.counts(old)):
        print(output.clean(f"{table.name}: no jobs"))
        return None
    new = _watched(table, old, folder, numbers)
    if new == old:
        _write_doors(table, old, folder)
        print(output.clean(f"{table.name}: already watched"))
        return None
    watched, others = table.format.counts(new)
    jobs = "1 job" if watched == 1 else f"{watched} jobs"
    counted = f"{watched} of {watched + others} jobs" if others else jobs
    undo = f"autotask cron unwatch{table.option}"
    return Change(table, old, new, f"{counted} watched", undo)


def _watched(table: Table, old: bytes, folder: str, numbers: Sequence[int]) -> bytes:
    try:
        new = table.format.watch(old, folder, numbers)
    except ToolError as error:
        raise ToolError(f"{table.name}: {error}") from None
    left = "" if numbers else table.format.left(new)
    if left and not table.format.counts(new)[0]:
        raise ToolError(f"{table.name}: nothing can be watched: {left}")
    if left:
        output.notice(f"{table.name}: {left}")
    twice = table.format.twice(new) if isinstance(table.format, Crontab) else ""
    if twice:
        output.notice(f"{table.name}: {twice}")
    return new


def _write_doors(table: Table, text: bytes, folder: str) -> None:
    """Write the scripts that a crontab names in *folder*, if they are not in order."""
    for path in table.format.doors(text):
        why = table.format.problem(path)
        if why and _is_in(path, folder):
            table.format.write_door(path)
            print(output.clean(f"wrote {path}"))
            why = table.format.problem(path)
        if why:
            output.notice(why if path in why else f"{path} {why}")


def _check_can_start(change: Change) -> None:
    """Raise ToolError if a user cannot execute a script: none of their jobs would run."""
    for path in change.table.format.doors(change.new):
        for user in _users(change):
            if not _can_execute(user, path):
                raise ToolError(f"{user} cannot execute {path}: no job of {user} would run")


def _is_in(path: str, folder: str) -> bool:
    """Tell whether a path leads into a folder: a user's crontab may name one with `..` to root."""
    return path.startswith(f"{folder}/") and os.path.normpath(path) == path


def _warn_of_users(planned: Iterable[Change]) -> None:
    """Name the users whose jobs will not be recorded, because they cannot execute autotask."""
    launcher = door.launcher()
    users = {user for change in planned for user in _users(change)}
    for user in sorted(users):
        if not _succeeds(user, launcher, "--version"):
            output.notice(
                f"{user} cannot execute {launcher}: the jobs of {user} will run, but not be "
                "recorded; install autotask where all users may execute it"
            )


def _users(change: Change) -> list[str]:
    """Return the users who run the jobs of a crontab."""
    if isinstance(change.table, UsersCrontab):
        return [change.table.user]
    if isinstance(change.table, tables.Timer):
        return [change.table.timer.service.user]
    form = change.table.format
    return form.users(change.new) if isinstance(form, Crontab) else []


def _can_execute(user: str, path: str) -> bool:
    """Tell whether a user may execute a file: also by its folders, and its file system."""
    return _succeeds(user, "/bin/sh", "-c", '[ -x "$1" ]', "sh", path)


def _succeeds(user: str, *command: str) -> bool:
    """Tell whether a command succeeds for a user; only root can find out for others."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:  # cron ignores such a line
        return True
    if os.geteuid() not in (0, account.pw_uid):
        return True
    becoming: dict[str, Any] = {}
    if os.geteuid() != account.pw_uid:
        becoming["user"], becoming["group"] = account.pw_uid, account.pw_gid
        becoming["extra_groups"] = os.getgrouplist(user, account.pw_gid)
    try:
        ended = subprocess.run(
            command,
            env={"PATH": os.defpath, "HOME": account.pw_dir},
            cwd="/",
            **becoming,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError:
        return False
    return ended.returncode == 0
