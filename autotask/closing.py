"""Close the runs that a dead process has left open, as truthfully as can be known.

The launcher does it for its command as soon as that has ended; for all others the
next command does (`sweep`). What tells of them is the journal; where to look in it, the marks.
"""

from __future__ import annotations

import os
import time

from autotask import elsewhere, events, journal
from autotask.guard import guarded
from autotask.journal import OWED
from autotask.marks import BECAME, ENDED, OPEN, TOLD, marks_folder
from autotask.process import is_dead, start_time
from autotask.run import SUCCESS, Outcome, failure, passed_on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeVar

    from autotask.config import Settings
    from autotask.dogstatsd import Wire
    from autotask.events import Event
    from autotask.run import Run

    W = TypeVar("W", bound=Wire)

_LOST = failure("lost")
# Fields of a started line that become tags.
_TAGGED = ("service", "env", "version", "tags", "entity")
_FINISHED = b'{"event":"finished","run":"'
_SETTLED = 2 * 3600.0  # seconds after which `autotask prune` may have written a segment anew
_SOME = 16  # marks that a launcher looks at when it starts
_TORN_KEPT = 24 * 3600.0  # seconds for which a mark that cannot be read may be one being written


class Open:
    """A run that the journal has seen start, and not end."""

    def __init__(self, event: Event) -> None:
        self.id = events.text(event, "run")
        self.root = events.text(event, "root")
        self.parent = events.text(event, "parent")
        self.task = events.text(event, "task")
        self.framework = events.text(event, "framework")
        self.trigger = events.text(event, "trigger") or "unknown"
        self.process = events.text(event, "process")
        self.place = elsewhere.place_of(self.process)
        self.pid = events.number(event, "pid") or 0
        self.key = self.process, self.pid  # processes of one clock tick share the first
        self.host = events.text(event, "host")
        self.started = events.timestamp(events.text(event, "at"))
        self.event = event
        self.programs: tuple[str, ...] = ()  # the process runs around it, outermost first
        self.failed: Event | None = None  # the end of the last run directly under it that failed
        self.raised: Event | None = None  # what the program itself said it died of

    def is_dead(self) -> bool:
        """Tell whether the run's process is known to be gone."""
        return bool(self.process) and is_dead(self.process, self.pid, self.host) is True

    def is_under(self, commands: set[str]) -> bool:
        """Tell whether one of these runs is around it, or is it; its first line may be to come."""
        return not commands.isdisjoint((*self.programs, self.id, self.parent, self.root))


class Story:
    """The open runs of one root, as the journal's lines tell it one after the other."""

    def __init__(self, root: str, folder: str, position: tuple[str, int]) -> None:
        self.root = root
        self.open: dict[str, Open] = {}
        self._reader = events.Reader(folder, position, f'"root":"{root}"'.encode())
        self._known: tuple[bytes, ...] = ()
        self.begun = False  # its first line was there
        self.pids: set[int] = set()  # of the processes whose runs it has
        self._ended: set[str] = set()  # whose end stands before their start: a clock was set back
        self._lost: dict[str, Open] = {}  # ended as `lost`, which their own end replaces

    def know(self, run: Open) -> None:
        """Take a run whose first line need not be read: it is mostly the only one."""
        self.open[run.id] = run
        self.pids.add(run.pid)
        self._known = (f'{{"event":"started","run":"{run.id}"'.encode(),)

    def catch_up(self) -> None:
        """Read what has been appended."""
        for line in events.parts(self._reader.lines()):
            if line.startswith(self._known):
                self.begun = True
            else:
                for event in events.read(line):
                    self.add(event)
        self._ended.clear()

    def add(self, event: Event) -> None:
        """Take the next line."""
        run = event.get("run")
        if not isinstance(run, str) or event.get("root") != self.root:
            return
        kind = event.get("event")
        if kind == "started":
            self._begin(Open(event))
        elif kind == "finished":
            self._end(run, event)
        elif kind == "raised" and run in self.open:
            self.open[run].raised = event

    def _begin(self, run: Open) -> None:
        self.pids.add(run.pid)
        if run.id in self._ended:
            self._ended.remove(run.id)
            return
        around = self.open.get(run.parent)
        if around is not None:
            run.programs = around.programs
            if around.framework == "process":
                run.programs += (around.id,)
        if self.open.setdefault(run.id, run) is not run:
            self.begun = True  # known, but its line was glued to another

    def _end(self, run: str, event: Event) -> None:
        ended = self.open.pop(run, None) or self._lost.pop(run, None)
        if ended is None:
            self._ended.add(run)
            return
        if event.get("reason") == "lost":  # cut off by the end, not a cause of it
            self._lost[run] = ended
            return
        if event.get("status") == "failure" and ended.parent in self.open:
            if ended.framework == "doit":  # has statuses of its own, whatever its command's was
                event = {**event, "exit_code": None}
            self.open[ended.parent].failed = event

    def endings(self, key: tuple[str, int], outcome: Outcome) -> Iterator[tuple[Open, Outcome]]:
        """Yield the end of each open run of a process that has ended so, inner ones first.

        What killed the process hit the innermost run; those around it are `nested`.
        """
        causes: dict[str, str] = {}
        for run in reversed([run for run in self.open.values() if run.key == key]):
            cause = causes.get(run.id)
            ended = passed_on(outcome, cause) if cause else _explained(run, outcome)
            if ended.status == "failure":
                causes.setdefault(run.parent, ended.caused_by or run.id)
            yield run, ended


