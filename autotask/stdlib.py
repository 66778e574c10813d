"""Modules of the standard library's own in C, taken without a trace.

A program may have a module of the same name (`resource.py` is a common one): an import of ours
would run it in the place of the standard one, or would keep the program from finding it later.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_bootstrap: "Any" = sys.modules["_frozen_importlib"]
_external: "Any" = sys.modules["_frozen_importlib_external"]

# Found once: to find or make one anew takes time and memory, and waits for locks.
_made: "dict[str, Any]" = {}

# Up to 3.9 what is registered goes with the module: there must be one of it, and it must stay.
ATEXIT_IS_THE_INTERPRETERS = sys.version_info >= (3, 10) and sys.implementation.name == "cpython"


def standard(name: str) -> "Any":
    """Return the standard library's module of a name; sys.modules stays as it is.

    Raises ImportError where there is none.
    """
    if name in _made:
        return _made[name]
    spec = _find(name)
    if spec is None or (name == "atexit" and not ATEXIT_IS_THE_INTERPRETERS):
        return __import__(name)  # a frozen program, say
    with _bootstrap._ModuleLockManager(name):
        there = sys.modules.get(name)
        if there is not None and getattr(there.__spec__, "origin", None) == spec.origin:
            return _made.setdefault(name, there)
        try:
            module = _bootstrap.module_from_spec(spec)
            spec.loader.exec_module(module)
        finally:  # modules that can be made but once enter themselves
            if there is not None:
                sys.modules[name] = there
            else:
                sys.modules.pop(name, None)
        return _made.setdefault(name, module)


def _find(name: str) -> "Any":
    if name in sys.builtin_module_names:
        return _bootstrap.BuiltinImporter.find_spec(name)
    folders = [entry for entry in sys.path if entry.endswith("lib-dynload")]
    return _external.PathFinder.find_spec(name, folders)
