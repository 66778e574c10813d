"""Watching imports: which hook is called for which module, and that imports work as before.

Each case is a program that is run bare, then with the agent; what it prints must be the same but
for what the hooks print, on lines that begin with `told`.
"""

from __future__ import annotations

import compileall
import shutil
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from support import INSTALLED, TEMPLATE, Ended, run_program, runs, write

# Hooks on the modules that a case names, if the agent is loaded to call them.
PREFACE = """
import sys
def hook(module):
    print("told", module.__name__)
if "autotask.agent" in sys.modules:
    from autotask.imports import when_imported
    for name in {watched!r}:
        when_imported(name, hook)
"""


@dataclass(frozen=True)
class Case:
    """A program, the modules that are watched in it, and those whose hooks are called."""

    program: str
    told: tuple[str, ...]
    files: dict[str, str] = field(default_factory=lambda: {"shop.py": "value = 1"})
    watched: tuple[str, ...] = ("shop",)
    since: tuple[int, int] = (3, 9)


def without_told(ended: Ended) -> Ended:
    lines = ended.stdout.splitlines(keepends=True)
    rest = [line for line in lines if not line.startswith("told ")]
    return Ended(ended.status, "".join(rest), ended.stderr)


def told(ended: Ended) -> tuple[str, ...]:
    lines = ended.stdout.splitlines()
    return tuple(line.removeprefix("told ") for line in lines if line.startswith("told "))


def check(case: Case, folder: Path) -> None:
    if sys.version_info < case.since:
        pytest.skip(f"needs Python {case.since}")
    for name, source in case.files.items():
        write(folder / name, source)
    script = write(folder / "main.py", PREFACE.format(watched=case.watched))
    with script.open("a") as file:
        file.write(case.program.strip() + "\n")
    env = {"AUTOTASK_PROCESS": "0"}
    bare, ours = (run_program(script, under=u, env=env, cwd=folder) for u in ("bare", "path"))
    assert told(bare) == ()
    assert without_told(ours) == bare
    assert told(ours) == case.told


FACTS = """
spec, loader = shop.__spec__, shop.__loader__
print(type(spec), spec.name, spec.origin, spec.cached, spec.has_location)
print(spec.submodule_search_locations, spec.parent, spec.loader_state, spec.loader is loader)
print(type(loader), sorted(vars(loader).items()), loader.exec_module.__func__.__qualname__)
print(loader.get_code("shop").co_name, loader.is_package("shop"), loader.get_source("shop"))
print(sorted(vars(shop)), shop.__file__)
"""

PACKAGE = {
    "shop/__init__.py": "print('package')",
    "shop/__main__.py": "print('main', __name__, __spec__.name, __loader__.name)",
    "shop/mail.py": "print('mail', __name__)",
    "shop/data.txt": "stock",
}


