"""A lock on a home, for work that one process at a time does."""

from __future__ import annotations

import os

from autotask import journal


class Alone:
    """A lock on a home or a folder in it. It is not waited for: its holder does the work."""

    def __init__(self, home: str, folder: str = ".") -> None:
        self._home, self._folder = home, folder
        self._file = -1

    def __enter__(self) -> bool:
        import fcntl

        try:
            self._file = journal.open_folder(self._home, self._folder)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def __exit__(self, *_: object) -> None:
        if self._file != -1:
            os.close(self._file)
