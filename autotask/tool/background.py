"""Work in the background: in a process of its own, which outlives the command."""

from __future__ import annotations

import os
from collections.abc import Callable

from autotask.around import descriptors


def run(work: Callable[[], object]) -> None:
    """Do it in a child without a terminal, and without our files: a pipe or a lock ends with us."""
    try:
        if not hasattr(os, "fork") or os.fork():
            return
    except OSError:  # no more processes are allowed: the next command tries again
        return
    try:
        os.setsid()
        descriptors.let_go(())
        work()
    finally:
        os._exit(0)
