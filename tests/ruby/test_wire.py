"""The Ruby half sends the bytes that the Python half sends, and never waits."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruby.half import HYPOTHESIS, LOADER, RUBY, Half, without_ruby
from support import PATIENCE, Datagrams, Tags, a_run, wait_until, write
from test_properties import ANY, TEXT
from test_wire import UnixAgent, skip_without_a_name

from autotask.dogstatsd import Wire, tag
from autotask.run import End, Outcome

pytest.importorskip("hypothesis")

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

pytestmark = without_ruby

PROGRAM = """
%w[run dogstatsd].each { |name| AutotaskAgent.load(name) }
PROCESS = Struct.new(:env, :service, :version, :entity_id, :tags) do
  def tagged
    [env, service, version, entity_id].any? || !tags.empty?
  end
end
LOST = []

def a_wire(destination, tagged, events = true)
  refused = ->(run, of) { LOST << [run.task, of] }
  AutotaskAgent::Wire.new(destination, PROCESS.new(*tagged), events, refused)
end

def wire(*arguments)
  $wire = a_wire(*arguments)
  nil
end

def a_run(task, framework, trigger)
  run = AutotaskAgent::Run.new("0" * 16, task, framework)
  run.trigger = trigger
  run
end

def an_end(outcome, duration)
  AutotaskAgent::End.new(AutotaskAgent::Outcome.new(*outcome), 0.0, duration)
end

def lines(destination, tagged, events, run, outcome, duration, host)
  wire = a_wire(destination, tagged, events)
  wire.start_lines(a_run(*run)) + wire.end_lines(a_run(*run), an_end(outcome, duration), host)
end

def started(task = "nightly")
  $wire.started(a_run(task, "rake", "cron"))
  lost
end

def finished(run, outcome, duration, host)
  $wire.finished(a_run(*run), an_end(outcome, duration), host)
  lost
end

def lost
  LOST.slice!(0..-1)
end

def state
  [$wire.paused?, $wire.has_refused]
end

def close
  $wire.close
  lost
end

def clock
  Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

def pause
  before = clock
  $wire.started(a_run("nightly", "rake", "cron"))
  [before, $wire.instance_variable_get(:@paused), clock]
end

# Tells whether the wire was paused whenever it was asked before the pause's end.
def paused_within_the_pause
  loop do
    _, till, = pause
    paused = $wire.paused?
    return paused if clock < till
  end
end

def sockets
  ObjectSpace.each_object(Socket).reject(&:closed?)
end

# Puts a file of the program's in the place of the socket's descriptor.
def reuse_descriptor(path)
  number = sockets.map(&:fileno).max
  IO.for_fd(number).close
  $theirs = File.open(path, "w")
  raise "another descriptor" unless $theirs.fileno == number
end

def write_on_theirs
  GC.start
  $theirs.write("theirs")
  $theirs.close
  "theirs"
end

def close_each_socket
  sockets.each(&:close)
  nil
end

def close_in_a_fork
  Process.wait(fork do
    $wire.close
    exit!(0)
  end)
  $?.exitstatus
end

def started_in_threads(threads, times)
  Array.new(threads) do |thread|
    Thread.new { times.times { |time| $wire.started(a_run("#{thread}-#{time}", "rake", "cron")) } }
  end.each(&:join)
  lost
end

def started_in_a_trap
  trap("USR1") { $wire.started(a_run("trapped", "rake", "cron")) }
  $wire.started(a_run("nightly", "rake", "cron"))
  $wire.instance_variable_get(:@lock).synchronize do
    Process.kill("USR1", Process.pid)
    sleep(0.01) until LOST.any? || $wire.instance_variable_get(:@last)[0] == "trapped"
  end
  lost
end

def features
  $LOADED_FEATURES
end

def find_nothing
  require "socket.so"
  AutotaskAgent.load("names")
  AutotaskAgent::Names.define_singleton_method(:address_of) { |*| nil }
  nil
end

def find_nothing_for_ever
  find_nothing
  AutotaskAgent::Names.define_singleton_method(:address_of) { |*| sleep }
  nil
end

def address_of(*arguments)
  require "socket.so"
  AutotaskAgent.load("names")
  AutotaskAgent::Names.address_of(*arguments)
end

def read_answer(answer, question)
  AutotaskAgent.load("names")
  AutotaskAgent::Names.send(:read, answer.b, question, 1)
