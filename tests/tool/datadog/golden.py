"""Forty tasks of a shop, with their monitors, their dashboard, and a page for review.

    PYTHONPATH=tests python -m tool.datadog.golden    # writes golden/; then review the diff

The page shows for each monitor who is notified, and how often it would have alerted in the last
fifty days. Some runs fail in this history, and nothing else is wrong: any other alert is false.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tool.datadog import past
from tool.datadog.past import Past
from tool.datadog.reading import DAY, MINUTE, Alarm, Point, alarms

from autotask.run import SKIPPED, SUCCESS, Outcome, exited
from autotask.tool.datadog import baselines, config, dashboard, monitors
from autotask.tool.datadog.definition import Monitor
from autotask.tool.datadog.tags import key_of, tag_value
from autotask.tool.journal.index import open_index
from autotask.tool.schedule.cron_line import Schedule

FOLDER = Path(__file__).with_name("golden")
NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
DAYS = 60
WATCHED = 50  # the last ones of them: a window of a week is full by then
BERLIN = ZoneInfo("Europe/Berlin")


class Habit(NamedTuple):
    """A task: when it runs, for how long, and how often it fails."""

    task: str
    framework: str
    service: str | None
    env: str | None
    cron: str  # UTC
    usual: float  # seconds
    fails: float = 0.0  # share
    spread: float = 0.15  # of durations
    inside: str | None = None
    trigger: str = "cron"
    often: float = 1.0  # share of the times due at which it runs: irregular tasks
    skipped: float = 0.0  # share
    retried: float = 0.0  # share of runs that succeed at the second attempt
    server: bool = False


HABITS = (
    Habit("nightly.py", "process", "shop", "prod", "30 0 * * *", 1500, fails=0.02),
    Habit("backup.sh", "process", "ops", "prod", "0 1 * * *", 3000, fails=0.03),
    Habit("backup.sh", "process", "ops", "staging", "0 4 * * *", 900),
    Habit("rotate-logs.sh", "process", "ops", "prod", "15 0 * * 0", 40),
    Habit("vacuum.sh", "process", "ops", "prod", "0 3 * * 0", 4 * 3600),
    Habit("certbot.sh", "process", "ops", "prod", "17 */12 * * *", 5),
    Habit("flaky.sh", "process", "ops", "prod", "40 * * * *", 50, fails=0.4),
    Habit("pkg.jobs", "process", "shop", "prod", "5 * * * *", 240),
    Habit("t\u00e4glich \u00fcber alles.py", "process", "shop", "prod", "50 5 * * *", 70),
    Habit("report.weekly", "click", "bi", "prod", "0 4 * * mon", 7200, inside="report"),
    Habit("report.monthly", "click", "bi", "prod", "0 3 1 * *", 9000, inside="report"),
    Habit("import.prices", "click", "shop", "prod", "0 */4 * * *", 600, inside="import"),
    Habit("import.images", "click", "shop", "prod", "20 0 * * *", 10800, inside="import"),
    Habit("healthcheck", "click", None, None, "*/10 * * * *", 2),
    Habit("cache.warm", "click", "shop", "prod", "*/30 * * * *", 2, inside="cache"),
    Habit("search.reindex", "click", "search", "prod", "10 23 * * *", 5400, spread=0.6),
    Habit("newsletters", "click", "mail", "prod", "0 9 * * mon,thu", 1200, inside="mail"),
    Habit("sync.orders", "invoke", "shop", "prod", "*/15 * * * *", 35, fails=0.01, inside="inv"),
    Habit("sync.stock", "invoke", "shop", "prod", "*/10 * * * *", 4, fails=0.01, inside="inv"),
    Habit("mail.send", "invoke", "mail", "prod", "*/10 * * * *", 9, inside="inv"),
    Habit("db.migrate", "invoke", "shop", "prod", "0 14 * * tue", 20, trigger="terminal"),
    Habit("feeds.fetch", "invoke", "feeds", "prod", "25 * * * *", 130, fails=0.2, inside="inv"),
    Habit("billing.invoice", "invoke", "billing", "prod", "0 18 * * 1-5", 800, inside="inv"),
    Habit("billing.close", "invoke", "billing", "prod", "0 20 27 * *", 3600, inside="inv"),
    Habit("clearsessions", "click", "shop", "prod", "10 3 * * *", 12, inside="manage.py"),
    Habit("sendreminders", "click", "shop", "prod", "0 8 * * 1-5", 90, inside="manage.py"),
    Habit("sendreminders", "click", "shop", "staging", "0 8 * * 1-5", 9, inside="manage.py"),
    Habit("expirecarts", "click", "shop", "prod", "*/20 * * * *", 6, inside="manage.py"),
    Habit("etl.load", "typer", "bi", "prod", "45 * * * *", 800, inside="etl", trigger="kubernetes"),
    Habit("etl.check", "typer", "bi", "prod", "0 7 * * *", 60, inside="etl", trigger="kubernetes"),
    Habit("prune.images", "typer", "ops", "prod", "0 */6 * * *", 300, trigger="kubernetes"),
    Habit("gc", "typer", "ops", "prod", "0 22 * * sat", 21600, spread=0.4, trigger="kubernetes"),
    Habit("geo.update", "typer", "shop", "prod", "0 2 3 * *", 400, trigger="kubernetes"),
    Habit("audit.export", "typer", "bi", "staging", "30 2 * * *", 45, trigger="kubernetes"),
    Habit("compile:main.c", "doit", "build", "ci", "*/20 9-17 * * 1-5", 3, trigger="ci", often=0.3),
    Habit("compile:util.c", "doit", "build", "ci", "*/20 9-17 * * 1-5", 2, trigger="ci", often=0.3,
          skipped=0.7),
    Habit("export:csv", "doit", "bi", "prod", "15 6 * * *", 30, skipped=0.8, inside="doit"),
    Habit("thumbnails", "click", "shop", "prod", "*/15 * * * *", 15, often=0.2, trigger="unknown"),
    Habit("scratch.py", "process", None, None, "0 11 * * 1-5", 5, often=0.3, trigger="terminal"),
    Habit("celery", "process", "shop", "prod", "0 4 * * mon", 600000, server=True),
    Habit("shop.tasks.sync", "celery", "shop", "prod", "*/10 * * * *", 20, retried=0.2),
    Habit("once.py", "process", "ops", "prod", "0 12 15 5 *", 333, trigger="unknown"),
)  # fmt: skip


def runs(habit: Habit) -> Iterator[Past]:
    """Yield the runs of a task in sixty days, always the same."""
    chance = random.Random(f"{habit.task} {habit.env}")
    schedule, at = Schedule(habit.cron), NOW - timedelta(days=DAYS)
    while (at := schedule.next_after(at)) < NOW:
        if chance.random() >= habit.often:
            continue
        lot = chance.random()
        begin = at.timestamp() + chance.uniform(0, 20)
        usual = _past(habit, begin, habit.usual * chance.lognormvariate(0, habit.spread))
        if habit.retried and chance.random() < habit.retried:
            yield usual._replace(outcome=Outcome("retried", "exception"), at=begin - 60)
        outcome = exited(3) if lot < habit.fails else SUCCESS
        outcome = SKIPPED if lot > 1 - habit.skipped else outcome
        yield usual._replace(outcome=outcome)


def _past(habit: Habit, at: float, duration: float) -> Past:
    return Past(
        habit.task,
        at,
        duration,
        habit.framework,
        SUCCESS,
        habit.trigger,
        habit.service,
        habit.env,
        habit.inside,
        habit.server,
    )


def tasks(ran: Iterable[Past]) -> list[baselines.Task]:
    """Return the tasks with their baselines."""
    with tempfile.TemporaryDirectory() as home:
        past.write(Path(home), ran)
        index = open_index(home)
        try:
            return baselines.from_index(index, NOW.timestamp())
        finally:
            index.close()


def made() -> dict[str, str]:
    """Return the files of the folder `golden`, by name."""
    configuration = config.load(str(FOLDER / "autotask.toml"))
    ran = [run for habit in HABITS for run in runs(habit)]
    seen = tasks(ran)
    monitor_set = monitors.make(seen, configuration)
    tags = [*configuration.set_tags, *configuration.tags]
    return {
        "monitors.json": _json(monitor_set.monitors),
        "dashboard.json": _json(dashboard.definition(seen, tags, configuration.scope)),
        "review.txt": "".join(f"{line}\n" for line in _review(monitor_set, ran)),
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _points(run: Past) -> Iterator[Point]:
    """Yield the points that Datadog received for a run."""
    tags = {"task": run.task, "trigger": run.trigger}
    tags.update({"service": run.service} if run.service else {})
    tags.update({"env": run.env} if run.env else {})
    for minute in range(1, int(run.duration / MINUTE) + 1):
        lasts = minute * MINUTE
        host = {**tags, "host": "web-1"}
        yield Point(run.at + lasts, "autotask.task.running_seconds", lasts, host)
    end, status = run.at + run.duration, run.outcome.status
    ended = {**tags, "status": status, "reason": run.outcome.reason or "none"}
    yield Point(end, "autotask.task.runs", 1, ended)
    if status != "skipped":
        yield Point(end, "autotask.task.duration", run.duration, ended)
    if status in ("success", "failure"):
        yield Point(end, "autotask.task.status", 2 if status == "failure" else 0, tags)


def _alarms(monitor: Monitor, points: dict[str, list[Point]]) -> list[Alarm]:
    """Return when a monitor would have alerted."""
    about = [tag[len("task:") :] for tag in monitor["tags"] if tag.startswith("task:")]
    relevant = [point for task in about or points for point in points.get(task, ())]
    end = NOW.timestamp()
    return alarms(monitor, relevant, end - WATCHED * DAY, end)


def _how_often(alerts: list[Alarm]) -> str:
    hours = [datetime.fromtimestamp(alert.at, BERLIN).hour for alert in alerts]
    night = sum(not 6 <= hour < 22 for hour in hours)
    return f"{len(alerts)} times, {night} at night" if alerts else "never"


def _review(monitor_set: monitors.MonitorSet, ran: Iterable[Past]) -> Iterator[str]:
    """Yield for each monitor its query, its recipients, and how often it would have alerted."""
    points: dict[str, list[Point]] = {}
    for run in ran:
        run = run._replace(task=tag_value("task", run.task))
        points.setdefault(run.task, []).extend(_points(run))
    for monitor in monitor_set.monitors:
        kind = (key_of(monitor) or "").partition(".")[0]
        people = " ".join(word for word in monitor["message"].split() if word.startswith("@"))
        yield f"P{monitor['priority']} {kind:11} {monitor['name'].partition(': ')[2]}"
        yield f"      {monitor['query']}"
        schedule = monitor["options"].get("scheduling_options")
        if schedule:
            (recurrence,) = schedule["custom_schedule"]["recurrences"]
            yield f"      at {recurrence['rrule']} {recurrence['timezone']}"
        yield f"      {people or 'notifies nobody'}: {_how_often(_alarms(monitor, points))}"
    for omitted in monitor_set.omitted:
        yield f"   none for {omitted.task}, {omitted.kind}: {omitted.why}"


if __name__ == "__main__":
    for name, text in made().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
