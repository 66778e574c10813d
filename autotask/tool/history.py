"""The door of the views: runs of dead processes closed, the disk bounded, the index up to date."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from autotask.config import Settings

from autotask.tool import index, prune, segments
from autotask.tool.errors import ToolError

NO_RUNS = "no runs yet: try `autotask-run python script.py`"


def home_folder() -> str:
    """Return AUTOTASK_HOME as the agent sees it."""
    home = Settings(os.environ).home
    if not home:
        raise ToolError("no home folder is known: set AUTOTASK_HOME")
    return home


@contextlib.contextmanager
def opened() -> Iterator[index.Index | None]:
    """Give the index of the user's home; None (said on standard error) before the first run."""
    home = home_folder()
    if not segments.listed(segments.journal_folder(home)):
        yield None
        return
    _close_lost_runs()
    dropped = prune.keep_within_default(home)
    if dropped:
        print(
            f"autotask: the history was over its bound; dropped the {dropped} oldest runs",
            file=sys.stderr,
        )
    history = index.open_index(home)
    try:
        yield history
    finally:
        history.close()


def _close_lost_runs() -> None:
    try:
        from autotask import closing
    except ImportError:
        return
    with contextlib.suppress(OSError):  # a home that we may only read
        closing.sweep(Settings(os.environ))
