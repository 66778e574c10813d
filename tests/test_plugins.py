"""Plugins: what AUTOTASK_PLUGINS names instruments its module, and a failure does no harm."""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import environments
import pytest
from frameworks import test_procrastinate as procrastinates
from support import INSTALLED, Datagrams, run_program, runs, write
from tool.journals import autotask

from autotask import plugin
from autotask.settings import Settings

pytestmark = pytest.mark.installed

FRAMEWORKS = INSTALLED / "autotask" / "frameworks"
MODULES = sorted(path for path in FRAMEWORKS.glob("*.py") if path.stem != "__init__")

SHELL = """
import cmd, sys
class Shell(cmd.Cmd):
    def do_greet(self, line): print("hello", line)
    def do_fail(self, line): raise ValueError(line)
for line in sys.argv[1:]:
    Shell().onecmd(line)
"""
SETTING = "cmd=autotask_cmd:instrument"
BROKEN = {
    "raises at its import": "1 / 0",
    "exits at its import": "raise SystemExit(3)",
    "has no such function": "",
    "raises when it is called": "def instrument(module): raise RuntimeError('x')",
    "exits when it is called": "def instrument(module): import sys; sys.exit(3)",
}


@pytest.fixture
def shell(tmp_path: Path) -> Path:
    """Write a program beside the example's module and others that fail."""
    environments.install_example(tmp_path)
    return write(tmp_path / "shell.py", SHELL)


def test_the_example_makes_runs_of_its_frameworks_tasks(
    shell: Path, home: Path, datagrams: Datagrams
) -> None:
    ended = run_program(shell, "greet secret", "nosuch", "fail", env={"AUTOTASK_PLUGINS": SETTING})
    assert ended.status == 1
    process, greet, fail = runs(home)
    assert process["framework"] == "process"
    assert (greet["task"], greet["framework"], greet["status"]) == ("greet", "cmd", "success")
    assert (fail["task"], fail["status"], fail["reason"]) == ("fail", "failure", "exception")
    assert fail["error"]["type"] == "ValueError"
    assert fail["parent"] == process["run"]
    assert datagrams.lines("autotask.task.runs:1|c|#task:greet,framework:cmd")
    assert "secret" not in json.dumps(runs(home))


def test_the_example_uses_only_the_promised_interface() -> None:
    assert imported(environments.EXAMPLE / "autotask_cmd.py") == {"autotask.plugin"}


def imported(file: Path) -> set[str]:
    """Return the modules of the product that a module imports."""
    tree = list(ast.walk(ast.parse(file.read_text())))
    names = {str(node.module) for node in tree if isinstance(node, ast.ImportFrom)}
    names |= {name.name for node in tree if isinstance(node, ast.Import) for name in node.names}
    return {name for name in names if name.partition(".")[0] == "autotask"}


def test_each_name_of_the_promised_interface_is_documented_and_exists() -> None:
    entries = re.findall(r"^- (.+?): ", plugin.__doc__ or "", re.MULTILINE)
    described = {name for entry in entries for name in re.findall(r"`(\w+)", entry)}
    assert described == set(plugin.__all__)
    assert all(hasattr(plugin, name) for name in plugin.__all__)


# What the product's own modules use and plugins do not get, with the reason.
NOT_OFFERED = {
    "frameworks.click": "another framework's module",
    "frameworks.click_names.own_name": "another framework's module",
    "frameworks.click_names.path_below": "another framework's module",
    "recorder._hand_on": "may change",
    "recorder.begin": "`start`, for those that are guarded themselves",
    "recorder.settings": "settings of the product's own",
    "recorder.state": "may change",
    "frameworks.MESSAGES": "may change",
    "exits.note_exits": "for the parsers of a program's own command line",
    **dict.fromkeys(
        ("rest", "rest.begin", "rest.is_free", "rest.is_open", "rest.note_exit", "rest.refused"),
        "for the parsers of a program's own command line",
    ),
    "guard.OURS": "may change",
    "guard.raised_here": "for system calls, which a plugin leaves to the product",
}


@pytest.mark.checkout
@pytest.mark.parametrize("module", [path.stem for path in MODULES])
def test_a_plugin_is_offered_all_that_the_products_own_modules_use(module: str) -> None:
    used = set(names_used(ast.parse((FRAMEWORKS / f"{module}.py").read_text())))
    offered = {name for name in used if name.rpartition(".")[2] in plugin.__all__}
    assert sorted(used - offered - NOT_OFFERED.keys()) == []


