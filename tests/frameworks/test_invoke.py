"""Invoke: which of its tasks ran, under which names, and how they ended."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from frameworks._own import heed_interrupts, in_short, same
from support import PATIENCE, run_program, runs, start_program, write

pytest.importorskip("invoke")

TASKS = """
import asyncio, os, sys, threading
from invoke import Collection, Exit, Executor, Task, call, task

@task
def clean(c, what="all"):
    print("clean", what)

@task(aliases=["b", "make"])
def build_all(c, fast=False, level=1):
    print("build", fast, level)

@task(pre=[clean], post=[build_all])
def release(c):
    print("release")

@task(pre=[call(clean, what="x"), call(clean, what="y"), call(clean, what="x")])
def scrub(c):
    print("scrub")

@task(name="other-name")
def a_function(c):
    print("named")

@task
def needs(c, who):
    print("for", who)

@task
def boom(c):
    raise ValueError("boom")

@task
def sh(c, command="exit 5"):
    c.run(command, in_stream=False)

@task
def hidden(c):
    c.run("echo out; exit 6", hide=True, in_stream=False)

@task
def warned(c):
    print(c.run("exit 5", warn=True, in_stream=False).exited)

@task
def slow(c):
    c.run("sleep 10", timeout=1, in_stream=False)

@task
def leaves(c, how):
    if how == "exit":
        sys.exit()
    if how.startswith("exit "):
        sys.exit(int(how[5:]))
    if how == "text":
        sys.exit("a text")
    if how == "raise":
        raise SystemExit(4)
    if how == "Exit":
        raise Exit()
    if how == "Exit text":
        raise Exit("a text")
    if how == "Exit 3":
        raise Exit("a text", code=3)
    if how == "Exit silent":
        raise Exit(code=7)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "_exit":
        sys.stdout.flush()
        os._exit(9)

@task
def outer(c):
    boom(c)

@task
def careful(c):
    try:
        boom(c)
    except ValueError:
        print("so what")

@task
def threaded(c):
    thread = threading.Thread(target=migrate, args=[c])
    thread.start()
    thread.join()

@task
def other_collection(c):
    Executor(Collection("inner", build=build_all)).execute("build")
    migrate(c)

@task
async def awaited(c):
    print("never")

@task
def no_context(c):
    clean()

@task
def again(c, times=2):
    if times:
        again(c, times - 1)

def make(text):
    @task
    def made(c):
        print(text)
    return made

first_made, second_made = make("first"), make("second")

@task
def twins(c):
    second_made(c)

class Loud(Task):
    def __call__(self, *args, **kwargs):
        print("before")
        if self.name == "broken":
            raise RuntimeError("own call")
        result = super().__call__(*args, **kwargs)
        print("after")
        return result

@task(klass=Loud)
def loud(c):
    print("loud")

@task(klass=Loud)
def broken(c):
    print("never")

@task(default=True)
def migrate(c):
    print("migrate")

@task
def dump_all(c):
    print("dump")

@task
def only_pre(c):
    print("not in the collection")

@task(pre=[only_pre])
def uses_pre(c):
    print("uses")

