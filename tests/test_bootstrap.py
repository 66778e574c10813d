"""The start: a process with the agent on PYTHONPATH does not see it.

Mostly by comparison: the same program bare and with the agent, output and exit status equal.
"""

from __future__ import annotations

import compileall
import py_compile
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from support import (
    INSTALLED,
    OLD,
    PATIENCE,
    PYTHON,
    SUPPORTED,
    TEMPLATE,
    UNKNOWN,
    Ended,
    Record,
    environment,
    pythons,
    run_program,
    runs,
    start_program,
    write,
)

pytestmark = pytest.mark.installed

# What a program can see of its interpreter. Python 2.7 reads it, too.
LOOK = """
from __future__ import print_function
import sys
print(sorted(name for name in sys.modules if name.partition(".")[0] != "autotask"))
print(sys.path)
print(sorted(sys.path_importer_cache))
print(sys.flags, sys.argv, getattr(sys, "orig_argv", None), sys.warnoptions)
finders = [getattr(finder, "__name__", str(type(finder))) for finder in sys.meta_path]
print([name for name in finders if name != "autotask.agent"])
print(len(sys.path_hooks), sys.exc_info(), sys.excepthook is sys.__excepthook__)
own = sys.modules.get("sitecustomize")
print(own and (own.__name__, own.__file__, own.__package__, type(own.__loader__)))
"""

CLICK = """
import click
@click.command()
def hello():
    click.echo("hello")
hello()
"""


def bare_and_ours(
    *command: str | Path,
    env: Mapping[str, str | None] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
) -> tuple[Ended, Ended]:
    env = {"AUTOTASK_PROCESS": "0", **(env or {})}  # a run would bring its modules along
    return (
        run_program(*command, under="bare", env=env, cwd=cwd, stdin=stdin),
        run_program(*command, under="path", env=env, cwd=cwd, stdin=stdin),
    )


# --- the machine's own sitecustomize -------------------------------------------------------------

OWN: dict[str, dict[str, str]] = {
    "absent": {},
    "fine": {"sitecustomize.py": "print('own')"},
    "a package": {
        "sitecustomize/__init__.py": "import sitecustomize.more",
        "sitecustomize/more.py": "print('own')",
    },
    "imports what is missing": {"sitecustomize.py": "print('own')\nimport no_such_module"},
    "raises an ImportError with its own name": {
        "sitecustomize.py": "print('own')\nimport sitecustomize.no_such_module"
    },
    "raises ImportError": {"sitecustomize.py": "raise ImportError('not today')"},
    "raises an error": {"sitecustomize.py": "import json\nraise ValueError('boom')"},
    "is not Python": {"sitecustomize.py": "this is no Python"},
    "exits": {"sitecustomize.py": "import sys\nsys.exit(3)"},
    "is interrupted": {"sitecustomize.py": "raise KeyboardInterrupt"},
    "dies": {"sitecustomize.py": "import os\nos._exit(5)"},
    "writes to standard error": {"sitecustomize.py": "import sys\nsys.stderr.write('own\\n')"},
    "changes the path": {"sitecustomize.py": "import sys\nsys.path.insert(0, '/no/such/folder')"},
    "sets a hook": {"sitecustomize.py": "import sys\nsys.excepthook = print"},
    "imports a framework": {"sitecustomize.py": "import json, shop\nprint(shop)", "shop.py": ""},
    "knows its place": {
        "sitecustomize.py": "import sys\nprint(__name__, __file__, sys.modules[__name__].__file__)"
    },
}


def own_files(folder: Path, files: Mapping[str, str]) -> Path:
    folder.mkdir()
    for name, source in files.items():
        write(folder / name, source)
    return folder


def without_our_frames(ended: Ended) -> Ended:
    """Remove the frames between the interpreter and the machine's own file from a traceback."""
    ours = re.compile(r'  File "[^"]*sitecustomize_template/[^"]*", line .*\n(    .*\n)+')
    err = re.sub(r"(?m)^  File .*frozen importlib.*\n", "", ours.sub("", ended.stderr))
    return Ended(ended.status, ended.stdout, err)


@pytest.mark.parametrize("files", OWN.values(), ids=OWN)
def test_the_machines_own_sitecustomize_works_as_without_the_agent(
    files: dict[str, str], tmp_path: Path
) -> None:
    own = own_files(tmp_path / "own", files)
    script = write(tmp_path / "shop.py", LOOK)
    bare, ours = bare_and_ours(script, env={"PYTHONPATH": str(own)})
    assert without_our_frames(ours) == without_our_frames(bare)
    assert ours.stderr.count("\n") <= bare.stderr.count("\n") + 4


