"""A bundle: a folder that works from any path on any Python and needs nothing else."""

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
    RUBY,
    SUPPORTED,
    Ended,
    pythons,
    run_program,
    runs,
    write,
)
from test_bootstrap import LOOK
from test_floors import MODULES, floor, imports

pytestmark = pytest.mark.installed

NEWEST_AND_OLDEST = ("3.13", "3.9")


@pytest.fixture(autouse=True)
def _no_bytecode_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep bundles unchanged, because they are shared."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


def bundle(folder: Path, *options: str, python: Path | str = PYTHON, path: str = "") -> Ended:
    env = {"PYTHONPATH": os.pathsep.join(filter(None, (str(INSTALLED), path)))}
    tool = ("-m", "autotask.tool.cli", "bundle")
    return run_program(python, *tool, folder, *options, under="bare", env=env)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one bundle for all tests that only use it."""
    folder = tmp_path_factory.mktemp("made") / "autotask"
    ended = bundle(folder)
    assert (ended.status, ended.stderr) == (0, "")
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- what it is ----------------------------------------------------------------------------------


def modules_in(folder: Path) -> set[str]:
    """Return our modules in a bundle by their paths in the installed package."""
    names = {path: name for name, path in MODULES.items()}
    inside = INSTALLED / "autotask"
    files = {inside / path.relative_to(folder) for path in folder.rglob("*.py")}
    return {names[file] for file in files if file in names}


def test_it_holds_what_runs_in_a_process_and_nothing_else(made: Path) -> None:
    inside = made / "autotask.d"
    modules = modules_in(inside)
    assert {module for module in MODULES if floor(module) == "in process"} <= modules
    ours = {str(MODULES[name].relative_to(INSTALLED / "autotask")) for name in modules}
    wrapts = {"wrappers.py", "exceptions.py", "LICENSE"}  # wrapt 1 has no exceptions
    assert set(files_in(inside)) - {f"wrapt/{name}" for name in wrapts} == ours | {"LICENSE"}
    assert set(files_in(made)) - {f"autotask.d/{name}" for name in files_in(inside)} == {
        "sitecustomize.py",
        "usercustomize.py",
        *(f"ruby/{name}" for name in files_in(RUBY)),
    }
    assert files_in(made / "ruby") == files_in(RUBY)
    assert sum(map(len, files_in(made).values())) < 1 << 20


def test_it_holds_all_that_a_parent_may_import(made: Path) -> None:
    needed, pending = set(), {"autotask.around.supervise", "autotask.around.children"}
    while pending:
        needed |= pending
        pending = {one.imported for one in imports() if one.module in pending} & set(MODULES)
        pending -= needed
    assert len(needed) > 20
    assert needed <= modules_in(made / "autotask.d")


@pytest.mark.parametrize("module", ["autotask.around.launch", "autotask.around.leads_to"])
def test_it_holds_nothing_of_the_launcher(made: Path, module: str) -> None:
    assert module in MODULES
    assert module not in modules_in(made / "autotask.d")


def test_it_holds_nothing_of_the_tool(made: Path) -> None:
    assert {floor(module) for module in modules_in(made / "autotask.d")} == {"in process", "around"}


def test_the_command_prints_its_size_and_how_to_turn_it_on(tmp_path: Path) -> None:
    ended = bundle(tmp_path / "it's here")
    assert ended.status == 0
    first, *variables = ended.stdout.splitlines()
    assert first.startswith(f"{len(files_in(tmp_path))} files, ")
    shell = f'{"; ".join(variables)}; echo "$PYTHONPATH|$RUBYLIB"'
    place = f"{tmp_path}/it's here"
    assert run_program("sh", "-c", shell, under="bare").stdout == f"{place}|{place}/ruby\n"


def test_it_contains_the_licences(made: Path) -> None:
    for place, holder in {"": "autotask contributors", "wrapt": "Graham Dumpleton"}.items():
        assert holder in (made / "autotask.d" / place / "LICENSE").read_text()


def test_all_users_can_read_it_whatever_the_umask_is(tmp_path: Path) -> None:
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
def test_a_folder_that_is_not_a_bundle_is_left_alone(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    write(tmp_path / "sitecustomize.py", "mine")
    ended = bundle(tmp_path, *options)
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"autotask: {tmp_path} is not empty and not a bundle: choose another folder\n"
    )
    assert files_in(tmp_path) == {"sitecustomize.py": b"mine"}


def test_a_bundle_is_replaced_only_when_forced(tmp_path: Path) -> None:
    write(tmp_path / "autotask.d" / "agent.py", "old")
    ended = bundle(tmp_path)
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr == f"autotask: {tmp_path} is already a bundle; use --force to replace it\n"
    assert files_in(tmp_path) == {"autotask.d/agent.py": b"old"}


def test_force_replaces_an_existing_bundle_and_nothing_else(tmp_path: Path, made: Path) -> None:
    write(tmp_path / "notes.txt", "mine")
    write(tmp_path / "elsewhere.py", "mine")
    (tmp_path / "sitecustomize.py").symlink_to(tmp_path / "elsewhere.py")
    write(tmp_path / "autotask.d" / "of_a_former_version.py", "old")
    write(tmp_path / "ruby" / "autotask" / "of_a_former_version.rb", "old")
    write(tmp_path / "ruby" / "mine.rb", "mine")
    assert bundle(tmp_path, "--force").status == 0
    own = ("notes.txt", "elsewhere.py", "ruby/mine.rb")
    expected = {**files_in(made), **dict.fromkeys(own, b"mine")}
    assert files_in(tmp_path) == expected


@pytest.mark.parametrize("link", ["autotask.d", "ruby", "ruby/autotask", "ruby/rubygems/defaults"])
def test_nothing_is_written_through_a_link(link: str, tmp_path: Path, made: Path) -> None:
    folder = tmp_path / "made"
    shutil.copytree(made, folder)
    (folder / link).rename(tmp_path / "elsewhere")
    (folder / link).symlink_to(tmp_path / "elsewhere")
    before = files_in(tmp_path / "elsewhere")
    ended = bundle(folder, "--force")
    assert (ended.status, ended.stdout) == (1, "")
    assert "not a bundle" in ended.stderr
    assert files_in(tmp_path / "elsewhere") == before


@pytest.mark.parametrize("version", NEWEST_AND_OLDEST)
def test_each_python_writes_the_same_bundle(version: str, tmp_path: Path, made: Path) -> None:
    path = only_wrapt(tmp_path / "site")
    ended = bundle(tmp_path / "made", python=pythons(version), path=str(path))
    assert (ended.status, ended.stderr) == (0, "")
    assert files_in(tmp_path / "made") == files_in(made)


def only_wrapt(folder: Path) -> Path:
    """Copy the installed wrapt into a separate folder."""
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
def test_it_works_on_each_python(version: str, tmp_path: Path, made: Path, home: Path) -> None:
    env = {"PYTHONPATH": str(made), **NAMED}
    ended = run_program(pythons(version), program(tmp_path), under="bare", env=env)
    assert ended == Ended(0, "3\n", "")
    assert recorded(home) == RECORDED


@pytest.mark.parametrize("version", SUPPORTED)
def test_it_records_a_framework_on_each_python(
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


def test_it_records_a_task_of_rake(tmp_path: Path, made: Path, home: Path) -> None:
    if shutil.which("rake") is None:
        pytest.skip("no Rake on this machine")
    shutil.copytree(made, tmp_path / "it's here")
    write(tmp_path / "Rakefile", "task(:mail) { puts 'sent' }\n")
    env = {"RUBYLIB": str(tmp_path / "it's here" / "ruby")}
    ended = run_program("rake", "mail", under="bare", env=env, cwd=tmp_path)
    assert ended == Ended(0, "sent\n", "")
    assert recorded(home) == [("rake mail", "success"), ("mail", "success")]


def test_the_decorator_can_be_imported(tmp_path: Path, made: Path, home: Path) -> None:
    source = "import autotask\n@autotask.task(name='night')\ndef work(): print('done')\nwork()\n"
    script, python = write(tmp_path / "main.py", source), Path(sys.base_prefix) / "bin" / "python3"
    ended = run_program(python, script, under="bare", env={"PYTHONPATH": str(made)})
    assert ended == Ended(0, "done\n", "")
    assert recorded(home) == [("main.py", "success"), ("night", "success")]


@pytest.mark.parametrize("version", [*OLD, *SUPPORTED])
def test_a_program_does_not_see_the_bundle(version: str, tmp_path: Path, made: Path) -> None:
    script = write(tmp_path / "shop.py", LOOK)
    python, env = pythons(version), {"AUTOTASK_PROCESS": "0"}
    bare = run_program(python, script, under="bare", env=env)
    ours = run_program(python, script, under="bare", env={**env, "PYTHONPATH": str(made)})
    assert ours == bare
    assert ours.status == 0


@pytest.mark.parametrize("version", [*OLD, *SUPPORTED])
def test_it_works_behind_a_sitecustomize_that_runs_no_other(
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


def test_left_on_the_path_it_adds_only_two_modules(made: Path) -> None:
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
    """Return a folder that all users may enter, with the bundle in it."""
    folder = Path("/var/tmp") / f"autotask-test-{os.getpid()}"
    shutil.copytree(made, folder / "autotask")
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_it_works_for_all_users_and_read_only(everybodys: Path) -> None:
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


# --- bytecode that was compiled in advance -------------------------------------------------------


@pytest.fixture
def compiled(tmp_path: Path, made: Path) -> Path:
    """Return a bundle with unchecked bytecode and sources that would fail."""
    folder = tmp_path / "compiled"
    shutil.copytree(made, folder)
    never = ("--invalidation-mode", "unchecked-hash")
    subprocess.run((PYTHON, "-m", "compileall", "-q", *never, folder), check=True)
    for source in folder.rglob("*.py"):
        source.write_text(f"raise ImportError({source.name!r})")
    return folder


def test_with_unchecked_bytecode_no_source_is_read(
    compiled: Path, tmp_path: Path, home: Path
) -> None:
    env = {"PYTHONPATH": str(compiled), **NAMED}
    assert run_program(program(tmp_path), under="bare", env=env) == Ended(0, "3\n", "")
    assert recorded(home) == RECORDED


def test_unchecked_bytecode_is_loaded_without_importlib(compiled: Path, tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(compiled)}
    script = write(tmp_path / "main.py", "import sys; print('autotask.recorder' in sys.modules)")
    ended = run_program(PYTHON, "-X", "importtime", script, under="bare", env=env)
    assert ended.stdout == "True\n"
    assert "autotask.recorder" not in ended.stderr


def test_bytecode_for_several_pythons_can_coexist(tmp_path: Path, made: Path) -> None:
    folder = tmp_path / "compiled"
    shutil.copytree(made, folder)
    for version in NEWEST_AND_OLDEST:
        subprocess.run((pythons(version), "-m", "compileall", "-q", folder), check=True)
    sources, all_files = (sum(map(len, files_in(one).values())) for one in (made, folder))
    assert all_files < 4 * sources
