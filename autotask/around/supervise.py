"""Stay beside a command as its small parent: pass on signals, stop with it, end as it ends.

Seen from outside, the parent is the command: it stops, dies and, as process 1, takes signals as the
command does. Both are in one process group, so that a terminal reaches both. Behind an init that
signals whole groups the command gets a group of its own, or it would get each signal twice.

The command is what autotask-run becomes or, with AUTOTASK_SUPERVISE, the very Python program that
has just begun (`start`).
"""

from __future__ import annotations

import os
import sys
import time
from _thread import allocate_lock, start_new_thread

from autotask import journal, procfs
from autotask.agent import EXEC_LAUNCHERS
from autotask.guard import debug, guarded, swallow
from autotask.marks import marked_name, marks_folder
from autotask.naming import process_name, serves_itself
from autotask.run import SUCCESS, End, Outcome, Run, exited, failure, is_stop
from autotask.settings import (
    OF_COMMAND,
    PARENT,
    PROCESS_RUN,
    RUN_PARTS,
    Settings,
    parent_of,
    parent_value,
)
from autotask.stdlib import standard
from autotask.telling import Teller
from autotask.trigger import find_trigger

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from _thread import LockType
    from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
    from resource import struct_rusage
    from typing import NoReturn

    from autotask.around.command_settings import CommandSettings
    from autotask.around.execute import Failure
    from autotask.around.on_failure import Failures
    from autotask.around.output import Output
    from autotask.around.tail import Tail
    from autotask.around.time_limit import TimeLimit

    GoOn = Callable[[dict[str, str]], Failure | None]
    Diagnose = Callable[[bool], None]
else:
    import _signal  # what is in C of it; the rest costs 5 ms

TICK = 60.0  # seconds between two heartbeats
LOOK = 5.0  # seconds between two looks at how many processes the kernel has killed
_GRACE = 5.0  # seconds to record a run's end after a signal that asks us to end
_OOM_KILL = "oom_kill "
_OLD_NAMES = ("SIGCLD", "SIGPOLL", "SIGIOT")  # of SIGCHLD, SIGIO, SIGABRT
_NOT_BEGUN = b"\0"  # from the child, first of all: the disk did not take its started line
_TO_GO = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM)
_TO_STOP = (_signal.SIGINT, _signal.SIGTERM)
_STOPS = (_signal.SIGTSTP, _signal.SIGTTIN, _signal.SIGTTOU)  # by job control
# What the kernel sends because of a child, or because of a terminal to its whole foreground group,
# which includes the command.
_BY_KERNEL = (
    *_STOPS,
    *(_signal.SIGCHLD, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGWINCH, _signal.SIGCONT),
)


# Variables in which a service manager names the process that it starts; see sd_listen_fds(3). The
# last one is optional, and its number is not the process id.
_ADDRESSES = ("LISTEN_PID", "WATCHDOG_PID", "SYSTEMD_EXEC_PID")
_ADDRESS_ID = "LISTEN_PIDFDID"


def _innermost_name(command: list[str]) -> str:
    """Name what a command leads to: see `naming.name_of`."""
    from autotask import command_name

    return command_name.innermost_name(command)


def start() -> None:
    """Leave a parent behind, if this Python program asks for one and can have it.

    Called by sitecustomize. The program goes on as the child; its process ids are all that changes
    for it.
    """
    if sys.argv[0].rpartition("/")[2] in EXEC_LAUNCHERS:
        return
    settings = Settings(os.environ)
    if not settings.enabled or not settings.supervise:
        return
    task = process_name(settings, _innermost_name)
    obstacle = _obstacle(settings, task)
    if task is None or obstacle:
        if settings.debug:
            debug(f"process {os.getpid()} is not supervised: {obstacle}")
        return

    if settings.home and os.environ.get("AUTOTASK_HOME"):
        os.environ["AUTOTASK_HOME"] = settings.home  # absolute, wherever the program goes
    addresses = {n: os.environ[n] for n in (*_ADDRESSES, _ADDRESS_ID) if n in os.environ}

    def go_on(added: dict[str, str]) -> None:
        for name in ("AUTOTASK_NAME", *(addresses.keys() - added.keys())):
            os.environ.pop(name, None)
        os.environ.update(added)

    known = set(sys.modules)
    asked = of_command(task, os.environ)
    supervise(settings, task, serves_itself(_innermost_name), addresses, go_on, asked=asked)
    _forget(sys.modules.keys() - known)


