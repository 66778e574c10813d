"""A process whose own run is open as it begins, and ends without us or is ours to end.

A launcher outside has opened that run, or this very process, when it was another program.
"""

import os
import sys

from autotask import watch
from autotask.guard import guarded
from autotask.standard import standard


def has_run(run: str, pid: str) -> bool:
    """Tell whether the run that AUTOTASK_PROCESS_RUN names is this very process's own."""
    if "AUTOTASK_DEBUG" in os.environ:
        watch.tell_launcher(run)
    own, _, became = pid.partition(":")
    if own != str(os.getpid()):
        return False
    if became:  # before exec, this process had runs open
        watch.load("naming", "program", "handing_over")
        return bool(sys.modules["autotask.handing_over"].take_over(f"{run}:{pid}"))
    standard("atexit").register(_explain, run)
    return True


@guarded
def _explain(run: str) -> None:
    """Leave word of what this process dies of."""
    if hasattr(sys, "last_value"):
        from autotask import program

        program.explain(run)
