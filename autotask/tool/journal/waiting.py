"""A connection to the index that waits for other commands: a notice says so, and Ctrl-C works.

SQLite's own busy timeout can do neither: it sleeps in C, for as long as it was told beforehand.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

from autotask.tool import output

PATIENCE = 600.0  # seconds with no commit, for work that needs the lock
PAUSE = 0.02  # seconds between two tries
_SILENT = 1.0  # seconds of waiting before the notice


class Connection(sqlite3.Connection):
    """A connection that tries a statement again while another process has the file locked."""

    path = ""  # of the file, to find out which process that is
    patience = PATIENCE
    _has_told = False

    def execute(self, statement: str, values: Any = ()) -> sqlite3.Cursor:
        """Execute a statement; raise the error of the lock if others hold it without a commit."""
        begin = last = time.monotonic()
        commits = None
        while True:
            try:
                return super().execute(statement, values)
            except sqlite3.OperationalError as problem:
                # As long as others commit, their work goes on, and is worth waiting for.
                now = time.monotonic()
                before, commits = commits, self._commits()
                last = last if commits == before else now
                if not is_locked(problem) or now - last > self.patience:
                    raise
            if now - begin > _SILENT and not self._has_told:
                # Once for a connection, however many statements have to wait.
                self._has_told = True
                output.notice(f"waiting for {_holder(self.path)}, which is writing the index")
            time.sleep(PAUSE)

    @contextlib.contextmanager
    def transaction(self, mode: str = "IMMEDIATE") -> Iterator[None]:
        """Write alone: all of the block or, after an error, nothing.

        With *mode* DEFERRED nothing is locked, and the block reads the index as it is at its begin.
        """
        self.execute(f"BEGIN {mode}")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")

    def _commits(self) -> int | None:
        """Return a number that changes if another process has committed something."""
        with contextlib.suppress(sqlite3.OperationalError):
            return int(super().execute("PRAGMA data_version").fetchone()[0])
        return None


def connect(path: str) -> Connection:
    """Open an index, or a temporary one of SQLite's if there is no path."""
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, factory=Connection)
    connection.path = path
    return connection


def is_locked(problem: sqlite3.Error) -> bool:
    """Tell whether another process has locked the file."""
    return str(problem) == "database is locked"


def _holder(path: str) -> str:
    """Name the command that has locked an index, if the kernel shows its process.

    SQLite takes record locks, which proc_locks(5) lists: in the file itself, or in the one beside
    it.
    """
    inodes = set()
    for suffix in ("", "-shm"):
        with contextlib.suppress(OSError):
            inodes.add(str(os.stat(path + suffix).st_ino))
    with contextlib.suppress(OSError), open("/proc/locks", encoding="ascii") as locks:
        for line in locks:
            words = line.split()  # 1: POSIX ADVISORY WRITE PID MAJOR:MINOR:INODE BEGIN END
            if words[3:4] == ["WRITE"] and words[5].rpartition(":")[2] in inodes:
                return f"{_command(words[4])} (process {words[4]})"
    return "another autotask"


def _command(pid: str) -> str:
    """Name a process by its subcommand, without its options: `autotask prune`."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read().decode("utf-8", "replace").split("\0")
        for word, subcommand in zip(words, words[1:]):
            if os.path.basename(word) == "autotask":
                return f"`autotask {subcommand}`"
    return "another program"
