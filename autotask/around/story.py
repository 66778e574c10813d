"""The open runs of some roots, as the journal shows them."""

from __future__ import annotations

from autotask.around import elsewhere, journal_lines
from autotask.around.journal_lines import number_field, raw_field, text_field
from autotask.procfs import is_dead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from autotask.around.journal_lines import Fields
    from autotask.run import Outcome


class Open:
    """A run whose start is in the journal, and whose end is not."""

    def __init__(self, event: Fields) -> None:
        self.id = text_field(event, "run")
        self.root = text_field(event, "root")
        self.parent = text_field(event, "parent")
        self.task = text_field(event, "task")
        self.framework = text_field(event, "framework")
        self.trigger = text_field(event, "trigger") or "unknown"
        self.process = text_field(event, "process")
        self.place = elsewhere.place_of(self.process)
        self.pid = number_field(event, "pid") or 0
        self.key = self.process, self.pid  # processes of one clock tick share the first
        self.host = text_field(event, "host")
        self.started = journal_lines.timestamp(text_field(event, "at"))
        self.queued = journal_lines.queued_fields(event)
        self.server = event.get("server") is True
        self.bookkeeping = event.get("bookkeeping") is True
        self.was_stopped = False  # only the process itself knows
        self.hides_status = False  # that of a run under it need not be its own
        self.event = event
        self.programs: tuple[str, ...] = ()  # the process runs around it, outermost first
        self.failed: Fields | None = None  # the end of the last run directly under it that failed
        self.raised: Fields | None = None  # the exception that ended the program, as it told

    def is_dead(self) -> bool:
        """Tell whether the run's process is known to be gone."""
        return bool(self.process) and is_dead(self.process, self.pid, self.host) is True

    def is_under(self, commands: set[str]) -> bool:
        """Tell whether it is one of these runs, or under one, whose start may be missing."""
        return not commands.isdisjoint((*self.programs, self.id, self.parent, self.root))


class Story:
    """The open runs of some roots, kept up to date line by line."""

    def __init__(self, roots: set[str], folder: str, position: tuple[str, int]) -> None:
        self.open: dict[str, Open] = {}
        self._roots = roots
        needle = f'"root":"{min(roots)}"' if len(roots) == 1 else ""
        self._reader = journal_lines.Reader(folder, position, needle.encode())
        self._known: tuple[bytes, ...] = ()
        self.begun = False  # its first line was there
        self.pids: set[int] = set()  # of the processes whose runs it has
        self._ended: set[str] = set()  # runs whose end is before their start: a clock was set back
        self._lost: dict[str, Open] = {}  # ended as `lost`, which their own end replaces

    def know(self, run: Open) -> None:
        """Take a run that is known already: its first line is not decoded, mostly the only one."""
        self.open[run.id] = run
        self.pids.add(run.pid)
        self._known = (f'{{"event":"started","run":"{run.id}"'.encode(),)

    def catch_up(self) -> None:
        """Read what has been appended."""
        for line in journal_lines.parts(self._reader.lines()):
            if line.startswith(self._known):
                self.begun = True
            elif raw_field(line, b"root") in self._roots:
                for event in journal_lines.decode(line):
                    self.add(event)
        self._ended.clear()

    def add(self, event: Fields) -> None:
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

    def end(self, run: Open, outcome: Outcome) -> None:
        """Take an end that this process has journalled itself."""
        self._end(run.id, {"run": run.id, **vars(outcome)})

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

    def _end(self, run: str, event: Fields) -> None:
        ended = self.open.pop(run, None) or self._lost.pop(run, None)
        if ended is None:
            self._ended.add(run)
            return
        if event.get("reason") == "lost":  # cut off by the end, not a cause of it
            self._lost[run] = ended
            return
        if event.get("status") == "failure" and ended.parent in self.open:
            from autotask.frameworks import HAS_OWN_STATUSES  # few commands have such an end

            around = self.open[ended.parent]
            if ended.framework in HAS_OWN_STATUSES or around.hides_status:
                event = {**event, "exit_code": None}
            around.failed = event

    def of(self, keys: Iterable[tuple[str, int]]) -> dict[tuple[str, int], list[Open]]:
        """Return the open runs of some processes, outer ones first."""
        runs: dict[tuple[str, int], list[Open]] = {key: [] for key in keys}
        for run in self.open.values():
            if run.key in runs:
                runs[run.key].append(run)
        return runs
