"""The wire: lines as Datadog's own client writes them, sent without ever waiting."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support import Datagrams, Ended, a_run, run_program, runs, wait_until, wire_of, write

from autotask.dogstatsd import Wire, tag
from autotask.run import SKIPPED, SUCCESS, End, Outcome, failure

FAILURE = failure("exception", error={"type": "ValueError", "message": "boom", "where": "a.py:1"})
UDP_SIZE, UNIX_SIZE = 1432, 8192

CLICK = """
import click
@click.command()
def shop():
    {body}
shop()
"""


class Line(NamedTuple):
    """A line of the protocol, parsed as strictly as an Agent could."""

    kind: str
    name: str
    value: str
    fields: dict[str, str]
    tags: list[str]


def read(line: str) -> Line:
    if line.startswith("_e{"):
        return _read_event(line)
    assert line.count("#") == 1 or "|m:" in line, line
    if line.startswith("_sc|"):
        _, name, value, *rest = line.split("|")
        return Line("check", name, value, *_read_fields(rest))
    head, kind, *rest = line.split("|")
    name, value = head.split(":")
    assert re.fullmatch("[a-z_.]+", name)
    return Line(
        {"c": "count", "d": "distribution", "g": "gauge"}[kind], name, value, *_read_fields(rest)
    )


def _read_event(line: str) -> Line:
    data = line.encode()
    found = re.match(rb"_e\{(\d+),(\d+)\}:", data)
    assert found, line
    title_end = found.end() + int(found[1])
    text_end = title_end + 1 + int(found[2])
    assert data[title_end : title_end + 1] == b"|"
    assert data[text_end : text_end + 1] in (b"|", b"")
    title, text = data[found.end() : title_end].decode(), data[title_end + 1 : text_end].decode()
    rest = data[text_end + 1 :].decode().split("|")
    return Line("event", title, text, *_read_fields(rest))


def _read_fields(rest: list[str]) -> tuple[dict[str, str], list[str]]:
    fields: dict[str, str] = {}
    for field in rest:
        marked = field[0] in "#T"  # the tags, the time of a metric
        key, value = (field[0], field[1:]) if marked else field.split(":", 1)
        assert key not in fields, rest
        fields[key] = value
    tags = sorted(fields.pop("#", "").split(","))
    assert "" not in tags, rest
    return fields, tags


class UnixAgent:
    """An Agent's socket file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.url = f"unix://{path}"

    def received(self) -> list[bytes]:
        found: list[bytes] = []
        try:
            while True:
                found.append(self._socket.recv(1 << 16))
        except BlockingIOError:
            return found

    def close(self) -> None:
        self._socket.close()
        self._path.unlink()


@pytest.fixture
def unix_agent(tmp_path: Path) -> Iterator[UnixAgent]:
    agent = UnixAgent(tmp_path / "dsd.socket")
    yield agent
    agent.close()


