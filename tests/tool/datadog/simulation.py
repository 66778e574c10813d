"""A year of three tasks, and when their monitors alert: the figures of docs/datadog.md.

    PYTHONPATH=tests python -m tool.datadog.simulation [--write docs/datadog.md]

Each kind of trouble has its own year, and comes every six weeks. Runs become the points that would
have been sent. The monitors are those that `autotask monitors export` makes from sixty days of
history, evaluated by `reading`.
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
from autotask.tool.journal.index import open_index
from autotask.tool.schedule.cron_line import Schedule

START = datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp()
LEARNED = START + 60 * DAY  # from then on the monitors watch
END = LEARNED + 365 * DAY
BETWEEN = 42 * DAY  # from one trouble to the next
MARKS = "<!-- simulation -->", "<!-- /simulation -->"


class Habit(NamedTuple):
    """A task without trouble."""

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
    """A run that is due, and how it goes."""

    due: float
    start: float
    duration: float
    status: str = "success"
    trigger: str = "cron"
    happens: bool = True
    ends: bool = True  # False: its machine dies halfway
    heard: bool = True  # False: the datagram of its end is lost

    @property
    def end(self) -> float:
        return self.start + self.duration


@cache
def times_due(habit: Habit) -> list[float]:
    """Return when a task is due in the simulated time."""
    schedule, found = Schedule(habit.cron, habit.timezone), []
    at = datetime.fromtimestamp(START, timezone.utc)
    while at.timestamp() < END:
        at = schedule.next_after(at)
        found.append(at.timestamp())
    return found[:-1]


def quiet(habit: Habit) -> list[Run]:
    """Return the runs of a year without trouble, always the same."""
    chance = random.Random(habit.task)
    return [
        Run(due, due + chance.uniform(0, 40), habit.usual * chance.lognormvariate(0, 0.1))
        for due in times_due(habit)
    ]


# Troubles. Each changes the runs from a number on, and returns when an alert should come.

Trouble = Callable[[list[Run], int], float]


def _fails(runs: list[Run], number: int) -> float:
    runs[number].status = "failure"
    return runs[number].end


def _fails_three_times(runs: list[Run], number: int) -> float:
    for run in runs[number : number + 3]:
        run.status = "failure"
    return runs[number].end


def _does_not_run(runs: list[Run], number: int) -> float:
    runs[number].happens = False
    return runs[number].due


def _starts_late(runs: list[Run], number: int) -> float:
    runs[number].start += min(3 * HOUR, (runs[number + 1].due - runs[number].due) / 2)
    return runs[number].due


def _hangs(runs: list[Run], number: int) -> float:
    hung = runs[number]
    hung.duration, hung.status = 12 * HOUR, "failure"  # then a person stops it
    for run in runs[number + 1 :]:
        run.happens = run.happens and not hung.start < run.start < hung.end
    return hung.start


def _dies(runs: list[Run], number: int) -> float:
    runs[number].duration /= 2
    runs[number].ends = False
    return runs[number].end


def _slow_once(runs: list[Run], number: int) -> float:
    usual_end = runs[number].end
    runs[number].duration *= 3
    return usual_end


def _grows(runs: list[Run], number: int) -> float:
    """Take twice as long every 90 days."""
    first, usual = runs[number], statistics.median(run.duration for run in runs[:number])
    for run in runs[number:]:
        run.duration *= 2 ** ((run.due - first.due) / (90 * DAY))
    return next(run.end for run in runs[number:] if run.duration > 2 * usual)


def _lost_datagram(runs: list[Run], number: int) -> float:
    runs[number].heard = False
    return runs[number].end


def _fails_by_hand(runs: list[Run], number: int) -> float:
    first = runs[number].due + 10 * MINUTE
    moments = (first, first + MINUTE, first + 2 * MINUTE)
    runs += [Run(at, at, 10, "failure", "terminal") for at in moments]
    return first


def _hangs_by_hand(runs: list[Run], number: int) -> float:
    due = runs[number].due + 10 * MINUTE
    runs.append(Run(due, due, 12 * HOUR, "failure", "terminal"))
    return due


def _slow_by_hand(runs: list[Run], number: int) -> float:
    due, usual = runs[number].due + 10 * MINUTE, runs[number].duration
    runs.append(Run(due, due, 3 * usual, "success", "terminal"))
    return due + usual


TROUBLES: dict[str, tuple[Trouble, bool]] = {  # and whether it can come repeatedly
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
    """Return the points that Datadog receives."""
    tags = _Tags(habit.task)
    return [point for run in runs if run.happens for point in _sent(run, tags)]


_TRIGGERS = ("cron", "terminal")


class _Tags:
    """The tags of the points, shared by all points of a kind to save memory."""

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
    """Return the tasks with the baselines from sixty days of journal."""
    with tempfile.TemporaryDirectory() as home:
        runs = ((habit, run) for habit in HABITS for run in quiet(habit) if run.end < LEARNED)
        past.write(Path(home), (Past(h.task, run.start, run.duration) for h, run in runs))
        index = open_index(home)
        try:
            return baselines.from_index(index, LEARNED)
        finally:
            index.close()


_SCHEDULES = {h.task: {"schedule": h.cron, "timezone": h.timezone} for h in HABITS}
DOCUMENTS: dict[str, dict[str, Any]] = {  # the configuration file, by the title of a table
    "With a schedule in the file": {"task": _SCHEDULES},
    "With a schedule and `failures_in_a_row = 3`": {
        "datadog": {"failures_in_a_row": 3},
        "task": _SCHEDULES,
    },
    "Without a file": {},
}


@cache
def made(title: str) -> dict[str, list[Monitor]]:
    """Return the monitors that notify someone, for each task."""
    document = DOCUMENTS[title]
    document = {**document, "datadog": {**document.get("datadog", {}), "notify": ["@ops"]}}
    every = monitors.make(learned(), config.parse(document)).monitors
    notifying = [monitor for monitor in every if "@ops" in monitor["message"]]
    return {
        habit.task: [monitor for monitor in notifying if _is_for(monitor, habit)]
        for habit in HABITS
    }


def _is_for(monitor: Monitor, habit: Habit) -> bool:
    about = [tag for tag in monitor["tags"] if tag.startswith("task:")]
    return about in ([], [f"task:{habit.task}"])


class Detection(NamedTuple):
    """How one kind of monitor detected a repeated trouble."""

    kind: str
    times: int
    of: int
    usually: float  # seconds after an alert should have come
    at_worst: float


@cache
def false_alarms(habit: Habit, title: str) -> list[Alarm]:
    """Return the alerts in a year without trouble."""
    return _alerts(habit, quiet(habit), title)


@cache
def detections(habit: Habit, trouble: str, title: str) -> list[Detection]:
    """Return the alerts in a year of one kind of trouble, the fastest first."""
    bring, repeatable = TROUBLES[trouble]
    runs = quiet(habit)
    numbers = _numbers_with_trouble(runs)[: None if repeatable else 1]
    begins = [runs[number].due for number in numbers]
    should_alert = [bring(runs, number) for number in numbers]
    usual = false_alarms(habit, title)
    alerts = [alert for alert in _alerts(habit, runs, title) if not _is_among(alert, usual)]
    delays: dict[str, list[float]] = {}
    for begin, end, should in zip(begins, [*begins[1:], END], should_alert):
        for kind in {alert.kind for alert in alerts}:
            moments = [one.at for one in alerts if one.kind == kind and begin <= one.at < end]
            if moments:
                delays.setdefault(kind, []).append(min(moments) - should)
    found = [
        Detection(kind, len(late), len(numbers), statistics.median(late), max(late))
        for kind, late in delays.items()
    ]
    return sorted(found, key=lambda detection: detection.usually)


def _alerts(habit: Habit, runs: Sequence[Run], title: str) -> list[Alarm]:
    received, watching = points(habit, runs), made(title)[habit.task]
    return sorted(
        alert for monitor in watching for alert in alarms(monitor, received, LEARNED, END)
    )


def _is_among(alert: Alarm, others: Sequence[Alarm]) -> bool:
    return any(one.kind == alert.kind and abs(one.at - alert.at) < HOUR for one in others)


def _numbers_with_trouble(runs: Sequence[Run]) -> list[int]:
    """Return the numbers of runs with trouble: at a different hour each time, if possible."""
    moments = [LEARNED + 10 * DAY + n * (BETWEEN + 7 * HOUR) for n in range(8)]
    dues = [run.due for run in runs]
    return [bisect_left(dues, moment) for moment in moments]


# The table.


def tables() -> str:
    """Return the tables in Markdown."""
    text = []
    for title in DOCUMENTS:
        text += [f"**{title}**", "", "| | " + " | ".join(h.task for h in HABITS) + " |"]
        text += ["| --- |" + " --- |" * len(HABITS)]
        for trouble in TROUBLES:
            cells = [_cell(detections(habit, trouble, title)) for habit in HABITS]
            text += [f"| {trouble} | {' | '.join(cells)} |"]
        counts = [_count(false_alarms(habit, title)) for habit in HABITS]
        text += [f"| nothing: false alarms in a year | {' | '.join(counts)} |", ""]
    return "\n".join(text)


def _cell(found: Sequence[Detection]) -> str:
    return "; ".join(map(_words, found)) or "nothing"


def _words(one: Detection) -> str:
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
