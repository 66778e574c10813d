"""The lines of the Ruby half are those of the Python half, byte by byte, for any input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hypothesis")

from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruby.half import HYPOTHESIS, Half
from support import Tags

from autotask import journal
from autotask.run import End, Outcome, Run

ANYTHING = settings(max_examples=80, **HYPOTHESIS)

# Bytes as Python reads them from the environment: what is not UTF-8 becomes a lone surrogate.
PIECES = st.text() | st.binary().map(lambda data: data.decode("utf-8", "surrogateescape"))
FORGERIES = st.sampled_from(["\n", '"', "\\", "\0", "\x7f", '"}\n{"run":"', "é", "😀", "\udcff"])
ANY = (PIECES | st.lists(PIECES | FORGERIES).map("".join)).map(
    lambda text: text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
)
IDS = st.text("0123456789abcdef", min_size=16, max_size=16)
SECONDS = st.floats(0, 4e9)  # until 2096
# But for halves of a microsecond: the number that is nearest to one may be below or above it, and
# Ruby's `%.6f` rounds as if it were the half itself.
LASTING = SECONDS.filter(lambda taken: abs(taken * 1_000_000 % 1 - 0.5) > 1e-3)
MAYBE = st.none() | LASTING
TAKEN = st.tuples(MAYBE, MAYBE, st.none() | st.integers(0))
REASONS = st.sampled_from("exception exit usage interrupted signal oom timeout lost nested".split())
ERROR = st.none() | st.dictionaries(st.sampled_from(["type", "message", "where"]), ANY, min_size=1)
OUTCOMES = st.just(("success",)) | st.tuples(
    *(st.sampled_from(["failure", "skipped"]), st.none() | REASONS, st.none() | st.integers()),
    *(st.none() | ANY.filter(bool), ERROR, st.none() | IDS),
)
# As LC_ALL=C, a UTF-8 locale and a binary file mark the same bytes.
MARKED = st.sampled_from(["UTF-8", "US-ASCII", "ASCII-8BIT"])


def as_text(data: bytes) -> str:
    """Return bytes as a text that goes to Ruby as these bytes."""
    return data.decode("utf-8", "surrogateescape")


ANSWERS = Path(__file__).with_name("journal_answers.rb").read_text().partition("\n")[2]


@pytest.fixture(scope="module")
def half(ruby: str) -> Iterator[Half]:
    assert ruby
    running = Half(ANSWERS)
    yield running
    assert running("warnings") == []
    running.close()


@ANYTHING
@given(ANY, MARKED)
@example("", "UTF-8")
@example("".join(map(chr, range(256))), "UTF-8")
@example("\udce2\udc82", "UTF-8")  # the first two bytes of a euro sign
@example("a\udce2\udc82b", "US-ASCII")
@example("\U0010ffff\ud7ff".encode("utf-8", "surrogateescape").decode(), "ASCII-8BIT")
def test_any_bytes_become_the_same_json_string(half: Half, data: str, marked: str) -> None:
    assert half("quoted", data, marked) == journal.quoted(data)


ENCODINGS = {  # of Ruby, and the same of Python
    "UTF-16LE": "utf-16-le",
    "UTF-16BE": "utf-16-be",
    "UTF-32LE": "utf-32-le",
    "UTF-32BE": "utf-32-be",
    "ISO-8859-1": "latin-1",
    "ISO-8859-15": "iso-8859-15",
    "Windows-1251": "cp1251",
    "KOI8-R": "koi8-r",
    "EUC-JP": "euc-jp",
    "Shift_JIS": "shift-jis",
}


@ANYTHING
@given(st.text(st.sampled_from('aZ~ "\n€éßяЯぁ漢字😀\x7f')), st.sampled_from(sorted(ENCODINGS)))
def test_a_text_in_another_encoding_is_the_same_text(half: Half, data: str, encoding: str) -> None:
    python = ENCODINGS[encoding]
    data = data.encode(python, "ignore").decode(python)
    assert half("quoted", as_text(data.encode(python)), encoding) == journal.quoted(data)


@ANYTHING
@given(st.binary())
@example(b"\x1b$B\xff")
@example(b"\x00\xd8")
def test_nothing_is_raised_for_any_bytes_in_any_encoding(half: Half, data: bytes) -> None:
    for encoding, line in half("quoted_in_all", as_text(data)):
        assert line.isascii(), encoding
        assert line.isprintable(), encoding
        assert isinstance(json.loads(line), str), encoding


@ANYTHING
@given(SECONDS)
@example(0.0)
@example(1764212345.9999995)
@example(1764212345.9999994)
@example(1764212345.0000005)
@example(0.1 + 0.2)
@example(59.9999999)
def test_a_moment_is_rounded_as_python_rounds_it(half: Half, at: float) -> None:
    assert half("moment", at) == [journal.moment(at), journal.segment(int(at))]


@ANYTHING
@given(*(ANY,) * 3, IDS, IDS, st.none() | IDS, SECONDS, *(st.booleans(),) * 2, MARKED)
def test_a_start_is_the_same_line(
    half: Half,
    task: str,
    framework: str,
    trigger: str,
    run_id: str,
    root: str,
    parent: str | None,
    at: float,
    server: bool,
    unsent: bool,
    marked: str,
) -> None:
    run = Run(task, framework)
    run.id, run.root, run.parent, run.trigger, run.started = run_id, root, parent, trigger, at
    run.server = server
    fields = {"id": run_id, "root": root, "parent": parent, "started": at, "task": task}
    fields.update(framework=framework, trigger=trigger, server=server or None, bookkeeping=None)
    expected = journal.started_line(run, '"pid":1', unsent)
    assert half("started", fields, '"pid":1', unsent, marked) == expected
    fields["bookkeeping"] = True
    line = half("started", fields, '"pid":1', unsent, marked)
    assert line == expected.replace(',"pid":1', ',"bookkeeping":true,"pid":1')


TAGGED = st.tuples(*(st.none() | ANY.filter(bool),) * 4, st.dictionaries(ANY, ANY, max_size=3))


@ANYTHING
@given(st.integers(1, 1 << 31), ANY, ANY, st.none() | ANY.filter(bool), st.none() | TAGGED)
def test_a_process_has_the_same_fields(
    half: Half, pid: int, identity: str, host: str, ruby_version: str | None, tagged: Any
) -> None:
    python = None
    if tagged is not None:
        entity, service, env, version, tags = tagged
        python = Tags(service, env, version, tags, entity)
    fields = half("process_fields", pid, identity, host, ruby_version, tagged)
    expected = journal.process_fields(pid, identity, host, ruby_version, python)
    if ruby_version is not None:
        named = f'"host":{journal.quoted(host)},"python":'
        assert named in expected
        expected = expected.replace(named, named.replace("python", "ruby"))
    assert fields == expected


@ANYTHING
@given(IDS, IDS, OUTCOMES, SECONDS, TAKEN, st.booleans())
@example("0" * 16, "1" * 16, ("success",), 0.0, (1e15, 5e-324, 1 << 70), True)
@example("0" * 16, "1" * 16, ("success",), 0.0, (0.00000049, 0.00000151, 0), False)
def test_an_end_is_the_same_line(
    half: Half, run_id: str, root: str, words: Any, at: float, took: Any, unsent: bool
) -> None:
    run = Run("a", "b")
    run.id, run.root = run_id, root
    outcome = Outcome(*words)
    assert half("finished", run_id, root, words, at, took, unsent) == [
        journal.finished_line(run, End(outcome, at, *took), unsent),
        journal.raised_line(run_id, root, at, outcome),
    ]


def test_what_the_agent_did_not_take_is_the_same_line(half: Half) -> None:
    words = ("unsent", "0" * 16, "1" * 16, "finished")
    line, expected = half("delivery", *words), journal.delivery_line(*words)
    assert abs(_seconds(line) - _seconds(expected)) < 60
    assert _without_time(line) == _without_time(expected)


def _seconds(line: str) -> float:
    hours, minutes, seconds = json.loads(line)["at"][11:-1].split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _without_time(line: str) -> str:
    return line.replace(json.loads(line)["at"], "")
