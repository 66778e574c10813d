"""Stop a command that runs longer than it may, with all that it has started (`--timeout`).

Each process gets SIGTERM, and SIGKILL ten seconds later if it is still there. Which processes those
are is read from /proc. So the command stays in the process group that it has without a limit: a
terminal, and a signal to its group, still reach it.
"""

from __future__ import annotations

import os
import time

from autotask import procfs
from autotask.around.units import format_duration
from autotask.run import TIMEOUT, failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Iterable

    from autotask.run import Outcome
else:
    import _signal  # what is in C of it; the rest costs 5 ms

GRACE = 10.0  # seconds from SIGTERM to SIGKILL
_PATIENCE = 5.0  # seconds to wait for the killed: another user's processes stay
_POLL = 0.05  # seconds between two looks at processes that are to end
_TO_END = (_signal.SIGTERM, _signal.SIGCONT)  # a stopped process takes none but SIGKILL


class TimeLimit:
    """The time limit of a command, from now on."""

    STATUS = 124  # the exit status of a command that was stopped, as timeout(1) has it

    def __init__(self, seconds: float, child: int, run: str) -> None:
        self._seconds = seconds
        self._child = child
        self._run = run
        self._begun = int(procfs.start_time(child) or 0)
        self._kill_at = self._give_up_at = float("inf")  # time.monotonic()
        self._known: dict[int, str] = {}  # start times of the processes to stop, by id
        self._was_killed = False
        self.due = time.monotonic() + seconds  # of the next step
        self.is_over = False  # the command has been told to end

    def step(self, has_ended: bool) -> None:
        """Do what is due: tell the command to end, or kill it; *has_ended*: it has ended since."""
        now = time.monotonic()
        self.due = now + _POLL
        if not self.is_over:
            self.is_over = True
            self._kill_at, self._give_up_at = now + GRACE, now + GRACE + _PATIENCE
            self.due = self._kill_at
            self._signal(has_ended, *_TO_END)
        elif now >= self._give_up_at:
            self.due = float("inf")
        elif now >= self._kill_at:
            self._was_killed = self._was_killed or not has_ended
            self._signal(has_ended, _signal.SIGKILL)  # again, for what it has started meanwhile

    def is_ending(self) -> bool:
        """Tell whether what a stopped command has started still lives, now that it has ended."""
        if not self.is_over or self.due == float("inf"):
            return False
        living = members(self._child, self._begun, self._run, self._known)
        self._send(living.keys() - self._known.keys(), *_TO_END)
        self._known = living
        self.due = min(self.due, time.monotonic() + _POLL)
        return bool(living)

    def outcome(self) -> Outcome:
        """Return how the command's run ended, and all runs in it that were still open."""
        from autotask import failures

        text = f"still running after {format_duration(self._seconds)}"
        text += f", and {GRACE:g}s after SIGTERM" if self._was_killed else ""
        return failure(TIMEOUT, error=failures.error("TimeLimitExceeded", text))

    def _signal(self, has_ended: bool, *numbers: int) -> None:
        """Send signals to all processes, and without /proc to the command alone."""
        self._known = members(self._child, self._begun, self._run, self._known)
        self._send(self._known or (() if has_ended else (self._child,)), *numbers)

    def _send(self, to: Iterable[int], *numbers: int) -> None:
        for pid in to:
            if self._known.get(pid) in (None, procfs.start_time(pid)):
                _kill(pid, numbers)


def _kill(pid: int, numbers: tuple[int, ...]) -> None:
    try:
        for number in numbers:
            os.kill(pid, number)
    except OSError:  # it has become another user's process
        return


def members(child: int, begun: int, run: str, known: dict[int, str]) -> dict[int, str]:
    """Return the start times of a command's living processes, by id; parents come first.

    These are its descendants, those of the *known* ones, and what has lost its parent but is in the
    command's group; or in ours, if it was executed in the *run*, or if nothing but ours is in that
    group, and it is younger than the command, whose start is *begun*: our other children are older.
    What has left its parent and both groups is a daemon.
    """
    table = _processes()
    found = {pid: table[pid][19] for pid in (child, *known) if pid in table}
    found = {pid: since for pid, since in found.items() if known.get(pid, since) == since}
    us = os.getpid()
    own = procfs.stat_fields(us) or _NONE
    is_ours_alone = own[2] == str(us) and own[4] == "0"  # we lead it, without a terminal
    below: dict[str, list[int]] = {}
    for pid, fields in table.items():
        below.setdefault(fields[1], []).append(pid)
        is_ours = fields[2] == own[2] and (
            _is_of(pid, run) or (is_ours_alone and int(fields[19]) > begun)
        )
        if is_ours or fields[2] == str(child):
            found.setdefault(pid, fields[19])
    found.pop(us, None)
    queue = list(found)
    for pid in queue:
        for next_pid in below.get(str(pid), ()):
            if next_pid not in found:
                found[next_pid] = table[next_pid][19]
                queue.append(next_pid)
    return found


_NONE = ["0"] * 20  # the fields of a process that is not there


def _processes() -> dict[int, list[str]]:
    """Return the fields of `procfs.stat_fields` of all processes that live, by process id."""
    try:
        ids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return {}
    table = {pid: procfs.stat_fields(pid) for pid in ids}
    return {pid: fields for pid, fields in table.items() if fields and fields[0] not in ("Z", "X")}


def _is_of(pid: int, run: str) -> bool:
    """Tell whether a process was executed in a run: its environment names it."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return run.encode() in file.read()
    except OSError:
        return False
