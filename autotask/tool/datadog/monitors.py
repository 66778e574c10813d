"""The monitors: what goes wrong with a task, as Datadog's API takes it (POST /api/v1/monitor).

failed       each failure, by env, service and task; or, on the service check, from the first
             failure, or so many in a row, to the next success
did_not_run  no run by the deadline, or in a window
hung         runs for longer than a limit
slow         took longer than a limit
"""

from __future__ import annotations

import hashlib
import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from autotask.tool.datadog import groups
from autotask.tool.datadog.baselines import NO_TAG, Task
from autotask.tool.datadog.config import Config, Section, Wishes, matches
from autotask.tool.datadog.schedule import Schedule
from autotask.tool.errors import ToolError
from autotask.tool.quantities import duration_text

Monitor = dict[str, Any]

MANAGED = "managed_by:autotask"
_SET, _KEY = "autotask_set:", "autotask_key:"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_LONGEST_WINDOW = 7 * _DAY  # of a metric monitor's query
_OFTEN = 6 * _HOUR  # what is due at least so often is watched by a rolling window
_MOST_DEADLINES = 12  # of a day: what is due more often is watched by a rolling window
_EARLY = 10 * _MINUTE  # a run that ends so long before it is due counts
_UNEVEN = 3.5  # longest gap over the usual one: weekdays only are 3, office hours are more
_STEPS = (
    *(minutes * _MINUTE for minutes in (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 45)),
    *(hours * _HOUR for hours in (1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18)),
    *(days * _DAY for days in (1, 1.5, 2, 3, 4, 5, 6, 7)),
)
_HIGH, _LOW = 2, 4  # priorities
_NEW_HOST_DELAY = 300  # seconds: the server's own, which Terraform would else see as a change
_BY_HAND = "trigger:terminal"  # what somebody tries out wakes nobody
_NAMES = ("task:", "service:", "env:")
_SHOWN_RUNS = "`autotask runs --status failure --since 1d`"


class Without(NamedTuple):
    """A monitor that was not made, and why."""

    task: str
    kind: str
    why: str
    refused: bool = False  # the file asks for it, and Datadog has no words for that


class Made(NamedTuple):
    """The monitors of a set, and those that cannot be made yet."""

    monitors: list[Monitor]
    without: list[Without]


def key_of(monitor: Mapping[str, Any]) -> str | None:
    """Return what tells a monitor of ours from the others, through all changes of it."""
    for tag in monitor.get("tags") or ():
        if tag.startswith(_KEY):
            return str(tag[len(_KEY) :])
    return None


def set_tags(config: Config) -> list[str]:
    """Return the tags that all monitors of a set carry."""
    return [MANAGED, f"{_SET}{config.name}"]


def key_tag(key: str) -> str:
    """Return the tag that holds a key."""
    return f"{_KEY}{key}"


def is_about(monitor: Monitor, task_tag: str) -> bool:
    """Tell whether a monitor can alert because of a task: its own, or one of many tasks."""
    return _takes(str(monitor["query"]), task_tag[len("task:") :])


def _takes(query: str, name: str) -> bool:
    """Tell whether a query takes a task in: because it names no task, or this one."""
    over, _, excluded = query.partition(".exclude(")
    refused = re.findall(r"!task:([^,}]*)", over) + re.findall(r'"task:([^"]*)"', excluded)
    wanted = re.findall(r'(?<!!)task:([^,}"]*)', over)
    return not any(matches(one, name) for one in refused) and (
        not wanted or any(matches(one, name) for one in wanted)
    )


def awaited(monitor: Monitor) -> list[str]:
    """Return the tags of the runs that a monitor would miss; none where it misses nothing."""
    if not (key_of(monitor) or "").startswith("did_not_run."):
        return []
    scope = monitor["query"].partition("{")[2].partition("}")[0].split(",")
    return [*(one for one in scope if not one.startswith("!")), "status:success"]


def tags_of(task: Task, config: Config) -> frozenset[str]:
    """Return by which names of task, service and env the monitors of a task ask for it."""
    return frozenset(one for one in _scope(task, config) if one.startswith(_NAMES))


