"""docs/datadog/: what is sent and what is made of it, in the form of Datadog's integrations.

    PYTHONPATH=tests python -m tool.datadog.assets    # writes it anew; then look at the change

Names, types and tags are those of the lines that the wire sends, monitors and dashboard those that
`autotask` makes; what the metrics mean stands here.
"""

from __future__ import annotations

import csv
import io
import json
import socket
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from autotask.dogstatsd import Wire
from autotask.run import SUCCESS, exited
from autotask.settings import Settings
from autotask.tool.datadog import config, dashboard, monitors
from autotask.tool.datadog.baselines import Task

Json = dict[str, Any]
FOLDER = Path(__file__).resolve().parents[3] / "docs" / "datadog"
TAG = "integration:autotask"  # and not `managed_by:autotask`: `apply` leaves these alone
_DATE = "2026-11-28"  # of the monitors: when they were written
_COLUMNS = (
    *("metric_name", "metric_type", "interval", "unit_name", "per_unit_name", "description"),
    *("orientation", "integration", "short_name", "curated_metric", "sample_tags"),
)
_TYPES = {"c": "count", "g": "gauge", "d": "gauge"}  # the form knows no distribution
_MEANINGS = {  # unit, interval, orientation (-1: less is better), short name, description
    "autotask.task.duration": (
        "second", "", -1, "task duration",
        "How long a run took from its start to its end. It is sent as a distribution.",
    ),
    "autotask.task.running_seconds": (
        "second", 60, 0, "task running",
        "How long a run has been running by now. It is sent each minute by autotask-run.",
    ),
    "autotask.task.runs": ("run", "", 0, "task runs", "How many runs ended."),
    "autotask.task.started": ("run", "", 0, "task started", "How many runs started."),
}  # fmt: skip
_CHECK = {
    "name": "Task status",
    "description": "Returns `CRITICAL` when a run of a task has failed, with the reason. Returns "
    "`OK` when it has succeeded. A run that was skipped, or that failed because a run inside it "
    "did, returns nothing.",
}
_STATUSES = ("ok", "warning", "critical", "unknown")


class Line(NamedTuple):
    """What is said of a metric or a service check, whatever its value."""

    name: str
    kind: str  # c, d, g, or a status of a service check
    tags: tuple[str, ...]  # without their values


