"""Find the runs in the index that count as running although their process is dead."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from autotask.marks import BECAME
from autotask.procfs import is_dead

if TYPE_CHECKING:
    from autotask.tool.journal.segments import Source
    from autotask.tool.journal.waiting import Connection


def ends_of_dead(connection: Connection, source: Source) -> list[tuple[Any, ...]]:
    """Return the runs without an end of dead processes: status, reason, run, owner.

    They count as lost; those of a process that became another program succeeded.
    """
    running = connection.execute(
        "SELECT run, owner, process, pid, host FROM run "
        "WHERE finished_at IS NULL AND status = 'running' "
        "AND process IS NOT NULL AND pid IS NOT NULL AND host IS NOT NULL"
    ).fetchall()
    processes = {tuple(process) for _, _, *process in running}
    dead = {process for process in processes if _is_dead(*process)}
    became = _became_others(connection, source) if dead else set()
    return [
        (*(("success", None) if (owner, *process) in became else ("failure", "lost")), run, owner)
        for run, owner, *process in running
        if tuple(process) in dead
    ]


def _is_dead(process: str, pid: int, host: str) -> bool:
    """Tell whether a process is gone. Another user's may be hidden: hidepid in proc(5)."""
    if not is_dead(process, pid, host):
        return False
    # Its number may be in use again. kill(2) with a number below 1 means a group of processes.
    if os.path.exists(f"/proc/{pid}") or pid <= 0:
        return True
    try:
        os.kill(pid, 0)
    except PermissionError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def _became_others(connection: Connection, source: Source) -> set[tuple[Any, ...]]:
    """Return the processes that became another program: owner, process, pid, host.

    Their marks say so, see `autotask.exec_handover`. The journal need not have the ends of their
    runs: this user may not be allowed to write them.
    """
    processes: set[tuple[Any, ...]] = set()
    for folder, owner in source.marks():
        with contextlib.suppress(OSError):  # missing, a link, or not readable for this user
            for name in _names(folder):
                run_id = name.split("-")[2:3] if name.startswith(BECAME) else []
                if run_id:
                    processes.update(
                        connection.execute(
                            "SELECT owner, process, pid, host FROM run WHERE run = ? AND owner = ?",
                            (*run_id, owner),
                        )
                    )
    return processes


def _names(folder: str) -> list[str]:
    """Return the names in a folder; raise OSError if it is a link."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        return os.listdir(file)
    finally:
        os.close(file)