def _explained(run: Open, outcome: Outcome) -> Outcome:
    """Let what the journal knows of a program's failure explain the status it has ended with.

    Any run that is still open then ends as the program: one that became another program by exec.
    """
    if outcome.status != "failure":
        return outcome
    raised, failed = run.raised, run.failed
    if raised is not None and _agrees(raised, outcome, ("exit", "lost")):
        return failure(
            events.text(raised, "reason") or "exception",
            exit_code=events.number(raised, "exit_code"),
            signal=outcome.signal,
            error=events.error(raised),
            caused_by=events.text(raised, "caused_by") or None,
        )
    if failed is not None and _agrees(failed, outcome, ("exit",)):
        return passed_on(outcome, events.text(failed, "caused_by") or events.text(failed, "run"))
    return outcome


def _agrees(event: Event, outcome: Outcome, reasons: tuple[str, ...]) -> bool:
    """Tell whether a failure that was seen inside can be what a program's status tells of."""
    if outcome.reason in reasons:
        code = events.number(event, "exit_code")
        return outcome.exit_code is None or code is None or code == outcome.exit_code
    if outcome.reason == "interrupted":
        return event.get("reason") in ("interrupted", "nested")
    return outcome.signal is not None and event.get("signal") == outcome.signal


class Closer:
    """Writes the ends of runs that can't write them any more, and sends them."""

    def __init__(self, settings: Settings, ours: journal.Journal) -> None:
        self._settings = settings
        self._journal = ours
        self._wires: dict[str, Wire] = {}
        self._told: dict[str, Mark | None] = {}  # by name
        self._became: set[tuple[str, int]] = set()  # processes, by key

    def close(self, story: Story, run: Open, outcome: Outcome, duration: float | None) -> None:
        """Close a run. Where the journal does not take it, it stays open, for another to close."""
        wire = self._wire(run.event) if self._settings.dogstatsd and not self.is_told(run) else None
        unsent = wire is not None and wire.is_paused()
        line = journal.finished_line(
            run.id, run.root, time.time(), outcome, duration, None, None, unsent
        )
        if not self._journal.append(line, keep=False):
            return
        for event in events.read(line.encode()):
            story.add(event)
        if wire and not unsent:
            wire.finished(
                *(run.task, run.framework, run.trigger, outcome, duration, run.host),
                lambda: self._journal.tell_unsent(run.id, run.root, "finished"),
            )

    def close_lost(self, story: Story, runs: Iterable[Open], unseen: Iterable[Mark] = ()) -> None:
        """Close those of some runs whose processes are dead; when they died is not known.

        *unseen* are the marks of the dead that cannot be seen from here.
        """
        marks = list(unseen)
        dead = dict.fromkeys(
            run.key for run in runs if run.is_dead() or elsewhere.has_ended(run, marks)
        )
        if dead:
            story.catch_up()  # with what they wrote between our reading and their end
        self.close_dead(story, dead)

    def close_dead(
        self, story: Story, keys: Iterable[tuple[str, int]], parent: bool = False
    ) -> None:
        """Close the runs of processes that are dead, and all of whose lines were read."""
        self.look_for_told()
        for key in keys:
            # One that became another program with no *parent*: its end is unknown.
            outcome = SUCCESS if key in self._became and not parent else _LOST
            for run, ended in list(story.endings(key, outcome)):
                self.close(story, run, ended, None)

    def finish(self) -> None:
        """Let go of the sockets."""
        for wire in self._wires.values():
            wire.close()

    def is_told(self, run: Open) -> bool:
        """Tell whether its process has sent the end itself, and could only not write it down."""
        names = f"{TOLD}{run.pid}-", f"{TOLD}launcher-{run.id}-"
        return any(
            mark.is_of(run) if mark and mark.root else name.startswith(names)  # it may be empty
            for name, mark in self._told.items()
        )

    def look_for_told(self) -> None:
        """Look which processes have sent ends that they could not write down.

        And which have become other programs.
        """
        paths = [os.path.split(path) for path in _paths(self._journal.home)]
        found = {
            name: _read_mark(os.path.join(folder, name))
            for folder, name in paths
            if name.startswith((TOLD, BECAME))
        }
        self._told = {name: mark for name, mark in found.items() if name.startswith(TOLD)}
        self._became = {mark.key for mark in found.values() if mark and not mark.told}

    def _wire(self, event: Event) -> Wire:
        """Return the wire that carries the tags of the process that ran it."""
        from autotask.dogstatsd import Wire

        return wire_for(event, self._wires, self._settings, Wire)


