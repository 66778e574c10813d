"""Open and close runs: which task, under which run, each ended exactly once.

The one thing of ours that a framework's module knows. Nothing in here raises into the
application, and a run that belongs to another process (a fork) is left to that process.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import get_ident

from autotask import journal, loading, patches
from autotask.dogstatsd import Wire
from autotask.guard import OURS, debug, guarded, raised_here, swallow
from autotask.marks import leave_mark, take_back
from autotask.procfs import identity, largest_memory
from autotask.run import SUCCESS, Outcome, Run, failure, passed_on, raised
from autotask.settings import PARENT, Settings, parent_of, parent_value
from autotask.stdlib import standard
from autotask.trigger import find_trigger

TYPE_CHECKING = False
if TYPE_CHECKING:
    import atexit
    from collections.abc import Callable
    from contextvars import ContextVar as ContextVar
    from types import FrameType, TracebackType
    from typing import Any

else:
    atexit = standard("atexit")
    ContextVar = standard("_contextvars").ContextVar

_current: ContextVar[Run | None] = ContextVar("autotask_run", default=None)
_MANY = 1000 if sys.platform == "linux" else sys.maxsize
_names = 0  # that the environment has had
_inheriting: Any = None  # our module, once there have been many
# Whoever loads it may be cut off: in a child that another thread has forked meanwhile, or a daemon
# thread at the interpreter's end. Nobody waits for that; the environment takes the names as before.
_is_loading = False
_is_over = False  # the interpreter ends
_memory: tuple[float, int | None] = 0.0, None  # the largest so far, and when that was read
_open: dict[str, Run] = {}  # this process's runs that have not ended
# How many calls of `_tell_start` and `_tell_end` each thread is inside of: more than one if a
# signal handler that runs a task interrupts them. A system call lets other threads run and may
# take longer than the next signal; such handlers would pile up until the stack is full. So only
# the first two levels make system calls; deeper runs leave their lines to the outer calls.
_telling: dict[int, int] = {}
_MOST_TELLING = 2
_beginning: list[int] = []  # likewise, the threads that make the `_Process`


class _Process:
    """What is the same for all runs of this process; made at its first run, anew after a fork."""

    def __init__(self, settings: Settings) -> None:
        self.pid = os.getpid()
        self.settings = settings
        self.journal = (
            journal.Journal(settings.home) if settings.journal and settings.home else None
        )
        if settings.stderr:
            from autotask.stderr_journal import StderrJournal

            self.journal = StderrJournal()
        self.wire = Wire(settings) if settings.dogstatsd else None
        self.host = os.uname().nodename if hasattr(os, "uname") else ""
        self.identity = identity()
        self.fields = journal.process_fields(
            self.pid,
            self.identity,
            self.host,
            "{}.{}.{}".format(*sys.version_info[:3]),
            settings.service,
            settings.env,
            settings.version,
            settings.tags,
            settings.entity_id,
        )
        self.handed_on: Run | None = None  # the run that the environment names
        self.parent, self.root, trigger = parent_of(os.environ)
        self.trigger = trigger or find_trigger()

    def leave_mark(self, run: str) -> None:
        """Leave a mark for whoever finds this process dead: before the line of its first run."""
        if self.journal and self.journal.home:
            name, root = f"{self.pid}-{run}", self.root or run
            self.journal.mark = leave_mark(
                *(self.journal, name, self.identity, self.pid, self.host, root)
            )

    def take_mark_back(self) -> None:
        """Remove the mark, unless ends are still owed to the journal: whoever comes writes them."""
        if self.journal:
            mark, self.journal.mark = self.journal.mark, None
            take_back(mark, self.journal, self.wire)

    def tell_unsent(self, run: Run, of: str) -> None:
        """Journal that the Agent has not taken what was sent of a run: `started` or `finished`."""
        if self.journal:
            self.journal.tell_unsent(run.id, run.root, of)


_process: _Process | None = None
_made: dict[int, _Process] = {}  # by pid: this process's alone
_settings: Settings | None = None
_program: Run | None = None  # the process run, where it is ours to end


def settings() -> Settings:
    """Return the settings, read once in a process."""
    global _settings
    if _settings is None:
        _settings = Settings(os.environ)
    return _settings


def current() -> Run | None:
    """Return the innermost open run of this thread or asyncio task, else of who started it."""
    run = _current.get()
    if run is None:
        run = patches.starter() or _program
    while run is not None and run.ended is not None:
        run = run.outer
    return run


def step_in(run: Run | None) -> Run | None:
    """Make *run*, which was stepped out of, the current one again; return the one before it."""
    before = _current.get()
    if run is not None and run.ended is None:
        _current.set(run)
    return before


def step_out(before: Run | None) -> None:
    """Make the run that was current before `step_in` so again: a generator yields."""
    _current.set(before)


def begin(task: str, framework: str, key: object = None, began: float | None = None) -> Run | None:
    """Open a run: journal it, count it, and let what it starts know its parent.

    Returns None where no run is to be recorded (switched off, ignored). *key* is what the
    framework calls this execution; see `current().key`. *began* is time.monotonic() at its start,
    if that was earlier. For callers that are guarded themselves.
    """
    wanted = settings()
    if not wanted.uses(framework) or wanted.ignores(task):
        if wanted.debug:
            debug(f"no run: {framework} task {task!r} is excluded or ignored")
        return None
    run = Run(task, framework)
    here = _here(run.id)
    if here is None:
        return None
    run.key = key
    run.pid = here.pid
    _place(run, here)
    _open[run.id] = run
    _current.set(run)
    try:
        _tell_start(run, here, began)
    except BaseException as problem:
        if run.clock and isinstance(problem, raised_here(Exception)):
            swallow("begin", problem)  # the wire's trouble: the line stands, the task goes on
            return run
        if run.clock:  # of a signal handler of the program's: the task will never begin
            _end(run, failure("exception"))
        else:
            _open.pop(run.id, None)
            _step_back(run, here)
        raise
    return run


start = guarded(begin)


def _tell_start(run: Run, here: _Process, began: float | None) -> None:
    """Journal and send a start; the run's clock tells from which moment on that stands."""
    run.started = time.time() if began is None else time.time() - time.monotonic() + began
    run.cpu = time.process_time()

    def claim() -> float:
        run.clock = time.monotonic()
        return run.clock

    thread = get_ident()
    depth = _telling.get(thread, 0)
    _telling[thread] = depth + 1
    try:
        later = depth >= _MOST_TELLING
        wire = here.wire
        unsent = wire is not None and (later or wire.is_paused())
        if not here.journal:
            claim()
        else:
            line = journal.started_line(run, here.fields, unsent)
            if here.journal.append(line, claim, later=later) is None:
                _open.pop(run.id, None)  # a daemon thread's, which the interpreter's end cuts off
                return
        if wire and not unsent:
            wire.started(
                *(run.task, run.framework, run.trigger),
                lambda: here.tell_unsent(run, "started"),
            )
        run.clock = time.monotonic() if began is None else began
        if here.settings.debug and not later:
            debug(f"run {run.id} of {run.framework} task {run.task!r} began under {run.parent}")
    finally:
        _telling[thread] = depth


