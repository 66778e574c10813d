"""`make storm`: a small storm of each kind, and that its results are judged correctly."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aftermath
import aftermath_commands
import pytest
import storm_commands
from aftermath import Expected, Told, Truth
from aftermath_commands import Bound, Command, Damage, History, Put
from support import INSTALLED, PYTHON

STORM = Path(__file__).with_name("storm.py")


@pytest.mark.parametrize("kind", ["plain", "launcher", "disk", "containers"])
def test_every_run_of_a_storm_ends_once_and_correctly(kind: str) -> None:
    for framework in ("click", "doit", "invoke"):
        pytest.importorskip(framework)
    words = (PYTHON, STORM, "--kind", kind, "--tasks", "40", "--processes", "8")
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    if done.stdout.startswith("skip"):
        pytest.skip(done.stdout)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.startswith(f"ok   {kind}: 8 processes, 40 tasks, ")
    assert " 0 killed" not in done.stdout


def test_a_round_of_commands_leaves_the_expected_state(tmp_path: Path) -> None:
    words = (PYTHON, STORM, "--kind", "tool", "--rounds", "4")
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.startswith("ok   tool: 4 rounds, ")


# A program of a launcher, of process 7, with a task that has forked a child, process 8.
TREE: dict[str, tuple[str, str | None, int]] = {
    "process": ("process", None, 7),
    "outer": ("click", "process", 7),
    "child": ("function", "outer", 8),
}
LAUNCHER = 6


class Storm:
    """The lines and notes of that program after a good run, for tests to change."""

    def __init__(self, place: Path) -> None:
        self.home = place / "home"
        self.truth = Truth()
        self.started: dict[str, dict[str, Any]] = {}
        self.finished: dict[str, dict[str, Any]] = {}
        self.more: list[str] = []
        self.cut = 0  # bytes of a line that were written before all others
        self.truth.launchers["process"] = LAUNCHER
        for name, (framework, parent, pid) in TREE.items():
            self.truth.expected[name] = Expected(framework, parent, "success")
            self.truth.started[name] = self.truth.ended[name] = Told(pid, 100.0)
            where = {"run": f"r-{name}", "root": "r-process", "at": "1970-01-01T00:01:40.000000Z"}
            around = {"parent": parent and f"r-{parent}", "pid": pid, "host": "vm"}
            what = {"task": name, "framework": framework, "trigger": "cron"}
            self.started[name] = {"event": "started", **where, **around, **what}
            self.finished[name] = {"event": "finished", **where, "status": "success"}

    def kill(self, pid: int, *names: str) -> None:
        """Kill a process before the tasks of these names could note their end."""
        self.truth.killed.add(pid)
        for name in names:
            del self.truth.ended[name]

    def end(self, name: str, reason: str, **fields: Any) -> None:
        self.finished[name] |= {"status": "failure", "reason": reason, **fields}

    def faults(self) -> list[str]:
        """Write the lines; return the kinds of faults, without the details."""
        (self.home / "journal").mkdir(parents=True)
        (self.home / "open").mkdir(exist_ok=True)
        events = [*self.started.values(), *self.finished.values()]
        text = "".join(f"{line}\n" for line in [*map(json.dumps, events), *self.more])
        if self.cut:
            torn = '{"event":"finished","fill":"' + "x" * aftermath.PAGE
            text = torn[: self.cut] + text
        segment = self.home / "journal" / "1970-01-01T00.jsonl"
        segment.write_text(text)
        found, _ = aftermath.look(self.truth, self.home)
        return [fault.partition(":")[0] for fault in found.faults()]


def _killed(storm: Storm) -> None:
    storm.kill(7, "outer", "process")
    storm.end("outer", "signal", signal="SIGKILL")
    storm.end("process", "nested", caused_by="r-outer")


def _lost(storm: Storm) -> None:
    _killed(storm)
    storm.end("outer", "lost")


def _killed_too_late(storm: Storm) -> None:
    storm.kill(7)
    storm.end("process", "signal", signal="SIGKILL")


def _child_killed(storm: Storm) -> None:
    storm.kill(8, "child")
    storm.end("child", "lost")


def _child_killed_by_signal(storm: Storm) -> None:
    storm.kill(8, "child")
    storm.end("child", "signal", signal="SIGKILL")


def _launcher_killed(storm: Storm) -> None:
    storm.kill(LAUNCHER)
    storm.end("process", "lost")


def _both_killed(storm: Storm) -> None:
    storm.kill(LAUNCHER)
    _lost(storm)


def _disk_full(storm: Storm) -> None:
    storm.truth.full = [(90.0, 110.0)]
    storm.more = ['{"event":"fini' + json.dumps(storm.finished.pop("child"))]
    storm.end("outer", "lost")
    storm.started.pop("process")


def _disk_full_at_another_time(storm: Storm) -> None:
    _disk_full(storm)
    storm.truth.full = [(300.0, 310.0)]


def _cut_at_a_page(storm: Storm) -> None:
    _killed(storm)
    storm.cut = aftermath.PAGE


def _cut_at_a_page_by_nobody(storm: Storm) -> None:
    storm.cut = aftermath.PAGE


def _cut_within_a_page(storm: Storm) -> None:
    _killed(storm)
    storm.cut = aftermath.PAGE - 1


def _container_killed(storm: Storm) -> None:
    storm.truth.gone |= {"process", "outer", "child"}
    del storm.truth.ended["outer"], storm.truth.ended["process"]
    storm.end("outer", "lost")
    storm.end("process", "nested", caused_by="r-outer")


def _container_killed_and_success(storm: Storm) -> None:
    _container_killed(storm)
    storm.finished["outer"] = {**storm.finished["child"], "run": "r-outer"}
    storm.end("process", "lost")


def _killed_otherwise(storm: Storm) -> None:
    _killed(storm)
    storm.end("outer", "signal", signal="SIGTERM")


def _nested_in_a_success(storm: Storm) -> None:
    _killed(storm)
    storm.end("process", "nested", caused_by="r-child")


def _nested_in_itself(storm: Storm) -> None:
    _killed(storm)
    storm.end("process", "nested", caused_by="r-process")


def _mark(storm: Storm) -> None:
    (storm.home / "open").mkdir(parents=True)
    (storm.home / "open" / "1-empty").touch()
    (storm.home / "open" / "7-r-process").write_text("{}")


# What happened to that program, and the faults to be found.
AFTERMATHS: dict[str, tuple[Callable[[Storm], object], list[str]]] = {
    "all well": (lambda storm: None, []),
    "killed": (_killed, []),
    "killed after it recorded its end": (_killed_too_late, []),
    "a child killed": (_child_killed, []),
    "the launcher killed": (_launcher_killed, []),
    "both killed": (_both_killed, []),
    "a container killed whole": (_container_killed, []),
    "success of a task that was cut off": (
        _container_killed_and_success,
        ["success, not lost or nested"],
    ),
    "the disk full": (_disk_full, []),
    "a line cut by a kill": (_cut_at_a_page, []),
    "a line cut without a kill": (_cut_at_a_page_by_nobody, ["torn"]),
    "a line cut where no kill cuts": (_cut_within_a_page, ["torn"]),
    "no end": (lambda storm: storm.finished.pop("child"), ["no end"]),
    "two ends": (
        lambda storm: storm.more.append(json.dumps(storm.finished["child"])),
        ["finished twice"],
    ),
    "two starts": (
        lambda storm: storm.more.append(json.dumps(storm.started["child"])),
        ["started twice"],
    ),
    "two runs": (
        lambda storm: storm.started.update(more={**storm.started["child"], "run": "r-more"}),
        ["no end", "2 runs of child"],
    ),
    "no run": (
        lambda storm: (storm.started.pop("child"), storm.finished.pop("child")),
        ["no run of child, which has begun"],
    ),
    "no start": (
        lambda storm: storm.started.pop("child"),
        ["no run of child, which has begun", "ended, but never started"],
    ),
    "a torn line": (lambda storm: storm.more.append('{"event":"fin'), ["torn"]),
    "the disk full at another time": (
        _disk_full_at_another_time,
        ["lost, not success", "no run of process, which has begun", "ended, but never started"],
    ),
    "success, though killed": (
        lambda storm: storm.kill(7, "outer"),
        ["success, not nested or signal"],
    ),
    "a failure, though nothing was killed": (
        lambda storm: storm.end("child", "lost"),
        ["lost, not success"],
    ),
    "lost under a living launcher": (_lost, ["lost, not nested or signal"]),
    "a signal that could not be seen": (_child_killed_by_signal, ["signal, not lost or nested"]),
    "another signal": (_killed_otherwise, ["not SIGKILL"]),
    "nested in a success": (_nested_in_a_success, ["not caused by a run inside it"]),
    "nested in itself": (_nested_in_itself, ["not caused by a run inside it"]),
    "another framework": (
        lambda storm: storm.started["child"].update(framework="doit"),
        ["not of function"],
    ),
    "another parent": (
        lambda storm: storm.started["child"].update(parent="r-process"),
        ["not under outer"],
    ),
    "another process": (
        lambda storm: storm.started["child"].update(pid=7),
        ["not the process that noted it, 8"],
    ),
    "an unknown run": (lambda storm: storm.truth.expected.pop("child"), ["it is unknown"]),
    "a mark": (_mark, ["a mark left"]),
}


@pytest.mark.parametrize(("befall", "faults"), AFTERMATHS.values(), ids=AFTERMATHS)
def test_a_storm_is_judged_by_what_was_reported(
    befall: Callable[[Storm], object], faults: list[str], tmp_path: Path
) -> None:
    storm = Storm(tmp_path)
    befall(storm)
    assert storm.faults() == faults


def test_notes_are_read_with_their_time(tmp_path: Path) -> None:
    truth, now = Truth(), time.clock_gettime(time.CLOCK_BOOTTIME)
    notes = tmp_path / "notes"
    notes.write_text(f"started a 7 {now}\nlaunched b 8 {now}\nended a 7 {now + 1}\n")
    truth.read(notes)
    assert (truth.started["a"].pid, truth.launchers) == (7, {"b": 8})
    assert abs(truth.started["a"].at - time.time()) < 60
    assert truth.ended["a"].at - truth.started["a"].at == pytest.approx(1, abs=1e-3)


def test_a_note_cut_by_a_kill_hides_no_other(tmp_path: Path) -> None:
    truth, notes = Truth(), tmp_path / "notes"
    cut = "started a 7 1.5\nended a 7 2", "started b-proc", "ended b-process 8", ""
    notes.write_text("launched c 9 3.5\n".join(cut) + "started d 10 4.5\nended d 10 5.")
    truth.read(notes)
    assert list(truth.started) == ["a", "d"]
    assert list(truth.ended) == []
    assert truth.launchers == {"c": 9}


RECORD = {
    "run": "r",
    "parent": None,
    "root": "r",
    "task": "t",
    "framework": "click",
    "pid": 7,
    "host": "vm",
    "python": None,
    "trigger": "cron",
    "status": "failure",
    "reason": "lost",
    "caused_by": None,
    "exit_code": None,
    "signal": None,
    "duration": None,
    "cpu": None,
    "max_rss": None,
    "started_at": "1",
    "finished_at": "2",
}
INDEXES: list[tuple[list[dict[str, Any]], int]] = [
    ([RECORD], 0),
    ([], 1),
    ([RECORD, RECORD], 1),
    ([RECORD, {**RECORD, "run": "other"}], 1),
    ([{**RECORD, "status": "success"}], 1),
    ([{**RECORD, "finished_at": None}], 1),
]


@pytest.mark.parametrize(("records", "faults"), INDEXES)
def test_the_index_is_compared_with_the_journal(records: list[dict[str, Any]], faults: int) -> None:
    journal = aftermath.Journal()
    begun = {"parent": None, "root": "r", "task": "t", "framework": "click", "pid": 7}
    more = {"host": "vm", "trigger": "cron", "at": "1"}
    journal.add({"event": "started", "run": "r", **begun, **more})
    journal.add({"event": "finished", "run": "r", "at": "2", "status": "failure", "reason": "lost"})
    assert len(aftermath.disagreements(journal, records)) == faults


def test_the_number_of_a_round_determines_what_it_does() -> None:
    plans = [storm_commands.planned(f"1 {number}") for number in (1, 2, 1)]
    assert plans[0] == plans[2] != plans[1]


EVERY = ("runs", "--all", "--format", "jsonl", "--limit", "0")
AGES = {"success": 50, "failure": 40, "endless": 30}  # hours


class Played:
    """What a good round of the storm over the commands left, for tests to change."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.home = place / "home"
        self.history = History(Bound.GENTLE, place, is_calm=False)
        self.told = [_count("owed-5")]
        self.journals = [aftermath.Journal() for _ in range(5)]
        for name in ("home/journal", "home/open", "put/journal", "recent/journal", "said", "tmp"):
            (place / name).mkdir(parents=True)
        text = "".join(_lines(name, hours) for name, hours in AGES.items())
        self.put("1970-01-01T00.jsonl", text.encode())
        (place / "put/journal/1970-01-01T00.jsonl").write_text(text)
        recent = _lines("owed-5", 0, status="success")
        (place / "recent/journal/1970-01-01T09.jsonl").write_text(recent)
        for journal in self.journals:
            for line in (text + recent).splitlines():
                journal.add(json.loads(line))
        self.commands = [
            Command(number, words, began=10.0 + number, ended=10.5 + number, is_last=True)
            for number, words in enumerate([("ship",), EVERY, ("prune",), EVERY, EVERY])
        ]
        self.bound, self.sizes = 900, [1000, 1000, 900, 900, 900]
        self.errors: dict[int, str] = {}
        self.shown: dict[int, list[str]] = {}  # by number of a command: runs

    def put(self, name: str, text: bytes, at: float = 1.0) -> None:
        self.history.puts.append(Put(name, at, at, text))

    def prune(self, *runs: str) -> None:
        """Make the last prune drop runs."""
        for journal in self.journals[2:]:
            for run in runs:
                del journal.started[run]
                journal.finished.pop(run, None)

    def begin(self, *words: str, errors: str = "", **fields: Any) -> None:
        """Add a command that ran before the last ones."""
        number = 10 + len(self.commands)
        self.commands.append(Command(number, words, began=5.0, ended=6.0, **fields))
        self.errors[number] = errors

    def faults(self) -> list[str]:
        """Return the kinds of faults, without the details."""
        for command in self.commands:
            journal = self.journals[command.number if command.number < 5 else 0]
            runs = self.shown.get(command.number, list(journal.started))
            records = [json.dumps(_record(journal, run)) for run in runs]
            (self.place / "said" / f"{command.number}.out").write_text("\n".join(records))
            errors = self.errors.get(command.number, "")
            (self.place / "said" / f"{command.number}.err").write_text(errors)
        self.history.commands, self.history.journals = self.commands, self.journals
        self.history.bound_size, self.history.sizes = self.bound, self.sizes
        found = aftermath_commands.faults(self.history, Truth(), self.told)
        texts = [fault.partition(":")[0] for fault in found.all()]
        return [text.replace(" --format jsonl --limit 0 (exit 0)", "") for text in texts]


