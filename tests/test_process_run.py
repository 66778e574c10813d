"""Which Python processes are runs under plain PYTHONPATH, and their names."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap
from pathlib import Path

import pytest
from support import (
    PYTHON,
    SUPPORTED,
    Under,
    environment,
    only_run,
    pythons,
    run_program,
    runs,
    write,
)

UNDER: tuple[Under, ...] = ("bare", "path")
SCRIPT = "print('done')"

# The arguments of the interpreter, and the name of its run, or None if it is not a run.
PROGRAMS = [
    (["nightly.py"], "nightly.py"),
    (["-u", "-X", "utf8", "nightly.py", "--key=secret"], "nightly.py"),
    (["folder/nightly"], "nightly"),
    (["-m", "package"], "package"),
    (["-m", "package.jobs", "-c"], "package.jobs"),
    (["-mpackage.jobs"], "package.jobs"),
    (["-Bm", "package.jobs"], "package.jobs"),
    (["build.py"], "build.py"),  # like a tool's name, but the user's own
    (["site.py"], "site.py"),
    (["-c", "print('done')"], None),
    (["-"], None),
    ([], None),
    (["-m", "site", "--user-base"], None),
    (["-m", "compileall", "-h"], None),
    (["-m", "venv", "-h"], None),
    (["pip3.12"], None),
    (["autotask", "check"], None),
    (["folder/pip"], None),
    (["-m", "package.pip"], "package.pip"),
    (["folder/loky.py"], "loky.py"),
    (["-m", "loky.backend.popen_loky_posix"], None),
    (["-m", "joblib.externals.loky.backend.popen_loky_posix"], None),
    (["-m", "ipykernel_launcher", "-f", "kernel.json"], None),
    (["folder/supervisord"], None),
    (["-m", "supervisor.supervisord", "-n"], None),
    (["-m", "yacron"], None),
    (["supervisord.py"], "supervisord.py"),
    (["-m", "cProfile", "-o", "secret", "nightly.py", "secret"], "nightly.py"),
    (["-m", "trace", "--count", "-C", "secret", "--module", "package.jobs"], "package.jobs"),
    (["folder/coverage", "run", "--source", "secret", "-m", "package.jobs"], "package.jobs"),
    (["-m", "cProfile", "-m", "site", "--user-base"], None),  # still a known tool
    (["manage.py", "tidy", "secret"], "manage.py tidy"),
]
_SCRIPTS = (
    *("manage.py", "folder/coverage"),
    *(
        "nightly.py",
        "build.py",
        "folder/nightly",
        "folder/pip",
        "pip3.12",
        "folder/loky.py",
        "autotask",
    ),
    *("folder/supervisord", "supervisord.py", "ipykernel_launcher.py"),
    *("yacron/__main__.py", "supervisor/supervisord.py", "package/pip.py"),
    *("loky/backend/popen_loky_posix.py", "joblib/externals/loky/backend/popen_loky_posix.py"),
    "site-packages/shop/helper.py",
)
_PACKAGES = (  # complete: this Python may have some of them, too
    *("yacron", "supervisor", "loky", "loky/backend", "joblib", "joblib/externals"),
    *("joblib/externals/loky", "joblib/externals/loky/backend"),
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in _SCRIPTS:
        write(tmp_path / name, SCRIPT)
    for name in _PACKAGES:
        write(tmp_path / name / "__init__.py", "")
    # A module named `site` beside the script would replace the interpreter's own.
    write(tmp_path / "site.py", SCRIPT)
    for name in ("__init__", "__main__", "jobs"):
        write(tmp_path / "package" / f"{name}.py", SCRIPT if name != "__init__" else "")
    return tmp_path


def names(home: Path) -> list[str]:
    return [run["task"] for run in runs(home)]


@pytest.mark.parametrize(("words", "name"), PROGRAMS, ids=lambda value: str(value)[:40])
def test_a_program_is_named_by_its_command_line(
    words: list[str], name: str | None, place: Path, home: Path
) -> None:
    ended = run_program(PYTHON, *words, cwd=place, stdin=SCRIPT)
    assert ended.stderr == ""
    assert names(home) == ([name] if name else [])


@pytest.mark.parametrize(
    ("value", "words", "name"),
    [
        ("auto", ["nightly.py"], "nightly.py"),
        ("1", ["nightly.py"], "nightly.py"),
        ("0", ["nightly.py"], None),
        ("off", ["nightly.py"], None),
        ("1", ["-c", "print('done')"], os.path.basename(PYTHON)),
        ("1", ["pip3.12"], os.path.basename(PYTHON)),
        ("maybe", ["nightly.py"], "nightly.py"),
        ("maybe", ["-c", "print('done')"], None),
    ],
)
def test_autotask_process_decides_what_is_a_process_run(
    value: str, words: list[str], name: str | None, place: Path, home: Path
) -> None:
    run_program(PYTHON, *words, cwd=place, env={"AUTOTASK_PROCESS": value})
    assert names(home) == ([name] if name else [])


def test_autotask_name_wins_over_the_command_line(place: Path, home: Path) -> None:
    run_program(PYTHON, "nightly.py", cwd=place, env={"AUTOTASK_NAME": "month end"})
    assert names(home) == ["month end"]


def test_a_program_started_by_a_run_is_not_a_run(place: Path, home: Path) -> None:
    outer = f"import subprocess; subprocess.run([{PYTHON!r}, 'nightly.py'], check=True)"
    run_program(write(place / "outer.py", outer), cwd=place)
    assert names(home) == ["outer.py"]


def test_a_program_that_restarts_itself_is_one_run(place: Path, home: Path) -> None:
    script = write(
        place / "again.py",
        "import os, sys\n"
        "if len(sys.argv) < 2: os.execv(sys.executable, [sys.executable, *sys.argv, 'again'])\n",
    )
    with subprocess.Popen([PYTHON, script], env=environment("path"), cwd=place) as program:
        assert program.wait() == 0
    assert names(home) == ["again.py"]


# Starts the program named by its last word, as pools, tools, notebooks and schedulers do.
START = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, sys.argv[-1]]))"
OWN, LIBRARYS = "nightly.py", "site-packages/shop/helper.py"

# The words of a program that starts another one, the other one, and whether that is a run.
STARTED = [
    (["-c", START], OWN, True),
    (["-c", START], LIBRARYS, False),
    (["pip"], OWN, False),
    (["-m", "ipykernel_launcher"], OWN, True),
    (["-m", "ipykernel_launcher"], LIBRARYS, False),
    (["supervisord"], OWN, True),
    (["supervisord"], LIBRARYS, True),
    (["-m", "yacron"], OWN, True),
    (["-bmyacron"], OWN, True),
    (["-m", "yacron"], LIBRARYS, True),
]


@pytest.fixture
def starts(place: Path) -> Path:
    for name in "pip supervisord scheduler.py yacron.py ipykernel_launcher.py".split():
        write(place / "starts" / name, START)
    return place / "starts"


@pytest.mark.parametrize(("words", "started", "is_run"), STARTED)
def test_the_children_of_some_programs_are_runs(
    words: list[str], started: str, is_run: bool, starts: Path, home: Path
) -> None:
    ended = run_program(PYTHON, *words, starts.parent / started, cwd=starts)
    assert (ended.status, ended.stdout) == (0, "done\n")
    assert names(home) == ([Path(started).name] if is_run else [])


def test_helpers_of_a_tool_are_not_runs(starts: Path, home: Path) -> None:
    place = starts.parent
    backend = write(place / "backend.py", START.replace("sys.argv[-1]", "'nightly.py'"))
    run_program(PYTHON, "starts/pip", backend, cwd=place)
    assert names(home) == []


def test_a_file_of_a_library_is_a_run_if_no_python_starts_it(starts: Path, home: Path) -> None:
    run_program("sh", "-c", f"{PYTHON} {starts.parent / LIBRARYS}; true", cwd=starts)
    assert names(home) == ["helper.py"]


# How a scheduler is started, and the runs other than its jobs.
SCHEDULED: list[tuple[Under, list[str], dict[str, str | None], list[str]]] = [
    ("path", ["supervisord"], {}, []),
    ("path", ["-m", "yacron"], {}, []),
    ("launcher", ["supervisord"], {}, ["supervisord"]),
    ("launcher", ["-m", "yacron"], {}, ["yacron"]),
    ("launcher", ["-bmyacron"], {}, ["yacron"]),
    ("launcher", ["sh", "-c", "$0 supervisord $1; true", PYTHON], {}, ["sh"]),
    ("path", ["scheduler.py"], {"AUTOTASK_IGNORE": "scheduler.py"}, []),
    ("launcher", ["scheduler.py"], {"AUTOTASK_IGNORE": "scheduler.py"}, []),
    ("path", ["supervisord"], {"AUTOTASK_SUPERVISE": "1"}, []),
]


@pytest.mark.parametrize(("under", "words", "env", "others"), SCHEDULED)
def test_a_job_of_a_scheduler_is_a_root_run(
    under: Under,
    words: list[str],
    env: dict[str, str | None],
    others: list[str],
    starts: Path,
    home: Path,
) -> None:
    job = write(starts / "job.py", "import sys; sys.exit(3)")
    command = words if words[0] == "sh" else [PYTHON, *words]
    scheduler = run_program(*command, job, under=under, env=env, cwd=starts)
    assert scheduler.status == (0 if words[0] == "sh" else 3)
    *around, job_run = runs(home)
    assert [run["task"] for run in around] == others
    assert (job_run["task"], job_run["parent"], job_run["root"]) == ("job.py", None, job_run["run"])
    assert (job_run["status"], job_run["exit_code"]) == ("failure", 3)


def test_with_autotask_process_the_children_of_any_program_are_runs(
    starts: Path, home: Path
) -> None:
    env = {"AUTOTASK_PROCESS": "1"}
    run_program(PYTHON, "scheduler.py", "../nightly.py", cwd=starts, env=env)
    scheduler, job = runs(home)
    assert [scheduler["task"], job["task"]] == ["scheduler.py", "nightly.py"]
    assert job["parent"] == scheduler["run"]


# What a program can see of the functions that it exits by; each is replaced where a run is open.
LOOK_AT_EXITS = """
import copy, enum, functools, inspect, multiprocessing, os, pickle, sys, traceback, types, weakref
class Shop:
    leave = sys.exit
    quick = os._exit
