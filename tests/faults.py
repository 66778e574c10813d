"""Faults in our own functions: a copy in which each can be made to fail, and programs run in it.

Nothing is listed by hand. The copy is made from the current source, with an extra statement at
the start of each function. The server is a Python that has imported what frameworks import,
but neither frameworks nor autotask; each of its forks starts like Python (sitecustomize), runs a
program, and ends like Python.
"""

from __future__ import annotations

import ast
import compileall
import json
import py_compile
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support import INSTALLED, PYTHON, TEMPLATE, Datagrams, environment

_SWITCH = "if (fault := __import__('sys')._autotask_fault({number})): return fault()"
_CATCHING = ("OSError", "Exception", "TimeoutError", "all")  # BaseException, too
_ALARM = "if (alarm := __import__('sys')._autotask_fault({number})): alarm()"
ALARM = "the alarm of the program"  # what its handler raises, if the kind of the fault is "alarm"
# The interpreter runs this before any of our functions; the server replaces it with its own.
_BEGINNING = "__import__('sys').__dict__.setdefault('_autotask_fault', lambda number: None)"


@dataclass
class Tree:
    """A copy of what is installed, with a switch in each function of the in-process part."""

    template: Path
    functions: list[str] = field(default_factory=list)  # `module:qualname`, by number

    def of(self, module: str) -> list[str]:
        return [name for name in self.functions if name.partition(":")[0] == module]


def make_tree(place: Path, modules: list[str]) -> Tree:
    """Copy what is installed, put a switch into the functions of *modules*, and compile it."""
    for part in (TEMPLATE, INSTALLED / "autotask"):
        shutil.copytree(part, place / part.name, ignore=shutil.ignore_patterns("__pycache__"))
    tree = Tree(place / TEMPLATE.name)
    for module in modules:
        path = _path(place, module)
        body = ast.parse(path.read_text(encoding="utf-8"))
        for qualname, function in sorted(_functions(body, ""), key=lambda pair: pair[1].lineno):
            _put_switch(function, len(tree.functions))
            tree.functions.append(f"{module}:{qualname}")
        if module == "sitecustomize":
            body.body.insert(0, ast.parse(_BEGINNING).body[0])
        path.write_text(ast.unparse(ast.fix_missing_locations(body)), encoding="utf-8")
    compileall.compile_dir(place, quiet=2)
    # One of the kind that images have: its header is read differently.
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_file(
        _path(place, "autotask.trigger"), quiet=2, force=True, invalidation_mode=unchecked
    )
    return tree


def make_tree_of_alarms(place: Path, modules: list[str]) -> Tree:
    """Copy what is installed, with a switch in each `try` that can catch an OSError.

    Its "functions" are named after these places: `module:qualname except OSError`.
    """
    tree = make_tree(place, [])
    for module in modules:
        path = _path(place, module)
        body = ast.parse(path.read_text(encoding="utf-8"))
        for qualname, block in _tries(body, ""):
            kinds = [ast.unparse(one.type) if one.type else "all" for one in block.handlers]
            if not any(word in kind for kind in kinds for word in _CATCHING):
                continue
            switch = ast.parse(_ALARM.format(number=len(tree.functions))).body
            block.body[:0] = switch
            tree.functions.append(f"{module}:{qualname} except {', '.join(kinds)}")
        path.write_text(ast.unparse(ast.fix_missing_locations(body)), encoding="utf-8")
    compileall.compile_dir(place, quiet=2)
    return tree