db = Collection("db", migrate, dump_all)
db.add_collection(Collection("deep_down", clean, all=build_all))
ns = Collection(
    clean, build_all, release, scrub, a_function, needs, boom, sh, hidden, warned, slow, leaves,
    outer, careful, threaded, other_collection, awaited, no_context, again, loud, broken,
    uses_pre, db, twins, Collection("one", first_made), Collection("two", second_made),
)
"""

# The words after `invoke`, and the recorded runs.
ROWS = {
    # names
    "clean": ["clean success"],
    "build-all --fast": ["build-all success"],
    "b": ["build-all success"],
    "make": ["build-all success"],
    "other-name": ["other-name success"],
    "db": ["db.migrate success"],
    "db.migrate": ["db.migrate success"],
    "db.dump-all": ["db.dump-all success"],
    "db.deep-down.clean": ["db.deep-down.clean success"],
    "db.deep-down.all": ["db.deep-down.all success"],
    # more than one
    "clean build-all": ["clean success", "build-all success"],
    "clean clean": ["clean success"],
    "--no-dedupe clean clean": ["clean success", "clean success"],
    "clean -w x clean -w y": ["clean success", "clean success"],
    "release": ["clean success", "release success", "build-all success"],
    "release clean": [  # not the same: one has arguments
        "clean success",
        "release success",
        "build-all success",
        "clean success",
    ],
    "scrub": ["clean success", "clean success", "scrub success"],
    "uses-pre": ["only-pre success", "uses-pre success"],
    "clean boom build-all": ["clean success", "boom failure exception ValueError"],
    # ways to end
    "sh": ["sh failure exit 5 UnexpectedExit"],
    "sh -c 'kill -9 $$'": ["sh failure exit 247 UnexpectedExit"],
    "sh -c 'kill -2 $$'": ["sh failure interrupted 254"],
    "sh -c true": ["sh success"],
    "hidden": ["hidden failure exit 6 UnexpectedExit"],
    "warned": ["warned success"],
    "slow": ["slow failure exception CommandTimedOut"],
    "leaves exit": ["leaves success"],
    "leaves 'exit 0'": ["leaves success"],
    "leaves 'exit 4'": ["leaves failure exit 4"],
    "leaves 'exit 256'": ["leaves success"],
    "leaves 'exit -1'": ["leaves failure exit 255"],
    "leaves text": ["leaves failure exit 1 SystemExit"],
    "leaves raise": ["leaves failure exit 4"],
    "leaves Exit": ["leaves success"],
    "leaves 'Exit text'": ["leaves failure exit 1 Exit"],
    "leaves 'Exit 3'": ["leaves failure exit 3 Exit"],
    "leaves 'Exit silent'": ["leaves failure exit 7"],
    "leaves interrupt": ["leaves failure interrupted"],
    "leaves _exit": ["leaves failure exit 9"],
    "no-context": [
        "no-context failure nested IndexError by clean",
        "clean failure exception IndexError in no-context",
    ],
    # a task that calls another one
    "outer": [
        "outer failure nested ValueError by boom",
        "boom failure exception ValueError in outer",
    ],
    "careful": ["careful success", "boom failure exception ValueError in careful"],
    "threaded": ["threaded success", "db.migrate success in threaded"],
    "again": ["again success", "again success in again", "again success in again"],
    "other-collection db.dump-all": [
        "other-collection success",
        "build success in other-collection",
        "db.migrate success in other-collection",
        "db.dump-all success",
    ],
    "twins": ["twins success", "two.made success in twins"],
    # kinds of tasks
    "awaited": ["awaited success"],
    "loud": ["loud success"],
    "broken": ["broken failure exception RuntimeError"],
    # wrong arguments
    "build-all --bogus": ["build-all failure usage 1"],
    "b --bogus": ["build-all failure usage 1"],
    "build-all --level": ["build-all failure usage 1"],
    "build-all --level many": ["build-all failure usage 1"],
    "db.dump-all -x": ["db.dump-all failure usage 1"],
    "needs": ["needs failure usage 1"],
    "clean nope": ["invoke failure usage 1"],
    "nope": ["invoke failure usage 1"],
    "--bogus": ["invoke failure usage 1"],
    "-c nope": ["invoke failure usage 1"],
    # questions and rehearsals
    "": [],
    "--list": [],
    "--list nope": [],
    "-c nope --list": [],
    "--help": [],
    "--help nope": [],
    "--help clean": [],
    "clean --help": [],
    "--version": [],
    "--complete -- inv cl": [],
    "-c nope --complete -- inv cl": [],
    "--print-completion-script bash": [],
    "--dry clean": [],
    "clean --dry": [],
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with a tasks.py, in which only tasks are runs."""
    heed_interrupts()
    monkeypatch.setenv("AUTOTASK_PROCESS", "0")
    write(tmp_path / "project" / "tasks.py", TASKS)
    return tmp_path / "project"


@pytest.mark.parametrize("words", ROWS)
def test_invoke_ends_as_without_the_agent_and_its_runs_are_recorded(
    words: str, project: Path, home: Path
) -> None:
    same("-m", "invoke", *shlex.split(words), cwd=project)
    assert in_short(runs(home)) == ROWS[words]


