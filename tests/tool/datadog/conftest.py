"""Fixtures: recorded tasks, an empty folder, a time zone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tool.journals import DAY, HOUR, Book

from autotask.tool.datadog import zone


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to an empty folder, for autotask.toml."""
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return project


@pytest.fixture
def nightly(book: Book) -> Book:
    """Record ten nights of one task, and a day of an hourly one."""
    for night in range(10):
        book.run("nightly", ago=(night + 1) * DAY, duration=600)
    for hour in range(24):
        book.run("mail", ago=(hour + 1) * HOUR, duration=5)
    return book


@pytest.fixture
def set_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Return a function that sets TZ for this process and its children."""

    def set_it(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()
        zone.of_this_machine.cache_clear()

    yield set_it
    monkeypatch.undo()
    time.tzset()
    zone.of_this_machine.cache_clear()
