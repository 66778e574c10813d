"""What becomes of open runs when a process ends by os._exit or becomes another program.

exec keeps the process, its id and its start time. A Python program with the agent finds in its
environment which runs it has to go on with, and ends them as its own. How any other program ends,
only its parent knows. Until the runs are taken over, the process's mark is called `became-...`: if
the process is found dead, its runs are closed as a success, because no more could be seen.

This is a part of the recorder that few processes need, and it works on the recorder's state.

Not even __future__ is imported here: in a forked child its lock is never released, if a thread that
is not there was importing it.
"""

import os

from autotask.guard import guarded, raised_here
from autotask.journal import OWED, Journal
from autotask.marks import BECAME, marks_folder
from autotask.procfs import identity
from autotask.run import SUCCESS, Run, exited
from autotask.settings import PARENT, PROCESS_RUN, is_id, parent_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from autotask import recorder
    from autotask.run import Outcome
else:
    recorder = None  # handed in with each call from outside: it leads here itself

_TOO_LONG = 7  # E2BIG
_PATIENCE = 0.2  # seconds to wait for another thread that writes to the journal
_LONGEST = 32 * 1024  # bytes of the word; Linux takes 128 KiB in one variable


def prepared(original: "Any", used_recorder: "ModuleType") -> "Callable[..., None]":
    """Return what to call instead of os._exit, os.execv or os.execve."""
    global recorder
    recorder = used_recorder
    leave = _quick_exit if original.__name__ == "_exit" else _become

    def call(*args: "Any", **kwargs: "Any") -> None:
        leave(original, *args, **kwargs)

    return call


def _quick_exit(original: "Any", /, *args: "Any", **kwargs: "Any") -> None:
    _cut_off(*args, **kwargs)
    original(*args, **kwargs)


def _become(original: "Any", /, *args: "Any", **kwargs: "Any") -> None:
    given = {**dict(zip(("path", "argv", "env"), args)), **kwargs}
    word = _mark_as_become(given.get("path"))
    try:
        if word is not None:
            try:
                _become_with(original, word, given, *args, **kwargs)
            except OSError as problem:
                if problem.errno != _TOO_LONG:
                    raise
        original(*args, **kwargs)  # there was no room for the word, or there is none
    finally:  # still here: it could not be executed
        _take_mark_back()


def _become_with(
    original: "Any", word: str, given: "dict[str, Any]", /, *args: "Any", **kwargs: "Any"
) -> None:
    if "env" in given:
        original(**{**given, "env": _with_word(given["env"], word) or given["env"]})
    before = os.environ.get(PROCESS_RUN)
    try:
        os.putenv(PROCESS_RUN, word)  # only C sees it: other threads read os.environ
        original(*args, **kwargs)
    finally:
        if before is not None:
            os.putenv(PROCESS_RUN, before)
        else:
            os.unsetenv(PROCESS_RUN)


@guarded
def _cut_off(*args: object, **kwargs: object) -> None:
    """Close the runs that os._exit is about to cut off, as a parent outside would.

    The innermost run of this thread ends with the status, all others because of it. In a forked
    child these are its own; the recorder leaves those of its parent alone.
    """
    given = (*args, *kwargs.values())
    if len(given) != 1 or not isinstance(given[0], int) or not -(2**31) <= given[0] < 2**31:
        return  # it will refuse that: a status is a C int
    here = recorder.state.process
    lock = here.journal._lock if here and here.journal and not here.journal._only else None
    if lock and not lock.acquire(timeout=_PATIENCE):
        return  # the mark stays
    try:
        _end_all(exited(given[0]))
        if here and not _has_open():
            here.take_mark_back()
    finally:
        if lock:
            lock.release()


def _end_all(outcome: "Outcome") -> None:
    runs = list(reversed(_runs()))
    first = recorder.current()
    if first in runs and not any(run.outer is first for run in runs):
        runs.remove(first)
        runs.insert(0, first)
    for run in runs:
        recorder.end(run, outcome)
        if outcome.status == "failure":
            outcome = recorder.nested(run, outcome)


@guarded
def _mark_as_become(path: "Any") -> "str | None":
    """Rename our mark; return which runs the next program takes over, if that is its task.

    Nothing is done for what does not exist: os.execvp tries each folder of the PATH.
    """
    here = recorder.state.process
    if here is None or not _has_open() or not _is_executable(path):
        return None
    launched = os.environ.get(PROCESS_RUN, "").partition(":")[2] == str(here.pid)
    mark = ""
    if here.journal and here.journal.mark and here.journal.settle():
        mark = os.path.basename(here.journal.mark).removesuffix(OWED)
        if not _rename_mark(here.journal, BECAME + mark) and not launched:
            _end(_runs())  # a mark under its old name would call them lost
    if launched:
        return None  # a launcher outside will see the end
    runs = _that_fit(_runs())
    if not runs:
        return None
    words = [runs[0].id, str(here.pid), here.identity, mark]
    return ":".join([*words, *map(_written, runs)])


