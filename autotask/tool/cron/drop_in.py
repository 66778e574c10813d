"""The drop-in by which a timer's service is watched: its commands again, with autotask in front.

systemd has no door like cron's `SHELL=`: ExecStart= is emptied and set anew. The commands are
copied as they are written, with their quotes, `%` and `$`. `/etc/autotask/run` runs a command alone
if autotask is gone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Iterator

from autotask.tool.cron.replacing import replace
from autotask.tool.errors import ToolError
from autotask.tool.schedule.places import Places
from autotask.tool.schedule.timers import Service

# systemd reads drop-ins in the order of their names, and those of `systemctl edit` are called
# override.conf. The first name leaves the last word to a later edit; the second one comes after an
# edit that is there and sets ExecStart=.
_NAME, _LAST_NAME = "autotask.conf", "zz-autotask.conf"
_MARK = "# Written by `autotask cron watch`; `autotask cron unwatch` deletes it.\n"
_TYPES = ("simple", "exec", "oneshot", "idle")
_SETTING = re.compile(r"[ \t]*([A-Za-z]+)[ \t]*=[ \t]*(.*?)[ \t\r]*", re.DOTALL)
_PREFIXES = "-@+!:|"
_TRANSIENT = "/run/systemd/transient/"
# A word: pieces in quotes, escaped characters, others.
_WORD = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\\.|[^\s"'\\])+""", re.DOTALL)


def problem(service: Service) -> str | None:
    """Say why a service cannot be watched; None if it can."""
    if not service.unit.endswith(".service"):
        return f"{service.unit} is not a service"
    if not service.loaded or not service.files:
        return f"systemd has not loaded {service.unit}"
    if service.files[0].startswith(_TRANSIENT):
        return f"{service.unit} is transient: it has no file of its own"
    if service.kind not in _TYPES:
        return f"{service.unit} has Type={service.kind}: systemd waits for a process of its own"
    if service.other_root:
        return f"{service.unit} has a root folder of its own, without autotask"
    try:
        return _problem_of_sandbox(service) or _problem_of_commands(service)
    except OSError as error:
        return f"cannot read {error.filename}: {error.strerror}"


def _problem_of_sandbox(service: Service) -> str | None:
    """Say why systemd would not let autotask-run start there; the job would not run."""
    settings = [(name, value) for name, value in _own_settings(service) if value]
    if any(name == "NoExecPaths" for name, _ in settings):
        return f"{service.unit} may not execute other programs (NoExecPaths=)"
    calls = [value for name, value in settings if name == "SystemCallFilter"]
    is_narrow = bool(calls) and not calls[0].startswith("~")
    if is_narrow and "@system-service" not in " ".join(calls).split():
        return f"{service.unit} may not make all usual system calls (SystemCallFilter=)"
    return None


def _problem_of_commands(service: Service) -> str | None:
    commands = _commands(service)
    if not commands:
        return f"{service.unit} has no ExecStart="
    if any("@" in _prefix(command) for command in commands):
        return f"{service.unit} gives its program another name (ExecStart=@)"
    return None


def text(service: Service, program: str) -> str:
    """Return the drop-in of a service; *program* is the path of the script `run_script`.

    Raises:
        ToolError: The service cannot be watched; see `problem`.
    """
    why = problem(service)
    if why:
        raise ToolError(why)
    lines = [_MARK, "[Service]\n"]
    if _last(service, "KillMode") in ("", "control-group"):
        # Else systemd sends SIGTERM to the command as well, which autotask-run passes on.
        lines.append("KillMode=mixed\n")
    lines.append("ExecStart=\n")
    lines += [
        f"ExecStart={_wrapped(command, service, program)}\n" for command in _commands(service)
    ]
    return "".join(lines)


def path(service: Service, places: Places) -> str:
    """Return where the drop-in of a service belongs."""
    folder = _folder(service, places)
    others = [file for file in service.files[1:] if not _is_ours(file)]
    later = [file for file in others if os.path.basename(file) > _NAME]
    with contextlib.suppress(OSError):
        if any("ExecStart" in name for file in later for name, _ in _settings(file)):
            return f"{folder}/{_LAST_NAME}"
    return f"{folder}/{_NAME}"