_made: list[Wire] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close the wires of a test."""
    yield
    while _made:
        _made.pop().close()


def wire_to(url: str, **environ: str) -> Wire:
    wire = wire_of({"DD_DOGSTATSD_URL": url, **environ})
    _made.append(wire)
    return wire


def skip_without_a_name() -> None:
    """Skip a test if LOCALHOST, which we treat like any other name, is not this machine."""
    try:
        found = socket.getaddrinfo("LOCALHOST", 1, 0, socket.SOCK_DGRAM)
    except OSError:
        pytest.skip("LOCALHOST does not resolve here")
    if found[0][4][0] != "127.0.0.1":
        pytest.skip("LOCALHOST is not this machine here")


def sent(wire: Wire, agent: Datagrams, send: Callable[[Wire], None]) -> list[Line]:
    """Return the lines that arrive when something is sent, in their order."""
    agent.forget()
    send(wire)
    return read_all(agent.received(5))


def read_all(packets: list[bytes]) -> list[Line]:
    """Return the lines of datagrams; each has an end."""
    assert all(data.endswith(b"\n") for data in packets)
    return [read(line) for data in packets for line in data[:-1].decode().split("\n")]


def tasks(packets: list[bytes]) -> list[str]:
    """Return the task of each line."""
    lines = read_all(packets)
    return [tag[5:] for line in lines for tag in line.tags if tag.startswith("task:")]


def finish(
    outcome: Outcome, duration: float | None = 1.5, task: str = "nightly", host: str = "vm"
) -> Callable[[Wire], None]:
    return lambda wire: wire.finished(a_run(task), End(outcome, 0.0, duration), host)


# --- as Datadog's own client sends ---------------------------------------------------------------

DD = {"DD_ENV": "prod", "DD_SERVICE": "shop", "DD_VERSION": "1.2", "DD_ENTITY_ID": "pod-7"}


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[object, Datagrams]]:
    """Make a client of the `datadog` package, and an Agent that it sends to."""
    base = pytest.importorskip("datadog.dogstatsd.base")
    for name, value in DD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DD_DOGSTATSD_URL")
    agent = Datagrams()
    plain = {"disable_telemetry": True, "disable_buffering": True}
    try:
        client = base.DogStatsd("127.0.0.1", agent.port, disable_aggregation=True, **plain)
    except TypeError:  # a release that does not aggregate
        client = base.DogStatsd("127.0.0.1", agent.port, **plain)
    yield client, agent
    client.close_socket()
    agent.close()


OF_TASK = ["task:nightly", "framework:click"]
STATUS = [*OF_TASK, "status:failure"]
EVENT_TEXT = "reason: exception ValueError: boom\nwhere: a.py:1\nduration: 1.500 s\nhost: vm"
PAIRS: dict[str, tuple[Callable[[Wire], None], str, tuple[object, ...], dict[str, object]]] = {
    "started": (
        lambda wire: wire.started(a_run()),
        "increment",
        ("autotask.task.started",),
        {"tags": [*OF_TASK, "trigger:cron"]},
    ),
    "running": (
        lambda wire: wire.running(a_run(), 60.5),
        "gauge",
        ("autotask.task.running_seconds", 60.5),
        {"tags": [*OF_TASK, "trigger:cron"]},
    ),
    "runs": (
        finish(FAILURE),
        "increment",
        ("autotask.task.runs",),
        {"tags": [*STATUS, "reason:exception", "trigger:cron"]},
    ),
    "duration": (
        finish(FAILURE),
        "distribution",
        ("autotask.task.duration", 1.5),
        {"tags": STATUS},
    ),
    "check of a failure": (
        finish(FAILURE),
        "service_check",
        ("autotask.task.status", 2),
        {"tags": [*OF_TASK, "trigger:cron"], "message": "exception ValueError: boom"},
    ),
    "check of a success": (
        finish(SUCCESS),
        "service_check",
        ("autotask.task.status", 0),
        {"tags": [*OF_TASK, "trigger:cron"]},
    ),
    "event": (
        finish(FAILURE),
        "event",
        ("task failed: nightly", EVENT_TEXT),
        {
            "tags": [*OF_TASK, "reason:exception"],
            "alert_type": "error",
            "aggregation_key": "nightly",
        },
    ),
}


@pytest.mark.parametrize("case", PAIRS)
def test_a_line_is_what_datadogs_own_client_would_send(
    case: str, theirs: tuple[object, Datagrams], datagrams: Datagrams
) -> None:
    send, method, arguments, options = PAIRS[case]
    client, agent = theirs
    getattr(client, method)(*arguments, **options)
    (expected,) = read_all(agent.received(5))
    ours = [
        line
        for line in sent(wire_to(datagrams.url, **DD), datagrams, send)
        if (line.kind, line.name) == (expected.kind, expected.name)
    ]
    assert [_numbers(line) for line in ours] == [_numbers(expected)]


def _numbers(line: Line) -> Line:
    """Write the numbers of metrics in one way."""
    return line if line.kind in ("event", "check") else line._replace(value=str(float(line.value)))


def test_a_special_character_is_encoded_as_by_datadogs_own_client() -> None:
    formats = pytest.importorskip("datadog.util.format")
    for code in [*range(1, 0x500), *range(0x500, 0x110000, 101)]:
        text = f"key:a{chr(code)}b"
        if chr(code).lower() != chr(code) or chr(code) == ",":
            continue  # they keep capitals, and a comma begins another tag
        assert tag("key", f"a{chr(code)}b") == formats.normalize_tags([text])[0], hex(code)


# --- what is sent, and when ----------------------------------------------------------------------

STARTED = ("count autotask.task.started 1", {"task", "framework", "trigger"})
RUNS = ("count autotask.task.runs 1", {"task", "framework", "status", "reason", "trigger"})
DURATION = ("distribution autotask.task.duration 1.500000", {"task", "framework", "status"})
GOOD = ("check autotask.task.status 0", {"task", "framework", "trigger"})
BAD = ("check autotask.task.status 2", {"task", "framework", "trigger"})
EVENT = ("event task failed: nightly", {"task", "framework", "reason"})
NESTED = failure("nested", caused_by="0123456789abcdef", exit_code=1)

ENDINGS: dict[str, tuple[Callable[[Wire], None], list[tuple[str, set[str]]]]] = {
    "a start": (lambda wire: wire.started(a_run()), [STARTED]),
    "a long run": (
        lambda wire: wire.running(a_run(), 60),
        [("gauge autotask.task.running_seconds 60.000", {"task", "framework", "trigger"})],
    ),
    "a success": (finish(SUCCESS), [RUNS, DURATION, GOOD]),
    "a failure": (finish(FAILURE), [RUNS, DURATION, BAD, EVENT]),
    "a failure of unknown duration": (finish(FAILURE, None), [RUNS, BAD, EVENT]),
    "a failure that a child's is behind": (finish(NESTED), [RUNS, DURATION]),
    "a skipped run": (finish(SKIPPED), [RUNS]),
    "a skipped run that took its time": (finish(SKIPPED, 2), [RUNS]),
}


@pytest.mark.parametrize(("send", "expected"), ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize(
    "said", [[], ["version"], ["env", "service"], ["env", "service", "version"]]
)
def test_each_ending_sends_the_lines_of_the_contract_with_its_tags(
    send: Callable[[Wire], None],
    expected: list[tuple[str, set[str]]],
    said: list[str],
    datagrams: Datagrams,
) -> None:
    found = []
    environ = {f"DD_{name.upper()}": "1.2" for name in said}
    for line in sent(wire_to(datagrams.url, **environ), datagrams, send):
        value = "" if line.kind == "event" else f" {line.value}"
        found.append((f"{line.kind} {line.name}{value}", {t.partition(":")[0] for t in line.tags}))
    assert found == [(what, tags | {*said}) for what, tags in expected]
    assert len(datagrams.received()) == 1


TAGS: list[tuple[dict[str, str], set[str]]] = [
    ({}, set()),
    ({"DD_ENV": "", "DD_SERVICE": ""}, set()),
    ({"DD_ENV": "prod"}, {"env:prod"}),
    ({"DD_ENV": "Prod", "DD_SERVICE": "The Shop"}, {"env:prod", "service:the_shop"}),
    ({"DD_VERSION": "V1.2"}, {"version:v1.2"}),
    ({"DD_TAGS": "env:prod,team:Shop"}, {"env:prod", "team:shop"}),
    ({"DD_TAGS": "Blue, team:shop big: :no"}, {"blue", "team:shop", "big"}),
    ({"DD_TAGS": "blue", "AUTOTASK_TAGS": "blue:1"}, {"blue:1"}),
    ({"AUTOTASK_TAGS": "team:a b,x:1,blue"}, {"team:a_b", "x:1"}),
    ({"DD_ENTITY_ID": "Pod-7"}, {"dd.internal.entity_id:Pod-7"}),
    ({"DD_ENTITY_ID": "Pod-7", "DD_TAGS": "a:b"}, {"dd.internal.entity_id:Pod-7", "a:b"}),
]


@pytest.mark.parametrize(("environ", "tags"), TAGS)
def test_every_line_carries_the_tags_of_the_settings(
    environ: dict[str, str], tags: set[str], datagrams: Datagrams
) -> None:
    wire = wire_to(datagrams.url, **environ)
    for send, _ in ENDINGS.values():
        for line in sent(wire, datagrams, send):
            names = {"task", "framework", "status", "reason", "trigger"}
            assert {t for t in line.tags if t.partition(":")[0] not in names} == tags
            assert len(line.tags) == len({t.partition(":")[0] for t in line.tags})


def test_no_line_has_env_twice(datagrams: Datagrams) -> None:
    wire = wire_to(datagrams.url, DD_ENV="prod", DD_TAGS="env:staging")
    (line,) = sent(wire, datagrams, lambda wire: wire.started(a_run()))
    assert [tag for tag in line.tags if tag.startswith("env:")] == ["env:prod"]


SWITCHES: list[tuple[dict[str, str | None], set[str]]] = [
    ({}, {"count", "distribution", "check", "event"}),
    ({"AUTOTASK_EVENTS": "0"}, {"count", "distribution", "check"}),
    ({"AUTOTASK_DOGSTATSD": "0"}, set()),
    ({"DD_DOGSTATSD_DISABLE": "true"}, set()),
    ({"DD_DOGSTATSD_DISABLE": "1", "AUTOTASK_DOGSTATSD": "1"}, set()),
    ({"AUTOTASK_JOURNAL": "0"}, {"count", "distribution", "check", "event"}),
    ({"AUTOTASK_HOME": "/proc/nowhere"}, {"count", "distribution", "check", "event"}),
]


@pytest.mark.parametrize(("env", "kinds"), SWITCHES)
def test_each_switch_turns_off_what_it_names(
    env: dict[str, str | None], kinds: set[str], tmp_path: Path, datagrams: Datagrams, home: Path
) -> None:
    pytest.importorskip("click")
    script = write(tmp_path / "shop.py", CLICK.format(body="raise click.ClickException('no')"))
    ended = run_program(script, env={"AUTOTASK_PROCESS": "0", **env})
    assert ended == Ended(1, "", "Error: no\n")
    assert {read(line).kind for line in datagrams.lines()} == kinds
    assert home.exists() is not ({"AUTOTASK_JOURNAL", "AUTOTASK_HOME"} & set(env) != set())


def test_each_line_has_the_tags_of_its_own_task(datagrams: Datagrams) -> None:
    wire = wire_to(datagrams.url)
    for task in ("a", "b", "b", "a", "a"):
        wire.started(a_run(task))
    assert tasks(datagrams.received(5)) == list("abbaa")


def test_each_line_has_its_own_tags_if_threads_send_at_once(datagrams: Datagrams) -> None:
    wire = wire_to(datagrams.url)

    class Interrupted(str):
        """A name that lets another thread run while it is written."""

        __slots__ = ()

        def __format__(self, spec: str) -> str:
            other = threading.Thread(target=wire.started, args=(a_run("b"),))
            other.start()
            other.join()
            return str(self)

    wire.started(a_run(Interrupted("a")))
    wire.started(a_run("b"))
    assert tasks(datagrams.received(5)) == ["b", "a", "b"]


# --- what texts become ---------------------------------------------------------------------------

VALUES = {
    "nightly": "key:nightly",
    "Nightly": "key:nightly",
    "ÀÉ": "key:àé",
    "a b\tc": "key:a_b_c",
    "a|b,c#d@e": "key:a_b_c_d_e",
    "a\nb\r\nc": "key:a_b__c",
    "db.migrate-all/x_1:y": "key:db.migrate-all/x_1:y",
    "задача": "key:задача",
    "\N{ROCKET}x": "key:_x",
    "\0\x7f": "key:__",
    "\udcff": "key:_",
    "a:::": "key:a",
    ":::": "key",
    "": "key",
    "x" * 300: "key:" + "x" * 196,
    "x" * 195 + ":::::": "key:" + "x" * 195,
    "é" * 300: "key:" + "é" * 196,
    "ß": "key:ß",
}


@pytest.mark.parametrize(("value", "expected"), VALUES.items(), ids=map(ascii, range(len(VALUES))))
def test_a_tag_is_written_as_datadog_stores_it(value: str, expected: str) -> None:
    assert tag("key", value) == expected


def test_the_key_of_a_tag_is_written_as_datadog_stores_it() -> None:
    assert tag("My Team,x", "A") == "my_team_x:a"


TEXTS = {
    "plain": "nightly",
    "field marks": "a|b|#c,d|m:e|c:f|@0.5",
    "line ends": "a\nb\r\nc\rd\n",
    "like a line": "x\n_e{1,1}:a|b\nautotask.task.runs:1|c",
    "accents": "âççêñts",
    "emoji": "\N{ROCKET}" * 40,
    "NUL and others": "\0\x01\x1b[31m\x7f",
    "a lone surrogate": "\udcff",
    "empty": "",
    "long": "word " * 400,
    "long and wide": "\N{ROCKET}" * 2000,
    "long lines": "a\n" * 1000,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_no_text_breaks_a_line(text: str, unix_agent: UnixAgent) -> None:
    environ = {"DD_ENV": text, "DD_SERVICE": text, "DD_VERSION": text}
    environ["AUTOTASK_TAGS"] = f"{text}:{text}"
    wire = wire_to(unix_agent.url, **environ)
    error = {"type": text, "message": text, "where": text}
    finish(failure("exception", error=error), task=text, host=text)(wire)
    wire.started(a_run(text, text))
    found = read_all(unix_agent.received())
    kinds = ["count", "distribution", "check", "event", "count"]
    assert [line.kind for line in found] == kinds
    for line in found:
        assert all(len(tag) <= 200 for tag in line.tags)


@pytest.mark.parametrize("value", ["a\nb", "a|b", "a,b"])
def test_an_odd_entity_id_does_not_break_the_lines(value: str, datagrams: Datagrams) -> None:
    wire = wire_to(datagrams.url, DD_ENTITY_ID=value)
    wire.started(a_run())
    (line,) = [read(line) for line in datagrams.lines(wait=5)]
    assert len(line.tags) == 3  # it counts as unset


MESSAGES = {
    "a|b": "a/b",
    "a\nb": "a\\nb",
    "a\r\nb": "a \\nb",
    "m: x": "m: x",
    "é\N{ROCKET}": "é\N{ROCKET}",
    "\udcff": "\\udcff",
}


@pytest.mark.parametrize(("message", "said"), MESSAGES.items(), ids=map(ascii, MESSAGES))
def test_the_message_of_a_check_is_one_field_of_one_line(
    message: str, said: str, datagrams: Datagrams
) -> None:
    outcome = failure("exception", error={"type": "Odd", "message": message})
    found = sent(wire_to(datagrams.url), datagrams, finish(outcome))
    (check,) = [line for line in found if line.kind == "check"]
    assert check.fields == {"m": f"exception Odd: {said}"}


REASONS: list[tuple[Outcome, str]] = [
    (failure("exit", exit_code=3), "exit 3"),
    (failure("usage", exit_code=2), "usage 2"),
    (failure("signal", signal="SIGKILL"), "signal SIGKILL"),
    (failure("oom", signal="SIGKILL"), "oom SIGKILL"),
    (failure("interrupted"), "interrupted"),
    (failure("lost"), "lost"),
    (failure("timeout"), "timeout"),
    (failure("exception", error={"type": "Odd", "message": ""}), "exception Odd"),
    (
        failure("exit", exit_code=1, error={"type": "SystemExit", "message": "no"}),
        "exit 1 SystemExit: no",
    ),
]


@pytest.mark.parametrize(("outcome", "said"), REASONS)
def test_a_check_and_an_event_say_why(outcome: Outcome, said: str, datagrams: Datagrams) -> None:
    found = sent(wire_to(datagrams.url), datagrams, finish(outcome))
    (check,) = [line for line in found if line.kind == "check"]
    (event,) = [line for line in found if line.kind == "event"]
    assert check.fields["m"] == said
    assert event.value.split("\\n")[0] == f"reason: {said}"
    assert event.value.split("\\n")[-2:] == ["duration: 1.500 s", "host: vm"]


# --- the size of datagrams -----------------------------------------------------------------------

SIZES: dict[str, tuple[str, str, str]] = {
    "short": ("nightly", "boom", ""),
    "a long message": ("nightly", "x" * 500, ""),
    "a wide message": ("nightly", "é" * 300, ""),
    "a message of line ends": ("nightly", "\n" * 400, ""),
    "a long name": ("n" * 190, "x" * 500, ""),
    "several tags": ("nightly", "x" * 500, ",".join(f"key{n}:value{n}" for n in range(20))),
    "many tags": ("nightly", "x" * 500, ",".join(f"key{n}:value{n}" for n in range(250))),
}


def far(datagrams: Datagrams) -> str:
    """Return an unusual notation of an address of this machine."""
    return f"udp://0.0.0.0:{datagrams.port}"


@pytest.mark.parametrize("near", ["127.0.0.1", "localhost", "far", "unix"])
@pytest.mark.parametrize(("task", "message", "tags"), SIZES.values(), ids=SIZES)
def test_datagrams_are_as_few_as_fit(
    task: str, message: str, tags: str, near: str, datagrams: Datagrams, unix_agent: UnixAgent
) -> None:
    outcome = failure("exception", error={"type": "ValueError", "message": message})
    url = {"far": far(datagrams), "unix": unix_agent.url}.get(
        near, f"udp://{near}:{datagrams.port}"
    )
    finish(outcome, task=task)(wire_to(url, AUTOTASK_TAGS=tags))
    found = unix_agent.received() if near == "unix" else datagrams.received(5)
    size = UDP_SIZE if near == "far" else UNIX_SIZE
    lengths = [len(data) for data in found]
    assert all(len(data) <= size or data.count(b"\n") == 1 for data in found)
    assert max(lengths) <= UNIX_SIZE
    for one, two in zip(lengths, found[1:]):  # what begins a datagram did not fit before it
        assert one + len(two.split(b"\n")[0]) + 1 > size


def test_each_length_of_a_message_fits(datagrams: Datagrams) -> None:
    wire = wire_to(far(datagrams), AUTOTASK_TAGS="team:" + "x" * 190 + ",tier:" + "y" * 60)
    fullest = 0
    for length in range(500):
        datagrams.forget()
        error = {"type": "Odd", "message": "x" * length}
        finish(failure("exception", error=error))(wire)
        lengths = [len(data) for data in datagrams.received(5) if not data.startswith(b"_e{")]
        fullest = max(fullest, *lengths)
    assert fullest == UDP_SIZE


def test_an_event_is_cut_to_a_datagram_between_characters(datagrams: Datagrams) -> None:
    error = {"type": "Odd", "message": "x" * 480, "where": "é" * 500}
    found = sent(
        wire_to(far(datagrams)), datagrams, finish(failure("exception", error=error), host="h" * 64)
    )
    (event,) = [line for line in found if line.kind == "event"]
    assert event.value.startswith("reason: exception Odd: xxx")
    assert event.value.rstrip("é").endswith("where: ")
    lengths = [len(data) for data in datagrams.received() if data.startswith(b"_e{")]
    assert UDP_SIZE - 25 < lengths[0] <= UDP_SIZE


def test_a_message_of_wide_characters_fits_too(datagrams: Datagrams) -> None:
    message = "\N{ROCKET}" * 500
    outcome = failure("exception", error={"type": "ValueError", "message": message})
    finish(outcome)(wire_to(far(datagrams), AUTOTASK_TAGS="team:" + "x" * 190))
    assert max(len(data) for data in datagrams.received(5)) <= UDP_SIZE


@pytest.mark.parametrize("is_far", [True, False])
@pytest.mark.parametrize("letter", ["x", "ж", "\U00020000"])
@pytest.mark.parametrize("count", [0, 3, 7, 15, 30, 60, 200])
def test_however_many_tags_there_are_the_text_of_a_failure_keeps_200_bytes(
    count: int, letter: str, is_far: bool, datagrams: Datagrams
) -> None:
    tags = ",".join(f"key{number}:{letter * 190}" for number in range(count))
    environ = {"AUTOTASK_TAGS": tags, "DD_ENV": "prod", "DD_ENTITY_ID": "pod-7"}
    wire = wire_to(far(datagrams) if is_far else datagrams.url, **environ)
    error = {"type": "Odd", "message": "y" * 500, "where": "a.py:1"}
    task = letter * 300
    found = sent(wire, datagrams, finish(failure("exception", error=error), task=task))
    assert max(len(data) for data in datagrams.received()) <= UNIX_SIZE
    assert [line.kind for line in found] == ["count", "distribution", "check", "event"]
    for line in found:
        assert {"env:prod", "dd.internal.entity_id:pod-7"} <= {*line.tags}
        assert {tag for tag in line.tags if tag.startswith("key")} <= {
            tag(*said.split(":")) for said in tags.split(",") if said
        }
    check, event = found[2:]
    assert len(check.fields["m"]) >= 200
    assert len(event.value.encode()) >= 200


# --- Agents that are absent, or come and go ------------------------------------------------------


def test_a_missing_socket_file_is_found_once_it_exists(tmp_path: Path) -> None:
    path = tmp_path / "dsd.socket"
    wire = wire_to(f"unix://{path}")
    wire.started(a_run("a"))
    agent = UnixAgent(path)
    wire.started(a_run("b"))
    assert tasks(agent.received()) == ["b"]
    agent.close()


def test_a_restarted_agent_gets_the_first_line_after_its_restart(tmp_path: Path) -> None:
    path = tmp_path / "dsd.socket"
    wire = wire_to(f"unix://{path}")
    for task in ("a", "b", "c"):
        agent = UnixAgent(path)
        wire.started(a_run(task))
        assert tasks(agent.received()) == [task]
        agent.close()
        wire.started(a_run("lost"))


def test_an_agent_that_starts_late_gets_the_next_line_once() -> None:
    agent = Datagrams()
    port = agent.port
    agent.close()
    wire = wire_to(f"udp://127.0.0.1:{port}")
    for task in ("a", "b", "c"):
        wire.started(a_run(task))  # refused
    late = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    late.bind(("127.0.0.1", port))
    late.settimeout(5)
    wire.started(a_run("d"))
    assert tasks([late.recv(1 << 16)]) == ["d"]
    late.setblocking(False)
    with pytest.raises(BlockingIOError):
        late.recv(1)
    late.close()


def test_an_agent_that_hangs_is_not_waited_for(unix_agent: UnixAgent) -> None:
    wire = wire_to(unix_agent.url)

    def send() -> None:
        for _ in range(3000):  # far more than its buffer holds
            wire.started(a_run("a"))

    sender = threading.Thread(target=send, daemon=True)  # so that a blocked one fails only itself
    sender.start()
    sender.join(30)
    assert not sender.is_alive()
    assert 0 < len(unix_agent.received()) < 3000
    wire.started(a_run("b"))
    assert tasks(unix_agent.received()) == ["b"]


def test_a_host_name_is_resolved_in_the_background_without_losing_a_line(
    datagrams: Datagrams,
) -> None:
    skip_without_a_name()
    wire = wire_to(f"udp://LOCALHOST:{datagrams.port}")
    for number in range(20):
        wire.started(a_run(f"t{number}"))
    wait_until(lambda: len(datagrams.received()) >= 20)
    assert sorted(tasks(datagrams.received())) == sorted(f"t{n}" for n in range(20))


def test_an_ipv6_address_is_reached() -> None:
    try:
        agent = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        agent.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    agent.settimeout(5)
    wire_to(f"udp://[::1]:{agent.getsockname()[1]}").started(a_run("a"))
    assert tasks([agent.recv(1 << 16)]) == ["a"]
    agent.close()


ABSENT: dict[str, dict[str, str | None]] = {
    "refused": {},
    "no such socket file": {"DD_DOGSTATSD_URL": "unix:///no/such/socket"},
    "a file that is not a socket": {"DD_DOGSTATSD_URL": "unix:///etc/passwd"},
    "a path too long": {"DD_DOGSTATSD_URL": "unix:///" + "x" * 300},
    "a name that does not resolve": {"DD_DOGSTATSD_URL": "udp://no-such-host.invalid:8125"},
    "an address that cannot be one": {"DD_DOGSTATSD_URL": "udp://999.999.999.999:8125"},
    "numbers": {"DD_DOGSTATSD_URL": "udp://1.2:8125"},
    "an address of the newer kind": {"DD_DOGSTATSD_URL": "udp://[::zz]:8125"},
    "everybody": {"DD_DOGSTATSD_URL": "udp://255.255.255.255:8125"},
    "nobody": {"DD_DOGSTATSD_URL": "udp://0.0.0.0:1"},
}


@pytest.mark.parametrize("env", ABSENT.values(), ids=ABSENT)
def test_a_missing_agent_does_not_disturb_the_task(
    env: dict[str, str | None], tmp_path: Path, home: Path
) -> None:
    pytest.importorskip("click")
    script = write(tmp_path / "shop.py", CLICK.format(body="print('hello')"))
    assert run_program(script, env=env) == Ended(0, "hello\n", "")
    assert [run["status"] for run in runs(home)] == ["success"] * 2


@pytest.mark.swallows
def test_an_invalid_host_name_is_not_an_error(swallowed: Path) -> None:
    wire_to("udp://" + "x" * 300 + ":8125")._resolve()  # in this thread, to be sure that it ran
    assert not swallowed.exists()


def test_a_program_ends_even_if_its_agent_hangs(tmp_path: Path, unix_agent: UnixAgent) -> None:
    pytest.importorskip("click")
    source = CLICK.replace("shop()\n", "").format(body="pass") + (
        "for _ in range(500): shop.main([], standalone_mode=False)\nprint('done')\n"
    )
    env: dict[str, str | None] = {"DD_DOGSTATSD_URL": unix_agent.url}
    assert run_program(write(tmp_path / "shop.py", source), env=env) == Ended(0, "done\n", "")
    assert unix_agent.received()


# --- the program's descriptors are the program's -------------------------------------------------


def test_a_socket_that_the_program_closed_is_opened_again(datagrams: Datagrams) -> None:
    wire = wire_to(datagrams.url)
    before = _sockets()
    wire.started(a_run("a"))
    (made,) = _sockets() - before
    taken = socket.socketpair()
    os.dup2(taken[0].fileno(), int(made))  # closed, and taken by a socket of the program's
    wire.started(a_run("b"))
    taken[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        taken[1].recv(1)
    assert tasks(datagrams.received(5)) == ["a", "b"]
    os.fstat(int(made))  # not ours to close
    os.close(int(made))
    for end in taken:
        end.close()
    wire.close()


def test_a_fork_that_has_no_run_leaves_no_socket_open(tmp_path: Path, datagrams: Datagrams) -> None:
    source = """
        import os, sys, autotask
        autotask.task(name="a")(lambda: None)()
        if os.fork() == 0: sys.exit()
        os.wait()
    """
    script = write(tmp_path / "shop.py", source)
    assert run_program("-X", "dev", script) == Ended(0, "", "")


def _sockets() -> set[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            if "socket" in os.readlink(f"/proc/self/fd/{name}"):
                found.add(name)
        except OSError:  # the listing's own
            continue
    return found


def test_a_wire_that_was_closed_opens_again(datagrams: Datagrams) -> None:
    wire = wire_to(datagrams.url)
    before = len(os.listdir("/proc/self/fd"))
    for task in ("a", "b"):
        wire.started(a_run(task))
        wire.close()
        wire.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert tasks(datagrams.received(5)) == ["a", "b"]
