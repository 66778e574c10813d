"""The truth: every way to end, in every framework, in the journal and in the datagrams.

Each row is a real process, run bare, with the agent on PYTHONPATH and under autotask-run. Its
exit status and its output must be the same each time.

What the launcher tells depends on the way to end, and on what a framework's task has left for it:
in `make test` it starts each way in Click and without a framework, and some ways in each framework.
With PRODUCTS=all it starts each row.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import (
    PRODUCTS,
    Datagrams,
    Ended,
    Record,
    Under,
    run_bare,
    run_program,
    runs,
    without_our_frames,
    write,
)

# A program for each framework. Its one task is `PROGRAM[1]`, its body is the way to end.
PROGRAMS = {
    "click": (
        "click",
        "shop",
        """
        import click
        @click.command()
        @click.pass_context
        @click.option("--count", type=int)
        def task(ctx, count):
            print("working", flush=True)
        {body}
        if __name__ == "__main__":
            task()
        """,
    ),
    "click group": (
        "click",
        "shop.db.task",
        """
        import click
        @click.group()
        def cli(): pass
        @cli.group()
        def db(): pass
        @db.command()
        @click.pass_context
        def task(ctx):
            print("working", flush=True)
        {body}
        if __name__ == "__main__":
            cli(["db", "task"])
        """,
    ),
    "typer": (
        "typer",
        "shop",
        """
        import click, typer
        app = typer.Typer(pretty_exceptions_enable=False)
        @app.command()
        def task(ctx: typer.Context, count: int = 1):
            print("working", flush=True)
        {body}
        if __name__ == "__main__":
            app()
        """,
    ),
    "invoke": (
        "invoke",
        "task",
        """
        import invoke
        @invoke.task
        def task(ctx, count=1):
            print("working", flush=True)
        {body}
        if __name__ == "__main__":
            program = invoke.Program(namespace=invoke.Collection(task))
            program.run(["shop", *(sys.argv[1:] or ["task"])])
        """,
    ),
    "doit": (
        "doit",
        "task",
        """
        import doit, doit.exceptions
        def action():
            print("working", flush=True)
        {body}
        def task_task():
            return {{"actions": [action], "verbosity": 2}}
        if __name__ == "__main__":
            doit.run(globals())
        """,
    ),
    "function": (
        "function",
        "shop:work",
        """
        import autotask
        @autotask.task
        def work():
            print("working", flush=True)
        {body}
        if __name__ == "__main__":
            work()
        """,
    ),
    "coroutine": (
        "function",
        "nightly",
        """
        import autotask
        @autotask.task(name="nightly")
        async def work():
            await asyncio.sleep(0)
            print("working", flush=True)
        {body}
            await asyncio.sleep(0)
        if __name__ == "__main__":
            asyncio.run(work())
        """,
    ),
    "argparse": (
        "argparse",
        "shop.db.task",
        """
        import argparse
        parser = argparse.ArgumentParser()
        db = parser.add_subparsers().add_parser("db").add_subparsers()
        task = db.add_parser("task")
        task.add_argument("--count", type=int)
        parser.parse_args()
        print("working", flush=True)
        if True:
        {body}
        """,
    ),
    "process": (
        "process",
        "shop.py",
        """
        print("working", flush=True)
        if True:
        {body}
        """,
    ),
}


@dataclass(frozen=True)
class Way:
    """A way to end and what it makes of the task's run; a reason of None is success."""

    body: str
    reason: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    error: str | None = None  # the type
    silent: bool = False  # only an outside process can tell
    unseen: bool = False  # the same for the process's own exit status
    only: tuple[str, ...] = tuple(PROGRAMS)
    besides: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


_WORDS = {"argparse": ("db", "task")}  # before the arguments of a way
_WHOLE = ("argparse", "process")  # how they end, the process does
_TASKS = tuple(name for name in PROGRAMS if name != "process")
_CLICKS = ("click", "click group")
_PARSERS = ("click", "typer", "argparse")

