"""Print findings, and turn them into an exit status."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from autotask.tool import output
from autotask.tool.doctor.finding import Finding

STYLES = {"ok": "green", "warning": "yellow", "problem": "red"}


def report(findings: Sequence[Finding], form: str = "text", **fields: Any) -> int:
    """Print the findings, as `json` with these fields; return 1 if one is a problem."""
    ok = not any(finding.status == "problem" for finding in findings)
    if form == "json":
        as_dicts = [finding._asdict() for finding in findings]
        print(json.dumps({"ok": ok, **fields, "findings": as_dicts}, indent=2))
    else:
        _print(findings)
    return 0 if ok else 1


def _print(findings: Sequence[Finding]) -> None:
    """Print a line for each finding: its status, what was checked, the result, what to do."""
    width = max(len(finding.check) for finding in findings)
    lines = []
    for status, check, text, remedy in findings:
        line = output.styled(f"{status:<9}", STYLES[status])
        result = f"{text}. {remedy[:1].upper()}{remedy[1:]}" if remedy else text
        lines.append(line.append_text(output.styled(f"{check:<{width + 2}}{result}")))
    output.print_rich(*lines)
