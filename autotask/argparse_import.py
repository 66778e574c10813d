"""Hear of a program that gives argparse's parser subcommands.

Very many programs import argparse, and most of them have no subcommands: this file is all that
they pay. So the agent loads it alone, without what other frameworks need, and it imports nothing.
Once there are subcommands, it loads `frameworks.argparse`.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def find(name: "Any", path: "Any", target: "Any") -> "Any":  # noqa: C901  one function is cheaper
    """Find argparse with the finders behind us, and hook its loader: see `autotask.imports`."""
    spec, behind = None, False
    for finder in list(sys.meta_path):
        if behind and hasattr(finder, "find_spec"):
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                break
        behind = behind or getattr(finder, "__name__", "") == "autotask.agent"
    loader = getattr(spec, "loader", None)
    original = getattr(loader, "exec_module", None)
    if original is None or isinstance(loader, type):
        return spec

    def exec_module(module: "Any") -> None:
        if module.__name__ != name:  # of the same archive
            original(module)
            return
        loader.__dict__.pop("exec_module", None)
        try:
            original(module)
        except BaseException as problem:
            from autotask import imports

            imports.hide(problem)
            raise
        try:
            watch(module)
        except Exception as problem:
            _swallow("watch", problem)

    if sys.version_info < (3, 11):  # see `imports._hook_loader`
        exec_module.__code__ = exec_module.__code__.replace(
            co_filename="<frozen importlib._bootstrap_external>",
            co_name="_call_with_frames_removed",
        )
    try:
        loader.exec_module = exec_module  # type: ignore[union-attr]
    except Exception as problem:  # it may take no attribute: unwatched, and as it was
        _swallow("find", problem)
    return spec


def watch(argparse: "Any") -> None:
    """Hear of each parser that gets subcommands."""
    original = getattr(getattr(argparse, "ArgumentParser", None), "add_subparsers", None)
    if original is None or hasattr(original, "__autotask__"):  # the program's own `argparse`
        return

    def autotask_add_subparsers(self: "Any", *args: "Any", **kwargs: "Any") -> "Any":
        try:
            action = original(self, *args, **kwargs)
        except BaseException as exc:
            if exc.__traceback__:
                BaseException.with_traceback(exc, exc.__traceback__.tb_next)
            raise
        try:
            from autotask import imports, loading

            loading.load("guard", "frameworks", "frameworks.argparse")
            sys.modules["autotask.frameworks.argparse"].cover(self, action, imports.load)
        except Exception as problem:
            _swallow("add_subparsers", problem)
        return action

    for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(autotask_add_subparsers, attribute, getattr(original, attribute))
    autotask_add_subparsers.__wrapped__ = original  # type: ignore[attr-defined]
    autotask_add_subparsers.__autotask__ = True  # type: ignore[attr-defined]
    argparse.ArgumentParser.add_subparsers = autotask_add_subparsers
    _note_exits()


def _note_exits() -> None:
    """Note the program's exit status, if neither a launcher nor a process run of its own does.

    In `sys.exit(main())` the program has sys.exit already when main() parses its arguments.
    """
    launched = os.environ.get("AUTOTASK_PROCESS_RUN", "").partition(":")[2] == str(os.getpid())
    if not (launched or sys.argv[0] in ("", "-c") or "autotask.process_run" in sys.modules):
        from autotask import loading

        loading.load("guard", "patches", "exits")
        sys.modules["autotask.exits"].note_exits()


def _swallow(where: str, problem: BaseException) -> None:
    from autotask import loading

    loading.swallow(where, problem)
