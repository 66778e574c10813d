"""Open the index for a command, after closing lost runs; keep the journal within its bound."""

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
from autotask.procfs import start_time
from autotask.settings import Settings
from autotask.telling import OPEN
from autotask.tool import background, output
from autotask.tool.journal import daily_prune, ownership, segments
from autotask.tool.journal.index import (
    Index,
    answer,
    open_index,
    open_shared,
    open_temporary,
)
from autotask.tool.journal.ownership import Home

T = TypeVar("T")


def ask(question: Callable[[Index | None], T]) -> T:
    """Answer a question from the index of the user's home; it gets None before the first run.

    It is asked twice if the index turns out to be damaged on the way.
    """
    settings = Settings(os.environ)
    home = ownership.find(settings)
    unreadable: dict[str, str] = {}
    if not segments.listed_in(home.path, home.shared, unreadable):
        tell_unreadable(unreadable)
        return question(None)
    if home.why:
        output.notice(f"{home.why}: read-only")
    if home.own:
        settings.home = home.own
        sweep(settings)

    def answered(index: Index) -> T:
        if home.own and not index.shared:
            end_lost(settings, home.own, index)
        tell_unreadable(index.unreadable)
        if start_time("self") is None and _has_running(index):
            output.notice("no /proc here: cannot tell whether `running` runs have ended")
        # In one transaction: a prune may drop a run between two of its queries.
        with index.connection.transaction("DEFERRED"):
            return question(index)

    try:
        result = answer(partial(_opened, home, settings), answered)
    except BrokenPipeError:  # `autotask runs | head` has its answer, too
        _keep_bound(home)
        raise
    _keep_bound(home)
    return result


def no_runs() -> str:
    """Say that no run is recorded yet, and where this command has looked."""
    home = ownership.find(Settings(os.environ)).path
    return f"no runs yet in {output.clean(home)}: try `autotask-run python script.py`"


def _opened(home: Home, settings: Settings) -> Index:
    if home.shared:
        if home.own:
            # Ends are written only into the user's own journal, by their own index.
            own = partial(open_index, home.own, to_read=True)
            answer(own, partial(end_lost, settings, home.own))
        return open_shared(home.path, home.own)
    if home.own:
        return open_index(home.own, to_read=True)
    return open_temporary(home.path)


def tell_unreadable(unreadable: dict[str, str]) -> None:
    """Print a notice about segments that cannot be read; *unreadable* has the reasons by path."""
    if unreadable:
        path, why = min(unreadable.items())
        several = f"{len(unreadable)} segments of the journal, one of them "
        output.notice(f"cannot read {several if len(unreadable) > 1 else ''}{path}: {why}")


def _has_running(index: Index) -> bool:
    statement = "SELECT 1 FROM run WHERE finished_at IS NULL AND status = 'running' LIMIT 1"
    return any(index.rows(statement))


def _keep_bound(home: Home) -> None:
    """Keep the journal within its bound, once a day, in the background."""
    own = home.own
    if own is None:
        return
    if daily_prune.tidy(own):
        output.notice("a prune was interrupted: deleted its unfinished copy of a segment")
    why = daily_prune.due(own)
    if why:
        output.notice(f"{why}: dropping its oldest runs in the background")
        background.run(lambda: daily_prune.keep_within_default(own))


def end_lost(settings: Settings, home: str, index: Index) -> None:
    """Write an end into the journal for lost runs that have none.

    Also for old runs if nothing is left that tells whether their process lives.
    """
    lost = {start["run"] for start in index.lost_unended()}
    old = journal.moment(time.time() - FORGOTTEN)
    running = index.running_since(old)
    lost |= forgotten(home, running) if running else set()
    # If lines are missing, their ends may be among them.
    if not lost or index.lags or index.unreadable:
        return
    with Alone(home, OPEN) as alone:
        if alone:
            living = under_launchers(home)
            if not index.refresh():  # with what launchers and others have closed meanwhile
                return
            starts = [*index.lost_unended(), *index.running_since(old)]
            starts = [start for start in starts if start["run"] in lost]
            close_unmarked(settings, home, starts, living)
            index.refresh()
