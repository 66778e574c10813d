"""A bundle: a folder that any Python from any place turns on, and that brings nothing along."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from support import (
    INSTALLED,
    OLD,
    PYTHON,
    SUPPORTED,
    Ended,
    pythons,
    run_program,
    runs,
    write,
)
from test_bootstrap import LOOK
from test_floors import MODULES, floor

pytestmark = pytest.mark.installed

NEWEST_AND_OLDEST = ("3.13", "3.9")
# Where AUTOTASK_SUPERVISE asks for one.
PARENT = (
    "autotask.around",
    *(
        f"autotask.around.{name}"
        for name in (
            "closing descriptors elsewhere journal_lines late_wire lock marks_left missed_lines"
            " redeliver story supervise sweeping tail undelivered"
        ).split()
    ),
)


@pytest.fixture(autouse=True)
def _no_bytecode_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave bundles as they were made, for they are shared."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


def bundle(folder: Path, *options: str, python: Path | str = PYTHON, path: str = "") -> Ended:
    env = {"PYTHONPATH": os.pathsep.join(filter(None, (str(INSTALLED), path)))}
    tool = ("-m", "autotask.tool.cli", "bundle")
    return run_program(python, *tool, folder, *options, under="bare", env=env)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one bundle for all tests that only use it."""
    folder = tmp_path_factory.mktemp("made") / "autotask"
    done = bundle(folder)
    assert (done.status, done.stderr) == (0, "")
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- what it is ----------------------------------------------------------------------------------


def test_it_holds_what_runs_in_a_process_and_nothing_else(made: Path) -> None:
    ours = {
        str(Path("autotask.d", MODULES[module].relative_to(INSTALLED / "autotask")))
        for module in MODULES
        if floor(module) == "in process" or module in PARENT
    }
    wrapts = {"wrappers.py", "exceptions.py", "LICENSE"}  # wrapt 1 has no exceptions
    found = set(files_in(made))
    assert found - {f"autotask.d/wrapt/{name}" for name in wrapts} == ours | {
        "sitecustomize.py",
        "usercustomize.py",
        "autotask.d/LICENSE",
    }
    assert sum(map(len, files_in(made).values())) < 1 << 20


def test_it_says_how_large_it_is_and_what_turns_it_on(tmp_path: Path) -> None:
    done = bundle(tmp_path / "it's here")
    assert done.status == 0
    first, second = done.stdout.splitlines()
    assert first.startswith(f"{len(files_in(tmp_path))} files, ")
    shell = f"{second}; echo $PYTHONPATH"
    assert run_program("sh", "-c", shell, under="bare").stdout == f"{tmp_path}/it's here\n"


def test_it_brings_the_licences(made: Path) -> None:
    for place, holder in {"": "autotask contributors", "wrapt": "Graham Dumpleton"}.items():
        assert holder in (made / "autotask.d" / place / "LICENSE").read_text()


def test_any_user_may_read_it_whatever_the_umask_is(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        bundle(tmp_path / "new" / "autotask")
    finally:
        os.umask(old)
    made = tmp_path / "new" / "autotask"
    modes = {path: path.stat().st_mode & 0o777 for path in (made, *made.rglob("*"))}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o755}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o644}


@pytest.mark.parametrize("options", [(), ("--force",)])
def test_a_folder_that_is_no_bundle_is_left_alone(options: tuple[str, ...], tmp_path: Path) -> None:
    write(tmp_path / "sitecustomize.py", "mine")
    done = bundle(tmp_path, *options)
    assert (done.status, done.stdout) == (1, "")
    assert done.stderr == (
        f"autotask: {tmp_path} is not empty and not a bundle: choose another folder\n"
    )
    assert files_in(tmp_path) == {"sitecustomize.py": b"mine"}


def test_a_bundle_is_replaced_only_when_forced(tmp_path: Path) -> None:
    write(tmp_path / "autotask.d" / "agent.py", "old")
    done = bundle(tmp_path)
    assert (done.status, done.stdout) == (1, "")
    assert done.stderr == f"autotask: {tmp_path} is a bundle already; use --force to replace it\n"
    assert files_in(tmp_path) == {"autotask.d/agent.py": b"old"}


def test_forced_it_replaces_an_earlier_bundle_and_nothing_else(tmp_path: Path, made: Path) -> None:
    write(tmp_path / "notes.txt", "mine")
    write(tmp_path / "elsewhere.py", "mine")
    (tmp_path / "sitecustomize.py").symlink_to(tmp_path / "elsewhere.py")
    write(tmp_path / "autotask.d" / "of_a_former_version.py", "old")
    assert bundle(tmp_path, "--force").status == 0
    expected = {**files_in(made), "notes.txt": b"mine", "elsewhere.py": b"mine"}
    assert files_in(tmp_path) == expected


