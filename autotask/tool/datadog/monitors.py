"""The monitors of a set: those for failures, and those of each task.

failed       each failure, or from the first failure (or so many in a row) to the next success
did_not_run  no run by the deadline, or in a window
hung         a run takes longer than a limit
slow         a run took longer than a limit
retries      more attempts were retried in an hour than a limit

A server, which runs until it is stopped, only has those for failures.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from autotask.tool import limits
from autotask.tool.datadog import failed, recurrence
from autotask.tool.datadog.baselines import NO_RUN, Task, may_be_put_off
from autotask.tool.datadog.config import Config, TaskSettings
from autotask.tool.datadog.definition import Monitor, define, write_message
from autotask.tool.datadog.queries import BY_HAND, scope_of
from autotask.tool.datadog.tags import NO_TAG
from autotask.tool.datadog.wording import titled
from autotask.tool.errors import ToolError
from autotask.tool.limits import Limit
from autotask.tool.quantities import short_duration
from autotask.tool.schedule import due, usual
from autotask.tool.schedule.cron_line import Schedule

_Make = Callable[[Task, TaskSettings, Config], "Monitor | list[Monitor] | str | None"]

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_LONGEST_WINDOW = 7 * _DAY  # of a metric monitor's query
_OFTEN = 6 * _HOUR  # tasks due at least this often are watched by a rolling window
_MOST_DEADLINES = 12  # a day: tasks due more often are watched by a rolling window


class Omitted(NamedTuple):
    """A monitor that was not made, and why."""

    task: str
    kind: str
    why: str
    refused: bool = False  # the file asks for it, and Datadog cannot express it


class MonitorSet(NamedTuple):
    """All monitors to have, and those that cannot be made."""

    monitors: list[Monitor]
    omitted: list[Omitted]


def make(tasks: Iterable[Task], config: Config) -> MonitorSet:
    """Make the monitors of these tasks, always in the same order."""
    tasks = [task for task in with_configured(tasks, config) if _is_in_scope(task, config)]
    tasks = [task for task in tasks if not config.settings_for(task.name).retired]
    monitors = list(failed.monitors(tasks, config))
    omitted = []
    for task in tasks:
        settings = config.settings_for(task.name)
        kinds: Mapping[str, _Make] = _OF_A_SERVER if task.server else _KINDS
        for kind, make_one in kinds.items():
            if kind in settings.without:
                continue
            try:
                result = make_one(task, settings, config)
            except ToolError as refusal:
                omitted.append(Omitted(task.name, kind, str(refusal), refused=True))
                continue
            if isinstance(result, str):
                omitted.append(Omitted(task.name, kind, result))
            elif result:
                monitors += result if isinstance(result, list) else [result]
    return MonitorSet(monitors, omitted)


def with_configured(tasks: Iterable[Task], config: Config) -> list[Task]:
    """Add the tasks that the file names and that never ran."""
    known = list(tasks)
    names = {task.name for task in known}
    for section in config.sections:
        name = section.pattern
        if section.values and "*" not in name and name not in names:
            settings = config.settings_for(name)
            known.append(Task(name, settings.service, settings.env, spelled=section.spelled))
    return known


def _is_in_scope(task: Task, config: Config) -> bool:
    """Tell whether runs of a task can be among those that are watched."""
    values = {"service": task.service, "env": task.env}
    if not task.runs:  # it never ran: what the file leaves open may be anything
        values = {key: value for key, value in values.items() if value}
    pairs = (tag.partition(":") for tag in config.scope)
    return all(values.get(key, value) == value for key, _, value in pairs)


# One function for each kind of monitor of a task. It returns a text if there is a reason why the
# monitor cannot be made, and None if none is needed. It raises ToolError if the file asks for
# something that Datadog cannot do.


def has_deadlines(schedule: Schedule) -> bool:
    """Tell whether each time that a task is due has a monitor; if not, its longest gap has."""
    return schedule.interval > _OFTEN and schedule.times_a_day <= _MOST_DEADLINES


def _did_not_run(
    task: Task, settings: TaskSettings, config: Config
) -> Monitor | list[Monitor] | str | None:
    schedule = settings.parsed_schedule()
    if schedule is not None and has_deadlines(schedule):
        return list(_missed_deadlines(schedule, task, settings, config))
    interval = settings.interval or (schedule.interval if schedule else None)
    if interval is None:
        if not task.leads:  # the monitor of the task that represents it alerts
            return None
        if task.interval is None or task.longest_interval is None:
            return "too few runs so far; set `schedule`"
        if not usual.Interval(task.interval, task.longest_interval).is_regular:
            return "it runs at irregular times; set `schedule`"
        interval = usual.rounded_up(task.longest_interval)
    slack = _slack(interval, task, settings)
    if schedule is not None and interval + slack > _LONGEST_WINDOW:
        raise ToolError(
            f"schedule {schedule.cron!r}: due {schedule.times_a_day} times a day, too many for one "
            f"monitor each (at most {_MOST_DEADLINES}), and its longest gap does not fit into a "
            "window of a week"
        )
    return _missed_window(task, interval, interval + slack, settings, config)


def why_not_watched(task: Task, settings: TaskSettings, config: Config) -> str | None:
    """Return why a task cannot be watched by these settings' schedule; None: it can."""
    try:
        result = _did_not_run(task, settings, config)
    except ToolError as refusal:
        return str(refusal)
    return result if isinstance(result, str) else None


