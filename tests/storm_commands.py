"""A round of the storm over the commands that read and write a home: `make storm`, kind `tool`.

A round is planned by its seed: the journal that it begins with, which commands run, two to five at
once, which of them SIGKILL, SIGINT or SIGSTOP hits and in which part of their time, and what
happens between them: programs that write runs (and die), an Agent that stops and starts, an index
that is damaged, a segment that `cp` overwrites, a full disk. How the machine schedules it is
chance. At the end, when all is quiet, a few commands run undisturbed. `aftermath_commands` says
what must hold then.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from aftermath import Event, read
from aftermath_commands import Bound, Command, Damage, Faults, History, Put, faults, unsuccessful
from storm_programs import TOOL, CannotRunError, Program, Storm, keep, programs, unmount

from autotask import journal, procfs

_HOUR = 3600.0
_PATIENCE = 60.0  # seconds after which a command counts as hanging, on a busy machine
_HEARS = 15.0  # seconds after which it counts as deaf to SIGINT
_STOPPED = 0.6  # seconds
_WRITERS = 3  # programs at once, beside the commands
_OUR_LINES = 120_000  # bytes, the most that programs and commands may add in a round
_GROUP = {"task": "nightly", "framework": "click", "trigger": "cron", "host": os.uname().nodename}
_BOOT = procfs.identity().rpartition("/")[0]
_INDEX = "index.sqlite3"


class Step(NamedTuple):
    """A step of a round."""

    what: str  # command, program, damage, segment, agent, disk
    how: Any
    quiet: bool = False  # only if no command is running


@dataclass
class Plan:
    """A round, as determined by its seed."""

    seed: str
    width: int  # commands at once
    disk: bool  # a small one
    is_calm: bool  # nothing is killed, and the Agent always listens
    unix: bool  # the Agent listens at a socket file, else at a port
    bound: Bound
    runs: int  # in each segment
    hours: list[int]  # how long ago the segments were written
    steps: list[Step] = field(default_factory=list)


_FOLLOW = ("ship", "--follow")
_EVERY = ("runs", "--all", "--format", "jsonl", "--limit", "0")
_LAST = (("ship",), _EVERY, ("prune", "{bound}"), _EVERY, _EVERY)  # the last one without an index
# With their weights. The round fills in {bound} and {run}.
_COMMANDS: dict[tuple[str, ...], int] = {
    ("runs",): 3,
    _EVERY: 5,
    ("runs", "--status", "failure", "--since", "24h", "--format", "csv"): 2,
    ("tasks",): 3,
    ("tasks", "--format", "jsonl"): 1,
    ("show", "{run}"): 2,
    ("prune", "{bound}"): 6,
    ("ship",): 3,
    _FOLLOW: 2,
    ("monitors", "export"): 1,
}
_STRIKES = {None: 9, signal.SIGKILL: 6, signal.SIGINT: 5, signal.SIGSTOP: 1}
_DAMAGES = ("page", "page", "bytes", "head", "whole", "cut", "gone", "rows", "text", "wal")
_QUIET = ("old", "rows", "text")  # damage that only careful editing makes
# After these an index may be wrong without a sign of it.
_UNSEEN = ("bytes", "rows", "wal")
_SEGMENTS = ("other", "longer", "shorter", "edited", "anew")


def planned(seed: str) -> Plan:
    """Make the plan of a round."""
    chance = random.Random(seed)
    bound = chance.choices(list(Bound), [7, 2, 2])[0]
    plan = Plan(
        seed,
        width=chance.randint(2, 5),
        disk=chance.random() < 0.2,
        is_calm=chance.random() < 0.15,
        unix=chance.random() < 0.5,
        bound=bound,
        runs=chance.choice([150, 300, 300, 600, 1500]),
        hours=sorted(chance.sample(range(3, 60), chance.randint(2, 5))),
    )
    serial = 0
    for number in range(chance.randint(6, 10)):
        for _ in range(2):
            if chance.random() < 0.45:
                plan.steps.append(_trouble(chance, serial))
                serial += 1
        plan.steps.append(Step("command", _command(chance, number)))
    if chance.random() < 0.3:
        for place in (len(plan.steps) // 3, len(plan.steps)):  # the copy is made, then restored
            plan.steps.insert(place, Step("damage", "old", quiet=True))
    if plan.is_calm:
        plan.steps = [_calm(step) for step in plan.steps if step.what not in ("agent", "disk")]
    return plan


def _calm(step: Step) -> Step:
    """Make a step kill no process."""
    if step.what == "command":
        step.how.strike = signal.SIGTERM if step.how.words == _FOLLOW else None
    elif step.what == "program":
        step.how.victims = ()
    return step


def _command(chance: random.Random, number: int) -> Command:
    words = chance.choices(list(_COMMANDS), list(_COMMANDS.values()))[0]
    strike = chance.choices(list(_STRIKES), list(_STRIKES.values()))[0]
    moment = chance.uniform(0.5, 1.1) if chance.random() < 0.7 else chance.uniform(0.0, 0.6)
    at_copy = words[0] == "prune" and chance.random() < 0.4
    if words == _FOLLOW and strike is None:
        strike = signal.SIGTERM
    return Command(number, words, strike, moment, at_copy, is_read=chance.random() < 0.9)


def _trouble(chance: random.Random, serial: int) -> Step:
    what = chance.choices(["program", "damage", "segment", "agent", "disk"], [6, 3, 2, 2, 2])[0]
    if what == "program":
        return Step(what, _writer(chance, serial))
    if what == "damage":
        how = chance.choice(_DAMAGES)
        return Step(what, how, how in _QUIET or chance.random() < 0.3)
    if what == "segment":
        return Step(what, chance.choice(_SEGMENTS), chance.random() < 0.5)
    return Step(what, chance.random() < 0.5)


def _writer(chance: random.Random, serial: int) -> Program:
    """Choose a program that writes runs while commands are running."""
    seed = chance.getrandbits(32)
    light = (one for one in programs("plain", 50, seed) if one.file.endswith((".sh", "s.py")))
    program = next(one for one in light if one.file not in ("tasks.py", ""))
    program.name = f"s{serial:04}"
    if chance.random() < 0.3:
        program.file, program.end, program.pause = "many.py", "success", 0.01
    else:
        program.pause /= 4
    return program


class Agent:
    """A Datadog Agent that can stop listening and start again."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._port = 0
        self._ear: socket.socket | None = None
        self.lines: list[str] = []
        self.has_left = False
        self.come()
        self.url = f"unix://{path}" if path else f"udp://127.0.0.1:{self._port}"

    def come(self) -> None:
        """Listen at the same address as before."""
        if self._ear is not None:
            return
        if self._path:
            self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._path.unlink(missing_ok=True)
            self._ear.bind(str(self._path))
        else:
            self._ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._ear.bind(("127.0.0.1", self._port))
            self._port = self._ear.getsockname()[1]
        self._ear.setblocking(False)

    def go(self) -> None:
        """Stop listening; what was not read is lost."""
        self.hear()
        if self._ear is not None:
            self._ear.close()
            self._ear = None
            self.has_left = True

    def is_away(self) -> bool:
        """Tell whether it is not listening now."""
        return self._ear is None

    def hear(self) -> None:
        """Read what has come."""
        with contextlib.suppress(BlockingIOError):
            while self._ear is not None:
                self.lines += self._ear.recv(1 << 16).decode().split("\n")


