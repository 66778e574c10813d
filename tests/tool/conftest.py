"""What the tests of the tool share."""

from __future__ import annotations

from pathlib import Path

import pytest
from tool.journals import Book


@pytest.fixture
def book(home: Path) -> Book:
    """Give the journal that the commands of the test will read."""
    return Book(home)