def _missed_window(
    task: Task, interval: float, window: float, settings: TaskSettings, config: Config
) -> Monitor | str:
    if window > _LONGEST_WINDOW:
        return "it runs too rarely for a window of a week; set `schedule`"
    done, why = _missed(settings)
    alert = f"""\
{_subject(task)} has not {done} for {short_duration(window)}; it is expected every \
{short_duration(interval)}. {why}

{_next_steps(task)}"""
    text = write_message(settings, alert, f"`{task.name}` has {done} again.")
    return _no_run_in(task, window, text, settings, config)


def _missed_deadlines(
    schedule: Schedule, task: Task, settings: TaskSettings, config: Config
) -> Iterator[Monitor]:
    """Make a monitor for each time that the task is due: a custom schedule has one recurrence.

    It notifies at each evaluation that is not OK, and never of a recovery.
    """
    within = _deadline(schedule, task, settings)
    done, why = _missed(settings)
    window = within + due.EARLY + schedule.clock_change  # one night of the year has an hour twice
    if schedule.times_a_day > 1:  # the previous run must not count for this one
        window = max(within, min(window, schedule.closest))
    rules = recurrence.recurrences(schedule, within)
    for number, (at, rrule) in enumerate(rules):
        alert = f"""\
{_subject(task)} was due at {at} by the schedule `{schedule.cron}` ({schedule.timezone}) and has \
not {done} within {short_duration(within)}. {why}

{_next_steps(task)}"""
        rule = {"rrule": rrule, "timezone": schedule.timezone}
        yield _no_run_in(
            task,
            window,
            write_message(settings, alert),
            settings,
            config,
            at=f" at {at}" if len(rules) > 1 else "",
            # The first one has the key of a task without a schedule, and replaces its monitor.
            further_identity=f"\n{at}" if number else "",
            scheduling_options={"custom_schedule": {"recurrences": [rule]}},
        )


def allowance(task: Task, settings: TaskSettings) -> float:
    """Return the seconds after a task is due by which a run must have ended."""
    schedule = settings.parsed_schedule()
    if schedule is not None and has_deadlines(schedule):
        return _deadline(schedule, task, settings)
    return _slack(schedule.interval if schedule else settings.interval or 0, task, settings)


def _slack(interval: float, task: Task, settings: TaskSettings) -> float:
    longest = usual.rounded_up(task.longest) if task.longest else 0
    return settings.within or usual.slack(interval) + longest + settings.tolerance


def _deadline(schedule: Schedule, task: Task, settings: TaskSettings) -> float:
    longest = usual.rounded_up(2 * (task.longest or 0))
    longest = max(longest, settings.slow_after or 0)
    return settings.within or due.usual_within(schedule, longest, settings.tolerance)


def _missed(settings: TaskSettings) -> tuple[str, str]:
    """Say what did not happen, and why; a failure counts as a run if it alerts by itself."""
    if "failed" in settings.without:
        return "succeeded", "It did not start, is still running, or failed."
    return "finished a run", "It did not start, or is still running."


def _no_run_in(
    task: Task,
    window: float,
    text: str,
    settings: TaskSettings,
    config: Config,
    *,
    at: str = "",
    further_identity: str = "",
    **options: Any,
) -> Monitor:
    ignored = ["!status:failure"] if "failed" in settings.without else []
    not_run = NO_RUN if may_be_put_off(task) else ()
    scope = [*ignored, f"!{BY_HAND}", *not_run, *scope_of(task, config)]
    minutes, hours = math.ceil(window / _MINUTE), math.ceil(window / _HOUR)
    last = f"last_{minutes}m" if window <= _DAY else f"last_{hours}h"
    # One monitor for each task, without groups: Datadog drops a group 24 hours after its last data.
    return define(
        settings,
        config,
        kind="did_not_run",
        identity=_identity(task) + further_identity,
        title=f"{titled(task)} did not run{at}",
        query=f"sum({last}):sum:autotask.task.runs{{{','.join(scope)}}}.as_count() < 1",
        message=text,
        critical=1,
        on_missing_data="default",  # which counts a missing count as 0
        task=task.name,
        **options,
    )


