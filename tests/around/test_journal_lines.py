"""Reading the growing journal: each line once, wherever and whenever it is written."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from support import Tags

from autotask.around import journal_lines
from autotask.around.story import Story
from autotask.around.tail import Tail
from autotask.journal import Journal, finished_line, process_fields, segment, started_line
from autotask.run import End, Run, failure
from autotask.settings import Settings

ROOT = "00000000000000aa"
OLD, NEW = "2026-11-25T03.jsonl", "2026-11-25T07.jsonl"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def add(segment: Path, *texts: str, end: str = "\n") -> None:
    with segment.open("a") as file:
        file.write("".join(f'{{"event":"{text}"}}{end}' for text in texts))


def new_in(reader: journal_lines.Reader) -> list[str]:
    return [event["event"] for line in reader.lines() for event in journal_lines.decode(line)]


# Segments when the reading begins, where it begins, and what is added then: a line
# that is read if it is named "late".
LATE: dict[str, tuple[list[str], str, list[tuple[str, str]]]] = {
    "to the segment where the reading began": (
        [OLD],
        OLD,
        [(NEW, "late"), ("2026-11-25T08.jsonl", "late"), (OLD, "late")],
    ),
    "to one before it": ([OLD, NEW], NEW, [(OLD, "late")]),
    "to a new segment before it: a clock was set back": ([NEW], NEW, [(OLD, "late")]),
    "behind segments of the future: a clock was wrong": (
        ["2031-01-01T00.jsonl", "2031-01-01T01.jsonl"],
        OLD,
        [(OLD, "late"), (NEW, "late"), ("2026-11-25T09.jsonl", "late")],
    ),
}


@pytest.mark.parametrize(("there", "first", "coming"), LATE.values(), ids=LATE)
def test_a_line_is_read_whenever_and_to_whichever_segment_it_is_appended(
    there: list[str], first: str, coming: list[tuple[str, str]], folder: Path
) -> None:
    for name in there:
        add(folder / name, "early")
    reader = journal_lines.Reader(str(folder), (first, 0))
    assert new_in(reader) == ["early" for name in there if name >= first]
    for name, text in coming:
        add(folder / name, text)
        assert new_in(reader) == [text]
        assert new_in(reader) == []


def test_what_was_in_an_older_segment_before_is_not_read(folder: Path) -> None:
    add(folder / OLD, "early", "early")
    add(folder / NEW, "early", "wanted")
    reader = journal_lines.Reader(str(folder), (NEW, len('{"event":"early"}\n')))
    assert new_in(reader) == ["wanted"]


def test_a_rewritten_segment_is_not_read_again(folder: Path) -> None:
    add(folder / OLD, *["early"] * 9)
    reader = journal_lines.Reader(str(folder), (OLD, 0))
    assert len(new_in(reader)) == 9
    (folder / OLD).unlink()
    add(folder / OLD, *["early"] * 3)  # as prune leaves it
    assert new_in(reader) == []
    add(folder / OLD, "late")
    assert new_in(reader) == ["late"]


def test_removed_segments_are_forgotten(folder: Path) -> None:
    reader = journal_lines.Reader(str(folder), (OLD, 0))
    for hour in range(500):
        segment = folder / f"2026-12-{hour // 24 + 1:02}T{hour % 24:02}.jsonl"
        add(segment, "line")
        assert new_in(reader) == ["line"]
        segment.unlink()
    assert new_in(reader) == []
    assert len(reader._offsets) <= 1


def test_a_line_is_whole_without_the_end_that_a_full_disk_refused(folder: Path) -> None:
    reader = journal_lines.Reader(str(folder), (OLD, 0))
    add(folder / OLD, "first")
    add(folder / OLD, "second", end="")
    assert new_in(reader) == ["first", "second"]
    assert new_in(reader) == []
    with (folder / OLD).open("a") as file:
        file.write('\n{"event":"third"}{"event":"fo')
    assert new_in(reader) == ["third"]
    assert new_in(reader) == []
    with (folder / OLD).open("a") as file:
        file.write('urth"}\n')
    assert new_in(reader) == ["fourth"]


def line(event: str, run: str, **fields: object) -> str:
    return json.dumps({"event": event, "run": run, "root": ROOT, **fields}, separators=(",", ":"))


def test_a_tag_called_event_hides_neither_its_line_nor_one_glued_to_it(folder: Path) -> None:
    runs = [Run(name, "click") for name in ("first", "second", "third")]
    place = process_fields(7, "p", "vm", None, Tags(tags={"event": "deploy"}))
    first, second, third = (started_line(run, place) for run in runs)
    (folder / OLD).write_text(f"{first}\n{second}{third}\n")
    story = Story({run.root for run in runs}, str(folder), ("", 0))
    story.catch_up()
    assert [run.task for run in story.open.values()] == ["first", "second", "third"]


def test_a_run_that_ended_after_the_clock_was_set_back_is_not_open(folder: Path) -> None:
    start = {"parent": None, "task": "a", "framework": "click", "process": "p", "pid": 7}
    (folder / NEW).write_text(f"{line('started', ROOT, **start)}\n")
    (folder / OLD).write_text(f"{line('finished', ROOT, status='success')}\n")
    story = Story({ROOT}, str(folder), ("", 0))
    story.catch_up()
    assert story.open == {}


# Ends as a newer autotask may write them.
FUTURE: dict[str, dict[str, object]] = {
    "a status": {"status": "paused"},
    "a status that is not a string": {"status": {"is": "paused"}},
    "a status that is not ASCII": {"status": "pausé"},
    "no status": {},
    "a reason that is no text": {"status": "failure", "reason": ["exit", "timeout"]},
    "several causes": {"status": "failure", "reason": "nested", "caused_by": ["a", "b"]},
    "fields": {"status": "success", "mood": {"good": True}, "of": 7},
}


@pytest.mark.parametrize("end", FUTURE.values(), ids=FUTURE)
def test_an_end_of_the_future_is_an_end(end: dict[str, object], folder: Path) -> None:
    start = {"parent": None, "task": "a", "framework": "click", "process": "p", "pid": 7}
    begun = line("started", ROOT, mood=["good"], **start)
    paused = line("paused", ROOT, status=["odd"])
    (folder / OLD).write_text(f"{begun}\n{paused}\n")
    story = Story({ROOT}, str(folder), ("", 0))
    story.catch_up()
    assert [run.task for run in story.open.values()] == ["a"]
    with (folder / OLD).open("a") as file:
        file.write(f"{line('finished', ROOT, **end)}\n")
    story.catch_up()
    assert story.open == {}


def test_what_is_odd_in_a_line_is_not_handed_on(folder: Path) -> None:
    """It would be written into another line, as it is."""
    (fields,) = journal_lines.decode(
        line("finished", ROOT, status='"', reason="a\\", caused_by="no", of="ok").encode()
    )
    assert [fields[name] for name in ("status", "reason", "caused_by", "of")] == [
        *(None, None, None, "ok")
    ]
    assert journal_lines.decode(line("finished", "no id").encode()) == []


def test_a_command_has_begun_even_if_the_clock_was_set_back_since(home: Path) -> None:
    notes, command = Journal(str(home)), Run("command", "process")
    command.pid = os.getpid()
    place = process_fields(command.pid, "p", "vm")
    notes.append(started_line(command, place))
    future = "2999-01-01T00.jsonl", 100
    tail = Tail(Settings({"AUTOTASK_HOME": str(home)}), notes, future, command, "p")
    tail.catch_up()
    assert tail.has_begun()
    notes.close()


AHEAD = "2999-01-01T00.jsonl"


def test_lines_dated_in_the_future_are_read_first(folder: Path) -> None:
    reader = journal_lines.Reader(str(folder), (OLD, 0))
    for name in (OLD, NEW, AHEAD):
        add(folder / name, name)
    assert new_in(reader) == [AHEAD, OLD, NEW]


def test_correcting_the_clock_during_a_command_hides_no_reason(home: Path) -> None:
    """By the corrected clock an hour has begun since, too."""
    notes, command, inner = Journal(str(home)), Run("command", "process"), Run("inner", "click")
    command.pid, command.clock = os.getpid(), time.monotonic() - 3700
    inner.parent, inner.root = command.id, command.id
    place = process_fields(command.pid, "p", "vm")
    folder = home / "journal"
    folder.mkdir(parents=True)
    for name, lines in {
        AHEAD: [started_line(command, place), started_line(inner, place)],
        segment(time.time() - 3600): [
            finished_line(inner, End(failure("exit", exit_code=3), 0, 1.0))
        ],
    }.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    tail = Tail(Settings({"AUTOTASK_HOME": str(home)}), notes, (AHEAD, 0), command, "p")
    tail.catch_up()
    outcome = tail.close_all(failure("exit", exit_code=3))
    assert (outcome.reason, outcome.caused_by) == ("nested", inner.id)
    notes.close()
