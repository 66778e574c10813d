"""Note the exit status that a program asks for: atexit functions are not told it."""

from __future__ import annotations

import sys
from _thread import get_ident

from autotask.guard import guarded
from autotask.patches import StandIn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

noted_exit: list[object] = []  # the status that was given to an exit


def note_exits() -> None:
    """Note the status that the program gives to its exit; the exit itself is unchanged."""
    thread, threading = get_ident(), sys.modules.get("threading")
    is_main = threading is None or threading.main_thread().ident == thread
    if type(sys.exit) is StandIn or not is_main:
        return

    @guarded
    def note(*given: object, **named: object) -> None:
        if len(given) > 1 or named:
            return  # sys.exit will refuse that
        if get_ident() == thread and not _is_at_exit():  # in another thread it ends only that
            noted_exit[:] = given or (None,)

    def leave(original: Any, *args: Any, **kwargs: Any) -> None:
        note(*args, **kwargs)
        original(*args, **kwargs)

    def autotask_system_exit(code: object = None) -> SystemExit:
        note(code)
        return SystemExit(code)

    setattr(sys, "exit", StandIn(sys.exit, leave))  # noqa: B010  mypy: it never returns
    sitebuiltins: Any = sys.modules.get("_sitebuiltins")  # of exit() and quit(), which raise it
    if sitebuiltins is not None:
        sitebuiltins.SystemExit = autotask_system_exit


def _is_at_exit() -> bool:
    """Tell whether an atexit function runs, which cannot change the exit status any more.

    The outermost frame is then that function's: not a script's, nor of what runs a module or (in
    PyPy) everything.
    """
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
    if "greenlet" in sys.modules:  # each has a bottom of its own
        return False
    return frame.f_code.co_name not in ("<module>", "_run_module_as_main", "entry_point")
