"""Beside what developers start programs with: coverage, debuggers, profilers, pytest, notebooks.

Some are peers with their own environments, the others come with Python or with the tests.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import environments
import pytest
from beside._peers import environment, folder, without_us
from frameworks._own import in_short
from support import PYTHON, Ended, Under, run_program, runs, write

pytest.importorskip("click")

SHOP = """\
import sys
import click

@click.group()
def shop(): pass

@shop.command()
def good():
    click.echo("good")

@shop.command()
def leave():
    sys.exit(3)

if __name__ == "__main__":
    shop()
"""
_UNDER: tuple[Under, ...] = ("path", "launcher")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write(tmp_path / "shop.py", SHOP)


def _tasks(home: Path) -> list[str]:
    """Return the records of tasks without the process around them."""
    return [line.partition(" in ")[0] for line in in_short(runs(home))[1:]]


# --- coverage ------------------------------------------------------------------------------------

COVERAGE = {
    "coverage run": (["coverage", "run", "--source=.", "shop.py"], {}),
    "python -m coverage run": (["python", "-m", "coverage", "run", "--source=.", "shop.py"], {}),
    "a .pth file": (["python", "shop.py"], {"COVERAGE_PROCESS_START": ".coveragerc"}),
    "a sitecustomize": (
        ["python", "shop.py"],
        {"COVERAGE_PROCESS_START": ".coveragerc", "PYTHONPATH": "own"},
    ),
}


@pytest.mark.parametrize(("command", "settings"), COVERAGE.values(), ids=COVERAGE)
@pytest.mark.parametrize("under", _UNDER)
def test_coverage_measures_the_same_as_without_the_agent(
    under: Under, command: list[str], settings: dict[str, str], shop: Path, home: Path
) -> None:
    env = {**environment("coverage"), **settings}
    (shop.parent / ".coveragerc").write_text("[run]\nsource = .\nomit = own/*\n")
    start = "import coverage; coverage.process_startup()\n"  # once, by either of them
    write(shop.parent / "own" / "sitecustomize.py", start)
    site = environments.site(folder("coverage") / "bin" / "python")
    write(site / "start.pth", start)  # up to 7.10 it installs none itself
    seen = []
    for place in ("bare", under):
        ended = run_program(*command, "leave", under=place, env=env)
        report = run_program("coverage", "json", "--quiet", "-o", "-", under="bare", env=env)
        seen.append((without_us(ended), json.loads(report.stdout)["files"]))
        (shop.parent / ".coverage").unlink()
    bare, ours = seen
    assert ours == bare
    assert bare[0] == Ended(3, "", "")
    assert bare[1]["shop.py"]["missing_lines"] == [9]
    assert [run["framework"] for run in runs(home)] == ["process", "click"]
    assert _tasks(home) == ["shop.leave failure exit 3"]


# --- debuggers -----------------------------------------------------------------------------------

SESSION = """\
break 9
continue
where
next
continue
quit
"""


@pytest.mark.parametrize("under", _UNDER)
def test_a_pdb_session_is_the_same_as_without_the_agent(
    under: Under, shop: Path, home: Path
) -> None:
    command = ("-m", "pdb", "shop.py", "good")
    bare = run_program(*command, under="bare", stdin=SESSION)
    ours = run_program(*command, under=under, stdin=SESSION)
    assert _without_our_frames(ours) == bare
    assert "shop.py(9)good()\n" in bare.stdout
    assert "The program exited via sys.exit(). Exit status: 0" in bare.stdout
    assert in_short(runs(home)) == ["shop.py success", "shop.good success in shop.py"]


def _without_our_frames(ended: Ended) -> Ended:
    """Remove our frames from what `where` printed."""
    ours = re.compile(r"  [^\n]*/autotask/[^\n]*autotask_\w+\(\)\n-> [^\n]*\n")
    return Ended(ended.status, ours.sub("", ended.stdout), ended.stderr)


@pytest.mark.parametrize("under", _UNDER)
@pytest.mark.parametrize("ending", ["good", "leave"])
def test_debugpy_works(ending: str, under: Under, shop: Path, home: Path) -> None:
    env = {**environment("debugpy"), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    command = ["python", "-m", "debugpy", "--listen", "127.0.0.1:0", "shop.py", ending]
    bare = run_program(*command, under="bare", env=env)
    assert without_us(run_program(*command, under=under, env=env)) == bare
    status = "failure nested 3 by shop.leave" if bare.status else "success"
    assert in_short(runs(home))[0] == f"shop.py {status}"
    assert _tasks(home) == ["shop.leave failure exit 3" if bare.status else "shop.good success"]


# --- profilers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("profiler", ["cProfile", "profile"])
@pytest.mark.parametrize("under", _UNDER)
def test_a_profile_has_the_programs_functions(
    under: Under, profiler: str, shop: Path, home: Path
) -> None:
    command = ("-m", profiler, "-o", "profile", "shop.py", "leave")
    bare = run_program(*command, under="bare")
    ours = run_program(*command, under=under)
    assert ours == bare
    assert "leave" in run_program("-m", "pstats", "profile", under="bare", stdin="stats\n").stdout
    assert [run["task"] for run in runs(home)] == ["shop.py", "shop.leave"]
    assert _tasks(home) == ["shop.leave failure exit 3"]


@pytest.mark.parametrize("under", _UNDER)
def test_import_times_are_written_for_the_programs_modules(
    under: Under, shop: Path, home: Path
) -> None:
    command = (PYTHON, "-X", "importtime", "shop.py", "leave")
    bare = run_program(*command, under="bare")
    ours = run_program(*command, under=under)
    assert (ours.status, ours.stdout) == (bare.status, bare.stdout) == (3, "")
    assert set(_imported(bare)) - set(_imported(ours)) == set()
    assert in_short(runs(home)) == [
        "shop.py failure nested 3 by shop.leave",
        "shop.leave failure exit 3 in shop.py",
    ]


def _imported(ended: Ended) -> list[str]:
    return [line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()]


# --- pytest --------------------------------------------------------------------------------------

TESTS = """\
import pytest
from click.testing import CliRunner
from shop import shop

