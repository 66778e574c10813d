"""Ruby for the tests."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture(scope="session")
def ruby() -> str:
    """Return the path of Ruby; skip the test where there is none."""
    path = shutil.which("ruby")
    if path is None or shutil.which("rake") is None:
        pytest.skip("needs Ruby and Rake (apt-get install ruby rake)")
    return path
