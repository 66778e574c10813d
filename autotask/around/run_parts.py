"""Be run-parts, with a run for each script: `stand_ins/run-parts` leads here.

What cron records of `run-parts /etc/cron.daily` is one status for all scripts. Which scripts there
are, and in which order, is asked of the real run-parts; what it prints and returns is written anew
here, from debianutils 4.2 to 5.20. If anything is not as expected, the real one does the work.
"""

from __future__ import annotations

import getopt
import os
import select
import signal
import subprocess

from autotask.around.execute import complain
from autotask.guard import guarded, swallow
from autotask.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from autotask.around.execute import Failure
    from autotask.around.launch import Options

    Environ = dict[str, str]
    Answer = subprocess.CompletedProcess[bytes]
    Become = Callable[[Environ], Failure]
    Record = Callable[[Options, Settings, Environ, Become], None]  # `launch.record`

_SHORT = "va:u:"
_LONG = (
    *("report", "verbose", "reverse", "exit-on-error", "new-session"),
    *("lsbsysinit", "regex=", "arg=", "umask="),
)
_DEBIANS = b"Debian run-parts program, version "
_KNOWN = (4, 0), (6, 0)  # versions from the first up to the second
_TELLS_STATUS = (5, 17)  # since this one, the last failed script's status; before it, 1
_CHUNK = 4096  # bytes that it reads at once: the order of two streams depends on it
_SPECIAL = frozenset(r"\.[]()*+?{}|^$")


class Wanted:
    """What a command line of run-parts asks for.

    Raises getopt.GetoptError and ValueError for what is not known here.
    """

    def __init__(self, words: list[str]) -> None:
        options, folders = getopt.gnu_getopt(words, _SHORT, _LONG)
        (self.folder,) = folders
        names = [name for name, _ in options]
        self.is_reported = "--report" in names
        self.is_verbose = not {"-v", "--verbose"}.isdisjoint(names)
        self.is_reverse = "--reverse" in names
        self.ends_on_error = "--exit-on-error" in names
        self.has_sessions = "--new-session" in names
        self.arguments = [value for name, value in options if name in ("-a", "--arg")]
        masks = [value for name, value in options if name in ("-u", "--umask")]
        if any(mask.strip("01234567") for mask in masks):
            raise ValueError(masks)
        self.umask = int(masks[-1], 8) if masks else 0o022


class Parts:
    """The scripts of a folder, and how to run them as the real run-parts of this machine does."""

    def __init__(
        self, paths: list[tuple[str, bool]], wanted: Wanted, environ: Environ, tells_status: bool
    ) -> None:
        self._paths = paths  # see `_paths_of`
        self._wanted = wanted
        self._environ = environ
        self._tells_status = tells_status
        self._children = _news_of_children()

    def run(self, options: Options, record: Record) -> int:
        """Run all scripts; return the exit status of run-parts."""
        self._options, self._launch = options, record
        status = 0
        for path, is_script in self._paths:
            status = (self._run(path) if is_script else self._complain(path)) or status
            if status and self._wanted.ends_on_error:
                break
        return status

    def _run(self, path: str) -> int:
        if self._wanted.is_verbose:
            _say(" ".join([f"executing {path}", *self._wanted.arguments]))
        ended = self._end_of(path)
        if os.WIFSIGNALED(ended):
            _say(f"{path} exited because of uncaught signal {os.WTERMSIG(ended)}")
            return 1
        code = os.WEXITSTATUS(ended)
        if code:
            _say(f"{path} exited with return code {code}")
        return code if self._tells_status else min(code, 1)

    def _end_of(self, path: str) -> int:
        """Run a script; return its wait status."""
        if not self._wanted.is_reported:
            return os.waitpid(self._start(path, []), 0)[1]
        pipes = [os.pipe(), os.pipe()]
        pid = self._start(path, [writing for _, writing in pipes])
        for _, writing in pipes:
            os.close(writing)
        sources = [reading for reading, _ in pipes]
        return Relay(pid, f"{path}:\n", sources, self._children).until_end()

    def _start(self, path: str, streams: list[int]) -> int:
        """Start a script, with standard output and error led to *streams*; return its process."""
        pid = os.fork()
        if pid:
            return pid
        try:
            for number, stream in enumerate(streams, 1):
                os.dup2(stream, number)
            command = [path, *self._wanted.arguments]
            self._record(command)
            self._become(command, self._environ)
        finally:
            os._exit(1)

    @guarded
    def _record(self, command: list[str]) -> None:
        """Record a script as `autotask-run --name NAME` does; return if that is not possible."""
        options, environ = self._options, dict(self._environ)
        options.name, options.command = os.path.basename(command[0]), command
        self._launch(options, Settings(environ), environ, lambda e: self._become(command, e))

    def _become(self, command: list[str], environ: Environ) -> NoReturn:
        os.umask(self._wanted.umask)
        if self._wanted.has_sessions:
            os.setsid()
        try:
            os.execve(command[0], command, environ)  # noqa: S606  its purpose
        except OSError as problem:  # not as execvp(3): no shell runs a script without `#!`
            _say(f"failed to exec {command[0]}: {problem.strerror}")
        os._exit(1)

    def _complain(self, path: str) -> int:
        """Let the real run-parts say what is wrong with a path; return its status."""
        name = os.path.basename(path)
        pattern = "".join(f"\\{c}" if c in _SPECIAL else c for c in name)
        words = ["run-parts", "--regex", f"^{pattern}$", "--", self._wanted.folder]
        return subprocess.run(words, env=self._environ, check=False).returncode


