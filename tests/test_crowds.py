"""Crowds: many threads, forks, coroutines and deep calls at once; each run is recorded once."""

from __future__ import annotations

import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest
from frameworks._own import in_short
from support import PYTHON, Ended, Record, Under, run_program, runs, write

_TASKS = """
import asyncio, os, sys, threading, time
import autotask

@autotask.task(name="inner")
def inner(): pass

@autotask.task(name="broken")
def broken(): raise ValueError("boom")
"""
_CLICK = """
import os, sys, threading
import click

@click.group()
def shop(): pass

@shop.command()
def inner(): pass
"""


def _below(home: Path) -> dict[str, list[Record]]:
    """Return the children of each run, by its id."""
    found: dict[str, list[Record]] = {}
    for run in runs(home):
        found.setdefault(run.get("parent", ""), []).append(run)
    return found


def _count(home: Path) -> Counter[str]:
    return Counter(in_short(runs(home)))


def _is_tidy(home: Path) -> bool:
    """Tell whether no process left a mark of open runs."""
    return not list((home / "open").iterdir())


# --- threads -------------------------------------------------------------------------------------


def test_64_threads_run_commands_at_once(tmp_path: Path, home: Path) -> None:
    pytest.importorskip("click")
    source = f"""{_CLICK}
@shop.command()
@click.argument("number", type=int)
def outer(number):
    shop.main(["inner"], "shop", standalone_mode=False)
    if number % 2:
        raise click.ClickException("odd")

def work():
    gate.wait()
    for number in range(10):
        try:
            shop.main(["outer", str(number)], "shop", standalone_mode=False)
        except click.ClickException:
            pass

# Click makes a command's help option at its first use, and warns if two threads do so.
for command in (shop, inner, outer):
    command.get_params(click.Context(command))

gate = threading.Barrier(64)
sys.setswitchinterval(1e-5)
threads = [threading.Thread(target=work) for _ in range(64)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("done")
"""
    script = write(tmp_path / "shop.py", source)
    assert run_program(script) == Ended(0, "done\n", "")
    assert _count(home) == {
        "shop.py success": 1,
        "shop.outer success in shop.py": 320,
        "shop.outer failure exception ClickException in shop.py": 320,
        "shop.inner success in shop.outer": 640,
    }
    below = _below(home)
    assert {len(below[run["run"]]) for run in runs(home) if run["task"] == "shop.outer"} == {1}
    assert _is_tidy(home)


# How the program ends while its daemon threads are inside tasks, and how its run ends.
ENDS = {
    "its end": ("", 0, "shop.py success"),
    "sys.exit(3)": ("sys.exit(3)", 3, "shop.py failure exit 3"),
    "an exception": ("raise KeyError('late')", 1, "shop.py failure exception KeyError"),
}


