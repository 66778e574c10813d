"""What is supported, in which versions; the frameworks' are in `autotask.frameworks`."""

from __future__ import annotations

import re
from typing import NamedTuple

from autotask.frameworks import SUPPORTED


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
    name: Range(oldest, newest)
    for name, oldest, newest in (line.split() for line in SUPPORTED.split("\n") if line.strip())
}
# The tested Pythons, oldest first. `make matrix` and the tests run these; a test compares the
# classifiers in pyproject.toml.
PYTHONS = {
    "cpython": ("3.9", "3.10", "3.11", "3.12", "3.13"),
    "pypy": ("3.9",),
}
# In older ones, and in other implementations, the agent does nothing.
OLDEST_PYTHON = PYTHONS["cpython"][0]
ALWAYS = {"function": "functions of your own", "process": "any command"}  # in any version


def python_verdict(implementation: str, version: str) -> str:
    """Tell whether a Python is `supported`, `unknown`, or `older` or `newer` than tested."""
    tested = PYTHONS.get(implementation)
    return Range(tested[0], tested[-1]).verdict(version) if tested else "unknown"


def _release(version: str) -> tuple[int, ...]:
    """Return the first two numbers of a version."""
    numbers = [int(number) for number in re.findall(r"\d+", version)[:2]]
    return tuple(numbers + [0] * (2 - len(numbers)))
