"""Installed once, used everywhere: programs of other environments, with other packages or none.

autotask has its own environment, as pipx would make it; the programs are in others.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support import (
    INSTALLED,
    LAUNCHER,
    OLD,
    PYTHON,
    SUPPORTED,
    TEMPLATE,
    Ended,
    pythons,
    run_program,
    runs,
    write,
)
from test_bootstrap import LOOK
from test_bundle import only_wrapt

pytestmark = pytest.mark.installed


def make_environment(folder: Path, python: Path | str) -> Path:
    """Make a virtual environment; return its Python."""
    subprocess.run((python, "-m", "venv", "--without-pip", folder), check=True)
    return folder / "bin" / "python"


def install(folder: Path, python: Path | str) -> Path:
    """Install autotask into a separate environment; return its `autotask-run`."""
    make_environment(folder, python)
    (site,) = folder.glob("lib/python3*/site-packages")
    for part in (INSTALLED / "autotask", TEMPLATE):
        shutil.copytree(part, site / part.name, ignore=shutil.ignore_patterns("__pycache__"))
    only_wrapt(site)
    return Path(shutil.copy(LAUNCHER, folder / "bin" / "autotask-run"))


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the `autotask-run` of an environment of this Python."""
    return install(tmp_path_factory.mktemp("ours") / "autotask", PYTHON)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """Return an empty environment of this Python for programs."""
    return make_environment(tmp_path / "theirs", PYTHON)


PROGRAM = """
import jobs
print(jobs.nightly(2))
try:
    import wrapt
    print(wrapt.__version__)
except ImportError as problem:
    print(problem)
"""
NAMED = {"AUTOTASK_FUNCTIONS": "jobs:nightly"}


def program(folder: Path) -> Path:
    write(folder / "jobs.py", "def nightly(x): return x + 1\n")
    return write(folder / "main.py", PROGRAM)


def recorded(home: Path) -> list[tuple[str, str]]:
    return [(run["task"], run["status"]) for run in runs(home)]


@pytest.mark.parametrize("version", [*OLD, *SUPPORTED])
def test_a_program_in_another_environment_does_not_see_the_agent(
    version: str, launcher: Path, tmp_path: Path, home: Path
) -> None:
    python = pythons(version)
    if version != "2.7":  # which has no venv
        python = make_environment(tmp_path / "theirs", python)
    script = write(tmp_path / "look.py", LOOK)
    bare = run_program(python, script, "an argument", under="bare")
    ours = run_program(launcher, python, script, "an argument", under="bare")
    assert without_atexit(ours) == without_atexit(bare)
    assert (ours.status, ours.stderr) == (0, "")
    assert recorded(home) == [("look.py", "success")]


def without_atexit(ended: Ended) -> Ended:
    """Leave out the one C module of the library that a launched program must load."""
    return Ended(ended.status, ended.stdout.replace("'atexit', ", ""), ended.stderr)


@pytest.mark.parametrize("version", SUPPORTED)
def test_functions_are_recorded_without_making_wrapt_importable(
    version: str, launcher: Path, tmp_path: Path, home: Path
) -> None:
    python = make_environment(tmp_path / "theirs", pythons(version))
    ended = run_program(launcher, python, program(tmp_path), under="bare", env=NAMED)
    assert ended == Ended(0, "3\nNo module named 'wrapt'\n", "")
    assert recorded(home) == [("main.py", "success"), ("jobs:nightly", "success")]


@pytest.mark.parametrize(("ours", "other"), [("3.9", "3.13"), ("3.13", "3.9")])
def test_the_launcher_and_the_program_may_use_different_pythons(
    ours: str, other: str, tmp_path: Path, home: Path
) -> None:
    launcher = install(tmp_path / "ours", pythons(ours))
    python = make_environment(tmp_path / "theirs", pythons(other))
    ended = run_program(launcher, python, program(tmp_path), under="bare", env=NAMED)
    assert ended == Ended(0, "3\nNo module named 'wrapt'\n", "")
    assert recorded(home) == [("main.py", "success"), ("jobs:nightly", "success")]


OTHERS = {
    "another version": "__version__ = '0.1'",
    "one that is broken": "raise ImportError('0.1')",
}


