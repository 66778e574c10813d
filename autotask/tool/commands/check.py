"""`autotask check`: what went wrong since the last check."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from autotask import homes, journal
from autotask.settings import Settings
from autotask.tool import output, quantities, summaries
from autotask.tool.errors import ToolError, in_one_line
from autotask.tool.journal import filters, opening, ownership
from autotask.tool.journal.index import Index
from autotask.tool.notify.targets import Targets, add_targets, send, web_address
from autotask.tool.schedule import machine
from autotask.tool.schedule.places import HERE, Places
from autotask.tool.troubles import find, nagios, state
from autotask.tool.troubles.looking import Look
from autotask.tool.troubles.trouble import Event, Told, Trouble, summed_up

DESCRIPTION = """\
Tell what went wrong since the last check: tasks that failed, did not run when they were due, are
late, hang, took longer than usual, overlapped, or retried a lot. Each is told once, in one line,
and the exit status is then 1; if all is well nothing is printed, and it is 0. The limits are those
of the monitors. What a person starts at a terminal does not count. With --nagios: what is wrong
now, each task by its last run, in one line; exit status 0, 1, 2, or 3 if that is not known."""
_NAMED = 5  # tasks in a title


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    filters.add_filter(parser, "--task", "GLOB", "only tasks whose name matches: 'db.*'")
    parser.add_argument(
        "--since",
        metavar="LAST",
        type=quantities.parse_since,
        help="what went wrong in the last 24h, 1h30m, 2w, or since yesterday, 2026-11-28, ..., "
        "whether or not it has been told",
    )
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--nagios", action="store_true", help="be a plugin of Nagios or Icinga")
    forms.add_argument(
        "--format", type=filters.one_document, choices=("text", "json"), default="text"
    )
    parser.add_argument(
        "--ping",
        metavar="URL",
        type=web_address,
        help="if all is well, ask for this address: a dead man's switch outside",
    )
    add_targets(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check; return the exit status."""
    return check(arguments, HERE, time.time())


def check(arguments: argparse.Namespace, places: Places, now: float) -> int:
    """Check a machine at a POSIX time; return the exit status."""
    return (
        _by_state(arguments, places, now) if arguments.nagios else _by_news(arguments, places, now)
    )


def _by_state(arguments: argparse.Namespace, places: Places, now: float) -> int:
    """Print what is wrong now in one line."""
    try:
        if Targets.of(arguments).are_named():
            raise ToolError("--nagios notifies nobody: Nagios does")
        status, line = nagios.line(*_Check(arguments, places, now).standing())
        if not status and arguments.ping:
            _ping(arguments.ping)
    except Exception as problem:
        why = in_one_line(problem) or f"{type(problem).__name__}: {problem}"
        status, line = 3, nagios.text(3, why)
    print(line)
    return status


def _by_news(arguments: argparse.Namespace, places: Places, now: float) -> int:
    """Tell what has not been told yet."""
    checking = _Check(arguments, places, now)
    if arguments.since is None:
        troubles = checking.tell_and_remember()
    else:
        troubles = checking.tell(Told(arguments.since))
    if not troubles and arguments.ping:
        _ping(arguments.ping)
    return 1 if troubles else 0


def _ping(url: str) -> None:
    from autotask.tool.troubles.ping import ping  # urllib.request takes 20 ms

    ping(url)


class _Check:
    """A check of one machine, at one time."""

    def __init__(self, arguments: argparse.Namespace, places: Places, now: float) -> None:
        self._arguments = arguments
        self._now = now
        self._home = Settings(os.environ).home
        self._jobs, _ = machine.jobs(places)  # `autotask cron list` tells the problems
        if not os.path.isdir(self._home or ""):
            self._no_runs()
        self._config = summaries.configuration()

    def _no_runs(self) -> None:
        """Refuse to say that all is well if nothing is known."""
        if not any(job.watched for job in self._jobs):
            raise ToolError(opening.no_runs())

    def _look(self, index: Index | None, told: Told) -> Look:
        if index is None:
            self._no_runs()
        look = Look(index, self._jobs, self._config, told, self._now, self._arguments.task)
        for glob in look.unmatched():  # a mistyped one must not say that all is well
            raise ToolError(f"no task is known that matches --task {glob}: see `autotask tasks`")
        return look

    def standing(self) -> tuple[list[Trouble], int]:
        """Return what is wrong now, and how many tasks there are."""
        since = self._arguments.since or 0.0

        def answer(index: Index | None) -> tuple[list[Trouble], int]:
            look = self._look(index, Told(since))
            troubles = find.standing(look)
            return summed_up(troubles), sum(map(look.wants, look.frameworks))

        return opening.ask(answer)

    def tell_and_remember(self) -> bool:
        """Tell what no check has told, and remember it; return whether there was anything."""
        with contextlib.ExitStack() as stack:
            try:
                home, which = self._memory()
                stack.enter_context(state.alone(home))
            except OSError as problem:
                self.tell(Told(self._now - state.DAY))
                raise ToolError(
                    f"cannot remember what was told ({in_one_line(problem)}): this was the last "
                    "day; use --since, which remembers nothing"
                ) from None
            told = state.read(home, which, self._now)
            events = self._events(told)
            troubles = self._tell(events, told)
            state.write(home, which, told, events, self._now)
            return troubles

    def _memory(self) -> tuple[str, str]:
        """Return where it is remembered what was told, and under which name.

        That is in the home that is checked; of another user's home, in this user's own. Raises
        OSError if there is none.
        """
        home = self._home or ""
        own, _ = homes.settle(home)
        why = ownership.find(Settings(os.environ)).why
        if own == home and why:
            raise PermissionError(errno.EACCES, why, own)
        is_in_it = home in (own, os.path.dirname(own))  # the latter if it is shared
        return own, state.choice(self._arguments.task, "" if is_in_it else home)

    def tell(self, told: Told) -> bool:
        """Tell what has not been told; return whether there was anything."""
        return self._tell(self._events(told), told)

    def _events(self, told: Told) -> list[Event]:
        return opening.ask(lambda index: find.events(self._look(index, told)))

    def _tell(self, events: Sequence[Event], told: Told) -> bool:
        """Print what is new and send it; return whether there was anything.

        Raises:
            ToolError: Nobody reads it, or it could not be sent: then it is not told.
        """
        troubles = summed_up(event for event in events if event.key not in told.keys)
        lines = [output.clean(nagios.in_line(trouble)) for trouble in troubles]
        document = self._document(troubles, told)
        in_json = self._arguments.format == "json"
        try:
            for line in [json.dumps(document, indent=2)] if in_json else lines:
                print(line)
            sys.stdout.flush()
        except BrokenPipeError:
            raise ToolError("nobody reads what went wrong") from None
        targets = Targets.of(self._arguments)
        if troubles and targets.are_named():
            send(targets, _title(troubles), "".join(f"{line}\n" for line in lines), document)
        return bool(troubles)

    def _document(self, troubles: Sequence[Trouble], told: Told) -> dict[str, Any]:
        return {
            "host": os.uname().nodename,
            "since": journal.moment(told.since if told.until is None else told.until),
            "until": journal.moment(self._now),
            "troubles": [
                {**trouble._asdict(), "at": journal.moment(trouble.at)} for trouble in troubles
            ],
        }


def _title(troubles: Sequence[Trouble]) -> str:
    names = list(dict.fromkeys(output.clean(trouble.task) for trouble in troubles))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"trouble with {', '.join(names[:_NAMED])}{more} on {os.uname().nodename}"
