"""What a Python command line runs: the name of the whole program."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_VALUED = frozenset("cmWX")  # the interpreter's options that take a value


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


def split_option(word: str) -> tuple[str, str]:
    """Return the option with a value that a word like `-Bm` or `-Wd` holds, and that value."""
    for place, letter in enumerate(word[1:], 2):
        if letter in _VALUED:
            return letter, word[place:]
    return "", ""
