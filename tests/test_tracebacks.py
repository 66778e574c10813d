"""A traceback is unchanged on each Python, whatever prints it and wherever it has been.

Functions of the program's own are the tasks here. The frameworks' are compared in
`test_truth.py` and in `tests/frameworks`.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
import wrapt
from support import SUPPORTED, pythons, run_program, runs, without_our_frames, write

JOBS = """
def deep(): 1 / 0
def fails(x=0): deep()
def outer(): fails()
def from_it():
    try: fails()
    except ZeroDivisionError as problem: raise KeyError("gone") from problem
def after_it():
    try: fails()
    except ZeroDivisionError: raise KeyError("gone")
class Mailer:
    def send(self): deep()
    @classmethod
    def of_class(cls): deep()
    @staticmethod
    def static(): deep()
class Locked(Exception):
    def __setattr__(self, name, value): raise TypeError("locked")
    __traceback__ = property(lambda self: None, lambda self, value: deep())
def locked(): raise Locked("no")
def steps():
    yield 1
    deep()
def cleans():
    try: yield 1
    finally: deep()
async def later():
    import asyncio
    await asyncio.sleep(0)
    deep()
async def awaits(): await later()
async def ticks():
    yield 1
    deep()
async def ends():
    return
    yield
in_c = int
"""
NAMES = (
    "fails outer from_it after_it Mailer.send Mailer.of_class Mailer.static locked steps cleans "
    "later awaits ticks ends in_c"
)
SETTING = ",".join(f"jobs:{name}" for name in NAMES.split())

PROGRAMS = {
    "of a task": "jobs.fails()",
    "in one task after the other": "jobs.outer()",
    "raised from another": "jobs.from_it()",
    "raised while another was handled": "jobs.after_it()",
    "of a method": "jobs.Mailer().send()",
    "of a class method": "jobs.Mailer.of_class()",
    "of a static method": "jobs.Mailer().static()",
    "of a call with wrong arguments": "jobs.fails(1, 2, 3)",
    "of a function in C": "jobs.in_c('x')",
    "that its class keeps to itself": """
        try: jobs.locked()
        except jobs.Locked as problem: print(repr(problem), problem.__traceback__)
        jobs.locked()
        """,
    "printed further out": """
        def work():
            try: jobs.outer()
            except ZeroDivisionError: traceback.print_exc(); raise
        try: work()
        except ZeroDivisionError: traceback.print_exc()
        """,
    "printed with its locals": """
        try: jobs.outer()
        except ZeroDivisionError as problem:
            traceback.TracebackException.from_exception(problem, capture_locals=True).print()
        """,
    "with its stack": """
        def work():
            try: jobs.outer()
            except ZeroDivisionError as problem:
                step = problem.__traceback__
                while step: print(step.tb_frame.f_code.co_name, step.tb_lineno); step = step.tb_next
        work()
        """,
    "raised again, later": """
        try: jobs.outer()
        except ZeroDivisionError as problem: kept = problem
        try: raise kept
        except ZeroDivisionError: traceback.print_exc()
        raise kept
        """,
    "without its frames": """
        try: jobs.outer()
        except ZeroDivisionError as problem:
            traceback.clear_frames(problem.__traceback__)
            raise
        """,
    "of a generator": "list(jobs.steps())",
    "of a generator that is closed": "going = jobs.cleans(); next(going); going.close()",
    "thrown into a generator": "going = jobs.steps(); next(going); going.throw(KeyError('x'))",
    "of a generator at its end": """
        going = jobs.steps(); next(going)
        try: next(going)
        except ZeroDivisionError: next(going)
        """,
    "inside of a generator": "def all():\n    yield from jobs.steps()\nlist(all())",
    "of a coroutine": "asyncio.run(jobs.awaits())",
    "of coroutines side by side": """
        async def main(): await asyncio.gather(jobs.later(), jobs.awaits())
        asyncio.run(main())
        """,
    "of an asynchronous generator": """
        async def main(): return [n async for n in jobs.ticks()]
        asyncio.run(main())
        """,
    "of an asynchronous generator at its end": """
        async def main(): await jobs.ends().__anext__()
        asyncio.run(main())
        """,
    "in a thread": """
        thread = threading.Thread(target=jobs.outer, name="worker"); thread.start(); thread.join()
        """,
    "of a thread that is started twice": """
        jobs.Mailer.send.__name__
        try: jobs.fails()
        except ZeroDivisionError: pass
        thread = threading.Thread(target=print); thread.start(); thread.join(); thread.start()
        """,
    "out of a pool of threads": """
        with ThreadPoolExecutor(1) as pool: future = pool.submit(jobs.outer)
        future.result()
        """,
    "of a signal handler": """
        signal.signal(signal.SIGALRM, lambda *_: jobs.outer())
        signal.raise_signal(signal.SIGALRM)
        """,
    "of an exec that fails": """
        import os
        try: os.execv("/nowhere", ["nowhere"])
        finally: jobs.outer()
        """,
    "of a module with tasks": "import broken",
    "of a module with tasks, imported by name": """
        import importlib; importlib.import_module("broken")
        """,
    "of a module that is not found": """
        class Finder:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name == "refused": jobs.deep()
        sys.meta_path.append(Finder)
        try: import importlib; importlib.import_module("refused")
        finally: sys.meta_path.remove(Finder)
        """,
}
GROUPS = {
    "a group of them": """
        problems = []
        for call in (jobs.outer, jobs.from_it):
            try: call()
            except Exception as problem: problems.append(problem)
        raise ExceptionGroup("several", problems)
        """,
    "the rest of a group": """
        def work():
            try: jobs.outer()
            except* ZeroDivisionError as group: raise
        try: work()
        except* KeyError: pass
        """,
    "of a group of coroutines": """
        async def main():
            async with asyncio.TaskGroup() as group:
                group.create_task(jobs.awaits()); group.create_task(jobs.later())
        asyncio.run(main())
        """,
}
# Each is printed in the three ways of Python: by its own excepthook, by `traceback`, and as
# as unraisable. One more ends the program.
MAIN = """
import asyncio, gc, signal, sys, threading, traceback
from concurrent.futures import ThreadPoolExecutor
import jobs
class Thing:
    def __del__(self): work()