class Words(enum.Enum):
    LEAVE = sys.exit
for one in (sys.exit, os._exit, exit, quit):
    print(repr(one), one.__class__, one.__doc__, one.__module__, inspect.signature(one))
    print(one == one, one != len, hash(one) == hash(one), one in {one}, callable(one), dir(one))
    print([pickle.dumps(one, protocol) for protocol in range(6)], weakref.ref(one)() is one)
for one in (sys.exit, os._exit):
    print(one.__name__, one.__qualname__, one.__self__, one.__text_signature__)
    print(isinstance(one, types.BuiltinFunctionType), inspect.isroutine(one))
    print([pickle.loads(pickle.dumps(one, protocol)) is one for protocol in range(6)])
    print(copy.copy(one) is one, copy.deepcopy([one])[0] is one)
    print(functools.wraps(one)(lambda: 0).__qualname__)
    print(hasattr(one, "__dict__"), hasattr(one, "__get__"), hasattr(one, "__wrapped__"))
    try: one.more = 1
    except AttributeError: print("takes no attributes")
print(Words.LEAVE, Shop().leave is sys.exit, Shop().quick is os._exit)
if "traceback" in sys.argv[1:]:
    for leave, words in ((sys.exit, (3,)), (sys.exit, (1, 2)), (exit, ()), (os._exit, ())):
        try: leave(*words)
        except BaseException: traceback.print_exc(file=sys.stdout)
