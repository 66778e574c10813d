"""The tree of runs: right parents and one root, in threads, asyncio, forks, spawns, programs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from frameworks._own import in_short
from support import INSTALLED, LAUNCHER, TEMPLATE, Under, run_program, runs, write

_TASKS = """
import asyncio, os, subprocess, sys, threading
from concurrent.futures import ThreadPoolExecutor
import autotask

@autotask.task(name="inner")
def inner(): pass

@autotask.task(name="broken")
def broken(): raise ValueError("boom")

@autotask.task(name="awaited")
async def awaited(): await asyncio.sleep(0)
"""

# A body of the task `outer`, and the runs below the process.
TREES = {
    "nested calls": ("inner(); inner()", ["outer success"] + ["inner success in outer"] * 2),
    "a thread": (
        "t = threading.Thread(target=inner); t.start(); t.join()",
        ["outer success", "inner success in outer"],
    ),
    "a thread started by a thread": (
        """
        def start():
            t = threading.Thread(target=inner); t.start(); t.join()
        t = threading.Thread(target=start); t.start(); t.join()
        """,
        ["outer success", "inner success in outer"],
    ),
    "a pool of threads": (
        """
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: inner(), range(3)))
        """,
        ["outer success"] + ["inner success in outer"] * 3,
    ),
    "a thread that outlives the task": (
        """
        gate = threading.Event()
        def later():
            gate.wait(10); inner()
        t = threading.Thread(target=later); t.start()
        threading.Timer(0.2, gate.set).start()
        """,
        ["outer success", "inner success"],
    ),
    "a thread that fails": (
        """
        threading.excepthook = lambda *_: None
        t = threading.Thread(target=broken); t.start(); t.join()
        """,
        ["outer success", "broken failure exception ValueError in outer"],
    ),
    "asyncio tasks side by side": (
        """
        async def main():
            await asyncio.gather(awaited(), awaited(), asyncio.to_thread(inner))
        asyncio.run(main())
        """,
        ["outer success"] + ["awaited success in outer"] * 2 + ["inner success in outer"],
    ),
    "a failure that is passed on": (
        "broken()",
        [
            "outer failure nested ValueError by broken",
            "broken failure exception ValueError in outer",
        ],
    ),
    "a failure that is caught": (
        "try: broken()\nexcept ValueError: pass",
        ["outer success", "broken failure exception ValueError in outer"],
    ),
    "another failure after one that was caught": (
        "try: broken()\nexcept ValueError: pass\nraise KeyError('own')",
        [
            "outer failure exception KeyError",
            "broken failure exception ValueError in outer",
        ],
    ),
    "another failure of the same kind, after one that was caught": (
        """
        try: broken()
        except ValueError: pass
        def own(): raise ValueError("own")
        own()
        """,
        ["outer failure exception ValueError", "broken failure exception ValueError in outer"],
    ),
    "a failure wrapped in another exception": (
        """
        try: broken()
        except ValueError as problem: raise KeyError("gone") from problem
        """,
        [
            "outer failure nested KeyError by broken",
            "broken failure exception ValueError in outer",
        ],
    ),
    "one exception that leaves two tasks, one after the other": (
        """
        problem = ValueError("one and the same")
        @autotask.task(name="raises")
        def raises(): raise problem
        for _ in range(2):
            try: raises()
            except ValueError: pass
        """,
        ["outer success"] + ["raises failure exception ValueError in outer"] * 2,
    ),
    "a failure that is kept, and raised later": (
        """
        try: broken()
        except ValueError as problem: kept = problem
        inner()
        raise kept
        """,
        [
            "outer failure nested ValueError by broken",
            "broken failure exception ValueError in outer",
            "inner success in outer",
        ],
    ),
    "a call with wrong arguments": (
        "inner(1)",
        ["outer failure nested TypeError by inner", "inner failure exception TypeError in outer"],
    ),
    "a call with wrong arguments, caught, and another failure": (
        """
        try: inner(1)
        except TypeError: pass
        int([])
        """,
        ["outer failure exception TypeError", "inner failure exception TypeError in outer"],
    ),
    "a failure in a pool of threads": (
        """
        with ThreadPoolExecutor(1) as pool:
            pool.submit(broken).result()
        """,
        [
            "outer failure nested ValueError by broken",
            "broken failure exception ValueError in outer",
        ],
    ),
    "a failure in an asyncio task": (
        """
        async def fails(): broken()
        async def main(): await asyncio.gather(fails())
        asyncio.run(main())
        """,
        [
            "outer failure nested ValueError by broken",
            "broken failure exception ValueError in outer",
        ],
    ),
    "a forked child that passes its failure on": (
        """
        if not os.fork():
            sys.stderr = None
            broken()
        os.wait()
        """,
        ["outer success", "broken failure exception ValueError in outer"],
    ),
    "a forked child": (
        """
        if not os.fork():
            inner(); os._exit(0)
        os.wait()
        """,
        ["outer success", "inner success in outer"],
    ),
    "a forked child that leaves by sys.exit": (
        """
        if not os.fork():
            inner(); sys.exit(0)
        os.wait()
        """,
        ["outer success", "inner success in outer"],
    ),
    "a program": (
        "subprocess.run([sys.executable, __file__, 'inner'])",
        ["outer success", "inner success in outer"],
    ),
    "a program that a shell starts": (
        "subprocess.run(f'{sys.executable} {__file__} inner; true', shell=True)",
        ["outer success", "inner success in outer"],
    ),
    "a program that fails": (
        "subprocess.run([sys.executable, __file__, 'broken'], stderr=-3)",
        ["outer success", "broken failure exception ValueError in outer"],
    ),
    "a program after the inner task has ended": (
        "inner(); subprocess.run([sys.executable, __file__, 'inner'])",
        ["outer success"] + ["inner success in outer"] * 2,
    ),
}


@pytest.mark.parametrize(("body", "expected"), TREES.values(), ids=TREES)
@pytest.mark.parametrize("under", ["path", "launcher"])
def test_each_run_is_a_child_of_the_one_that_started_it(
    under: Under, body: str, expected: list[str], tmp_path: Path, home: Path
) -> None:
    ended = run_program(_script(tmp_path, body), under=under)
    found = runs(home)
    whole = found[0]
    assert whole["framework"] == "process"
    assert {run["root"] for run in found} == {whole["run"]}
    below = [line.removesuffix(" in shop.py") for line in in_short(found)[1:]]
    assert sorted(below) == sorted(expected), ended.stderr


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_belong_to_the_task_that_made_them(
    method: str, tmp_path: Path, home: Path
) -> None:
    body = f"""
        import multiprocessing
        context = multiprocessing.get_context({method!r})
        children = [context.Process(target=target) for target in (inner, broken, inner)]
        [child.start() for child in children]
        [child.join() for child in children]
        print([child.exitcode for child in children])
    """
    ended = run_program(_script(tmp_path, body))
    assert ended.stdout == "[0, 1, 0]\n"
    assert sorted(in_short(runs(home))) == [
        "broken failure exception ValueError in outer",
        "inner success in outer",
        "inner success in outer",
        "outer success in shop.py",
        "shop.py success",
    ]
    assert not list((home / "open").iterdir())


def test_the_environment_names_what_siblings_have_in_common(tmp_path: Path, home: Path) -> None:
    """Two tasks run side by side: a program started then belongs to the run around them."""
    body = """
        gates = [threading.Event(), threading.Event()]
        @autotask.task(name="side")
        def side(number):
            gates[number].set(); gates[1 - number].wait(10)
            subprocess.run([sys.executable, __file__, 'inner'])
        threads = [threading.Thread(target=side, args=(n,)) for n in (0, 1)]
        [t.start() for t in threads]
        [t.join() for t in threads]
    """
    run_program(_script(tmp_path, body))
    assert sorted(in_short(runs(home))) == [
        "inner success in outer",
        "inner success in outer",
        "outer success in shop.py",
        "shop.py success",
        "side success in outer",
        "side success in outer",
    ]


def test_the_tree_goes_on_through_nested_launchers(tmp_path: Path, home: Path) -> None:
    body = f"subprocess.run([{str(LAUNCHER)!r}, '--name=deep', sys.executable, __file__, 'inner'])"
    run_program(_script(tmp_path, body), under="launcher", options=("--name", "top"))
    assert in_short(runs(home)) == [
        "top success",
        "outer success in top",
        "deep success in outer",
        "inner success in deep",
    ]
    assert len({run["root"] for run in runs(home)}) == 1


def test_a_later_run_of_the_same_shell_is_not_a_child_of_an_earlier_one(
    tmp_path: Path, home: Path
) -> None:
    script = _script(tmp_path, "pass")
    for _ in range(2):
        run_program(script)
    assert [run.get("parent") is None for run in runs(home)] == [True, False, True, False]
    assert len({run["root"] for run in runs(home)}) == 2


def test_threads_that_begin_together_are_not_children_of_each_other(
    tmp_path: Path, home: Path
) -> None:
    script = write(
        tmp_path / "shop.py",
        f"""{_TASKS}