def test_all_runs_have_the_framework_and_the_place(project: Path, home: Path) -> None:
    run_program("-m", "invoke", "outer", cwd=project)
    outer, boom = runs(home)
    assert outer["framework"] == boom["framework"] == "invoke"
    assert boom["error"]["where"].startswith(f"{project / 'tasks.py'}:")
    assert outer["root"] == boom["root"] == outer["run"]


def test_a_console_script_is_named_by_its_file(project: Path, home: Path) -> None:
    script = Path(sysconfig.get_path("scripts")) / "inv"
    if not script.exists():
        pytest.skip("no inv here")
    same(script, "nope", cwd=project)
    assert in_short(runs(home)) == ["inv failure usage 1"]


def test_a_missing_tasks_file_is_a_usage_error(tmp_path: Path, home: Path) -> None:
    env = {"AUTOTASK_PROCESS": "0"}
    same("-m", "invoke", "clean", cwd=tmp_path, env=env)
    same("-m", "invoke", "--list", cwd=tmp_path, env=env)
    assert in_short(runs(home)) == ["invoke failure usage 1"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import nowhere_to_be_found", "invoke failure exception ModuleNotFoundError"),
        ("def broken(:", "invoke failure exception SyntaxError"),
        ("import sys; sys.exit(3)", "invoke failure exit 3"),
        ("import invoke; raise invoke.Exit('no', code=3)", "invoke failure exit 3 Exit"),
        (
            """
            import invoke
            @invoke.task(aliases=["x"])
            def a(c): pass
            @invoke.task(aliases=["x"])
            def b(c): pass
            """,
            "invoke failure exception ValueError",  # from the parser, but not about an argument
        ),
    ],
)
def test_a_broken_tasks_file_is_the_programs_failure(
    source: str, expected: str, project: Path, home: Path
) -> None:
    write(project / "tasks.py", source)
    same("-m", "invoke", "clean", cwd=project)
    assert in_short(runs(home)) == [expected]


def test_names_follow_invokes_own_settings(project: Path, home: Path) -> None:
    write(
        project / "tasks.py",
        """
        import invoke
        @invoke.task
        def build_all(c): pass
        ns = invoke.Collection(build_all, invoke.Collection("db", build_all))
        """,
    )
    write(project / "invoke.yaml", "tasks: {auto_dash_names: false}")
    same("-m", "invoke", "build_all", "db.build_all", "--no-dedupe", cwd=project)
    assert in_short(runs(home)) == ["build_all success", "db.build_all success"]


@pytest.mark.parametrize("dry", ["", "1"])
def test_a_dry_run_may_be_asked_for_in_the_environment(dry: str, project: Path, home: Path) -> None:
    same("-m", "invoke", "clean", cwd=project, env={"INVOKE_RUN_DRY": dry})
    assert in_short(runs(home)) == ([] if dry else ["clean success"])


SHOP = """
from invoke import Collection, Executor, Program, task

@task
def build(c, fast=False):
    print("build")

@task(default=True, aliases=["alias"])
def first(c):
    print("first")

class Own(Executor):
    def execute(self, *tasks):  # without Invoke's executor
        return [self.collection[t.name](self.config_context(), **t.as_kwargs) for t in tasks]
    def config_context(self):
        from invoke import Context
        return Context(self.config)

shop = Collection(build=build, compile=build, sub=Collection(first),
    twice=Collection(one=build, two=build))
"""


