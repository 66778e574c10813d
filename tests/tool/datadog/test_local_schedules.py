"""Schedules that this machine's crontabs and timers give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autotask.tool.datadog import config, init, local_schedules, monitors
from autotask.tool.datadog.baselines import Task
from autotask.tool.datadog.config import Config
from autotask.tool.datadog.local_schedules import LocalSchedule
from autotask.tool.errors import ToolError
from autotask.tool.schedule import zone
from autotask.tool.schedule.cron_line import Schedule
from autotask.tool.schedule.machine import Job

Json = dict[str, Any]
HOUR, DAY = 3600.0, 86400.0
BERLIN = "Europe/Berlin"
NIGHTLY = Task("nightly.py", "shop", "prod", "process", 60, DAY, DAY, 600, 900)


def job(
    when: str = "15 3 * * *",
    name: str = "nightly.py",
    line: int | None = 3,
    source: str = "crontab of ann",
    **others: Any,
) -> Job:
    """Return a watched job of a crontab, or of a timer if it has no line."""
    try:
        schedule = None if line is None else Schedule(when, BERLIN, in_crontab=True)
    except ToolError:
        schedule = None
    fields = {"timezone": BERLIN, "changed": 0.0, "watched": True, **others}
    return Job(source, line, "ann", name, when, "", schedule, **fields)


def timer(when: str, name: str = "nightly.py", **others: Any) -> Job:
    return job(when, name, None, "nightly.timer", **others)


def read(
    *jobs: Job, tasks: tuple[Task, ...] = (NIGHTLY,), sections: Json | None = None
) -> list[LocalSchedule]:
    return local_schedules.read(jobs, tasks, config.parse({"task": sections or {}}))


def values(*jobs: Job) -> Json:
    """Return the settings that are taken for nightly.py."""
    (local,) = read(*jobs)
    assert local.task == "nightly.py"
    return dict(local.values)


TAKEN = [
    ("a line", job(), {"schedule": "15 3 * * *", "timezone": BERLIN}),
    ("a macro", job("@daily"), {"schedule": "@daily", "timezone": BERLIN}),
    ("a spelling of its own", job(name="Nightly.PY"), {"schedule": "15 3 * * *",
                                                       "timezone": BERLIN}),
    ("late by design", job(tolerance=6 * HOUR), {"schedule": "15 3 * * *", "timezone": BERLIN,
                                                 "tolerance": 6 * HOUR}),
    ("a little late", job(tolerance=60), {"schedule": "15 3 * * *", "timezone": BERLIN}),
    ("a timer", timer("OnCalendar=*-*-* 03:15:00"), {"schedule": "15 3 * * *",
                                                     "timezone": BERLIN}),
    ("a timer in UTC", timer("OnCalendar=daily UTC"), {"schedule": "0 0 * * *",
                                                       "timezone": "UTC"}),
    ("a timer in this machine's zone", timer("OnCalendar=daily", timezone=""),
     {"schedule": "0 0 * * *", "timezone": zone.of_localtime() or "UTC"}),
    ("a timer by an interval", timer("OnUnitActiveSec=15min", tolerance=60), {"interval": 900}),
    ("a timer with a random delay", timer("OnUnitActiveSec=1d", tolerance=HOUR),
     {"interval": DAY + HOUR}),
]  # fmt: skip


@pytest.mark.parametrize(("one", "taken"), [case[1:] for case in TAKEN],
                         ids=[case[0] for case in TAKEN])  # fmt: skip
def test_a_watched_job_gives_its_task_a_schedule(one: Job, taken: Json) -> None:
    assert values(one) == taken
    (local,) = read(one)
    assert (local.why, local.recorded) == (None, True)


def test_the_source_is_named() -> None:
    assert [local.source for local in read(job())] == ["crontab of ann, line 3"]
    assert [local.source for local in read(timer("OnCalendar=daily"))] == ["nightly.timer"]


NAME_THEM = "give each its own name (AUTOTASK_NAME=... in front of a line's command)"
CLASH = f"started by crontab of ann, lines 3, 9; {NAME_THEM}"
TWO_KINDS = f"started by crontab of ann, line 3 and nightly.timer; {NAME_THEM}"
AMBIGUOUS = (
    "crontab of ann, line 3: schedule '0 3 */2 * mon': cron daemons interpret this differently; "
    "list the days"
)
NEXT_MONTH = (
    "crontab of ann, line 3: schedule '30 23 31 * *': the deadline falls into the next month, "
    "which an RRULE cannot express; set a shorter `within`"
)
NOT_TAKEN = [
    ("two lines", [job(), job("0 15 * * *", line=9)], CLASH),
    ("twice the same line", [job(), job(line=9)], CLASH),
    ("a line and a timer", [job(), timer("OnCalendar=daily")], TWO_KINDS),
    ("at boot", [job("@reboot")], None),
    ("a timer at boot", [timer("OnBootSec=15min")], None),
    ("a timer by seconds", [timer("OnCalendar=*-*-* 03:15:30")], None),
    ("read differently", [job("0 3 */2 * mon")], AMBIGUOUS),
    (
        "a nameless time zone",
        [job()._replace(schedule=None, timezone="")],
        "crontab of ann, line 3: cron's time zone has no name in the database",
    ),
    ("by anacron", [job(when="1 5", source="/etc/anacrontab")], None),
    ("a deadline in another month", [job("30 23 31 * *")], NEXT_MONTH),
]


@pytest.mark.parametrize(("jobs", "why"), [case[1:] for case in NOT_TAKEN],
                         ids=[case[0] for case in NOT_TAKEN])  # fmt: skip
def test_what_gives_no_schedule_says_why(jobs: list[Job], why: str | None) -> None:
    (local,) = read(*jobs)
    assert (local.values, local.why) == ({}, why)


IN_THE_FILE: list[tuple[str, Json]] = [
    ("a schedule", {"schedule": "0 5 * * *"}),
    ("an interval", {"interval": "26h"}),
    ("retired", {"retired": True}),
    ("without", {"without": ["did_not_run"]}),
]


@pytest.mark.parametrize("section", [case[1] for case in IN_THE_FILE],
                         ids=[case[0] for case in IN_THE_FILE])  # fmt: skip
@pytest.mark.parametrize("pattern", ["nightly.py", "night*"])
def test_the_file_wins_over_the_crontab(section: Json, pattern: str) -> None:
    assert read(job(), sections={pattern: section}) == []


def test_other_settings_of_the_file_hold_beside_the_schedule() -> None:
    document = config.parse({"task": {"nightly.py": {"within": "30m", "priority": 1}}})
    merged = local_schedules.with_local(
        document, local_schedules.read([job()], [NIGHTLY], document)
    )
    settings = merged.settings_for("nightly.py")
    assert (settings.schedule, settings.within, settings.priority) == ("15 3 * * *", 1800, 1)
    assert (settings.from_machine, settings.timezone) == (True, BERLIN)
    assert merged.settings_for("mail") == document.settings_for("mail")


def test_the_zone_of_the_line_is_crons_and_not_the_files() -> None:
    document = config.parse({"datadog": {"timezone": "Asia/Tokyo"}})
    (local,) = local_schedules.read([job()], [NIGHTLY], document)
    merged = local_schedules.with_local(document, [local])
    assert merged.settings_for("nightly.py").timezone == BERLIN


def test_a_job_that_is_not_watched_gives_nothing() -> None:
    assert read(job(watched=False)) == []
    assert values(job(), job("0 15 * * *", line=9, watched=False))["schedule"] == "15 3 * * *"


def test_a_server_needs_no_schedule() -> None:
    assert read(job(), tasks=(NIGHTLY._replace(server=True),)) == []


def test_a_task_under_two_tags_gets_no_schedule() -> None:
    (local,) = read(job(), tasks=(NIGHTLY, NIGHTLY._replace(env="staging")))
    assert local.why == "it runs under several services or envs (shop/prod, shop/staging)"


# A line names a program; the task in it has the monitors.

PROGRAM = NIGHTLY._replace(leads=False)
SHIP = NIGHTLY._replace(name="shop.orders.ship", framework="click", program="nightly.py")
FOLLOWED = [
    ("its only task", (PROGRAM, SHIP), "shop.orders.ship"),
    ("the program itself", (NIGHTLY._replace(program="nightly.py"),), "nightly.py"),
    ("a task of another program", (NIGHTLY, SHIP._replace(program="hourly.py")), "nightly.py"),
    ("a task of several programs", (PROGRAM, SHIP._replace(program=None)), "nightly.py"),
    ("one of two tasks", (PROGRAM, SHIP, SHIP._replace(name="shop.mail")), "nightly.py"),
    ("a task that does not lead", (PROGRAM, SHIP._replace(leads=False)), "nightly.py"),
    ("a task in some of its runs", (PROGRAM, SHIP._replace(runs=50)), "nightly.py"),
    ("a task in nearly all of them", (PROGRAM, SHIP._replace(runs=54)), "shop.orders.ship"),
]


@pytest.mark.parametrize(("tasks", "name"), [case[1:] for case in FOLLOWED],
                         ids=[case[0] for case in FOLLOWED])  # fmt: skip
def test_the_schedule_goes_to_the_task_that_represents_the_program(
    tasks: tuple[Task, ...], name: str
) -> None:
    (local,) = read(job(), tasks=tasks)
    assert (local.task, local.spelled, local.recorded) == (name, "nightly.py", True)
    assert local.values


def test_a_task_with_a_line_of_its_own_beside_its_programs_is_a_clash() -> None:
    (local,) = read(job(), job(name="shop.orders.ship", line=9), tasks=(PROGRAM, SHIP))
    assert (local.task, local.why) == ("shop.orders.ship", CLASH)


# The monitors.


def made(*jobs: Job, tasks: tuple[Task, ...] = (NIGHTLY,)) -> list[Json]:
    """Return the monitors for runs that do not come."""
    document = local_schedules.with_local(Config(), local_schedules.read(jobs, tasks, Config()))
    return [one for one in monitors.make(tasks, document).monitors if "did not run" in one["name"]]


def test_the_monitor_is_the_one_of_the_file_and_a_tag() -> None:
    section = {"schedule": "15 3 * * *", "timezone": BERLIN}
    of_file = config.parse({"task": {"nightly.py": section}})
    (expected,) = [one for one in monitors.make([NIGHTLY], of_file).monitors
                   if "did not run" in one["name"]]  # fmt: skip
    (monitor,) = made(job())
    monitor["tags"].remove("autotask_schedule:machine")
    assert monitor == expected
    assert "BYHOUR=4;BYMINUTE=15" in str(monitor)


def test_no_other_monitor_has_the_tag() -> None:
    document = local_schedules.with_local(
        Config(), local_schedules.read([job()], [NIGHTLY], Config())
    )
    tagged = [one for one in monitors.make([NIGHTLY], document).monitors
              if "autotask_schedule:machine" in one["tags"]]  # fmt: skip
    assert [one["name"] for one in tagged] == ["autotask: nightly.py (shop, prod) did not run"]


def test_the_deadline_waits_for_what_the_scheduler_may_be_late() -> None:
    (monitor,) = made(job(tolerance=2 * HOUR))
    assert "BYHOUR=6;BYMINUTE=15" in str(monitor)
    often, late = made(job("*/5 * * * *")), made(job("*/5 * * * *", tolerance=1800))
    assert "sum(last_30m)" in often[0]["query"]
    assert "sum(last_60m)" in late[0]["query"]


def test_what_gives_no_schedule_leaves_the_usual_monitor() -> None:
    for jobs in ([], [job(), job(line=9)], [job("@reboot")], [job("30 23 31 * *")]):
        assert made(*jobs) == made()
    assert "sum(last" in made()[0]["query"]


def test_a_job_that_never_ran_has_no_monitor_without_a_section() -> None:
    assert made(job(name="yearly.sh")) == made()


# Remarks.


def remarks(*jobs: Job, tasks: tuple[Task, ...] = (NIGHTLY,)) -> list[str]:
    found = local_schedules.read(jobs, tasks, Config())
    document = local_schedules.with_local(Config(), found)
    desired = monitors.make(tasks, document).monitors
    return [remark.text for remark in local_schedules.remarks(found, desired, ())]


TAKEN_HERE = "no `schedule` set for {}: using this machine's"
NEVER_RAN = "no monitors for what has not run yet: {}; give it a section in autotask.toml"
OF_NIGHTLY, OF_YEARLY = (f"{name} (crontab of ann, line 3)" for name in ("nightly.py", "yearly.sh"))
REMARKS = [
    ("nothing", [], None),
    ("at boot", [job("@reboot")], None),
    ("taken", [job()], TAKEN_HERE.format(OF_NIGHTLY)),
    ("two", [job(), timer("OnCalendar=daily", "mail")],
     TAKEN_HERE.format(f"mail (nightly.timer), {OF_NIGHTLY}")),
    ("not taken", [job("0 3 */2 * mon")],
     f"nightly.py: no schedule taken from this machine: {AMBIGUOUS}"),
    ("never ran", [job(name="yearly.sh")], NEVER_RAN.format(OF_YEARLY)),
    ("never ran, twice", [job(name="yearly.sh"), job(name="yearly.sh", line=4)], None),
]  # fmt: skip


@pytest.mark.parametrize(("jobs", "told"), [case[1:] for case in REMARKS],
                         ids=[case[0] for case in REMARKS])  # fmt: skip
def test_a_plan_says_which_schedules_come_from_this_machine(
    jobs: list[Job], told: str | None
) -> None:
    assert remarks(*jobs, tasks=(NIGHTLY, NIGHTLY._replace(name="mail"))) == (
        [told] if told else []
    )


def test_a_program_is_not_read_elsewhere_once_its_task_has_the_schedule() -> None:
    (of_program,) = made(job())
    for jobs, tasks, elsewhere in (
        ((), (NIGHTLY,), True),
        ((job(),), (NIGHTLY,), False),
        ((job(),), (PROGRAM, SHIP), False),
        ((job(name="mail"),), (PROGRAM, SHIP), True),
        ((job("@reboot"),), (NIGHTLY,), True),
    ):
        found = local_schedules.read(jobs, tasks, Config())
        document = local_schedules.with_local(Config(), found)
        assert local_schedules.read_elsewhere(document, found)(of_program) is elsewhere


# What `init` writes.


def section(text: str, name: str) -> list[str]:
    return text.partition(f'[task."{name}"]\n')[2].partition("\n\n")[0].splitlines()


def written(*jobs: Job, tasks: tuple[Task, ...] = (NIGHTLY,)) -> str:
    return init.document(tasks, local_schedules.read(jobs, tasks, Config()))


TAGS = ['service = "shop"', 'env = "prod"']
LINE_3 = ["# from crontab of ann, line 3", 'schedule = "15 3 * * *"', f'timezone = "{BERLIN}"']
SECTIONS = [
    ("a line", job(), [*TAGS, *LINE_3]),
    ("due often", job("*/5 * * * *"), [
        *TAGS,
        "# from crontab of ann, line 3",
        'schedule = "*/5 * * * *"',
        f'timezone = "{BERLIN}"',
        'within = "25m"',
    ]),
    ("a timer", timer("OnUnitActiveSec=15min"),
     [*TAGS, "# from nightly.timer", 'interval = "15m"', 'within = "25m"']),
    ("late by design", job(tolerance=2 * HOUR), [*TAGS, *LINE_3, 'within = "3h"']),
    ("at boot", job("@reboot"), ["# no schedule: crontab of ann, line 3, names no time of day"]),
    ("not taken", job("0 3 */2 * mon"), [f"# no schedule: {AMBIGUOUS}"]),
    ("an odd name", job(source="/etc/cron.d/a\nb"),
     [*TAGS, "# from /etc/cron.d/a?b, line 3", *LINE_3[1:]]),
]  # fmt: skip


@pytest.mark.parametrize(("one", "lines"), [case[1:] for case in SECTIONS],
                         ids=[case[0] for case in SECTIONS])  # fmt: skip
def test_init_writes_the_schedule_and_where_it_is_from(one: Job, lines: list[str]) -> None:
    assert section(written(one), "nightly.py") == [
        "# process, service/env shop/prod, 60 runs",
        "# starts every 1d00h, at most 1d00h apart",
        "# takes 10m00s, at most 15m00s",
        *lines,
    ]


def test_init_writes_a_deadline_that_comes_from_the_runs() -> None:
    """Another machine has not seen how long they take."""
    assert section(written(job()), "nightly.py")[-1] == LINE_3[-1]
    slow = NIGHTLY._replace(longest=4 * HOUR)
    assert section(written(job(), tasks=(slow,)), "nightly.py")[-1] == 'within = "8h"'


def test_init_gives_a_job_that_never_ran_a_section() -> None:
    lines = section(written(job(name="Yearly Report")), "Yearly Report")
    assert lines == [
        "# no run of it is recorded here yet",
        "# from crontab of ann, line 3",
        'schedule = "15 3 * * *"',
        'timezone = "Europe/Berlin"',
    ]


def test_init_comments_out_what_has_a_name_like_a_pattern() -> None:
    text = written(job(name="all*"))
    assert '# [task."all*"]\n# no run of it is recorded here yet\n# from ' in text
    assert '\n# schedule = "15 3 * * *"\n# timezone = "Europe/Berlin"\n' in text


def test_init_does_not_say_that_what_has_a_schedule_is_watched_by_another_task() -> None:
    part = "# runs as part of another task: only its failures have a monitor"
    other = SHIP._replace(program=None)
    assert part in section(written(tasks=(PROGRAM, other)), "nightly.py")
    assert part in section(written(job("@reboot"), tasks=(PROGRAM, other)), "nightly.py")
    assert part not in section(written(job(), tasks=(PROGRAM, other)), "nightly.py")


def test_init_names_the_program_whose_task_has_the_schedule() -> None:
    text = written(job(), tasks=(PROGRAM, SHIP))
    assert "# from crontab of ann, line 3 (nightly.py)" in section(text, "shop.orders.ship")
    assert "schedule" not in "".join(section(text, "nightly.py"))


UNTAGGED = NIGHTLY._replace(service=None, env=None)


@pytest.mark.parametrize("task", [NIGHTLY, UNTAGGED, NIGHTLY._replace(longest=4 * HOUR)])
@pytest.mark.parametrize("one", [case[1] for case in TAKEN], ids=[case[0] for case in TAKEN])
def test_the_file_makes_the_same_monitors_on_another_machine(
    one: Job, task: Task, folder: Path
) -> None:
    (folder / "autotask.toml").write_text(written(one, tasks=(task,)))
    document = config.load("autotask.toml")
    here = made(one, tasks=(task,))
    for monitor in here:
        monitor["tags"].remove("autotask_schedule:machine")
    for tasks in ([task], []):
        of_file = monitors.make(tasks, document).monitors
        assert [each for each in of_file if "did not run" in each["name"]] == here