end

def tags(pairs)
  wire = a_wire(["udp", "localhost", 9], [nil, nil, nil, nil, {}])
  pairs.map { |key, value| wire.send(:tag, key, value) }
end

# The letters that this Ruby's Unicode has.
def known
  [*0..0xd7ff, *0xe000..0x10ffff].pack("U*").gsub(/\\p{Cn}/, "")
end
"""
NO_TAGS: tuple[Any, ...] = (None, None, None, None, {})
SMALL = ("udp", "0.0.0.0", 8125)  # not this machine by its name: datagrams of 1432 bytes
FAILED = ("failure", "exception", None, None, {"type": "A", "message": "b", "where": "Rakefile:1"})


@pytest.fixture(scope="module")
def shared() -> Iterator[Half]:
    """A Ruby process for all tests that leave nothing behind in it."""
    process = Half(PROGRAM)
    yield process
    process.close()


@pytest.fixture
def ruby() -> Iterator[Half]:
    process = Half(PROGRAM)
    yield process
    process.close()


@pytest.fixture
def unix_agent(tmp_path: Path) -> Iterator[UnixAgent]:
    agent = UnixAgent(tmp_path / "dsd.socket")
    yield agent
    agent.close()


def to(agent: Datagrams) -> tuple[str, str, int]:
    return "udp", "127.0.0.1", agent.port


# --- the same bytes ------------------------------------------------------------------------------

# Bytes that are not UTF-8, as Python has them in os.environ.
BROKEN = st.binary(max_size=20).map(lambda data: data.decode("utf-8", "surrogateescape"))
SIGMAS = st.text(st.sampled_from("Σ\u03c3ςAa\u0345\u02b0'. ·\u0301İß\u017fK"), max_size=12)
TEXTS = ANY | BROKEN | SIGMAS | st.lists(BROKEN | TEXT, max_size=4).map("".join)
ENTITY = st.none() | st.text(st.sampled_from("abc-/:0"), min_size=1, max_size=20)
KEYS = TEXTS.filter(bool)
TAGGED = st.tuples(
    *(st.none() | TEXTS, st.none() | TEXTS, st.none() | TEXTS, ENTITY),
    st.dictionaries(KEYS, TEXTS, max_size=4)
    | st.dictionaries(KEYS, TEXTS, min_size=20, max_size=40),
)
OUTCOMES = st.tuples(
    st.sampled_from(["success", "failure", "failure", "skipped"]),
    st.none() | st.sampled_from("exception exit usage interrupted signal lost nested".split()),
    st.none() | st.integers(0, 255),
    st.none() | st.sampled_from(["SIGTERM", "SIGKILL"]),
    st.none() | st.fixed_dictionaries({"type": TEXTS}, optional={"message": TEXTS, "where": TEXTS}),
)


def can_be_bytes(value: Any) -> bool:
    """Tell whether Ruby can have these texts: a surrogate that stands for no byte is in none."""
    if isinstance(value, str):
        try:
            return (
                value.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape") == value
            )
        except UnicodeEncodeError:
            return False
    if isinstance(value, dict):
        return all(can_be_bytes(pair) for pair in value.items())
    return not isinstance(value, tuple) or all(map(can_be_bytes, value))


def python_wire(
    destination: tuple[str, str, int], tagged: tuple[Any, ...], events: bool = True
) -> Wire:
    env, service, version, entity_id, tags = tagged
    return Wire(destination, Tags(service, env, version, tags, entity_id), events)


def python_run(task: str, framework: str, trigger: str) -> Any:
    run = a_run(task, framework)
    run.trigger = trigger
    return run


@settings(max_examples=300, **HYPOTHESIS)
@given(
    st.sampled_from([SMALL, ("unix", "/x", 0)]),
    TAGGED,
    st.booleans(),
    TEXTS,
    st.sampled_from(["rake", "thor"]),
    OUTCOMES,
    st.none() | st.floats(0, 1e9),
    TEXTS,
)
def test_the_lines_are_the_python_halfs(
    shared: Half,
    destination: tuple[str, str, int],
    tagged: tuple[Any, ...],
    events: bool,
    task: str,
    framework: str,
    outcome: tuple[Any, ...],
    duration: float | None,
    host: str,
) -> None:
    assume(can_be_bytes((tagged, task, outcome, host)))
    if outcome[0] == "success":
        outcome, duration = ("success", None, None, None, None), duration or 0.0
    wire = python_wire(destination, tagged, events)
    run = (task, framework, "cron")
    expected = wire.start_lines(python_run(*run))
    expected += wire.end_lines(python_run(*run), End(Outcome(*outcome), 0.0, duration), host)
    told = shared("lines", destination, tagged, events, run, outcome, duration, host)
    sent = [line.encode("utf-8", "replace") for line in expected]
    assert [line.encode("utf-8", "surrogateescape") for line in told] == sent


def test_each_letter_of_unicode_is_in_tags_what_it_is_in_python(shared: Half) -> None:
    letters = [letter for letter in shared("known") if unicodedata.category(letter) != "Cn"]
    pairs = [("k", f"a{''.join(letters[at : at + 90])}b") for at in range(0, len(letters), 90)]
    assert shared("tags", pairs) == [tag(key, value) for key, value in pairs]


LONG_TAGS = ("prod", "shop", "1.2", "pod-7", {f"key{n}": "value" * 8 for n in range(9)})


@pytest.mark.parametrize("task", ["nightly", "é" * 150, "a|b\n" * 40])
@pytest.mark.parametrize("tagged", [NO_TAGS, LONG_TAGS], ids=["no tags", "long tags"])
@pytest.mark.parametrize("way", ["udp", "small udp"])
def test_the_datagrams_are_the_python_halfs(
    shared: Half, datagrams: Datagrams, way: str, tagged: tuple[Any, ...], task: str
) -> None:
    host = {"udp": "127.0.0.1", "small udp": "0.0.0.0"}[way]  # the second: not known to be here
    destination = ("udp", host, datagrams.port)
    expected = _sent_by_python(destination, tagged, task, datagrams.received)
    datagrams.forget()
    shared("wire", destination, tagged)
    assert shared("started", task) == []
    assert shared("finished", (task, "rake", "cron"), FAILED, 1.5, "vm") == []
    wait_until(lambda: len(datagrams.received()) == len(expected))
    assert datagrams.received() == expected
    assert len(expected) > 2 or way == "udp" or tagged == NO_TAGS


@pytest.mark.parametrize("tagged", [NO_TAGS, LONG_TAGS], ids=["no tags", "long tags"])
def test_the_datagrams_for_a_socket_file_are_the_python_halfs(
    shared: Half, unix_agent: UnixAgent, tagged: tuple[Any, ...]
) -> None:
    destination = ("unix", unix_agent.url[7:], 0)
    expected = _sent_by_python(destination, tagged, "nightly", unix_agent.received)
    shared("wire", destination, tagged)
    assert shared("started") == []
    assert shared("finished", ("nightly", "rake", "cron"), FAILED, 1.5, "vm") == []
    assert unix_agent.received() == expected


def _sent_by_python(
    destination: tuple[str, str, int],
    tagged: tuple[Any, ...],
    task: str,
    received: Callable[[], list[bytes]],
) -> list[bytes]:
    wire = python_wire(destination, tagged)
    wire.started(python_run(task, "rake", "cron"))
    wire.finished(python_run(task, "rake", "cron"), End(Outcome(*FAILED), 0.0, 1.5), "vm")
    wire.close()
    sent: list[bytes] = []

    def all_came() -> bool:
        sent.extend(received() if destination[0] == "unix" else received()[len(sent) :])
        return b"_e{" in b"".join(sent)

    wait_until(all_came)
    return sent


# --- the sockets ---------------------------------------------------------------------------------

STARTED = [["nightly", "started"]]


@pytest.mark.parametrize(
    "destination",
    [
        ("udp", "127.0.0.1", 9),
        ("udp", "localhost", 9),
        ("udp", "::1", 9),
        ("udp", "999.1.1.1", 8125),
        ("udp", "1:2:3", 8125),
        ("udp", "caf\udce9", 8125),
        ("unix", "/nowhere/dsd.socket", 0),
        ("unix", "/" + "x" * 200, 0),
        ("unix", "/", 0),
    ],
    ids=lambda destination: ascii(destination)[:40],
)
def test_an_agent_that_refuses_is_left_alone_for_a_tenth_of_a_second(
    ruby: Half, destination: tuple[str, str, int]
) -> None:
    ruby("wire", destination, NO_TAGS)
    before, until, after = ruby("pause")
    assert ruby("lost") == STARTED
    assert before + 0.1 <= until <= after + 0.1
    wait_until(lambda: ruby("state") == [False, True])
    told = ruby("finished", ("nightly", "rake", "cron"), FAILED, 1.5, "vm")
    assert told == [["nightly", "finished"]]


def test_a_wire_is_paused_only_after_a_refusal(ruby: Half, datagrams: Datagrams) -> None:
    ruby("wire", to(datagrams), NO_TAGS)
    assert ruby("started") == []
    assert ruby("state") == [False, False]
    ruby("wire", ("udp", "127.0.0.1", 9), NO_TAGS)
    assert ruby("paused_within_the_pause") is True


def test_an_agent_that_has_made_another_socket_file_gets_the_next_datagram(
    ruby: Half, tmp_path: Path
) -> None:
    agent = UnixAgent(tmp_path / "dsd.socket")
    ruby("wire", ("unix", str(tmp_path / "dsd.socket"), 0), NO_TAGS)
    assert ruby("started") == []
    assert len(agent.received()) == 1
    agent.close()
    agent = UnixAgent(tmp_path / "dsd.socket")
    assert ruby("started") == []
    assert len(agent.received()) == 1
    agent.close()
    assert ruby("started") == STARTED


def test_an_agent_that_reads_nothing_is_not_waited_for(ruby: Half, unix_agent: UnixAgent) -> None:
    ruby("wire", ("unix", unix_agent.url[7:], 0), NO_TAGS)
    lost: list[list[str]] = []
    while not lost:
        lost = ruby("started")
    assert lost == STARTED
    assert ruby("state") == [False, True]  # a full buffer is no reason to pause
    assert unix_agent.received()
    assert ruby("started") == []


def test_an_agent_is_reached_by_ipv6(ruby: Half) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as agent:
        try:
            agent.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 on this machine")
        agent.settimeout(PATIENCE)
        ruby("wire", ("udp", "::1", agent.getsockname()[1]), NO_TAGS)
        assert ruby("started") == []
        assert agent.recv(1 << 16).startswith(b"autotask.task.started:1|c|#task:nightly,")


@pytest.mark.parametrize("way", ["udp", "unix"])
def test_a_descriptor_that_the_program_has_closed_and_reused_is_left_to_it(
    ruby: Half, datagrams: Datagrams, unix_agent: UnixAgent, tmp_path: Path, way: str
) -> None:
    ruby("wire", to(datagrams) if way == "udp" else ("unix", unix_agent.url[7:], 0), NO_TAGS)
    ruby("started")
    ruby("reuse_descriptor", str(tmp_path / "theirs"))
    assert ruby("started") == []
    assert ruby("close") == []
    received: Callable[[], list[bytes]] = (
        datagrams.received if way == "udp" else unix_agent.received
    )
    wait_until(lambda: len(received()) == 2 or way == "unix")
    assert ruby("write_on_theirs") == "theirs"
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_a_socket_that_the_program_has_closed_is_opened_again(
    ruby: Half, datagrams: Datagrams
) -> None:
    ruby("wire", to(datagrams), NO_TAGS)
    ruby("started")
    ruby("close_each_socket")
    assert ruby("started") == []
    wait_until(lambda: len(datagrams.received()) == 2)


def test_a_fork_may_close_its_copy(ruby: Half, datagrams: Datagrams) -> None:
    ruby("wire", to(datagrams), NO_TAGS)
    ruby("started")
    assert ruby("close_in_a_fork") == 0
    assert ruby("started") == []
    wait_until(lambda: len(datagrams.received()) == 2)


def test_threads_share_a_wire(ruby: Half, datagrams: Datagrams) -> None:
    ruby("wire", to(datagrams), NO_TAGS)
    assert ruby("started_in_threads", 8, 25) == []
    wait_until(lambda: len(datagrams.received()) == 200)
    tasks = {line.split("task:")[1].split(",")[0] for line in datagrams.lines()}
    assert len(tasks) == 200


def test_a_trap_may_run_a_task_while_the_lock_is_held(ruby: Half, datagrams: Datagrams) -> None:
    ruby("wire", to(datagrams), NO_TAGS)
    assert ruby("started_in_a_trap") == []
    wait_until(lambda: len(datagrams.received()) == 2)


def test_no_more_than_the_socket_library_is_loaded_and_that_for_the_first_datagram(
    ruby: Half, datagrams: Datagrams
) -> None:
    ruby("wire", to(datagrams), NO_TAGS)
    before = ruby("features")
    ruby("lines", to(datagrams), NO_TAGS, True, ("a", "rake", "cron"), FAILED, 1.5, "vm")
    assert ruby("features") == before
    ruby("started")
    (added,) = set(ruby("features")) - set(before)
    assert added.endswith("/socket.so")


# --- names of hosts ------------------------------------------------------------------------------


def test_a_host_that_has_a_name_gets_what_has_waited_for_its_address(
    ruby: Half, datagrams: Datagrams
) -> None:
    skip_without_a_name()
    ruby("wire", ("udp", "LOCALHOST", datagrams.port), NO_TAGS)
    assert ruby("started", "first") == []
    wait_until(lambda: len(datagrams.received()) == 1)
    assert ruby("started", "second") == []
    wait_until(lambda: len(datagrams.received()) == 2)
    names = [line.split("task:")[1].split(",")[0] for line in datagrams.lines()]
    assert names == ["first", "second"]


def test_a_host_that_is_not_known_is_asked_for_again_only_later(ruby: Half) -> None:
    ruby("wire", ("udp", "agent.invalid", 8125), NO_TAGS)
    ruby("find_nothing")
    told = ruby("started")
    wait_until(lambda: bool(told or told.extend(ruby("lost")) or told))
    assert told == STARTED
    assert ruby("state") == [True, True]


def test_what_waits_for_an_address_is_lost_when_the_wire_is_closed(ruby: Half) -> None:
    ruby("wire", ("udp", "agent.invalid", 8125), NO_TAGS)
    ruby("find_nothing_for_ever")
    for _ in range(1000):
        assert ruby("started") == []
    assert ruby("started") == STARTED  # it does not keep more
    assert ruby("close") == STARTED * 1000
    assert ruby("state")[1] is True


class NameServer:
    """A name server: answers each question by *answer*, or not at all if that returns None."""

    def __init__(self, answer: Callable[[bytes, str, int], bytes | None], port: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self._answer = answer
        self.asked: list[tuple[str, int]] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                query, asker = self._socket.recvfrom(512)
            except OSError:
                return
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1 : at + 1 + query[at]].decode())
                at += 1 + query[at]
            kind = int.from_bytes(query[at + 1 : at + 3], "big")
            name = ".".join(labels)
            self.asked.append((name, kind))
            answer = self._answer(query, name, kind)
            if answer is not None:
                self._socket.sendto(answer, asker)

    def close(self) -> None:
        self._socket.close()


def records(query: bytes, *found: tuple[int, bytes]) -> bytes:
    """Write an answer with records of a kind and data, of the name that was asked for."""
    head = query[:2] + struct.pack("!5H", 0x8180, 1, len(found), 0, 0)
    told = [
        b"\xc0\x0c" + struct.pack("!2HIH", kind, 1, 60, len(data)) + data for kind, data in found
    ]
    return head + query[12:] + b"".join(told)


A, CNAME, AAAA = 1, 5, 28
V4, V6 = socket.inet_aton("10.1.2.3"), socket.inet_pton(socket.AF_INET6, "fe80::1:2")
ALIAS = (CNAME, b"\x05other\x02dd\x00")


@pytest.mark.parametrize(
    ("settings", "known", "address", "asked"),
    [
        ("", {("agent", A): [(A, V4)]}, "10.1.2.3", [("agent", A)]),
        ("", {("agent", A): [ALIAS, (A, V4)]}, "10.1.2.3", [("agent", A)]),
        (
            "",
            {("agent", AAAA): [(AAAA, V6)]},
            "fe80:0:0:0:0:0:1:2",
            [("agent", A), ("agent", AAAA)],
        ),
        ("", {}, None, [("agent", A), ("agent", AAAA)]),
        (
            "search svc.local. local\noptions ndots:5",
            {("agent.local", A): [(A, V4)]},
            "10.1.2.3",
            [("agent.svc.local", A), ("agent.svc.local", AAAA), ("agent.local", A)],
        ),
        (
            "search x\ndomain y # the last counts",
            {("agent.y", A): [(A, V4)]},
            "10.1.2.3",
            [("agent.y", A)],
        ),
    ],
)
def test_name_servers_are_asked_as_resolv_conf_says(
    shared: Half,
    tmp_path: Path,
    settings: str,
    known: dict[tuple[str, int], list[tuple[int, bytes]]],
    address: str | None,
    asked: list[tuple[str, int]],
) -> None:
    server = NameServer(lambda query, name, kind: records(query, *known.get((name, kind), [])))
    file = write(tmp_path / "resolv.conf", f"; a comment\nnameserver 127.0.0.1\n{settings}\n")
    hosts = write(tmp_path / "hosts", "127.0.0.1 localhost # agent\n")
    assert shared("address_of", "agent", str(hosts), str(file), server.port) == address
    assert server.asked == asked
    server.close()


@pytest.mark.parametrize("name", ["agent", "AGENT", "agent.example.org"])
def test_a_name_in_etc_hosts_needs_no_server(shared: Half, tmp_path: Path, name: str) -> None:
    hosts = write(tmp_path / "hosts", "# a comment\n\n10.9.8.7\tagent.example.org  agent\n")
    assert shared("address_of", name, str(hosts), "/nowhere", 9) == "10.9.8.7"


def test_the_dots_of_a_name_decide_what_is_asked_for_first(shared: Half, tmp_path: Path) -> None:
    server = NameServer(lambda query, name, kind: records(query))
    file = write(tmp_path / "resolv.conf", "nameserver 127.0.0.1\nsearch x\n")
    for name, expected in (
        ("a.b", ["a.b", "a.b.x"]),
        ("a", ["a.x", "a"]),
        ("a.", ["a"]),
    ):
        server.asked.clear()
        assert shared("address_of", name, "/nowhere", str(file), server.port) is None
        assert [asked for asked, kind in server.asked if kind == A] == expected
    server.close()


def test_an_answer_to_another_question_is_not_taken(shared: Half, tmp_path: Path) -> None:
    server = NameServer(lambda query, name, kind: records(b"\0\0" + query[2:], (A, V4)))
    file = write(tmp_path / "resolv.conf", "nameserver 127.0.0.1\n")
    assert shared("address_of", "agent", "/nowhere", str(file), server.port) is None
    server.close()


@settings(max_examples=200, **HYPOTHESIS)
@given(st.binary(max_size=80), st.booleans())
@example(b"\xc0\x0c\x00\x01\x00\x01", True)
@example(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\x01", True)
def test_any_answer_is_read_without_an_error(shared: Half, data: bytes, is_headed: bool) -> None:
    query = b"\0\1" + struct.pack("!5H", 0x100, 1, 0, 0, 0) + b"\x05agent\0\0\1\0\1"
    answer = records(query, (A, b""))[:-12] + data if is_headed else data
    shared("read_answer", answer.decode("utf-8", "surrogateescape"), len(query))


SILENT = """
import socket, subprocess, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
server.setblocking(False)
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE)
print(done.returncode, done.stdout.decode().strip())
asked = 0
try:
    while True:
        server.recv(512)
        asked += 1
