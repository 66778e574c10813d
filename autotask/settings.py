"""Every setting, in one place: no other module reads them from the environment.

A bad value counts as unset and is noted in `problems`; it never stops a task.
"""

from __future__ import annotations

import os

from autotask.stdlib import standard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

PARENT = "AUTOTASK_PARENT"  # run:root:trigger of the current run; empty if there is none
PROCESS_RUN = "AUTOTASK_PROCESS_RUN"  # run:pid, from a launcher to the one process that it starts
# Where autotask-run is, for our run-parts, which stands before the real one on a command's PATH.
RUN_PARTS = "AUTOTASK_RUN_PARTS"
# Of one command: what it starts does not inherit them. See `around.command_settings`.
OF_COMMAND = (
    "AUTOTASK_KEEP_OUTPUT",
    "AUTOTASK_QUIET",
    "AUTOTASK_TIMEOUT",
    "AUTOTASK_NO_OVERLAP",
)

_OFF = ("0", "false", "no", "off")
_ON = ("1", "true", "yes", "on")
_SOCKET_FILE = "/var/run/datadog/dsd.socket"
_PORT = 8125


def parent_of(environ: Mapping[str, str]) -> tuple[str | None, str | None, str | None]:
    """Return the run and root under which new runs hang, and their trigger; None if unset.

    A value that we cannot have written is ignored: it would get into the journal.
    """
    words = environ.get(PARENT, "").split(":")
    if len(words) != 3 or not (is_id(words[0]) and is_id(words[1]) and words[2].isalpha()):
        return None, None, None
    return words[0], words[1], words[2]


def parent_value(run: str, root: str, trigger: str) -> str:
    """Return the value that `parent_of` reads."""
    return f"{run}:{root}:{trigger}"


def is_id(text: str) -> bool:
    """Tell whether a text can be the id of a run."""
    return len(text) == 16 and not text.strip("0123456789abcdef")


