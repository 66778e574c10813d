"""The frameworks, a module each, and what the rest of us knows of them: facts, no names in `if`s.

The modules to watch are in `autotask.imports.TABLE`.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

# Each framework under the heading of its kind, with the oldest and the newest release that are
# tested, or `with Python`. It is called as its package and, but for those that `tool.supported`
# names, as its distribution. One text, because each task's process reads it, in threes: so a
# heading has three words, too.
SUPPORTED = """
    -- command-lines --
    click      7.1   8.5
    asyncclick 8.1   8.4
    typer      0.12  0.29
    argparse   with  Python
    docopt     0.6   0.6
    fire       0.4   0.7
    cyclopts   3.0   5.5
    cleo       2.0   2.1
    cliff      3.0   4.17
    django     3.2   6.1
    -- task-runners --
    invoke     1.7   3.0
    doit       0.33  0.37
    nox        2022.1 2026.10
    -- queues --
    rq         1.16  3.0
    huey       2.4   3.5
    celery     5.2   5.7
    dramatiq   1.12  2.2
    arq        0.25  0.28
    procrastinate 3.0  3.10
    django_q   1.7   1.11
    -- schedulers --
    apscheduler 3.6  3.11
    schedule   1.0   1.2
    -- pipelines --
    luigi      3.0   3.8
    dbt        1.5   1.12
    scrapy     2.4   2.19
    airflow    2.10  3.3
"""
# The same for Ruby, by the names of their gems. Our modules for them are in autotask_ruby/.
SUPPORTED_IN_RUBY = """
    -- ruby --
    rake       12.3  13.4
    thor       0.20  1.5
"""
# Further packages of frameworks whose modules are loaded: no error's `where` is in one of them.
PACKAGES: "set[str]" = set()
# Of the supported ones, what users also call modules of their own: one of PACKAGES once it is seen.
OFTEN_THE_USERS = ("schedule",)
# Their exit statuses are their own, whatever the command in a task ended with: such a failure can
# explain any status of the run around it.
HAS_OWN_STATUSES = ("doit", "rake")
# An exception whose message goes on with the output of a command, and where that begins.
ENDS_IN_OUTPUT = ("UnexpectedExit", "\n\nStdout:")
# Classes of exceptions that have no text, and what words one.
MESSAGES: "dict[type, Callable[[Any], str]]" = {}

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
