"""One line of `autotask doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Finding(NamedTuple):
    """One check's result: `ok`, `warning`, or a `problem` that keeps runs from being reported."""

    status: str
    check: str
    text: str
    remedy: str = ""


Findings = Iterator[Finding]
