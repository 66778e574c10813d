"""on_failure: which failures of a command are told.

Each failure under the command but those that another one has caused: at the end, and of a command
that runs for long each minute. Most commands succeed: what tells is loaded after a failure
(`failure_calls`).
"""

from __future__ import annotations

import os
import time

from autotask.around import journal_lines
from autotask.around.journal_lines import Reader, raw_field
from autotask.journal import finished_line, segment, started_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from autotask.around.command_settings import CommandSettings
    from autotask.journal import Journal
    from autotask.run import End, Run

_STARTED, _FINISHED = b'{"event":"started"', b'{"event":"finished"'
_MOST = 100  # tasks told at one look
_SOON = 3600.0  # seconds for which a position in the journal surely holds
_LARGEST = 1 << 20  # bytes of output


class Failures:
    """The failures under a command that have not been told yet."""

    def __init__(
        self,
        asked: CommandSettings,
        run: Run,
        notes: Journal | None,
        position: tuple[str, int],
    ) -> None:
        self._asked = asked
        self._own = run
        self._home = notes.home if notes else None
        self._reader: Reader | None = None
        if notes:
            needle = f'"root":"{run.root}"'.encode()
            self._reader = Reader(notes.folder, _holding(position, run), needle)
        self._starts: dict[str, bytes] = {}  # the first lines of open runs
        # By task: how many failed, and the lines of the last one.
        self._failed: dict[str, tuple[int, str, str]] = {}
        # By run: those around it that failed because it did, the innermost first.
        self._around: dict[str, list[str]] = {}
        self._is_last = False  # no other look comes
        self._output: str | None = None  # of the command
        self._cause: str | None = None  # the run in it that has made it fail

    def add_own(self, fields: str, end: End) -> None:
        """Take the end of the command's own run, which the journal may not have taken."""
        run, outcome, self._output = self._own, end.outcome, end.output
        self._is_last = True
        if outcome.reason == "nested":
            self._cause = outcome.caused_by
        elif outcome.status == "failure":
            self._add(run.task, started_line(run, fields), finished_line(run, end))

    def tell(self) -> None:
        """Look for failures in the journal; start the lines that tell of them."""
        for part in journal_lines.parts(self._reader.lines() if self._reader else ()):
            self._take(part)
        failed, around = self._failed, self._around
        tasks = [task for task in failed if self._asked.line_for(task)]
        self._failed = {task: failed[task] for task in tasks[_MOST:]}  # for the next look
        self._around = around if self._failed else {}
        if tasks:
            from autotask.around import failure_calls, failure_notes

            if self._is_last and self._failed:
                failure_notes.add(self._home, self._own.id, "left", tasks=len(self._failed))
            calls = []
            for task in tasks[:_MOST]:
                try:
                    call = failure_calls.Call(str(self._asked.line_for(task)), *failed[task])
                except ValueError:  # a newer autotask has written these lines
                    continue
                # A launcher around this one may have told it before its own end.
                if self._asked.around and failure_notes.begun(self._home, call.run):
                    continue
                call.output = self._output_of(call.run, around.get(call.run, []))
                calls.append(call)
            if calls:
                failure_calls.start(calls, self._home, self._asked)

    def _output_of(self, run: str, around: list[str]) -> str | None:
        """Return the end of a run's output, or of one *around* it that failed because it did."""
        if run == self._own.id:
            return self._output
        for candidate in (run, *around):
            text = _kept(self._home, candidate)
            if text is not None:
                return text
        return self._output if run == self._cause else None

    def _take(self, line: bytes) -> None:
        run, own = raw_field(line, b"run"), self._own
        if run == own.id:
            return
        if line.startswith(_STARTED):
            parent = raw_field(line, b"parent")
            # Of another launcher's tree are those that are neither under us nor under one of ours.
            if own.root == own.id or parent == own.id or parent in self._starts:
                self._starts[run] = line
        elif line.startswith(_FINISHED):
            start = self._starts.pop(run, None)
            if start is None or raw_field(line, b"status") != "failure":
                return
            if raw_field(line, b"reason") == "nested":
                self._around.setdefault(raw_field(line, b"caused_by"), []).append(run)
                return
            for event in journal_lines.decode(start):
                task = journal_lines.text_field(event, "task")
                self._add(task, start.decode("utf-8", "replace"), line.decode("utf-8", "replace"))

    def _add(self, task: str, started: str, finished: str) -> None:
        count = self._failed.pop(task, (0,))[0]
        self._failed[task] = count + 1, started.rstrip("\n"), finished.rstrip("\n")


def _holding(position: tuple[str, int], run: Run) -> tuple[str, int]:
    age = time.monotonic() - run.clock
    if age < _SOON and position[0] <= segment(time.time()):
        return position
    from autotask.around.marks_left import unmoved

    return unmoved(position, age)


def _kept(home: str | None, run: str) -> str | None:
    """Return the end of a run's output, if it was kept in the home."""
    if home is None:
        return None
    from autotask.around.output_kept import FOLDER

    try:
        with journal_lines.open_owned(os.path.join(home, FOLDER, run)) as file:
            return file.read(_LARGEST).decode("utf-8", "replace")
    except OSError:
        return None
