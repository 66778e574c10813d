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
    "typer": Range("0.12", "0.29"),
    "invoke": Range("1.7", "3.0"),
    "doit": Range("0.33", "0.37"),
}
PYTHONS = Range("3.9", "3.14")  # the agent is silent below, and in other implementations
IMPLEMENTATIONS = ("cpython", "pypy")
ALWAYS = {"function": "functions of your own", "process": "any command"}  # no version matters


def _release(version: str) -> tuple[int, ...]:
    """Return the first two numbers of a version."""
    numbers = [int(number) for number in re.findall(r"\d+", version)[:2]]
    return tuple(numbers + [0] * (2 - len(numbers)))
