"""What has to change: the monitors as they should be against those that exist.

Only what autotask writes is compared, in the form that the server gives it: the server adds keys,
leaves out defaults, and calls a `metric alert` a `query alert`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from autotask.tool.datadog.definition import Monitor
from autotask.tool.datadog.tags import key_of

_FIELDS = ("name", "query", "message", "tags", "priority")
# The options that autotask sets, with their defaults. All others stay as they are.
_OPTIONS = {
    "include_tags": True,
    "new_host_delay": 300,
    "notify_audit": False,
    "notify_no_data": False,
    "on_missing_data": "default",
    "require_full_window": False,
    "scheduling_options": {},
    "thresholds": {},
}
_NOT_FOR_CHECKS = ("on_missing_data", "require_full_window")  # not in a service check's options
SIGNS = {"create": "+", "change": "~", "replace": "±", "delete": "-"}


class Difference(NamedTuple):
    """A field that has to change."""

    field: str
    current: Any
    desired: Any


class Change(NamedTuple):
    """What is to be done about one monitor."""

    action: str  # create, change, replace, delete
    name: str
    why: str = ""
    desired: Monitor | None = None
    current: Monitor | None = None
    differences: tuple[Difference, ...] = ()


class Plan(NamedTuple):
    """All that is to be done, and what is left alone."""

    changes: list[Change]
    same: int
    extra: list[Monitor]  # of this set, but no longer needed; not to be deleted
    left: list[Monitor]  # not compared


def plan(
    desired: Sequence[Monitor],
    current: Iterable[Monitor],
    prune: bool = False,
    why_not_needed: Callable[[Monitor], str | None] = lambda _: None,
    is_left_alone: Callable[[Monitor], bool] = lambda _: False,
) -> Plan:
    """Compare the monitors.

    Args:
        desired: All monitors to have.
        current: All monitors with the tags of this set. One without a key is somebody's copy.
        prune: Delete all that are not desired, even without a reason, and leave none alone.
        why_not_needed: Gives the reason why a monitor has nothing to watch, if it is known.
        is_left_alone: Tells of a monitor that has something to watch whether it stays as it is.
    """
    by_key: dict[str, list[Monitor]] = {}
    left: dict[str, Monitor] = {}
    for monitor in current:
        key = key_of(monitor)
        if key is None:
            continue
        if not prune and is_left_alone(monitor) and not why_not_needed(monitor):
            left[key] = monitor
        else:
            by_key.setdefault(key, []).append(monitor)
    changes: list[Change] = []
    same = 0
    for monitor in desired:
        if key_of(monitor) in left:
            continue
        candidates = _best_first(monitor, by_key.pop(key_of(monitor) or "", []))
        change = _change(monitor, candidates[0] if candidates else None)
        same += change is None
        changes += [change] if change else []
        changes += [_deletion(duplicate, "a duplicate") for duplicate in candidates[1:]]
    extra = []
    for monitor in chain.from_iterable(by_key.values()):
        why = why_not_needed(monitor) or ("no longer needed" if prune else None)
        if why:
            changes.append(_deletion(monitor, why))
        else:
            extra.append(monitor)
    return Plan(changes, same, extra, [*left.values()])


def _best_first(desired: Monitor, candidates: list[Monitor]) -> list[Monitor]:
    """Sort monitors with one key: changeable ones first, then by similarity and age."""

    def cost(monitor: Monitor) -> tuple[bool, int, int]:
        differences = list(_differences(desired, monitor))
        return bool(_why_replace(desired, monitor)), len(differences), monitor["id"]

    return sorted(candidates, key=cost)


def _change(desired: Monitor, current: Monitor | None) -> Change | None:
    if current is None:
        return Change("create", desired["name"], desired=desired)
    differences = tuple(_differences(desired, current))
    why = _why_replace(desired, current)
    if why:
        return Change("replace", desired["name"], why, desired, current, differences)
    if differences:
        return Change("change", desired["name"], "", desired, current, differences)
    return None


def _deletion(current: Monitor, why: str) -> Change:
    return Change("delete", current["name"], why, current=current)


def _why_replace(desired: Monitor, current: Monitor) -> str:
    """Return why Datadog cannot change a monitor, so that it has to be replaced; empty: it can."""
    if _type(desired) != _type(current):
        return f"its type is {current['type']}, and a type cannot be changed"
    schedules = [_option(one, "scheduling_options") for one in (desired, current)]
    # The schedule itself can be changed, but not whether there is one.
    if bool(schedules[0].get("custom_schedule")) != bool(schedules[1].get("custom_schedule")):
        return "a schedule cannot be added to a monitor or removed from it"
    return ""


def _type(monitor: Monitor) -> str:
    return "query alert" if monitor["type"] == "metric alert" else str(monitor["type"])


def _differences(desired: Monitor, current: Monitor) -> Iterator[Difference]:
    for field in _FIELDS:
        new, old = (_normal(field, monitor.get(field)) for monitor in (desired, current))
        if new != old:
            yield Difference(field, old, new)
    for name in _OPTIONS:
        if name in _NOT_FOR_CHECKS and _type(desired) == "service check":
            continue
        new, old = (_normal(name, _option(monitor, name)) for monitor in (desired, current))
        if new != old:
            yield Difference(f"options.{name}", old, new)


def _option(monitor: Monitor, name: str) -> Any:
    value = (monitor.get("options") or {}).get(name)
    return _OPTIONS[name] if value is None else value


def _normal(name: str, value: Any) -> Any:
    """Return a value in the form in which it is compared."""
    if name == "tags":
        return sorted(value or ())
    if name == "query":
        return " ".join(str(value).split())
    if name == "message":
        return str(value or "").strip()
    return _without_none(value)


def _without_none(value: Any) -> Any:
    """Leave out None at any depth: the server may send it for what is not set."""
    if isinstance(value, Mapping):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_none(inner) for inner in value]
    return value


def body(change: Change) -> Monitor:
    """Return what to send. A change keeps the options that autotask does not set.

    Datadog keeps omitted fields of a monitor, but replaces its options as a whole.
    """
    assert change.desired is not None
    if change.action != "change":
        return change.desired
    assert change.current is not None
    others = {k: v for k, v in (change.current.get("options") or {}).items() if k not in _OPTIONS}
    options = {**others, **change.desired["options"]}
    if "new_group_delay" in others:  # Datadog takes one of the two
        del options["new_host_delay"]
    definition = {**change.desired, "options": options}
    del definition["type"]
    return definition


def lines(change: Change) -> Iterator[tuple[str, str]]:
    """Yield a change for people: the sign that decides the colour, and the line."""
    sign = SIGNS[change.action]
    yield sign, f"{sign} {change.action} {change.name}" + (f" ({change.why})" if change.why else "")
    for difference in change.differences:
        if difference.field == "message":
            yield "", "    message:"
            texts = (difference.current.splitlines(), difference.desired.splitlines())
            for line in difflib.ndiff(*texts):
                if line[0] in "+-":
                    yield line[0], f"      {line}"
        else:
            yield "", f"    {difference.field}:"
            yield "-", f"      - {difference.current}"
            yield "+", f"      + {difference.desired}"


def record(change: Change) -> dict[str, Any]:
    """Return a change for programs."""
    source = change.desired or change.current or {}
    return {
        "action": change.action,
        "key": key_of(source),
        "id": (change.current or {}).get("id"),
        "name": change.name,
        "why": change.why or None,
        "differences": [
            {"field": field, "found": current, "wanted": desired}
            for field, current, desired in change.differences
        ],
        "monitor": change.desired,
    }