@pytest.mark.parametrize("version", [*OLD, "3.9", "3.13"])
@pytest.mark.parametrize("case", ["absent", "fine", "imports what is missing", "raises an error"])
def test_the_machines_own_sitecustomize_works_on_each_python(
    case: str, version: str, tmp_path: Path
) -> None:
    python = pythons(version)
    own = own_files(tmp_path / "own", OWN[case])
    script = write(tmp_path / "shop.py", LOOK)
    env = {"PYTHONPATH": str(own), "PYTHONDONTWRITEBYTECODE": "1"}
    bare, ours = bare_and_ours(python, script, env=env)
    assert ours == bare


@pytest.mark.parametrize("case", ["fine", "raises an error", "raises ImportError"])
def test_the_agent_starts_whatever_the_machines_own_sitecustomize_does(
    case: str, tmp_path: Path
) -> None:
    own = own_files(tmp_path / "own", OWN[case])
    script = "import sys; print('autotask.agent' in sys.modules)"
    ended = run_program("-c", script, env={"PYTHONPATH": str(own)})
    assert ended.stdout.splitlines()[-1] == "True"


def test_usercustomize_still_runs(tmp_path: Path) -> None:
    python = Path(sys.base_prefix) / "bin" / "python3"  # a venv has no folder of the user's
    env = {"PYTHONUSERBASE": str(tmp_path)}
    where = run_program(python, "-m", "site", "--user-site", under="bare", env=env).stdout.strip()
    write(Path(where) / "usercustomize.py", "print('usercustomize')")
    bare, ours = bare_and_ours(python, "-c", LOOK, env=env)
    assert ours == bare
    assert ours.stdout.startswith("usercustomize\n")


# --- the interpreter as the program finds it -----------------------------------------------------

