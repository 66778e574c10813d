"""Which Python processes are runs of their own under plain PYTHONPATH, and by what name."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support import PYTHON, environment, run_program, runs, write

SCRIPT = "print('done')"

# What follows the interpreter, and the name of its run; None where it is none by itself.
PROGRAMS = [
    (["nightly.py"], "nightly.py"),
    (["-u", "-X", "utf8", "nightly.py", "--key=secret"], "nightly.py"),
    (["folder/nightly"], "nightly"),
    (["-m", "package"], "package"),
    (["-m", "package.jobs", "-c"], "package.jobs"),
    (["-mpackage.jobs"], "package.jobs"),
    (["-Bm", "package.jobs"], "package.jobs"),
    (["build.py"], "build.py"),  # like a tool's name, but the user's own
    (["site.py"], "site.py"),
    (["-c", "print('done')"], None),
    (["-"], None),
    ([], None),
    (["-m", "site", "--user-base"], None),
    (["-m", "compileall", "-h"], None),
    (["-m", "venv", "-h"], None),
    (["pip3.12"], None),
    (["folder/pip"], None),
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in "nightly.py build.py folder/nightly folder/pip pip3.12".split():
        write(tmp_path / name, SCRIPT)
    # A module named `site` beside the script would be the interpreter's own.
    write(tmp_path / "site.py", SCRIPT)
    for name in ("__init__", "__main__", "jobs"):
        write(tmp_path / "package" / f"{name}.py", SCRIPT if name != "__init__" else "")
    return tmp_path


def names(home: Path) -> list[str]:
    return [run["task"] for run in runs(home)]


@pytest.mark.parametrize(("words", "name"), PROGRAMS, ids=lambda value: str(value)[:40])
def test_a_program_is_named_by_its_command_line(
    words: list[str], name: str | None, place: Path, home: Path
) -> None:
    ended = run_program(PYTHON, *words, cwd=place, stdin=SCRIPT)
    assert ended.stderr == ""
    assert names(home) == ([name] if name else [])


@pytest.mark.parametrize(
    ("value", "words", "name"),
    [
        ("auto", ["nightly.py"], "nightly.py"),
        ("1", ["nightly.py"], "nightly.py"),
        ("0", ["nightly.py"], None),
        ("off", ["nightly.py"], None),
        ("1", ["-c", "print('done')"], os.path.basename(PYTHON)),
        ("1", ["pip3.12"], os.path.basename(PYTHON)),
        ("maybe", ["nightly.py"], "nightly.py"),
        ("maybe", ["-c", "print('done')"], None),
    ],
)
def test_autotask_process_decides(
    value: str, words: list[str], name: str | None, place: Path, home: Path
) -> None:
    run_program(PYTHON, *words, cwd=place, env={"AUTOTASK_PROCESS": value})
    assert names(home) == ([name] if name else [])


def test_autotask_name_wins(place: Path, home: Path) -> None:
    run_program(PYTHON, "nightly.py", cwd=place, env={"AUTOTASK_NAME": "month end"})
    assert names(home) == ["month end"]


def test_a_program_that_a_run_has_started_is_none_of_its_own(place: Path, home: Path) -> None:
    outer = f"import subprocess; subprocess.run([{PYTHON!r}, 'nightly.py'], check=True)"
    run_program(write(place / "outer.py", outer), cwd=place)
    assert names(home) == ["outer.py"]


def test_of_a_program_that_runs_itself_anew_there_is_one_run(place: Path, home: Path) -> None:
    script = write(
        place / "again.py",
        "import os, sys\n"
        "if len(sys.argv) < 2: os.execv(sys.executable, [sys.executable, *sys.argv, 'again'])\n",
    )
    with subprocess.Popen([PYTHON, script], env=environment("path"), cwd=place) as program:
        assert program.wait() == 0
    assert names(home) == ["again.py"]
