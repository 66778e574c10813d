"""What programs do that the agent must not change: forms of calls, own modules."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import INSTALLED, Datagrams, Ended, Under, lines, only_run, run_program, runs, write

pytest.importorskip("click")

# Each prints what it sees; under the agent that must be the same.
PROGRAMS = {
    "a callback with unusual attributes": """
import click
class Settings:
    def __getattr__(self, name): raise KeyError(name)
    def __call__(self): print("called")
    __name__ = "settings"
with click.Context(click.Command("one")) as ctx: ctx.invoke(Settings())
""",
    "an invoke of other names": """
import click
class Own(click.Command):
    def invoke(self, context, extra=None):
        print("own", extra)
        return super().invoke(context)
own = Own("one", callback=lambda: print("one"))
own.main([], standalone_mode=False)
with own.make_context("one", []) as ctx:
    own.invoke(context=ctx)
    own.invoke(ctx, extra=3)
""",
    "an invoke that others share": """
import click
class Mixin:
    def invoke(self, *words): print("mixin", len(words))
class Own(Mixin, click.Command): pass
class Other(Mixin): pass
Own("one").main([], standalone_mode=False)
Other().invoke()
Other().invoke(1, 2)
""",
    "a thread with unusual attributes": """
import click, threading
class Odd(threading.Thread):
    def __getattr__(self, name): raise KeyError(name)
    def run(self):
        inner = threading.Thread(target=lambda: task.main([], standalone_mode=False))
        inner.start(); inner.join()
task = click.Command("one", callback=lambda: print("one"))
task.main([], standalone_mode=False)
odd = Odd(); odd.start(); odd.join()
""",
    "sys.exit as an attribute": """
import sys
class App:
    leave = sys.exit
try: App().leave(3)
except SystemExit as problem: print(problem.code)
""",
    "a caught exit": """
import sys, traceback
def leave(exit, *words, **named):
    try: exit(*words, **named)
    except BaseException as problem:
        print(type(problem), problem.args, repr(problem.__context__))
        print([step.name for step in traceback.extract_tb(problem.__traceback__)][:-1])
try: 1 / 0
except ZeroDivisionError: leave(sys.exit, 3)
leave(exit, 4); leave(quit); leave(sys.exit, [1]); leave(sys.exit)
leave(sys.exit, 1, 2); leave(sys.exit, status=1)
import os; leave(os._exit); leave(os._exit, "1"); leave(os._exit, 1, 2)
""",
    "copies of a task": """
import autotask, copy
class Shop:
    def __init__(self): self.sold = []
    @autotask.task
    def sell(self, what): self.sold.append(what); print(len(self.sold))
