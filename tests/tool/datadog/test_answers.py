"""Responses of Datadog's API in which a field is missing, or has another type."""

from __future__ import annotations

import contextlib
import copy
import io
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tool.datadog.server import Datadog
from tool.journals import Book

from autotask.tool.cli import main
from autotask.tool.datadog import (
    answers,
    api,
    baselines,
    config,
    downtimes,
    monitors,
    plan,
    queries,
)
from autotask.tool.datadog.baselines import Task
from autotask.tool.datadog.dashboard_plan import differing
from autotask.tool.datadog.downtimes import Silence
from autotask.tool.errors import ToolError

Json = dict[str, Any]
pytestmark = pytest.mark.usefixtures("folder")
MISSING = object()
OTHERS = [MISSING, None, True, 7, -0.5, "x", [], ["x"], [None], {}, {"x": None}]
SCHEDULED = {"task": {"nightly": {"schedule": "15 3 * * *", "timezone": "UTC"}}}
WANTED = monitors.make([Task("nightly", "shop", "prod")], config.parse(SCHEDULED)).monitors


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to everything in a response, and to the response itself."""
    yield path
    if isinstance(value, (dict, list)):
        inside = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in inside:
            yield from paths(inner, (*path, key))


def changed(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    """Return a copy with another value at a path."""
    if not path:
        return {} if other is MISSING else other
    whole = copy.deepcopy(value)
    around = whole
    for key in path[:-1]:
        around = around[key]
    if other is MISSING:
        del around[path[-1]]
    else:
        around[path[-1]] = other
    return whole


def kept(monitor: Json) -> Json:
    return {**copy.deepcopy(monitor), "id": 7, "multi": False, "priority": None}


def read_monitors(answer: Any) -> None:
    found = [answers.monitor(one) for one in answers.listed(answer)]
    for change in plan.plan(WANTED, found, prune=True).changes:
        list(plan.lines(change))
        plan.record(change)
        if change.desired:
            plan.body(change)
    for one in found:
        api._same(one, WANTED[0])
        queries.covers(one, "task:nightly")


def read_downtimes(answer: Any) -> None:
    list(downtimes.current(answers.listed(answer, "data"), [Silence(7)]))


def read_series(answer: Any) -> None:
    found = [answers.series(one) for one in answers.listed(answer, "series")]
    baselines.from_series(found, found)
    baselines.more_often_than_a_bucket(found)


def read_dashboards(answer: Any) -> None:
    for one in answers.listed(answer, "dashboards"):
        differing({"widgets": [{"x": [1]}]}, answers.dashboard(one))


MUTED = {"monitor_identifier": {"monitor_id": 7}, "scope": "*", "message": "", "status": "active"}
READ: list[tuple[Any, Any]] = [
    (read_monitors, [kept(one) for one in WANTED]),
    (read_downtimes, {"data": [{"id": "x", "attributes": {**MUTED, "schedule": {"end": None}}}]}),
    (read_series, {"series": [{"tag_set": ["task:a"], "pointlist": [[1.0, 2.0], [3.0, None]]}]}),
    (read_dashboards, {"dashboards": [{"id": "x", "widgets": [{"x": [1]}], "description": None}]}),
]


@pytest.mark.parametrize(("read", "answer"), READ)
def test_a_field_that_is_missing_or_of_another_type_is_handled_or_refused(
    read: Any, answer: Any
) -> None:
    read(answer)
    for path in paths(answer):
        for other in OTHERS:
            with contextlib.suppress(ToolError):
                read(changed(answer, path, other))


UNREADABLE: list[tuple[str, str, str, Any, str]] = [
    ("monitors plan", "GET", "/monitor", {"error": "x"}, "no list"),
    ("monitors plan", "GET", "/monitor", None, "(ValueError)"),
    ("monitors plan --from-datadog --prune", "GET", "/query", {"error": "x"}, "no list of series"),
    ("dashboard apply --yes", "GET", "/dashboard", {}, "no list of dashboards"),
    ("dashboard apply --yes", "POST", "/dashboard", {}, "a dashboard without an id"),
    ("monitors unmute nightly", "GET", "/v2/downtime", [], "no list of data"),
]


def test_an_unreadable_response_is_reported_in_one_line_and_changes_nothing(
    datadog: Datadog, nightly: Book, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["monitors", "apply", "--yes"]) == 0
    for words, method, path, answer, told in UNREADABLE:
        datadog.instead, datadog.dashboards = {(method, path): answer}, {}
        capfd.readouterr()
        before = copy.deepcopy(datadog.monitors)
        assert main(words.split()) == 1
        (line,) = capfd.readouterr().err.splitlines()
        assert "sent an unexpected response" in line
        assert told in line
        assert datadog.monitors == before


def test_other_peoples_monitors_may_lack_any_field(datadog: Datadog, nightly: Book) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["monitors", "apply", "--yes"]) == 0
        theirs: list[Any] = [{}, {"id": None}, {"id": [1], "tags": None}, {"tags": 7}, None, "x"]
        answer = [*theirs, *datadog.monitors.values()]
        datadog.instead = {("GET", "/monitor"): answer}
        assert main(["monitors", "plan", "--exit-code"]) == 0


COMMANDS = [
    ("monitors plan --prune", "GET", "/monitor"),
    ("monitors apply --yes", "GET", "/monitor"),
    ("monitors apply --yes", "PUT", "/monitor/1001"),
    ("monitors plan --from-datadog --format json", "GET", "/query"),
    ("monitors mute nightly", "GET", "/monitor"),
    ("monitors mute nightly", "POST", "/v2/downtime"),
    ("monitors unmute nightly", "GET", "/v2/downtime"),
    ("dashboard plan", "GET", "/dashboard"),
    ("dashboard apply --yes", "GET", "/dashboard/x"),
]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_response_causes_a_traceback(
    datadog: Datadog, nightly: Book, data: st.DataObject, capfd: pytest.CaptureFixture[str]
) -> None:
    words, method, path = data.draw(st.sampled_from(COMMANDS))
    datadog.monitors, datadog.dashboards, datadog.downtimes = {}, {}, {}
    datadog.number, datadog.instead = 1000, {}
    for one in monitors.make([Task("nightly", "shop", "prod")], config.Config()).monitors:
        datadog.add(**one)
    marks = "managed_by:autotask autotask_set:default"
    datadog.dashboards["x"] = {"id": "x", "title": "x", "description": marks, "widgets": []}
    datadog.downtime(monitor_identifier={"monitor_id": 1001}, scope="task:nightly")
    datadog.answers = [[{"tag_set": ["task:a"], "pointlist": [[time.time(), 1.0]]}]] * 2
    body = {"data": {"attributes": MUTED}}
    answer = (
        {"series": datadog.answers[0]}
        if path == "/query"
        else copy.deepcopy(datadog._routed(method, path, {}, body if method == "POST" else {}))
    )
    field = data.draw(st.sampled_from(list(paths(answer))))
    other = data.draw(st.sampled_from(OTHERS))
    datadog.instead = {(method, path): changed(answer, field, other)}
    with contextlib.redirect_stdout(io.StringIO()):
        status = main(words.split())
    complaint = capfd.readouterr().err
    assert (status, "autotask: " in complaint) in ((0, True), (0, False), (1, True))