WAYS = {
    "return": Way("pass"),
    "return a value": Way("return 7", only=("click", "typer", "invoke", "function", "coroutine")),
    "exception": Way("raise ValueError('boom')", "exception", error="ValueError"),
    "exception of a subprocess": Way(
        "import subprocess; subprocess.run(['false'], check=True)",
        "exception",
        error="CalledProcessError",
    ),
    "chained exception": Way(
        """
        try:
            1 / 0
        except ZeroDivisionError as problem:
            raise KeyError("gone") from problem
        """,
        "exception",
        error="KeyError",
    ),
    "exception whose text fails": Way(
        """
        class Odd(Exception):
            def __str__(self): raise RuntimeError("no text")
        raise Odd()
        """,
        "exception",
        error="Odd",
        only=("click", "function", "process"),
    ),
    "sys.exit()": Way("sys.exit()"),
    "sys.exit(0)": Way("sys.exit(0)"),
    "sys.exit(3)": Way("sys.exit(3)", "exit", 3),
    "sys.exit(256)": Way("sys.exit(256)", only=("click", "function", "process")),
    "sys.exit(-1)": Way("sys.exit(-1)", "exit", 255, only=("click", "function", "process")),
    "sys.exit(True)": Way("sys.exit(True)", "exit", 1, only=("click", "function", "process")),
    "sys.exit('text')": Way("sys.exit('no more stock')", "exit", 1),
    "raise SystemExit": Way("raise SystemExit"),
    "raise SystemExit(4)": Way("raise SystemExit(4)", "exit", 4, unseen=True),
    "Ctrl-C": Way(
        "os.kill(os.getpid(), signal.SIGINT); signal.pause()",
        "interrupted",
        besides=("coroutine",),  # asyncio only notes it
    ),
    "Ctrl-C while awaiting": Way(
        "os.kill(os.getpid(), signal.SIGINT); await asyncio.sleep(30)",
        "exception",
        error="CancelledError",
        only=("coroutine",),
    ),
    "raise KeyboardInterrupt": Way("raise KeyboardInterrupt", "interrupted"),
    "SIGTERM": Way("os.kill(os.getpid(), 15)", "signal", signal="SIGTERM", silent=True),
    "SIGTERM with a handler that exits": Way(
        "signal.signal(15, lambda *_: sys.exit(7)); os.kill(os.getpid(), 15)", "exit", 7
    ),
    "SIGHUP": Way("os.kill(os.getpid(), 1)", "signal", signal="SIGHUP", silent=True),
    "SIGKILL": Way("os.kill(os.getpid(), 9)", "signal", signal="SIGKILL", silent=True),
    "SIGSEGV": Way("os.kill(os.getpid(), 11)", "signal", signal="SIGSEGV", silent=True),
    "os.abort": Way("os.abort()", "signal", signal="SIGABRT", silent=True),
    "os._exit(0)": Way("os._exit(0)"),
    "os._exit(5)": Way("os._exit(5)", "exit", 5),
    "os._exit(5) in a thread": Way(
        """
        thread = threading.Thread(target=os._exit, args=(5,))
        thread.start(); thread.join()
        """,
        "exit",
        5,
        only=("click", "function", "process"),
    ),
    "exit(3)": Way("exit(3)", "exit", 3, only=("click", "invoke", "process")),
    "sys.exit(3) that is caught": Way(
        """
        try:
            sys.exit(3)
        except SystemExit:
            pass
        """,
        only=("click", "function", "process"),
    ),
    "sys.exit(3) at exit": Way(
        """
        import atexit
        sys.unraisablehook = lambda _: None
        atexit.register(lambda: sys.exit(3))
        """,
        only=("click", "process"),
    ),
    "exec of a command that succeeds": Way("os.execlp('true', 'true')", silent=True),
    "exec of a command that fails": Way("os.execlp('false', 'false')", "exit", 1, silent=True),
    "forked child exits": Way(
        """
        if not os.fork():
            sys.exit(3)
        os.wait()
        """
    ),
    "forked child raises": Way(
        """
        if not os.fork():
            sys.stderr = None
            raise ValueError("in the child")
        os.wait()
        """,
        besides=("typer",),  # which writes it to the descriptor
    ),
    "forked child returns": Way(
        """
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        """
    ),
    "forked child is killed": Way(
        """
        if not os.fork():
            os.kill(os.getpid(), 9)
        os.wait()
        """
    ),
    "fork, and the parent fails": Way(
        """
        if not os.fork():
            os._exit(0)
        os.wait()
        sys.exit(3)
        """,
        "exit",
        3,
    ),
    "thread raises": Way(
        """
        threading.excepthook = lambda *_: None
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start(); thread.join()
        """
    ),
    "thread exits": Way(
        """
        thread = threading.Thread(target=sys.exit, args=(3,))
        thread.start(); thread.join()
        """
    ),
    "fails while a thread works on": Way(
        """
        threading.Thread(target=threading.Event().wait, args=(0.1,)).start()
        raise ValueError("boom")
        """,
        "exception",
        error="ValueError",
    ),
    "asyncio raises": Way(
        """
        async def main(): raise ValueError("boom")
        asyncio.run(main())
        """,
        "exception",
        error="ValueError",
        besides=("coroutine",),
    ),
    "asyncio exits": Way(
        """
        async def main(): sys.exit(3)
        asyncio.run(main())
        """,
        "exit",
        3,
        besides=("coroutine",),
    ),
    "asyncio is cancelled": Way(
        "raise asyncio.CancelledError", "exception", error="CancelledError"
    ),
    # the frameworks' own ways
    "ctx.exit()": Way("ctx.exit()", only=(*_CLICKS, "typer")),
    "ctx.exit(3)": Way("ctx.exit(3)", "exit", 3, only=(*_CLICKS, "typer")),
    "parser.error": Way("parser.error('no such shop')", "usage", 2, only=("argparse",)),
    "ctx.fail": Way("ctx.fail('no such shop')", "usage", 2, only=(*_CLICKS, "typer")),
    "ctx.abort": Way("ctx.abort()", "interrupted", only=(*_CLICKS, "typer")),
    "ClickException": Way(
        "raise click.ClickException('no stock')",
        "exception",
        error="ClickException",
        only=_CLICKS,
    ),
    "a missing file of Click's": Way(
        "raise click.FileError('stock.csv')", "exception", error="FileError", only=_CLICKS
    ),
    "broken pipe": Way(
        "raise BrokenPipeError(32, 'gone')",
        "exception",
        error="BrokenPipeError",
        only=("click", "typer", "function", "process"),
    ),
    "typer.Exit()": Way("raise typer.Exit()", only=("typer",)),
    "typer.Exit(3)": Way("raise typer.Exit(3)", "exit", 3, only=("typer",)),
    "typer.Abort": Way("raise typer.Abort()", "interrupted", only=("typer",)),
    "wrong value": Way("pass", "usage", 2, only=_PARSERS, arguments=("--count", "x")),
    "wrong option": Way("pass", "usage", 2, only=_PARSERS, arguments=("--cuont", "1")),
    "invoke.Exit": Way("raise invoke.Exit('enough', code=3)", "exit", 3, only=("invoke",)),
    "invoke.Exit(0)": Way("raise invoke.Exit(code=0)", only=("invoke",)),
    "c.run fails": Way("ctx.run('exit 5')", "exit", 5, only=("invoke",)),
    "c.run is warned of": Way("ctx.run('exit 5', warn=True)", only=("invoke",)),
    "unknown task option": Way(
        "pass", "usage", 1, only=("invoke",), arguments=("task", "--cuont=2")
    ),
    "doit: returns False": Way("return False", "exit", 1, only=("doit",)),
    "doit: TaskFailed": Way(
        "return doit.exceptions.TaskFailed('no stock')", "exit", 1, only=("doit",)
    ),
    "doit: TaskError": Way(
        "return doit.exceptions.TaskError('no stock')",
        "exception",
        error="TaskError",
        only=("doit",),
    ),
}

