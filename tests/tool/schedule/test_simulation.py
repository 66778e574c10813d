"""A year of crontabs: no alarm is false, and each run that was missed is told once.

Cron's side is `cron_daemon`, which starts jobs minute by minute, and knows no schedules. Around it
the machine is switched off, sleeps, or has a wrong clock; cron dies; the crontab is edited; busy
days make starts late.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from tool.schedule.cron_daemon import Daemon, Entry

from autotask.tool.schedule import due, first_seen, since
from autotask.tool.schedule.cron_line import Schedule
from autotask.tool.schedule.machine import Job

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]
YEAR = 2026
MINUTE, HOUR, DAY = 60, 3600, 86400
DAYS = 365

# Each line, and in how many minutes after it is due its run is missed.
PATIENCE = {
    "15 3 * * *": 60,
    "15 2 * * *": 60,
    "30 2 * * *": 60,
    "* * * * *": 5,
    "*/5 * * * *": 5,
    "*/15 8-18 * * mon-fri": 15,
    "0 * * * *": 60,
    "0 0-23 * * *": 60,
    "0 6 * * 1": 60,
    "0 0 1 * *": 60,
    "0 2,14 * * *": 60,
    "10 */6 * * *": 60,
    "0,30 2 * * *": 30,
    "*/30 1-3 * * *": 30,
    "17 * * * *": 60,
}
EACH_MINUTE = "* * * * *"  # in one zone: it takes most of the time
DELAYED = "17 * * * *"  # by cronie's RANDOM_DELAY
DELAY = 30 * MINUTE


class Trouble(NamedTuple):
    """Something that happens to a machine."""

    minute: int  # of the year
    what: str
    minutes: int  # how long it lasts, or by how much the clock is set


def troubles(chance: random.Random) -> list[Trouble]:
    """Return what happens in a year, a thing every two days or so, each over before the next."""
    kinds = {
        "off": (1, 3000),
        "cron is dead": (1, 3000),
        "asleep": (1, 600),
        "clock": (2, 400),
        "clock back": (2, 400),
        "off, then a wrong clock": (10, 5000),
        "edit": (0, 0),
        "edit while cron is dead": (60, 600),
        "busy": (60, 600),
    }
    minute, found = 2 * 1440, []
    while minute < (DAYS - 5) * 1440:
        what = chance.choice(list(kinds))
        low, high = kinds[what]
        # Most are short, and some last days.
        minutes = int(low + (high - low) * chance.random() ** 3)
        found.append(Trouble(minute, what, minutes))
        minute += minutes + chance.randrange(6 * 60, 72 * 60)
    return found


@cache
def ideal(zone: str) -> dict[str, list[float]]:
    """Return when cron starts each line on a machine without trouble."""
    daemon = Daemon(map(Entry, PATIENCE), zone)
    first = start_of_year(zone)
    daemon.start(first)
    found: dict[str, list[float]] = {line: [] for line in PATIENCE}
    for minute in range(1, (DAYS + 1) * 1440):
        now = first + MINUTE * minute
        for line in dict.fromkeys(entry.line for entry in daemon.wake(now)):
            found[line].append(now)
    return found


def start_of_year(zone: str) -> float:
    return datetime(YEAR, 1, 1, tzinfo=ZoneInfo(zone)).timestamp()


class Task:
    """A line of the crontab, and its runs."""

    def __init__(self, name: str, line: str, zone: str) -> None:
        self.name, self.zone = name, zone
        self.starts: list[float] = []  # by the clock of the machine
        self.served: set[float] = set()  # of what was due
        self.told: list[float] = []
        self.expected: list[float] = []
        self.first_seen: dict[str, float] = {}
        self.write(line, 0)

    def write(self, line: str, now: float) -> None:
        """Change the line."""
        self.line, self.changed = line, now
        self.dues = ideal(self.zone)[line]
        self.schedule = Schedule(line, self.zone, in_crontab=True)
        self.served = set()

    def ran_between(self, after: float, until: float) -> bool:
        """Tell whether any run started: one that is due each minute may be the one before."""
        first = bisect_left(self.starts, after)
        return first < len(self.starts) and self.starts[first] <= until

    def job(self, changed: float) -> Job:
        """Return what a look at the crontab finds."""
        return Job(
            *("crontab of ann", 1, "ann", self.name, self.line, "", self.schedule, self.zone),
            *(changed, True, DELAY if self.line == DELAYED else 0),
        )


class Machine:
    """A machine in its year."""

    def __init__(self, zone: str, home: Path) -> None:
        self.zone, self.home = zone, str(home)
        self.chance = random.Random(zone)
        lines = [line for line in PATIENCE if line != EACH_MINUTE or zone == ZONES[0]]
        self.tasks = [Task(f"task{n}", line, zone) for n, line in enumerate(lines)]
        self.by_line = {task.line: task for task in self.tasks}
        self.daemon = Daemon(map(Entry, lines), zone)
        self.real = start_of_year(zone)
        self.offset = 0.0  # seconds by which its clock is wrong
        self.boot = self.real - DAY  # real time
        self.delay = 0.0  # cronie's
        self.awake = self.alive = True
        self.latest_start = 40.0  # seconds after a job is due
        self.changed = 0.0  # the crontab, by its clock
        self.woke = self.now  # cron, by its clock
        self.asked = self.now  # the last look's time
        self.waiting: list[tuple[float, Task, float]] = []  # starts to come: real time, due time
        self.twice: list[tuple[float, float]] = []  # spans that its clock has shown again
        self.undisturbed = 0  # minutes since the clock was set or it slept
        self.right_in = 0  # minutes until NTP sets the clock right
        self.daemon.start(self.now)

    @property
    def now(self) -> float:
        """What its clock shows."""
        return self.real + self.offset

    def minute(self) -> None:
        """Live through the beginning of a minute."""
        self.real += MINUTE
        self.undisturbed += 1
        if self.awake and self.alive:
            jobs = self.daemon.wake(self.now)
            for line, count in Counter(job.line for job in jobs).items() if jobs else ():
                self.start(self.by_line[line], count)
            self.woke = self.now

    def start(self, task: Task, count: int) -> None:
        """Start a job, also what was due since cron's last minute."""
        after = min(self.woke, self.now - MINUTE)
        dues = task.dues[bisect_right(task.dues, after) : bisect_right(task.dues, self.now)]
        pending = {at for _, other, at in self.waiting if other is task}
        open_ = [at for at in dues if at not in task.served and at not in pending]
        for at in [*open_[-count:], *[0.0] * (count - len(open_))]:
            delay = self.chance.uniform(0, self.latest_start)
            if task.line == DELAYED:
                delay += self.delay
            self.waiting.append((self.real + delay, task, at))

    def go_on(self, until: float) -> None:
        """Let the starts come that were to come until a real time."""
        for entry in sorted(
            (entry for entry in self.waiting if entry[0] <= until), key=lambda entry: entry[0]
        ):
            self.waiting.remove(entry)
            real, task, at = entry
            insort(task.starts, real + self.offset)
            task.served.add(at)

    def look(self) -> None:
        """Ask what was missed since the last look, and compare it with what truly was."""
        now = self.now + 30
        self.go_on(self.real + 30)
        boot = self.boot + self.offset
        jobs = [task.job(self.changed) for task in self.tasks]
        firsts = first_seen.look(jobs, self.home, now)
        for task, job, first in zip(self.tasks, jobs, firsts):
            task.first_seen.setdefault(task.line, now)
            assert min(task.first_seen[task.line], now) <= first <= now
            counted = max(self.changed, first, boot + since.SETTLES)
            assert since.counted_from(job, first, boot) == counted
            self.ask(task, job, counted, now)
        self.asked = max(self.asked, now)

    def ask(self, task: Task, job: Job, counted: float, now: float) -> None:
        patience = PATIENCE[task.line] * MINUTE + job.tolerance
        starts = task.starts[bisect_left(task.starts, due.starts_from(job, self.asked)) :]
        task.told += due.missed_between(job, starts, counted, self.asked, now)
        low, high = bisect_right(task.dues, counted), bisect_right(task.dues, now - patience)
        missed = [
            at
            for at in task.dues[low:high]
            if at not in task.served and not task.ran_between(at, at + patience)
        ]
        task.expected += [at for at in missed if at + patience > self.asked]
        if self.chance.random() < 0.1:
            self.judge(task, job, counted, now, missed)

    def judge(self, task: Task, job: Job, counted: float, now: float, missed: list[float]) -> None:
        verdict = due.verdict(job, task.starts[-3000:], counted, now)
        assert set(verdict.missed) <= set(missed)
        assert (verdict.state == due.MISSED) <= (missed[-1:] == list(verdict.missed[-1:]) != [])
        if verdict.state == due.LATE:
            last = task.dues[bisect_right(task.dues, now - due.PUNCTUAL - job.tolerance) - 1]
            assert last not in task.served

    # What happens to it.

    def begin(self, trouble: Trouble) -> None:
        if trouble.what.startswith("off"):
            self.awake, self.waiting = False, []
        elif trouble.what.startswith("edit"):
            self.edit()
        elif trouble.what == "asleep":
            self.awake = False
        elif trouble.what.startswith("clock"):
            self.set_clock(trouble.minutes * (-1 if trouble.what.endswith("back") else 1))
        if trouble.what.endswith("dead"):
            self.alive = False
        if trouble.what == "busy":
            self.latest_start = 230.0

    def end(self, trouble: Trouble) -> None:
        self.latest_start = 40.0
        if trouble.what.startswith("off"):
            self.boot, self.delay = self.real, self.chance.uniform(0, DELAY)
            if trouble.what.endswith("clock"):  # without a battery, it shows when it went off
                self.set_clock(-trouble.minutes)
                self.right_in = self.chance.randrange(1, 9)  # then it has a network
        self.undisturbed = 0
        if not self.alive or trouble.what.startswith("off"):
            self.daemon.start(self.now)
            self.woke = self.now
        self.awake = self.alive = True

    def set_clock(self, minutes: int) -> None:
        """Set the clock, when nothing is just being started."""
        self.go_on(self.real + DELAY + 300)
        before = self.now
        self.offset += minutes * MINUTE
        self.twice.append((self.now, before))
        self.undisturbed, self.right_in = 0, self.chance.randrange(10, 3000)

    def has_shown_twice(self, at: float) -> bool:
        """Tell whether it was due twice, or while the clock told that boot was earlier."""
        return any(first - DAY <= at <= last for first, last in self.twice)

    def edit(self) -> None:
        """Exchange the lines of two tasks; the others stay as they are."""
        first, second = self.chance.sample(self.tasks, 2)
        lines = first.line, second.line
        self.changed = self.now + 20
        first.write(lines[1], self.changed)
        second.write(lines[0], self.changed)
        self.waiting = [entry for entry in self.waiting if entry[1] not in (first, second)]
        self.by_line = {task.line: task for task in self.tasks}
        self.daemon.load(Entry(task.line) for task in self.tasks)


