"""Whether what a line starts is recorded without a door, and under which name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from autotask.command_name import SHELLS
from autotask.shell_line import commands
from autotask.wrapper_commands import after_wrapper

_LAUNCHER = "autotask-run"
_LONGEST = 1 << 16  # bytes of a sitecustomize.py: ours is shorter


def launcher_words(command: str) -> list[str]:
    """Return the words of the `autotask-run` that a shell's line starts; none if it starts none."""
    for *_, words, _helps in commands(command):
        found = _in_words(list(words))
        if found:
            return found
    return []


def _in_words(words: list[str]) -> list[str]:
    while words and os.path.basename(words[0]) != _LAUNCHER:
        if os.path.basename(words[0]) in SHELLS and "-c" in words:
            return launcher_words(" ".join(words[words.index("-c") + 1 :][:1]))
        if len(words) == 1 and " " in words[0]:  # `flock FILE -c LINE`
            return launcher_words(words[0])
        words = after_wrapper(words)
    return words


def name_given_to(launcher: list[str]) -> str | None:
    """Return the name that the words of `autotask-run` give, by `--name`; there may be none."""
    command = after_wrapper(launcher) if launcher else []
    options = launcher[1 : len(launcher) - len(command)]
    for option, following in zip(options, [*options[1:], ""]):
        name, equals, value = option.partition("=")
        if name == "--name":
            return value if equals else following
    return None


def is_on_path(environment: Mapping[str, str]) -> bool:
    """Tell whether the agent is on PYTHONPATH: Python programs are recorded from inside."""
    return any(map(_is_agents, environment.get("PYTHONPATH", "").split(os.pathsep)))


def _is_agents(folder: str) -> bool:
    path = os.path.join(folder, "sitecustomize.py")
    try:
        if not os.path.isfile(path):  # a user may name a pipe to root
            return False
        with open(path, "rb") as file:
            return b"autotask" in file.read(_LONGEST)
    except OSError:
        return False


def variables(words: Iterable[str]) -> dict[str, str]:
    """Return the environment in words like `A=b`."""
    pairs = (word.partition("=") for word in words)
    return {name: value for name, equals, value in pairs if equals}
