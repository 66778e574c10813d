"""A fault in any of our functions does not disturb the task.

Each function of the in-process part, as found in the source, is made to raise, to hang and to
return nonsense, in programs that come to it: output, exit status, results and exceptions are as
without us.
"""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults import Seen, Server, Tree, make_tree
from support import write
from test_floors import IN_PROCESS, MODULES

KINDS = ("Exception", "returns an object")
# Each function gets one of these as well; with FAULTS=all it gets all of them.
MORE_KINDS = tuple(
    "MemoryError,OSError,RecursionError,hangs,raises once,returns None,returns a text".split(",")
)
FAULTS = os.environ.get("FAULTS")  # "all" kinds, or "everywhere": in each program, too
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
shop.add_command(work, "job")
for words in (
    ["job"], ["work"], ["work", "--fail"], ["work", "--code", "4"], ["work", "--code", "0"],
    ["work", "--leave", "5"], ["work", "--abort"], ["work", "--text", "a | b # c"],
    ["work", "--code", "x"], ["nothing"], ["both"], ["more"], ["more", "late"], ["own", "3"],
    ["own", "99"], ["--deep", "work"], ["--help"], [], ["work", "--help"],
):
    attempt(words, shop.main, list(words))
    attempt(words, shop.main, list(words), standalone_mode=False)
"""
ASYNCCLICK = """
import sys
import asyncclick as click
from shop_lib import attempt
@click.group()
async def shop(): pass
@shop.command()
@click.option("--fail", is_flag=True)
@click.option("--leave", type=int)
async def work(fail, leave):
    click.echo("working")
    if fail: raise ValueError("no", "goods")
    if leave is not None: sys.exit(leave)
    return "goods"
@shop.command()
@click.pass_context
async def both(ctx):
    click.echo(await ctx.invoke(work))
    await ctx.invoke(work, fail=True)
class Own(click.Command):
    async def invoke(self, ctx):
        click.echo("own")
        return await super().invoke(ctx)
@shop.command(cls=Own)
async def own(): return 3
class Catching(click.Group):
    async def invoke(self, ctx):
        try: return await super().invoke(ctx)
        except ValueError: sys.exit(4)
@shop.group(cls=Catching)
async def catching(): pass
catching.add_command(work)
for words in (
    ["work"], ["work", "--fail"], ["work", "--leave", "5"], ["work", "--leave", "x"], ["nothing"],
    ["both"], ["own"], ["catching", "work", "--fail"], ["--help"],
):
    attempt(words, shop, list(words), _anyio_backend="asyncio")
    attempt(words, shop, list(words), _anyio_backend="asyncio", standalone_mode=False)
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
    "task_options": lambda: {
        "actions": [same], "params": [{"name": "n", "long": "n", "type": int, "default": 0}],
    },
}
for words in (
    "group same", "bad", "false", "shell", "-c after", "leave", "file", "check", "unsaved",
    "options --n=x", "x", "-n 2 -P thread good",
):
    attempt(words, DoitMain(ModuleTaskLoader(tasks)).run, words.split())
"""
FUNCTIONS = """
import asyncio, copy, os, pickle, threading
import shop_jobs as jobs
from shop_lib import attempt
def started_twice():
    thread = threading.Thread(target=len, args=("",))
    thread.start(); thread.join(); thread.start()
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
attempt("started twice", started_twice)
attempt("steps", steps)
attempt("closed", closed)
attempt("thrown", thrown)
attempt("asteps", lambda: asyncio.run(asteps()))
attempt("leaves", jobs.leaves)
attempt("long", jobs.speaks)
attempt("nested", jobs.outer, 2)
attempt("nested", jobs.outer, 0)
attempt("pickled", lambda: pickle.loads(pickle.dumps(jobs.plain))(2))
for take in (copy.copy, copy.deepcopy):
    attempt("copied", lambda: take(jobs.plain)(2))
    attempt("copied", lambda: take(jobs.Shop().method)(2))
attempt("pickled", lambda: pickle.loads(pickle.dumps(jobs.Shop().method))(2))
attempt("pickled", lambda: pickle.loads(pickle.dumps(jobs.Shop.method))(jobs.Shop(), 2))
"""
JOBS = """
import sys, time
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
@task
def slow(): time.sleep(0.2)
class Long(Exception):
    def __str__(self): return "password=hunter2 " + 5000 * "word "
