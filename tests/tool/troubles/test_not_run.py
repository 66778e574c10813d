"""What was due and did not run, and what is late. A night with many jobs is in test_night."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from tool.journals import DAY, HOUR, Book
from tool.schedule.machines import ME, Machine
from tool.troubles.conftest import settings
from tool.troubles.test_failures import OUTCOMES

from autotask.run import SUCCESS, failure
from autotask.tool.datadog.config import Config
from autotask.tool.journal.index import open_index
from autotask.tool.schedule import crontabs, first_seen, machine, standing
from autotask.tool.troubles import find, not_run
from autotask.tool.troubles.looking import Look
from autotask.tool.troubles.trouble import Event, Told, Trouble

Found = Callable[..., list[Trouble]]
LONG_AGO = time.time() - 80 * DAY
MINUTE = 60.0
HABITS: list[tuple[list[float], float, dict[str, Any], str | None, str]] = [
    # hours between starts, hours since the last one, what the file says; kind and text
    ([24] * 5, 20, {}, None, ""),
    ([24] * 5, 24.1, {}, "late", "and usually every 1d"),
    ([24] * 5, 27, {}, "missed", "it usually does every 1d"),
    ([24] * 5, 20 * 24, {}, "missed", "it usually does every 1d"),
    ([1] * 60, 0.9, {}, None, ""),
    ([1] * 60, 3, {}, "missed", "it usually does every 1h"),
    ([24, 24, 24, 72] * 3, 71, {}, None, ""),
    ([24] * 2, 300, {}, None, ""),
    ([1, 50, 3, 90, 20], 300, {}, None, ""),
    ([24] * 5, 27, {"retired": True}, None, ""),
    ([24] * 5, 27, {"without": ["did_not_run"]}, None, ""),
    ([24] * 5, 27, {"within": "5h"}, "late", ""),
    ([24] * 5, 20, {"interval": "12h"}, "missed", ""),
    ([], 20, {"interval": "12h"}, "missed", ""),
]


@pytest.mark.parametrize(("gaps", "ago", "section", "kind", "text"), HABITS)
def test_without_a_schedule_the_habit_tells(
    book: Book, found: Found, gaps: list[float], ago: float, section: dict[str, Any],
    kind: str | None, text: str,
) -> None:  # fmt: skip
    for number in range(len(gaps) + 1):
        book.run(ago=(ago + sum(gaps[:number])) * HOUR)
    troubles = found(settings(**section))
    assert [trouble.kind for trouble in troubles] == [kind] * (kind is not None)
    assert all(text in trouble.text for trouble in troubles)


def test_a_task_that_runs_and_fails_each_time_is_not_missed(book: Book, found: Found) -> None:
    for day in range(1, 20):
        book.run(ago=day * DAY - HOUR, outcome=failure("exit") if day < 9 else failure("nested"))
    for day in range(20, 30):
        book.run(ago=day * DAY - HOUR)
    assert [trouble.kind for trouble in found()] == ["failed"]


FAILING = [("SF", 0.9, []), ("SF", 1.5, ["missed"]), ("F", 3, ["missed"]), ("Fsrr", 3, [])]


@pytest.mark.parametrize(("outcomes", "ago", "kinds"), FAILING)
def test_a_failed_start_is_a_start(
    book: Book, found: Found, outcomes: str, ago: float, kinds: list[str]
) -> None:
    for number in range(40):
        letter = outcomes[number % len(outcomes)]
        book.run(ago=(ago + number) * HOUR, outcome=OUTCOMES[letter])
    assert [one.kind for one in found() if one.kind != "failed"] == kinds


def test_a_run_by_hand_counts_without_a_schedule(book: Book, found: Found) -> None:
    for day in range(2, 9):
        book.run(ago=day * DAY)
    assert [trouble.kind for trouble in found()] == ["missed"]
    book.run(ago=HOUR, trigger="terminal")
    assert found() == []


# What the shortcut must not change: the verdict on many random pasts.


def test_the_last_starts_alone_never_hide_a_late_task(
    book: Book, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    import random

    chance = random.Random(4)
    for number in range(60):
        at, gap = chance.uniform(0, 12) * HOUR, chance.choice([1, 2, 3])
        for _ in range(chance.choice([3, 12, 20, 35, 60])):
            outcome = chance.choice([SUCCESS, SUCCESS, failure("exit")])
            book.run(f"task{number}", ago=at, duration=0, outcome=outcome)
            at += gap * HOUR * chance.choice([1, 1, 1, 1, 2, 3, 0.1])
    now = time.time()
    quick = [trouble[:3] for trouble in found(now=now) if trouble.kind != "failed"]
    monkeypatch.setattr(not_run, "_may_be_late", lambda *_: True)
    slow = [trouble[:3] for trouble in found(now=now) if trouble.kind != "failed"]
    assert slow == quick
    assert len(quick) > 5


@pytest.fixture
def places(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Give a machine whose files were changed long ago."""
    monkeypatch.setattr(crontabs, "changed", lambda *paths: LONG_AGO)
    return Machine(tmp_path_factory.mktemp("machine") / "root")


