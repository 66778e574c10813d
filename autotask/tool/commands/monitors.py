"""`autotask monitors`: Datadog monitors for the recorded tasks."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from autotask.tool import interrupts, output, quantities
from autotask.tool.datadog import (
    apply,
    assumptions,
    config,
    downtimes,
    export,
    init,
    local_schedules,
    monitors,
    options,
    plan,
    queries,
    retired,
    session,
)
from autotask.tool.datadog.api import Api
from autotask.tool.datadog.baselines import Task
from autotask.tool.datadog.config import Config
from autotask.tool.datadog.downtimes import Silence
from autotask.tool.datadog.local_schedules import LocalSchedule
from autotask.tool.datadog.tags import tag_value
from autotask.tool.datadog.wording import counted, listed
from autotask.tool.errors import ToolError

DESCRIPTION = """\
Create Datadog monitors for the recorded tasks: a task failed, did not run, hangs, is slow.
autotask.toml, or [tool.autotask] in pyproject.toml, holds what runs do not show: schedules,
limits, recipients. DD_API_KEY, DD_APP_KEY and DD_SITE select the Datadog account. Only monitors
that `apply` has created are ever changed."""

_STYLES = {"+": "green", "-": "red", "~": "yellow", "±": "yellow", "": ""}
_SHOW_PROGRESS = 8  # changes, from which on a progress bar is shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    init_ = actions.add_parser(
        "init", help="write autotask.toml, with schedules of this machine's crontabs and timers"
    )
    options.add_source(init_)
    init_.add_argument("--force", action="store_true", help="overwrite an existing file")
    export_ = actions.add_parser("export", help="write the monitors as JSON or for Terraform")
    options.add_export(export_)
    export_.add_argument(
        "--prune",
        action="store_true",
        help="delete files of an earlier export that are no longer needed",
    )
    plan_ = actions.add_parser("plan", help="show what `apply` would change")
    options.add_plan(plan_)
    apply_ = actions.add_parser("apply", help="show the changes, then make them")
    options.add_apply(apply_)
    for action in (plan_, apply_):
        action.add_argument(
            "--prune", action="store_true", help="delete monitors that are no longer needed"
        )
    mute = actions.add_parser("mute", help="mute all monitors of a task")
    mute.add_argument(
        "--for",
        dest="span",
        metavar="DURATION",
        type=quantities.parse_duration,
        help="how long: 2h, 3d, ... (default: until `unmute`)",
    )
    for action in (mute, actions.add_parser("unmute", help="end what `mute` started")):
        action.add_argument("task", metavar="TASK", help="its name, as `autotask tasks` shows it")
        options.add_config(action)


def run(arguments: argparse.Namespace) -> int:
    """Run the action; return the exit status."""
    actions: dict[str, Callable[[argparse.Namespace], int | None]] = {
        "init": _init,
        "export": _export,
        "plan": _plan,
        "apply": _apply,
        "mute": _mute,
        "unmute": _unmute,
    }
    return actions[arguments.action](arguments) or 0


def _init(arguments: argparse.Namespace) -> None:
    path = Path(arguments.config or config.FILE)
    if path.exists() and not arguments.force:
        raise ToolError(f"{path} already exists; use --force to overwrite it")
    tasks = session.list_tasks(arguments, Config())
    schedules = session.list_schedules(arguments, tasks, Config())
    path.write_text(init.document(tasks, schedules), encoding="utf-8")
    count = len(tasks) + sum(not local.recorded for local in schedules)
    output.print_rich(output.styled(f"wrote {path} with {counted(count, 'task')}"))
    if not count:
        output.notice(f"no tasks found: {session.why_no_tasks(arguments)}")
    hidden = next((other for other in config.above() if other.name == config.FILE), None)
    if hidden and not arguments.config:
        output.notice(f"in this folder, {path} now replaces {hidden}")


def _export(arguments: argparse.Namespace) -> None:
    folder: Path | None = arguments.output
    if arguments.prune and folder is None:
        raise ToolError("--prune needs a folder: -o DIR")
    wanted = _monitors_to_have(arguments)
    desired = wanted.monitors
    leftovers: list[Path] = []
    if arguments.format == "terraform":
        files = {"monitors.tf": export.terraform_monitors(desired.monitors)}
    elif folder is None:
        files = {"monitors.json": export.json_text(desired.monitors)}
    else:
        files = export.json_files(desired.monitors)
        leftovers = export.leftovers(folder, files, wanted.configuration.set_tags)
    session.write_export(files, arguments)
    for path in leftovers:
        if arguments.prune:
            path.unlink()
            output.notice(f"deleted {path}: no longer needed")
        else:
            output.notice(f"{path} is no longer needed (delete with --prune)")
    for remark in local_schedules.remarks(wanted.schedules, desired.monitors, ()):
        output.notice(remark.text)
    _notice_omitted(desired.omitted)


class _Wanted(NamedTuple):
    """The monitors to have, and what they were made from."""

    configuration: Config
    tasks: list[Task]
    schedules: list[LocalSchedule]
    monitors: monitors.MonitorSet


def _monitors_to_have(arguments: argparse.Namespace) -> _Wanted:
    configuration = session.read_config(arguments)
    tasks = session.list_tasks(arguments, configuration)
    if not tasks and not configuration.sections:
        file = configuration.path or config.FILE
        raise ToolError(f"no tasks found: {session.why_no_tasks(arguments)}; none in {file}")
    schedules = session.list_schedules(arguments, tasks, configuration)
    configuration = local_schedules.with_local(configuration, schedules)
    return _Wanted(configuration, tasks, schedules, monitors.make(tasks, configuration))


def _plan(arguments: argparse.Namespace) -> int:
    wanted = _monitors_to_have(arguments)
    planned = _compare(Api(os.environ), wanted, arguments.prune)
    remarks = _remarks(wanted, planned)
    omitted = _omitted(wanted, planned)
    if arguments.format == "json":
        record = {
            "changes": [plan.record(change) for change in planned.changes],
            "same": planned.same,
            "extra": [{"id": extra["id"], "name": extra["name"]} for extra in planned.extra],
            "left": [{"id": left["id"], "name": left["name"]} for left in planned.left],
            "without": [each._asdict() for each in omitted],
            "remarks": [remark._asdict() for remark in remarks],
        }
        print(json.dumps(record, indent=2))
    else:
        _show_plan(planned)
        for remark in remarks:
            output.notice(remark.text)
        _notice_omitted(omitted)
        _notice_no_recipients(wanted.monitors)
    return session.CHANGES if arguments.exit_code and planned.changes else 0


def _compare(api: Api, wanted: _Wanted, prune: bool) -> plan.Plan:
    configuration = wanted.configuration
    return plan.plan(
        wanted.monitors.monitors,
        api.monitors(configuration.set_tags),
        prune,
        retired.reasons(wanted.tasks, configuration),
        local_schedules.read_elsewhere(configuration, wanted.schedules),
    )


def _remarks(wanted: _Wanted, planned: plan.Plan) -> list[assumptions.Remark]:
    configuration, tasks, schedules, desired = wanted
    return [
        *local_schedules.remarks(schedules, desired.monitors, planned.left),
        *assumptions.remarks(tasks, desired.monitors, configuration, time.time()),
    ]


def _omitted(wanted: _Wanted, planned: plan.Plan) -> list[monitors.Omitted]:
    """Return what was not made, except for what exists and is left alone."""
    left = {tag for monitor in planned.left for tag in monitor["tags"]}
    return [
        omitted
        for omitted in wanted.monitors.omitted
        if omitted.kind != "did_not_run" or f"task:{omitted.task}" not in left
    ]


def _show_plan(planned: plan.Plan) -> None:
    lines = (line for change in planned.changes for line in plan.lines(change))
    output.print_lines((text, _STYLES[sign]) for sign, text in lines)
    for monitor in planned.extra:
        extra = f"  {monitor['name']} is no longer needed (delete with --prune)"
        output.print_rich(output.styled(extra))
    counts = dict.fromkeys(plan.SIGNS, 0)
    for change in planned.changes:
        counts[change.action] += 1
    texts = [f"{count} to {action}" for action, count in counts.items() if count]
    print(f"{', '.join(texts) or 'nothing to do'}; {planned.same} unchanged")


def _notice_omitted(all_omitted: Iterable[monitors.Omitted]) -> None:
    """Say which monitors were not made, in one line for each reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for omitted in all_omitted:
        reasons.setdefault((omitted.kind, omitted.why), []).append(omitted.task)
    for (kind, why), names in reasons.items():
        output.notice(f"{counted(len(names), 'task')} without {kind} ({listed(names)}): {why}")


