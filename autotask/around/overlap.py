"""Start no second run of a task while another one lives (`--no-overlap`).

The marks in the home say which runs there are: a launcher's mark names its task, and the mark of a
Python program without a launcher leads to the line of its run. Only runs of whole programs count.
What cannot be known keeps no command from running: a task that is skipped for no reason is worse
than one that runs twice.
"""

from __future__ import annotations

import os
import time

from autotask import journal, procfs
from autotask.around import journal_lines
from autotask.around.journal_lines import number_field, raw_field, text_field
from autotask.around.marks_left import LAUNCHER, beginning_of, mark_paths, owner_of, read_marks
from autotask.guard import guarded
from autotask.marks import marked_name
from autotask.run import End, Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from autotask.around.journal_lines import Fields
    from autotask.around.marks_left import Mark
    from autotask.run import Run
    from autotask.settings import Settings
    from autotask.telling import Teller

_LOCK = "overlap.lock"  # a file of the home
_PATIENCE = 10.0  # seconds to wait for other launchers that look: one of them may hang
_STARTED = b'{"event":"started"'


def begin(run: Run, teller: Teller, settings: Settings, leave_mark: Callable[[], object]) -> None:
    """Leave a launcher's mark; if another run of its task lives, record that, and end instead.

    One launcher does so at a time. So of two that start at the same moment, one finds the other.
    Without a journal there are no marks, and the command runs.
    """
    notes = teller.journal
    lock = _lock(notes.home) if notes and notes.is_open() else -1
    try:
        other = _other(notes, run) if notes and notes.is_open() else None
        if other is None:
            leave_mark()
            return
    finally:
        if lock != -1:
            os.close(lock)
    try:
        _skip(run, teller, settings, other)
    finally:
        os._exit(0)


@guarded
def _skip(run: Run, teller: Teller, settings: Settings, other: str) -> None:
    if os.isatty(2):
        from autotask.around.execute import complain

        complain(f"{run.task} is skipped: its run {other[:8]} has not ended")
    run.pid, run.started = teller.pid, time.time()
    teller.open_wire(settings)
    teller.start(run)
    teller.end(run, End(Outcome("skipped", "overlap"), time.time()))
    if teller.wire:
        teller.wire.close()


def _lock(home: str) -> int:
    """Return a locked file; -1 if it cannot be locked, or not for long."""
    import fcntl

    try:
        folder = journal.open_folder(home)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            file = journal.above_stdio(os.open(_LOCK, flags, 0o600, dir_fd=folder))
        finally:
            os.close(folder)
    except OSError:
        return -1
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            time.sleep(0.005)
        except OSError:  # this file system has no locks
            break
    os.close(file)
    return -1


@guarded
def _other(notes: journal.Journal, run: Run) -> str | None:
    """Return a living run of the task that has not started this one."""
    above: set[int] | None = None
    for mark in read_marks(p for p in mark_paths(notes.home) if _may_be_of(p, run.task)):
        other, pid = _living(mark, notes.folder, run.task)
        if not other or other in (run.parent, run.root):
            continue
        above = _processes_above() if above is None else above
        if pid not in above or mark.unseen:
            return other
    return None


def _may_be_of(path: str, task: str) -> bool:
    """Tell whether a mark may be of a run of a task: a launcher's names its task.

    The other marks that count are of processes whose first run is under no other one.
    """
    owner, *rest = owner_of(path)
    try:
        with journal_lines.open_owned(path) as file:
            data = file.read(4096)
    except OSError:
        return False
    if owner == LAUNCHER:
        return f'"task":{journal.quoted(marked_name(task))}'.encode() in data
    return bool(rest) and raw_field(data, b"root") == rest[0]


def _living(mark: Mark, folder: str, task: str) -> tuple[str, int]:
    """Return the run of a mark if it is one of a task's and lives, and its process; else ""."""
    if mark.is_over or not mark.root:
        return "", 0
    if mark.launched and not mark.dead:
        # Of a launcher that cannot be seen, only the lock and the time tell that it lives.
        is_known = not mark.unseen or (mark.can_lock and mark.held is not False)
        return (mark.launched if is_known else ""), mark.key[1]
    if mark.dead and not mark.launched:
        return "", 0
    run = mark.launched or owner_of(mark.path)[1]
    start = _start(mark, folder, run)
    if text_field(start, "task") != task or text_field(start, "framework") != "process":
        return "", 0
    pid = number_field(start, "pid") or 0
    is_alive = procfs.is_dead(text_field(start, "process"), pid, text_field(start, "host")) is False
    return (run if is_alive else ""), pid


def _start(mark: Mark, folder: str, run: str) -> Fields:
    """Return the first line of a mark's run."""
    reader = journal_lines.Reader(folder, beginning_of(mark), f'"run":"{run}"'.encode())
    for line in journal_lines.parts(reader.lines()):
        if line.startswith(_STARTED) and raw_field(line, b"run") == run:
            return next(iter(journal_lines.decode(line)), {})
    return {}


def _processes_above() -> set[int]:
    """Return the ids of this process and of those above it."""
    above: set[int] = set()
    pid = os.getpid()
    while pid and pid not in above:
        above.add(pid)
        fields = procfs.stat_fields(pid)
        pid = int(fields[1]) if fields else 0
    return above
