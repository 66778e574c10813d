"""Write definitions for other tools: JSON as the API takes it, or Terraform's language.

Terraform gets `datadog_monitor_json` and `datadog_dashboard_json`, which take the same JSON: what
is exported, planned and applied is one thing, and no number becomes a text on the way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from autotask.tool.datadog.monitors import MANAGED, Monitor, key_of

_TERRAFORMED = "managed_by:terraform"  # so that `apply` and `--prune` leave them alone


def json_text(value: Any) -> str:
    """Write JSON for people, too."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def json_files(monitors: Iterable[Monitor]) -> dict[str, str]:
    """Return a file for each monitor."""
    return {f"{key_of(monitor)}.json": json_text(monitor) for monitor in monitors}


def terraform_monitors(monitors: Iterable[Monitor]) -> str:
    """Return the monitors as Terraform's resources."""
    return "\n".join(
        _resource("datadog_monitor_json", str(key_of(monitor)), "monitor", _terraformed(monitor))
        for monitor in monitors
    )


def terraform_dashboard(dashboard: Mapping[str, Any]) -> str:
    """Return the dashboard as Terraform's resource."""
    return _resource("datadog_dashboard_json", "autotask", "dashboard", dashboard)


def _terraformed(monitor: Monitor) -> Monitor:
    tags = [_TERRAFORMED if tag == MANAGED else tag for tag in monitor["tags"]]
    return {**monitor, "tags": tags}


def _resource(kind: str, key: str, argument: str, value: Mapping[str, Any]) -> str:
    """Write a resource; a JSON object is an expression of Terraform's, but for two signs."""
    text = json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n  ")
    text = text.replace("${", "$${").replace("%{", "%%{")
    return (
        f'resource "{kind}" "{re.sub(r"[^A-Za-z0-9_-]", "_", key)}" {{\n'
        f"  {argument} = jsonencode({text})\n"
        "}\n"
    )


def write(files: Mapping[str, str], folder: Path) -> None:
    """Write files into a folder, which is made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
