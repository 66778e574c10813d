"""The configuration file that `autotask monitors init` writes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

from autotask.tool.datadog import monitors
from autotask.tool.datadog.baselines import Task
from autotask.tool.datadog.config import TaskSettings
from autotask.tool.datadog.local_schedules import LocalSchedule
from autotask.tool.datadog.tags import tag_value
from autotask.tool.quantities import duration_text, runs_text

_HEAD = """\
# Settings for autotask's Datadog monitors. `autotask monitors plan` shows their effect.

[datadog]                      # for all tasks
# name = "default"             # of this set of monitors; other sets are never changed
# notify = ["@slack-ops"]      # recipients; without them, monitors alert but notify nobody
# tags = ["team:shop"]         # on each monitor
# scope = ["env:prod"]         # only watch runs with these tags
# priority = 2                 # 1 to 5
# failures_in_a_row = 1        # before it alerts
# latched = false              # one alert until the next success, not one for each failure
# without = ["slow"]           # leave out: failed, did_not_run, hung, slow, retries, overlap
# timezone = "Europe/Berlin"   # of the schedules; default: this machine's

# For one task, or for several with *. If two sections match, the later one wins:
#
# [task."db.*"]
# schedule = "15 3 * * *"      # a cron line; or interval = "26h"
# within = "2h"                # after it is due, by when a run must have finished
# hung_after = "45m"
# slow_after = "20m"
# retries_an_hour = 20         # more attempts that failed and were tried again alert
# retired = true               # it no longer runs: `apply` deletes its monitors
# and the keys above, except name, tags and scope
"""


def document(tasks: Iterable[Task], schedules: Iterable[LocalSchedule] = ()) -> str:
    """Write the file for the recorded tasks.

    What was learned from their runs is in comments, because it is learned anew each time. What this
    machine's crontabs and timers say are settings, with what another machine needs to make the same
    monitor of them: it may have seen no run.
    """
    local_of = {local.task: local for local in schedules}
    scheduled = {name for name, local in local_of.items() if local.values}
    sections: dict[str, list[str]] = {}
    of_name: dict[str, Task] = {}
    for task in tasks:
        comments = _comments(task, task.name in scheduled)
        sections.setdefault(task.spelled or task.name, []).extend(comments)
        of_name[task.name] = task
    for local in local_of.values():
        if not local.recorded:
            sections[local.spelled] = ["# no run of it is recorded here yet\n"]
    for name, lines in sections.items():
        stored = tag_value("task", name)
        if stored in local_of:
            lines.extend(_scheduling(local_of[stored], of_name.get(stored, Task(stored))))
    return _HEAD + "".join(_section(name, lines) for name, lines in sections.items())


def _comments(task: Task, scheduled: bool) -> Iterator[str]:
    service_env = f"{task.service or '-'}/{task.env or '-'}"
    yield f"# {task.framework}, service/env {service_env}, {runs_text(task.runs)}\n"
    if task.interval is not None and task.longest_interval is not None:
        usual, longest = map(duration_text, (task.interval, task.longest_interval))
        yield f"# starts every {usual}, at most {longest} apart\n"
    if task.usual is not None and task.longest is not None:
        usual, longest = map(duration_text, (task.usual, task.longest))
        yield f"# takes {usual}, at most {longest}\n"
    if task.retries is not None:
        yield f"# retried in an hour: at most {task.retries}\n"
    if task.server:
        yield "# runs until it is stopped: only its failures have a monitor\n"
    elif not (task.leads or scheduled):
        yield "# runs as part of another task: only its failures have a monitor\n"


def _scheduling(local: LocalSchedule, task: Task) -> Iterator[str]:
    """Write what this machine says of when a task is due: settings, or why there are none."""
    values = local.values
    if not values:
        yield _comment(f"no schedule: {local.why or f'{local.source}, names no time of day'}")
        return
    if task.service:
        yield f"service = {_quoted(task.service)}\n"
    if task.env:
        yield f"env = {_quoted(task.env)}\n"
    other = tag_value("task", local.spelled) != local.task
    yield _comment(f"from {local.source}" + (f" ({local.spelled})" if other else ""))
    if "interval" in values:
        yield f'interval = "{_written(values["interval"])}"\n'
    else:
        yield f"schedule = {_quoted(values['schedule'])}\n"
        yield f"timezone = {_quoted(values['timezone'])}\n"
    settings = TaskSettings(**values)
    within = monitors.allowance(task, settings)
    if within != monitors.allowance(Task(task.name), replace(settings, tolerance=0)):
        yield f'within = "{_written(within)}"\n'


def _written(seconds: float) -> str:
    """Write a duration as the file has it; part of a minute is a minute."""
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    return f"{60 * hours + minutes}m" if minutes else f"{hours}h"


def _comment(text: str) -> str:
    return f"# {''.join(c if c.isprintable() else '?' for c in text)}\n"


def _section(name: str, lines: Iterable[str]) -> str:
    """Write a section, commented out if its name would be read as a pattern."""
    heading = f"[task.{_quoted(name)}]\n"
    if any(wildcard in name for wildcard in "*?[]"):
        heading = f"# {heading}"
        lines = (line if line.startswith("#") else f"# {line}" for line in lines)
    return "\n" + heading + "".join(lines)


def _quoted(text: str) -> str:
    """Write a string of TOML, which is like JSON's, but escapes every unprintable character."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)
