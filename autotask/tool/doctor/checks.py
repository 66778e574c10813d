"""What `autotask doctor` checks, one function a subject. Each problem says what to do about it."""

from __future__ import annotations

import difflib
import os
import shlex

import autotask
from autotask.around import command_settings, launch, marks_left, supervise, undelivered
from autotask.command_name import name_of
from autotask.naming import is_line, is_scheduler, python_program, serves
from autotask.procfs import start_time
from autotask.settings import PARENT, PROCESS_RUN, Settings
from autotask.tool import quantities, supported
from autotask.tool.datadog import config
from autotask.tool.doctor import functions, journal_home, listening, on_failure, ruby
from autotask.tool.doctor.environment import Environment, Plugin
from autotask.tool.doctor.finding import Finding, Findings, framework
from autotask.tool.errors import ToolError, in_one_line
from autotask.tool.journal import ownership

_SLOW = 0.05  # seconds: the import of a plugin that takes longer is worth a warning
SETTINGS = tuple(
    "AUTOTASK_" + name
    for name in (
        "ENABLED HOME NAME TAGS FRAMEWORKS FUNCTIONS PLUGINS IGNORE PROCESS SUPERVISE JOURNAL"
        " DOGSTATSD EVENTS MESSAGES LINKS DEBUG KEEP_OUTPUT QUIET TIMEOUT NO_OVERLAP ON_FAILURE"
    ).split()
)


def all_findings(environment: Environment) -> Findings:
    """Yield all findings about a command."""
    yield from _command(environment)
    yield _task(environment)
    if environment.command.python:
        yield from _python(environment)
    if environment.answer:
        yield from _agent(environment)
        yield from _frameworks(environment)
        yield from _plugins(environment)
    if environment.command.ruby:
        yield from ruby.findings(
            *(environment.command, environment.settings, environment.ruby, environment.problem)
        )
    yield from functions.findings(environment)
    yield from _settings(environment)
    yield from journal_home.findings(environment.settings)
    yield from _left_open(environment.settings)
    yield from on_failure.findings(_own_home(environment.settings))
    datagrams = list(listening.findings(environment.settings, environment.command.environ))
    yield from datagrams
    # If nothing is listening, that alone is to be repaired first.
    if environment.settings.dogstatsd and all(finding.status == "ok" for finding in datagrams):
        yield from _env(environment.settings)
        yield from _undelivered(environment.settings)


def _task(environment: Environment) -> Finding:
    name = name_of(environment.words)
    server = ", a server: it runs until it is stopped" * serves(name, environment.words)
    return Finding("ok", "task", f"{environment.settings.name or name}{server}")


def _command(environment: Environment) -> Findings:
    command = environment.command
    files = " -> ".join(command.files) or command.words[0]
    name = command.elsewhere
    if command.missing:
        yield _missing(command.missing, command.words[0])
    elif command.elsewhere:
        text = f"`{name}` starts its command in an environment of its own"
        yield Finding("problem", "command", text, f"write `{name} ... autotask-run COMMAND`")
    elif command.runner:
        text = f"`{command.runner}` chooses its {command.chosen} only when it runs"
        which = f"$({command.runner} which {command.chosen.lower()})"
        remedy = f"check that {command.chosen}: `autotask doctor -- {which}`"
        yield Finding("warning", "command", text, remedy)
    elif command.python or command.ruby:
        yield Finding("ok", "command", files)
    else:
        text = f"{files}: neither Python nor Ruby, so only the process as a whole is recorded"
        text = f"{text}; Python and Ruby programs that it starts record their tasks"
        yield Finding("ok", "command", text)
    program = python_program(command.words[1:]) if command.python else None
    if program and is_scheduler(program):
        text = f"{program} is a scheduler: each Python program that it starts is a run of its own"
        yield Finding("ok", "jobs", f"{text}, without a parent")
    for line in command.resets:
        text = f"{line} may keep the agent out of the programs that it starts"
        yield Finding(
            "warning", "command", text, "put autotask-run after it, or keep PYTHONPATH and RUBYLIB"
        )


def _missing(what: str, word: str) -> Finding:
    text, remedy = f"{what}: not found or not executable", "correct the name or the PATH"
    if "/" in word and os.path.isfile(word):
        text = f"{what}: not executable"
        remedy = f"make it executable: `chmod +x {shlex.quote(word)}`"
    elif is_line(word):
        remedy = "remove the quotes, or use sh -c '...'"
    return Finding("problem", "command", text, remedy)


