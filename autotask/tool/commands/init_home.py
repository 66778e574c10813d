"""`autotask init-home`: lay a home in which several users record, and read each other's runs."""

from __future__ import annotations

import argparse
import os
import shlex

from autotask import homes
from autotask.tool import output
from autotask.tool.errors import ToolError

DESCRIPTION = """\
Lay a folder in which several users of this machine record, each in a folder of their own that no
other user can write. With AUTOTASK_HOME=DIR, `autotask runs` and the like show the runs of all of
them. Only root can lay it, so that nobody else can take a user's folder away."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", metavar="DIR", help="what AUTOTASK_HOME will be")
    parser.add_argument(
        "--group", metavar="G", help="whose members record and read (default: all users)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Lay the home, or change who shares it; say what to set."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        raise ToolError("only root can lay a home for several users: use sudo")
    path = os.path.abspath(arguments.folder)
    group = 0 if arguments.group is None else _group_id(arguments.group)
    stranger = homes.stranger(os.path.dirname(path), keep_out=True)
    if stranger:
        raise ToolError(f"other users can write to {stranger}: choose a folder of root's alone")
    homes.make_folder(path)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _lay(folder, path)
        os.fchown(folder, 0, group)
        os.fchmod(folder, 0o1777 if arguments.group is None else 0o3770)
    finally:
        os.close(folder)
    who = f"members of {arguments.group}" if arguments.group else "all users"
    print(f"{who} can record in {output.clean(path)}; what they set:")
    print(f"AUTOTASK_HOME={output.clean(shlex.quote(path))}")


def _group_id(name: str) -> int:
    import grp

    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ToolError(f"no such group: {name}") from None


def _lay(folder: int, path: str) -> None:
    """Leave the sign by which a shared home is known; see `homes.shared_modes`."""
    if homes.shared_modes(path):
        return
    if os.fstat(folder).st_uid != 0 or os.listdir(folder):
        raise ToolError(f"{path} is not empty, or not root's: choose another folder")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    file = os.open(homes.SHARED, flags, 0o644, dir_fd=folder)
    try:
        os.fchmod(file, 0o644)
    finally:
        os.close(file)
