"""Journals of past runs, as the agent would have written them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from support import Tags

from autotask import homes, journal
from autotask.run import SUCCESS, End, Outcome, Run


class Past(NamedTuple):
    """A run that has ended."""

    task: str
    at: float  # when it started, POSIX seconds
    duration: float
    framework: str = "process"
    outcome: Outcome = SUCCESS
    trigger: str = "cron"
    service: str | None = "shop"
    env: str | None = "prod"
    inside: str | None = None  # the program that ran it
    server: bool = False


def write(home: Path, runs: Iterable[Past]) -> None:
    """Write the segments of the journal."""
    segments: dict[str, list[str]] = {}
    for past in runs:
        segments.setdefault(journal.segment(past.at), []).extend(_lines(past))
    folder = home / "journal"
    homes.make_folder(str(folder))
    for name, lines in segments.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _lines(past: Past) -> Iterator[str]:
    run = Run(past.task, past.framework)
    run.started, run.trigger = past.at, past.trigger
    if past.inside:
        program = Run(past.inside, "process")
        program.started, program.trigger = past.at - 0.5, past.trigger
        run.parent, run.root = program.id, program.root
        yield from _both(program, past, past.duration + 1)
    yield from _both(run, past, past.duration)


def _both(run: Run, past: Past, duration: float) -> Iterator[str]:
    process = journal.process_fields(1, "b/1/1", "web-1", "3.12.1", Tags(past.service, past.env))
    run.server = past.server
    yield journal.started_line(run, process)
    end = End(past.outcome, run.started + duration, duration)
    yield journal.finished_line(run, end)