def _forget(modules: Iterable[str]) -> None:
    """Take what we have imported out of sys.modules: the program may have such names itself."""
    for name in modules:
        if name.partition(".")[0] != "autotask":
            del sys.modules[name]


def _obstacle(settings: Settings, task: str | None) -> str | None:
    """Return why this process cannot have a parent; it needs one thread and a plain interpreter."""
    if task is None:
        return "it has no run of its own (-c, a prompt, a known tool, or AUTOTASK_PROCESS=0)"
    if not is_wanted(settings, task):
        known = hasattr(_signal, "sigtimedwait")
        return f"{task!r} is excluded or ignored" if known else "this system has no sigtimedwait()"
    fields = procfs.stat_fields("self")
    if fields is None:
        return "/proc cannot be read"
    if fields[17] != "1":
        return f"it has {fields[17]} threads already"
    name = os.path.basename(os.path.realpath("/proc/self/exe"))
    if not name.startswith(("python", "pypy")):
        return f"its Python is part of another program, {name!r}"
    return None


def supervise(
    settings: Settings,
    task: str,
    is_server: bool,
    environ: dict[str, str],
    go_on: GoOn,
    diagnose: Diagnose | None = None,
    asked: CommandSettings | None = None,
) -> None:
    """Go on in a child, and stay as its parent, which ends as the child ends.

    *go_on* makes the child a command, and returns only why it cannot; or it returns None, and this
    very Python program goes on in the child, where this function returns, too. *diagnose*, given
    for a command alone, logs why the agent has not loaded in it, if it has not. *asked* is what
    `of_command` returned.
    """
    reading, writing = map(journal.above_stdio, os.pipe())
    run = CommandRun(settings, task, is_server, diagnose)
    run.asked = asked
    inside = run.prepare(environ) or environ
    group_sender = _group_sender() or 0
    children = _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)  # ignored, it would hide the end
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    run.lead_output()
    try:
        pid = os.fork()
    except OSError as problem:  # no more processes: better no parent than no command
        if settings.debug:
            debug(f"process {os.getpid()} is not supervised: {problem}")
        run.withdraw()
        run.leave_output()
        inside, pid = environ, -1
    if pid > 0:
        os.close(writing)
        wait = Wait(pid, run.tick, settings.init, group_sender)
        wait.limit = run.limited(pid)
        _stay(run, wait, reading)
    try:
        if pid == 0:
            run.unlock()
            if group_sender:
                _leave_group()
            run.readdress(inside)
            run.enter_output()
            if run.begin(inside) is not True:
                os.write(writing, _NOT_BEGUN)
        os.close(reading)
    finally:  # whatever failed, the program goes on with the signals it had
        _signal.signal(_signal.SIGCHLD, children)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    failed = go_on(inside)
    if failed is not None:
        _leave(failed, writing if pid == 0 else None)
    os.close(writing)


def _stay(run: CommandRun, wait: Wait, reading: int) -> NoReturn:
    """Be the parent until the child's end; never return, or the command would run twice."""
    try:
        _let_go(run.files(reading), run.settings)
        run.started(wait.child)
        # The pipe ends when the child becomes the command. Until then the child has all signals
        # blocked, which does not show what the command takes: signals to us stay pending.
        parts = iter(lambda: os.read(reading, 4096), b"")
        message = b"".join(parts).decode("utf-8", "surrogateescape")
        status, usage = wait.until_end()

        def tell() -> None:
            why = message.removeprefix(_NOT_BEGUN.decode())
            if why != message:
                run.begin_late()
            if not why and run.settings.debug:
                run.diagnose()
            run.run.was_stopped = wait.is_told_to_stop and os.WIFEXITED(status)
            run.end(status, usage, why)
            run.settle_output(os.WIFSIGNALED(status))

        _hear_until(run.aside.do(tell), wait.is_to_go)
        end_like(status)
    except BaseException as problem:
        swallow("supervise", problem)
    finally:
        os._exit(1)


def _hear_until(done: LockType, is_to_go: bool) -> None:
    """Wait for our last work; not for long after a signal has asked the command or us to end."""
    end = float("inf")
    while not done.acquire(timeout=0.05):
        if is_to_go or _signal.sigtimedwait(_TO_GO, 0) is not None:
            is_to_go, end = False, min(end, time.monotonic() + _GRACE)
        if time.monotonic() > end:
            return


