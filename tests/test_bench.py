"""The gate of `make bench ARGS=--gate`: which growth it lets pass."""

from __future__ import annotations

import pytest

from bench import MEASURED, Row

IDLE, CLICK = "idle: python -c pass", "Click hello"
CASES = {
    "as measured": (IDLE, 1.00, None, False),
    "a little more": (IDLE, 1.09, None, False),
    "more than a tenth": (IDLE, 1.11, None, True),
    "over a budget": (IDLE, 1.05, MEASURED[IDLE] * 0.5, False),
    "a collection of garbage more": (CLICK, 1.15, 6.0, False),
    "much more": (CLICK, 1.30, 6.0, True),
    "a measurement without a baseline": ("another hello", 2.00, 1.0, False),
}


@pytest.mark.checkout
@pytest.mark.parametrize(("what", "times", "budget", "refused"), CASES.values(), ids=CASES)
def test_the_gate_fails_if_a_count_has_grown(
    what: str, times: float, budget: float | None, refused: bool
) -> None:
    extra = MEASURED.get(what, 1.0) * times
    assert Row(what, "M instructions", (38.0, 38.0 + extra), budget).is_refused is refused