CASES = {
    "an import": Case("import shop; print(shop.value)", ("shop",)),
    "a second import": Case("import shop; import shop", ("shop",)),
    "a module that was imported before": Case(
        "import json\nif 'when_imported' in globals(): when_imported('json', hook)", ("json",)
    ),
    "a module in the midst of its import": Case(
        "import shop",
        ("shop",),
        {
            "shop.py": "import other; done = True",
            "other.py": """
                import sys
                if "autotask.agent" in sys.modules:
                    from autotask.imports import when_imported
                    when_imported("shop", lambda module: module.done)
            """,
        },
    ),
    "a module and those in it": Case(
        "import shop.mail",
        ("shop", "shop.mail"),
        PACKAGE,
        ("shop", "shop.mail", "shop.nothing"),
    ),
    "modules that import one another": Case(
        "import shop",
        ("more", "shop"),
        {"shop.py": "import more", "more.py": "import shop; print(vars(shop).get('more'))"},
        ("shop", "more"),
    ),
    "a reload": Case(
        "import shop, importlib; print(importlib.reload(shop) is shop)", ("shop", "shop")
    ),
    "an import after its removal": Case(
        "import shop; first = shop; del sys.modules['shop']; import shop; print(shop is first)",
        ("shop", "shop"),
    ),
    "a first import that fails": Case(
        """
for attempt in (1, 2, 3):
    try:
        import shop
    except Exception as problem:
        print(type(problem), problem, "shop" in sys.modules)
""",
        ("shop",),
        {
            "shop.py": """
                import sys
                sys.attempts = getattr(sys, "attempts", 0) + 1
                if sys.attempts < 3:
                    raise [ValueError, ImportError][sys.attempts - 1]("not yet")
            """
        },
    ),
    "a reload that fails": Case(
        """
import shop, importlib
try:
    importlib.reload(shop)
except ZeroDivisionError as problem:
    print(problem, sys.modules["shop"] is shop)
""",
        ("shop",),
        {"shop.py": "1 / (1 - vars().get('again', 0)); again = 1"},
    ),
    "a module that is missing": Case(
        """
try:
    import shop
except ModuleNotFoundError as problem:
    print(problem, problem.name, problem.path)
""",
        (),
        {},
    ),
    "a module that replaces itself": Case(
        "import shop; print(shop.value)",
        ("shop",),
        {
            "shop.py": """
                import sys, types
                other = types.ModuleType("shop"); other.value = 7
                sys.modules[__name__] = other
            """
        },
    ),
    "facts of a module": Case("import shop" + FACTS, ("shop",)),
    "facts of a package": Case("import shop" + FACTS, ("shop",), PACKAGE),
    "facts while it is executed": Case(
        "import shop",
        ("shop",),
        {
            "shop.py": "print(__spec__.loader is __loader__, sorted(vars(__loader__)), __name__)\n"
            "import sys; print(sys._getframe(0).f_code.co_name)"
        },
    ),
    "facts of a spec that was only looked for": Case(
        """
import importlib.util
spec = importlib.util.find_spec("shop")
print(type(spec), type(spec.loader), spec.origin, spec.loader.get_source("shop"))
import shop
print(shop.__spec__.origin == spec.origin)
""",
        ("shop",),
    ),
    "a spec that is executed by hand": Case(
        """
import importlib.util
spec = importlib.util.find_spec("shop")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(module.value, "shop" in sys.modules)
""",
        ("shop",),
    ),
    "a spec from a file": Case(
        """
import importlib.util
spec = importlib.util.spec_from_file_location("shop", "shop.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(module.value)
""",
        (),  # past every finder
    ),
    "a lazy loader": Case(
        """
import importlib.util
spec = importlib.util.find_spec("shop")
spec.loader = importlib.util.LazyLoader(spec.loader)
shop = sys.modules["shop"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shop)
print("not yet", type(shop).__name__)
print(shop.value, type(shop).__name__)
""",
        ("shop",),
        {"shop.py": "print('executed'); value = 1"},
    ),
    "a namespace package": Case(
        """
import space, space.shop
print(list(space.__path__), space.__spec__.origin, type(space.__loader__).__name__)
print(space.shop.value)
""",
        ("space.shop",),
        {"space/shop.py": "value = 1"},
        ("space", "space.shop"),
    ),
    "a namespace package of two folders": Case(
        """
import os
sys.path += [os.path.join(sys.path[0], "a"), os.path.join(sys.path[0], "b")]
import space.shop, space.mail
print(list(space.__path__))
""",
        ("space.shop", "space.mail"),
        {"a/space/shop.py": "", "b/space/mail.py": ""},
        ("space.shop", "space.mail"),
    ),
    "an extension module": Case(
        "import _struct; print(_struct.__spec__.loader is _struct.__loader__)",
        ("_struct",),
        watched=("_struct",),
    ),
    "a built-in module": Case(
        "import _symtable; print(_symtable.__spec__.origin)",
        (),  # BuiltinImporter is a class: an attribute of it is seen by all of them
        watched=("_symtable",),
    ),
    "a frozen module": Case(
        "import __hello__; print(__hello__.__spec__.origin)",
        (),
        watched=("__hello__",),
        since=(3, 11),
    ),
    "resources of a package": Case(
        """
import importlib.resources, pkgutil, inspect, shop
print((importlib.resources.files("shop") / "data.txt").read_text())
print(pkgutil.get_data("shop", "data.txt"), inspect.getsource(shop))
print([module.name for module in pkgutil.iter_modules(shop.__path__)])
print(sorted(importlib.resources.files(shop).iterdir()))
""",
        ("shop",),
        PACKAGE,
    ),
    "a loader that several modules share": Case(
        """
from importlib.machinery import ModuleSpec
class Loader:
    def create_module(self, spec): return None
    def exec_module(self, module): print("executed", module.__name__)
class Finder:
    loader = Loader()
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self.loader) if name in ("shop", "other", "more") else None
sys.meta_path.append(Finder())
import importlib.util
importlib.util.find_spec("shop")
import other, shop, more
print(vars(Finder.loader))
""",
        ("shop", "more"),
        {},
        ("shop", "more"),
    ),
    "a loader that is a class": Case(
        """
from importlib.machinery import ModuleSpec
class Loader:
    @staticmethod
    def create_module(spec): return None
    @staticmethod
    def exec_module(module): print("executed", module.__name__)
class Finder:
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, Loader) if name in ("shop", "other") else None
sys.meta_path.append(Finder())
import shop, other
del sys.modules["shop"]
import shop
""",
        (),
        {},
    ),
    "a finder of the old kind": Case(
        """
import warnings
warnings.simplefilter("ignore")
class Finder:
    def find_module(self, name, path=None): print("asked for", name)
sys.meta_path.insert(0, Finder())
import shop
print(shop.value)
""",
        ("shop",),
    ),
    "a finder that fails": Case(
        """
class Finder:
    def find_spec(self, name, path=None, target=None): raise KeyError(name)
sys.meta_path.append(Finder())
sys.path.clear()
try:
    import shop
except KeyError as problem:
    print("KeyError", problem)
""",
        (),
    ),
    "a finder put before ours that finds it by itself": Case(
        """
from importlib.machinery import PathFinder
class Finder:
    def find_spec(self, name, path=None, target=None):
        return PathFinder.find_spec(name, path, target) if name == "shop" else None
sys.meta_path.insert(0, Finder())
import shop
print(shop.value)
""",
        (),
    ),
    "a finder put before ours that asks the others": Case(
        """
class Finder:
    def find_spec(self, name, path=None, target=None):
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                return spec
sys.meta_path.insert(0, Finder())
import shop
print(shop.value)
""",
        ("shop",),
    ),
    "a finder put before ours that does not know it": Case(
        """
class Finder:
    def find_spec(self, name, path=None, target=None): print("asked for", name)
sys.meta_path.insert(0, Finder())
import shop
""",
        ("shop",),
    ),
    "a finder put before ours that imports it on the way": Case(
        """
class Finder:
    busy = False
    def find_spec(self, name, path=None, target=None):
        if name == "shop" and not self.busy:
            self.busy = True
            import shop
sys.meta_path.insert(0, Finder())
import shop
print(shop.value)
""",
        ("shop",),
    ),
    "the order of the finders": Case(
        """
class Finder:
    def find_spec(self, name, path=None, target=None): pass
first, last = Finder(), Finder()
sys.meta_path.insert(0, first)
sys.meta_path.append(last)
import shop
print(sys.meta_path.index(first), sys.meta_path[-1] is last)
finders = [getattr(f, "__name__", type(f)) for f in sys.meta_path]
print([name for name in finders if name != "autotask.agent"][1:-1])
""",
        ("shop",),
    ),
    "what a finder is asked": Case(
        """
class Finder:
    def find_spec(self, name, path=None, target=None): print(name, path, target)
sys.meta_path.insert(1, Finder())
import shop.mail, importlib
importlib.reload(shop.mail)
""",
        ("shop", "shop.mail", "shop.mail"),
        PACKAGE,
        ("shop", "shop.mail"),
    ),
    "our finder taken away": Case(
        """
sys.meta_path[:] = [f for f in sys.meta_path if getattr(f, "__name__", "") != "autotask.agent"]
import shop
print(shop.value)
""",
        (),
    ),
    "caches made invalid": Case(
        """
import importlib
importlib.invalidate_caches()
print(importlib.util.find_spec("shop").name if hasattr(importlib, "util") else "shop")
import shop
""",
        ("shop",),
    ),
    "distributions": Case(
        """
import importlib.metadata
print(sorted(str(d.metadata["name"]) for d in importlib.metadata.distributions()))
import shop
""",
        ("shop",),
    ),
}