OPTIONS = {
    "none": (),
    "optimised": ("-O",),
    "without docstrings": ("-OO",),
    "warnings are errors": ("-W", "error", "-bb"),
    "development mode": ("-X", "dev"),
    "without bytecode": ("-B",),
    "UTF-8": ("-X", "utf8"),
    "no folder of the user's": ("-s",),
    "unbuffered": ("-u",),
    "isolated": ("-I",),
    "without site": ("-S",),
    "without the environment": ("-E",),
    "without site and the environment": ("-S", "-E"),
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_options_of_the_interpreter_keep_their_meaning(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    script = write(tmp_path / "shop.py", LOOK)
    bare, ours = bare_and_ours(PYTHON, *options, script, "an argument", cwd=tmp_path)
    if options == ("-S",):  # nothing removes our folder from the path
        out = ours.stdout.replace(f"{str(TEMPLATE)!r}, ", "").replace(f", {str(TEMPLATE)!r}", "")
        ours = Ended(ours.status, out, ours.stderr)
    assert ours == bare
    assert ours.status == 0


@pytest.mark.parametrize("option", ["-I", "-S", "-E"])
def test_an_interpreter_told_to_ignore_the_environment_starts_without_the_agent(
    option: str,
) -> None:
    script = "import sys; print([name for name in sys.modules if 'autotask' in name])"
    assert run_program(option, "-c", script).stdout == "[]\n"


WAYS_IN = {
    "a command": (("-c", LOOK), ""),
    "standard input": (("-",), LOOK),
    "a module": (("-m", "shop", "an argument"), ""),
    "an interactive interpreter": (("-i", "-q"), "import sys\nprint(sys.path, sys.argv)\n"),
}


@pytest.mark.parametrize(("command", "stdin"), WAYS_IN.values(), ids=WAYS_IN)
def test_each_way_to_start_a_program_looks_the_same(
    command: tuple[str, ...], stdin: str, tmp_path: Path
) -> None:
    write(tmp_path / "shop.py", LOOK)
    bare, ours = bare_and_ours(*command, stdin=stdin, cwd=tmp_path)
    assert ours == bare
    assert ours.status == 0


def test_children_inherit_the_environment_as_it_was() -> None:
    script = "import os, sys; print(sorted(os.environ.items()))"
    env = environment("path", {"PYTHONPATH": "/somewhere"})
    assert run_program("-c", script, env={"PYTHONPATH": "/somewhere"}).stdout == (
        f"{sorted(env.items())}\n"
    )


SPELLINGS = {
    "a slash at the end": "{template}/",
    "two slashes at the end": "{template}//",
    "twice": "{template}:{template}",
    "twice, and differently": "{template}:{template}/:/no/such",
    "last": "/no/such:{template}",
    "relative": "installed here/sitecustomize_template",
    "relative with a dot": "./installed here/sitecustomize_template/",
    "by detours": "{template}/../sitecustomize_template",
    "beside an empty entry": "{template}:",
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_the_agents_folder_is_removed_from_the_path_however_it_is_written(
    spelling: str, tmp_path: Path, installation: Path
) -> None:
    path = spelling.format(template=installation)
    rest = [entry for entry in path.split(":") if "sitecustomize_template" not in entry]
    script = LOOK + "print('autotask.agent' in sys.modules)"
    ours = run_program("-c", script, under="bare", cwd=tmp_path, env={"PYTHONPATH": path})
    bare = run_program(
        "-c", script, under="bare", cwd=tmp_path, env={"PYTHONPATH": ":".join(rest) or None}
    )
    if rest == [""]:  # `PYTHONPATH=` counts as unset, but `ours:` names the current folder
        bare = run_program("-c", script, under="bare", cwd=tmp_path, env={"PYTHONPATH": "."})
        if sys.version_info < (3, 11):  # which remembers that spelling
            bare = Ended(bare.status, bare.stdout.replace("['.', ", "["), bare.stderr)
    assert ours.stdout.endswith("True\n")
    assert ours.stdout.removesuffix("True\n") == bare.stdout.removesuffix("False\n")
    assert ours.stderr == bare.stderr == ""


def test_it_works_from_inside_the_agents_folder(installation: Path) -> None:
    script = "import sys; print('autotask.agent' in sys.modules, sys.path[0])"
    ended = run_program("-c", script, under="bare", cwd=installation, env={"PYTHONPATH": "."})
    assert (ended.stdout, ended.stderr) == ("True \n", "")


def test_it_works_through_a_symbolic_link(tmp_path: Path, installation: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(installation.parent)
    env = {"PYTHONPATH": str(link / "sitecustomize_template")}
    script = "import sys; print('autotask.agent' in sys.modules, 'template' in str(sys.path))"
    assert run_program("-c", script, under="bare", env=env).stdout == "True False\n"


def test_verbose_output_mentions_only_a_handful_of_files(tmp_path: Path) -> None:
    bare, ours = bare_and_ours("-v", "-c", "pass")
    assert _steady(ours.stderr) == _steady(bare.stderr)
    # Bare lines may have the word too, for instance in the path of the checkout.
    in_bare, in_ours = (
        sum("autotask" in line for line in ended.stderr.splitlines()) for ended in (bare, ours)
    )
    assert 0 < in_ours - in_bare <= 12


def _steady(text: str) -> list[str]:
    """Return the modules that were imported, as `-v` prints them."""
    words = [line.split() for line in text.splitlines() if line.startswith("import ")]
    return [name for _, name, *_ in words if "sitecustomize" not in name]


def test_import_times_add_only_our_sitecustomize() -> None:
    def names(under_us: Ended) -> set[str]:
        return {line.rpartition("|")[2].strip() for line in under_us.stderr.splitlines()}

    bare, ours = bare_and_ours("-X", "importtime", "-c", "pass")
    assert names(ours) - names(bare) <= {"sitecustomize"}


# --- switched off, or unable to run --------------------------------------------------------------

SWITCHES = {
    "0": False,
    "false": False,
    "False": False,
    " 0 ": False,
    "1": True,
    "": True,
    "true": True,
    "a bad value": True,
}


@pytest.mark.parametrize(("value", "on"), SWITCHES.items(), ids=map(repr, SWITCHES))
def test_autotask_enabled_switches_the_agent(
    value: str, on: bool, tmp_path: Path, home: Path
) -> None:
    pytest.importorskip("click")
    script = write(tmp_path / "shop.py", CLICK)
    ended = run_program(script, env={"AUTOTASK_ENABLED": value})
    assert ended == Ended(0, "hello\n", "")
    assert (len(runs(home)) if home.exists() else 0) == (2 if on else 0)


@pytest.mark.parametrize("value", ["0", "false", "no", "off", "FALSE"])
def test_a_process_that_is_switched_off_looks_like_a_bare_one(value: str, tmp_path: Path) -> None:
    look = "import sys; print(sys.path, len(sys.meta_path), sys.exit, sys.path_hooks[0])"
    bare, ours = bare_and_ours(write(tmp_path / "shop.py", look), env={"AUTOTASK_ENABLED": value})
    assert ours == bare


@pytest.mark.parametrize("version", OLD)
def test_an_unsupported_old_interpreter_runs_as_without_the_agent(
    version: str, tmp_path: Path
) -> None:
    python = pythons(version)
    script = write(
        tmp_path / "shop.py", LOOK + "print([n for n in sys.modules if 'autotask' in n])"
    )
    bare, ours = bare_and_ours(python, script, env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert ours == bare
    assert ours.stdout.endswith("[]\n")


@pytest.mark.parametrize("version", SUPPORTED)
def test_each_supported_python_starts_the_agent(version: str) -> None:
    script = "import sys; print('autotask.agent' in sys.modules)"
    assert run_program(pythons(version), "-c", script) == Ended(0, "True\n", "")


BROKEN: dict[str, dict[str, str | None]] = {
    "our package is gone": {"": None},
    "agent.py is gone": {"agent.py": None},
    "agent.py raises": {"agent.py": "raise RuntimeError('broken')"},
    "agent.py is cut short": {"agent.py": "def start(:"},
    "agent.py is empty": {"agent.py": ""},
    "agent.py is not UTF-8": {"agent.py": "\udcff"},
    "the start fails": {"agent.py": "def start(): raise OSError('broken')"},
    "__init__.py raises": {"__init__.py": "raise RuntimeError('broken')"},
    "process_run.py raises": {"process_run.py": "raise RuntimeError('broken')"},
    "recorder.py raises": {"recorder.py": "raise RuntimeError('broken')"},
    "journal.py is gone": {"journal.py": None},
    "settings.py raises": {"settings.py": "raise RuntimeError('broken')"},
    "the module of a framework raises": {"frameworks/click.py": "raise RuntimeError('broken')"},
}


@pytest.mark.swallows
@pytest.mark.parametrize("files", BROKEN.values(), ids=BROKEN)
def test_a_broken_installation_does_not_disturb_the_program(
    files: dict[str, str | None], tmp_path: Path, installation: Path
) -> None:
    _break(installation, files)
    for process in ("auto", "0"):
        _check_undisturbed(tmp_path, installation, process)


@pytest.mark.swallows
@pytest.mark.parametrize(
    "files",
    [{"imports.py": "raise RuntimeError('broken')"}, {"imports.py": None}, {"guard.py": None}],
    ids=["imports.py raises", "imports.py is gone", "guard.py is gone"],
)
def test_an_installation_that_fails_at_the_import_of_a_framework_does_not_disturb_it(
    files: dict[str, str | None], tmp_path: Path, installation: Path
) -> None:
    _break(installation, files)
    _check_undisturbed(tmp_path, installation, "0")


@pytest.mark.swallows
def test_a_truncated_module_does_not_disturb_the_program(
    tmp_path: Path, installation: Path
) -> None:
    pytest.importorskip("click")
    script = write(tmp_path / "shop.py", CLICK)
    bare = run_program(script, "--odd", under="bare")
    assert bare.status == 2
    package = installation.parent / "autotask"
    compileall.compile_dir(package, quiet=2)
    for module in [*package.glob("*.py"), *package.glob("frameworks/*.py")]:
        source = module.read_text()
        module.write_text("def start(:")
        supervise = "0" if module.stem in ("agent", "program") else "1"
        env = {"PYTHONPATH": str(installation), "AUTOTASK_SUPERVISE": supervise}
        ended = run_program(script, "--odd", under="bare", env=env)
        assert (module.name, ended) == (module.name, bare)
        module.write_text(source)


def _break(installation: Path, files: Mapping[str, str | None]) -> None:
    for name, source in files.items():
        path = installation.parent / "autotask" / name
        if source is not None:
            path.write_text(source, errors="surrogateescape")
        elif name:
            path.unlink()
        else:
            shutil.rmtree(path)


def _check_undisturbed(tmp_path: Path, installation: Path, process: str) -> None:
    pytest.importorskip("click")
    script = write(tmp_path / "shop.py", CLICK)
    env = {"PYTHONPATH": str(installation), "AUTOTASK_PROCESS": process}
    assert run_program(script, under="bare", env=env) == Ended(0, "hello\n", "")


# --- our modules, loaded by a way of our own -----------------------------------------------------

BYTECODE: dict[str, tuple[tuple[str, ...], dict[str, str | None]]] = {
    "written beside": ((), {}),
    "not written": (("-B",), {}),
    "optimised": (("-O",), {}),
    "without docstrings": (("-OO",), {}),
    "in a separate folder": ((), {"PYTHONPYCACHEPREFIX": "cache"}),
    "warnings are errors": (("-W", "error", "-X", "dev"), {}),
}


@pytest.mark.parametrize(("options", "env"), BYTECODE.values(), ids=BYTECODE)
@pytest.mark.parametrize("writable", [True, False], ids=["writable", "read-only"])
def test_a_task_is_recorded_wherever_bytecode_is_kept(
    options: tuple[str, ...],
    env: dict[str, str | None],
    writable: bool,
    tmp_path: Path,
    installation: Path,
    home: Path,
) -> None:
    pytest.importorskip("click")
    if not writable:  # as for a folder that the user may not write to: whatever user the test is
        for folder in (installation, installation.parent / "autotask"):
            write(folder / "__pycache__", "in the way")
    script = write(tmp_path / "shop.py", CLICK)
    env = {"PYTHONPATH": str(installation), "PYTHONDONTWRITEBYTECODE": None, **env}
    for _ in range(2):  # the second run finds what the first has compiled
        ended = run_program(PYTHON, *options, script, under="bare", env=env, cwd=tmp_path)
        assert ended == Ended(0, "hello\n", "")
    assert _tasks(runs(home)) == ["shop.py", "shop"] * 2


def _tasks(found: list[Record]) -> list[str]:
    return [str(run["task"]) for run in found]


STALE = ["older source", "checked by hash", "never checked", "cut short in its header", "empty"]


@pytest.mark.parametrize("kind", STALE)
def test_bytecode_of_another_source_is_left_to_python(
    kind: str, tmp_path: Path, installation: Path, home: Path
) -> None:
    pytest.importorskip("click")
    _compile(installation.parent / "autotask" / "trigger.py", kind)
    script = write(tmp_path / "shop.py", CLICK)
    ended = run_program(script, under="bare", env={"PYTHONPATH": str(installation)})
    assert ended == Ended(0, "hello\n", "")
    assert runs(home)[0]["trigger"] == ("old" if kind == "never checked" else UNKNOWN)


def test_unchecked_bytecode_is_checked_if_python_is_told_to(
    tmp_path: Path, installation: Path, home: Path
) -> None:
    pytest.importorskip("click")
    _compile(installation.parent / "autotask" / "trigger.py", "never checked")
    told = (PYTHON, "--check-hash-based-pycs", "always")
    script = write(tmp_path / "shop.py", CLICK)
    ended = run_program(*told, script, under="bare", env={"PYTHONPATH": str(installation)})
    assert ended == Ended(0, "hello\n", "")
    assert runs(home)[0]["trigger"] == UNKNOWN


def _compile(source: Path, kind: str) -> None:
    """Leave bytecode that prints `old` beside a source that prints something else."""
    text = source.read_text()
    source.write_text("def find_trigger(): return 'old'\n")
    mode = {"checked by hash": "CHECKED_HASH", "never checked": "UNCHECKED_HASH"}.get(kind)
    how = py_compile.PycInvalidationMode[mode or "TIMESTAMP"]
    compiled = Path(py_compile.compile(str(source), doraise=True, invalidation_mode=how) or "")
    if kind == "cut short in its header":
        compiled.write_bytes(compiled.read_bytes()[:12])
    if kind == "empty":
        compiled.write_bytes(b"")
    source.write_text(text)


JOURNAL = CLICK.replace("hello()\n", "hello(standalone_mode=False)\n", 1) + (
    "import sys; journal = sys.modules['autotask.journal']\n"
    "print(journal.Journal.append.__code__.co_filename == journal.__file__, journal.__file__)\n"
    "print(journal.__doc__ is None)\n"
)


def test_bytecode_of_another_optimisation_is_left_alone(tmp_path: Path, installation: Path) -> None:
    pytest.importorskip("click")
    script = write(tmp_path / "shop.py", JOURNAL)
    env = {"PYTHONPATH": str(installation), "PYTHONDONTWRITEBYTECODE": None}
    said = [
        run_program(PYTHON, *options, script, under="bare", env=env).stdout.splitlines()[-1]
        for options in ((), ("-OO",), ())
    ]
    assert said == ["False", "True", "False"]


def test_tracebacks_show_the_current_path_of_our_files(tmp_path: Path, installation: Path) -> None:
    pytest.importorskip("click")
    script = write(tmp_path / "shop.py", JOURNAL)
    env = {"PYTHONPATH": str(installation), "PYTHONDONTWRITEBYTECODE": None}
    run_program(script, under="bare", env=env)
    moved = installation.parent.rename(tmp_path / "moved")
    ended = run_program(script, under="bare", env={"PYTHONPATH": str(moved / installation.name)})
    assert ended.stdout.splitlines()[1] == f"True {moved}/autotask/journal.py"


# --- `import autotask` in the program ------------------------------------------------------------

IMPORTS = {
    "import autotask": "import autotask; print(autotask.task.__name__)",
    "from autotask import task": "from autotask import task; print(task.__name__)",
    "import autotask.agent": "import autotask.agent; print(autotask.task.__name__)",
    "one of our modules": "import autotask.settings as c; print('task', c.Settings({}).name)",
    "a name that is missing": "import autotask; print('task', hasattr(autotask, 'nothing'))",
    "from autotask import what is missing": (
        "try: from autotask import nothing\nexcept ImportError: print('task')"
    ),
    "a module that is missing": (
        "try: import autotask.nothing\nexcept ModuleNotFoundError as e: print('task', e.name)"
    ),
}


@pytest.mark.parametrize("script", IMPORTS.values(), ids=IMPORTS)
@pytest.mark.parametrize("installed", [True, False], ids=["installed", "not installed"])
def test_a_program_can_import_autotask(script: str, installed: bool, tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(INSTALLED) if installed else None, "AUTOTASK_PROCESS": "0"}
    python = Path(sys.base_prefix) / "bin" / "python3"
    ended = run_program(python, "-c", script, env=env, cwd=tmp_path)
    assert (ended.status, ended.stdout[:4], ended.stderr) == (0, "task", "")


@pytest.mark.swallows
def test_the_decorator_is_harmless_without_wrapt(tmp_path: Path, installation: Path) -> None:
    python = Path(sys.base_prefix) / "bin" / "python3"
    if run_program(python, "-I", "-c", "import wrapt", under="bare").status == 0:
        pytest.skip("the machine's own Python has wrapt")
    source = "import autotask\n@autotask.task\ndef work(): return 'done'\nprint(work())"
    env = {"PYTHONPATH": str(installation), "AUTOTASK_PROCESS": "0"}
    script = write(tmp_path / "shop.py", source)
    ended = run_program(python, script, under="bare", env=env)
    assert ended == Ended(0, "done\n", "")


def test_every_module_of_the_package_can_be_imported() -> None:
    script = "from autotask import *; print(task.__name__)"
    assert run_program("-c", script) == Ended(0, "task\n", "")


def test_the_agent_and_the_program_share_one_package(tmp_path: Path) -> None:
    script = (
        "import sys; before = sys.modules['autotask'], sys.modules['autotask.agent']\n"
        "import autotask, autotask.agent, autotask.recorder\n"
        "print(before == (autotask, autotask.agent), autotask.agent in sys.meta_path)"
    )
    for path in (None, str(INSTALLED)):
        ended = run_program("-c", script, env={"PYTHONPATH": path})
        assert ended == Ended(0, "True True\n", "")


def test_the_agent_starts_once_however_often_start_is_called() -> None:
    script = (
        "import sys, autotask.agent as agent; agent.start(); agent.start()\n"
        "print([getattr(f, '__name__', '') for f in sys.meta_path].count('autotask.agent'))"
    )
    assert run_program("-c", script) == Ended(0, "1\n", "")


def test_without_the_agent_importing_autotask_starts_nothing() -> None:
    script = "import sys; sys.path.insert(0, {!r}); import autotask; print(len(sys.meta_path))"
    ended = run_program("-c", script.format(str(INSTALLED)), under="bare")
    plain = run_program("-c", "import sys; print(len(sys.meta_path))", under="bare")
    assert ended == plain


def test_an_aborted_program_prints_nothing_of_the_agent() -> None:
    program = start_program("-c", "import os; os.abort()", stdout=-1, stderr=-1)
    assert program.communicate(timeout=PATIENCE) == (b"", b"")
