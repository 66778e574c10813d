"""The door of the views: runs of dead processes closed, the disk bounded, the index up to date."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator

from autotask.closing import Alone, close_unmarked, sweep, under_launchers
from autotask.config import Settings
from autotask.marks import marks_folder
from autotask.tool import index, output, retention, segments
from autotask.tool.errors import ToolError

NO_RUNS = "no runs yet: try `autotask-run python script.py`"


def home_of(settings: Settings) -> str:
    """Return where the journal and its index live, as the agent sees it."""
    if not settings.home:
        raise ToolError("no home folder is known: set AUTOTASK_HOME")
    return settings.home


@contextlib.contextmanager
def opened() -> Iterator[index.Index | None]:
    """Give the index of the user's home; None before the first run."""
    settings = Settings(os.environ)
    home = home_of(settings)
    if not segments.listed(segments.journal_folder(home)):
        yield None
        return
    sweep(settings)
    dropped = retention.keep_within_default(home)
    if dropped:
        output.notice(f"the journal was over its bound: dropped the {dropped} oldest runs")
    history = index.open_index(home)
    try:
        end_lost(settings, home, history)
        yield history
    except sqlite3.DatabaseError as problem:
        if not index.is_damage(problem):
            raise
        index.remove(home)
        raise ToolError("the index was damaged and is deleted: run the command again") from None
    finally:
        history.close()


def end_lost(settings: Settings, home: str, history: index.Index) -> None:
    """Let the journal say of lost runs, too, that they have ended."""
    lost = {start["run"] for start in history.lost_unended()}
    if not lost:
        return
    with Alone(marks_folder(home)) as alone:
        if alone:
            living = under_launchers(home)
            history.refresh()  # with what launchers and other commands have closed meanwhile
            starts = [start for start in history.lost_unended() if start["run"] in lost]
            close_unmarked(settings, home, starts, living)
            history.refresh()