def test_good():
    assert CliRunner().invoke(shop, ["good"]).output == "good\\n"

@pytest.mark.xfail
def test_expected():
    assert shop is None
"""
FAILING = """\
def test_leave():
    done = CliRunner().invoke(shop, ["leave"])
    assert done.exit_code == 0
"""
_PYTEST = {"pytest": [], "python -m pytest": [PYTHON, "-m"]}


@pytest.mark.parametrize("before", _PYTEST.values(), ids=_PYTEST)
@pytest.mark.parametrize("under", _UNDER)
def test_pytest_explains_a_failing_test_as_usual(
    under: Under, before: list[str], shop: Path, home: Path
) -> None:
    """An import hook of pytest rewrites assertions to explain them."""
    bare, ours = _run_pytest(TESTS + FAILING, before, under)
    assert ours == bare
    assert "assert 3 == 0" in bare.stdout
    assert "where 3 = <Result SystemExit(3)>.exit_code" in bare.stdout
    assert bare.status == 1
    assert _tasks(home) == ["shop.good success", "shop.leave failure exit 3"]
    (whole, *_) = runs(home)
    assert (whole["task"], whole["status"]) == ("pytest", "failure")


@pytest.mark.parametrize("under", _UNDER)
def test_what_pytest_has_caught_does_not_fail_its_process(
    under: Under, shop: Path, home: Path
) -> None:
    bare, ours = _run_pytest(TESTS, _PYTEST["pytest"], under)
    assert ours == bare
    assert (bare.status, "1 passed, 1 xfailed" in bare.stdout) == (0, True)
    assert in_short(runs(home)) == ["pytest success", "shop.good success in pytest"]


def _run_pytest(tests: str, before: list[str], under: Under) -> tuple[Ended, Ended]:
    write(Path("test_shop.py"), tests)
    script = str(Path(PYTHON).with_name("pytest"))
    command = [*before, "pytest"] if before else [script]
    command += ["-p", "no:cacheprovider", "-p", "no:xdist", "--import-mode=prepend"]
    bare, ours = (_steady(run_program(*command, under=place)) for place in ("bare", under))
    return bare, ours


def _steady(ended: Ended) -> Ended:
    return Ended(ended.status, re.sub(r" in [\d.]+s", "", ended.stdout), ended.stderr)


# --- notebooks -----------------------------------------------------------------------------------

NOTEBOOK = """\
import sys
from jupyter_client.manager import start_new_kernel

