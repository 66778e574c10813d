"""What is kept of the output of commands that failed: a file for each run, beside the journal."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from autotask.around.journal_lines import open_owned
from autotask.around.output_kept import FOLDER
from autotask.settings import is_id

if TYPE_CHECKING:
    from autotask.tool.journal.index import Index

_LARGEST = 4 << 20  # bytes of a file that are read
_DEEPEST = 100  # runs around a run that are looked at
_ALONE = 0  # the owner in a home of one user
_NEW = 3600.0  # seconds in which a file may be of a run that the index does not have yet


class Kept:
    """The kept outputs of a home; in a *shared* one those of all users that this one may read."""

    def __init__(self, home: str, shared: bool = False) -> None:
        self._home = home
        self._shared = shared
        self._names: dict[int, frozenset[str]] = {}  # by owner; read once

    def of(self, run: str, owner: int) -> str | None:
        """Return what is kept of a run, None for nothing; *owner* as in the index."""
        if run not in self._listed(owner):
            return None
        try:
            with open_owned(os.path.join(self._folder(owner), run)) as file:
                return file.read(_LARGEST).decode("utf-8", "replace")
        except OSError:  # pruned meanwhile, or another user's
            return None

    def of_failure(self, index: Index, run: str, owner: int) -> str | None:
        """Return the same or, of a task, what is kept of the command that failed because of it."""
        if not self._listed(owner):
            return None
        inside: str | None = run
        output = self.of(run, owner)
        statement = "SELECT parent FROM run WHERE run = ? AND owner = ?"
        because = "SELECT 1 FROM run WHERE run = ? AND owner = ? AND caused_by = ?"
        for _ in range(_DEEPEST):
            if output is not None or inside is None:
                break
            ((inside,),) = [*index.rows(statement, (inside, owner))] or [(None,)]
            if inside and any(index.rows(because, (inside, owner, run))):
                output = self.of(inside, owner)
        return output

    def prune(self, index: Index) -> None:
        """Delete what is kept of runs that the index, of a home of one user, does not have."""
        for run in self._listed(_ALONE):
            path = os.path.join(self._folder(_ALONE), run)
            with contextlib.suppress(OSError):
                is_new = os.lstat(path).st_mtime > time.time() - _NEW
                if not is_new and not any(index.rows("SELECT 1 FROM run WHERE run = ?", (run,))):
                    os.unlink(path)

    def _folder(self, owner: int) -> str:
        home = os.path.join(self._home, str(owner)) if self._shared else self._home
        return os.path.join(home, FOLDER)

    def _listed(self, owner: int) -> frozenset[str]:
        if owner not in self._names:
            names: list[str] = []
            with contextlib.suppress(OSError):
                names = os.listdir(self._folder(owner))
            self._names[owner] = frozenset(filter(is_id, names))
        return self._names[owner]
