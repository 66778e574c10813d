"""Modules of the standard library that the agent needs: the program does not notice."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from support import Datagrams, Ended, Under, only_run, run_program, write

from autotask.stdlib import ATEXIT_IS_THE_INTERPRETERS

pytest.importorskip("click")

OURS = ("resource", "_socket", "_contextvars", "atexit", "pwd", "fnmatch")

TASK = """
import click, sys
@click.command()
def task():
    {body}
task()
"""


@pytest.mark.parametrize("under", ["path", "launcher"])
@pytest.mark.parametrize("process", ["0", "1"])
@pytest.mark.parametrize("name", OURS)
def test_a_module_of_the_program_is_found_but_not_run_by_the_agent(
    name: str, process: str, under: Under, tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"no {name} here")
    write(tmp_path / f"{name}.py", "print('executed')\nvalue = 3")
    # Built-in modules come first, whatever is beside the script.
    body = f"print('task'); import {name}; print(hasattr({name}, 'value'))"
    script = write(tmp_path / "shop.py", TASK.format(body=body))
    env = {"AUTOTASK_PROCESS": process}
    bare = run_program(script, under="bare")
    assert run_program(script, under=under, env=env) == bare
    assert datagrams.received()


@pytest.mark.parametrize("process", ["0", "1"])
def test_the_agent_loads_no_other_module(process: str, tmp_path: Path) -> None:
    body = "print(*[name for name in sys.modules if not name.startswith('autotask')])"
    script = write(tmp_path / "shop.py", TASK.format(body=body))
    bare = run_program(script, under="bare")
    there = run_program(script, env={"AUTOTASK_PROCESS": process})
    assert (there.status, there.stderr) == (0, "")
    added = set(there.stdout.split()) - set(bare.stdout.split()) - {"sitecustomize"}
    assert added == (set() if ATEXIT_IS_THE_INTERPRETERS else {"atexit"})


@pytest.mark.parametrize(
    "use",
    [
        "import socket; a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))",
        "import socket; print(isinstance(socket.socket(), __import__('_socket').socket))",
        "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0)",
        "import contextvars; v = contextvars.ContextVar('v'); v.set(1); print(v.get())",
        "import contextvars; print(contextvars.copy_context().run(lambda: 3))",
        "import atexit; atexit.register(print, 'bye')",
        "import gc; gc.collect(); import atexit; atexit.register(print, 'bye'); gc.collect()",
        "import asyncio; print(asyncio.run(asyncio.sleep(0, 5)))",
        "import pwd, os; print(pwd.getpwuid(os.getuid()).pw_uid == os.getuid())",
    ],
)
def test_a_program_may_import_those_modules_later(use: str, tmp_path: Path, home: Path) -> None:
    script = write(tmp_path / "shop.py", TASK.format(body=use))
    bare = run_program(script, under="bare")
    assert bare.status == 0
    assert run_program(script, env={"AUTOTASK_PROCESS": "0"}) == bare
    assert only_run(home)["status"] == "success"


def test_a_module_that_is_already_loaded_is_used(tmp_path: Path, home: Path) -> None:
    body = "from autotask.stdlib import standard; print(standard('resource') is resource)"
    script = write(tmp_path / "shop.py", "import resource\n" + TASK.format(body=body))
    assert run_program(script, env={"AUTOTASK_PROCESS": "0"}) == Ended(0, "True\n", "")
