"""The table of frameworks. To add one: a module beside this file and its lines in TABLE."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# The module that is watched, the names in the settings that it serves, and which function of which
# of our modules is called with it after its import.
TABLE = {
    "click.core": ("click typer", "autotask.frameworks.click", "instrument"),
    "typer._click.core": ("typer", "autotask.frameworks.click", "instrument"),  # 0.26 and later
    "typer.core": ("typer", "autotask.frameworks.click", "instrument_typer"),
    "invoke.tasks": ("invoke", "autotask.frameworks.invoke", "instrument_tasks"),
    "invoke.executor": ("invoke", "autotask.frameworks.invoke", "instrument_executor"),
    "invoke.program": ("invoke", "autotask.frameworks.invoke", "instrument_program"),
    "doit.task": ("doit", "autotask.frameworks.doit", "instrument_task"),
    "doit.runner": ("doit", "autotask.frameworks.doit", "instrument_runner"),
    "doit.doit_cmd": ("doit", "autotask.frameworks.doit", "instrument_main"),
}

# Frames of these are never where the trouble is.
PACKAGES = frozenset(["autotask", *(name.partition(".")[0] for name in TABLE)])

_KEPT = ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__")


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put a plain function in the place of a function of a class or module, once.

    *make* gets the original and returns the wrapper, which keeps the original's name, document
    and attributes, and its signature through `__wrapped__`. Only what *owner* itself defines is replaced.
    """
    original = vars(owner).get(name)
    if original is None or hasattr(original, "__autotask__"):
        return
    wrapper = make(original)
    for attribute in _KEPT:
        if hasattr(original, attribute):
            setattr(wrapper, attribute, getattr(original, attribute))
    wrapper.__dict__.update(original.__dict__)
    wrapper.__wrapped__ = original
    wrapper.__autotask__ = True
    setattr(owner, name, wrapper)
