"""`autotask monitors init`: the file of wishes, with what was learned as comments."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from autotask.tool.datadog.baselines import Task
from autotask.tool.quantities import duration_text, runs_text

_HEAD = """\
# What autotask's monitors are to know of the tasks. See what comes of it: `autotask monitors plan`

[datadog]                      # for all tasks
# name = "default"             # of this set of monitors; others are never touched
# notify = ["@slack-ops"]      # whom; without it the monitors are there, and wake nobody
# tags = ["team:shop"]         # on each monitor
# scope = ["env:prod"]         # tags of the runs that are watched at all
# priority = 2                 # 1 to 5
# failures_in_a_row = 1        # before a task counts as failed
# latched = false              # one alert until the next success, not one for each failure
# without = ["slow"]           # not to make: failed, did_not_run, hung, slow
# timezone = "Europe/Berlin"   # of the schedules; without it, this machine's

# For one task, or with * for some; of two that match the later one wins:
#
# [task."db.*"]
# schedule = "15 3 * * *"      # a cron line; or interval = "26h"
# within = "2h"                # after it was due, until a run must have ended
# hung_after = "45m"
# slow_after = "20m"
# retired = true               # it runs no more: `apply` removes its monitors
# and the keys above, but for name, tags and scope
"""


def document(tasks: Iterable[Task]) -> str:
    """Write the file for the tasks that were seen."""
    sections: dict[str, list[str]] = {}
    for task in tasks:
        sections.setdefault(task.spelled or task.name, []).extend(_learned(task))
    parts = [f"\n{_head(name)}\n" + "".join(lines) for name, lines in sections.items()]
    return _HEAD + "".join(parts)


def _learned(task: Task) -> Iterator[str]:
    where = f"{task.service or '-'}/{task.env or '-'}"
    yield f"# {task.framework}, service/env {where}, {runs_text(task.runs)}\n"
    if task.interval is not None and task.longest_interval is not None:
        usual, longest = map(duration_text, (task.interval, task.longest_interval))
        yield f"# starts every {usual}, at most {longest} apart\n"
    if task.usual is not None and task.longest is not None:
        usual, longest = map(duration_text, (task.usual, task.longest))
        yield f"# takes {usual}, at most {longest}\n"
    if not task.leads:
        yield "# goes with another task: no monitors of its own but for its failures\n"


def _head(name: str) -> str:
    """Write the head of a section; a name that would be a pattern has none."""
    commented = "# " if any(letter in name for letter in "*?[]") else ""
    return f"{commented}[task.{_quoted(name)}]"


def _quoted(name: str) -> str:
    """Write a basic string of TOML; escape only characters that are not printable."""
    quoted = json.dumps(name, ensure_ascii=False)
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in quoted)
