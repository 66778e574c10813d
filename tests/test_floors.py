"""Which module imports which: the layers of the package, and what a user's process has to load."""

from __future__ import annotations

import ast
import graphlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from support import INSTALLED, run_program, write

from autotask import agent, guard, naming
from autotask.imports import TABLE

if TYPE_CHECKING:
    from typing import TypeGuard

pytestmark = pytest.mark.installed

# What of the standard library each task may load, and what only rare paths load.
ALWAYS = frozenset("__future__ _thread os sys time".split())
RARELY = frozenset("_signal atexit fnmatch re zipimport".split())
UNSEEN = frozenset(  # by `standard`
    "_contextvars _interpreters _socket _xxsubinterpreters atexit fcntl pwd resource select"
    " termios".split()
)
RARE = frozenset(  # our modules
    "boot_id command_name debuglog exec_handover exec_launchers failures functions homes marks"
    " masking messages on_request plugin protocols putenv queued rest shell_line stderr_journal"
    " wrapper_commands wrapt argparse_import".split()
)
OF_ONE = {
    # imported only after a failure
    "autotask.failures": frozenset(("re",)),
    "autotask.masking": frozenset(("re",)),
    # only for the type checker
    "autotask.protocols": frozenset(("typing",)),
    # and this one on demand
    "autotask.functions": frozenset(("autotask.wrapt.wrappers", "copy", "inspect", "types")),
}


class Import(NamedTuple):
    """One module imported by another, at its own import or later."""

    module: str
    imported: str
    at_once: bool


def modules() -> dict[str, Path]:
    by_name = {}
    for path in sorted((INSTALLED / "autotask").rglob("*.py")):
        words = path.relative_to(INSTALLED).with_suffix("").parts
        by_name[".".join(words[:-1] if words[-1] == "__init__" else words)] = path
    return by_name


MODULES = modules()
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in MODULES.items()}


def imports() -> list[Import]:
    """List all imports of the package except those for type checkers only."""
    return [
        Import(module, imported, at_once)
        for module, tree in TREES.items()
        for imported, at_once in _imports(tree.body, True)
    ]


def _imports(body: list[ast.stmt], at_once: bool) -> Iterator[tuple[str, bool]]:
    for statement in body:
        if _is_for_type_checkers(statement):
            yield from _imports(statement.orelse, at_once)
        elif isinstance(statement, ast.Import):
            yield from ((alias.name, at_once) for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, f"a relative import: {ast.unparse(statement)}"
            for alias in statement.names:
                whole = f"{statement.module}.{alias.name}"
                yield (whole if whole in MODULES else str(statement.module)), at_once
        else:
            inside = isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef))
            yield from _imports(_blocks(statement), at_once and not inside)


def _is_for_type_checkers(statement: ast.AST) -> TypeGuard[ast.If]:
    return isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"


def _blocks(statement: ast.AST) -> list[ast.stmt]:
    """Return the statements directly inside a compound one, its handlers' and cases' too."""
    inner: list[ast.stmt] = []
    for child in ast.iter_child_nodes(statement):
        if isinstance(child, ast.stmt):
            inner.append(child)
        elif isinstance(child, ast.ExceptHandler) or type(child).__name__ == "match_case":
            inner += _blocks(child)
    return inner


def named(module: str) -> Iterator[Import]:
    """Yield our modules that a module loads by a string.

    These are the arguments of `load` (also those in a tuple with a name), `sys.modules[...]`,
    `__import__(...)`, and the table of frameworks.
    """
    nodes = list(ast.walk(TREES[module]))
    tuples = {
        ast.unparse(node.targets[0]): node.value for node in nodes if isinstance(node, ast.Assign)
    }
    loaded = [part for node in nodes for part in _loaded(node)]
    texts = [
        inner.value.removeprefix("autotask.")
        for part in loaded
        for inner in ast.walk(tuples.get(ast.unparse(part).lstrip("*"), part))
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str)
    ]
    if module == "autotask.imports":
        texts += [f"frameworks.{framework}" for framework in TABLE.split()[2::4]]
    for text in texts:
        if f"autotask.{text}" in MODULES:
            yield Import(module, f"autotask.{text}", at_once=False)


