"""Stay beside a command as its small parent: signals, stops, its end, and what that was.

Whoever looks at us from outside is to see the command itself. It stays in our process group, so
that a terminal reaches both of us, and we are stopped and die as it does.
"""

from __future__ import annotations

import os
import time

from autotask import journal, process
from autotask.config import PARENT, PROCESS_RUN, parent_of
from autotask.guard import guarded
from autotask.marks import leave_mark, marks_folder
from autotask.run import SUCCESS, Outcome, Run, failure, from_status
from autotask.trigger import find_trigger

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from resource import struct_rusage
    from typing import NoReturn

    from autotask.closing import Tail
    from autotask.config import Settings
    from autotask.dogstatsd import Wire
    from autotask.launch import Failure

    Become = Callable[[dict[str, str]], Failure]
else:
    import _signal  # what is in C of it; the rest costs 5 ms

TICK = 60.0  # seconds between two words that a run is still running
_STOPS = (_signal.SIGTSTP, _signal.SIGTTIN, _signal.SIGTTOU)  # by job control
# What a terminal sends to the whole foreground group, the command included.
_BY_TERMINAL = (
    *_STOPS,
    *(_signal.SIGINT, _signal.SIGQUIT, _signal.SIGWINCH, _signal.SIGHUP, _signal.SIGCONT),
)
_CGROUPS = "/sys/fs/cgroup"


def supervise(
    settings: Settings,
    task: str,
    environ: dict[str, str],
    become: Become,
    command: list[str] | None = None,
) -> NoReturn:
    """Run a command in a child, which *become* turns into it, and end as it ends."""
    program = Program(settings, task)
    inside = program.prepare(environ) or environ
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)  # ignored, it would take the status away
    _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    reading, writing = map(journal.above_stdio, os.pipe())
    try:
        pid = os.fork()
    except OSError:  # no process to be had: better no parent than no command
        program.withdraw()
        _leave(become(environ))
    if pid == 0:
        _begin(program, inside, become, writing)
    os.close(writing)
    program.started(pid)
    status, usage = Watch(pid, program.tick).wait()
    said = os.read(reading, 4096).decode("utf-8", "surrogateescape")
    if said:
        _say(said)
    if settings.debug and command and not said:
        program.tell_if_alone(command, environ)
    program.end(status, usage, said)
    end_like(status)


def _begin(program: Program, environ: dict[str, str], become: Become, writing: int) -> NoReturn:
    """Go on as the command, in the child; send home why, where that is not possible."""
    code = 126
    try:
        program.begin(environ)
        failed = become(environ)
        code = failed.code
        os.write(writing, failed.text.encode("utf-8", "surrogateescape"))
    finally:
        os._exit(code)


def _leave(failed: Failure) -> NoReturn:
    _say(failed.text)
    os._exit(failed.code)


def _say(text: str) -> None:
    from autotask.launch import complain

    complain(text)