def _python(environment: Environment) -> Findings:
    answer = environment.answer
    if not answer:
        text = f"{environment.command.python} failed ({environment.problem})"
        yield Finding("problem", "python", text, "start it yourself and fix the error")
        return
    version, implementation = answer["version"], answer["implementation"]
    text = f"{version} in {answer['prefix']}"
    verdict = supported.python_verdict(implementation, version)
    if verdict in ("older", "unknown"):
        text = f"{implementation} {text} is not supported"
        yield Finding("problem", "python", text, f"use Python {supported.OLDEST_PYTHON} or newer")
        return
    if implementation != "cpython":
        text = f"{implementation} {text}"
    if verdict == "newer":
        newest = supported.PYTHONS[implementation][-1]
        text = f"{text} is not tested: it is newer than {newest}, the newest tested version"
        yield Finding("warning", "python", text)
    else:
        yield Finding("ok", "python", text)


def _agent(environment: Environment) -> Findings:
    answer = environment.answer
    if not environment.settings.enabled:
        yield Finding("problem", "agent", "turned off by AUTOTASK_ENABLED", "unset it")
    elif answer["agent"] and environment.pex:
        text = f"does not stay: the PEX file {environment.pex} restarts itself with -I"
        remedy = "install it in a virtual environment; until then only the process is recorded"
        yield Finding("problem", "agent", text, remedy)
    elif answer["agent"]:
        own = os.path.dirname(os.path.dirname(os.path.realpath(autotask.__file__)))
        loaded = os.path.dirname(os.path.dirname(os.path.realpath(answer["agent"])))
        more = "" if loaded == own else f", another copy than this one in {own}"
        yield Finding("warning" if more else "ok", "agent", f"loaded from {loaded}{more}")
    else:
        why, remedy = _what_bars(environment)
        yield Finding("problem", "agent", f"not loaded: {why}", remedy)
    if answer["sitecustomize"]:
        text = f"the environment's own runs as usual: {answer['sitecustomize']}"
        yield Finding("ok", "sitecustomize", text)


def _what_bars(environment: Environment) -> tuple[str, str]:
    """Return what keeps the agent out, and what to do about it."""
    # From what is certain to what is guessed.
    answer, command = environment.answer, environment.command
    if supported.python_verdict(answer["implementation"], answer["version"]) == "older":
        return "this Python is too old", f"use Python {supported.OLDEST_PYTHON} or newer"
    if command.barred:
        return command.barred, "remove it; until then only the process as a whole is recorded"
    fix = f"fix the wrapper {command.python}, or name the Python behind it"
    if answer["flags"]:
        return f"something adds -{answer['flags'][0]} to the interpreter's options", fix
    template = launch.with_agent(None)
    if template not in (answer["pythonpath"] or "").split(os.pathsep):
        return "PYTHONPATH does not reach the interpreter", fix
    if not os.access(os.path.join(template, "sitecustomize.py"), os.R_OK):
        return f"cannot read {template}", "install autotask where all users can read it"
    other = answer["sitecustomize"] or "another sitecustomize"
    return f"{other} ran first, or failed", f"see `{command.python} -v -c pass`"


def _frameworks(environment: Environment) -> Findings:
    for name, version in environment.frameworks().items():
        if version is not None:
            yield framework(environment.settings, name, version, supported.FRAMEWORKS[name])


def _plugins(environment: Environment) -> Findings:
    listed, installed = environment.listed_plugins, environment.plugins
    for plugin in installed:
        if listed is None or not plugin.is_valid or plugin.setting in listed:
            yield _plugin(environment, plugin)
        else:
            text = f"{_plugin_text(plugin)} is not listed in AUTOTASK_PLUGINS"
            yield Finding("warning", "plugin", text, f"add {plugin.setting}, or unset it")
    for item in set(listed or ()).difference(plugin.setting for plugin in installed):
        watched, _, target = item.partition("=")
        yield _plugin(environment, Plugin(watched, target, "AUTOTASK_PLUGINS", ""))
    setting = environment.plugins_setting
    if setting and listed is None and setting != environment.remembered:
        text = f"autotask-run does not set AUTOTASK_PLUGINS={setting} yet"
        yield Finding("warning", "plugins", text, "run `autotask frameworks`, or set it")


def _plugin_text(plugin: Plugin) -> str:
    by = f"{plugin.distribution} {plugin.version}".strip()
    return f"{plugin.watched} by {plugin.target} ({by})"