def events(book: Book, places: Machine, told: Told, now: float) -> list[Event]:
    """Return what is wrong with jobs that were seen long ago."""
    jobs, _ = machine.jobs(places.places)
    first_seen.look(jobs, str(book.home), LONG_AGO)
    standing.note(jobs, now)
    with contextlib.closing(open_index(str(book.home))) as index:
        return find.events(Look(index, jobs, Config(), told, now))


def minutes_ago(minutes: float, now: float) -> str:
    at = time.localtime(now - minutes * MINUTE)
    return f"{at.tm_min} {at.tm_hour} * * *"


def test_what_is_missed_is_told_once_and_again_if_it_is_missed_again(
    book: Book, places: Machine
) -> None:
    now = time.time()
    places.crontab(f"SHELL=/etc/autotask/shell\n{minutes_ago(120, now)} /srv/a.sh\n")
    book.run("a.sh", "process", ago=3 * DAY)
    (event,) = events(book, places, Told(now - DAY), now)
    assert (event.kind, event.task, event.times) == ("missed", "a.sh", 1)
    assert now - 122 * MINUTE < event.at <= now - 120 * MINUTE
    told = Told(now - DAY, missed={"a.sh": event.at}, until=now)
    assert events(book, places, told, now + HOUR) == []
    assert events(book, places, told, now - HOUR) == []  # the clock was set back
    (event,) = events(book, places, told, now + DAY)
    assert event.times == 1
    (event,) = events(book, places, told, now + 3 * DAY)
    assert event.times == 3
    assert event.often.format(3).startswith("did not run 3 times, last when it was due at ")


def test_what_was_missed_before_the_last_check_of_a_wrong_clock_is_told(
    book: Book, places: Machine
) -> None:
    now = time.time()
    minute = time.localtime(now - 30 * MINUTE).tm_min
    places.crontab(f"SHELL=/etc/autotask/shell\n{minute} * * * * /srv/a.sh\n")
    for hour in (*range(3), *range(4, 40)):
        book.run("a.sh", "process", ago=hour * HOUR + 30 * MINUTE)
    (event,) = events(book, places, Told(now - DAY, until=now + 5 * HOUR), now)
    assert (event.kind, event.times) == ("missed", 1)


def test_what_is_late_is_told_by_the_time_that_it_was_due(book: Book, places: Machine) -> None:
    now = time.time()
    places.crontab(f"SHELL=/etc/autotask/shell\n{minutes_ago(30, now)} /srv/a.sh\n")
    book.run("a.sh", "process", ago=DAY + 30 * MINUTE)
    (late,) = events(book, places, Told(now - DAY), now)
    assert late.kind == "late"
    assert late.once.startswith("is late: due at ")
    later = now + 2 * HOUR
    (missed,) = events(book, places, Told(now - DAY, until=now), later)
    assert missed.kind == "missed"
    book.run("a.sh", "process", ago=-1.5 * HOUR)  # two hours after it was due
    told = Told(now - DAY, until=now)
    (was_late,) = events(book, places, told, later)
    assert was_late.key == late.key
    assert was_late.once.startswith("was 2h late: due at ")
    assert events(book, places, Told(now - DAY, until=later), later) == []


def test_a_weekly_job_that_was_missed_days_ago_is_told_by_the_first_check(
    book: Book, places: Machine
) -> None:
    now = time.time()
    at = time.localtime(now - 3 * DAY)
    when = f"{at.tm_min} {at.tm_hour} * * {at.tm_wday + 1}"
    places.crontab(f"SHELL=/etc/autotask/shell\n{when} /srv/a.sh\n")
    book.run("a.sh", "process", ago=10 * DAY)
    (event,) = events(book, places, Told(now - DAY), now)
    assert event.kind == "missed"
    assert events(book, places, Told(now - DAY, missed={"a.sh": event.at}), now) == []


def test_the_crontab_of_today_counts_and_not_the_habit_of_before(
    book: Book, places: Machine
) -> None:
    now = time.time()
    for day in range(2, 9):
        book.run("a.sh", "process", ago=day * DAY)
    weekday = time.localtime(now + 3 * DAY).tm_wday + 1
    places.crontab(f"SHELL=/etc/autotask/shell\n0 4 * * {weekday} /srv/a.sh\n")
    jobs, _ = machine.jobs(places.places)
    standing.note(jobs, now - DAY)  # it was edited yesterday
    with contextlib.closing(open_index(str(book.home))) as index:
        assert find.events(Look(index, jobs, Config(), Told(now - DAY), now)) == []
        assert len(find.events(Look(index, (), Config(), Told(now - DAY), now))) == 1


def test_the_name_of_a_job_is_valid_text(book: Book, places: Machine) -> None:
    now = time.time()
    text = f"SHELL=/etc/autotask/shell\n{minutes_ago(120, now)} AUTOTASK_NAME=a\udcff b\n"
    places.write(f"/var/spool/cron/crontabs/{ME}", os.fsencode(text), 0o600)
    book.run("a")
    (event,) = events(book, places, Told(now - DAY), now)
    assert event.task == "a\\udcff"