def wire_for(event: Event, wires: dict[str, W], ours: Settings, make: Callable[[Settings], W]) -> W:
    """Return which of *wires* carries the tags of the process that wrote a started line.

    If there is none yet, it is made, with our settings apart from these. The pod is the one that
    the line names, or none: it is never ours.
    """
    key = repr([event.get(name) for name in _TAGGED])
    if key not in wires:
        settings = object.__new__(type(ours))
        settings.__dict__.update(ours.__dict__)
        settings.service, settings.env, settings.version = (
            events.text(event, name) or None for name in _TAGGED[:3]
        )
        settings.tags = events.strings(event.get("tags"))
        settings.entity_id = type(ours)({"DD_ENTITY_ID": events.text(event, "entity")}).entity_id
        wires[key] = make(settings)
    return wires[key]


class Mark:
    """A mark as it lies in the folder: which process, and where its runs begin."""

    def __init__(self, path: str, fields: Event) -> None:
        self.path = path
        self.root = events.text(fields, "root")
        segment, offset = events.text(fields, "segment"), events.number(fields, "offset") or 0
        self.position = (segment, max(offset, 0)) if events.is_segment(segment) else ("", 0)
        self.old = False  # unreadable, and too old to be still being written
        name = os.path.basename(path)
        self.told = name.startswith(TOLD)  # its ends are on the wire, and not in the journal
        self.is_over = self.told or name.startswith(ENDED)
        name = name.removeprefix(TOLD).removeprefix(ENDED)
        # The run of a command whose launcher left the mark, and the launcher's process id.
        launcher, self.launched, self.launcher = (*name.split("-"), "", "")[:3]
        if launcher != "launcher":
            self.launched = self.launcher = ""
        process, pid = self.key = events.text(fields, "process"), events.number(fields, "pid") or 0
        dead = is_dead(process, pid, events.text(fields, "host"))
        self.dead = dead is True
        # What `elsewhere.judge` needs to know of processes that we cannot see.
        self.unseen = dead is None and bool(self.root)
        self.place = elsewhere.place_of(process)
        self.is_first = pid == 1
        self.can_lock = type(fields.get("locked")) is bool  # and touches its mark
        self.held: bool | None = None  # by its launcher; None: unknown
        self.changed = 0.0  # POSIX seconds
        self.forgotten = False  # dead because nothing was heard of it for days

    def look_at(self, file: int, has_lock: bool) -> None:
        """Note when the mark was touched, and whether its launcher still holds a lock on it."""
        self.changed = os.fstat(file).st_ctime
        if self.launched and has_lock:
            self.held = elsewhere.is_held(file, self.key[0])

    def is_of(self, run: Open) -> bool:
        """Tell whether a run is one of those that the mark was left for."""
        return run.id == self.launched if self.launched else run.key == self.key

    def remove(self) -> None:
        """Take the mark away for good."""
        try:
            os.unlink(self.path)
        except OSError:
            return


