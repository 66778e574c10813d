"""run-parts with a run for each script: output and status are Debian's own, byte by byte."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
from support import INSTALLED, LAUNCHER, PYTHON, Record, environment, runs, write

pytestmark = pytest.mark.installed

STAND_INS = INSTALLED / "autotask" / "around" / "stand_ins"
SH = "#!/bin/sh\n"


@pytest.fixture(autouse=True)
def debians() -> None:
    if "Debian run-parts program" not in subprocess.getoutput("run-parts --version"):
        pytest.skip("the run-parts of this machine is not Debian's")


class Case(NamedTuple):
    """A folder of scripts, the options, and the runs that are expected: names and how they end."""

    scripts: dict[str, str]
    options: tuple[str, ...] = ()
    runs: tuple[tuple[str, object], ...] = ()  # an exit code (0: success), or a signal's name
    stdin: bytes = b""
    line: str = "run-parts {options} folder"


MIXED = "for n in 1 2 3; do echo out $n; done; echo error >&2; echo more\n"
LARGE = "head -c 300000 /dev/zero | tr '\\0' x; head -c 200000 /dev/zero | tr '\\0' e >&2\n"
PYTHONS = f"#!{PYTHON}\n"
# It keeps both pipes open, much longer than anything here takes.
DAEMON = "sleep 600 & echo $! > pid; echo started\n"
BOTH = {"a": f"{SH}echo a\n", "b": f"{SH}echo b >&2\n", "c": f"{SH}exit 0\n"}
SUCCEED = (("a", 0), ("b", 0), ("c", 0))
FAIL = {"a": f"{SH}exit 3\n", "b": f"{SH}echo b; exit 4\n", "c": f"{SH}echo c\n"}

ONE = (("\udce9", 0),)

CASES = {
    "both streams": Case(BOTH, (), SUCCEED),
    "report": Case(BOTH, ("--report",), SUCCEED),
    "verbose": Case(BOTH, ("--verbose",), SUCCEED),
    "report and verbose": Case(BOTH, ("-v", "--report"), SUCCEED),
    "reverse": Case(BOTH, ("--report", "--reverse"), tuple(reversed(SUCCEED))),
    "failures": Case(FAIL, ("--report",), (("a", 3), ("b", 4), ("c", 0))),
    "failures, silent": Case(FAIL, (), (("a", 3), ("b", 4), ("c", 0))),
    "exit-on-error": Case(FAIL, ("--report", "--exit-on-error"), (("a", 3),)),
    "exit-on-error, success": Case(BOTH, ("--exit-on-error",), SUCCEED),
    "mixed": Case({"a": f"{SH}{MIXED}"}, ("--report",), (("a", 0),)),
    "large": Case({"a": f"{SH}{LARGE}"}, ("--report",), (("a", 0),)),
    "no output": Case({"a": SH}, ("--report",), (("a", 0),)),
    "output without a newline": Case({"a": f"{SH}printf x"}, ("--report",), (("a", 0),)),
    "binary output": Case({"a": f"{SH}printf '\\377\\0'"}, ("--report",), (("a", 0),)),
    "an empty folder": Case({}, ("--report",)),
    "killed": Case({"a": f"{SH}kill -TERM $$\n"}, ("--report",), (("a", "SIGTERM"),)),
    "killed by SIGKILL": Case({"a": f"{SH}kill -KILL $$\n"}, (), (("a", "SIGKILL"),)),
    "killed, exit-on-error": Case(
        {"a": f"{SH}kill -INT $$\n", "b": SH}, ("--exit-on-error",), (("a", "SIGINT"),)
    ),
    "not executable, bad names": Case(
        {"a": f"{SH}echo a\n", "plain-": SH, "b.sh": SH, "c~": SH, "d_": f"{SH}echo d\n"},
        ("--report",),
        (("a", 0), ("d_", 0)),
    ),
    "a folder in it": Case({"a": f"{SH}echo a\n", "folder/b": SH}, (), (("a", 0),)),
    "dangling links": Case(
        {"a": f"{SH}echo a >&2\n", "link-b": "", "c": f"{SH}echo c >&2\n", "link-d": ""},
        ("--report",),
        (("a", 0), ("c", 0)),
    ),
    "a dangling link, exit-on-error": Case({"a": SH, "link-b": ""}, ("--exit-on-error",)),
    "a pipe": Case({"pipe-a": "", "b": f"{SH}echo b >&2\n"}, (), (("b", 0),)),
    "a pipe, in reverse": Case(
        {"a": f"{SH}echo a >&2\n", "pipe-b": "", "c": f"{SH}echo c >&2\n"},
        ("--reverse",),
        (("c", 0), ("a", 0)),
    ),
    "a regular expression": Case(
        {"a.sh": f"{SH}echo a\n", "b": SH, "c+.sh": f"{SH}echo c\n", "link-d.sh": ""},
        ("--regex", r"\.sh$"),
        (("a.sh", 0), ("c+.sh", 0)),
    ),
    "a bad regular expression": Case({"a": SH}, ("--regex=(",)),
    "lsbsysinit": Case(
        {"a": SH, "b-c.d-e": f"{SH}echo b\n", "x-y.dpkg-old": SH, "B": SH},
        ("--lsbsysinit", "--report"),
        (("a", 0), ("b-c.d-e", 0)),
    ),
    "no first line": Case({"a": "echo a\n"}, ("--report",), (("a", 1),)),
    "no interpreter": Case({"a": "#!/nowhere/sh\n", "b": SH}, ("--report",), (("a", 1), ("b", 0))),
    "an empty script": Case({"a": ""}, ("--verbose",), (("a", 1),)),
    "arguments": Case(
        {"a": f'{SH}printf "<%s>" "$0" "$@"\n'},
        ("--arg=x y", "-a", "", "-a-z", "--verbose"),
        (("a", 0),),
    ),
    "umask": Case({"a": f"{SH}umask\n"}, ("--umask=027",), (("a", 0),)),
    "the usual umask": Case({"a": f"{SH}umask\n"}, (), (("a", 0),)),
    "a bad umask": Case({"a": SH}, ("-u", "9")),
    "a new session": Case(
        {"a": f"{SH}read -r _ _ _ _ group session _ < /proc/$$/stat; echo $((session == $$))\n"},
        ("--new-session",),
        (("a", 0),),
    ),
    "standard input": Case(
        {"a": f"{SH}read x; echo $x\n", "b": f"{SH}cat\n"},
        ("--report",),
        (("a", 0), ("b", 0)),
        b"1\n2\n3\n",
    ),
    "the environment": Case(
        {"a": f"{SH}env | grep -v -e ^AUTOTASK_P -e ^PYTHONPATH= -e ^RUBYLIB= | sort\n"},
        (),
        (("a", 0),),
    ),
    "Python": Case(
        {"a": f"{PYTHONS}print('a'); raise SystemExit(5)\n"}, ("--report",), (("a", 5),)
    ),
    "Python, raising": Case(
        {"a": f"{PYTHONS}1 / 0\n"}, ("--report",), (("a", "ZeroDivisionError"),)
    ),
    "a child keeps the pipes open": Case({"a": f"{SH}{DAEMON}"}, ("--report",), (("a", 0),)),
    "stdin for each": Case({"a": f"{SH}cat\n", "b": f"{SH}cat\n"}, ("--stdin",), (), b"1\n"),
    "test": Case(BOTH, ("--test",)),
    "list": Case(BOTH, ("--list",)),
    "debug": Case(BOTH, ("--debug",)),
    "version": Case(BOTH, ("--version",)),
    "help": Case(BOTH, ("--help",)),
    "an unknown option": Case(BOTH, ("--nonsense",)),
    "an ambiguous option": Case(BOTH, ("--re",)),
    "a shortened option": Case(BOTH, ("--rep", "--verb"), SUCCEED),
    "the end of options": Case(BOTH, ("--report", "--"), SUCCEED),
    "two folders": Case(BOTH, ("folder",)),
    "no such folder": Case(BOTH, (), (), b"", "run-parts --report nowhere"),
    "no folder": Case(BOTH, (), (), b"", "run-parts"),
    "a slash": Case(BOTH, (), SUCCEED, b"", "run-parts --report folder/"),
    "after the folder": Case(BOTH, (), SUCCEED, b"", "run-parts folder --report"),
    "Debian's line": Case(
        FAIL,
        (),
        (("a", 3), ("b", 4), ("c", 0)),
        b"",
        "test -x /nowhere/anacron || ( cd . && run-parts --report folder )",
    ),
    "descriptors": Case({"a": f"{SH}ls -l /proc/self/fd | wc -l\n"}, ("--report",), (("a", 0),)),
    "signals": Case(
        {"a": f"{SH}grep -e SigBlk -e SigIgn /proc/self/status\n"}, ("--report",), (("a", 0),)
    ),
    "a name that is not UTF-8": Case({"\udce9": f"{SH}echo a\n"}, ("--regex=.", "--report"), ONE),
    "a name of two lines": Case({"a\nb": f"{SH}echo a\n"}, ("--regex=b", "--report")),
    "a name with a space": Case({"a b": f"{SH}echo a\n"}, ("--regex=b", "--report"), (("a b", 0),)),
    "an ignored task": Case(
        BOTH, (), (("a", 0), ("c", 0)), b"", "AUTOTASK_IGNORE=b run-parts folder"
    ),
    "turned off": Case(BOTH, (), (), b"", "AUTOTASK_ENABLED=0 run-parts --report folder"),
    "run-parts by its path": Case(BOTH, (), (), b"", "{real} folder"),
    "run-parts in another folder": Case(BOTH, (), (), b"", "PATH=/usr/bin:/bin; run-parts folder"),
}


def make(folder: Path, scripts: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    for name, text in scripts.items():
        path = folder / name
        if name.startswith("link-"):
            path.symlink_to("nowhere")
        elif name.startswith("pipe-"):
            os.mkfifo(path)
        else:
            write(path, text).chmod(0o644 if name.startswith("plain-") else 0o755)


class Ended(NamedTuple):
    status: int
    out: bytes
    err: bytes


def run(words: Iterable[str | Path], cwd: Path, stdin: bytes = b"", **env: str) -> Ended:
    # Into files: a pipe would not end before a process in the background.
    with (cwd / "out").open("wb") as out, (cwd / "err").open("wb") as err:
        done = subprocess.run(
            list(words),
            input=stdin,
            cwd=cwd,
            env={**environment(), "SHELL": "/bin/sh", **env},
            stdout=out,
            stderr=err,
            check=False,
        )
    if (cwd / "pid").exists():
        os.kill(int((cwd / "pid").read_text()), signal.SIGKILL)
        (cwd / "pid").unlink()
    return Ended(done.returncode, (cwd / "out").read_bytes(), (cwd / "err").read_bytes())


def ended(name: str, how: object) -> tuple[str, str, object]:
    return name, "failure" if how else "success", how or None


def error_type(run: Record) -> str | None:
    return run["error"]["type"] if run.get("error") else None


def endings(records: list[Record]) -> list[tuple[str, str, object]]:
    return [
        (run["task"], run["status"], run.get("signal") or run.get("exit_code") or error_type(run))
        for run in records
    ]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_all_that_is_seen_is_the_real_ones_and_each_script_has_a_run(
    case: Case, tmp_path: Path, home: Path
) -> None:
    options = " ".join(map(shlex.quote, case.options))
    line = case.line.format(options=options, real=shutil.which("run-parts"))
    make(tmp_path / "folder", case.scripts)
    bare = run(["sh", "-c", line], tmp_path, case.stdin)
    assert run([LAUNCHER, "--shell", line], tmp_path, case.stdin) == bare
    line_run, *scripts = runs(home)
    assert endings(scripts) == [ended(*expected) for expected in case.runs]
    assert {script["parent"] for script in scripts} <= {line_run["run"]}
    failed = [script["run"] for script in scripts if script["status"] == "failure"]
    if line_run["status"] == "failure" and failed:
        assert (line_run["reason"], line_run["caused_by"]) == ("nested", failed[-1])


def test_another_run_parts_does_all_itself(tmp_path: Path, home: Path) -> None:
    make(tmp_path / "folder", BOTH)
    write(tmp_path / "bin/run-parts", f'{SH}echo "$@" >> "$0.asked"\n').chmod(0o755)
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    assert run([LAUNCHER, "run-parts", "--report", "folder"], tmp_path, PATH=path).status == 0
    assert (tmp_path / "bin/run-parts.asked").read_text() == "--version\n--report folder\n"
    assert endings(runs(home)) == [("folder", "success", None)]


def test_both_streams_may_be_one(tmp_path: Path) -> None:
    make(tmp_path / "folder", {**BOTH, **FAIL, "d": f"{SH}kill -9 $$\n"})
    line = "run-parts --verbose folder 2>&1"
    bare = run(["sh", "-c", line], tmp_path)
    assert run([LAUNCHER, "--shell", line], tmp_path) == bare
    assert bare.out.count(b"run-parts: ") == 7


def test_it_is_found_from_a_checkouts_folder(tmp_path: Path, home: Path) -> None:
    make(tmp_path / "folder", BOTH)
    (tmp_path / "autotask-run").symlink_to(LAUNCHER)
    line = "mkdir x; cd x && run-parts ../folder"
    assert run(["./autotask-run", "--shell", line], tmp_path).out == b"a\n"
    assert [record["task"] for record in runs(home)] == ["folder", "a", "b", "c"]
