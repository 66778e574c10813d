"""`autotask monitors plan` and `apply` against a server with state and failures."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from support import PATIENCE, Ended, environment, wait_until
from tool.datadog import past
from tool.datadog.past import Past
from tool.datadog.server import API_KEY, APP_KEY, Datadog, Fault, NoError
from tool.journals import COMMAND, Book, autotask, on_terminal

from autotask.tool.cli import main
from autotask.tool.datadog import api, transport
from autotask.tool.errors import ToolError

Json = dict[str, Any]
pytestmark = pytest.mark.usefixtures("folder")
KINDS = ["failed", "did_not_run", "hung", "slow", "did_not_run", "hung", "slow"]


def plan(*words: str) -> Json:
    ended = autotask("monitors", "plan", "--format", "json", *words)
    assert ended.status == 0, ended.stderr
    found: Json = json.loads(ended.stdout)
    return found


def apply(*words: str) -> Ended:
    return autotask("monitors", "apply", "--yes", *words)


def applied(*words: str) -> str:
    ended = apply(*words)
    assert ended.status == 0, ended.stderr
    return ended.stdout


def actions(*words: str) -> list[str]:
    return [change["action"] for change in plan(*words)["changes"]]


def own(datadog: Datadog) -> dict[str, Json]:
    """Return the monitors of this set by key; no key occurs twice."""
    found: dict[str, Json] = {}
    for monitor in datadog.monitors.values():
        keys = [tag[13:] for tag in monitor["tags"] if tag.startswith("autotask_key:")]
        if {"managed_by:autotask", "autotask_set:default"} <= set(monitor["tags"]) and keys:
            assert keys[0] not in found
            found[keys[0]] = monitor
    return found


def of_kind(datadog: Datadog, kind: str, task: str = "nightly") -> Json:
    found = {key: one for key, one in own(datadog).items() if key.startswith(f"{kind}.")}
    (monitor,) = [one for one in found.values() if len(found) == 1 or f"task:{task}" in one["tags"]]
    return monitor


def configure(text: str) -> None:
    Path("autotask.toml").write_text(text)


def test_apply_creates_missing_monitors_and_then_changes_nothing(
    datadog: Datadog, nightly: Book
) -> None:
    assert actions() == ["create"] * 7
    assert datadog.written() == []
    assert "7 created" in applied()
    assert sorted(key.split(".")[0] for key in own(datadog)) == sorted(KINDS)
    before, datadog.requests = copy.deepcopy(datadog.monitors), []
    assert "nothing to do; 7 unchanged" in applied()
    assert datadog.written() == []
    assert datadog.monitors == before


def test_all_monitors_are_validated_before_any_is_written(datadog: Datadog, nightly: Book) -> None:
    applied()
    asked = [path for method, path in datadog.requests if method == "POST"]
    assert asked == ["/monitor/validate"] * 7 + ["/monitor"] * 7


def test_only_a_few_requests_run_at_once(datadog: Datadog, nightly: Book) -> None:
    datadog.faults = [Fault("slow", "POST", times=14)]
    applied()
    assert 1 < datadog.most_at_once <= transport.AT_ONCE


CHANGED_BY_HAND: list[tuple[str, str, Any]] = [
    ("name", "name", "mine"),
    ("query", "query", "sum(last_5m):sum:autotask.task.runs{*}.as_count() >= 1"),
    ("message", "message", "call Ann"),
    ("tags", "tags", None),
    ("priority", "priority", 5),
    ("options.thresholds", "thresholds", {"critical": 1.0, "warning": 0.5}),
    ("options.on_missing_data", "on_missing_data", "show_no_data"),
    ("options.require_full_window", "require_full_window", True),
    ("options.notify_audit", "notify_audit", True),
    ("options.include_tags", "include_tags", False),
    ("options.new_host_delay", "new_host_delay", 600),
]


@pytest.mark.parametrize(("told", "name", "value"), CHANGED_BY_HAND)
def test_a_manual_change_is_shown_and_reverted(
    datadog: Datadog, nightly: Book, told: str, name: str, value: Any
) -> None:
    applied()
    monitor = of_kind(datadog, "failed")
    before = copy.deepcopy(monitor)
    place = monitor["options"] if told.startswith("options.") else monitor
    place[name] = [*monitor["tags"], "mine:too"] if name == "tags" else value
    (change,) = plan()["changes"]
    assert [one["field"] for one in change["differences"]] == [told]
    shown = autotask("monitors", "plan").stdout
    assert f"~ change {before['name']}" in shown
    assert told in shown
    assert "1 changed" in applied()
    assert of_kind(datadog, "failed") == before


LEFT_ALONE = [
    ("silenced", {"*": 1900000000}),
    ("avalanche_window", 10),
    ("new_group_delay", 60),
    ("renotify_interval", 60),
]


@pytest.mark.parametrize(("name", "value"), LEFT_ALONE)
def test_fields_that_autotask_does_not_set_stay_even_if_others_change(
    datadog: Datadog, nightly: Book, name: str, value: Any
) -> None:
    applied()
    monitor = of_kind(datadog, "failed")
    monitor["options"][name] = value
    monitor["restricted_roles"] = ["abc"]
    assert actions() == []
    monitor["message"] = "call Ann"
    applied()
    monitor = of_kind(datadog, "failed")
    assert monitor["options"][name] == value
    assert monitor["restricted_roles"] == ["abc"]
    assert "call Ann" not in monitor["message"]


SCHEDULE = '[task.nightly]\nschedule = "15 3 * * *"\n'
LATCHED = "[datadog]\nlatched = true\n"
REPLACED = [
    ("a schedule is added", "did_not_run", "", SCHEDULE),
    ("a schedule is taken away", "did_not_run", SCHEDULE, ""),
    ("failures are latched", "failed", "", LATCHED),
    ("each failure is told again", "failed", LATCHED, ""),
]


@pytest.mark.parametrize(("kind", "before", "after"), [case[1:] for case in REPLACED])
def test_what_datadog_cannot_change_is_replaced(
    datadog: Datadog, nightly: Book, kind: str, before: str, after: str
) -> None:
    configure(before)
    applied()
    old = of_kind(datadog, kind)["id"]
    configure(after)
    assert actions() == ["replace"]
    assert "1 replaced" in applied()
    assert of_kind(datadog, kind)["id"] != old
    assert actions() == []


def test_a_new_schedule_changes_the_monitor_in_place(datadog: Datadog, nightly: Book) -> None:
    configure(SCHEDULE)
    applied()
    configure(SCHEDULE.replace("15 3", "15 4"))
    assert actions() == ["change"]
    applied()
    recurrences = of_kind(datadog, "did_not_run")["options"]["scheduling_options"]
    assert "BYHOUR=5" in str(recurrences)


def test_a_monitor_of_another_type_is_replaced(datadog: Datadog, nightly: Book) -> None:
    applied()
    of_kind(datadog, "slow")["type"] = "log alert"
    assert actions() == ["replace"]
    applied()
    assert of_kind(datadog, "slow")["type"] == "query alert"


def test_of_two_monitors_with_one_key_the_better_one_stays(datadog: Datadog, nightly: Book) -> None:
    applied()
    monitor = of_kind(datadog, "slow")
    worse = {**copy.deepcopy(monitor), "name": "a copy"}
    number = monitor["id"]
    datadog.monitors[1] = {**worse, "id": 1}
    datadog.add(**{key: value for key, value in worse.items() if key != "id"})
    assert actions() == ["delete"] * 2
    assert "2 deleted" in applied()
    assert of_kind(datadog, "slow")["id"] == number


def test_monitors_no_longer_needed_are_only_deleted_with_prune(
    datadog: Datadog, nightly: Book
) -> None:
    applied()
    configure('[task.nightly]\nwithout = ["slow"]\n')
    assert actions() == []
    assert "is no longer needed" in autotask("monitors", "plan").stdout
    applied()
    assert len(own(datadog)) == 7
    assert actions("--prune") == ["delete"]
    assert "1 deleted" in applied("--prune")
    assert len(own(datadog)) == 6


def test_the_monitors_of_a_retired_task_are_deleted(datadog: Datadog, nightly: Book) -> None:
    configure(
        '[datadog]\nlatched = true\n[task.nightly]\nschedule = "0 3,15 * * *"\nlatched = false\n'
    )
    applied()
    old = {one["name"] for one in own(datadog).values() if "nightly" in one["name"]}
    assert len(old) == 5
    configure("[datadog]\nlatched = true\n[task.nightly]\nretired = true\n")
    deleted = [change for change in plan()["changes"] if change["action"] == "delete"]
    assert {change["name"] for change in deleted} == old
    assert {change["why"] for change in deleted} == {"the task is retired"}
    assert "5 deleted" in applied()
    assert sorted(key.split(".")[0] for key in own(datadog)) == sorted(KINDS[:4])
    assert actions("--prune") == []


def test_apply_replaces_the_monitors_of_a_task_that_gets_other_tags(
    datadog: Datadog, home: Path
) -> None:
    now = time.time()
    nights = [Past("nightly", now - night * 86400 - 60, 60) for night in range(40, 0, -1)]
    past.write(home, (night._replace(env="dev") for night in nights[:30]))
    applied()
    assert len(own(datadog)) == 4
    datadog.add(**{**of_kind(datadog, "slow"), "tags": ["managed_by:autotask"]})  # a copy
    past.write(
        home, [night._replace(env="dev" if n < 30 else "prod") for n, night in enumerate(nights)]
    )
    changes = plan()["changes"]
    assert [one["action"] for one in changes] == ["create"] * 3 + ["delete"] * 3
    assert {one["why"] for one in changes[3:]} == {"the task now runs with service shop, env prod"}
    assert "3 created, 3 deleted" in applied()
    assert all("dev" not in one["query"] for one in own(datadog).values())
    assert actions("--prune") == []


@pytest.mark.parametrize("sent", ["", ",env:unknown"], ids=["", "by an older version"])
def test_apply_replaces_the_monitors_of_a_task_that_gets_an_env(
    sent: str, datadog: Datadog, home: Path
) -> None:
    now = time.time()
    nights = [Past("nightly", now - night * 86400 - 60, 60) for night in range(40, 0, -1)]
    past.write(home, (night._replace(env=None) for night in nights[:30]))
    applied()
    for one in own(datadog).values():
        one["query"] = one["query"].replace("service:shop", f"service:shop{sent}")
    past.write(
        home, [night._replace(env=None if n < 30 else "prod") for n, night in enumerate(nights)]
    )
    changes = plan()["changes"]
    assert sorted(one["action"] for one in changes) == ["change"] + ["create"] * 3 + ["delete"] * 3
    assert {one["why"] for one in changes if one["action"] == "delete"} == {
        "the task now runs with service shop, env prod"
    }
    assert "3 created, 1 changed, 3 deleted" in applied()
    assert "by {env,service,task}" in of_kind(datadog, "failed")["query"]
    assert actions("--prune") == []


def test_names_that_datadog_stores_alike_are_one_task(datadog: Datadog, home: Path) -> None:
    now = time.time()
    nights = [Past("nightly", now - night * 86400 - 60, 60) for night in range(6, 0, -1)]
    bare = [night._replace(task="bare", env=None) for night in nights]
    others = [night._replace(task="Nightly", env="Prod") for night in nights[::2]]
    others += [night._replace(env="unknown") for night in bare[::2]]  # which older versions sent
    past.write(home, (*nights[1::2], *bare[1::2], *others))
    applied()
    assert len(own(datadog)) == 7
    assert actions() == []


def test_a_refusal_for_one_task_does_not_affect_others(datadog: Datadog, nightly: Book) -> None:
    configure('[task.nightly]\nschedule = "30 23 31 * *"\ntimezone = "UTC"\n')
    ended = apply()
    assert ended.status == 1
    assert "6 created" in ended.stdout
    assert "1 task without did_not_run (nightly): schedule '30 23 31 * *'" in ended.stderr
    assert "set a shorter `within`" in ended.stderr
    assert json.loads(apply("--format", "json").stdout) == []


def test_the_time_zone_assumed_for_a_schedule_is_shown(datadog: Datadog, nightly: Book) -> None:
    configure('[task.nightly]\nschedule = "15 3 * * *"\n')
    planned = autotask("monitors", "plan", env={"TZ": "Asia/Tokyo"})
    told = "autotask: no `timezone` set for nightly: using this machine's time zone, Asia/Tokyo\n"
    assert told in planned.stderr
    assert autotask("monitors", "apply", "--yes", env={"TZ": "Asia/Tokyo"}).status == 0
    (recurrence,) = of_kind(datadog, "did_not_run")["options"]["scheduling_options"][
        "custom_schedule"
    ]["recurrences"]
    assert recurrence["timezone"] == "Asia/Tokyo"
    assert "`15 3 * * *` (Asia/Tokyo)" in of_kind(datadog, "did_not_run")["message"]
    kinds = [one["kind"] for one in plan()["remarks"]]
    assert "timezone" in kinds


def foreign(datadog: Datadog, count: int) -> dict[int, Json]:
    """Add other people's monitors, some of which look like autotask's."""
    looks: list[Json] = [
        {"name": "cpu", "tags": ["team:shop"]},
        {"name": "autotask: a task failed: {{task.name}}", "tags": ["managed_by:terraform"]},
        {"name": "x", "tags": ["managed_by:autotask", "autotask_set:other", "autotask_key:slow.1"]},
        {"name": "y", "tags": ["autotask_key:failed.684888c0ebb1"]},
        {"name": "a copy", "tags": ["managed_by:autotask", "autotask_set:default"]},
        {"name": "z", "tags": []},
    ]
    for number in range(count):
        datadog.add(query="avg(last_5m):avg:system.load.1{*} > 4", **looks[number % len(looks)])
    return copy.deepcopy(datadog.monitors)


@pytest.mark.parametrize("deaf", [False, True])
def test_other_peoples_monitors_are_never_changed_over_any_number_of_pages(
    datadog: Datadog, nightly: Book, deaf: bool
) -> None:
    datadog.deaf, datadog.page = deaf, 300
    before = foreign(datadog, 2000)
    assert "7 created" in applied("--prune")
    foreign(datadog, 1)
    assert "7 unchanged" in applied("--prune")
    configure('[datadog]\nwithout = ["slow", "hung"]\npriority = 3\n')
    assert "3 changed, 4 deleted" in applied("--prune")
    assert {number: datadog.monitors[number] for number in before} == before


# Failures of the server.

FAULTS = [
    Fault(kind, method, path, times, after)
    for kind in ("slow", "limit", "broken", "cut", "lost")
    for method, path, times, after in (
        ("GET", "", 2, 0),
        ("POST", "/validate", 2, 1),
        ("POST", "/monitor", 2, 4),
        ("PUT", "", 2, 0),
        ("DELETE", "", 2, 0),
    )
]


def test_a_monitor_of_another_set_is_not_mistaken_for_one_just_created(
    datadog: Datadog, nightly: Book
) -> None:
    applied()
    configure('[datadog]\nname = "second"\n')
    datadog.faults = [Fault("lost", "POST", "/monitor", after=len(KINDS))]
    applied()
    assert actions() == []
    assert len(datadog.monitors) == 2 * len(KINDS)


@pytest.fixture
def all_kinds(datadog: Datadog, nightly: Book) -> dict[int, Json]:
    """Prepare a creation, a change, a replacement and a deletion; return the foreign monitors."""
    before = foreign(datadog, 10)
    configure("[task.nightly]\nslow_after = '2h'\n")
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["monitors", "apply", "--yes"]) == 0
    of_kind(datadog, "failed")["message"] = "call Ann"
    copied = {**copy.deepcopy(of_kind(datadog, "slow")), "name": "a copy"}
    del datadog.monitors[of_kind(datadog, "hung", "mail")["id"]]
    datadog.add(**{key: value for key, value in copied.items() if key != "id"})
    configure(SCHEDULE + "slow_after = '1h'\n")
    datadog.requests.clear()
    return before


def assert_right(datadog: Datadog, before: dict[int, Json]) -> None:
    """All desired monitors exist once, and foreign ones are unchanged."""
    assert actions("--prune") == []
    assert sorted(key.split(".")[0] for key in own(datadog)) == sorted(KINDS)
    assert {number: datadog.monitors[number] for number in before} == before
    assert len(datadog.monitors) == len(before) + len(KINDS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{f.kind}-{f.method}{f.path}")
def test_a_temporary_failure_is_waited_out(
    datadog: Datadog, all_kinds: dict[int, Json], fault: Fault
) -> None:
    datadog.faults = [copy.copy(fault)]
    assert "2 changed" in applied()
    assert datadog.faults[0].times == 0
    assert_right(datadog, all_kinds)


def test_several_temporary_failures_are_waited_out(
    datadog: Datadog, all_kinds: dict[int, Json]
) -> None:
    datadog.faults = [Fault(kind) for kind in ("slow", "limit", "broken", "cut", "lost")]
    applied()
    assert_right(datadog, all_kinds)


@pytest.mark.parametrize("after", range(0, 10, 2))
@pytest.mark.parametrize("word", ["SIGINT", "SIGKILL"])
def test_a_second_apply_completes_one_interrupted_anywhere(
    datadog: Datadog, all_kinds: dict[int, Json], word: str, after: int
) -> None:
    words = [*COMMAND, "monitors", "apply", "--yes"]
    child = subprocess.Popen(
        words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    left = after

    def called(method: str, path: str) -> None:
        nonlocal left
        left -= method != "GET"
        if left == -1:
            os.kill(child.pid, getattr(signal, word))

    datadog.called = called
    said, complaint = child.communicate(timeout=PATIENCE)
    datadog.called = lambda *_: None
    if word == "SIGINT":
        assert child.returncode == -signal.SIGINT, complaint
        assert re.search("nothing was changed$|[a-z]ed$", said.strip()), said
    else:
        assert child.returncode == -signal.SIGKILL
    applied()
    assert_right(datadog, all_kinds)


def test_an_error_of_one_monitor_does_not_stop_the_others(datadog: Datadog, nightly: Book) -> None:
    datadog.faults = []
    configure('[datadog]\nnotify = ["@slack-ops"]\n')
    applied()
    victim = of_kind(datadog, "hung")
    for monitor in own(datadog).values():
        monitor["message"] = "changed"
    del datadog.monitors[victim["id"]]

    def called(method: str, path: str) -> None:
        if (method, path) == ("PUT", f"/monitor/{of_kind(datadog, 'slow')['id']}"):
            of_kind(datadog, "slow")["options"]["scheduling_options"] = {
                "custom_schedule": {"x": 1}
            }

    datadog.called = called
    ended = apply()
    assert ended.status == 1
    assert "1 created, 5 changed" in ended.stdout
    assert "nightly (shop, prod) is slow: A custom schedule cannot be" in ended.stderr


def test_a_monitor_that_datadog_rejects_is_skipped_and_the_others_are_written(
    datadog: Datadog, nightly: Book
) -> None:
    def called(method: str, path: str) -> None:
        if path == "/monitor/validate" and not refused:
            refused.append(path)
            raise_no()

    def raise_no() -> None:
        raise NoError(400, "The value provided for parameter 'query' is invalid")

    refused: list[str] = []
    datadog.called = called
    ended = apply()
    assert ended.status == 1
    assert "6 created" in ended.stdout
    assert "is invalid (400)" in ended.stderr


def test_it_waits_until_the_rate_limit_is_reset(datadog: Datadog) -> None:
    datadog.faults = [Fault("limit", times=2)]
    assert api.Api(os.environ).monitors([]) == []
    assert (datadog.faults[0].times, datadog.impatient) == (0, 0)


def test_it_gives_up_after_some_time(
    datadog: Datadog, nightly: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "PATIENCE", 0.6)
    datadog.faults = [Fault("broken", times=1000)]
    asking = api.Api(os.environ)
    with pytest.raises(ToolError, match="responds with status 500; gave up after"):
        asking.monitors([])
    datadog.faults = [Fault("limit", times=1000)]
    with pytest.raises(ToolError, match="rate limit was exceeded; gave up after"):
        asking.create({"tags": []})


def test_plan_exits_with_2_for_changes_only_if_asked(datadog: Datadog, nightly: Book) -> None:
    assert autotask("monitors", "plan", "--exit-code").status == 2
    assert autotask("monitors", "plan").status == 0
    applied()
    assert autotask("monitors", "plan", "--exit-code").status == 0


def test_apply_without_a_terminal_needs_yes(datadog: Datadog, nightly: Book) -> None:
    ended = autotask("monitors", "apply")
    assert (ended.status, datadog.written()) == (1, [])
    assert "--yes" in ended.stderr


def test_a_terminal_shows_changes_in_colour(datadog: Datadog, nightly: Book) -> None:
    shown = on_terminal("monitors", "plan", columns=100)
    assert "\x1b[32m+ create autotask: nightly (shop, prod) hangs\x1b[0m" in shown


def test_a_terminal_shows_progress(datadog: Datadog, nightly: Book) -> None:
    configure("[task.mail]\npriority = 1\n")  # one more
    datadog.faults = [Fault("slow", "POST", "/monitor", times=4, after=8)]
    shown = on_terminal("monitors", "apply", "--yes", columns=100)
    assert "validating" in shown
    assert "applying" in shown


def test_ctrl_c_ends_the_retries(datadog: Datadog, nightly: Book) -> None:
    datadog.faults = [Fault("broken", "POST", times=1000)]
    words = [*COMMAND, "monitors", "apply", "--yes"]
    with subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True) as child:
        wait_until(lambda: datadog.faults[0].times < 980)
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=PATIENCE)[0].endswith("\nnothing was changed\n")
        assert child.returncode == -signal.SIGINT


# Keys.

WRONG: list[tuple[dict[str, str | None], str]] = [
    ({"DD_API_KEY": None}, "DD_API_KEY is not set"),
    ({"DD_APP_KEY": None}, "DD_APP_KEY is not set"),
    ({"DD_API_KEY": "secret key"}, "DD_API_KEY is not a valid key"),
    ({"DD_API_KEY": "secret\nkey"}, "DD_API_KEY is not a valid key"),
    ({"DD_API_KEY": "secret-one"}, "DD_API_KEY is not valid at datadoghq.com"),
    ({"DD_API_KEY": "secret-one", "DD_SITE": "datadoghq.eu"}, "is not valid at datadoghq.eu"),
    ({"DD_APP_KEY": "secret-two"}, "DD_APP_KEY is not valid or lacks a permission"),
    ({"DD_SITE": "https://x"}, "DD_SITE is not a valid site"),
    ({"DATADOG_HOST": "http://127.0.0.1:9"}, "127.0.0.1:9 cannot be reached"),
    ({"DATADOG_HOST": "http://no.such.invalid"}, "no.such.invalid cannot be found"),
    ({"DATADOG_HOST": "dd-proxy.corp"}, "DATADOG_HOST is not a URL"),
    ({"DATADOG_HOST": "http://x:99999"}, "DATADOG_HOST is not a URL"),
    ({"DATADOG_HOST": "http://" + "x" * 70}, "is not valid"),
]


@pytest.mark.parametrize(("env", "told"), WRONG)
def test_a_wrong_key_or_site_is_reported_in_one_line_without_the_key(
    datadog: Datadog, nightly: Book, env: dict[str, str | None], told: str
) -> None:
    ended = autotask("monitors", "plan", env=env)
    assert (ended.status, ended.stdout) == (1, "")
    assert told in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert "secret" not in ended.stderr


def test_a_missing_permission_is_named(datadog: Datadog, nightly: Book) -> None:
    datadog.forbidden = "POST"
    ended = apply()
    assert ended.status == 1
    assert "monitors_write" in ended.stderr


def test_keys_are_never_shown(datadog: Datadog, nightly: Book, swallowed: Path) -> None:
    datadog.faults = [Fault("lost", "GET", times=1), Fault("broken", "POST", times=2)]
    ended = apply()
    everywhere = ended.stdout + ended.stderr + json.dumps(list(datadog.monitors.values()))
    everywhere += "".join(path.read_text() for path in Path().rglob("*") if path.is_file())
    everywhere += swallowed.read_text() if swallowed.exists() else ""
    assert API_KEY not in everywhere
    assert APP_KEY not in everywhere
