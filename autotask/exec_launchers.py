"""Inside a launcher such as `opentelemetry-instrument`, just before it becomes the program.

Some of these put a sitecustomize of their own first on PYTHONPATH, which runs no other one. Ours
does run the next one, so it has to come first.
"""

from __future__ import annotations

import os
import sys

from autotask.guard import guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_STARTS = ("os.exec", "subprocess.Popen")  # audit events; the environment is the last argument


def begin(launcher: str) -> None:
    """Come first on the path of the program that a launcher starts, if its own file shuts us out.

    Only in these two: the others work for long themselves, and an audit hook would slow them down.
    """
    if launcher in ("opentelemetry-instrument", "elasticapm-run"):
        sys.addaudithook(_hear)


def _hear(event: str, args: tuple[Any, ...]) -> None:
    # Not guarded: noting an error raises audit events of its own, which come back here.
    if event in _STARTS and (args[-1] is None or args[-1] is os.environ):
        _come_first()


@guarded
def _come_first() -> None:
    """Move our folder to the front of PYTHONPATH, if it is on it."""
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    for index, entry in enumerate(entries):
        if index and _is_template(entry):
            entries.insert(0, entries.pop(index))
            os.environ["PYTHONPATH"] = os.pathsep.join(entries)
            return


def _is_template(entry: str) -> bool:
    """Tell whether an entry is our folder: beside the package or, in a bundle, around it."""
    package = os.path.dirname(os.path.realpath(__file__))
    beside, folder = os.path.dirname(package), os.path.realpath(entry)
    bundled = os.path.basename(package) == "autotask.d"
    return folder == (beside if bundled else os.path.join(beside, "sitecustomize_template"))