def _count(task: str, value: int = 1) -> str:
    return f"autotask.task.runs:{value}|c|#task:{task},framework:click"


def _lines(name: str, hours: float, status: str = "") -> str:
    at = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(time.time() - hours * 3600))
    both = [{"event": "started", "run": name, "task": name, "at": at}]
    if name != "endless":
        both.append({"event": "finished", "run": name, "at": at, "status": status or name})
    return "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in both)


def _record(journal: aftermath.Journal, run: str) -> dict[str, Any]:
    started, finished = journal.started.get(run, {}), journal.finished.get(run, {})
    names = {*RECORD} - {"started_at", "finished_at"}
    record = {name: finished.get(name, started.get(name)) for name in names}
    return {
        **record,
        "run": run,
        "started_at": started.get("at"),
        "finished_at": finished.get("at"),
    }


def _is_calm(played: Played) -> None:
    played.history.is_calm, played.told = True, []


def _is_harsh(played: Played, *runs: str, bound: int = 700) -> None:
    played.history.bound, played.bound = Bound.HARSH, bound
    played.sizes[2] = 700
    played.prune(*runs)


def _is_kept(played: Played, hours: int, *runs: str) -> None:
    played.history.bound, played.history.keep_hours = Bound.KEEP, hours
    played.prune(*runs)