class Relay:
    """Passes on what a script prints, as `--report` does: after a line with its path."""

    def __init__(self, pid: int, header: str, sources: list[int], children: int) -> None:
        self._pid = pid
        self._header = header
        self._targets = dict(zip(sources, (1, 2)))
        self._children = children  # see `_news_of_children`
        self._ended: int | None = None

    def until_end(self) -> int:
        """Return the script's wait status, once all that it printed was passed on.

        What it leaves in the background may keep the pipes open: that is not waited for.
        """
        while self._targets:
            self._look()
            patience = None if self._ended is None else 0
            ready, _, _ = select.select([*self._targets, self._children], [], [], patience)
            if self._children in ready:
                os.read(self._children, _CHUNK)
            sources = [source for source in self._targets if source in ready]
            if not sources and self._ended is not None:
                break
            for source in sources:
                self._pass_on(source)
        for source in self._targets:
            os.close(source)
        return os.waitpid(self._pid, 0)[1] if self._ended is None else self._ended

    def _look(self) -> None:
        if self._ended is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            self._ended = status if pid else None

    def _pass_on(self, source: int) -> None:
        data = os.read(source, _CHUNK)
        if not data:
            del self._targets[source]
            os.close(source)
            return
        if self._header:
            _write(self._targets[source], self._header)
            self._header = ""
        _write(self._targets[source], data)


def understood(words: list[str], environ: Environ) -> tuple[Wanted, tuple[int, ...]] | None:
    """Return what a command line asks for, and of which version; None: it is left to run-parts."""
    try:
        wanted = Wanted(words)
        version = _version(environ)
    except (getopt.GetoptError, ValueError, OSError):
        return None
    return (wanted, version) if _KNOWN[0] <= version < _KNOWN[1] else None


@guarded
def _parts(words: list[str], environ: Environ) -> Parts | None:
    known = understood(words, environ)
    if known is None:
        return None
    wanted, version = known
    paths = _paths_of(wanted, _ask(environ, "--test", *words))
    return Parts(paths, wanted, environ, version >= _TELLS_STATUS) if paths else None


def _version(environ: Environ) -> tuple[int, ...]:
    """Return the version of the real run-parts, as (5, 7); () if it is not Debian's."""
    answer = _ask(environ, "--version")
    told = (answer.stdout + answer.stderr).partition(_DEBIANS)[2].split()  # on stderr until 4.11
    return tuple(int(number) for number in told[0].split(b".")[:2]) if told else ()


def _paths_of(wanted: Wanted, answer: Answer) -> list[tuple[str, bool]] | None:
    """Return the paths that run-parts comes to, in order; False where it complains of one.

    *answer* is what it says with `--test`. None if that holds anything else.
    """
    scripts = answer.stdout.split(b"\n")[:-1]
    complaints = [line for line in answer.stderr.split(b"\n") if line]
    try:
        names = sorted(os.listdir(os.fsencode(wanted.folder)), reverse=wanted.is_reverse)
    except OSError:
        return None
    parts, met = [], 0
    for path in [os.fsencode(wanted.folder) + b"/" + name for name in names]:
        is_wrong = any(b" " + path + end in line for line in complaints for end in (b":", b" "))
        met += is_wrong
        if is_wrong or path in scripts:
            parts.append((os.fsdecode(path), not is_wrong))
    known = [path for path, is_script in parts if is_script] == list(map(os.fsdecode, scripts))
    if not known or met != len(complaints) or (met and wanted.ends_on_error):
        return None
    return parts


def _ask(environ: Environ, *words: str) -> Answer:
    return subprocess.run(
        ["run-parts", *words],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


def _news_of_children() -> int:
    """Return a descriptor that can be read from once a child has ended."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing)
    return reading


def _say(text: str) -> None:
    _write(2, f"run-parts: {text}\n")


def _write(stream: int, data: str | bytes) -> None:
    """Write once, as it does: what a full pipe or a closed stream does not take is lost."""
    try:
        os.write(stream, data if isinstance(data, bytes) else os.fsencode(data))
    except OSError:
        return


# Last: if this file is cut short, it is not found, and no script has been run.
def run_each(options: Options, environ: Environ, record: Record) -> None:
    """Run each script of a command line of run-parts, and exit as it does.

    Return if the real one is to do it.
    """
    parts = _parts(options.command[1:], environ)
    if parts is None:
        return
    status = 1
    try:
        status = parts.run(options, record)
    except Exception as problem:  # as the system starts no more processes; some scripts have run
        swallow("run_parts", problem)
        complain(f"run-parts ended early: {problem}")
    finally:
        os._exit(status)
