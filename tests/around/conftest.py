"""The launcher of a checkout without a .venv is started by the Python that runs the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support import PYTHON


@pytest.fixture(autouse=True)
def path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(PYTHON).parent}{os.pathsep}{os.environ['PATH']}")