@pytest.mark.parametrize("version", NEWEST_AND_OLDEST)
def test_each_python_writes_the_same(version: str, tmp_path: Path, made: Path) -> None:
    path = only_wrapt(tmp_path / "site")
    done = bundle(tmp_path / "made", python=pythons(version), path=str(path))
    assert (done.status, done.stderr) == (0, "")
    assert files_in(tmp_path / "made") == files_in(made)


def only_wrapt(folder: Path) -> Path:
    """Copy wrapt, as it is installed here, into a folder of its own."""
    for file in metadata.files("wrapt") or ():
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix != ".pyc":
            shutil.copy(file.locate(), target)
    return folder


# --- what it does --------------------------------------------------------------------------------

PROGRAM = """
import jobs, sys
print(jobs.nightly(2))
"""
JOBS = "def nightly(x): return x + 1\n"
NAMED = {"AUTOTASK_FUNCTIONS": "jobs:nightly"}
RECORDED = [("main.py", "success"), ("jobs:nightly", "success")]


def program(folder: Path) -> Path:
    write(folder / "jobs.py", JOBS)
    return write(folder / "main.py", PROGRAM)


def recorded(home: Path) -> list[tuple[str, str]]:
    return [(run["task"], run["status"]) for run in runs(home)]


@pytest.mark.parametrize("version", SUPPORTED)
def test_it_serves_each_python(version: str, tmp_path: Path, made: Path, home: Path) -> None:
    env = {"PYTHONPATH": str(made), **NAMED}
    ended = run_program(pythons(version), program(tmp_path), under="bare", env=env)
    assert ended == Ended(0, "3\n", "")
    assert recorded(home) == RECORDED


@pytest.mark.parametrize("version", SUPPORTED)
def test_it_serves_a_framework_on_each_python(
    version: str, tmp_path: Path, made: Path, home: Path
) -> None:
    click = Path(pytest.importorskip("click").__file__).parent
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "click").symlink_to(click)
    python, path = pythons(version), str(tmp_path / "site")
    imported = run_program(python, "-c", "import click", under="bare", env={"PYTHONPATH": path})
    if imported.status:
        pytest.skip(f"the Click that is installed here does not run on Python {version}")
    script = write(tmp_path / "shop.py", "import click\nclick.command()(lambda: print('hi'))()\n")
    env = {"PYTHONPATH": f"{made}:{path}"}
    assert run_program(python, script, under="bare", env=env) == Ended(0, "hi\n", "")
    assert recorded(home) == [("shop.py", "success"), ("shop", "success")]


def test_the_decorator_is_there(tmp_path: Path, made: Path, home: Path) -> None:
    source = "import autotask\n@autotask.task(name='night')\ndef work(): print('done')\nwork()\n"
    script, python = write(tmp_path / "main.py", source), Path(sys.base_prefix) / "bin" / "python3"
    ended = run_program(python, script, under="bare", env={"PYTHONPATH": str(made)})
    assert ended == Ended(0, "done\n", "")
    assert recorded(home) == [("main.py", "success"), ("night", "success")]


@pytest.mark.parametrize("version", [*OLD, *SUPPORTED])
def test_a_program_sees_nothing_of_it(version: str, tmp_path: Path, made: Path) -> None:
    script = write(tmp_path / "shop.py", LOOK)
    python, env = pythons(version), {"AUTOTASK_PROCESS": "0"}
    bare = run_program(python, script, under="bare", env=env)
    ours = run_program(python, script, under="bare", env={**env, "PYTHONPATH": str(made)})
    assert ours == bare
    assert ours.status == 0


@pytest.mark.parametrize("version", [*OLD, *SUPPORTED])
def test_it_comes_in_behind_a_sitecustomize_that_runs_no_other(
    version: str, tmp_path: Path, made: Path, home: Path
) -> None:
    write(tmp_path / "theirs" / "sitecustomize.py", "print('theirs')")
    script = write(tmp_path / "shop.py", LOOK)
    python, theirs = pythons(version), str(tmp_path / "theirs")
    bare = run_program(python, script, under="bare", env={"PYTHONPATH": theirs})
    env: dict[str, str | None] = {"PYTHONPATH": f"{theirs}:{made}", "AUTOTASK_PROCESS": "0"}
    assert run_program(python, script, under="bare", env=env) == bare
    env["AUTOTASK_PROCESS"] = None
    run_program(python, script, under="bare", env=env)
    assert [run["task"] for run in runs(home)] == ([] if version in OLD else ["shop.py"])


