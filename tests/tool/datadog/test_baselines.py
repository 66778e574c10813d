"""Tasks and what is usual for them, from the journal and from Datadog."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tool.datadog import past
from tool.datadog.past import Past
from tool.journals import DAY, HOUR, Book

from autotask import journal
from autotask.run import SKIPPED, Outcome, Run, failure
from autotask.tool.datadog import baselines
from autotask.tool.datadog.baselines import Task
from autotask.tool.journal import index


def learned(home: Path) -> dict[str, Task]:
    opened = index.open_index(str(home))
    try:
        return {task.name: task for task in baselines.from_index(opened)}
    finally:
        opened.close()


def test_intervals_and_durations_are_learned(book: Book, home: Path) -> None:
    for night in range(40):
        off = 3600 if night == 20 else 0  # one that came late does not count
        book.run("Nightly", ago=(night + 1) * DAY + off, duration=600 + night)
    task = learned(home)["nightly"]
    assert (task.service, task.env, task.spelled, task.runs) == ("shop", "prod", "Nightly", 40)
    assert task.interval == pytest.approx(DAY, abs=2)
    assert task.longest_interval == pytest.approx(DAY, abs=2)
    assert task.usual == pytest.approx(619, abs=1)
    assert task.longest == pytest.approx(637, abs=1)


def test_a_few_runs_are_not_enough_for_baselines(book: Book, home: Path) -> None:
    for night in range(3):
        book.run(ago=(night + 1) * DAY)
    task = learned(home)["nightly"]
    assert (task.interval, task.longest_interval, task.usual, task.longest) == (None,) * 4


def test_failures_do_not_count_for_durations(book: Book, home: Path) -> None:
    for night in range(9):
        book.run(ago=(night + 1) * DAY, outcome=failure("exception"), duration=9000)
    assert learned(home)["nightly"].longest is None


def test_runs_from_a_terminal_do_not_count(book: Book, home: Path) -> None:
    process = journal.process_fields(1, "x", "h", "3.12.1")
    for trigger in ("terminal", "cron"):
        run = Run(f"by-{trigger}", "click")
        run.started = time.time() - 60
        run.trigger = trigger
        book.line(journal.started_line(run, process))
        book.finish(run)
    assert [*learned(home)] == ["by-cron"]


def test_a_task_without_service_and_env_has_none(book: Book, home: Path) -> None:
    run = Run("x", "click")
    run.started = time.time() - 60
    process = journal.process_fields(1, "x", "h", "3.12.1")
    book.line(journal.started_line(run, process))
    book.finish(run)
    task = learned(home)["x"]
    assert (task.service, task.env) == (None, None)


def test_the_last_task_of_a_program_represents_it(book: Book, home: Path) -> None:
    for night in range(5):
        program = book.run("inv", "process", ago=(night + 1) * DAY)
        book.run("db.backup", "invoke", ago=(night + 1) * DAY - 1, parent=program)
        first = book.run("db.migrate", "invoke", ago=(night + 1) * DAY - 2, parent=program)
        book.run("inner", "function", ago=(night + 1) * DAY - 3, parent=first)
        book.run("backup.sh", "process", ago=(night + 1) * DAY)
    leading = {name: task.program for name, task in learned(home).items() if task.leads}
    assert leading == {"db.migrate": "inv", "backup.sh": "backup.sh"}


def test_a_task_that_represents_several_programs_is_of_none(book: Book, home: Path) -> None:
    for night in range(6):
        program = book.run(f"Inv {night % 2}", "process", ago=(night + 1) * DAY)
        book.run("db.migrate", "invoke", ago=(night + 1) * DAY - 1, parent=program)
        once = book.run("Nightly Inv", "process", ago=(night + 1) * DAY)
        book.run("db.backup", "invoke", ago=(night + 1) * DAY - 1, parent=once)
    programs = {name: task.program for name, task in learned(home).items() if task.leads}
    assert programs == {"db.migrate": None, "db.backup": "nightly_inv"}


def test_what_a_framework_runs_for_itself_has_no_baselines_and_leads_no_program(
    book: Book, home: Path
) -> None:
    for night in range(9):
        ago = (night + 1) * DAY
        program = book.run("rake", "process", ago=ago)
        book.run("environment", "rake", ago=ago - 1, parent=program, bookkeeping=True)
        book.run("db:migrate", "rake", ago=ago - 2, parent=program)
        outcome = failure("exception") if night % 2 else SKIPPED
        book.run("db:_dump", "rake", ago=ago - 3, outcome=outcome, parent=program, bookkeeping=True)
    tasks = learned(home)
    assert {name: task.leads for name, task in tasks.items()} == {
        "rake": False,
        "db:migrate": True,
    }


def series(tags: str, *points: tuple[float, float | None]) -> dict[str, Any]:
    return {"tag_set": tags.split(","), "pointlist": [[at * 1000, value] for at, value in points]}


def test_baselines_from_datadog_are_by_the_hour() -> None:
    tags = "env:prod,framework:click,service:shop,task:nightly"
    runs = series(tags, *((hour * HOUR, 1 if hour % 24 == 3 else None) for hour in range(14 * 24)))
    durations = series(tags, *((day * DAY, 600.0 + day) for day in range(14)))
    no_task = series("env:prod", (0, 1.0))
    (task,) = baselines.from_series([runs, no_task], [durations])
    last = (13 * 24 + 3) * HOUR
    assert task == Task("nightly", "shop", "prod", "click", 14, DAY, DAY, 606.0, 613.0, last=last)


# A task that had other tags before: the days on which it ran under each env, and its former envs as
# seen on day 40.

PROD, UNKNOWN, STAGING = "prod", None, "staging"
TAGGED = [
    ("never", {PROD: range(1, 41)}, {"prod": []}),
    ("once", {UNKNOWN: range(1, 31), PROD: range(31, 41)}, {"prod": [None]}),
    ("just now", {UNKNOWN: range(1, 40), PROD: [40]}, {"prod": [None]}),
    (
        "twice",
        {UNKNOWN: range(1, 11), STAGING: range(11, 21), PROD: range(21, 41)},
        {"prod": [None, "staging"]},
    ),
    ("tried out there", {STAGING: [2], PROD: range(9, 41)}, {"prod": ["staging"]}),
    (
        "side by side",
        {STAGING: range(1, 41), PROD: range(20, 41)},
        {"prod": [], "staging": []},
    ),
    (
        "side by side for a while",
        {STAGING: range(1, 31), PROD: range(20, 41)},
        {"prod": [], "staging": []},
    ),
    ("not overdue", {STAGING: range(9, 40, 14), PROD: range(38, 41)}, {"prod": [], "staging": []}),
    ("gone, no other", {STAGING: range(1, 9)}, {"staging": []}),
]


@pytest.mark.parametrize(("days", "expected"), [one[1:] for one in TAGGED],
                         ids=[one[0] for one in TAGGED])  # fmt: skip
def test_a_task_that_continues_under_other_tags_is_one_task(
    home: Path, days: dict[str | None, Iterable[int]], expected: dict[str, list[str | None]]
) -> None:
    now = time.time()
    ran = [
        Past("nightly", now - (40 - day) * DAY - 60, 30, env=env)
        for env, all_of_them in days.items()
        for day in all_of_them
    ]
    past.write(home, ran)
    opened = index.open_index(str(home))
    try:
        found = baselines.from_index(opened, now)
    finally:
        opened.close()
    assert {str(task.env): [env for _, env in task.former] for task in found} == expected
    assert sum(task.runs for task in found) == len(ran)
    by_hour = [
        series(
            f"task:nightly,service:shop,framework:x,env:{env or 'unknown'}",
            *((one.at // HOUR * HOUR, 1.0) for one in ran if one.env == env),
        )
        for env in days
    ]
    seen = baselines.from_series(by_hour, [])
    assert {str(task.env): [env for _, env in task.former] for task in seen} == expected


def test_runs_under_former_tags_count_for_its_baselines(home: Path) -> None:
    now = time.time()
    past.write(
        home,
        [
            Past("nightly", now - night * DAY, 600, env="prod" if night < 3 else "staging")
            for night in range(40, 0, -1)
        ],
    )
    task = learned(home)["nightly"]
    assert (task.runs, task.env, task.usual) == (40, "prod", 600)
    assert task.interval == pytest.approx(DAY, abs=1)
    assert task.last == pytest.approx(now - DAY, abs=1)
    assert len(task.starts) == baselines.LAST_STARTS


def test_two_tasks_that_get_other_tags_are_matched_with_their_own(home: Path) -> None:
    now = time.time()
    past.write(
        home,
        [
            Past(
                "nightly", now - night * DAY - (env == "prod") * HOUR, 60, service=service, env=env
            )
            for night in range(40, 0, -1)
            for env in ("prod", "staging")
            for service in ["shop2" if night < 20 else "shop"]
        ],
    )
    opened = index.open_index(str(home))
    try:
        found = baselines.from_index(opened, now)
    finally:
        opened.close()
    assert [(task.service, task.env, task.former) for task in found] == [
        ("shop2", "prod", (("shop", "prod"),)),
        ("shop2", "staging", (("shop", "staging"),)),
    ]


def test_a_task_that_starts_after_a_pause_is_the_same_only_on_one_machine(home: Path) -> None:
    now = time.time()
    ran = [
        Past("nightly", now - ago * DAY, 60, env="staging" if ago > 20 else "prod")
        for ago in (*range(40, 22, -1), *range(20, 0, -1))
    ]
    past.write(home, ran)
    assert learned(home)["nightly"].former == (("shop", "staging"),)
    by_hour = [
        series(f"task:nightly,service:shop,env:{env}", *((r.at, 1.0) for r in ran if r.env == env))
        for env in ("staging", "prod")
    ]
    assert [task.former for task in baselines.from_series(by_hour, [])] == [(), ()]


@pytest.mark.parametrize(
    "tags",
    [
        "framework:click,task:x",
        "env:N/A,framework:click,service:N/A,task:x",
        "env:n/a,framework:click,service:,task:x",
        "env:unknown,framework:click,service:unknown,task:x",  # as older versions have sent it
    ],
)
def test_a_series_without_service_or_env_has_none(tags: str) -> None:
    day = [(number * DAY, 1.0) for number in range(5)]
    (task,) = baselines.from_series([series(tags, *day)], [])
    assert task == Task("x", None, None, "click", 5, DAY, DAY, last=4 * DAY)


def test_several_series_of_one_task_are_merged() -> None:
    old, new = "env:unknown,service:unknown,task:x", "task:x"
    days = [(number * DAY, float(number + 1)) for number in range(8)]
    ran = [series(new, *days[4:]), series(old, *days[:4])]
    (task,) = baselines.from_series(ran, ran)
    assert task == Task("x", None, None, "process", 36, DAY, DAY, 4.0, 8.0, last=7 * DAY)


def test_a_program_and_its_task_with_the_same_name_are_one_task(home: Path) -> None:
    """Such as a console script: a program `nightly` with a Click command `nightly`."""
    now = time.time() // HOUR * HOUR
    nights = [now - night * DAY for night in range(12, 0, -1)]
    past.write(home, (Past("nightly", at, 60, "click", inside="nightly") for at in nights))
    task = learned(home)["nightly"]
    assert (task.runs, task.interval, task.framework, task.leads) == (12, DAY, "click", True)

    def seen(framework: str) -> dict[str, Any]:
        tags = ["task:nightly", "service:shop", "env:prod", f"framework:{framework}"]
        return {"tag_set": tags, "pointlist": [[at * 1000, 1.0] for at in nights]}

    series = [seen("click"), seen("process")]
    (task,) = baselines.from_series(series, series)
    assert (task.runs, task.interval, task.framework) == (12, DAY, "click")


def test_of_two_alternating_spellings_it_always_chooses_the_same(book: Book, home: Path) -> None:
    for ago, name in ((3, "nightly"), (2, "Nightly"), (1, "nightly")):
        book.run(name, ago=ago * HOUR)
        assert learned(home)["nightly"].spelled == "nightly"


AGAIN, OVERLAP = Outcome("retried", "exception"), Outcome("skipped", "overlap")


def test_what_was_retried_or_skipped_for_a_reason_is_no_run(book: Book, home: Path) -> None:
    for hour in range(1, 31):
        book.run("mail", "celery", ago=hour * HOUR, duration=9.0, waited=0.5)
        book.run("mail", "celery", ago=hour * HOUR - 60, duration=900.0, outcome=AGAIN)
        book.run("mail", "celery", ago=hour * HOUR - 90, outcome=OVERLAP)
        book.run("export", "doit", ago=hour * HOUR, outcome=SKIPPED)
    found = learned(home)
    assert found["mail"].runs == 30
    assert found["mail"].interval == pytest.approx(HOUR, abs=2)
    assert (found["mail"].usual, found["mail"].longest) == (9.0, 9.0)
    assert (found["mail"].retries, found["mail"].waits) == (1, True)
    assert found["export"].runs == 30  # it had nothing to do, and ran
    assert (found["export"].retries, found["export"].waits) == (None, False)


def test_the_most_retries_in_an_hour_are_learned_without_the_worst(book: Book, home: Path) -> None:
    begin = time.time() // HOUR * HOUR
    for hour in range(1, 25):
        book.run("mail", "celery", ago=time.time() - begin + hour * HOUR - 5)
        for number in range(40 if hour == 12 else 3):
            at = begin - hour * HOUR + 60 + number
            book.run("mail", "celery", ago=time.time() - at, outcome=AGAIN)
    assert learned(home)["mail"].retries == 3


def test_nothing_is_usual_for_a_server_and_its_tasks_are_not_part_of_it(
    book: Book, home: Path
) -> None:
    old = Run("celery", "process")  # which started before all that is read, as far as is known
    for day in range(1, 9):
        outer = book.run("celery", "process", ago=day * DAY, duration=DAY, server=True)
        worker = book.run("celery.worker", ago=day * DAY, parent=outer, server=True)
        for hour in range(20):
            for task in ("mail", "thumbnails"):
                book.run(task, "celery", ago=day * DAY - hour * HOUR - 60, parent=worker)
            book.run("report", "celery", ago=day * DAY - hour * HOUR - 60, parent=old)
    found = learned(home)
    for server in (found["celery"], found["celery.worker"]):
        assert server.server
        known = (server.interval, server.longest_interval, server.usual, server.longest)
        assert known == (None,) * 4
    assert all(found[name].leads for name in ("mail", "thumbnails", "report"))
    assert not any(found[name].server for name in ("mail", "thumbnails", "report"))


def test_datadog_knows_retries_waiting_and_servers_by_name() -> None:
    hours = [(hour * HOUR, 1.0) for hour in range(30)]
    runs = [
        series("task:mail,framework:celery", *hours),
        series("task:uvicorn,framework:process", *hours),
    ]
    retries = [series("task:mail,framework:celery", (0, 4.0), (HOUR, 2.0))]
    waiting = [series("task:mail,framework:celery", (0, 0.5))]
    mail, server = baselines.from_series(runs, runs, retries, waiting)
    assert (mail.retries, mail.waits, mail.server) == (4, True, False)
    assert (server.retries, server.waits, server.server) == (None, False, True)
    assert (server.interval, server.longest) == (None, None)


def test_what_has_no_starts_in_datadog_is_the_bookkeeping_of_a_framework() -> None:
    nights = [(night * DAY, 1.0) for night in range(9)]
    runs = [
        series(f"task:{task},framework:rake", *nights) for task in ("db:migrate", "environment")
    ]
    starts = [series("task:db:migrate,framework:rake", *nights)]
    found = baselines.from_series(runs, runs, (), (), starts)
    assert [task.name for task in found] == ["db:migrate"]


def test_datadog_is_asked_for_runs_alone() -> None:
    asked = baselines.queries(["env:prod"])
    assert asked["runs"].startswith("sum:autotask.task.runs{!trigger:terminal,!status:retried,")
    assert asked["waiting"].startswith("max:autotask.task.waited{env:prod} by {task,")
    assert "{*} by" in baselines.queries([])["waiting"]