def tell(name, source):
    global work
    code = compile(source, name, "exec")
    def work(): exec(code, globals())
    print("#", name, file=sys.stderr)
    try:
        work()
    except BaseException as problem:
        sys.excepthook(type(problem), problem, problem.__traceback__)
        traceback.print_exc()
    Thing()
for name, source in {programs!r}.items(): tell(name, source)
import atexit
# 3.9 prints the frames that an exception had passed when it was caught on its way.
if sys.version_info >= (3, 10): atexit.register(lambda: jobs.outer())
jobs.outer()
"""


@pytest.mark.parametrize("version", SUPPORTED)
def test_a_traceback_is_the_same_as_without_the_agent(
    version: str, tmp_path: Path, home: Path
) -> None:
    python = pythons(version)
    release = tuple(int(number) for number in version.split("."))
    programs = {**PROGRAMS, **(GROUPS if release >= (3, 11) else {})}
    programs = {name: textwrap.dedent(source) for name, source in programs.items()}
    write(tmp_path / "jobs.py", JOBS)
    write(tmp_path / "broken.py", "import jobs\njobs.outer()\n")
    (tmp_path / "wrapt").symlink_to(Path(wrapt.__file__).parent)
    script = write(tmp_path / "main.py", MAIN.format(programs=programs))
    bare, ours = (
        run_program(
            *(python, "-W", "ignore", script),
            under=under,
            env={
                "AUTOTASK_FUNCTIONS": f"{SETTING},broken:outer,refused:outer",
                "AUTOTASK_PROCESS": "0",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        )
        for under in ("bare", "path")
    )
    if release >= (3, 11):
        assert ours.stdout == bare.stdout
    pairs = zip(_parts(without_our_frames(ours.stderr, release)), _parts(bare.stderr))
    changed = [f"{one}\nbare: {other}" for one, other in pairs if one != other]
    assert not changed, "\n\n".join(changed)
    assert bare.stderr.count("Traceback (most") > 3 * len(programs)
    assert len(runs(home)) > 3 * len(programs)


def _parts(text: str) -> list[str]:
    return re.sub(r" at 0x[0-9a-f]+", "", text).split("# ")