def _plugin(environment: Environment, plugin: Plugin) -> Finding:
    name = _plugin_text(plugin)
    if not plugin.is_valid:
        return Finding("warning", "plugin", f"{name} is invalid", "write it as module:function")
    if not environment.answer["agent"]:
        return Finding("warning", "plugin", f"{name} is unused, since the agent is not loaded")
    trial = environment.try_plugin(plugin)
    if trial.get("seconds", 0) > _SLOW:  # the first import may have compiled it
        trial = environment.try_plugin(plugin)
    if "unwatched" in trial:
        return Finding("ok", "plugin", f"{name} is idle: {trial['unwatched']}")
    if "error" in trial or not trial:
        text = f"{name} fails: {trial.get('error', environment.problem)}"
        return Finding("warning", "plugin", text, "fix or remove it: its tasks are not recorded")
    if trial["seconds"] > _SLOW:
        text = f"{name} takes {quantities.duration_text(trial['seconds'])} to import"
        return Finding("warning", "plugin", text, "each process that uses it takes that longer")
    return Finding("ok", "plugin", name)


def _settings(environment: Environment) -> Findings:
    for problem in environment.settings.problems:
        yield Finding("warning", "settings", f"{problem}, so it counts as unset", "correct it")
    yield from _beside_the_record(environment)
    for name in sorted(environment.command.environ):
        # 0.85: near enough to be a typo, not another program's variable such as AUTOTASK_TOKEN.
        meant = difflib.get_close_matches(name, SETTINGS, 1, 0.85)
        if meant and name not in (*SETTINGS, PARENT, PROCESS_RUN):
            text = f"{name} is set, but nothing reads it"
            yield Finding("warning", "settings", text, f"did you mean {meant[0]}?")


def _beside_the_record(environment: Environment) -> Findings:
    """Check what `autotask-run` is asked for by variables and autotask.toml."""
    task = environment.settings.name or name_of(environment.words)
    asked = command_settings.of(task, {}, os.environ, supervise.settings_file())
    refusal, effect = _refusal()
    if refusal:
        yield Finding("problem", "settings", f"{refusal}: {effect}", "correct it")
    for problem in asked.problems:
        if _is_told(problem, refusal):
            continue
        of_the_file = problem.startswith("/")
        effect = "" if of_the_file else ", so it counts as unset"
        yield Finding("warning", "settings", problem + effect, "correct it")
    if asked.no_overlap and not (environment.settings.journal and environment.settings.home):
        text = "no_overlap has no effect without a journal, which tells what is running"
        yield Finding("warning", "settings", text, "turn the journal on")


def _refusal() -> tuple[str, str]:
    """Return why `autotask` refuses its configuration file, and what that means; else nothing."""
    try:
        config.load(None)
    except (ToolError, OSError) as problem:
        effect = "nothing of it is used"
        text = in_one_line(problem) or ""
        is_read = text.partition(": ")[0].endswith(config.FILE)  # by autotask-run
        if is_read and not isinstance(problem, (config.NotTomlError, OSError)):
            effect = f"{effect}, but for what autotask-run reads"
        return text, effect
    return "", ""


def _is_told(problem: str, refusal: str) -> bool:
    """Tell whether a problem of the launcher's with its file is in what `autotask` says of it."""
    path, _, what = problem.partition(": ")
    if not refusal.partition(": ")[0].endswith(config.FILE):
        return False
    # It refuses the first bad value.
    return path == config.FILE or refusal.endswith(f": {what}")


def _left_open(settings: Settings) -> Findings:
    own = _own_home(settings)
    if start_time("self") is None:
        text = "no /proc: autotask cannot tell whether a process has ended"
        yield Finding(
            "warning", "runs", text, "mount /proc; without it AUTOTASK_SUPERVISE is off, too"
        )
        return
    dead = [mark for mark in marks_left.marks(own) if mark.dead] if own else []
    if dead:
        text = f"{len(dead)} dead process{'es have' if len(dead) > 1 else ' has'} left runs open"
        yield Finding("warning", "runs", text, "`autotask runs` closes them as lost")


def _env(settings: Settings) -> Findings:
    if not settings.env:
        text = "DD_ENV is not set: in Datadog, runs have only the Agent's own `env`, if any"
        yield Finding("warning", "env", text, "set it: monitors and the dashboard group by it")


def _undelivered(settings: Settings) -> Findings:
    """Check for what the Agent missed, now that it is listening."""
    own = _own_home(settings)
    missed = undelivered.recent(own).catch_up() if own else {}
    if missed:
        text = f"the Agent has missed {undelivered.text(len(missed))}"
        yield Finding("warning", "delivery", text, "`autotask ship` delivers them")


def _own_home(settings: Settings) -> str | None:
    return ownership.find(settings).own if settings.home else None
