"""The monitors of tasks: sound, and only those that make sense."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tool.datadog import server
from tool.datadog.linter import problems
from tool.datadog.reading import Point, alarms

from autotask.tool.datadog import config, export, monitors, plan, retired
from autotask.tool.datadog.baselines import Task
from autotask.tool.datadog.tags import key_of, tag_value
from autotask.tool.schedule.cron_line import Schedule

Json = dict[str, Any]
HOUR, DAY = 3600.0, 86400.0

NIGHTLY = Task("nightly", "shop", "prod", "click", 60, DAY, DAY + 30, 600, 900, spelled="Nightly")
MAIL = Task("mail.send", "shop", "prod", "invoke", 9000, 300, 310, 4, 9, spelled="mail.send")
WEEKLY = Task("report", "shop", "prod", "process", 8, 7 * DAY, 7 * DAY, 60, 90)
ODD = Task("deploy", "shop", "prod", "process", 30, HOUR, 3 * DAY, 60, 90)
RARE = Task("db.migrate", "ops", "prod", "invoke", 2)
BARE = NIGHTLY._replace(name="bare.py", service=None, env=None, spelled="")
QUEUED = MAIL._replace(name="shop.send", framework="celery", retries=2, spelled="shop.send")
WORKER = Task("celery", "shop", "prod", "process", 9, spelled="celery", server=True)
SUB = NIGHTLY._replace(name="db.backup", leads=False)
TASKS = [NIGHTLY, MAIL, WEEKLY, ODD, RARE, SUB]
MANY = [NIGHTLY._replace(name=f"task{number}") for number in range(20)]
NOTIFY: Json = {"notify": ["@a"]}
NOTIFY_LATCHED = {**NOTIFY, "latched": True}
PATIENT = {"task": {"mail.send": {"failures_in_a_row": 3}}}
FILE = {
    "datadog": {
        "notify": ["@slack-ops", "@pagerduty"],
        "tags": ["team:Shop"],
        "scope": ["env:prod"],
    },
    "task": {
        "db.*": {"notify": ["@dba"], "hung_after": "30m"},
        "report": {"schedule": "0 6 * * 1", "timezone": "Europe/Berlin", "within": "3h"},
        "deploy": {"without": ["did_not_run", "slow"]},
        "mail.*": {"failures_in_a_row": 3, "priority": 1},
        "never/seen": {"schedule": "30 22 1 * *", "service": "shop"},
        "often": {"schedule": "*/10 * * * *"},
        "odd@{{name}}`": {"interval": "1d"},
    },
}


def made(tasks: list[Task], document: Json | None = None) -> list[Json]:
    return monitors.make(tasks, config.parse(document or {})).monitors


def kinds(task: Task, **wishes: Any) -> dict[str, Json]:
    """Return the monitors of one task by kind."""
    document = {"task": {task.spelled or task.name: wishes}} if wishes else {}
    found = made([task], document)
    return {(key_of(one) or "").partition(".")[0]: one for one in found}


SETS = [
    ("nothing", [], {}),
    ("tasks", TASKS, {}),
    ("tasks and wishes", TASKS, FILE),
    ("a queue", [QUEUED, WORKER], FILE),
    ("a queue, latched", [QUEUED, WORKER], {"datadog": {"latched": True}}),
    ("wishes", [], FILE),
    ("without env and service", [BARE, RARE], FILE),
    ("few without env and service", [BARE, *TASKS, *MANY], FILE),
]


@pytest.mark.parametrize(("tasks", "document"), [one[1:] for one in SETS])
def test_the_linter_accepts_all_monitors(tasks: list[Task], document: Json) -> None:
    found = made(tasks, document)
    assert {one["name"]: problems(one) for one in found if problems(one)} == {}
    keys = [key_of(one) for one in found]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(("tasks", "document"), [one[1:] for one in SETS])
def test_datadogs_models_accept_all_monitors(tasks: list[Task], document: Json) -> None:
    pytest.importorskip("datadog_api_client")
    from datadog_api_client.v1.model.monitor import Monitor
    from tool.datadog import typed

    assert [typed.problems(Monitor, one) for one in made(tasks, document)] == [
        [] for _ in made(tasks, document)
    ]


BROKEN: list[tuple[str, Json]] = [
    ("threshold", {"query": "sum(last_5m):sum:autotask.task.runs{a:b}.as_count() >= 2"}),
    ("window", {"query": "sum(last_800h):sum:autotask.task.runs{env:b}.as_count() >= 1"}),
    ("window", {"query": "sum(last_169h):sum:autotask.task.runs{env:b}.as_count() >= 1"}),
    ("no tag", {"query": "sum(last_5m):sum:autotask.task.runs{a:b} by {pid}.as_count() >= 1"}),
    (
        "nested failure",
        {"query": "sum(last_5m):sum:autotask.task.runs{status:failure}.as_count() >= 1"},
    ),
    ("by hand", {"query": "sum(last_5m):sum:autotask.task.runs{task:b}.as_count() >= 1"}),
    ("variable", {"message": "{{#is_alert}}{{host.name}}{{/is_alert}}"}),
    ("by accident", {"message": "mail ann@example.com {{#is_recovery}}{{/is_recovery}}"}),
    ("option", {"options": {"notify_no_data": True}}),
    ("the set or the key", {"tags": ["team:shop"]}),
    ("priority", {"priority": 0}),
]


@pytest.mark.parametrize(("told", "change"), BROKEN)
def test_the_linter_rejects_wrong_monitors(told: str, change: Json) -> None:
    one = made([])[0]
    options = {**one["options"], **change.pop("options", {})}
    assert problems(one) == []
    assert any(told in problem for problem in problems({**one, **change, "options": options}))


# Which monitors there are.

MAKES = [
    (NIGHTLY, {}, "did_not_run failed hung slow"),
    (NIGHTLY, {"without": ["slow", "failed"]}, "did_not_run failed hung"),  # for other tasks
    (SUB, {}, "failed"),
    (SUB, {"interval": "1d", "slow_after": "1h"}, "did_not_run failed slow"),
    (RARE, {}, "failed"),
    (WEEKLY, {}, "failed hung slow"),
    (WEEKLY, {"schedule": "0 6 * * 1"}, "did_not_run failed hung slow"),
    (ODD, {}, "failed hung slow"),
    (QUEUED, {}, "did_not_run failed hung slow retries"),
    (QUEUED._replace(leads=False), {}, "failed retries"),
    (QUEUED, {"without": ["retries"]}, "did_not_run failed hung slow"),
    (MAIL, {"retries_an_hour": 5}, "did_not_run failed hung slow retries"),
    (WORKER, {}, "failed"),
    (WORKER, {"interval": "1d", "hung_after": "1d", "slow_after": "1d", "retries_an_hour": 1},
     "failed"),
    (WORKER, {"latched": True}, "failed"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "wishes", "expected"), MAKES)
def test_a_task_gets_the_monitors_that_make_sense(task: Task, wishes: Json, expected: str) -> None:
    assert set(kinds(task, **wishes)) == set(expected.split())


def test_an_omitted_monitor_comes_with_what_to_do() -> None:
    without = monitors.make([WEEKLY, ODD, RARE], config.Config()).omitted
    assert {(one.task, one.kind): one.why for one in without} == {
        ("report", "did_not_run"): "it runs too rarely for a window of a week; set `schedule`",
        ("deploy", "did_not_run"): "it runs at irregular times; set `schedule`",
        ("db.migrate", "did_not_run"): "too few runs so far; set `schedule`",
        ("db.migrate", "hung"): "too few successes so far; set `hung_after`",
        ("db.migrate", "slow"): "too few successes so far; set `slow_after`",
    }


def test_a_server_has_only_the_monitor_for_failures_and_what_was_asked_for_is_told() -> None:
    document = {"task": {"celery": {"schedule": "@daily", "hung_after": "1d"}, "nightly": {}}}
    found = monitors.make([WORKER, NIGHTLY], config.parse(document))
    told = "it is a server, which runs until it is stopped"
    assert found.omitted == [
        monitors.Omitted("celery", "did_not_run", told),
        monitors.Omitted("celery", "hung", told),
    ]
    assert monitors.make([WORKER], config.Config()).omitted == []


def test_each_failure_of_a_server_alerts_even_if_alerts_last_until_a_success() -> None:
    """Its next success may be months away."""
    found = made([WORKER, NIGHTLY], {"datadog": {"notify": ["@a"], "latched": True}})
    assert told("celery", found) == [(EACH, "@a")]
    assert told("nightly", found) == [(LATCHED, "@a")]


# What arrives for a task in the hours of a day, and which monitors alert.
OVERLAP = {"status": "skipped", "reason": "overlap"}
NOTHING_TO_DO = {"status": "skipped", "reason": "none"}
AGAIN = {"status": "retried", "reason": "exception"}
GOOD = {"status": "success", "reason": "none"}
ARRIVES: list[tuple[str, list[tuple[int, Json]], str]] = [
    ("successes", [(1, GOOD)], ""),
    ("nothing", [], "did_not_run"),
    ("an attempt that is tried again", [(1, AGAIN)], "did_not_run"),
    ("such attempts before each success", [(1, AGAIN), (1, AGAIN), (1, GOOD)], ""),
    ("many of them", [(11, AGAIN), (1, GOOD)], "retries"),
    ("not quite as many", [(10, AGAIN), (1, GOOD)], ""),
    ("overlapping runs", [(1, OVERLAP)], "did_not_run"),
    ("runs with nothing to do", [(1, NOTHING_TO_DO)], ""),
    ("all but these", [(1, OVERLAP), (1, GOOD)], ""),
]


@pytest.mark.parametrize(("arriving", "expected"), [one[1:] for one in ARRIVES],
                         ids=[one[0] for one in ARRIVES])  # fmt: skip
def test_what_was_retried_or_skipped_is_no_run_and_alerts_only_if_it_is_a_lot(
    arriving: list[tuple[int, Json]], expected: str
) -> None:
    hourly = QUEUED._replace(interval=HOUR, longest_interval=HOUR)
    tags = {"task": hourly.name, "service": "shop", "env": "prod", "trigger": "cron"}
    points = [
        Point(hour * HOUR + second, "autotask.task.runs", 1, {**tags, **ended})
        for hour in range(24)
        for count, ended in arriving
        for second in range(count)
    ]
    found = [(key_of(one) or "").partition(".")[0] for one in made([hourly])
             if alarms(one, points, 3 * HOUR, DAY)]  # fmt: skip
    assert " ".join(found) == expected


@pytest.mark.parametrize("framework", ["celery", "a_plugin", "click", "invoke", "process"])
def test_only_a_task_that_can_be_put_off_is_asked_for_more_than_a_run(framework: str) -> None:
    query = kinds(NIGHTLY._replace(framework=framework))["did_not_run"]["query"]
    assert ("!reason:overlap" in query) == (framework in ("celery", "a_plugin"))


WINDOWS = [
    (NIGHTLY, {}, "last_27h"),
    (MAIL, {}, "last_16m"),
    (MAIL, {"within": "5m"}, "last_10m"),
    (NIGHTLY, {"interval": "20h", "within": "4h"}, "last_1440m"),
    (NIGHTLY, {"schedule": "0 3 * * *"}, "last_70m"),
    (NIGHTLY._replace(longest=2 * HOUR), {"schedule": "0 3 * * *"}, "last_250m"),
    (NIGHTLY, {"schedule": "0 3 * * *", "within": "2d"}, "last_49h"),
    (MAIL, {"schedule": "*/5 * * * *"}, "last_16m"),
    (NIGHTLY._replace(interval=DAY, longest_interval=3 * DAY), {}, "last_80h"),  # weekdays
]


@pytest.mark.parametrize(("task", "wishes", "window"), WINDOWS)
def test_the_window_for_a_missing_run_is_long_enough_for_one(
    task: Task, wishes: Json, window: str
) -> None:
    assert f"sum({window}):" in kinds(task, **wishes)["did_not_run"]["query"]


LIMITS = [
    ("hung", NIGHTLY, {}, 2700),
    ("hung", MAIL, {}, 600),
    ("hung", NIGHTLY, {"hung_after": "20m"}, 1200),
    ("slow", NIGHTLY, {}, 1800),
    ("slow", MAIL, {}, 60),
    ("slow", NIGHTLY, {"slow_after": "90s"}, 90),
    ("retries", QUEUED, {}, 10),
    ("retries", QUEUED._replace(retries=5), {}, 20),
    ("retries", QUEUED._replace(retries=7), {}, 20),
    ("retries", QUEUED._replace(retries=16), {}, 50),
    ("retries", QUEUED._replace(retries=18), {}, 100),
    ("retries", QUEUED._replace(retries=100), {}, 500),
    ("retries", QUEUED, {"retries_an_hour": 7}, 7),
]


@pytest.mark.parametrize(("kind", "task", "wishes", "limit"), LIMITS)
def test_limits_come_from_the_file_or_from_baselines(
    kind: str, task: Task, wishes: Json, limit: int
) -> None:
    monitor = kinds(task, **wishes)[kind]
    assert monitor["options"]["thresholds"] == {"critical": limit}
    assert monitor["query"].endswith(f"> {limit}")


@pytest.mark.parametrize("more", [0.99, 1.0, 1.02])
def test_slightly_different_baselines_change_nothing(more: float) -> None:
    later = NIGHTLY._replace(
        longest_interval=DAY * more, interval=DAY * more, longest=900 * more, usual=600 * more
    )
    assert made([later]) == made([NIGHTLY])


def test_a_deadline_is_the_due_time_plus_within() -> None:
    monitor = kinds(NIGHTLY, schedule="30 23 * * 1-5", timezone="Europe/Berlin", within="2h")
    assert monitor["did_not_run"]["options"]["scheduling_options"] == {
        "custom_schedule": {
            "recurrences": [
                {
                    "rrule": "FREQ=WEEKLY;BYDAY=TU,WE,TH,FR,SA;BYHOUR=1;BYMINUTE=30",
                    "timezone": "Europe/Berlin",
                }
            ]
        }
    }


def late(task: Task, document: Json) -> list[Json]:
    return [one for one in made([task], document) if "did_not_run." in str(one["tags"])]


TIMES = [  # cron lines, and of which times there is a monitor each
    ("0 3 * * *", [""]),
    ("0 3,15 * * *", [" at 03:00", " at 15:00"]),
    ("0,30 9 * * mon", [" at 09:00", " at 09:30"]),
    ("30 4 1 * mon", [" at 04:30 on day 1 of the month", " at 04:30 on Mon"]),
    ("0 8-18 * * 1-5", [f" at {hour:02}:00" for hour in range(8, 19)]),
    ("*/15 8-18 * * *", [""]),  # by its gap
]


@pytest.mark.parametrize(("cron", "times"), TIMES)
def test_each_time_of_day_has_its_own_monitor_and_key(cron: str, times: list[str]) -> None:
    found = late(NIGHTLY, {"task": {"Nightly": {"schedule": cron, "timezone": "UTC"}}})
    assert [one["name"].partition("did not run")[2] for one in found] == times
    assert {one["name"]: problems(one) for one in found if problems(one)} == {}
    keys = [key_of(one) for one in found]
    assert len(keys) == len(set(keys))
    assert keys[0] == key_of(kinds(NIGHTLY)["did_not_run"])  # what there was is changed


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize("lasts", [10, 700])
@pytest.mark.parametrize("cron", [cron for cron, times in TIMES if times != [""]])
def test_one_missing_run_alerts_once(cron: str, lasts: int, zone: str) -> None:
    begin = datetime(2026, 5, 31, tzinfo=timezone.utc).timestamp()
    schedule = Schedule(cron, zone)
    due, at = [], datetime.fromtimestamp(begin - 8 * DAY, timezone.utc)
    while at.timestamp() < begin + 40 * DAY:
        at = schedule.next_after(at)
        due.append(at.timestamp())
    task = NIGHTLY._replace(longest=60.0)
    document = {"task": {"Nightly": {"schedule": cron, "timezone": zone}}}
    tags = {"task": "nightly", "service": "shop", "env": "prod", "trigger": "cron"}
    ended = {**tags, "status": "success"}
    first = next(place for place, moment in enumerate(due) if moment > begin)
    missed = due[first + 1]
    points = [
        Point(moment + lasts, "autotask.task.runs", 1, ended) for moment in due if moment != missed
    ]
    told = [
        alarm.at
        for one in late(task, document)
        for alarm in alarms(one, points, begin, begin + 30 * DAY)
    ]
    assert len(told) == 1
    assert missed < told[0] <= missed + HOUR


REFUSED = [
    ({"schedule": "30 23 31 * *"}, "set a shorter `within`"),
    ({"schedule": "30 4,23 31 * *"}, "set a shorter `within`"),
    (
        {"schedule": "*/15 8-18 1 * *"},
        "due 44 times a day, too many for one monitor each (at most 12)",
    ),
]


@pytest.mark.parametrize(("wishes", "why"), REFUSED)
def test_a_schedule_that_datadog_cannot_express_only_affects_its_task(
    wishes: Json, why: str
) -> None:
    document = config.parse({"task": {"Nightly": wishes}})
    found = monitors.make([MAIL, NIGHTLY], document)
    (refusal,) = [one for one in found.omitted if one.refused]
    assert (refusal.task, refusal.kind) == ("nightly", "did_not_run")
    assert why in refusal.why
    others = {one["name"].partition(": ")[2] for one in found.monitors}
    assert "mail.send (shop, prod) did not run" in others
    assert "nightly (shop, prod) hangs" in others


def test_a_retired_task_has_no_monitors_of_its_own() -> None:
    document = {
        "datadog": NOTIFY,
        "task": {
            "nightly": {"latched": True, "retired": True},
            "mail.*": {"notify": ["@b"], "retired": True},
            "mail.new": {"retired": False, "schedule": "@daily"},
            "never": {"retired": True, "schedule": "@daily"},
        },
    }
    found = monitors.make(TASKS, config.parse(document))
    about = {tag for one in found.monitors for tag in one["tags"] if tag.startswith("task:")}
    assert about == {"task:report", "task:deploy", "task:mail.new"}
    assert {one.task for one in found.omitted} <= {"report", "deploy", "db.migrate", "mail.new"}
    assert told("nightly", found.monitors) == [(EACH, "@a")]  # if it runs all the same
    assert told("mail.send", found.monitors) == [(EACH, "@a")]
    assert len([one for one in found.monitors if "failed." in str(one["tags"])]) == 2


# The recipients of a failure.


EACH, LATCHED = "query alert", "service check"


def told(
    task: str, found: list[Json], service: str | None = "shop", env: str | None = "prod"
) -> list[tuple[str, str]]:
    """Return the types and recipients of the monitors that alert on three failures in a row."""
    where = {"service": service, "env": env}
    tags = {"task": task, "trigger": "cron", **{key: one for key, one in where.items() if one}}
    ended = {**tags, "status": "failure", "reason": "exit"}
    points = [Point(minute * 60, "autotask.task.runs", 1, ended) for minute in (1, 2, 3)]
    points += [Point(minute * 60, "autotask.task.status", 2, tags) for minute in (1, 2, 3)]
    return [
        (one["type"], " ".join(word for word in one["message"].split() if word[0] == "@"))
        for one in found
        if "autotask_key:failed." in str(one["tags"])
        for _ in alarms(one, points, 0, DAY)
    ]


ALL, DBA = "@slack-ops @pagerduty", "@dba"
TOLD: list[tuple[str, str, Json, list[tuple[str, str]]]] = [
    ("all", "nightly", FILE, [(EACH, ALL)]),
    ("not seen", "never.seen.before", FILE, [(EACH, ALL)]),
    ("a section's", "db.migrate", FILE, [(EACH, DBA)]),
    ("a section's, not seen", "db.new", FILE, [(EACH, DBA)]),
    ("in a row", "mail.send", FILE, [(LATCHED, ALL)]),
    ("in a row, until the next apply", "mail.new", FILE, [(EACH, ALL)]),
    ("a section of other things", "report", FILE, [(EACH, ALL)]),
    *(
        (f"{name}, {task}", task, {"datadog": {"notify": ["@a"]}, "task": sections}, [expected])
        for name, sections, cases in [
            ("as all again", {"db.*": {"notify": ["@b"]}, "db.x": {"notify": ["@a"]}},
             [("db.x", (EACH, "@a")), ("db.y", (EACH, "@b"))]),
            ("the last wins", {"db.x": {"notify": ["@b"]}, "db.*": {"latched": True}},
             [("db.migrate", (LATCHED, "@a")), ("db.new", (EACH, "@a"))]),
        ]
        for task, expected in cases
    ),
    *(
        (f"latched, {task}", task, {
            "datadog": {"notify": ["@a"], "latched": True},
            "task": {"nightly": {"latched": False}, "mail.*": {"notify": ["@b"]},
                     "report": {"without": ["failed"]}},
        }, expected)
        for task, expected in [
            ("db.migrate", [(LATCHED, "@a")]),
            ("never.seen.before", [(LATCHED, "@a")]),
            ("nightly", [(EACH, "@a")]),
            ("mail.send", [(LATCHED, "@b")]),
            ("report", []),
        ]
    ),
]  # fmt: skip


@pytest.mark.parametrize(("task", "document", "expected"), [one[1:] for one in TOLD],
                         ids=[one[0] for one in TOLD])  # fmt: skip
def test_a_failure_notifies_the_recipients_of_the_last_matching_section_once(
    task: str, document: Json, expected: list[tuple[str, str]]
) -> None:
    assert told(task, made(TASKS, document)) == expected


SAID = st.fixed_dictionaries(
    {},
    optional={
        "notify": st.sampled_from([["@a"], ["@b"]]),
        "latched": st.booleans(),
        "failures_in_a_row": st.sampled_from([1, 3]),
        "without": st.sampled_from([["failed"], []]),
    },
)
NESTED = ["*", "a", "a.*", "a.x", "a.x.*", "b.*"]
SEEN = [Task(name, "shop", "prod") for name in ("a", "a.x", "a.x.z", "a.y", "b", "b.x")]


@settings(deadline=None, database=None, derandomize=True)
@given(all_of_them=SAID, sections=st.lists(st.tuples(st.sampled_from(NESTED), SAID)))
def test_any_sections_notify_as_the_settings_of_the_task_say(
    all_of_them: Json, sections: list[tuple[str, Json]]
) -> None:
    document = {"datadog": all_of_them, "task": dict(sections)}
    found, read = made(SEEN, document), config.parse(document)
    keys = [key_of(one) for one in found]
    assert len(keys) == len(set(keys))
    for task in SEEN:
        wished = read.settings_for(task.name)
        kind = LATCHED if wished.latched or wished.failures_in_a_row > 1 else EACH
        expected = [] if "failed" in wished.without else [(kind, " ".join(wished.notify))]
        assert told(task.name, found) == expected


# The tags that failures are grouped by. A monitor ignores a series without such a tag.

WHOLE = "env,service,task"
HALF = NIGHTLY._replace(name="half", service=None)
TWICE = [NIGHTLY, NIGHTLY._replace(service=None, env=None)]
NEW = {"task": {"new": {"service": "shop", "env": "prod"}}}
BY: list[tuple[str, list[Task], Json, dict[str, str]]] = [
    ("nothing is known", [], {}, {"*": "task"}),
    ("all have both", [NIGHTLY, MAIL], {}, {"*": WHOLE}),
    ("none has any", [BARE], {}, {"*": "task"}),
    ("no service", [NIGHTLY._replace(service=None)], {}, {"*": "env,task"}),
    ("no env", [NIGHTLY._replace(env=None), MAIL], {}, {"*": "service,task"}),
    ("one of two has none", [NIGHTLY, BARE], {}, {"*": "task"}),
    ("one of many has none", [BARE, *MANY], {}, {"*": WHOLE, "bare.py": "task"}),
    ("few of some have none", [BARE, HALF, *MANY[:14]], {},
     {"*": WHOLE, "bare.py": "task", "half": "env,task"}),
    ("one that has them here and there", [*TWICE, *MANY], {}, {"*": WHOLE, "nightly": "task"}),
    ("all are of an env", [BARE], {"datadog": {"scope": ["env:prod"]}}, {"*": "env,task"}),
    ("the file says it", [], NEW, {"*": WHOLE}),
    ("the file says it of another", [BARE], NEW, {"*": "task"}),
    ("not seen yet", [NIGHTLY], {"task": {"new": {"interval": "1d"}}}, {"*": WHOLE}),
    ("of a section", [BARE, MAIL], {"task": {"bare.*": NOTIFY}}, {"*": WHOLE, "bare.*": "task"}),
    ("of one task", [BARE, MAIL], {"task": {"bare.py": NOTIFY}}, {"*": WHOLE, "bare.py": "task"}),
    ("of no other", [BARE, *MANY], {"task": {"bare.*": {"without": ["failed"]}}}, {"*": WHOLE}),
]  # fmt: skip
OF = re.compile(r'[{,]task:([^,}]*)|over\("task:([^"]*)"')


@pytest.mark.parametrize("latched", [False, True])
@pytest.mark.parametrize(("tasks", "document", "by"), [one[1:] for one in BY],
                         ids=[one[0] for one in BY])  # fmt: skip
def test_failures_are_grouped_by_tags_that_the_tasks_have(
    tasks: list[Task], document: Json, by: dict[str, str], latched: bool
) -> None:
    document = {**document, "datadog": {**document.get("datadog", {}), "latched": latched}}
    found = [one for one in made(tasks, document) if "autotask_key:failed." in str(one["tags"])]
    assert [problem for one in found for problem in problems(one)] == []
    groups = {}
    for one in found:
        grouped = re.search(r'by [{](.*?)[}]|by\("(.*?)"\)', one["query"])
        named = OF.search(one["query"])
        assert grouped
        keys = (grouped[1] or grouped[2]).replace('"', "")
        groups[named[1] or named[2] if named else "*"] = keys
        assert ("service.name" in one["message"]) == ("service" in keys)
    expected = {
        name.replace("bare.*", "bare.py") if latched else name: one for name, one in by.items()
    }
    assert groups == expected
    if "without" not in str(document):
        for task in tasks:
            env = task.env or ("prod" if "scope" in document["datadog"] else None)
            assert len(told(task.name, found, task.service, env)) == 1


@pytest.mark.parametrize(("document", "is_kept"), [({}, False), ({"task": {"half": NOTIFY}}, True)])
def test_a_task_that_gets_the_missing_tag_alerts_once(document: Json, is_kept: bool) -> None:
    parsed = config.parse(document)
    before = [{**one, "id": number} for number, one in enumerate(made([HALF, *MANY], document))]
    joined = HALF._replace(service="shop", former=((None, "prod"),))
    wanted = monitors.make([joined, *MANY], parsed).monitors
    found = plan.plan(wanted, before, why_not_needed=retired.reasons([joined, *MANY], parsed))
    assert found.extra == []
    gone_names = {one.name for one in found.changes if one.action == "delete"}
    assert ("autotask: half failed: {{task.name}}" in gone_names) != is_kept


@pytest.mark.parametrize(
    ("task", "is_watched"), [(NIGHTLY, True), (BARE, False), (Task("new"), True)]
)
def test_a_task_without_the_tag_of_the_scope_is_not_watched(task: Task, is_watched: bool) -> None:
    """A query for a tag that its runs lack would never see one."""
    document = {"datadog": {"scope": ["env:prod"]}, "task": {task.name: {"interval": "1d"}}}
    kinds_made = {str(key_of(one)).partition(".")[0] for one in made([task], document)}
    assert ("did_not_run" in kinds_made) == is_watched


def test_a_query_only_has_known_tags_and_the_key_stays_the_same() -> None:
    """Monitors that older versions made with `unknown` are changed, not replaced."""
    for kind, monitor in kinds(BARE).items():
        assert "unknown" not in str(monitor)
        scope = monitor["query"].partition("{")[2].partition("}")[0].split(",")
        assert not [one for one in scope if one.startswith(("env:", "service:"))]
        if kind != "failed":
            before = hashlib.sha256(b"bare.py\nunknown\nunknown").hexdigest()[:12]
            assert f"autotask_key:{kind}.{before}" in monitor["tags"]


def test_a_failure_counts_as_a_run_unless_nothing_else_alerts() -> None:
    assert "status" not in kinds(NIGHTLY)["did_not_run"]["query"]
    alone = kinds(NIGHTLY, without=["failed"])["did_not_run"]
    assert "{!status:failure," in alone["query"]
    assert "or failed" in alone["message"]


def test_failures_in_a_row_are_counted() -> None:
    (_, monitor) = (one for one in made([MAIL], PATIENT) if "failed." in str(one["tags"]))
    assert monitor["options"]["thresholds"]["critical"] == 3
    assert ".last(4)." in monitor["query"]
    assert '"task:mail.send"' in monitor["query"]


# The message of a failure only uses variables that the type of the monitor has.

SAYS = [
    ({}, """\
