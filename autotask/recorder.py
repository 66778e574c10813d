"""Open and close runs: which task, under which run, each ended exactly once.

The frameworks' modules know this one alone. Nothing in here raises into the application. A fork
leaves the runs of the process that has forked it to that process.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import get_ident

from autotask import journal, loading, patches
from autotask.guard import OURS, debug, guarded, raised_here, swallow
from autotask.procfs import identity, largest_memory
from autotask.run import SERVERS, SUCCESS, End, Outcome, Run, failure, is_stop, passed_on, raised
from autotask.settings import PARENT, Settings, parent_of, parent_value
from autotask.stdlib import standard
from autotask.telling import Teller
from autotask.trigger import find_trigger

TYPE_CHECKING = False
if TYPE_CHECKING:
    import atexit
    from collections.abc import Callable
    from contextvars import ContextVar as ContextVar
    from types import FrameType, TracebackType
    from typing import Any

    from autotask.queued import Queued
else:
    atexit = standard("atexit")
    ContextVar = standard("_contextvars").ContextVar

# Runs named in the environment before `autotask.putenv` is worth its import.
_MANY = 1000 if sys.platform == "linux" else sys.maxsize
# A signal handler that runs a task may interrupt a start or an end that is being told. Telling
# takes system calls, in which other threads run, and so may take longer than the next signal: such
# handlers would pile up until the stack is full. So only the first two levels make system calls;
# deeper runs leave their lines to them.
_MOST_TELLING = 2
_RENEWED = 60.0  # seconds after which the mark of a process without open runs is renewed


class Process(Teller):
    """What all runs of this process have in common; made at its first run, anew after a fork."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(os.uname().nodename if hasattr(os, "uname") else "")
        self.pid = os.getpid()
        self.settings = settings
        if settings.stderr:
            from autotask.stderr_journal import StderrJournal

            self.journal = StderrJournal()
        elif settings.journal and settings.home:
            self.journal = journal.Journal(settings.home)
        self.open_wire(settings)
        self.identity = identity()
        version = "{}.{}.{}".format(*sys.version_info[:3])
        self.fields = journal.process_fields(self.pid, self.identity, self.host, version, settings)
        self.handed_on: Run | None = None  # the run that the environment names
        self.parent, self.root, trigger = parent_of(os.environ)
        self.trigger = trigger or find_trigger()
        self.renewed = time.time()  # its mark, or it looked whether that can be


class _State:
    """What the recorder remembers in this interpreter."""

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.process: Process | None = None
        self.made: dict[int, Process] = {}  # by process id: the one of this process
        self.open: dict[str, Run] = {}  # runs that have not ended, by id
        self.current: ContextVar[Run | None] = ContextVar("autotask_run", default=None)
        self.program: Run | None = None  # the process run, if this process ends it itself
        self.telling: dict[int, int] = {}  # starts and ends being told, by thread: _MOST_TELLING
        self.making: list[int] = []  # likewise, the threads that make the `Process`
        self.names = 0  # runs that the environment has named
        self.putenv: Any = None  # our module, once there have been many
        # The import can be interrupted (by a fork in another thread, or in a daemon thread by the
        # interpreter's end). Do not wait for it: os.environ takes the names as before.
        self.is_loading = False
        self.is_over = False  # the interpreter ends
        self.memory: tuple[float, int | None] = 0.0, None  # when it was read, and the largest


state = _State()


def settings() -> Settings:
    """Return the settings, read once in a process."""
    if state.settings is None:
        state.settings = Settings(os.environ)
    return state.settings


def current() -> Run | None:
    """Return the innermost open run of this thread or asyncio task, else of what started it."""
    run = state.current.get()
    if run is None:
        run = patches.starter() or state.program
    while run is not None and run.ended is not None:
        run = run.outer
    return run


