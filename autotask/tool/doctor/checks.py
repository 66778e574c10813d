"""What `autotask doctor` looks at, one function a subject; a red line says what to do."""

from __future__ import annotations

import difflib
import errno
import os
import shlex
import shutil
import time

import autotask
from autotask import homes, journal
from autotask.around import launch, marks_left, undelivered
from autotask.naming import is_line, is_scheduler, name_of, python_program
from autotask.procfs import start_time
from autotask.settings import PARENT, PROCESS_RUN, Settings
from autotask.tool import quantities, supported
from autotask.tool.doctor import functions, listening
from autotask.tool.doctor.environment import Environment, Plugin
from autotask.tool.doctor.finding import Finding, Findings
from autotask.tool.journal import ownership

_SLOW = 0.05  # seconds that the import of a plugin may take
SETTINGS = tuple(
    "AUTOTASK_" + name
    for name in (
        "ENABLED HOME NAME TAGS FRAMEWORKS FUNCTIONS PLUGINS IGNORE PROCESS SUPERVISE JOURNAL"
        " DOGSTATSD EVENTS MESSAGES DEBUG"
    ).split()
)
_LITTLE = 64 << 20  # bytes of a disk that is nearly full


def all_findings(environment: Environment) -> Findings:
    """Yield all findings about a command."""
    yield from _command(environment)
    yield Finding("ok", "task", environment.settings.name or name_of(environment.words))
    if environment.command.python:
        yield from _python(environment)
    if environment.said:
        yield from _agent(environment)
        yield from _frameworks(environment)
        yield from _plugins(environment)
    yield from functions.findings(environment)
    yield from _settings(environment)
    yield from _journal(environment.settings)
    yield from _left_open(environment.settings)
    datagrams = list(listening.findings(environment.settings, environment.command.environ))
    yield from datagrams
    if environment.settings.dogstatsd and all(one.status == "ok" for one in datagrams):
        yield from _env(environment.settings)
        yield from _owed(environment.settings)


def _command(environment: Environment) -> Findings:
    command = environment.command
    way = " -> ".join(command.files) or command.words[0]
    name = command.elsewhere or command.runner
    if command.missing:
        text = f"{command.missing}: not found or not executable"
        line = "write it without the quotes, or sh -c '...'"
        remedy = line if is_line(command.words[0]) else "correct its name, or the PATH"
        yield Finding("problem", "command", text, remedy)
    elif command.elsewhere:
        text = f"`{name}` starts its command in an environment of its own"
        yield Finding("problem", "command", text, f"write `{name} ... autotask-run COMMAND`")
    elif command.runner:
        text = f"`{name} run` chooses a Python that reading cannot tell"
        remedy = f"ask for that one: `autotask doctor -- $({name} run which python)`"
        yield Finding("warning", "command", text, remedy)
    elif command.python:
        yield Finding("ok", "command", way)
    else:
        text = f"{way}: no Python, so a run of the process alone; Pythons that it starts have more"
        yield Finding("ok", "command", text)
    name = python_program(command.words[1:]) if command.python else None
    if name and is_scheduler(name):
        text = f"{name} is a scheduler: each Python program that it starts is a run under no other"
        yield Finding("ok", "jobs", text)
    for place in command.resets:
        text = f"{place} may keep the agent out of what it starts"
        yield Finding("warning", "command", text, "put autotask-run behind it, or leave PYTHONPATH")


def _python(environment: Environment) -> Findings:
    said = environment.said
    if not said:
        text = f"{environment.command.python} does not answer ({environment.problem})"
        yield Finding("problem", "python", text, "start it yourself, and mend what it says")
        return
    version, implementation = said["version"], said["implementation"]
    text = f"{version} in {said['prefix']}"
    verdict = supported.python_verdict(implementation, version)
    if verdict in ("older", "unknown"):
        text = f"{implementation} {text} is not supported"
        yield Finding("problem", "python", text, f"use Python {supported.OLDEST_PYTHON} or newer")
        return
    if implementation != "cpython":
        text = f"{implementation} {text}"
    if verdict == "newer":
        newest = supported.PYTHONS[implementation][-1]
        text = f"{text} is not tested: it is newer than {newest}, the last one that is"
        yield Finding("warning", "python", text)
    else:
        yield Finding("ok", "python", text)


def _agent(environment: Environment) -> Findings:
    said = environment.said
    if not environment.settings.enabled:
        yield Finding("problem", "agent", "AUTOTASK_ENABLED turns it off", "unset AUTOTASK_ENABLED")
    elif said["agent"] and environment.pex:
        text = f"does not stay: the PEX file {environment.pex} starts itself anew with -I"
        remedy = "install it in a virtual environment; until then only the whole program is a run"
        yield Finding("problem", "agent", text, remedy)
    elif said["agent"]:
        ours = os.path.dirname(os.path.dirname(os.path.realpath(autotask.__file__)))
        found = os.path.dirname(os.path.dirname(os.path.realpath(said["agent"])))
        more = "" if found == ours else f", another copy than ours in {ours}"
        yield Finding("warning" if more else "ok", "agent", f"is loaded, from {found}{more}")
    else:
        why, remedy = _what_bars(environment)
        yield Finding("problem", "agent", f"is not loaded: {why}", remedy)
    if said["sitecustomize"]:
        text = f"the environment's own is run, as always: {said['sitecustomize']}"
        yield Finding("ok", "sitecustomize", text)


