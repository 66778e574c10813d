"""Find a command and execute it, or say why that is not possible."""

from __future__ import annotations

import os

from autotask.naming import is_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_NOT_EXECUTABLE, _NOT_FOUND = 126, 127  # exit statuses, as a shell's


class Failure:
    """Why a command could not be executed: the exit status, a message, and what is recorded."""

    def __init__(self, code: int, command: list[str], why: str) -> None:
        self.code = code
        if is_line(command[0]):  # a whole command line may hold secrets: it is not recorded
            self.text = f'"{command[0]}": {why}'
            self.recorded = why.partition(";")[0]
        else:
            self.text = self.recorded = f"{command[0]}: {why}"


def execute(command: list[str], environ: dict[str, str]) -> Failure:
    """Become a command, found as execvp(3) finds it; return only if that fails."""
    name, denied = command[0], None
    for file in candidates(name, environ.get("PATH", os.defpath)):
        try:
            os.execve(file, command, environ)  # noqa: S606  our purpose
        except (FileNotFoundError, NotADirectoryError):
            if os.path.exists(file):
                return Failure(_NOT_EXECUTABLE, command, "its interpreter is missing")
        except PermissionError:
            why = "Is a directory" if os.path.isdir(file) else "Permission denied"
            denied = denied or Failure(_NOT_EXECUTABLE, command, why)
        except OSError as problem:
            if _is_shell_script(problem, file):
                os.execve("/bin/sh", ["sh", file, *command[1:]], environ)  # noqa: S606
            if not is_line(name):  # a whole command line is too long for a file's name
                return Failure(_NOT_EXECUTABLE, command, str(problem.strerror))
    return denied or Failure(_NOT_FOUND, command, _what_is_missing(command))


def _what_is_missing(command: list[str]) -> str:
    name = command[0]
    if not is_line(name):
        return "No such file or directory" if "/" in name else "command not found"
    if len(command) > 1 and name.partition("=")[0].isidentifier():
        return "no such command; write `env` in front of it"
    return "no such command; write it without the quotes, or sh -c '...'"


def candidates(name: str, path: str) -> Iterator[str]:
    """Yield the files that may be a command, as execvp(3) looks for it."""
    if "/" in name:
        yield name
        return
    for folder in path.split(os.pathsep):
        yield os.path.join(folder, name)


def _is_shell_script(problem: OSError, file: str) -> bool:
    """Tell a script without a first line `#!`, which a shell would run, from a foreign binary."""
    from errno import ENOEXEC

    if problem.errno != ENOEXEC:
        return False
    try:
        with open(file, "rb", buffering=0) as script:
            return b"\0" not in script.read(80).partition(b"\n")[0]
    except OSError:
        return False


def complain(text: str) -> None:
    """Write one line on standard error that says what is wrong."""
    line = "".join([c if c.isprintable() else repr(c)[1:-1] for c in text])
    try:
        os.write(2, f"autotask-run: {line}\n".encode("utf-8", "surrogateescape"))
    except OSError:
        return
