"""`autotask monitors init|export|mute|unmute` and `autotask dashboard`."""

from __future__ import annotations

import copy
import json
import os
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tool.datadog import past
from tool.datadog.past import Past
from tool.datadog.server import API_KEY, APP_KEY, Datadog, Fault, NoError
from tool.journals import DAY, HOUR, Book, answer, autotask, on_terminal

from autotask.tool.cli import main
from autotask.tool.datadog import config, init, transport
from autotask.tool.datadog.api import Api
from autotask.tool.datadog.baselines import Task
from autotask.tool.datadog.downtimes import Silence

Json = dict[str, Any]
NO_FILE = "configuration file: none (no autotask.toml in this folder or above it)\n"
pytestmark = pytest.mark.usefixtures("folder")

# init


def test_init_writes_baselines_as_comments_that_change_nothing(nightly: Book) -> None:
    before = answer("monitors", "export")
    assert answer("monitors", "init") == "wrote autotask.toml with 2 tasks\n"
    text = Path("autotask.toml").read_text()
    assert '[task."nightly"]\n# click, service/env shop/prod, 10 runs\n' in text
    assert "# starts every 1d00h, at most 1d00h apart\n# takes 10m00s, at most 10m00s\n" in text
    assert config.load(None).defaults == config.TaskSettings()
    assert answer("monitors", "export") == before


def test_all_settings_in_inits_comments_are_valid(nightly: Book) -> None:
    answer("monitors", "init")
    lines = Path("autotask.toml").read_text().splitlines()
    known = [line.lstrip("# ") for line in lines if " = " in line or line.startswith("# [")]
    Path("autotask.toml").write_text("[datadog]\n" + "\n".join(known))
    found = config.load(None)
    assert found.settings_for("db.x").schedule == "15 3 * * *"
    assert found.tags == ("team:shop",)


def test_init_tells_what_only_a_queue_does() -> None:
    mail = Task("mail", framework="celery", runs=90, retries=4)
    worker = Task("uvicorn", runs=9, server=True, leads=False)
    sub = Task("sub", runs=9, leads=False)
    text = init.document([mail, worker, sub])
    mail_text, worker_text, sub_text = text.split("\n[task.")[1:]
    assert "# retried in an hour: at most 4\n" in mail_text
    assert "# runs until it is stopped: only its failures have a monitor\n" in worker_text
    assert "part of another task" not in worker_text
    assert "# runs as part of another task: only its failures have a monitor\n" in sub_text


def test_init_does_not_overwrite_a_file(nightly: Book) -> None:
    Path("autotask.toml").write_text("# mine\n")
    ended = autotask("monitors", "init")
    assert (ended.status, ended.stderr) == (
        1,
        "autotask: autotask.toml already exists; use --force to overwrite it\n",
    )
    assert Path("autotask.toml").read_text() == "# mine\n"
    answer("monitors", "init", "--force")
    assert "nightly" in Path("autotask.toml").read_text()


BY_HAND = "but only from a terminal, which is ignored; start a task from cron, a timer or CI"
WHY_NONE: list[tuple[str, float | None, str]] = [
    ("none", None, "no runs yet in {home}: try `autotask-run python script.py`"),
    ("long ago", 61 * DAY, "no runs in the last 60 days"),
    ("by hand", HOUR, f"1 run in the last 60 days, {BY_HAND}"),
]


@pytest.mark.parametrize(("ago", "why"), [one[1:] for one in WHY_NONE],
                         ids=[one[0] for one in WHY_NONE])  # fmt: skip
def test_init_says_why_it_found_no_tasks(home: Path, ago: float | None, why: str) -> None:
    trigger = "terminal" if ago == HOUR else "cron"
    if ago is not None:
        past.write(home, [Past("nightly", time.time() - ago, 5, trigger=trigger)])
    ended = autotask("monitors", "init")
    assert ended.status == 0
    assert ended.stdout == "wrote autotask.toml with 0 tasks\n"
    assert ended.stderr == f"autotask: no tasks found: {why.format(home=home)}\n"


def test_init_says_that_datadog_has_no_tasks(datadog: Datadog) -> None:
    ended = autotask("monitors", "init", "--from-datadog")
    assert ended.stderr == (
        "autotask: no tasks found: Datadog has seen none in the last 14 days "
        "(runs from a terminal are ignored)\n"
    )


