"""`autotask init-home`: create a home in which several users record and read all runs."""

from __future__ import annotations

import argparse
import os
import shlex

from autotask import homes
from autotask.tool import output
from autotask.tool.errors import ToolError

DESCRIPTION = """\
Create a folder in which several users of this machine record, each in a folder of their own that no
other user can write to. With AUTOTASK_HOME=DIR, `autotask runs` and the other commands show the
runs of all users. Only root can create it, so that no user can remove the folder of another."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", metavar="DIR", help="the folder, to be set as AUTOTASK_HOME")
    parser.add_argument(
        "--group", metavar="G", help="the group that records and reads (default: all users)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Create the home, or change who shares it; say what to set."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        raise ToolError("only root can create a home for several users: use sudo")
    path = os.path.abspath(arguments.folder)
    group = 0 if arguments.group is None else _group_id(arguments.group)
    stranger = homes.stranger(os.path.dirname(path), keep_out=True)
    if stranger:
        raise ToolError(
            f"other users can write to {stranger}: choose a folder that only root can write to"
        )
    try:
        homes.make_folder(path)
    except OSError as problem:  # which names only one folder of the path
        raise ToolError(f"cannot create {path}: {problem.strerror or problem}") from None
    # By descriptor, so that the folder cannot be swapped between the check and the change.
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _mark_as_shared(folder, path)
        os.fchown(folder, 0, group)
        # Sticky: users can create folders, but not remove those of others. For a group also setgid:
        # what is created belongs to the group.
        os.fchmod(folder, 0o1777 if arguments.group is None else 0o3770)
    finally:
        os.close(folder)
    users = f"members of {arguments.group}" if arguments.group else "all users"
    print(f"{users} can record in {output.clean(path)} if they set:")
    print(f"AUTOTASK_HOME={output.clean(shlex.quote(path))}")


def _group_id(name: str) -> int:
    import grp

    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ToolError(f"no such group: {name}") from None


def _mark_as_shared(folder: int, path: str) -> None:
    """Create the file that marks a shared home; see `homes.shared_modes`."""
    if homes.shared_modes(path):
        return
    if os.fstat(folder).st_uid != 0 or os.listdir(folder):
        raise ToolError(f"{path} is not empty, or does not belong to root: choose another folder")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    file = os.open(homes.SHARED, flags, 0o644, dir_fd=folder)
    try:
        os.fchmod(file, 0o644)
    finally:
        os.close(file)