CELLS = [
    "from shop import shop",
    "shop.main(['good'], standalone_mode=False)",
    "shop.main(['leave'], standalone_mode=False)",
    "shop(['good'])",
    "_ = print(2 + 2)",
]

def show(message):
    if message["msg_type"] == "stream":
        print(message["content"]["name"], message["content"]["text"].strip().partition(" ")[0])
    elif message["msg_type"] == "error":
        print("error", message["content"]["ename"], message["content"]["evalue"])

manager, client = start_new_kernel(startup_timeout=60)
for cell in CELLS:
    client.execute_interactive(cell, output_hook=show, timeout=60, store_history=True)
client.stop_channels()
manager.shutdown_kernel()
del client, manager  # at the end of the interpreter some releases complain
"""


@pytest.mark.parametrize("under", _UNDER)
def test_a_command_in_a_cell_of_a_notebook_is_a_run(under: Under, shop: Path, home: Path) -> None:
    places = {name: str(shop.parent) for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR")}
    env = {**environment("ipykernel"), **places}
    script = write(Path("notebook.py"), NOTEBOOK)
    bare = run_program("python", str(script), under="bare", env=env)
    ours = run_program("python", str(script), under=under, env=env)
    assert ours == bare
    assert "stdout good\nerror SystemExit 3\n" in bare.stdout
    assert bare.stdout.endswith("stdout 4\n")
    names = {run["task"].partition(".")[0] for run in runs(home)[1:]}
    assert names == {"ipykernel_launcher"}
    assert [line.partition(".")[2] for line in _tasks(home)] == [
        "good success",
        "leave failure exit 3",
        "good success",
    ]


# --- gevent --------------------------------------------------------------------------------------

GREEN = """\
import sys
{before}
import click
{after}
import gevent, subprocess, threading, time

@click.command()
@click.argument("what")
def work(what):
    time.sleep(0.01)
    click.echo(what)

def call(what):
    work.main([what], "work", standalone_mode=False)

@click.command()
def outer():
    thread = threading.Thread(target=call, args=("thread",))
    thread.start()
    thread.join()
    gevent.joinall([gevent.spawn(call, "greenlet") for _ in range(3)], raise_error=True)
    print(subprocess.run(["echo", "program"], capture_output=True, text=True).stdout, end="")
    print(gevent.monkey.is_module_patched("threading"))
    call("at last")
    sys.exit(3)

if __name__ == "__main__":
    outer()
"""


@pytest.mark.parametrize("patched", ["before", "after"])
@pytest.mark.parametrize("under", _UNDER)
def test_threads_that_gevent_makes_belong_to_their_task(
    under: Under, patched: str, shop: Path, home: Path
) -> None:
    patch = {"before": "", "after": "", patched: "from gevent import monkey; monkey.patch_all()"}
    script = write(Path("green.py"), GREEN.format(**patch))
    env = environment("gevent")
    bare = run_program("python", str(script), under="bare", env=env)
    ours = run_program("python", str(script), under=under, env=env)
    assert ours == bare
    assert (bare.status, bare.stdout.splitlines()[-2:]) == (3, ["True", "at last"])
    assert sorted(in_short(runs(home))) == [
        "green failure exit 3 in green.py",
        "green.py failure nested 3 by green",
        *["work success in green"] * 2,
        *["work success in green.py"] * 3,  # greenlets: their parents are unknown
    ]