@guarded
def _let_go(files: tuple[int, ...], settings: Settings) -> None:
    """Keep only files of our own; leave the folder, so that it can be unmounted.

    A debug log needs standard error, or the folder in which its path begins. Records of runs need
    standard error if AUTOTASK_JOURNAL says so.
    """
    from autotask.around import descriptors

    needs_stderr = settings.stderr or settings.debug == "1"
    descriptors.let_go((*files, 2) if needs_stderr else files)
    if settings.debug:
        return
    kind, address, port = settings.destination
    if kind == "unix":
        settings.destination = kind, os.path.abspath(address), port
    os.chdir("/")


def _leave(failed: Failure, writing: int | None) -> NoReturn:
    """End without a command, and say why; also to the parent, if there is one."""
    from autotask.around.execute import complain

    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)  # the exit status is to be right even then
    try:
        if writing is not None:
            os.write(writing, failed.recorded.encode("utf-8", "surrogateescape"))
        complain(failed.text)
    finally:
        os._exit(failed.code)


class Aside:
    """Does work in threads, one piece after the other, while the main thread waits for signals."""

    def __init__(self) -> None:
        self._last = allocate_lock()  # free once the last piece of work is done

    def is_busy(self) -> bool:
        """Tell whether work is being done."""
        return self._last.locked()

    def do(self, work: Callable[[], object]) -> LockType:
        """Do this after all earlier work; return a lock that is free once it is done."""
        before, done = self._last, allocate_lock()
        done.acquire()
        self._last = done

        def run() -> None:
            try:
                with before:
                    work()
            finally:
                done.release()

        try:
            start_new_thread(run, ())
        except RuntimeError:  # no more threads are allowed: do it here
            run()
        return done


