"""Twelve ways for a command to end, and what autotask and its peers recorded of each."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

CLICK = """\
import os, signal, sys, time
import click

class Own(click.Command):
    def invoke(self, ctx):
        return super().invoke(ctx)

def send(number):
    time.sleep(0.2)
    os.kill(os.getpid(), number)
    time.sleep(30)

@click.group()
def shop(): pass

@shop.command("exit-0")
@watched
def exit_0(): sys.exit(0)

@shop.command("ctx-exit-3")
@click.pass_context
@watched
def ctx_exit_3(ctx): ctx.exit(3)

@shop.command("exit-3")
@watched
def exit_3(): sys.exit(3)

@shop.command("usage")
@click.argument("number", type=int)
@watched
def usage(number): pass

@shop.command("ctrl-c")
@watched
def ctrl_c(): send(signal.SIGINT)

@shop.command("sigterm")
@watched
def sigterm(): send(signal.SIGTERM)

@shop.command("sigkill")
@watched
def sigkill(): send(signal.SIGKILL)

@shop.command("os-exit")
@watched
def os_exit(): os._exit(3)

@shop.command("subclass", cls=Own)
@watched
def subclass(): pass

@shop.command("inner")
@watched
def inner(): pass

@shop.command("outer")
@click.pass_context
@watched
def outer(ctx): ctx.invoke(inner)

@shop.command("forking")
@watched
def forking():
    child = os.fork()
    if not child:
        shop.main(["inner"], "shop")
    os.waitpid(child, 0)

if __name__ == "__main__":
    shop()
"""
TYPER = """\
import typer

app = typer.Typer()

@app.command("typed")
@watched
def typed(): pass

@app.command("other")
def other(): pass

if __name__ == "__main__":
    app()
"""
# Code for peers that need a decorator on each command; the others need nothing.
UNWATCHED = "def watched(function): return function\n"


class Record(NamedTuple):
    """What one of them recorded of a command."""

    name: str
    good: bool | None  # None: only the start was recorded
    code: int | None = None


class Ending(NamedTuple):
    words: tuple[str, ...]
    expected: tuple[Record, ...]


_GOOD, _BAD = True, False
ENDINGS = {
    "exit 0 by `sys.exit(0)`": Ending(("shop.py", "exit-0"), (Record("exit-0", _GOOD),)),
    "`ctx.exit(3)`": Ending(("shop.py", "ctx-exit-3"), (Record("ctx-exit-3", _BAD, 3),)),
    "`sys.exit(3)`": Ending(("shop.py", "exit-3"), (Record("exit-3", _BAD, 3),)),
    "usage error": Ending(("shop.py", "usage", "none"), (Record("usage", _BAD),)),
    "Ctrl-C": Ending(("shop.py", "ctrl-c"), (Record("ctrl-c", _BAD),)),
    "SIGTERM": Ending(("shop.py", "sigterm"), (Record("sigterm", _BAD),)),
    "SIGKILL": Ending(("shop.py", "sigkill"), (Record("sigkill", _BAD),)),
    "`os._exit(3)`": Ending(("shop.py", "os-exit"), (Record("os-exit", _BAD),)),
    "a subclass of Command": Ending(("shop.py", "subclass"), (Record("subclass", _GOOD),)),
    "Typer": Ending(("typed.py", "typed"), (Record("typed", _GOOD),)),
    "a nested command": Ending(
        ("shop.py", "outer"), (Record("inner", _GOOD), Record("outer", _GOOD))
    ),
    "a forked child": Ending(
        ("shop.py", "forking"), (Record("forking", _GOOD), Record("inner", _GOOD))
    ),
}
RIGHT = "right"


def verdict(expected: tuple[Record, ...], found: list[Record]) -> str:
    """Judge a record in a few words."""
    if not found:
        return "nothing"
    names = sorted(record.name for record in found)
    wanted = {record.name: record for record in expected}
    if names != sorted(wanted):
        more = [name for name in set(names) if names.count(name) > 1]
        return f"{more[0]} twice" if more else "{} only".format(", ".join(names))
    for record in found:
        problem = _compared(wanted[record.name], record)
        if problem:
            return problem
    return RIGHT


def _compared(wanted: Record, record: Record) -> str:
    if record.good is None:
        return "a start without an end"
    if record.code is not None and wanted.code not in (None, record.code):
        return f"says exit {record.code}"
    if record.good is wanted.good:
        return ""
    return "says success" if record.good else "says failure"


# --- what the collector received, read with the libraries of the peer's own environment ----------

OTLP = """\
import json, sys
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
for path in sys.argv[1:]:
    request = ExportTraceServiceRequest.FromString(open(path, "rb").read())
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                values = {attribute.key: attribute.value.int_value for attribute in span.attributes}
                code = values.get("process.exit.code")
                print(json.dumps([span.name, span.status.code != 2, code]))
"""
MSGPACK = """\
import json, sys, msgpack
for path in sys.argv[1:]:
    for trace in msgpack.unpackb(open(path, "rb").read()):
        for span in trace:
            print(json.dumps([span["resource"], not span.get("error"), None]))
"""


def decoded(python: Path, script: str, bodies: list[bytes], place: Path) -> list[Record]:
    """Decode bodies with the peer's own libraries."""
    paths = []
    for number, body in enumerate(bodies):
        paths.append(place / f"body-{number}")
        paths[-1].write_bytes(body)
    command = [str(python), "-c", script, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [Record(*json.loads(line)) for line in done.stdout.splitlines()]


def of_elastic(bodies: list[bytes]) -> list[Record]:
    events = _json_lines(bodies)
    transactions = [event["transaction"] for event in events if "transaction" in event]
    return [Record(each["name"], each.get("outcome") != "failure") for each in transactions]


def of_sentry(bodies: list[bytes]) -> list[Record]:
    """Read check-ins: each is sent at its start and at its end."""
    check_ins: dict[object, list[tuple[str, str]]] = {}
    for event in _json_lines(bodies):
        if "check_in_id" in event:
            parts = check_ins.setdefault(event["check_in_id"], [])
            parts.append((event["monitor_slug"], event["status"]))
    good = {"in_progress": None, "ok": True, "error": False}
    return [
        Record(slug, good[status])
        for parts in check_ins.values()
        for slug, status in sorted(parts, key=lambda part: part[1] == "in_progress")[
            : max(len(parts) - 1, 1)
        ]
    ]


def of_newrelic(log: Path) -> list[Record]:
    """Read the names of transactions from the log of everything that was sent."""
    text = log.read_text(errors="replace") if log.exists() else ""
    names = set(re.findall(r"OtherTransaction/Function/[\w.]*:([\w-]+)", text))
    return [Record(name, True) for name in names]


def of_autotask(jsonl: str) -> list[Record]:
    runs = [json.loads(line) for line in jsonl.splitlines()]
    return [
        Record(run["task"].rpartition(".")[2], _GOODS.get(run["status"]), run["exit_code"])
        for run in runs
        if run["framework"] != "process"
    ]


_GOODS = {"success": True, "failure": False, "running": None}


def _json_lines(bodies: list[bytes]) -> Iterator[dict[str, Any]]:
    for body in bodies:
        for line in body.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event
