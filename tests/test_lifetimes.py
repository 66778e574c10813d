"""Objects of a program live as long as without the agent, and no longer."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import Ended, run_program, runs, write

_THING = """
import gc
gc.disable()  # nothing may depend on it

class Thing:
    def __init__(self, name): self.name = name
    def __del__(self): print("freed", self.name, flush=True)

def again(call, name):
    try:
        call()
    except (Exception, SystemExit) as problem:
        print(type(problem).__name__)
    print("after", name)

"""

PROGRAMS = {
    "click": """
import click
@click.group()
def cli(): pass
@cli.command()
def fails(): thing = Thing("fails"); raise ValueError
@cli.command()
def exits(): thing = Thing("exits"); raise SystemExit(3)
@cli.command()
@click.pass_context
def outer(ctx): thing = Thing("outer"); ctx.invoke(fails)
@cli.command()
@click.option("--number", type=int)
def works(number): return Thing("works")
for words in ("fails", "exits", "outer", "works", "works --number x", "nope", "fails"):
    again(lambda: cli.main(words.split(), prog_name="shop", standalone_mode=False), words)
""",
    "invoke": """
from invoke import Collection, Config, Context, Executor, task
@task
def fails(c): thing = Thing("fails"); raise ValueError
@task
def works(c): return Thing("works")
@task
def outer(c): thing = Thing("outer"); fails(c)
@task
def shell(c): thing = Thing("shell"); c.run("exit 3", hide=True, in_stream=False)
book = Collection(fails, works, outer)
for call in (fails, works, outer, shell, fails):
    again(lambda: call(Context()), call.name)
""",
    "function": """
import autotask
@autotask.task
def fails(): thing = Thing("fails"); raise ValueError
@autotask.task
def works(): return Thing("works")
@autotask.task
def outer(): thing = Thing("outer"); fails()
@autotask.task
def yields(): thing = Thing("yields"); yield thing; raise KeyError
for call in (fails, works, outer, lambda: list(yields()), fails):
    again(call, "call")
""",
    "a signal handler": """
import click, os, signal
def handler(number, frame): thing = Thing("handler"); raise TimeoutError
signal.signal(signal.SIGALRM, handler)
@click.command()
def waits(): thing = Thing("waits"); os.kill(os.getpid(), signal.SIGALRM)
for _ in range(3):
    again(lambda: waits.main([], standalone_mode=False), "waits")
""",
}


@pytest.mark.parametrize("process", ["0", "1"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_objects_of_a_program_are_freed_as_early_as_without_the_agent(
    name: str, process: str, tmp_path: Path, home: Path
) -> None:
    pytest.importorskip("click")
    pytest.importorskip("invoke")
    script = write(tmp_path / "shop.py", _THING + PROGRAMS[name])
    bare = run_program(script, under="bare", env={"AUTOTASK_ENABLED": "0"})
    assert bare.stdout.count("freed") > 2
    assert run_program(script, env={"AUTOTASK_PROCESS": process}) == bare
    assert len(runs(home)) > 2


def test_nothing_of_a_first_run_stays_alive(tmp_path: Path, home: Path) -> None:
    source = (
        "import click\n@click.command()\ndef shop(): pass\n"
        "def work():\n    thing = Thing('work')\n    shop.main([], standalone_mode=False)\n"
        "work(); print('after')\n"
    )
    pytest.importorskip("click")
    script = write(tmp_path / "shop.py", _THING + source)
    ended = run_program(script, env={"AUTOTASK_PROCESS": "0"})
    assert ended == Ended(0, "freed work\nafter\n", "")
