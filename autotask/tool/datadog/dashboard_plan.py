"""What has to change: the dashboard as it should be against the one that exists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from autotask.tool.datadog import answers
from autotask.tool.datadog.answers import Json
from autotask.tool.datadog.api import Api

_EMPTY: tuple[Any, ...] = (None, [], {}, "", False)  # the server may leave these out


class Plan(NamedTuple):
    """What is to be done about the dashboard."""

    desired: Json
    current: list[Json]  # the oldest first: it is kept, the others are deleted
    differences: list[str]  # paths into the definition

    @property
    def action(self) -> str | None:
        """What `apply` would do; None: nothing."""
        if not self.current:
            return "create"
        if self.differences:
            return "change"
        return "delete" if len(self.current) > 1 else None

    def lines(self) -> Iterator[str]:
        """Yield the plan for people."""
        title = self.desired["title"]
        if not self.current:
            yield f"+ create {title}"
        elif self.differences:
            yield f"~ change {title}"
            yield from (f"    {path}" for path in self.differences)
        else:
            yield f"{title} is unchanged"
        for duplicate in self.current[1:]:
            yield f"- delete {duplicate['id']} (a duplicate)"

    def apply(self, api: Api) -> str:
        """Make the changes; return the id of the dashboard."""
        if not self.current:
            return str(api.create_dashboard(self.desired)["id"])
        kept, *duplicates = (str(current["id"]) for current in self.current)
        if self.differences:
            api.update_dashboard(kept, self.desired)
        for duplicate in duplicates:
            api.delete_dashboard(duplicate)
        return kept


def plan(api: Api, desired: Json, tags: Iterable[str]) -> Plan:
    """Compare with the dashboards that have all these tags in their description."""
    marks = set(tags)
    summaries = [
        answers.dashboard(summary)
        for summary in api.dashboards()
        if marks <= set(str(summary.get("description") or "").split())
    ]
    summaries.sort(key=lambda summary: (str(summary.get("created_at") or ""), str(summary["id"])))
    current = [api.dashboard(summary["id"]) for summary in summaries]
    return Plan(desired, current, differing(desired, current[0]) if current else [])


def differing(desired: Any, current: Any, path: str = "") -> list[str]:
    """Return the paths at which the two differ; what the server has added does not count."""
    if isinstance(desired, Mapping) and isinstance(current, Mapping):
        return [
            inner_path
            for key, value in desired.items()
            for inner_path in differing(value, current.get(key), f"{path}.{key}" if path else key)
        ]
    if isinstance(desired, list) and isinstance(current, list) and len(desired) == len(current):
        return [
            inner_path
            for number, pair in enumerate(zip(desired, current))
            for inner_path in differing(*pair, f"{path}[{number}]")
        ]
    same = desired == current or (desired in _EMPTY and current in _EMPTY)
    return [] if same else [path]
