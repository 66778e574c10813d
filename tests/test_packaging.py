"""What is shipped, and how a fresh checkout is set up."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from support import INSTALLED, LAUNCHER, RUBY, TEMPLATE, run_program, runs, write

import autotask
from autotask.tool.supported import OLDEST_PYTHON, PYTHONS

pytestmark = pytest.mark.installed

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and the source distribution."""
    pytest.importorskip("hatchling")
    place = tmp_path_factory.mktemp("dist")
    build = (sys.executable, "-m", "hatchling", "build", "-d", str(place))
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return place


def files_of(*folders: str) -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
        and ".pyc" not in path.name  # 2.7 writes it beside the source, others at any time
    }


@pytest.mark.checkout
def test_the_wheel_holds_the_package_what_stands_beside_it_and_the_commands(built: Path) -> None:
    (wheel,) = built.glob("autotask_agent-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = [name for name in names if name.endswith("entry_points.txt")]
        assert "autotask = autotask.tool.cli:main" in archive.read(entry_points).decode()
        packed = {name: archive.read(name) for name in names}
    (script,) = [name for name in names if ".data/" in name]
    assert script.endswith(".data/scripts/autotask-run")
    source = packed.pop(script)
    assert source == (ROOT / "bin" / "autotask-run").read_bytes()
    shipped = {name for name in packed if ".dist-info/" not in name}
    assert shipped == files_of("autotask", "autotask_ruby", "sitecustomize_template")
    assert "autotask/py.typed" in shipped
    # So what is tested only on the checkout holds for the wheel, too.
    assert [name for name in shipped if packed[name] != (ROOT / name).read_bytes()] == []


def links(page: str) -> list[str]:
    """Return the targets of all links and images of a page of Markdown."""
    inline = [part for token in MarkdownIt().parse(page) for part in token.children or ()]
    return [
        str(part.attrs[name]) for part in inline for name in ("href", "src") if name in part.attrs
    ]


@pytest.mark.checkout
def test_the_links_of_the_readme_work_on_the_package_index(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        head, _, page = archive.read(name).decode().partition("\n\n")
    (repository,) = re.findall("^Project-URL: Source, (.*)$", head, re.MULTILINE)
    tree = f"{repository}/blob/v{autotask.__version__}/"
    expected = []
    for link in links((ROOT / "README.md").read_text()):
        relative = "://" not in link
        file = "README.md" if link.startswith("#") else link.partition("#")[0]
        assert not relative or (ROOT / file).exists()
        expected.append(f"{tree}{'README.md' * link.startswith('#')}{link}" if relative else link)
    assert links(page) == expected
    assert any(link.startswith(tree) for link in expected)


@pytest.mark.checkout
def test_the_source_distribution_is_complete(built: Path) -> None:
    (source,) = built.glob("autotask_agent-*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    listed = subprocess.run(("git", "ls-files"), cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    tracked = {name for name in listed.stdout.split() if (ROOT / name).exists()}
    assert {name for name in tracked - names if not name.startswith(".ci/")} == set()
    assert any(name.startswith("tests/") for name in names)


@pytest.mark.checkout
def test_the_classifiers_name_the_pythons_that_are_tested() -> None:
    begin = "Programming Language :: Python :: "
    text = (ROOT / "pyproject.toml").read_text()
    named = re.findall(rf'^    "{begin}(3\.\d+|Implementation :: \w+)",$', text, re.MULTILINE)
    assert [name for name in named if name[0] == "3"] == list(PYTHONS["cpython"])
    implementations = [name.rpartition(" ")[2].lower() for name in named if name[0] == "I"]
    assert implementations == list(PYTHONS)
    assert f'requires-python = ">={OLDEST_PYTHON}"' in text
    oldest, *_, newest = PYTHONS["cpython"]
    said = f"CPython {oldest} to {newest} and has been tried with PyPy {PYTHONS['pypy'][0]}"
    assert said in (ROOT / "README.md").read_text()


def test_what_is_tested_is_what_is_installed() -> None:
    try:
        direct_url = metadata.distribution("autotask-agent").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        pytest.skip("run from a checkout that is not installed")
    editable = json.loads(direct_url or "{}").get("dir_info", {}).get("editable", False)
    assert INSTALLED == ROOT if editable else INSTALLED.name == "site-packages"
    assert str(ROOT) not in sys.path or editable
    assert (TEMPLATE / "sitecustomize.py").exists()
    assert (RUBY / "rubygems" / "defaults" / "ruby.rb").exists()


def test_the_installed_launcher_reports_a_task(tmp_path: Path, home: Path) -> None:
    script = write(tmp_path / "nightly.py", "print('done')")
    done = run_program(script, under="launcher")
    assert (done.status, done.stdout, done.stderr) == (0, "done\n", "")
    assert [(run["task"], run["status"]) for run in runs(home)] == [("nightly.py", "success")]


def test_the_launcher_works_through_a_link(tmp_path: Path, home: Path) -> None:
    link = tmp_path / "bin" / "at"
    link.parent.mkdir()
    link.symlink_to(LAUNCHER)
    assert run_program(link, "true", under="bare").status == 0
    assert [run["task"] for run in runs(home)] == ["true"]


def test_the_tool_prints_its_version() -> None:
    tool = Path(sys.executable).parent / "autotask"
    if not tool.exists():
        pytest.skip("run from a checkout that is not installed")
    done = run_program(tool, "--version", under="bare")
    assert done.stdout == f"autotask {autotask.__version__}\n"


def test_the_installed_version_is_that_of_the_code() -> None:
    try:
        installed = metadata.version("autotask-agent")
    except metadata.PackageNotFoundError:
        pytest.skip("run from a checkout that is not installed")
    assert installed == autotask.__version__


@pytest.mark.checkout
def test_the_demo_shows_each_task_by_name_with_its_status_and_reason() -> None:
    for framework in ("click", "typer", "invoke", "doit"):
        pytest.importorskip(framework)
    if not (Path(sys.executable).parent / "autotask").exists():
        pytest.skip("run from a checkout that is not installed")
    done = run_program(ROOT / "demo" / "demo.py", under="bare")
    assert (done.status, done.stderr) == (0, "")
    ends = {
        (run["task"], run["framework"], run["status"], run.get("reason"))
        for run in runs(ROOT / "build" / "demo" / ".autotask")
    }
    assert ends >= {
        ("shop.orders.fetch", "click", "success", None),
        ("shop.orders.ship", "click", "failure", "exception"),
        ("shop.orders.ship", "click", "failure", "usage"),
        ("letters.invoices", "typer", "success", None),
        ("letters.reminders", "typer", "failure", "exit"),
        ("db.migrate", "invoke", "success", None),
        ("search.rebuild", "invoke", "failure", "signal"),
        ("figures", "doit", "success", None),
        ("figures", "doit", "skipped", None),
        ("chart", "doit", "failure", "exit"),
        ("tidy.sh", "process", "success", None),
        ("nightly", "process", "failure", "exit"),
    }
    for view in ("runs", "tasks"):
        _, _, shown = done.stdout.partition(f"\n$ autotask {view}\n")
        words = set(shown.split())
        assert {task for task, *_ in ends} | {"success", "failure", "skipped"} <= words


def make(*words: str) -> subprocess.CompletedProcess[str]:
    outer = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")  # of the make that runs the tests
    environ = {name: value for name, value in os.environ.items() if name not in outer}
    command = ("make", "--no-print-directory", *words)
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)


@pytest.mark.checkout
def test_make_explains_its_targets() -> None:
    explained = {line.split()[0] for line in make().stdout.splitlines()}
    assert explained >= {"demo", "test", "lint", "bench", "matrix", "wheel", "bundle", "clean"}


@pytest.mark.checkout
@pytest.mark.parametrize(
    ("lacks", "advice"),
    [
        ("version_info", "autotask needs Python 3.9 or newer"),
        ("ensurepip", "cannot make a virtual environment: apt-get install python3-venv"),
    ],
)
def test_make_says_in_one_line_what_the_machine_lacks(
    tmp_path: Path, lacks: str, advice: str
) -> None:
    python = write(tmp_path / "python3", f'#!/bin/sh\ncase "$*" in *{lacks}*) exit 1; esac\n')
    python.chmod(0o755)
    done = make(f"VENV={tmp_path}/venv", f"PYTHON={python}", "demo")
    told = [line for line in done.stderr.splitlines() if not line.startswith("make:")]
    assert done.returncode == 2
    assert len(told) == 1
    assert advice in told[0]
