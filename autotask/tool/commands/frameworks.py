"""`autotask frameworks`: what is supported, in which versions, and what of it is found here."""

from __future__ import annotations

import argparse
import json
from typing import Any

from autotask.tool import output, supported
from autotask.tool.doctor.environment import Environment, default_command
from autotask.tool.errors import ToolError
from autotask.tool.journal import filters
from autotask.tool.table import Column, print_table

DESCRIPTION = """\
Show the frameworks whose tasks are recorded, in which versions, which of them are installed in the
environment of COMMAND (default: that of python3), and the plugins there. What plugins are found,
`autotask-run` uses from then on."""
STYLES = {"supported": "green", "older": "yellow", "newer": "yellow", "plugin": "green"}


_COLUMNS = (
    Column("FRAMEWORK", shrinks=True),
    Column("SUPPORTED"),
    Column("FOUND"),
    Column("", falls=True),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--format", type=filters.one_document, choices=("table", "json"), default="table"
    )
    parser.add_argument("words", metavar="COMMAND", nargs="*", help="whose environment (after --)")


def run(arguments: argparse.Namespace) -> None:
    """Print the table."""
    environment = Environment(arguments.words or default_command())
    if not environment.said:
        raise ToolError(_why_silent(environment))
    environment.remember()
    if arguments.format == "json":
        print(json.dumps(as_json(environment), indent=2))
        return
    print_table(_COLUMNS, [[output.styled(*cell) for cell in row] for row in _rows(environment)])
    said = environment.said
    implementation = said["implementation"]
    verdict = supported.python_verdict(implementation, said["version"])
    name = "Python" if implementation == "cpython" else implementation
    note = {"supported": "", "newer": ", not tested"}.get(verdict, ", not supported")
    lines = [f"in {said['prefix']}, {name} {said['version']}{note}"]
    if environment.plugins_setting:
        lines.append(f"AUTOTASK_PLUGINS={environment.plugins_setting}")
    output.print_rich("", *[output.styled(line, "dim") for line in lines])


def _why_silent(environment: Environment) -> str:
    command = environment.command
    if command.missing:
        return f"{command.missing}: no such command"
    if not command.python:
        return f"{command.words[0]}: no Python: it is a run of the process alone"
    return f"{command.python} does not answer: {environment.problem}"


def as_json(environment: Environment) -> dict[str, Any]:
    """Return what is supported and found, for programs."""
    said = environment.said
    return {
        "python": {
            **{key: said[key] for key in ("version", "implementation", "prefix")},
            "status": supported.python_verdict(said["implementation"], said["version"]),
        },
        "frameworks": [
            {
                "name": name,
                "supported": wanted._asdict(),
                "found": found,
                "status": wanted.verdict(found) if found else "missing",
            }
            for name, wanted, found in _found(environment)
        ]
        + [
            {"name": name, "supported": None, "found": None, "status": "supported"}
            for name in supported.ALWAYS
        ],
        "plugins": [plugin._asdict() for plugin in environment.plugins],
        "setting": environment.plugins_setting,
    }


def _found(environment: Environment) -> list[tuple[str, supported.Range, str | None]]:
    found = environment.frameworks()
    return [(name, wanted, found[name]) for name, wanted in supported.FRAMEWORKS.items()]


def _rows(environment: Environment) -> list[list[tuple[str, str]]]:
    """Return the cells, each a text and its style."""
    rows = []
    for name, wanted, found in _found(environment):
        status = wanted.verdict(found) if found else "missing"
        style = STYLES.get(status, "dim")
        rows.append([(name, ""), (str(wanted), ""), (found or "-", style), (status, style)])
    for name, what in supported.ALWAYS.items():
        rows.append([(name, ""), (what, ""), ("-", "dim"), ("supported", "green")])
    for plugin in environment.plugins:
        status = "plugin" if plugin.is_valid else "cannot be read"
        found = f"{plugin.distribution} {plugin.version}"
        style = STYLES.get(status, "red")
        rows.append([(plugin.watched, ""), (plugin.target, ""), (found, style), (status, style)])
    return rows