def _loses_an_end(played: Played) -> None:
    for journal in played.journals[2:]:
        del journal.finished["failure"]


def _loses_a_start(played: Played) -> None:
    for journal in played.journals[2:]:
        del journal.started["success"]


def _differs(played: Played, number: int) -> None:
    played.shown[number] = ["success", "failure", "owed-5"]


def _differs_unseen(played: Played, number: int) -> None:
    played.history.damages.append(Damage(2.0, "rows", unseen=True))
    played.shown[number] = ["success", "failure", "endless", "owed-5", "owed-5"]


def _is_replaced(played: Played, at: float) -> None:
    """Show a run of a segment that was written over, to a command that ran at 5.0 to 6.0."""
    played.history.puts.insert(0, Put("1970-01-01T00.jsonl", 0.5, 0.5, _lines("old", 9).encode()))
    played.history.puts[1:] = [Put("1970-01-01T00.jsonl", at, at, played.history.puts[1].text)]
    played.begin(*EVERY)
    played.shown[15] = ["old", "success", "failure", "endless", "owed-5"]


def _shows(played: Played, *runs: str) -> None:
    played.begin(*EVERY)
    played.shown[15] = list(runs)


def _leaves(played: Played, name: str) -> None:
    (played.home / name).write_text("{}")


_CLI = INSTALLED / "autotask" / "tool" / "cli.py"
_OURS = f'Traceback\n  File "{_CLI}", line 3, in x\nKeyboardInterrupt\n'
_EARLY = (
    f'Traceback\n  File "{_CLI}", line 7, in <module>\n    from autotask.tool import interrupts\n'
)
_FOREIGN = 'Traceback\n  File "<frozen site>", line 3, in <module>\nKeyboardInterrupt\n'
_INT, _KILL, _TERM = signal.SIGINT, signal.SIGKILL, signal.SIGTERM
_TWICE = ["1 things sent twice"]
# What happened in that round, and the faults to be found.
ROUNDS: dict[str, tuple[Callable[[Played], object], list[str]]] = {
    "all well": (lambda played: None, []),
    "a success pruned": (lambda played: played.prune("success"), []),
    "a failure pruned": (
        lambda played: played.prune("failure"),
        ["1 runs are gone that had to stay", "1 failures went, and 1 others stay"],
    ),
    "a run without an end pruned": (
        lambda played: played.prune("endless"),
        ["1 runs are gone that had to stay"],
    ),
    "a run of this hour pruned": (
        lambda played: played.prune("owed-5"),
        ["1 runs are gone that had to stay"],
    ),
    "more pruned than asked for": (
        lambda played: _is_harsh(played, "success", "failure", bound=990),
        ["2 runs went, more than asked for"],
    ),
    "less pruned than asked for": (
        lambda played: _is_harsh(played, "success", bound=500),
        ["1 runs stay, the journal is over its bound"],
    ),
    "an end gone": (_loses_an_end, ["1 runs have lost their end"]),
    "a start gone": (_loses_a_start, []),
    "failures pruned after successes": (
        lambda played: _is_harsh(played, "success", "failure"),
        [],
    ),
    "failures pruned before successes": (
        lambda played: _is_harsh(played, "failure"),
        ["1 failures went, and 1 others stay"],
    ),
    "the older ones pruned": (lambda played: _is_kept(played, 45, "success"), []),
    "none pruned by age": (
        lambda played: _is_kept(played, 45),
        ["1 runs stay that are older than asked for"],
    ),
    "younger ones pruned": (
        lambda played: _is_kept(played, 45, "success", "failure"),
        ["1 runs are gone that had to stay"],
    ),
    "the index as it has grown differs": (
        lambda played: _differs(played, 3),
        ["1 differences of the index, as it has grown, after #3 autotask runs --all"],
    ),
    "the rebuilt index differs": (
        lambda played: _differs(played, 4),
        ["1 differences of the index, rebuilt, after #4 autotask runs --all"],
    ),
    "invisible damage": (lambda played: _differs_unseen(played, 3), []),
    "damage that outlives the index": (
        lambda played: _differs_unseen(played, 4),
        ["1 differences of the index, rebuilt, after #4 autotask runs --all"],
    ),
    "a run shown while its segment was written over": (
        lambda played: _is_replaced(played, 5.5),
        [],
    ),
    "a run shown that was gone": (
        lambda played: _is_replaced(played, 4.5),
        ["1 runs shown that are gone by #15 autotask runs --all"],
    ),
    "a run not shown": (
        lambda played: _shows(played, "success", "endless", "owed-5"),
        ["1 runs not shown by #15 autotask runs --all"],
    ),
    "a success not shown, which may be pruned": (
        lambda played: _shows(played, "failure", "endless", "owed-5"),
        [],
    ),
    "a run shown twice": (
        lambda played: _shows(played, "success", "failure", "endless", "owed-5", "owed-5"),
        ["#15 autotask runs --all shows owed-5 twice"],
    ),
    "a run sent twice": (
        lambda played: played.told.append(_count("owed-5")),
        _TWICE,
    ),
    "a run counted twice in one datagram": (
        lambda played: played.told.append(_count("old-3-1", 2)),
        _TWICE,
    ),
    "several runs of a task sent": (lambda played: played.told.append(_count("task3", 2)), []),
    "an event sent twice": (
        lambda played: played.told.extend(["_e{1,1}:task failed: s0001-process|x"] * 2),
        _TWICE,
    ),
    "sent by two kinds of events": (
        lambda played: played.told.extend(
            ["_e{1,1}:runs reported late: old-3-1|x", "_e{1,1}:task failed: old-3-1|x"]
        ),
        _TWICE,
    ),
    "never sent, though calm": (_is_calm, ["1 things never sent"]),
    "never sent, and something died": (lambda played: played.told.clear(), []),
    "a file left": (lambda played: _leaves(played, "journal/.prune"), ["left"]),
    "a mark left": (lambda played: _leaves(played, "open/7-r"), ["a mark left"]),
    "an index": (lambda played: _leaves(played, "index.sqlite3"), []),
    "a swallowed error of the agent": (
        lambda played: (played.place / "debug.log").write_text("autotask: swallowed x"),
        ["autotask"],
    ),
}