@pytest.mark.parametrize(("end", "status", "whole"), ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("under", ["path", "launcher"])
def test_a_program_ends_while_daemon_threads_are_inside_tasks(
    under: Under, end: str, status: int, whole: str, tmp_path: Path, home: Path
) -> None:
    source = f"""{_TASKS}
@autotask.task(name="asleep")
def asleep():
    gate.wait()
    time.sleep(600)

rounds = []
def busy():
    gate.wait()
    while True: inner(); rounds.append(1)

gate = threading.Barrier(17)
for target in [asleep, busy] * 8:
    threading.Thread(target=target, daemon=True).start()
gate.wait()
while len(rounds) < 100: time.sleep(0.01)
{end}
"""
    script = write(tmp_path / "shop.py", source)
    bare, ended = (run_program(script, under=each) for each in ("bare", under))
    assert (ended.status, ended.stdout, ended.stderr) == (status, "", bare.stderr)
    told_of = _count(home)
    assert (told_of[whole], told_of["asleep failure lost in shop.py"]) == (1, 8)
    assert told_of["inner success in shop.py"] > 8
    assert {run["status"] for run in runs(home)} <= {"success", "failure"}
    assert _is_tidy(home)


def test_a_task_can_run_as_the_interpreter_shuts_down(tmp_path: Path, home: Path) -> None:
    """Its daemon threads were cut off anywhere: none of them may have kept a lock."""
    source = f"""{_TASKS}
@autotask.task(name="late")
def late(): os.write(1, b"late")

class Late:
    def __del__(self, late=late): late()

rounds = []
def busy():
    while True: inner(); rounds.append(1)

for _ in range(8): threading.Thread(target=busy, daemon=True).start()
while len(rounds) < 100: time.sleep(0.01)
sys.ps1 = Late()
"""
    script = write(tmp_path / "shop.py", source)
    for _ in range(3):
        assert run_program(script) == Ended(0, "late", "")
    assert _count(home)["late success"] == 3


# --- forks ---------------------------------------------------------------------------------------


def test_a_command_forks_halfway_and_both_processes_finish_it(tmp_path: Path, home: Path) -> None:
    pytest.importorskip("click")
    source = f"""{_CLICK}
@shop.command()
@click.argument("depth", type=int)
def outer(depth):
    parent, child = os.getpid(), os.fork()
    shop.main(["inner"], "shop", standalone_mode=False)
    if depth:
        shop.main(["outer", str(depth - 1)], "shop", standalone_mode=False)
    if child and os.getpid() == parent:
        os.waitpid(child, 0)

if __name__ == "__main__":
    shop()
"""
    script = write(tmp_path / "shop.py", source)
    assert run_program(script, "outer", "4") == Ended(0, "", "")
    # Two of each become four of each: 1 + 2 + 4 + 8 + 16 outer ones, each begun by one process.
    assert _count(home) == {
        "shop.py success": 1,
        "shop.outer success in shop.py": 1,
        "shop.outer success in shop.outer": 30,
        "shop.inner success in shop.outer": 62,
    }
    assert len({run["pid"] for run in runs(home)}) == 32
    assert _is_tidy(home)


def test_16_threads_fork_inside_their_tasks_at_once(tmp_path: Path, home: Path) -> None:
    source = f"""{_TASKS}
@autotask.task(name="forking")
def forking():
    for _ in range(4):
        child = os.fork()
        if not child:
            inner()
            os._exit(0)
        os.waitpid(child, 0)

def work():
    gate.wait()
    forking()

gate = threading.Barrier(16)
sys.setswitchinterval(1e-5)
threads = [threading.Thread(target=work) for _ in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("done")
"""
    script = write(tmp_path / "shop.py", source)
    assert run_program("-W", "ignore", script) == Ended(0, "done\n", "")
    assert _count(home) == {
        "shop.py success": 1,
        "forking success in shop.py": 16,
        "inner success in forking": 64,
    }
    below = _below(home)
    assert {len(below[run["run"]]) for run in runs(home) if run["task"] == "forking"} == {4}


# --- asyncio -------------------------------------------------------------------------------------


def test_10_000_coroutines_are_open_at_once(tmp_path: Path, home: Path) -> None:
    source = f"""{_TASKS}
@autotask.task(name="awaited")
async def awaited(number):
    global begun
    begun += 1
    if begun == 10_000: everybody.set()
    await everybody.wait()
    if number % 10 == 0: raise ValueError(number)
    return number

@autotask.task(name="outer")
async def outer():
    global everybody
    everybody = asyncio.Event()
    done = await asyncio.gather(*map(awaited, range(10_000)), return_exceptions=True)
    return sum(type(each) is int for each in done)

begun = 0
print(asyncio.run(outer()))
"""
    script = write(tmp_path / "shop.py", source)
    assert run_program(script) == Ended(0, "9000\n", "")
    assert _count(home) == {
        "shop.py success": 1,
        "outer success in shop.py": 1,
        "awaited success in outer": 9000,
        "awaited failure exception ValueError in outer": 1000,
    }


# --- depth ---------------------------------------------------------------------------------------

_DEEP = (
    _CLICK
    + """
@shop.command()
@click.argument("depth", type=int)
@click.argument("way")
@click.pass_context
def deep(ctx, depth, way):
    if depth == 0:
        if way == "raise": raise ValueError("boom")
        print("bottom")
    elif way == "invoke":
        ctx.invoke(deep, depth=depth - 1, way=way)
    else:
        shop.main(["deep", str(depth - 1), way], "shop", standalone_mode=False)

if __name__ == "__main__":
    sys.setrecursionlimit(20_000)
    shop()
"""
)


@pytest.mark.parametrize("way", ["main", "invoke", "raise"])
def test_a_command_calls_itself_500_deep(way: str, tmp_path: Path, home: Path) -> None:
    pytest.importorskip("click")
    script = write(tmp_path / "shop.py", _DEEP)
    bare = run_program(script, "deep", "500", way, under="bare")
    ended = run_program(script, "deep", "500", way)
    assert (ended.status, ended.stdout) == (bare.status, bare.stdout)
    assert ended.status == (way == "raise")
    found = runs(home)
    (bottom,) = {run["run"] for run in found} - {run.get("parent") for run in found}
    if way == "raise":
        passed_on = {run["run"]: run["caused_by"] for run in found if run["reason"] == "nested"}
        assert (len(passed_on), set(passed_on.values())) == (501, {bottom})
    else:
        assert {run["status"] for run in found} == {"success"}
    assert len(found) == 502
    parents = [run.get("parent") for run in found]
    assert parents == [None, *(run["run"] for run in found[:-1])]


@pytest.mark.swallows
def test_a_task_with_infinite_recursion_fails_as_without_the_agent(
    tmp_path: Path, home: Path
) -> None:
    source = f"""{_TASKS}
@autotask.task(name="endless")
def endless(): endless()

try:
    endless()
except RecursionError:
    print("caught")
inner()
"""
    assert run_program(write(tmp_path / "shop.py", source)) == Ended(0, "caught\n", "")
    found = _count(home)
    assert (found["shop.py success"], found["inner success in shop.py"]) == (1, 1)
    assert {run["status"] for run in runs(home) if run["task"] == "endless"} == {"failure"}


# --- other kinds of interpreter ------------------------------------------------------------------

_INTERPRETERS = """
import sys
try:
    import _interpreters
    from _interpreters import exec as run
except ImportError:
    import _xxsubinterpreters as _interpreters
    from _xxsubinterpreters import run_string as run

code = {code!r}
for number in range(4):
    made = _interpreters.create()
    run(made, code)
    _interpreters.destroy(made)
print("done")
"""
# What a subinterpreter does: nothing, a plain function that is a task, our own recorder.
INSIDE = {
    "nothing": ("pass", []),
    "a task": (
        "from autotask import recorder as r; r.succeed(r.start('inner', 'function'))\n",
        ["inner success in shop.py"] * 4,
    ),
    "a task that it leaves open": (
        "from autotask import recorder as r; r.start('inner', 'function')\n",
        ["inner failure lost in shop.py"] * 4,
    ),
}


@pytest.mark.parametrize(("inside", "expected"), INSIDE.values(), ids=INSIDE)
@pytest.mark.parametrize("process", [None, "auto", "1"])
@pytest.mark.parametrize("under", ["path", "launcher"])
def test_each_interpreter_of_a_process_has_its_own_agent(
    under: Under,
    process: str | None,
    inside: str,
    expected: list[str],
    tmp_path: Path,
    home: Path,
) -> None:
    if not any(map(find_spec, ("_interpreters", "_xxsubinterpreters"))):
        pytest.skip("this Python has no module for interpreters")
    script = write(tmp_path / "shop.py", _INTERPRETERS.format(code=inside))
    ended = run_program(script, under=under, env={"AUTOTASK_PROCESS": process})
    assert ended == Ended(0, "done\n", "")
    assert sorted(in_short(runs(home))) == [*expected, "shop.py success"]
    assert _is_tidy(home)


def test_a_subinterpreter_runs_a_command(tmp_path: Path, home: Path) -> None:
    pytest.importorskip("click")
    code = f"{_CLICK}\nshop.main(['inner'], 'shop', standalone_mode=False)\n"
    source = _INTERPRETERS.format(code=code).replace("range(4)", "range(1)")
    script = write(tmp_path / "shop.py", source)
    if run_program(script, under="bare") != Ended(0, "done\n", ""):
        pytest.skip("this Python cannot import Click in a subinterpreter")
    assert run_program(script) == Ended(0, "done\n", "")
    assert in_short(runs(home)) == ["shop.py success", "shop.inner success in shop.py"]


def test_free_threads_run_tasks_at_once(tmp_path: Path, home: Path) -> None:
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        pytest.skip(f"{PYTHON} is not free-threaded")
    source = f"""{_TASKS}
def work():
    gate.wait()
    for _ in range(500): inner()

gate = threading.Barrier(8)
threads = [threading.Thread(target=work) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(sys._is_gil_enabled())
"""
    assert run_program(write(tmp_path / "shop.py", source)) == Ended(0, "False\n", "")
    assert _count(home) == {"shop.py success": 1, "inner success in shop.py": 4000}


# --- long processes ------------------------------------------------------------------------------


# How a task starts a program in a process that has had many runs.
STARTS = {
    "subprocess": "subprocess.run([sys.executable, __file__, 'inner'])",
    "subprocess with an environment": (
        "subprocess.run([sys.executable, __file__, 'inner'], env={**os.environ, 'MORE': '1'})"
    ),
    "a shell": "os.system(f'{sys.executable} {__file__} inner')",
    "os.posix_spawn": (
        "os.waitpid(os.posix_spawn(sys.executable,"
        " [sys.executable, __file__, 'inner'], os.environ), 0)"
    ),
    "a fork": "child = os.fork() or (inner(), os._exit(0)); os.waitpid(child, 0)",
    "a fork that becomes a program": (
        "child = os.fork() or os.execv(sys.executable, [sys.executable, __file__, 'inner']);"
        " os.waitpid(child, 0)"
    ),
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("process", ["0", "1"])
def test_a_program_started_late_in_a_long_process_is_a_child_of_its_task(
    process: str, start: str, tmp_path: Path, home: Path
) -> None:
    source = f"""{_TASKS}
import subprocess

@autotask.task(name="starting")
def starting(): {start}

if sys.argv[1:]:
    inner()
else:
    [inner() for _ in range(1_100)]
    [starting() for _ in range(2)]
    print(os.environ.get("AUTOTASK_PARENT", "").count(":"))
"""
    script = write(tmp_path / "shop.py", source)
    env = {"AUTOTASK_PROCESS": None if process == "1" else "0"}
    assert run_program(script, env=env).stdout == ("2\n" if process == "1" else "0\n")
    found = runs(home)
    started = [run for run in found if run["task"] == "starting"]
    names = {run["run"]: run["task"] for run in found}
    last = [run for run in found if names.get(run.get("parent", "")) == "starting"]
    assert [run["parent"] for run in last] == [run["run"] for run in started]
    assert {run["task"] for run in last} == {"inner"}


def test_20_000_runs_leave_nothing_behind(tmp_path: Path, home: Path) -> None:
    """The figures of a million are in docs/evidence.md; speed is measured there alone."""
    pytest.importorskip("click")
    source = f"""{_CLICK}
import gc, resource

def work(times):
    for _ in range(times):
        shop.main(["inner"], "shop", standalone_mode=False)
    gc.collect()
    with open("/proc/self/status") as file:
        (size,) = [int(line.split()[1]) for line in file if line.startswith("RssAnon")]
    return len(gc.get_objects()), os.listdir("/proc/self/fd"), size

work(2000)
objects, files, size = work(1000)
more_objects, more_files, more_size = work(20_000)
print(files == more_files, more_objects - objects < 50, more_size - size < 512)
"""
    script = write(tmp_path / "shop.py", source)
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    assert run_program(script, env={"AUTOTASK_DEBUG": None}).stdout == "True True True\n"
    assert len(runs(home)) == 23_001


# --- signal handlers -----------------------------------------------------------------------------

# A handler interrupts each of our writes and runs a task, which is written too, and so on.
_PILE = """
import os, signal
import autotask

@autotask.task(name="handled")
def handled(): pass

@autotask.task(name="work")
def work(fails=False):
    if fails: raise LookupError

write, depth, deepest = os.write, 0, 0
def interrupted(*args):
    global depth, deepest
    depth += 1
    deepest = max(deepest, depth)
    if depth < 8: signal.raise_signal(signal.SIGUSR1)
    depth -= 1
    return write(*args)
handled(); work()
signal.signal(signal.SIGUSR1, lambda number, frame: handled())
os.write = interrupted
try: work({fails})
except LookupError: pass
os.write = write
print(deepest)
"""


@pytest.mark.parametrize("fails", [False, True])
def test_handlers_that_run_tasks_do_not_pile_up_while_the_agent_writes(
    fails: bool, tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "shop.py", _PILE.format(fails=fails))
    ended = run_program(script, env={"AUTOTASK_PROCESS": "0"})
    assert ended == Ended(0, "2\n", "")
    found = runs(home)  # fails if one is recorded twice
    assert {run["status"] for run in found} == ({"success", "failure"} if fails else {"success"})
    assert len(found) > 4
    assert _is_tidy(home)
