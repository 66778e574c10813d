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
# Seconds from the begin of a segment after which `autotask prune` may have written it anew, which
# it does after two hours: an offset of before is read well before that, or not at all.
_SETTLED = 1.5 * 3600.0
_SOME = 16  # marks that a launcher looks at when it starts
_MANY = 1000  # marks in a home: a launcher leaves it to `autotask` to go through more
_NEAR = 1 << 21  # bytes at the end of the journal, in which a launcher looks for lost runs
_LAUNCHER = "launcher"  # begins the name of a launcher's mark
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
    """The open runs of some roots, as the journal's lines tell it one after the other."""

    def __init__(self, roots: set[str], folder: str, position: tuple[str, int]) -> None:
        self.open: dict[str, Open] = {}
        self._roots = roots
        needle = f'"root":"{min(roots)}"' if len(roots) == 1 else ""
        self._reader = events.Reader(folder, position, needle.encode())
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
            elif events.field(line, b"root") in self._roots:
                for event in events.read(line):
                    self.add(event)
        self._ended.clear()

    def add(self, event: Event) -> None:
        """Take the next line."""
        run = event.get("run")
        if not isinstance(run, str) or event.get("root") not in self._roots:
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

    def of(self, keys: Iterable[tuple[str, int]]) -> dict[tuple[str, int], list[Open]]:
        """Return the open runs of some processes, outer ones first."""
        found: dict[tuple[str, int], list[Open]] = {key: [] for key in keys}
        for run in self.open.values():
            if run.key in found:
                found[run.key].append(run)
        return found


def _endings(runs: list[Open], outcome: Outcome) -> Iterator[tuple[Open, Outcome]]:
    """Yield the end of each open run of a process that has ended so, inner ones first.

    What killed the process hit the innermost run; those around it are `nested`.
    """
    causes: dict[str, str] = {}
    for run in reversed(runs):
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
        self._told: set[object] = set()  # processes by key or, of an empty mark, id; launched runs
        self._became: set[object] = set()  # processes by key

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
        ended = elsewhere.ended_with(unseen)
        some = list(runs)
        gone = {key for key, run in {run.key: run for run in some}.items() if run.is_dead()}
        dead = dict.fromkeys(
            run.key for run in some if run.key in gone or elsewhere.has_ended(run, ended)
        )
        if dead:
            story.catch_up()  # with what they wrote between our reading and their end
            self.close_dead(story, dead)

    def close_dead(
        self, story: Story, keys: Iterable[tuple[str, int]], parent: bool = False
    ) -> None:
        """Close the runs of processes that are dead, and all of whose lines were read."""
        processes = story.of(keys)
        self.look_for_told(run for runs in processes.values() for run in runs)
        for key, runs in processes.items():
            # One that became another program with no *parent*: its end is unknown.
            outcome = SUCCESS if key in self._became and not parent else _LOST
            for run, ended in list(_endings(runs, outcome)):
                self.close(story, run, ended, None)

    def finish(self) -> None:
        """Let go of the sockets."""
        for wire in self._wires.values():
            wire.close()

    def is_told(self, run: Open) -> bool:
        """Tell whether its process has sent the end itself, and could only not write it down."""
        return not self._told.isdisjoint((run.key, run.id, str(run.pid)))

    def look_for_told(self, runs: Iterable[Open]) -> None:
        """Look which processes of some runs have sent ends that they could not write down.

        And which have become other programs.
        """
        self._told, self._became = set(), set()
        who = {name for run in runs for name in (run.id, str(run.pid))}
        for path in _paths(self._journal.home) if who else ():
            if os.path.basename(path).startswith((TOLD, BECAME)):
                owner, *rest = _owner(path)
                owner = rest[0] if owner == _LAUNCHER and rest else owner
                mark = _read_mark(path) if owner in who else None
                if mark and mark.root:
                    (self._told if mark.told else self._became).add(mark.launched or mark.key)
                elif owner in who and os.path.basename(path).startswith(TOLD):  # it may be empty
                    self._told.add(owner)

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
        if launcher != _LAUNCHER:
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


def _few_paths(home: str) -> list[str]:
    """Return the marks of a home; none if they are so many that it takes long to read them."""
    found: list[str] = []
    try:
        with os.scandir(marks_folder(home)) as entries:
            for entry in entries:
                if len(found) == _MANY:
                    return []
                found.append(entry.path)
    except OSError:
        return []
    return found


