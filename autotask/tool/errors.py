"""Errors in one line: the one that `autotask` raises, and what is said of others."""

from __future__ import annotations

import sys
from collections.abc import Iterable


class ToolError(Exception):
    """A problem that the user can understand from one line, and act on."""


def in_one_line(problem: Exception) -> str | None:
    """Say what went wrong; None if that is a bug, whose traceback is needed."""
    if isinstance(problem, OSError) and problem.strerror:
        return f"{problem.filename}: {problem.strerror}" if problem.filename else problem.strerror
    sqlite3 = sys.modules.get("sqlite3")  # loaded only by the subcommands that read the index
    if sqlite3 and isinstance(problem, sqlite3.Error):
        return f"the index cannot be used: {problem}"
    return str(problem) if isinstance(problem, (ToolError, OSError)) else None


def meant(word: str, known: Iterable[str]) -> str | None:
    """Return which of the known words a misspelled one is most like, if it is like any."""
    import difflib  # 5 ms, which only a misspelling pays

    return next(iter(difflib.get_close_matches(word, known, 1)), None)