def marks(home: str) -> list[Mark]:
    """Return the marks of a home. Of those that nobody can read, living launchers' count.

    A full disk has taken their names only. Old ones are removed by `sweep`.
    """
    return _read_marks(_paths(home))


def _read_marks(paths: Iterable[str]) -> list[Mark]:
    found = [mark for mark in map(_read_mark, paths) if mark is not None and not mark.old]
    elsewhere.judge(found)
    return found


def _paths(home: str) -> list[str]:
    folder = marks_folder(home)
    try:
        return [os.path.join(folder, name) for name in os.listdir(folder)]
    except OSError:
        return []


def _owner(path: str) -> str:
    """Return what a mark's name says of its process, whatever has become of that: its id first."""
    name = os.path.basename(path)
    return name.removeprefix(TOLD).removeprefix(ENDED).removeprefix(BECAME)


def _has_all_lines(home: str, key: tuple[str, int]) -> bool:
    """Tell whether the journal has every line of a dead process, as its mark shows.

    A process that has got past its end, or that was refused a line by a full disk, has its mark
    under another name, or none.
    """
    changed = set()
    for path in _paths(home):
        if _owner(path).startswith(f"{key[1]}-"):
            name, mark = os.path.basename(path), _read_mark(path)
            if mark is None or mark.key == key:  # it may be empty
                changed.add(name.startswith((TOLD, ENDED)) or name.endswith(OWED))
    return changed == {False}


def _read_mark(path: str) -> Mark | None:
    try:
        with events.opened(path) as file:
            data, status = file.read(4096), os.fstat(file.fileno())
            for fields in events.read(data):
                if events.text(fields, "root"):
                    mark = Mark(path, fields)
                    if mark.unseen:
                        mark.look_at(file.fileno(), fields.get("locked") is True)
                    return mark
    except OSError:
        return None
    torn = Mark(path, {})
    torn.old = time.time() - (status.st_mtime or status.st_ctime) > _TORN_KEPT  # 0: it is signed
    return torn if torn.old or (torn.launcher and start_time(torn.launcher)) else None


