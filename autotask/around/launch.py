"""`autotask-run`: run any command as a task, with the agent on its path.

Started by bin/autotask-run as `python -I -S`. Each command waits for it to start, and it stays in
memory as long as the command runs: so it imports next to nothing.
"""

from __future__ import annotations

import os
import sys

from autotask import __file__ as package_file
from autotask import __version__
from autotask.around.execute import Failure, complain, execute
from autotask.guard import guarded
from autotask.naming import name_of, serves
from autotask.settings import OF_COMMAND, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from typing import NoReturn

    Become = Callable[[dict[str, str]], Failure]
else:
    import _signal  # what is in C of it; the rest costs 5 ms


_HELP = """\
usage: autotask-run [OPTION]... COMMAND [ARG]...
       autotask-run [OPTION]... --shell TEXT

Runs a command as a task: autotask records when it ran, whether it succeeded and how long it
took, and the same for each Click, Typer, Invoke and doit task inside it. It ends as the command
ended: same exit status, killed by the same signal.

options:
  --name N     the task's name; by default the script's, the module's or the command's own
  --tag K:V    a tag for everything that is recorded and sent; can be repeated
  --timeout T  stop the command after 30m, 1h30m, ...: SIGTERM, and SIGKILL 10 seconds later
  --no-overlap skip this run if another one of the same task has not ended
  --keep-output SIZE
               keep the last 8k, at most 64k, of the output of a run that fails, for `autotask
               show`: of pipes and files, not of a terminal
  --quiet      pass the output on only if the command fails
  --exec       become the command instead of staying beside it: one process less, and signals
               reach it directly. Only Python programs are recorded then, from inside; other
               commands are not
  --shell TEXT run a line for a shell, as `$SHELL -c TEXT` would. The last command in it that is
               not a helper (cd, echo, ...) names the task, or AUTOTASK_NAME=N in front of it
  --help       show this help
  --version    show the version

Variables (AUTOTASK_TIMEOUT=30m, ...) and autotask.toml set the same, and who is told of failures.

exit status, if it is not the command's:
  124  it was stopped because of --timeout
  125  usage error of autotask-run
  126  the command cannot be executed
  127  the command was not found

examples:
  autotask-run inv db.migrate
  autotask-run python nightly.py --verbose
  autotask-run --name backup --tag team:data ./backup.sh
  autotask-run --timeout 30m --no-overlap --quiet ./sync.sh
  autotask-run --shell 'cd /srv/shop && ./nightly.sh > /tmp/nightly.log'
"""
_USAGE_ERROR = 125
_WITH_VALUE = ("--name", "--tag", "--timeout", "--keep-output")
PLUGINS = "plugins"  # a file of the home
RUBY_FOLDER = "autotask_ruby"
_SITE = os.path.dirname(os.path.dirname(os.path.realpath(package_file)))


