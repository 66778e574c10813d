"""Write definitions for other tools: JSON as the API takes it, or Terraform's language.

Terraform gets `datadog_monitor_json` and `datadog_dashboard_json`, which take the same JSON: what
is exported, planned and applied is one thing, and no number becomes a text on the way.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autotask.tool.datadog.answers import fields, texts_of
from autotask.tool.datadog.monitors import MANAGED, Monitor, key_of

_TERRAFORMED = "managed_by:terraform"  # so that `apply` and `--prune` leave them alone
# What the API answers in any case (recorded in datadog-api-client-python), as a change for ever. It
# is not for `apply`, which would take away the roles that a person has set.
_ADDED_TO_DASHBOARDS: dict[str, Any] = {"notify_list": [], "restricted_roles": []}
_LONGEST_NAME = 60  # characters: with four bytes each they still fit into the name of a file
_PROVIDER_FILE = "autotask_provider.tf"
# Without it Terraform looks for hashicorp/datadog. An older provider takes `draft_status`, which
# the API adds to each monitor, for a difference (terraform-provider-datadog, pull request 3303).
_PROVIDER = """\
terraform {
  required_providers {
    datadog = {
      source  = "DataDog/datadog"
      version = ">= 3.86.0"
    }
  }
}
"""
_PROVIDERS = re.compile(r"^\s*required_providers\s*\{", re.MULTILINE)


def json_text(value: Any) -> str:
    """Write JSON for people, too."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def json_files(monitors: Sequence[Monitor]) -> dict[str, str]:
    """Return a file for each monitor."""
    names = _names(monitors)
    return {f"{name}.json": json_text(monitor) for name, monitor in zip(names, monitors)}


def terraform_monitors(monitors: Sequence[Monitor]) -> str:
    """Return the monitors as Terraform's resources."""
    return "\n".join(
        _resource("datadog_monitor_json", name, "monitor", _terraformed(monitor))
        for name, monitor in zip(_names(monitors), monitors)
    )


def terraform_dashboard(dashboard: Mapping[str, Any]) -> str:
    """Return the dashboard as Terraform's resource."""
    return _resource(
        "datadog_dashboard_json", "autotask", "dashboard", {**dashboard, **_ADDED_TO_DASHBOARDS}
    )


def _terraformed(monitor: Monitor) -> Monitor:
    tags = [_TERRAFORMED if tag == MANAGED else tag for tag in monitor["tags"]]
    return {**monitor, "tags": tags}


def _names(monitors: Sequence[Monitor]) -> list[str]:
    """Return a name for each monitor, for files and for Terraform's resources.

    Where several would have one name, all of them get a part of their keys: a name must not depend
    on the order, for a resource of another name is another monitor.
    """
    names = [_name(monitor) for monitor in monitors]
    count = Counter(names)
    return [
        name if count[name] == 1 else f"{name}_{_part_of_key(monitor)}"
        for name, monitor in zip(names, monitors)
    ]


def _name(monitor: Monitor) -> str:
    """Make a name of a monitor's title, in which its task stands.

    Terraform takes letters, digits, `_` and `-`, and a letter first; a file's name has a bound.
    """
    title = str(monitor["name"]).removeprefix("autotask: ").replace(": {{task.name}}", "")
    letters = (one if one == "-" or f"_{one}".isidentifier() else " " for one in title)
    name = "_".join("".join(letters).split())
    if not name[:1].isalpha():
        name = f"task_{name}"
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}_{_part_of_key(monitor)}"
    return name


def _part_of_key(monitor: Monitor) -> str:
    return str(key_of(monitor)).rpartition(".")[2][:6]


def _resource(kind: str, name: str, argument: str, value: Mapping[str, Any]) -> str:
    """Write a resource; a JSON object is an expression of Terraform's, but for two signs."""
    text = json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n  ")
    text = text.replace("${", "$${").replace("%{", "%%{")
    return f'resource "{kind}" "{name}" {{\n  {argument} = jsonencode({text})\n}}\n'


def with_provider(files: Mapping[str, str], folder: Path | None) -> dict[str, str]:
    """Add which provider Terraform is to use; it refuses a folder that says so twice."""
    others = folder.glob("*.tf") if folder else ()
    told = any(_PROVIDERS.search(_text(path)) for path in others if path.name != _PROVIDER_FILE)
    return dict(files) if told else {_PROVIDER_FILE: _PROVIDER, **files}


def left_behind(folder: Path, wanted: Container[str], tags: Iterable[str]) -> list[Path]:
    """Return the files of monitors with these tags which an earlier export to JSON has left."""
    others = (path for path in folder.glob("*.json") if path.name not in wanted)
    return sorted(path for path in others if _is_of(path, set(tags)))


def _is_of(path: Path, tags: set[str]) -> bool:
    try:
        found = texts_of(fields(json.loads(_text(path))).get("tags"))
    except (ValueError, RecursionError):
        return False
    return key_of({"tags": found}) is not None and tags <= set(found)


def write(files: Mapping[str, str], folder: Path) -> None:
    """Write files into a folder, which is made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def _text(path: Path) -> str:
    """Return the text of a file that may not be autotask's; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
