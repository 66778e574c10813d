"""Answers of Datadog's API in which a field is missing, or is another thing."""

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


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to all that is in an answer, and to the answer."""
    yield place
    if isinstance(value, (dict, list)):
        inside = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in inside:
            yield from places(inner, (*place, key))


def changed(value: Any, place: tuple[Any, ...], other: Any) -> Any:
    """Return a copy in which something else is at that place."""
    if not place:
        return {} if other is MISSING else other
    whole = copy.deepcopy(value)
    around = whole
    for key in place[:-1]:
        around = around[key]
    if other is MISSING:
        del around[place[-1]]
    else:
        around[place[-1]] = other
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
def test_whatever_is_missing_or_another_thing_is_read_or_refused(read: Any, answer: Any) -> None:
    read(answer)
    for place in places(answer):
        for other in OTHERS:
            with contextlib.suppress(ToolError):
                read(changed(answer, place, other))


NO_ANSWERS: list[tuple[str, str, str, Any, str]] = [
    ("monitors plan", "GET", "/monitor", {"error": "x"}, "no list"),
    ("monitors plan", "GET", "/monitor", None, "(ValueError)"),
    ("monitors plan --from-datadog --prune", "GET", "/query", {"error": "x"}, "no list of series"),
    ("dashboard apply --yes", "GET", "/dashboard", {}, "no list of dashboards"),
    ("dashboard apply --yes", "POST", "/dashboard", {}, "a dashboard without an id"),
    ("monitors unmute nightly", "GET", "/v2/downtime", [], "no list of data"),
]


def test_what_cannot_be_read_is_told_in_a_line_and_changes_nothing(
    datadog: Datadog, nightly: Book, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["monitors", "apply", "--yes"]) == 0
    for words, method, path, answer, told in NO_ANSWERS:
        datadog.instead, datadog.dashboards = {(method, path): answer}, {}
        capfd.readouterr()
        before = copy.deepcopy(datadog.monitors)
        assert main(words.split()) == 1
        (line,) = capfd.readouterr().err.splitlines()
        assert "sent an unexpected response" in line
        assert told in line
        assert datadog.monitors == before


def test_monitors_of_others_may_lack_anything(datadog: Datadog, nightly: Book) -> None:
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
def test_no_answer_is_a_traceback(
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
    place = data.draw(st.sampled_from(list(places(answer))))
    other = data.draw(st.sampled_from(OTHERS))
    datadog.instead = {(method, path): changed(answer, place, other)}
    with contextlib.redirect_stdout(io.StringIO()):
        status = main(words.split())
    complaint = capfd.readouterr().err
    assert (status, "autotask: " in complaint) in ((0, True), (0, False), (1, True))
