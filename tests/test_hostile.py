"""Hostile places: a task there works as without the agent, and is recorded if possible."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import PYTHON, Datagrams, lines, run_program, runs, write

from autotask.journal import segment

LINUX = sys.platform.startswith("linux")
root = pytest.mark.skipif(not LINUX or os.getuid() != 0, reason="needs root on Linux")

TASKS = """
import os, resource, signal, sys
import _socket, click, locale, re  # now: another user may be unable to reach this Python
@click.command()
@click.option("--fail", is_flag=True)
def work(fail):
    click.echo("working")
    if fail: raise ValueError("no goods")
def run(*words):
    try: print("returned", work.main(list(words), standalone_mode=False), flush=True)
    except ValueError as problem: print(repr(problem), problem.__context__, flush=True)
{before}
run()
{between}
run()
run("--fail")
sys.exit(3)
"""
NOBODY = 54321
FULL = """
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
held = []
try:
    while True: held.append(os.open("/dev/null", os.O_RDONLY))
except OSError: pass
"""
# The statuses of Click's runs in a place that allows recording: two successes, a failure.
ALL = ["success", "success", "failure"]
PLACES: dict[str, tuple[str, str, list[str] | None]] = {
    "no descriptors left": (FULL, "", []),
    "no descriptors left later": ("", FULL, ALL),
    "no descriptor left but those of the streams": (FULL + "os.close(0)", "", []),
    "standard streams closed later": ("", "os.close(0); os.close(2)", ALL),
    "standard output taken for a file": ("", "os.dup2(os.open('mine', 66, 0o600), 1)", ALL),
    "a file of no more than 100 bytes": (
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\nsignal.signal(25, signal.SIG_IGN)",
        "",
        None,
    ),
    "no file at all": ("resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))", "", None),
    "umask 777": ("os.umask(0o777)", "", ALL),
    "umask 777 as nobody": (f"os.setuid({NOBODY}); os.umask(0o777)", "", ALL),
    "another user from the start": (f"os.setuid({NOBODY})", "", ALL),
    "another user later": ("", f"os.setuid({NOBODY})", ALL),
    "no more processes or threads": (
        f"""
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
os.setuid({NOBODY})
""",
        "",
        ALL,
    ),
    "no more memory": (
        "",
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 20, 1 << 20))",
        ALL,
    ),
    "an environment that was emptied": ("os.environ.clear()", "os.environ.clear()", None),
    "a folder that is gone": ("os.mkdir('x'); os.chdir('x'); os.rmdir('../x')", "", ALL),
    "every signal blocked": ("signal.pthread_sigmask(0, range(1, 65))", "", ALL),
    "a recursion limit of next to nothing": ("", "sys.setrecursionlimit(60)", ALL),
}


@pytest.fixture
def anybodys() -> Iterator[Path]:
    """Return a folder that each user can reach and write to, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        yield Path(name)


@root
@pytest.mark.swallows
@pytest.mark.parametrize("process", ["0", "1"])
@pytest.mark.parametrize("place", PLACES)
def test_a_task_in_a_hostile_place_runs_as_usual(place: str, process: str, anybodys: Path) -> None:
    pytest.importorskip("click")
    before, between, statuses = PLACES[place]
    home = anybodys / "home"
    home.mkdir()
    home.chmod(0o777)
    script = write(anybodys / "shop.py", TASKS.format(before=before, between=between))
    env = {"AUTOTASK_PROCESS": process, "AUTOTASK_HOME": str(home)}
    if place == "no more processes or threads":
        env["DD_DOGSTATSD_URL"] = "udp://LOCALHOST:9"  # a name, to be resolved by a thread
    bare, ours = (
        run_program(script, under=under, cwd=anybodys, env=env) for under in ("bare", "path")
    )
    assert ours == bare
    assert ours.status == 3 or statuses is None
    if statuses or (statuses == [] and process == "0"):  # else the segment is already open
        assert [run["status"] for run in runs(home) if run["framework"] == "click"] == statuses


# --- something else in the place of the journal --------------------------------------------------


def _a_fifo(home: Path) -> None:
    (home / "journal").mkdir()
    for name in _segments():
        os.mkfifo(home / "journal" / name)


def _a_link_to_the_output(home: Path) -> None:
    (home / "journal").mkdir()
    for name in _segments():
        (home / "journal" / name).symlink_to("/dev/stdout")


