"""What is supported, in which versions; the frameworks' are in `autotask.frameworks`."""

from __future__ import annotations

import re
from typing import NamedTuple

from autotask.frameworks import SUPPORTED, SUPPORTED_IN_RUBY


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


def _read(rows: str) -> tuple[dict[str, Range], tuple[str, ...], dict[str, str]]:
    """Return the released frameworks, those that are part of Python, and the kind of each."""
    released, with_python, kinds, kind = {}, [], {}, ""
    for name, *versions in filter(None, map(str.split, rows.split("\n"))):
        if name == "--":
            kind = versions[0].replace("-", " ")
            continue
        kinds[name] = kind
        if versions[0] == "with":
            with_python.append(name)
        else:
            oldest, newest = versions
            released[name] = Range(oldest, newest)
    return released, tuple(with_python), kinds


# FRAMEWORKS by the names of their distributions: `make matrix` installs and tests the two ends of
# each range. WITH_PYTHON are part of it.
FRAMEWORKS, WITH_PYTHON, KINDS = _read(SUPPORTED)
# Those that are not called as their distribution.
DISTRIBUTIONS = {"airflow": "apache-airflow", "dbt": "dbt-core", "django_q": "django-q2"}
NAMES = tuple(KINDS)  # of all, in the order of their kinds
# By the names of their gems.
RUBY_FRAMEWORKS, _, _RUBY_KINDS = _read(SUPPORTED_IN_RUBY)
KINDS.update(_RUBY_KINDS)
TESTED = {**FRAMEWORKS, **RUBY_FRAMEWORKS}
# The tested Pythons, oldest first. `make matrix` and the tests run these; a test compares the
# classifiers in pyproject.toml.
PYTHONS = {
    "cpython": ("3.9", "3.10", "3.11", "3.12", "3.13"),
    "pypy": ("3.9",),
}
# In older ones, and in other implementations, the agent does nothing.
OLDEST_PYTHON = PYTHONS["cpython"][0]
RUBIES = Range("2.5", "3.4")  # the same for CRuby, called `ruby`; the tests run Debian's
ALWAYS = {"function": "functions of your own", "process": "any command"}  # in any version
KINDS.update(dict.fromkeys(ALWAYS, "any program"))


def python_verdict(implementation: str, version: str) -> str:
    """Tell whether a Python is `supported`, `unknown`, or `older` or `newer` than tested."""
    tested = PYTHONS.get(implementation)
    return Range(tested[0], tested[-1]).verdict(version) if tested else "unknown"


def ruby_verdict(engine: str, version: str) -> str:
    """Tell the same of a Ruby."""
    return RUBIES.verdict(version) if engine == "ruby" else "unknown"


def _release(version: str) -> tuple[int, ...]:
    """Return the first two numbers of a version."""
    numbers = [int(number) for number in re.findall(r"\d+", version)[:2]]
    return tuple(numbers + [0] * (2 - len(numbers)))
