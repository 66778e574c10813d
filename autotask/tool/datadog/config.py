"""What the user wishes: `autotask.toml`, or `[tool.autotask]` in pyproject.toml.

[datadog]                      # for all tasks
notify = ["@slack-ops"]

[task."db.*"]                  # for some; of two that match, the later one wins
schedule = "15 3 * * *"
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from autotask.dogstatsd import tag
from autotask.tool.datadog import zone
from autotask.tool.datadog.answers import fields
from autotask.tool.datadog.baselines import tag_value
from autotask.tool.datadog.schedule import Schedule, schedule_for
from autotask.tool.errors import ToolError
from autotask.tool.quantities import parse_duration

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "autotask.toml"
KINDS = ("failed", "did_not_run", "hung", "slow")
_LONGEST_WITHIN = 6 * 86400  # seconds: a monitor's window is a week at most
_MOST_IN_A_ROW = 99  # a service check's window ends at 100, and holds one more than that


@dataclass(frozen=True)
class Wishes:
    """What is wished for a task; None: nothing was said."""

    schedule: str | None = None  # a cron line
    timezone: str | None = None  # of the schedule; None: this machine's
    interval: float | None = None  # seconds from one run to the next, at most
    within: float | None = None  # seconds after it is due until it must have ended
    hung_after: float | None = None  # seconds
    slow_after: float | None = None  # seconds
    failures_in_a_row: int = 1
    latched: bool = False  # an alert from the first failure to the next success
    notify: tuple[str, ...] = ()
    priority: int | None = None  # 1 to 5
    without: frozenset[str] = frozenset()  # of KINDS
    retired: bool = False  # it does not run any more, and is watched no more
    service: str | None = None  # of a task that has not been seen yet
    env: str | None = None

    def due(self) -> Schedule | None:
        """Return when it is due, where that was said."""
        if self.schedule is None:
            return None
        return schedule_for(self.schedule, self.timezone or zone.of_this_machine() or "UTC")


@dataclass(frozen=True)
class Section:
    """The wishes for the tasks that match a pattern, in which only `*` is special."""

    pattern: str  # as Datadog keeps names in tags
    said: Mapping[str, Any]
    spelled: str = ""

    def covers(self, name: str) -> bool:
        """Tell whether a name matches, or all names that another pattern does."""
        return matches(self.pattern, name)


@dataclass(frozen=True)
class Config:
    """A file's contents."""

    name: str = "default"  # of this set of monitors: others are not touched
    tags: tuple[str, ...] = ()  # on each monitor
    scope: tuple[str, ...] = ()  # tags of the runs that are watched at all
    wishes: Wishes = field(default_factory=Wishes)
    sections: tuple[Section, ...] = ()
    path: Path | None = None  # the file; None: there is none

    def wishes_for(self, name: str) -> Wishes:
        """Return what is wished for a task, or for all that a pattern matches."""
        found = self.wishes
        for section in self.covering(name):
            found = replace(found, **section.said)
        return found

    def covering(self, name: str) -> list[Section]:
        """Return the sections that match a task, or all that a pattern matches, in their order."""
        named, patterns = self._places
        places = named.get(name, []) + [at for at in patterns if self.sections[at].covers(name)]
        return [self.sections[at] for at in sorted(places)]

    @cached_property
    def _places(self) -> tuple[dict[str, list[int]], list[int]]:
        """Keep apart where names and patterns stand: of names there may be thousands."""
        named: dict[str, list[int]] = {}
        patterns = []
        for at, section in enumerate(self.sections):
            if "*" in section.pattern:
                patterns.append(at)
            else:
                named.setdefault(section.pattern, []).append(at)
        return named, patterns


