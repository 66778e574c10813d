"""Where the parts of the plots are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tool.report import sample

from autotask.tool.report import plots
from autotask.tool.report.contents import OK, Bar, Point

HOUR = 3600.0
SPAN = plots.Span(sample.NOW - 24 * HOUR, sample.NOW)


@pytest.mark.parametrize(
    ("begin", "end", "x", "width"),
    [
        (0, 6, 0, 25),
        (12, 24, 50, 50),
        (6, 6, 25, 0.25),  # too short to be seen otherwise
        (24, 24, 99.75, 0.25),  # and it stays inside
    ],
)
def test_a_bar_is_where_its_time_is(begin: float, end: float, x: float, width: float) -> None:
    bar = Bar(SPAN.begin + begin * HOUR, SPAN.begin + end * HOUR, 1, OK, second=False)
    assert SPAN.box(bar)[:2] == (x, width)


@pytest.mark.parametrize(
    ("zone", "first", "at"),
    [("UTC", "06:00", 0.0), ("Asia/Kolkata", "12:00", 2.08), ("Europe/Berlin", "09:00", 8.33)],
)
def test_a_time_line_has_the_hours_of_the_readers_clock(
    zone: str, first: str, at: float, set_zone: Callable[[str], None]
) -> None:
    set_zone(zone)
    marks = SPAN.hours()
    assert (marks[0].text, marks[0].at) == (first, at)
    assert all(mark.text.endswith(":00") for mark in marks)
    assert {int(mark.text[:2]) % 3 for mark in marks} == {0}
    assert [mark.is_minor for mark in marks] == [int(mark.text[:2]) % 6 != 0 for mark in marks]


def test_the_scale_of_durations_is_logarithmic_and_holds_all_of_them() -> None:
    tasks = [
        sample.task("short", usual=0.02, band=(0.015, 0.03), last=0.02),
        sample.task("long", usual=5000.0, band=(4000.0, 6000.0), last=9000.0),
        sample.task("unknown", usual=None, band=None, last=None),
    ]
    scale = plots.Scale(tasks)
    places = [scale.percent(seconds) for seconds in (0.015, 1, 10, 60, 9000)]
    assert places == sorted(places)
    assert 2 <= places[0] < places[-1] <= 98
    assert scale.percent(10) - scale.percent(1) == pytest.approx(
        scale.percent(1) - scale.percent(0.1), abs=0.2
    )
    texts = [mark.text for mark in scale.marks()]
    assert texts == ["10ms", "100ms", "1s", "10s", "1m", "10m", "1h", "6h"]


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e9])
def test_a_scale_of_one_odd_duration_works(seconds: float) -> None:
    scale = plots.Scale([sample.task("one", usual=seconds, band=None, last=seconds)])
    assert 2 <= scale.percent(seconds) <= 98


def test_a_history_needs_some_runs_and_is_drawn_from_zero_on() -> None:
    points = [Point(number, float(number), OK) for number in range(11)]
    assert plots.history(points[:2], None) is None
    history = plots.history(points, (2.0, 8.0))
    assert history is not None
    assert history.top == 11
    assert (history.spots[0].x, history.spots[-1].x) == (10, 990)
    heights = [spot.y for spot in history.spots]
    assert heights == sorted(heights, reverse=True)
    assert history.upper is not None
    assert history.lower is not None
    assert 0 < history.upper < history.lower < 100


def test_a_history_of_nothing_but_zeros_works() -> None:
    history = plots.history([Point(1, 0.0, OK)] * 3, None)
    assert history is not None
    assert {spot.y for spot in history.spots} == {980}
