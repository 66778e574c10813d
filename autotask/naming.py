"""What a Python command line runs: the name of the whole program."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from autotask.config import Settings

_TOOLS = frozenset(["pip", "ensurepip", "venv", "virtualenv", "site", "compileall", "build"])
_VALUED = frozenset("cmWX")  # the interpreter's options that take a value


def process_name(settings: Settings) -> str | None:
    """Name the run of this very process; None where it is to have none.

    Unasked that is so for `-c`, a prompt, and known tools.
    """
    if settings.process == "0":
        return None
    task = task_name(_command_line())
    if task is None and settings.process == "auto":
        return None
    return settings.name or task or os.path.basename(sys.executable or "python")


def task_name(command: list[str]) -> str | None:
    """Name a Python program by its command line; None for `-c`, a prompt, and known tools."""
    name = python_program(command[1:])
    # pip3.12 is a tool, build.py is a program of the user's own.
    return None if name is None or name.rstrip(".0123456789") in _TOOLS else name


def _command_line() -> list[str]:
    found = getattr(sys, "orig_argv", None)  # 3.10
    if found is not None:
        return list(found)
    try:
        with open("/proc/self/cmdline", "rb") as file:
            return [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
    except OSError:
        return []


def python_program(words: Sequence[str]) -> str | None:
    """Return the file name of the script, with -m the module, that python is to run.

    *words* follow the interpreter's own name. None for `-c` and an interactive interpreter.
    """
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word == "-":
            return os.path.basename(word) if word != "-" else None
        # --check-hash-based-pycs takes a value
        option, value = ("-", "") if word.startswith("--") else split_option(word)
        if option == "c":
            return None
        if option and not value:
            value = next(rest, "")
        if option == "m":
            return value or None
    return None


def is_pex(script: str) -> bool:
    """Tell a PEX: an archive, a folder, or the `__main__.py` in one.

    It drops all that PYTHONPATH has brought in: as a rule it starts itself anew with -I.
    """
    folder, _, name = script.rpartition("/")
    if name.endswith(".py"):
        return name == "__main__.py" and os.path.exists(os.path.join(folder, "PEX-INFO"))
    if not os.path.isfile(script):  # a pipe is not to be read here
        return os.path.exists(os.path.join(script, "PEX-INFO"))
    try:
        with open(script, "rb", buffering=0) as file:
            if b"PK\3\4" not in file.read(256):  # no archive behind a first line
                return False
        from zipimport import zipimporter

        zipimporter(script).get_data("PEX-INFO")
    except (OSError, ImportError):
        return False
    return True


def split_option(word: str) -> tuple[str, str]:
    """Return the option with a value that a word like `-Bm` or `-Wd` holds, and that value."""
    for place, letter in enumerate(word[1:], 2):
        if letter in _VALUED:
            return letter, word[place:]
    return "", ""