@guarded
def succeed(run: Run | None) -> None:
    """Close a run that did what it should."""
    if run is not None and run.ended is None:
        _end(run, SUCCESS)


@guarded
def hide_frame(exc: BaseException, run: object = None) -> None:
    """Take the caller's frame out of the traceback of an exception that is about to leave it.

    For the `except` clause of a wrapper, which ends in a bare `raise`. *run* is the run that the
    exception has left; `run_behind` will find it.
    """
    caught = _hide(exc, sys._getframe(2))  # 1 is of `guarded`
    if caught is not None and run is not None:
        from autotask import failures  # on the failing path only

        failures.note(exc, run, caught)


def _hide(exc: BaseException, wrapper: FrameType) -> TracebackType | None:
    """Do so for the frame of a wrapper; return the traceback as it was.

    Does nothing if another frame has caught the exception.
    """
    caught = sys.exc_info()[2]
    if caught is None or caught.tb_frame is not wrapper:
        return None
    # Not `exc.__traceback__ = ...`: a class of the program's can forbid that.
    BaseException.with_traceback(exc, caught.tb_next)
    if sys.version_info < (3, 11):  # the bare `raise` puts it back: hide the wrappers inside it
        step = caught
        while step.tb_next is not None:
            frame = step.tb_next.tb_frame
            ours = frame.f_globals.get("__package__") in OURS
            if ours and frame.f_code.co_name[:9] == "autotask_":
                step.tb_next = step.tb_next.tb_next
            else:
                step = step.tb_next
    return caught


