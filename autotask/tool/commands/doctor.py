"""`autotask doctor`: check whether it works here; if not, say why and what to do."""

from __future__ import annotations

import argparse
import json

from autotask.tool import output
from autotask.tool.doctor.checks import all_findings
from autotask.tool.doctor.environment import Environment, default_command
from autotask.tool.doctor.finding import Finding
from autotask.tool.journal import filters

DESCRIPTION = """\
Check the Python that COMMAND would use (default: python3), as `autotask-run` would start it, and
where runs are recorded and sent. COMMAND itself is never started, and nothing is written. Exit
with 1 if something keeps runs from being reported; warnings alone do not count."""
STYLES = {"ok": "green", "warning": "yellow", "problem": "red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--format", type=filters.one_document, choices=("text", "json"), default="text"
    )
    parser.add_argument(
        "words", metavar="COMMAND", nargs="*", help="the command to check (after --)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; return the exit status."""
    words = arguments.words or default_command()
    environment = Environment(words)
    findings = list(all_findings(environment))
    ok = not any(finding.status == "problem" for finding in findings)
    if arguments.format == "json":
        as_dicts = [finding._asdict() for finding in findings]
        print(json.dumps({"ok": ok, "command": words, "findings": as_dicts}, indent=2))
    else:
        _print(findings)
    return 0 if ok else 1


def _print(findings: list[Finding]) -> None:
    """Print a line for each finding: its status, what was checked, the result, what to do."""
    width = max(len(finding.check) for finding in findings)
    lines = []
    for status, check, text, remedy in findings:
        line = output.styled(f"{status:<9}", STYLES[status])
        result = f"{text}. {remedy[:1].upper()}{remedy[1:]}" if remedy else text
        lines.append(line.append_text(output.styled(f"{check:<{width + 2}}{result}")))
    output.print_rich(*lines)