class Program:
    """The run of a command, as seen from outside of it."""

    def __init__(self, settings: Settings, task: str) -> None:
        self.settings = settings
        self.run = Run(task, "process")
        self.host = os.uname().nodename
        self.journal: journal.Journal | None = None
        self.wire: Wire | None = None
        self._process = ""  # the command's, as `process.identity` writes it
        self._mark: str | None = None
        self._position = ("", 0)  # in the journal, before our first line
        self._tail: Tail | None = None
        self._oom_kills = 0

    @guarded
    def prepare(self, environ: dict[str, str]) -> dict[str, str]:
        """Find the run's place in the tree, leave our mark; return the command's environment."""
        run, settings = self.run, self.settings
        run.parent, root, trigger = parent_of(environ)
        run.root = root or run.id
        run.trigger = trigger or find_trigger()
        identity = process.identity()
        self._process = identity.rpartition("/")[0]  # its start is still to come
        if settings.journal and settings.home:
            self.journal = journal.Journal(settings.home)
            self._position = self.journal.position()
            self._mark = leave_mark(
                self.journal, f"launcher-{run.id}", identity, os.getpid(), self.host, run.root
            )
        run.started, run.clock = time.time(), time.monotonic()
        return {**environ, PARENT: f"{run.id}:{run.root}:{run.trigger}"}

    @guarded
    def begin(self, environ: dict[str, str]) -> None:
        """Journal the start, in the child and thus before anything that the command does."""
        pid, settings = os.getpid(), self.settings
        environ[PROCESS_RUN] = f"{self.run.id}:{pid}"
        if self.journal is None:
            return
        fields = journal.process_fields(
            pid,
            f"{self._process}/{process.start_time('self')}",
            self.host,
            None,
            settings.service,
            settings.env,
            settings.version,
            settings.tags,
        )
        self.journal.append(journal.started_line(self.run, fields))

    @guarded
    def started(self, pid: int) -> None:
        """Do what the command need not wait for: send its start, close what others left open."""
        self.run.pid = pid
        fields = process.stat_fields(pid)
        self._process += f"/{fields[19] if fields else '?'}"
        self._oom_kills = oom_kills()
        if self.settings.dogstatsd:
            from autotask.dogstatsd import Wire

            self.wire = Wire(self.settings)
            self.wire.started(self.run.task, self.run.framework, self.run.trigger)
        if self._others_marked():
            from autotask import closing

            closing.sweep(self.settings)

    @guarded
    def tick(self) -> None:
        """Say which runs are still running, and close those of processes that died meanwhile."""
        if self.wire:
            seconds = time.monotonic() - self.run.clock
            self.wire.running(self.run.task, self.run.framework, seconds)
        if self.journal:
            tail = self._caught_up(self.journal)
            tail.close_lost()
            if self.wire:
                for run in tail.others_open():
                    self.wire.running(run.task, run.framework, time.time() - run.started)

    @guarded
    def end(self, status: int, usage: struct_rusage, said: str) -> None:
        """Close the run, and first those that the dead process has left open in it."""
        run, at, duration = self.run, time.time(), time.monotonic() - self.run.clock
        outcome = self._judged(status, said)
        if self.journal and (outcome is not SUCCESS or self._tail or self._others_marked()):
            outcome = self._caught_up(self.journal).close_all(outcome)
        if self.journal:
            cpu, max_rss = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
            self.journal.append(
                journal.finished_line(run.id, run.root, at, outcome, duration, cpu, max_rss)
            )
        if self.wire:
            self.wire.finished(run.task, run.framework, run.trigger, outcome, duration, self.host)
        self.withdraw()

    @guarded
    def tell_if_alone(self, command: list[str], environ: dict[str, str]) -> None:
        """Say so where the agent did not come into the command, which we see by our mark."""
        from autotask.command import tell_if_barred
        from autotask.marks import is_signed

        tell_if_barred(command, environ, seen=bool(self._mark and not is_signed(self._mark)))

    @guarded
    def withdraw(self) -> None:
        """Take our mark back."""
        if self._mark:
            os.unlink(self._mark)

    def _judged(self, status: int, said: str) -> Outcome:
        """Return what a wait status means; *said* is why there is no command."""
        outcome = from_status(status)
        if said:
            kind = "FileNotFoundError" if outcome.exit_code == 127 else "OSError"
            error = {"type": kind, "message": said}
            return failure("exit", exit_code=outcome.exit_code, error=error)
        if outcome.signal == "SIGKILL" and oom_kills() > self._oom_kills:
            return failure("oom", signal="SIGKILL")
        return outcome

    def _others_marked(self) -> bool:
        """Tell whether anybody else has runs open, or left some behind, in this home."""
        if not self.settings.home:
            return False
        own = self._mark and os.path.basename(self._mark)
        try:
            return any(name != own for name in os.listdir(marks_folder(self.settings.home)))
        except OSError:
            return False

    def _caught_up(self, ours: journal.Journal) -> Tail:
        if self._tail is None:
            from autotask import closing

            self._tail = closing.Tail(self.settings, ours, self._position, self.run, self._process)
        self._tail.catch_up()
        return self._tail


