"""Tasks to talk about with a Datadog, and a folder to do it in."""

from __future__ import annotations

from pathlib import Path

import pytest
from tool.journals import DAY, HOUR, Book


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
