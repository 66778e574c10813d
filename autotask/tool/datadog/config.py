"""The configuration file: `autotask.toml`, or `[tool.autotask]` in pyproject.toml.

[datadog]                      # for all tasks
notify = ["@slack-ops"]

[task."db.*"]                  # for some; if two sections match, the later one wins
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

from autotask.around import command_settings
from autotask.around.patterns import matches, stored_pattern
from autotask.dogstatsd import tag
from autotask.tool.datadog.answers import fields
from autotask.tool.datadog.tags import MANAGED, SET, tag_value
from autotask.tool.errors import ToolError
from autotask.tool.quantities import parse_duration
from autotask.tool.schedule import zone
from autotask.tool.schedule.cron_line import Schedule, schedule_for

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "autotask.toml"
KINDS = ("failed", "did_not_run", "hung", "slow", "retries", "overlap")  # the last: of `check`
_LONGEST_WITHIN = 6 * 86400  # seconds: a monitor's window is a week at most
_MOST_RETRIES = 1_000_000
_MOST_IN_A_ROW = 99  # a service check's window ends at 100, and holds one more than that


class NotTomlError(ToolError):
    """Neither `autotask` nor `autotask-run` can use anything of the file."""


@dataclass(frozen=True)
class TaskSettings:
    """The settings for a task; None: not set."""

    schedule: str | None = None  # a cron line
    timezone: str | None = None  # of the schedule; None: this machine's
    interval: float | None = None  # seconds from one run to the next, at most
    within: float | None = None  # seconds after it is due by which a run must have finished
    hung_after: float | None = None  # seconds
    slow_after: float | None = None  # seconds
    retries_an_hour: int | None = None  # attempts that are retried; more of them alert
    failures_in_a_row: int = 1
    latched: bool = False  # an alert from the first failure to the next success
    notify: tuple[str, ...] = ()
    priority: int | None = None  # 1 to 5
    without: frozenset[str] = frozenset()  # of KINDS
    retired: bool = False  # it no longer runs, and needs no monitors
    service: str | None = None  # of a task that never ran
    env: str | None = None
    # These two are not in the file. See Config.machine.
    from_machine: bool = False  # the schedule or the interval comes from there
    tolerance: float = 0  # seconds by which the scheduler itself may start it later

    def parsed_schedule(self) -> Schedule | None:
        """Return the schedule, if one is set."""
        if self.schedule is None:
            return None
        return schedule_for(self.schedule, self.timezone or zone.of_this_machine() or "UTC")


@dataclass(frozen=True)
class Section:
    """The settings for the tasks that match a pattern, in which only `*` is special."""

    pattern: str  # as Datadog stores names in tags
    values: Mapping[str, Any]  # fields of TaskSettings
    spelled: str = ""  # the pattern as the file has it

    def covers(self, name: str) -> bool:
        """Tell whether a name matches, or everything that matches another pattern."""
        return matches(self.pattern, name)


@dataclass(frozen=True)
class Config:
    """The contents of the file."""

    name: str = "default"  # of this set of monitors: other sets are never changed
    tags: tuple[str, ...] = ()  # on each monitor
    scope: tuple[str, ...] = ()  # only runs with these tags are watched
    defaults: TaskSettings = field(default_factory=TaskSettings)  # [datadog]
    sections: tuple[Section, ...] = ()
    path: Path | None = None  # None: there is no file
    # What this machine's crontabs and timers say (fields of TaskSettings), by task. It only holds
    # for tasks for which the file has neither a schedule nor an interval.
    machine: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def set_tags(self) -> list[str]:
        """The tags that identify the monitors and the dashboard of this set."""
        return [MANAGED, f"{SET}{self.name}"]

    def settings_for(self, name: str) -> TaskSettings:
        """Return the settings for a task, or for everything that matches a pattern."""
        settings = self.defaults
        for section in self.covering(name):
            settings = replace(settings, **section.values)
        if name in self.machine and settings.schedule is None and settings.interval is None:
            settings = replace(settings, **self.machine[name], from_machine=True)
        return settings

    def covering(self, name: str) -> list[Section]:
        """Return the sections that cover a task or a pattern, in the order of the file."""
        by_name, patterns = self._numbers
        numbers = by_name.get(name, []) + [n for n in patterns if self.sections[n].covers(name)]
        return [self.sections[number] for number in sorted(numbers)]

    @cached_property
    def _numbers(self) -> tuple[dict[str, list[int]], list[int]]:
        """The numbers of sections, by name, and of those with a pattern.

        There may be thousands of names: `covering` must not go through them all.
        """
        by_name: dict[str, list[int]] = {}
        patterns = []
        for number, section in enumerate(self.sections):
            if "*" in section.pattern:
                patterns.append(number)
            else:
                by_name.setdefault(section.pattern, []).append(number)
        return by_name, patterns


# Each key has a function that checks and converts its value. It raises ValueError with what the
# value must be.


def _name(value: Any) -> str:
    return tag_value("autotask_set", _text(value))


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a string")
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
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise ValueError('must be a list of strings: ["..."]')
    return tuple(value)


def _tags(value: Any) -> tuple[str, ...]:
    pairs = [text.partition(":")[::2] for text in _texts(value)]
    if not all(key[:1].isalpha() and rest for key, rest in pairs):
        raise ValueError('must be a list of tags: ["team:shop"]')
    return tuple(tag(key, rest) for key, rest in pairs)


def _recipients(value: Any) -> tuple[str, ...]:
    texts = _texts(value)
    if not all(text.startswith("@") and len(text.split()) == 1 for text in texts):
        raise ValueError('must be a list of recipients in Datadog: ["@slack-ops"]')
    return texts


def _kinds(value: Any) -> frozenset[str]:
    kinds = frozenset(_texts(value))
    if not kinds <= set(KINDS):
        raise ValueError(f"can only contain: {', '.join(KINDS)}")
    return kinds


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


def _of_launcher(name: str, what: str) -> Callable[[Any], None]:
    """Check what `autotask-run` reads for itself: 0 and false turn it off."""

    def check(value: Any) -> None:
        try:
            command_settings.convert(name, command_settings.as_text(name, value))
        except ValueError:
            raise ValueError(f"must be {what}") from None

    return check


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
    "retries_an_hour": _number(1, _MOST_RETRIES),
    "schedule": _text,
    "service": _text,
    "slow_after": _seconds,
}
# Nothing here needs their values.
_OF_LAUNCHER = {
    "keep_output": _of_launcher("keep_output", 'a size such as "8k"'),
    "no_overlap": _of_launcher("no_overlap", "true or false"),
    "on_failure": _of_launcher("on_failure", "a command: a string"),
    "quiet": _of_launcher("quiet", "true or false"),
    "timeout": _of_launcher("timeout", 'a duration such as "45s", "30m" or "1h30m"'),
}


def load(path: str | None) -> Config:
    """Read the given file, or the nearest one in this folder or above it.

    If there is none, use the defaults. A pyproject.toml counts if it has a table for autotask.
    """
    if path is not None:
        return _read(Path(path))
    for candidate in (*_files(Path()), *above()):
        config = _read(candidate)
        if candidate.name == FILE or replace(config, path=None) != Config():
            return config
    return Config()


def above() -> Iterator[Path]:
    """Return the files above this folder that may hold a configuration, the nearest first."""
    return (path for folder in Path.cwd().parents for path in _files(folder))


def _files(folder: Path) -> Iterator[Path]:
    candidates = (folder / FILE, folder / "pyproject.toml")
    return filter(os.path.isfile, candidates)  # False, too, in a folder that we may not read


def _read(path: Path) -> Config:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as problem:
        line = problem.object[: problem.start].count(b"\n") + 1
        raise ToolError(f"{path}: line {line} is not UTF-8; save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as problem:
        raise NotTomlError(f"{path}: {problem}") from None
    except RecursionError:
        raise NotTomlError(f"{path}: nested too deeply") from None
    if path.name == "pyproject.toml":
        document = fields(document.get("tool")).get("autotask", {})
        if not isinstance(document, dict):
            raise ToolError(f"{path}: autotask must be a table: [tool.autotask]")
    return replace(parse(document, str(path)), path=path)


def parse(document: Mapping[str, Any], path: str = FILE) -> Config:
    """Convert a document's tables; refuse unknown keys and wrong values."""
    _refuse_unknown(document, ("datadog", "task"), f"{path}:")
    for name in ("datadog", "task"):
        if not isinstance(document.get(name, {}), dict):
            raise ToolError(f"{path}: {name} must be a table: [{name}]")
    defaults = _converted(document.get("datadog", {}), _DATADOG, f"{path}: [datadog]")
    set_wide = {key: defaults.pop(key) for key in ("name", "scope", "tags") if key in defaults}
    sections = []
    for spelled, table in document.get("task", {}).items():
        location = f'{path}: [task."{spelled}"]'
        if not isinstance(table, dict):
            raise ToolError(f"{location} must be a table")
        values = _converted(table, {**_TASK, **_OF_LAUNCHER}, location)
        misplaced = sorted(values.keys() & _OF_LAUNCHER) if not path.endswith(FILE) else []
        if misplaced:
            raise ToolError(f"{location} {misplaced[0]}: autotask-run reads it in {FILE} alone")
        values = {key: value for key, value in values.items() if key in _TASK}
        sections.append(Section(_pattern(spelled, location), values, spelled))
    config = Config(defaults=TaskSettings(**defaults), sections=tuple(sections), **set_wide)
    _check_together(config.defaults, f"{path}: [datadog]")
    for section in sections:
        settings = config.settings_for(section.pattern)
        _check_together(settings, f'{path}: [task."{section.spelled}"]')
    return config


def _converted(
    table: Mapping[str, Any], keys: Mapping[str, Callable[[Any], Any]], location: str
) -> dict[str, Any]:
    _refuse_unknown(table, keys, location)
    values = {}
    for key, value in table.items():
        try:
            values[key] = keys[key](value)
        except ValueError as problem:
            raise ToolError(f"{location} {key} {problem}") from None
    return values


def _refuse_unknown(table: Mapping[str, Any], known: Any, location: str) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
            raise ToolError(f"{location} unknown key {key}; {hint}")


def _pattern(spelled: str, location: str) -> str:
    if any(letter in spelled for letter in "?[]"):
        raise ToolError(f"{location}: the only wildcard is *, as in Datadog")
    return stored_pattern(spelled)


def _check_together(settings: TaskSettings, location: str) -> None:
    if settings.schedule and settings.interval:
        raise ToolError(f"{location}: set either schedule or interval, not both")
    if settings.within and settings.within > _LONGEST_WITHIN:
        raise ToolError(f"{location}: within must be at most 6d")
    try:
        zone.named(settings.timezone or "UTC")  # even if the schedule is in another section
        settings.parsed_schedule()
    except ToolError as problem:
        raise ToolError(f"{location} {problem}") from None