class Watch:
    """Waits for a child's end with all signals blocked, so that each is taken in turn."""

    def __init__(self, child: int, tick: Callable[[], None]) -> None:
        self._child = child
        self._tick = tick
        self._stopped = False
        self._ended: tuple[int, struct_rusage] | None = None

    def wait(self) -> tuple[int, struct_rusage]:
        """Return the child's wait status and what it has used."""
        signals, due = _signal.valid_signals(), time.monotonic() + TICK
        while self._ended is None:
            info = _signal.sigtimedwait(signals, max(0.0, due - time.monotonic()))
            if info is None:
                due += TICK
                self._tick()
            elif info.si_signo == _signal.SIGCHLD:
                self._reap()
            elif info.si_signo == _signal.SIGCONT and info.si_code <= 0:
                self._continue()
            elif self._is_for_child(info):
                os.kill(self._child, info.si_signo)
        return self._ended

    def _reap(self) -> None:
        """Take what is new of all children: as process 1 we also inherit those of others."""
        while self._ended is None:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid != self._child:
                continue
            self._stopped = os.WIFSTOPPED(status)
            if self._stopped:
                self._stop_too(os.WSTOPSIG(status))
            elif not os.WIFCONTINUED(status):
                self._ended = status, usage

    def _stop_too(self, number: int) -> None:
        """Stop as the child was, so that the shell we were started from gets its prompt back."""
        if number not in _STOPS and not (number == _signal.SIGSTOP and _in_foreground()):
            return
        if _signal.SIGCONT in _signal.sigpending():
            return  # it goes on already
        if number != _signal.SIGSTOP:
            _signal.signal(number, _signal.SIG_DFL)
        os.kill(os.getpid(), number)  # one with that of the terminal, as long as it is blocked
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (number,))  # returns when we are continued
        _signal.pthread_sigmask(_signal.SIG_BLOCK, (number,))

    def _continue(self) -> None:
        """Wake the child, where the signal was for us alone and not for our whole group."""
        self._reap()
        if self._stopped and self._ended is None:
            os.kill(self._child, _signal.SIGCONT)

    def _is_for_child(self, info: _signal.struct_siginfo) -> bool:
        """Tell what somebody sent to us from what the terminal sent to the child as well.

        `si_code` is positive where the kernel is the sender; see sigaction(2).
        """
        if info.si_code <= 0:  # what the child itself sends is not for it, but to process 1
            return info.si_pid != os.getpid() and (info.si_pid != self._child or _is_first())
        if info.si_signo == _signal.SIGHUP:  # a terminal that is closed tells its leader only
            return os.getsid(0) == os.getpid()
        return info.si_signo not in _BY_TERMINAL  # an alarm set before we were started


def _is_first() -> bool:
    """Tell whether we are process 1 of a container: its programs mean themselves by that."""
    return os.getpid() == 1


def _in_foreground() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def end_like(status: int) -> NoReturn:
    """End as a wait status says: with the same exit status, or killed by the same signal."""
    if os.WIFEXITED(status):
        os._exit(os.WEXITSTATUS(status))
    number = os.WTERMSIG(status)
    if not _is_first():  # which no signal of its own kills
        _leave_no_core()
        if number != _signal.SIGKILL:
            _signal.signal(number, _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (number,))
        os.kill(os.getpid(), number)
    os._exit(128 + number)


def _leave_no_core() -> None:
    """Let the command's core dump be the only one; 1 also stops a handler, see core(5)."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (1 if hard else 0, hard))


def oom_kills() -> int:
    """Return how many processes of our cgroup the kernel has killed, out of memory."""
    for file in _counters():
        _, found, rest = _text(file).rpartition("oom_kill ")
        if found:
            return int(rest.split()[0])
    return 0


def _counters() -> list[str]:
    """Return the files that may count them, best first; see cgroups(7)."""
    files: list[str] = []
    for line in _text("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":  # version 1; in a container its root may stand for the path
            files = [f"{_CGROUPS}/memory{at}/memory.oom_control" for at in (path, "")] + files
        elif not controllers:
            files += [f"{_CGROUPS}{at}/memory.events" for at in (path, "")]
    return [*files, "/proc/vmstat"]


def _text(file: str) -> str:
    try:
        opened = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(opened, 1 << 16).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(opened)
