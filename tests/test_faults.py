"""A fault in any function of ours is no trouble of the task.

Each function of the in-process part, as found in the source, is made to raise, to hang and to return
nonsense, in programs that come to it: output, exit status, results and exceptions are as without us.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import Seen, Server, Tree, make_tree
from test_imports import IN_PROCESS, MODULES

KINDS = (
    *("Exception", "MemoryError", "OSError", "RecursionError", "raises once", "hangs"),
    *("returns None", "returns an object", "returns a text"),
)
MODULES_WITH_FAULTS = [
    "sitecustomize",
    "autotask",
    *sorted(name for name in MODULES if ".".join(name.split(".")[:2]) in IN_PROCESS),
]

LIBRARY = """
import os, sys
def attempt(what, function, *args, **kwargs):
    try:
        print(what, "returned", function(*args, **kwargs), flush=True)
    except BaseException as problem:
        print(what, "raised", *told(problem, []), flush=True)
def told(problem, seen):
    if problem is None or problem in seen: return [None]
    seen.append(problem)
    frames, step = [], problem.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if not code.co_filename.startswith({tree!r}):
            frames.append((os.path.basename(code.co_filename), step.tb_lineno, code.co_name))
        step = step.tb_next
    return [type(problem).__name__, repr(problem), problem.__suppress_context__, frames,
        "from", *told(problem.__cause__, seen), "after", *told(problem.__context__, seen)]
"""
CLICK = """
import click, sys
from shop_lib import attempt
@click.group()
@click.option("--deep", is_flag=True)
def shop(deep):
    if deep: raise LookupError("in the group")
@shop.command()
@click.option("--fail", is_flag=True)
@click.option("--code", type=int)
@click.option("--leave", type=int)
@click.option("--abort", is_flag=True)
@click.option("--text")
@click.pass_context
def work(ctx, fail, code, leave, abort, text):
    click.echo("working under " + str(ctx.info_name))
    if fail: raise ValueError("no", "goods")
    if code is not None: ctx.exit(code)
    if leave is not None: sys.exit(leave)
    if abort: raise click.Abort()
    if text: raise click.ClickException(text)
    return "goods"
@shop.command()
@click.pass_context
def both(ctx):
    click.echo(ctx.invoke(work))
    click.echo(ctx.forward(more.commands["late"]))
    ctx.invoke(work, fail=True)
@shop.group(invoke_without_command=True)
def more(): click.echo("more")
@more.command()
def late(): return 5
class Own(click.Command):
    def invoke(self, ctx):
        click.echo("own")
        return super().invoke(ctx)
@shop.command(cls=Own)
@click.argument("n", type=int)
def own(n): return n
@shop.result_callback()
def after(result, deep):
    if result == 99: raise OSError(28, "at the end")
    return result
for words in (
    ["work"], ["work", "--fail"], ["work", "--code", "4"], ["work", "--code", "0"],
    ["work", "--leave", "5"], ["work", "--abort"], ["work", "--text", "a | b # c"],
    ["work", "--code", "x"], ["nothing"], ["both"], ["more"], ["more", "late"], ["own", "3"],
    ["own", "99"], ["--deep", "work"], ["--help"], [], ["work", "--help"],
):
    attempt(words, shop.main, list(words))
    attempt(words, shop.main, list(words), standalone_mode=False)
"""
TYPER = """
import typer
from shop_lib import attempt
app = typer.Typer(pretty_exceptions_enable=False)
@app.command()
def work(fail: bool = False, code: int = 0):
    print("working")
    if fail: raise ValueError("no goods")
    if code: raise typer.Exit(code)
@app.command()
def other(): raise typer.Abort()
for words in (["work"], ["work", "--fail"], ["work", "--code", "3"], ["other"], ["x"], ["--help"]):
    attempt(words, app, list(words))
    attempt(words, app, list(words), standalone_mode=False)
"""
INVOKE = """
import invoke
from shop_lib import attempt
@invoke.task
def clean(c): print("clean")
@invoke.task(pre=[clean], aliases=["job"])
def work(c, fail=False, code=0, leave=0):
    print("working")
    if fail: raise ValueError("no goods")
    if code: c.run(f"exit {code}")
    if leave: raise invoke.Exit("leaving", code=leave)
    return "goods"
@invoke.task
def both(c):
    print(clean(c), work(c))
    work(c, fail=True)
class Own(invoke.Task):
    def __call__(self, *args, **kwargs):
        print("own")
        return super().__call__(*args, **kwargs)
