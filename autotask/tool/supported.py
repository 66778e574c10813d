"""The one table of what is supported, and in which versions."""

from __future__ import annotations

import re
from typing import NamedTuple


class Range(NamedTuple):
    """The oldest and the newest tested release, both included; `7.1` means 7.1.*."""

    oldest: str
    newest: str

    def verdict(self, version: str) -> str:
        """Tell whether a version is `supported`, or `older` or `newer` than the tested ones."""
        release = _release(version)
        if release < _release(self.oldest):
            return "older"
        return "newer" if release > _release(self.newest) else "supported"

    def __str__(self) -> str:
        return f"{self.oldest} to {self.newest}"


# By the names of their distributions. `make matrix` installs and tests the two ends of each range.
FRAMEWORKS = {
    "click": Range("7.1", "8.5"),
    "asyncclick": Range("8.1", "8.4"),
    "typer": Range("0.12", "0.29"),
    "invoke": Range("1.7", "3.0"),
    "doit": Range("0.33", "0.37"),
}
# The tested Pythons, oldest first. `make matrix` and the tests run these; a test compares the
# classifiers in pyproject.toml.
PYTHONS = {
    "cpython": ("3.9", "3.10", "3.11", "3.12", "3.13"),
    "pypy": ("3.9",),
}
OLDEST_PYTHON = PYTHONS["cpython"][
    0
]  # in older ones, and in other implementations, the agent does nothing
ALWAYS = {"function": "functions of your own", "process": "any command"}  # in any version


def python_verdict(implementation: str, version: str) -> str:
    """Tell whether a Python is `supported`, `unknown`, or `older` or `newer` than tested."""
    tested = PYTHONS.get(implementation)
    return Range(tested[0], tested[-1]).verdict(version) if tested else "unknown"


def _release(version: str) -> tuple[int, ...]:
    """Return the first two numbers of a version."""
    numbers = [int(number) for number in re.findall(r"\d+", version)[:2]]
    return tuple(numbers + [0] * (2 - len(numbers)))
