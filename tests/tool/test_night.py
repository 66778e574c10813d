"""A night of 200 jobs: all that speaks of it in the morning says the same, and is right."""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

import pytest
from tool import night
from tool.datadog import reading
from tool.night import DAY, FAILED, HANGING, HOUR, IN_A_ROW, LATE, MISSED, SLOW, Night

from autotask.tool import summaries
from autotask.tool.commands import check
from autotask.tool.datadog import baselines, config, local_schedules, monitors, queries
from autotask.tool.datadog.config import Config
from autotask.tool.journal.index import Index, open_index
from autotask.tool.report import gather, page, text
from autotask.tool.schedule import machine
from autotask.tool.schedule.machine import Job
from autotask.tool.troubles import day
from autotask.tool.troubles.find import find, now_standing
from autotask.tool.troubles.overview import overview
from autotask.tool.troubles.trouble import Trouble

K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True, repr=False)
class Morning:
    """The night, and what all commands read of it."""

    night: Night
    index: Index
    jobs: list[Job]
    config: Config


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Morning]:
    """Give the morning after the night; nothing of it may be changed."""
    folder = tmp_path_factory.mktemp("night")
    with night.night(folder / "machine", folder / "home", time.time()) as made:
        made.write(made.morning)
        jobs, problems = machine.jobs(made.places)
        assert not problems
        with closing(open_index(str(made.home))) as index:
            yield Morning(made, index, jobs, config.load(str(made.config)))