NAMES = [
    ("gr\u00fc\u00df.py", '[task."gr\u00fc\u00df.py"]'),
    ("\u65e5\u672c \U0001f4e6", '[task."\u65e5\u672c \U0001f4e6"]'),
    ('say "so"', '[task."say \\"so\\""]'),
    ("back\\slash", '[task."back\\\\slash"]'),
    ("del\x7fete", '[task."del\\U0000007fete"]'),
    ("to\u202eward", '[task."to\\U0000202eward"]'),
    ("two\nlines", '[task."two\\nlines"]'),
    ("all*", '# [task."all*"]'),
]


def test_names_in_the_file_are_readable_and_parsed_again() -> None:
    text = init.document(Task(name, spelled=name) for name, _ in NAMES)
    heads = [line for line in text.splitlines() if '[task."' in line and "db.*" not in line]
    assert heads == [head for _, head in NAMES]
    Path("autotask.toml").write_text(text, encoding="utf-8")
    spelled = [section.spelled for section in config.load(None).sections]
    assert spelled == [name for name, _ in NAMES[:-1]]


# Which file is read.


def below(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("deep/er").mkdir(parents=True)
    monkeypatch.chdir("deep/er")


def test_the_file_is_searched_upwards_and_named(
    datadog: Datadog, nightly: Book, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("autotask.toml").write_text('[datadog]\nname = "shop"\nnotify = ["@ops"]\n')
    assert answer("monitors", "plan").startswith("configuration file: autotask.toml\n+ create")
    below(monkeypatch)
    told = f"configuration file: {folder}/autotask.toml\n"
    assert answer("monitors", "plan").startswith(f"{told}+ create")
    assert answer("dashboard", "plan").startswith(f"{told}+ create")
    exported = autotask("monitors", "export")
    assert exported.stderr == f"autotask: {told}"
    assert "autotask_set:shop" in str(json.loads(exported.stdout))
    as_json = autotask("monitors", "plan", "--format", "json")
    assert as_json.stderr == f"autotask: {told}"
    assert json.loads(as_json.stdout)["changes"]
    started = autotask("monitors", "init")
    told = f"autotask: in this folder, autotask.toml now replaces {folder}/autotask.toml\n"
    assert (started.status, started.stderr) == (0, told)
    Path("autotask.toml").write_text('[datadog]\nname = "near"\nnotify = ["@ops"]\n')
    assert answer("monitors", "plan").startswith("configuration file: autotask.toml\n")
    chosen = f"{folder}/autotask.toml"
    planned = answer("monitors", "plan", "--config", chosen)
    assert planned.startswith(f"configuration file: {chosen}\n")


@pytest.mark.parametrize("command", ["monitors", "dashboard"])
def test_apply_without_a_file_says_so_and_asks(
    datadog: Datadog, nightly: Book, command: str
) -> None:
    ended = autotask(command, "apply")
    assert (ended.status, datadog.written()) == (1, [])
    assert ended.stdout.startswith(NO_FILE)
    assert ended.stderr.endswith(
        "autotask: not a terminal: pass --yes to apply without confirmation "
        "(no autotask.toml in this folder or above it)\n"
    )
    question = "no autotask.toml in this folder or above it; apply without it? [y/N] "
    for answered, status in (("n\n", 1), ("y\n", 0)):
        assert question in on_terminal(command, "apply", status=status, types=answered, columns=200)
        assert bool(datadog.written()) is (status == 0)
    Path("autotask.toml").write_text("[datadog]\npriority = 1\n")
    ended = autotask("monitors", "apply")
    assert ended.stderr.endswith("not a terminal: pass --yes to apply without confirmation\n")


# export


OF_NIGHTLY_AND_MAIL = {
    "a_task_failed",
    *("nightly_shop_prod_did_not_run", "nightly_shop_prod_hangs", "nightly_shop_prod_is_slow"),
    *("mail_shop_prod_did_not_run", "mail_shop_prod_hangs", "mail_shop_prod_is_slow"),
}


def files(folder: str) -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


def test_json_goes_to_one_file_for_each_monitor_or_to_standard_output(nightly: Book) -> None:
    printed = json.loads(answer("monitors", "export"))
    assert json.loads(answer("monitors", "export", "-o", "-")) == printed
    assert not Path("-").exists()
    answer("monitors", "export", "-o", "out")
    written = [json.loads(path.read_text()) for path in Path("out").glob("*.json")]
    assert len(printed) == 7
    assert sorted(written, key=str) == sorted(printed, key=str)
    assert files("out") == {f"{name}.json" for name in OF_NIGHTLY_AND_MAIL}


def test_files_of_an_earlier_export_are_named_and_deleted_with_prune(nightly: Book) -> None:
    answer("monitors", "export", "-o", "out")
    out = Path("out")
    left = json.loads((out / "a_task_failed.json").read_text())
    (out / "failed.684888c0ebb1.json").write_text(json.dumps(left))
    theirs: dict[str, Any] = {
        "of_another_set.json": {**left, "tags": [*left["tags"][:1], "autotask_set:b", "x"]},
        "without_tags.json": {**left, "tags": None},
        "no_object.json": ["x"],
        "of_terraform.json": {**left, "tags": ["managed_by:terraform", *left["tags"][1:]]},
        "notes.txt": left,
    }
    for name, content in theirs.items():
        (out / name).write_text(json.dumps(content))
    (out / "broken.json").write_text("{")
    (out / "deep.json").write_text("[" * 100_000)
    (out / "folder.json").mkdir()
    before = files("out")
    Path("autotask.toml").write_text('[task.nightly]\nwithout = ["slow"]\n')
    told = autotask("monitors", "export", "-o", "out")
    assert told.status == 0
    assert told.stderr.splitlines() == [
        "autotask: out/failed.684888c0ebb1.json is no longer needed (delete with --prune)",
        "autotask: out/nightly_shop_prod_is_slow.json is no longer needed (delete with --prune)",
    ]
    assert files("out") == before
    told = autotask("monitors", "export", "-o", "out", "--prune")
    assert told.status == 0
    assert "deleted out/failed.684888c0ebb1.json" in told.stderr
    assert before - files("out") == {
        *("failed.684888c0ebb1.json", "nightly_shop_prod_is_slow.json")
    }
    assert autotask("monitors", "export", "--prune").status == 1


def test_terraform_gets_one_file_and_its_provider(nightly: Book) -> None:
    terraform = ("export", "--format", "terraform")
    answer("monitors", *terraform, "-o", "out")
    answer("dashboard", *terraform, "-o", "out")
    assert files("out") == {"monitors.tf", "dashboard.tf", "autotask_provider.tf"}
    provider, monitors_tf, dashboard_tf = (
        Path("out", name).read_text()
        for name in ("autotask_provider.tf", "monitors.tf", "dashboard.tf")
    )
    assert 'source  = "DataDog/datadog"' in provider
    assert answer("monitors", *terraform, "-o", "-") == f"{provider}\n{monitors_tf}"
    assert answer("dashboard", *terraform) == f"{provider}\n{dashboard_tf}"
    names = re.findall(r'^resource "datadog_monitor_json" "(.*)" {$', monitors_tf, re.MULTILINE)
    assert set(names) == OF_NIGHTLY_AND_MAIL


def test_the_provider_is_only_named_once_in_a_folder(nightly: Book) -> None:
    Path("infra").mkdir()
    Path("infra/versions.tf").write_text("terraform {\n  required_providers {\n  }\n}\n")
    answer("monitors", "export", "--format", "terraform", "-o", "infra")
    assert files("infra") == {"versions.tf", "monitors.tf"}


def test_export_needs_no_keys(nightly: Book) -> None:
    assert autotask("monitors", "export").status == 0
    assert autotask("dashboard", "export").status == 0


def test_without_tasks_there_is_an_error(home: Path) -> None:
    ended = autotask("monitors", "export")
    assert ended.status == 1
    assert ended.stderr == (
        f"autotask: no tasks found: no runs yet in {home}: try `autotask-run python script.py`; "
        "none in autotask.toml\n"
    )


def test_omitted_monitors_are_reported_in_one_line_for_each_reason(book: Book) -> None:
    for number in range(6):
        book.run(f"task{number}", ago=60)
    told = autotask("monitors", "export").stderr.splitlines()
    assert told[0] == (
        "autotask: 6 tasks without did_not_run (task0, task1, task2, task3 and 2 more): "
        "too few runs so far; set `schedule`"
    )
    assert len(told) == 3


def test_missing_recipients_are_reported(datadog: Datadog, nightly: Book) -> None:
    told = "autotask: no recipients: set `notify` in autotask.toml\n"
    assert autotask("monitors", "plan").stderr == told
    Path("autotask.toml").write_text('[task.mail]\nnotify = ["@ops"]\n')
    assert autotask("monitors", "plan").stderr == ""


# A task that never ran.


@pytest.mark.parametrize("patience", [1, 3])
def test_apply_sends_a_zero_count_for_a_task_that_never_ran(
    datadog: Datadog, nightly: Book, patience: int
) -> None:
    Path("autotask.toml").write_text(
        f'[task.new]\nschedule = "0 4 * * *"\nservice = "shop"\nenv = "prod"\n'
        f"failures_in_a_row = {patience}\n"
        '[task.nightly]\nschedule = "0 3 * * *"\n'
    )
    for _ in range(2):
        assert autotask("monitors", "apply", "--yes").status == 0
        (sent,) = datadog.series
        assert (sent["metric"], sent["type"]) == ("autotask.task.runs", "count")
        assert sent["tags"] == ["task:new", "service:shop", "env:prod", "status:success"]
        ((_, value),) = sent["points"]
        assert value == 0


def test_monitors_are_created_even_if_the_zero_count_fails(datadog: Datadog, nightly: Book) -> None:
    Path("autotask.toml").write_text('[task.new]\nschedule = "0 4 * * *"\n')

    def called(method: str, path: str) -> None:
        if path == "/series":
            raise NoError(400, "no series today")

    datadog.called = called
    ended = autotask("monitors", "apply", "--yes")
    assert ended.status == 1
    assert "8 created" in ended.stdout
    assert (
        "could not send a zero count for tasks that never ran: no series today (400)"
        in ended.stderr
    )


# From Datadog.


def test_the_tasks_may_come_from_datadog(datadog: Datadog) -> None:
    tags = ["task:far", "service:shop", "env:prod", "framework:click"]
    hours = [[hour * 3600_000, 1.0] for hour in range(40)]
    datadog.answers = [[{"tag_set": tags, "pointlist": hours}], []]
    found = json.loads(autotask("monitors", "export", "--from-datadog").stdout)
    queries = [one["query"] for one in found]
    assert (
        "sum(last_70m):sum:autotask.task.runs{!trigger:terminal,task:far,service:shop,env:prod}"
        ".as_count() < 1"
    ) in queries


def test_a_task_that_runs_several_times_an_hour_is_named(datadog: Datadog) -> None:
    def series(task: str, value: float) -> Json:
        hours = [[hour * 3600_000, value] for hour in range(40)]
        return {"tag_set": [f"task:{task}", "service:shop", "env:prod"], "pointlist": hours}

    Path("autotask.toml").write_text('[task.known]\ninterval = "10m"\n')
    seen = [series("hourly", 1), series("mail", 6), series("known", 6)]
    datadog.answers = [seen, []]
    ended = autotask("monitors", "plan", "--from-datadog")
    assert ended.status == 0
    assert ended.stderr.splitlines()[0] == (
        "autotask: 1 task counted as hourly (mail): "
        "data from Datadog is by the hour; set `interval`"
    )


# Muting.


@pytest.fixture
def watched(datadog: Datadog, nightly: Book) -> Datadog:
    """Create the monitors of two tasks, next to another one."""
    datadog.add(name="cpu", query="avg(last_5m):avg:cpu{*} > 1", tags=["task:nightly"])
    Path("autotask.toml").write_text('[task."mail*"]\nfailures_in_a_row = 2\n')
    assert autotask("monitors", "apply", "--yes").status == 0
    return datadog


ABOUT_NIGHTLY = {
    "autotask: a task failed: {{task.name}}": "task:nightly",
    "autotask: nightly (shop, prod) did not run": "*",
    "autotask: nightly (shop, prod) hangs": "*",
    "autotask: nightly (shop, prod) is slow": "*",
}


def silenced(datadog: Datadog) -> dict[str, str]:
    """Return the muted scopes by monitor; none is muted twice."""
    found: dict[str, str] = {}
    for one in datadog.muted():
        name = datadog.monitors[one["monitor_identifier"]["monitor_id"]]["name"]
        assert name not in found
        found[name] = one["scope"]
    return found


def test_mute_mutes_one_task_for_a_while(watched: Datadog) -> None:
    told = answer("monitors", "mute", "nightly", "--for", "2h").splitlines()
    assert re.fullmatch("muted 4 monitors of nightly until [0-9-]{10} [0-9:]{5}:", told[0])
    assert sorted(told[1:]) == sorted(
        f"  {name}" + (" (only for nightly)" if scope != "*" else "")
        for name, scope in ABOUT_NIGHTLY.items()
    )
    assert silenced(watched) == ABOUT_NIGHTLY
    for one in watched.muted():
        end = datetime.strptime(one["schedule"]["end"], "%Y-%m-%dT%H:%M:%S%z").timestamp()
        assert end == pytest.approx(time.time() + 7200, abs=60)
        assert one["message"] == "Muted by `autotask monitors mute nightly`."
    assert "nothing to do" in autotask("monitors", "apply", "--yes").stdout
    assert silenced(watched) == ABOUT_NIGHTLY
    assert answer("monitors", "unmute", "nightly").splitlines()[0] == (
        "unmuted 4 monitors of nightly:"
    )
    assert silenced(watched) == {}
    assert answer("monitors", "unmute", "nightly") == (
        "nothing to unmute: no monitor of nightly was muted by `mute`\n"
    )


def test_mute_may_have_no_end_and_may_be_repeated(watched: Datadog) -> None:
    assert answer("monitors", "mute", "nightly").startswith("muted 4 monitors of nightly:\n")
    assert {one["schedule"]["end"] for one in watched.muted()} == {None}
    answer("monitors", "mute", "nightly", "--for", "1h")
    assert silenced(watched) == ABOUT_NIGHTLY
    assert None not in {one["schedule"]["end"] for one in watched.muted()}


def test_a_task_with_a_section_is_muted_in_its_own_monitors(watched: Datadog) -> None:
    answer("monitors", "mute", "mail")
    assert len(silenced(watched)) == 4
    assert all("mail" in name for name in silenced(watched))


def test_mute_doubts_a_name_that_no_monitor_has(
    watched: Datadog,
) -> None:
    said = autotask("monitors", "mute", "nihgtly")
    assert (said.status, said.stdout.splitlines()) == (
        0,
        [
            "muted 1 monitor of nihgtly:",
            "  autotask: a task failed: {{task.name}} (only for nihgtly)",
        ],
    )
    assert said.stderr == (
        "autotask: no monitor is for nihgtly alone; check the name with `autotask tasks`\n"
    )


SCOPES = [
    ("db:migrate", r"task:db\:migrate", "Muted by `autotask monitors mute db:migrate`."),
    ("build/x-1.py", "task:build/x-1.py", "Muted by `autotask monitors mute build/x-1.py`."),
    ("Tag@Ops now", "task:tag_ops_now", "Muted by `autotask monitors mute tag_ops_now`."),
]


def test_a_task_with_any_name_can_be_muted_without_a_notification(
    watched: Datadog, capsys: pytest.CaptureFixture[str]
) -> None:
    for task, scope, message in SCOPES:
        assert main(["monitors", "mute", task]) == 0
        (one,) = watched.muted()
        assert (one["scope"], one["message"]) == (scope, message)
        one["scope"] = scope.replace("\\", "")  # as the server may write it
        capsys.readouterr()
        assert main(["monitors", "unmute", task]) == 0
        assert capsys.readouterr().out.startswith("unmuted 1 monitor")
        assert watched.muted() == []


def test_downtimes_planned_by_a_person_stay(watched: Datadog) -> None:
    (number,) = [key for key, one in watched.monitors.items() if "nightly (" in one["name"]][:1]
    weekly = {"recurrences": [{"rrule": "FREQ=WEEKLY", "duration": "1h"}], "timezone": "UTC"}
    ours = {"monitor_identifier": {"monitor_id": number}, "scope": "*"}
    watched.downtime(**ours)
    watched.downtime(**ours, message="until Monday, Ann")
    watched.downtime(**ours, schedule=weekly)
    watched.downtime(**{**ours, "scope": "host:a"})
    watched.downtime(**{**ours, "monitor_identifier": {"monitor_tags": ["*"]}})
    for other in range(250):  # over some pages
        watched.downtime(monitor_identifier={"monitor_id": other}, scope="*")
    before = copy.deepcopy(watched.muted())
    answer("monitors", "mute", "nightly")
    assert len(watched.muted()) == len(before) + 4
    answer("monitors", "unmute", "nightly")
    assert watched.muted() == before


def test_a_failed_request_does_not_mute_a_task_twice(
    datadog: Datadog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "FIRST_PAUSE", 0.01)
    asking, wanted = Api(os.environ), [Silence(1), Silence(2, "task:nightly")]
    for kind in ("broken", "cut", "lost"):
        datadog.faults = [Fault(kind, method, "/v2/downtime", 1, 1) for method in ("POST", "GET")]
        asking.mute(wanted, None)
        muted = [(one["monitor_identifier"]["monitor_id"], one["scope"]) for one in datadog.muted()]
        assert muted == [(1, "*"), (2, "task:nightly")]
        datadog.faults = [Fault(kind, method, "/v2/downtime") for method in ("DELETE", "GET")]
        assert asking.unmute(wanted) == set(wanted)
        assert datadog.muted() == []


def test_a_missing_permission_to_mute_is_named(watched: Datadog) -> None:
    watched.forbidden = "POST"
    ended = autotask("monitors", "mute", "nightly")
    assert (ended.status, ended.stdout, watched.muted()) == (1, "", [])
    assert "monitors_downtime" in ended.stderr


# The dashboard.


def own(datadog: Datadog) -> list[Json]:
    return [
        one for one in datadog.dashboards.values() if "managed_by:" in (one["description"] or "")
    ]


def test_apply_creates_the_dashboard_once_and_reverts_manual_changes(
    datadog: Datadog, nightly: Book
) -> None:
    datadog.dashboards["x"] = {"id": "x", "title": "mine", "description": None}
    assert autotask("dashboard", "plan", "--exit-code").status == 2
    told = answer("dashboard", "apply", "--yes")
    (made,) = own(datadog)
    assert (
        told
        == f"{NO_FILE}+ create {made['title']}\nhttps://app.datadoghq.com/dashboard/{made['id']}\n"
    )
    assert autotask("dashboard", "plan", "--exit-code").status == 0
    datadog.requests.clear()
    assert "is unchanged" in answer("dashboard", "apply", "--yes")
    assert datadog.written() == []
    made["widgets"][0]["definition"]["title"] = "mine"
    made["author_handle"] = "y"
    assert json.loads(answer("dashboard", "plan", "--format", "json"))["differences"] == [
        "widgets[0].definition.title"
    ]
    answer("dashboard", "apply", "--yes")
    assert own(datadog)[0]["widgets"][0]["definition"]["title"] != "mine"
    assert datadog.dashboards["x"]["title"] == "mine"


@pytest.mark.parametrize("kind", ["cut", "lost", "broken", "limit"])
def test_a_failed_request_does_not_create_a_second_dashboard(
    datadog: Datadog, nightly: Book, kind: str
) -> None:
    datadog.faults = [Fault(kind, "POST", "/dashboard", 1), Fault(kind, "GET", times=2)]
    autotask("dashboard", "apply", "--yes")
    answer("dashboard", "apply", "--yes")
    assert len(own(datadog)) == 1


def test_a_duplicate_dashboard_is_deleted(datadog: Datadog, nightly: Book) -> None:
    answer("dashboard", "apply", "--yes")
    (made,) = own(datadog)
    datadog.dashboards["abc-0"] = {**made, "id": "abc-0", "created_at": "2027-01-01"}
    assert "- delete abc-0" in answer("dashboard", "apply", "--yes")
    assert [one["id"] for one in own(datadog)] == [made["id"]]


def test_terraform_gets_the_dashboard(nightly: Book) -> None:
    hcl2 = pytest.importorskip("hcl2")
    found = hcl2.loads(answer("dashboard", "export", "--format", "terraform"))
    assert len(found["resource"]) == len(found["terraform"]) == 1


def test_terraform_sees_no_change_in_the_dashboard_that_datadog_returns(nightly: Book) -> None:
    text = answer("dashboard", "export", "--format", "terraform")
    exported = json.loads(text.partition("jsonencode(")[2].rpartition(")")[0])
    kept = Datadog().handle("POST", "/dashboard", {}, exported, (API_KEY, APP_KEY))
    # What terraform-provider-datadog leaves out when it compares (computedFields, prepResource).
    for name in ("id", "author_handle", "created_at", "is_read_only"):
        del kept[name]
    assert without_ids(kept) == exported


def without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_ids(inner) for key, inner in value.items() if key != "id"}
    return [without_ids(one) for one in value] if isinstance(value, list) else value
