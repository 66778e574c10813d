"""What the Agent certainly did not take is marked in the journal, and nothing else."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import (
    Datagrams,
    Ended,
    a_run,
    deliveries,
    only_run,
    run_program,
    runs,
    wire_of,
    write,
)
from test_wire import UnixAgent

from autotask.dogstatsd import Wire
from autotask.run import SUCCESS, End

PROGRAM = """
import autotask, time

@autotask.task(name="a")
def work(pause): time.sleep(pause)

for pause in {pauses}: work(pause)
"""
QUICK, LONG = 0.0, 0.3  # seconds: within the pause that follows a refusal, and beyond it


@pytest.fixture
def unix_agent(tmp_path: Path) -> Iterator[UnixAgent]:
    agent = UnixAgent(tmp_path / "dsd.socket")
    yield agent
    agent.close()


def marked(home: Path) -> list[str]:
    """Return which lines of runs are marked, run by run."""
    order = {run["run"]: number for number, run in enumerate(runs(home))}
    told = sorted((order[run], of == "finished", of, event) for run, of, event in deliveries(home))
    assert {event for *_, event in told} <= {"unsent"}
    return [f"{number} {of}" for number, _, of, _ in told]


ABSENT = {
    "a port without a listener": "udp://127.0.0.1:9",
    "such a port of the newer kind": "udp://[::1]:9",
    "a missing socket file": "unix:///no/such/socket",
    "a file that is not a socket": "unix:///etc/passwd",
}


@pytest.mark.parametrize("pauses", [[QUICK] * 3, [LONG] * 2], ids=["quick", "long"])
@pytest.mark.parametrize("url", ABSENT.values(), ids=ABSENT)
def test_everything_is_marked_unsent_if_nothing_is_listening(
    url: str, pauses: list[float], tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "shop.py", PROGRAM.format(pauses=pauses))
    env: dict[str, str | None] = {"DD_DOGSTATSD_URL": url, "AUTOTASK_PROCESS": "0"}
    assert run_program(script, env=env) == Ended(0, "", "")
    assert marked(home) == [
        f"{number} {of}" for number in range(len(pauses)) for of in ("started", "finished")
    ]


def test_nothing_is_marked_unsent_if_an_agent_is_listening(
    tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    script = write(tmp_path / "shop.py", PROGRAM.format(pauses=[QUICK] * 3))
    run_program(script)
    assert len(datagrams.lines("autotask.task.runs", wait=5)) == 4
    assert marked(home) == []


@pytest.mark.parametrize(
    "env",
    [{"AUTOTASK_DOGSTATSD": "0"}, {"DD_AGENT_HOST": "192.0.2.1", "DD_DOGSTATSD_URL": None}],
    ids=["turned off", "another host"],
)
def test_nothing_is_marked_unsent_if_delivery_cannot_be_known(
    env: dict[str, str | None], tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "shop.py", PROGRAM.format(pauses=[QUICK]))
    assert run_program(script, env=env) == Ended(0, "", "")
    assert [(run["task"], run["status"]) for run in runs(home)] == [
        ("shop.py", "success"),
        ("a", "success"),
    ]
    assert marked(home) == []


def test_only_what_came_before_a_late_agent_is_marked_unsent(tmp_path: Path, home: Path) -> None:
    path = tmp_path / "dsd.socket"
    program = f"""
import autotask, socket, time
now = 1000.0
time.monotonic = lambda: now  # the test decides when the pause after a refusal ends

@autotask.task(name="a")
def work(pause):
    global now
    now += pause

work({LONG})
agent = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
agent.bind({str(path)!r})
work({LONG})
work({QUICK})
agent.setblocking(False)
said = b""
try:
    while True: said += agent.recv(8192)
except BlockingIOError: print(said.count(b"started:1"), said.count(b"runs:1"))
"""
    env: dict[str, str | None] = {"DD_DOGSTATSD_URL": f"unix://{path}", "AUTOTASK_PROCESS": "0"}
    ended = run_program(write(tmp_path / "shop.py", program), env=env)
    # Nothing is tried during the pause after the end of the first run.
    assert (ended, marked(home)) == (
        Ended(0, "1 2\n", ""),
        ["0 started", "0 finished", "1 started"],
    )


def test_only_what_a_full_buffer_did_not_take_is_marked_unsent(
    tmp_path: Path, home: Path, unix_agent: UnixAgent
) -> None:
    script = write(tmp_path / "shop.py", PROGRAM.format(pauses=[QUICK] * 500))
    run_program(script, env={"DD_DOGSTATSD_URL": unix_agent.url, "AUTOTASK_PROCESS": "0"})
    taken = len(unix_agent.received())
    assert 0 < taken < 1000
    assert len(marked(home)) == 1000 - taken


def test_everything_is_marked_unsent_if_the_host_name_is_unknown(
    tmp_path: Path, home: Path
) -> None:
    program = PROGRAM.format(pauses=[QUICK, LONG, QUICK])
    url = "udp://no-such-host.invalid:8125"
    env: dict[str, str | None] = {"DD_DOGSTATSD_URL": url, "AUTOTASK_PROCESS": "0"}
    run_program(write(tmp_path / "shop.py", program), env=env)
    assert marked(home) == [f"{n} {of}" for n in range(3) for of in ("started", "finished")]


def test_a_launcher_marks_its_own_runs(home: Path) -> None:
    run_program("true", under="launcher")
    assert only_run(home)["status"] == "success"
    assert marked(home) == ["0 started", "0 finished"]


CROWDED = """
import autotask, signal, socket, threading

