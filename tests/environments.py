"""Virtual environments and their packages, made quickly and without pip."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from support import PYTHON

EXAMPLE = Path(__file__).resolve().parent / "plugin_example"


def make(place: Path, python: str | Path = PYTHON) -> Path:
    """Make an empty environment; return its interpreter."""
    command = [str(python), "-m", "venv", "--without-pip", str(place)]
    subprocess.run(command, check=True, capture_output=True)
    return place / "bin" / "python"


def site(python: Path) -> Path:
    """Return where an environment keeps its packages."""
    (found,) = python.parent.parent.glob("lib/python*/site-packages")
    return found


def install(folder: Path, name: str, version: str, points: Mapping[str, str] | None = None) -> None:
    """Write what an installer leaves of a distribution: its name, and our group's entry points."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = "".join(f"{module} = {target}\n" for module, target in (points or {}).items())
    (info / "entry_points.txt").write_text(f"[autotask.frameworks]\n{lines}")


def install_example(folder: Path) -> None:
    """Install the example plugin as its pyproject.toml says."""
    text = (EXAMPLE / "pyproject.toml").read_text()
    table = text.partition('[project.entry-points."autotask.frameworks"]\n')[2].partition("\n\n")[0]
    points = dict(re.findall(r'^(\S+) = "(.+)"$', table, re.MULTILINE))
    assert points
    install(folder, "autotask-cmd", "1.0", points)
    shutil.copy(EXAMPLE / "autotask_cmd.py", folder)
