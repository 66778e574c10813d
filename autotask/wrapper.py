"""Inside a wrapper, such as `opentelemetry-instrument`, just before it becomes the program.

Some wrappers put a sitecustomize of their own first on PYTHONPATH that runs no other one. Ours
does run the next one: it has to come first.
"""

from __future__ import annotations

import os
import sys

from autotask import agent
from autotask.guard import guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_STARTS = ("os.exec", "subprocess.Popen")  # audit events; the environment is the last argument


def begin(program: str) -> None:
    """Come first on the path of the program that this wrapper starts, if its own file shuts us out.

    The others work for long themselves: an audit hook would slow them down.
    """
    if program in ("opentelemetry-instrument", "elasticapm-run"):
        sys.addaudithook(_hear)


def _hear(event: str, args: tuple[Any, ...]) -> None:
    # Not guarded: noting an error raises audit events of its own, which come back here.
    if event in _STARTS and (args[-1] is None or args[-1] is os.environ):
        _come_first()


@guarded
def _come_first() -> None:
    """Move our folder to the front of PYTHONPATH, if it is there."""
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    for place, entry in enumerate(entries):
        if place and _is_ours(entry):
            entries.insert(0, entries.pop(place))
            os.environ["PYTHONPATH"] = os.pathsep.join(entries)
            return


def _is_ours(entry: str) -> bool:
    """Tell our folder on the path, which is beside or (in a bundle) around the agent's."""
    package = os.path.dirname(os.path.realpath(agent.__file__))
    beside, folder = os.path.dirname(package), os.path.realpath(entry)
    bundled = os.path.basename(package) == "autotask.d"
    return folder == (beside if bundled else os.path.join(beside, "sitecustomize_template"))