@pytest.fixture(autouse=True)
def _home(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "morning" in request.fixturenames:
        made = request.getfixturevalue("morning").night
        monkeypatch.setenv("AUTOTASK_HOME", str(made.home))


def wrong(said: Mapping[K, T], right: Mapping[K, T]) -> dict[K, tuple[T | None, T | None]]:
    """Return what was said and is not right, each with what is, by task."""
    return {
        task: (said.get(task), right.get(task))
        for task in {*said, *right}
        if said.get(task) != right.get(task)
    }


def kinds(troubles: Iterable[Trouble]) -> dict[str, dict[str, int]]:
    """Return how often each kind of trouble was told, by task."""
    told: dict[str, dict[str, int]] = {}
    for trouble in troubles:
        told.setdefault(trouble.task, {})[trouble.kind] = trouble.times
    return told


def right_to_tell(made: Night) -> dict[str, dict[str, int]]:
    """Return what `check` should tell in the morning."""
    return {task: dict(truth.told) for task, truth in made.truths.items() if truth.told}


def test_the_machine_has_200_jobs(morning: Morning) -> None:
    assert len(morning.jobs) == 200
    assert {job.name for job in morning.jobs if job.watched} == {
        job.name for job in morning.night.jobs if job.name.partition("-")[0] != "unwatched"
    }


def test_tasks_say_what_became_of_each(morning: Morning) -> None:
    at = morning.night.morning
    said: dict[str, set[tuple[str | None, int, str | None]]] = {}
    for row in summaries.of_tasks(morning.index, morning.jobs, morning.config, at):
        said.setdefault(row.task, set()).add((row.verdict, row.missed, row.last_status))
    right = {
        task: {(truth.verdict, truth.missed, truth.last)}
        for task, truth in morning.night.truths.items()
        if truth.verdict or truth.last
    }
    assert not wrong(said, right)


def test_check_finds_each_trouble_and_no_other(morning: Morning) -> None:
    made = morning.night
    found = find(morning.index, morning.jobs, morning.config, made.since, made.morning)
    assert not wrong(kinds(found), right_to_tell(made))


def test_nagios_is_told_what_is_wrong_now(morning: Morning) -> None:
    made = morning.night
    found = now_standing(morning.index, morning.jobs, morning.config, made.morning)
    said = {(trouble.task, trouble.kind) for trouble in found}
    right = {
        (task, kind)
        for task, truth in made.truths.items()
        for kind in truth.told
        # In the last hour there was neither an overlap nor an attempt that was retried.
        if {
            FAILED: truth.last == "failure",
            IN_A_ROW: truth.last == "failure",
            MISSED: truth.verdict == "missed",
            LATE: truth.verdict == "late",
            HANGING: True,
            SLOW: True,
        }.get(kind)
    }
    assert said == right


def test_the_summary_of_the_day_counts_jobs_and_troubles(
    morning: Morning, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = morning.night
    monkeypatch.chdir(made.folder)  # in which autotask.toml is
    day.print_day(made.places, made.morning)
    first, *lines = capsys.readouterr().out.splitlines()
    starts = [start for start in made.starts if start.at >= made.since and not start.bookkeeping]
    inside = Counter(
        (id(start.inside), start.status) for start in starts if start.framework != "process"
    )
    jobs = [
        start
        for start in starts
        # Not a failure that was passed on, nor the program around a single task that went as well.
        if start.outcome.reason != "nested"
        and not (start.status in ("success", "running") and inside[id(start), start.status] == 1)
    ]
    count = Counter(start.status for start in jobs)
    assert first == (
        f"{len(jobs)} runs of {len({start.task for start in jobs})} tasks in the last 24 hours: "
        f"{count['success']} succeeded, {count['failure']} failed, {count['retried']} retried, "
        f"{count['skipped']} skipped, {count['running']} running"
    )
    told = sum(map(len, right_to_tell(made).values())) + len(made.named("handfail"))
    (more,) = (line for line in lines if "more: see" in line)
    assert lines.index(more) + int(more.split()[0]) == told


def test_the_overview_counts_the_runs_of_the_night_and_those_that_still_run(
    morning: Morning,
) -> None:
    made = morning.night
    seen = overview(morning.index, morning.jobs, morning.config, made.since, made.morning)
    counted = {
        f"{view.summary.task} {view.summary.framework} {status}": count
        for view in seen.tasks
        if not view.summary.bookkeeping
        for status, count in view.counts.items()
        if count
    }
    starts = [start for start in made.starts if not start.bookkeeping]
    statuses = Counter(
        f"{start.task} {start.framework} {start.status}"
        for start in starts
        if start.at >= made.since
    )
    assert not wrong(counted, statuses)
    around = {id(start.inside) for start in starts if start.duration is None}
    running = sorted(
        start.task for start in starts if start.duration is None and id(start) not in around
    )
    assert sorted(run.task for run in seen.running) == running


def test_the_report_says_the_same(morning: Morning) -> None:
    made = morning.night
    since = made.morning - 7 * DAY
    report = gather.gather(morning.index, morning.jobs, morning.config, since, made.morning)
    assert not wrong(kinds(report.troubles), right_to_tell(made))
    failed = Counter(
        (start.task, start.framework)
        for start in made.starts
        if start.at >= report.since
        and start.status == "failure"
        and start.outcome.reason != "nested"
    )
    said, right = {}, {}
    for task in report.tasks:
        truth = made.truths[task.key.task]
        missed = sum(at > made.since for at in task.missed)
        said[str(task.key)] = (task.verdict, missed, task.last_status, task.failed)
        right[str(task.key)] = (truth.verdict, truth.missed, truth.last, failed[task.key])
    assert not wrong(said, right)
    html, letter = page.page(report), text.text(report)
    for trouble in report.troubles:
        assert trouble.task in html
    assert all(kind in letter for kind in ("FAILED", "MISSED"))


def test_the_monitors_alert_for_each(morning: Morning) -> None:
    made = morning.night
    tasks = baselines.from_index(morning.index, made.morning)
    schedules = local_schedules.read(morning.jobs, tasks, morning.config)
    configuration = local_schedules.with_local(morning.config, schedules)
    every = monitors.make(tasks, configuration).monitors
    points = made.points()
    said = {
        task: {
            alarm.kind
            for monitor in every
            if queries.covers(monitor, f"task:{task}")
            for alarm in reading.alarms(monitor, points.get(task, ()), made.since, made.morning)
        }
        for task in made.truths
    }
    assert not wrong(said, {task: truth.alerts for task, truth in made.truths.items()})


def test_checks_in_the_night_tell_each_trouble_once(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    check.add_arguments(parser)
    arguments = parser.parse_args(["--format", "json"])
    told: dict[str, Counter[str]] = {}
    with night.night(tmp_path / "machine", home, time.time()) as made:
        monkeypatch.chdir(made.folder)  # in which autotask.toml is
        for hour in (0, 1, 3, 5, 7, 7):
            now = made.morning + (hour - 7) * HOUR
            made.write(now)
            status = check.check(arguments, made.places, now)
            troubles = json.loads(capsys.readouterr().out)["troubles"]
            assert status == bool(troubles)
            for trouble in troubles if hour else ():  # at midnight what was before it is told
                told.setdefault(trouble["task"], Counter())[trouble["kind"]] += trouble["times"]
        assert not troubles  # a second time
        right = right_to_tell(made)
    assert told.keys() >= right.keys()
    # What was late, hung or missed at the time may have ended otherwise since; and what was new at
    # midnight is no longer.
    passing = [(LATE, "*"), (HANGING, "*"), (MISSED, "catchesup-*"), (MISSED, "new-*")]
    said, lasting = (
        {
            (task, kind): count
            for task, counts in each.items()
            for kind, count in counts.items()
            if not any(kind == one and fnmatchcase(task, glob) for one, glob in passing)
        }
        for each in (told, right)
    )
    assert not wrong(said, lasting)