@pytest.mark.parametrize(
    ("program", "words", "expected"),
    [
        ("Program(namespace=shop)", "build", ["build success"]),
        ("Program(namespace=shop)", "compile", ["compile success"]),  # one task, two names
        ("Program(namespace=shop)", "sub", ["sub.first success"]),
        ("Program(namespace=shop)", "twice.two", ["twice.two success"]),
        ("Program(namespace=shop)", "--help", []),
        ("Program(namespace=shop)", "", []),
        ("Program(namespace=shop)", "nope", ["shop failure usage 1"]),
        ("Program(namespace=shop)", "build -z", ["build failure usage 1"]),
        ("Program(namespace=shop, name='X', binary='y')", "nope", ["shop failure usage 1"]),
        ("Program(namespace=shop, executor_class=Own)", "sub.first", ["sub.first success"]),
    ],
)
def test_a_users_own_program_is_recorded(
    program: str, words: str, expected: list[str], tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "shop.py", f"{SHOP}\n{program}.run()\n")
    same(script, *words.split(), cwd=tmp_path, env={"AUTOTASK_PROCESS": "0"})
    assert in_short(runs(home)) == expected


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ("Executor(shop).execute('build')", ["build success"]),
        ("Executor(shop).execute('sub.alias')", ["sub.first success"]),
        ("Executor(shop).execute(('compile', {'fast': True}))", ["compile success"]),
        ("Executor(shop).execute('sub')", ["sub.first success"]),
        ("Executor(shop).execute('sub', 'build')", ["sub.first success", "build success"]),
        ("from invoke import Context; build(Context())", ["build success"]),
        ("Program(namespace=shop).run('x nope', exit=False)", ["x failure usage 1"]),
        (
            "Executor(shop).execute('build'); Executor(Collection(other=first)).execute('other')",
            ["build success", "other success"],
        ),
    ],
)
def test_tasks_executed_by_a_script_are_recorded(
    calls: str, expected: list[str], tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "script.py", f"{SHOP}\n{calls}\n")
    same(script, cwd=tmp_path, env={"AUTOTASK_PROCESS": "0"})
    assert in_short(runs(home)) == expected


def test_tasks_are_children_of_the_run_of_their_process(project: Path, home: Path) -> None:
    run_program("-m", "invoke", "sh", cwd=project, env={"AUTOTASK_PROCESS": "1"})
    assert in_short(runs(home)) == [
        "invoke failure nested 5 by sh",
        "sh failure exit 5 UnexpectedExit in invoke",
    ]


def test_a_program_started_by_a_task_is_its_child(project: Path, home: Path) -> None:
    command = f"{sys.executable} -m invoke clean"
    same("-m", "invoke", "sh", "-c", command, cwd=project)
    assert in_short(runs(home)) == ["sh success", "clean success in sh"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_as_without_the_agent(
    number: signal.Signals, project: Path, home: Path
) -> None:
    write(
        project / "tasks.py",
        """
        import time, invoke
        @invoke.task
        def wait(c):
            print("waiting", flush=True)
            time.sleep(600)
        """,
    )
    ends = [_signalled(project, number, bare=True), _signalled(project, number, bare=False)]
    assert ends[0] == ends[1]
    expected = "interrupted" if number == signal.SIGINT else "running"
    assert in_short(runs(home))[0].split()[-1] == expected


def _signalled(project: Path, number: signal.Signals, *, bare: bool) -> int:
    process = start_program(
        "-m",
        "invoke",
        "wait",
        under="bare" if bare else "path",
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout
    process.stdout.readline()
    process.send_signal(number)
    process.stdout.close()
    return process.wait(PATIENCE)


def test_a_task_keeps_its_signature_its_equality_and_its_docstring(tmp_path: Path) -> None:
    script = write(
        tmp_path / "script.py",
        """
        import copy, inspect, invoke, pickle
        @invoke.task
        def build(c, fast=False):
            "Build it."
        print(inspect.signature(invoke.Task.__call__), invoke.Task.__call__.__qualname__)
        print(inspect.signature(build), build.__doc__, build == copy.deepcopy(build))
        print(hash(build) == hash(copy.deepcopy(build)), [a.name for a in build.get_arguments()])
        print(build.body.__name__, invoke.Call.make_context.__name__, build)
        print(invoke.Executor.normalize.__doc__[:40], inspect.signature(invoke.Program.parse_core))
        build(invoke.Context())
        print(build.called, build.times_called)
        """,
    )
    same(script, cwd=tmp_path)


def test_recording_of_invoke_can_be_turned_off(project: Path, home: Path) -> None:
    same("-m", "invoke", "clean", cwd=project, env={"AUTOTASK_FRAMEWORKS": "-invoke"})
    same("-m", "invoke", "clean", cwd=project, env={"AUTOTASK_IGNORE": "cl*"})
    assert in_short(runs(home)) == []