def test_left_on_the_path_it_offers_no_module_but_its_two(made: Path) -> None:
    script = "import pkgutil, sys; print([m.name for m in pkgutil.iter_modules(sys.path[1:2])])"
    ended = run_program(PYTHON, "-S", "-c", script, under="bare", env={"PYTHONPATH": str(made)})
    assert ended == Ended(0, "['sitecustomize', 'usercustomize']\n", "")


PLACES = {
    "spaces": "opt/my agent",
    "not ASCII": "opt/agënt-代理",
    "not UTF-8": "opt/agent\udcff",
    "quotes and a percent sign": "opt/'%s\"",
    "the name of the package": "autotask",
    "the name of the template": "sitecustomize_template",
    "deep": "/".join(["deep"] * 40),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "POSIX"])
def test_it_works_from_any_path(
    place: str, locale: str, tmp_path: Path, made: Path, home: Path
) -> None:
    shutil.copytree(made, tmp_path / place)
    env = {"PYTHONPATH": str(tmp_path / place), "LC_ALL": locale, **NAMED}
    ended = run_program(program(tmp_path), under="bare", env=env)
    assert ended == Ended(0, "3\n", "")
    assert recorded(home) == RECORDED


@pytest.mark.parametrize("spelling", ["link", "link/", "./link", ".", "link/../autotask"])
def test_it_works_however_the_path_is_written(
    spelling: str, tmp_path: Path, made: Path, home: Path
) -> None:
    shutil.copytree(made, tmp_path / "autotask")
    (tmp_path / "link").symlink_to("autotask")
    cwd = tmp_path / "autotask" if spelling == "." else tmp_path
    env = {"PYTHONPATH": spelling, **NAMED}
    ended = run_program(program(tmp_path), under="bare", env=env, cwd=cwd)
    assert ended == Ended(0, "3\n", "")
    assert recorded(home) == RECORDED


@pytest.fixture
def everybodys(made: Path) -> Iterator[Path]:
    """Give a folder that all users may enter, with the bundle in it."""
    folder = Path("/var/tmp") / f"autotask-test-{os.getpid()}"
    shutil.copytree(made, folder / "autotask")
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_it_works_for_any_user_and_read_only(everybodys: Path) -> None:
    python = shutil.which("python3", path="/usr/local/bin:/usr/bin")
    if python is None or run_program(python, "-c", NEW_ENOUGH, under="bare").status:
        pytest.skip("the machine's own Python, which all may use, is missing or older than 3.9")
    home = everybodys / "home"
    home.mkdir()
    home.chmod(0o777)
    script = program(everybodys)
    ended = subprocess.run(
        (python, script),
        user=65534,
        group=65534,
        extra_groups=(),
        cwd="/",
        env={"PYTHONPATH": str(everybodys / "autotask"), "AUTOTASK_HOME": str(home), **NAMED},
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"3\n", b"")
    assert recorded(home) == RECORDED
    assert not list(everybodys.joinpath("autotask").rglob("*.pyc"))


NEW_ENOUGH = "import sys; sys.exit(sys.version_info < (3, 9))"


# --- bytecode, where somebody has it made --------------------------------------------------------


@pytest.fixture
def compiled(tmp_path: Path, made: Path) -> Path:
    """Give a bundle with bytecode that is never checked, and sources that would not do."""
    folder = tmp_path / "compiled"
    shutil.copytree(made, folder)
    never = ("--invalidation-mode", "unchecked-hash")
    subprocess.run((PYTHON, "-m", "compileall", "-q", *never, folder), check=True)
    for source in folder.rglob("*.py"):
        source.write_text(f"raise ImportError({source.name!r})")
    return folder


def test_bytecode_that_is_never_checked_is_all_that_is_read(
    compiled: Path, tmp_path: Path, home: Path
) -> None:
    env = {"PYTHONPATH": str(compiled), **NAMED}
    assert run_program(program(tmp_path), under="bare", env=env) == Ended(0, "3\n", "")
    assert recorded(home) == RECORDED


def test_bytecode_that_is_never_checked_goes_past_importlib(compiled: Path, tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(compiled)}
    script = write(tmp_path / "main.py", "import sys; print('autotask.recorder' in sys.modules)")
    ended = run_program(PYTHON, "-X", "importtime", script, under="bare", env=env)
    assert ended.stdout == "True\n"
    assert "autotask.recorder" not in ended.stderr


def test_bytecode_for_several_pythons_has_room(tmp_path: Path, made: Path) -> None:
    folder = tmp_path / "compiled"
    shutil.copytree(made, folder)
    for version in NEWEST_AND_OLDEST:
        subprocess.run((pythons(version), "-m", "compileall", "-q", folder), check=True)
    assert sum(map(len, files_in(folder).values())) < 6 << 18
