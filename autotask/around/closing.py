"""Close the runs that a dead process has left open, as truthfully as can be known."""

from __future__ import annotations

import os
import time

from autotask import journal
from autotask.around import elsewhere, journal_lines
from autotask.around.journal_lines import error_field, number_field, text_field
from autotask.around.marks_left import LAUNCHER, mark_paths, owner_of, read_mark
from autotask.marks import BECAME, TOLD
from autotask.run import SUCCESS, failure, passed_on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeVar

    from autotask.around.journal_lines import Event
    from autotask.around.marks_left import Mark
    from autotask.around.story import Open, Story
    from autotask.dogstatsd import Wire
    from autotask.run import Outcome
    from autotask.settings import Settings

    W = TypeVar("W", bound=Wire)

_LOST = failure("lost")
# Fields of a started line that become tags.
_TAGGED = ("service", "env", "version", "tags", "entity")


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
        for event in journal_lines.read(line.encode()):
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
            for run, ended in list(endings(runs, outcome)):
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
        for path in mark_paths(self._journal.home) if who else ():
            if os.path.basename(path).startswith((TOLD, BECAME)):
                owner, *rest = owner_of(path)
                owner = rest[0] if owner == LAUNCHER and rest else owner
                mark = read_mark(path) if owner in who else None
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
            text_field(event, name) or None for name in _TAGGED[:3]
        )
        settings.tags = journal_lines.strings(event.get("tags"))
        settings.entity_id = type(ours)({"DD_ENTITY_ID": text_field(event, "entity")}).entity_id
        wires[key] = make(settings)
    return wires[key]


def endings(runs: list[Open], outcome: Outcome) -> Iterator[tuple[Open, Outcome]]:
    """Yield the end of each open run of a process that has ended so, inner ones first.

    What killed the process hit the innermost run; those around it are `nested`.
    """
    causes: dict[str, str] = {}
    for run in reversed(runs):
        cause = causes.get(run.id)
        ended = passed_on(outcome, cause) if cause else explained(run, outcome)
        if ended.status == "failure":
            causes.setdefault(run.parent, ended.caused_by or run.id)
        yield run, ended


def explained(run: Open, outcome: Outcome) -> Outcome:
    """Let what the journal knows of a program's failure explain the status it has ended with.

    Any run that is still open then ends as the program: one that became another program by exec.
    """
    if outcome.status != "failure":
        return outcome
    raised, failed = run.raised, run.failed
    if raised is not None and _agrees(raised, outcome, ("exit", "lost")):
        return failure(
            text_field(raised, "reason") or "exception",
            exit_code=number_field(raised, "exit_code"),
            signal=outcome.signal,
            error=error_field(raised),
            caused_by=text_field(raised, "caused_by") or None,
        )
    if failed is not None and _agrees(failed, outcome, ("exit",)):
        return passed_on(outcome, text_field(failed, "caused_by") or text_field(failed, "run"))
    return outcome


def _agrees(event: Event, outcome: Outcome, reasons: tuple[str, ...]) -> bool:
    """Tell whether a failure that was seen inside can be what a program's status tells of."""
    if outcome.reason in reasons:
        code = number_field(event, "exit_code")
        return outcome.exit_code is None or code is None or code == outcome.exit_code
    if outcome.reason == "interrupted":
        return event.get("reason") in ("interrupted", "nested")
    return outcome.signal is not None and event.get("signal") == outcome.signal
