"""What the Agent did not take is undelivered until it is delivered, then forgotten."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support import a_run

from autotask import homes, journal
from autotask.around import undelivered
from autotask.run import SUCCESS, End

MANY = 50_000
HOUR = 3600.0


@pytest.fixture
def notes(home: Path) -> journal.Journal:
    return journal.Journal(str(home))


def tell(notes: journal.Journal, event: str, runs: range) -> None:
    """Note that the ends of some runs were unsent, or sent."""
    lines = [journal.delivery_line(event, f"{run:016x}", "0" * 16, "finished") for run in runs]
    notes.append("\n".join(lines))


def remembered(missed: undelivered.Undelivered) -> int:
    """Return the number of entries kept between two reads of the journal."""
    return sum(len(value) for value in vars(missed).values() if isinstance(value, (dict, set)))


def test_delivered_lines_are_forgotten(home: Path, notes: journal.Journal) -> None:
    missed = undelivered.recent(str(home))
    for first in range(0, MANY, 1000):
        runs = range(first, first + 1000)
        tell(notes, "unsent", runs)
        assert len(missed.catch_up()) == 1000
        tell(notes, "sent", runs)
        assert missed.catch_up() == {}
        assert remembered(missed) == 0


def test_lines_that_were_given_up_are_forgotten_when_they_are_too_old(home: Path) -> None:
    missed = undelivered.recent(str(home))
    at = time.time() - undelivered.TOLD - 1
    line = journal.finished_line(a_run(run_id="1" * 16), End(SUCCESS, at, 1.0), unsent=True)
    segment = home / "journal" / journal.segment(at)
    homes.make_folder(str(segment.parent))
    segment.write_text(f"{line}\n")
    missed.give_up({("1" * 16, "finished")})
    assert missed.catch_up() == {}
    assert remembered(missed) == 0


def test_a_refusal_after_a_delivery_counts_from_the_first_refusal(
    home: Path, notes: journal.Journal
) -> None:
    missed = undelivered.recent(str(home))
    tell(notes, "unsent", range(1))
    first = missed.catch_up()
    tell(notes, "sent", range(1))
    tell(notes, "unsent", range(1))
    assert missed.catch_up() == first
    tell(notes, "sent", range(1))
    assert missed.catch_up() == {}


def test_a_late_line_in_an_older_segment_is_undelivered_too(
    home: Path, notes: journal.Journal
) -> None:
    missed = undelivered.recent(str(home))
    tell(notes, "unsent", range(1))
    folder = home / "journal"
    now = time.time()
    for hours in (2, 1):
        (folder / journal.segment(now - hours * HOUR)).touch()
    assert len(missed.catch_up()) == 1
    line = journal.delivery_line("unsent", "1" * 16, "0" * 16, "finished")
    (folder / journal.segment(now - 2 * HOUR)).write_text(f"{line}\n")
    assert len(missed.catch_up()) == 2
    earliest = folder / journal.segment(now - 30 * HOUR)
    line = journal.delivery_line("unsent", "2" * 16, "0" * 16, "finished")
    earliest.write_text(f"{line}\n")
    assert len(missed.catch_up()) == 3