class Options:
    """What the command line asks for."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.tags: list[str] = []
        self.settings: dict[str, str] = {}  # of `command_settings`, by their names there
        self.replace = False  # --exec
        self.is_run_parts = False  # --run-parts, by which only its stand-in calls us
        self.command: list[str] = []  # as which it is named and followed
        self.executed: list[str] = []
        self.line: str | None = None  # --shell: the command is `sh -c`, $SHELL executes it


class Inherited:
    """What the start of Python has changed in this process, to undo it for the command.

    *state* comes from bin/autotask-run: `p` and `x` if SIGPIPE and SIGXFSZ were not ignored, then
    `=` and LC_CTYPE if that was set.
    """

    def __init__(self, state: str) -> None:
        defaults, self._has_locale, self._locale = state.partition("=")
        self._signals = [_signal.SIGPIPE] if "p" in defaults else []
        self._signals += [_signal.SIGXFSZ] if "x" in defaults else []
        if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
            # At once: from here on Ctrl-C must not show a traceback.
            _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

    def environ(self) -> dict[str, str]:
        """Return the environment as it was before Python started."""
        environ = dict(os.environ)
        environ.pop("LC_CTYPE", None)
        if self._has_locale:
            environ["LC_CTYPE"] = self._locale
        return environ

    def restore(self) -> None:
        """Let SIGPIPE and SIGXFSZ end the command, if they were not ignored before."""
        for number in self._signals:
            _signal.signal(number, _signal.SIG_DFL)


def _innermost_name(command: list[str]) -> str:
    """Name what a command leads to: see `naming.name_of`."""
    from autotask import command_name

    return command_name.innermost_name(command)


def _name_in(line: str | None) -> str | None:
    if line is None:
        return None
    from autotask.command_name import name_in_line

    return name_in_line(line)


def record(options: Options, settings: Settings, environ: dict[str, str], become: Become) -> None:
    """Record the command's run as its parent; return to become it, if that is not possible."""
    command = options.command
    equip(environ, settings, command)
    name = name_of(command, _innermost_name)
    task = options.name or _name_in(options.line) or settings.name or name
    if not options.replace:
        from autotask.around.supervise import is_wanted, of_command, supervise

        if is_wanted(settings, task):
            environ.pop("AUTOTASK_NAME", None)
            if "run-parts" in (options.line or command):
                from autotask.around import stand_in

                stand_in.put_first(environ)
            asked = of_command(task, environ, options.settings, options.line is not None)
            supervise(
                *(settings, task, serves(name, command), environ, become),
                lambda is_silent: _diagnose(command, environ, is_silent),
                asked,
            )
    if not settings.supervise:  # else the command itself may take them
        for variable in OF_COMMAND:
            environ.pop(variable, None)
    if settings.debug:
        _diagnose(command, environ)


def _diagnose(command: list[str], environ: dict[str, str], is_silent: bool = False) -> None:
    from autotask.around.leads_to import tell_if_barred

    tell_if_barred(command, environ, is_silent)


def parse(words: list[str]) -> Options:
    """Parse the command line; if it is wrong, print one line and exit with 125."""
    options = Options()
    while options.line is None and words and words[0].startswith("-"):
        word = words.pop(0)
        if word == "--":
            break
        _take_option(options, word, words)
    if options.line is None:
        if not words or not words[0]:
            _refuse("no command given")
        options.command = options.executed = words
    if options.replace and options.settings:
        name = next(iter(options.settings)).replace("_", "-")
        _refuse(f"--{name} needs a process beside the command: not with --exec")
    return options


def _take_option(options: Options, word: str, words: list[str]) -> None:
    name, equals, value = word.partition("=")
    if name in _WITH_VALUE:
        _take_value(options, name, value if equals else words.pop(0) if words else "")
    elif word in ("--quiet", "--no-overlap"):
        options.settings[word[2:].replace("-", "_")] = "1"
    elif word == "--exec":
        options.replace = True
    elif word == "--run-parts":
        options.is_run_parts = True
    elif name == "--shell":
        _take_line(options, [value, *words] if equals else words)
    else:
        _answer(word)


def _take_line(options: Options, words: list[str]) -> None:
    if not words or not words[0]:
        _refuse("--shell needs a value")
    if len(words) > 1:
        _refuse("--shell takes one text: put it in quotes")
    options.line = words[0]
    options.command = ["sh", "-c", *words]
    options.executed = [os.environ.get("SHELL") or "/bin/sh", "-c", *words]


def _take_value(options: Options, name: str, value: str) -> None:
    if not value:
        _refuse(f"{name} needs a value")
    if name == "--name":
        options.name = value
        return
    if name != "--tag":
        _take_setting(options, name[2:].replace("-", "_"), value)
        return
    key, _, rest = value.partition(":")
    if not key or not rest or "," in value:
        _refuse(f"--tag {value}: a tag is key:value, without a comma")
    options.tags.append(value)


def _take_setting(options: Options, name: str, value: str) -> None:
    from autotask.around.command_settings import convert

    try:
        convert(name, value)
    except ValueError as problem:
        _refuse(f"--{name.replace('_', '-')}: {problem}")
    options.settings[name] = value


