"""Rules for monitors from Datadog's documentation, which otherwise would only show in production.

The API's typed models accept any query, any text and any key. This does not.
"""

from __future__ import annotations

import re
from typing import Any

Json = dict[str, Any]

_METRIC = re.compile(
    r"(?P<how>sum|max|min|avg)\(last_(?P<window>[0-9]+[mh]|1d|1w)\):"
    r"(?P<by_host>sum|max|min|avg):(?P<metric>autotask\.task\.[a-z_]+)"
    r"\{(?P<scope>[^{}]+)\}(?: by \{(?P<groups>[a-z,]+)\})?(?P<count>\.as_count\(\))?"
    r" (?P<sign>>=?|<) (?P<threshold>[0-9.]+)"
)
_CHECK = re.compile(
    r'"autotask\.task\.status"\.over\((?P<over>"[^"]+"(?:,"[^"]+")*)\)'
    r'\.exclude\((?P<but>"[^"]+"(?:,"[^"]+")*)\)'
    r'\.by\((?P<groups>"[a-z]+"(?:,"[a-z]+")*)\)\.last\((?P<last>[0-9]+)\)\.count_by_status\(\)'
)
# The tags that each metric has: a query can only use these.
_ALWAYS = {"env", "service", "task", "framework", "host"}
_TAGS = {
    "autotask.task.runs": _ALWAYS | {"status", "reason", "trigger"},
    "autotask.task.duration": _ALWAYS | {"status"},
    "autotask.task.running_seconds": _ALWAYS | {"trigger"},
}
_BY_HAND = "trigger:terminal"
_ANY_MONITOR = {"#is_alert", "/is_alert", "#is_recovery", "/is_recovery"}
_OPTIONS = {
    "query alert": {
        *("include_tags", "new_host_delay", "notify_audit", "on_missing_data"),
        *("require_full_window", "scheduling_options", "thresholds"),
    },
    "service check": {
        *("include_tags", "new_host_delay", "notify_audit", "notify_no_data", "thresholds"),
    },
}
_KEYS = {"name", "type", "query", "message", "tags", "priority", "options"}
_RECIPIENTS = re.compile(r"@\S+( @\S+)*")
_TAG = re.compile(r"[^\W\d_][\w./:-]*")  # letters of any script


def problems(monitor: Json) -> list[str]:
    """Return the problems of a monitor."""
    found = [f"key: {key}" for key in monitor.keys() ^ _KEYS]
    options = monitor["options"]
    found += [f"option: {key}" for key in options.keys() - _OPTIONS[monitor["type"]]]
    found += [f"tag: {tag}" for tag in monitor["tags"] if len(tag) > 200 or not _TAG.fullmatch(tag)]
    keys = [tag for tag in monitor["tags"] if tag.startswith("autotask_key:")]
    if "managed_by:autotask" not in monitor["tags"] or len(keys) != 1:
        found.append("tags: the set or the key is missing")
    if monitor["priority"] not in range(1, 6):
        found.append("priority")
    if "scheduling_options" in options and "is_recovery" in monitor["message"]:
        found.append("a custom schedule never notifies of a recovery")
    if monitor["type"] == "service check":
        groups, more = _of_check(monitor["query"], options)
        variables = {"check_message"}
    else:
        groups, more = _of_metric(monitor["query"], options)
        variables = {"value", "threshold"}
    return found + more + _of_message(monitor, groups, variables)


def _of_metric(query: str, options: Json) -> tuple[set[str], list[str]]:
    match = _METRIC.fullmatch(query)
    if match is None:
        return set(), ["query"]
    found = []
    if float(match["threshold"]) != options["thresholds"]["critical"]:
        found.append("the query's threshold is not the option's")
    if not _window_exists(match["window"]):
        found.append(f"window: {match['window']}")
    if options["require_full_window"] is not False:
        found.append("tasks are too rare for a full window")
    metric, groups = match["metric"], set(filter(None, (match["groups"] or "").split(",")))
    if (metric == "autotask.task.runs") != bool(match["count"]):
        found.append("counts, and only counts, need as_count")
    found += _of_scope(metric, match["scope"].split(","), groups)
    found += _of_missing_data(match["sign"], options["on_missing_data"], groups)
    return groups, found + _of_schedule(options)


def _of_scope(metric: str, scope: list[str], groups: set[str]) -> list[str]:
    asked = groups | {one.lstrip("!").partition(":")[0] for one in scope}
    found = [f"{metric} has no tag {tag}" for tag in asked - _TAGS[metric]]
    if "status:failure" in scope and "!reason:nested" not in scope:
        found.append("a nested failure must not alert: its child does")
    if "trigger" in _TAGS[metric] and f"!{_BY_HAND}" not in scope:
        found.append("runs by hand would alert")
    return found


def _of_missing_data(sign: str, missing: str, groups: set[str]) -> list[str]:
    if sign != "<":
        return [] if missing == "resolve" else ["it must resolve without data"]
    found = ["groups disappear: missing data cannot be grouped"] if groups else []
    return found + ([] if missing == "default" else ["missing data must count as 0"])


def _of_schedule(options: Json) -> list[str]:
    if "scheduling_options" not in options:
        return []
    (recurrence,) = options["scheduling_options"]["custom_schedule"]["recurrences"]
    found = [] if set(recurrence) == {"rrule", "timezone"} else ["recurrence"]
    if not re.match("FREQ=(DAILY|WEEKLY|MONTHLY);", recurrence["rrule"]):
        found.append(f"rrule: {recurrence['rrule']}")
    return found


def _window_exists(window: str) -> bool:
    if window in ("1d", "1w"):
        return True
    most = {"m": 10080, "h": 168}[window[-1]]
    return 1 <= int(window[:-1]) <= most


def _of_check(query: str, options: Json) -> tuple[set[str], list[str]]:
    match = _CHECK.fullmatch(query)
    if match is None:
        return set(), ["query"]
    thresholds = options["thresholds"]
    found = [] if set(thresholds) == {"ok", "warning", "critical"} else ["thresholds"]
    if not max(thresholds.values()) <= int(match["last"]) <= 100:
        found.append("last() must be from the highest threshold to 100")
    if f'"{_BY_HAND}"' not in match["but"].split(","):
        found.append("runs by hand would alert")
    if "*" in f"{match['over']}{match['but']}".replace('"*"', ""):
        found.append("the scope of a service check cannot have patterns")
    return set(match["groups"].replace('"', "").split(",")), found


def _of_message(monitor: Json, groups: set[str], variables: set[str]) -> list[str]:
    known = _ANY_MONITOR | variables | {f"{group}.name" for group in groups}
    found = []
    for text in (monitor["name"], monitor["message"]):
        used = set(re.findall(r"{{([^{}]*)}}", text))
        found += [f"variable: {one}" for one in used - known]
        if text.count("{{") != text.count("}}"):
            found.append("braces")
    message = monitor["message"]
    for block, least in (("is_alert", 1), ("is_recovery", 0)):
        counts = {message.count(f"{{{{{sign}{block}}}}}") for sign in "#/"}
        if len(counts) != 1 or not least <= min(counts) <= 1:
            found.append(f"block: {block}")
    if "`autotask " not in message or "Next:" not in message:
        found.append("it does not say what to do next")
    if "\n\n\n" in message or message != message.strip():
        found.append("blank lines")
    if any("@" in line for line in message.splitlines() if not _RECIPIENTS.fullmatch(line)):
        found.append("it would notify someone by accident")
    return found
