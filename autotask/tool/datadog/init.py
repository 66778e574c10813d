"""The configuration file that `autotask monitors init` writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from autotask.tool.datadog.baselines import Task
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
# without = ["slow"]           # leave out: failed, did_not_run, hung, slow, retries
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


def document(tasks: Iterable[Task]) -> str:
    """Write the file for the recorded tasks; all about them is in comments."""
    sections: dict[str, list[str]] = {}
    for task in tasks:
        sections.setdefault(task.spelled or task.name, []).extend(_comments(task))
    parts = [f"\n{_heading(name)}\n" + "".join(lines) for name, lines in sections.items()]
    return _HEAD + "".join(parts)


def _comments(task: Task) -> Iterator[str]:
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
    elif not task.leads:
        yield "# runs as part of another task: only its failures have a monitor\n"


def _heading(name: str) -> str:
    """Write the heading of a section, commented out if the name would be read as a pattern.

    TOML's basic strings are like JSON's, but need an escape for every unprintable character.
    """
    quoted = json.dumps(name, ensure_ascii=False)
    escaped = "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)
    commented = "# " if any(wildcard in name for wildcard in "*?[]") else ""
    return f"{commented}[task.{escaped}]"