sys.stdout.flush()
functools.partial(Shop().leave, 7)()
"""


@pytest.mark.parametrize("version", SUPPORTED)
def test_the_wrapped_exit_functions_look_unchanged(
    version: str, tmp_path: Path, home: Path
) -> None:
    # Up to 3.10 one of our frames is left in a traceback.
    words = ("traceback",) if version not in ("3.9", "3.10") else ()
    script = write(tmp_path / "job.py", LOOK_AT_EXITS)
    bare, ours = (run_program(pythons(version), script, *words, under=under) for under in UNDER)
    look = re.compile(r" at 0x\w+")
    assert look.sub("", ours.stdout) == look.sub("", bare.stdout)
    assert (ours.status, ours.stderr) == (bare.status, bare.stderr) == (7, "")
    assert only_run(home)["exit_code"] == 7


USED = {
    "signal": "import signal; signal.signal(15, lambda *_: sys.exit(4)); os.kill(os.getpid(), 15)",
    "thread": (
        "import threading, time\n"
        "threading.Thread(target=os._exit, args=(4,)).start(); time.sleep(60)"
    ),
    "atexit": "import atexit; atexit.register(os._exit, 4)",
    "child": (
        "from multiprocessing import get_context\n"
        "if __name__ == '__main__':\n"
        "    for how in ('fork', 'spawn', 'forkserver'):\n"
        "        for leave in (sys.exit, os._exit):\n"
        "            child = get_context(how).Process(target=leave, args=(4,))\n"
        "            child.start(); child.join(); print(how, child.exitcode, flush=True)\n"
        "    sys.exit(4)"
    ),
}


@pytest.mark.parametrize("use", USED.values(), ids=USED)
def test_the_wrapped_exit_functions_work_as_callbacks(use: str, tmp_path: Path, home: Path) -> None:
    script = write(tmp_path / "job.py", f"import os, sys\n{use}\n")
    bare, ours = (run_program(script, under=under) for under in UNDER)
    assert ours == bare
    assert (bare.status, bare.stderr) == (4, "")
    assert only_run(home)["exit_code"] == 4


@pytest.mark.parametrize("value", ["", None])
def test_an_empty_parent_counts_as_none(value: str | None, place: Path, home: Path) -> None:
    for env in ({}, {"AUTOTASK_SUPERVISE": "1"}):
        run_program(PYTHON, "nightly.py", cwd=place, env={"AUTOTASK_PARENT": value, **env})
    assert [run["parent"] for run in runs(home)] == [None, None]


KEEPING = """
import os, sys
class Kept(dict):
    def __delitem__(self, key): sys.exit(f"lost {key}")
    def pop(self, key, *default): sys.exit(f"lost {key}")