def tags_in(monitor: Monitor) -> frozenset[str]:
    """Return the same, of a monitor that is there."""
    over = str(monitor["query"]).partition(".exclude(")[0]
    return frozenset(re.findall(rf'(?<=[{{,("])(?:{"|".join(_NAMES)})[^,}}"]*', over))


def with_wished(tasks: Iterable[Task], config: Config) -> list[Task]:
    """Add the tasks that the file names and nobody has seen."""
    found = list(tasks)
    seen = {task.name for task in found}
    for section in config.sections:
        if section.said and "*" not in section.pattern and section.pattern not in seen:
            wishes = config.wishes_for(section.pattern)
            found.append(Task(section.pattern, wishes.service, wishes.env, spelled=section.spelled))
    return found


def made(tasks: Iterable[Task], config: Config) -> Made:
    """Make the monitors of these tasks, in an order that is always the same."""
    tasks = [task for task in with_wished(tasks, config) if _in_scope(task, config)]
    tasks = [task for task in tasks if not config.wishes_for(task.name).retired]
    monitors = list(_about_failures(tasks, config))
    without = []
    for task in tasks:
        wishes = config.wishes_for(task.name)
        for kind, make in _OF_ONE_TASK.items():
            if kind in wishes.without:
                continue
            try:
                found = make(task, wishes, config)
            except ToolError as refusal:
                without.append(Without(task.name, kind, str(refusal), refused=True))
                continue
            if isinstance(found, str):
                without.append(Without(task.name, kind, found))
            elif found:
                monitors += found if isinstance(found, list) else [found]
    return Made(monitors, without)


# Failures: a monitor for all tasks, and one for each section that wishes something else of it.
# One of them tells of a task's failure: the metric one or, latched, the service check's.

_EVERY = Section("*", {})
_Named = dict[str, list[Task]]  # tasks by their names, which are in order


def _about_failures(tasks: Iterable[Task], config: Config) -> Iterator[Monitor]:
    named: _Named = {}
    for task in sorted(tasks, key=lambda task: task.name):
        named.setdefault(task.name, []).append(task)
    own = _own(config)
    own += _apart(own, named, config)
    for place, section in enumerate(own, 1):
        narrower = [one for one in own[place:] if _meet(section, one)]
        yield from _told_by(section, narrower, named, config)


def _apart(own: list[Section], named: _Named, config: Config) -> list[Section]:
    """Return a section for each task without a tag that nearly all others of its section have."""
    told_by: dict[str, list[Task]] = {}
    for name, some in named.items():
        section = next(one for one in reversed(own) if one.covers(name))
        told_by.setdefault(section.pattern, []).extend(some)
    return [
        Section(name, {})
        for some in told_by.values()
        for name in groups.lacking(some, config.scope)
    ]


def _told_by(
    section: Section, narrower: list[Section], named: _Named, config: Config
) -> Iterator[Monitor]:
    """Make what tells of a section's failures, but for the tasks of narrower ones."""
    wishes = config.wishes_for(section.pattern)
    if "failed" in wishes.without:
        return
    if _is_latched(wishes):
        yield from _latched(section, narrower, named, wishes, config)
    else:
        but = [pattern for one in narrower for pattern in _left_to(one, named, config)]
        yield _failed(section, but, _groups(section, narrower, named, config), wishes, config)


def _groups(section: Section, narrower: list[Section], named: _Named, config: Config) -> list[str]:
    """Return the tags by which a monitor of a section can group."""
    names = named if "*" in section.pattern else {section.pattern} & named.keys()
    of_it = [
        task
        for name in names
        if section.covers(name) and not any(one.covers(name) for one in narrower)
        for task in named[name]
    ]
    return groups.known(of_it, config.scope)


def _is_latched(wishes: Wishes) -> bool:
    """Tell whether failures are watched by the service check: it alone counts them in a row."""
    return wishes.latched or wishes.failures_in_a_row > 1