@guarded
def fail(
    run: Run | None, exc: BaseException, judge: Callable[[BaseException], Outcome] = raised
) -> None:
    """Close a run that an exception leaves, `nested` if it has left a run inside before.

    *judge* says what a framework's own exceptions mean. The frame of the caller, a wrapper that
    raises the exception on, is taken out of its traceback.
    """
    caught = _hide(exc, sys._getframe(2))  # 1 is of `guarded`
    if run is None:
        return
    try:
        outcome = run.ended or judged(exc, run, judge(exc))
        if caught is not None and outcome.status == "failure":
            from autotask import failures  # on the failing path only

            failures.note(exc, run, caught)
    except raised_here(Exception) as problem:
        # An interpreter that ends cannot import any more; the task has failed all the same.
        outcome = failure("exception")
        swallow("fail", problem)
    except Exception:  # of a signal handler of the program's
        end(run, failure("exception"))
        raise
    end(run, outcome)


@guarded
def end(run: Run | None, outcome: Outcome) -> None:
    """Close a run with an outcome that the framework knows better than its exception."""
    if run is not None and run.ended is None:
        _end(run, outcome)


@guarded
def report(task: str, framework: str, outcome: Outcome, began: float | None = None) -> Run | None:
    """Record a run that is known only at its end; *began* is time.monotonic() at its start."""
    run = begin(task, framework, None, began)
    if run is not None:
        _end(run, outcome)
    return run


def judged(exc: BaseException, run: Run | None = None, outcome: Outcome | None = None) -> Outcome:
    """Return what an exception makes of a run that it leaves.

    *outcome* is what the framework knows of that exception alone.
    """
    outcome = outcome or raised(exc)
    inner = run_behind(exc, run) if outcome.status == "failure" else None
    return outcome if inner is None else nested(inner, outcome)


def nested(inner: Run, outcome: Outcome) -> Outcome:
    """Return the outcome of a run whose only trouble is that a run inside it failed."""
    return passed_on(outcome, _cause(inner))


def _cause(failed: Run) -> str:
    return (failed.ended.caused_by if failed.ended else None) or failed.id


def run_behind(exc: BaseException, outer: Run | None = None) -> Run | None:
    """Return the failed run that an exception has left already, as noted in its traceback.

    A run of the process that has forked this one counts too: what leaves it here is not its end.
    """
    from autotask import failures  # on the failing path only

    return failures.run_behind(exc, outer)


def failed_inside(run: Run, exit_code: int | None) -> str | None:
    """Return the id of the failed run inside *run* that may be why it ends with an exit code."""
    if run.failed is None:
        return None
    framework, its_code, cause = run.failed
    from autotask.frameworks import HAS_OWN_STATUSES

    return cause if framework in HAS_OWN_STATUSES or its_code in (None, exit_code) else None


def start_program(task: str) -> Run | None:
    """Open the run of this whole process, under which all of its other runs hang."""
    global _program
    _program = start(task, "process")
    return _program


@guarded
def journal_raised(run_id: str, exc: BaseException) -> None:
    """Leave word of what this process died of, for the launcher that ends its run."""
    here = _process if _process and _process.pid == os.getpid() else _Process(settings())
    if here.journal:
        outcome = judged(exc)
        line = journal.raised_line(run_id, here.root or run_id, time.time(), outcome)
        here.journal.append(line)


