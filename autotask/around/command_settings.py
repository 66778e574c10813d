"""What the launcher does beside recording a command: its time limit, its output, who is told.

Each of these is set on the command line, else in the environment, else in `autotask.toml`. They are
of one run: what it starts does not inherit them.

Loaded only if one of them may be set: most commands need none.
"""

from __future__ import annotations

import os
import sys

from autotask import journal, procfs
from autotask.around import trusted
from autotask.around.units import parse_duration, parse_size
from autotask.guard import guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping
    from typing import Any

FILE = "autotask.toml"  # see `supervise.settings_file`
# By the names in the file; an option is spelled with dashes.
VARIABLES = {
    "keep_output": "AUTOTASK_KEEP_OUTPUT",
    "quiet": "AUTOTASK_QUIET",
    "timeout": "AUTOTASK_TIMEOUT",
    "no_overlap": "AUTOTASK_NO_OVERLAP",
    "on_failure": "AUTOTASK_ON_FAILURE",
}
# What a value in the file has to be. 0 and false turn each of them off.
_TYPES: dict[str, tuple[type, ...]] = {
    "keep_output": (str, int),
    "quiet": (str, bool),
    "timeout": (str,),
    "no_overlap": (str, bool),
    "on_failure": (str,),
}
OF_CRON = 8 << 10  # bytes of standard error that are kept of a shell's line if nothing is set
_MOST_OUTPUT = 64 << 10  # bytes: to mask hostile text takes 0.7 s for 100 KB
_OFF = ("0", "false", "no", "off")
_ON = ("1", "true", "yes", "on")


class Teller:
    """A launcher around this one that tells the failures under it, as long as it lives."""

    def __init__(self, home: str, pid: int, process: str, file: str, line: str) -> None:
        self._home = home
        self._pid, self._process = pid, process
        self.file = file  # whose lines it has, or "" if its line is for all tasks
        self.line = line

    @classmethod
    def all_of(cls, value: str) -> list[Teller]:
        """Read what `value_of` has written; raise ValueError for anything else."""
        _, *words = (word.replace("%3A", ":").replace("%25", "%") for word in value.split(":"))
        if len(words) % 5:
            raise ValueError(value)
        fives = zip(*(words[number::5] for number in range(5)))
        return [cls(home, int(pid), *more) for home, pid, *more in fives]

    @staticmethod
    def value_of(tellers: list[Teller]) -> str:
        """Write some for the environment; it begins as a value that turns telling off."""
        words = ["0"]
        for one in tellers:
            words += [one._home, str(one._pid), one._process, one.file, one.line]
        return ":".join([word.replace("%", "%25").replace(":", "%3A") for word in words])

    def tells(self, home: str | None) -> bool:
        """Tell whether it sees a failure that is in the journal of a home, and can tell it."""
        if home is None or os.path.realpath(home) != os.path.realpath(self._home):
            return False
        return not procfs.is_dead(self._process, self._pid, os.uname().nodename)


class CommandSettings:
    """What is asked for, for one run of a command."""

    def __init__(self) -> None:
        self.keep_output = 0  # bytes of the output's end that are kept if it fails
        self.only_errors = False  # of standard error alone, and what goes the same way
        self.quiet = False  # output is passed on only if it fails
        self.timeout: float | None = None  # seconds
        self.no_overlap = False  # it does not run beside another run of the same task
        self.on_failure: str | None = None  # a line for a shell
        # It is also for the tasks that the command runs: what the variable says, or for patterns
        # what the file says, if no launcher around this one has this file.
        self.is_for_all = False
        self.of_tasks: list[tuple[str, str]] = []
        self.file: str | None = None  # that says so
        self.around: list[Teller] = []
        self.first: Teller | None = None  # of those: tells the same, and this one after its death
        self.environ: dict[str, str] = {}  # the command's, for the line
        self.folder = "/"  # where it starts
        self.problems: list[str] = []  # values that count as unset, for doctor

    def take(self, name: str, value: str, where: str) -> None:
        """Set what a text says; a bad value is noted, and changes nothing."""
        try:
            setattr(self, name, convert(name, value))
            self.only_errors = self.only_errors and name != "keep_output"
        except ValueError as problem:
            self.problems.append(f"{where}: {problem}")

    def tells(self) -> bool:
        """Tell whether any failure under the command may have to be told."""
        if self.is_for_all:
            return self.on_failure is not None
        return any(convert("on_failure", line) for _, line in self.of_tasks)

    def line_for(self, task: str) -> str | None:
        """Return the line for a shell that tells of a task's failure."""
        if self.is_for_all:
            return self.on_failure
        from autotask.around.patterns import covers

        lines = [line for pattern, line in self.of_tasks if covers(pattern, task)]
        line: str | None = convert("on_failure", lines[-1]) if lines else None
        return line

    def remember(self, environ: Mapping[str, str]) -> None:
        """Keep the environment and the folder of the command, in which the line is to run."""
        self.environ = dict(environ)
        try:
            self.folder = os.getcwd()
        except OSError:  # it has been deleted
            return

    def is_told(self, home: str | None) -> bool:
        """Tell whether a launcher around tells the failures in the journal of this one's home."""
        return self.first is not None and self.first.tells(home)

    def hand_down(
        self, environ: MutableMapping[str, str], home: str | None, pid: int, process: str
    ) -> None:
        """Keep launchers inside the command from telling again what this one tells.

        It does not see them without a home; *process* is its `procfs.identity`.
        """
        variable = VARIABLES["on_failure"]
        if self.is_for_all and not self.on_failure:
            environ[variable] = "0"
            return
        tellers = self.around
        if home and (self.is_for_all or self.of_tasks) and not self.is_told(home):
            file, line = ("", self.on_failure or "") if self.is_for_all else (self.file or "", "")
            tellers = [] if self.is_for_all else [t for t in tellers if t is not self.first]
            tellers = [*tellers, Teller(home, pid, process, file, line)]
        elif self.is_for_all and self.first is None:
            environ[variable] = str(self.on_failure)
            return
        if tellers:
            environ[variable] = Teller.value_of(tellers)