@task
def speaks(): raise Long
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
attempt("arguments", jobs.plain)
attempt("attribute", setattr, os._exit, "more", 1)
attempt("import", __import__, "shop_broken")
print(sys.exit, sys.exit.__name__, os._exit.__name__, sys.exit.__doc__)
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
ENDINGS = {
    "leaves": "\nimport sys; sys.exit(3)\n",
    "raises": "\nimport shop_jobs; shop_jobs.plain(0)\n",
    "breaks off": "\nimport os, shop_jobs; shop_jobs.plain(3); os._exit(6)\n",
    "is killed": "\nimport os, shop_jobs; shop_jobs.plain(3); os.kill(os.getpid(), 15)\n",
}
# Leaves its runs behind by os.exec*, at the third attempt.
BECOMES = """
import os, sys
import shop_jobs as jobs
from shop_lib import attempt
open("empty", "w").close()
os.chmod("empty", 0o755)
attempt("exec", os.execv, "nowhere", ["nowhere"])
attempt("exec", os.execv, "./empty", ["empty"])
attempt("exec", os.execve, "./empty", ["empty"], os.environ)
attempt("exec", os.execv, "./empty")
attempt("task", jobs.plain, 2)
os.execve(sys.executable, [sys.executable, "-ISc", "print('another one')"], os.environ)
"""
STARTS = """
import os, subprocess, sys
os.environ["PYTHONPATH"] = "/nowhere:{template}"
subprocess.run([sys.executable, "-ISc", "print('wrapped', flush=True)"])
"""
PLUGIN = """
def instrument(module): print("", end="")
def broken(module): raise ValueError("broken")
"""
# A peer's sitecustomize that runs the next one in its own module, as New Relic's does.
PEER = """
import sys
mine = __file__.rpartition("/")[0]
sys.path.remove(mine)
__file__ = {template!r} + "/sitecustomize.py"
with open(__file__) as file: exec(compile(file.read(), __file__, "exec"), globals())
"""
_FUNCTIONS = (
    ",".join(
        f"shop_jobs:{name}"
        for name in (
            *(
                "plain",
                "Shop.method",
                "Shop.of_class",
                "Shop.static",
                "steps",
                "asteps",
                "decorated",
            ),
            "outer",
            "leaves=early",
        )
    )
    + ",shop_broken:work"
)
FUNCTIONS_ENV = {"AUTOTASK_FUNCTIONS": _FUNCTIONS}
ODD_ENV = {
    **FUNCTIONS_ENV,
    "AUTOTASK_TAGS": "team:shop,broken,version:1",
    "AUTOTASK_IGNORE": "nothing*,no*",
    "AUTOTASK_FRAMEWORKS": "-django,click,function,process",
    "AUTOTASK_PROCESS": "1",
    "DD_ENTITY_ID": "ci-1",
    "DD_DOGSTATSD_URL": "unix://{place}/no-agent",
    "AUTOTASK_HOME": "",
    "HOME": "",
    "AUTOTASK_DEBUG": "{place}/debug",
}
# Programs and their settings: at least one of them reaches each of our functions.
LONG = """
import subprocess, sys, autotask
@autotask.task(name="one")
def one(): pass
@autotask.task(name="starts")
def starts(): subprocess.run([sys.executable, "-S", "-c", "pass"], check=True)
for _ in range(1100): one()
starts(); one(); starts()
print("long")
"""
PROGRAMS: dict[str, tuple[str, dict[str, str]]] = {
    "functions": (FUNCTIONS + ENDINGS["raises"], FUNCTIONS_ENV),
    "click": (CLICK + ENDINGS["leaves"], {}),
    "process": (PROCESS + ENDINGS["breaks off"], FUNCTIONS_ENV),
    "killed": (ENDINGS["is killed"], FUNCTIONS_ENV),
    "long": (LONG + ENDINGS["leaves"], {}),
    "launched": (
        ENDINGS["raises"],
        {"AUTOTASK_PROCESS_RUN": "0123456789abcdef:{pid}", "AUTOTASK_DEBUG": "{place}/debug"},
    ),
    "becomes": (BECOMES, FUNCTIONS_ENV),
    "became": (
        ENDINGS["raises"],
        {
            "AUTOTASK_PROCESS_RUN": "0123456789abcdef:{pid}:{identity}:{pid}-0123456789abcdef:"
            "0123456789abcdef,0123456789abcdef,,6d,70726f63657373,73686f70,1.0,0.0",
        },
    ),
    "helper": (ENDINGS["leaves"], {"SHOP_CALLED": "/usr/lib/python3/dist-packages/helper.py"}),
    "leading": (
        ENDINGS["leaves"],
        {"SHOP_CALLED": "coverage run --source shop --branch manage.py check"},
    ),
    "wrapper": (STARTS, {"SHOP_CALLED": "opentelemetry-instrument"}),
    "scheduler": (
        ENDINGS["leaves"],
        {"SHOP_CALLED": "yacron", "AUTOTASK_PARENT": "0123456789abcdef:0123456789abcdef:cron"},
    ),
    "stderr": (
        "\nimport os, shop_jobs; os.dup2(os.open(os.devnull, os.O_WRONLY), 2); shop_jobs.plain(3)\n"
        + ENDINGS["leaves"],
        {"AUTOTASK_JOURNAL": "stderr"},
    ),
    "odd": (ENDINGS["raises"], ODD_ENV),
    "resolving": (
        "\nimport shop_jobs, time; shop_jobs.plain(3); time.sleep(0.1)\n" + ENDINGS["leaves"],
        {"DD_DOGSTATSD_URL": "", "DD_AGENT_HOST": "LOCALHOST", "DD_DOGSTATSD_PORT": "9"},
    ),
    # No room on the disk, no Agent, and more tags than fit into one datagram.
    "full": (
        "\nimport resource, shop_jobs; resource.setrlimit(resource.RLIMIT_FSIZE, (600, -1))\n"
        "shop_jobs.slow()\n" + ENDINGS["leaves"],
        {
            "AUTOTASK_TAGS": ",".join(f"tag{n}:{'x' * 180}" for n in range(30)),
            "DD_DOGSTATSD_URL": "udp://127.0.0.1:9",
        },
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
    "asyncclick": (ASYNCCLICK + ENDINGS["leaves"], {}),
}

# Where a fault must reach the program: it runs inside our code there, or gets what we return..
# The same holds for all functions called `autotask_...`: our one frame around the application's.
_GUARD, _BORDER, _VALUE = (
    "is the guard itself",
    "runs the program's code",
    "gives it to the program",
)
INEVITABLE: dict[str, tuple[str, str]] = {
    "sitecustomize:_step_aside": ("raises returns", "knows which file is the machine's own"),
    "sitecustomize:_run_behind": ("raises", "runs the machine's own file"),
    "sitecustomize:_start": ("raises", _GUARD),
    "sitecustomize:_package": ("returns", "makes the package `autotask`, which it imports"),
    "sitecustomize:_package.load": ("raises returns", _VALUE),
    "autotask:task": ("raises returns", "is what it calls"),
    "autotask.agent:find_spec": ("raises returns", _BORDER),
    "autotask.agent:_explain_at_exit.explain": ("raises", _GUARD),
    "autotask.functions:instrument": ("returns", _VALUE),
    "autotask.functions:_find": ("raises returns", "is what its pickles name"),
    "autotask.functions:_is_named": ("raises returns", "is asked by what pickles and copies it"),
    "autotask.functions:_BoundTask.__copy__": ("raises returns", "is what copies it"),
    "autotask.functions:_BoundTask.__deepcopy__": ("raises returns", "is what copies it"),
    "autotask.functions:_Task.__copy__": ("raises returns", "is what copies it"),
    "autotask.functions:_Task.__deepcopy__": ("raises returns", "is what copies it"),
    "autotask.functions:_BoundTask.__reduce_ex__": ("raises returns", "is what pickles it"),
    "autotask.functions:_Task.__reduce_ex__": ("raises returns", "is what pickles it"),
    "autotask.functions:_Task.__init__": ("returns", "leaves an object half made"),
    "autotask.functions:_stepped": ("returns", _VALUE),
    "autotask.functions:_step": ("returns", "makes what it calls"),
    "autotask.functions:_Steps.__init__": ("returns", "leaves an object half made"),
    "autotask.functions:_Steps.__iter__": ("raises returns", _VALUE),
    "autotask.functions:_Steps.autotask_close": ("raises", _BORDER),
    "autotask.functions:_AsyncSteps.__init__": ("returns", "leaves an object half made"),
    "autotask.functions:_AsyncSteps.__aiter__": ("raises returns", _VALUE),
    "autotask.functions:_AsyncSteps.__anext__": ("raises returns", _BORDER),
    "autotask.functions:_AsyncSteps.asend": ("raises returns", _BORDER),
    "autotask.functions:_AsyncSteps.athrow": ("raises returns", _BORDER),
    "autotask.functions:_AsyncSteps.autotask_close": ("raises", _BORDER),
    "autotask.guard:guarded": ("returns", "makes what it calls"),
    "autotask.guard:guarded.guard": ("raises returns", _GUARD),
    "autotask.guard:swallow": ("raises", _GUARD),
    "autotask.guard:from_signal_handler": ("raises returns", _GUARD),
    "autotask.guard:raised_here": ("raises returns", _GUARD),
    "autotask.patches:StandIn.__init__": ("returns", "leaves an object half made"),
    "autotask.patches:StandIn.__getattribute__": ("raises returns", _VALUE),
    "autotask.patches:StandIn.__repr__": ("raises returns", _VALUE),
    "autotask.patches:StandIn._refuse": ("raises returns", "makes the program's call"),
    "autotask.exec_handover:prepared": ("returns", "makes what it calls"),
    "autotask.exec_handover:prepared.call": ("raises returns", "makes the program's call"),
    "autotask.exec_handover:_quick_exit": ("raises returns", "makes the program's call"),
    "autotask.exec_handover:_become": ("raises returns", "makes the program's call"),
    "autotask.exec_handover:_become_with": ("raises", "makes the program's call"),
    "autotask.exec_handover:_mark_as_become": ("returns", "is in what that call is given"),
    "autotask.exec_handover:_with_word": ("returns", "is in what that call is given"),
    "autotask.exec_handover:_written": ("returns", "is in what that call is given"),
    "autotask.process_run:_note_exits.leave": ("raises returns", "makes the program's call"),
    "autotask.patches:follow_exits.leave": ("raises returns", "makes the program's call"),
    "autotask.putenv:_hear": ("raises", _BORDER),
    "autotask.exec_launchers:_hear": ("raises", _BORDER),
    "autotask.imports:find": ("raises returns", _BORDER),
    "autotask.imports:_spec_from_others": ("raises returns", _BORDER),
    "autotask.imports:_hook_loader.exec_module": ("raises returns", _BORDER),
    "autotask.loading:call_hook": ("raises", _GUARD),
    "autotask.loading:swallow": ("raises", _GUARD),
    "autotask.imports:hide": ("raises", "is called on an exception's way to the program"),
}
# Of modules that are in the process, what only the launcher and the tool call, and
# subinterpreters.
ELSEWHERE = {
    *(  # a shell's line
        f"autotask.{name}"
        for name in (
            "command_name:_has_assignments command_name:_after_shell command_name:_of_line"
            " command_name:_is_known wrapper_commands:_line_of_su shell_line:commands"
            " shell_line:is_assignment shell_line:_simple_command shell_line:_Reader.__init__"
            " shell_line:_Reader.parts shell_line:_Reader._step shell_line:_Reader._end_word"
            " shell_line:_Reader._operator shell_line:_Reader._redirect shell_line:_Reader._piece"
            " shell_line:_Reader._quoted shell_line:_Reader._dollar shell_line:_Reader._nested"
            " shell_line:_Reader._end"
        ).split()
    ),
    "autotask.dogstatsd:Wire.close",
    "autotask.process_run:_is_main_interpreter",
    "autotask.dogstatsd:Wire.running",
    "autotask.command_name:name_of",
    "autotask.boot_id:_read",  # if /proc/sys is hidden: tests/around/test_process_one.py
    "autotask.boot_id:guess",
    "autotask.exec_handover:_end",  # if very many runs are open: tests/test_exit_hooks.py
    "autotask.homes:make_folder",  # only the tool calls it
    "autotask.homes:_is_open",  # only the tool calls it
    "autotask.homes:_is_others",
    "autotask.homes:users_folder",
    "autotask.homes:usual_home",
    "autotask.procfs:is_dead",
    "autotask.trigger:_is_console",  # for the terminal of a pod: tests/test_procfs.py
}

pytestmark = [pytest.mark.checkout, *([pytest.mark.timeout(0)] if FAULTS else [])]


@dataclass(frozen=True)
class Place:
    """The copy with faults, the server, and how each program behaves bare and with the agent."""

    tree: Tree
    server: Server
    bare: dict[str, Seen]
    ours: dict[str, Seen]

    def run(self, program: str, function: int | None = -1, kind: str = "") -> Seen:
        return self.server.run(f"shop_{program}.py", PROGRAMS[program][1], function, kind)

    def programs(self, function: int) -> list[str]:
        """Return the programs that reach a function: its framework's own, else the first."""
        found = [name for name, seen in self.ours.items() if function in seen.reached]
        own = self.tree.functions[function].partition(":")[0].rpartition(".")[2]
        if own in ("guard", "imports", "loading"):  # one program does not reach all their paths
            several = ("functions", "process", "click", "plugins")
            return [name for name in several if name in found] or found[:1]
        if FAULTS == "everywhere":  # takes up to an hour
            return found
        return [own] if own in found else found[:1]


def write_programs(folder: Path, tree: Tree) -> Path:
    """Write the programs, and what they import."""
    write(folder / "shop_lib.py", LIBRARY.format(tree=str(tree.template.parent)))
    write(folder / "shop_jobs.py", JOBS)
    write(folder / "shop_plugin.py", PLUGIN)
    write(folder / "shop_broken.py", "1 / 0")
    write(folder / "peer" / "sitecustomize.py", PEER.format(template=str(tree.template)))
    for name, (source, _) in PROGRAMS.items():
        write(folder / f"shop_{name}.py", source.replace("{template}", str(tree.template)))
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    for name in ("asyncclick", "click", "doit", "invoke", "typer", "wrapt"):
        pytest.importorskip(name)
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # all workers share what the first one makes
        folder = folder.parent
    with (folder / "faults.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = _made(folder / "faults")
    yield made
    made.server.close()


def _made(folder: Path) -> Place:
    """Make the copy and run each program without a fault, or use what another worker made."""
    kept, programs = folder / "made", folder / "programs"
    if kept.exists():
        tree, bare, ours = pickle.loads(kept.read_bytes())
        return Place(tree, Server(tree, programs), bare, ours)
    tree = make_tree(folder / "tree", MODULES_WITH_FAULTS)
    programs = write_programs(folder / "programs", tree)
    server = Server(tree, programs)
    made = Place(tree, server, {}, {})
    for name in PROGRAMS:
        made.bare[name], made.ours[name] = made.run(name, None), made.run(name)
    kept.write_bytes(pickle.dumps((tree, made.bare, made.ours)))
    return made


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_a_fault_a_program_looks_as_without_the_agent(program: str, place: Place) -> None:
    bare, ours = place.bare[program], place.ours[program]
    assert (ours.status, ours.output) == (bare.status, bare.output)


def test_the_programs_reach_each_function_of_the_agent(place: Place) -> None:
    reached = {number for seen in place.ours.values() for number in seen.reached}
    missed = {name for number, name in enumerate(place.tree.functions) if number not in reached}
    assert sorted(missed - ELSEWHERE) == []
    assert sorted(ELSEWHERE - missed) == []


@pytest.mark.parametrize("module", MODULES_WITH_FAULTS)
def test_a_fault_in_a_function_of_the_agent_does_not_disturb_the_program(
    module: str, place: Place
) -> None:
    trouble, harmless = [], []
    for number, name in enumerate(place.tree.functions):
        if name.partition(":")[0] != module or name in ELSEWHERE:
            continue
        inevitable = INEVITABLE.get(name, ("", ""))[0].split()
        ours = name.rpartition(".")[2].startswith("autotask_") or name.endswith(":autotask_call")
        if ours and name not in INEVITABLE:
            inevitable = ["raises", "returns"]
        changed = set()
        more = MORE_KINDS if FAULTS else (MORE_KINDS[number % len(MORE_KINDS)],)
        for program in place.programs(number):
            for kind in (*KINDS, *more):
                seen = place.run(program, number, kind)
                assert number in seen.reached, f"{name} is not reached when it {kind}"
                if not seen.looks_like(place.bare[program]):
                    changed.add(_group(kind))
                    if _group(kind) not in inevitable:
                        trouble.append(f"{name}, {kind}, in {program}: {seen}")
        harmless += [f"{name} {group}" for group in inevitable if group not in changed]
    assert not trouble, "\n".join(trouble)
    assert not FAULTS or not harmless, "not inevitable any more"


def _group(kind: str) -> str:
    words = {"returns": "returns", "hangs": "hangs"}
    return words.get(kind.partition(" ")[0], "raises")
