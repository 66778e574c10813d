"""The standard library's modules in C, imported without a trace in sys.modules.

A program may have a module of the same name (`resource.py` is a common one): an `import` of ours
would run that one instead, or keep the program from finding it later.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_bootstrap: "Any" = sys.modules["_frozen_importlib"]
_external: "Any" = sys.modules["_frozen_importlib_external"]

# Each is made once: finding and making it again takes time and memory, and waits for locks.
_made: "dict[str, Any]" = {}

# Up to 3.9 the module owns what is registered: there must be only one of it, and it must stay.
ATEXIT_IS_THE_INTERPRETERS = sys.version_info >= (3, 10) and sys.implementation.name == "cpython"


def standard(name: str) -> "Any":
    """Return the standard library's module of a name; sys.modules stays as it is.

    Raises ImportError if there is none.
    """
    if name in _made:
        return _made[name]
    spec = _find(name)
    if spec is None or (name == "atexit" and not ATEXIT_IS_THE_INTERPRETERS):
        return __import__(name)  # in a frozen program, for example
    with _bootstrap._ModuleLockManager(name):
        imported = sys.modules.get(name)
        if imported is not None and getattr(imported.__spec__, "origin", None) == spec.origin:
            return _made.setdefault(name, imported)
        try:
            module = _bootstrap.module_from_spec(spec)
            spec.loader.exec_module(module)
        finally:  # a module that can be made only once puts itself into sys.modules
            if imported is not None:
                sys.modules[name] = imported
            else:
                sys.modules.pop(name, None)
        return _made.setdefault(name, module)


def _find(name: str) -> "Any":
    if name in sys.builtin_module_names:
        return _bootstrap.BuiltinImporter.find_spec(name)
    folders = [entry for entry in sys.path if entry.endswith("lib-dynload")]
    return _external.PathFinder.find_spec(name, folders)