@autotask.task
def one(): print("one")
copy.copy(one)(); copy.deepcopy(one)()
shop = Shop(); shop.sell("a")
copy.copy(shop.sell)("b"); copy.deepcopy(shop.sell)("c"); print(shop.sold)
""",
}


@pytest.mark.parametrize("process", ["0", "1"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_behaves_as_without_the_agent(
    name: str, process: str, tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "shop.py", PROGRAMS[name])
    bare = run_program(script, under="bare")
    assert bare.stderr == ""
    assert run_program(script, env={"AUTOTASK_PROCESS": process}) == bare
    assert {run["status"] for run in runs(home)} <= {"success"}


THEIRS = {
    "a module": ({"autotask.py": "hello = 'mine'"}, "import autotask; print(autotask.hello)"),
    "from a module": (
        {"autotask.py": "hello = 'mine'"},
        "from autotask import hello; print(hello)",
    ),
    "a package": (
        {
            "autotask/__init__.py": "from autotask.client import name; hello = name + '!'",
            "autotask/client.py": "name = 'theirs'",
        },
        "import autotask; print(autotask.hello, autotask.client.name)",
    ),
    "of a package": (
        {
            "autotask/__init__.py": "hello = 'package'",
            "autotask/deep/__init__.py": "",
            "autotask/deep/client.py": "import autotask; name = autotask.hello",
        },
        "from autotask.deep.client import name; print(name)",
    ),
}


@pytest.mark.parametrize("under", ["path", "launcher"])
@pytest.mark.parametrize(("files", "use"), THEIRS.values(), ids=THEIRS)
def test_a_program_may_have_its_own_module_called_autotask(
    files: dict[str, str], use: str, under: Under, tmp_path: Path, home: Path
) -> None:
    for name, source in files.items():
        write(tmp_path / name, source)
    task = "import click; click.Command('one', callback=lambda: None).main([], 'shop')"
    script = write(tmp_path / "shop.py", f"{use}\n{task}")
    bare = run_program(script, under="bare", env={"PYTHONSAFEPATH": None})
    assert run_program(script, under=under) == bare
    assert [run["status"] for run in runs(home)] == ["success", "success"]


@pytest.mark.parametrize("under", ["bare", "path", "launcher"])
def test_the_tool_works_with_the_agent_in_its_process(under: Under, home: Path) -> None:
    import autotask

    path = str(INSTALLED)
    for words in (["--version"], ["runs"]):
        ended = run_program(
            "-c",
            f"import sys; sys.path.append({path!r}); sys.argv[1:] = {words!r}\n"
            "from autotask.tool.cli import main; sys.exit(main())",
            under=under,
        )
        assert (ended.status, ended.stderr) == (0, "")
    ended = run_program("-c", "import autotask; print(autotask.__version__)", under=under)
    if under != "bare":
        assert ended == Ended(0, f"{autotask.__version__}\n", "")


def test_a_missing_socket_file_costs_no_memory(tmp_path: Path) -> None:
    script = write(
        tmp_path / "shop.py",
        """
import autotask, resource
@autotask.task
def one(): pass
def largest(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(50): one()
before = largest()
for _ in range(500): one()
print(largest() - before)
""",
    )
    env = {"DD_DOGSTATSD_URL": f"unix://{tmp_path}/none", "AUTOTASK_PROCESS": "0"}
    assert int(run_program(script, env=env).stdout) < 4096  # KiB


def test_an_exception_thrown_by_another_thread_reaches_the_run(tmp_path: Path, home: Path) -> None:
    script = write(
        tmp_path / "shop.py",
        """
import ctypes, threading, time, autotask
class Late(Exception): pass
@autotask.task
def one(): pass
main, caught, thrown, stop = threading.get_ident(), 0, 0, False
def throw():
    global thrown
    while not stop:
        seen = caught
        thrown += ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(main), ctypes.py_object(Late))
        while caught == seen and not stop: time.sleep(0.0005)
def work():
    global caught
    while caught < 50:
        try:
            while True: one()
        except Late:
            caught += 1
thrower = threading.Thread(target=throw, daemon=True)
thrower.start()
work(); stop = True
""",
    )
    ended = run_program("-W", "ignore", script, env={"AUTOTASK_PROCESS": "0"})
    assert "Late" not in ended.stdout
    assert ended.status in (0, 1)  # the last one may come after the end


def test_an_exception_thrown_while_the_environment_is_written_reaches_the_run(
    tmp_path: Path,
) -> None:
    script = write(
        tmp_path / "shop.py",
        """
import ctypes, functools, os, threading, autotask
class Late(Exception): pass
@autotask.task
def one(): pass
throw = ctypes.pythonapi.PyThreadState_SetAsyncExc
here = ctypes.c_ulong(threading.get_ident())
encode = os.environ.encodevalue
os.environ.encodevalue = functools.partial(throw, here, ctypes.py_object(Late))
try: one()
except Late: print("late")
os.environ.encodevalue = encode
""",
    )
    assert run_program(script, env={"AUTOTASK_PROCESS": "0"}) == Ended(0, "late\n", "")


def test_an_end_interrupted_by_a_signal_handler_is_recorded(tmp_path: Path, home: Path) -> None:
    script = write(
        tmp_path / "shop.py",
        """
import os, signal, time, autotask
class Late(Exception): pass
def handler(number, frame): raise Late
signal.signal(signal.SIGALRM, handler)
@autotask.task
def one(): pass
one()
real = time.process_time
def alarm():
    time.process_time = real
    os.kill(os.getpid(), signal.SIGALRM)
    return real()