agent = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
agent.bind({path!r})  # and reads nothing

@autotask.task(name="a")
def work(): pass

over = False
def many():
    while not over: work()

alarms = 0
def handler(number, frame):
    global alarms, over
    work()
    alarms += 1
    over = alarms == 100
    if not over: signal.setitimer(signal.ITIMER_REAL, 0.001)  # never one while another is handled

signal.signal(signal.SIGALRM, handler)
threads = [threading.Thread(target=many) for _ in range(2)]
[thread.start() for thread in threads]
signal.setitimer(signal.ITIMER_REAL, 0.001)
many()
[thread.join() for thread in threads]
print("done")
"""


def test_a_refusal_is_noted_while_nothing_is_locked(tmp_path: Path) -> None:
    path = tmp_path / "full.socket"
    script = write(tmp_path / "shop.py", CROWDED.format(path=str(path)))
    env: dict[str, str | None] = {"DD_DOGSTATSD_URL": f"unix://{path}"}
    assert run_program(script, env=env) == Ended(0, "done\n", "")


# --- the wire itself -----------------------------------------------------------------------------


@pytest.fixture
def refusals() -> list[int]:
    """Return a list to which a wire of `wire_to` adds each refusal."""
    return []


def wire_to(url: str, refusals: list[int] | None = None, **environ: str) -> Wire:
    environ = {"DD_DOGSTATSD_URL": url, **environ}
    return wire_of(environ, None if refusals is None else lambda *_: refusals.append(1))


def test_after_a_refusal_nothing_is_tried_for_a_moment(
    tmp_path: Path, refusals: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    wire = wire_to(f"unix://{tmp_path}/dsd.socket", refusals)
    assert not wire.is_paused()
    wire.started(a_run())
    assert wire.is_paused()
    assert refusals == [1]
    now += 1
    assert not wire.is_paused()


def test_a_slow_agent_is_tried_again_at_once(unix_agent: UnixAgent, refusals: list[int]) -> None:
    wire = wire_to(unix_agent.url, refusals)
    while not refusals:
        wire.started(a_run())
    assert not wire.is_paused()
    unix_agent.received()
    wire.started(a_run())
    assert refusals == [1]
    wire.close()


def test_a_restarted_agent_is_not_a_refusal(tmp_path: Path, refusals: list[int]) -> None:
    path = tmp_path / "dsd.socket"
    wire = wire_to(f"unix://{path}", refusals)
    for _ in range(3):
        agent = UnixAgent(path)
        wire.started(a_run())
        agent.close()
    assert refusals == []
    wire.close()


def test_a_refusal_names_the_run_and_what_was_sent_of_it(tmp_path: Path) -> None:
    named: list[object] = []
    environ = {"DD_DOGSTATSD_URL": f"unix://{tmp_path}/dsd.socket"}
    wire, run = wire_of(environ, lambda *about: named.append(about)), a_run()
    wire.started(run)
    wire.running(run, 60.0)  # a heartbeat is not journalled
    wire.finished(run, End(SUCCESS, 0.0, 1.0), "vm")
    assert named == [(run, "started"), (run, "finished")]


def test_what_still_waits_for_an_address_at_the_end_is_marked_unsent() -> None:
    wire = wire_to("udp://LOCALHOST:9")
    wire._resolving = True  # by a thread that never finishes
    wire.started(a_run())
    assert not wire.has_refused
    wire.close()
    assert wire.has_refused


def test_what_waits_for_an_address_is_refused_when_the_wire_is_closed(refusals: list[int]) -> None:
    wire = wire_to("udp://LOCALHOST:9", refusals)
    wire._resolving = True  # by a thread that never finishes
    for _ in range(1005):
        wire.started(a_run())
    assert len(refusals) == 5  # more than are kept
    wire.close()
    assert len(refusals) == 1005


def test_several_datagrams_of_one_end_are_refused_as_one(refusals: list[int]) -> None:
    taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taken.bind(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    taken.close()
    tags = ",".join(f"tag{n}:{'x' * 180}" for n in range(30))
    wire = wire_to(f"udp://127.0.0.1:{port}", refusals, AUTOTASK_TAGS=tags)
    wire.finished(a_run(), End(SUCCESS, 0.0, 1.0), "vm")
    assert refusals == [1]
    wire.close()
