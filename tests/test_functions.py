"""The user's own functions: any callable can be a task, and stays what it was."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from frameworks._own import in_short
from support import PYTHON, run_program, runs, write

JOBS = """
import asyncio, functools

def nightly(x=1):
    "Do the night's work."
    return x + 1

def boom():
    raise ValueError("boom")

def outer():
    boom()

class Mailer:
    def __init__(self, to="all"):
        self.to = to
    def send(self, text):
        return f"{text} to {self.to}"
    @property
    def limit(self):
        return LIMIT
    @classmethod
    def make(cls, to):
        return cls(to)
    @staticmethod
    def check(text):
        return len(text)
    def __eq__(self, other):
        return self.to == other.to
    __hash__ = None

class Loud(Mailer):
    def send(self, text):
        return super().send(text.upper())

async def fetch(x):
    await asyncio.sleep(0)
    return x

async def fetch_boom():
    await asyncio.sleep(0)
    raise ValueError("boom")

def numbers(n):
    sent = []
    for i in range(n):
        sent.append((yield i))
    return sent

def numbers_boom():
    yield 1
    raise ValueError("boom")

async def ticks(n):
    for i in range(n):
        await asyncio.sleep(0)
        yield i

def logged(function):
    @functools.wraps(function)
    def inner(*args):
        return function(*args)
    return inner

@logged
def decorated(x):
    return x

class Job:
    def __call__(self, x):
        return x * 2

job = Job()
partial = functools.partial(nightly, 4)
cached = functools.lru_cache(nightly)
built = sum
LIMIT, NAMES = 3, ["a"]
"""

# A statement, what it prints, the runs below the process.
CALLS = [
    ("print(jobs.nightly(2))", "3", ["jobs:nightly success"]),
    ("print(jobs.nightly(x=5))", "6", ["jobs:nightly success"]),
    (
        "try: jobs.boom()\nexcept ValueError as e: print(e)",
        "boom",
        ["jobs:boom failure exception ValueError"],
    ),
    (
        "try: jobs.outer()\nexcept ValueError as e: print(e)",
        "boom",
        [
            "jobs:outer failure nested ValueError by jobs:boom",
            "jobs:boom failure exception ValueError in jobs:outer",
        ],
    ),
    ("print(jobs.Mailer().send('hi'))", "hi to all", ["jobs:Mailer.send success"]),
    ("print(jobs.Mailer.send(jobs.Mailer('x'), 'hi'))", "hi to x", ["jobs:Mailer.send success"]),
    ("print(jobs.Mailer.make('me').to)", "me", ["jobs:Mailer.make success"]),
    ("print(type(jobs.Loud.make('me')).__name__)", "Loud", ["jobs:Mailer.make success"]),
    ("print(jobs.Mailer.check('abc'))", "3", ["jobs:Mailer.check success"]),
    ("print(jobs.Mailer().check('abc'))", "3", ["jobs:Mailer.check success"]),
    ("print(jobs.Loud().send('hi'))", "HI to all", ["jobs:Mailer.send success"]),
    ("import asyncio; print(asyncio.run(jobs.fetch(7)))", "7", ["jobs:fetch success"]),
    (
        "import asyncio\ntry: asyncio.run(jobs.fetch_boom())\nexcept ValueError as e: print(e)",
        "boom",
        ["jobs:fetch_boom failure exception ValueError"],
    ),
    (
        (
            "import asyncio\n"
            "async def main(): return await asyncio.gather(*[jobs.fetch(i) for i in range(3)])\n"
            "print(asyncio.run(main()))"
        ),
        "[0, 1, 2]",
        ["jobs:fetch success"] * 3,
    ),
    ("print(list(jobs.numbers(3)))", "[0, 1, 2]", ["jobs:numbers success"]),
    (
        (
            "def all():\n    print((yield from jobs.numbers(2)))\n"
            "g = all(); next(g); g.send('a')\n"
            "try: g.send('b')\nexcept StopIteration: pass"
        ),
        "['a', 'b']",
        ["jobs:numbers success"],
    ),
    (
        "g = jobs.numbers(3); next(g)\ntry: g.throw(KeyError('x'))\nexcept KeyError as e: print(e)",
        "'x'",
        ["jobs:numbers failure exception KeyError"],
    ),
    (
        "try: list(jobs.numbers_boom())\nexcept ValueError as e: print(e)",
        "boom",
        ["jobs:numbers_boom failure exception ValueError"],
    ),
    ("g = jobs.numbers(3); print(next(g)); g.close()", "0", ["jobs:numbers success"]),
    ("jobs.numbers(3); print('never begun')", "never begun", []),
    (
        (
            "import asyncio\nasync def main(): return [i async for i in jobs.ticks(3)]\n"
            "print(asyncio.run(main()))"
        ),
        "[0, 1, 2]",
        ["jobs:ticks success"],
    ),
    ("print(jobs.decorated(4))", "4", ["jobs:decorated success"]),
    ("print(jobs.job(4))", "8", ["jobs:job success"]),
    ("print(jobs.partial())", "5", ["jobs:partial success"]),
]

_ALL = (
    "nightly boom outer Mailer.send Mailer.make Mailer.check fetch fetch_boom numbers "
    "numbers_boom ticks decorated job partial"
)
SETTING = ",".join(f"jobs:{name}" for name in _ALL.split())


def _below_process(home: Path) -> list[str]:
    return [
        line.removesuffix(" in main.py")
        for line in in_short(runs(home))
        if "main.py " not in line[:8]
    ]


@pytest.mark.parametrize(("statement", "printed", "expected"), CALLS)
def test_each_call_of_a_function_named_in_the_settings_is_a_run(
    statement: str, printed: str, expected: list[str], tmp_path: Path, home: Path
) -> None:
    write(tmp_path / "jobs.py", JOBS)
    script = write(tmp_path / "main.py", "import jobs\n" + statement + "\n")
    env = {"AUTOTASK_FUNCTIONS": SETTING}
    assert run_program(script, under="bare", env=env, cwd=tmp_path).stdout == printed + "\n"
    ended = run_program(script, env=env, cwd=tmp_path)
    assert (ended.status, ended.stdout, ended.stderr) == (0, printed + "\n", "")
    assert _below_process(home) == expected


SCRIPT = """
import asyncio
import autotask

