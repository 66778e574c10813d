"""What the tests about troubles share."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tool.journals import Book

from autotask.tool.datadog import config
from autotask.tool.datadog.config import Config
from autotask.tool.journal.index import open_index
from autotask.tool.schedule import since
from autotask.tool.schedule.machine import Job
from autotask.tool.troubles.find import find, now_standing
from autotask.tool.troubles.trouble import Trouble

DAY = 86400.0


@pytest.fixture(autouse=True)
def _boot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine have been booted long ago."""
    long_ago = time.time() - 90 * DAY
    monkeypatch.setattr(since, "booted", lambda: long_ago)


def settings(**of_nightly: Any) -> Config:
    """Return a configuration file with a section for the task `nightly`."""
    return replace(config.parse({"task": {"nightly": of_nightly}}), path=Path("autotask.toml"))


@pytest.fixture
def found(book: Book) -> Callable[..., list[Trouble]]:
    """Return a function that tells what went wrong in the last day."""

    def find_them(
        file: Config | None = None,
        *,
        span: float = DAY,
        jobs: Sequence[Job] = (),
        tasks: Sequence[str] = (),
        now: float = 0.0,
    ) -> list[Trouble]:
        at = now or time.time()
        with contextlib.closing(open_index(str(book.home))) as index:
            return find(index, jobs, file or Config(), at - span, at, tasks)

    return find_them


@pytest.fixture
def standing(book: Book) -> Callable[..., list[Trouble]]:
    """Return a function that tells what is wrong now."""

    def find_them(file: Config | None = None, *, since: float = 0.0) -> list[Trouble]:
        with contextlib.closing(open_index(str(book.home))) as index:
            return now_standing(index, (), file or Config(), time.time(), (), since)

    return find_them