def live(machine: Machine) -> None:
    """Live through the year."""
    chance, to_come = machine.chance, iter(troubles(machine.chance))
    trouble: Trouble | None = next(to_come)
    began = False
    look_in = 5
    for minute in range(1, DAYS * 1440):
        machine.minute()
        if machine.awake and machine.waiting:
            machine.go_on(machine.real)
        if trouble and not began and minute >= trouble.minute:
            machine.begin(trouble)
            began = True
        elif trouble and began and minute >= trouble.minute + _lasts(trouble):
            machine.end(trouble)
            trouble, began = next(to_come, None), False
        elif machine.offset and machine.awake and machine.undisturbed >= machine.right_in:
            machine.set_clock(round(-machine.offset / MINUTE))
        look_in -= 1
        if machine.awake and look_in <= 0 and machine.undisturbed > 1:
            machine.look()
            look_in = int(chance.choice((3, 90, 1500, 3000)) * chance.random()) + 1


def _lasts(trouble: Trouble) -> int:
    return 1 if trouble.what.startswith("clock") or trouble.what == "edit" else trouble.minutes


@pytest.mark.parametrize("zone", ZONES)
def test_a_year_has_no_false_alarm_and_each_missed_run_is_told_once(
    zone: str, tmp_path: Path
) -> None:
    machine = Machine(zone, tmp_path)
    live(machine)
    for task in machine.tasks:
        assert len(set(task.told)) == len(task.told)
        # In a time that comes twice, the runs of the first may hide that one of the second is
        # missing.
        once = [at for at in task.expected if not machine.has_shown_twice(at)]
        told = [at for at in task.told if not machine.has_shown_twice(at)]
        assert (task.name, told) == (task.name, once)
        assert set(task.told) <= set(task.expected)
    assert sum(len(task.told) for task in machine.tasks) > 1000
