"""The door of the views: runs of dead processes closed, the disk bounded, the index up to date."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator

from autotask.closing import Alone, close_unmarked, sweep, under_launchers
from autotask.config import Settings
from autotask.marks import OPEN
from autotask.process import start_time
from autotask.tool import aside, index, output, retention, segments, whose
from autotask.tool.errors import ToolError
from autotask.tool.whose import Home

NO_RUNS = "no runs yet: try `autotask-run python script.py`"


@contextlib.contextmanager
def opened() -> Iterator[index.Index | None]:
    """Give the index of the user's home; None before the first run."""
    settings = Settings(os.environ)
    home = whose.find(settings)
    if not segments.listed_in(home.path, home.shared):
        yield None
        return
    if home.why:
        output.notice(f"{home.why}: only read")
    if home.own:
        settings.home = home.own
        sweep(settings)
    try:
        with _opened(settings, home) as history:
            if start_time("self") is None and _has_running(history):
                output.notice("no /proc here: cannot tell whether `running` runs have ended")
            yield history
    except BrokenPipeError:  # `autotask runs | head` has its answer, too
        _keep_bound(home)
        raise
    _keep_bound(home)


def _has_running(history: index.Index) -> bool:
    statement = "SELECT 1 FROM run WHERE finished_at IS NULL AND status = 'running' LIMIT 1"
    return any(history.rows(statement))


def _keep_bound(home: Home) -> None:
    """Keep the journal within its bound, once a day, in a process that nobody waits for."""
    own = home.own
    if own is None:
        return
    if retention.tidy(own):
        output.notice("a prune was cut off: its unfinished copy of a segment is deleted")
    why = retention.due(own)
    if why:
        output.notice(f"{why}: its oldest runs go, in the background")
        aside.run(lambda: retention.keep_within_default(own))


@contextlib.contextmanager
def _opened(settings: Settings, home: Home) -> Iterator[index.Index]:
    if home.shared:
        if home.own:
            with _own(settings, home.own):
                pass  # closes what is lost
        with _damage_removed(index.open_shared(home.path, home.own)) as history:
            yield history
    elif home.own:
        with _own(settings, home.own) as history:
            yield history
    else:
        with contextlib.closing(index.open_temporary(home.path)) as history:
            yield history


@contextlib.contextmanager
def _own(settings: Settings, home: str) -> Iterator[index.Index]:
    with _damage_removed(index.open_index(home, to_read=True)) as history:
        end_lost(settings, home, history)
        yield history


@contextlib.contextmanager
def _damage_removed(history: index.Index) -> Iterator[index.Index]:
    try:
        yield history
    except sqlite3.DatabaseError as problem:
        if not index.is_damage(problem):
            raise
        index.remove(history.path)
        raise ToolError("the index was damaged and is deleted: run the command again") from None
    finally:
        history.close()


def end_lost(settings: Settings, home: str, history: index.Index) -> None:
    """Let the journal say of lost runs, too, that they have ended."""
    lost = {start["run"] for start in history.lost_unended()}
    if not lost or history.lags:
        return
    with Alone(home, OPEN) as alone:
        if alone:
            living = under_launchers(home)
            if not history.refresh():  # with what was closed meanwhile, by launchers and others
                return
            starts = [start for start in history.lost_unended() if start["run"] in lost]
            close_unmarked(settings, home, starts, living)
            history.refresh()
