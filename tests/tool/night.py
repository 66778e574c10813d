"""A night of 200 jobs after a month without trouble, and what each of them came to.

Each job has a story, and each story says, written by hand and not computed by the product, what
`check`, `tasks`, the report and the monitors have to say of it in the morning. The night is two
days ahead of the clock, so that the boot of this machine and the crontabs are older.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

from support import Tags
from tool.datadog.reading import Point
from tool.journals import HOST
from tool.schedule.machines import ME, Machine

from autotask import homes, journal, procfs
from autotask.queued import Queued
from autotask.run import SUCCESS, End, Outcome, Run, failure, passed_on
from autotask.tool.schedule import first_seen, machine

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
HISTORY = 30  # days
NOBODY = (1, "b/1/1")  # number and identity of a process that has ended
UTC = timezone.utc

# What `check` calls the troubles.
FAILED, IN_A_ROW, MISSED, LATE = "failed", "in a row", "missed", "late"
HANGING, SLOW, OVERLAP, RETRIES = "hanging", "slow", "overlap", "retries"


class Beat(NamedTuple):
    """When a job is due."""

    cron: str
    minutes: Sequence[int]  # of the day
    on: Callable[[date], bool] = lambda day: True

    def between(self, after: float, until: float) -> list[float]:
        """Return the times after the first and up to the second, in POSIX seconds."""
        first = datetime.fromtimestamp(after, UTC).date()
        days = [first + timedelta(number) for number in range(int((until - after) / DAY) + 2)]
        due = [
            _midnight(day) + 60 * minute for day in days if self.on(day) for minute in self.minutes
        ]
        return [at for at in due if after < at <= until]


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def daily(hour: int, minute: int = 0) -> Beat:
    """Return a beat once a day."""
    return Beat(f"{minute} {hour} * * *", [60 * hour + minute])


def hourly(minute: int) -> Beat:
    """Return a beat once an hour."""
    return Beat(f"{minute} * * * *", [60 * hour + minute for hour in range(24)])


@dataclass
class Start:
    """One run, and how it went."""

    task: str
    at: float  # POSIX seconds
    duration: float | None  # seconds; None: it still runs
    outcome: Outcome = SUCCESS
    framework: str = "process"
    trigger: str = "cron"
    inside: Start | None = None  # the run around it
    server: bool = False
    bookkeeping: bool = False
    attempt: int | None = None
    happens: bool = True

    def __post_init__(self) -> None:
        self.run = Run(self.task, self.framework)

    @property
    def end(self) -> float:
        """When it ended; never, if it still runs."""
        return float("inf") if self.duration is None else self.at + self.duration

    @property
    def status(self) -> str:
        """What became of it by the morning."""
        return "running" if self.duration is None else self.outcome.status


@dataclass(frozen=True)
class Truth:
    """What is right to say in the morning of one task."""

    told: Mapping[str, int] = field(default_factory=dict)  # by `check`: kinds, how many
    alerts: frozenset[str] = frozenset()  # kinds of monitors
    verdict: str | None = "ran"  # of `tasks`, as all that follow
    missed: int = 0
    last: str | None = "success"  # None: it is not listed, or has never run


class Job:
    """A line of a crontab, and its runs."""

    def __init__(self, name: str, number: int, story: Story, morning: float) -> None:
        self.name, self.number, self.story, self.morning = name, number, story, morning
        self.beat = story.beat(number, datetime.fromtimestamp(morning, UTC).date())
        self.usual = story.usual
        self.command = f"autotask-run --name {name} /opt/jobs/{name}.sh"
        self.is_new = False  # else it was seen a month ago
        dues = self.beat.between(morning - HISTORY * DAY, morning)
        self.runs = [
            Start(name, due + 5, self.usual * (1 + 0.02 * ((number + place) % 5 - 2) / 2))
            for place, due in enumerate(dues)
        ]
        self.others: list[Start] = []  # that were not due
        self.truths = {name + ending: truth for ending, truth in story.truths.items()}
        story.bring(self)

    @property
    def last(self) -> Start:
        """The run that was due last."""
        return self.runs[-1]

    def at(self, hour: int) -> Start:
        """Return the run of an hour of the night."""
        begin = self.morning - 7 * HOUR + hour * HOUR
        return next(run for run in self.runs if begin <= run.at < begin + HOUR)

    def add(self, start: Start) -> Start:
        """Add a run that was not due."""
        self.others.append(start)
        return start

    def inside(self, outer: Start, ending: str, framework: str = "click") -> Start:
        """Add the run of a task in the run of a program, which it fills."""
        duration = None if outer.duration is None else outer.duration - 1
        return self.add(
            Start(outer.task + ending, outer.at + 0.5, duration, SUCCESS, framework, inside=outer)
        )


_Bring = Callable[["Job"], None]


class Story(NamedTuple):
    """What happened to some of the jobs."""

    name: str
    jobs: int
    beat: Callable[[int, date], Beat]
    usual: float  # seconds that a run takes
    bring: _Bring
    truths: Mapping[str, Truth]  # by what follows the job's name in that of the task


# When: each takes the number of the job, and the date of the morning.


def _at_night(number: int, day: date) -> Beat:
    """From 00:00 to 04:59."""
    return daily(number % 5, 7 * number % 60)


def _each_hour(number: int, day: date) -> Beat:
    return hourly(5 + 11 * number % 40)


def _at_five_past(number: int, day: date) -> Beat:
    return hourly(5)


def _half_past_six(number: int, day: date) -> Beat:
    return daily(6, 30)


def _ten_to(number: int, day: date) -> Beat:
    return hourly(50)


def _a_minute_ago(number: int, day: date) -> Beat:
    return daily(6, 59)


def _quarters(number: int, day: date) -> Beat:
    return Beat("*/15 * * * *", range(0, 24 * 60, 15))


def _twice_a_day(number: int, day: date) -> Beat:
    return Beat(f"{number} 1,13 * * *", [60 + number, 13 * 60 + number])


def _this_weekday(number: int, day: date) -> Beat:
    return _weekday(day, number)


def _another_weekday(number: int, day: date) -> Beat:
    return _weekday(day - timedelta(1 + number % 3), number)


def _weekday(day: date, hour: int) -> Beat:
    wanted = day.isoweekday()
    on = f"30 {hour % 5} * * {wanted % 7}"
    return Beat(on, [60 * (hour % 5) + 30], lambda each: each.isoweekday() == wanted)


def _workdays(number: int, day: date) -> Beat:
    return Beat(f"{number} 2 * * 1-5", [120 + number], lambda each: each.isoweekday() < 6)


def _this_day(number: int, day: date) -> Beat:
    wanted = day.day
    return Beat(f"{number} 3 {wanted} * *", [180 + number], lambda each: each.day == wanted)


def _at_boot(number: int, day: date) -> Beat:
    return Beat("@reboot", [])


# What: each changes the runs of a job.

_WRONG = {"type": "ValueError", "message": "no rows", "where": "jobs.py:7"}
_FAILURES = (
    failure("exit", exit_code=3),
    failure("exception", error=_WRONG),
    failure("signal", signal="SIGSEGV"),
    failure("oom", signal="SIGKILL"),
    failure("timeout", exit_code=124),
    failure("usage", exit_code=2),
    failure("lost"),
)
_OVERLAP = Outcome("skipped", "overlap")


def _nothing(job: Job) -> None:
    del job


def _fails(job: Job) -> None:
    job.last.outcome = _FAILURES[job.number % len(_FAILURES)]


def _fails_at(*hours: int) -> _Bring:
    def bring(job: Job) -> None:
        for hour in hours:
            job.at(hour).outcome = _FAILURES[0]

    return bring


def _failed_before(job: Job) -> None:
    job.runs[-3].outcome = job.runs[-2].outcome = _FAILURES[0]


def _hangs(job: Job) -> None:
    job.last.duration = None


def _hangs_and_holds_up(job: Job) -> None:
    """Hang at two; what is due from then on is skipped, because that run still lives."""
    job.at(2).duration = None
    for hour in range(3, 7):
        job.at(hour).outcome, job.at(hour).duration = _OVERLAP, 0.01


def _does_not_run(job: Job) -> None:
    job.last.happens = False


def _does_not_run_at(*hours: int) -> _Bring:
    def bring(job: Job) -> None:
        for hour in hours:
            job.at(hour).happens = False

    return bring


def _has_not_run_for_20_days(job: Job) -> None:
    for start in job.runs[-20:]:
        start.happens = False


def _has_never_run(job: Job) -> None:
    job.runs = []


def _is_new(job: Job) -> None:
    job.runs, job.is_new = [], True


def _is_not_watched(job: Job) -> None:
    job.runs, job.command = [], f"/opt/jobs/{job.name}.sh"


def _starts_later(seconds: float) -> _Bring:
    def bring(job: Job) -> None:
        job.last.at += seconds

    return bring


def _takes(seconds: float) -> _Bring:
    def bring(job: Job) -> None:
        job.last.duration = seconds

    return bring


def _takes_until_the_next(job: Job) -> None:
    job.at(3).duration = 75 * MINUTE


def _lets_the_next_be_skipped(job: Job) -> None:
    job.at(3).duration = 75 * MINUTE
    job.at(4).outcome, job.at(4).duration = _OVERLAP, 0.01


def _also_by_hand(outcome: Outcome, duration: float | None) -> _Bring:
    def bring(job: Job) -> None:
        at = job.last.at + 30 * MINUTE
        job.add(Start(job.name, at, duration, outcome, trigger="terminal"))

    return bring


def _fails_and_is_repeated_by_hand(job: Job) -> None:
    _fails(job)
    _also_by_hand(SUCCESS, job.usual)(job)


def _does_not_run_but_by_hand(job: Job) -> None:
    _does_not_run(job)
    _also_by_hand(SUCCESS, job.usual)(job)


def _serves(job: Job) -> None:
    job.runs = [Start(job.name, job.morning - 5 * DAY, None, server=True)]


def _serves_until_it_crashes(job: Job) -> None:
    job.runs = [Start(job.name, job.morning - 5 * DAY, 4.9 * DAY, _FAILURES[2], server=True)]


def _serves_until_it_is_stopped(job: Job) -> None:
    job.runs = [Start(job.name, job.morning - 5 * DAY, 4.9 * DAY, server=True)]


def _retries(usually: int, tonight: int) -> _Bring:
    """Run a task in a worker that tries it again so many times before it succeeds."""

    def bring(job: Job) -> None:
        for program in job.runs:
            times = tonight if program is job.last else usually
            for attempt in range(1, times + 2):
                start = job.inside(program, ".mail", "celery")
                start.at += 10 * attempt
                start.duration, start.attempt = 5, attempt
                if attempt <= times:
                    start.outcome = Outcome("retried", "exception", error=_WRONG)

    return bring


def _inside(ending: str, tonight: Outcome = SUCCESS, is_passed_on: bool = True) -> _Bring:
    """Run a task in a program; if that fails tonight, so does the program, or it catches it."""

    def bring(job: Job) -> None:
        for program in job.runs:
            task = job.inside(program, ending)
            if program is job.last and tonight is not SUCCESS:
                task.outcome = tonight
                if is_passed_on:
                    program.outcome = passed_on(tonight, task.run.id)

    return bring


def _deep_inside(job: Job) -> None:
    """Fail in a task of a task of a program."""
    for program in job.runs:
        task = job.inside(program, ".run")
        step = job.inside(task, ".step")
        if program is job.last:
            step.outcome = _FAILURES[1]
            task.outcome = passed_on(step.outcome, step.run.id)
            program.outcome = passed_on(step.outcome, step.run.id)


def _hangs_inside(job: Job) -> None:
    job.last.duration = None
    for program in job.runs:
        job.inside(program, ".run")


def _keeps_books(tonight: Outcome) -> _Bring:
    """Run what a framework does for itself in a program."""

    def bring(job: Job) -> None:
        for program in job.runs:
            start = job.inside(program, ".cleanup", "celery")
            start.bookkeeping = True
            start.outcome = tonight if program is job.last else SUCCESS

    return bring


def _skips(job: Job) -> None:
    """Run a task in a program, which finds that it has nothing to do."""
    for program in job.runs:
        job.inside(program, ".build", "doit").outcome = Outcome("skipped")


# What is right to say.

_RAN = Truth()
_TASK = Truth(verdict=None)  # no crontab names it
_MISSED = Truth({MISSED: 1}, frozenset({"did_not_run"}), "missed", 1)
_MISSED_THREE = Truth({MISSED: 3}, frozenset({"did_not_run"}), "ran", 3)
_LATE = Truth({LATE: 1}, verdict="late")


def _failed(times: int = 1, last: str = "failure", verdict: str | None = "ran") -> Truth:
    return Truth({FAILED: times}, frozenset({"failed"}), verdict, last=last)


# Of a run that does not end, the monitor of the deadline knows no more than that: it alerts, too.
_HANGS = Truth({HANGING: 1}, frozenset({"hung", "did_not_run"}), last="running")
_SLOW = Truth({SLOW: 1}, frozenset({"slow"}))

STORIES = (
    # Nothing.
    Story("daily", 18, _at_night, 20 * MINUTE, _nothing, {"": _RAN}),
    Story("hourly", 3, _each_hour, 5 * MINUTE, _nothing, {"": _RAN}),
    Story("quarters", 1, _quarters, 40, _nothing, {"": _RAN}),
    Story("twice", 4, _twice_a_day, 5 * MINUTE, _nothing, {"": _RAN}),
    Story("weekly", 4, _this_weekday, 20 * MINUTE, _nothing, {"": _RAN}),
    Story("otherday", 4, _another_weekday, 20 * MINUTE, _nothing, {"": _RAN}),
    Story("workdays", 4, _workdays, 5 * MINUTE, _nothing, {"": _RAN}),
    Story("monthly", 2, _this_day, 5 * MINUTE, _nothing, {"": _RAN}),
    Story("justdue", 3, _a_minute_ago, 20, _does_not_run, {"": _RAN}),
    Story("long", 3, _half_past_six, 20 * MINUTE, _hangs, {"": Truth(last="running")}),
    Story("punctual", 3, _at_night, 5 * MINUTE, _starts_later(40 * MINUTE), {"": _RAN}),
    Story("slower", 4, _at_night, 20 * MINUTE, _takes(32 * MINUTE), {"": _RAN}),
    Story("oldfail", 4, _at_night, 5 * MINUTE, _failed_before, {"": _RAN}),
    Story("inside", 4, _at_night, 5 * MINUTE, _inside(".run"), {"": _RAN, ".run": _TASK}),
    Story(
        *("uptodate", 3, _at_night, 5 * MINUTE, _skips),
        {"": _RAN, ".build": Truth(verdict=None, last="skipped")},
    ),
    Story("waits", 2, _at_five_past, 50 * MINUTE, _lets_the_next_be_skipped, {"": _RAN}),
    Story("serves", 3, _at_boot, 0, _serves, {"": Truth(last="running")}),
    Story("stopped", 1, _at_boot, 0, _serves_until_it_is_stopped, {"": _RAN}),
    # Failures: each counts once, also after a success, and only under its own name.
    Story("fails", 12, _at_night, 5 * MINUTE, _fails, {"": _failed()}),
    Story("weekfail", 1, _this_weekday, 5 * MINUTE, _fails, {"": _failed()}),
    Story("recovers", 3, _each_hour, 5 * MINUTE, _fails_at(1), {"": _failed(1, "success")}),
    Story("failstwo", 3, _each_hour, 5 * MINUTE, _fails_at(2, 4), {"": _failed(2, "success")}),
    Story("thrice", 3, _each_hour, 5 * MINUTE, _fails_at(2, 3, 4), {"": _failed(3, "success")}),
    Story(
        "mended",
        2,
        _at_night,
        5 * MINUTE,
        _fails_and_is_repeated_by_hand,
        {"": _failed(1, "success")},
    ),
    Story("crashes", 1, _at_boot, 0, _serves_until_it_crashes, {"": _failed()}),
    Story(
        *("nested", 5, _at_night, 5 * MINUTE, _inside(".run", _FAILURES[1])),
        {"": Truth(last="failure"), ".run": _failed(verdict=None)},
    ),
    Story("samename", 4, _at_night, 5 * MINUTE, _inside("", _FAILURES[1]), {"": _failed()}),
    Story(
        *("caught", 2, _at_night, 5 * MINUTE, _inside(".run", _FAILURES[1], False)),
        {"": _RAN, ".run": _failed(verdict=None)},
    ),
    Story(
        *("deep", 3, _at_night, 5 * MINUTE, _deep_inside),
        {
            "": Truth(last="failure"),
            ".run": Truth(verdict=None, last="failure"),
            ".run.step": _failed(verdict=None),
        },
    ),
    # autotask.toml has failures_in_a_row = 3 for these.
    Story("rowtwo", 2, _each_hour, 5 * MINUTE, _fails_at(2, 3), {"": _RAN}),
    Story(
        *("rowthree", 3, _each_hour, 5 * MINUTE, _fails_at(2, 3, 4)),
        {"": Truth({IN_A_ROW: 1}, frozenset({"failed"}))},
    ),
    Story(
        *("rownow", 2, _each_hour, 5 * MINUTE, _fails_at(3, 4, 5, 6)),
        {"": Truth({IN_A_ROW: 1}, frozenset({"failed"}), last="failure")},
    ),
    # Not when it was due.
    Story("missed", 12, _at_night, 20 * MINUTE, _does_not_run, {"": _MISSED}),
    Story("weekmiss", 2, _this_weekday, 20 * MINUTE, _does_not_run, {"": _MISSED}),
    Story("gone", 3, _at_night, 5 * MINUTE, _has_not_run_for_20_days, {"": _MISSED}),
    Story("gaps", 3, _each_hour, 5 * MINUTE, _does_not_run_at(2, 3, 4), {"": _MISSED_THREE}),
    Story("toolate", 3, _at_night, 5 * MINUTE, _starts_later(4 * HOUR), {"": _MISSED}),
    Story("byhand", 2, _at_night, 5 * MINUTE, _does_not_run_but_by_hand, {"": _MISSED}),
    Story("late", 5, _half_past_six, 5 * MINUTE, _does_not_run, {"": _LATE}),
    Story("latehour", 1, _ten_to, 20, _does_not_run, {"": _LATE}),
    # As after a night in which the machine slept: cron makes up for it, and nothing is missing.
    Story(
        *("catchesup", 2, _at_night, 5 * MINUTE, _starts_later(2 * HOUR)),
        {"": Truth({LATE: 1}, frozenset({"did_not_run"}))},
    ),
    Story(
        *("never", 2, _at_night, 0, _has_never_run),
        {"": Truth({MISSED: 1}, frozenset({"did_not_run"}), "missed", 1, None)},
    ),
    Story("new", 3, _at_night, 0, _is_new, {"": Truth(verdict="never seen", last=None)}),
    Story("unwatched", 2, _at_night, 0, _is_not_watched, {"": Truth(verdict=None, last=None)}),
    # How long it took.
    Story("hangs", 8, _at_night, 20 * MINUTE, _hangs, {"": _HANGS}),
    Story(
        *("holds", 2, _at_five_past, 5 * MINUTE, _hangs_and_holds_up),
        {"": Truth({HANGING: 1}, frozenset({"hung", "did_not_run"}), last="skipped")},
    ),
    Story(
        *("hangsin", 2, _at_night, 20 * MINUTE, _hangs_inside),
        {
            "": Truth(last="running"),
            ".run": Truth({HANGING: 1}, frozenset({"hung", "did_not_run"}), None, 0, "running"),
        },
    ),
    Story("slow", 6, _at_night, 20 * MINUTE, _takes(50 * MINUTE), {"": _SLOW}),
    Story(
        *("veryslow", 2, _at_night, 20 * MINUTE, _takes(2 * HOUR)),
        {"": Truth({SLOW: 1}, frozenset({"slow", "hung", "did_not_run"}))},
    ),
    Story(
        *("overlaps", 3, _at_five_past, 50 * MINUTE, _takes_until_the_next),
        {"": Truth({OVERLAP: 1})},
    ),
    # More attempts in an hour than usual.
    Story(
        *("retries", 3, _at_night, 20 * MINUTE, _retries(2, 30)),
        {"": _RAN, ".mail": Truth({RETRIES: 1}, frozenset({"retries"}), None)},
    ),
    Story("tries", 3, _at_night, 20 * MINUTE, _retries(2, 3), {"": _RAN, ".mail": _TASK}),
    # What a person does, or what a framework does for itself.
    Story(
        *("handfail", 3, _at_night, 5 * MINUTE, _also_by_hand(_FAILURES[0], 60)),
        {"": Truth(last="failure")},
    ),
    Story(
        *("handhang", 2, _at_night, 5 * MINUTE, _also_by_hand(SUCCESS, None)),
        {"": Truth(last="running")},
    ),
    Story(
        *("books", 2, _at_night, 5 * MINUTE, _keeps_books(SUCCESS)),
        {"": _RAN, ".cleanup": Truth(verdict=None, last=None)},
    ),
    Story(
        *("badbooks", 2, _at_night, 5 * MINUTE, _keeps_books(_FAILURES[1])),
        {"": _RAN, ".cleanup": _failed(verdict=None)},
    ),
    # autotask.toml says that nobody wants to know.
    Story("silent", 2, _at_night, 5 * MINUTE, _fails, {"": Truth(verdict=None, last="failure")}),
    Story("free", 2, _at_night, 5 * MINUTE, _does_not_run, {"": Truth(verdict=None)}),
    Story("retired", 2, _at_night, 5 * MINUTE, _does_not_run, {"": Truth(verdict=None)}),
)
CONFIG = """\
[task."row*"]
failures_in_a_row = 3