def _what_bars(environment: Environment) -> tuple[str, str]:
    """Return what keeps the agent out, and what to do."""
    said, command = environment.said, environment.command
    if supported.python_verdict(said["implementation"], said["version"]) == "older":
        return "this Python is too old for it", f"use Python {supported.OLDEST_PYTHON} or newer"
    if command.barred:
        return command.barred, "take it away; until then only the whole program is a run"
    mend = f"mend the wrapper {command.python}, or name the Python behind it"
    if said["flags"]:
        return f"something adds -{said['flags'][0]} to the interpreter", mend
    template = launch.with_agent(None)
    if template not in (said["pythonpath"] or "").split(os.pathsep):
        return "PYTHONPATH does not reach the interpreter", mend
    if not os.access(os.path.join(template, "sitecustomize.py"), os.R_OK):
        return f"{template} cannot be read", "install autotask where all users may read it"
    own = said["sitecustomize"] or "a sitecustomize that ends the start"
    return f"{own} came first or raised", f"try `{command.python} -v -c pass`"


def _frameworks(environment: Environment) -> Findings:
    for name, version in environment.frameworks().items():
        if version is None:
            continue
        wanted = supported.FRAMEWORKS[name]
        verdict = wanted.verdict(version)
        if not environment.settings.uses(name):
            yield Finding("warning", name, f"{version}, turned off by AUTOTASK_FRAMEWORKS")
        elif verdict == "older":
            text = f"{version} is older than what is supported ({wanted})"
            yield Finding("warning", name, text, f"use {wanted.oldest} or newer")
        elif verdict == "newer":
            yield Finding("warning", name, f"{version} is newer than what is tested ({wanted})")
        else:
            yield Finding("ok", name, f"{version}, supported ({wanted})")


def _plugins(environment: Environment) -> Findings:
    named, found = environment.named, environment.plugins
    for plugin in found:
        if named is None or not plugin.is_valid or plugin.setting in named:
            yield _plugin(environment, plugin)
        else:
            text = f"{_name(plugin)} is not named in AUTOTASK_PLUGINS"
            yield Finding("warning", "plugin", text, f"add {plugin.setting}, or unset it")
    for item in set(named or ()).difference(plugin.setting for plugin in found):
        watched, _, target = item.partition("=")
        yield _plugin(environment, Plugin(watched, target, "AUTOTASK_PLUGINS", ""))
    setting = environment.plugins_setting
    if setting and named is None and setting != environment.remembered:
        text = f"autotask-run does not set AUTOTASK_PLUGINS={setting} yet"
        yield Finding("warning", "plugins", text, "run `autotask frameworks`, or set it")


def _name(plugin: Plugin) -> str:
    by = f"{plugin.distribution} {plugin.version}".strip()
    return f"{plugin.watched} by {plugin.target} ({by})"


def _plugin(environment: Environment, plugin: Plugin) -> Finding:
    name = _name(plugin)
    if not plugin.is_valid:
        return Finding("warning", "plugin", f"{name} cannot be read", "write module:function")
    if not environment.said["agent"]:
        return Finding("warning", "plugin", f"{name} waits for the agent, which is not loaded")
    said = environment.try_plugin(plugin)
    if said.get("seconds", 0) > _SLOW:  # the first time it was perhaps compiled
        said = environment.try_plugin(plugin)
    if "unwatched" in said:
        return Finding("ok", "plugin", f"{name} is idle: {said['unwatched']}")
    if "error" in said or not said:
        text = f"{name} fails: {said.get('error', environment.problem)}"
        return Finding("warning", "plugin", text, "its tasks are not seen; mend or remove it")
    if said["seconds"] > _SLOW:
        text = f"{name} takes {quantities.duration_text(said['seconds'])} to import"
        return Finding("warning", "plugin", text, "each process that uses it pays for that")
    return Finding("ok", "plugin", name)


def _settings(environment: Environment) -> Findings:
    for problem in environment.settings.problems:
        yield Finding("warning", "settings", f"{problem}, and counts as unset", "correct it")
    for name in sorted(environment.command.environ):
        meant = difflib.get_close_matches(name, SETTINGS, 1, 0.85)
        if meant and name not in (*SETTINGS, PARENT, PROCESS_RUN):
            text = f"{name} is set, which nothing reads"
            yield Finding("warning", "settings", text, f"write {meant[0]}")


