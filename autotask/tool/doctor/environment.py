"""Look into the environment of a command's Python, or Ruby: what it is, what is installed there.

The interpreter may be of any version, so it is asked little: mainly where it looks for modules.
What is installed there is read from this process.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any, NamedTuple

from autotask.around import launch
from autotask.around.leads_to import Command, follow
from autotask.homes import make_folder
from autotask.naming import is_pex, python_program
from autotask.settings import Settings
from autotask.tool import supported
from autotask.tool.doctor.ruby import ASK, Ruby, locked_gems, read
from autotask.tool.errors import ToolError
from autotask.tool.journal import ownership

if TYPE_CHECKING:
    from collections.abc import Sequence

    from importlib_metadata import EntryPoints

_SETTING = "AUTOTASK_PLUGINS"
GROUP = "autotask.frameworks"
_MARK = "autotask found: "
_NO_RUNS = {"AUTOTASK_PROCESS": "0", "AUTOTASK_FUNCTIONS": ""}  # these probes record nothing
_TIMEOUT = 30.0  # seconds for an interpreter to start

# These three programs run in the command's Python. The first also runs in Python 2.
_SELF = """
import sys
sys.path[:] = [entry for entry in sys.path if entry]  # import nothing of the current folder
import json, os
agent, module = sys.modules.get("autotask.agent"), sys.modules.get("sitecustomize")
sys.stdout.write("\\n" + %r + json.dumps({
    "version": "%%d.%%d.%%d" %% sys.version_info[:3],
    "implementation": getattr(getattr(sys, "implementation", None), "name", "cpython"),
    "prefix": sys.prefix,
    "executable": sys.executable,
    "flags": [letter for letter, name in (
        ("I", "isolated"), ("E", "ignore_environment"), ("S", "no_site")
    ) if getattr(sys.flags, name, 0)],
    "path": sys.path,
    "pythonpath": os.environ.get("PYTHONPATH"),
    "agent": getattr(agent, "__file__", None) if agent in sys.meta_path else None,
    "sitecustomize": getattr(module, "__file__", None),
}) + "\\n")
"""
# Does to a plugin what the agent would do, and measures it; the framework is imported before.
_PLUGIN = """
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import json, time
watched, name, function = sys.argv[1:]
trial = {}
try:
    __import__(watched)
    from autotask import imports
    imports.load("frameworks", "plugin")
    began = time.perf_counter()
    try:
        __import__(name)
        trial["seconds"] = time.perf_counter() - began
        getattr(sys.modules[name], function)(sys.modules[watched])
    except BaseException as problem:
        trial["error"] = "%%s: %%s" %% (type(problem).__name__, problem)
except ImportError as problem:
    trial["unwatched"] = str(problem)
sys.stdout.write("\\n" + %r + json.dumps(trial) + "\\n")
"""
# Finds modules without importing the packages around them, as importlib.util.find_spec would.
_MODULES = """
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import json
from importlib.machinery import PathFinder
from importlib.util import find_spec
folder, files = sys.argv[1], {}
sys.path.insert(0, folder)
for name in sys.argv[2:]:
    top, *below = name.split(".")
    try:
        spec = find_spec(top)
        for word in below:
            spec = PathFinder.find_spec(spec.name + "." + word, spec.submodule_search_locations)
        files[name] = spec.origin or ""
    except Exception:
        files[name] = None