def _here(run: str) -> _Process | None:
    """Return this process's, made at its first run; None if signals interrupt that too often."""
    global _process
    if _process is None or _process.pid != os.getpid():
        thread = get_ident()
        if _beginning.count(thread) == _MOST_TELLING:
            return None
        _beginning.append(thread)
        try:
            before, made = _process, _Process(settings())
            made.leave_mark(run)
            _process = _made.setdefault(made.pid, made)  # of threads that meet here the first one's
            if _process is made:
                _take_over(made, before)
            else:
                made.take_mark_back()
        finally:
            _beginning.remove(thread)
    return _process


def _take_over(here: _Process, before: _Process | None) -> None:
    """Begin to record in this process; *before* is the process that has forked it."""
    if here.settings.debug:
        _explain(here)
    if before is None:
        atexit.register(_finish)
        patches.follow_threads(current, hide_frame)
        patches.follow_exits(_leaves_something, sys.modules[__name__])
    else:
        _made.pop(before.pid, None)
        _telling.clear()
        here.handed_on = before.handed_on
        if before.wire:
            before.wire.close_alone()
    multiprocessing = sys.modules.get("multiprocessing.util")
    if multiprocessing is not None:  # its children end by os._exit and pass atexit by
        multiprocessing.Finalize(None, _finish, exitpriority=-1000)


def _leaves_something() -> bool:
    """Tell whether this very process has a mark, or open runs; a fork knows its parent's, too."""
    here = _process
    if here is None or here.pid != os.getpid():
        return False
    return bool(here.journal and here.journal.mark) or _has_open()


def _has_open() -> bool:
    """Tell whether runs of this very process are open; a fork knows its parent's, too."""
    pid = os.getpid()
    for run in list(_open.values()):  # noqa: SIM110  any() would take one more function
        if run.pid == pid:
            return True
    return False


def _explain(here: _Process) -> None:
    """Say to whom asks what becomes of this process's runs."""
    wanted = here.settings
    journaled, notes = "nowhere", here.journal
    if notes and not notes.home:
        journaled = "on standard error"
    elif notes and notes.is_open():
        journaled = f"in {notes.folder}"
    sent = "to {} {}:{}".format(*wanted.destination).removesuffix(":0") if here.wire else "nowhere"
    debug(f"process {here.pid}: runs are journalled {journaled}, sent {sent}")
    for problem in wanted.problems:
        debug(f"counts as unset: {problem}")


def _place(run: Run, here: _Process) -> None:
    """Find a run's parent, and hand the run on to the programs that it will start.

    The environment is the whole process's. Where runs stand side by side (threads, asyncio
    tasks) it names what they have in common rather than a wrong one.
    """
    outer = current()
    if outer is None:
        run.parent, run.root, run.trigger = here.parent, here.root or run.id, here.trigger
        _hand_on(None if _open else run, here)
        return
    run.outer, run.parent, run.root, run.trigger = outer, outer.id, outer.root, outer.trigger
    if outer.crowd:
        _hand_on(outer, here)
    elif here.handed_on is outer:
        _hand_on(run, here)
    outer.crowd += 1


def _hand_on(run: Run | None, here: _Process) -> None:
    """Name in the environment the run under which the programs started from now on hang."""
    global _names
    here.handed_on = run
    value = _parent_of_next(run, here)
    _names += 1
    if _inheriting is not None or (_names > _MANY and not (_is_loading or _is_over)):
        _name_late(value, here)
    else:
        os.environ[PARENT] = value


def _parent_of_next(run: Run | None, here: _Process) -> str:
    """Name a run, else the one that this process hangs under, for the programs started next.

    Empty for none: a variable that goes away breaks a copy of os.environ in another thread.
    """
    if run is not None:
        return parent_value(run.id, run.root, run.trigger)
    if here.parent and here.root:
        return parent_value(here.parent, here.root, here.trigger)
    return ""


