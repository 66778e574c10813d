"""End the runs of a dead child, for a parent that knows why it has died.

A pool of worker processes learns how its children end, by their wait status or because it has
killed them. The recorder hands on what such a parent knows (`recorder.end_child`): the one case in
which a task's process loads anything of this folder.
"""

from __future__ import annotations

import time

from autotask import procfs
from autotask.around import journal_lines
from autotask.around.closing import Closer, endings
from autotask.around.journal_lines import Reader, raw_field
from autotask.around.lock import Alone
from autotask.around.marks_left import beginning_of, mark_paths, owner_of, read_marks
from autotask.around.story import Story
from autotask.journal import Journal
from autotask.telling import OPEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from autotask.around.marks_left import Mark
    from autotask.run import Outcome
    from autotask.settings import Settings

_STARTED, _FINISHED = b'{"event":"started"', b'{"event":"finished"'
_PATIENCE = 2.0  # seconds to wait for another process that closes runs in this home
_MOST_TOLD = 1000  # children whose death was announced, and not seen yet

_told: dict[int, tuple[str, Outcome]] = {}  # identity and outcome of children, by process id


def end(settings: Settings, home: str | None, pid: int, outcome: Outcome | None) -> list[str]:
    """End the runs of child *pid* in a home if it is dead; else keep the outcome for later.

    Returns the tasks of the runs that have ended here.
    """
    started, known = procfs.start_time(pid), _told.pop(pid, None)
    if known and started in (None, known[0]):  # else another child has got its id
        outcome = known[1]
    if outcome is None:
        return []
    if started:
        while len(_told) >= _MOST_TOLD:
            _told.pop(next(iter(_told)))
        _told[pid] = started, outcome
    elif home:
        return _end_dead(settings, home, pid, outcome)
    return []


def _end_dead(settings: Settings, home: str, pid: int, outcome: Outcome) -> list[str]:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:  # after that, another process records them as lost
        paths = [path for path in mark_paths(home) if owner_of(path)[0] == str(pid)]
        if not paths:
            break
        with Alone(home, OPEN) as alone:
            if alone:
                return _close(settings, home, paths, pid, outcome)
        time.sleep(0.02)
    return []


def _close(
    settings: Settings, home: str, paths: list[str], pid: int, outcome: Outcome
) -> list[str]:
    tasks: list[str] = []
    marks = [m for m in read_marks(paths) if m.dead and m.key[1] == pid and not m.is_over]
    if not marks:
        return tasks
    notes = Journal(home)
    closer = Closer(settings, notes)
    for mark in marks:
        story = _story(notes.folder, mark)
        runs = list(story.open.values())
        closer.look_for_told(runs)
        for run, ended in list(endings(runs, outcome)):
            closer.close(story, run, ended, max(0.0, time.time() - run.started))
            tasks.append(run.task)
        if not story.open:
            mark.remove()
    closer.finish()
    notes.close()
    return tasks


def _story(folder: str, mark: Mark) -> Story:
    """Return the open runs of a mark's process.

    Only their own lines are decoded: a worker's journal may have many more since the mark.
    """
    process, pid = mark.key
    needle = f'"pid":{pid},'.encode()
    starts: dict[str, bytes] = {}
    for line in journal_lines.parts(Reader(folder, beginning_of(mark)).lines()):
        if line.startswith(_FINISHED):
            starts.pop(raw_field(line, b"run"), None)
        elif line.startswith(_STARTED) and needle in line:
            starts[raw_field(line, b"run")] = line
    events = [event for line in starts.values() for event in journal_lines.decode(line)]
    own = [event for event in events if (event.get("process"), event.get("pid")) == (process, pid)]
    story = Story({str(event.get("root")) for event in own} or {""}, folder, ("", 0))
    for event in own:
        story.add(event)
    return story
