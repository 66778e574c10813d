"""Write definitions for other tools: JSON as the API takes it, or Terraform's language.

Terraform gets `datadog_monitor_json` and `datadog_dashboard_json`, which take the same JSON as the
API: exported and applied monitors are the same, and no number becomes a string on the way.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autotask.tool.datadog.answers import fields, texts_of
from autotask.tool.datadog.definition import Monitor
from autotask.tool.datadog.tags import MANAGED, key_of

_BY_TERRAFORM = "managed_by:terraform"  # so that `apply` and `--prune` leave them alone
# The API always returns these (recorded in datadog-api-client-python): without them, Terraform
# would always show a change. `apply` must not send them: it would remove a person's roles.
_ADDED_TO_DASHBOARDS: dict[str, Any] = {"notify_list": [], "restricted_roles": []}
_LONGEST_NAME = 60  # characters; of four bytes each, they still fit into the name of a file
_PROVIDER_FILE = "autotask_provider.tf"
# Without it Terraform looks for hashicorp/datadog. An older provider shows a difference in
# `draft_status`, which the API adds to monitors (terraform-provider-datadog, pull request 3303).
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
    """Write JSON that people can read."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def json_files(monitors: Sequence[Monitor]) -> dict[str, str]:
    """Return a file for each monitor."""
    names = _names(monitors)
    return {f"{name}.json": json_text(monitor) for name, monitor in zip(names, monitors)}


def terraform_monitors(monitors: Sequence[Monitor]) -> str:
    """Return the monitors as Terraform's resources."""
    return "\n".join(
        _resource(
            "datadog_monitor_json",
            name,
            "monitor",
            {
                **monitor,
                "tags": [_BY_TERRAFORM if tag == MANAGED else tag for tag in monitor["tags"]],
            },
        )
        for name, monitor in zip(_names(monitors), monitors)
    )


def terraform_dashboard(dashboard: Mapping[str, Any]) -> str:
    """Return the dashboard as Terraform's resource."""
    return _resource(
        "datadog_dashboard_json", "autotask", "dashboard", {**dashboard, **_ADDED_TO_DASHBOARDS}
    )


def _names(monitors: Sequence[Monitor]) -> list[str]:
    """Return a name for each monitor, for files and for Terraform's resources.

    If several would have the same name, all of them get a part of their keys. A number would depend
    on the order, and Terraform replaces a resource that gets another name.
    """
    names = [_name(monitor) for monitor in monitors]
    count = Counter(names)
    return [
        name if count[name] == 1 else f"{name}_{_part_of_key(monitor)}"
        for name, monitor in zip(names, monitors)
    ]


def _name(monitor: Monitor) -> str:
    """Derive a name from a monitor's title, which has the name of its task.

    Terraform takes letters, digits, `_` and `-`, and a letter first. A file's name has a limit.
    """
    title = str(monitor["name"]).removeprefix("autotask: ").replace(": {{task.name}}", "")
    letters = (c if c == "-" or f"_{c}".isidentifier() else " " for c in title)
    name = "_".join("".join(letters).split())
    if not name[:1].isalpha():
        name = f"task_{name}"
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}_{_part_of_key(monitor)}"
    return name


def _part_of_key(monitor: Monitor) -> str:
    return str(key_of(monitor)).rpartition(".")[2][:6]


def _resource(kind: str, name: str, argument: str, value: Mapping[str, Any]) -> str:
    """Write a resource. A JSON object is an expression in Terraform, except for two sequences."""
    text = json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n  ")
    text = text.replace("${", "$${").replace("%{", "%%{")
    return f'resource "{kind}" "{name}" {{\n  {argument} = jsonencode({text})\n}}\n'


def with_provider(files: Mapping[str, str], folder: Path | None) -> dict[str, str]:
    """Add the file that names the provider, unless another file of the folder has that block.

    Terraform refuses a folder in which two files have it.
    """
    others = folder.glob("*.tf") if folder else ()
    named = any(_PROVIDERS.search(_text(path)) for path in others if path.name != _PROVIDER_FILE)
    return dict(files) if named else {_PROVIDER_FILE: _PROVIDER, **files}


def leftovers(folder: Path, exported: Container[str], tags: Iterable[str]) -> list[Path]:
    """Return the files of an earlier export to JSON that hold monitors with these tags."""
    others = (path for path in folder.glob("*.json") if path.name not in exported)
    return sorted(path for path in others if _has_monitor(path, set(tags)))


def _has_monitor(path: Path, tags: set[str]) -> bool:
    try:
        tags_in_file = texts_of(fields(json.loads(_text(path))).get("tags"))
    except (ValueError, RecursionError):
        return False
    return key_of({"tags": tags_in_file}) is not None and tags <= set(tags_in_file)


def write(files: Mapping[str, str], folder: Path) -> None:
    """Write files into a folder; create it if necessary."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def _text(path: Path) -> str:
    """Return the text of any file; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