class CommandRun:
    """The run of a command, as seen from outside of it."""

    def __init__(
        self, settings: Settings, task: str, is_server: bool, diagnose: Diagnose | None
    ) -> None:
        self.settings = settings
        self.run = Run(task, "process")
        self.run.server = is_server
        self.asked: CommandSettings | None = None  # beside the record
        self.aside = Aside()
        self.output: Output | None = None
        self.lock = -1  # on our mark; the kernel releases it when this process dies
        self._teller = Teller(os.uname().nodename)
        self._teller.pid = os.getpid()  # of this process, the launcher, as is the identity
        self._diagnose = diagnose
        self._is_command = diagnose is not None  # else it is this Python program
        self._process = ""  # the command's identity
        # Not in the journal, which would rename it on a full disk: others may be reading it.
        self._mark: str | None = None
        self._is_late = False  # this process has journalled the start
        self._has_parts = False  # run-parts in it hides the statuses of its scripts
        self._position = ("", 0)  # in the journal, before our first line
        self._tail: Tail | None = None
        self._limit: TimeLimit | None = None
        self._failures: Failures | None = None
        self._oom_counter: str | None = None  # a file
        self._oom_kills = 0, 0  # as counted last but one, and last
        self._due = 0.0  # time.monotonic() of the next heartbeat

    @guarded
    def prepare(self, environ: dict[str, str]) -> dict[str, str]:
        """Find the run's place in the tree, leave our mark; return the command's environment."""
        run, settings, teller = self.run, self.settings, self._teller
        self._has_parts = RUN_PARTS in environ
        run.parent, root, trigger = parent_of(environ)
        run.root = root or run.id
        run.trigger = trigger or find_trigger()
        teller.identity = procfs.identity()
        self._process = teller.identity.rpartition("/")[0]  # the command has no start time yet
        if settings.journal and settings.home:
            teller.journal = journal.Journal(settings.home)
            self._position = teller.journal.position()
            settings.home = teller.journal.home
            if self.asked is not None and self.asked.no_overlap:
                from autotask.around import overlap

                self._describe(teller.pid, teller.identity)
                overlap.begin(run, teller, settings, self._leave_mark)
            else:
                self._leave_mark()
            teller.journal.close()
        run.started, run.clock = time.time(), time.monotonic()
        inside = {**environ, PARENT: parent_value(run.id, run.root, run.trigger)}
        if self.asked:
            home = None if settings.stderr or not teller.journal else teller.journal.home
            self.asked.hand_down(inside, home, teller.pid, teller.identity)
        return inside

    @guarded
    def limited(self, child: int) -> TimeLimit | None:
        """Begin the command's time limit, if it has one."""
        if self.asked is not None and self.asked.timeout is not None:
            from autotask.around import time_limit

            self._limit = time_limit.TimeLimit(self.asked.timeout, child, self.run.id)
        return self._limit

    @guarded
    def lead_output(self) -> None:
        """Have the end of the command's output at hand, or all of it, if that is asked for."""
        asked = self.asked
        size = asked.keep_output if asked and self.settings.messages else 0
        if asked and (size or asked.quiet):
            from autotask.around import output

            self.output = output.lead(size, asked.quiet, asked.only_errors)

    def enter_output(self) -> None:
        """In the child: take the streams that lead to us."""
        if self.output:
            self.output.enter()

    def leave_output(self) -> None:
        """Keep the streams of this process after all."""
        if self.output:
            self.output.leave()

    def settle_output(self, was_killed: bool) -> None:
        """Wait until all that the command has written is passed on."""
        if self.output:
            is_over = self._limit is not None and self._limit.is_over
            self.output.settle(was_killed or is_over)

    def files(self, *more: int) -> tuple[int, ...]:
        """Return the descriptors that this process needs."""
        return (*more, self.lock, *(self.output.files if self.output else ()))

    def readdress(self, environ: dict[str, str]) -> None:
        """In the child: name it in the variables of a service manager that name the launcher."""
        launcher = str(self._teller.pid)
        for name in _ADDRESSES:
            if environ.get(name) == launcher:
                environ[name] = str(os.getpid())
                environ.pop(_ADDRESS_ID, None)

    @guarded
    def begin(self, environ: dict[str, str]) -> bool:
        """Journal the start, in the child and thus before anything that the command does.

        False if the disk does not take it; the parent then has the line to write.
        """
        pid, launcher, notes = os.getpid(), self._teller.pid, self._teller.journal
        if self.settings.debug and not self._is_command:
            debug(f"process {pid} is supervised by process {launcher}")
        environ[PROCESS_RUN] = f"{self.run.id}:{pid}"
        if notes is None:
            return True
        self._describe(pid, f"{self._process}/{procfs.start_time('self')}")
        if os.getppid() != launcher:  # it was killed meanwhile: its mark may have been swept
            self._leave_mark()
            self.unlock()
        written = self._teller.start(self.run, keep=False)
        notes.close()  # the program is to find no file open but its own
        return written is True

    @guarded
    def begin_late(self) -> None:
        """Journal the start that the child could not."""
        if not self._is_late:
            self._is_late = True
            self._journal_start()

    def _journal_start(self) -> None:
        """Journal the start for the child, and send nothing: `started` has."""
        self._describe(self.run.pid, self._process)
        if self._teller.journal:
            self._teller.journal.append(journal.started_line(self.run, self._teller.fields))

    def _describe(self, pid: int, identity: str) -> None:
        python = None if self._is_command else "{}.{}.{}".format(*sys.version_info[:3])
        self._teller.fields = journal.process_fields(
            pid, identity, self._teller.host, python, self.settings
        )

    @guarded
    def started(self, pid: int) -> None:
        """Do what the command need not wait for: send its start, close what others left open."""
        self.run.pid = pid
        fields = procfs.stat_fields(pid)
        self._process += f"/{fields[19] if fields else '?'}"
        self._oom_counter = oom_counter()
        self._oom_kills = (oom_kills(self._oom_counter),) * 2
        self._due = time.monotonic() + TICK
        self._teller.open_wire(self.settings)
        if self._teller.wire:
            self._teller.wire.started(self.run)
        if self._others_marked():
            self.aside.do(self._sweep)

    @guarded
    def _sweep(self) -> None:
        from autotask.around import sweeping

        sweeping.sweep_some(self.settings, self.run.id)

    @guarded
    def tick(self) -> None:
        """Look at the kernel's count of killed processes; each minute also send a heartbeat."""
        # A process that was killed before the last look but one is not why the command ends.
        self._oom_kills = self._oom_kills[1], oom_kills(self._oom_counter)
        if time.monotonic() < self._due:
            return
        self._due += TICK
        if not self.aside.is_busy():
            self.aside.do(self._tell_of_running)

    @guarded
    def _tell_of_running(self) -> None:
        """Send which runs are still running, and close those of processes that died meanwhile."""
        self._touch_mark()
        wire = self._teller.wire
        if wire:
            wire.running(self.run, time.monotonic() - self.run.clock)
        if self._teller.journal:
            tail = self._caught_up(self._teller.journal)
            tail.close_long_lost()
            if wire:
                for run in tail.others_open():
                    if not run.bookkeeping:
                        wire.running(run, time.time() - run.started)
        self._tell_failures()

    @guarded
    def _tell_failures(self, end: End | None = None) -> None:
        """Start what tells of the failures since the last look, and of this run's *end*."""
        if self.asked is None or not self.asked.tells():
            return
        notes = None if self.settings.stderr else self._teller.journal
        if self.asked.is_told(notes.home if notes else None):
            return
        from autotask.around import on_failure

        if self._failures is None:
            self._failures = on_failure.Failures(self.asked, self.run, notes, self._position)
        if end:
            self._describe(self.run.pid, self._process)
            self._failures.add_own(self._teller.fields, end)
        self._failures.tell()

    def _touch_mark(self) -> None:
        """Show that we live. Only the change time counts: `sign_mark` may have set the other."""
        try:
            if self._mark:
                os.utime(self._mark, ns=(time.time_ns(), os.stat(self._mark).st_mtime_ns))
        except OSError:
            return

    @guarded
    def end(self, status: int, usage: struct_rusage, why: str) -> None:
        """Close the run, and first those that the dead process has left open in it."""
        run, teller, notes = self.run, self._teller, self._teller.journal
        at, duration = time.time(), time.monotonic() - run.clock
        outcome = self._judged(status, why)
        if notes and (outcome is not SUCCESS or self._tail or self._others_marked()):
            tail = self._caught_up(notes)
            if not tail.has_begun():
                self.begin_late()  # killed before it could
            outcome = tail.close_all(outcome)
        has_failed = status != 0 or outcome.status == "failure"  # for who reads its output
        # `autotask check` says by its status what it has found: that is no failure of its own.
        if is_stop(run, outcome) or (run.task == "autotask check" and outcome.exit_code == 1):
            outcome = SUCCESS
        end = End(outcome, at, duration, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
        if self.output:
            is_kept = outcome.status == "failure"
            text = self.output.end(run.id, has_failed, notes if is_kept else None)
            end.output = text if is_kept else None
        if self.settings.stderr:
            from autotask.stderr_journal import StderrJournal

            self.settle_output(os.WIFSIGNALED(status))  # the record comes after it
            teller.journal = on_stderr = StderrJournal()
            on_stderr.output = end.output
            self._journal_start()  # its record has both lines of a run, and the child wrote none
        teller.end(run, end)
        self._tell_failures(end)
        if teller.wire:
            teller.wire.close()
        self.withdraw()
        if notes and teller.wire and teller.wire.was_taken:
            self._deliver(notes)

    def _deliver(self, notes: journal.Journal) -> None:
        """Deliver what earlier runs owe to an Agent that has taken the end of this one."""
        from autotask.around import undelivered

        few = undelivered.few(notes.folder)
        if few is not None:
            from autotask.around import redeliver

            redeliver.ship_few(few, self.settings, notes)

    @guarded
    def diagnose(self) -> None:
        """Log it if the agent has not loaded in the command: it would have signed our mark."""
        is_silent = False
        try:
            # See `marks.sign_mark`: it sets the time to 0.
            is_silent = self._mark is not None and os.stat(self._mark).st_mtime != 0
        except OSError:
            pass
        if self._diagnose:
            self._diagnose(is_silent)

    @guarded
    def withdraw(self) -> None:
        """Take our mark back."""
        if self._teller.journal:
            self._teller.journal.mark = self._mark
        self._teller.take_mark_back()
        self.unlock()

    def unlock(self) -> None:
        """Give up our lock, or in the child our copy of it."""
        if self.lock != -1:
            os.close(self.lock)
            self.lock = -1

    def _judged(self, status: int, why: str) -> Outcome:
        """Return the outcome for a wait status; *why* is set if the command did not start."""
        outcome = from_status(status)
        if self._limit is not None and self._limit.is_over:
            return self._limit.outcome()
        if why:
            from autotask import failures

            kind = "FileNotFoundError" if outcome.exit_code == 127 else "OSError"
            error = failures.error(kind, why)
            return failure("exit", exit_code=outcome.exit_code, error=error)
        if outcome.signal == "SIGKILL" and oom_kills(self._oom_counter) > self._oom_kills[0]:
            return failure("oom", signal="SIGKILL")
        return outcome

    def _leave_mark(self) -> None:
        name = f"launcher-{self.run.id}-{self._teller.pid}"
        self._teller.leave_mark(name, self.run.root, self._lock_mark)
        if self._teller.journal:
            self._mark, self._teller.journal.mark = self._teller.journal.mark, None

    def _lock_mark(self, file: int) -> str:
        """Lock our mark as long as this process lives, and say in it whether that was possible.

        It also names the task, for `overlap`; a mark has 4 KiB at most.
        """
        task = f',"task":{journal.quoted(marked_name(self.run.task))}'
        try:
            fcntl = standard("fcntl")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (ImportError, OSError):
            return f',"locked":false{task}'
        self.lock = journal.above_stdio(os.dup(file))
        return f',"locked":true{task}'

    def _others_marked(self) -> bool:
        """Tell whether any other process has runs open, or left some behind, in this home."""
        if not self.settings.home:
            return False
        own = self._mark and os.path.basename(self._mark)
        try:
            with os.scandir(marks_folder(self.settings.home)) as entries:  # looks at two at most
                return any(entry.name != own for entry in entries)
        except OSError:
            return False

    def _caught_up(self, notes: journal.Journal) -> Tail:
        if self._tail is None:
            from autotask.around import tail

            self._tail = tail.Tail(self.settings, notes, self._position, self.run, self._process)
            self._tail.own.hides_status = self._has_parts
        self._tail.catch_up()
        return self._tail


class Wait:
    """Waits for a child's end with all signals blocked, so that each is taken in turn."""

    def __init__(self, child: int, tick: Callable[[], None], is_init: bool, group: int) -> None:
        self.child = child
        self._tick = tick
        self._is_first = _is_first()
        self._is_deaf = self._is_first and not is_init
        self._group_sender = group  # its process id; 0: the child is in our group
        self.limit: TimeLimit | None = None
        self.is_to_go = False  # a signal that ends most programs has come
        self.is_told_to_stop = False  # likewise one that ends a server: some reload at SIGHUP
        self._stopped = False
        self._ended: tuple[int, struct_rusage] | None = None

    def until_end(self) -> tuple[int, struct_rusage]:
        """Return the child's wait status and what it has used."""
        signals, due = _signal.valid_signals(), time.monotonic() + LOOK
        limit = self.limit
        while self._ended is None or (limit is not None and limit.is_ending()):
            wake = due if limit is None else min(due, limit.due)
            info = _signal.sigtimedwait(signals, max(0.0, wake - time.monotonic()))
            if limit is not None:
                self._keep_to(limit)
            if info is None:
                if wake == due:
                    due += LOOK
                    self._tick()
                continue
            if info.si_signo == _signal.SIGCHLD:
                self._reap()
            self.is_to_go = self.is_to_go or info.si_signo in _TO_GO
            self.is_told_to_stop = self.is_told_to_stop or info.si_signo in _TO_STOP
            if self._ended is None and self._is_for_child(info):
                self._send(info.si_signo, info.si_pid)
        status, usage = self._ended
        return status if limit is None or not limit.is_over else limit.STATUS << 8, usage

    def _keep_to(self, limit: TimeLimit) -> None:
        """Do what a time limit asks for, but not to a command that ends just now."""
        if time.monotonic() >= limit.due:
            self._reap()
            if self._ended is None or limit.is_over:
                limit.step(self._ended is not None)

    def _send(self, number: int, sender: int) -> None:
        """Pass a signal on, to the child's whole group if the sender meant ours."""
        kill = os.killpg if sender and sender == self._group_sender else os.kill
        try:
            kill(self.child, number)
        except OSError:  # it has become another user's process
            return

    def _reap(self) -> None:
        """Take the news of all children: process 1 also inherits those of other processes."""
        while self._ended is None:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid != self.child:
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
            return  # it is about to be continued
        if number != _signal.SIGSTOP:
            _signal.signal(number, _signal.SIG_DFL)
        os.kill(os.getpid(), number)  # blocked until below: merges with the terminal's own
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (number,))  # returns when we are continued
        _signal.pthread_sigmask(_signal.SIG_BLOCK, (number,))

    def _is_for_child(self, info: _signal.struct_siginfo) -> bool:
        """Tell a signal that was sent to us alone from one that a terminal also sent to the child.

        `si_code` is positive where the kernel is the sender; see sigaction(2).
        """
        if info.si_code <= 0:
            if info.si_pid == os.getpid():
                return False
            if info.si_pid == self.child and not self._is_first:
                return False  # the child signals its parent, unless that is process 1
            if info.si_signo == _signal.SIGCONT:
                return self._is_to_continue()
        elif info.si_signo == _signal.SIGHUP:  # a closed terminal signals its session leader alone
            if os.getsid(0) != os.getpid():
                return False
        elif info.si_signo in _BY_KERNEL:  # any other is an alarm, set before we were started
            return False
        return not self._is_deaf or _takes(self.child, info.si_signo) is not False

    def _is_to_continue(self) -> bool:
        """Tell whether a SIGCONT is for the child: a shell's is for our whole group."""
        self._reap()
        if self._ended is not None:
            return False
        return self._stopped or self._is_first or self._group_sender != 0