def matches(pattern: str, name: str) -> bool:
    """Match greedily from both ends; a `*` of *name* is matched by a `*` only."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == name
    *middle, last = rest
    if not name.startswith(first) or not name[len(first) :].endswith(last):
        return False
    between = name[len(first) : len(name) - len(last)]
    for part in middle:
        _, found, between = between.partition(part) if part else ("", "*", between)
        if not found:
            return False
    return True


# Reading. Each key has a function that takes its value, or raises ValueError with what it must be.


def _name(value: Any) -> str:
    return tag_value("autotask_set", _text(value))


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text")
    return value


def _seconds(value: Any) -> float:
    try:
        seconds = parse_duration(value) if isinstance(value, str) else 0
    except argparse.ArgumentTypeError:
        seconds = 0
    if seconds < 1:
        raise ValueError('must be a duration such as "45s", "20m", "2h" or "1d"')
    return seconds


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise ValueError('must be a list of texts: ["..."]')
    return tuple(value)


def _tags(value: Any) -> tuple[str, ...]:
    tags = [one.partition(":")[::2] for one in _texts(value)]
    if not all(key[:1].isalpha() and rest for key, rest in tags):
        raise ValueError('must be a list of tags: ["team:shop"]')
    return tuple(tag(key, rest) for key, rest in tags)


def _recipients(value: Any) -> tuple[str, ...]:
    texts = _texts(value)
    if not all(one.startswith("@") and len(one.split()) == 1 for one in texts):
        raise ValueError('must be a list of what Datadog notifies: ["@slack-ops"]')
    return texts


def _kinds(value: Any) -> frozenset[str]:
    texts = _texts(value)
    for one in texts:
        if one not in KINDS:
            raise ValueError(f"must name some of: {', '.join(KINDS)}")
    return frozenset(texts)


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _number(low: int, high: int) -> Callable[[Any], int]:
    def number(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"must be a number from {low} to {high}")
        return value

    return number


_ALL: dict[str, Callable[[Any], Any]] = {
    "failures_in_a_row": _number(1, _MOST_IN_A_ROW),
    "latched": _switch,
    "notify": _recipients,
    "priority": _number(1, 5),
    "timezone": _text,
    "within": _seconds,
    "without": _kinds,
}
_DATADOG = {**_ALL, "name": _name, "scope": _tags, "tags": _tags}
_TASK = {
    **_ALL,
    "env": _text,
    "hung_after": _seconds,
    "interval": _seconds,
    "retired": _switch,
    "schedule": _text,
    "service": _text,
    "slow_after": _seconds,
}


def load(path: str | None) -> Config:
    """Read the file that was named, or the nearest one from this folder upwards.

    Without one, use the defaults. A pyproject.toml counts if it has a table for autotask.
    """
    if path is not None:
        return _loaded(Path(path))
    for candidate in (*_files(Path()), *above()):
        found = _loaded(candidate)
        if candidate.name == FILE or replace(found, path=None) != Config():
            return found
    return Config()


def above() -> Iterator[Path]:
    """Return the files above this folder that may hold a configuration, the nearest first."""
    return (path for folder in Path.cwd().parents for path in _files(folder))


def _files(folder: Path) -> Iterator[Path]:
    candidates = (folder / FILE, folder / "pyproject.toml")
    return filter(os.path.isfile, candidates)  # none in a folder that we may not look into


def _loaded(path: Path) -> Config:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ToolError(f"{path}: {problem}") from None
    if path.name == "pyproject.toml":
        document = fields(document.get("tool")).get("autotask", {})
        if not isinstance(document, dict):
            raise ToolError(f"{path}: autotask must be a table: [tool.autotask]")
    return replace(parse(document, str(path)), path=path)


def parse(document: Mapping[str, Any], where: str = FILE) -> Config:
    """Take a document's tables, and refuse what is not known."""
    _known(document, ("datadog", "task"), f"{where}:")
    for name in ("datadog", "task"):
        if not isinstance(document.get(name, {}), dict):
            raise ToolError(f"{where}: {name} must be a table: [{name}]")
    said = _taken(document.get("datadog", {}), _DATADOG, f"{where}: [datadog]")
    own = {key: said.pop(key) for key in ("name", "scope", "tags") if key in said}
    sections = []
    for spelled, table in document.get("task", {}).items():
        place = f'{where}: [task."{spelled}"]'
        if not isinstance(table, dict):
            raise ToolError(f"{place} must be a table")
        said_here = _taken(table, _TASK, place)
        sections.append(Section(_pattern(spelled, place), said_here, spelled))
    config = Config(wishes=Wishes(**said), sections=tuple(sections), **own)
    _check_together(config.wishes, f"{where}: [datadog]")
    for section in sections:
        _check_together(config.wishes_for(section.pattern), f'{where}: [task."{section.spelled}"]')
    return config


def _taken(
    table: Mapping[str, Any], known: Mapping[str, Callable[[Any], Any]], where: str
) -> dict[str, Any]:
    _known(table, known, where)
    taken = {}
    for key, value in table.items():
        try:
            taken[key] = known[key](value)
        except ValueError as problem:
            raise ToolError(f"{where} {key} {problem}") from None
    return taken


def _known(table: Mapping[str, Any], known: Any, where: str) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are: {', '.join(known)}"
            raise ToolError(f"{where} {key} is not known; {hint}")


def _pattern(spelled: str, where: str) -> str:
    if any(letter in spelled for letter in "?[]"):
        raise ToolError(f"{where}: only * is special in a pattern, as Datadog knows no other")
    *parts, last = spelled.split("*")  # at the end of a tag, but there alone, colons are dropped
    return "*".join(
        [*(tag_value("task", f"{part}.")[:-1] for part in parts), tag_value("task", last)]
    )


def _check_together(wishes: Wishes, where: str) -> None:
    if wishes.schedule and wishes.interval:
        raise ToolError(f"{where}: either a schedule or an interval")
    if wishes.within and wishes.within > _LONGEST_WITHIN:
        raise ToolError(f"{where}: within must not be more than 6d")
    try:
        zone.named(wishes.timezone or "UTC")  # also if another section has the schedule
        wishes.due()
    except ToolError as problem:
        raise ToolError(f"{where} {problem}") from None