gate = threading.Barrier(8)
def begin():
    gate.wait()
    inner()
sys.setswitchinterval(1e-6)
threads = [threading.Thread(target=begin) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
""",
    )
    for _ in range(5):
        assert run_program(script, env={"AUTOTASK_PROCESS": "0"}).status == 0
    assert [run.get("parent") for run in runs(home)] == [None] * 40
    assert list((home / "open").iterdir()) == []  # each left one mark at most, and took it back


def test_a_forked_child_ends_though_another_thread_was_importing(
    tmp_path: Path, home: Path
) -> None:
    script = write(
        tmp_path / "shop.py",
        f"""{_TASKS}
import importlib, importlib.util, signal
inner()
spec = importlib.util.find_spec("__future__")
sys.modules["__future__"] = importlib.util.module_from_spec(spec)
spec._initializing = True
importing, forked = threading.Event(), threading.Event()
def imports():
    with importlib._bootstrap._ModuleLockManager("__future__"):
        importing.set()
        forked.wait()
thread = threading.Thread(target=imports)
thread.start()
importing.wait()
child = os.fork()
if child == 0:
    signal.alarm(20)
    inner()
    os._exit(3)
forked.set()
thread.join()
print(os.waitpid(child, 0)[1])
""",
    )
    ended = run_program("-W", "ignore", script, env={"AUTOTASK_PROCESS": "0"})
    assert (ended.stdout, ended.stderr) == (f"{3 << 8}\n", "")
    assert [run["status"] for run in runs(home)] == ["success"] * 2


def test_a_fork_from_a_thread_does_not_wait_for_other_threads(tmp_path: Path, home: Path) -> None:
    script = write(
        tmp_path / "shop.py",
        f"""{_TASKS}
inner()  # loads the debug log, which only tests and people who look for a fault have
sys.setswitchinterval(1e-6)
stop = threading.Event()
def busy():
    while not stop.is_set(): inner()
threads = [threading.Thread(target=busy) for _ in range(3)]
[thread.start() for thread in threads]
for _ in range(40):
    child = os.fork()
    if child == 0:
        inner()
        os._exit(0)
    os.waitpid(child, 0)
stop.set()
[thread.join() for thread in threads]
print("done")
""",
    )
    ended = run_program("-W", "ignore", script, env={"AUTOTASK_PROCESS": "0"})
    assert (ended.status, ended.stdout) == (0, "done\n")
    assert {run["status"] for run in runs(home)} == {"success"}


def test_a_fork_from_a_long_process_does_not_wait_for_other_threads(
    tmp_path: Path, home: Path
) -> None:
    place = tmp_path / "installed"
    for part in (TEMPLATE, INSTALLED / "autotask"):
        shutil.copytree(part, place / part.name, ignore=shutil.ignore_patterns("__pycache__"))
    slow = place / "autotask" / "putenv.py"
    future = "from __future__ import annotations\n"
    slow.write_text(slow.read_text().replace(future, f"{future}import time; time.sleep(1)\n"))
    script = write(
        tmp_path / "shop.py",
        f"""{_TASKS}
def many():
    for _ in range(1100): inner()
thread = threading.Thread(target=many)
thread.start()
while "autotask.putenv" not in sys.modules: pass
child = os.fork()
if child == 0:
    inner()
    os._exit(0)
print(os.waitpid(child, 0)[1])
thread.join()
""",
    )
    env = {"PYTHONPATH": str(place / TEMPLATE.name), "AUTOTASK_PROCESS": "0"}
    ended = run_program("-W", "ignore", script, under="bare", env=env)
    assert (ended.status, ended.stdout) == (0, "0\n")


def test_a_long_forked_child_waits_for_no_module_that_another_thread_was_loading(
    tmp_path: Path, home: Path
) -> None:
    pytest.importorskip("click")
    place = tmp_path / "installed"
    for part in (TEMPLATE, INSTALLED / "autotask"):
        shutil.copytree(part, place / part.name, ignore=shutil.ignore_patterns("__pycache__"))
    slow = place / "autotask" / "functions.py"
    future = "from __future__ import annotations\n"
    slow.write_text(slow.read_text().replace(future, f"{future}import time; time.sleep(1)\n"))
    write(tmp_path / "jobs.py", "def work(): pass")
    script = write(
        tmp_path / "shop.py",
        """
import click, os, signal, sys, threading
@click.command()
def inner(): pass
def run(): inner.main([], "inner", standalone_mode=False)
run()
thread = threading.Thread(target=__import__, args=("jobs",))
thread.start()
while "autotask.functions" not in sys.modules: pass
child = os.fork()
if child == 0:
    signal.alarm(20)
    for _ in range(1100): run()
    os._exit(0)
print(os.waitpid(child, 0)[1])
thread.join()
""",
    )
    env = {
        "PYTHONPATH": str(place / TEMPLATE.name),
        "AUTOTASK_PROCESS": "0",
        "AUTOTASK_FUNCTIONS": "jobs:work",
    }
    ended = run_program("-W", "ignore", script, under="bare", env=env)
    assert (ended.status, ended.stdout) == (0, "0\n")


def _script(folder: Path, body: str) -> Path:
    lines = body.strip("\n").splitlines()
    margin = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    indented = "\n".join("    " + line[margin:] for line in lines)
    return write(
        folder / "shop.py",
        f"{_TASKS}\n@autotask.task(name='outer')\ndef outer():\n{indented}\n\n"
        "if __name__ == '__main__':\n"
        "    {'inner': inner, 'broken': broken}.get(' '.join(sys.argv[1:]), outer)()\n",
    )
