"""`autotask doctor`: does it work here, and if not, why? What to do stands in the same line."""

from __future__ import annotations

import argparse
import json

from autotask.tool import output
from autotask.tool.doctor.checks import all_findings
from autotask.tool.doctor.environment import Environment, default_command
from autotask.tool.doctor.finding import Finding
from autotask.tool.journal import filters

DESCRIPTION = """\
Look into the Python that COMMAND would use (default: python3), as `autotask-run` would start it,
and at where runs are written and sent. COMMAND itself is never started, and nothing is written.
Exits with 1 when something keeps runs from being reported; a warning alone is no such thing."""
STYLES = {"ok": "green", "warning": "yellow", "problem": "red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--format", type=filters.one_document, choices=("text", "json"), default="text"
    )
    parser.add_argument("words", metavar="COMMAND", nargs="*", help="what to look at (after --)")


def run(arguments: argparse.Namespace) -> int:
    """Print what is found; return the exit status."""
    words = arguments.words or default_command()
    environment = Environment(words)
    findings = list(all_findings(environment))
    bad = any(finding.status == "problem" for finding in findings)
    if arguments.format == "json":
        found = [finding._asdict() for finding in findings]
        print(json.dumps({"ok": not bad, "command": words, "findings": found}, indent=2))
    else:
        _print(findings)
    return 1 if bad else 0


def _print(findings: list[Finding]) -> None:
    """Print a line for each finding: how it stands, what was looked at, what to do."""
    width = max(len(finding.check) for finding in findings)
    lines = []
    for status, check, text, remedy in findings:
        line = output.styled(f"{status:<9}", STYLES[status])
        said = f"{text}. {remedy[:1].upper()}{remedy[1:]}" if remedy else text
        lines.append(line.append_text(output.styled(f"{check:<{width + 2}}{said}")))
    output.print_rich(*lines)
