"""What the tests of the tool share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tool.datadog import server
from tool.journals import Book

from autotask.tool.schedule import zone


@pytest.fixture
def book(home: Path) -> Book:
    """Give the journal that the commands of the test will read."""
    return Book(home)


@pytest.fixture
def datadog(monkeypatch: pytest.MonkeyPatch) -> Iterator[server.Datadog]:
    """Start a fake Datadog; the commands of the test find it and have its keys."""
    datadog, running = server.start()
    monkeypatch.setenv("DATADOG_HOST", datadog.url)
    monkeypatch.setenv("DD_API_KEY", server.API_KEY)
    monkeypatch.setenv("DD_APP_KEY", server.APP_KEY)
    yield datadog
    running.shutdown()
    running.server_close()


@pytest.fixture
def set_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Return a function that sets TZ for this process and its children."""
    asked = (zone.of_this_machine, zone.of_localtime, zone.of_cron)

    def forget() -> None:
        time.tzset()
        for function in asked:
            function.cache_clear()

    def set_it(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        forget()

    yield set_it
    monkeypatch.undo()
    forget()
