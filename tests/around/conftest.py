"""The launcher of a checkout without a .venv is started by the Python that runs the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import PYTHON, wait_until
from terminal import Terminal


@pytest.fixture(autouse=True)
def path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(PYTHON).parent}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def terminal(path: None) -> Iterator[Terminal]:
    found = Terminal()
    found.type("stty -echo; echo re''ady\n")
    found.expect("ready\r\n")
    yield found
    found.close()


@pytest.fixture
def limited_group() -> Iterator[Path]:
    """Make a control group whose processes get 64 MiB, in version 1 or 2."""
    group = _limited_group() if os.geteuid() == 0 else None
    if group is None:
        pytest.skip("cannot make a control group here")
    yield group
    wait_until(lambda: _is_removed(group))


def _limited_group() -> Path | None:
    mine = dict(
        line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines()
    )
    root = Path("/sys/fs/cgroup")
    parents = [root / "memory" / mine["memory"].strip("/")] if "memory" in mine else []
    for parent in [*parents, root / mine.get("", "").strip("/")]:
        group = parent / f"autotask-test-{os.getpid()}"
        try:
            group.mkdir()
            for name in ("memory.limit_in_bytes", "memory.max"):
                if (group / name).exists():
                    (group / name).write_text(str(64 << 20))
                    return group
            group.rmdir()
        except OSError:
            continue
    return None


def _is_removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True
