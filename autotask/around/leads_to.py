"""Find out by reading what a command line starts, without running anything.

A command leads to another one (`env`, a first line `#!`, a shell's `-c`), until one is a Python, a
Ruby, another program, or a program that starts the next one in an environment of its own.
"""

from __future__ import annotations

import os

from autotask.around import rubies
from autotask.around.execute import candidates
from autotask.command_name import SHELLS
from autotask.guard import debug, guarded
from autotask.naming import is_python, split_option
from autotask.shell_line import commands
from autotask.wrapper_commands import after_wrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST = 12  # commands in a chain: a script may lead to itself
_BARS = {"I": "isolated mode", "E": "it ignores PYTHONPATH", "S": "no sitecustomize"}
# Wrappers that keep the environment. They are followed even if they are not installed here.
_PREFIXES = frozenset(
    "exec nohup setsid nice ionice chrt taskset stdbuf unbuffer time timeout flock chronic cronic"
    " run-one xvfb-run dbus-run-session tini dumb-init ddtrace-run opentelemetry-instrument"
    " elasticapm-run newrelic-admin".split()
)
ELSEWHERE = frozenset(
    "sudo doas su runuser cron crond at batch systemd-run docker podman kubectl ssh".split()
)
_RUNNERS = frozenset("uv poetry pipenv pdm hatch rye pixi conda mamba micromamba".split())
_MANAGERS = frozenset("rbenv pyenv asdf mise rvm chruby-exec".split())  # of versions
_PATHS = ("PYTHONPATH", "RUBYLIB")
_PASSIVE = frozenset("sleep test [ true : umask ulimit echo date".split())  # in a shell's line