[task."silent*"]
without = ["failed", "did_not_run"]

[task."free*"]
without = ["did_not_run"]

[task."retired*"]
retired = true

# Monitors know a job that has never run by its section alone.
[task."never-0"]
priority = 2

[task."never-1"]
priority = 2
"""


class Night:
    """The machine in the morning; its home has a journal only once it is written."""

    def __init__(self, folder: Path, home: Path, now: float, process: int) -> None:
        """Make the night after the next.

        Args:
            folder: For the machine and the configuration file.
            home: The home, which must not exist.
            now: POSIX seconds, by the real clock.
            process: One that lives: that of all runs that still run.
        """
        day = datetime.fromtimestamp(now, UTC).date() + timedelta(2)
        self.morning = _midnight(day) + 7 * HOUR
        self.since = self.morning - DAY
        self.home, self.folder = home, folder
        self.jobs = [
            Job(f"{story.name}-{number}", number, story, self.morning)
            for story in STORIES
            for number in range(story.jobs)
        ]
        self.places = _machine(folder, self.jobs).places
        self.config = folder / "autotask.toml"
        self.config.write_text(CONFIG)
        self._process = process, procfs.identity(process)
        lines = (line for start in self.starts for line in self._lines_of(start))
        self._lines = sorted(lines, reverse=True)  # that are not written yet, the next one last
        homes.settle(str(home))
        homes.make_folder(str(home / "journal"))
        new = {job.name for job in self.jobs if job.is_new}
        known = [job for job in machine.jobs(self.places)[0] if job.name not in new]
        first_seen.look(known, str(home), self.morning - HISTORY * DAY)

    @property
    def truths(self) -> dict[str, Truth]:
        """What is right to say, by the names of tasks."""
        return {task: truth for job in self.jobs for task, truth in job.truths.items()}

    @property
    def starts(self) -> Iterator[Start]:
        """All runs that happened."""
        for job in self.jobs:
            for start in (*job.runs, *job.others):
                if start.happens and start.at <= self.morning:
                    yield start

    def named(self, story: str) -> list[Job]:
        """Return the jobs of a story."""
        return [job for job in self.jobs if job.story.name == story]

    def write(self, until: float) -> None:
        """Write what happened up to a POSIX time into the journal, after what is there."""
        segments: dict[str, list[str]] = {}
        while self._lines and self._lines[-1][0] <= until:
            at, line = self._lines.pop()
            segments.setdefault(journal.segment(at), []).append(f"{line}\n")
        for name, added in segments.items():
            with (self.home / "journal" / name).open("a") as file:
                file.write("".join(added))

    def _lines_of(self, start: Start) -> Iterator[tuple[float, str]]:
        run = start.run
        run.started, run.trigger, run.server = start.at, start.trigger, start.server
        if start.attempt is not None:
            run.queued = Queued(start.attempt, None, None)
        if start.inside is not None:
            run.parent, run.root = start.inside.run.id, start.inside.run.root
        number, identity = self._process if start.end > self.since else NOBODY
        process = journal.process_fields(number, identity, HOST, "3.12.1", Tags("shop", "prod"))
        line = journal.started_line(run, process)
        if start.bookkeeping:
            line = line.replace('"pid":', '"bookkeeping":true,"pid":', 1)
        yield start.at, line
        if start.duration is not None:
            end = End(start.outcome, start.end, start.duration, 0.25, 48 << 20)
            yield start.end, journal.finished_line(run, end)

    def points(self) -> dict[str, list[Point]]:
        """Return what Datadog has received in the last nine days, by task."""
        received: dict[str, list[Point]] = {}
        for start in self.starts:
            if start.end > self.morning - 9 * DAY:
                received.setdefault(start.task, []).extend(_sent(start, self.since, self.morning))
        return received


@contextmanager
def night(folder: Path, home: Path, now: float) -> Iterator[Night]:
    """Make a night, see `Night`, with a process that lives until its end."""
    with subprocess.Popen(["sleep", "infinity"]) as living:
        try:
            yield Night(folder, home, now, living.pid)
        finally:
            living.kill()


def _machine(folder: Path, jobs: Sequence[Job]) -> Machine:
    """Put every other job into the user's crontab, the others into one of the system's."""
    here = Machine(folder)
    (here.root / "etc/localtime").symlink_to("/usr/share/zoneinfo/UTC")
    here.crontab("".join(f"{job.beat.cron} {job.command}\n" for job in jobs[::2]))
    lines = (f"{job.beat.cron} {ME} {job.command}\n" for job in jobs[1::2])
    here.write("/etc/cron.d/jobs", "".join(lines))
    return here


def _sent(start: Start, since: float, now: float) -> Iterator[Point]:
    of_task = {"task": start.task, "framework": start.framework, "env": "prod", "service": "shop"}
    here = {**of_task, "trigger": start.trigger, "host": HOST}
    status, reason = start.outcome.status, start.outcome.reason or "none"
    if not start.bookkeeping:
        first = max(1, int((since - HOUR - start.at) / MINUTE))
        last = int((min(start.end, now) - start.at) / MINUTE)
        for minute in range(first, last + 1):
            lasts = minute * MINUTE
            yield Point(start.at + lasts, "autotask.task.running_seconds", lasts, here)
    if start.duration is None or (start.bookkeeping and status == "success"):
        return
    tags = {**of_task, "status": status, "reason": reason, "trigger": start.trigger}
    yield Point(start.end, "autotask.task.runs", 1, tags)
    if status != "skipped":
        value = start.duration
        yield Point(start.end, "autotask.task.duration", value, {**of_task, "status": status})
    if status == "success" or (
        status == "failure" and reason != "nested" and not start.bookkeeping
    ):
        yield Point(start.end, "autotask.task.status", 2 * (status == "failure"), here)