class Round(Storm):
    """A round in progress."""

    def __init__(self, plan: Plan, place: Path) -> None:
        super().__init__("disk" if plan.disk else "plain", iter(()), _WRITERS, 0, place)
        self.plan = plan
        self.home = place / "home"
        self.agent = Agent(place / "agent" if plan.unix else None)
        self.history = History(plan.bound, place, plan.is_calm)
        self.counts: Counter[str] = Counter()
        self._chance = random.Random(plan.seed + " carried out")
        self._at_work: dict[int, Command] = {}
        self._stopped: dict[int, float] = {}  # until when
        self._typical: dict[tuple[str, ...], float] = {}  # seconds
        self._copy: Path | None = None  # of the index
        self._hour = time.time() // _HOUR * _HOUR
        for name in ("tmp", "said", "recent/journal", "put/journal", "home/journal", "home/open"):
            (place / name).mkdir(parents=True, exist_ok=True)
        self._ids = random.Random(plan.seed + " ids")
        self._write_journal()

    # The journal at the beginning of a round, and how `cp` changes it.

    def _write_journal(self) -> None:
        texts = {hours: self._segment(hours, self.plan.runs) for hours in self.plan.hours}
        for hours, lines in texts.items():
            self._put(self._name(hours), b"".join(lines))
        steps = [step for step in self.plan.steps if step.what == "segment"]
        self._replacements = [self._replacement(step.how, texts) for step in steps]
        for age in (50, 40, 30, 20, 10, 5):
            at = time.time() - age * 60
            both = self._run(at, f"owed-{age}", "success", True, self._ids.random() < 0.5)
            for folder in (self.home, self.place / "recent"):
                with (folder / "journal" / journal.segment(at)).open("ab") as file:
                    file.writelines(both)
        self.history.bound_size = self._bound_size()

    def _segment(self, hours: int, runs: int) -> list[bytes]:
        """Write the lines of a segment: mostly successes, failures, and some without an end."""
        chance, begin = self._ids, self._hour - hours * _HOUR
        share = chance.uniform(0.6, 0.95)
        lines: list[bytes] = []
        for number in range(runs):
            at = begin + number * (_HOUR - 10) / runs
            status = "success" if chance.random() < share else chance.choice(["failure", "skipped"])
            is_owed = number % 50 == 0
            task = f"old-{hours}-{chance.getrandbits(32)}" if is_owed else f"task{number % 9}"
            started, finished = self._run(at, task, status, is_owed)
            if number % 83 == 7:
                started = b'{"event":"started","run":"' + started  # what a full disk leaves
            lines += (started,) if number % 97 == 5 else (started, finished)
        return lines

    def _run(
        self, at: float, task: str, status: str, is_end_owed: bool, is_start_owed: bool = False
    ) -> tuple[bytes, bytes]:
        run = f"{self._ids.getrandbits(64):016x}"
        who = {"pid": 99999999, "process": f"{_BOOT}/1", "python": "3.12.1"}
        started: Event = {"event": "started", "run": run, "root": run, "parent": None}
        started |= {"at": journal.moment(at), **_GROUP, "task": task, **who}
        finished: Event = {"event": "finished", "run": run, "root": run}
        finished |= {"at": journal.moment(at + 1), "status": status}
        if status == "failure":
            error = {"type": "ValueError", "message": "as planned", "where": "shop.py:7"}
            finished |= {"reason": "exception", "error": error}
        finished |= {"duration": 1.25, "cpu": 0.125, "max_rss": 9_000_000}
        return _line(started, is_start_owed), _line(finished, is_end_owed)

    def _name(self, hours: int) -> str:
        return journal.segment(self._hour - hours * _HOUR)

    def _put(self, name: str, text: bytes, anew: bool = False) -> None:
        """Write a segment as `cp` does: over the content of the same file."""
        (self.place / "put" / "journal" / name).write_bytes(text)
        path = self.home / "journal" / name
        began = time.monotonic()
        if anew:
            path.unlink(missing_ok=True)
        path.write_bytes(text)
        self.history.puts.append(Put(name, began, time.monotonic(), text))

    def _bound_size(self) -> int:
        """Return the size that dropping successes alone can reach, whatever segments exist."""
        size = sum(len(put.text) for put in self.history.puts)
        if self.plan.bound is Bound.HARSH:
            return int(size * self._chance.uniform(0.05, 0.5))
        kept: dict[str, int] = {}
        texts = [(put.name, put.text) for put in self.history.puts]
        for name, text in [*texts, *((name, text) for name, text, _ in self._replacements)]:
            kept[name] = max(kept.get(name, 0), unsuccessful(text))
        return _OUR_LINES + sum(kept.values())

    def _replacement(self, how: str, texts: dict[int, list[bytes]]) -> tuple[str, bytes, bool]:
        """Choose the new content of a segment: something of another size."""
        hours = self._ids.choice(self.plan.hours)
        old = texts[hours]
        lines = self._segment(hours, self._ids.choice([1, 2]) * self.plan.runs + 3)
        if how == "longer":
            lines = [*old, *lines[:100]]
        elif how == "shorter":
            lines = old[: len(old) // 2]
        elif how == "edited":  # begins as it did
            lines = [*old[:2], *lines]
        if sum(map(len, lines)) == sum(map(len, old)):
            lines.append(b'{"event":"paused","run":"0000000000000000"}\n')
        texts[hours] = lines
        return self._name(hours), b"".join(lines), how == "anew"

    def _replace(self) -> None:
        """Write over a segment."""
        if self._disk is not None:
            self._disk.end()
        self._put(*self._replacements[self.counts["replaced"]])
        self.counts["replaced"] += 1

    # The steps.

    def rage(self) -> None:
        """Carry out the plan until all is quiet; then judge, undisturbed."""
        self._adopt()
        for step in self.plan.steps:
            while not self._may(step):
                self._turn()
            self._carry_out(step)
        self._calm_down()
        for number, words in enumerate(_LAST):
            if number == len(_LAST) - 1:
                (self.home / _INDEX).unlink(missing_ok=True)
            self._begin_command(Command(100 + number, words, is_last=True))
            self._calm_down()
            self.history.journals.append(read(self.home))
            self.history.sizes.append(sum(self._sizes().values()))
        old = {put.name for put in self.history.puts}
        added = [size for name, size in self._sizes().items() if name not in old]
        assert sum(added) <= _OUR_LINES, added  # else dropping successes could not keep the bound
        self.truth.read(self.place / "notes")
        self.counts["SIGKILL"] += len(self.truth.killed)
        self.counts["runs"] = len(self.history.journals[0].started)

    def _sizes(self) -> dict[str, int]:
        return {path.name: path.stat().st_size for path in self.home.glob("journal/*.jsonl")}

    def _calm_down(self) -> None:
        """Wait for the end of everything that runs, with the Agent listening."""
        if self._disk is not None:
            self.truth.full = self._disk.end()
        self.agent.come()
        while self._at_work or self._living or self._reap():
            self._turn()

    def _may(self, step: Step) -> bool:
        if step.what == "command":
            return len(self._at_work) < self.plan.width
        if step.what == "program":
            return len(self._living) < _WRITERS
        return not (step.quiet and self._at_work)

    def _carry_out(self, step: Step) -> None:
        if step.what == "command":
            self._begin_command(step.how)
        elif step.what == "program":
            step.how.agent = self.agent.url
            self._begin(step.how)
        elif step.what == "damage":
            self._damage(step.how)
        elif step.what == "segment":
            self._replace()
        elif step.what == "agent":
            self.agent.come() if step.how else self.agent.go()
        elif self._disk is not None:
            self._disk.fill() if step.how else self._disk.end()

    def _turn(self) -> None:
        self.agent.hear()
        self._strike_commands()
        super()._turn()

    def _is_full(self) -> bool:
        return self._disk is not None and self._disk.is_full()

    # The commands.

    def _begin_command(self, command: Command) -> None:
        command.began = time.monotonic()
        command.agent_away = self.agent.is_away()
        command.full = self._is_full()
        command.words = tuple(self._filled(command.words))
        said = self.place / "said"
        out, err = said / f"{command.number}.out", said / f"{command.number}.err"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        reading, writing = os.pipe()
        os.close(reading)
        command.pid = os.posix_spawn(
            TOOL,
            [str(TOOL), *command.words],
            self._environment(),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, self._null, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(out), flags, 0o600)
                if command.is_read
                else (os.POSIX_SPAWN_DUP2, writing, 1),
                (os.POSIX_SPAWN_OPEN, 2, str(err), flags, 0o600),
            ],
            setpgroup=0,
            setsigdef=[signal.SIGINT, signal.SIGPIPE],
        )
        os.close(writing)
        self._at_work[command.pid] = command
        self.history.commands.append(command)
        self.counts["commands"] += 1

    def _filled(self, words: tuple[str, ...]) -> Iterator[str]:
        for word in words:
            if word == "{bound}" and self.plan.bound is Bound.KEEP:
                yield from ("--keep", f"{self.history.keep_hours}h")
            elif word == "{bound}":
                yield from ("--max-size", str(self.history.bound_size))
            else:
                yield self._some_run() if word == "{run}" else word

    def _some_run(self) -> str:
        """Return a run that is or was in the journal."""
        starts = self._chance.choice(self.history.puts).starts
        return self._chance.choice([*starts])

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.place),
            "TMPDIR": str(self.place / "tmp"),
            "AUTOTASK_HOME": str(self.home),
            "AUTOTASK_DEBUG": str(self.place / "debug.log"),
            "DD_DOGSTATSD_URL": self.agent.url,
        }

    def _strike_commands(self) -> None:
        now = time.monotonic()
        for command in list(self._at_work.values()):
            command.agent_away |= self.agent.is_away()
            command.full |= self._is_full()
            if command.pid in self._stopped:
                if self._stopped[command.pid] <= now:
                    del self._stopped[command.pid]
                    os.kill(command.pid, signal.SIGCONT)
            elif command.strike is not None and self._is_due(command, now):
                self._hit(command, now)
            elif command.struck == signal.SIGINT and now > command.struck_at + _HEARS:
                self._give_up(command, "deaf to Ctrl-C")
            elif now > command.began + _PATIENCE:
                self._give_up(command, "hangs")

    def _is_due(self, command: Command, now: float) -> bool:
        usual = self._typical.get(command.kind, 0.25)
        if command.words[:2] == _FOLLOW:
            usual = 0.8
        late = command.began + command.moment * usual <= now
        if command.at_copy:
            return late and (any(self.home.glob("journal/.*")) or now > command.began + 2 * usual)
        return late

    def _hit(self, command: Command, now: float) -> None:
        strike, command.strike = command.strike, None
        assert strike is not None
        os.kill(command.pid, strike)
        if strike == signal.SIGSTOP:
            self._stopped[command.pid] = now + _STOPPED
            if command.words[:2] == _FOLLOW:
                command.strike, command.moment = signal.SIGTERM, 2.0
        else:
            command.struck, command.struck_at = strike, now
        self.counts[strike.name] += 1

    def _give_up(self, command: Command, why: str) -> None:
        if not command.given_up:
            command.given_up = why
            os.kill(command.pid, signal.SIGKILL)

    def _ended(self, pid: int, status: int) -> None:
        command = self._at_work.pop(pid, None)
        if command is None:
            super()._ended(pid, status)
            return
        self._stopped.pop(pid, None)
        command.ended = time.monotonic()
        command.status = os.waitstatus_to_exitcode(status)
        if command.struck is None:
            self._typical[command.kind] = command.ended - command.began

    # The index.

    def _damage(self, how: str) -> None:
        path = self.home / _INDEX
        if self._is_full() or not path.exists() or not path.stat().st_size:
            return
        damages: dict[str, Callable[[Path], None]] = {
            "page": self._damage_pages,
            "bytes": lambda path: self._scribble(path, self._chance.randint(1, 64)),
            "head": lambda path: _write_at(path, 0, self._chance.randbytes(100)),
            "whole": lambda path: _write_at(path, 0, self._chance.randbytes(path.stat().st_size)),
            "cut": lambda path: os.truncate(path, self._chance.randrange(path.stat().st_size)),
            "gone": lambda path: path.unlink(),
            "old": self._bring_back,
            "rows": lambda path: _change(path, _ROWS, self._chance),
            "text": lambda path: _change(path, _TEXTS, self._chance),
            "wal": self._damage_wal,
        }
        damages[how](path)
        self.counts["damaged"] += 1
        self.history.damages.append(Damage(time.monotonic(), how, how in _UNSEEN))

    def _damage_pages(self, path: Path) -> None:
        for _ in range(self._chance.randint(1, 3)):
            page = self._chance.randrange(path.stat().st_size // 4096 or 1)
            _write_at(path, page * 4096, self._chance.randbytes(4096))

    def _scribble(self, path: Path, size: int) -> None:
        place = self._chance.randrange(path.stat().st_size)
        _write_at(path, place, self._chance.randbytes(size))

    def _damage_wal(self, path: Path) -> None:
        log = path.with_name(path.name + "-wal")
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_size:
                self._scribble(log, 64)

    def _bring_back(self, path: Path) -> None:
        """Restore an old copy of the index if one exists; else make one."""
        names = [path.name + suffix for suffix in ("", "-wal", "-shm")]
        if self._copy is None:
            self._copy = self.place / "copy"
            self._copy.mkdir()
            for name in names:
                if (self.home / name).exists():
                    shutil.copyfile(self.home / name, self._copy / name)
            return
        for name in names:
            (self.home / name).unlink(missing_ok=True)
            if (self._copy / name).exists():
                shutil.copyfile(self._copy / name, self.home / name)


# Edited rows of an index: they are wrong, but the file is not damaged.
_ROWS = (
    "DELETE FROM run WHERE rowid % 3 = {number}",
    "DELETE FROM run WHERE status = 'success'",
    "UPDATE run SET status = 'success' WHERE rowid % 3 = {number}",
    "UPDATE run SET started_bytes = 100000000 WHERE rowid % 7 = {number}",
)
# What every reader recognizes as damage.
_TEXTS = (
    "UPDATE run SET error = '{{' WHERE rowid % 3 = {number}",
    "UPDATE run SET task = CAST(x'ff41' AS TEXT) WHERE rowid % 3 = {number}",
    "UPDATE run SET finished_more = '[' WHERE rowid % 3 = {number}",
    "UPDATE run SET tags = 'x' WHERE rowid % 3 = {number}",
    "DROP INDEX run_by_time",
    "DROP TABLE segment",
    "UPDATE segment SET name = CAST(x'ff' AS TEXT)",
    "PRAGMA user_version = 1",
)


def _change(path: Path, statements: tuple[str, ...], chance: random.Random) -> None:
    with contextlib.suppress(sqlite3.Error):  # it may be damaged already
        connection = sqlite3.connect(path, isolation_level=None)
        with contextlib.closing(connection):
            connection.execute(chance.choice(statements).format(number=chance.randrange(3)))


def _write_at(path: Path, place: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


def _line(event: Event, owed: bool) -> bytes:
    if owed:
        event["unsent"] = True
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


class Outcome(NamedTuple):
    """The result of a round."""

    number: int
    counts: Counter[str]
    found: Faults
    kept: str  # the folder with all of it, if something is wrong


HEAD = (
    *("rounds", "commands", "SIGKILL", "SIGINT", "SIGSTOP", "indexes damaged", "segments replaced"),
    *("runs", "index differs", "lines gone", "told twice or never", "ended wrongly", "files left"),
    "seconds",
)


@dataclass
class Rounds:
    """The results of all rounds."""

    outcomes: list[Outcome]
    seconds: float

    def cells(self) -> tuple[str, ...]:
        """Return a row of the table, in the order of HEAD."""
        counts: Counter[str] = Counter()
        for outcome in self.outcomes:
            counts += outcome.counts
            counts.update({name: len(several) for name, several in vars(outcome.found).items()})
        figures = len(self.outcomes), *(counts[name] for name in _COUNTED), int(self.seconds)
        return tuple(f"{figure:,}" for figure in figures)

    def faults(self) -> Iterator[str]:
        """Yield what is wrong, one fault a line."""
        for outcome in self.outcomes:
            for fault in outcome.found.all():
                yield f"round {outcome.number}: {fault}"
            if outcome.kept:
                yield f"round {outcome.number}: all of it is in {outcome.kept}"


_COUNTED = (
    *("commands", "SIGKILL", "SIGINT", "SIGSTOP", "damaged", "replaced", "runs"),
    *("index", "lost", "told", "ended", "left"),
)


def play_all(seed: int, first: int, number: int, at_once: int) -> Rounds:
    """Play some rounds, several at once, each in its own process; print faults as they come."""
    began = time.monotonic()
    outcomes = []
    with multiprocessing.Pool(at_once, maxtasksperchild=1) as pool:
        for outcome in pool.imap(partial(play, seed), range(first, first + number)):
            outcomes.append(outcome)
            for fault in Rounds([outcome], 0.0).faults():
                print(fault, file=sys.stderr, flush=True)
    return Rounds(outcomes, time.monotonic() - began)


def play(seed: int, number: int) -> Outcome:
    """Play a round; without a small disk if this machine mounts none."""
    plan = planned(f"{seed} {number}")
    with contextlib.suppress(CannotRunError):
        return _played(plan, number)
    plan.disk = False
    return _played(plan, number)


def _played(plan: Plan, number: int) -> Outcome:
    place = Path(tempfile.mkdtemp(prefix="storm-"))
    try:
        played = Round(plan, place)
        played.rage()
        found = faults(played.history, played.truth, played.agent.lines)
        kept = keep(place, f"tool-{number}") if found.all() else ""
    finally:
        os.chdir("/")
        unmount(place / "home")
        shutil.rmtree(place)
    return Outcome(number, played.counts, found, str(kept))
