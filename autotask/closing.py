"""Close the runs that a dead process has left open, as truthfully as can be known.

The launcher does it for its command as soon as that has ended; for all others it is done by
whoever comes by next (`sweep`). What tells of them is the journal; where to look in it, the marks.
"""

from __future__ import annotations

import os
import stat
import time

from autotask import journal
from autotask.guard import guarded
from autotask.marks import marks_folder
from autotask.process import is_dead
from autotask.run import Outcome, failure, passed_on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, BinaryIO

    from autotask.config import Settings
    from autotask.dogstatsd import Wire
    from autotask.run import Run

    Event = dict[str, Any]

_LOST = failure("lost")
_FINISHED = b'{"event":"finished","run":"'
_SETTLED = 2 * 3600.0  # seconds after which `autotask prune` may have written a segment anew
_TORN_KEPT = 24 * 3600.0  # seconds for which a mark that cannot be read may be one being written


class Open:
    """A run that the journal has seen start, and not end."""

    def __init__(self, event: Event) -> None:
        self.id = _text(event, "run")
        self.root = _text(event, "root")
        self.parent = _text(event, "parent")
        self.task = _text(event, "task")
        self.framework = _text(event, "framework")
        self.trigger = _text(event, "trigger") or "unknown"
        self.process = _text(event, "process")
        self.pid = _number(event, "pid") or 0
        self.key = self.process, self.pid  # processes of one clock tick share the first
        self.host = _text(event, "host")
        self.started = _timestamp(_text(event, "at"))
        self.event = event
        self.programs: tuple[str, ...] = ()  # the process runs around it, outermost first
        self.failed: Event | None = None  # the end of the last run directly under it that failed
        self.raised: Event | None = None  # what the program itself said it died of

    def is_dead(self) -> bool:
        """Tell whether the run's process is known to be gone."""
        return bool(self.process) and is_dead(self.process, self.pid, self.host) is True


class Story:
    """The open runs of one root, as the journal's lines tell it one after the other."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.open: dict[str, Open] = {}

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
        around = self.open.get(run.parent)
        if around is not None:
            run.programs = around.programs
            if around.framework == "process":
                run.programs += (around.id,)
        self.open.setdefault(run.id, run)

    def _end(self, run: str, event: Event) -> None:
        ended = self.open.pop(run, None)
        if ended is None or event.get("reason") == "lost":  # cut off by the end, no cause of it
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
    """Let what the journal knows of a program's failure explain the status it has ended with."""
    if run.framework != "process" or outcome.status != "failure":
        return outcome
    raised, failed = run.raised, run.failed
    if raised is not None and _agrees(raised, outcome, ("exit", "lost")):
        return failure(
            _text(raised, "reason") or "exception",
            exit_code=_number(raised, "exit_code"),
            signal=outcome.signal,
            error=_error(raised),
            caused_by=_text(raised, "caused_by") or None,
        )
    if failed is not None and _agrees(failed, outcome, ("exit",)):
        return passed_on(outcome, _text(failed, "caused_by") or _text(failed, "run"))
    return outcome


def _agrees(event: Event, outcome: Outcome, reasons: tuple[str, ...]) -> bool:
    """Tell whether a failure that was seen inside can be what a program's status tells of."""
    if outcome.reason in reasons:
        code = _number(event, "exit_code")
        return outcome.exit_code is None or code is None or code == outcome.exit_code
    if outcome.reason == "interrupted":
        return event.get("reason") in ("interrupted", "nested")
    return outcome.signal is not None and event.get("signal") == outcome.signal


class Reader:
    """Reads the lines from a place in the journal on, each once; of one root, if one is given."""

    def __init__(self, folder: str, position: tuple[str, int], root: str = "") -> None:
        self._folder = folder
        self._first, offset = position
        self._offsets = {self._first: offset}
        self._needle = f'"root":"{root}"'.encode() if root else b""

    def lines(self) -> Iterator[bytes]:
        """Yield the lines that have come since the last time."""
        try:
            names = sorted(name for name in os.listdir(self._folder) if name >= self._first)
        except OSError:
            return
        for name in names:
            if name.endswith(".jsonl"):
                yield from self._new_in(name)
        if len(names) > 1:
            self._first = names[-2]  # in which a slow writer may still write

    def _new_in(self, name: str) -> Iterator[bytes]:
        offset = self._offsets.get(name, 0)
        try:
            file = _opened(os.path.join(self._folder, name))
        except OSError:
            return
        with file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # torn, or being written
                offset += len(line)
                if self._needle in line:
                    yield line
        self._offsets[name] = offset


