"""The report as one HTML file: nothing in it is loaded from anywhere, and no name becomes markup.

A policy in the page forbids all that is not in it: by its hash, even a style or a script.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from autotask import journal
from autotask.tool import output, quantities
from autotask.tool.journal.record import Record, duration_text, reason_text
from autotask.tool.report import plots, words
from autotask.tool.report.contents import Report, Task

TEMPLATES = Path(__file__).parent / "templates"
_LONGEST_NAME = 120  # characters; more would be no name
_LISTED = 15  # troubles of a group that are shown at once
_MOST = 200  # and that are shown at all
_FEW = 40  # tasks that are shown at once, whatever they have to tell
_COLUMNS = 10  # of the nights, that have room beside the time line
_OPEN = 100  # and if they have something to tell; the others are folded


def page(report: Report) -> str:
    """Lay out the report."""
    style = Markup(_source("style.css"))  # noqa: S704  # our own
    script = Markup(_source("filter.js"))  # noqa: S704
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "ago": lambda seconds: quantities.ago(journal.moment(seconds), report.now),
        "clock": words.clock,
        "due": lambda seconds: quantities.due_text(seconds, report.now),
        "duration": quantities.duration_text,
        "moment": words.moment,
        "name": lambda text: words.short(text, _LONGEST_NAME),
        "output": _output,
        "rate": words.rate,
        "reason": lambda record: words.short(reason_text(record)),
    }
    shown = _shown(report.tasks)
    return environment.get_template("report.html").render(
        report=report,
        style=style,
        script=script,
        policy=_policy(style, script),
        headline=words.headline(report),
        links=words.links(report),
        groups=words.groups(report),
        notes=words.notes(report),
        listed=_LISTED,
        columns=_COLUMNS,
        most=_MOST,
        numbers={task.key.task: task.number for task in reversed(report.tasks)},
        first=report.tasks[:shown],
        others=report.tasks[shown:],
        span=plots.Span(report.night, report.now),
        scale=plots.Scale(report.tasks),
        history=plots.history,
        words=words,
        started=_started,
        took=lambda record: duration_text(record, report.now),
    )


def _source(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Allow this style and this script, and nothing else."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _shown(tasks: Sequence[Task]) -> int:
    """Return how many tasks are shown at once."""
    matter = sum(task.matters for task in tasks)
    return min(max(matter, _FEW), _OPEN)


def _visible(value: Any) -> Any:
    """Escape what would not be seen, or changes what is: control and direction marks, line ends."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return output.clean(value)
    return value


def _output(text: str, most: int) -> Markup:
    return Markup("\n").join(words.last_lines(text, most))


def _started(record: Record) -> float | None:
    return quantities.timestamp(record["started_at"])
