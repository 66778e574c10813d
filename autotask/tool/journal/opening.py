"""The door of the views: runs of dead processes closed, the disk bounded, the index up to date."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from autotask import journal
from autotask.around.elsewhere import FORGOTTEN
from autotask.around.lock import Alone
from autotask.around.marks_left import forgotten, under_launchers
from autotask.around.sweeping import close_unmarked, sweep
from autotask.marks import OPEN
from autotask.procfs import start_time
from autotask.settings import Settings
from autotask.tool import background, output
from autotask.tool.journal import index, ownership, retention, segments
from autotask.tool.journal.ownership import Home

T = TypeVar("T")

NO_RUNS = "no runs yet: try `autotask-run python script.py`"


def ask(question: Callable[[index.Index | None], T]) -> T:
    """Answer a question from the index of the user's home; None before the first run.

    It is asked twice if the index turns out to be damaged on the way.
    """
    settings = Settings(os.environ)
    home = ownership.find(settings)
    unreadable: dict[str, str] = {}
    if not segments.listed_in(home.path, home.shared, unreadable):
        tell_unreadable(unreadable)
        return question(None)
    if home.why:
        output.notice(f"{home.why}: only read")
    if home.own:
        settings.home = home.own
        sweep(settings)

    def answered(history: index.Index) -> T:
        if home.own and not history.shared:
            end_lost(settings, home.own, history)
        tell_unreadable(history.unreadable)
        if start_time("self") is None and _has_running(history):
            output.notice("no /proc here: cannot tell whether `running` runs have ended")
        with history.transaction("DEFERRED"):  # what a prune drops meanwhile is still there
            return question(history)

    try:
        answer = index.answer(partial(_opened, home, settings), answered)
    except BrokenPipeError:  # `autotask runs | head` has its answer, too
        _keep_bound(home)
        raise
    _keep_bound(home)
    return answer


def _opened(home: Home, settings: Settings) -> index.Index:
    if home.shared:
        if home.own:
            own = partial(index.open_index, home.own, to_read=True)
            index.answer(own, partial(end_lost, settings, home.own))  # closes what is lost
        return index.open_shared(home.path, home.own)
    if home.own:
        return index.open_index(home.own, to_read=True)
    return index.open_temporary(home.path)


def tell_unreadable(unreadable: dict[str, str]) -> None:
    """Say in a line which segments cannot be read, if any; *unreadable* has the reasons."""
    if unreadable:
        path, why = min(unreadable.items())
        several = f"{len(unreadable)} segments of the journal, one of them "
        output.notice(f"cannot read {several if len(unreadable) > 1 else ''}{path}: {why}")


def _has_running(history: index.Index) -> bool:
    statement = "SELECT 1 FROM run WHERE finished_at IS NULL AND status = 'running' LIMIT 1"
    return any(history.rows(statement))


def _keep_bound(home: Home) -> None:
    """Keep the journal within its bound, once a day, in the background."""
    own = home.own
    if own is None:
        return
    if retention.tidy(own):
        output.notice("a prune was cut off: its unfinished copy of a segment is deleted")
    why = retention.due(own)
    if why:
        output.notice(f"{why}: its oldest runs go, in the background")
        background.run(lambda: retention.keep_within_default(own))


def end_lost(settings: Settings, home: str, history: index.Index) -> None:
    """Let the journal say of lost runs, too, that they have ended.

    So have old ones of processes of which nothing is left to judge them by.
    """
    lost = {start["run"] for start in history.lost_unended()}
    old = journal.moment(time.time() - FORGOTTEN)
    running = history.running_since(old)
    lost |= forgotten(home, running) if running else set()
    if not lost or history.lags or history.unreadable:  # their ends may be there
        return
    with Alone(home, OPEN) as alone:
        if alone:
            living = under_launchers(home)
            if not history.refresh():  # with what was closed meanwhile, by launchers and others
                return
            starts = [*history.lost_unended(), *history.running_since(old)]
            starts = [start for start in starts if start["run"] in lost]
            close_unmarked(settings, home, starts, living)
            history.refresh()