def present(service: Service, places: Places) -> list[str]:
    """Return the paths of our drop-ins that a service has."""
    paths = [f"{_folder(service, places)}/{name}" for name in (_NAME, _LAST_NAME)]
    return [path for path in paths if _is_ours(path)]


def write(service: Service, text: str, places: Places) -> str:
    """Write a drop-in, instead of one that is there; return its path. Then call `timers.reload`.

    Raises:
        OSError: It cannot be written, or what is there under its name is not ours.
    """
    place = path(service, places)
    if os.path.lexists(place) and not _is_ours(place):
        raise FileExistsError(errno.EEXIST, "not written by autotask", place)
    os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
    replace(place, text.encode("utf-8", "surrogateescape"), 0o644)
    for other in present(service, places):
        if other != place:
            os.unlink(other)
    return place


def delete(service: Service, places: Places) -> list[str]:
    """Delete the drop-ins that `write` has written; return their paths. Then `timers.reload`."""
    deleted = present(service, places)
    for place in deleted:
        os.unlink(place)
    if deleted:
        with contextlib.suppress(OSError):  # it has others
            os.rmdir(_folder(service, places))
    return deleted


def is_current(service: Service, program: str, places: Places) -> bool:
    """Tell whether the drop-in has the commands that the service has without it.

    It has not if a newer version of the service's package starts something else.
    """
    place = path(service, places)
    if present(service, places) != [place]:
        return False
    with contextlib.suppress(OSError, ToolError):
        return _read(place) == text(service, program)
    return False


def _folder(service: Service, places: Places) -> str:
    return f"{places.units}/{service.unit}.d"


def _is_ours(path: str) -> bool:
    if os.path.basename(path) not in (_NAME, _LAST_NAME):
        return False
    with contextlib.suppress(OSError):
        return _read(path).startswith(_MARK)
    return False


def _commands(service: Service) -> list[str]:
    """Return the commands of a service as they are written, without our drop-in's."""
    commands: list[str] = []
    for name, value in _own_settings(service):
        if name == "ExecStart":
            commands = [*commands, *_split(value)] if value else []
    return commands


def _last(service: Service, setting: str) -> str:
    """Return the last value of a setting; empty if the service has none of its own."""
    return [value for name, value in [(setting, ""), *_own_settings(service)] if name == setting][
        -1
    ]


def _own_settings(service: Service) -> Iterator[tuple[str, str]]:
    for file in service.files:
        if not _is_ours(file):
            yield from _settings(file)


def _settings(file: str) -> Iterator[tuple[str, str]]:
    """Yield the settings in the section [Service] of a unit's file."""
    section = ""
    for line in _joined(_read(file).split("\n")):
        if line.strip().startswith("["):
            section = line.strip()
        match = _SETTING.fullmatch(line)
        if match and section == "[Service]":
            yield match[1], match[2]


def _joined(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines with those that continue them, in which a comment counts for nothing."""
    start = ""
    for line in lines:
        if line.lstrip()[:1] in ("#", ";"):
            continue
        if _continues(line):
            start += line[:-1] + " "
            continue
        yield start + line
        start = ""
    yield start


def _continues(line: str) -> bool:
    """Tell whether a line ends with a backslash that is not escaped itself."""
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _split(value: str) -> list[str]:
    """Split a line at its words `;`, which stand between commands."""
    ends = [word.span() for word in _WORD.finditer(value) if word[0] == ";"]
    starts = [0, *(end for _, end in ends)]
    stops = [*(start for start, _ in ends), len(value)]
    return [value[start:stop].strip() for start, stop in zip(starts, stops)]


def _prefix(command: str) -> str:
    return command[: len(command) - len(command.lstrip(_PREFIXES))]


def _wrapped(command: str, service: Service, program: str) -> str:
    """Put *program* and the name in front of a command, behind its prefixes."""
    prefix = _prefix(command)
    first = _WORD.match(command, len(prefix))
    end = first.end() if first else len(command)
    word = command[len(prefix) : end]
    if ":" not in prefix:  # systemd replaces variables only in the words that follow the first
        word = word.replace("$", "$$")
    name = service.name.replace("\\", "\\\\")
    return f"{prefix}{program} {name} {word}{command[end:]}"


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        return file.read()