def convert(name: str, text: str) -> Any:
    """Return the value of a setting; `0` turns each of them off.

    Raises ValueError with what is wrong.
    """
    text = text.strip()
    if name == "on_failure":
        return text if text not in ("", *_OFF) else None
    if name in ("quiet", "no_overlap"):
        if text.lower() not in (*_ON, *_OFF, ""):
            raise ValueError(f"{text!r} is neither 0 nor 1")
        return text.lower() in _ON
    is_off = text.lower() in (*_OFF, "")
    if name == "timeout":
        return None if is_off else parse_duration(text) or None
    return 0 if is_off else min(parse_size(text), _MOST_OUTPUT)


def as_text(name: str, value: Any) -> str:
    """Return a value of the file as the text that says the same in a variable.

    Raises ValueError if it has the wrong type: a list must not become a command.
    """
    if value != 0 and type(value) not in _TYPES[name]:
        kinds = " or ".join(
            {str: "a string", bool: "a boolean"}.get(t, "a number") for t in _TYPES[name]
        )
        raise ValueError(f"{name} must be {kinds}")
    return str(int(value) if isinstance(value, bool) else value)


def of(
    task: str,
    options: Mapping[str, str],
    environ: Mapping[str, str],
    path: str | None = None,
    is_line: bool = False,
) -> CommandSettings:
    """Return the settings of a run.

    Args:
        task: Its name.
        options: What the command line says, by the names in VARIABLES.
        environ: The environment.
        path: The nearest `autotask.toml`, if there is one.
        is_line: It is a line for a shell, as all of cron's jobs: the end of a failure's output is
            kept by default.
    """
    settings = CommandSettings()
    settings.keep_output = OF_CRON if is_line else 0
    environ = {**environ, "AUTOTASK_ON_FAILURE": _own_line(settings, environ)}
    settings.only_errors = is_line
    if path:
        _take_file(path, task, settings)
    for name, variable in VARIABLES.items():
        if environ.get(variable):
            settings.take(name, environ[variable], variable)
    for name, value in options.items():
        settings.take(name, value, name)
    return settings


def _own_line(settings: CommandSettings, environ: Mapping[str, str]) -> str:
    """Return what the variable for on_failure says, or the line of the launcher that wrote it."""
    value = environ.get("AUTOTASK_ON_FAILURE", "")
    if value.startswith("0:"):
        try:
            settings.around = Teller.all_of(value)
        except ValueError:  # another version's
            return ""
        settings.first = next((t for t in settings.around if not t.file), None)
        value = settings.first.line if settings.first else ""
    settings.is_for_all = bool(value)
    return value


@guarded
def _take_file(path: str, task: str, settings: CommandSettings) -> None:
    """Take what the file says of a task. If sections differ, the last one that covers it wins.

    `autotask` itself refuses a file with mistakes; here, what cannot be read counts as unset.
    """
    sections = _sections(path, settings)
    if sections:
        from autotask.around.patterns import covers
    for pattern, name, text in _settings_in(sections, settings):
        if name == "on_failure":
            settings.of_tasks.append((pattern, text))
        if covers(pattern, task):
            settings.take(name, text, FILE)
    if settings.of_tasks and not settings.is_for_all:
        settings.file = path
        settings.first = next((t for t in settings.around if t.file == path), None)


def _sections(path: str, settings: CommandSettings) -> dict[str, Any]:
    """Return the sections about tasks of a file, if it has any of our settings."""
    try:
        text = _read(path).decode("utf-8", "replace")
        if not any(_may_set(line) for line in text.split("\n")):
            return {}
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
        sections = tomllib.loads(text).get("task")
    except OSError as problem:
        settings.problems.append(f"{path}: {problem.strerror}")
        return {}
    except RecursionError:
        settings.problems.append(f"{path}: nested too deeply")
        return {}
    except (ImportError, ValueError) as problem:
        settings.problems.append(f"{path}: {problem}")
        return {}
    return sections if isinstance(sections, dict) else {}


def _read(path: str) -> bytes:
    """Read the file, which may name a command to execute."""
    above, name = os.path.split(path)
    folder = os.open(above, journal.HOME)
    try:
        return trusted.read(folder, name)
    finally:
        os.close(folder)


def _may_set(line: str) -> bool:
    """Tell whether a line of TOML may have one of our settings: the parser takes 20 ms to load."""
    if line.lstrip().startswith("#"):
        return False
    ends = [rest for name in VARIABLES if name in line for rest in line.split(name)[1:]]
    return any(rest.lstrip(" \t\"'").startswith("=") for rest in ends)


def _settings_in(
    sections: dict[str, Any], settings: CommandSettings
) -> Iterator[tuple[str, str, str]]:
    """Yield the pattern, the name and the text of each of our settings in a file."""
    for pattern, section in sections.items():
        for name in VARIABLES.keys() & section.keys() if isinstance(section, dict) else ():
            try:
                yield pattern, name, as_text(name, section[name])
            except ValueError as problem:
                settings.problems.append(f"{FILE}: {problem}")