def names_used(tree: ast.Module) -> Iterator[str]:
    """Yield each name that a module uses of the product: `recorder.start`, `run.failure`."""
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "autotask":
            modules.update({alias.name: alias.name for alias in node.names})
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("autotask."):
            known = str(node.module).partition(".")[2]
            yield from (f"{known}.{alias.name}" for alias in node.names)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        module = modules.get(node.value.id)
        if module and hasattr(importlib.import_module(f"autotask.{module}"), node.attr):
            yield f"{module}.{node.attr}"


@pytest.fixture(scope="module")
def procrastinate(tmp_path_factory: pytest.TempPathFactory) -> procrastinates.Seen:
    """Run Procrastinate's endings with a plugin that is the product's module, and not with that."""
    pytest.importorskip("procrastinate")
    folder = tmp_path_factory.mktemp("procrastinate")
    python = environments.make(folder / "venv")
    site = environments.site(python)
    module = environments.install_procrastinate(site, "jobs")
    assert imported(module) == {"autotask.plugin"}
    said = autotask("frameworks", "--", str(python), env={"AUTOTASK_HOME": str(folder / "home")})
    setting = said.stdout.rpartition("AUTOTASK_PLUGINS=")[2].strip()
    env = {"AUTOTASK_PLUGINS": setting, "AUTOTASK_FRAMEWORKS": "-procrastinate"}
    return procrastinates.seen(folder, {**env, "PYTHONPATH": str(site)})


def test_a_plugin_records_the_jobs_of_a_queue_as_the_product_does(
    procrastinate: procrastinates.Seen,
) -> None:
    procrastinates.test_a_worker_does_the_same_as_without_the_agent(procrastinate)
    procrastinates.test_what_a_task_runs_is_under_it(procrastinate)
    procrastinates.test_an_error_is_where_the_task_raised_it(procrastinate)
    procrastinates.test_the_waiting_is_known_of_a_job_with_a_date(procrastinate)
    assert {run["framework"] for run in procrastinate.runs} == {"process", "click", "jobs"}


@pytest.mark.parametrize("name", [*procrastinates.ROWS, *procrastinates.MORE])
def test_a_plugin_records_each_attempt_as_the_product_does(
    name: str, procrastinate: procrastinates.Seen
) -> None:
    procrastinates.check_attempts(name, procrastinate, "jobs")


def test_a_plugin_from_before_the_promised_interface_still_works(shell: Path, home: Path) -> None:
    example = shell.with_name("autotask_cmd.py")
    lines = example.read_text().splitlines()
    older = {
        "from autotask.plugin import fail, guarded, replace, start, succeed": (
            "from autotask.recorder import fail, start, succeed\n"
            "from autotask.frameworks import replace\nfrom autotask.guard import guarded"
        ),
        "    from autotask.plugin import Run": "    from autotask.run import Run",
    }
    assert older.keys() <= set(lines)
    example.write_text("\n".join(older.get(line, line) for line in lines))
    assert run_program(shell, "greet you", env={"AUTOTASK_PLUGINS": SETTING}).status == 0
    assert [run["task"] for run in runs(home)] == ["shell.py", "greet"]


@pytest.mark.parametrize(
    ("frameworks", "tasks"),
    [
        ("cmd", ["greet"]),
        ("-cmd", ["shell.py"]),
        ("click,process", ["shell.py"]),
        ("process,cmd", ["shell.py", "greet"]),
    ],
)
def test_a_plugins_framework_is_chosen_by_its_name(
    shell: Path, home: Path, frameworks: str, tasks: list[str]
) -> None:
    env = {"AUTOTASK_PLUGINS": SETTING, "AUTOTASK_FRAMEWORKS": frameworks}
    assert run_program(shell, "greet you", env=env).status == 0
    assert [run["task"] for run in runs(home)] == tasks


def test_without_plugins_an_unknown_framework_is_still_a_bad_setting() -> None:
    assert Settings({"AUTOTASK_FRAMEWORKS": "cmd"}).problems
    assert not Settings({"AUTOTASK_FRAMEWORKS": "cmd", "AUTOTASK_PLUGINS": SETTING}).problems


@pytest.mark.swallows
@pytest.mark.parametrize("source", BROKEN.values(), ids=list(BROKEN))
def test_a_failing_plugin_does_not_disturb_the_program(
    shell: Path, home: Path, swallowed: Path, source: str
) -> None:
    write(shell.with_name("broken.py"), source)
    ours = f"cmd=broken:instrument,{SETTING}"
    bare = run_program(shell, "greet you", under="bare")
    assert run_program(shell, "greet you", env={"AUTOTASK_PLUGINS": ours}) == bare
    assert [run["task"] for run in runs(home)] == ["shell.py", "greet"]
    assert swallowed.read_text().count("autotask: swallowed") == 1