def _is_first() -> bool:
    """Tell whether we are process 1 of a container: a program there means itself by that."""
    return os.getpid() == 1


@guarded
def _takes(pid: int, number: int) -> bool:
    """Tell whether a process would get a signal if it were process 1.

    The kernel discards what process 1 neither catches nor blocks; see pid_namespaces(7). If /proc
    does not tell, it gets everything: a command that cannot be stopped would be worse.
    """
    if not _can_look_into(pid):
        return True
    deaf, blocks, ran = 0, 0, ""
    for _ in range(1000):
        status = dict(line.split(":\t", 1) for line in _text(f"/proc/{pid}/status").splitlines())
        if "SigCgt" not in status:
            break
        caught, blocked = (int(status[n], 16) >> (number - 1) & 1 for n in ("SigCgt", "SigBlk"))
        waits_in, before = _text(f"/proc/{pid}/wchan"), ran
        ran = _text(f"/proc/{pid}/schedstat").partition(" ")[0]
        # In sigwait(3), and until it has run after that, SigBlk is without what it waits for.
        if caught or "sigtimedwait" in waits_in or blocks == 20:
            return True
        is_sure = waits_in not in ("", "0") or (before and ran != before)
        deaf = deaf + 1 if is_sure and not blocked else 0
        blocks = blocks + 1 if is_sure and blocked else 0  # not only for the time of a fork
        if deaf == 2:
            return False
        time.sleep(0.001)
    return True


