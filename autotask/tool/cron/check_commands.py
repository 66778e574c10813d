"""Whether the shell of a job finds what the line starts. Nothing is run.

What works in a terminal and not from cron mostly fails here: cron has a short PATH of its own.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator, Mapping

from autotask.around.execute import candidates
from autotask.around.leads_to import Command
from autotask.command_name import SHELLS, after_interpreter
from autotask.naming import is_line, is_python
from autotask.shell_line import commands
from autotask.tool.cron import door
from autotask.tool.doctor.finding import Finding, Findings
from autotask.tool.errors import ToolError

_LONGEST = 12  # commands in a chain: a script may lead to itself
_POSIX = frozenset(
    ". : [ alias bg break cd chdir command continue echo eval exec exit export false fg getopts"
    " hash jobs kill local printf pwd read readonly return set shift test times trap true type"
    " ulimit umask unalias unset wait".split()
)
_MORE = frozenset(  # those of bash, which zsh and ksh mostly have as well
    "[[ bind builtin caller compgen complete compopt coproc declare dirs disown enable fc function"
    " help history let logout mapfile popd pushd readarray shopt source suspend time"
    " typeset".split()
)
_PLAIN = frozenset(["dash", "ash", "busybox"])  # shells that have no more than POSIX says
_TESTS = frozenset(["test", "[", "[["])
_TESTED = re.compile(r"\b(?:command -[vV]|which|type|hash)\s+(?:-\w+\s+)*([\w./+-]+)")
_DEFINED = re.compile(r"([\w.-]+)\s*\(\s*\)|\bfunction\s+([\w.-]+)")
_NEW_PATH = re.compile(r"\bPATH\+?=|\balias\s")
_UNKNOWN = frozenset("$*?[]{}`")  # only the shell knows what a word with one of these is
_INTERPRETERS = ("perl", "php", "ruby")
_ELSEWHERE = "/usr/local/sbin /usr/local/bin /usr/sbin /sbin /snap/bin /opt/bin".split()


def findings(place: str, text: str, environ: Mapping[str, str]) -> Findings:
    """Yield what the shell of a job does not find.

    Args:
        place: What to call the line.
        text: The command as the shell gets it.
        environ: The job's variables; HOME, PATH and SHELL are among them.
    """
    shell = environ["SHELL"]
    why = _why_unusable(shell) if shell.startswith("/") else "is not an absolute path"
    if why:
        text = f"{place}: the job does not run, because SHELL={shell} {why}"
        yield Finding("problem", "command", text, "correct SHELL")
        return
    for problem, remedy in dict(_Walk(text, environ).problems()).items():
        yield Finding("problem", "command", f"{place}: {problem}", remedy)


def _why_unusable(file: str, right: int = os.X_OK) -> str:
    """Tell why this user cannot execute (or read) a file; nothing if they can."""
    try:
        os.stat(file)
    except PermissionError:
        return "is in a folder that is closed to this user"
    except OSError:
        return "does not exist"
    if right == os.X_OK and os.path.isdir(file):
        return "is a folder"
    if os.access(file, right):
        return ""
    return "is not executable" if right == os.X_OK else "cannot be read"


class _Walk:
    """Goes through the commands of a line: what one of them changes holds for the next."""

    def __init__(self, text: str, environ: Mapping[str, str]) -> None:
        self._text = text
        self._environ = environ
        self._folder: str | None = environ["HOME"]  # None: only running the line would tell
        self._knows_path = not _NEW_PATH.search(text)
        self._shell = os.path.basename(os.path.realpath(environ["SHELL"]))
        self._is_plain = self._shell in _PLAIN
        self._own = _POSIX if self._is_plain else _POSIX | _MORE
        self._defined = {name for match in _DEFINED.finditer(text) for name in match.groups()}
        self._tested = _tested(text)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is not found, each with what to do."""
        for _, command, _ in commands(self._text):
            words = _without_builtins(command, self._is_plain)
            if words[0] in _MORE and words[0] != "time" and self._is_plain:
                yield self._not_in_plain_shell(words[0])
            elif words[0] in ("cd", "chdir", "pushd"):
                self._enter("".join(words[1:2]))
            elif words[0] in (".", "eval", "source"):
                self._knows_path = False
            elif words[0] not in self._own and words[0] not in self._defined:
                yield from self._follow(words)

    def _enter(self, folder: str) -> None:
        known = self._known(folder or "~")
        if known in (None, "-") or not (self._folder or str(known).startswith("/")):
            self._folder = None
        else:
            self._folder = os.path.join(self._folder or "", str(known))

    def _not_in_plain_shell(self, name: str) -> tuple[str, str]:
        remedy = "write `.` instead" if name == "source" else "put SHELL=/bin/bash above the line"
        return f"{name} is not known to {self._environ['SHELL']}, which is {self._shell}", remedy

    def _follow(self, words: list[str]) -> Iterator[tuple[str, str]]:
        """Follow a command to all that it leads to, until something is missing."""
        command = Command(words, self._environ)
        for _ in range(_LONGEST):
            word, *rest = _without_builtins(command.words, self._is_plain)
            whole = self._known(word)
            if whole is None or word in self._own or self._is_tested(word):
                return
            problem = self._problem(whole, command.environ)
            if problem:
                yield _with_origin(whole, command) + problem[0], problem[1]
                return
            command.words = [whole, *rest]
            if not command.step():
                break
        yield from self._script(command.words)

    def _known(self, word: str) -> str | None:
        """Return a command as it is, or its path; None if only running the line would tell."""
        for start in ("~", "$HOME"):
            if word == start or word.startswith(f"{start}/"):
                word = self._environ["HOME"] + word[len(start) :]
        if not _UNKNOWN.isdisjoint(word) or word.startswith("~") or is_line(word):
            return None
        if "/" not in word or word.startswith("/"):
            return word
        return os.path.join(self._folder, word) if self._folder else None

    def _is_tested(self, word: str) -> bool:
        """Tell whether the line itself asks whether a command, or a folder above it, is there."""
        paths = [path for path in self._tested if "/" in path]
        above = tuple(os.path.join(path, "") for path in paths)
        return word in self._tested.union(map(os.path.basename, paths)) or word.startswith(above)

    def _problem(self, command: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
        """Tell why a command is not started, and what to do; None if it is."""
        if "/" in command:
            why = _why_unusable(command)
            fix = (
                f"`chmod +x {shlex.quote(command)}`" if "executable" in why else "correct the path"
            )
            return (why, fix) if why else None
        path = environ.get("PATH", os.defpath)
        if not self._knows_path or _find(command, path):
            return None
        home = self._environ["HOME"]
        folders = [f"{home}/.local/bin", f"{home}/bin", *_ELSEWHERE]
        more = _find(command, os.pathsep.join(folders)) or _launcher(command)
        fix = f"write its whole path, {more}" if more else "install it, or write its whole path"
        return f"is not in cron's PATH, {path}", fix

    def _script(self, words: list[str]) -> Iterator[tuple[str, str]]:
        """Check for the script that an interpreter is to read."""
        script = self._known(_script_of(words)) if _script_of(words) else None
        if script is None or self._is_tested(script) or not self._folder:
            return
        whole = os.path.normpath(os.path.join(self._folder, script))
        why = _why_unusable(whole, os.R_OK)
        if why and not ("/" not in script and _find(script, self._environ["PATH"])):
            yield (
                f"{whole} {why}",
                "correct the path" if "exist" in why else "let this user read it",
            )


def _with_origin(word: str, command: Command) -> str:
    """Name a command; where it is named, too, if that is not the crontab."""
    name = os.path.normpath(word) if "/" in word else word
    return (
        f"{name}, {command.origin}, " if command.origin.startswith(("in ", "at ")) else f"{name} "
    )


def _launcher(command: str) -> str | None:
    """Return where this installation's autotask-run is, if that is the command."""
    if command != "autotask-run":
        return None
    with contextlib.suppress(ToolError):
        return door.launcher()
    return None


def _tested(text: str) -> set[str]:
    """Return the files and commands for which a line tests."""
    words = {
        word for _, command, _ in commands(text) if command[0] in _TESTS for word in command[1:]
    }
    return words | set(_TESTED.findall(text))


def _without_builtins(words: list[str], is_plain: bool) -> list[str]:
    """Return the command after builtins that only start it: `time` is one in bash, not in dash."""
    builtins = ("exec", "command") if is_plain else ("exec", "command", "time")
    while words[0] in builtins and words[1:] and not words[1].startswith("-"):
        words = words[1:]
    return words


def _script_of(words: list[str]) -> str:
    """Return the file that an interpreter is to read; nothing for other commands."""
    name = os.path.basename(words[0])
    if not (is_python(name) or name in SHELLS or name.rstrip("0123456789.") in _INTERPRETERS):
        return ""
    if name in SHELLS and any(re.match("-[a-z]*c", word) for word in words[1:]):
        return ""
    following = after_interpreter(words, 0)
    return following[0] if following and not following[0].startswith("-") else ""


def _find(name: str, path: str) -> str | None:
    """Return the file that is executed for a command."""
    for file in candidates(name, path):
        if os.path.isfile(file) and os.access(file, os.X_OK):
            return file
    return None