sys.stdout.write("\\n" + %r + json.dumps(files) + "\\n")
"""


class Plugin(NamedTuple):
    """An entry point of our group: the module to watch, and the function to call with it."""

    watched: str
    target: str
    distribution: str
    version: str

    @property
    def setting(self) -> str:
        """Return it as an item of AUTOTASK_PLUGINS."""
        return f"{self.watched}={self.target}"

    @property
    def is_valid(self) -> bool:
        """Tell whether the agent can read it."""
        return bool(Settings({_SETTING: self.setting}).plugins)


class Environment:
    """A command's Python or Ruby in the environment that `autotask-run` gives it."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        environ = dict(os.environ)
        launcher = Settings(environ)
        launch.equip(environ, launcher, words)
        self._launcher = launcher
        self.remembered = None if _SETTING in os.environ else environ.get(_SETTING)
        self.command: Command = follow(words, environ)
        self.settings = Settings(self.command.environ)
        self.answer: dict[str, Any] = {}  # what the interpreter says about itself
        self.problem = ""  # why it did not answer
        self.ruby: Ruby | None = None
        if self.command.python:
            self.answer = self._ask(_SELF % _MARK, _NO_RUNS)
        elif self.command.ruby:
            self.ruby = self._ask_ruby(self.command.ruby)

    def _ask(self, code: str, environ: dict[str, str], *words: str) -> dict[str, Any]:
        """Run code in the interpreter, with the command's own options."""
        assert self.command.python
        line = [self.command.python, *self.command.options, "-c", code, *words]
        # The last one: the environment's own sitecustomize may print as well.
        for text in reversed(self._told(line, environ)):
            answer: dict[str, Any] = json.loads(text)
            return answer
        return {}

    def _ask_ruby(self, ruby: str) -> Ruby | None:
        """Ask a Ruby about itself, with RubyGems as the command has it."""
        options = [
            option for option in self.command.options if option.startswith(("--en", "--dis"))
        ]
        line = [ruby, *options, "-e", ASK % _MARK, *supported.RUBY_FRAMEWORKS]
        told = self._told(line, _NO_RUNS)
        return read(told, locked_gems(self.command)) if told else None

    def _told(self, line: list[str], environ: dict[str, str]) -> list[str]:
        """Return the marked lines that a program prints."""
        try:
            ended = subprocess.run(
                line,
                env={**self.command.environ, **environ},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as problem:
            self.problem = str(problem)
            return []
        lines = ended.stdout.decode(errors="replace").splitlines()
        told = [line.removeprefix(_MARK) for line in lines if line.startswith(_MARK)]
        if not told:
            errors = ended.stderr.decode(errors="replace").strip().splitlines()
            errors = [line for line in errors if not line.startswith("\tfrom ")]  # Ruby's frames
            self.problem = errors[-1] if errors else f"status {ended.returncode}"
        return told

    @functools.cached_property
    def script(self) -> str | None:
        """Return the script that the interpreter is to run, as it is written."""
        words = self.command.words[1:]
        name = python_program(words)
        return next((word for word in words if name and os.path.basename(word) == name), None)

    @property
    def pex(self) -> str | None:
        """Return the script, if it is a PEX file."""
        return self.script if self.script and is_pex(self.script) else None

    @property
    def path(self) -> list[str]:
        """Return where the interpreter looks for modules."""
        return [str(entry) for entry in self.answer.get("path", [])]

    @functools.cached_property
    def _installed(self) -> dict[str, tuple[str, EntryPoints]]:
        """The versions and entry points of the distributions, by their normalised names."""
        from importlib_metadata import distributions  # 30 ms

        installed: dict[str, tuple[str, EntryPoints]] = {}
        for distribution in distributions(path=self.path):
            with contextlib.suppress(Exception):  # half removed, or damaged
                name = re.sub(r"[-_.]+", "-", distribution.name).lower()
                installed.setdefault(name, (distribution.version, distribution.entry_points))
        return installed

    def frameworks(self) -> dict[str, str | None]:
        """Return the installed version of each framework; None for one that is not installed."""
        names = {name: supported.DISTRIBUTIONS.get(name, name) for name in supported.FRAMEWORKS}
        return {name: self._installed.get(found, (None,))[0] for name, found in names.items()}

    @functools.cached_property
    def plugins(self) -> list[Plugin]:
        """The plugins that are installed there."""
        return sorted(
            Plugin(point.name, point.value.replace(" ", ""), name, version)
            for name, (version, points) in self._installed.items()
            for point in points.select(group=GROUP)
        )

    @property
    def listed_plugins(self) -> list[str] | None:
        """The items of AUTOTASK_PLUGINS; None if only `autotask-run` sets it."""
        if self.command.environ.get(_SETTING) == self.remembered:
            return None
        return [
            f"{watched}={module}:{function}" for watched, module, function in self.settings.plugins
        ]

    @property
    def plugins_setting(self) -> str:
        """Return the AUTOTASK_PLUGINS that loads these plugins."""
        return ",".join(plugin.setting for plugin in self.plugins if plugin.is_valid)

    def remember(self) -> None:
        """Note the plugins for the next start of `autotask-run` with this Python.

        Not behind a wrapper that is called `python`: next time it may lead to another Python.
        """
        python = self.command.python
        home = ownership.find(self._launcher).own if self._launcher.home else None
        if home and python and self.answer:
            folder = launch.environment_of(python)
            if folder == launch.environment_of(self.answer["executable"]) and folder.isprintable():
                _remember(home, folder, self.plugins_setting)

    def try_plugin(self, plugin: Plugin) -> dict[str, Any]:
        """Load a plugin as the agent would; return `seconds`, `error` or `unwatched`."""
        module, _, function = plugin.target.partition(":")
        words = (plugin.watched, module, function)
        return self._ask(_PLUGIN % _MARK, {**_NO_RUNS, _SETTING: ""}, *words)

    def find_modules(self, names: Sequence[str], folder: str) -> dict[str, str | None]:
        """Return the files of modules, with *folder* searched first; None for one not found."""
        return self._ask(_MODULES % _MARK, _NO_RUNS, folder, *names) if names else {}


def _remember(home: str, folder: str, setting: str) -> None:
    """Note an environment's plugins for `launch.known_plugins`."""
    known = launch.known_plugins(home)
    if known.get(folder, "") == setting:
        return
    known[folder] = setting
    text = "".join(f"{key}\t{value}\n" for key, value in known.items() if value)
    make_folder(home)
    path = os.path.join(home, launch.PLUGINS)
    with tempfile.NamedTemporaryFile(dir=home, delete=False) as file:
        file.write(text.encode("utf-8", "surrogateescape"))
    os.replace(file.name, path)


def default_command() -> list[str]:
    """Return `python3` or `python`, the first that is a Python."""
    for name in ("python3", "python"):
        if follow([name], os.environ).python:
            return [name]
    raise ToolError("no python3 on the PATH: name a command after `--`")