def _can_look_into(pid: int) -> bool:
    """Tell whether /proc is of our namespace, and shows us what a process waits in."""
    try:
        os.readlink(f"/proc/{pid}/exe")  # needs the same right
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


@guarded
def _group_sender() -> int:
    """Return the id of our parent if it signals us as a group without a terminal; else 0.

    dumb-init does, and tini with `-g`. For no other parent: a program that kills the group of a
    process it has started must reach the command, and SIGKILL cannot be passed on.
    """
    if os.getpgrp() != os.getpid():
        return 0
    fields = procfs.stat_fields("self")
    if fields is None or fields[4] != "0":  # tty_nr, see proc(5)
        return 0
    init = os.getppid()
    name = procfs.name_of(init) or ""
    if name == "dumb-init" or (name.startswith("tini") and _has_option_g(init)):
        return init
    return 0


def _has_option_g(tini: int) -> bool:
    if "TINI_KILL_PROCESS_GROUP" in os.environ:
        return True
    words = iter(_text(f"/proc/{tini}/cmdline").split("\0")[1:])
    for word in words:
        if not word.startswith("-") or word == "--":
            return False
        if "g" in word:
            return True
        if word in ("-p", "-e"):
            next(words, None)
    return False


@guarded
def _leave_group() -> None:
    """In the child: lead a new group, and drop signals to the old one: our parent has them too."""
    os.setpgid(0, 0)
    while _signal.sigpending():
        _signal.sigtimedwait(_signal.sigpending(), 0)


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