def _hung(task: Task, settings: TaskSettings, config: Config) -> Monitor | str | None:
    limit = _limit(limits.HUNG, task, settings)
    if not isinstance(limit, int):
        return limit
    scope = ",".join([f"!{BY_HAND}", *scope_of(task, config)])
    alert = f"""\
{_subject(task)} has been running for more than {short_duration(limit)} on {{{{host.name}}}}.

Next: run `autotask runs --status running` there to see since when. Then find out what the process \
is waiting for (`py-spy dump --pid PID`), or stop it."""
    recovery = f"`{task.name}` is no longer running on {{{{host.name}}}}."
    return define(
        settings,
        config,
        kind="hung",
        identity=_identity(task),
        title=f"{titled(task)} hangs",
        query=f"max(last_5m):max:autotask.task.running_seconds{{{scope}}} by {{host}} > {limit}",
        message=write_message(settings, alert, recovery),
        critical=limit,
        task=task.name,
    )


def _slow(task: Task, settings: TaskSettings, config: Config) -> Monitor | str | None:
    limit = _limit(limits.SLOW, task, settings)
    if not isinstance(limit, int):
        return limit
    # Runs by hand count, too: this metric has no tag `trigger`, as each of its series costs five.
    scope = ",".join(["status:success", *scope_of(task, config)])
    alert = f"""\
{_subject(task)} took {{{{value}}}} seconds, more than {short_duration(limit)}.

Next: run `autotask tasks --task {_glob(task)}` on its host to see how its duration develops, and \
`autotask runs --task {_glob(task)}` to see each run."""
    recovery = f"No run of `{task.name}` has been slow for a day."
    return define(
        settings,
        config,
        kind="slow",
        identity=_identity(task),
        title=f"{titled(task)} is slow",
        query=f"max(last_1d):max:autotask.task.duration{{{scope}}} > {limit}",
        message=write_message(settings, alert, recovery),
        critical=limit,
        task=task.name,
    )


def _retries(task: Task, settings: TaskSettings, config: Config) -> Monitor | None:
    limit = limits.retries_an_hour(settings, task.retries)
    if limit is None:
        return None
    scope = ",".join(["status:retried", f"!{BY_HAND}", *scope_of(task, config)])
    alert = f"""\
{_subject(task)} had {{{{value}}}} attempts in an hour that failed and were tried again, more than \
{limit}.

Next: run `autotask runs --status retried --task {_glob(task)}` on its host to see why they \
failed, and `autotask tasks --task {_glob(task)}` to see how many succeed in the end."""
    recovery = f"`{task.name}` no longer retries a lot."
    return define(
        settings,
        config,
        kind="retries",
        identity=_identity(task),
        title=f"{titled(task)} retries a lot",
        query=f"sum(last_1h):sum:autotask.task.runs{{{scope}}}.as_count() > {limit}",
        message=write_message(settings, alert, recovery),
        critical=limit,
        task=task.name,
    )


def _none_for(*keys: str) -> _Make:
    """Return what makes no monitor for a server, and says so if the file asks for one."""

    def none(task: Task, settings: TaskSettings, config: Config) -> str | None:
        del task, config
        is_asked_for = any(getattr(settings, key) for key in keys)
        return "it is a server, which runs until it is stopped" if is_asked_for else None

    return none


_KINDS = {"did_not_run": _did_not_run, "hung": _hung, "slow": _slow, "retries": _retries}
_OF_A_SERVER = {
    "did_not_run": _none_for("schedule", "interval"),
    "hung": _none_for("hung_after"),
    "slow": _none_for("slow_after"),
    "retries": _none_for("retries_an_hour"),
}


def _limit(limit: Limit, task: Task, settings: TaskSettings) -> int | str | None:
    """Return a limit in seconds; or why there is none, if the task should have one."""
    if getattr(settings, limit.setting) is None and not task.leads:
        return None
    seconds = limit.seconds(settings, task.longest)
    return f"too few successes so far; set `{limit.setting}`" if seconds is None else seconds


def _identity(task: Task) -> str:
    """Return what a key is made of: the same whether or not this machine has seen a run.

    Older versions sent NO_TAG for a tag that is not set. Their monitors keep their keys.
    """
    return f"{task.name}\n{task.service or NO_TAG}\n{task.env or NO_TAG}"


# Texts for messages.


def _subject(task: Task) -> str:
    tags = [f"service {task.service}"] if task.service else []
    tags += [f"env {task.env}"] if task.env else []
    return f"The task `{task.name}`" + (f" ({', '.join(tags)})" if tags else "")


def _next_steps(task: Task) -> str:
    return (
        f"Next: run `autotask runs --task {_glob(task)}` on its host to see whether it ran, and "
        "`autotask show RUN` to see how a run ended. If there is no run, check what should have "
        "started it (crontab, timer, CronJob), and whether the host is up."
    )


def _glob(task: Task) -> str:
    """Write a task's name for a command line in a message.

    `@` would notify someone, `{{` would be a variable, and a backtick would end the code.
    """
    return shlex.quote(re.sub(r"[^\w.:/-]", "?", task.spelled or task.name))
