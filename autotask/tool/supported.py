"""What is supported, in which versions: the one table of them."""

from __future__ import annotations

import re
from typing import NamedTuple


class Range(NamedTuple):
    """The oldest and the newest release that are tested, both included: `7.1` is 7.1.*."""

    oldest: str
    newest: str

    def verdict(self, version: str) -> str:
        """Tell whether a version is `supported`, `older`, or `newer` than what is tested."""
        found = _release(version)
        if found < _release(self.oldest):
            return "older"
        return "newer" if found > _release(self.newest) else "supported"

    def __str__(self) -> str:
        return f"{self.oldest} to {self.newest}"


# The frameworks' names are those of their distributions. The tests' matrix installs these.
FRAMEWORKS = {
    "click": Range("7.1", "8.5"),
    "asyncclick": Range("8.1", "8.4"),
    "typer": Range("0.12", "0.29"),
    "invoke": Range("1.7", "3.0"),
    "doit": Range("0.33", "0.37"),
}
# The Pythons that are tested, oldest first: the one list of them. `make matrix` and the tests run
# these; a test holds the classifiers in pyproject.toml to it.
PYTHONS = {
    "cpython": ("3.9", "3.10", "3.11", "3.12", "3.13"),
    "pypy": ("3.9",),
}
OLDEST_PYTHON = PYTHONS["cpython"][0]  # the agent does nothing below, or in other implementations
ALWAYS = {"function": "functions of your own", "process": "any command"}  # no version matters


def python_verdict(implementation: str, version: str) -> str:
    """Tell whether a Python is `supported`, `older`, `newer` than what is tested, or `unknown`."""
    tested = PYTHONS.get(implementation)
    return Range(tested[0], tested[-1]).verdict(version) if tested else "unknown"


def _release(version: str) -> tuple[int, ...]:
    """Return the first two numbers of a version."""
    numbers = [int(number) for number in re.findall(r"\d+", version)[:2]]
    return tuple(numbers + [0] * (2 - len(numbers)))