def _notice_no_recipients(desired: monitors.MonitorSet) -> None:
    """Say so if no monitor notifies anyone: `notify` may have been forgotten."""
    if not any("@" in monitor["message"] for monitor in desired.monitors):
        output.notice("no recipients: set `notify` in autotask.toml")


def _apply(arguments: argparse.Namespace) -> int:
    wanted = _monitors_to_have(arguments)
    api = Api(os.environ)
    planned = _compare(api, wanted, arguments.prune)
    omitted = _omitted(wanted, planned)
    if arguments.format == "text":
        _show_plan(planned)
        for remark in _remarks(wanted, planned):
            output.notice(remark.text)
        _notice_no_recipients(wanted.monitors)
    _notice_omitted(omitted)
    if planned.changes:
        session.confirm(arguments.yes, wanted.configuration)
    status = _carry_out(api, planned, wanted.tasks, arguments.format)
    return 1 if any(each.refused for each in omitted) else status


def _carry_out(api: Api, planned: plan.Plan, tasks: Sequence[Task], form: str) -> int:
    """Make the changes, and report them; return the exit status."""
    results: list[apply.Result] = []
    try:
        with interrupts.Raised():  # Ctrl-C: finish the changes that were started, and report them
            with _progress("validating", len(planned.changes)) as advance:
                validated = apply.validate(api, planned.changes, advance)
            refused = [result for result in validated if result.error]
            valid = [result.change for result in validated if not result.error]
            announced = _announce(api, valid, tasks)
            with _progress("applying", len(valid)) as advance:
                apply.apply(api, valid, results, advance)
    finally:
        if form == "text":
            print(_summary(results))
    failed = [*refused, *(result for result in results if result.error)]
    if form == "json":
        records = [
            {"action": result.change.action, "name": result.change.name, "error": result.error}
            for result in [*refused, *results]
        ]
        print(json.dumps(records, indent=2))
    else:
        for result in failed:
            output.notice(f"{result.change.name}: {result.error}")
    return 0 if announced and not failed else 1


