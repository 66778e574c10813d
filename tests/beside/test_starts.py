"""However Python is started, and whatever else runs at its start, tasks are recorded once."""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from beside._peers import environment, folder, without_us
from frameworks._own import in_short
from support import PYTHON, TEMPLATE, Ended, Under, run_program, runs, write
from tool.journals import answer

pytest.importorskip("click")

SHOP = """\
import sys
import click

@click.command()
@click.argument("status", type=int)
def shop(status):
    click.echo("working")
    sys.exit(status)

if __name__ == "__main__":
    shop()
"""
_UNDER: tuple[Under, ...] = ("path", "launcher")
_SITE = "lib/python{}.{}/site-packages".format(*sys.version_info)


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write(tmp_path / "shop.py", SHOP)


def _same(
    *command: str, under: Under, env: dict[str, str | None] | None = None, stdin: str = ""
) -> Ended:
    bare = run_program(*command, under="bare", env=env, stdin=stdin)
    ended = run_program(*command, under=under, env=env, stdin=stdin)
    assert without_us(ended) == bare
    return bare


# --- ways to start a program ---------------------------------------------------------------------

# The words after `python`, what is typed, the name of the process run (none: no run under
# PYTHONPATH alone, for autotask-run it is `python`), and the command's.
STARTS = {
    "an archive": (["shop.pyz", "3"], "", "shop.pyz", "shop"),
    "an archive as a module": (["-m", "packed", "3"], "", "packed", "packed"),
    "a folder": (["folder", "3"], "", "folder", "folder"),
    "runpy.run_path": (["by_path.py", "3"], "", "by_path.py", "shop"),
    "runpy.run_module": (["by_module.py", "3"], "", "by_module.py", "by_module"),
    "runpy.run_module as python -m": (["as_module.py", "3"], "", "as_module.py", "shop"),
    "-c": (["-c", "import shop; shop.shop(['3'], 'shop')"], "", None, "shop"),
    "standard input": ([], "import shop; shop.shop(['3'])", None, "shop"),
    "a prompt": (["-i", "-q"], "import shop\nshop.shop(['3'])\n", None, "shop"),
}


@pytest.fixture
def starts(tmp_path: Path) -> None:
    for package in ("folder", "packed"):
        write(tmp_path / package / "__main__.py", SHOP)
    write(tmp_path / "packed" / "__init__.py", "")
    with zipfile.ZipFile("shop.pyz", "w") as archive:
        archive.writestr("__main__.py", SHOP)
    with zipfile.ZipFile("packed.zip", "w") as archive:
        archive.write("packed/__init__.py")
        archive.write("packed/__main__.py")
    for name, call in (
        ("by_path", "run_path('shop.py', run_name='__main__')"),
        ("by_module", "run_module('shop', run_name='__main__')"),
        ("as_module", "run_module('shop', run_name='__main__', alter_sys=True)"),
    ):
        write(tmp_path / f"{name}.py", f"import runpy\nrunpy.{call}\n")


