"""`autotask dashboard`: one page on which all tasks are seen."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from autotask.tool.datadog import answers, dashboard, export, monitors, monitors_actions
from autotask.tool.datadog.api import Api
from autotask.tool.datadog.config import Config

Dashboard = dict[str, Any]
_EMPTY: tuple[Any, ...] = (None, [], {}, "", False)  # what the server may leave out


def _wanted(arguments: argparse.Namespace) -> tuple[Config, Dashboard]:
    wishes = monitors_actions.read_config(arguments)
    tasks = monitors_actions.tasks_seen(arguments, wishes)
    tags = [*monitors.set_tags(wishes), *wishes.tags]
    return wishes, dashboard.definition(tasks, tags, wishes.scope)


def _export(arguments: argparse.Namespace) -> None:
    _, wanted = _wanted(arguments)
    if arguments.format == "terraform":
        files = {"dashboard.tf": export.terraform_dashboard(wanted)}
    else:
        files = {"dashboard.json": export.json_text(wanted)}
    monitors_actions.print_export(files, arguments)


def _plan(arguments: argparse.Namespace) -> int:
    wishes, wanted = _wanted(arguments)
    found = _found(Api(os.environ), wishes)
    changed = differing(wanted, found[0]) if found else None
    if arguments.format == "json":
        ids = [one["id"] for one in found]
        record = {"action": _action(found, changed), "ids": ids, "differences": changed or []}
        print(json.dumps(record, indent=2))
    else:
        print(_told(wanted, found, changed))
    return monitors_actions.CHANGES if arguments.exit_code and _action(found, changed) else 0


def _apply(arguments: argparse.Namespace) -> int:
    wishes, wanted = _wanted(arguments)
    api = Api(os.environ)
    found = _found(api, wishes)
    changed = differing(wanted, found[0]) if found else None
    action = _action(found, changed)
    if arguments.format == "text":
        print(_told(wanted, found, changed))
    if action is not None:
        monitors_actions.confirm(arguments.yes, wishes)
        _write(api, wanted, found, bool(changed))
    url = f"https://app.{api.site}/dashboard/{found[0]['id']}" if found else ""
    if arguments.format == "json":
        print(json.dumps({"action": action, "url": url}))
    elif url:
        print(url)
    return 0


def _write(api: Api, wanted: Dashboard, found: list[Dashboard], changed: bool) -> None:
    """Write the dashboard into the first of those found, or a new one; delete the others."""
    if not found:
        found.append(api.create_dashboard(wanted))
    elif changed:
        api.update_dashboard(found[0]["id"], wanted)
    for other in found[1:]:
        api.delete_dashboard(other["id"])


def _found(api: Api, wishes: Config) -> list[Dashboard]:
    """Return the dashboards of this set, which are known by their description, the oldest first."""
    marks = set(monitors.set_tags(wishes))
    marked = (
        one for one in api.dashboards() if marks <= set(str(one.get("description") or "").split())
    )
    ours = [answers.dashboard(one) for one in marked]
    ours.sort(key=lambda one: (str(one.get("created_at") or ""), str(one["id"])))
    return [api.dashboard(one["id"]) for one in ours]


def _action(found: list[Dashboard], changed: list[str] | None) -> str | None:
    if not found:
        return "create"
    return "change" if changed else "delete" if len(found) > 1 else None


def _told(wanted: Dashboard, found: list[Dashboard], changed: list[str] | None) -> str:
    if not found:
        return f"+ create {wanted['title']}"
    lines = [f"~ change {wanted['title']}", *(f"    {place}" for place in changed or ())]
    lines = lines if changed else [f"{wanted['title']} is unchanged"]
    lines += [f"- delete {one['id']} (a second one of the same set)" for one in found[1:]]
    return "\n".join(lines)


def differing(wanted: Any, found: Any, place: str = "") -> list[str]:
    """Name the places where they differ; what the server has added does not count."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return [
            one
            for key, inner in wanted.items()
            for one in differing(inner, found.get(key), f"{place}.{key}" if place else key)
        ]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = enumerate(zip(wanted, found))
        return [one for n, pair in pairs for one in differing(*pair, f"{place}[{n}]")]
    return [] if wanted == found or (wanted in _EMPTY and found in _EMPTY) else [place]


ACTIONS: dict[str, Callable[[argparse.Namespace], int | None]] = {
    "export": _export,
    "plan": _plan,
    "apply": _apply,
}
