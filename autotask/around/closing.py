"""Close the runs that a dead process has left open, with the end that is known to be true."""

from __future__ import annotations

import os
import time

from autotask.around import elsewhere, journal_lines
from autotask.around.journal_lines import error_field, number_field, text_field
from autotask.around.marks_left import LAUNCHER, mark_paths, owner_of, read_mark
from autotask.marks import BECAME
from autotask.run import SUCCESS, End, failure, is_stop, passed_on
from autotask.settings import Settings
from autotask.telling import TOLD, Teller

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeVar

    from autotask.around.journal_lines import Fields
    from autotask.around.marks_left import Mark
    from autotask.around.story import Open, Story
    from autotask.dogstatsd import Wire
    from autotask.journal import Journal
    from autotask.protocols import Tagged
    from autotask.run import Outcome

    W = TypeVar("W", bound=Wire)

_LOST = failure("lost")
# Fields of a started line that become tags.
_TAGGED = ("service", "env", "version", "tags", "entity")


class Closer:
    """Journals the ends of runs whose processes cannot, and sends them."""

    def __init__(self, settings: Settings, journal: Journal) -> None:
        self._settings = settings
        self._journal = journal
        self._wires: dict[str, Wire] = {}
        # Processes by key or, if the mark is empty, by id; and runs of launched commands.
        self._told: set[object] = set()
        self._became: set[object] = set()  # processes by key
        self.stopped: Outcome | None = None  # of runs of the dead, if a time limit has ended them

    def close(self, story: Story, run: Open, outcome: Outcome, duration: float | None) -> None:
        """Close a run. If the journal does not take the line, it stays open for another closer."""
        if is_stop(run, outcome):
            outcome = SUCCESS
        is_sent = self._settings.dogstatsd and not self.is_told(run)
        if run.bookkeeping and outcome.status in journal_lines.UNREMARKABLE:
            is_sent = False
        teller = Teller(run.host, self._journal, self._wire(run.event) if is_sent else None)
        if teller.end(run, End(outcome, time.time(), duration), keep=False):
            story.end(run, outcome)

    def close_lost(self, story: Story, runs: Iterable[Open], unseen: Iterable[Mark] = ()) -> None:
        """Close those of some runs whose processes are dead; when they died is not known.

        *unseen* are the marks of the dead that cannot be seen from here.
        """
        ended = elsewhere.ended_with(unseen)
        runs = list(runs)
        gone = {key for key, run in {run.key: run for run in runs}.items() if run.is_dead()}
        dead = dict.fromkeys(
            run.key for run in runs if run.key in gone or elsewhere.has_ended(run, ended)
        )
        if dead:
            story.catch_up()  # they may have written lines since the last reading
            self.close_dead(story, dead)

    def close_dead(
        self, story: Story, keys: Iterable[tuple[str, int]], parent: bool = False
    ) -> None:
        """Close the runs of dead processes; the story must have all of their lines."""
        processes = story.of(keys)
        self.look_for_told(run for runs in processes.values() for run in runs)
        for key, runs in processes.items():
            # A process that became another program, without a *parent* that saw how that ended: all
            # that is known is that nothing had failed.
            outcome = SUCCESS if key in self._became and not parent else self.stopped or _LOST
            for run, ended in list(endings(runs, outcome)):
                self.close(story, run, ended, None)

    def finish(self) -> None:
        """Close the sockets."""
        for wire in self._wires.values():
            wire.close()

    def is_told(self, run: Open) -> bool:
        """Tell whether its process has sent the end itself, and only could not journal it."""
        return not self._told.isdisjoint((run.key, run.id, str(run.pid)))

    def look_for_told(self, runs: Iterable[Open]) -> None:
        """Find which processes of some runs have sent ends that they could not journal.

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

    def _wire(self, event: Fields) -> Wire:
        """Return the wire for runs with the tags of a started line."""
        from autotask.dogstatsd import Wire

        settings, refused = self._settings, self._journal.tell_unsent
        return wire_for(
            event,
            self._wires,
            lambda tagged: Wire(settings.destination, tagged, settings.events, refused),
        )


class LineTags:
    """The tags of the process that has written a started line.

    They are never the tags of the process that reads it, nor is the pod.
    """

    def __init__(self, event: Fields) -> None:
        self.service = text_field(event, "service") or None
        self.env = text_field(event, "env") or None
        self.version = text_field(event, "version") or None
        self.tags = journal_lines.strings(event.get("tags"))
        self.entity_id = Settings({"DD_ENTITY_ID": text_field(event, "entity")}).entity_id


def wire_for(event: Fields, wires: dict[str, W], make: Callable[[Tagged], W]) -> W:
    """Return which of *wires* carries the tags of a started line; if none does, *make* it."""
    key = repr([event.get(name) for name in _TAGGED])
    if key not in wires:
        wires[key] = make(LineTags(event))
    return wires[key]


def endings(runs: list[Open], outcome: Outcome) -> Iterator[tuple[Open, Outcome]]:
    """Yield the ends of the open runs of a process that has ended with *outcome*, inner ones first.

    What killed the process hit the innermost run; those around it are `nested`.
    """
    causes: dict[str, str] = {}
    for run in reversed(runs):
        cause, ended = causes.get(run.id), explained(run, outcome)
        if cause:
            ended = passed_on(ended, cause)
        if ended.status == "failure":
            causes.setdefault(run.parent, ended.caused_by or run.id)
        yield run, ended


def explained(run: Open, outcome: Outcome) -> Outcome:
    """Return a program's outcome with what the journal knows of its failure.

    Without such a line, a run that is still open ends as the program does: after exec, for example.
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


def _agrees(event: Fields, outcome: Outcome, reasons: tuple[str, ...]) -> bool:
    """Tell whether a failure that was seen inside can be why the program has ended so."""
    if outcome.reason in reasons:
        code = number_field(event, "exit_code")
        return outcome.exit_code is None or code is None or code == outcome.exit_code
    if outcome.reason == "interrupted":
        return event.get("reason") in ("interrupted", "nested")
    return outcome.signal is not None and event.get("signal") == outcome.signal