class Command:
    """A command line, followed to what it ends in."""

    def __init__(self, words: list[str], environ: Mapping[str, str]) -> None:
        self.words = list(words)
        self.environ = dict(environ)
        self.files: list[str] = []  # of the commands in the chain; the last one runs
        self.python: str | None = None
        self.ruby: str | None = None
        self.options: list[str] = []  # of the interpreter
        self.barred: str | None = None  # why the agent cannot load
        self.missing: str | None = None  # a command that was not found
        self.elsewhere: str | None = None  # a program that starts the rest in another environment
        self.runner: str | None = None  # words that choose the interpreter,
        self.chosen = "Python"  # and which language's
        self.resets: list[str] = []  # lines of a shell script that may keep the agent out
        self.origin = "on the command line"  # where the words come from
        self._folder = ""  # in which a shell's line starts them
        self._removed: dict[str, str] = {}  # what has removed PYTHONPATH, RUBYLIB

    def step(self) -> bool:
        """Go on to the command that this one leads to; False if it is the last one."""
        name = os.path.basename(self.words[0])
        following = after_wrapper(self.words) if name in _PREFIXES else []
        following = following or self._look(name)
        self.words = following or self.words
        return bool(following)

    def _look(self, name: str) -> list[str]:
        """Return the words of the command that this one leads to, if it is not the last one."""
        # These may drop the environment, and our variables with it.
        if name in ELSEWHERE and len(self.words) > 1:
            self.elsewhere = name
            return []
        file = self._find(self.words[0])
        if file is None:
            self.missing = f"{self.words[0]}, {self.origin}" if self.files else self.words[0]
            return []
        self.files.append(file)
        if name == "env":
            return self._env(self.words[1:])
        if name == "autotask-run":
            return after_wrapper(self.words)
        if name in SHELLS:
            return self._shell(self.words[1:])
        return self._program(name, file)

    def _program(self, name: str, file: str) -> list[str]:
        if is_python(name):
            self._end_in_python(file)
        elif rubies.is_ruby(name):
            self._end_in_ruby(name, file)
        elif name in _RUNNERS and self.words[1:2] == ["run"]:
            self.runner = f"{name} run"
        elif name in _MANAGERS and after_wrapper(self.words):
            self._end_in_manager(name, after_wrapper(self.words))
        elif name == "bundle" and not self._stays_in_ruby(after_wrapper(self.words)):
            return after_wrapper(self.words)
        else:
            return self._script(file)
        return []

    def _end_in_manager(self, name: str, command: list[str]) -> None:
        self.runner = " ".join(self.words[: len(self.words) - len(command)])
        if name != "pyenv" and not is_python(os.path.basename(command[0])):
            self.chosen = "Ruby"

    def _stays_in_ruby(self, command: list[str]) -> bool:
        """Tell whether `bundle exec` loads a command itself: a gem's, a script for plain `ruby`."""
        file = self._find(command[0]) if command else None
        if file is None:
            return True
        text = _beginning(file)
        first = text.partition("\n")[0]
        is_plain = " -" not in first and rubies.is_ruby(os.path.basename(first.split(" ")[-1]))
        return is_plain or rubies.behind_shim(file, text) is not None

    def _find(self, name: str) -> str | None:
        for candidate in candidates(name, self.environ.get("PATH", os.defpath)):
            file = os.path.join(self._folder, candidate)
            if os.path.isfile(file) and os.access(file, os.X_OK):
                return file
        return None

    def _env(self, rest: list[str]) -> list[str]:
        """Change the environment as env(1) would."""
        before = {name: self.environ.get(name) for name in _PATHS}
        while rest and (rest[0].startswith("-") or "=" in rest[0]):
            word = rest.pop(0)
            name, equals, value = word.partition("=")
            if word in ("-", "--ignore-environment"):
                self.environ.clear()
            elif name in ("--unset", "--chdir", "--split-string"):
                value = value if equals else rest.pop(0) if rest else ""
                rest = self._env_option(name[2].upper(), value, rest)
            elif not word.startswith("-"):
                self.environ[name] = value
            elif not word.startswith("--"):
                rest = self._env_letters(word[1:], rest)
        # What was before is the launcher's: the agent's folder, and what the user has set.
        for path, was in before.items():
            if was and was not in self.environ.get(path, ""):
                self._removed[path] = f"`env` {self.origin} removes {path}"
        return rest

    def _env_letters(self, letters: str, rest: list[str]) -> list[str]:
        for end, letter in enumerate(letters, 1):
            if letter in "uCS":
                value = letters[end:] or (rest.pop(0) if rest else "")
                return self._env_option(letter.upper(), value, rest)
            if letter == "i":
                self.environ.clear()
        return rest

    def _env_option(self, letter: str, value: str, rest: list[str]) -> list[str]:
        if letter == "U":
            self.environ.pop(value, None)
        return _split(value) + rest if letter == "S" else rest

    def _end_in_python(self, file: str) -> None:
        self.python = file
        self.barred = self._removed.get("PYTHONPATH")
        self.options = interpreter_options(self.words[1:])
        letters = "".join(map(_flags, self.options))
        for letter, why in _BARS.items():
            if letter in letters and not self.barred:
                self.barred = f"-{letter} {self.origin} keeps it out ({why})"

    def _end_in_ruby(self, name: str, file: str) -> None:
        self.ruby = file
        self.options = rubies.options_of(self.words[1:])
        bar = rubies.what_bars(name, self.options, self.environ, self.origin)
        self.barred = self._removed.get("RUBYLIB") or bar

    def _shell(self, rest: list[str]) -> list[str]:
        """Follow a shell's `-c` if it is one command; else search the line or the script."""
        while rest and rest[0].startswith(("-", "+")) and not _has_command(rest[0]):
            if rest.pop(0) in ("-o", "-O"):
                del rest[:1]
        if not rest[:1] or not rest[0].startswith("-"):
            return self._shell_script(rest)
        text = rest[1] if len(rest) > 1 else ""
        words = self._only_command(text)
        # A builtin of the shell, as `exit`, is not found, and leads to nothing.
        if words and (words[0] in _PREFIXES or self._find(words[0])):
            return words
        self._folder = ""
        self.resets = _resets(text, "the shell's line")
        return []

    def _only_command(self, text: str) -> list[str]:
        """Return a shell's line if it is one command, after `cd FOLDER` or `sleep` perhaps."""
        words: list[str] = []
        for assignments, command, helps in commands(text):
            if helps or command[0] in _PASSIVE:
                continue
            if words or "$" in "".join([*assignments, command[0]]):
                return []
            if command[0] == "cd":
                if len(command) != 2 or command[1][:1] in ("$", "~", "-"):
                    return []
                self._folder = os.path.join(self._folder, command[1])
            else:
                words = ["env", *assignments, *command] if assignments else command
        return words

    def _script(self, file: str) -> list[str]:
        """Follow the first line of a script, as the kernel does."""
        text = _beginning(file)
        ruby = rubies.behind_shim(file, text)
        if ruby:
            return [ruby, "-S", *self.words]
        first = text.partition("\n")[0]
        if not first.startswith("#!"):
            return []
        self.origin = f"in the first line of {file}"
        # The kernel passes all behind the interpreter as one word: execve(2).
        return [*first[2:].strip().split(None, 1), file, *self.words[1:]]

    def _shell_script(self, rest: list[str]) -> list[str]:
        if not rest:
            return []
        text = _beginning(os.path.join(self._folder, rest[0]))
        words = _polyglot(text)
        if not words:
            self.resets = _resets(text, rest[0])
            return []
        self.origin = f"at the top of {rest[0]}"
        return [*words, *rest]


