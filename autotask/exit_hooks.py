"""Notice when the program leaves its runs behind: by os._exit, or by os.exec* as another program.

Neither of them calls anything registered with atexit.
"""

from __future__ import annotations

import os
import sys

from autotask.guard import from_signal_handler, swallow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Instead = Callable[..., object]


class StandIn:
    """A builtin function whose calls go to *instead*, with the original as its first argument.

    Apart from its type it looks like the original, which answers for all attributes: name,
    signature, how to pickle it. Like a builtin function it binds to no instance.
    """

    __slots__ = ("__weakref__", "_instead", "_original")
    __reduce__: Any = None  # anything but object's own: then copy and pickle ask the original

    def __init__(self, original: Any, instead: Instead) -> None:
        object.__setattr__(self, "_original", original)
        object.__setattr__(self, "_instead", instead)

    def __getattribute__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_original"), name)

    def _refuse(self, name: str, *value: Any) -> None:
        """Let the original say why it cannot be changed."""
        change: Any = setattr if value else delattr
        change(object.__getattribute__(self, "_original"), name, *value)

    __setattr__ = __delattr__ = _refuse

    def __repr__(self) -> str:
        return repr(object.__getattribute__(self, "_original"))

    def autotask_call(self, /, *args: Any, **kwargs: Any) -> Any:  # noqa: D102
        original = object.__getattribute__(self, "_original")
        try:
            return object.__getattribute__(self, "_instead")(original, *args, **kwargs)
        except BaseException as problem:
            problem.__traceback__ = None  # a builtin has no frames; from 3.11 on we add none
            raise

    __call__ = autotask_call


StandIn.__name__ = "builtin_function_or_method"  # in the texts of errors


def follow(leaves_something: Callable[[], bool]) -> None:
    """From now on, end or hand over what the program leaves behind: open runs, a mark."""

    def leave(original: Any, *args: Any, **kwargs: Any) -> None:
        try:
            if leaves_something():
                from autotask import exec_handover

                original = exec_handover.prepared(original)
        except Exception as problem:
            if from_signal_handler(problem):
                raise
            swallow("leave", problem)
        original(*args, **kwargs)

    for name in ("_exit", "execv", "execve"):
        original: Any = getattr(os, name)
        stand_in = StandIn(original, leave)
        setattr(os, name, stand_in)
        setattr(sys.modules[original.__module__], name, stand_in)  # it is pickled by that name
        if original in os.supports_fd:
            os.supports_fd.add(stand_in)