def _answer(word: str) -> NoReturn:
    """Print the help or the version and exit; refuse other options."""
    if word not in ("--help", "-h", "--version"):
        _refuse(f"no such option: {word.partition('=')[0]}")
    try:
        sys.stdout.write(_HELP if word != "--version" else f"autotask-run {__version__}\n")
        sys.stdout.flush()
    except (AttributeError, OSError):  # standard output is closed
        pass
    os._exit(0)


def _refuse(text: str) -> NoReturn:
    complain(f"{text} (see `autotask-run --help`)")
    os._exit(_USAGE_ERROR)


def equip(environ: dict[str, str], settings: Settings, command: list[str]) -> None:
    """Put the agent on a command's PYTHONPATH and RUBYLIB; set the plugins of its environment.

    `autotask frameworks` and `autotask doctor` find them: that takes 50 ms, too long for here.
    """
    environ["PYTHONPATH"] = with_agent(environ.get("PYTHONPATH"))
    environ["RUBYLIB"] = with_agent(environ.get("RUBYLIB"), RUBY_FOLDER)
    if settings.home and environ.get("AUTOTASK_HOME"):
        environ["AUTOTASK_HOME"] = settings.home  # absolute: the command may change its directory
    if settings.home and "AUTOTASK_PLUGINS" not in environ:
        plugins = _plugins(settings.home, command, environ)
        if plugins:
            environ["AUTOTASK_PLUGINS"] = plugins


@guarded
def _plugins(home: str, command: list[str], environ: dict[str, str]) -> str | None:
    if os.path.lexists(os.path.join(home, "shared")):
        from autotask import homes

        home = homes.users_folder(home) if homes.shared_modes(home) else home
    known = known_plugins(home)
    if not known:
        return None
    from autotask.around.leads_to import follow

    python = follow(command, environ).python
    return known.get(environment_of(python)) if python else None


def known_plugins(home: str) -> dict[str, str]:
    """Return the value of AUTOTASK_PLUGINS for each environment that was ever searched.

    The file has a line for each, with a tab between the two: to parse JSON would double the cost
    of a launch.
    """
    from autotask.around import trusted
    from autotask.journal import open_folder

    try:
        folder = open_folder(home)
        try:
            text = trusted.read(folder, PLUGINS).decode("utf-8", "surrogateescape")
        finally:
            os.close(folder)
    except OSError:
        return {}
    pairs = [line.partition("\t") for line in text.split("\n")]
    return {folder: plugins for folder, _, plugins in pairs if plugins}


def environment_of(python: str) -> str:
    """Return the folder of an environment's `python` and scripts, by which it is known."""
    return os.path.dirname(os.path.abspath(python))


def with_agent(path: str | None, name: str = "sitecustomize_template") -> str:
    """Put a folder of autotask's in front of a PYTHONPATH, or of a RUBYLIB."""
    folder = os.path.join(_SITE, name)
    # Joined to an empty path, it would be followed by an empty entry: the current folder.
    rest = path.split(os.pathsep) if path else []
    return os.pathsep.join([folder] + [entry for entry in rest if entry != folder])


# Last: if this file is cut short, bin/autotask-run finds no main and runs the command without us.
def main() -> NoReturn:
    """Run the command of the command line, whose first word is the state (`Inherited`)."""
    inherited = Inherited(sys.argv[1])
    options = parse(sys.argv[2:])
    environ = inherited.environ()
    if options.name is not None:
        environ["AUTOTASK_NAME"] = options.name
    if options.tags:
        tags = [environ["AUTOTASK_TAGS"]] if environ.get("AUTOTASK_TAGS") else []
        environ["AUTOTASK_TAGS"] = ",".join(tags + options.tags)
    settings = Settings(environ)

    def become(environ: dict[str, str]) -> Failure:
        inherited.restore()
        return execute(options.executed, environ)

    if settings.enabled and options.is_run_parts:
        from autotask.around import run_parts

        inherited.restore()
        run_parts.run_each(options, environ, record)
    elif settings.enabled:
        record(options, settings, environ, become)
    failure = become(environ)
    complain(failure.text)
    os._exit(failure.code)