def from_status(status: int) -> Outcome:
    """Return what a wait status (os.waitpid) means: an exit code or the signal that has killed."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal_name(number)
        return failure("interrupted" if name == "SIGINT" else "signal", signal=name)
    return exited(os.WEXITSTATUS(status))


def signal_name(number: int) -> str:
    """Name a signal as `kill -l` does: 15 is SIGTERM."""
    first_real_time: int = getattr(_signal, "SIGRTMIN", 65)
    if number >= first_real_time:
        return "SIGRTMIN" + (f"+{number - first_real_time}" if number > first_real_time else "")
    for name, value in vars(_signal).items():
        if value == number and name[:3] == "SIG" and name[3] != "_" and name not in _OLD_NAMES:
            return str(name)
    return f"SIG{number}"


def end_like(status: int) -> NoReturn:
    """End as a wait status says: with the same exit status, or killed by the same signal."""
    if os.WIFEXITED(status):
        os._exit(os.WEXITSTATUS(status))
    number = os.WTERMSIG(status)
    if not _is_first():  # process 1 cannot kill itself by a signal
        _leave_no_core()
        if number != _signal.SIGKILL:
            _signal.signal(number, _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (number,))
        os.kill(os.getpid(), number)
    os._exit(128 + number)


def _leave_no_core() -> None:
    """Leave the core dump to the command; a limit of 1 also stops a handler, see core(5)."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (1 if hard else 0, hard))