def rows() -> list[ParameterSet]:
    return [pytest.param(case, id=name) for name, case in CASES.items()]


@pytest.mark.parametrize("case", rows())
def test_hooks_are_called_and_imports_work_as_before(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.mark.swallows
def test_a_loader_that_takes_no_attribute_works_without_its_hook(tmp_path: Path) -> None:
    program = """
from importlib.machinery import ModuleSpec
class Loader:
    __slots__ = ()
    def create_module(self, spec): return None
    def exec_module(self, module): module.value = 1
class Finder:
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, Loader()) if name == "shop" else None
sys.meta_path.append(Finder())
import shop
print(shop.value)
"""
    check(Case(program, (), {}), tmp_path)


def test_modules_in_an_archive_are_watched(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "shop.zip", "w") as archive:
        archive.writestr("shop/__init__.py", "import shop.mail")
        archive.writestr("shop/mail.py", "print('mail')")
        archive.writestr("shop/data.txt", "stock")
        archive.writestr("other.py", "print('other')")
    program = """
sys.path.insert(0, "shop.zip")
import importlib.resources, importlib.util
importlib.util.find_spec("shop")
import other, shop
print((importlib.resources.files("shop") / "data.txt").read_text())
print(type(shop.__loader__).__name__, vars(shop.__loader__).get("exec_module"))
"""
    watched = ("shop", "shop.mail")
    check(Case(program, ("shop.mail", "shop"), {}, watched, since=(3, 10)), tmp_path)


MAINS = {
    "a package": ("-m", "shop"),
    "a module in it": ("-m", "shop.mail"),
    "the package's main by name": ("-m", "shop.__main__"),
    "a folder": ("shop",),
}


@pytest.mark.parametrize("command", MAINS.values(), ids=MAINS)
def test_python_m_runs_a_watched_module(command: tuple[str, ...], tmp_path: Path) -> None:
    for name, source in PACKAGE.items():
        write(tmp_path / name, source)
    names = ("shop", "shop.mail", "shop.__main__", "__main__")
    env = {
        "AUTOTASK_FUNCTIONS": ",".join(f"{name}:work" for name in names[:3]),
        "AUTOTASK_DEBUG": None,  # no such function exists
    }
    words = command if command[0] == "-m" else (sys.executable, *command)
    bare, ours = (run_program(*words, under=u, env=env, cwd=tmp_path) for u in ("bare", "path"))
    assert ours == bare
    assert "main" in ours.stdout or "mail" in ours.stdout


@pytest.mark.swallows
def test_a_failing_hook_does_not_disturb_the_import(tmp_path: Path, swallowed: Path) -> None:
    write(tmp_path / "shop.py", "value = 1")
    program = """
        from autotask.imports import when_imported
        when_imported("shop", lambda module: 1 / 0)
        when_imported("shop", lambda module: print("told", module.value))
        import shop
        print(shop.value)
    """
    ended = run_program(write(tmp_path / "main.py", program), cwd=tmp_path)
    assert ended == Ended(0, "told 1\n1\n", "")
    assert "swallowed ZeroDivisionError: division by zero in shop" in swallowed.read_text()


@pytest.mark.swallows
def test_a_module_that_only_looks_like_a_framework_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "click" / "core.py", "Command = None")
    write(tmp_path / "click" / "__init__.py", "from click.core import Command; print(Command)")
    ended = run_program(write(tmp_path / "main.py", "import click"), cwd=tmp_path)
    assert ended == Ended(0, "None\n", "")