def follow(words: list[str], environ: Mapping[str, str]) -> Command:
    """Follow a command line to the last command that it leads to."""
    command = Command(words, environ)
    for _ in range(_LONGEST):
        if not (command.words and command.step()):
            break
    return command


def interpreter_options(words: list[str]) -> list[str]:
    """Return the interpreter's own options, which come before a script, `-c` or `-m`."""
    options: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word in ("-", "--"):
            break
        option, value = ("", "") if word.startswith("--") else split_option(word)
        if option in ("c", "m") and option:
            return [*options, "-" + _flags(word)] if _flags(word) else options
        options.append(word + ("" if value or not option else next(rest, "")))
        if word == "--check-hash-based-pycs":
            options.append(next(rest, "default"))
    return options


def _flags(word: str) -> str:
    """Return the letters of a word like `-IWerror` that are options by themselves."""
    if not word.startswith("-") or word.startswith("--"):
        return ""
    option, value = split_option(word)
    return word[1 : len(word) - len(option + value)]


def _has_command(word: str) -> bool:
    """Tell a shell's option `-c`, also in `-lc`."""
    return word.startswith("-") and not word.startswith("--") and "c" in word


def _beginning(file: str) -> str:
    try:
        with open(file, "rb") as script:
            return script.read(1 << 16).decode("utf-8", "replace")
    except OSError:
        return ""


def _split(text: str) -> list[str]:
    from shlex import split

    try:
        return split(text)
    except ValueError:
        return []


def _polyglot(text: str) -> list[str]:
    """Return the interpreter to which a script hands itself that is both shell and Python.

    pip and uv write `'''exec' /long/path/python "$0" "$@"` if a first line would be too long.
    """
    import re

    for line in text.split("\n")[1:6]:
        match = re.match(r"""[\s"':]*exec["']*\s+(.*?)\s+"?\$0""", line)
        if match:
            return _split(match[1])
    return []


def _resets(text: str, name: str) -> list[str]:
    """Name the lines of a shell script that may keep the agent out of programs it starts."""
    import re

    bars = re.compile(
        r"\benv(?:\s+-[uC]\s+\S+|\s+-\w+)*?\s+-(?:\w*i\w*)?\s"  # env -i
        r"|\bunset\b.*\b(?:PYTHONPATH|RUBYLIB)\b"
        r"|\b(PYTHONPATH|RUBYLIB)=(?!\S*\1)"
        r"|--disable[-=]gems?\b"
        r"|\bpython[\d.]*\s+(?:-\w+\s+)*-[a-zA-Z]*[IES]"
        r"|\b(?:sudo|doas|su)\s"
    )
    lines = [line.partition("#")[0] for line in text.splitlines()]
    numbers = [number for number, line in enumerate(lines, 1) if bars.search(line)]
    return [f"line {number} of {name}" if len(lines) > 1 else name for number in numbers]


@guarded
def tell_if_barred(words: list[str], environ: Mapping[str, str], seen: bool = False) -> None:
    """Write to the debug log if the agent cannot load in a command; *seen*: it has not loaded."""
    command = follow(words, environ)
    # In a Ruby it announces nothing.
    why = command.barred or ("it has not announced itself" if seen and command.python else None)
    if why:
        debug(f"the agent could not load in {words[0]}: {why}; see `autotask doctor -- COMMAND`")