# How a command ended, what it printed, and whether that is allowed.
ENDS: list[tuple[tuple[str, ...], dict[str, Any], str, bool]] = [
    (("runs",), {}, "", True),
    (("runs",), {}, "autotask: the index was damaged and was rebuilt\n", True),
    (("runs",), {}, "autotask: a\nautotask: b\nautotask: c\nautotask: d\n", False),
    (("runs",), {}, "DeprecationWarning: no\n", False),
    (("runs",), {"status": 1}, _OURS, False),
    (("runs",), {"status": 1}, "", False),
    (("runs",), {"status": 1}, "autotask: run the command again\n", False),
    (("runs",), {"status": 1, "full": True}, "autotask: No space left on device\n", True),
    (("runs",), {"status": 2}, "autotask: no such option\n", False),
    (("runs",), {"status": -11}, "", False),
    (("runs",), {"status": 130, "struck": _INT}, "", True),
    (("runs",), {"status": 130}, "", False),
    (("runs",), {"status": -2, "struck": _INT}, _FOREIGN, True),
    (("runs",), {"status": -2, "struck": _INT}, _OURS, False),
    (("runs",), {"status": -2, "struck": _INT}, _EARLY, True),
    (("runs",), {"status": -2, "struck": _INT}, _EARLY + _OURS, False),
    (("runs",), {"status": -2, "struck": _INT}, _EARLY.replace("interrupts", "runs"), False),
    (("runs",), {"status": 1}, _FOREIGN, False),
    (("runs",), {"status": -9, "struck": _KILL}, "", True),
    (("runs",), {"status": -9, "struck": _KILL, "given_up": "hangs"}, "", False),
    (("ship", "--follow"), {"struck": _TERM}, "", True),
    (("ship", "--follow"), {"struck": _TERM, "status": -15}, "", True),
    (("ship", "--follow"), {"struck": _TERM, "status": 1}, _OURS, False),
    (("ship",), {"status": 1, "agent_away": True}, "autotask: nothing is listening at a:1\n", True),
    (("ship",), {"status": 1}, "autotask: nothing is listening at a:1\n", False),
    (("prune",), {"status": 1}, "autotask: another prune is running\n", True),
    (("show", "ab"), {"status": 1}, "autotask: no run begins with ab\n", True),
]


@pytest.mark.parametrize(("words", "fields", "errors", "may"), ENDS)
def test_a_command_may_end_only_by_its_own_rules(
    words: tuple[str, ...], fields: dict[str, Any], errors: str, may: bool, tmp_path: Path
) -> None:
    played = Played(tmp_path)
    played.begin(*words, errors=errors, **fields)
    assert len(played.faults()) == (not may)


@pytest.mark.parametrize(("befall", "faults"), ROUNDS.values(), ids=ROUNDS)
def test_a_round_is_judged_by_what_was_done(
    befall: Callable[[Played], object], faults: list[str], tmp_path: Path
) -> None:
    played = Played(tmp_path)
    befall(played)
    assert played.faults() == faults
