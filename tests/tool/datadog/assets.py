"""docs/datadog/: metrics, monitors and dashboard in the form of Datadog's integrations.

    PYTHONPATH=tests python -m tool.datadog.assets    # writes the files; then review the diff

Names, types and tags come from the lines that are sent, monitors and dashboard from the code of
`autotask`. The descriptions are in this file.
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

from support import a_run, wire_of

from autotask.queued import Queued
from autotask.run import SUCCESS, End, exited
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
        "Duration of a run. It is sent as a distribution.",
    ),
    "autotask.task.running_seconds": (
        "second", 60, 0, "task running",
        "How long a run has been running so far. autotask-run sends it every minute.",
    ),
    "autotask.task.runs": ("run", "", 0, "task runs", "Number of runs that ended."),
    "autotask.task.started": ("run", "", 0, "task started", "Number of runs that started."),
    "autotask.task.waited": (
        "second", "", -1, "task waited",
        "How long a run waited in a queue before it started. It is sent as a distribution.",
    ),
}  # fmt: skip
_CHECK = {
    "name": "Task status",
    "description": "Returns `CRITICAL` with the reason if a run of a task failed, and `OK` if it "
    "succeeded. A run that was skipped, that will be tried again, or that only failed because a "
    "run inside it failed, returns nothing.",
}
_STATUSES = ("ok", "warning", "critical", "unknown")


class Line(NamedTuple):
    """A metric or a service check, without its value."""

    name: str
    kind: str  # c, d, g, or a status of a service check
    tags: tuple[str, ...]  # without their values


def sent() -> list[Line]:
    """Return all lines that are sent for runs, except the event."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as agent,
    ):
        agent.bind(f"{folder}/agent")
        environ = {"DD_DOGSTATSD_URL": f"unix://{folder}/agent", "AUTOTASK_EVENTS": "0"}
        wire = wire_of({**environ, "DD_ENV": "x", "DD_SERVICE": "x"})
        queued = a_run("x")
        queued.queued = Queued(waited=2.0)
        wire.started(queued)
        wire.running(a_run("x"), 60)
        for outcome in (SUCCESS, exited(3)):
            wire.finished(a_run("x"), End(outcome, 0.0, 1.5), "vm")
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
    """Return the files of the folder, by name."""
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


# An example: monitors of one task contain its name and its limits.
_EXAMPLE = Task(
    "nightly.py", runs=60, interval=86400, longest_interval=86400, usual=600, longest=900, retries=2
)
_FOR_EACH = "This one is for nightly.py: `autotask monitors` creates one for each recorded task."
_MONITORS = {  # by file: the number of the monitor, the settings, title, description
    "failed": (
        0, {}, "A task failed", "Alerts on each failure of any task, and resolves by itself.",
    ),
    "failing": (
        0, {"latched": True}, "A task is failing",
        "Alerts on a failure of any task until its next success. Use either this or failed.json.",
    ),
    "did_not_run": (
        1, {}, "A task did not run",
        f"Alerts if no run of a task has finished in time. {_FOR_EACH}",
    ),
    "hung": (
        2, {}, "A task hangs", f"Alerts while a run takes longer than its limit. {_FOR_EACH}",
    ),
    "slow": (
        3, {}, "A task is slow",
        f"Alerts if a successful run took longer than its limit. {_FOR_EACH}",
    ),
    "retries": (
        4, {}, "A task retries a lot",
        f"Alerts if more attempts in an hour failed and were tried again than usual. {_FOR_EACH}",
    ),
}  # fmt: skip


def _monitors() -> Iterator[tuple[str, Json]]:
    for name, (number, settings, title, description) in _MONITORS.items():
        example = monitors.make([_EXAMPLE], config.parse({"datadog": settings})).monitors[number]
        yield (
            name,
            {
                "version": 2,
                "created_at": _DATE,
                "last_updated_at": _DATE,
                "title": title,
                "description": description,
                "tags": [TAG],
                "definition": {**example, "tags": [TAG]},
            },
        )


def _dashboard() -> Json:
    tasks = [_EXAMPLE._replace(service="shop", env="prod", waits=True)]
    shown = dashboard.definition(tasks, [TAG])  # its lists show the monitors in the same folder
    return {**shown, "description": "Which tasks succeed, which fail, and how long they take."}


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