def begin(
    task: str,
    framework: str,
    key: object = None,
    began: float | None = None,
    queued: Queued | None = None,
    serves: bool = False,
) -> Run | None:
    """Open a run: journal it, count it, and let what it starts know its parent.

    Returns None if no run is to be recorded (switched off, ignored). *key* is what the framework
    calls this execution; see `current().key`. *began* is time.monotonic() at its start, if that was
    earlier; *queued* is what a queue knew of it before. *serves*: it runs until it is stopped,
    whatever its name. For callers that are guarded themselves.
    """
    wanted = settings()
    if not wanted.uses(framework) or wanted.ignores(task):
        if wanted.debug:
            debug(f"no run: {framework} task {task!r} is excluded or ignored")
        return None
    run = Run(task, framework)
    here = process(run.id)
    if here is None:
        return None
    run.key = key
    run.pid = here.pid
    run.queued, run.server = queued, serves or f" {task} " in SERVERS
    _place(run, here)
    state.open[run.id] = run
    state.current.set(run)
    try:
        _tell_start(run, here, began)
    except BaseException as problem:
        if run.clock and isinstance(problem, raised_here(Exception)):
            swallow("begin", problem)  # in sending: the line is written, and the task goes on
            return run
        if run.clock:  # a signal handler of the program has raised: the task will never begin
            _end(run, failure("exception"))
        else:
            state.open.pop(run.id, None)
            _step_back(run, here)
        raise
    return run


start = guarded(begin)


def _tell_start(run: Run, here: Process, began: float | None) -> None:
    """Journal and send a start; from then on the run has a clock."""
    run.started = time.time() if began is None else time.time() - time.monotonic() + began
    if run.started > here.renewed + _RENEWED:
        here.renewed = run.started
        loading.load("marks")
        sys.modules["autotask.marks"].renew(here, run, state.open)
    run.cpu = time.process_time()

    def claim() -> float:
        run.clock = time.monotonic()
        return run.clock

    thread = get_ident()
    depth = state.telling.get(thread, 0)
    state.telling[thread] = depth + 1
    try:
        later = depth >= _MOST_TELLING
        if here.start(run, claim, later=later) is None:
            state.open.pop(run.id, None)  # in a daemon thread, which the interpreter's end cuts off
            return
        run.clock = time.monotonic() if began is None else began
        if here.settings.debug and not later:
            debug(f"run {run.id} of {run.framework} task {run.task!r} began under {run.parent}")
    finally:
        state.telling[thread] = depth


@guarded
def succeed(run: Run | None) -> None:
    """Close a run that has succeeded."""
    if run is not None and run.ended is None:
        _end(run, SUCCESS)


@guarded
def hide_frame(exc: BaseException, run: object = None) -> None:
    """Take the caller's frame out of the traceback of an exception that is about to leave it.

    For the `except` clause of a wrapper, which ends in a bare `raise`. *run* is the run that the
    exception has left; `run_behind` will find it.
    """
    caught = _hide(exc, sys._getframe(2))  # frame 1 is the guard's
    if caught is not None and run is not None:
        from autotask import failures  # on the failing path only

        failures.note(exc, run, caught)


def _hide(exc: BaseException, wrapper: FrameType) -> TracebackType | None:
    """Take the frame of a wrapper out of a traceback; return the traceback as it was.

    None, and nothing is changed, if another frame has caught the exception.
    """
    caught = sys.exc_info()[2]
    if caught is None or caught.tb_frame is not wrapper:
        return None
    # Not `exc.__traceback__ = ...`: the exception's class can forbid that.
    BaseException.with_traceback(exc, caught.tb_next)
    if sys.version_info < (3, 11):  # a bare `raise` puts this frame back: hide those inside it
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
    """Close a run that an exception leaves, as `nested` if it has left a run inside before.

    *judge* says what a framework's own exceptions mean. The frame of the caller, a wrapper that
    raises the exception on, is taken out of its traceback.
    """
    caught = _hide(exc, sys._getframe(2))  # frame 1 is the guard's
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
    except Exception:  # a signal handler of the program has raised
        end(run, failure("exception"))
        raise
    end(run, outcome)


@guarded
def end(run: Run | None, outcome: Outcome) -> None:
    """Close a run with an outcome that the framework knows better than its exception."""
    if run is not None and run.ended is None:
        _end(run, outcome)


@guarded
def report(
    task: str,
    framework: str,
    outcome: Outcome,
    began: float | None = None,
    queued: Queued | None = None,
) -> Run | None:
    """Record a run that is known only at its end; *began* is time.monotonic() at its start."""
    run = begin(task, framework, None, began, queued)
    if run is not None:
        _end(run, outcome)
    return run