def _journal(settings: Settings) -> Findings:
    home = settings.home
    user = _user()
    if settings.stderr:
        text = "one line on standard error for each run that ended (AUTOTASK_JOURNAL=stderr)"
        yield Finding("ok", "journal", f"{text}; `autotask runs` does not see these runs")
        return
    if not settings.journal:
        status = "warning" if settings.dogstatsd else "problem"
        yield Finding(status, "journal", "AUTOTASK_JOURNAL turns it off", "unset it, to see runs")
        return
    if not home:
        yield Finding("problem", "journal", "no home folder is known", "set AUTOTASK_HOME")
        return
    yield from _owners(home)
    place = _place(home)
    try:
        _check_writable(os.path.join(place, "journal"))
        free = shutil.disk_usage(_nearest(place)).free
    except OSError as problem:
        text = f"{problem.filename}: {problem.strerror} (as {user})"
        yield Finding("problem", "journal", text, f"let {user} write there, or set AUTOTASK_HOME")
        return
    text = f"{place} can be written as {user}, {quantities.size_text(free)} free"
    yield Finding("warning" if free < _LITTLE else "ok", "journal", text)


def _owners(home: str) -> Findings:
    """Tell of a home that is another user's, and of a folder in it that is not its owner's."""
    owner = homes.owner(os.path.realpath(home))
    for name in ("journal", "open"):
        path = os.path.join(home, name)
        found = homes.owner(path)
        if os.path.islink(path):
            text = f"{path} is a link, which is not followed"
            yield Finding("warning", "owner", text, f"let {home} itself be the link")
        elif found is not None and found != owner and owner != 0:
            theirs = ownership.user_name(owner or 0)
            text = f"{path} belongs to {ownership.user_name(found)}: no run of {theirs} is recorded"
            yield Finding("warning", "owner", text, f"`chown -R {theirs} {shlex.quote(path)}`")
    place = _place(home)
    if not place.startswith(os.path.join(home, "")) and place != home:
        text = f"{home} is not {_user()}'s: runs of {_user()} are recorded in {place}"
        remedy = "to record in one place, lay it with `autotask init-home`"
        yield Finding("warning", "owner", text, remedy)


def _place(home: str) -> str:
    """Return the home where this user's runs are recorded, or would be; see `homes.settle`."""
    for place, _ in homes.places(home):
        if homes.has_journal(place):
            return place
        is_there = os.path.lexists(os.path.join(place, "journal"))
        if not is_there and homes.may_make(place) and _may_write(_nearest(place)):
            return place
    return home


def _check_writable(folder: str) -> None:
    """Raise OSError unless this user can write there, or make the folder. Nothing is written."""
    place = _nearest(folder)
    if not os.path.isdir(place):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), place)
    segment = os.path.join(folder, journal.segment(time.time()))
    for path in (place, segment):
        if os.path.lexists(path) and not _may_write(path):
            read_only = os.statvfs(path).f_flag & os.ST_RDONLY
            number = errno.EROFS if read_only else errno.EACCES
            raise PermissionError(number, os.strerror(number), path)
    if place == folder and homes.owner(place) != os.geteuid():
        text = f"belongs to {ownership.user_name(os.stat(place).st_uid)}"
        raise PermissionError(errno.EACCES, text, place)


def _may_write(path: str) -> bool:
    rights = os.W_OK | (os.X_OK if os.path.isdir(path) else 0)
    return os.access(path, rights, effective_ids=os.access in os.supports_effective_ids)


def _nearest(path: str) -> str:
    """Return a path, or what of it is there."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def _user() -> str:
    try:
        import pwd

        return pwd.getpwuid(os.geteuid()).pw_name
    except (ImportError, KeyError, AttributeError):
        return f"user {os.geteuid()}" if hasattr(os, "geteuid") else "this user"


def _left_open(settings: Settings) -> Findings:
    own = _own(settings)
    if start_time("self") is None:
        text = "no /proc: nobody here can tell whether a process has ended"
        yield Finding("warning", "runs", text, "mount /proc; without it there is no parent either")
        return
    dead = [mark for mark in marks_left.marks(own) if mark.dead] if own else []
    if dead:
        text = f"{len(dead)} dead process{'es have' if len(dead) > 1 else ' has'} left runs open"
        yield Finding("warning", "runs", text, "`autotask runs` closes them as lost")


def _env(settings: Settings) -> Findings:
    """Tell that nothing sent says which environment it is from."""
    if not settings.env:
        text = "DD_ENV is not set: runs have no `env` in Datadog but the Agent's own"
        yield Finding("warning", "env", text, "set it: monitors and the dashboard group by it")


def _owed(settings: Settings) -> Findings:
    """Tell what an Agent has missed that listens by now."""
    own = _own(settings)
    owed = undelivered.recent(own).catch_up() if own else {}
    if owed:
        text = f"the Agent has missed {undelivered.text(len(owed))}"
        yield Finding("warning", "delivery", text, "`autotask ship` delivers them")


def _own(settings: Settings) -> str | None:
    return ownership.find(settings).own if settings.home else None
