"""How a Python program can end, on each Python: what the process and what a parent can know.

With a parent (AUTOTASK_SUPERVISE) it is always the truth. From inside one ending cannot be seen.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import PRODUCTS, SUPPORTED, Datagrams, only_run, pythons, run_program, runs, write


@dataclass(frozen=True)
class Ending:
    """A program, its exit status, and the reason if it is a failure."""

    source: str = ""
    status: int = 0
    reason: str | None = None
    words: tuple[str, ...] = ("job.py",)
    unseen: bool = False  # looks like a success from inside
    lost: bool = False  # nothing inside is left to report it

    @property
    def file(self) -> str:
        return "pkg/__main__.py" if "pkg" in self.words else "job.py"


_FOLDER = ("pkg",)
_MODULE = ("-m", "pkg")

ENDINGS = {
    "returns": Ending("pass"),
    "raises": Ending("1 / 0", 1, "exception"),
    "is not Python": Ending("a b", 1, "exception"),
    "does not exist": Ending(words=("no-such-job.py",), status=2, reason="exit"),
    "is a folder with no program": Ending(words=(".",), status=1, reason="exit"),
    "sys.exit()": Ending("import sys; sys.exit()"),
    "sys.exit(3)": Ending("import sys; sys.exit(3)", 3, "exit"),
    "sys.exit(256)": Ending("import sys; sys.exit(256)"),
    "sys.exit('text')": Ending("import sys; sys.exit('no disk')", 1, "exit"),
    "sys.exit(main()) of a console script": Ending(
        "import sys\ndef main(): return 3\nif __name__ == '__main__': sys.exit(main())", 3, "exit"
    ),
    "exit(3)": Ending("exit(3)", 3, "exit"),
    "quit(3)": Ending("quit(3)", 3, "exit"),
    "exit()": Ending("exit()"),
    "argparse refuses": Ending(
        "import argparse; argparse.ArgumentParser().parse_args()", 2, "exit", ("job.py", "--odd")
    ),
    "unittest fails": Ending(
        "import unittest\n"
        "class Test(unittest.TestCase):\n"
        "    def test(self): self.fail()\n"
        "unittest.main()",
        1,
        "exit",
    ),
    "sys.exit(3), caught": Ending("import sys\ntry: sys.exit(3)\nexcept SystemExit: pass"),
    "sys.exit(3), caught, and raises": Ending(
        "import sys\ntry: sys.exit(3)\nexcept SystemExit: pass\n1 / 0", 1, "exception"
    ),
    "sys.exit(3) in a thread": Ending(
        "import sys, threading; threading.Thread(target=sys.exit, args=(3,)).start()"
    ),
    "sys.exit(3) in asyncio": Ending(
        "import asyncio, sys\nasync def main(): sys.exit(3)\nasyncio.run(main())", 3, "exit"
    ),
    "sys.exit(3) in an atexit function": Ending(
        "import atexit, sys; atexit.register(lambda: sys.exit(3))"
    ),
    "sys.exit(0), and sys.exit(3) in an atexit function": Ending(
        "import atexit, sys; atexit.register(sys.exit, 3); sys.exit(0)"
    ),
    "sys.exit(3), and sys.exit(0) in an atexit function": Ending(
        "import atexit, sys; atexit.register(lambda: exit(0)); sys.exit(3)", 3, "exit"
    ),
    "-m: sys.exit(3) in an atexit function": Ending(
        "import atexit, sys; atexit.register(sys.exit, 3)", words=_MODULE
    ),
    "sys.exit(3), and os._exit(0) in an atexit function": Ending(
        "import atexit, os, sys; atexit.register(os._exit, 0); sys.exit(3)"
    ),
    "os._exit(0)": Ending("import os; os._exit(0)"),
    "os._exit(5)": Ending("import os; os._exit(5)", 5, "exit"),
    "os._exit(5) in a thread": Ending(
        "import os, threading, time\n"
        "threading.Thread(target=os._exit, args=(5,)).start()\n"
        "time.sleep(60)",
        5,
        "exit",
    ),
    "os._exit(5) in a forked child": Ending(
        "import os\nif not os.fork(): os._exit(5)\nos.wait()",
    ),
    "continues as a daemon": Ending("import os\nif os.fork(): os._exit(0)"),
    "raise SystemExit": Ending("raise SystemExit"),
    "raise SystemExit(3)": Ending("raise SystemExit(3)", 3, "exit", unseen=True),
    "raise SystemExit('text')": Ending("raise SystemExit('no disk')", 1, "exit", unseen=True),
    "a folder: sys.exit(3)": Ending("import sys; sys.exit(3)", 3, "exit", _FOLDER),
    "a folder: raises": Ending("1 / 0", 1, "exception", _FOLDER),
    "-m: returns": Ending("pass", words=_MODULE),
    "-m: raises": Ending("1 / 0", 1, "exception", _MODULE),
    "-m: sys.exit(3)": Ending("import sys; sys.exit(3)", 3, "exit", _MODULE),
    "-m: raise SystemExit(3)": Ending("raise SystemExit(3)", 3, "exit", _MODULE, unseen=True),
    "-m: sys.exit(3) in a thread": Ending(
        "import sys, threading; threading.Thread(target=sys.exit, args=(3,)).start()",
        words=_MODULE,
    ),
    "-m: does not exist": Ending(words=("-m", "no_such_job"), status=1, reason="exit"),
    "-X dev: sys.exit(3)": Ending("import sys; sys.exit(3)", 3, "exit", ("-X", "dev", "job.py")),
    "killed": Ending("import os; os.kill(os.getpid(), 9)", -9, "signal", lost=True),
    "terminated": Ending("import os; os.kill(os.getpid(), 15)", -15, "signal", lost=True),
    "aborted": Ending("import os; os.abort()", -6, "signal", lost=True),
    "execs": Ending("import os; os.execlp('false', 'false')", 1, "exit", lost=True),
}

# The oldest and the newest Python, and that of the tests: each of our checks of a version has
# both results among them.
_OWN = "{}.{}".format(*sys.version_info)
_VERSIONS = [
    version
    for version in SUPPORTED
    if version in (SUPPORTED[0], SUPPORTED[-1], _OWN) or PRODUCTS == "all"
]


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("version", _VERSIONS)
def test_each_ending_of_a_program_is_recognized(
    version: str, ending: Ending, tmp_path: Path, home: Path
) -> None:
    write(tmp_path / "job" / ending.file, ending.source)
    words, cwd = (str(pythons(version)), *ending.words), tmp_path / "job"
    bare = run_program(*words, under="bare", cwd=cwd)
    for supervise, seen in (("0", "inside"), ("1", "by the parent")):
        env = {"AUTOTASK_SUPERVISE": supervise, "AUTOTASK_HOME": str(home / supervise)}
        done = run_program(*words, under="path", cwd=cwd, env=env)
        assert (seen, done.status) == (seen, ending.status) == (seen, bare.status)
        assert (seen, done.stdout) == (seen, bare.stdout)
        run = only_run(home / supervise)
        assert (run["framework"], run["python"].rpartition(".")[0]) == ("process", version)
        if supervise == "0" and (ending.lost or ending.unseen):
            assert run["status"] == ("running" if ending.lost else "success")
            continue
        assert (seen, run["status"]) == (seen, "failure" if ending.reason else "success")
        assert run.get("reason") == ending.reason
        if ending.reason == "exit":
            assert run["exit_code"] == ending.status


def test_a_task_of_a_forked_child_ends_with_the_child(tmp_path: Path, home: Path) -> None:
    pytest.importorskip("click")
    script = """
        import click, os
        @click.command()
        def ship():
            os._exit(5)
        if os.fork() == 0:
            ship()
        os.wait()
    """
    assert run_program(write(tmp_path / "shop.py", script)).status == 0
    program, task = runs(home)
    assert (program["task"], program["status"]) == ("shop.py", "success")
    assert (task["task"], task["reason"], task["exit_code"]) == ("shop", "exit", 5)


@pytest.mark.parametrize("version", SUPPORTED)
@pytest.mark.parametrize("env", [{}, {"AUTOTASK_SUPERVISE": "1"}], ids=["from inside", "parent"])
def test_ctrl_c_ends_it_by_the_signal_while_the_agent_reports_it(
    env: dict[str, str], version: str, tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    script = write(tmp_path / "job.py", "raise KeyboardInterrupt")
    words = pythons(version), script
    bare = run_program(*words, under="bare")
    ours = run_program(*words, under="path", env={**env, "AUTOTASK_DEBUG": None})
    assert ours.status == bare.status == -2
    assert only_run(home)["reason"] == "interrupted"
