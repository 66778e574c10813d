"""The door of the views: runs of dead processes closed, the disk bounded, the index up to date."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator

from autotask import journal
from autotask.closing import Alone, close_unmarked, forgotten, sweep, under_launchers
from autotask.config import Settings
from autotask.elsewhere import FORGOTTEN
from autotask.marks import OPEN
from autotask.process import start_time
from autotask.tool import index, output, retention, segments, whose
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
        _tidy(settings, home.own)
    with _opened(settings, home) as history:
        if start_time("self") is None and _has_running(history):
            output.notice("no /proc here: cannot tell whether `running` runs have ended")
        yield history


def _has_running(history: index.Index) -> bool:
    statement = "SELECT 1 FROM run WHERE finished_at IS NULL AND status = 'running' LIMIT 1"
    return any(history.rows(statement))


def _tidy(settings: Settings, own: str) -> None:
    """Close the runs of dead processes, and keep the journal within its bound."""
    sweep(settings)
    dropped = retention.keep_within_default(own)
    if dropped:
        output.notice(f"the journal was over its bound: dropped the {dropped} oldest runs")


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
    with _damage_removed(index.open_index(home)) as history:
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
    """Let the journal say of lost runs, too, that they have ended.

    So have old ones of processes of which nothing is left to judge them by.
    """
    lost = {start["run"] for start in history.lost_unended()}
    old = journal.moment(time.time() - FORGOTTEN)
    running = history.running_since(old)
    lost |= forgotten(home, running) if running else set()
    if not lost:
        return
    with Alone(home, OPEN) as alone:
        if alone:
            living = under_launchers(home)
            history.refresh()  # with what launchers and other commands have closed meanwhile
            starts = [*history.lost_unended(), *history.running_since(old)]
            starts = [start for start in starts if start["run"] in lost]
            close_unmarked(settings, home, starts, living)
            history.refresh()