@pytest.mark.swallows
def test_a_missing_plugin_does_not_disturb_the_program(
    shell: Path, home: Path, swallowed: Path
) -> None:
    ended = run_program(shell, "greet you", env={"AUTOTASK_PLUGINS": "cmd=missing:instrument"})
    assert (ended.status, ended.stderr) == (0, "")
    assert "swallowed ModuleNotFoundError: No module named 'missing'" in swallowed.read_text()


def test_a_plugin_is_imported_only_with_its_module(shell: Path) -> None:
    code = "import sys; print('autotask_cmd' in sys.modules, 'autotask.settings' in sys.modules)"
    env = {"AUTOTASK_PLUGINS": SETTING, "PYTHONPATH": str(shell.parent), "AUTOTASK_PROCESS": "0"}
    assert run_program("-c", code, env=env).stdout == "False True\n"
    assert run_program("-c", code, env={**env, "AUTOTASK_PLUGINS": None}).stdout == "False False\n"
    assert run_program("-c", f"import cmd; {code}", env=env).stdout == "True True\n"


@pytest.mark.parametrize(
    "value", ["cmd", "cmd=", "cmd=x", "cmd=x:", "=x:y", "cmd=x:y z", "c d=x:y", "cmd=x:y.z"]
)
def test_a_plugin_that_cannot_be_read_is_a_bad_setting(value: str) -> None:
    settings = Settings({"AUTOTASK_PLUGINS": f"{value}, {SETTING}"})
    assert settings.plugins == (("cmd", "autotask_cmd", "instrument"),)
    assert len(settings.problems) == 1
    assert "AUTOTASK_PLUGINS" in settings.problems[0]


DIAGNOSES = {
    "fails: ZeroDivisionError": "1 / 0",
    "fails: SystemExit: 3": "raise SystemExit(3)",
    "fails: AttributeError": "",
    "fails: RuntimeError: x": "def instrument(module): raise RuntimeError('x')",
    "to import": "import time; time.sleep(0.1)\ndef instrument(module): pass",
}


@pytest.mark.parametrize(("text", "source"), [*DIAGNOSES.items(), ("No module named", None)])
def test_the_doctor_reports_bad_plugins(
    tmp_path: Path, datagrams: Datagrams, text: str, source: str | None
) -> None:
    python = environments.make(tmp_path / "venv")
    site = environments.site(python)
    environments.install(site, "poor", "2.0", {"cmd": "poor:instrument"})
    if source is not None:
        write(site / "poor.py", source)
    ended = autotask("doctor", "--", str(python))
    assert (ended.status, ended.stderr) == (0, "")
    (row,) = [line for line in ended.stdout.splitlines() if " plugin " in line]
    assert row.split()[:4] == ["warning", "plugin", "cmd", "by"]
    assert "(poor 2.0)" in row
    assert text in row


def test_the_doctor_finds_good_plugins(tmp_path: Path, datagrams: Datagrams) -> None:
    python = environments.make(tmp_path / "venv")
    site = environments.site(python)
    environments.install_example(site)
    environments.install(site, "idle", "1", {"no_such_framework": "idle:instrument"})
    said = autotask("doctor", "--", str(python)).stdout
    rows = [" ".join(line.split()) for line in said.splitlines() if " plugin" in line]
    name = "plugin cmd by autotask_cmd:instrument (autotask-cmd 1.0)"
    assert rows[0] == f"ok {name}" or rows[0].startswith(f"warning {name} takes")  # a slow machine
    assert rows[1].startswith("ok plugin no_such_framework by idle:instrument (idle 1) is idle")
    assert f"AUTOTASK_PLUGINS={SETTING}" in rows[2]


def test_the_doctor_checks_plugins_named_by_hand(shell: Path, datagrams: Datagrams) -> None:
    env = {"AUTOTASK_PLUGINS": "cmd=missing:instrument", "PYTHONPATH": str(shell.parent)}
    said = autotask("doctor", env=env).stdout
    assert "cmd by missing:instrument (AUTOTASK_PLUGINS) fails: ModuleNotFoundError" in said
    assert "(autotask-cmd 1.0) is not listed in AUTOTASK_PLUGINS" in said
    assert f"add {SETTING}" in said.replace("Add", "add")


def test_the_doctor_forgets_removed_plugins(tmp_path: Path, datagrams: Datagrams) -> None:
    python = environments.make(tmp_path / "venv")
    environments.install_example(environments.site(python))
    assert " plugin" in autotask("doctor", "--", str(python)).stdout
    for file in environments.site(python).glob("autotask*/entry_points.txt"):
        file.unlink()
    environments.site(python).joinpath("autotask_cmd.py").unlink()
    assert " plugin" not in autotask("doctor", "--", str(python)).stdout
