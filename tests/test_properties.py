"""For any input a line is valid and one line, and nothing raises."""

from __future__ import annotations

import contextlib
import enum
import io
import json
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from support import Tags, a_run, wire_of

from autotask.run import End

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from support import Datagrams
from test_wire import read

from autotask import command_name, failures, homes, journal, masking, naming
from autotask.around import redeliver, sweeping, undelivered
from autotask.guard import guarded
from autotask.run import Outcome, Run, exited, failure, raised
from autotask.settings import Settings, parent_of
from autotask.tool import cli
from autotask.tool.journal import index, opening
from autotask.tool.journal.index import Index
from autotask.tool.journal.record import COLUMNS, from_row

settings.register_profile(
    "autotask",
    deadline=None,  # nothing depends on speed
    max_examples=100,
    database=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("autotask")

# Texts with delimiters of the protocol and of JSON, more often than by chance.
FORGERIES = ["\n", "\r", "|", "#", ",", ":", '"', "\\", "\0", "|c|#a:b\n_sc|x|0", '"}\n{"run":"']
TEXT = st.text() | st.lists(st.sampled_from(FORGERIES) | st.text(max_size=9)).map("".join)
TEXT |= st.text(st.characters(min_codepoint=0xD7F0, max_codepoint=0xE010, categories=["Cs", "Co"]))
LONG = st.builds(lambda text, times: text * times, st.text(max_size=5), st.integers(1, 900))
ANY = TEXT | LONG
SECONDS = st.floats(0, 4e9)  # until 2096
TAGS = st.dictionaries(TEXT, TEXT, max_size=4)
ERROR = st.none() | st.dictionaries(st.sampled_from(["type", "message", "where"]), ANY)
REASONS = st.sampled_from("exception exit usage interrupted signal oom timeout lost nested".split())
FAILURES = st.builds(
    lambda reason, code, name, error: failure(reason, exit_code=code, signal=name, error=error),
    *(REASONS, st.none() | st.integers(), st.none() | TEXT, ERROR),
)
OUTCOMES = FAILURES | st.sampled_from([Outcome("success"), Outcome("skipped")])


def whole(text: str) -> str:
    """Return a text as JSON decodes it: two adjacent surrogates become one character."""
    return json.loads(json.dumps(text))  # type: ignore[no-any-return]


def only_line(line: str) -> dict[str, Any]:
    assert line.isascii()
    assert line.isprintable()
    found = json.loads(line)
    assert json.loads(line, object_pairs_hook=len) == len(found), "a repeated field"
    return found  # type: ignore[no-any-return]


# --- the journal ---------------------------------------------------------------------------------


@given(ANY, TEXT, TEXT, TEXT, TAGS, TEXT, SECONDS)
def test_a_start_is_one_line_with_what_was_given(
    task: str, framework: str, trigger: str, host: str, tags: dict[str, str], env: str, at: float
) -> None:
    run = Run(task, framework)
    run.trigger, run.started = trigger, at
    place = journal.process_fields(1, host, host, "3.12.1", Tags(env, env, env, tags))
    found = only_line(journal.started_line(run, place))
    assert found["event"] == "started"
    told = [found[name] for name in ("task", "framework", "trigger", "host", "process")]
    assert told == [whole(text) for text in (task, framework, trigger, host, host)]
    assert found.get("env", "") == whole(env)
    assert found.get("tags", {}) == {whole(key): whole(value) for key, value in tags.items()}


@given(OUTCOMES, SECONDS, st.none() | SECONDS, st.none() | SECONDS, st.none() | st.integers(0))
def test_an_end_is_one_line_with_what_was_given(
    outcome: Outcome, at: float, duration: float | None, cpu: float | None, max_rss: int | None
) -> None:
    line = journal.finished_line(
        a_run(run_id="0" * 16, root="1" * 16), End(outcome, at, duration, cpu, max_rss)
    )
    for found in (only_line(line), only_line(journal.raised_line("0" * 16, "1" * 16, at, outcome))):
        told = {name: found.get(name) for name in ("reason", "exit_code", "signal")}
        signal = whole(outcome.signal) if outcome.signal else None
        assert told == {
            "reason": outcome.reason,
            "exit_code": outcome.exit_code,
            "signal": signal,
        }
        error = {name: whole(text) for name, text in (outcome.error or {}).items()}
        assert found.get("error", {}) == error


@given(st.lists(st.tuples(ANY, OUTCOMES), max_size=5))
def test_as_many_lines_are_read_as_were_written(runs: list[tuple[str, Outcome]]) -> None:
    with tempfile.TemporaryDirectory() as home:
        notes = journal.Journal(home)
        for task, outcome in runs:
            run = Run(task, "click")
            assert notes.append(journal.started_line(run, '"pid":1'))
            line = journal.finished_line(run, End(outcome, 0))
            assert notes.append(line)
        notes.close()
        found = b"".join(path.read_bytes() for path in sorted(Path(notes.folder).glob("*")))
    assert found.count(b"\n") == len(found.splitlines()) == 2 * len(runs)
    tasks = [json.loads(line).get("task") for line in found.splitlines()]
    assert tasks[::2] == [whole(task) for task, _ in runs]


class Flag(enum.IntFlag):
    ONE = 1


class Odd(int):
    """A number that does not look like one."""

    def __repr__(self) -> str:
        return 'odd","status":"success'

    __str__ = __repr__

    def __format__(self, how: str) -> str:
        return repr(self)

    def __and__(self, other: int) -> int:
        return self


@given(st.none() | st.booleans() | st.integers() | TEXT | st.floats() | st.just(Flag.ONE))
@example(Odd(3))
@example(10**400)
@example(-(10**400))
@example(256)
def test_any_exit_argument_gives_the_exit_status_of_the_system(code: Any) -> None:
    outcome = exited(code)
    line = journal.finished_line(a_run(), End(outcome, 0))
    found = only_line(line)
    assert found["status"] == outcome.status
    assert found.get("exit_code") in (None, *range(1, 256))


# --- what is read from disk ----------------------------------------------------------------------

ID = "0123456789abcdef"
HOST = os.uname().nodename
DEAD = {"process": "b/1/1", "pid": 999_999_999, "host": HOST}  # of a boot of long ago
SOUND: list[dict[str, object]] = [  # what is read, and leads to writes
    {"event": "started", "run": ID, "root": ID, "task": "a", "framework": "click", **DEAD},
    {"event": "started", "run": ID, "root": ID, "task": "a", "framework": "process", **DEAD},
    {"event": "raised", "run": ID, "root": ID, "reason": "exit", "exit_code": 3, "caused_by": ID},
    {"event": "finished", "run": ID, "root": ID, "status": "failure", "unsent": True},
    {"event": "unsent", "run": ID, "root": ID, "of": "started"},
]
MARK: dict[str, object] = {"root": ID, "segment": "", "offset": 0, **DEAD}
LINE_END = '","root":"x"}\n{"event":"finished","run":"'
VALUES = st.none() | st.booleans() | st.integers() | TEXT | st.just(ID[::-1]) | st.just(LINE_END)
NAMES = sorted({name for event in (*SOUND, MARK) for name in event} | {"parent", "at", "error"})


def _spoilt(sound: list[dict[str, object]]) -> st.SearchStrategy[bytes]:
    """Make sound lines in which a field or two are anything; some are not lines at all."""
    spoilt = st.dictionaries(st.sampled_from(NAMES), VALUES | st.lists(VALUES), max_size=2)
    at = journal.moment(time.time() - 60)
    events = st.builds(
        lambda event, more: {"at": at, **event, **more}, st.sampled_from(sound), spoilt
    )
    return events.map(lambda event: json.dumps(event, separators=(",", ":")).encode()) | JUNK


JUNK = st.binary() | TEXT.map(lambda text: text.encode("utf-8", "backslashreplace"))
SEGMENTS = st.lists(_spoilt(SOUND), max_size=6).map(b"\n".join)
MARKS = _spoilt([MARK])


@settings(max_examples=60)
@given(SEGMENTS, st.dictionaries(st.sampled_from(["1-2", "told-1-2"]), MARKS, min_size=1))
def test_every_line_written_has_only_checked_values(
    datagrams: Datagrams, segment: bytes, marks: dict[str, bytes]
) -> None:
    environ = {"DD_DOGSTATSD_URL": datagrams.url}
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOTASK_HOME", home)
        notes = journal.Journal(home)
        before = journal.segment(time.time() - 3600)
        homes.make_folder(notes.folder)
        homes.make_folder(f"{home}/open")
        Path(notes.folder, before).write_bytes(segment + b"\n")
        for name, mark in marks.items():
            Path(home, "open", name).write_bytes(mark)
        wanted = Settings({**environ, "AUTOTASK_HOME": home})
        sweeping.sweep(wanted)
        assert opening.ask(read_all)
        redeliver.ship(undelivered.recent(home), wanted, notes, 0.0)
        notes.close()
        ours = [path for path in Path(notes.folder).iterdir() if path.name != before]
        for line in b"".join(path.read_bytes() for path in ours).splitlines():
            found = only_line(line.decode("ascii"))
            assert all(is_id(found[name]) for name in ("run", "root"))
            assert found.get("caused_by") is None or is_id(found["caused_by"])
            assert type(found.get("exit_code", 0)) is int


# Lines of three runs: two starts of each, and three ends, of which one counts.
LINES = [
    json.dumps({"event": kind, "run": run * 16, "root": run * 16, "at": f"{run}{at}", **more})
    for run in "abc"
    for kind, at, more in (
        ("started", 1, {"task": "early", "tags": {"event": "deploy"}}),
        ("started", 2, {"task": "late", "mood": "good"}),
        ("finished", 3, {"status": "failure", "reason": "lost"}),
        ("finished", 4, {"status": "success", "error": {"type": "none"}}),
        ("finished", 5, {"status": "failure", "reason": "exit", "exit_code": 3}),
    )
]
LINES += ['{"event":"sent","run":"dddd"}', "[1]"]
LINES = [line.replace(": ", ":").replace(", ", ",") for line in LINES]
LINE = st.sampled_from(LINES)
CUT = st.builds(lambda line, end: line[:end], LINE, st.integers(0, 150))
PIECES = st.tuples(LINE.map(str.encode) | CUT.map(str.encode) | JUNK, st.sampled_from([b"\n", b""]))
BYTES = st.lists(PIECES, max_size=5).map(lambda pieces: b"".join(map(b"".join, pieces)))
HOURS = st.sampled_from(["2020-01-01T00", "2020-01-01T01", "2025-06-01T00", "2999-01-01T00"])
DEEDS = st.sampled_from(["append", "append", "write over", "replace", "cut", "remove"])
STEPS = st.lists(st.lists(st.tuples(DEEDS, HOURS, BYTES), min_size=1, max_size=3), max_size=4)


START, END = (LINES[number].encode() for number in (0, 2))
TWICE = [
    ("append", "2020-01-01T01", START + b"\n"),
    ("append", "2025-06-01T00", START + b"\n" + END),
]


@settings(max_examples=50)
@given(STEPS)
@example([TWICE, [("write over", "2020-01-01T01", b"")]])
def test_the_index_always_matches_the_lines_of_a_changing_journal(
    steps: list[list[tuple[str, str, bytes]]],
) -> None:
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home, "journal")
        folder.mkdir()
        for number, step in enumerate(steps):
            for deed, hour, data in step:
                _do(deed, folder / f"{hour}.jsonl", data, number)
            grown, rebuilt = index.open_index(home), index.open_temporary(home)
            with contextlib.closing(grown), contextlib.closing(rebuilt):
                told = runs_of(rebuilt)
                assert runs_of(grown) == told
                assert told == runs_of_lines(folder)


