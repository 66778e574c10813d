"""Load our own modules cheaply, and keep the hooks to call when the program imports a module.

importlib takes 0.36 M instructions for each module, apart from what is in it. That would be most of
what a task pays for being watched: `load` takes a fifth.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    Hook = Callable[[ModuleType], object]

_PACKAGES = ("autotask.frameworks", "autotask.around")

_bootstrap: "Any" = sys.modules["_frozen_importlib"]
_external: "Any" = sys.modules["_frozen_importlib_external"]

hooks: "dict[str, list[Hook]]" = {}  # by module name; `imports` puts the agent's here


def when_imported(name: str, hook: "Hook") -> None:
    """Call *hook* with a module each time it has been executed, and now if it is imported already.

    An error in a hook never reaches the importing program.
    """
    hooks.setdefault(name, []).append(hook)
    module = sys.modules.get(name)
    if module is not None and not getattr(module.__spec__, "_initializing", False):
        call_hook(hook, module)


def call_hook(hook: "Hook", module: "ModuleType") -> None:
    """Call a hook; its errors end here."""
    try:
        hook(module)
    except Exception as problem:
        swallow(module.__name__, problem)


def swallow(where: str, problem: BaseException) -> None:
    """Log one of our errors; raise an exception of the program's signal handler again."""
    try:
        from autotask import guard
    except Exception:  # a broken installation must not reach the program
        return
    if guard.from_signal_handler(problem):
        raise problem
    guard.swallow(where, problem)


def load(*names: str, lock: str = "autotask.recorder") -> None:
    """Import modules of autotask by their names in it; name each after those that it imports."""
    folder = __file__.rpartition("/")[0]
    # One lock for all of them: the module that others import (a plugin does) is the recorder.
    with _bootstrap._ModuleLockManager(lock):
        had_future = "__future__" in sys.modules
        for name in names:
            if "autotask." + name not in sys.modules:
                _load("autotask." + name, f"{folder}/{name.replace('.', '/')}")
        if not had_future:
            sys.modules.pop("__future__", None)
        # The import system has looked into our folders if one had no valid bytecode.
        for inner in ("", "/frameworks", "/around"):
            sys.path_importer_cache.pop(folder + inner, None)


def _load(name: str, path: str) -> None:
    """Do what importlib does for a module whose bytecode is valid; leave others to importlib."""
    search = [path] if name in _PACKAGES else None
    file = path + ("/__init__.py" if search else ".py")
    code = None if sys.flags.optimize or sys.pycache_prefix else _bytecode(file)
    if code is None:
        __import__(name)
        return
    parent, _, last = name.rpartition(".")
    loader = _external.SourceFileLoader(name, file)
    spec = _bootstrap.ModuleSpec(name, loader, origin=file)
    spec._initializing = True  # another thread that imports it now waits for the lock that we hold
    module = sys.modules[name] = type(sys)(name)
    module.__spec__, module.__loader__, module.__file__ = spec, loader, file
    module.__package__ = name if search else parent
    if search:
        module.__path__ = spec.submodule_search_locations = search
    try:
        exec(code, module.__dict__)  # noqa: S102  what importlib does
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        spec._initializing = False
    setattr(sys.modules[parent], last, module)


def _bytecode(source: str) -> "Any":
    """Return the code of a source file from its .pyc file; None if that is not known to be valid.

    The header of a .pyc file: https://peps.python.org/pep-0552/. Images often have the kind that is
    never checked; the kind that is checked by a hash is left to importlib.
    """
    folder, _, file = source.rpartition("/")
    try:
        status = os.stat(source)
        opened = os.open(
            f"{folder}/__pycache__/{file[:-3]}.{sys.implementation.cache_tag}.pyc", os.O_RDONLY
        )
    except OSError as problem:
        if problem.errno is None:  # not the system's: a TimeoutError of the program's
            raise
        return None
    try:
        data = os.read(opened, 1 << 20)
    finally:
        os.close(opened)
    header = _external.MAGIC_NUMBER + b"\0\0\0\0"
    for number in (int(status.st_mtime), status.st_size):
        header += (number & 0xFFFFFFFF).to_bytes(4, "little")
    if data[:16] != header and not _is_never_checked(data):
        return None
    code = _external.marshal.loads(memoryview(data)[16:])
    _external._imp._fix_co_filename(code, source)
    return code


def _is_never_checked(data: bytes) -> bool:
    kind = _external.MAGIC_NUMBER + b"\1\0\0\0"
    checked_all_the_same = _external._imp.check_hash_based_pycs == "always"
    return len(data) > 16 and data[:8] == kind and not checked_all_the_same
