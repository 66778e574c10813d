"""What is wrong now in one line, as a plugin of Nagios or Icinga says it.

https://nagios-plugins.org/doc/guidelines.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from autotask.tool.output import clean
from autotask.tool.troubles.trouble import CRITICAL, FAILED, IN_A_ROW, KINDS, Trouble

STATUSES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")  # by their exit status
_SHOWN = 5  # troubles in the line; the others are counted


def line(troubles: Sequence[Trouble], tasks: int) -> tuple[int, str]:
    """Return the exit status and the line, with counts as performance data.

    Args:
        troubles: What is wrong now, the worst first.
        tasks: How many there are.
    """
    status = max((2 if one.kind in CRITICAL else 1 for one in troubles), default=0)
    texts = [in_line(one) for one in troubles[:_SHOWN]]
    if len(troubles) > _SHOWN:
        texts.append(f"{len(troubles) - _SHOWN} more")
    counts = Counter(FAILED if one.kind == IN_A_ROW else one.kind for one in troubles)
    data = [f"{kind}={counts[kind]}" for kind in KINDS if kind != IN_A_ROW]
    what = "; ".join(texts) or f"{tasks} task{'s' * (tasks != 1)}"
    return status, text(status, what, [f"tasks={tasks}", *data])


def text(status: int, what: str, data: Sequence[str] = ()) -> str:
    """Return a line for an exit status; a bar would begin the performance data."""
    shown = clean(what).replace("|", "/")
    return f"AUTOTASK {STATUSES[status]}: {shown}" + (f" | {' '.join(data)}" if data else "")


def in_line(trouble: Trouble) -> str:
    """Return a trouble as it is told: the user if there are several, the task, what, which run."""
    user = f"{trouble.user}: " if trouble.user else ""
    run = f" [{trouble.run[:8]}]" if trouble.run else ""
    return f"{user}{trouble.task} {trouble.text}{run}"
