"""A Datadog to talk to, and tasks to talk about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tool.datadog import server
from tool.journals import DAY, HOUR, Book


@pytest.fixture
def datadog(monkeypatch: pytest.MonkeyPatch) -> Iterator[server.Datadog]:
    """Start a Datadog; the commands of the test find it, and have its keys."""
    datadog, running = server.start()
    monkeypatch.setenv("DATADOG_HOST", datadog.url)
    monkeypatch.setenv("DD_API_KEY", server.API_KEY)
    monkeypatch.setenv("DD_APP_KEY", server.APP_KEY)
    yield datadog
    running.shutdown()
    running.server_close()


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
