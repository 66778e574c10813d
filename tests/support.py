"""What tests are made of: programs run as users run them, the journal, and a listening Agent.

Nothing here is imported by a program under test.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import select
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from warm import FRAMEWORKS, warm

import autotask
from autotask.dogstatsd import Wire
from autotask.run import Run
from autotask.settings import Settings
from autotask.tool.supported import PYTHONS

# What autotask is installed from: a checkout, an editable install of it, or the wheel.
INSTALLED = Path(autotask.__file__).resolve().parent.parent
TEMPLATE = INSTALLED / "sitecustomize_template"
RUBY = INSTALLED / "autotask_ruby"
_SCRIPT = Path(sysconfig.get_path("scripts")) / "autotask-run"
LAUNCHER = _SCRIPT if _SCRIPT.exists() else INSTALLED / "bin" / "autotask-run"


def _one_word(python: str) -> str:
    """Return a path of Python that a shell and a `#!` line take as one word.

    The checkout may lie in a folder whose name has a space.
    """
    if shlex.quote(python) == python:
        return python
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    link = Path(folder) / "environment"
    link.symlink_to(Path(python).parent.parent)
    return str(link / "bin" / Path(python).name)


PYTHON = _one_word(sys.executable)
# The trigger of a process without a scheduler: the tests may run in a container.
UNKNOWN = "container" if os.path.exists("/.dockerenv") else "unknown"
OLD = ("2.7", "3.6", "3.7", "3.8")
SUPPORTED = PYTHONS["cpython"]
PATIENCE = 180.0  # seconds after which a program counts as hanging, even on a busy machine


@dataclass
class Tags:
    """The tags of a process, for lines that a test writes itself."""

    service: str | None = None
    env: str | None = None
    version: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    entity_id: str | None = None


def a_run(
    task: str = "nightly", framework: str = "click", run_id: str | None = None, root: str = ""
) -> Run:
    """Make a run for lines that a test writes itself."""
    run = Run(task, framework)
    run.trigger = "cron"
    run.id = run_id or run.id
    run.root = root or run.id
    return run


def wire_of(environ: Mapping[str, str], refused: Callable[..., object] | None = None) -> Wire:
    """Make the wire for the settings of an environment."""
    settings = Settings(environ)
    return Wire(settings.destination, settings, settings.events, refused)


# Our frame in a traceback, with its lines of code; that of an import has another name.
_OUR_FRAME = re.compile(
    r'  File "[^"]*/autotask/[^"]*", line \d+, in find_spec\n(?:    .*\n)+|'
    r'  File "[^"]*", line \d+, in autotask_\w+\n(?:    .*\n)+|'
    r'  File "<frozen importlib._bootstrap_external>", line \d+, in _call_with_frames_removed\n',
)

# The frame of the warm Python's own program; newer ones have its lines, too.
_WARM_FRAME = re.compile(r'  File "<string>", line \d+, in <module>\n(?:    .*\n)*')
PRODUCTS = os.environ.get("PRODUCTS")  # "all" cells of tables, some of which are much alike

Record = dict[str, Any]
Under = Literal["bare", "path", "launcher"]


@dataclass(frozen=True)
class Ended:
    """How a program ended: a negative status is the number of the signal that killed it."""

    status: int
    stdout: str
    stderr: str


def run_program(
    *command: str | Path,
    under: Under = "path",
    options: tuple[str, ...] = (),
    env: Mapping[str, str | None] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
    timeout: float = PATIENCE,
) -> Ended:
    """Run a program to its end: bare, with the agent on PYTHONPATH, or under autotask-run.

    A Python script (`shop.py`) or option (`-c`, `-m`) as the first word is run by this Python.
    *env* is added to the test's clean environment, None takes a variable out of it; *options*
    are those of autotask-run.
    """
    words = command_line(*command, under=under, options=options)
    done = subprocess.run(
        words,
        env=environment(under, env),
        cwd=cwd,
        input=stdin.encode(),
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    out, err = (data.decode(errors="backslashreplace") for data in (done.stdout, done.stderr))
    return Ended(done.returncode, out, err)


def run_bare(*command: str | Path, cwd: Path, env: Mapping[str, str | None] | None = None) -> Ended:
    """Run a Python program as it is without the agent, to compare other runs of it with.

    It is a fork of a warm Python, in which nothing of autotask is loaded; with PRODUCTS=all it is a
    fresh process.
    """
    words, environ = [str(word) for word in command], environment("bare", env)
    is_program = words[0].endswith(".py") or words[0] == "-m"
    python = warm(PYTHON, FRAMEWORKS, environ) if is_program and PRODUCTS != "all" else None
    if python is None:
        return run_program(*command, under="bare", cwd=cwd, env=env)
    status, out, err = python.run(words, environ, str(cwd), PATIENCE)
    said = _WARM_FRAME.sub("", err.decode(errors="backslashreplace"))
    return Ended(status, out.decode(errors="backslashreplace"), said)


def without_our_frames(text: str, version: tuple[int, ...] = sys.version_info[:2]) -> str:
    """Return a text without our frames in its tracebacks, to be compared with that of a bare run.

    From 3.11 on a traceback has none, before that at most one.
    """
    if version >= (3, 11):
        return text
    plain, found = _OUR_FRAME.subn("", text)
    assert found <= text.count("Traceback (most"), text
    return plain


def start_program(
    *command: str | Path,
    under: Under = "path",
    options: tuple[str, ...] = (),
    env: Mapping[str, str | None] | None = None,
    **popen: Any,
) -> subprocess.Popen[bytes]:
    """Start a program as `run_program` does, and leave it running."""
    words = command_line(*command, under=under, options=options)
    return subprocess.Popen(words, env=environment(under, env), **popen)


def command_line(
    *command: str | Path, under: Under = "path", options: tuple[str, ...] = ()
) -> list[str]:
    """Return the words of a command as the shell would pass them."""
    words = [str(word) for word in command]
    if words[0].endswith(".py") or words[0].startswith("-"):
        words.insert(0, PYTHON)
    return [str(LAUNCHER), *options, *words] if under == "launcher" else words


def environment(
    under: Under = "bare", env: Mapping[str, str | None] | None = None
) -> dict[str, str]:
    """Return the environment of a program: the test's, which conftest.py has cleaned."""
    found = dict(os.environ)
    for name, value in (env or {}).items():
        found.pop(name, None)
        if value is not None:
            found[name] = value
    if under == "path":
        rest = found.get("PYTHONPATH")
        found["PYTHONPATH"] = f"{TEMPLATE}{os.pathsep}{rest}" if rest else str(TEMPLATE)
    return found


