"""The programs of a storm, as they run and die.

Programs of each framework run side by side, alone, under a launcher or with their own parent, some
with forked children or a launcher inside, while their processes are killed at random moments.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import shutil
import signal
import subprocess
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from aftermath import Expected, Truth
from support import LAUNCHER, PYTHON, TEMPLATE

ROOT = Path(__file__).resolve().parent.parent
WAYS = ("path", "launcher", "parent")  # how a program is started
TOOL = Path(PYTHON).with_name("autotask")
_DISK = 32 << 20  # bytes
CONTAINERS = 200  # programs: each takes more than a process
_MANY = 30  # tasks of a program that runs for a while
_CONTAINER = ("unshare", "--fork", "--pid", "--mount-proc", "--uts", "sh", "-c")
NOBODY = "udp://127.0.0.1:9"  # refuses what is sent there
_libc = ctypes.CDLL(None, use_errno=True)
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, see prctl(2)
_NEW_MOUNTS = 0x20000  # CLONE_NEWNS, see unshare(2)

# What each program has in common: a note is one write, past our journal.
_NOTES = """
import atexit, os, sys, time

NAME, END = os.environ["STORM_NAME"], os.environ["STORM_END"]
FILE = os.open(os.environ["STORM_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

def note(word, part, pid=None):
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    os.write(FILE, f"{word} {NAME}-{part} {pid or os.getpid()} {now:.6f}\\n".encode())

def work(part, inside=None):
    note("started", part)
    time.sleep(float(os.environ["STORM_PAUSE"]))
    try:
        if inside is not None: inside()
    finally:
        note("ended", part)

def end():
    if END == "exception": raise ValueError("as planned")
    if END == "exit": sys.exit(3)

def begin(part="process"):
    note("started", part)
    atexit.register(note, "ended", part)
"""
_FUNCTIONS = """
import os, subprocess, sys
import autotask
from notes import NAME, begin, end, note, work

def task(part, inside=None):
    autotask.task(name=f"{NAME}-{part}")(work)(part, inside)

"""
SOURCES = {
    "notes.py": _NOTES,
    "script.py": "from notes import begin, end\nbegin()\nend()\n",
    "script.sh": """
        note() {
            read now idle </proc/uptime
            echo "$1 $STORM_NAME-process $$ $now" >>"$STORM_NOTES"
        }
        note started
        sleep "$STORM_PAUSE"
        note ended
        test "$STORM_END" = success || exit 3
    """,
    "functions.py": _FUNCTIONS
    + "begin()\ntask('outer', lambda: task('inner', lambda: (task('before'), end())))\n",
    "forks.py": _FUNCTIONS
    + """
def fork():
    children = [os.fork() or child(number) for number in (1, 2)]
    for pid in children: os.waitpid(pid, 0)

def child(number):
    task(f"child{number}")
    os._exit(0)

begin()
task("outer", fork)
""",
    "launches.py": _FUNCTIONS
    + f"""
def launch():
    words = [{str(LAUNCHER)!r}, "--name", f"{{NAME}}-inside", sys.executable, "inside.py"]
    inside = subprocess.Popen(words, cwd=os.path.dirname(os.path.abspath(__file__)))
    note("launched", "inside", inside.pid)
    inside.wait()

begin()
task("outer", launch)
""",
    "many.py": _FUNCTIONS + f"begin()\nfor number in range({_MANY}): task(f'turn{{number}}')\n",
    "inside.py": _FUNCTIONS + "begin('inside')\ntask('deep')\n",
    "shop.py": """
        import click
        from notes import NAME, begin, end, work

        @click.group()
        def shop(): pass

        @shop.command(f"{NAME}-command")
        def command(): work("command", end)

        begin()
        shop([f"{NAME}-command"], prog_name="shop")
    """,
    "tasks.py": """
        from invoke import task
        from notes import NAME, begin, end, work

        @task(name=f"{NAME}-invoked")
        def invoked(c): work("invoked", end)

        begin()
    """,
    "dodo.py": """
        from notes import NAME, begin, end, work

        def task_storm():
            return {"basename": f"{NAME}-done", "actions": [lambda: work("done", end)]}

        begin()
    """,
}


class Kind(NamedTuple):
    """A kind of program: its command, and the runs in it."""

    words: tuple[str, ...]
    ends: tuple[str, ...]  # the program is asked for one of them
    runs: dict[str, tuple[str, str | None]]  # part: framework, and the run around
    failing: str | None = None  # the part that fails by itself: those around it are nested
    weight: int = 4

    def expected(self, name: str, end: str) -> dict[str, Expected]:
        """Return the runs of one program if it is not killed."""
        around = list(_around(self.runs, self.failing)) if end != "success" else []
        found = {}
        for part, (framework, parent) in self.runs.items():
            own = end if part == self.failing else "nested" if part in around else "success"
            found[f"{name}-{part}"] = Expected(framework, parent and f"{name}-{parent}", own)
        return found


def _around(runs: dict[str, tuple[str, str | None]], part: str | None) -> Iterator[str]:
    while part is not None:
        yield part
        part = runs[part][1]


_ALL = ("success", "success", "exception", "exit")
_PROCESS = {"process": ("process", None)}
_OUTER = {**_PROCESS, "outer": ("function", "process")}
PROGRAMS = {
    "script.py": Kind((PYTHON, "script.py"), _ALL, dict(_PROCESS), "process"),
    "script.sh": Kind(("sh", "script.sh"), ("success", "exit"), dict(_PROCESS), "process"),
    "functions.py": Kind(
        (PYTHON, "functions.py"),
        _ALL,
        {**_OUTER, "inner": ("function", "outer"), "before": ("function", "inner")},
        "inner",
    ),
    "forks.py": Kind(
        (PYTHON, "forks.py"),
        ("success",),
        {**_OUTER, "child1": ("function", "outer"), "child2": ("function", "outer")},
    ),
    "launches.py": Kind(
        (PYTHON, "launches.py"),
        ("success",),
        {**_OUTER, "inside": ("process", "outer"), "deep": ("function", "inside")},
        weight=2,
    ),
    "shop.py": Kind(
        (PYTHON, "shop.py"), _ALL, {**_PROCESS, "command": ("click", "process")}, "command"
    ),
    "tasks.py": Kind(
        (PYTHON, "-m", "invoke", "--search-root", ".", "{name}-invoked"),
        _ALL,
        {**_PROCESS, "invoked": ("invoke", "process")},
        "invoked",
        2,
    ),
    "dodo.py": Kind(
        (PYTHON, "-m", "doit", "run", "--db-file", "{name}.db", "{name}-done"),
        ("success", "exception"),
        {**_PROCESS, "done": ("doit", "process")},
        "done",
        2,
    ),
    "many.py": Kind(
        (PYTHON, "many.py"),
        ("success",),
        {**_PROCESS, **{f"turn{number}": ("function", "process") for number in range(_MANY)}},
        weight=0,  # only for storms that ask for it
    ),
}


@dataclass
class Program:
    """One program of a storm, and what will happen to it."""

    name: str
    file: str  # in PROGRAMS; empty: `autotask runs`
    way: str
    end: str
    pause: float  # seconds that each task in it sleeps
    victims: tuple[str, ...]  # which processes are killed, one after the other
    moment: float  # when: a share of the time of such programs
    host: str = ""  # the container's
    agent: str = NOBODY
    pid: int = 0
    began: float = 0.0

    def words(self) -> list[str]:
        if self.host:
            return [*_CONTAINER, f'hostname {self.host}; exec "$@"', "sh", *self._words()]
        return self._words()

    def _words(self) -> list[str]:
        if not self.file:
            return [str(TOOL), *(("ship",) if self.end == "ship" else ("runs", "--limit", "1"))]
        words = [word.format(name=self.name) for word in PROGRAMS[self.file].words]
        if self.way == "launcher":
            return [str(LAUNCHER), "--name", f"{self.name}-process", *words]
        return words

    def environment(self, place: Path) -> dict[str, str]:
        found = {
            "PATH": os.environ["PATH"],
            "HOME": str(place),
            "AUTOTASK_HOME": str(place / "home"),
            "AUTOTASK_DEBUG": str(place / "debug.log"),
            "DD_DOGSTATSD_URL": self.agent,
            "STORM_NAME": self.name,
            "STORM_END": self.end,
            "STORM_PAUSE": f"{self.pause:.4f}",
            "STORM_NOTES": str(place / "notes"),
        }
        if self.file and self.way != "launcher":
            found |= {"PYTHONPATH": str(TEMPLATE), "AUTOTASK_NAME": f"{self.name}-process"}
        if self.way == "parent":
            found["AUTOTASK_SUPERVISE"] = "1"
        return found


def programs(kind: str, number: int, seed: int) -> Iterator[Program]:
    """Yield the programs of a storm, and calls of `autotask runs` between them."""
    chance = random.Random(f"{kind} {seed}")
    files, weights = list(PROGRAMS), [each.weight for each in PROGRAMS.values()]
    for serial in range(number):
        file = chance.choices(files, weights)[0]
        way = chance.choice(WAYS if kind in ("plain", "disk") else WAYS[1:])
        if file == "script.sh":  # no Python
            way = "launcher"
        end, pause = chance.choice(PROGRAMS[file].ends), chance.uniform(0, 0.4)
        victims = _victims(kind, chance)
        moment = chance.uniform(0, 0.9)
        host = _host(serial, chance) if kind == "containers" else ""
        yield Program(f"s{serial:04}", file, way, end, pause, victims, moment, host)
        if chance.random() < 0.05:
            victims = ("root",) if chance.random() < 0.3 else ()
            yield Program(f"look{serial:04}", "", "bare", "", 0, victims, moment)
        if host and chance.random() < 0.1:  # other calls are in containers
            end = chance.choice(["runs", "ship"])
            yield Program(f"inside{serial:04}", "", "bare", end, 0, (), moment, host)


def _host(serial: int, chance: random.Random) -> str:
    return "web" if chance.random() < 1 / 3 else f"web-{serial}"


def _victims(kind: str, chance: random.Random) -> tuple[str, ...]:
    """Choose which process of a program is killed: none in every third program."""
    if chance.random() < 1 / 3:
        return ()
    if kind == "containers":
        return ("first",)
    if kind == "launcher":
        return chance.choice(
            [("root",), ("root",), ("root", "command"), ("command", "root"), ("command",)]
        )
    return chance.choice([("command",), ("command",), ("below",)])


class Storm:
    """The programs of a storm, as they run and die."""

    def __init__(
        self, kind: str, coming: Iterator[Program], processes: int, seed: int, place: Path
    ) -> None:
        self.truth = Truth()
        self.place = place
        self._processes = processes
        self._coming = coming
        self._chance = random.Random(seed)
        self._disk = Disk(place / "home", processes) if kind == "disk" else None
        self._living: dict[int, Program] = {}
        self._usual: dict[tuple[str, str], float] = {}  # seconds that a program takes
        self._null = os.open(os.devnull, os.O_RDWR)
        if kind == "containers" and _fails(*_CONTAINER, "hostname web"):
            raise CannotRunError("this machine allows no pid namespaces")
        for name, source in SOURCES.items():
            (place / name).write_text(textwrap.dedent(source))
        (place / "notes").touch()

    def rage(self) -> None:
        """Run all, until the last process is gone."""
        self._adopt()
        while self._start() or self._reap():
            self._turn()
        if self._disk is not None:
            self.truth.full = self._disk.end()
        self.truth.read(self.place / "notes")

    def _adopt(self) -> None:
        os.chdir(self.place)
        _libc.prctl(_SUBREAPER, 1, 0, 0, 0)  # orphans become our children

    def _turn(self) -> None:
        self._reap()
        self._strike()
        if self._disk is not None:
            self._disk.stay()
        time.sleep(0.001)

    def _start(self) -> bool:
        """Start as many programs as there is room for."""
        while len(self._living) < self._processes:
            program = next(self._coming, None)
            if program is None:
                return False
            self._begin(program)
            if self._disk is not None:
                self._disk.turn()
        return True

    def _begin(self, program: Program) -> None:
        words = program.words()
        program.began = time.monotonic()
        program.pid = os.posix_spawnp(
            words[0],
            words,
            program.environment(self.place),
            file_actions=[(os.POSIX_SPAWN_DUP2, self._null, file) for file in (0, 1, 2)],
            setpgroup=0,
        )
        self._living[program.pid] = program
        if program.file:
            kind = PROGRAMS[program.file]
            self.truth.expected |= kind.expected(program.name, program.end)
            if program.way != "path" and not program.host:
                self.truth.launchers[f"{program.name}-process"] = program.pid

    def _reap(self) -> bool:
        """Note which processes died; tell whether any is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            self._ended(pid, status)

    def _ended(self, pid: int, status: int) -> None:
        program = self._living.pop(pid, None)
        if program is not None and os.WIFEXITED(status):
            self._usual[program.file, program.way] = time.monotonic() - program.began

    def _strike(self) -> None:
        """Kill the processes whose time has come."""
        now = time.monotonic()
        for program in list(self._living.values()):
            usual = self._usual.get((program.file, program.way), 0.5)
            if program.victims and program.began + program.moment * usual <= now:
                found = list(self._victims(program, descendants(program.pid)))
                if len(found) == len(program.victims):  # else some have not started yet
                    program.victims = ()
                    for pid in found:
                        self._kill(pid)
                    if program.host:
                        self.truth.gone.add(program.name)

    def _victims(self, program: Program, below: list[int]) -> Iterator[int]:
        """Yield the processes to kill: the first below a launcher is the command."""
        for who in program.victims:
            if who == "root" or (program.way == "path" and (who == "command" or not below)):
                yield program.pid
            elif below:
                yield below[0] if who in ("command", "first") else self._chance.choice(below)

    def _kill(self, pid: int) -> None:
        self.truth.killed.add(pid)
        with contextlib.suppress(ProcessLookupError):  # ended by itself
            os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Return the processes below one, parents first."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                fields = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(name)] = int(fields[1])
    found = [pid]
    for above in found:
        found += [child for child, parent in parents.items() if parent == above]
    return found[1:]


class CannotRunError(Exception):
    """This machine cannot run a kind of storm."""


class Disk:
    """A small disk under a folder, which is full for a third of a storm."""

    def __init__(self, folder: Path, turn: int) -> None:
        folder.mkdir()
        if _libc.unshare(_NEW_MOUNTS) or not _mounted("--make-rprivate", "/"):
            raise CannotRunError("this machine allows no mounts in a separate namespace")
        if not _mounted("-t", "tmpfs", "-o", f"size={_DISK},mode=700", "none", str(folder)):
            raise CannotRunError("this machine mounts no small disk")
        self._ballast = os.open(folder / "ballast", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._turn = turn  # programs that are started in each part
        self._turns = 0
        self._full: list[tuple[float, float]] = []
        self._since: float | None = None

    def turn(self) -> None:
        """Count one more program."""
        self._turns += 1
        if self._turns % self._turn == 0:
            if self._turns // self._turn % 3 == 1:
                self.fill()
            else:
                self.end()

    def fill(self) -> None:
        """Fill the disk."""
        self._since = self._since or time.time()
        self.stay()

    def stay(self) -> None:
        """Fill the space that was freed meanwhile."""
        size = 1 << 20
        while self._since is not None and size:
            try:
                os.write(self._ballast, bytes(size))
            except OSError:
                size //= 2

    def is_full(self) -> bool:
        """Tell whether the disk should be full now."""
        return self._since is not None

    def end(self) -> list[tuple[float, float]]:
        """Free the disk; return the times when it was full, in POSIX seconds."""
        os.ftruncate(self._ballast, 0)
        if self._since is not None:
            self._full.append((self._since, time.time()))
            self._since = None
        return self._full


def unmount(folder: Path) -> None:
    """Unmount the small disk if it exists."""
    if os.path.ismount(folder):
        subprocess.run(("umount", "--lazy", str(folder)), check=True)


def _mounted(*words: str) -> bool:
    return not _fails("mount", *words)


def _fails(*words: str) -> bool:
    return bool(subprocess.run(words, stderr=subprocess.DEVNULL, check=False).returncode)


def keep(place: Path, name: str) -> Path:
    """Keep what a storm left for inspection; return the folder, relative to the checkout."""
    kept = ROOT / "build" / "storm" / name
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(place, kept, symlinks=True, ignore=shutil.ignore_patterns("agent"))
    return kept.relative_to(ROOT)