except BlockingIOError:
    print(asked)
"""


def test_a_name_server_that_is_silent_does_not_hold_up_the_end_of_the_program(
    tmp_path: Path,
) -> None:
    """Without depending on speed: getaddrinfo would ask five times and more before it gave up."""
    if os.getuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root, and unshare")
    options = "search x y\noptions timeout:1 attempts:5"
    resolv = write(tmp_path / "resolv.conf", f"nameserver 127.0.0.1\n{options}\n")
    silent = write(tmp_path / "silent.py", SILENT)
    program = f"""{LOADER}{PROGRAM}
    wire(["udp", "agent.nowhere", 8125], [nil, nil, nil, nil, {{}}])
    AutotaskAgent.guarded("a task") {{ started }}
    Thread.pass until Thread.list.any? {{ |thread| thread.stop? && thread != Thread.main }}
    p close
    """
    shell = f'mount --bind {resolv} /etc/resolv.conf && ip link set lo up || exit 77\nexec "$@"'
    words = ["unshare", "-n", "-m", "sh", "-c", shell, "sh", sys.executable, str(silent)]
    done = subprocess.run(
        [*words, RUBY, "-e", program], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if done.returncode in (1, 77):
        pytest.skip(f"may not make namespaces: {done.stderr}")
    ended, asked = done.stdout.splitlines()
    assert ended == '0 [["nightly", "started"]]'
    assert int(asked) < 5
