"""Start the process that runs the lines of on_failure (`failure_lines`); nothing waits for it."""

from __future__ import annotations

import os
import sys
from json import dumps, loads

from autotask import journal
from autotask.around import failure_notes
from autotask.around.failure_lines import START
from autotask.settings import PARENT, PROCESS_RUN, RUN_PARTS
from autotask.stderr_journal import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from autotask.around.command_settings import CommandSettings
else:
    import _signal  # what is in C of it; the rest costs 5 ms

_OURS = ("sitecustomize_template", "autotask_ruby", "stand_ins")  # folders that we put on paths


class Call:
    """One line for a shell, and what it gets on its standard input: the record, in a line."""

    def __init__(self, line: str, failures: int, started: str, finished: str) -> None:
        self.id = os.urandom(8).hex()
        self.line = line
        self.output: str | None = None
        self._failures = failures  # of this task since the last call
        self._record = loads(record(started, finished))
        self.run, self.task = self._record["run"], self._record["task"]

    def text(self) -> str:
        """Write it."""
        more = {"output": self.output, "failures": self._failures}
        return dumps({**self._record, **more}) + "\n"


def start(calls: list[Call], home: str | None, asked: CommandSettings) -> None:
    """Start the process that runs the lines; note each, also that it could not be started.

    Noted before: where the system ends everything with the command, nothing else is left to tell.
    """
    for call in calls:
        failure_notes.add(home, call.id, "begun", run=call.run, task=call.task)
    environ = _for_line(asked.environ)
    order = {
        "home": home,
        "folder": _portable(asked.folder),
        "environ": [[_portable(name), _portable(value)] for name, value in environ.items()],
        "calls": [[call.id, _portable(call.line), call.text()] for call in calls],
    }
    try:
        _spawn(dumps(order).encode(), environ)
    except (OSError, AttributeError) as problem:
        for call in calls:
            failure_notes.add(home, call.id, "not started", last=str(problem))


def _portable(text: str) -> str:
    """Write bytes of the system as text, whatever encoding the other process has for them."""
    return os.fsencode(text).decode("latin-1")


def _for_line(environ: dict[str, str]) -> dict[str, str]:
    """Return the environment of the command as it was before us; what it starts is not recorded."""
    ours = (PARENT, PROCESS_RUN, RUN_PARTS)
    clean = {name: value for name, value in environ.items() if name not in ours}
    for name in ("PYTHONPATH", "RUBYLIB", "PATH"):
        entries = clean.get(name, "").split(os.pathsep)
        kept = [entry for entry in entries if os.path.basename(entry) not in _OURS]
        if len(kept) < len(entries):
            del clean[name]
            if kept:
                clean[name] = os.pathsep.join(kept)
    clean["AUTOTASK_ENABLED"] = "0"
    return clean


def _spawn(order: bytes, environ: dict[str, str]) -> None:
    """Start the process; it inherits no open file: standard input is its order."""
    file = journal.above_stdio(os.memfd_create("autotask-on-failure"))
    try:
        written = 0
        while written < len(order):
            written += os.write(file, order[written:])
        os.lseek(file, 0, os.SEEK_SET)
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            (os.POSIX_SPAWN_DUP2, file, 0),
        ]
        actions += [(os.POSIX_SPAWN_CLOSE, number) for number in _open_files()]
        taken = _signal.valid_signals() - {_signal.SIGKILL, _signal.SIGSTOP}
        package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-X", "utf8", "-c", START, package],
            environ,
            file_actions=actions,
            setsigmask=(),
            setsigdef=taken,
        )
    finally:
        os.close(file)


def _open_files() -> list[int]:
    """List what is open beside the standard streams, whether it would be inherited or not."""
    try:
        return [number for number in map(int, os.listdir("/proc/self/fd")) if number > 2]
    except OSError:  # without /proc only what the launcher has kept for its locks is inherited
        return []