def _do(deed: str, path: Path, data: bytes, number: int) -> None:
    # An overwritten file begins differently: the index compares no more than its beginning.
    data = data if deed == "append" else b"%d\n" % number + data
    if deed == "append":
        with path.open("ab") as file:
            file.write(data)
    elif deed == "write over":
        path.write_bytes(data)
    elif deed == "replace":
        other = path.with_name("other")
        other.write_bytes(data)
        other.replace(path)
    elif deed == "cut" and path.exists():
        os.truncate(path, path.stat().st_size // 2)
    elif deed == "remove":
        path.unlink(missing_ok=True)


def runs_of(opened: Index) -> dict[str, Any]:
    """Return the entry of the index for each run that began or ended."""
    names = ("task", "status", "reason", "exit_code", "tags", "error", "mood")
    rows = opened.rows(f"SELECT {COLUMNS} FROM run")
    return {row[0]: [from_row(row).get(name) for name in names] for row in rows}


def runs_of_lines(folder: Path) -> dict[str, Any]:
    """Read a journal with nothing but json."""
    starts, ends = {}, {}
    for line in b"\n".join(path.read_bytes() for path in folder.iterdir()).split(b"\n"):
        for event in events_of(line.decode("utf-8", "replace")):
            if event["event"] == "started":
                starts[event["run"], event["at"]] = event
            elif event["event"] == "finished":
                ends[event["run"], event.get("reason") == "lost", event["at"]] = event
    told = {}
    for run in {key[0] for key in (*starts, *ends)}:
        start = next((starts[key] for key in sorted(starts) if key[0] == run), {})
        end = next((ends[key] for key in sorted(ends) if key[0] == run), {})
        error = (
            {name: end["error"].get(name) for name in ("type", "message", "where")}
            if "error" in end
            else None
        )
        told[run] = [
            start.get("task"),
            end.get("status", "running"),
            *(end.get("reason"), end.get("exit_code")),
            *(start.get("tags", {}), error, start.get("mood")),
        ]
    return told


def events_of(line: str) -> list[dict[str, Any]]:
    """Return our whole lines in one: it may be torn, with others glued to it."""
    return [json.loads(text) for text in LINES[:-2] if text in line]


SPOILT = st.lists(st.tuples(st.floats(0, 0.999), st.binary(min_size=1, max_size=99)), max_size=20)


@settings(max_examples=25)
@given(SPOILT, st.floats(0.1, 1))
def test_commands_answer_whatever_is_in_the_index(
    spoilt: list[tuple[float, bytes]], length: float
) -> None:
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOTASK_HOME", home)
        segment = Path(home, "journal", "2026-01-01T00.jsonl")
        segment.parent.mkdir()
        segment.write_text("".join(f"{line}\n" for line in LINES))
        index.open_index(home).close()
        path = Path(home, index.FILE)
        data = bytearray(path.read_bytes())
        for place, some in spoilt:
            begin = int(place * len(data))
            data[begin : begin + len(some)] = some
        path.write_bytes(data[: int(length * len(data))])
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            for words in ("runs --format jsonl", "tasks", "show aaaa", "prune"):
                assert cli.main(words.split()) == 0 or words == "show aaaa", said.getvalue()
        lines = [line for line in said.getvalue().splitlines() if "begins with" not in line]
        assert len(lines) <= 1
        assert segment.read_text().splitlines() == LINES


def read_all(opened: Index | None) -> bool:
    assert opened is not None
    for record in map(from_row, opened.rows(f"SELECT {COLUMNS} FROM run")):
        json.dumps(record)
    return True


def is_id(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch("[0-9a-f]{16}", text) is not None


# --- the wire ------------------------------------------------------------------------------------

ENVIRON = {
    name: st.none() | TEXT
    for name in (
        *("AUTOTASK_TAGS", "DD_TAGS", "DD_ENV", "DD_SERVICE", "DD_VERSION", "DD_ENTITY_ID"),
        *("AUTOTASK_IGNORE", "AUTOTASK_FRAMEWORKS", "AUTOTASK_FUNCTIONS", "AUTOTASK_PLUGINS"),
        *("AUTOTASK_PROCESS", "AUTOTASK_DEBUG", "AUTOTASK_EVENTS", "AUTOTASK_PARENT"),
        *("AUTOTASK_HOME", "DD_AGENT_HOST", "DD_DOGSTATSD_PORT", "DD_DOGSTATSD_URL"),
    )
}
TAGGED = st.dictionaries(st.sampled_from([*ENVIRON][:6]), TEXT, max_size=3)
ENVIRONS = st.fixed_dictionaries(ENVIRON).map(
    lambda found: {name: text for name, text in found.items() if text is not None}
)


@given(TAGGED, ANY, TEXT, TEXT, OUTCOMES, SECONDS)
def test_an_end_sends_only_lines_of_its_kinds(
    datagrams: Datagrams,
    environ: dict[str, str],
    task: str,
    framework: str,
    host: str,
    outcome: Outcome,
    duration: float,
) -> None:
    url = datagrams.url
    wire = wire_of({**environ, "DD_DOGSTATSD_URL": url, "AUTOTASK_EVENTS": "1"})
    run = a_run(task, framework)
    datagrams.forget()
    try:
        wire.started(run)
        wire.running(run, duration)
        wire.finished(run, End(outcome, 0.0, duration), host)
    finally:
        wire.close()
    packets = datagrams.received()
    assert all(len(packet) <= 8192 and packet.endswith(b"\n") for packet in packets)
    found = [read(line) for line in datagrams.lines()]
    kinds = ["count", "gauge", "count"]
    if outcome.status != "skipped":
        kinds += ["distribution"]
        if outcome.reason != "nested":
            kinds += ["check"] + ["event"] * (outcome.status == "failure")
    assert [line.kind for line in found] == kinds
    for line in found:
        tags = [tag for tag in line.tags if not tag.startswith("dd.internal.")]  # as it was given
        assert all(len(tag) <= 200 and tag == tag.lower() for tag in tags)


# --- what is read from the environment and the command line --------------------------------------


@given(ENVIRONS)
def test_any_environment_is_accepted(environ: dict[str, str]) -> None:
    found = Settings(environ)
    assert found.destination[0] in ("udp", "unix")
    assert found.process in ("auto", "0", "1")
    found.uses("click")
    found.ignores("nightly")
    run, root, trigger = parent_of(environ)
    assert all(len(word) == 16 and word.isalnum() for word in (run, root) if word is not None)
    assert (run is None) == (trigger is None)


@given(st.lists(st.sampled_from(["-", "--", "-c", "-m", "-Wd", "-X", "-Bm"]) | TEXT, max_size=6))
def test_any_command_line_is_accepted(words: list[str]) -> None:
    naming.task_name(words, command_name.innermost_name)
    naming.python_program(words)
    for command in (words, ["sh", "-c", *words], ["env", *words]):
        assert not command or not command[0] or command_name.name_of(command)
    assert command_name.name_of_line(" ".join(["AUTOTASK_NAME=x", *words]))


# --- errors --------------------------------------------------------------------------------------

SECRET = st.text("abcdefghijkmnopqrstuvwxyz0123456789", min_size=9, max_size=20)
LEAKS = st.sampled_from(
    [
        "postgres://shop:{}@db/orders",
        "redis://:{}@cache",
        "https://{}@host/path",
        "password={}",
        "api_key: '{}'",
        '{{"token": "{}"}}',
        "Authorization: Bearer {}",
        "mysql -u shop -p{} orders",
        "tool --secret {}",
    ]
)


@given(ANY, ANY, LEAKS, SECRET)
def test_a_secret_in_a_message_is_hidden_whatever_surrounds_it(
    before: str, after: str, leak: str, secret: str
) -> None:
    assume(secret not in before + after)
    assume(secret not in masking.WORDS)
    said = failures.masked(f"{before} {leak.format(secret)} {after}")
    assert secret not in said
    assert len(said) <= failures.LONGEST_MESSAGE


@given(st.sampled_from([ValueError, OSError, KeyError, UnicodeError, SystemExit]), st.lists(ANY))
def test_every_exception_has_an_outcome(kind: type[BaseException], words: list[str]) -> None:
    outcome = guarded(raised)(kind(*words))
    assert outcome is not None, "swallowed an error of the agent"
    assert outcome.status in ("success", "failure")
