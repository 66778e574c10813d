"""Virtual environments and their packages: made quickly and without pip, or built once and kept."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from support import INSTALLED, PYTHON, pythons

EXAMPLE = Path(__file__).resolve().parent / "plugin_example"
PROCRASTINATE = EXAMPLE.with_name("plugin_procrastinate")
FRAMEWORKS = Path(__file__).resolve().parent.parent / "build" / "frameworks"

# Most modules of an environment are never imported; the first program compiles the rest.
_INSTALL = (
    "install --quiet --disable-pip-version-check --retries 1 --timeout 30 --no-compile"
).split()

# Scrapy 2.4 wants what later releases of these have no more.
_OLD_TWISTED = "twisted==21.7.* setuptools<70 pyopenssl<22 cryptography<38 service-identity<22"
# Frameworks that do not fit beside others, or are large: the Pythons that a release can have, and
# what is installed. No Python: that of the tests.
_WANTED: dict[tuple[str, str], tuple[tuple[str, ...], str]] = {
    # dbt-core 1.12 needs a package whose installer loads a part of it from GitHub.
    ("dbt", "newest"): ((), "dbt-core<1.12 dbt-duckdb"),
    ("dbt", "oldest"): (("3.9", "3.10"), "dbt-core==1.5.* dbt-duckdb==1.5.* setuptools<70"),
    ("scrapy", "newest"): ((), "scrapy"),
    ("scrapy", "oldest"): (
        ("3.9", "3.10"),
        f"scrapy==2.4.* {_OLD_TWISTED}",
    ),
    ("servers", "newest"): ((), "uvicorn gunicorn hypercorn flask"),
    ("airflow", "newest"): (("3.12", "3.11", "3.10"), "apache-airflow>=3"),
    ("airflow", "oldest"): (
        ("3.12", "3.11", "3.10"),
        "apache-airflow==2.10.* flask-session<0.6 connexion<3",
    ),
}
# These are built if this is "all"; otherwise their tests run only where they were built before.
_ASKED = os.environ.get("FRAMEWORK_ENVIRONMENTS")
_LARGE = ("airflow",)


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
    install(folder, "autotask-cmd", "1.0", entry_points(EXAMPLE))
    shutil.copy(EXAMPLE / "autotask_cmd.py", folder)


def install_procrastinate(folder: Path, framework: str) -> Path:
    """Install the product's module for Procrastinate as a plugin; return its module there.

    It imports all from the promised interface. Its runs are of *framework*, because the name of the
    product's own is excluded.
    """
    install(folder, "autotask-procrastinate", "1.0", entry_points(PROCRASTINATE))
    source = (INSTALLED / "autotask" / "frameworks" / "procrastinate.py").read_text()
    assert source.count('"procrastinate", _Job(') == 1
    source = source.replace('"procrastinate", _Job(', f'"{framework}", _Job(')
    source = source.replace("from autotask import recorder", "import autotask.plugin as recorder")
    source = re.sub(r"from autotask\.\w+ import", "from autotask.plugin import", source)
    place = folder / "autotask_procrastinate.py"
    place.write_text(source)
    return place


def entry_points(plugin: Path) -> dict[str, str]:
    """Return our group's entry points in a plugin's pyproject.toml."""
    text = (plugin / "pyproject.toml").read_text()
    table = text.partition('[project.entry-points."autotask.frameworks"]\n')[2].partition("\n\n")[0]
    points = re.findall(r'^"?([\w.]+)"? = "(.+)"$', table, re.MULTILINE)
    assert points
    return dict(points)


def framework(name: str, release: str) -> Path:
    """Return the Python that has a framework's `oldest` or `newest` release; skip without it."""
    versions, wanted = _WANTED[name, release]
    python = _first(versions) if versions else Path(PYTHON)
    place = FRAMEWORKS / f"{name}-{release}-{_version(python)}"
    if _ASKED != "all" and (name in _LARGE or release == "oldest") and not _is_built(place, wanted):
        pytest.skip(f"{name}'s {release} release is installed with FRAMEWORK_ENVIRONMENTS=all")
    problem = build(place, wanted, python)
    if problem:
        pytest.skip(f"{name} cannot be installed: {problem}")
    return place / "bin" / "python"


def _first(versions: tuple[str, ...]) -> Path:
    for version in versions[:-1]:
        try:
            return pythons(version)
        except pytest.skip.Exception:
            continue
    return pythons(versions[-1])


@cache
def _version(python: Path) -> str:
    code = "import platform; print(platform.python_version())"
    return subprocess.check_output([python, "-Sc", code], text=True).strip()


@cache
def build(place: Path, wanted: str, base: str | Path = PYTHON) -> str:
    """Build an environment if it does not exist yet; return the reason if that is impossible."""
    with _lock(place):
        if _is_built(place, wanted):
            return ""
        shutil.rmtree(place, ignore_errors=True)
        python = make(place, base)
        problem = _run("pip", "--python", str(python), *_INSTALL, *wanted.split())
        if not problem:
            (place / ".ready").write_text(wanted)
        return problem


def _is_built(place: Path, wanted: str) -> bool:
    stamp = place / ".ready"
    return stamp.exists() and stamp.read_text() == wanted and (place / "bin" / "python").exists()


@contextmanager
def _lock(place: Path) -> Iterator[None]:
    """Keep the other workers of pytest-xdist waiting."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{place}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(module: str, *words: str) -> str:
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    said = (done.stderr or done.stdout).strip().splitlines()
    return next((line for line in said if line.startswith("ERROR")), " ".join(said[-1:]))