def _own(config: Config) -> list[Section]:
    """Return the sections that wish something else of failures than wider ones, these first."""
    own = [_EVERY]
    alive = [one for one in config.sections if not config.wishes_for(one.pattern).retired]
    for section in sorted(alive, key=lambda one: len(config.covering(one.pattern))):
        around: list[Section] = []
        for one in own:
            if one.covers(section.pattern):
                around = [one]
            elif _meet(one, section):
                around.append(one)
        if any(_wish(one, config) != _wish(section, config) for one in around):
            own.append(section)
    return own


def _wish(section: Section, config: Config) -> tuple[object, ...]:
    wishes = config.wishes_for(section.pattern)
    if "failed" in wishes.without:
        return ()
    return _is_latched(wishes), wishes.failures_in_a_row, wishes.notify, wishes.priority


def _meet(one: Section, other: Section) -> bool:
    """Tell whether a task may be of both sections."""
    both = "*" in one.pattern and "*" in other.pattern
    return both or one.covers(other.pattern) or other.covers(one.pattern)


def _left_to(section: Section, names: Iterable[str], config: Config) -> list[str]:
    """Return what `failed` leaves to a section: its pattern, for that knows also new tasks.

    The service check's scope knows no `*`: until the next `apply`, a new task fails as others do.
    """
    wishes = config.wishes_for(section.pattern)
    if "failed" in wishes.without or not _is_latched(wishes) or "*" not in section.pattern:
        return [section.pattern]
    return [name for name in names if section.covers(name)]


def _failed(
    section: Section, but: list[str], by: list[str], wishes: Wishes, config: Config
) -> Monitor:
    whose = "a task" if section == _EVERY else section.pattern
    scope = ["status:failure", "!reason:nested", f"!{_BY_HAND}", *config.scope]
    scope += [f"task:{section.pattern}"] if section != _EVERY else []
    scope += [f"!task:{pattern}" for pattern in but]
    query = f"sum(last_10m):sum:autotask.task.runs{{{','.join(scope)}}} by {{{','.join(by)}}}"
    alert = f"""\
The task `{{{{task.name}}}}` failed{_of_group(by)}.

Next: {_SHOWN_RUNS} on its host lists the failed runs with their reasons, `autotask show RUN` one \
of them. The event `task failed: {{{{task.name}}}}` in Datadog has reason, error and host."""
    return _monitor(
        "failed",
        section.pattern,
        f"{whose} failed: {{{{task.name}}}}",
        f"{query}.as_count() >= 1",
        _message(wishes, alert),  # that no other failure came is no recovery
        wishes,
        config,
        critical=1,
    )


def _of_group(by: list[str]) -> str:
    """Name service and env of a group in a message, as far as it has them."""
    said = ", ".join(f"{key} {{{{{key}.name}}}}" for key in ("service", "env") if key in by)
    return f" ({said})" if said else ""


def _latched(
    section: Section, narrower: list[Section], named: _Named, wishes: Wishes, config: Config
) -> Iterator[Monitor]:
    """Watch the service check; its scope knows no `*`, so that a pattern's tasks have one each."""
    if section == _EVERY:
        others = {name for name in named if any(one.covers(name) for one in narrower)}
        others |= {one.pattern for one in narrower if "*" not in one.pattern}
        by = _groups(section, narrower, named, config)
        yield _failing(None, sorted(others), by, wishes, config)
        return
    for name, tasks in named.items():
        if section.covers(name) and not any(one.covers(name) for one in narrower):
            by = groups.known(tasks, config.scope)
            yield _failing(name, [], by, wishes, config)


