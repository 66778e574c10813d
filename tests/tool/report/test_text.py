"""The report as text: what must fit into its 80 columns."""

from __future__ import annotations

import re

import pytest
from tool.report import sample

from autotask.tool.report.text import WIDTH, text


@pytest.mark.parametrize("quarter", range(12))
def test_the_hours_of_the_time_line_fit_at_any_time_of_the_day(quarter: int) -> None:
    now = sample.NOW + quarter * sample.HOUR / 4
    report = sample.report()._replace(now=now, night=now - sample.DAY)
    (hours,) = [line for line in text(report).splitlines() if re.search(r"\d:00 +\d\d:00", line)]
    assert len(hours) <= WIDTH
    assert len(re.findall(r" \d\d:00\b", hours)) >= 7