@pytest.mark.parametrize("wrapt", OTHERS.values(), ids=OTHERS)
def test_a_program_keeps_its_own_wrapt(
    wrapt: str, launcher: Path, theirs: Path, tmp_path: Path, home: Path
) -> None:
    (site,) = theirs.parent.parent.glob("lib/python3*/site-packages")
    write(site / "wrapt" / "__init__.py", wrapt)
    write(site / "wrapt" / "wrappers.py", "raise RuntimeError('not ours to import')")
    ended = run_program(launcher, theirs, program(tmp_path), under="bare", env=NAMED)
    assert ended == Ended(0, "3\n0.1\n", "")
    assert recorded(home) == [("main.py", "success"), ("jobs:nightly", "success")]


def test_recording_functions_loads_only_autotask_and_the_standard_library(
    launcher: Path, theirs: Path, tmp_path: Path
) -> None:
    program(tmp_path)
    look = (
        "import jobs, sys; jobs.nightly(1); print(sys.path)\n"
        "print([name for name, module in sys.modules.items() if not name.startswith('autotask')\n"
        "    and '/autotask/' in str(getattr(module, '__file__', ''))])\n"
        "print([name for name in sys.modules if 'wrapt' in name and name[:9] != 'autotask.'])\n"
    )
    script = write(tmp_path / "look.py", look)
    bare = run_program(theirs, script, under="bare")
    assert run_program(launcher, theirs, script, under="bare", env=NAMED) == bare
    assert bare.stdout.endswith("\n[]\n[]\n")


def test_the_decorator_can_be_imported_without_being_installed(
    launcher: Path, theirs: Path, tmp_path: Path, home: Path
) -> None:
    source = "import autotask\n@autotask.task(name='night')\ndef work(): print('done')\nwork()\n"
    script = write(tmp_path / "main.py", source)
    assert run_program(launcher, theirs, script, under="bare") == Ended(0, "done\n", "")
    assert recorded(home) == [("main.py", "success"), ("night", "success")]


# What a curious user looks at. Each is run bare and under the launcher.
LOOKS = {
    "python -m site": ("-m", "site"),
    "installed packages": (
        "-c",
        (
            "from importlib import metadata; print(sorted(str(d.metadata['Name']) "
            "for d in metadata.distributions()))"
        ),
    ),
    "modules that can be imported": (
        "-c",
        "import pkgutil; print([module.name for module in pkgutil.iter_modules()])",
    ),
    "warnings as errors": ("-W", "error", "-X", "dev", "-c", "print('fine')"),
    "its own warnings": ("-c", "import warnings; warnings.warn('old', DeprecationWarning)"),
    "variables of the interpreter": (
        "-c",
        (
            "import sys, sysconfig; print(sys.prefix, sys.executable, sys.flags, sys.argv, "
            "sys.warnoptions, sys._xoptions, sysconfig.get_paths())"
        ),
    ),
    "threads, signals and open files": (
        "-c",
        (
            "import os, signal, threading; print(threading.enumerate(), sorted(os.listdir("
            "'/proc/self/fd')), [signal.getsignal(n) for n in signal.valid_signals()])"
        ),
    ),
}


@pytest.mark.parametrize("words", LOOKS.values(), ids=LOOKS)
def test_what_a_user_inspects_is_the_same_as_without_the_agent(
    words: tuple[str, ...], launcher: Path, theirs: Path, tmp_path: Path
) -> None:
    bare = run_program(theirs, *words, under="bare", cwd=tmp_path)
    ours = run_program(launcher, theirs, *words, under="bare", cwd=tmp_path)
    assert without_addresses(ours) == without_addresses(bare)
    assert ours.status == 0


def without_addresses(ended: Ended) -> Ended:
    return Ended(ended.status, re.sub(r"\d{9,}", "...", ended.stdout), ended.stderr)


def test_pip_lists_the_same_packages_as_without_the_agent(launcher: Path) -> None:
    words = (PYTHON, "-m", "pip", "--disable-pip-version-check", "list")
    bare = run_program(*words, under="bare")
    if bare.status:
        pytest.skip("no pip in this environment")
    assert run_program(launcher, *words, under="bare") == bare
