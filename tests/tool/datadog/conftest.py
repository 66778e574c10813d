"""Fixtures: recorded tasks, an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from tool.journals import DAY, HOUR, Book


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
