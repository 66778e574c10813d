"""What a Python command line runs: the name of the whole program."""

from __future__ import annotations

import os
import sys

from autotask.agent import SCHEDULERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from autotask.settings import Settings

_TOOLS = frozenset(["pip", "ensurepip", "venv", "virtualenv", "site", "compileall", "build"])
_KERNELS = frozenset(["ipykernel", "ipykernel_launcher"])
_WORKER = "loky.backend."  # in the module that starts a worker process of loky or joblib
# Programs that start another one, or one of many commands: see `autotask.command_name`, which costs
# 0.5 ms to load. One text, for it is read at each start.
_LEADING = (
    " ash bash dash ksh sh zsh su env exec command busybox nohup setsid nice ionice chrt taskset"
    " numactl stdbuf unbuffer time timeout flock chronic cronic eatmydata ssh-agent"
    " dbus-run-session run-one run-this-one run-one-constantly xvfb-run systemd-cat systemd-inhibit"
    " systemd-run envdir chroot sudo doas runuser gosu su-exec setuidgid s6-setuidgid setpriv tini"
    " dumb-init docker podman docker-compose kubectl uv uvx poetry pipenv pdm hatch pixi pipx rye"
    " conda mamba micromamba bundle npx dotenv direnv rbenv pyenv mise asdf honcho foreman doppler"
    " op autotask-run ddtrace-run newrelic-admin opentelemetry-instrument splunk-py-trace"
    " elasticapm-run cronitor coverage debugpy cProfile profile pdb trace pyinstrument viztracer"
    " kernprof memray py-spy php perl ruby node nodejs Rscript django artisan certbot composer"
    " console django-admin drush gitlab-rake make manage.py npm occ pnpm rails rake wp"
    " yarn "
)
_VALUED = frozenset("cmWX")  # the interpreter's options that take a value


def process_name(settings: Settings) -> str | None:
    """Name the run of this very process, or return None if it has none.

    By default: no run for `-c`, an interactive prompt, known tools, schedulers, and helpers.
    """
    if settings.process == "0":
        return None
    task = task_name(_command_line())
    if settings.process == "auto" and (task is None or _is_helper()):
        return None
    return settings.name or task or os.path.basename(sys.executable or "python")


def task_name(command: list[str]) -> str | None:
    """Name a Python program by its command line.

    None for `-c`, a prompt, and programs that do no work of the user's own.
    """
    if not program_words(command[1:]):
        return None
    name = name_of(["python", *command[1:]])
    if name in _KERNELS or _WORKER in name:
        return None
    return None if _is_tool(name) or is_scheduler(name) else name


def name_of(command: list[str]) -> str:
    """Name a command: by the script's file name, with `-m` the module, else its base name.

    No argument is part of a name, and what only starts another command is looked through.
    """
    program = os.path.basename(command[0])
    name = python_program(command[1:]) if is_python(program) else program
    if is_line(command[0]) or f" {(name or '').rstrip('0123456789.')} " in _LEADING:
        from autotask.command_name import innermost_name

        return innermost_name(command)
    return name or program or command[0]


def is_line(word: str) -> bool:
    """Tell a whole command line in one word, or the assignment in front of one."""
    return not frozenset(" \t\n=;&|<>()$`'\"").isdisjoint(word) and not os.path.lexists(word)


def is_tool() -> bool:
    """Tell whether this very process is a known tool, whose child processes are no runs either."""
    return _is_tool(python_program(_command_line()[1:]) or "")


def _is_tool(name: str) -> bool:
    # pip3.12 is a tool, build.py is a program of the user's own.
    return name.rstrip(".0123456789") in _TOOLS


def is_scheduler(name: str) -> bool:
    """Tell a scheduler by the name of its command or module."""
    return name.rpartition(".")[2] in SCHEDULERS.split()


def is_scheduler_process() -> bool:
    """Tell whether this very process is a known scheduler."""
    return is_scheduler(python_program(_command_line()[1:]) or "")


def _is_helper() -> bool:
    """Tell whether this is a file of an installed library, started by a Python process.

    Build back ends and debuggers' adapters are. What a scheduler starts is the user's own.
    """
    if "-packages/" not in sys.argv[0]:
        return False
    starter = _command_line_of(os.getppid())
    if not starter or not is_python(os.path.basename(starter[0])):
        return False
    return not is_scheduler(python_program(starter[1:]) or "")


def _command_line() -> list[str]:
    words = getattr(sys, "orig_argv", None)  # 3.10
    return _command_line_of("self") if words is None else list(words)


def _command_line_of(process: int | str) -> list[str]:
    try:
        with open(f"/proc/{process}/cmdline", "rb") as file:
            return [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
    except OSError:
        return []


def python_program(words: Sequence[str]) -> str | None:
    """Return the file name of the script, with -m the module, that python is to run.

    *words* follow the interpreter's own name. None for `-c` and an interactive interpreter.
    """
    found = program_words(words)
    if not found or is_line(found[found[0] == "-m"]):  # a line in one word has arguments, too
        return None
    return found[1] if found[0] == "-m" else os.path.basename(found[0])


def program_words(words: Sequence[str]) -> list[str]:
    """Return the script, or `-m` and the module, that python is to run, with its arguments."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            return [word, *rest] if word != "-" else []
        # --check-hash-based-pycs takes a value
        option, value = ("-", "") if word.startswith("--") else split_option(word)
        if option == "c":
            return []
        if option and not value:
            value = rest.pop(0) if rest else ""
        if option == "m":
            return ["-m", value, *rest] if value else []
    return []


def is_python(name: str) -> bool:
    """Tell an interpreter by its file's name: `python3.12`, `pypy3`, but no `python-config`."""
    rest = name.removeprefix("python").removeprefix("pypy")
    return rest != name and not rest.strip("0123456789.t")


def is_pex(script: str) -> bool:
    """Tell a PEX: an archive, a folder, or the `__main__.py` in one.

    It drops all that PYTHONPATH has brought in: as a rule it starts itself anew with -I.
    """
    folder, _, name = script.rpartition("/")
    if name.endswith(".py"):
        return name == "__main__.py" and os.path.exists(os.path.join(folder, "PEX-INFO"))
    if not os.path.isfile(script):  # a pipe is not to be read here
        return os.path.exists(os.path.join(script, "PEX-INFO"))
    try:
        with open(script, "rb", buffering=0) as file:
            if b"PK\3\4" not in file.read(256):  # no archive behind a first line
                return False
        from zipimport import zipimporter

        zipimporter(script).get_data("PEX-INFO")
    except (OSError, ImportError):
        return False
    return True


def split_option(word: str) -> tuple[str, str]:
    """Return the option with a value that a word like `-Bm` or `-Wd` holds, and that value."""
    for place, letter in enumerate(word[1:], 2):
        if letter in _VALUED:
            return letter, word[place:]
    return "", ""