def _a_folder(home: Path) -> None:
    for name in _segments():
        (home / "journal" / name).mkdir(parents=True)


def _a_link_to_a_folder(home: Path) -> None:
    (home.parent / "elsewhere").mkdir()
    (home / "journal").symlink_to(home.parent / "elsewhere")


def _fifos(home: Path) -> None:
    os.mkfifo(home / "journal")
    os.mkfifo(home / "open")


def _a_device(home: Path) -> None:
    (home / "journal").symlink_to("/dev/null")
    (home / "open").symlink_to("/dev/full")


def _segments() -> list[str]:
    """Return the segments of this hour and the next: the test may run over its end."""
    now = time.time()
    return [segment(now), segment(now + 3600)]


STANDING: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "a FIFO as the segment": (_a_fifo, []),
    "standard output as the segment": (_a_link_to_the_output, []),
    "a folder as the segment": (_a_folder, []),
    "FIFOs as the folders": (_fifos, []),
    "devices as the folders": (_a_device, []),
    "a link to a folder": (_a_link_to_a_folder, []),
}


@pytest.mark.parametrize("process", ["0", "1"])
@pytest.mark.parametrize(("stand", "statuses"), STANDING.values(), ids=STANDING)
def test_a_file_in_the_place_of_the_journal_is_left_alone(
    stand: Callable[[Path], None], statuses: list[str], process: str, tmp_path: Path, home: Path
) -> None:
    pytest.importorskip("click")
    home.mkdir()
    stand(home)
    script = write(tmp_path / "shop.py", TASKS.format(before="", between=""))
    bare, ours = (
        run_program(script, under=under, env={"AUTOTASK_PROCESS": process})
        for under in ("bare", "path")
    )
    assert ours == bare
    if statuses:
        assert [run["status"] for run in runs(home) if run["framework"] == "click"] == statuses


@pytest.mark.parametrize("process", ["0", "1"])
def test_a_log_without_a_reader_blocks_no_task(process: str, tmp_path: Path) -> None:
    pytest.importorskip("click")
    os.mkfifo(tmp_path / "log")
    script = write(tmp_path / "shop.py", TASKS.format(before="", between=""))
    env = {"AUTOTASK_PROCESS": process, "AUTOTASK_DEBUG": str(tmp_path / "log")}
    assert run_program(script, env=env) == run_program(script, under="bare")


# --- mounts --------------------------------------------------------------------------------------

MOUNTS = {
    "no /proc": ("mount -t tmpfs none /proc", ALL),
    "a read-only home": ('mount -t tmpfs -o ro none "$AUTOTASK_HOME"', []),
    "a home that is full at once": (
        """
mount -t tmpfs -o size=4k,nr_inodes=4 none "$AUTOTASK_HOME"
head -c 4096 /dev/zero >"$AUTOTASK_HOME/filler"
""",
        [],
    ),
    "a home in a folder without free names": (
        'mount -t tmpfs -o nr_inodes=1 none "$AUTOTASK_HOME"',
        [],
    ),
    "no /dev": ("mount -t tmpfs none /dev", ALL),
    "no /tmp": ("mount -t tmpfs -o ro none /var/tmp", ALL),
}


@root
@pytest.mark.parametrize("process", ["0", "1"])
@pytest.mark.parametrize(("mount", "statuses"), MOUNTS.values(), ids=MOUNTS)
def test_a_task_runs_as_usual_whatever_is_mounted(
    mount: str, statuses: list[str], process: str, tmp_path: Path, home: Path
) -> None:
    pytest.importorskip("click")
    if run_program("unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt", under="bare").status:
        pytest.skip("may not mount")
    home.mkdir()
    write(tmp_path / "shop.py", TASKS.format(before="", between=""))
    command = f'{mount.strip()}; exec "{PYTHON}" shop.py'
    bare, ours = (
        run_program(
            *("unshare", "-m", "sh", "-c", command),
            under=under,
            cwd=tmp_path,
            env={"AUTOTASK_PROCESS": process},
        )
        for under in ("bare", "path")
    )
    assert ours == bare
    assert ours.status == 3
    assert [run["status"] for run in runs(home) if run["framework"] == "click"] == statuses


# --- calls that are refused ----------------------------------------------------------------------