@autotask.task
def two(): time.process_time = alarm
try: two()
except Late: print("late")
""",
    )
    ended = run_program(script, env={"AUTOTASK_PROCESS": "0"})
    assert ended == Ended(0, "late\n", "")
    assert [run["status"] for run in runs(home)] == ["success", "success"]
    assert len([line for line in lines(home) if line["event"] == "finished"]) == 2


def test_a_generator_leaves_nothing_behind_at_its_end(tmp_path: Path, home: Path) -> None:
    script = write(
        tmp_path / "shop.py",
        """
import autotask
@autotask.task(name="items")
def items(): yield 1
@autotask.task(name="a")
def a():
    found = items(); next(found); return found
@autotask.task(name="b")
def b(found):
    list(found); c()
@autotask.task(name="c")
def c(): pass
b(a())
""",
    )
    assert run_program(script, env={"AUTOTASK_PROCESS": "0"}) == Ended(0, "", "")
    found = {run["task"]: run for run in runs(home)}
    assert found["c"]["parent"] == found["b"]["run"]


def test_an_exit_with_a_text_fails_the_program(tmp_path: Path, home: Path) -> None:
    script = write(
        tmp_path / "shop.py",
        """
import autotask, sys
@autotask.task(name="tried")
def tried(): raise ValueError("no luck")
try: tried()
except ValueError: pass
sys.exit("the disk is full")
""",
    )
    assert run_program(script).status == 1
    process, _ = runs(home)
    assert (process["reason"], process["exit_code"]) == ("exit", 1)
    assert process["error"]["message"] == "the disk is full"


def test_the_output_of_a_shell_command_is_not_recorded(tmp_path: Path, home: Path) -> None:
    pytest.importorskip("invoke")
    write(
        tmp_path / "tasks.py",
        "from invoke import task\n"
        "@task\n"
        "def shout(c): c.run('echo the-customers-name; exit 4', hide=True, in_stream=False)\n",
    )
    run_program("-m", "invoke", "shout", cwd=tmp_path, env={"AUTOTASK_PROCESS": "0"})
    run = only_run(home)
    assert "exit 4" in run["error"]["message"]
    assert "Stdout" not in run["error"]["message"]


NESTED = """
import autotask, os, signal

level = deepest = handled = 0

@autotask.task(name="in the handler")
def handle(): pass

def handler(number, frame):
    global level, deepest, handled
    level += 1
    deepest, handled = max(level, deepest), handled + 1
    handle()
    level -= 1

def followed(call):
    def called(*args, **kwargs):
        try: return call(*args, **kwargs)
        finally: armed and signal.raise_signal(signal.SIGALRM)
    return called

signal.signal(signal.SIGALRM, handler)
armed = False
for name in ("write", "fstat", "open", "close"):
    setattr(os, name, followed(getattr(os, name)))

@autotask.task(name="interrupted")
def work(): pass

for armed in ({first}, True): work()
armed = False
print(deepest < 10, handled)
"""


@pytest.mark.parametrize("first", [False, True], ids=["later", "from the first run on"])
@pytest.mark.parametrize("agent", ["listens", "refuses"])
def test_signals_that_come_with_every_system_call_do_not_pile_up(
    agent: str, first: bool, tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    script = write(tmp_path / "shop.py", NESTED.format(first=first))
    env: dict[str, str | None] = {"AUTOTASK_PROCESS": "0"}
    if agent == "refuses":
        env["DD_DOGSTATSD_URL"] = f"unix://{tmp_path}/none"
    ended = run_program(script, env=env)
    assert (ended.status, ended.stderr) == (0, "")
    few, handled = ended.stdout.split()
    assert few == "True"
    found = runs(home)
    assert {run["status"] for run in found} == {"success"}
    tasks = [run["task"] for run in found]
    assert tasks.count("interrupted") == 2
    # A program that interrupts the creation of the first run more than twice has no run.
    assert 0 < tasks.count("in the handler") <= int(handled)
    assert first or tasks.count("in the handler") == int(handled)
