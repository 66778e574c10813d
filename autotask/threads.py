"""Threads: which run started this one.

A new thread begins with an empty context, so that the run in which it was started is noted on
the thread itself.
"""

from __future__ import annotations

import sys

from autotask.guard import guarded
from autotask.imports import when_imported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

_NOTE = "_autotask_run"


def follow(current: Callable[[], Run | None], hide_frame: Callable[[Any], object]) -> None:
    """From now on, note on each thread the run that *current* gives as it is started."""

    def instrument(threading: ModuleType) -> None:
        original = threading.Thread.start
        if hasattr(original, "__wrapped__"):
            return

        @guarded
        def note(thread: Any) -> None:
            run = current()
            if run is not None:
                thread.__dict__[_NOTE] = run

        def autotask_start(thread: Any, *args: Any, **kwargs: Any) -> Any:
            note(thread)
            try:
                return original(thread, *args, **kwargs)
            except BaseException as exc:
                hide_frame(exc)
                raise

        autotask_start.__wrapped__ = original  # type: ignore[attr-defined]
        for name in ("__name__", "__qualname__", "__doc__", "__module__"):
            setattr(autotask_start, name, getattr(original, name))
        threading.Thread.start = autotask_start

    when_imported("threading", instrument)


def starter() -> Run | None:
    """Return the run that was open where this thread was started."""
    threading = sys.modules.get("threading")
    if threading is None:
        return None
    # threading's own get_ident: gevent, which may come after us, puts another in its place
    thread = getattr(threading, "_active", {}).get(threading.get_ident())
    return None if thread is None else thread.__dict__.get(_NOTE)  # it may have a __getattr__