os.environ._data = Kept(os.environ._data)
import autotask, subprocess
@autotask.task(name="inner")
def inner(): pass
@autotask.task(name="outer")
def outer(): inner()
for _ in range(600): outer()
child = "import os, sys; sys.exit(os.environ.get('AUTOTASK_PARENT', '').count(':') not in (0, 2))"
subprocess.run([sys.executable, "-c", child], check=True)
"""


@pytest.mark.parametrize("process", ["0", "1"])
def test_the_environment_never_lacks_a_key_while_a_program_may_copy_it(
    process: str, tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "job.py", KEEPING)
    ended = run_program(script, env={"AUTOTASK_PROCESS": process, "AUTOTASK_PARENT": None})
    assert (ended.status, ended.stderr) == (0, "")
    assert len(runs(home)) == 1200 + 2 * int(process)


def test_what_a_program_starts_between_its_tasks_is_a_root(tmp_path: Path, home: Path) -> None:
    source = """
    import autotask, subprocess, sys
    @autotask.task(name="one")
    def one(): pass
    one()
    subprocess.run([sys.executable, "nightly.py"], env=None, check=True)
    """
    write(tmp_path / "nightly.py", SCRIPT)
    run_program("-c", textwrap.dedent(source), cwd=tmp_path)
    assert [(run["task"], run["parent"]) for run in runs(home)] == [
        ("one", None),
        ("nightly.py", None),
    ]
