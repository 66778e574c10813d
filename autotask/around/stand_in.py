"""Let a command find our run-parts before the real one: `stand_ins/run-parts`, see `run_parts`."""

from __future__ import annotations

import os
import sys

from autotask.settings import RUN_PARTS


def put_first(environ: dict[str, str]) -> None:
    """Put it first on a command's PATH, and say in another variable where autotask-run is.

    It gives both back. Without a PATH a shell has one of its own: nothing is changed.
    """
    if environ.get("PATH"):
        folder = os.path.join(os.path.dirname(__file__), "stand_ins")
        environ["PATH"] = os.pathsep.join([folder, environ["PATH"]])
        environ[RUN_PARTS] = os.path.abspath(sys.argv[0])
