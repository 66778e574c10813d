"""Call a function after a module's import, whoever imports it, each time it is executed.

One finder at the head of sys.meta_path. It finds nothing itself: it asks the finders behind it,
and lends the loader that they found an `exec_module` of its own for the time of that one import.
So the module keeps its real spec and loader, and `python -m`, importlib.resources and reload
see nothing of us.
"""

from __future__ import annotations

import sys

from autotask.guard import guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

_hooks: dict[str, list[Callable[[ModuleType], object]]] = {}


def when_imported(name: str, hook: Callable[[ModuleType], object]) -> None:
    """Call *hook* with a module after each time it is executed, and now if it is there.

    An error in a hook never reaches the importing program.
    """
    _hooks.setdefault(name, []).append(hook)
    module = sys.modules.get(name)
    if module is not None and not getattr(module.__spec__, "_initializing", False):
        _call(hook, module)


def install() -> None:
    """Begin to watch."""
    if not any(type(finder) is _Finder for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds what the others find, and lends it our ear."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _hooks:
            return None
        for finder in sys.meta_path:
            if finder is self or type(finder) is _Finder:
                continue
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find is not None else None
            if spec is not None:
                _lend(spec)
                return spec
        return None


@guarded
def _lend(spec: ModuleSpec) -> None:
    """Give a loader an exec_module that calls the hooks, and takes itself back first."""
    loader: Any = spec.loader
    if loader is None or not hasattr(loader, "exec_module"):
        return
    own: Callable[[ModuleType], None] = loader.exec_module
    name = spec.name

    def exec_module(module: ModuleType) -> None:
        if module.__name__ == name:
            _take_back(loader)
        own(module)
        if module.__name__ == name:
            for hook in _hooks.get(name, ()):
                _call(hook, module)

    loader.exec_module = exec_module


@guarded
def _take_back(loader: Any) -> None:
    loader.__dict__.pop("exec_module", None)


@guarded
def _call(hook: Callable[[ModuleType], object], module: ModuleType) -> None:
    hook(module)