# In a fork for each system call, with a filter like those of containers, one task succeeds and one
# fails. The filter: https://docs.kernel.org/userspace-api/seccomp_filter.html
REFUSED = """
import ctypes, os, signal, struct, sys
import _socket, click, locale, re, traceback
@click.command()
@click.option("--fail", is_flag=True)
def work(fail):
    if fail: raise ValueError("no goods")
    return "goods"
def run(*words):
    try: return repr(work.main(list(words), standalone_mode=False))
    except ValueError as problem: return repr(problem)
libc = ctypes.CDLL(None)
def refuse(number, error):
    program = b"".join(struct.pack("HBBI", *line) for line in (
        (0x20, 0, 0, 0),  # load the number of the call
        (0x15, 0, 1, number),  # is it this one?
        (0x06, 0, 0, 0x00050000 | error),  # then it is refused
        (0x06, 0, 0, 0x7FFF0000),
    ))
    held = ctypes.create_string_buffer(program)
    filter = struct.pack("HxxxxxxP", 4, ctypes.addressof(held))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, filter): os._exit(77)
if {warm}: run(), run("--fail")
for number in range({first}, {last}):
    if number in {never}: continue
    told, telling = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(120)
        refuse(number, {error})
        said = run() + " " + run("--fail") + " " + run()
        os.write(telling, said.encode())
        os._exit(3)
    os.close(telling)
    said = os.read(told, 1000)
    os.close(told)
    print(number, os.waitpid(pid, 0)[1], said.decode())
"""
_EPERM, _ENOSYS = 1, 38
# Without these any Python hangs or dies, each time in a different way: writing to
# the pipe, memory, locks, threads, return from a signal handler, exit.
REFUSALS = {
    "EPERM, later": (_EPERM, True, "0"),
    "EPERM, at once": (_EPERM, False, "1"),
    "ENOSYS, at once": (_ENOSYS, False, "0"),
}
_NEVER = (1, 3, 9, 10, 11, 12, 15, 60, 202, 231)


@root
@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of calls are of a machine")
@pytest.mark.parametrize(("error", "warm", "process"), REFUSALS.values(), ids=REFUSALS)
def test_a_task_runs_as_usual_whichever_system_call_is_refused(
    error: int, warm: bool, process: str, tmp_path: Path
) -> None:
    pytest.importorskip("click")
    pytest.importorskip("click")
    source = REFUSED.format(error=error, warm=warm, never=_NEVER, first=0, last=335)
    script = write(tmp_path / "shop.py", source)
    bare, ours = (
        run_program(script, under=under, env={"AUTOTASK_PROCESS": process, "AUTOTASK_DEBUG": None})
        for under in ("bare", "path")
    )
    if " 19712 " in bare.stdout:  # 77
        pytest.skip("no filters here")
    assert bare.stdout.count("'goods'") > 600
    assert ours.stdout.splitlines() == bare.stdout.splitlines()
    assert ours == bare


# --- clocks --------------------------------------------------------------------------------------

CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
/* The clock of the wall jumps with each look at it; the other clocks go on. */
int clock_gettime(clockid_t clock, struct timespec *found) {
    static int (*real)(clockid_t, struct timespec *);
    static long looks;
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, found);
    if (clock == CLOCK_REALTIME) {
        char *jumps = getenv("JUMPS");
        long far = 0;
        for (long at = looks++ % 3; jumps && at >= 0; at--) far = strtol(jumps, &jumps, 10);
        found->tv_sec = jumps && *jumps == '!' ? far : found->tv_sec + far;
    }
    return status;
}
"""
JUMPS = {
    "hours both ways": "18000 -18000 7200",
    "a minute over each hour": "3600 0 -3600",
    "years ahead": "3000000000 0 7000000000",
    "a machine without a clock": "0 0 0!",
    "before the beginning of time": "-90000 -1 -3600!",
}


@pytest.mark.skipif(not LINUX, reason="LD_PRELOAD")
@pytest.mark.parametrize("process", ["0", "1"])
@pytest.mark.parametrize("jumps", JUMPS.values(), ids=JUMPS)
def test_a_jumping_clock_neither_disturbs_a_task_nor_loses_a_run(
    jumps: str, process: str, tmp_path: Path, home: Path
) -> None:
    pytest.importorskip("click")
    library = _compiled(tmp_path, CLOCK)
    between = "import time; len({int(time.time()) // 1800 for _ in range(3)})"
    script = write(tmp_path / "shop.py", TASKS.format(before="", between=between))
    env = {"AUTOTASK_PROCESS": process, "LD_PRELOAD": str(library), "JUMPS": jumps}
    bare, ours = (run_program(script, under=under, env=env) for under in ("bare", "path"))
    assert ours == bare
    found = {line["run"]: line for line in lines(home) if line["event"] == "finished"}
    tasks = [line for line in lines(home) if line.get("framework") == "click"]
    ends = [found[line["run"]] for line in tasks]
    assert sorted(end["status"] for end in ends) == sorted(ALL)
    assert all(0 <= end["duration"] < 60 for end in ends)


def _compiled(folder: Path, source: str) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    (folder / "clock.c").write_text(source)
    words = [compiler, "-shared", "-fPIC", "-o", "clock.so", "clock.c", "-ldl"]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    return folder / "clock.so"


# --- names and locales ---------------------------------------------------------------------------

NAMES = {
    "lines": 'one\n{"event":"finished"}\r\ntwo',
    "marks of the protocol": "a|b#c,d:e@f|#status:success\n_sc|x|0",
    "quotes": "a'b\"c\\d",
    "controls": "\0\1\x1b[31m\x7f\x85\u2028",
    "emoji": "\N{ROCKET} \N{FAMILY}\N{ZERO WIDTH JOINER}",
    "half a character": "\udcff \ud83d \udc80",
    "long": "x" * 10_000,
    "long and wide": "\N{ROCKET}" * 10_000,
    "blank": " ",
}
NAMED = """
import sys
import click
name = {name!a}
@click.command(name)
@click.option("--fail", is_flag=True)
def work(fail):
    if fail: raise ValueError(name)
for words in ([], ["--fail"]):
    group = click.Group("shop", commands={{name: work}})
    try: print(group.main([name, *words], "shop", standalone_mode=False))
    except ValueError as problem: print(ascii(problem))
"""


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_task_with_any_name_is_recorded_and_forges_nothing(
    name: str, tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    pytest.importorskip("click")
    script = write(tmp_path / "shop.py", NAMED.format(name=name))
    env: dict[str, str | None] = {"AUTOTASK_PROCESS": "0"}
    bare, ours = (run_program(script, under=under, env=env) for under in ("bare", "path"))
    assert ours == bare
    assert [(run["task"], run["status"]) for run in runs(home)] == [
        (f"shop.{name}", "success"),
        (f"shop.{name}", "failure"),
    ]
    kinds = [line.partition(":")[0].partition("|")[0] for line in datagrams.lines(wait=5)]
    assert sorted(kinds) == sorted(
        ["autotask.task.started", "autotask.task.runs", "autotask.task.duration", "_sc"] * 2
        + [kinds[-1]]
    )
    assert kinds[-1].startswith("_e{")


LOCALES: dict[str, dict[str, str | None]] = {
    "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "POSIX": {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "ASCII streams": {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"},
    "an unknown one": {"LC_ALL": "xx_YY.UTF-8"},
    "UTF-8 mode": {"PYTHONUTF8": "1", "LC_ALL": "C"},
    "none": {"LC_ALL": None, "LANG": None, "LC_CTYPE": None},
}


@pytest.mark.parametrize("locale", LOCALES.values(), ids=LOCALES)
def test_no_letter_is_lost_in_a_locale_without_utf_8(
    locale: dict[str, str | None], tmp_path: Path, datagrams: Datagrams
) -> None:
    pytest.importorskip("click")
    home = tmp_path / "h\N{LATIN SMALL LETTER E WITH ACUTE}me"
    script = write(tmp_path / "shop.py", TASKS.format(before="", between=""))
    env = {
        **locale,
        "AUTOTASK_HOME": str(home),
        "DD_SERVICE": "k\N{LATIN SMALL LETTER A WITH DIAERESIS}se",
        "AUTOTASK_NAME": "t\N{ROCKET}",
        "AUTOTASK_TAGS": "who:\N{ROCKET},odd:\udcff",
    }
    bare, ours = (run_program(script, under=under, env=env) for under in ("bare", "path"))
    assert ours == bare
    assert [run["status"] for run in runs(home) if run["framework"] == "click"] == ALL
    assert len(datagrams.lines("autotask.task.runs", wait=5)) == 4
