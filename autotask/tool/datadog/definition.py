"""The definition of one monitor, as Datadog's API takes it (POST /api/v1/monitor)."""

from __future__ import annotations

import hashlib
from typing import Any

from autotask.tool.datadog.config import Config, TaskSettings
from autotask.tool.datadog.tags import FROM_MACHINE, key_tag

Monitor = dict[str, Any]

_HIGH, _LOW = 2, 4  # priorities
_PATIENT = ("slow", "retries")  # the tasks do succeed
_NEW_HOST_DELAY = 300  # seconds: the server's default, which Terraform would show as a change


def define(
    settings: TaskSettings,
    config: Config,
    *,
    kind: str,
    identity: str,
    title: str,
    query: str,
    message: str,
    critical: float,
    type_: str = "query alert",
    on_missing_data: str = "resolve",
    task: str | None = None,
    **options: Any,
) -> Monitor:
    """Return a monitor.

    Args:
        settings: They have the priority.
        config: It has the tags of the set.
        kind: failed, did_not_run, hung, slow or retries.
        identity: What its key is derived from: it must stay the same when anything else changes.
        title: Its name in Datadog. Names of exported files and Terraform resources depend on it.
        query: What it evaluates.
        message: What it sends: see write_message.
        critical: The threshold. The query of a metric has to repeat it.
        type_: `query alert`, or `service check`.
        on_missing_data: Of a `query alert`.
        task: The only task that it is for; None: it is for several.
        options: Further options.
    """
    if type_ == "service check":
        options["notify_no_data"] = False  # the server adds it if there is no `on_missing_data`
        options["thresholds"] = {"ok": 1, "warning": 1, "critical": critical}
    else:
        options["thresholds"] = {"critical": critical}
        options["on_missing_data"] = on_missing_data
        options["require_full_window"] = False
    task_tags = [f"task:{task}"] if task else []
    origin = [FROM_MACHINE] if settings.from_machine and kind == "did_not_run" else []
    key = f"{kind}.{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    return {
        "name": f"autotask: {title}",
        "type": type_,
        "query": query,
        "message": message,
        "tags": [*config.set_tags, key_tag(key), *task_tags, *origin, *config.tags],
        "priority": settings.priority or (_LOW if kind in _PATIENT else _HIGH),
        "options": {
            "include_tags": True,
            "new_host_delay": _NEW_HOST_DELAY,
            "notify_audit": False,
            **options,
        },
    }


def write_message(settings: TaskSettings, alert: str, recovery: str | None = None) -> str:
    """Write the message of a monitor; without a *recovery*, a recovery notifies nobody."""
    recipients = f"\n\n{' '.join(settings.notify)}" if settings.notify else ""
    if recovery is None:
        return f"{{{{#is_alert}}}}\n{alert}{recipients}\n{{{{/is_alert}}}}"
    return (
        f"{{{{#is_alert}}}}\n{alert}\n{{{{/is_alert}}}}\n"
        f"{{{{#is_recovery}}}}{recovery}{{{{/is_recovery}}}}{recipients}"
    )
