"""What a report says, as plain values: the page and the text only lay it out.

Times are POSIX seconds, durations seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

from autotask.tool.journal.record import Record
from autotask.tool.troubles.trouble import Trouble

# What became of a task's runs in a day, or of one run, the worst first.
FAILED, MISSED, INSIDE, RUNNING = "failed", "missed", "inside", "running"
OTHER, OK, NONE = "other", "ok", "none"


class Key(NamedTuple):
    """What a task is told from others by."""

    task: str
    framework: str


class Cell(NamedTuple):
    """The runs of a task that started in a day."""

    runs: int = 0
    succeeded: int = 0
    failed: int = 0
    inside: int = 0  # failed because a task inside did
    running: int = 0  # started then or before, and not ended yet
    missed: int = 0  # times that it was due, and did not run

    @property
    def kind(self) -> str:
        """The worst of it."""
        if self.failed:
            return FAILED
        if self.missed:
            return MISSED
        if self.inside:
            return INSIDE
        if self.running:
            return RUNNING
        if self.succeeded:
            return OK
        return OTHER if self.runs else NONE


class Task(NamedTuple):
    """A task in the period."""

    key: Key
    number: int  # of its section
    days: Sequence[Cell]
    rate: float | None  # of the runs that ended and were neither skipped nor retried
    runs: int
    failed: int
    retried: int
    running: int  # now, since whenever
    last_run: float | None
    last_status: str | None
    server: bool
    next_due: float | None
    verdict: str | None
    usual: float | None  # the median duration of the last successes; None for a server
    band: tuple[float, float] | None  # the durations between which eight of ten of them are
    last: float | None  # the duration of the last success
    missed: Sequence[float]  # when it was due in the period, and did not run
    troubles: Sequence[Trouble]

    @property
    def matters(self) -> bool:
        """Whether there is more to tell of it than that all is well."""
        return bool(self.failed or self.missed or self.troubles)


class Bar(NamedTuple):
    """Runs of a task that follow each other closely."""

    begin: float
    end: float
    runs: int
    kind: str
    second: bool  # it begins while another run of the task is going on


class Lane(NamedTuple):
    """A task's runs of the night."""

    task: Task
    bars: Sequence[Bar]
    missed: Sequence[float]  # when it was due, and did not run
    beside: Sequence[Task]  # the tasks that ran at the same time for longest, the longest first
    rank: int = 0  # its place among the lanes, the one that matters most first


class Point(NamedTuple):
    """How long a run took."""

    at: float
    duration: float
    kind: str


class Detail(NamedTuple):
    """What is told of a task that matters, beside its row."""

    failures: Sequence[Record]  # the last ones, newest first
    points: Sequence[Point]  # the last runs, oldest first


class Report(NamedTuple):
    """All of it."""

    host: str
    home: str
    now: float
    zone: str | None  # the name of the reader's, if it has one
    night: float  # when the last night began
    since: float  # the beginning of the period
    dates: Sequence[date]  # of the calendar
    runs: int  # in the night
    ran: int  # tasks in the night
    failed: int  # runs in the night, whether or not they are a trouble
    by_hand: int  # of these, started at a terminal
    troubles: Sequence[Trouble]  # of the night, the worst first
    records: Mapping[str, Record]  # runs of these troubles
    recovered: Mapping[str, float]  # when the task of a failed run first succeeded since
    tasks: Sequence[Task]  # those that matter first
    lanes: Sequence[Lane]  # in the order of their starts
    unshown: int  # tasks that ran in the night, or should have, and have no lane
    details: Mapping[Key, Detail]