@guarded
def end_child(pid: int, outcome: Outcome | None = None) -> list[str]:
    """End the runs that a dead child has left open, once, for a parent that knows why it died.

    The innermost run ends with *outcome*, those around it as `nested`. While the child lives, its
    outcome is kept for the next call, with or without one: the first that was told counts. Reads
    the journal: call it only if a child dies. Returns the tasks of the runs that it has ended.
    """
    from autotask.around import children  # where a child dies only

    here = state.process
    home = here.journal.home if here and here.journal else settings().home
    return children.end(settings(), home, pid, outcome)


def judged(exc: BaseException, run: Run | None = None, outcome: Outcome | None = None) -> Outcome:
    """Return the outcome of a run that an exception leaves.

    *outcome* is what the framework makes of that exception alone.
    """
    outcome = outcome or raised(exc)
    if outcome.status != "failure" or (run is not None and is_stop(run, outcome)):
        return outcome
    inner = run_behind(exc, run)
    return outcome if inner is None or inner.was_stopped else nested(inner, outcome)


def nested(inner: Run, outcome: Outcome) -> Outcome:
    """Return the outcome of a run that failed only because a run inside it did."""
    return passed_on(outcome, _cause(inner))


def _cause(failed: Run) -> str:
    return (failed.ended.caused_by if failed.ended else None) or failed.id


def run_behind(exc: BaseException, outer: Run | None = None) -> Run | None:
    """Return the failed run that an exception has left already, as noted in its traceback.

    A run of the process that has forked this one counts too, although it has not ended there.
    """
    from autotask import failures  # on the failing path only

    return failures.run_behind(exc, outer)


def process(first: str) -> Process | None:
    """Return what tells of this process, made at its *first* run, whose id its mark has.

    None if signals interrupt the making too often.
    """
    before = state.process
    if before is not None and before.pid == os.getpid():
        return before
    thread = get_ident()
    if state.making.count(thread) == _MOST_TELLING:
        return None
    state.making.append(thread)
    try:
        made = Process(settings())
        made.leave_mark(f"{made.pid}-{first}", made.root or first)
        # Several threads may get here at the same time: all use what the first of them has made.
        here = state.process = state.made.setdefault(made.pid, made)
        if here is made:
            _take_over(made, before)
        else:
            made.take_mark_back()
    finally:
        state.making.remove(thread)
    return here


def _take_over(here: Process, before: Process | None) -> None:
    """Begin to record in this process; *before* is the process that has forked it."""
    if here.settings.debug:
        from autotask import debuglog

        debuglog.explain(here, debug)
    if before is None:
        atexit.register(_finish)
        patches.follow_threads(current, hide_frame)
        patches.follow_exits(_leaves_something, sys.modules[__name__])
    else:
        state.made.pop(before.pid, None)
        state.telling.clear()
        here.handed_on = before.handed_on
        if before.wire:
            before.wire.close_alone()
    multiprocessing = sys.modules.get("multiprocessing.util")
    if multiprocessing is not None:  # its children end by os._exit, which skips atexit
        multiprocessing.Finalize(None, _finish, exitpriority=-1000)


def _leaves_something() -> bool:
    """Tell whether this very process has a mark, or open runs."""
    here = state.process
    if here is None or here.pid != os.getpid():
        return False
    if here.journal and here.journal.mark:
        return True
    for run in list(state.open.values()):  # noqa: SIM110  any() would take one more function
        if run.pid == here.pid:  # a fork also knows the runs of its parent
            return True
    return False


def _place(run: Run, here: Process) -> None:
    """Find a run's parent, and name the run to the programs that it will start.

    The environment is the whole process's. If runs are side by side (threads, asyncio tasks), it
    names the run around them rather than a wrong one.
    """
    outer = current()
    if outer is None:
        run.parent, run.root, run.trigger = here.parent, here.root or run.id, here.trigger
        _hand_on(None if state.open else run, here)
        return
    run.outer, run.parent, run.root, run.trigger = outer, outer.id, outer.root, outer.trigger
    if outer.crowd:
        _hand_on(outer, here)
    elif here.handed_on is outer:
        _hand_on(run, here)
    outer.crowd += 1