@autotask.task
def nightly(x): return x

@autotask.task(name="mail")
def send(): nightly(1)

class Mailer:
    @autotask.task
    def send(self): return "sent"
    @classmethod
    @autotask.task
    def make(cls): return cls.__name__
    @autotask.task
    @staticmethod
    def check(): return "checked"

class Loud(Mailer): pass

@autotask.task
async def fetch(): return await asyncio.sleep(0, "fetched")

print(nightly(3), send(), Mailer().send(), Loud().send(), Loud.make(), Mailer.check())
print(asyncio.run(fetch()))
"""


def test_a_decorated_function_is_a_task_and_the_same_without_the_agent(
    tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "main.py", SCRIPT)
    bare = run_program(script, under="bare")
    ended = run_program(script)
    assert bare.stdout == ended.stdout == "3 None sent sent Loud checked\nfetched\n"
    assert _below_process(home) == [
        "main:nightly success",
        "mail success",
        "main:nightly success in mail",
        "main:Mailer.send success",
        "main:Mailer.send success",
        "main:Mailer.make success",
        "main:Mailer.check success",
        "main:fetch success",
    ]


def test_without_the_agent_a_decorated_function_is_handed_back_and_wrapt_stays_away(
    tmp_path: Path,
) -> None:
    script = write(
        tmp_path / "main.py",
        """
        import sys
        import autotask
        def work(): pass
        assert autotask.task(work) is work
        assert autotask.task(name="x")(work) is work
        assert "wrapt" not in sys.modules
        """,
    )
    for env in ({}, {"AUTOTASK_ENABLED": "0"}):
        assert run_program(script, under="bare", env=env).status == 0
    assert run_program(script, env={"AUTOTASK_ENABLED": "0"}).status == 0


def test_what_is_instrumented_looks_unchanged(tmp_path: Path) -> None:
    write(tmp_path / "jobs.py", JOBS)
    script = write(
        tmp_path / "main.py",
        """
        import asyncio, inspect
        import jobs
        print(jobs.nightly.__name__, jobs.nightly.__doc__, inspect.signature(jobs.nightly))
        print(jobs.Mailer.send.__qualname__, inspect.signature(jobs.Mailer.send))
        print(inspect.signature(jobs.Mailer().send), inspect.getsource(jobs.boom))
        print(inspect.iscoroutinefunction(jobs.fetch), inspect.isgeneratorfunction(jobs.numbers))
        print(inspect.isasyncgenfunction(jobs.ticks), isinstance(jobs.job, jobs.Job))
        print(jobs.Mailer.send == jobs.Mailer.send, callable(jobs.job))
        c = jobs.fetch(1); print(inspect.iscoroutine(c) or inspect.isawaitable(c)); c.close()
        """,
    )
    env = {"AUTOTASK_FUNCTIONS": SETTING}
    bare = run_program(script, under="bare", cwd=tmp_path)
    assert bare.status == 0
    assert run_program(script, env=env, cwd=tmp_path) == bare


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_instrumented_functions_work_in_a_process_pool(
    method: str, tmp_path: Path, home: Path
) -> None:
    write(tmp_path / "jobs.py", JOBS)
    script = write(
        tmp_path / "main.py",
        """
        import multiprocessing, sys
        import jobs
        if __name__ == "__main__":
            with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
                print(pool.map(jobs.nightly, [1, 2]), pool.map(jobs.Mailer("me").send, ["hi"]))
                print(pool.map(jobs.Mailer.check, ["abc"]), pool.apply(jobs.Mailer.make, ("x",)).to)
                pool.close(); pool.join()
        """,
    )
    env = {"AUTOTASK_FUNCTIONS": SETTING}
    ended = run_program(script, method, env=env, cwd=tmp_path)
    assert ended.stdout == "[2, 3] ['hi to me']\n[3] x\n", ended.stderr
    below = [line for line in in_short(runs(home)) if line.startswith("jobs:")]
    assert below == [
        "jobs:nightly success in main.py",
        "jobs:nightly success in main.py",
        "jobs:Mailer.send success in main.py",
        "jobs:Mailer.check success in main.py",
        "jobs:Mailer.make success in main.py",
    ]


# A setting, and the runs of a program that calls jobs.nightly and Mailer().send.
NAMES = [
    ("jobs:nightly", ["jobs:nightly"]),
    ("jobs:nightly=night", ["night"]),
    (" jobs:nightly = night , jobs:Mailer.send=mail", ["night", "mail"]),
    ("jobs:Mailer.send", ["jobs:Mailer.send"]),
    ("", []),
    ("jobs", []),
    ("jobs:", []),
    ("jobs:1", []),
    ("other:nightly", []),
    ("jobs:Mailer", []),  # a class, a constant, a property and a missing name stay as they are
    ("jobs:LIMIT,jobs:NAMES,jobs:Mailer.limit", []),
    ("jobs:nothing,jobs:Mailer.nothing,jobs:nothing.send,jobs.nothing:send", []),
]


@pytest.mark.parametrize(("setting", "expected"), NAMES)
def test_a_function_is_named_as_the_setting_says(
    setting: str, expected: list[str], tmp_path: Path, home: Path
) -> None:
    write(tmp_path / "jobs.py", JOBS)
    script = write(tmp_path / "main.py", "import jobs\njobs.nightly(); jobs.Mailer().send('x')\n")
    assert run_program(script, env={"AUTOTASK_FUNCTIONS": setting}, cwd=tmp_path).status == 0
    assert [run["task"] for run in runs(home) if run["framework"] == "function"] == expected


# What programs do with a class and a constant, and what our proxy could not do.
SEEN = """
import copy, jobs, json, pickle
def attempt(function):
    try: print(function())
    except Exception as problem: print(type(problem))
