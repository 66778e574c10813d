"""The scripts that a line of run-parts runs: those of /etc/cron.daily and the like."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import NamedTuple

from autotask.around.leads_to import ELSEWHERE
from autotask.around.run_parts import understood
from autotask.shell_line import commands
from autotask.tool.schedule.crontabs import is_leftover
from autotask.tool.schedule.places import HERE, Places
from autotask.wrapper_commands import after_wrapper

_PATIENCE = 30.0  # seconds
# Debian's crontab leaves this to anacron, if that is installed.
_UNLESS_ANACRON = re.compile(r"(?:test|\[)\s+-x\s+(/\S*anacron)\s+(?:\]\s*)?\|\|")
_NAME = re.compile(r"[A-Za-z0-9_-]+")


class Scripts(NamedTuple):
    """What run-parts finds in a folder."""

    paths: list[str]  # of what it runs, in order
    problems: list[str]  # a line for each that it leaves out, though it is meant to run


def words_of(command: str) -> list[str] | None:
    """Return the words of the run-parts that a shell's line starts, the last one is its folder.

    None if it starts none, if only the shell knows the folder, or if our run-parts does not come
    first: by a path, with a PATH of its own.
    """
    for assignments, started, _ in commands(command):
        words = list(started)
        while words and words[0] != "run-parts" and os.path.basename(words[0]) not in ELSEWHERE:
            words = after_wrapper(words)
        has_path = any(word.startswith("PATH=") for word in (*assignments, *started))
        if words[:1] == ["run-parts"] and words[1:] and "$" not in words[-1] and not has_path:
            return words
    return None


def has_runs(words: list[str]) -> bool:
    """Tell whether each script would have a run of its own: not with every run-parts."""
    return understood(words[1:], dict(os.environ)) is not None


def is_anacrons(command: str, places: Places = HERE) -> bool:
    """Tell whether a line leaves its work to anacron, which is installed."""
    match = _UNLESS_ANACRON.search(command)
    return match is not None and os.access(places.at(match[1]), os.X_OK)


def scripts(words: list[str], places: Places = HERE) -> Scripts:
    """Ask this machine's own run-parts what it would run: they have different rules."""
    folder = places.at(words[-1])
    program = shutil.which("run-parts")
    if program is None or not os.path.isdir(folder):
        return Scripts([], [])
    try:
        ended = subprocess.run(
            [program, "--test", *words[1:-1], folder],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return Scripts([], [f"run-parts does not answer for {folder}"])
    paths = [path for path in os.fsdecode(ended.stdout).splitlines() if path.startswith("/")]
    return Scripts(paths, _problems(folder, {os.path.basename(path) for path in paths}))


def _problems(folder: str, run: set[str]) -> list[str]:
    left = [name for name in sorted(os.listdir(folder)) if name not in run | {"0anacron"}]
    reasons = ((f"{folder}/{name}", _why(name, f"{folder}/{name}")) for name in left)
    return [f"run-parts ignores {path}: {why}" for path, why in reasons if why]


def _why(name: str, path: str) -> str | None:
    """Say why run-parts leaves out what is meant to be run; None if it is not meant to be."""
    if is_leftover(name) or os.path.isdir(path):
        return None
    if not os.path.exists(path):
        return "it leads nowhere"
    if os.stat(path).st_mode & 0o111:
        return None if _NAME.fullmatch(name) else "of the characters in its name"
    return "it is not executable" if _is_script(path) else None


def _is_script(path: str) -> bool:
    if not os.path.isfile(path) or not os.access(path, os.R_OK):
        return False
    with open(path, "rb") as file:
        return file.read(2) == b"#!"