_LAUNCHED = ("click", "argparse", "process")
_LAUNCHED_EVERYWHERE = [
    WAYS[name] for name in ("return", "exception", "sys.exit(3)", "Ctrl-C", "SIGTERM", "SIGKILL")
]
ROWS = [
    pytest.param(program, way, id=f"{program}: {name}")
    for name, way in WAYS.items()
    for program in way.only
    if program not in way.besides
]


@pytest.mark.parametrize(("program", "way"), ROWS)
def test_every_ending_is_recorded_as_it_was(
    program: str, way: Way, tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    framework, task, source = PROGRAMS[program]
    script = _script(tmp_path, source, way.body)
    words = (script, *_WORDS.get(program, ()), *way.arguments)
    bare = run_bare(*words, cwd=tmp_path)
    for under in _unders(program, way):
        env = {"AUTOTASK_HOME": str(home / under)}
        ended = run_program(*words, under=under, cwd=tmp_path, env=env)
        assert _seen(ended) == _seen(bare), under
        found = runs(home / under)
        told = _told(found, framework, task)
        if way.silent and under == "path":
            assert told["status"] == "running"
        elif way.unseen and under == "path" and framework in _WHOLE:
            assert told["status"] == "success"
        else:
            _check_task(told, way)
        if framework != "process":
            (whole,) = [run for run in found if run["framework"] == "process"]
            if not (way.unseen and under == "path"):
                _check_process(whole, told, ended, under)
            assert told["parent"] == whole["run"] == told["root"]
        assert len(found) == (1 if framework == "process" else 2)
        _check_wire(datagrams, found)


def _unders(program: str, way: Way) -> tuple[Under, ...]:
    launched = program in _LAUNCHED or "click" not in way.only or way in _LAUNCHED_EVERYWHERE
    return ("path", "launcher") if launched or PRODUCTS == "all" else ("path",)


def _script(folder: Path, source: str, body: str) -> Path:
    lines = body.strip("\n").splitlines()
    margin = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    indented = "\n".join("            " + line[margin:] for line in lines)
    whole = source.replace("{{", "{").replace("}}", "}").replace("        {body}", indented)
    return write(folder / "shop.py", "        import asyncio, os, signal, sys, threading" + whole)


def _seen(ended: Ended) -> Ended:
    """Return what must be the same as without the agent: all but addresses."""
    out = re.sub(r" at 0x[0-9a-f]+", "", ended.stdout)
    return Ended(ended.status, out, without_our_frames(ended.stderr))


def _told(found: list[Record], framework: str, task: str) -> Record:
    (run,) = [run for run in found if run["framework"] == framework]
    assert run["task"] == task
    return run


def _check_task(run: Record, way: Way) -> None:
    assert run["status"] == ("failure" if way.reason else "success")
    assert run.get("reason") == way.reason
    if way.reason in ("exit", "usage", None):
        assert run.get("exit_code") == way.exit_code
    if way.signal:
        assert run["signal"] == way.signal
    if way.error:
        assert run["error"]["type"] == way.error
    assert run["duration"] >= 0


def _check_process(run: Record, task: Record, ended: Ended, under: str) -> None:
    """The process run follows the program's exit; it is `nested` if the task's failure is why."""
    if under == "path" and task["status"] == "running":
        assert run["status"] == "running"
        return
    if ended.status == 0:
        assert (run["status"], run.get("reason")) == ("success", None)
    elif task["status"] == "failure" and task.get("error", {}).get("type") != "CancelledError":
        assert (run["status"], run.get("reason")) == ("failure", "nested")
        assert run["caused_by"] == task["run"]
    else:
        assert run["status"] == "failure"
    if under == "launcher" and ended.status > 0 and run.get("error") is None:
        assert run["exit_code"] == ended.status
    if under == "launcher" and ended.status < 0:
        assert run["signal"]


def _check_wire(datagrams: Datagrams, found: list[Record]) -> None:
    """Each start once, each ending once, with its status; nothing else."""
    expected: list[tuple[str, ...]] = []
    for run in found:
        of_task = (run["task"].lower(), run["framework"])
        expected.append(("started", *of_task))
        status, reason = run["status"], run.get("reason", "none")
        if status != "running":
            expected.append(("runs", *of_task, status, reason))
            expected.append(("duration", *of_task, status))
        if status == "success":
            expected.append(("check 0", *of_task))
        elif status == "failure" and reason != "nested":
            expected += [("check 2", *of_task), ("event", *of_task, reason)]
    assert sorted(_read(line) for line in datagrams.lines()) == sorted(expected)
    datagrams.forget()


def _read(line: str) -> tuple[str, ...]:
    tags = dict(tag.split(":", 1) for tag in re.split(r"\|#", line)[1].split("|")[0].split(","))
    assert not {"env", "service"} & {*tags}
    of_task = (tags["task"], tags["framework"])
    if line.startswith("_sc|"):
        assert line.startswith("_sc|autotask.task.status|")
        return (f"check {line.split('|')[2]}", *of_task)
    if line.startswith("_e{"):
        return ("event", *of_task, tags["reason"])
    name = line.partition(":")[0].removeprefix("autotask.task.")
    if name == "runs":
        return (name, *of_task, tags["status"], tags["reason"])
    return (name, *of_task, tags["status"]) if name == "duration" else (name, *of_task)


def test_the_table_has_enough_rows() -> None:
    assert len(ROWS) >= 120
    assert os.name == "posix"
