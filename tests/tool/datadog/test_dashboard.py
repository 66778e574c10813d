"""The definition of the dashboard: valid for Datadog's models, and sound."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from datadog_api_client.v1.model.dashboard import Dashboard
from tool.datadog import typed

from autotask.tool.datadog import dashboard
from autotask.tool.datadog.baselines import Task

TAGS = ["managed_by:autotask", "autotask_set:default", "team:shop", "cost:7"]
NIGHTLY = Task("nightly.py", "shop", "prod", runs=60)
QUEUED = NIGHTLY._replace(name="mail", framework="celery", retries=3, waits=True)
WORKER = NIGHTLY._replace(name="celery", server=True)
DEFINITION = dashboard.definition([*[NIGHTLY] * 40, QUEUED, WORKER], TAGS)

FIRST = ["widgets", 0, "definition", "widgets", 0, "definition"]
FIRST_NAMED = "body.widgets[0].definition.widgets[0].definition"

# The metrics that are sent, and their tags.
COMMON = {"env", "service", "version", "task", "framework"}
METRICS = {
    "autotask.task.runs": COMMON | {"status", "reason", "trigger"},
    "autotask.task.duration": COMMON | {"status"},
    "autotask.task.started": COMMON | {"trigger"},
    "autotask.task.running_seconds": COMMON | {"trigger"},
    "autotask.task.waited": COMMON,
}
STATUSES = {"success", "failure", "skipped", "retried"}
FUNCTIONS = {"default_zero", "week_before", "clamp_min", "count_nonzero"}
QUERY = re.compile(
    r"(?P<how>sum|max|avg|histogram):(?P<metric>[a-z_.]+)"
    r"\{(?P<scope>[^{}]+)\}( by \{(?P<by>[a-z_,]+)\})?(?P<count>\.as_count\(\))?"
)


def widgets(definition: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for widget in definition["widgets"]:
        inside = widget["definition"]
        yield from widgets(inside) if inside["type"] == "group" else [inside]


def requests(definition: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for widget in widgets(definition):
        yield from widget.get("requests", [])


def metric_queries(definition: dict[str, Any]) -> list[str]:
    asked = [
        query
        for request in requests(definition)
        for query in [*request.get("queries", []), request.get("query", {})]
    ]
    return [query["query"] for query in asked if query.get("data_source") == "metrics"]


QUERIES = metric_queries(DEFINITION)


@pytest.mark.parametrize("tasks", [0, 1, 40, 2000])
def test_datadogs_models_accept_the_dashboard(tasks: int) -> None:
    definition = dashboard.definition([NIGHTLY] * tasks, TAGS, ["region:eu"])
    assert typed.problems(Dashboard, definition) == []


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        (["colour"], "red", "body.colour: not known"),
        (["default_timeframe", "colour"], "red", "body.default_timeframe.colour: not known"),
        (["reflow_type"], "bent", "body.reflow_type: not understood"),
        ([*FIRST, "colour"], "red", f"{FIRST_NAMED}.colour: not known"),
        ([*FIRST, "time"], {"live_spam": "1d"}, "body.widgets[0]: not understood"),
        ([*FIRST, "requests", 0, "q2"], "", f"{FIRST_NAMED}.requests[0].q2: not known"),
    ],
)
def test_datadogs_models_reject_unknown_fields(
    place: list[str | int], value: object, problem: str
) -> None:
    body = inside = dashboard.definition([], TAGS)
    *way, last = place
    for step in way:
        inside = inside[step]  # type: ignore[index]
    inside[last] = value  # type: ignore[index]
    assert problem in typed.problems(Dashboard, body)


@pytest.mark.parametrize("query", sorted(set(QUERIES)))
def test_a_query_only_uses_metrics_and_tags_that_are_sent(query: str) -> None:
    match = QUERY.fullmatch(query)
    assert match, query
    known = METRICS[match["metric"]]
    scope = match["scope"].split(",")
    variables = {f"${name}" for name in dashboard.VARIABLES}
    assert variables <= set(scope)
    for term in set(scope) - variables:
        key, _, value = term.lstrip("!").partition(":")
        assert key in known
        assert key != "status" or value in STATUSES
    assert set((match["by"] or "task").split(",")) <= known
    counted = match["metric"] in ("autotask.task.runs", "autotask.task.started")
    assert bool(match["count"]) is counted
    assert (match["how"] == "sum") is counted


def test_all_metrics_are_shown() -> None:
    assert {QUERY.fullmatch(query)["metric"] for query in QUERIES} == set(METRICS)  # type: ignore[index]
    checks = [one for one in widgets(DEFINITION) if one["type"] == "check_status"]
    assert [one["check"] for one in checks] == ["autotask.task.status"]
    assert set(checks[0]["group_by"]) <= COMMON


def test_formulas_use_exactly_the_queries_of_their_request() -> None:
    for request in requests(DEFINITION):
        names = {query["name"] for query in request.get("queries", [])}
        formulas = [formula["formula"] for formula in request.get("formulas", [])]
        words = set(re.findall(r"[a-z_]+", " ".join(formulas)))
        assert words - FUNCTIONS == names


def test_variables_also_restrict_events_and_checks() -> None:
    variables = [f"${name}" for name in dashboard.VARIABLES]
    (events,) = [one for one in widgets(DEFINITION) if one["type"] == "list_stream"]
    query = events["requests"][0]["query"]["query_string"]
    assert query.split() == ['"task', 'failed"', "status:error", *variables]
    (checks,) = [one for one in widgets(DEFINITION) if one["type"] == "check_status"]
    assert checks["tags"] == variables
    assert [one["prefix"] for one in DEFINITION["template_variables"]] == [*dashboard.VARIABLES]
    assert set(dashboard.VARIABLES) <= COMMON  # on every metric: none hides a widget's numbers


def test_runs_outside_the_scope_are_not_shown() -> None:
    for query in metric_queries(dashboard.definition([], TAGS, ["region:eu"])):
        assert "region:eu" in QUERY.fullmatch(query)["scope"].split(",")  # type: ignore[index]


def test_the_monitors_of_the_set_are_listed_by_kind() -> None:
    lists = [one["query"] for one in widgets(DEFINITION) if one["type"] == "manage_status"]
    of_the_set = " ".join(f'tag:"{tag}"' for tag in TAGS)
    assert lists == [
        f'{of_the_set} "did not run"', f'{of_the_set} "hangs"', f'{of_the_set} "is slow"',
        f'{of_the_set} "retries a lot"',
    ]  # fmt: skip


def test_the_description_has_the_tags_that_datadog_does_not_allow() -> None:
    assert DEFINITION["tags"] == ["team:shop"]
    assert DEFINITION["description"].endswith(" ".join(TAGS))


def test_widgets_fill_rows_of_twelve_and_do_not_overlap() -> None:
    bottom = 0
    for group in DEFINITION["widgets"]:
        layout, inside = group["layout"], group["definition"]["widgets"]
        assert (layout["x"], layout["y"], layout["width"]) == (0, bottom, 12)
        bottom += layout["height"]
        taken = [cell for widget in inside for cell in cells(widget["layout"])]
        assert len(taken) == len(set(taken))
        assert set(taken) == {(x, y) for x in range(12) for y in range(layout["height"] - 1)}


def cells(layout: dict[str, int]) -> list[tuple[int, int]]:
    xs = range(layout["x"], layout["x"] + layout["width"])
    ys = range(layout["y"], layout["y"] + layout["height"])
    return [(x, y) for x in xs for y in ys]


def test_titles_of_widgets_are_unique_and_short() -> None:
    titles = [widget["title"] for widget in widgets(DEFINITION)]
    assert len(titles) == len(set(titles))
    assert max(map(len, titles)) < 45


@pytest.mark.parametrize(("tasks", "height"), [(0, 8), (12, 8), (40, 20), (41, 20), (2000, 28)])
def test_the_table_grows_in_steps_with_the_number_of_tasks(tasks: int, height: int) -> None:
    definition = dashboard.definition([NIGHTLY] * tasks, TAGS)
    (runs,) = [one for one in definition["widgets"] if one["definition"]["title"] == "Runs"]
    assert runs["definition"]["widgets"][-1]["layout"]["height"] == height


def test_two_definitions_share_no_objects() -> None:
    first, second = dashboard.definition([], TAGS), dashboard.definition([], TAGS)
    assert first == second
    for widget in widgets(first):
        widget.clear()
    assert second == dashboard.definition([], TAGS)


BARE = NIGHTLY._replace(service=None, env=None)
BY = [
    ([NIGHTLY] * 3, [], "service,env,task", "service,env", "By service and env"),
    ([NIGHTLY._replace(service=None)], [], "env,task", "env", "By env"),
    ([NIGHTLY._replace(env=None)], [], "service,task", "service", "By service"),
    ([BARE], [], "task", "framework", "By framework"),
    ([], [], "task", "framework", "By framework"),
    ([BARE], ["env:prod"], "env,task", "env", "By env"),
    ([BARE, NIGHTLY._replace(name="x")], [], "task", "framework", "By framework"),
]


@pytest.mark.parametrize(("tasks", "scope", "of_tasks", "of_groups", "title"), BY)
def test_it_groups_by_tags_that_the_tasks_have(
    tasks: list[Task], scope: list[str], of_tasks: str, of_groups: str, title: str
) -> None:
    definition = dashboard.definition(tasks, TAGS, scope)
    assert typed.problems(Dashboard, definition) == []
    grouped = {QUERY.fullmatch(query)["by"] for query in metric_queries(definition)}  # type: ignore[index]
    assert grouped == {None, "trigger", of_tasks, of_groups, f"{of_tasks},reason"}
    (checks,) = [one for one in widgets(definition) if one["type"] == "check_status"]
    assert checks["group_by"] == of_tasks.split(",")
    titles = [widget["title"] for widget in widgets(definition)]
    assert {title, title.replace("By", "Success rate by")} <= {*titles}


@pytest.mark.parametrize(
    ("task", "shown"),
    [
        (NIGHTLY, False),
        (WORKER, False),
        (NIGHTLY._replace(retries=1), True),
        (NIGHTLY._replace(waits=True), True),
    ],
)
def test_queues_have_a_group_if_anything_is_known_of_one(task: Task, shown: bool) -> None:
    definition = dashboard.definition([NIGHTLY, task], TAGS)
    titles = [widget["definition"]["title"] for widget in definition["widgets"]]
    assert ("Queues" in titles) == shown
    assert typed.problems(Dashboard, definition) == []
    asked = {QUERY.fullmatch(query)["metric"] for query in metric_queries(definition)}  # type: ignore[index]
    assert ("autotask.task.waited" in asked) == shown


def test_servers_are_left_out_of_durations_but_not_of_failures() -> None:
    """They run until they are stopped, which would be the longest duration of all."""
    of_time = [query for query in QUERIES if re.search(r"[.](duration|running_seconds){", query)]
    assert of_time
    assert all("!task:celery" in query for query in of_time)
    failures = [query for query in QUERIES if "status:failure" in query]
    assert failures
    assert not any("celery" in query for query in failures)


def test_no_success_rate_counts_what_was_retried_or_skipped() -> None:
    """A rate is of the successes and the failures, and asks for nothing else."""
    rates = [
        request
        for request in requests(DEFINITION)
        if any("100 * default_zero(good)" in one["formula"] for one in request.get("formulas", []))
    ]
    assert len(rates) == 4
    for request in rates:
        of = {one["name"]: one["query"] for one in request["queries"]}
        assert "status:success" in of["good"]
        assert "status:failure" in of["bad"]