def _hand_on(run: Run | None, here: Process) -> None:
    """Name in the environment the run under which the programs started from now on are."""
    here.handed_on = run
    value = _parent_of_next(run, here)
    state.names += 1
    if state.putenv is None:
        if state.names <= _MANY or state.is_loading or state.is_over:
            os.environ[PARENT] = value
            return
        state.is_loading = True
        # importlib would ignore what a signal handler may raise meanwhile. And in a forked child
        # the lock of all others is never released, if a thread that is not there had it.
        loading.load("putenv", lock="autotask.putenv")
        putenv = sys.modules["autotask.putenv"]
        program = state.program
        around = program if program and program.ended is None else None
        putenv.begin(_parent_of_next(around, here))
        state.putenv = putenv
    state.putenv.name(value)


def _parent_of_next(run: Run | None, here: Process) -> str:
    """Name a run, or without one the run that this process is under, for programs started next.

    Empty for none: to remove the variable would break a copy of os.environ in another thread.
    """
    if run is not None:
        return parent_value(run.id, run.root, run.trigger)
    if here.parent and here.root:
        return parent_value(here.parent, here.root, here.trigger)
    return ""


def _end(run: Run, outcome: Outcome) -> None:
    here = state.process
    if here is None or run.pid != os.getpid() or run.id not in state.open:
        return
    if is_stop(run, outcome):
        outcome, run.was_stopped = SUCCESS, True
        if run.outer is not None:
            run.outer.was_stopped = True
    run.ended, run.key = outcome, None
    run.left = time.monotonic()

    def claim() -> Run | None:
        return state.open.pop(run.id, None)

    try:
        _tell_end(run, here, outcome, claim)
    except BaseException:  # a signal handler of the program has raised; later it is not told
        if run.id in state.open:
            here.end(run, _measured(run, here, outcome), claim, send=False)
        raise
    finally:  # whatever has happened, even at the limit of recursion, the run around it goes on
        _step_back(run, here)


def _tell_end(run: Run, here: Process, outcome: Outcome, claim: Callable[[], Run | None]) -> None:
    """Journal and send an end, unless another thread has told it."""
    thread = get_ident()
    depth = state.telling.get(thread, 0)
    state.telling[thread] = depth + 1
    try:
        later = depth >= _MOST_TELLING
        end = _measured(run, here, outcome, later)
        if here.end(run, end, claim, later=later) and here.settings.debug and not later:
            debug(f"run {run.id} ended: {outcome.status} {outcome.reason or ''}".rstrip())
    finally:
        state.telling[thread] = depth


def _measured(run: Run, here: Process, outcome: Outcome, later: bool = False) -> End:
    """Return the end of a run, with what it took if there is a journal to tell that."""
    now, duration = time.time(), run.left - run.clock
    if not here.journal:
        return End(outcome, now, duration)
    # Reading the memory takes a third of what a run costs, and memory does not grow fast: it may be
    # a millisecond old. *later* allows no system calls.
    if not (later or 0 <= now - state.memory[0] < 0.001):
        state.memory = now, largest_memory()
    return End(outcome, now, duration, time.process_time() - run.cpu, state.memory[1])


def _step_back(run: Run, here: Process) -> None:
    """Give the place of a run that ended back to the run around it."""
    outer = run.outer
    if state.current.get() is run:
        state.current.set(outer)
    if outer is not None:
        outer.crowd -= 1
        if run.ended is not None and run.ended.status == "failure":
            outer.failed = run.framework, run.ended.exit_code, _cause(run)
    if here.handed_on is run:
        _hand_on(outer, here)


@guarded
def _finish() -> None:
    """Close what the end of the interpreter has cut off, and take this process's mark back."""
    here, program = state.process, state.program
    if here is None or here.pid != os.getpid():
        if here and here.wire:  # in a fork without a run: Python's -X dev would warn of the socket
            here.wire.close_alone()
        return
    state.is_over = True
    if here.journal:
        here.journal.keep_to_this_thread()  # no other thread begins or ends a run any more
    for run in reversed(list(state.open.values())):
        # Without a clock its start was not told: an end alone would say nothing.
        if run.pid == here.pid and run is not program and run.clock:
            _end(run, run.ended or failure("lost"))
    if here.wire:
        here.wire.keep_to_this_thread()
        here.wire.give_up()
        here.wire.close_alone()
    if program is None or program.pid != here.pid or program.ended:
        here.take_mark_back()