def _failing(
    task: str | None, others: list[str], by: list[str], wishes: Wishes, config: Config
) -> Monitor:
    often = wishes.failures_in_a_row
    over = [*([f"task:{task}"] if task else []), *config.scope] or ["*"]
    query = f'"autotask.task.status".over({_quoted(over)})'
    query += f".exclude({_quoted([_BY_HAND, *(f'task:{name}' for name in others)])})"
    query += f".by({_quoted(by)}).last({often + 1}).count_by_status()"
    failed = "failed" if often == 1 else f"failed {often} times in a row"
    alert = f"""\
The task `{{{{task.name}}}}`{_of_group(by)} {failed}, \
and has not succeeded since: {{{{check_message}}}}

Next: {_SHOWN_RUNS} on its host, then `autotask show RUN`."""
    return _monitor(
        "failed",  # one key for both forms, so that one takes the place of the other
        task or "*",
        f"{task or 'a task'} {'is failing' if often == 1 else failed}: {{{{task.name}}}}",
        query,
        _message(wishes, alert, "`{{task.name}}` has succeeded again."),
        wishes,
        config,
        type_="service check",
        critical=often,
    )


def _quoted(words: Iterable[str]) -> str:
    return ",".join(f'"{word}"' for word in words)


# The monitors of one task. A text is the reason why there is none, None needs none. A ToolError
# says why the file asks for what Datadog cannot do.


def has_deadlines(schedule: Schedule) -> bool:
    """Tell whether each time that a task is due is watched; if not, its longest gap is."""
    return schedule.interval > _OFTEN and schedule.times_a_day <= _MOST_DEADLINES


def _did_not_run(
    task: Task, wishes: Wishes, config: Config
) -> Monitor | list[Monitor] | str | None:
    schedule = wishes.due()
    if schedule is not None and has_deadlines(schedule):
        return list(_missed_deadlines(schedule, task, wishes, config))
    interval = wishes.interval or (schedule.interval if schedule else None)
    if interval is None:
        if not task.leads:
            return None
        if task.interval is None or task.longest_interval is None:
            return "too few runs were seen: say its schedule"
        if task.longest_interval > _UNEVEN * max(task.interval, 2 * _MINUTE):
            return "it runs at odd times: say its schedule"
        interval = _step(task.longest_interval)
    slack = wishes.within or max(interval / 10, _EARLY) + (
        _step(task.longest) if task.longest else 0
    )
    if schedule is not None and interval + slack > _LONGEST_WINDOW:
        raise ToolError(
            f"schedule {schedule.cron!r}: due {schedule.times_a_day} times a day, too often for a "
            f"monitor of each time ({_MOST_DEADLINES} at most), and with too long a gap for a "
            "window of a week"
        )
    return _missed_window(task, interval, interval + slack, wishes, config)


def _missed_window(
    task: Task, interval: float, window: float, wishes: Wishes, config: Config
) -> Monitor | str:
    if window > _LONGEST_WINDOW:
        return "it runs too rarely for a window of a week: say its schedule"
    done, why = _missed(wishes)
    alert = f"""\
{_named(task)} has not {done} for {_lasting(window)}; it is expected every \
{_lasting(interval)}. {why}

{_look_at(task)}"""
    message = _message(wishes, alert, f"`{task.name}` has {done} again.")
    return _did_not_end(task, window, message, wishes, config)


def _missed_deadlines(
    schedule: Schedule, task: Task, wishes: Wishes, config: Config
) -> Iterator[Monitor]:
    """Make a monitor for each time that the task is due: a custom schedule has one recurrence.

    It notifies at each evaluation that is not OK, and never of a recovery.
    """
    lasts = _step(2 * (task.longest or 0))
    within = wishes.within or min(max(_HOUR, lasts, wishes.slow_after or 0), schedule.closest)
    done, why = _missed(wishes)
    window = within + _EARLY + schedule.clock_change  # the night that has an hour twice
    if schedule.times_a_day > 1:  # the run before it must not count for it
        window = max(within, min(window, schedule.closest))
    recurrences = schedule.recurrences(within)
    for place, (due, rrule) in enumerate(recurrences):
        alert = f"""\
{_named(task)} was due at {due} by the schedule `{schedule.cron}` ({schedule.timezone}) and has \
not {done} within {_lasting(within)}. {why}

{_look_at(task)}"""
        recurrence = {"rrule": rrule, "timezone": schedule.timezone}
        yield _did_not_end(
            task,
            window,
            _message(wishes, alert),
            wishes,
            config,
            at=f" at {due}" if len(recurrences) > 1 else "",
            further=f"\n{due}" if place else "",
            scheduling_options={"custom_schedule": {"recurrences": [recurrence]}},
        )