attempt(lambda: (jobs.LIMIT + 1, list(range(jobs.LIMIT)), type(jobs.LIMIT)))
attempt(lambda: json.dumps([jobs.LIMIT, jobs.NAMES]))
attempt(lambda: (type(jobs.Mailer), type(jobs.Mailer()) is jobs.Mailer, jobs.Mailer().limit))
attempt(lambda: type("Sub", (jobs.Mailer,), {})("x").send("hi"))
attempt(lambda: (jobs.Mailer.__subclasses__(), isinstance(jobs.Loud(), jobs.Mailer)))
attempt(lambda: pickle.loads(pickle.dumps(jobs.Mailer("me"))).to)
attempt(lambda: type(jobs.Mailer.limit))
for one in (jobs.job, jobs.partial, jobs.cached, jobs.built):
    attempt(lambda: type(pickle.loads(pickle.dumps(one))))
    attempt(lambda: (type(copy.copy(one)), type(copy.deepcopy(one))))
attempt(lambda: (jobs.job(2), jobs.partial(), jobs.cached(2), jobs.built([2])))
attempt(lambda: (jobs.cached.cache_info(), jobs.cached is copy.copy(jobs.cached)))
"""


def test_what_is_not_a_function_is_left_unchanged(
    tmp_path: Path, home: Path, swallowed: Path
) -> None:
    write(tmp_path / "jobs.py", JOBS)
    script = write(tmp_path / "main.py", SEEN)
    named = "job partial Mailer Loud LIMIT NAMES Mailer.limit nothing Mailer.nothing"
    env = {"AUTOTASK_FUNCTIONS": ",".join(f"jobs:{name}" for name in named.split())}
    bare = run_program(script, under="bare", env=env, cwd=tmp_path)
    assert run_program(script, env=env, cwd=tmp_path) == bare
    assert [run["task"] for run in runs(home)] == ["main.py", "jobs:job", "jobs:partial"]
    log = swallowed.read_text()
    for told_of in (
        "jobs:Mailer is a class",
        "jobs:LIMIT is not a function but of type int",
        "jobs:Mailer.limit is not a function but of type property",
        "jobs:Mailer.nothing does not exist",
    ):
        assert f"AUTOTASK_FUNCTIONS: {told_of}; left unchanged\n" in log


@pytest.mark.parametrize("name", ["cached", "built"])
def test_other_callables_are_tasks_and_keep_their_type(
    name: str, tmp_path: Path, home: Path
) -> None:
    write(tmp_path / "jobs.py", JOBS)
    script = write(tmp_path / "main.py", SEEN)
    bare = run_program(script, under="bare", cwd=tmp_path)
    env = {"AUTOTASK_FUNCTIONS": f"jobs:{name}"}
    ours = run_program(script, env=env, cwd=tmp_path)
    assert (ours.status, ours.stderr) == (0, bare.stderr)
    assert [run["task"] for run in runs(home)] == ["main.py", f"jobs:{name}"]


def test_a_missing_function_is_reported_only_in_the_debug_log(
    tmp_path: Path, home: Path, swallowed: Path
) -> None:
    write(tmp_path / "jobs.py", JOBS)
    script = write(tmp_path / "main.py", "import jobs\nprint(jobs.nightly())\n")
    ended = run_program(
        script, env={"AUTOTASK_FUNCTIONS": "jobs:no.such,jobs:nightly"}, cwd=tmp_path
    )
    assert (ended.status, ended.stdout, ended.stderr) == (0, "2\n", "")
    assert [run["task"] for run in runs(home)] == ["main.py", "jobs:nightly"]
    assert "AUTOTASK_FUNCTIONS: jobs:no.such does not exist" in swallowed.read_text()


@pytest.mark.swallows
def test_a_program_without_wrapt_is_not_disturbed(
    tmp_path: Path, installation: Path, home: Path, swallowed: Path
) -> None:
    plain = tmp_path / "plain"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", plain], check=True)
    write(tmp_path / "jobs.py", JOBS)
    script = write(tmp_path / "main.py", "import jobs\nprint(jobs.nightly())\n")
    env = {"PYTHONPATH": str(installation), "AUTOTASK_FUNCTIONS": SETTING}
    ended = run_program(plain / "bin" / "python", script, under="bare", env=env)
    assert (ended.status, ended.stdout, ended.stderr) == (0, "2\n", "")
    assert in_short(runs(home)) == ["main.py success"]
    assert "wrapt" in swallowed.read_text()


def test_a_process_that_imports_none_of_the_named_modules_does_not_load_wrapt(
    tmp_path: Path,
) -> None:
    script = write(tmp_path / "main.py", "import sys\nprint('wrapt' in sys.modules)\n")
    ended = run_program(script, env={"AUTOTASK_FUNCTIONS": SETTING})
    assert (ended.status, ended.stdout, ended.stderr) == (0, "False\n", "")


OF_A_PROGRAM = "import autotask\n@autotask.task\ndef work(): pass\nwork()\n"


@pytest.mark.parametrize("program", ["shop.py", "shop.pyz", "shop.pex", "shop"])
def test_a_programs_own_functions_are_under_its_name(
    program: str, tmp_path: Path, home: Path
) -> None:
    if program == "shop.py":
        write(tmp_path / program, OF_A_PROGRAM)
    elif program == "shop":
        write(tmp_path / program / "__main__.py", OF_A_PROGRAM)
    else:
        with zipfile.ZipFile(tmp_path / program, "w") as archive:
            archive.writestr("__main__.py", OF_A_PROGRAM)
    run_program(PYTHON, program, cwd=tmp_path)
    assert [run["task"] for run in runs(home)] == [program, "shop:work"]
