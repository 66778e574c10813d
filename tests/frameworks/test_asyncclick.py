"""asyncclick: Click, the functions of which are coroutines. What differs from Click's own tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from frameworks._own import in_short, same
from support import Datagrams, run_program, runs, write

pytest.importorskip("asyncclick")

SHOP = """
import asyncio, sys
import asyncclick as click

class Loud(click.Command):
    async def invoke(self, ctx):
        print("loud")
        return await super().invoke(ctx)

class Plain(click.Command):
    def invoke(self, ctx):  # not a coroutine function, but returns one
        print("plain")
        return super().invoke(ctx)

class Catching(click.Group):
    async def invoke(self, ctx):
        try:
            return await super().invoke(ctx)
        except ValueError as problem:
            print("caught", problem)
            sys.exit(3)

@click.group()
async def cli(): pass

@cli.command()
@click.option("--count", type=int, default=1)
async def build(count):
    await asyncio.sleep(0)
    print("build", count)

@cli.command()
def at_once(): print("at once")

@cli.command()
async def broken():
    await asyncio.sleep(0)
    raise ValueError("boom")

@cli.command()
async def leaves(): sys.exit(4)

@cli.command()
async def gives_up(): raise click.Abort()

@cli.command()
async def refuses(): raise click.ClickException("no stock")

@cli.command(cls=Loud)
async def loud(): print("in loud")

@cli.command(cls=Plain)
async def plain(): print("in plain")

@cli.command()
@click.pass_context
async def calls(ctx):
    await ctx.invoke(build, count=2)
    await ctx.invoke(lambda: print("a plain function"))
    await ctx.invoke(broken)

@cli.command()
@click.pass_context
async def side_by_side(ctx):
    await asyncio.gather(*[asyncio.ensure_future(ctx.invoke(build, count=n)) for n in (1, 1)])

@cli.group(invoke_without_command=True)
@click.pass_context
async def report(ctx): print("report", ctx.invoked_subcommand)

@report.command()
async def daily(): print("daily")

@cli.group(chain=True)
async def pipe(): pass

@pipe.command()
async def one(): print("one")

@pipe.command()
async def two(): raise KeyError("two")

@cli.group(cls=Catching)
async def catching(): pass

@catching.command()
async def job(): raise ValueError("no disk")

@cli.group()
async def shut(): raise ValueError("shut")

@shut.command()
async def never(): pass

if __name__ == "__main__":
    cli(_anyio_backend="asyncio")
"""

# What is called, and the runs below that of the process.
CALLS = {
    "build": ["shop.build success"],
    "build --count x": ["shop.build failure usage 2"],
    "at-once": ["shop.at-once success"],
    "broken": ["shop.broken failure exception ValueError"],
    "leaves": ["shop.leaves failure exit 4"],
    "gives-up": ["shop.gives-up failure interrupted"],
    "refuses": ["shop.refuses failure exception ClickException"],
    "loud": ["shop.loud success"],
    "plain": ["shop.plain success"],
    "calls": [
        "shop.calls failure nested ValueError by shop.broken",
        "shop.build success in shop.calls",
        "shop.broken failure exception ValueError in shop.calls",
    ],
    "side-by-side": [
        "shop.side-by-side success",
        "shop.build success in shop.side-by-side",
        "shop.build success in shop.side-by-side",
    ],
    "report": ["shop.report success"],
    "report daily": ["shop.report.daily success"],
    "pipe one two": ["shop.pipe.one success", "shop.pipe.two failure exception KeyError"],
    "catching job": ["shop.catching.job failure exception ValueError"],
    "shut never": ["shop.shut failure exception ValueError"],
    "biuld": ["shop failure usage 2"],
    "--help": [],
    "build --help": [],
}


@pytest.mark.parametrize("words", CALLS)
def test_each_command_that_works_is_a_run(
    words: str, tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    same(write(tmp_path / "shop.py", SHOP), *words.split(), cwd=tmp_path)
    process, *below = in_short(runs(home))
    assert [line.replace(" in shop.py", "") for line in below] == CALLS[words]
    assert {run["framework"] for run in runs(home)} <= {"process", "asyncclick"}
    failed = any(" failure " in line for line in below)
    assert process.startswith("shop.py failure nested" if failed else "shop.py success")
    assert len(datagrams.lines("_e{")) == failed


def test_main_can_be_awaited(tmp_path: Path, home: Path) -> None:
    source = """
        import asyncio
        import asyncclick as click
        @click.command()
        async def job(): raise ValueError("boom")
        async def main():
            for _ in range(2):
                try:
                    await job.main([], prog_name="job", standalone_mode=False)
                except ValueError as problem:
                    print(problem)
        asyncio.run(main())
    """
    same(write(tmp_path / "shop.py", source), cwd=tmp_path)
    assert in_short(runs(home)) == [
        "shop.py success",
        "job failure exception ValueError in shop.py",
        "job failure exception ValueError in shop.py",
    ]


def test_recording_of_asyncclick_can_be_turned_off(tmp_path: Path, home: Path) -> None:
    script = write(tmp_path / "shop.py", SHOP)
    same(script, "build", cwd=tmp_path, env={"AUTOTASK_FRAMEWORKS": "-asyncclick"})
    assert in_short(runs(home)) == ["shop.py success"]


def test_what_is_instrumented_looks_unchanged(tmp_path: Path) -> None:
    source = """
        import inspect
        import asyncclick as click
        for owner, name in ((click.Command, "main"), (click.Command, "invoke"),
                            (click.Command, "make_context"), (click.Group, "invoke"),
                            (click.Context, "invoke")):
            found = getattr(owner, name)
            print(found.__qualname__, found.__module__, inspect.signature(found), found.__doc__)
            print(inspect.iscoroutinefunction(found), inspect.getsource(found))
    """
    script = write(tmp_path / "look.py", source)
    assert run_program(script) == run_program(script, under="bare")
