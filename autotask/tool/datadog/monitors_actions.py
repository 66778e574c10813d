"""`autotask monitors`: from the tasks that were seen to what Datadog watches."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from autotask.tool import interrupts, output, quantities
from autotask.tool.datadog import apply as applying
from autotask.tool.datadog import (
    assumptions,
    config,
    downtimes,
    export,
    init,
    monitors,
    plan,
    retired,
)
from autotask.tool.datadog import baselines as seen
from autotask.tool.datadog.api import Api
from autotask.tool.datadog.baselines import Task
from autotask.tool.datadog.config import Config
from autotask.tool.datadog.downtimes import Silence
from autotask.tool.errors import ToolError
from autotask.tool.journal import opening

if TYPE_CHECKING:
    from rich.text import Text

_STYLES = {"+": "green", "-": "red", "~": "yellow", "±": "yellow", "": ""}
CHANGES = 2  # the exit status of `plan --exit-code`
_LONG_WORK = 8  # changes, from which on a bar shows how far it has come
_NAMED = 4  # tasks in a line about many


def tasks_seen(arguments: argparse.Namespace, wishes: Config) -> list[Task]:
    """Return the tasks, from Datadog or the local history."""
    if arguments.from_datadog:
        return _seen_by_datadog(Api(os.environ), wishes)
    return opening.ask(lambda index: seen.from_index(index) if index else [])


def _seen_by_datadog(api: Api, wishes: Config) -> list[Task]:
    scope = "".join(f",{tag}" for tag in wishes.scope)
    runs, durations = (
        api.query(query.format(scope=scope, bucket=seen.BUCKET), seen.SEEN_SPAN)
        for query in (seen.RUNS_SEEN, seen.DURATIONS_SEEN)
    )
    _tell_often([name for name in seen.often(runs) if not _interval_is_said(name, wishes)])
    return seen.from_series(runs, durations)


def _interval_is_said(name: str, wishes: Config) -> bool:
    said = wishes.wishes_for(name)
    return said.interval is not None or said.schedule is not None


def _tell_often(names: list[str]) -> None:
    if names:
        output.notice(
            f"{_counted(len(names), 'task')} counted as hourly ({_some(names)}): "
            "Datadog tells the hour of a run, and no more: say an interval"
        )


def read_config(arguments: argparse.Namespace) -> Config:
    """Read the configuration file, and say which one it is."""
    wishes = config.load(arguments.config)
    if getattr(arguments, "format", None) == "text":
        nearest = wishes.path or f"none ({config.FILE} is not in this folder nor above it)"
        output.print_rich(output.styled(f"configuration file: {nearest}"))
    elif wishes.path is not None and wishes.path.is_absolute() and not arguments.config:
        output.notice(f"configuration file: {wishes.path}")  # not where one would look first
    return wishes


def _wanted(arguments: argparse.Namespace) -> tuple[Config, list[Task], monitors.Made]:
    wishes = read_config(arguments)
    tasks = tasks_seen(arguments, wishes)
    if not tasks and not wishes.sections:
        where = wishes.path or config.FILE
        raise ToolError(f"no tasks found: {_why_none(arguments)}; none in {where}")
    return wishes, tasks, monitors.made(tasks, wishes)


def _why_none(arguments: argparse.Namespace) -> str:
    """Say why no task was seen."""
    if arguments.from_datadog:
        return "Datadog has seen none in 14 days (runs from a terminal are ignored)"
    by_hand = opening.ask(lambda index: None if index is None else seen.from_terminal(index))
    if by_hand is None:
        return opening.NO_RUNS
    if not by_hand:
        return "no runs in the last 60 days"
    return (
        f"{quantities.runs_text(by_hand)} in the last 60 days, from a terminal only, and these "
        "are ignored: let cron, a timer or CI start a task"
    )


def _init(arguments: argparse.Namespace) -> None:
    path = Path(arguments.config or config.FILE)
    if path.exists() and not arguments.force:
        raise ToolError(f"{path} already exists; use --force to overwrite it")
    tasks = tasks_seen(arguments, Config())
    path.write_text(init.document(tasks), encoding="utf-8")
    output.print_rich(output.styled(f"wrote {path} with {_counted(len(tasks), 'task')}"))
    if not tasks:
        output.notice(f"no tasks found: {_why_none(arguments)}")
    above = next((one for one in config.above() if one.name == config.FILE), None)
    if above and not arguments.config:
        output.notice(f"from this folder, {above} is not read any more")


def _export(arguments: argparse.Namespace) -> None:
    wishes, _, made = _wanted(arguments)
    folder: Path | None = arguments.output
    if arguments.prune and folder is None:
        raise ToolError("--prune needs a folder: -o DIR")
    left: list[Path] = []
    if arguments.format == "terraform":
        files = {"monitors.tf": export.terraform_monitors(made.monitors)}
    elif folder is None:
        files = {"monitors.json": export.json_text(made.monitors)}
    else:
        files = export.json_files(made.monitors)
        left = export.left_behind(folder, files, monitors.set_tags(wishes))
    print_export(files, arguments)
    for path in left:
        if arguments.prune:
            path.unlink()
            output.notice(f"removed {path}: no longer needed")
        else:
            output.notice(f"{path} is no longer needed (--prune removes it)")
    _tell_without(made)


def print_export(files: dict[str, str], arguments: argparse.Namespace) -> None:
    """Write files into a folder, or what is in them to standard output."""
    folder: Path | None = arguments.output
    if arguments.format == "terraform":
        files = export.with_provider(files, folder)
    if folder is None:
        sys.stdout.write("\n".join(files.values()))
    else:
        export.write(files, folder)
        output.print_rich(output.styled(f"wrote {_counted(len(files), 'file')} into {folder}"))


def _plan(arguments: argparse.Namespace) -> int:
    wishes, tasks, made = _wanted(arguments)
    todo = _planned(Api(os.environ), wishes, tasks, made, arguments.prune)
    remarked = assumptions.remarks(tasks, made.monitors, wishes, time.time())
    if arguments.format == "json":
        record = {
            "changes": [plan.record(change) for change in todo.changes],
            "same": todo.same,
            "extra": [{"id": one["id"], "name": one["name"]} for one in todo.extra],
            "without": [one._asdict() for one in made.without],
            "remarks": [one._asdict() for one in remarked],
        }
        print(json.dumps(record, indent=2))
    else:
        _show(todo)
        _tell_remarks(remarked)
        _tell_without(made)
        _tell_nobody(made)
    return CHANGES if arguments.exit_code and todo.changes else 0


def _planned(
    api: Api, wishes: Config, tasks: Sequence[Task], made: monitors.Made, prune: bool
) -> plan.Plan:
    found = api.monitors(monitors.set_tags(wishes))
    return plan.plan(made.monitors, found, prune, retired.reasons(tasks, wishes))


def _show(todo: plan.Plan) -> None:
    show_lines(line for change in todo.changes for line in plan.lines(change))
    for monitor in todo.extra:
        extra = f"  {monitor['name']} is no longer needed (--prune deletes it)"
        output.print_rich(output.styled(extra))
    counts = dict.fromkeys(plan.SIGNS, 0)
    for change in todo.changes:
        counts[change.action] += 1
    told = [f"{count} to {action}" for action, count in counts.items() if count]
    print(f"{', '.join(told) or 'nothing to do'}; {todo.same} unchanged")


def show_lines(lines: Iterator[tuple[str, str]]) -> None:
    """Print the lines of changes; in their colours where a person looks on."""
    if not output.for_terminal():
        sys.stdout.writelines(f"{output.clean(text)}\n" for _, text in lines)
        return
    from rich.text import Text

    texts: list[Text] = [output.styled(text, _STYLES[sign]) for sign, text in lines]
    if texts:
        output.print_rich(Text("\n", no_wrap=True, overflow="ignore").join(texts))


def _apply(arguments: argparse.Namespace) -> int:
    wishes, tasks, made = _wanted(arguments)
    api = Api(os.environ)
    todo = _planned(api, wishes, tasks, made, arguments.prune)
    if arguments.format == "text":
        _show(todo)
        _tell_remarks(assumptions.remarks(tasks, made.monitors, wishes, time.time()))
        _tell_nobody(made)
    _tell_without(made)
    if todo.changes:
        confirm(arguments.yes, wishes)
    status = _applied(api, todo, tasks, arguments.format)
    return 1 if any(one.refused for one in made.without) else status


def confirm(sure: bool, wishes: Config) -> None:
    """Ask before anything is changed, unless --yes was given.

    Raises:
        ToolError: The user declined, or there is no terminal for the question.
    """
    if sure:
        return
    sys.stdout.flush()  # what is about to change is to be seen first, also in a log
    missing = "" if wishes.path else f"no {config.FILE} was found in this folder or above it"
    if sys.stdin is None or not sys.stdin.isatty():
        told = f" ({missing})" if missing else ""
        raise ToolError(f"not a terminal: pass --yes to apply without confirmation{told}")
    sys.stderr.write(f"{missing}; apply without it? [y/N] " if missing else "change this? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ToolError("nothing was changed")


def _applied(api: Api, todo: plan.Plan, tasks: Sequence[Task], form: str) -> int:
    done: list[applying.Done] = []
    try:
        with interrupts.Raised():  # what was begun is finished, and told
            with _progress("asking Datadog", len(todo.changes)) as advance:
                checked = applying.validated(api, todo.changes, advance)
            refused = [one for one in checked if one.error]
            good = [one.change for one in checked if not one.error]
            seeded = _seeded(api, good, tasks)
            with _progress("writing", len(good)) as advance:
                applying.apply(api, good, done, advance)
    finally:
        if form == "text":
            print(_told(done))
    failed = [*refused, *(one for one in done if one.error)]
    if form == "json":
        print(json.dumps([_record(one) for one in [*refused, *done]], indent=2))
    else:
        for one in failed:
            output.notice(f"{one.change.name}: {one.error}")
    return 0 if seeded and not failed else 1


def _told(done: Sequence[applying.Done]) -> str:
    past = {"create": "created", "change": "changed", "replace": "replaced", "delete": "deleted"}
    counts = [
        (word, sum(one.change.action == action for one in done if not one.error))
        for action, word in past.items()
    ]
    return ", ".join(f"{count} {word}" for word, count in counts if count) or "nothing was changed"


def _record(one: applying.Done) -> dict[str, object]:
    return {"action": one.change.action, "name": one.change.name, "error": one.error}


def _seeded(api: Api, changes: Sequence[plan.Change], tasks: Sequence[Task]) -> bool:
    """Let Datadog know the series of tasks that never ran: what it never saw it does not miss.

    That goes first: an `apply` that is cut off does it again.
    """
    seen_tags = {f"task:{task.name}" for task in tasks}
    new = [one.wanted for one in changes if one.action in ("create", "replace") and one.wanted]
    awaited = [monitors.awaited(one) for one in new if seen_tags.isdisjoint(one["tags"])]
    series = dict.fromkeys(tuple(tags) for tags in awaited if tags)  # a task may have several
    try:
        api.seed("autotask.task.runs", list(series))
    except ToolError as problem:
        output.notice(f"what never ran could not be announced: {problem}")
        return False
    return True


def _mute(arguments: argparse.Namespace) -> None:
    end = None if arguments.span is None else time.time() + arguments.span
    until = "" if end is None else f" until {_moment(end)}"
    api, found = _of_task(arguments)
    api.mute(list(found), end)
    if all(silence.scope != downtimes.ALL_GROUPS for silence in found):
        output.notice(
            f"no monitor is of {arguments.task} alone: is that its name in `autotask tasks`?"
        )
    _tell_silences("muted", arguments.task, until, found)


def _unmute(arguments: argparse.Namespace) -> None:
    api, found = _of_task(arguments)
    unmuted = api.unmute(list(found))
    if unmuted:
        names = {silence: name for silence, name in found.items() if silence in unmuted}
        _tell_silences("unmuted", arguments.task, "", names)
    else:
        told = f"nothing was muted: no monitor of {arguments.task} has a downtime of `mute`"
        output.print_rich(output.styled(told))


def _tell_silences(done: str, task: str, until: str, names: Mapping[Silence, str]) -> None:
    """Name the monitors; of one for many tasks, say that it is this task's part alone."""
    lines = [f"{done} {_counted(len(names), 'monitor')} of {task}{until}:"]
    for silence, name in names.items():
        part = "" if silence.scope == downtimes.ALL_GROUPS else f" (only for {task})"
        lines.append(f"  {name}{part}")
    output.print_rich(*map(output.styled, lines))


