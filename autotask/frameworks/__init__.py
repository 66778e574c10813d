"""The frameworks, a module each, and what the rest of us knows of them: facts, no names in `if`s.

The modules to watch are in `autotask.agent.TABLE`.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

# Each framework, with the oldest and the newest release that are tested. It is called as its
# distribution, and as its package. One text, because each task's process reads it.
SUPPORTED = """
    click      7.1   8.5
    asyncclick 8.1   8.4
    typer      0.12  0.29
    invoke     1.7   3.0
    doit       0.33  0.37
"""
# Its exit statuses are its own, whatever the command in its task ended with: such a failure can
# explain any status of the run around it.
HAS_OWN_STATUSES = ("doit",)
# An exception whose message goes on with the output of a command, and where that begins.
ENDS_IN_OUTPUT = ("UnexpectedExit", "\n\nStdout:")

_KEPT = ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__")


def replace(owner: "Any", name: str, make: "Callable[[Any], Any]") -> None:
    """Put a plain function in the place of a function of a class or module, once.

    *make* gets the original and returns the wrapper, which keeps the original's name, document
    and attributes, and its signature through `__wrapped__`. Only what *owner* itself defines is
    replaced.
    """
    original = vars(owner).get(name)
    if original is None or hasattr(original, "__autotask__"):
        return
    # As an attribute: what a peer has put there (wrapt) has to know that it is called as a method.
    wrapper = make(getattr(owner, name))
    for attribute in _KEPT:
        if hasattr(original, attribute):
            setattr(wrapper, attribute, getattr(original, attribute))
    wrapper.__dict__.update(original.__dict__)
    wrapper.__wrapped__ = original
    wrapper.__autotask__ = True
    setattr(owner, name, wrapper)


_last_program = ("", "", "")  # how it was called, sys.argv[0], and its name


def program_name(called: str) -> str:
    """Return a program's base name without `.py`, `.pyz`, `.pex`; `pkg` for `python -m pkg`."""
    global _last_program
    last, file = _last_program, sys.argv[0] if sys.argv else ""
    if last[0] != called or last[1] != file:
        _last_program = last = called, file, _program_name(called)
    return last[2]


def _program_name(called: str) -> str:
    name = os.path.basename(called)
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    module = str(spec.name).removesuffix(".__main__") if spec is not None else "__main__"
    # `python -m cProfile shop.py` leaves itself in __main__, and shop.py in sys.argv.
    file = os.path.basename(getattr(spec, "origin", None) or "")
    if module != "__main__" and name == file == os.path.basename(sys.argv[0] if sys.argv else ""):
        return module
    stem, _, ending = name.rpartition(".")
    return stem if stem and ending in ("py", "pyz", "pex") else name


def frames_left(exc: BaseException) -> "list[FrameType]":
    """Return the frames that an exception has left, innermost last."""
    frames, step = [], exc.__traceback__
    while step is not None:
        frames.append(step.tb_frame)
        step = step.tb_next
    return frames
