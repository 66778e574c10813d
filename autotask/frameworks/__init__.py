"""The frameworks, a module each; the table of them is in `autotask.agent`."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

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
    wrapper = make(original)
    for attribute in _KEPT:
        if hasattr(original, attribute):
            setattr(wrapper, attribute, getattr(original, attribute))
    wrapper.__dict__.update(original.__dict__)
    wrapper.__wrapped__ = original
    wrapper.__autotask__ = True
    setattr(owner, name, wrapper)