def _moment(seconds: float) -> str:
    return quantities.local(seconds).strftime("%Y-%m-%d %H:%M")


def _of_task(arguments: argparse.Namespace) -> tuple[Api, dict[Silence, str]]:
    """Return what mutes a task's monitors, or its groups in those of many tasks; with names."""
    wishes = read_config(arguments)
    api = Api(os.environ)
    tag = f"task:{seen.tag_value('task', arguments.task)}"
    ours = api.monitors(monitors.set_tags(wishes))
    found = {
        downtimes.silence(one["id"], tag, alone=tag in one["tags"]): one["name"]
        for one in ours
        if monitors.is_about(one, tag)
    }
    if not found:
        raise ToolError(f"none of our monitors watches {arguments.task}")
    return api, found


def _tell_remarks(remarked: Sequence[assumptions.Remark]) -> None:
    for one in remarked:
        output.notice(one.text)


def _tell_without(made: monitors.Made) -> None:
    """Say which monitors there are not, and why: a line for each reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for one in made.without:
        reasons.setdefault((one.kind, one.why), []).append(one.task)
    for (kind, why), names in reasons.items():
        output.notice(f"{_counted(len(names), 'task')} without {kind} ({_some(names)}): {why}")


def _tell_nobody(made: monitors.Made) -> None:
    """Say so where all monitors are to be looked at: that is a choice, or was forgotten."""
    if not any("@" in one["message"] for one in made.monitors):
        output.notice("no recipients: set `notify` in autotask.toml")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


@contextmanager
def _progress(what: str, count: int) -> Iterator[Callable[[], None]]:
    with output.progress(what, count, long=_LONG_WORK) as advance:
        yield lambda: advance(1)


ACTIONS: dict[str, Callable[[argparse.Namespace], int | None]] = {
    "init": _init,
    "export": _export,
    "plan": _plan,
    "apply": _apply,
    "mute": _mute,
    "unmute": _unmute,
}