def pythons(version: str) -> Path:
    """Find an interpreter of a version, first among pyenv's; skip the test without one."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for found in sorted(pyenv.glob(f"versions/{version}.*/bin/python")):
        return found
    on_the_path = shutil.which(f"python{version}")
    if on_the_path is None:
        pytest.skip(f"no Python {version} on this machine")
    return Path(on_the_path)


def write(path: Path, source: str) -> Path:
    """Write a program, which may be indented like the test around it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source))
    return path


@contextmanager
def small_disk(place: Path, options: str) -> Iterator[Path]:
    """Mount a file system in memory; skip the test if that is not permitted."""
    if os.getuid() != 0 or not sys.platform.startswith("linux"):
        pytest.skip("mounts")
    place.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", options, "tmpfs", place)
    if run_program(*mount, under="bare").status != 0:
        pytest.skip("may not mount")
    try:
        yield place
    finally:
        run_program("umount", place, under="bare")


def lines(home: Path) -> list[Record]:
    """Read the lines of a home's journal, oldest segment first; each must be whole."""
    return [
        json.loads(line)
        for segment in sorted((home / "journal").glob("*.jsonl"))
        for line in segment.read_text(encoding="ascii").splitlines()
    ]


def runs(home: Path) -> list[Record]:
    """Read a home's runs in the order of their starts: the contract's record, without nulls.

    A run without an end is `running`. Fails if a run started or ended twice. What the Agent took is
    read by `deliveries`.
    """
    found: dict[str, Record] = {}
    for line in sorted(lines(home), key=lambda line: str(line["event"]), reverse=True):
        event, at = line.pop("event"), line.pop("at")
        line.pop("unsent", None)
        if event in ("unsent", "sent"):
            continue
        run = found.setdefault(line["run"], {"status": "running"})
        if event == "raised":
            run["raised"] = line
            continue
        assert f"{event}_at" not in run, f"{event} twice: {line}"
        run.update(line, **{f"{event}_at": at})
    assert all("task" in run for run in found.values()), f"ended, but never started: {found}"
    return sorted(found.values(), key=lambda run: str(run["started_at"]))


def deliveries(home: Path) -> list[tuple[str, str, str]]:
    """Read what the Agent did not take, and what it took since: run, `started` or so, the event."""
    told = []
    for line in lines(home):
        if line["event"] in ("unsent", "sent"):
            told.append((line["run"], line["of"], line["event"]))
        elif line.get("unsent"):
            told.append((line["run"], line["event"], "unsent"))
    return told


def only_run(home: Path) -> Record:
    """Read the one run of a home."""
    (run,) = runs(home)
    return run


def wait_until(condition: Callable[[], bool], timeout: float = PATIENCE) -> None:
    """Wait for a condition that another process brings about; fail if it never does."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"still not so after {timeout} s"
        time.sleep(0.01)


class Datagrams:
    """What listens like a Datadog Agent: a UDP socket on a free loopback port."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"udp://127.0.0.1:{self.port}"
        self._received: list[bytes] = []

    def received(self, wait: float = 0) -> list[bytes]:
        """Return all datagrams so far; wait for another one for at most so many seconds."""
        while select.select([self._socket], [], [], wait)[0]:
            self._received.append(self._socket.recv(1 << 16))
            wait = 0
        return list(self._received)

    def lines(self, start: str = "", wait: float = 0) -> list[str]:
        """Return the lines of all datagrams so far that begin with *start*."""
        text = [line for data in self.received(wait) for line in data.decode().split("\n")]
        return [line for line in text if line and line.startswith(start)]

    def forget(self) -> None:
        """Forget what was received so far."""
        self.received()
        self._received.clear()

    def close(self) -> None:
        self._socket.close()