def _owner(path: str) -> list[str]:
    """Return what a mark's name says of its process, whatever has become of that.

    Its id and its first run; of a launcher that it is one, its run, and its id.
    """
    name = path.rpartition("/")[2]
    return name.removeprefix(TOLD).removeprefix(ENDED).removeprefix(BECAME).split("-")


def _has_all_lines(home: str, key: tuple[str, int]) -> bool:
    """Tell whether the journal has every line of a dead process, as its mark shows.

    A process that has got past its end, or that was refused a line by a full disk, has its mark
    under another name, or none.
    """
    changed = set()
    for path in _paths(home):
        if _owner(path)[0] == str(key[1]):
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
        self._position = _unmoved(position, time.monotonic() - run.clock)
        self._story = Story({run.root}, ours.folder, self._position)
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
        own = self._story.open.get(self._run.id)
        others = [run for run in self._story.of([self._key])[self._key] if run is not own]
        self._closer.look_for_told(others)
        if own and others and not _has_all_lines(self._home, self._key):
            del self._story.open[own.id]  # the others may have ended otherwise than the command
            self._closer.close_dead(self._story, [self._key], parent=True)
            outcome = _explained(own, outcome)
        else:
            outcome = self._close_own(outcome)
        self._remove_marks()
        return outcome

    def _close_own(self, outcome: Outcome) -> Outcome:
        for run, ended in list(_endings(self._story.of([self._key])[self._key], outcome)):
            if run.id == self._run.id:
                outcome = ended
            else:
                duration = max(0.0, time.time() - run.started)
                self._closer.close(self._story, run, ended, duration)
        self._story.open.pop(self._run.id, None)
        return outcome

    def _remove_marks(self) -> None:
        """Remove the marks of the dead below us: of those only we have read all that they wrote."""
        root, begin, pids = self._run.root, self._position, set(map(str, self._story.pids))
        found = [
            mark
            for mark in _read_marks(p for p in _few_paths(self._home) if _owner(p)[0] in pids)
            if mark.dead and mark.root == root and not mark.launched and mark.position >= begin
        ]
        if found:
            self._story.catch_up()
        _remove_done(found, self._story)


def _launched(home: str, of: set[str]) -> set[str]:
    """Return which of some runs have a launcher that lives: it will close what is under them."""
    return {
        mark.launched
        for mark in _launchers(p for p in _paths(home) if not of.isdisjoint(_owner(p)))
    }


def under_launchers(home: str) -> set[str]:
    """Return the runs of commands whose launchers live, and the roots of these."""
    return {run for mark in _launchers(_paths(home)) for run in (mark.launched, mark.root)}


def forgotten(home: str, starts: Iterable[Event]) -> set[str]:
    """Return which old runs count as ended: no mark tells of them, and no process can be seen.

    *starts* are their first lines.
    """
    names: set[object] = set()
    for mark in marks(home):
        if not mark.dead:
            names |= {mark.launched, (mark.place, mark.root)} if mark.launched else {mark.key}
    return {
        run.id
        for run in map(Open, starts)
        if names.isdisjoint((run.id, run.key, (run.place, run.root)))
        and (not run.process or is_dead(run.process, run.pid, run.host) is None)
    }


def _launchers(paths: Iterable[str]) -> list[Mark]:
    """Return which marks are of launchers that live, and have not done their work yet."""
    return _living(_read_marks(path for path in paths if _owner(path)[0] == _LAUNCHER))


def _living(found: list[Mark]) -> list[Mark]:
    return [mark for mark in found if mark.launched and not (mark.dead or mark.is_over)]


def _remove_done(dead: list[Mark], story: Story) -> None:
    """Remove the marks of dead processes none of whose runs is open any more."""
    still_open = {name for run in story.open.values() for name in (run.id, run.key)}
    for mark in dead:
        if (mark.launched or mark.key) not in still_open:
            mark.remove()


@guarded
def sweep(settings: Settings) -> None:
    """Close the runs of all processes of a home that have died with nobody beside them."""
    home = settings.home
    if home:
        found = _tidied(home, _paths(home))
        if any(mark.dead for mark in found):
            with Alone(home, OPEN) as alone:
                if alone:
                    _sweep(settings, home, found, ("", 0))


@guarded
def sweep_some(settings: Settings, run: str) -> None:
    """Sweep if that is cheap, and any of some marks is of a dead process.

    Which ones is left to chance, a *run*'s id: those who start after us look at others.
    """
    home = settings.home
    paths = _few_paths(home) if home else []
    if not home or not paths:
        return
    first = int(run, 16) % len(paths)
    dead = [mark for mark in _tidied(home, (paths[first:] + paths[:first])[:_SOME]) if mark.dead]
    limit = events.near(os.path.join(home, "journal"), _NEAR) if dead else ("", 0)
    if any(_beginning(mark) >= limit for mark in dead):
        with Alone(home, OPEN) as alone:
            if alone:
                _sweep(settings, home, _read_marks(paths), limit)


