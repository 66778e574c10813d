"""The name of a command's run, of another command's or of this very process's."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autotask.settings import Settings

# Programs that start the user's jobs for as long as the machine is up. Each job is a run under no
# other one, and the scheduler has a run of its own only if autotask-run starts it.
SCHEDULERS = "supervisord circusd yacron"
_TOOLS = frozenset(
    ["autotask", "pip", "ensurepip", "venv", "virtualenv", "site", "compileall", "build"]
)
_KERNELS = frozenset(["ipykernel", "ipykernel_launcher"])
_WORKER = "loky.backend."  # in the module that starts a worker process of loky or joblib
_VALUED = frozenset("cmWX")  # Python's options that take a value
# Programs that start another one, or one of many commands: only `command_name.innermost_name` can
# name what they lead to. One text, because each start of a process reads it.
_LEADING = (
    " ash bash dash ksh sh zsh su env exec command busybox nohup setsid nice ionice chrt"
    " taskset numactl stdbuf unbuffer time timeout flock chronic cronic eatmydata ssh-agent"
    " dbus-run-session run-one run-this-one run-one-constantly xvfb-run systemd-cat"
    " systemd-inhibit systemd-run envdir chroot sudo doas runuser gosu su-exec setuidgid"
    " s6-setuidgid setpriv tini dumb-init docker podman docker-compose kubectl uv uvx poetry"
    " pipenv pdm hatch pixi pipx rye conda mamba micromamba bundle npx dotenv direnv rbenv"
    " pyenv mise asdf rvm chruby-exec honcho foreman doppler op autotask-run autotask"
    " ddtrace-run newrelic-admin opentelemetry-instrument splunk-py-trace elasticapm-run"
    " cronitor coverage debugpy cProfile profile pdb trace pyinstrument viztracer kernprof"
    " memray py-spy php perl ruby jruby truffleruby node nodejs Rscript django artisan cap"
    " certbot composer console django-admin drush gitlab-rake make manage.py npm occ pnpm"
    " rails rake run-parts thor wp yarn "
)


def process_name(settings: Settings, innermost_name: Callable[[list[str]], str]) -> str | None:
    """Name the run of this very process, or return None if it has none.

    By default: no run for `-c`, an interactive prompt, known tools, schedulers, and helpers.
    *innermost_name* is as in `name_of`.
    """
    if settings.process == "0":
        return None
    task = task_name(command_line(), innermost_name)
    if settings.process == "auto" and (task is None or _is_helper()):
        return None
    return settings.name or task or os.path.basename(sys.executable or "python")


def task_name(command: list[str], innermost_name: Callable[[list[str]], str]) -> str | None:
    """Name a Python program by its command line.

    None for `-c`, a prompt, and programs that do no work of the user's.
    """
    if not program_words(command[1:]):
        return None
    name = name_of(["python", *command[1:]], innermost_name)
    if name in _KERNELS or _WORKER in name:
        return None
    return None if _is_tool(name) or is_scheduler(name) else name


def name_of(command: list[str], innermost_name: Callable[[list[str]], str]) -> str:
    """Name a command: by the script's file name, with `-m` the module, else its base name.

    Arguments are not part of a name. *innermost_name* names a command that leads to another one. It
    is `command_name`'s, which takes 0.5 ms to load: callers load it only once it is called.
    """
    program = os.path.basename(command[0])
    name = python_program(command[1:]) if is_python(program) else program
    if is_line(command[0]) or f" {(name or '').rstrip('0123456789.')} " in _LEADING:
        return innermost_name(command)
    return name or program or command[0]


def serves(name: str, command: list[str]) -> bool:
    """Tell whether a *command* of this *name* serves until it is stopped: `run.SERVERS`."""
    from autotask.run import SERVERS

    program = name.partition(" ")[0].removesuffix(".py")
    words = " ".join(command).split()
    return any(f" {word} " in SERVERS for word in (program, *[f"{program}.{w}" for w in words]))


def serves_itself(innermost_name: Callable[[list[str]], str]) -> bool:
    """Tell whether this very Python program serves until it is stopped."""
    command = command_line()
    name = name_of(["python", *command[1:]], innermost_name) if command[1:] else ""
    return serves(name, command)


def is_line(word: str) -> bool:
    """Tell whether a word holds a whole command line, or an assignment in front of one."""
    return not frozenset(" \t\n=;&|<>()$`'\"").isdisjoint(word) and not os.path.lexists(word)


def is_tool() -> bool:
    """Tell whether this process is a known tool, whose child processes have no runs either."""
    return _is_tool(python_program(command_line()[1:]) or "")


def _is_tool(name: str) -> bool:
    # pip3.12 is a tool, as `autotask runs` is; build.py is a program of the user's.
    return name.partition(" ")[0].rstrip(".0123456789") in _TOOLS


def is_scheduler(name: str) -> bool:
    """Tell whether a command or module of this name is a scheduler."""
    return name.rpartition(".")[2] in SCHEDULERS.split()


def is_scheduler_process() -> bool:
    """Tell whether this process is a known scheduler."""
    return is_scheduler(python_program(command_line()[1:]) or "")


def _is_helper() -> bool:
    """Tell whether this runs a file of an installed library for the Python process above it.

    Build back ends and adapters of debuggers do. What a scheduler starts is the user's.
    """
    if "-packages/" not in sys.argv[0]:
        return False
    starter = _command_line_of(os.getppid())
    if not starter or not is_python(os.path.basename(starter[0])):
        return False
    return not is_scheduler(python_program(starter[1:]) or "")


def command_line() -> list[str]:
    """Return the words with which this process was started."""
    words = getattr(sys, "orig_argv", None)  # 3.10
    return _command_line_of("self") if words is None else list(words)


def _command_line_of(process: int | str) -> list[str]:
    try:
        with open(f"/proc/{process}/cmdline", "rb") as file:
            return [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
    except OSError:
        return []


def is_pex(script: str) -> bool:
    """Tell whether a script is a PEX: an archive, a folder, or the `__main__.py` in one.

    A PEX drops what PYTHONPATH has brought in: as a rule it starts itself again with -I.
    """
    folder, _, name = script.rpartition("/")
    if name.endswith(".py"):
        return name == "__main__.py" and os.path.exists(os.path.join(folder, "PEX-INFO"))
    if not os.path.isfile(script):  # reading a pipe would take the program's input
        return os.path.exists(os.path.join(script, "PEX-INFO"))
    try:
        with open(script, "rb", buffering=0) as file:
            if b"PK\3\4" not in file.read(256):  # an archive may follow a first line `#!`
                return False
        from zipimport import zipimporter

        zipimporter(script).get_data("PEX-INFO")
    except (OSError, ImportError):
        return False
    return True


def python_program(words: Sequence[str]) -> str | None:
    """Return the file name of the script, with -m the module, that python is to run.

    *words* follow the interpreter's own name. None for `-c` and an interactive interpreter.
    """
    program = program_words(words)
    if not program or is_line(program[program[0] == "-m"]):  # whose name would hold arguments
        return None
    return program[1] if program[0] == "-m" else os.path.basename(program[0])


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
    """Tell whether a file of this name is a Python: `python3.12`, `pypy3`, not `python-config`."""
    rest = name.removeprefix("python").removeprefix("pypy")
    return rest != name and not rest.strip("0123456789.t")


def split_option(word: str) -> tuple[str, str]:
    """Return the option with a value that a word like `-Bm` or `-Wd` holds, and that value."""
    for end, letter in enumerate(word[1:], 2):
        if letter in _VALUED:
            return letter, word[end:]
    return "", ""
