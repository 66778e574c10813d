"""autotask-run delivers on its way out what the Agent missed of earlier runs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support import PATIENCE, Datagrams, deliveries, run_program, start_program, wait_until, write
from test_wire import UnixAgent
from tool.journals import Book

from autotask.around import redeliver, undelivered
from autotask.journal import Journal, delivery_line
from autotask.settings import Settings

NOBODY: dict[str, str | None] = {"DD_DOGSTATSD_URL": "udp://127.0.0.1:9"}


WHOLE = redeliver.SETTLED + 2  # seconds after which a second is delivered, the tenth one, too


@pytest.fixture
def book(home: Path) -> Book:
    return Book(home)


def launch(name: str, env: dict[str, str | None] | None = None) -> None:
    run_program("true", under="launcher", env={"AUTOTASK_NAME": name, **(env or {})})


def told(datagrams: Datagrams) -> list[tuple[str, bool]]:
    """Return the task of each counted start and end, and whether it came late."""
    counts = datagrams.lines("autotask.task.started:", 5) + datagrams.lines("autotask.task.runs:")
    datagrams.forget()
    return [(line.partition("#task:")[2].partition(",")[0], "|T" in line) for line in counts]


def notes(home: Path) -> list[str]:
    """Return the notes `unsent` and `sent` of the journal."""
    return [event for _, _, event in deliveries(home)]


def test_what_was_missed_of_earlier_runs_is_delivered_once_and_late(
    home: Path, datagrams: Datagrams
) -> None:
    launch("a", NOBODY)
    launch("b", NOBODY)
    time.sleep(WHOLE)
    launch("c")
    assert sorted(told(datagrams)) == sorted(
        [("c", False), ("c", False), *[("a", True), ("b", True)] * 2]
    )
    launch("d")
    assert told(datagrams) == [("d", False), ("d", False)]
    assert notes(home) == ["unsent"] * 4 + ["sent"] * 4


# Settings of a launcher that cannot know whether an Agent has taken the end of its run.
UNCERTAIN: dict[str, dict[str, str | None]] = {
    "nothing is listening": NOBODY,
    "the Agent is on another host": {"DD_DOGSTATSD_URL": "udp://192.0.2.1:8125"},
    "datagrams are off": {"AUTOTASK_DOGSTATSD": "0"},
    "the journal is off": {"AUTOTASK_JOURNAL": "0"},
}


@pytest.mark.parametrize("env", UNCERTAIN.values(), ids=UNCERTAIN)
def test_it_is_delivered_only_to_an_agent_that_has_taken_the_launchers_own_end(
    env: dict[str, str | None], home: Path, book: Book, datagrams: Datagrams
) -> None:
    book.run("earlier", ago=60, unsent=True)
    launch("a", env)
    assert "sent" not in notes(home)
    assert not [line for line in datagrams.lines() if "|T" in line]
    datagrams.forget()
    launch("b")
    assert notes(home).count("sent") == 2
    assert sorted(told(datagrams)) == [*[("b", False)] * 2, *[("earlier", True)] * 2]


def test_an_agent_that_has_taken_only_the_start_gets_nothing_late(
    home: Path, book: Book, tmp_path: Path
) -> None:
    book.run("earlier", ago=60, unsent=True)
    script = write(tmp_path / "nap.sh", f"while [ ! -e {tmp_path}/end ]; do sleep 0.05; done")
    agent = UnixAgent(tmp_path / "dsd.socket")
    env: dict[str, str | None] = {"DD_DOGSTATSD_URL": agent.url}
    with start_program("sh", script, under="launcher", env=env) as launcher:
        wait_until(lambda: b"task.started" in b"".join(agent.received()))
        agent.close()
        (tmp_path / "end").touch()
        assert launcher.wait(PATIENCE) == 0
    assert notes(home) == ["unsent"] * 3  # the launcher's own end is the third
    agent = UnixAgent(tmp_path / "dsd.socket")
    launch("b", env)
    assert notes(home).count("sent") == 2
    agent.close()


def middle_of_a_second(ago: int) -> float:
    """Return how many seconds ago the middle of a second was that is not a flush of the Agent."""
    now = time.time()
    second = int(now) - ago
    second -= second % 10 - 5
    return now - second - 0.5


def test_only_the_end_of_a_long_journal_is_read(
    home: Path, book: Book, datagrams: Datagrams
) -> None:
    ago = middle_of_a_second(60)
    book.run("a", ago=ago, duration=0.01, unsent=True)
    with book.segment(ago).open("a") as segment:
        segment.write('{"event":"of another program"}\n' * 20_000)
    # More lines of the first second may be before the part that is read.
    book.run("first", ago=ago, duration=0.01, unsent=True)
    book.run("b", ago=ago - 10, duration=0.01, unsent=True)
    launch("c")
    assert sorted(told(datagrams)) == [("b", True), ("b", True), ("c", False), ("c", False)]


HALF_A_MEBIBYTE = 512 << 10


@pytest.mark.parametrize("is_inside", [True, False])
def test_the_end_that_is_read_has_half_a_mebibyte(is_inside: bool, book: Book) -> None:
    run = book.run()
    unsent = delivery_line("unsent", run.id, run.root, "finished") + "\n"
    behind = HALF_A_MEBIBYTE - (len(unsent) if is_inside else 0)
    with book.segment().open("a") as segment:
        segment.write(unsent + "x" * (behind - 1) + "\n")
    found = undelivered.few(str(book.home / "journal"))
    assert (found is not None) is is_inside


@pytest.mark.parametrize(("missed", "delivered"), [(99, 99), (100, 100), (101, 100)])
def test_a_launcher_delivers_a_hundred_lines_at_most(
    missed: int, delivered: int, book: Book, datagrams: Datagrams
) -> None:
    oldest = middle_of_a_second(1200)
    for number in range(missed):
        book.run(outcome=None, ago=oldest - 10 * number, unsent=True)
    journal, settings = Journal(str(book.home)), Settings({"DD_DOGSTATSD_URL": datagrams.url})
    few = undelivered.few(journal.folder)
    assert few is not None
    redeliver.ship_few(few, settings, journal)
    assert notes(book.home).count("sent") == delivered
    journal.close()