@pytest.mark.usefixtures("starts")
@pytest.mark.parametrize(("words", "stdin", "process", "task"), STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("under", _UNDER)
def test_a_task_is_recorded_however_its_program_is_started(
    under: Under, words: list[str], stdin: str, process: str | None, task: str, home: Path
) -> None:
    env: dict[str, str | None] = {"PYTHONPATH": "packed.zip" if "packed" in words else None}
    assert _same(PYTHON, *words, under=under, env=env, stdin=stdin).status == 3
    found = in_short(runs(home))
    if process is None and under == "path":
        assert found == [f"{task} failure exit 3"]
        return
    process = process or "python"
    assert found == [f"{process} failure nested 3 by {task}", f"{task} failure exit 3 in {process}"]


@pytest.mark.parametrize("under", _UNDER)
def test_a_prompt_goes_on_after_the_exit_of_a_script(under: Under, home: Path) -> None:
    bare = _same(PYTHON, "-i", "shop.py", "0", under=under, stdin="import sys; sys.exit(4)\n")
    assert (bare.status, "SystemExit: 0" in bare.stderr) == (4, True)
    assert in_short(runs(home)) == ["shop.py failure exit 4", "shop success in shop.py"]


@pytest.mark.parametrize("under", _UNDER)
def test_a_program_that_execs_leaves_no_run_open(under: Under, home: Path) -> None:
    write(Path(".env"), "STATUS=3")
    shell = 'exec python shop.py "$STATUS"'
    bare = _same("dotenv", "run", "sh", "-c", shell, under=under, env=environment("dotenv"))
    assert bare == Ended(3, "working\n", "")
    assert in_short(runs(home)) == [
        "shop.py failure nested 3 by shop",
        "shop failure exit 3 in shop.py",
    ]


def test_a_frozen_program_is_unharmed(tmp_path: Path, home: Path) -> None:
    """It has its own interpreter, which ignores PYTHONPATH: its tasks are not recorded."""
    build = ("pyinstaller", "--log-level=ERROR", "--distpath=dist", "--name=frozen", "shop.py")
    built = run_program(*build, under="bare", env=environment("pyinstaller"), timeout=300)
    if built.status:
        pytest.skip(f"PyInstaller cannot build here: {built.stderr.strip()[-200:]}")
    program = str(tmp_path / "dist" / "frozen" / "frozen")
    assert _same(program, "3", under="path") == Ended(3, "working\n", "")
    assert runs(home) == []
    assert _same(program, "3", under="launcher").status == 3
    assert in_short(runs(home)) == ["frozen failure exit 3"]


@pytest.mark.parametrize("options", [(), ("--inherit-path=fallback",)], ids=str)
def test_a_pex_file_is_unharmed_and_none_of_its_successes_is_lost(
    options: tuple[str, ...], shop: Path, tmp_path: Path, home: Path
) -> None:
    """It restarts itself with -I, or drops our modules: its tasks are not recorded."""
    env = {**environment("pex"), "PEX_ROOT": str(tmp_path / "root")}
    source = tmp_path / "source"
    (click,) = folder("pex").glob("lib/*/site-packages/click")
    shutil.copytree(click, source / "click")
    shutil.move(shop, source)
    build = ("pex", f"--sources-directory={source}", "--entry-point=shop", "--output=shop.pex")
    built = run_program(*build, *options, under="bare", env=env, timeout=300)
    assert built.status == 0, built.stderr
    bare = run_program("python", "shop.pex", "3", under="bare", env=env)
    assert bare == Ended(3, "working\n", "")
    assert run_program("python", "shop.pex", "3", under="path", env=env) == bare
    answer("runs")  # closes lost runs
    assert runs(home) == []
    assert run_program("python", "shop.pex", "3", under="launcher", env=env) == bare
    assert in_short(runs(home)) == ["shop.pex failure exit 3"]


# --- who runs at the start besides us ------------------------------------------------------------

# How a peer's sitecustomize, `theirs/sitecustomize.py`, may run the next one on the path.
CHAINS = {
    "imports it": """
        sys.path.remove(here)
        theirs = sys.modules.pop("sitecustomize")  # kept
        import sitecustomize
    """,
    "loads it into its own module": """
        sys.path.remove(here)
        spec = PathFinder.find_spec("sitecustomize", sys.path)
        if spec:
            spec.loader.load_module("sitecustomize")
    """,
    "loads it as its own module": """
        spec = PathFinder.find_spec("sitecustomize", behind)
        if spec:
            spec.loader.exec_module(module_from_spec(spec))
    """,
    "executes it": """
        files = [os.path.join(entry, "sitecustomize.py") for entry in behind]
        for file in [file for file in files if os.path.exists(file)][:1]:
            exec(open(file).read(), {"__name__": "sitecustomize", "__file__": file})
    """,
}
_THEIRS = """\
import os, sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
here = os.path.dirname(__file__)
behind = sys.path[sys.path.index(here) + 1 :]
print("theirs")
try:
    {chain}
except ImportError as problem:
    print(problem)
print("and after", sorted(name for name in sys.modules if name == "sitecustomize"))
"""
OWN = {
    "none": "",
    "one": "print('own', __name__, __file__)",
    "one that imports what is missing": "print('own')\nimport no_such_module",
    "one that fails": "print('own')\nraise ValueError('boom')",
}


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
def test_a_peer_may_run_our_sitecustomize_as_the_machines_own(
    own: str, chain: str, home: Path
) -> None:
    body = "\n    ".join(line[8:] for line in chain.strip("\n").splitlines())
    write(Path("theirs/sitecustomize.py"), _THEIRS.format(chain=body))
    write(Path("own/sitecustomize.py"), own) if own else Path("own").mkdir()
    path = [str(Path(name).resolve()) for name in ("theirs", "own")]
    bare, ours = (
        run_program(
            PYTHON, "shop.py", "3", under="bare", env={"PYTHONPATH": os.pathsep.join(found)}
        )
        for found in (path, [path[0], str(TEMPLATE), path[1]])
    )
    assert ours.stdout == bare.stdout
    assert ours.stderr.splitlines()[-1:] == bare.stderr.splitlines()[-1:]
    assert bare.stdout.count("own ") + bare.stdout.count("own\n") == bool(own)
    assert len(runs(home)) == 2


LOOK = """\
import sys
print([name for name in sys.modules if "customize" in name], sys.path, sys.flags, sys.argv)
print([entry for entry in sys.path_importer_cache if "template" in entry], sys.exc_info())
"""


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
def test_the_agent_starts_by_usercustomize_behind_a_peer_that_does_not_chain(
    own: str, home: Path
) -> None:
    write(Path("theirs/sitecustomize.py"), "print('theirs')")
    env = {
        "PYTHONUSERBASE": str(Path("user").resolve()),
        "PYTHONPATH": str(Path("theirs").resolve()),
    }
    user = Path("user", _SITE)
    write(user / "usercustomize.py", own) if own else user.mkdir(parents=True)
    python = Path(sys.base_prefix) / "bin" / "python3"  # most virtual environments have no user
    script = write(Path("look.py"), LOOK)
    bare = run_program(python, script, under="bare", env=env)
    env["PYTHONPATH"] += os.pathsep + str(TEMPLATE)
    ours = run_program(python, script, under="bare", env=env)
    assert ours.stdout == bare.stdout
    assert ours.stderr.splitlines()[-1:] == bare.stderr.splitlines()[-1:]
    assert in_short(runs(home)) == ["look.py success"]


EAGER = {
    "a .pth file": f"env/{_SITE}/eager.pth",
    "a sitecustomize": f"env/{_SITE}/sitecustomize.py",
    "a usercustomize": f"user/{_SITE}/usercustomize.py",
}


@pytest.mark.parametrize("file", EAGER.values(), ids=EAGER)
@pytest.mark.parametrize("under", _UNDER)
def test_a_framework_may_be_imported_while_python_starts(
    under: Under, file: str, tmp_path: Path, home: Path
) -> None:
    make = (PYTHON, "-m", "venv", "--without-pip", "--system-site-packages", "env")
    run_program(*make, under="bare")
    where = Path(str(pytest.importorskip("click").__file__)).parents[1]
    write(tmp_path / f"env/{_SITE}/a.pth", f"{where}\n")
    write(tmp_path / file, "import click.core; print('eager')\n")
    env: dict[str, str | None] = {"PYTHONUSERBASE": str(tmp_path / "user")}
    bare = _same("env/bin/python", "shop.py", "3", under=under, env=env)
    assert (bare.status, set(bare.stdout.split())) == (3, {"eager", "working"})
    assert in_short(runs(home)) == [
        "shop.py failure nested 3 by shop",
        "shop failure exit 3 in shop.py",
    ]


# --- what a program starts -----------------------------------------------------------------------

WORKERS = """\
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
import click

@click.command()
@click.argument("what")
def work(what):
    if what == "bad":
        raise ValueError(what)

def call(what):
    try:
        work.main([what], "work", standalone_mode=False)
    except ValueError:
        return "failed"
    return what

@click.command()
@click.argument("method")
def outer(method):
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        print(pool.map(call, ["one", "bad"]))
        pool.close()
        pool.join()
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        print(list(executor.map(call, ["one", "bad"])))

if __name__ == "__main__":
    outer()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("under", _UNDER)
def test_tasks_in_pools_of_processes_belong_to_the_task_that_made_them(
    under: Under, method: str, home: Path
) -> None:
    write(Path("workers.py"), WORKERS)
    bare = _same(PYTHON, "workers.py", method, under=under)
    assert bare == Ended(0, "['one', 'failed']\n" * 2, "")
    assert sorted(in_short(runs(home))) == [
        *["work failure exception ValueError in workers"] * 2,
        *["work success in workers"] * 2,
        "workers success in workers.py",
        "workers.py success",
    ]


CLEARED = {
    "nothing": ("{}", []),
    "all but our variables": (
        "{k: v for k, v in os.environ.items() if k[:8] != 'AUTOTASK' and k != 'PYTHONPATH'}",
        [],
    ),
    "all but who its parent is": (
        "{k: v for k, v in os.environ.items() if k != 'AUTOTASK_PARENT'}",
        ["shop.py failure nested 3 by shop", "shop failure exit 3 in shop.py"],
    ),
}


@pytest.mark.parametrize(("environ", "expected"), CLEARED.values(), ids=CLEARED)
@pytest.mark.parametrize("under", _UNDER)
def test_a_child_with_a_cleared_environment_works_as_without_the_agent(
    under: Under, environ: str, expected: list[str], home: Path
) -> None:
    source = f"""\
    import os, subprocess, sys
    environ = {environ}
    done = subprocess.run([sys.executable, "shop.py", "3"], env=environ, capture_output=True)
    print(done.stdout, done.stderr, done.returncode)
    """
    write(Path("parent.py"), source)
    bare = _same(PYTHON, "parent.py", under=under)
    assert bare == Ended(0, "b'working\\n' b'' 3\n", "")
    assert in_short(runs(home)) == ["parent.py success", *expected]