def _name_late(value: str, here: _Process) -> None:
    """Name a run as is done in a long process: see `autotask.putenv`."""
    global _inheriting, _is_loading
    if _inheriting is None:
        _is_loading = True
        loading.load("putenv")  # importlib would ignore what a signal handler may raise meanwhile
        putenv = sys.modules["autotask.putenv"]
        around = _program if _program and _program.ended is None else None
        putenv.begin(_parent_of_next(around, here))
        _inheriting = putenv
    _inheriting.name(value)


def _end(run: Run, outcome: Outcome) -> None:
    if run.pid != os.getpid() or run.id not in _open:
        return
    here = _process
    if here is None:
        return
    run.ended, run.key = outcome, None
    run.left = time.monotonic()
    duration = run.left - run.clock
    try:
        _tell_end(run, here, outcome, duration)
    except BaseException:  # of a signal handler of the program's: nobody else will tell of it
        if run.id in _open:
            _journal_end(run, here, outcome, duration, unsent=here.wire is not None)
        raise
    finally:  # what is around it goes on, at the limit of recursion too
        _step_back(run, here)


def _tell_end(run: Run, here: _Process, outcome: Outcome, duration: float) -> None:
    """Journal and send an end, unless another thread has told it."""
    thread = get_ident()
    depth = _telling.get(thread, 0)
    _telling[thread] = depth + 1
    try:
        later = depth >= _MOST_TELLING
        wire = here.wire
        unsent = wire is not None and (later or wire.is_paused())
        if not _journal_end(run, here, outcome, duration, unsent, later):
            return
        if wire and not unsent:
            wire.finished(
                *(run.task, run.framework, run.trigger, outcome, duration, here.host),
                lambda: here.tell_unsent(run, "finished"),
            )
        if here.settings.debug and not later:
            debug(f"run {run.id} ended: {outcome.status} {outcome.reason or ''}".rstrip())
    finally:
        _telling[thread] = depth


def _journal_end(
    run: Run, here: _Process, outcome: Outcome, duration: float, unsent: bool, later: bool = False
) -> bool:
    """Journal an end; what is not written (no room at the limit of recursion) `_finish` will."""

    def claim() -> Run | None:
        return _open.pop(run.id, None)

    if not here.journal:
        return claim() is not None
    cpu, now = time.process_time() - run.cpu, time.time()
    memory = _memory[1] if later else _max_rss(now)  # to read it takes system calls
    line = journal.finished_line(run.id, run.root, now, outcome, duration, cpu, memory, unsent)
    return here.journal.append(line, claim, later=later) is not None


def _step_back(run: Run, here: _Process) -> None:
    """Give the place of a run that ended back to the run around it."""
    outer = run.outer
    if _current.get() is run:
        _current.set(outer)
    if outer is not None:
        outer.crowd -= 1
        if run.ended is not None and run.ended.status == "failure":
            outer.failed = run.framework, run.ended.exit_code, _cause(run)
    if here.handed_on is run:
        _hand_on(outer, here)


@guarded
def _finish() -> None:
    """Close what the end of the interpreter has cut off, and take this process's mark back."""
    global _is_over
    if _process is None:
        return
    if _process.pid != os.getpid():
        if _process.wire:  # of a fork that has had no run: under -X dev it would warn
            _process.wire.close_alone()
        return
    _is_over = True
    _end_all(_process)
    if _process.wire:
        _process.wire.keep_to_this_thread()
        _process.wire.give_up()
        _process.wire.close_alone()
    if _program is None or _program.pid != _process.pid or _program.ended:
        _process.take_mark_back()


def _end_all(here: _Process) -> None:
    """End the runs that are open, and let no other thread begin or end one."""
    if here.journal:
        here.journal.keep_to_this_thread()
    for run in reversed(list(_open.values())):
        if run.pid == here.pid and run is not _program and run.clock:  # else its start is untold
            _end(run, run.ended or failure("lost"))


def _max_rss(now: float) -> int | None:
    """Return the process's largest memory so far, in bytes; at most a millisecond old.

    To read it takes a third of what a run costs, and memory does not grow that fast.
    """
    global _memory
    if not 0 <= now - _memory[0] < 0.001:
        _memory = now, largest_memory()
    return _memory[1]
