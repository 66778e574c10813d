"""A year of three tasks, and what their monitors say: the figures of docs/datadog.md.

    PYTHONPATH=tests python -m tool.datadog.simulation [--write docs/datadog.md]

For each kind of trouble a year of its own, in which it comes every six weeks; the runs become the
points that the wire would have sent; the monitors are those that `autotask monitors export` makes
of sixty days of history, and are read by `reading`.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tool.datadog import past
from tool.datadog.past import Past
from tool.datadog.reading import DAY, HOUR, MINUTE, Alarm, Point, alarms

from autotask.tool.datadog import baselines, config, monitors
from autotask.tool.datadog.definition import Monitor
from autotask.tool.datadog.schedule import Schedule
from autotask.tool.journal.index import open_index

START = datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp()
LEARNED = START + 60 * DAY  # from here on the monitors watch
END = LEARNED + 365 * DAY
BETWEEN = 42 * DAY  # from one trouble to the next
MARKS = "<!-- simulation -->", "<!-- /simulation -->"


class Habit(NamedTuple):
    """A task, as it is on a quiet day."""

    task: str
    cron: str
    timezone: str
    usual: float  # seconds


HABITS = (
    Habit("nightly", "30 2 * * *", "Europe/Berlin", 25 * MINUTE),
    Habit("hourly", "5 * * * *", "Europe/Berlin", 4 * MINUTE),
    Habit("weekly", "0 6 * * mon", "Europe/Berlin", 2 * HOUR),
)


@dataclass
class Run:
    """A run that is due, and what becomes of it."""

    due: float
    start: float
    duration: float
    status: str = "success"
    trigger: str = "cron"
    happens: bool = True
    ends: bool = True  # False: it is gone halfway, with its machine
    heard: bool = True  # False: the datagram of its ending is lost

    @property
    def end(self) -> float:
        return self.start + self.duration


@cache
def times_due(habit: Habit) -> list[float]:
    """Return when it is due in all the time that is simulated."""
    schedule, found = Schedule(habit.cron, habit.timezone), []
    at = datetime.fromtimestamp(START, timezone.utc)
    while at.timestamp() < END:
        at = schedule.next_after(at)
        found.append(at.timestamp())
    return found[:-1]


def quiet(habit: Habit) -> list[Run]:
    """Return the runs of a year in which nothing goes wrong; the same at each call."""
    chance = random.Random(habit.task)
    return [
        Run(due, due + chance.uniform(0, 40), habit.usual * chance.lognormvariate(0, 0.1))
        for due in times_due(habit)
    ]


# Troubles. Each changes the runs from the given place on and returns the moment from which on
# somebody would want to know.

Trouble = Callable[[list[Run], int], float]


def _fails(runs: list[Run], place: int) -> float:
    runs[place].status = "failure"
    return runs[place].end


def _fails_three_times(runs: list[Run], place: int) -> float:
    for run in runs[place : place + 3]:
        run.status = "failure"
    return runs[place].end


def _does_not_run(runs: list[Run], place: int) -> float:
    runs[place].happens = False
    return runs[place].due


def _starts_late(runs: list[Run], place: int) -> float:
    runs[place].start += min(3 * HOUR, (runs[place + 1].due - runs[place].due) / 2)
    return runs[place].due


def _hangs(runs: list[Run], place: int) -> float:
    hung = runs[place]
    hung.duration, hung.status = 12 * HOUR, "failure"  # somebody ends it
    for run in runs[place + 1 :]:
        run.happens = run.happens and not hung.start < run.start < hung.end
    return hung.start


def _dies(runs: list[Run], place: int) -> float:
    runs[place].duration /= 2
    runs[place].ends = False
    return runs[place].end


def _slow_once(runs: list[Run], place: int) -> float:
    usual_end = runs[place].end
    runs[place].duration *= 3
    return usual_end


def _grows(runs: list[Run], place: int) -> float:
    """Take twice as long each 90 days."""
    first, usual = runs[place], statistics.median(run.duration for run in runs[:place])
    for run in runs[place:]:
        run.duration *= 2 ** ((run.due - first.due) / (90 * DAY))
    return next(run.end for run in runs[place:] if run.duration > 2 * usual)


def _lost_datagram(runs: list[Run], place: int) -> float:
    runs[place].heard = False
    return runs[place].end


def _fails_by_hand(runs: list[Run], place: int) -> float:
    first = runs[place].due + 10 * MINUTE
    moments = (first, first + MINUTE, first + 2 * MINUTE)
    runs += [Run(at, at, 10, "failure", "terminal") for at in moments]
    return first


def _hangs_by_hand(runs: list[Run], place: int) -> float:
    due = runs[place].due + 10 * MINUTE
    runs.append(Run(due, due, 12 * HOUR, "failure", "terminal"))
    return due


def _slow_by_hand(runs: list[Run], place: int) -> float:
    due, usual = runs[place].due + 10 * MINUTE, runs[place].duration
    runs.append(Run(due, due, 3 * usual, "success", "terminal"))
    return due + usual


TROUBLES: dict[str, tuple[Trouble, bool]] = {  # and whether it can come again
    "fails once": (_fails, True),
    "fails three times": (_fails_three_times, True),
    "does not run": (_does_not_run, True),
    "starts late": (_starts_late, True),
    "hangs for 12 hours": (_hangs, True),
    "its machine dies": (_dies, True),
    "takes three times as long": (_slow_once, True),
    "takes ever longer": (_grows, False),
    "an ending's datagram is lost": (_lost_datagram, True),
    "fails by hand, three times": (_fails_by_hand, True),
    "hangs by hand for 12 hours": (_hangs_by_hand, True),
    "takes three times as long by hand": (_slow_by_hand, True),
}


def points(habit: Habit, runs: Sequence[Run]) -> list[Point]:
    """Return what arrives in Datadog."""
    tags = _Tags(habit.task)
    return [point for run in runs if run.happens for point in _sent(run, tags)]


_TRIGGERS = ("cron", "terminal")


class _Tags:
    """The tags of the points, as few objects as there are kinds."""

    def __init__(self, task: str) -> None:
        self.common = {"task": task, "framework": "process", "env": "prod", "service": "shop"}
        self.ended = {status: self._of(status) for status in ("success", "failure")}
        self.runs = {
            (status, trigger): {**tags, "trigger": trigger}
            for status, tags in self.ended.items()
            for trigger in _TRIGGERS
        }
        self.status = {trigger: {**self.common, "trigger": trigger} for trigger in _TRIGGERS}
        self.running = {trigger: {**tags, "host": "web-1"} for trigger, tags in self.status.items()}

    def _of(self, status: str) -> dict[str, str]:
        reason = {"reason": "exception"} if status == "failure" else {}
        return {**self.common, "status": status, **reason}


def _sent(run: Run, tags: _Tags) -> Iterator[Point]:
    for minute in range(1, int(run.duration / MINUTE) + 1):
        lasts = minute * MINUTE
        running = tags.running[run.trigger]
        yield Point(run.start + lasts, "autotask.task.running_seconds", lasts, running)
    if run.ends and run.heard:
        yield Point(run.end, "autotask.task.runs", 1, tags.runs[run.status, run.trigger])
        yield Point(run.end, "autotask.task.duration", run.duration, tags.ended[run.status])
        critical = 2 if run.status == "failure" else 0
        yield Point(run.end, "autotask.task.status", critical, tags.status[run.trigger])


@cache
def learned() -> list[baselines.Task]:
    """Return the tasks as sixty days of journal tell of them."""
    with tempfile.TemporaryDirectory() as home:
        runs = ((habit, run) for habit in HABITS for run in quiet(habit) if run.end < LEARNED)
        past.write(Path(home), (Past(h.task, run.start, run.duration) for h, run in runs))
        index = open_index(home)
        try:
            return baselines.from_index(index, LEARNED)
        finally:
            index.close()


_SCHEDULES = {h.task: {"schedule": h.cron, "timezone": h.timezone} for h in HABITS}
WISHES: dict[str, dict[str, Any]] = {  # what the file says, by the title of a table
    "With a schedule in the file": {"task": _SCHEDULES},
    "With a schedule and `failures_in_a_row = 3`": {
        "datadog": {"failures_in_a_row": 3},
        "task": _SCHEDULES,
    },
    "Without a file": {},
}


@cache
def made(title: str) -> dict[str, list[Monitor]]:
    """Return the monitors that notify somebody, for each task."""
    wishes = WISHES[title]
    said = {**wishes, "datadog": {**wishes.get("datadog", {}), "notify": ["@ops"]}}
    all_of_them = monitors.make(learned(), config.parse(said)).monitors
    notify = [monitor for monitor in all_of_them if "@ops" in monitor["message"]]
    return {habit.task: [one for one in notify if _is_for(one, habit)] for habit in HABITS}


def _is_for(monitor: Monitor, habit: Habit) -> bool:
    about = [tag for tag in monitor["tags"] if tag.startswith("task:")]
    return about in ([], [f"task:{habit.task}"])


class Told(NamedTuple):
    """What one monitor said about a trouble that came so many times."""

    kind: str
    times: int
    of: int
    usually: float  # seconds after somebody would have wanted to know
    at_worst: float


@cache
def false_alarms(habit: Habit, title: str) -> list[Alarm]:
    """Return what is said in a year in which nothing went wrong."""
    return _said(habit, quiet(habit), title)


@cache
def told(habit: Habit, trouble: str, title: str) -> list[Told]:
    """Return what is said in a year of one kind of trouble, the first to speak first."""
    bring, again = TROUBLES[trouble]
    runs = quiet(habit)
    places = _places(runs)[: None if again else 1]
    begins = [runs[place].due for place in places]
    known_from = [bring(runs, place) for place in places]
    usual = false_alarms(habit, title)
    said = [one for one in _said(habit, runs, title) if not _among(one, usual)]
    delays: dict[str, list[float]] = {}
    for begin, end, known in zip(begins, [*begins[1:], END], known_from):
        for kind in {alarm.kind for alarm in said}:
            first = [one.at for one in said if one.kind == kind and begin <= one.at < end]
            if first:
                delays.setdefault(kind, []).append(min(first) - known)
    found = [
        Told(kind, len(late), len(places), statistics.median(late), max(late))
        for kind, late in delays.items()
    ]
    return sorted(found, key=lambda one: one.usually)


def _said(habit: Habit, runs: Sequence[Run], title: str) -> list[Alarm]:
    arrived, watching = points(habit, runs), made(title)[habit.task]
    return sorted(one for monitor in watching for one in alarms(monitor, arrived, LEARNED, END))


def _among(alarm: Alarm, others: Sequence[Alarm]) -> bool:
    return any(one.kind == alarm.kind and abs(one.at - alarm.at) < HOUR for one in others)


def _places(runs: Sequence[Run]) -> list[int]:
    """Return the runs that trouble comes to: at other hours each time, where there are others."""
    moments = [LEARNED + 10 * DAY + n * (BETWEEN + 7 * HOUR) for n in range(8)]
    dues = [run.due for run in runs]
    return [bisect_left(dues, moment) for moment in moments]


# The table.


def tables() -> str:
    """Return the tables in Markdown."""
    text = []
    for title in WISHES:
        text += [f"**{title}**", "", "| | " + " | ".join(h.task for h in HABITS) + " |"]
        text += ["| --- |" + " --- |" * len(HABITS)]
        for trouble in TROUBLES:
            cells = [_cell(told(habit, trouble, title)) for habit in HABITS]
            text += [f"| {trouble} | {' | '.join(cells)} |"]
        counts = [_count(false_alarms(habit, title)) for habit in HABITS]
        text += [f"| nothing: false alarms in a year | {' | '.join(counts)} |", ""]
    return "\n".join(text)


def _cell(found: Sequence[Told]) -> str:
    return "; ".join(map(_words, found)) or "nothing"


def _words(one: Told) -> str:
    text = f"{one.kind} {_late(one.usually)}"
    if one.at_worst > 1.25 * one.usually and _late(one.at_worst) != _late(one.usually):
        text += f" (at worst {_late(one.at_worst)})"
    return text if one.times == one.of else f"{text}, {one.times} of {one.of}"


def _late(seconds: float) -> str:
    if seconds < 2 * HOUR:
        return f"{max(math.ceil(seconds / MINUTE), 1)} min"
    return f"{seconds / HOUR:.0f} h" if seconds < 3 * DAY else f"{seconds / DAY:.0f} days"


def _count(false: Sequence[Alarm]) -> str:
    kinds = sorted({one.kind for one in false})
    return f"{len(false)} ({', '.join(kinds)})" if false else "0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="the page that holds the tables between marks")
    page = parser.parse_args().write
    if page is None:
        print(tables())
        return
    before, _, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    text = f"{before}{MARKS[0]}\n{tables()}{MARKS[1]}{after}"
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