TRACEBACKS = {
    "ValueError": "raise ValueError('boom')",
    "ImportError": "import no_such_module",
    "SyntaxError": "this is no Python",
    "deeper": "def work(): raise KeyError('gone')\nwork()",
}


@pytest.mark.parametrize("source", TRACEBACKS.values(), ids=TRACEBACKS)
def test_a_traceback_from_a_watched_module_is_no_longer_than_usual(
    source: str, tmp_path: Path
) -> None:
    write(tmp_path / "shop.py", source)
    script = write(tmp_path / "main.py", PREFACE.format(watched=["shop"]) + "import shop\n")
    bare, ours = (run_program(script, under=u, cwd=tmp_path) for u in ("bare", "path"))
    assert ours == bare
    assert ours.status == 1


def test_what_a_signal_handler_raises_during_a_hook_reaches_the_program(tmp_path: Path) -> None:
    write(tmp_path / "shop.py", "")
    program = """
        import os, signal
        from autotask.imports import when_imported
        def handler(number, frame): raise TimeoutError("too late")
        signal.signal(signal.SIGALRM, handler)
        when_imported("shop", lambda module: os.kill(os.getpid(), signal.SIGALRM))
        try:
            import shop
        except TimeoutError as problem:
            print(problem)
    """
    ended = run_program(write(tmp_path / "main.py", program), cwd=tmp_path)
    assert ended == Ended(0, "too late\n", "")


