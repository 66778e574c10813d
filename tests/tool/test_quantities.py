"""Durations, sizes and times, parsed and formatted."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import pytest

from autotask.tool import quantities

DURATIONS = [
    ("45s", 45), ("30m", 1800), ("24h", 86400), ("90d", 90 * 86400), ("2w", 14 * 86400),
    ("1.5h", 5400), (" 1h ", 3600), ("0s", 0), ("1h30m", 5400), ("1w2d", 9 * 86400),
]  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), DURATIONS)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert quantities.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "h", "24", "24 h", "-1h", "1y", "1e3s", "\u0661h", "1h2", "2m1h", "1h1h", "inf"]
)
def test_anything_else_than_a_duration_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a duration"):
        quantities.parse_duration(text)


NOW = 1795608000.0  # 2026-11-25T12:00:00Z
SINCE = [
    ("24h", "2026-11-24T12:00:00Z"),
    (" 1h30m ", "2026-11-25T10:30:00Z"),
    ("today", "2026-11-24T18:30:00Z"),
    ("yesterday", "2026-11-23T18:30:00Z"),
    ("2026-11-20", "2026-11-19T18:30:00Z"),
    ("2026-11-20 03:00", "2026-11-19T21:30:00Z"),
    ("2026-11-20T03:00:05", "2026-11-19T21:30:05Z"),
    ("2026-11-20T03:00:05Z", "2026-11-20T03:00:05Z"),
    ("2026-11-20T03:00:05.250000Z", "2026-11-20T03:00:05.250000Z"),
    ("2026-11-20 03:00-03:30", "2026-11-20T06:30:00Z"),
    ("1969-12-31", "1970-01-01T00:00:00Z"),
    ("9999-12-31", "9999-12-30T18:30:00Z"),
]


@pytest.mark.parametrize(("text", "moment"), SINCE)
def test_since_takes_what_people_write(
    text: str, moment: str, set_zone: Callable[[str], None]
) -> None:
    set_zone("Asia/Kolkata")
    assert quantities.parse_since(text, NOW) == quantities.timestamp(moment)


def test_days_begin_at_midnight_also_when_the_clock_is_changed(
    set_zone: Callable[[str], None],
) -> None:
    set_zone("Europe/Berlin")
    now = quantities.timestamp("2026-10-26T11:00:00Z")  # a day after it was put back
    assert quantities.parse_since("today", now) == quantities.timestamp("2026-10-25T23:00:00Z")
    assert quantities.parse_since("yesterday", now) == quantities.timestamp("2026-10-24T22:00:00Z")


NO_TIMES = [
    *("", "soon", "24", "-1h", "2026-02-30", "2026-11-20T25:00", "2026-11-20T", "20261120"),
    *("03:00", "2026-11-20 03", "2026-11-20 03:00 Z", "\u0662026-11-20", "0000-01-01"),
]


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="; times are today, yesterday, 2026"):
        quantities.parse_since(text)


@pytest.mark.parametrize(
    ("zone", "text"),
    [("UTC", "UTC"), ("Asia/Kolkata", "+05:30"), ("America/St_Johns", "-03:30"), ("XXX24", "UTC")],
)
def test_a_zone_is_shown_by_its_offset(
    zone: str, text: str, set_zone: Callable[[str], None]
) -> None:
    set_zone(zone)
    assert quantities.zone_text("2026-11-25T12:00:00Z") == text


def test_times_share_a_zone_unless_the_clock_was_changed(
    set_zone: Callable[[str], None],
) -> None:
    set_zone("Europe/Berlin")
    summer, winter = "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"
    assert quantities.shared_zone([winter, None, "soon", winter]) == "+01:00"
    assert quantities.shared_zone([summer]) == "+02:00"
    assert quantities.shared_zone([summer, winter]) is None
    assert quantities.shared_zone([]) == ""


@pytest.mark.parametrize(
    ("text", "size"),
    [("1000", 1000), ("64K", 65536), ("512m", 512 << 20), ("2GiB", 2 << 30), ("1.5k", 1536)],
)
def test_a_size_is_a_number_with_or_without_a_unit(text: str, size: int) -> None:
    assert quantities.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1X", "1 0", "1e3"])
def test_anything_else_than_a_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a size"):
        quantities.parse_size(text)


WRITTEN = [
    (None, "-"), (0, "0ms"), (-1, "0ms"), (0.0004, "0ms"), (0.012, "12ms"), (0.9994, "999ms"),
    (0.9996, "1.00s"), (1.5, "1.50s"), (9.994, "9.99s"), (9.996, "10.0s"), (59.94, "59.9s"),
    (59.96, "1m00s"), (125, "2m05s"), (3599.6, "1h00m"), (11220, "3h07m"), (356400, "4d03h"),
]  # fmt: skip


@pytest.mark.parametrize(("seconds", "text"), WRITTEN)
def test_a_duration_is_formatted_with_about_three_digits(seconds: float | None, text: str) -> None:
    assert quantities.duration_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB")]
)
def test_a_size_is_formatted_in_its_unit(size: int, text: str) -> None:
    assert quantities.size_text(size) == text


def test_times_are_formatted_in_the_readers_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        now = quantities.timestamp("2026-11-25T12:00:00.000000Z")
        assert now == 1795608000
        text = "2026-11-25T10:00:00.250000Z"
        assert quantities.local_time(text, now) == "11-25 15:30:00"
        assert quantities.local_time("2025-11-25T10:00:00.250000Z", now) == "2025-11-25 15:30"
    finally:
        monkeypatch.undo()
        time.tzset()


DUE = [
    (None, "-"),
    ("2026-11-25T12:05:59", "17:35"),
    ("2026-11-25T18:29:00", "23:59"),
    ("2026-11-25T18:30:00", "Thu 00:00"),
    ("2026-12-01T12:00:00", "Tue 17:30"),
    ("2026-12-02T12:00:00", "12-02 17:30"),
    ("2026-11-24T12:00:00", "11-24 17:30"),
    ("2027-01-01T12:00:00", "2027-01-01"),
]


@pytest.mark.parametrize(("due", "text"), DUE)
def test_a_time_to_come_is_formatted_by_how_near_it_is(
    due: str | None, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        moment = quantities.timestamp(f"{due}Z") if due else None
        assert quantities.due_text(moment, 1795608000) == text
        assert quantities.due_text(1798741800, 1798740000) == "Fri 00:00"  # and a new year
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_time_to_come_has_its_offset_if_not_all_share_one(
    set_zone: Callable[[str], None],
) -> None:
    set_zone("Europe/Berlin")
    now = 1792886400.0  # 2026-10-25T00:00:00Z
    summer, winter = "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"
    assert quantities.next_due_text(summer, "+02:00", now) == "02:30"
    assert quantities.next_due_text(summer, None, now) == "02:30+02:00"
    assert quantities.next_due_text(winter, None, now) == "02:30+01:00"
    assert quantities.next_due_text(None, None, now) == "-"


@pytest.mark.parametrize("text", ["yesterday", "2026-13-45T10:00:00Z", "2026-11-25", ""])
def test_a_malformed_time_is_shown_as_it_is(text: str) -> None:
    assert quantities.timestamp(text) is None
    assert quantities.local_time(text, 0) == (text or "-")