class Settings:
    """What the environment asks for, read once."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self._environ = environ
        self.enabled = self._switch("AUTOTASK_ENABLED")
        self.home = _home(environ)
        self.name = environ.get("AUTOTASK_NAME") or None
        self.stderr = False  # AUTOTASK_JOURNAL=stderr: records on standard error, and no file
        self.journal = self._switch("AUTOTASK_JOURNAL")
        self.dogstatsd = self._switch("AUTOTASK_DOGSTATSD") and not self._disabled()
        self.events = self._switch("AUTOTASK_EVENTS")
        self.messages = self._switch("AUTOTASK_MESSAGES")
        self.links = self._switch("AUTOTASK_LINKS")  # in messages of queues: which run asked for it
        self.debug = self._debug()
        self.process = self._process()
        self.init = environ.get("AUTOTASK_SUPERVISE") == "init"  # supervise as an init process
        self.supervise = self.init or self._switch("AUTOTASK_SUPERVISE", False)
        self.functions = self._functions()
        self.plugins = self._plugins()
        self.destination = self._destination()
        self.entity_id = self._entity_id()
        self.tags = self._tags()
        env, service, version = (self.tags.pop(n, None) for n in ("env", "service", "version"))
        self.env = environ.get("DD_ENV") or env
        self.service = environ.get("DD_SERVICE") or service
        self.version = environ.get("DD_VERSION") or version
        self._only, self._without = self._frameworks()
        self._ignored = self._list("AUTOTASK_IGNORE")
        self._last: tuple[str | None, bool] = (None, False)  # a task, and whether it is ignored

    def uses(self, framework: str) -> bool:
        """Tell whether runs of a framework are recorded."""
        if framework in self._without:
            return False
        return not self._only or framework in self._only

    def ignores(self, task: str) -> bool:
        """Tell whether a task's name matches AUTOTASK_IGNORE."""
        if not self._ignored:
            return False
        last = self._last
        if last[0] != task:
            from fnmatch import fnmatchcase  # imports re: only where the setting is used

            is_ignored = any(fnmatchcase(task, pattern) for pattern in self._ignored)
            self._last = last = task, is_ignored
        return last[1]

    def _list(self, name: str) -> list[str]:
        text = self._environ.get(name)
        return [item.strip() for item in text.split(",") if item.strip()] if text else []

    def _switch(self, name: str, default: bool = True) -> bool:
        """Read a switch; a value that is neither on nor off counts as unset."""
        text = self._environ.get(name, "").strip().lower()
        if text in _ON or text in _OFF:
            return text in _ON
        if text == "stderr" and name == "AUTOTASK_JOURNAL":
            self.stderr = True
            return False
        if text:
            self.problems.append(f"{name}: {text!r} is neither 0 nor 1")
        return default

    def _disabled(self) -> bool:
        return self._environ.get("DD_DOGSTATSD_DISABLE", "").strip().lower() in _ON

    def _debug(self) -> str | None:
        """Return `1` for standard error, a file's path, or None."""
        text = self._environ.get("AUTOTASK_DEBUG", "").strip()
        if text.lower() in _ON:
            return "1"
        return None if text.lower() in _OFF else text or None

    def _process(self) -> str:
        text = self._environ.get("AUTOTASK_PROCESS", "").strip().lower() or "auto"
        if text in _ON:
            return "1"
        if text in _OFF:
            return "0"
        if text != "auto":
            self.problems.append(f"AUTOTASK_PROCESS: {text!r} is not auto, 1 or 0")
        return "auto"

    def _frameworks(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return the frameworks asked for (empty: all) and those excluded."""
        items = [item.lower() for item in self._list("AUTOTASK_FRAMEWORKS")]
        if not items:
            return frozenset(), frozenset()
        from autotask.frameworks import SUPPORTED, SUPPORTED_IN_RUBY

        known = {"function", "process", "all", *(SUPPORTED + SUPPORTED_IN_RUBY).split()[::3]}
        for item in items:
            if item.removeprefix("-") not in known and not self.plugins:  # it may be a plugin's
                self.problems.append(f"AUTOTASK_FRAMEWORKS: {item!r} is not a framework")
        items = [item for item in items if item.removeprefix("-") in known or self.plugins]
        without = frozenset(item[1:] for item in items if item.startswith("-"))
        only = frozenset(item for item in items if not item.startswith("-") and item != "all")
        return only, without

    def _functions(self) -> tuple[tuple[str, str, str], ...]:
        """Return (module, qualified name, task name) of each of AUTOTASK_FUNCTIONS."""
        functions = []
        for item in self._list("AUTOTASK_FUNCTIONS"):
            target, _, name = item.partition("=")
            module, _, qualname = target.strip().partition(":")
            words = module.split(".") + qualname.split(".")
            if all(word.isidentifier() for word in words):
                functions.append((module, qualname, name.strip() or f"{module}:{qualname}"))
            else:
                self.problems.append(f"AUTOTASK_FUNCTIONS: {item!r} is not package.module:name")
        return tuple(functions)

    def _plugins(self) -> tuple[tuple[str, str, str], ...]:
        """Return (watched module, plugin's module, its function) of each of AUTOTASK_PLUGINS."""
        plugins = []
        for item in self._list("AUTOTASK_PLUGINS"):
            watched, _, target = item.partition("=")
            module, _, function = target.partition(":")
            words = [*watched.split("."), *module.split("."), function]
            if all(word.isidentifier() for word in words):
                plugins.append((watched, module, function))
            else:
                self.problems.append(f"AUTOTASK_PLUGINS: {item!r} is not module=plugin:function")
        return tuple(plugins)

    def _entity_id(self) -> str | None:
        """Return what the Agent finds a container by; it may hold nothing that would end a tag."""
        text = self._environ.get("DD_ENTITY_ID", "")
        if text.isascii() and not any(mark in text for mark in ",|#\n"):
            return text or None
        self.problems.append(f"DD_ENTITY_ID: {text!r} is not an id")
        return None

    def _tags(self) -> dict[str, str]:
        """Join DD_TAGS (commas or spaces between them) and AUTOTASK_TAGS, which wins.

        A word of DD_TAGS without a colon is a tag as well: a key with no value.
        """
        datadogs = self._environ.get("DD_TAGS", "").replace(",", " ").split()
        tags = {}
        for item in datadogs + self._list("AUTOTASK_TAGS"):
            key, colon, value = item.partition(":")
            if key and colon and value:
                tags[key.strip()] = value.strip()
            elif key and item in datadogs:
                tags[key] = ""
            elif item not in datadogs:
                self.problems.append(f"AUTOTASK_TAGS: {item!r} is not key:value")
        return tags

    def _destination(self) -> tuple[str, str, int]:
        """Return ("udp", host, port) or ("unix", path, 0)."""
        url = self._environ.get("DD_DOGSTATSD_URL")
        if url:
            parsed = _parsed_url(url)
            if parsed is not None:
                return parsed
            self.problems.append(f"DD_DOGSTATSD_URL: {url!r} is neither udp:// nor unix://")
        host = self._environ.get("DD_AGENT_HOST")
        port = self._environ.get("DD_DOGSTATSD_PORT")
        number = _parsed_port(port) if port else _PORT
        if number is None:
            self.problems.append(f"DD_DOGSTATSD_PORT: {port!r} is not a port")
            number = _PORT
        if not host and not port and os.path.exists(_SOCKET_FILE):
            return "unix", _SOCKET_FILE, 0
        return "udp", host or "localhost", number


def _home(environ: Mapping[str, str]) -> str | None:
    """Return the absolute path of the home; None if no home directory of the user is known."""
    home = environ.get("AUTOTASK_HOME")
    if home:  # in a crontab or an image no shell has expanded it
        return os.path.abspath(os.path.expanduser(home) if home[0] == "~" else home)
    state = environ.get("XDG_STATE_HOME")
    if state and state.startswith("/"):
        return os.path.join(state, "autotask")
    user = environ.get("HOME") or _home_of_user()
    return os.path.join(user, ".local", "state", "autotask") if user else None


def _home_of_user() -> str | None:
    """Ask the password database, as the shell does if HOME is not set."""
    try:
        return standard("pwd").getpwuid(os.getuid()).pw_dir or None
    except (ImportError, KeyError):
        return None


def _parsed_port(text: str) -> int | None:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    return number if 0 < number < 65536 else None


def _parsed_url(url: str) -> tuple[str, str, int] | None:
    scheme, separator, rest = url.partition("://")
    if not separator or not rest:
        return None
    if scheme in ("unix", "unixgram"):
        return "unix", rest, 0
    if scheme != "udp":
        return None
    host, colon, port = rest.rstrip("/").rpartition(":")
    if not colon or port.endswith("]"):  # no port; [::1] is a host alone
        host, port = rest.rstrip("/"), str(_PORT)
    number = _parsed_port(port)
    return ("udp", host.strip("[]"), number) if host and number else None