class Tail:
    """What a launcher reads of its command's runs, and closes of them."""

    def __init__(
        self,
        settings: Settings,
        ours: journal.Journal,
        position: tuple[str, int],
        run: Run,
        process: str,
    ) -> None:
        self._home = settings.home or ""
        self._run = run
        self._key = process, run.pid
        self._position = _not_ahead(position, time.monotonic() - run.clock)
        self._story = Story(run.root, ours.folder, self._position)
        self._closer = Closer(settings, ours)
        own = {"run": run.id, "root": run.root, "task": run.task, "framework": run.framework}
        self._story.know(Open({**own, "process": process, "pid": run.pid}))

    def catch_up(self) -> None:
        """Read what has been appended."""
        self._story.catch_up()

    def has_begun(self) -> bool:
        """Tell whether the command's own first line is in the journal."""
        return self._story.begun

    def others_open(self) -> list[Open]:
        """Return the open runs under the command's, but not those under launchers inside."""
        own = self._run.id
        inside = [
            run
            for run in self._story.open.values()
            if run.id != own and (own in run.programs or own == self._run.root)
        ]
        if not inside:
            return []
        named = {name for run in inside for name in (*run.programs, run.id, run.parent, run.root)}
        launched = _launched(self._home, named - {own})
        return [run for run in inside if not run.is_under(launched)]

    def close_lost(self) -> None:
        """Close the runs of processes that have died, except the command's own process."""
        runs = [run for run in self.others_open() if run.key != self._key]
        self._closer.close_lost(self._story, runs)

    def close_all(self, outcome: Outcome) -> Outcome:
        """Close what the command has left open; return what its end makes of its own run."""
        self.close_lost()
        self._closer.look_for_told()
        own = self._story.open.get(self._run.id)
        others = any(run.key == self._key for run in self._story.open.values() if run is not own)
        if own and others and not _has_all_lines(self._home, self._key):
            del self._story.open[own.id]  # the others may have ended otherwise than the command
            self._closer.close_dead(self._story, [self._key], parent=True)
            outcome = _explained(own, outcome)
        else:
            outcome = self._close_own(outcome)
        self._remove_marks()
        return outcome

    def _close_own(self, outcome: Outcome) -> Outcome:
        for run, ended in list(self._story.endings(self._key, outcome)):
            if run.id == self._run.id:
                outcome = ended
            else:
                duration = max(0.0, time.time() - run.started)
                self._closer.close(self._story, run, ended, duration)
        self._story.open.pop(self._run.id, None)
        return outcome

    def _remove_marks(self) -> None:
        """Remove the marks of the dead below us: of those only we have read all that they wrote."""
        root, begin, pids = self._run.root, self._position, self._story.pids
        named = tuple(f"{pid}-" for pid in pids)
        found = [
            mark
            for mark in _read_marks(p for p in _paths(self._home) if _owner(p).startswith(named))
            if mark.dead and mark.root == root and not mark.launched and mark.position >= begin
        ]
        if found:
            self._story.catch_up()
        for mark in found:
            _remove_if_done(mark, self._story.open.values())


def _launched(home: str, of: set[str] | None = None) -> set[str]:
    """Return the runs of commands whose launchers live: these will close what is under them.

    Only some runs' are looked for if these are given.
    """
    return {mark.launched for mark in _launchers(home, of)}


def under_launchers(home: str) -> set[str]:
    """Return the runs of commands whose launchers live, and the roots of these."""
    return {run for mark in _launchers(home) for run in (mark.launched, mark.root)}


def _launchers(home: str, of: set[str] | None = None) -> list[Mark]:
    """Return the marks of launchers that live, and have not done their work yet."""
    paths = [path for path in _paths(home) if _owner(path).startswith("launcher-")]
    if of is not None:
        paths = [path for path in paths if _owner(path).split("-")[1] in of]
    return [
        mark for mark in _read_marks(paths) if mark.launched and not (mark.dead or mark.is_over)
    ]


def _remove_if_done(mark: Mark, still_open: Iterable[Open]) -> None:
    """Remove the mark of a dead process none of whose runs is open any more."""
    if mark.dead and not any(mark.is_of(run) for run in still_open):
        mark.remove()


@guarded
def sweep(settings: Settings) -> None:
    """Close the runs of all processes of a home that have died with nobody beside them."""
    home = settings.home
    if home:
        _sweep_after(settings, home, _paths(home))


@guarded
def sweep_some(settings: Settings, run: str) -> None:
    """Sweep if any of some marks is of a dead process: cheap, however many there are.

    Which ones is left to chance, a *run*'s id: those who start after us look at others.
    """
    home = settings.home
    if home:
        paths = sorted(_paths(home))
        first = int(run, 16) % max(len(paths), 1)
        _sweep_after(settings, home, (paths[first:] + paths[:first])[:_SOME])


def _sweep_after(settings: Settings, home: str, paths: list[str]) -> None:
    """Sweep a home if any of these marks is of a dead process."""
    if _tidied(home, paths):
        with Alone(home, OPEN) as alone:
            if alone:
                _sweep(settings, home)


