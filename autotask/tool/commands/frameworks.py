"""`autotask frameworks`: which frameworks and versions are supported, and which are installed."""

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
Show the frameworks whose tasks are recorded, the supported versions, and what is installed in the
environment of COMMAND (default: that of python3), plugins included. From then on `autotask-run`
uses the plugins that were found."""
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
    parser.add_argument(
        "words",
        metavar="COMMAND",
        nargs="*",
        help="the command whose environment to show (after --)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Print the table."""
    environment = Environment(arguments.words or default_command())
    answer = environment.answer
    if not answer:
        raise ToolError(_why_no_answer(environment))
    environment.remember()
    if arguments.format == "json":
        print(json.dumps(as_json(environment), indent=2))
        return
    print_table(_COLUMNS, [[output.styled(*cell) for cell in row] for row in _rows(environment)])
    implementation = answer["implementation"]
    verdict = supported.python_verdict(implementation, answer["version"])
    name = "Python" if implementation == "cpython" else implementation
    note = {"supported": "", "newer": ", not tested"}.get(verdict, ", not supported")
    lines = [f"in {answer['prefix']}, {name} {answer['version']}{note}"]
    if environment.plugins_setting:
        lines.append(f"AUTOTASK_PLUGINS={environment.plugins_setting}")
    output.print_rich("", *[output.styled(line, "dim") for line in lines])


def _why_no_answer(environment: Environment) -> str:
    command = environment.command
    if command.missing:
        return f"{command.missing}: no such command"
    if not command.python:
        return f"{command.words[0]}: not Python, so only the process as a whole is recorded"
    return f"{command.python} failed: {environment.problem}"


def as_json(environment: Environment) -> dict[str, Any]:
    """Return what is supported and installed, for programs."""
    answer = environment.answer
    return {
        "python": {
            **{key: answer[key] for key in ("version", "implementation", "prefix")},
            "status": supported.python_verdict(answer["implementation"], answer["version"]),
        },
        "frameworks": [
            {
                "name": name,
                "supported": tested._asdict(),
                "found": version,
                "status": tested.verdict(version) if version else "missing",
            }
            for name, tested, version in _frameworks(environment)
        ]
        + [
            {"name": name, "supported": None, "found": None, "status": "supported"}
            for name in supported.ALWAYS
        ],
        "plugins": [plugin._asdict() for plugin in environment.plugins],
        "setting": environment.plugins_setting,
    }


def _frameworks(environment: Environment) -> list[tuple[str, supported.Range, str | None]]:
    """Return each framework with its tested versions and the installed one."""
    installed = environment.frameworks()
    return [(name, tested, installed[name]) for name, tested in supported.FRAMEWORKS.items()]


def _rows(environment: Environment) -> list[list[tuple[str, str]]]:
    """Return the cells of the table, each a text and its style."""
    rows = []
    for name, tested, version in _frameworks(environment):
        status = tested.verdict(version) if version else "missing"
        style = STYLES.get(status, "dim")
        rows.append([(name, ""), (str(tested), ""), (version or "-", style), (status, style)])
    for name, description in supported.ALWAYS.items():
        rows.append([(name, ""), (description, ""), ("-", "dim"), ("supported", "green")])
    for plugin in environment.plugins:
        status = "plugin" if plugin.is_valid else "invalid"
        origin = f"{plugin.distribution} {plugin.version}"
        style = STYLES.get(status, "red")
        rows.append([(plugin.watched, ""), (plugin.target, ""), (origin, style), (status, style)])
    return rows
