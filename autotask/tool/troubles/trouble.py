"""One thing that went wrong, and the words for what can go wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

FAILED, IN_A_ROW, MISSED, HANGING = "failed", "in a row", "missed", "hanging"
LATE, SLOW, OVERLAP, RETRIES = "late", "slow", "overlap", "retries"
KINDS = (FAILED, IN_A_ROW, MISSED, HANGING, LATE, SLOW, OVERLAP, RETRIES)  # the worst first
CRITICAL = frozenset((FAILED, IN_A_ROW, MISSED, HANGING))  # the others are warnings


class Trouble(NamedTuple):
    """What is wrong with one task; of several of one kind the last one, and how many there were."""

    kind: str  # of KINDS
    task: str
    at: float  # POSIX seconds: when it ended, was due, or started
    text: str  # what follows the task's name: "failed at 03:12 (exit 3): last line of its output"
    run: str | None  # the run, if it is about one
    times: int = 1  # how many of this kind since then
    user: str | None = None  # in a home that several users share


class Event(NamedTuple):
    """One thing that went wrong, once."""

    kind: str  # of KINDS
    task: str
    at: float  # POSIX seconds: when it ended, was due, or started
    key: str  # by which a later check knows it
    until: float  # POSIX seconds: a later check no longer finds it if it looks at what came after
    once: str  # "failed at 03:12"
    often: str  # "failed {} times, last at 03:12"
    rest: str = ""  # " (exit 3)"
    run: str | None = None
    user: str | None = None
    times: int = 1


class Told(NamedTuple):
    """What an earlier check has told."""

    since: float  # POSIX seconds: all that happened until then
    keys: frozenset[str] = frozenset()  # and of what happened later, these events
    missed: Mapping[str, float] = {}  # POSIX seconds: the last time that a task has missed
    until: float | None = None  # POSIX seconds: when that was


def summed_up(events: Iterable[Event]) -> list[Trouble]:
    """Return one trouble for the events of one kind and task, the worst and newest first."""
    groups: dict[tuple[str, str, str | None], list[Event]] = {}
    for event in events:
        groups.setdefault((event.kind, event.task, event.user), []).append(event)
    troubles = [_summed_up(group) for group in groups.values()]
    return sorted(troubles, key=lambda one: (KINDS.index(one.kind), -one.at, one.task))


def _summed_up(events: list[Event]) -> Trouble:
    last = max(events, key=lambda event: event.at)
    times = sum(event.times for event in events)
    text = last.once if times == 1 else last.often.format(times)
    return Trouble(last.kind, last.task, last.at, text + last.rest, last.run, times, last.user)
