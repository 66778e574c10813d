"""What the Agent did not take is owed until it is delivered, and forgotten then."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from autotask import homes, journal
from autotask.around import undelivered
from autotask.run import SUCCESS

MANY = 50_000
HOUR = 3600.0


@pytest.fixture
def notes(home: Path) -> journal.Journal:
    return journal.Journal(str(home))


def tell(notes: journal.Journal, event: str, runs: range) -> None:
    """Note of the ends of some runs that they were unsent, or sent."""
    lines = [journal.delivery_line(event, f"{run:016x}", "0" * 16, "finished") for run in runs]
    notes.append("\n".join(lines))


def remembered(owing: undelivered.Undelivered) -> int:
    """Return the number of entries in all that is kept between two looks."""
    return sum(len(value) for value in vars(owing).values() if isinstance(value, (dict, set)))


def test_what_was_delivered_is_forgotten(home: Path, notes: journal.Journal) -> None:
    owing = undelivered.recent(str(home))
    for first in range(0, MANY, 1000):
        runs = range(first, first + 1000)
        tell(notes, "unsent", runs)
        assert len(owing.catch_up()) == 1000
        tell(notes, "sent", runs)
        assert owing.catch_up() == {}
        assert remembered(owing) == 0


def test_what_was_given_up_is_forgotten_when_it_is_too_old(home: Path) -> None:
    owing = undelivered.recent(str(home))
    at = time.time() - undelivered.TOLD - 1
    line = journal.finished_line("1" * 16, "1" * 16, at, SUCCESS, 1.0, None, None, unsent=True)
    segment = home / "journal" / journal.segment(at)
    homes.make_folder(str(segment.parent))
    segment.write_text(f"{line}\n")
    owing.give_up({("1" * 16, "finished")})
    assert owing.catch_up() == {}
    assert remembered(owing) == 0


def test_a_refusal_after_a_delivery_is_owed_since_the_first_one(
    home: Path, notes: journal.Journal
) -> None:
    owing = undelivered.recent(str(home))
    tell(notes, "unsent", range(1))
    first = owing.catch_up()
    tell(notes, "sent", range(1))
    tell(notes, "unsent", range(1))
    assert owing.catch_up() == first
    tell(notes, "sent", range(1))
    assert owing.catch_up() == {}


def test_a_late_line_in_an_older_segment_is_owed(home: Path, notes: journal.Journal) -> None:
    owing = undelivered.recent(str(home))
    tell(notes, "unsent", range(1))
    folder = home / "journal"
    now = time.time()
    for hours in (2, 1):
        (folder / journal.segment(now - hours * HOUR)).touch()
    assert len(owing.catch_up()) == 1
    line = journal.delivery_line("unsent", "1" * 16, "0" * 16, "finished")
    (folder / journal.segment(now - 2 * HOUR)).write_text(f"{line}\n")
    assert len(owing.catch_up()) == 2
    earliest = folder / journal.segment(now - 30 * HOUR)
    line = journal.delivery_line("unsent", "2" * 16, "0" * 16, "finished")
    earliest.write_text(f"{line}\n")
    assert len(owing.catch_up()) == 3