@invoke.task(klass=Own)
def own(c): return 3
inner = invoke.Collection("db", clean, both)
names = invoke.Collection(clean, work, both, own, inner)
for words in (
    "work", "job", "db.both", "both", "own", "work --fail", "work --code=5", "work --leave=6", "x",
    "work --what", "--list", "--dry work", "--help", "work --help",
):
    program = invoke.Program(namespace=names, version="1")
    attempt(words, program.run, "shop " + words, exit=False)
    attempt(words, invoke.Program(namespace=names, version="1").run, "shop " + words)
"""
DOIT = """
import doit, os, sys
from doit.doit_cmd import DoitMain
from doit.cmd_base import ModuleTaskLoader
from shop_lib import attempt
def fail(): raise ValueError("no goods")
def leave(): sys.exit(4)
def same(): return True
def no(): return False
def broken(): raise LookupError("not known")
tasks = {
    "task_good": lambda: {"actions": [lambda: print("working")]},
    "task_group": lambda: {"actions": None, "task_dep": ["good"]},
    "task_same": lambda: {"actions": [same], "uptodate": [True]},
    "task_bad": lambda: {"actions": [fail]},
    "task_false": lambda: {"actions": [no]},
    "task_shell": lambda: {"actions": ["echo shell; exit 5"], "verbosity": 2},
    "task_after": lambda: {"actions": [same], "task_dep": ["false"]},
    "task_leave": lambda: {"actions": [leave]},
    "task_file": lambda: {"actions": [same], "file_dep": ["nowhere"]},
    "task_check": lambda: {"actions": [same], "uptodate": [broken]},
    "task_unsaved": lambda: {"actions": [lambda: {"a": object()}]},
    "task_options": lambda: {"actions": [same], "params": [{"name": "n", "long": "n", "type": int, "default": 0}]},
}
for words in (
    "good", "group", "same", "same", "bad", "false", "shell", "-c after", "leave", "file", "check",
    "unsaved", "options --n=x", "options --n=2", "x", "run --what", "list", "-n 2 -P thread good",
):
    attempt(words, DoitMain(ModuleTaskLoader(tasks)).run, words.split())
"""
FUNCTIONS = """
import asyncio, os, pickle
import shop_jobs as jobs
from shop_lib import attempt
def steps(): return [*jobs.steps(3)]
def closed():
    going = jobs.steps(3)
    first = next(going), going.send(None)
    going.close()
    return first
def thrown():
    going = jobs.steps(3)
    next(going)
    return going.throw(ValueError("thrown"))
async def asteps():
    seen = [n async for n in jobs.asteps(3)]
    going = jobs.asteps(3)
    seen.append(await going.__anext__())
    seen.append(await going.asend(None))
    try: await going.athrow(ValueError("thrown"))
    except ValueError as problem: seen.append(repr(problem))
    going = jobs.asteps(3)
    await going.__anext__()
    await going.aclose()
    return seen
attempt("plain", jobs.plain, 2)
attempt("plain", jobs.plain, 0)
attempt("named", jobs.named, 2)
attempt("method", jobs.Shop().method, 2)
attempt("method", jobs.Shop.method, jobs.Shop(), 0)
attempt("class method", jobs.Shop.of_class, 2)
attempt("static method", jobs.Shop().static, 0)
attempt("coroutine", lambda: asyncio.run(jobs.later(2)))
attempt("coroutine", lambda: asyncio.run(jobs.later(0)))
attempt("decorated", lambda: asyncio.run(jobs.decorated(0)))
attempt("steps", steps)
attempt("closed", closed)
attempt("thrown", thrown)
attempt("asteps", lambda: asyncio.run(asteps()))
attempt("leaves", jobs.leaves)
attempt("pickled", lambda: pickle.loads(pickle.dumps(jobs.plain))(2))
attempt("pickled", lambda: pickle.loads(pickle.dumps(jobs.Shop().method))(2))
attempt("pickled", lambda: pickle.loads(pickle.dumps(jobs.Shop.method))(jobs.Shop(), 2))
"""
JOBS = """
import sys
try: import autotask
except ImportError: task = lambda function=None, **named: function or (lambda function: function)
else: task = autotask.task
def plain(n): return 6 / n
@task(name="a name")
def named(n): return 6 / n
class Shop:
    def method(self, n): return 6 / n
    @classmethod
    def of_class(cls, n): return 6 / n
    @staticmethod
    def static(n): return 6 / n
@task
async def later(n): return 6 / n
def steps(n):
    for step in range(n): yield step
async def asteps(n):
    for step in range(n): yield step