def _missed(wishes: Wishes) -> tuple[str, str]:
    """Say what did not come, and why; a failure counts as a run where it is told by itself."""
    if "failed" in wishes.without:
        return "succeeded", "It did not start, still runs, or failed."
    return "ended a run", "It did not start, or still runs."


def _did_not_end(
    task: Task,
    window: float,
    message: str,
    wishes: Wishes,
    config: Config,
    *,
    at: str = "",
    further: str = "",
    **options: Any,
) -> Monitor:
    counted = ["!status:failure"] if "failed" in wishes.without else []
    scope = [*counted, f"!{_BY_HAND}", *_scope(task, config)]
    query = f"sum({_window(window)}):sum:autotask.task.runs{{{','.join(scope)}}}.as_count() < 1"
    return _monitor(
        "did_not_run",
        _identity(task) + further,
        f"{_title(task)} did not run{at}",
        query,
        message,
        wishes,
        config,
        critical=1,
        on_missing_data="default",  # a count that is not there is 0
        task=task.name,
        **options,
    )


def _limit(setting: str, wishes: Wishes, task: Task, times: int, least: float) -> int | str | None:
    """Return a setting's seconds, else so many times the usual longest; or why there are none."""
    wanted: float | None = getattr(wishes, setting)
    if wanted is None:
        if not task.leads:
            return None
        if task.longest is None:
            return f"too few successes were seen: say {setting}"
        wanted = _step(max(times * task.longest, least))
    return math.ceil(wanted)


def _hung(task: Task, wishes: Wishes, config: Config) -> Monitor | str | None:
    limit = _limit("hung_after", wishes, task, 3, 10 * _MINUTE)
    if not isinstance(limit, int):
        return limit
    scope = ",".join([f"!{_BY_HAND}", *_scope(task, config)])
    alert = f"""\
{_named(task)} has been running for more than {_lasting(limit)} on {{{{host.name}}}}.

Next: `autotask runs --status running` there shows since when; then look at what its process \
waits for (`py-spy dump --pid PID`), or end it."""
    return _monitor(
        "hung",
        _identity(task),
        f"{_title(task)} hangs",
        f"max(last_5m):max:autotask.task.running_seconds{{{scope}}} by {{host}} > {limit}",
        _message(wishes, alert, f"`{task.name}` does not run any more on {{{{host.name}}}}."),
        wishes,
        config,
        critical=limit,
        task=task.name,
    )


def _slow(task: Task, wishes: Wishes, config: Config) -> Monitor | str | None:
    limit = _limit("slow_after", wishes, task, 2, _MINUTE)
    if not isinstance(limit, int):
        return limit
    scope = ",".join(["status:success", *_scope(task, config)])
    alert = f"""\
{_named(task)} took {{{{value}}}} seconds, more than {_lasting(limit)}.

Next: `autotask tasks --task {_glob(task)}` on its host shows where its duration is going, \
`autotask runs --task {_glob(task)}` each run."""
    return _monitor(
        "slow",
        _identity(task),
        f"{_title(task)} is slow",
        f"max(last_1d):max:autotask.task.duration{{{scope}}} > {limit}",
        _message(wishes, alert, f"No run of `{task.name}` was slow for a day."),
        wishes,
        config,
        critical=limit,
        task=task.name,
    )


_OF_ONE_TASK = {"did_not_run": _did_not_run, "hung": _hung, "slow": _slow}


# What they have in common.