The task `mail.send` failed (service shop, env prod).

Next: run `autotask runs --status failure --since 1d` on its host to list the failed runs with \
their reasons, and `autotask show RUN` to see one of them. The event `task failed: mail.send` in \
Datadog has the reason, the error and the host.
"""),
    ({"latched": True}, """\
The task `mail.send` (service shop, env prod) failed and has not succeeded since: exit 3

Next: run `autotask runs --status failure --since 1d` on its host, then `autotask show RUN`.
"""),
]  # fmt: skip


@pytest.mark.parametrize(("wishes", "text"), SAYS)
def test_the_message_of_a_failure_says_what_happened_and_what_to_do(
    wishes: Json, text: str
) -> None:
    monitor, *_ = made([NIGHTLY], {"datadog": wishes})
    known = {"task.name": "mail.send", "service.name": "shop", "env.name": "prod"}
    if monitor["type"] == LATCHED:
        known["check_message"] = "exit 3"
    alert = monitor["message"].partition("{{#is_alert}}\n")[2].partition("{{/is_alert}}")[0]
    assert re.sub("{{(.*?)}}", lambda found: known[found[1]], alert) == text


def test_a_failure_without_latch_never_notifies_of_a_recovery() -> None:
    (each,), (latched,) = (made([], {"datadog": wishes}) for wishes in (NOTIFY, NOTIFY_LATCHED))
    assert each["message"].endswith("\n\n@a\n{{/is_alert}}")
    assert latched["message"].endswith("succeeded again.{{/is_recovery}}\n\n@a")


# For other tools.


@pytest.mark.parametrize(("tasks", "document"), [one[1:] for one in SETS])
def test_terraform_gets_the_same_monitors(tasks: list[Task], document: Json) -> None:
    hcl2 = pytest.importorskip("hcl2")
    found = made(tasks, document)
    found[0]["message"] += ' ${not} %{this} "quoted" \\ back'
    text = export.terraform_monitors(found)
    resources = hcl2.loads(text)["resource"]
    assert len(resources) == len(found)
    assert "managed_by:autotask" not in text
    assert "$${not} %%{this}" in text
    for one, resource in zip(found, text.split("\nresource ")):
        inside = resource.partition("jsonencode(")[2].rpartition(")")[0]
        read = json.loads(inside.replace("$${", "${").replace("%%{", "%{"))
        assert {**read, "tags": one["tags"]} == one
        assert read["tags"] == ["managed_by:terraform", *one["tags"][1:]]


NAMED = [  # the names of tasks, and of the resources of what watches that they hang
    (["nightly.py"], ["nightly_py_hangs"]),
    (["db:migrate", "compile:main.c"], ["db_migrate_hangs", "compile_main_c_hangs"]),
    (
        ["grün", "7z-all", "_x", "a-b"],
        ["grün_hangs", "task_7z-all_hangs", "task__x_hangs", "a-b_hangs"],
    ),
]


@pytest.mark.parametrize(("tasks", "names"), NAMED)
def test_exported_names_contain_the_names_of_tasks(tasks: list[str], names: list[str]) -> None:
    document = {"task": {name: {"hung_after": "1h"} for name in tasks}}
    found = [one for one in made([], document) if "hung" in str(key_of(one))]
    assert [name.removesuffix(".json") for name in export.json_files(found)] == names
    text = export.terraform_monitors(found)
    assert re.findall('^resource "datadog_monitor_json" "(.*)" {$', text, re.MULTILINE) == names
    backwards = [name.removesuffix(".json") for name in export.json_files(found[::-1])]
    assert backwards == names[::-1]


def test_equal_names_are_told_apart_by_a_part_of_the_key() -> None:
    found = made([], {"task": {name: {"hung_after": "1h"} for name in ("a.b", "a:b", "ab")}})
    hung = [one for one in found if "hung" in str(key_of(one))]
    first, second, alone = (name.removesuffix(".json") for name in export.json_files(hung))
    assert all(re.fullmatch("a_b_hangs_[0-9a-f]{6}", name) for name in (first, second))
    assert (first != second, alone) == (True, "ab_hangs")
    assert list(export.json_files(hung[1:2])) == ["a_b_hangs.json"]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=90), min_size=1, max_size=4))
def test_exported_names_are_unique_and_valid_for_terraform_and_disks(
    tasks: list[str],
) -> None:
    found = made([Task(tag_value("task", name)) for name in tasks])
    wanted = {key_of(one): one for one in found}
    names = list(export.json_files(list(wanted.values())))
    assert len(set(names)) == len(wanted)
    for name in names:
        assert len(name.encode()) <= 255
        assert re.fullmatch(r"[^\W\d][\w-]*\.json", name)


# The fields that terraform-provider-datadog does not compare (monitorComputedFields).
COMPUTED = ("id", "multi")


@pytest.mark.parametrize(("tasks", "document"), [one[1:] for one in SETS])
def test_terraform_sees_no_change_in_what_datadog_returns(
    tasks: list[Task], document: Json
) -> None:
    for one in made(tasks, document):
        kept = server.Datadog().add(**one)
        del kept["options"]["silenced"]
        if one["options"].get("on_missing_data") == "default":  # which is given back, or is not
            kept["options"]["on_missing_data"] = "default"
        assert {key: value for key, value in kept.items() if key not in COMPUTED} == one