def _opened(path: str) -> BinaryIO:
    """Open a file to read. A pipe under its name, which nobody may ever write to, is none."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise FileNotFoundError(path)
    return open(path, "rb")


def events(line: bytes) -> list[Event]:
    """Return what a line tells: one event, as a rule; what can be saved of a torn one."""
    from autotask.lines import pieces  # json takes 6 ms: not before there is something to read

    return [event for _, event in pieces(line)]


class Closer:
    """Writes the ends of runs that can't write them any more, and sends them."""

    def __init__(self, settings: Settings, ours: journal.Journal) -> None:
        self._settings = settings
        self._journal = ours
        self._wires: dict[str, Wire] = {}

    def close(self, story: Story, run: Open, outcome: Outcome, duration: float | None) -> None:
        """Close a run. Where the journal does not take it, it stays open, for another to close."""
        line = journal.finished_line(run.id, run.root, time.time(), outcome, duration, None, None)
        if not self._journal.append(line):
            return
        for event in events(line.encode()):
            story.add(event)
        if self._settings.dogstatsd:
            self._wire(run.event).finished(
                run.task, run.framework, run.trigger, outcome, duration, run.host
            )

    def close_lost(self, story: Story, runs: Iterable[Open]) -> None:
        """Close those of some runs whose processes are dead; when they died is not known."""
        wanted = {run.id: run.key for run in runs if run.is_dead()}
        for key in dict.fromkeys(wanted.values()):
            for run, outcome in list(story.endings(key, _LOST)):
                if run.id in wanted:
                    self.close(story, run, outcome, None)

    def finish(self) -> None:
        """Let go of the sockets."""
        for wire in self._wires.values():
            wire.close()

    def _wire(self, event: Event) -> Wire:
        """Return the wire that carries the tags of the process that ran it."""
        from autotask.dogstatsd import Wire

        names = ("service", "env", "version", "tags")
        key = repr([event.get(name) for name in names])
        if key not in self._wires:
            settings = object.__new__(type(self._settings))
            settings.__dict__.update(self._settings.__dict__)
            settings.service, settings.env, settings.version = (
                _text(event, name) or None for name in names[:3]
            )
            settings.tags = _strings(event.get("tags"))
            self._wires[key] = Wire(settings)
        return self._wires[key]


class Mark:
    """A mark as it lies in the folder: which process, and where its runs begin."""

    def __init__(self, path: str, fields: Event) -> None:
        self.path = path
        self.root = _text(fields, "root")
        self.position = _text(fields, "segment"), _number(fields, "offset") or 0
        name = os.path.basename(path)
        # The run of a command whose launcher left the mark; `process` is then the launcher.
        self.launched = name.partition("-")[2] if name.startswith("launcher-") else ""
        process, pid = self.key = _text(fields, "process"), _number(fields, "pid") or 0
        self.dead = is_dead(process, pid, _text(fields, "host")) is True

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
    """Return the marks of a home; those that nobody can read are removed in time."""
    folder = marks_folder(home)
    try:
        paths = [os.path.join(folder, name) for name in os.listdir(folder)]
    except OSError:
        return []
    return [mark for mark in map(_read_mark, paths) if mark is not None]


