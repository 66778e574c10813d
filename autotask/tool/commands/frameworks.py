"""`autotask frameworks`: which frameworks and versions are supported, and which are installed."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from typing import Any

from autotask.around.leads_to import follow
from autotask.tool import output, supported
from autotask.tool.doctor.environment import Environment, default_command
from autotask.tool.doctor.ruby import Ruby
from autotask.tool.errors import ToolError
from autotask.tool.journal import filters
from autotask.tool.table import Column, print_table

DESCRIPTION = """\
Show the frameworks whose tasks are recorded, the supported versions, and what is installed in the
environment of COMMAND (default: those of python3 and ruby), plugins included. From then on
`autotask-run` uses the plugins that were found."""
WITH_PYTHON = "with Python"  # in the place of versions
STYLES = {"supported": "green", "older": "yellow", "newer": "yellow", "plugin": "green"}


_COLUMNS = (
    Column("FRAMEWORK", shrinks=True),
    Column("KIND", goes=1),
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
    ruby = environment.ruby if arguments.words else _default_ruby()
    if not environment.answer and not ruby:
        raise ToolError(_why_no_answer(environment))
    environment.remember()
    if arguments.format == "json":
        print(json.dumps(as_json(environment, ruby), indent=2))
        return
    rows = [[output.styled(*cell) for cell in row] for row in _rows(environment, ruby)]
    print_table(_COLUMNS, rows)
    lines = list(_interpreters(environment, ruby))
    if environment.plugins_setting:
        lines.append(f"AUTOTASK_PLUGINS={environment.plugins_setting}")
    output.print_rich("", *[output.styled(line, "dim") for line in lines])


def _default_ruby() -> Ruby | None:
    """Ask the `ruby` on the PATH, if there is one."""
    return Environment(["ruby"]).ruby if follow(["ruby"], os.environ).ruby else None


def _interpreters(environment: Environment, ruby: Ruby | None) -> Iterator[str]:
    """Yield a line for the Python and for the Ruby that were asked."""
    answer = environment.answer
    if answer:
        implementation = answer["implementation"]
        verdict = supported.python_verdict(implementation, answer["version"])
        name = "Python" if implementation == "cpython" else implementation
        yield f"in {answer['prefix']}, {name} {answer['version']}{_note(verdict)}"
    if ruby:
        yield f"in {ruby.prefix}, {ruby.name}{_note(ruby.verdict)}"


def _note(verdict: str) -> str:
    return {"supported": "", "newer": ", not tested"}.get(verdict, ", not supported")


def _why_no_answer(environment: Environment) -> str:
    command = environment.command
    interpreter = command.python or command.ruby
    if command.missing:
        return f"{command.missing}: no such command"
    if not interpreter:
        text = "neither Python nor Ruby, so only the process as a whole is recorded"
        return f"{command.words[0]}: {text}"
    return f"{interpreter} failed: {environment.problem}"


def as_json(environment: Environment, ruby: Ruby | None) -> dict[str, Any]:
    """Return what is supported and installed, for programs."""
    answer = environment.answer
    python = (
        {
            **{key: answer.get(key) for key in ("version", "implementation", "prefix")},
            "status": supported.python_verdict(answer["implementation"], answer["version"]),
        }
        if answer
        else None
    )
    return {
        "python": python,
        "ruby": {
            "version": ruby.version,
            "implementation": ruby.engine,
            "prefix": ruby.prefix,
            "status": ruby.verdict,
        }
        if ruby
        else None,
        "frameworks": [
            {
                "name": name,
                "kind": supported.KINDS[name],
                "supported": tested._asdict() if isinstance(tested, supported.Range) else None,
                "found": version,
                "status": status,
            }
            for name, tested, version, status in _frameworks(environment, ruby)
        ],
        "plugins": [plugin._asdict() for plugin in environment.plugins],
        "setting": environment.plugins_setting,
    }


def _frameworks(
    environment: Environment, ruby: Ruby | None
) -> Iterator[tuple[str, supported.Range | str, str | None, str]]:
    """Yield each framework: its tested versions, the installed one, and what that means."""
    installed: dict[str, str | None] = {
        **environment.frameworks(),
        **(ruby.frameworks if ruby else {}),
    }
    python = environment.answer.get("version")
    for name, tested in {**dict.fromkeys(supported.NAMES), **supported.TESTED}.items():
        if tested is None:
            yield name, WITH_PYTHON, python, "supported" if python else "missing"
        else:
            version = installed.get(name)
            yield name, tested, version, tested.verdict(version) if version else "missing"
    for name, description in supported.ALWAYS.items():
        yield name, description, None, "supported"


def _rows(environment: Environment, ruby: Ruby | None) -> list[list[tuple[str, str]]]:
    """Return the cells of the table, each a text and its style."""
    rows = []
    for name, tested, version, status in _frameworks(environment, ruby):
        style = STYLES.get(status, "dim")
        found = (version or "-", style if version else "dim")
        kind = (supported.KINDS[name], "dim")
        rows.append([(name, ""), kind, (str(tested), ""), found, (status, style)])
    for plugin in environment.plugins:
        status = "plugin" if plugin.is_valid else "invalid"
        origin = f"{plugin.distribution} {plugin.version}"
        style = STYLES.get(status, "red")
        target = (plugin.target, "")
        rows.append(
            [(plugin.watched, ""), ("plugin", "dim"), target, (origin, style), (status, style)]
        )
    return rows
