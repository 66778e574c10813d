"""The launcher's view of its command's runs: it follows them in the journal, and closes them."""

from __future__ import annotations

import time

from autotask.around.closing import Closer, endings, explained
from autotask.around.lock import Alone
from autotask.around.marks_left import (
    few_mark_paths,
    has_all_lines,
    launched_by,
    owner_of,
    read_marks,
    remove_done,
    unmoved,
)
from autotask.around.story import Open, Story
from autotask.run import TIMEOUT
from autotask.telling import OPEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from autotask.journal import Journal
    from autotask.run import Outcome, Run
    from autotask.settings import Settings


class Tail:
    """Follows the runs of a launcher's command in the journal, and closes what it leaves open."""

    def __init__(
        self,
        settings: Settings,
        notes: Journal,
        position: tuple[str, int],
        run: Run,
        process: str,
    ) -> None:
        self._home = settings.home or ""
        self._run = run
        self._key = process, run.pid
        self._position = unmoved(position, time.monotonic() - run.clock)
        self._story = Story({run.root}, notes.folder, self._position)
        self._closer = Closer(settings, notes)
        self._seen_dead: set[str] = set()  # open runs of dead processes, at the last look
        own = {"run": run.id, "root": run.root, "task": run.task, "framework": run.framework}
        self.own = Open({**own, "process": process, "pid": run.pid})
        self._story.know(self.own)

    def catch_up(self) -> None:
        """Read what has been appended."""
        self._story.catch_up()

    def has_begun(self) -> bool:
        """Tell whether the command's own first line is in the journal."""
        return self._story.begun

    def others_open(self) -> list[Open]:
        """Return the open runs under the command's, without those that launchers inside close."""
        own = self._run.id
        inside = [
            run
            for run in self._story.open.values()
            if run.id != own and (own in run.programs or own == self._run.root)
        ]
        if not inside:
            return []
        named = {name for run in inside for name in (*run.programs, run.id, run.parent, run.root)}
        launched = launched_by(self._home, named - {own})
        return [run for run in inside if not run.is_under(launched)]

    def close_lost(self) -> None:
        """Close the runs of processes that have died, except the command's own process."""
        runs = [run for run in self.others_open() if run.key != self._key]
        self._closer.close_lost(self._story, runs)

    def close_long_lost(self) -> None:
        """Close those that were dead at the last look: a parent may know why (`children`)."""
        runs = [run for run in self.others_open() if run.key != self._key]
        dead = {run.id: run for run in runs if run.is_dead()}
        again = [run for run in dead.values() if run.id in self._seen_dead]
        if again:
            with Alone(self._home, OPEN) as alone:
                if alone:
                    self._closer.close_lost(self._story, again)
        self._seen_dead = set(dead)

    def close_all(self, outcome: Outcome) -> Outcome:
        """Close what the command has left open; return the outcome of the command's own run."""
        if outcome.reason == TIMEOUT:
            self._closer.stopped = outcome
        self.close_lost()
        own = self._story.open.get(self._run.id)
        others = [run for run in self._story.of([self._key])[self._key] if run is not own]
        self._closer.look_for_told(others)
        if own and others and not has_all_lines(self._home, self._key):
            del self._story.open[own.id]  # the others may not have ended as the command has
            self._closer.close_dead(self._story, [self._key], parent=True)
            outcome = explained(own, outcome)
        else:
            outcome = self._close_own(outcome)
        self._remove_marks()
        return outcome

    def _close_own(self, outcome: Outcome) -> Outcome:
        for run, ended in list(endings(self._story.of([self._key])[self._key], outcome)):
            if run.id == self._run.id:
                outcome = ended
            else:
                duration = max(0.0, time.time() - run.started)
                self._closer.close(self._story, run, ended, duration)
        self._story.open.pop(self._run.id, None)
        return outcome

    def _remove_marks(self) -> None:
        """Remove the marks of dead processes under the command, if all of their lines were read."""
        root, begin, pids = self._run.root, self._position, set(map(str, self._story.pids))
        done = [
            mark
            for mark in read_marks(p for p in few_mark_paths(self._home) if owner_of(p)[0] in pids)
            if mark.dead and mark.root == root and not mark.launched and mark.position >= begin
        ]
        if done:
            self._story.catch_up()
        remove_done(done, self._story)
