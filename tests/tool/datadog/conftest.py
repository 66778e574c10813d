"""Tasks to talk about with a Datadog, and a folder to do it in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tool.journals import DAY, HOUR, Book

from autotask.tool.datadog import zone


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to an empty folder, where autotask.toml would be."""
    place = tmp_path / "project"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def nightly(book: Book) -> Book:
    """Write ten nights of one task, and a day of an hourly one."""
    for night in range(10):
        book.run("nightly", ago=(night + 1) * DAY, duration=600)
    for hour in range(24):
        book.run("mail", ago=(hour + 1) * HOUR, duration=5)
    return book


@pytest.fixture
def set_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Give what sets TZ for this process and its children."""

    def set_it(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()
        zone.of_this_machine.cache_clear()

    yield set_it
    monkeypatch.undo()
    time.tzset()
    zone.of_this_machine.cache_clear()