def _tidied(home: str, paths: list[str]) -> bool:
    """Remove unreadable old marks; tell whether any process has died."""
    found = [mark for mark in map(_read_mark, paths) if mark is not None]
    old = [mark for mark in found if mark.old]
    if old:
        with Alone(home, OPEN) as alone:  # only where the folder is ours
            for mark in old if alone else ():
                mark.remove()
    left = [mark for mark in found if not mark.old]
    elsewhere.judge(left)
    return any(mark.dead for mark in left)


class Alone:
    """A lock on a home or a folder in it, never waited for: the holder does the work."""

    def __init__(self, home: str, folder: str = ".") -> None:
        self._home, self._folder = home, folder
        self._file = -1

    def __enter__(self) -> bool:
        import fcntl

        try:
            self._file = journal.open_folder(self._home, self._folder)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def __exit__(self, *_: object) -> None:
        if self._file != -1:
            os.close(self._file)


def _sweep(settings: Settings, home: str) -> None:
    found = marks(home)
    ours = journal.Journal(home)
    closer = Closer(settings, ours)
    roots = {mark: {mark.root, *_open_roots(ours.folder, mark)} for mark in found if mark.dead}
    stories: list[Story] = []
    for root in dict.fromkeys(root for several in roots.values() for root in several):
        related = [mark for mark in found if root in roots.get(mark, (mark.root,))]
        stories.append(Story(root, ours.folder, min(map(_beginning, related))))
        stories[-1].catch_up()
    launched = _launched(home)  # only now: with those that have begun meanwhile
    left: list[Open] = []
    unseen = [mark for mark in found if mark.dead and mark.unseen]
    for story in stories:
        runs = [run for run in story.open.values() if not run.is_under(launched)]
        closer.close_lost(story, runs, unseen)
        left += story.open.values()
    for mark in roots:
        _remove_if_done(mark, left)
    closer.finish()
    ours.close()


@guarded
def close_unmarked(
    settings: Settings, home: str, starts: Iterable[Event], living: set[str]
) -> None:
    """Close runs that no mark tells of, for a full disk took none.

    *starts* are their first lines. Their processes are dead, and all of their lines were read after
    we had looked for *living* launchers (`under_launchers`), and while we are `Alone`.
    """
    ours = journal.Journal(home)
    closer, stories = Closer(settings, ours), dict[str, Story]()
    for event in starts:
        root = events.text(event, "root")
        stories.setdefault(root, Story(root, ours.folder, ("", 0))).add(event)
    for story in stories.values():
        if living.isdisjoint((story.root, *story.open)):  # else a launcher will do it
            closer.close_dead(story, dict.fromkeys(run.key for run in story.open.values()))
    closer.finish()
    ours.close()


def _open_roots(folder: str, mark: Mark) -> set[str]:
    """Return the roots of a dead process's open runs: each run under no other is one."""
    if mark.launched:
        return set()  # all that a launcher starts is of one root
    process = f'"process":{journal.quoted(mark.key[0])}'.encode()
    roots: dict[str, str] = {}  # by run
    for line in events.Reader(folder, _beginning(mark)).lines():
        if process in line:
            for event in events.read(line):
                roots[events.text(event, "run")] = events.text(event, "root")
        elif line.startswith(_FINISHED):
            roots.pop(events.field(line, b"run"), None)
    return set(roots.values())


def _beginning(mark: Mark) -> tuple[str, int]:
    """Return where to read from: the whole segment, if it may have been written anew since."""
    segment, offset = mark.position
    settled = segment < journal.segment(time.time() - _SETTLED)
    return _not_ahead((segment, 0 if settled else offset))


def _not_ahead(position: tuple[str, int], age: float = 0.0) -> tuple[str, int]:
    """Return a place in the journal, *age* seconds old.

    If the clock was set back since, it is the begin of what was that hour by the clock of now.
    """
    now = time.time()
    if position[0] <= journal.segment(now):
        return position
    return journal.segment(now - age), 0