def test_nor_has_it_frames_of_ours_if_a_loader_was_being_hooked(tmp_path: Path) -> None:
    write(tmp_path / "shop.py", "")
    program = """
        import importlib.machinery, importlib.util, os, signal, sys, traceback
        from autotask.imports import when_imported
        class Loader(importlib.machinery.SourceFileLoader):
            def __setattr__(self, name, value):
                if name == "exec_module":
                    os.kill(os.getpid(), signal.SIGALRM)
                super().__setattr__(name, value)
        class Finder:
            def find_spec(name, path=None, target=None):
                if name == "shop":
                    return importlib.util.spec_from_loader(name, Loader(name, "shop.py"))
        def handler(number, frame): raise TimeoutError("too late")
        signal.signal(signal.SIGALRM, handler)
        sys.meta_path.insert(1, Finder)
        when_imported("shop", print)
        try:
            import shop
        except TimeoutError as problem:
            frames = traceback.extract_tb(problem.__traceback__)
            print(*[os.path.basename(frame.filename) for frame in frames])
    """
    ended = run_program(write(tmp_path / "main.py", program), cwd=tmp_path)
    frames = ended.stdout.split()
    assert frames[-2:] == ["main.py", "main.py"], ended
    assert "loading.py" not in frames


# --- threads -------------------------------------------------------------------------------------


def test_threads_that_import_one_module_at_once_find_it_complete(tmp_path: Path) -> None:
    write(tmp_path / "shop.py", "import time; time.sleep(0.05); value = 1")
    program = PREFACE.format(watched=["shop"]) + (
        "import threading\n"
        "gate, seen = threading.Barrier(16), []\n"
        "def work():\n"
        "    gate.wait()\n"
        "    import shop\n"
        "    seen.append(shop.value)\n"
        "threads = [threading.Thread(target=work) for _ in range(16)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "print(seen == [1] * 16)\n"
    )
    ended = run_program(write(tmp_path / "main.py", program), cwd=tmp_path)
    assert ended == Ended(0, "told shop\nTrue\n", "")


MEETING = """
import sys, threading
problems = []
def work(source):
    try:
        exec(source, {{}})
    except BaseException as problem:
        problems.append(repr(problem))
first = threading.Thread(target=work, args=({first!r},))
first.start()
while "autotask.recorder" not in sys.modules:
    pass
work({second!r})
first.join()
print(problems)
"""
TASK = "import click; click.Command('one', callback=int).main([], standalone_mode=False)"
OURS = "from autotask.recorder import start, current"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(TASK, OURS, id="ours after a framework"),
        pytest.param(OURS, TASK, id="a framework after ours"),
        pytest.param(TASK, "import invoke.tasks;" + TASK, id="two frameworks"),
    ],
)
def test_threads_never_see_a_half_imported_module_of_the_agent(
    first: str, second: str, tmp_path: Path, home: Path
) -> None:
    pytest.importorskip("click")
    pytest.importorskip("invoke")
    place = tmp_path / "installed"
    for part in (TEMPLATE, INSTALLED / "autotask"):
        shutil.copytree(part, place / part.name, ignore=shutil.ignore_patterns("__pycache__"))
    recorder = place / "autotask" / "recorder.py"
    future = "from __future__ import annotations\n"
    slow = recorder.read_text().replace(future, f"{future}import time; time.sleep(0.2)\n")
    recorder.write_text(slow)
    compileall.compile_dir(place / "autotask", quiet=2)
    script = write(tmp_path / "main.py", MEETING.format(first=first, second=second))
    env = {"PYTHONPATH": str(place / TEMPLATE.name), "AUTOTASK_PROCESS": "0"}
    assert run_program(script, under="bare", env=env) == Ended(0, "[]\n", "")
    assert {run["status"] for run in runs(home)} == {"success"}
