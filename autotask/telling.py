"""Tell of starts and ends: mark, line, datagram, what the Agent did not take, mark back.

One thing for all who tell of runs: the recorder, the launcher, and what closes the runs of the
dead. They decide only when.
"""

from __future__ import annotations

import os

from autotask.guard import raised_here
from autotask.journal import (
    NEW,
    Journal,
    above_stdio,
    always,
    finished_line,
    open_folder,
    quoted,
    started_line,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from autotask.dogstatsd import Wire
    from autotask.protocols import AnyRun
    from autotask.run import End, Run
    from autotask.settings import Settings

OPEN = "open"  # the folder of a home in which the marks are
TOLD, ENDED = "told-", "ended-"  # before a mark's name: see Teller.take_mark_back


class Teller:
    """Tells of runs in the order on which all who find them later rely.

    The mark is there before the first line, so that a process that dies after it is found. The line
    is there before the datagram, because it alone outlives the process. The wire has a line
    `unsent` written when it learns that a datagram was lost. The mark goes last.
    """

    def __init__(self, host: str, journal: Journal | None = None, wire: Wire | None = None) -> None:
        self.host = host
        self.journal = journal
        self.wire = wire
        self.pid = 0
        self.identity = ""  # as `procfs.identity` writes it
        self.fields = ""  # of each started line: `journal.process_fields`

    def open_wire(self, settings: Settings) -> None:
        """Send from now on what is told, too, if the settings ask for it."""
        if settings.dogstatsd:
            # Here, so that a launcher pays for the import after its command has begun.
            from autotask.dogstatsd import Wire

            refused = self.journal.tell_unsent if self.journal else None
            self.wire = Wire(settings.destination, settings, settings.events, refused)

    def leave_mark(self, name: str, root: str, lock: Callable[[int], str] | None = None) -> None:
        """Leave a mark for those who find this process dead: before the line of its first run."""
        if self.journal and self.journal.home:
            self.journal.mark = leave_mark(
                self.journal, name, self.identity, self.pid, self.host, root, lock
            )

    def start(
        self,
        run: Run,
        claim: Callable[[], object] = always,
        keep: bool = True,
        later: bool = False,
    ) -> bool | None:
        """Journal a start and send it; return what `Journal.append` returns, None for no start."""
        wire, written = self.wire, None
        unsent = wire is not None and (later or wire.is_paused())
        if self.journal is not None:
            line = started_line(run, self.fields, unsent)
            written = self.journal.append(line, claim, keep, later)
        elif claim():
            written = True
        if written is not None and wire is not None and not unsent:
            wire.started(run)
        return written

    def end(
        self,
        run: AnyRun,
        end: End,
        claim: Callable[[], object] = always,
        keep: bool = True,
        later: bool = False,
        send: bool = True,
    ) -> bool:
        """Journal an end and send it; False if the line was not taken, and nothing was sent.

        What is kept for a later line counts as taken.
        """
        wire = self.wire
        unsent = wire is not None and (later or not send or wire.is_paused())
        if self.journal is not None:
            written = self.journal.append(finished_line(run, end, unsent), claim, keep, later)
            if written is None or not (written or keep):
                return False
        elif not claim():
            return False
        if wire is not None and not unsent:
            wire.finished(run, end, self.host)
        return True

    def take_mark_back(self) -> None:
        """Write the lines that the disk has not taken so far, and remove the mark.

        If the disk does not take all ends now either, the mark stays. A process that finds it
        closes the runs, and sends their ends, unless the Agent has refused nothing. The name says
        which, and that this process has ended.
        """
        journal = self.journal
        if journal is None:
            return
        path, journal.mark = journal.mark, None
        has_all = journal.settle()
        if path is None:
            return
        if has_all:
            os.unlink(path)
            return
        folder, name = os.path.split(path)
        word = ENDED if self.wire and self.wire.has_refused else TOLD
        os.rename(path, os.path.join(folder, word + name))


def leave_mark(
    journal: Journal,
    name: str,
    process: str,
    pid: int,
    host: str,
    root: str,
    lock: Callable[[int], str] | None = None,
) -> str | None:
    """Write the mark of a process before its first run; return its path, None if it cannot.

    On a full disk the mark may be empty. Nothing can be read in it then, but its owner removes it
    as any other. A launcher's *lock* is called before anyone can read the mark, and returns a field
    for it.
    """
    segment, offset = journal.position()  # first: this finds out which home can be written
    if not journal.is_open():
        return None  # no run can be journalled that the mark would lead to
    path = os.path.join(journal.home, OPEN, name)
    folder = -1
    try:
        try:
            folder = open_folder(journal.home, OPEN)
        except FileNotFoundError:
            from autotask.homes import make_in

            # In a shared home others may see which runs became another program.
            beside = os.stat(os.path.join(journal.home, "journal")).st_mode
            make_in(journal.home, OPEN, beside & 0o2755)
            folder = open_folder(journal.home, OPEN)
        file = above_stdio(os.open(name, NEW, 0o600, dir_fd=folder))
    except FileExistsError:  # the launcher has left it already
        return path
    except raised_here(OSError):
        return None
    finally:
        if folder != -1:
            os.close(folder)
    try:
        line = (
            f'{{"process":{quoted(process)},"pid":{pid},"host":{quoted(host)},"root":"{root}",'
            f'"segment":"{segment}","offset":{offset}{lock(file) if lock else ""}}}\n'
        )
        os.write(file, line.encode("ascii"))
    except raised_here(OSError):
        pass
    finally:
        os.close(file)
    return path
