"""What has to change: the monitors that are wanted against those that are there.

Only what we write is compared, in the server's form of it: the server adds keys, leaves out
defaults and calls a `metric alert` a `query alert`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from autotask.tool.datadog.monitors import Monitor, key_of

_FIELDS = ("name", "query", "message", "tags", "priority")
# Options that are ours to set, to change and to take away; all others stay as they are found.
_OPTIONS = {
    "include_tags": True,  # and what the server takes them for where they are not there
    "new_host_delay": 300,
    "notify_audit": False,
    "notify_no_data": False,
    "on_missing_data": "default",
    "require_full_window": False,
    "scheduling_options": {},
    "thresholds": {},
}
SIGNS = {"create": "+", "change": "~", "replace": "±", "delete": "-"}
_WITHOUT_MISSING_DATA = ("service check",)


class Difference(NamedTuple):
    """A field that is not as it is wanted."""

    field: str
    found: Any
    wanted: Any


class Change(NamedTuple):
    """What is to be done about one monitor."""

    action: str  # create, change, replace, delete
    name: str
    why: str = ""
    wanted: Monitor | None = None
    found: Monitor | None = None
    differences: tuple[Difference, ...] = ()


class Plan(NamedTuple):
    """All that is to be done, and what is left alone."""

    changes: list[Change]
    same: int
    extra: list[Monitor]  # ours, wanted no more, and not to be deleted


def plan(
    wanted: Sequence[Monitor],
    found: Iterable[Monitor],
    prune: bool = False,
    why_gone: Callable[[Monitor], str | None] = lambda _: None,
) -> Plan:
    """Compare.

    Args:
        wanted: All that are to be there.
        found: Monitors of ours, by tag. Those without a key are somebody's copies.
        prune: Delete also those of which nobody knows why they are wanted no more.
        why_gone: Says why a monitor that is wanted no more has nothing to watch, if that is known.
    """
    by_key: dict[str, list[Monitor]] = {}
    for monitor in found:
        key = key_of(monitor)
        if key is not None:
            by_key.setdefault(key, []).append(monitor)
    changes: list[Change] = []
    same = 0
    for monitor in wanted:
        theirs = _best_first(monitor, by_key.pop(key_of(monitor) or "", []))
        change = _change(monitor, theirs[0] if theirs else None)
        same += change is None
        changes += [change] if change else []
        changes += [_deletion(other, "a second one of the same key") for other in theirs[1:]]
    extra = []
    for monitor in chain.from_iterable(by_key.values()):
        why = why_gone(monitor) or ("no longer needed" if prune else None)
        if why:
            changes.append(_deletion(monitor, why))
        else:
            extra.append(monitor)
    return Plan(changes, same, extra)


def _best_first(wanted: Monitor, found: list[Monitor]) -> list[Monitor]:
    """Sort those of one key: the one to keep needs no replacement, then is like it, then is old."""

    def cost(one: Monitor) -> tuple[bool, int, int]:
        return bool(_why_anew(wanted, one)), len(list(_differences(wanted, one))), one["id"]

    return sorted(found, key=cost)


def _change(wanted: Monitor, found: Monitor | None) -> Change | None:
    if found is None:
        return Change("create", wanted["name"], wanted=wanted)
    differences = tuple(_differences(wanted, found))
    why = _why_anew(wanted, found)
    if why:
        return Change("replace", wanted["name"], why, wanted, found, differences)
    if differences:
        return Change("change", wanted["name"], "", wanted, found, differences)
    return None


def _deletion(found: Monitor, why: str) -> Change:
    return Change("delete", found["name"], why, found=found)


def _why_anew(wanted: Monitor, found: Monitor) -> str:
    """Say why a monitor has to be made anew: what Datadog lets nobody change later."""
    if _type(wanted) != _type(found):
        return f"it is a {found['type']}, and types cannot be changed"
    if _scheduled(wanted) != _scheduled(found):
        return "a schedule can be given only to a new monitor, and not be taken away"
    return ""


def _scheduled(monitor: Monitor) -> bool:
    return bool(_option(monitor, "scheduling_options").get("custom_schedule"))


def _type(monitor: Monitor) -> str:
    return "query alert" if monitor["type"] == "metric alert" else str(monitor["type"])


def _differences(wanted: Monitor, found: Monitor) -> Iterator[Difference]:
    for field in _FIELDS:
        ours, theirs = (_normal(field, one.get(field)) for one in (wanted, found))
        if ours != theirs:
            yield Difference(field, theirs, ours)
    for name in _OPTIONS:
        if (
            name in ("on_missing_data", "require_full_window")
            and _type(wanted) in _WITHOUT_MISSING_DATA
        ):
            continue
        ours, theirs = (_normal(name, _option(one, name)) for one in (wanted, found))
        if ours != theirs:
            yield Difference(f"options.{name}", theirs, ours)


def _option(monitor: Monitor, name: str) -> Any:
    value = (monitor.get("options") or {}).get(name)
    return _OPTIONS[name] if value is None else value


def _normal(name: str, value: Any) -> Any:
    """Bring a value into the one form in which it is compared."""
    if name == "tags":
        return sorted(value or ())
    if name == "query":
        return " ".join(str(value).split())
    if name == "message":
        return str(value or "").strip()
    return _filled(value)


def _filled(value: Any) -> Any:
    """Leave out what is empty, at any depth; 1.0 is equal to 1 as it is."""
    if isinstance(value, Mapping):
        filled = {key: _filled(inner) for key, inner in value.items()}
        return {key: inner for key, inner in filled.items() if inner is not None}
    if isinstance(value, list):
        return [_filled(inner) for inner in value]
    return value


def body(change: Change) -> Monitor:
    """Return what is to be sent: the wanted monitor, with the options that are not ours."""
    assert change.wanted is not None
    if change.action != "change":
        return change.wanted
    assert change.found is not None
    others = {k: v for k, v in (change.found.get("options") or {}).items() if k not in _OPTIONS}
    options = {**others, **change.wanted["options"]}
    if "new_group_delay" in others:  # which takes the place of `new_host_delay`
        del options["new_host_delay"]
    whole = {**change.wanted, "options": options}
    del whole["type"]
    return whole


def lines(change: Change) -> Iterator[tuple[str, str]]:
    """Yield a change for people: lines with the sign that gives them their colour."""
    sign = SIGNS[change.action]
    yield sign, f"{sign} {change.action} {change.name}" + (f" ({change.why})" if change.why else "")
    for difference in change.differences:
        if difference.field == "message":
            yield "", "    message:"
            yield from _text_lines(difference)
        else:
            yield "", f"    {difference.field}:"
            yield "-", f"      - {difference.found}"
            yield "+", f"      + {difference.wanted}"


def _text_lines(difference: Difference) -> Iterator[tuple[str, str]]:
    texts = (difference.found.splitlines(), difference.wanted.splitlines())
    for line in difflib.ndiff(*texts):
        if line[0] in "+-":
            yield line[0], f"      {line}"


def record(change: Change) -> dict[str, Any]:
    """Return a change for programs."""
    source = change.wanted or change.found or {}
    return {
        "action": change.action,
        "key": key_of(source),
        "id": (change.found or {}).get("id"),
        "name": change.name,
        "why": change.why or None,
        "differences": [difference._asdict() for difference in change.differences],
        "monitor": change.wanted,
    }