def decorated(n): return later_inside(n)
async def later_inside(n): return 6 / n
def leaves(): sys.exit(3)
def outer(n): return plain(n)
"""
PROCESS = """
import os, signal, sys, threading
from shop_lib import attempt
import shop_jobs as jobs
attempt("exit", sys.exit, 3)
attempt("exit", sys.exit)
attempt("exit", exit, "text")
attempt("task", jobs.plain, 2)
print(sys.exit.__name__, os._exit.__name__, sys.exit.__doc__)
for code in (0, 7):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        jobs.plain(1)
        os._exit(code)
    print(os.waitpid(pid, 0)[1])
pid = os.fork()
if pid == 0:
    jobs.plain(0)
print(os.waitpid(pid, 0)[1], flush=True)
found = []
def work(): found.append(jobs.plain(3))
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(found)
"""
CORE = """
import os, sys
from shop_lib import attempt
import shop_jobs as jobs
attempt("good", jobs.plain, 2)
attempt("bad", jobs.plain, 0)
attempt("inner", jobs.outer, 2)
attempt("inner", jobs.outer, 0)
attempt("leaves", jobs.leaves)
pid = os.fork()
if pid == 0:
    jobs.plain(1)
    os._exit(7)
print(os.waitpid(pid, 0)[1])
"""
ENDINGS = {
    "leaves": "\nimport sys; sys.exit(3)\n",
    "raises": "\nimport shop_jobs; shop_jobs.plain(0)\n",
    "breaks off": "\nimport os, shop_jobs; shop_jobs.plain(3); os._exit(6)\n",
    "is killed": "\nimport os, shop_jobs; shop_jobs.plain(3); os.kill(os.getpid(), 15)\n",
}
# A peer's sitecustomize that runs the next one in its own module, as New Relic's does.
PEER = """
import sys
mine = __file__.rpartition("/")[0]
sys.path.remove(mine)
__file__ = {template!r} + "/sitecustomize.py"
with open(__file__) as file: exec(compile(file.read(), __file__, "exec"), globals())
"""
_FUNCTIONS = ",".join(
    f"shop_jobs:{name}"
    for name in (
        *("plain", "Shop.method", "Shop.of_class", "Shop.static", "steps", "asteps", "decorated"),
        "outer",
        "leaves=early",
    )
)
FUNCTIONS_ENV = {"AUTOTASK_FUNCTIONS": _FUNCTIONS}
ODD_ENV = {
    **FUNCTIONS_ENV,
    "AUTOTASK_TAGS": "team:shop,broken,version:1",
    "AUTOTASK_IGNORE": "nothing*,no*",
    "AUTOTASK_FRAMEWORKS": "-django,click,function,process",
    "AUTOTASK_PROCESS": "1",
    "DD_ENTITY_ID": "ci-1",
    "DD_DOGSTATSD_URL": "unix://{place}/nobody",
    "AUTOTASK_HOME": "",
    "HOME": "",
    "AUTOTASK_DEBUG": "{place}/debug",
}
# Programs and what is set for them: each function of ours is reached by one of them at least.
PROGRAMS: dict[str, tuple[str, dict[str, str]]] = {
    "core": (CORE + ENDINGS["raises"], FUNCTIONS_ENV),
    "click": (CLICK + ENDINGS["leaves"], {}),
    "functions": (FUNCTIONS + ENDINGS["raises"], FUNCTIONS_ENV),
    "process": (PROCESS + ENDINGS["breaks off"], FUNCTIONS_ENV),
    "killed": (ENDINGS["is killed"], FUNCTIONS_ENV),
    "launched": (
        ENDINGS["raises"],
        {"AUTOTASK_PROCESS_RUN": "0123456789abcdef:{pid}", "AUTOTASK_DEBUG": "{place}/debug"},
    ),
    "odd": (ENDINGS["raises"], ODD_ENV),
    "resolving": (
        "\nimport shop_jobs, time; shop_jobs.plain(3); time.sleep(0.1)\n" + ENDINGS["leaves"],
        {"DD_DOGSTATSD_URL": "", "DD_AGENT_HOST": "LOCALHOST", "DD_DOGSTATSD_PORT": "9"},
    ),
    "guest": (ENDINGS["leaves"], {"SHOP_PEER": "1"}),
    "late": (ENDINGS["leaves"], {"SHOP_IMPORTED": "click.core"}),
    "off": (FUNCTIONS, {"AUTOTASK_ENABLED": "no"}),
    "plugins": (
        "\nimport shop_jobs; print(shop_jobs.plain(3))\n",
        {
            "AUTOTASK_PLUGINS": "shop_jobs=shop_plugin:instrument,shop_jobs=shop_plugin:broken",
            "AUTOTASK_DEBUG": "{place}/debug",
        },
    ),
    "invoke": (INVOKE + ENDINGS["leaves"], {}),
    "doit": (DOIT + ENDINGS["leaves"], {}),
    "typer": (TYPER + ENDINGS["leaves"], {}),
}