def oom_counter(proc: str = "/proc") -> str | None:
    """Return the file in which the kernel counts the out-of-memory kills of our own cgroup.

    None if it cannot be seen. The whole machine's count says nothing about us.
    """
    return next((file for file in _counters(proc) if _OOM_KILL in _text(file)), None)


def oom_kills(counter: str | None) -> int:
    """Return how many processes the kernel has killed so far, by a file that counts them."""
    count = _text(counter).rpartition(_OOM_KILL)[2].split() if counter else []
    return int(count[0]) if count else 0


def _counters(proc: str) -> Iterator[str]:
    """Yield the files that may count them, of both versions; see cgroups(7), proc(5).

    A mount shows the hierarchy from a root on that may be our own cgroup, as in a container; one
    that begins above what we see of it (`/..`) tells of others.
    """
    paths: dict[str, str] = {}
    for line in _text(f"{proc}/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path.rstrip("/")))
    for line in _text(f"{proc}/self/mountinfo").splitlines():
        mount, _, source = line.partition(" - ")
        kind, *rest = source.split(" ")
        if kind == "cgroup2":  # the second counts the groups below ours as well
            controller, files = "", ["memory.events.local", "memory.events"]
        elif kind == "cgroup" and "memory" in rest[-1].split(","):
            controller, files = "memory", ["memory.oom_control"]
        else:
            continue
        root, place = mount.split(" ")[3:5]
        path, root = f"{paths.get(controller)}/", root.rstrip("/") + "/"
        if path.startswith(root):
            yield from (f"{place}/{path[len(root) :]}{file}" for file in files)


def _text(file: str) -> str:
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            return opened.read()
    except OSError:
        return ""


def of_command(
    task: str,
    environ: MutableMapping[str, str],
    options: Mapping[str, str] | None = None,
    is_line: bool = False,
) -> CommandSettings | None:
    """Return what is asked for beside the record, see `command_settings`; mostly that is None.

    Its variables are taken out of *environ*: they are of this run alone. *is_line*: the command is
    a line for a shell.
    """
    names = (*OF_COMMAND, "AUTOTASK_ON_FAILURE")
    given = {name: environ.pop(name) for name in names if name in environ}
    return _asked(task, environ, options or {}, given, is_line)


@guarded
def _asked(
    task: str,
    environ: Mapping[str, str],
    options: Mapping[str, str],
    given: Mapping[str, str],
    is_line: bool,
) -> CommandSettings | None:
    path = settings_file()
    if not (options or is_line or given or path):
        return None
    from autotask.around import command_settings

    settings = command_settings.of(task, options, given, path, is_line)
    if settings.tells():
        settings.remember(environ)
    return settings


def settings_file() -> str | None:
    """Return the path of the nearest `autotask.toml` in this folder or above it."""
    try:
        folder = os.getcwd()
    except OSError:  # it has been deleted
        return None
    while True:
        path = os.path.join(folder, "autotask.toml")
        if os.path.isfile(path):
            return path
        if folder == "/":
            return None
        folder = os.path.dirname(folder)


# Last: if this file is cut short, the launcher cannot import it, and runs the command without us.
def is_wanted(settings: Settings, task: str) -> bool:
    """Tell whether the command's own run is to be recorded, and can be (not on macOS)."""
    if settings.ignores(task) or not settings.uses("process"):
        return False
    return hasattr(_signal, "sigtimedwait")
