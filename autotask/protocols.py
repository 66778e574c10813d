"""What lines and datagrams need to know of a run, and of a process: for the type checker alone.

No program loads this module: even in a block for the type checker, a class would cost each task the
time to read it.
"""

from __future__ import annotations

from typing import Protocol

from autotask.queued import Queued


class AnyRun(Protocol):
    """A run of this process, or one that is known from the journal."""

    id: str
    root: str
    task: str
    framework: str
    trigger: str
    queued: Queued | None
    server: bool
    bookkeeping: bool


class Stoppable(Protocol):
    """A run that may be a server's: of this process, or one that another process closes."""

    server: bool
    was_stopped: bool


class Tagged(Protocol):
    """What has the tags of a process: its settings, or its started line."""

    service: str | None
    env: str | None
    version: str | None
    tags: dict[str, str]
    entity_id: str | None
