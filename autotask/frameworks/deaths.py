"""What the exit code of a child of multiprocessing means, for the parent that saw it die."""

from __future__ import annotations

import sys

from autotask.run import Outcome, exited, failure


def died(code: int) -> Outcome:
    """Return the outcome of what a child was running: *code* is negative if a signal killed it."""
    if code >= 0:
        return exited(code)
    try:
        name = sys.modules["signal"].Signals(-code).name  # multiprocessing has imported it
    except ValueError:  # a real-time signal
        name = f"SIG{-code}"
    return failure("interrupted" if name == "SIGINT" else "signal", signal=name)
