"""One line of `autotask doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from autotask.settings import Settings
    from autotask.tool.supported import Range


class Finding(NamedTuple):
    """One check's result: `ok`, `warning`, or a `problem` that keeps runs from being reported."""

    status: str
    check: str
    text: str
    remedy: str = ""


Findings = Iterator[Finding]


def framework(settings: Settings, name: str, version: str, tested: Range) -> Finding:
    """Return the finding about a framework that is installed."""
    verdict = tested.verdict(version)
    if not settings.uses(name):
        return Finding("warning", name, f"{version}, turned off by AUTOTASK_FRAMEWORKS")
    if verdict == "older":
        text = f"{version} is older than the supported versions ({tested})"
        return Finding("warning", name, text, f"use {tested.oldest} or newer")
    if verdict == "newer":
        return Finding("warning", name, f"{version} is newer than the tested versions ({tested})")
    return Finding("ok", name, f"{version}, supported ({tested})")