def _loaded(node: ast.AST) -> list[ast.expr]:
    """Return the expressions in which modules to load may be named."""
    if isinstance(node, ast.Call):
        is_load = re.fullmatch(r"(.*\.)?(_?load|__import__)", ast.unparse(node.func))
        return node.args if is_load else []
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "sys.modules":
        return [node.slice]
    return []


ALL_IMPORTS = [
    *(one for one in imports() if one.imported in MODULES),
    *(one for module in MODULES for one in named(module)),
]


def floor(module: str) -> str:
    """Return the layer of a module: its folder."""
    folder = module.split(".")[1:2]
    return {"around": "around", "tool": "tool"}.get("".join(folder), "in process")


IN_PROCESS = frozenset(
    module
    for module in MODULES
    if floor(module) == "in process" and not module.startswith("autotask.frameworks.")
) - {"autotask"}


def test_imports_only_go_down() -> None:
    below = {
        "in process": {"in process"},
        "around": {"in process", "around"},
        "tool": {"in process", "around", "tool"},
    }
    # The one door: a parent that knows why its child died reads the journal.
    door = Import("autotask.recorder", "autotask.around.children", at_once=False)
    up = [one for one in ALL_IMPORTS if floor(one.imported) not in below[floor(one.module)]]
    assert len(ALL_IMPORTS) > 50
    assert up == [door]


def test_the_modules_have_only_one_import_cycle() -> None:
    # The finder and what it loads import each other: every idle process would read a joint module.
    pair = Import("autotask.imports", "autotask.agent", at_once=True)
    assert pair in ALL_IMPORTS
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for one in ALL_IMPORTS:
        if one != pair and one.module != one.imported:
            graph[one.module].add(one.imported)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as problem:
        pytest.fail(" -> ".join(reversed(problem.args[1])))


def test_a_framework_module_knows_the_recorder_but_no_sink() -> None:
    known = {
        f"autotask.{name}"
        for name in (
            *("recorder", "guard", "run", "queued", "failures", "frameworks"),
            # argparse's runs, and docopt's, which nothing is called around
            *("rest", "argparse_import", "exits"),
        )
    }
    others = [
        one
        for one in ALL_IMPORTS
        if one.module.startswith("autotask.frameworks.")
        and one.imported not in known
        and not one.imported.startswith("autotask.frameworks.")
    ]
    assert others == []


def test_only_the_table_and_the_frameworks_own_modules_name_a_framework() -> None:
    names = {name for names in TABLE.split()[1::4] for name in names.split(",")}
    naming = {
        (module, node.value)
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if floor(module) != "tool" and isinstance(node, ast.Constant) and node.value in names
    }
    own = {one for one in naming if one[0].startswith("autotask.frameworks")}
    assert own
    light = ("autotask.agent", "argparse")  # so many import it that the agent loads less for it
    assert naming == own | {light}


def test_the_agent_watches_the_modules_of_the_table() -> None:
    assert sorted(agent.WATCHED) == sorted(TABLE.split()[::4])


def test_the_agent_and_the_naming_know_the_same_schedulers() -> None:
    assert agent.SCHEDULERS == naming.SCHEDULERS


def test_the_guard_knows_all_our_packages_that_it_guards() -> None:
    guarded = {module for module in MODULES if floor(module) != "tool"} - {"autotask.wrapt"}
    assert {module.rpartition(".")[0] for module in guarded} - {""} == set(guard.OURS)