def _read_mark(path: str) -> Mark | None:
    try:
        with _opened(path) as file:
            data, written = file.read(4096), os.fstat(file.fileno()).st_mtime
    except OSError:
        return None
    for fields in events(data):
        if _text(fields, "root"):
            return Mark(path, fields)
    if time.time() - written > _TORN_KEPT:
        Mark(path, {}).remove()
    return None


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
        self._reader = Reader(ours.folder, position, run.root)
        self._story = Story(run.root)
        self._closer = Closer(settings, ours)
        self._first = f'{{"event":"started","run":"{run.id}"'.encode()
        own = {"run": run.id, "root": run.root, "task": run.task, "framework": run.framework}
        self._story.open[run.id] = Open({**own, "process": process, "pid": run.pid})

    def catch_up(self) -> None:
        """Read what has been appended."""
        for line in self._reader.lines():
            if not line.startswith(self._first):  # known, and mostly the only one
                for event in events(line):
                    self._story.add(event)

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
        launched = {mark.launched for mark in marks(self._home) if not mark.dead} - {own}
        return [run for run in inside if launched.isdisjoint((*run.programs, run.id))]

    def close_lost(self) -> None:
        """Close the runs of processes that have died, except the command's own process."""
        runs = [run for run in self.others_open() if run.key != self._key]
        self._closer.close_lost(self._story, runs)

    def close_all(self, outcome: Outcome) -> Outcome:
        """Close what the command has left open; return what its end makes of its own run."""
        self.close_lost()
        for run, ended in list(self._story.endings(self._key, outcome)):
            if run.id == self._run.id:
                outcome = ended
            else:
                duration = max(0.0, time.time() - run.started)
                self._closer.close(self._story, run, ended, duration)
        self._story.open.pop(self._run.id, None)
        for mark in marks(self._home):
            if mark.root == self._run.root and not mark.launched:
                _remove_if_done(mark, self._story.open.values())
        return outcome


def _remove_if_done(mark: Mark, still_open: Iterable[Open]) -> None:
    """Remove the mark of a dead process none of whose runs is open any more."""
    if mark.dead and not any(mark.is_of(run) for run in still_open):
        mark.remove()


@guarded
def sweep(settings: Settings) -> None:
    """Close the runs of all processes of a home that have died with nobody beside them."""
    home = settings.home
    if not home or not any(mark.dead for mark in marks(home)):
        return
    with _Alone(home) as alone:
        if alone:
            _sweep(settings, home)


class _Alone:
    """A lock on the folder of marks, which is never waited for: whoever holds it does the work."""

    def __init__(self, home: str) -> None:
        self._folder = marks_folder(home)
        self._file = -1

    def __enter__(self) -> bool:
        import fcntl

        self._file = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def _sweep(settings: Settings, home: str) -> None:
    found = marks(home)
    launched = {mark.launched for mark in found if not mark.dead} - {""}
    ours = journal.Journal(home)
    closer = Closer(settings, ours)
    roots = {mark: {mark.root, *_open_roots(ours.folder, mark)} for mark in found if mark.dead}
    left: list[Open] = []
    for root in dict.fromkeys(root for several in roots.values() for root in several):
        related = [mark for mark in found if root in roots.get(mark, (mark.root,))]
        story = _story(ours.folder, min(map(_beginning, related)), root)
        runs = [run for run in story.open.values() if launched.isdisjoint((*run.programs, run.id))]
        closer.close_lost(story, runs)
        left += story.open.values()
    for mark in roots:
        _remove_if_done(mark, left)
    closer.finish()


def _open_roots(folder: str, mark: Mark) -> set[str]:
    """Return the roots of a dead process's open runs: each run under no other is one."""
    if mark.launched:
        return set()  # all that a launcher starts is of one root
    process = f'"process":{journal.quoted(mark.key[0])}'.encode()
    roots: dict[str, str] = {}  # by run
    for line in Reader(folder, _beginning(mark)).lines():
        if process in line:
            for event in events(line):
                roots[_text(event, "run")] = _text(event, "root")
        elif line.startswith(_FINISHED):
            roots.pop(line[len(_FINISHED) : len(_FINISHED) + 16].decode("ascii", "replace"), None)
    return set(roots.values())


def _beginning(mark: Mark) -> tuple[str, int]:
    """Return where to read from: the whole segment, if it may have been written anew since."""
    segment, offset = mark.position
    settled = segment < journal.segment(time.time() - _SETTLED)
    return segment, 0 if settled else offset


def _story(folder: str, position: tuple[str, int], root: str) -> Story:
    story = Story(root)
    for line in Reader(folder, position, root).lines():
        for event in events(line):
            story.add(event)
    return story


def _text(event: Event, name: str) -> str:
    value = event.get(name)
    return value if isinstance(value, str) else ""


def _number(event: Event, name: str) -> int | None:
    value = event.get(name)
    return value if isinstance(value, int) else None


def _strings(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {key: text for key, text in value.items() if isinstance(text, str)}


def _error(event: Event) -> dict[str, str] | None:
    return _strings(event.get("error")) or None


def _timestamp(at: str) -> float:
    """Return the POSIX time of a journal's moment; 0 where it is none."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0