def _has_open() -> bool:
    """Tell whether runs of this very process are open; a fork also knows those of its parent."""
    pid = os.getpid()
    return any(run.pid == pid for run in list(recorder.state.open.values()))


def _runs() -> "list[Run]":
    """Return the open runs of this very process, outer ones first."""
    pid = os.getpid()
    return [run for run in list(recorder.state.open.values()) if run.pid == pid and run.clock]


def _that_fit(runs: "list[Run]") -> "list[Run]":
    """Return those of many runs that the next program takes over: those around what runs here.

    The others end now, as no more can be seen of them.
    """
    if sum(len(_written(run)) + 1 for run in runs) <= _LONGEST:
        return runs
    around: list[Run] = []
    run = recorder.current()
    while run is not None:
        if run in runs:
            around.insert(0, run)
        run = run.outer
    room, fitting = _LONGEST, []
    for run in around:
        room -= len(_written(run)) + 1
        if room < 0:
            break
        fitting.append(run)
    if fitting:  # else all are left to the mark
        _end([run for run in runs if run not in fitting])
    return fitting


def _end(runs: "list[Run]") -> None:
    for run in reversed(runs):
        recorder.end(run, SUCCESS)


def _is_executable(path: "Any") -> bool:
    try:
        return isinstance(path, int) or os.access(path, os.X_OK)
    except (TypeError, ValueError):  # what exec will refuse
        return False


@guarded
def _take_mark_back() -> None:
    ours = recorder.state.process.journal if recorder.state.process else None
    if ours and ours.mark:
        name = os.path.basename(ours.mark)
        if name.startswith(BECAME):
            _rename_mark(ours, name[len(BECAME) :])


def _rename_mark(ours: "Journal", name: str) -> bool:
    """Give our mark another name; False where this process has become another user, who may not."""
    mark = ours.mark or ""
    path = os.path.join(os.path.dirname(mark), name)
    try:
        os.rename(mark, path)
    except raised_here(OSError):
        return False
    ours.mark = path
    return True


@guarded
def _with_word(env: "Any", word: str) -> "dict[Any, Any] | None":
    """Add the word to the environment that the program passes; None if it does not have ours."""
    try:
        if PARENT in env:
            return {**env, PROCESS_RUN: word}
        if os.fsencode(PARENT) in env:
            return {**env, os.fsencode(PROCESS_RUN): os.fsencode(word)}
    except TypeError:  # what it will refuse, and os.environ, which takes no bytes
        pass
    return None


def _written(run: "Run") -> str:
    words = run.id, run.root, run.parent or "", run.trigger, run.framework, run.task
    names = [word.encode("utf-8", "surrogatepass").hex() for word in words[3:]]
    return ",".join([*words[:3], *names, str(run.clock), str(run.cpu)])


def _read(text: str) -> "Run":
    """Make a run of what `_written` returned; raises ValueError if that cannot be ours."""
    id_, root, parent, trigger, framework, task, clock, cpu = text.split(",")
    if not (is_id(id_) and is_id(root) and (not parent or is_id(parent))):
        raise ValueError(f"no run: {text}")
    trigger, framework, task = (
        bytes.fromhex(word).decode("utf-8", "surrogatepass") for word in (trigger, framework, task)
    )
    run = Run(task, framework)
    run.id, run.root, run.parent, run.trigger = id_, root, parent or None, trigger
    run.clock, run.cpu = float(clock), float(cpu)
    return run


@guarded
def take_over(word: str, used_recorder: "ModuleType") -> "list[Run]":
    """Go on with the runs that this process had open before it became this program; return them."""
    global recorder
    recorder = used_recorder
    _, _, process, mark, *texts = word.split(":")
    if process != identity():
        return []
    runs = list(map(_read, texts))
    here = recorder.process(runs[0].id)
    if here is None:
        return []
    _take_mark_over(here.journal, mark)
    here.parent, here.root = runs[0].parent, runs[0].root if runs[0].parent else None
    known = {run.id: run for run in runs}
    for run in runs:
        run.pid, run.outer = here.pid, known.get(run.parent or "")
        if run.outer:
            run.outer.crowd += 1
    recorder.state.open.update(known)
    current = known.get(parent_of(os.environ)[0] or "", runs[-1])
    recorder.state.current.set(current)
    here.handed_on = current
    if runs[0].framework == "process":
        recorder.state.program = runs[0]
    return runs


def _take_mark_over(ours: "Journal | None", mark: str) -> None:
    """Replace our mark with that of the previous program, whose runs begin earlier."""
    pid, _, run = mark.partition("-")
    if ours is None or pid != str(os.getpid()) or not is_id(run):
        return
    folder = marks_folder(os.path.dirname(ours.folder))
    path = ours.mark or os.path.join(folder, mark)
    os.replace(os.path.join(folder, BECAME + mark), path)
    ours.mark = path
