"""The monitors and the dashboard of a shop's forty tasks are those that were reviewed."""

from __future__ import annotations

import itertools
import json
import shlex
from typing import Any

import pytest
from datadog_api_client.v1.model.dashboard import Dashboard
from datadog_api_client.v1.model.monitor import Monitor
from tool.datadog import golden, linter, typed


@pytest.fixture(scope="module", name="made")
def _made() -> dict[str, str]:
    return golden.made()


@pytest.mark.parametrize("name", ["monitors.json", "dashboard.json", "review.txt"])
def test_the_output_is_what_was_reviewed(made: dict[str, str], name: str) -> None:
    assert made[name] == (golden.FOLDER / name).read_text(encoding="utf-8")


def test_there_are_forty_tasks_and_a_worker_with_one() -> None:
    assert len(golden.HABITS) == 42


def test_datadogs_models_and_the_linter_accept_the_output(made: dict[str, str]) -> None:
    monitors: list[dict[str, Any]] = json.loads(made["monitors.json"])
    assert [one for monitor in monitors for one in typed.problems(Monitor, monitor)] == []
    assert [one for monitor in monitors for one in linter.problems(monitor)] == []
    assert typed.problems(Dashboard, json.loads(made["dashboard.json"])) == []


@pytest.mark.parametrize(
    ("title", "kind"),
    [("Late", "did_not_run"), ("Hung", "hung"), ("Slow", "slow"), ("Retries", "retries")],
)
def test_the_dashboard_lists_exactly_the_monitors_of_a_kind(
    made: dict[str, str], title: str, kind: str
) -> None:
    monitors: list[dict[str, Any]] = json.loads(made["monitors.json"])
    query = _query_of(json.loads(made["dashboard.json"]), title)
    words = shlex.split(query)  # tag:"a:b" tag:"c:d" "words of the name"
    tags, name = {word[len("tag:") :] for word in words[:-1]}, words[-1]
    listed = [one for one in monitors if name in one["name"] and tags <= {*one["tags"]}]
    assert listed == [one for one in monitors if f"autotask_key:{kind}." in str(one["tags"])]
    assert listed


def _query_of(dashboard: dict[str, Any], title: str) -> str:
    groups = [widget["definition"]["widgets"] for widget in dashboard["widgets"]]
    (query,) = [
        widget["definition"]["query"]
        for widget in itertools.chain.from_iterable(groups)
        if widget["definition"]["title"] == title
    ]
    return str(query)