def _tidied(home: str, paths: list[str]) -> list[Mark]:
    """Return the marks of some paths; remove old marks that cannot be read."""
    found = [mark for mark in map(_read_mark, paths) if mark is not None]
    old = [mark for mark in found if mark.old]
    if old:
        with Alone(home, OPEN) as alone:  # only where the folder is ours
            for mark in old if alone else ():
                mark.remove()
    left = [mark for mark in found if not mark.old]
    elsewhere.judge(left)
    return left


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


def _sweep(settings: Settings, home: str, found: list[Mark], limit: tuple[str, int]) -> None:
    """Close what the dead among all marks of a home have left open behind a place in the journal.

    However many they are, that takes two passes over the lines.
    """
    begins: dict[str, tuple[str, int]] = {}  # by root
    for mark in found:
        begin = _beginning(mark)
        begins[mark.root] = min(begin, begins.get(mark.root, begin))
    dead = [mark for mark in found if mark.dead and begins[mark.root] >= limit]
    if not dead:
        return
    ours = journal.Journal(home)
    roots = {mark.root for mark in dead}
    roots |= _open_roots(ours.folder, min(begins[root] for root in roots), dead)
    position = min(begins[root] for root in roots if root in begins)
    story = Story(roots, ours.folder, max(position, limit))
    story.catch_up()
    known = {mark.path for mark in found}
    new = _launchers(path for path in _paths(home) if path not in known)  # begun meanwhile
    launched = {mark.launched for mark in _living(found) + new}
    closer = Closer(settings, ours)
    runs = [run for run in story.open.values() if not run.is_under(launched)]
    closer.close_lost(story, runs, [mark for mark in dead if mark.unseen])
    _remove_done(dead, story)
    closer.finish()
    ours.close()


@guarded
def close_unmarked(
    settings: Settings, home: str, starts: Iterable[Event], living: set[str]
) -> None:
    """Close runs that no mark tells of, for a full disk took none.

    *starts* are their first lines. Their processes are dead or `forgotten`, and all of their lines
    were read after we had looked for *living* launchers (`under_launchers`), and while we are
    `Alone`.
    """
    ours = journal.Journal(home)
    by_root: dict[str, list[Event]] = {}
    for event in starts:
        by_root.setdefault(events.text(event, "root"), []).append(event)
    closer, story = Closer(settings, ours), Story(set(by_root), ours.folder, ("", 0))
    for root, several in by_root.items():
        if living.isdisjoint((root, *(events.text(event, "run") for event in several))):
            for event in several:  # else a launcher will do it
                story.add(event)
    closer.close_dead(story, [run.key for run in story.open.values()])
    closer.finish()
    ours.close()


def _open_roots(folder: str, position: tuple[str, int], dead: list[Mark]) -> set[str]:
    """Return the roots of the open runs of dead processes: each run under no other is one.

    All that a launcher starts is of one root, which its mark tells.
    """
    processes = {mark.key[0] for mark in dead if mark.key[0] and not mark.launched}
    quoted = {journal.quoted(process)[1:-1] for process in processes}
    roots: dict[str, str] = {}  # by run
    for line in events.parts(events.Reader(folder, position).lines() if processes else ()):
        if line.startswith(_FINISHED):
            roots.pop(events.field(line, b"run"), None)
        elif events.field(line, b"process") in quoted:
            for event in events.read(line):
                if events.text(event, "process") in processes:
                    roots[events.text(event, "run")] = events.text(event, "root")
    return set(roots.values())


def _beginning(mark: Mark) -> tuple[str, int]:
    """Return where to read from."""
    return _unmoved(mark.position)


def _unmoved(position: tuple[str, int], age: float | None = None) -> tuple[str, int]:
    """Return a place in the journal; a segment's begin where it may have been written anew since.

    If the clock was set back since that, *age* seconds ago, it is the begin of what was that hour
    by the clock of now. The begin of the journal if the age is not known.
    """
    name, offset = position
    now = time.time()
    if name > journal.segment(now):
        return ("" if age is None else journal.segment(now - age)), 0
    return (name, 0) if name <= journal.segment(now - _SETTLED) else (name, offset)
