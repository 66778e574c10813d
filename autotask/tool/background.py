"""Run work in the background: in a process of its own, which outlives the command."""

from __future__ import annotations

import os
from collections.abc import Callable

from autotask.around import descriptors


def run(work: Callable[[], object]) -> None:
    """Run it in a child process without the command's terminal and files.

    The child must not keep a pipe open, or hold a lock, after the command has ended.
    """
    try:
        if not hasattr(os, "fork") or os.fork():
            return
    except OSError:  # the limit of processes is reached; the next command tries again
        return
    # The child has a copy of the command's stack, and must never return into it.
    try:
        os.setsid()
        descriptors.let_go(())
        work()
    finally:
        os._exit(0)