def _announce(api: Api, changes: Sequence[plan.Change], tasks: Sequence[Task]) -> bool:
    try:
        apply.announce(api, changes, tasks)
    except ToolError as problem:
        output.notice(f"could not send a zero count for tasks that never ran: {problem}")
        return False
    return True


def _summary(results: Sequence[apply.Result]) -> str:
    past = {"create": "created", "change": "changed", "replace": "replaced", "delete": "deleted"}
    done = [result.change.action for result in results if not result.error]
    counts = [(done.count(action), word) for action, word in past.items()]
    return ", ".join(f"{count} {word}" for count, word in counts if count) or "nothing was changed"


@contextmanager
def _progress(label: str, count: int) -> Iterator[Callable[[], None]]:
    with output.progress(label, count, long=_SHOW_PROGRESS) as advance:
        yield lambda: advance(1)


def _mute(arguments: argparse.Namespace) -> None:
    end = None if arguments.span is None else time.time() + arguments.span
    api, names = _silences(arguments)
    api.mute(list(names), end)
    if all(silence.scope != downtimes.ALL_GROUPS for silence in names):
        output.notice(
            f"no monitor is for {arguments.task} alone; check the name with `autotask tasks`"
        )
    until = f" until {quantities.local(end):%Y-%m-%d %H:%M}" if end is not None else ""
    _show_silences("muted", arguments.task, until, names)


def _unmute(arguments: argparse.Namespace) -> None:
    api, names = _silences(arguments)
    ended = api.unmute(list(names))
    if ended:
        _show_silences("unmuted", arguments.task, "", {s: names[s] for s in names if s in ended})
    else:
        text = f"nothing to unmute: no monitor of {arguments.task} was muted by `mute`"
        output.print_rich(output.styled(text))


def _silences(arguments: argparse.Namespace) -> tuple[Api, dict[Silence, str]]:
    """Return what mutes a task, each with its monitor's name.

    A monitor of this task alone is muted whole, in others only the groups of this task.
    """
    configuration = session.read_config(arguments)
    api = Api(os.environ)
    tag = f"task:{tag_value('task', arguments.task)}"
    names = {
        downtimes.silence(monitor["id"], tag, alone=tag in monitor["tags"]): monitor["name"]
        for monitor in api.monitors(configuration.set_tags)
        if queries.covers(monitor, tag)
    }
    if not names:
        raise ToolError(f"no monitor created by autotask covers {arguments.task}")
    return api, names


def _show_silences(verb: str, task: str, until: str, names: dict[Silence, str]) -> None:
    lines = [f"{verb} {counted(len(names), 'monitor')} of {task}{until}:"]
    for silence, name in names.items():
        part = "" if silence.scope == downtimes.ALL_GROUPS else f" (only for {task})"
        lines.append(f"  {name}{part}")
    output.print_rich(*map(output.styled, lines))