def _monitor(
    kind: str,
    identity: str,
    name: str,
    query: str,
    message: str,
    wishes: Wishes,
    config: Config,
    *,
    critical: float,
    type_: str = "query alert",
    on_missing_data: str = "resolve",
    task: str | None = None,
    **options: Any,
) -> Monitor:
    if type_ == "service check":
        options["notify_no_data"] = False  # the server adds it where `on_missing_data` is not
        options["thresholds"] = {"ok": 1, "warning": 1, "critical": critical}
    else:
        options["thresholds"] = {"critical": critical}
        options["on_missing_data"] = on_missing_data
        options["require_full_window"] = False
    about = [f"task:{task}"] if task else []
    key = f"{kind}.{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    return {
        "name": f"autotask: {name}",
        "type": type_,
        "query": query,
        "message": message,
        "tags": [*set_tags(config), key_tag(key), *about, *config.tags],
        "priority": wishes.priority or (_LOW if kind == "slow" else _HIGH),
        "options": {
            "include_tags": True,
            "new_host_delay": _NEW_HOST_DELAY,
            "notify_audit": False,
            **options,
        },
    }


def _message(wishes: Wishes, alert: str, recovery: str | None = None) -> str:
    """Write a message and whom it is for; without a recovery nobody hears of one."""
    whom = f"\n\n{' '.join(wishes.notify)}" if wishes.notify else ""
    if recovery is None:
        return f"{{{{#is_alert}}}}\n{alert}{whom}\n{{{{/is_alert}}}}"
    return (
        f"{{{{#is_alert}}}}\n{alert}\n{{{{/is_alert}}}}\n"
        f"{{{{#is_recovery}}}}{recovery}{{{{/is_recovery}}}}{whom}"
    )


def _identity(task: Task) -> str:
    """Return what a key is made of, which outlives what is sent."""
    none = NO_TAG if task.runs else ""
    return f"{task.name}\n{task.service or none}\n{task.env or none}"


def _scope(task: Task, config: Config) -> list[str]:
    named = {"task": task.name, "service": task.service, "env": task.env}
    whole = [*(f"{key}:{value}" for key, value in named.items() if value), *config.scope]
    return list(dict.fromkeys(whole))


def _in_scope(task: Task, config: Config) -> bool:
    """Tell whether runs of a task can be among those that are watched."""
    where = {"service": task.service, "env": task.env}
    if not task.runs:  # not seen yet: what the file does not say may be anything
        where = {key: value for key, value in where.items() if value}
    pairs = (tag.partition(":") for tag in config.scope)
    return all(where.get(key, value) == value for key, _, value in pairs)


def _title(task: Task) -> str:
    """Name a task in the title of a monitor."""
    where = [one for one in (task.service, task.env) if one]
    return f"{task.name} ({', '.join(where)})" if where else task.name


def _named(task: Task) -> str:
    """Name a task in a sentence."""
    where = [f"service {task.service}"] if task.service else []
    where += [f"env {task.env}"] if task.env else []
    return f"The task `{task.name}`" + (f" ({', '.join(where)})" if where else "")


def _glob(task: Task) -> str:
    """Name a task on a command line that stands in a message: no `@`, no `{{`, no backtick."""
    return shlex.quote(re.sub(r"[^\w.:/-]", "?", task.spelled or task.name))


def _look_at(task: Task) -> str:
    return (
        f"Next: `autotask runs --task {_glob(task)}` on its host shows whether it ran, "
        "`autotask show RUN` how a run ended. If it is not there, look at what should have started "
        "it (crontab, timer, CronJob) and whether that host is up."
    )


def _step(seconds: float) -> float:
    """Round what was learned up to a step, so that not each day's history is a change.

    A little above a step is the step: a day and a minute is a day.
    """
    return next((step for step in _STEPS if step >= 0.95 * seconds), seconds)


def _lasting(seconds: float) -> str:
    """Write a duration without zeros behind: `1h` and not `1h00m`."""
    return re.sub(r"(?<=[dhm])00[hms]$|\.0+(?=s$)", "", duration_text(seconds))


def _window(seconds: float) -> str:
    """Write the window of a query, rounded up: in minutes up to a day, in hours above."""
    minutes = math.ceil(seconds / _MINUTE)
    return f"last_{minutes}m" if seconds <= _DAY else f"last_{math.ceil(seconds / _HOUR)}h"