def sent() -> list[Line]:
    """Return what the wire sends of runs of each kind, but for the event."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as agent,
    ):
        agent.bind(f"{folder}/agent")
        environ = {"DD_DOGSTATSD_URL": f"unix://{folder}/agent", "AUTOTASK_EVENTS": "0"}
        wire = Wire(Settings({**environ, "DD_ENV": "x", "DD_SERVICE": "x"}))
        wire.started("x", "click", "cron")
        wire.running("x", "click", "cron", 60)
        for outcome in (SUCCESS, exited(3)):
            wire.finished("x", "click", "cron", outcome, 1.5, "vm")
        wire.close()
        agent.setblocking(False)
        return [_line(text) for text in _received(agent)]


def _received(agent: socket.socket) -> Iterator[str]:
    try:
        while True:
            yield from agent.recv(1 << 16).decode().splitlines()
    except BlockingIOError:
        return


def _line(text: str) -> Line:
    head, _, rest = text.partition("|#")
    tags = tuple(tag.partition(":")[0] for tag in rest.partition("|")[0].split(","))
    if head.startswith("_sc|"):
        _, name, status = head.split("|")
        return Line(name, _STATUSES[int(status)], tags)
    name, _, kind = head.partition(":")
    return Line(name, kind.rpartition("|")[2], tags)


def files() -> dict[str, str]:
    """Return the files of the folder: their names and what they hold."""
    lines = sent()
    made = {f"assets/monitors/{name}.json": _json(asset) for name, asset in _monitors()}
    return {
        **made,
        "assets/dashboards/autotask_tasks.json": _json(_dashboard()),
        "assets/service_checks.json": _json(_service_checks(lines)),
        "metadata.csv": _metadata(lines),
    }


def _metadata(lines: Iterable[Line]) -> str:
    metrics = sorted({line for line in lines if line.kind not in _STATUSES})
    text = io.StringIO()
    rows = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    rows.writeheader()
    for metric in metrics:
        unit, interval, orientation, short, description = _MEANINGS[metric.name]
        row = {
            "metric_name": metric.name,
            "metric_type": _TYPES[metric.kind],
            "interval": interval,
            "unit_name": unit,
            "description": description,
            "orientation": orientation,
            "integration": "autotask",
            "short_name": short,
            "sample_tags": ",".join(metric.tags),
        }
        rows.writerow(row)
    return text.getvalue()


def _service_checks(lines: Iterable[Line]) -> list[Json]:
    checks = [line for line in lines if line.kind in _STATUSES]
    ((name, tags),) = {(check.name, check.tags) for check in checks}
    statuses = [status for status in _STATUSES if status in {check.kind for check in checks}]
    return [
        {
            "agent_version": "6.0.0",
            "integration": "autotask",
            "check": name,
            "statuses": statuses,
            "groups": list(tags),
            **_CHECK,
        }
    ]


# A task to show the monitors of: those that watch one task hold its name and its limits.
_EXAMPLE = Task(
    "nightly.py", runs=60, interval=86400, longest_interval=86400, usual=600, longest=900
)
_FOR_EACH = "for nightly.py, as an example: `autotask monitors` makes one of each task that it saw"
_MONITORS = {  # by the name of the file: the place among those made, what is wished, title, why
    "failed": (0, {}, "A task failed", "Alerts on each failure of any task; resolves itself."),
    "failing": (
        0, {"latched": True}, "A task is failing",
        "Alerts on a failure of any task, until its next success. Take this or the other one.",
    ),
    "did_not_run": (
        1, {}, "A task did not run",
        f"What no longer runs says nothing. Alerts where no run has ended in time; {_FOR_EACH}.",
    ),
    "hung": (
        2, {}, "A task hangs", f"Alerts while a run lasts longer than its limit; {_FOR_EACH}.",
    ),
    "slow": (
        3, {}, "A task is slow",
        f"Alerts when a success took longer than its limit; {_FOR_EACH}.",
    ),
}  # fmt: skip


def _monitors() -> Iterator[tuple[str, Json]]:
    for name, (place, wished, title, why) in _MONITORS.items():
        found = monitors.made([_EXAMPLE], config.parse({"datadog": wished})).monitors[place]
        yield (
            name,
            {
                "version": 2,
                "created_at": _DATE,
                "last_updated_at": _DATE,
                "title": title,
                "description": why,
                "tags": [TAG],
                "definition": {**found, "tags": [TAG]},
            },
        )


def _dashboard() -> Json:
    tasks = [_EXAMPLE._replace(service="shop", env="prod")]
    shown = dashboard.definition(tasks, [TAG])  # its lists are of the monitors beside it
    return {**shown, "description": "Which tasks succeed, which fail, how long they take."}


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def manifest() -> str:
    """Return the file that an integration begins with, so that `ddev` finds the others."""
    shown = {"dashboards": {}, "monitors": {}}  # type: dict[str, dict[str, str]]
    for name in files():
        _, kind, *rest = (*name.split("/"), "")
        if kind in shown:
            shown[kind][rest[0].partition(".")[0]] = name
    return _json(
        {
            "manifest_version": "2.0.0",
            "app_uuid": "00000000-0000-0000-0000-000000000000",
            "app_id": "autotask",
            "display_on_public_website": False,
            "tile": {"title": "autotask"},
            "assets": {
                "integration": {
                    "id": "autotask",
                    "source_type_name": "autotask",
                    "metrics": {
                        "prefix": "autotask.",
                        "check": "autotask.task.runs",
                        "metadata_path": "metadata.csv",
                    },
                    "service_checks": {"metadata_path": "assets/service_checks.json"},
                },
                **shown,
            },
        }
    )


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(text, encoding="utf-8")