def test_the_part_in_the_process_needs_no_other_package() -> None:
    strange = [
        one
        for one in imports()
        if floor(one.module) == "in process"
        and one.imported not in MODULES
        and one.imported not in ALWAYS | OF_ONE.get(one.module, frozenset())
        and (one.at_once or one.imported not in RARELY)
    ]
    assert strange == []


def test_optional_packages_are_used_without_leaving_a_trace() -> None:
    calls = [
        node
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "standard"
    ]
    assert {ast.literal_eval(call.args[0]) for call in calls} == UNSEEN


def test_the_launcher_needs_only_the_standard_library() -> None:
    outside = {one.imported for one in imports() if floor(one.module) == "around"} - set(MODULES)
    # tomli is tomllib before Python 3.11
    assert {name for name in outside if not _is_standard(name)} <= {"tomli"}


def _is_standard(name: str) -> bool:
    names = getattr(sys, "stdlib_module_names", None)  # 3.10
    return names is None or name.partition(".")[0] in names


AT_EXIT = "import atexit, sys; atexit.register(lambda: print(*sorted(sys.modules)))\n"


def added(*command: str | Path) -> set[str]:
    """Run a program bare and with the agent; return the modules that it loads on top."""
    bare, ours = (run_program(*command, under=under) for under in ("bare", "path"))
    assert (bare.status, ours.status, ours.stderr) == (0, 0, bare.stderr)
    return set(ours.stdout.split()) - set(bare.stdout.split())


def test_an_idle_process_loads_two_modules() -> None:
    with_sitecustomize = {"sitecustomize"}  # if the machine has one, it is in both
    assert added("-c", AT_EXIT) - with_sitecustomize == {"autotask", "autotask.agent"}


BECOMES_ANOTHER = """
import os, sys
if len(sys.argv) == 1:
    os.execv(sys.executable, [sys.executable, __file__, "again"])
print(*sorted(sys.modules))
"""


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"AUTOTASK_FUNCTIONS": "shop:nightly"},
        {"AUTOTASK_PLUGINS": "shop=shop_plugin:instrument"},
        {"AUTOTASK_DEBUG": os.devnull, "AUTOTASK_PROCESS_RUN": "00000000000000aa:1"},
    ],
    ids=["exec", "functions", "plugins", "debug"],
)
def test_what_a_setting_asks_for_at_the_start_leaves_no_other_module(
    env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTOTASK_DEBUG", raising=False)
    script = write(tmp_path / "job.py", BECOMES_ANOTHER)
    words = [script] if not env else [script, "again"]
    run_program(*words, env=env)  # the very first run creates its home
    bare, ours = (run_program(*words, under=under, env=env) for under in ("bare", "path"))
    added = set(ours.stdout.split()) - set(bare.stdout.split())
    assert {name for name in added if not name.startswith("autotask")} <= {"atexit"}
    assert "autotask.on_request" in added


def test_the_agent_leaves_nothing_on_the_path() -> None:
    script = "import sys; print([entry for entry in sys.path if 'sitecustomize' in entry])"
    assert run_program("-c", script).stdout == "[]\n"


def test_a_task_loads_only_the_agents_modules(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("click")
    monkeypatch.delenv("AUTOTASK_DEBUG", raising=False)
    program = AT_EXIT + "import click\n@click.command()\ndef hello(): pass\nhello()\n"
    script = write(tmp_path / "shop.py", program)
    run_program(script)  # the very first run makes the home
    found = added(script)
    assert (home / "journal").exists()
    assert found - {"atexit"} == {  # up to 3.9
        "autotask",
        *(IN_PROCESS - {f"autotask.{name}" for name in RARE}),
        "autotask.frameworks.click",
    }


def test_no_module_of_the_agent_hides_one_of_the_programs(tmp_path: Path) -> None:
    write(tmp_path / "journal.py", "mine = True")
    write(tmp_path / "shop.py", "import journal; assert journal.mine")
    assert run_program(tmp_path / "shop.py", cwd=tmp_path).status == 0
