"""`make storm`: a small storm of each kind, and that what one leaves is judged rightly."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aftermath
import pytest
from aftermath import Expected, Told, Truth
from support import PYTHON

STORM = Path(__file__).with_name("storm.py")


@pytest.mark.parametrize("kind", ["plain", "launcher", "disk", "containers"])
def test_every_run_of_a_storm_ends_once_and_rightly(kind: str) -> None:
    for framework in ("click", "doit", "invoke"):
        pytest.importorskip(framework)
    words = (PYTHON, STORM, "--kind", kind, "--tasks", "40", "--processes", "8")
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    if done.stdout.startswith("skip"):
        pytest.skip(done.stdout)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.startswith(f"ok   {kind}: 8 processes, 40 tasks, ")
    assert " 0 killed" not in done.stdout


# A program of a launcher, of process 7, with a task that has forked a child, process 8.
TREE: dict[str, tuple[str, str | None, int]] = {
    "process": ("process", None, 7),
    "outer": ("click", "process", 7),
    "child": ("function", "outer", 8),
}
LAUNCHER = 6


class Storm:
    """The lines and notes of that program, if all went well, to be changed."""

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
        """Write the lines; return what is found of them, without the lines."""
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


# What became of that program, and what is to be found wrong with it.
AFTERMATHS: dict[str, tuple[Callable[[Storm], object], list[str]]] = {
    "all well": (lambda storm: None, []),
    "killed": (_killed, []),
    "killed when it had told its end": (_killed_too_late, []),
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
    "a line cut by nobody": (_cut_at_a_page_by_nobody, ["torn"]),
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
    "a failure, though nobody was killed": (
        lambda storm: storm.end("child", "lost"),
        ["lost, not success"],
    ),
    "lost under a living launcher": (_lost, ["lost, not nested or signal"]),
    "a signal that nobody could see": (_child_killed_by_signal, ["signal, not lost or nested"]),
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
        ["not the process that has told of it, 8"],
    ),
    "an unknown run": (lambda storm: storm.truth.expected.pop("child"), ["nobody knows it"]),
    "a mark": (_mark, ["a mark left"]),
}


@pytest.mark.parametrize(("befall", "faults"), AFTERMATHS.values(), ids=AFTERMATHS)
def test_what_a_storm_has_left_is_judged_by_what_was_told(
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


def test_a_note_that_a_kill_has_cut_hides_no_other(tmp_path: Path) -> None:
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
def test_the_index_is_held_against_the_journal(records: list[dict[str, Any]], faults: int) -> None:
    journal = aftermath.Journal()
    begun = {"parent": None, "root": "r", "task": "t", "framework": "click", "pid": 7}
    more = {"host": "vm", "trigger": "cron", "at": "1"}
    journal.add({"event": "started", "run": "r", **begun, **more})
    journal.add({"event": "finished", "run": "r", "at": "2", "status": "failure", "reason": "lost"})
    assert len(aftermath.disagreements(journal, records)) == faults