def _tries(node: ast.AST, qualname: str) -> Iterator[tuple[str, ast.Try]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield from _tries(child, f"{qualname}.{child.name}".lstrip("."))
        else:
            if isinstance(child, ast.Try):
                yield qualname, child
            yield from _tries(child, qualname)


def _path(place: Path, module: str) -> Path:
    if module == "sitecustomize":
        return place / TEMPLATE.name / "sitecustomize.py"
    path = place.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _functions(node: ast.AST, above: str) -> Iterator[tuple[str, Any]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            for statement in child.orelse:
                yield from _functions(ast.Module([statement], []), above)
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if not isinstance(child, ast.ClassDef):
                yield above + child.name, child
            yield from _functions(child, f"{above}{child.name}.")
        else:
            yield from _functions(child, above)


def _put_switch(function: ast.FunctionDef, number: int) -> None:
    first = 1 if ast.get_docstring(function) is not None else 0
    if len(function.body) > first and isinstance(function.body[first], (ast.Global, ast.Nonlocal)):
        first += 1
    switch = ast.parse(f"def switched():\n    {_SWITCH.format(number=number)}").body[0]
    assert isinstance(switch, ast.FunctionDef)
    function.body[first:first] = switch.body


@dataclass(frozen=True)
class Seen:
    """What a program showed, and which of our functions it reached."""

    status: int
    output: str
    reached: frozenset[int]

    def looks_like(self, other: Seen) -> bool:
        return (self.status, self.output) == (other.status, other.output)


class Server:
    """Runs programs of a folder in forks of a warm Python: bare, or with a fault in our code."""

    def __init__(
        self, tree: Tree, folder: Path, python: str | Path = PYTHON, modules: str = ""
    ) -> None:
        """Start it with a Python that has imported the *modules*, and nothing of OWN in SERVER."""
        self._tree = tree
        numbers = str(len(tree.functions))
        code = SERVER.replace("ALARM", ALARM)
        words = [str(python), "-c", code, str(tree.template), numbers, str(folder), modules]
        self._agent = Datagrams()  # takes all that is sent, and reads nothing
        env = environment(
            "bare",
            {
                "PYTHONHASHSEED": "0",
                "AUTOTASK_DEBUG": None,
                "DD_DOGSTATSD_URL": self._agent.url,
            },
        )
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd=folder
        )

    def run(
        self, program: str, env: dict[str, str], function: int | None = -1, kind: str = ""
    ) -> Seen:
        """Run a program with a fault in a function, given by number: -1 is none, None is bare."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = [program, env, function, kind]
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        status, output, reached = json.loads(self._process.stdout.readline())
        return Seen(status, _without_our_frames(output, self._tree), frozenset(reached))

    def close(self) -> None:
        self._process.communicate(timeout=300)
        self._agent.close()


def _without_our_frames(output: str, tree: Tree) -> str:
    """Remove the frames of our wrappers from the tracebacks of a program."""
    kept, ours = [], False
    for line in output.splitlines(keepends=True):
        if line.startswith("  File "):
            ours = str(tree.template.parent) in line
        elif not line.startswith("    "):
            ours = False
        if not ours:
            kept.append(line)
    return re.sub("0x[0-9a-f]+", "0x", "".join(kept))


# Each fork continues after `serve()`: its stack there is the same for all of them.
SERVER = r"""
import json, mmap, os, select, shutil, site, sys, tempfile, time
# What frameworks import; not the frameworks themselves, whose import we watch.
import asyncio, concurrent.futures, importlib.resources, inspect, multiprocessing, pickle, sqlite3
import signal, threading, unittest.mock
OWN = (
    "click typer invoke doit asyncclick django django_crontab django_tasks django_q "
    "rq huey dramatiq arq procrastinate "
    "apscheduler luigi schedule "
    "celery billiard nox "
    "docopt fire cyclopts cleo cliff argparse"
).split()
for name in sys.argv[4].split():
    try: __import__(name)
    except ImportError: pass
MORE = {"doit": "doit.doit_cmd", "typer": "typer.core", "dramatiq": "dramatiq.cli"}
MORE.update({"cleo": "cleo.application", "cliff": "cliff.lister", "cyclopts": "cyclopts.core"})
MORE.update({"procrastinate": "procrastinate.testing", "django": "django.core.management"})
MORE["nox"] = "nox.__main__"
for name in (*OWN, "django.db.backends.sqlite3.base"):
    try: __import__(MORE.get(name, name))
    except ImportError: pass
OWN += ["wrapt", "shop", "django_stubs_ext"]  # the last patches the Django that it finds
for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
    if not name.startswith("invoke.vendor."): del sys.modules[name]
# Watched modules of frameworks that take too long to be imported each time.
for name in (
    *("dbt.task.base", "dbt.cli.exceptions", "airflow.sdk.execution_time.task_runner"),
    *("scrapy.crawler", "scrapy.core.engine", "scrapy.core.scraper", "scrapy.logformatter"),
    *("scrapy.utils.log", "scrapy.extensions.logcount"),
):
    sys.modules.pop(name, None)
import gc; gc.collect(); gc.freeze()
sys.modules.pop("sitecustomize", None)
template, count, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
reached = mmap.mmap(-1, max(count, 1))
asked = iter(sys.stdin.buffer.readline, b"")

def serve():
    for line in asked:
        program, env, function, kind = json.loads(line)
        reached[:] = bytes(len(reached))
        place = tempfile.mkdtemp(dir=folder)
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            begin(place, program, env, kind)
            return program, function, kind
        status = None
        watch = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
        if watch is not None and not select.select([watch], [], [], 120)[0]:
            os.kill(pid, 9)
        status = os.waitpid(pid, 0)[1]
        if watch is not None: os.close(watch)
        with open(place + "/seen", "rb") as file: output = file.read().decode("utf-8", "replace")
        shutil.rmtree(place, ignore_errors=True)
        output = output.replace(os.path.basename(place), "PLACE")
        numbers = [number for number in range(count) if reached[number]]
        print(json.dumps([os.waitstatus_to_exitcode(status), output, numbers]), flush=True)
    sys.exit()

def begin(place, program, env, kind):
    os.chdir(place)
    seen = os.open("seen", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0); os.dup2(seen, 1); os.dup2(seen, 2)
    os.closerange(3, 64)
    os.environ["AUTOTASK_HOME"] = place + "/home"
    for name, value in env.items():
        os.environ[name] = value.format(pid=os.getpid(), place=place, identity=identity())
    for name in [name for name, value in env.items() if value == ""]: del os.environ[name]
    sys.argv = [folder + "/" + program]
    sys.orig_argv = ["python", "-Bu", *sys.argv]
    sys.path[0] = folder
    site.ENABLE_USER_SITE = False

def identity():
    space = os.readlink("/proc/self/ns/pid").partition("[")[2].rstrip("]")
    with open("/proc/sys/kernel/random/boot_id") as boot, open("/proc/self/stat") as stat:
        started = stat.read().rpartition(")")[2].split()[19]
        return f"{boot.read().strip()}/{space}/{started}"

def fault_of(chosen, kind):
    def fault(number):
        reached[number] = 1
        if number != chosen or (kind == "raises once" and state): return None
        if len(state) == 10_000: return None  # ends a loop that waits for its own end
        state.append(1)
        if kind == "hangs":
            if len(state) == 1: time.sleep(0.02)
            return None
        if kind.startswith("returns"):
            value = {"None": None, "an object": object(), "a text": "|#\n\ud800"}[kind[8:]]
            return lambda: value
        problem = {"Exception": Exception, "OSError": lambda text: OSError(5, text)}.get(kind)
        return lambda: throw((problem or getattr(__import__("builtins"), kind, Exception))("fault"))
    state = []
    return fault

def throw(problem): raise problem

def alarm_of(chosen):
    # Only in the main thread of a started program: handlers are called nowhere else.
    main, state = threading.get_ident(), []
    def fault(number):
        if begun and threading.get_ident() == main:
            reached[number] = 1
            if number == chosen and not state:
                state.append(1)
                return ring
    return fault

def ring():
    signal.raise_signal(signal.SIGALRM)
    for _ in range(1000): pass

def late(number, frame): raise TimeoutError("ALARM")

begun = []
program, function, kind = serve()
sys.modules["__main__"] = main = type(sys)("__main__")
if function is not None:
    sys._autotask_fault = alarm_of(function) if kind == "alarm" else fault_of(function, kind)
    sys.path.insert(0, template)
    if "SHOP_PEER" in os.environ: sys.path.insert(0, folder + "/peer")
    if "SHOP_IMPORTED" in os.environ: __import__(os.environ["SHOP_IMPORTED"])
    called = os.environ.get("SHOP_CALLED", "").split() or sys.argv
    sys.argv[0], sys.orig_argv[2:] = called[0], called
    site.execsitecustomize()
    sys.argv[0] = folder + "/" + program
    sys.orig_argv[2:] = sys.argv
main.__file__ = sys.argv[0]
with open(sys.argv[0]) as file: main.code = compile(file.read(), sys.argv[0], "exec")
if kind == "alarm":
    signal.signal(signal.SIGALRM, late)
    begun.append(True)
exec(main.__dict__.pop("code"), main.__dict__)
del main.__file__  # as CPython does
"""
