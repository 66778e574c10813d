"""Watch imports: tell a function of ours of a module each time it was executed.

The module keeps its real spec and loader, so that `python -m`, importlib.resources and reload
see nothing of us: for the time of one import its loader has an `exec_module` of ours.

Our own modules are loaded in here too, for what it costs to import them is most of what a task
pays for being watched.
"""

import os
import sys

from autotask import agent as _agent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    Hook = Callable[[ModuleType], object]

# What a run needs, each after what it imports itself.
_LOADED = (
    *("guard", "stdlib", "settings", "run", "journal", "procfs"),
    *("trigger", "threads", "exit_hooks", "dogstatsd", "telling", "recorder"),
)

_PACKAGES = ("autotask.frameworks", "autotask.around")

_OURS = ("autotask.agent", "autotask.imports")

_bootstrap: "Any" = sys.modules["_frozen_importlib"]
_external: "Any" = sys.modules["_frozen_importlib_external"]


def when_imported(name: str, hook: "Hook") -> None:
    """Call *hook* with a module after each time it is executed, and now if it is there.

    An error in a hook never reaches the importing program.
    """
    _agent.hooks.setdefault(name, []).append(hook)
    module = sys.modules.get(name)
    if module is not None and not getattr(module.__spec__, "_initializing", False):
        _tell(hook, module)


def catch_up() -> None:
    """Instrument what was imported before the agent stood among the finders."""
    for name in _agent.TABLE:
        if name in sys.modules:
            _tell(_instrument, sys.modules[name])


def watch_functions() -> None:
    """Instrument what AUTOTASK_FUNCTIONS names as its module is imported; wrapt not before."""
    from autotask.settings import Settings

    for module, qualname, name in Settings(os.environ).functions:

        def hook(imported: "ModuleType", qualname: str = qualname, name: str = name) -> None:
            load("functions")
            sys.modules["autotask.functions"].replace(imported, qualname, name)

        when_imported(module, hook)


def watch_plugins() -> None:
    """Tell the functions that AUTOTASK_PLUGINS names of their modules, and import them then."""
    from autotask.settings import Settings

    for watched, module, function in Settings(os.environ).plugins:

        def hook(imported: "ModuleType", module: str = module, function: str = function) -> None:
            load("frameworks")
            try:
                __import__(module)
                getattr(sys.modules[module], function)(imported)
            except SystemExit as problem:  # a plugin's is not the program's
                _swallow(module, problem)

        when_imported(watched, hook)


def tell_launcher(run: str) -> None:
    """Let the launcher, which was asked for it, see that the agent is in its command."""
    load()
    settings = sys.modules["autotask.recorder"].settings()
    if settings.journal and settings.home:
        ours = sys.modules["autotask.journal"].Journal(settings.home)
        ours.position()  # finds out which home is ours to write
        if ours.is_open():
            ours.close()
            load("marks")
            sys.modules["autotask.marks"].sign_mark(ours.home, f"launcher-{run}-")


def take_over(word: str) -> bool:
    """Go on with the runs that this process had open before exec; tell whether there were any."""
    load("naming", "process_run", "exec_handover")
    return bool(sys.modules["autotask.exec_handover"].take_over(word))


def find(
    name: str, path: "Sequence[str] | None", target: "ModuleType | None"
) -> "ModuleSpec | None":
    """Find a module by the finders behind us, and lend its loader our ear."""
    spec = _found(name, path, target)
    if name[:9] == "autotask.":
        if spec is None:  # of the program's own `autotask`, which is to be there before
            getattr(sys.modules["autotask"], "__all__", None)
            spec = _found(name, [(entry or ".") + "/autotask" for entry in sys.path], target)
    elif spec is not None:
        try:
            if _takes_part(spec.loader):
                _lend(name, spec.loader)
        except Exception as problem:  # it may take no attribute: unwatched, and as it was
            _swallow("_lend", problem)
    return spec


def _takes_part(loader: object) -> bool:
    return hasattr(loader, "exec_module") and not isinstance(loader, type)


def _found(
    name: str, path: "Sequence[str] | None", target: "ModuleType | None"
) -> "ModuleSpec | None":
    finders = list(sys.meta_path)
    for finder in finders[finders.index(_agent) + 1 :] if _agent in finders else finders:
        find_spec = getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = find_spec(name, path, target) if find_spec is not None else None
        if spec is not None:
            return spec
    return None


def _lend(name: str, loader: "Any") -> None:
    """Give a loader an exec_module that takes itself back, executes, and tells our hooks."""
    own = loader.exec_module
    names = getattr(own, "autotask_names", None)
    if names is not None:  # modules of one archive share their loader
        names.add(name)
        return
    names = {name}

    def exec_module(module: "ModuleType") -> None:
        if module.__name__ not in names:
            own(module)
            return
        names.discard(module.__name__)
        if not names:
            getattr(loader, "__dict__", {}).pop("exec_module", None)
        try:
            own(module)
        except BaseException as problem:
            hide(problem)
            raise
        if module.__name__ in _agent.TABLE:
            _tell(_instrument, module)
        for hook in _agent.hooks.get(module.__name__, ()):
            _tell(hook, module)

    # importlib hides its own frames from tracebacks by these two names. Before 3.11 there is one of
    # ours between them, which would keep it from that.
    exec_module.__code__ = exec_module.__code__.replace(
        co_filename="<frozen importlib._bootstrap_external>", co_name="_call_with_frames_removed"
    )
    exec_module.autotask_names = names  # type: ignore[attr-defined]
    loader.exec_module = exec_module


def hide(problem: BaseException) -> None:
    """Take our outermost frames out of the traceback of an exception, in which we have no part.

    Before 3.11 the bare `raise` that follows puts the first of them back.
    """
    first: Any = problem.__traceback__
    step = first
    while step is not None and step.tb_frame.f_globals.get("__name__") in _OURS:
        step = step.tb_next
    first.tb_next = step
    BaseException.with_traceback(problem, step)  # `__traceback__ = ...` can be forbidden


def _tell(hook: "Hook", module: "ModuleType") -> None:
    try:
        hook(module)
    except Exception as problem:
        _swallow(module.__name__, problem)


def _swallow(where: str, problem: BaseException) -> None:
    try:
        from autotask import guard
    except Exception:  # a broken installation of ours is no trouble of the program's
        return
    if guard.from_signal_handler(problem):
        raise problem
    guard.swallow(where, problem)


def _instrument(module: "ModuleType") -> None:
    """Hand a framework's module to ours, if it is wanted."""
    served, ours, function = _agent.TABLE[module.__name__]
    load()
    settings = sys.modules["autotask.recorder"].settings()
    wanted = any(settings.uses(framework) for framework in served.split())
    if settings.debug:
        said = "instruments" if wanted else "excluded:"
        sys.modules["autotask.guard"].debug(f"{said} {module.__name__} of {module.__file__}")
    if wanted:
        load("frameworks", "frameworks." + ours)
        getattr(sys.modules["autotask.frameworks." + ours], function)(module)


def load(*names: str) -> None:
    """Import what every run needs and then these modules of ours, at a fifth of the usual price.

    importlib takes 0.36 M instructions for each of a dozen modules, apart from what is in them.
    """
    place = _agent.__file__.rpartition("/")[0]
    # One lock for all: what others may import of ours (a plugin does) is the recorder.
    with _bootstrap._ModuleLockManager("autotask.recorder"):
        had_future = "__future__" in sys.modules
        for name in _LOADED + names:
            if "autotask." + name not in sys.modules:
                _load("autotask." + name, f"{place}/{name.replace('.', '/')}")
        if not had_future:
            sys.modules.pop("__future__", None)
        for folder in ("", "/frameworks", "/around"):
            sys.path_importer_cache.pop(place + folder, None)


def _load(name: str, place: str) -> None:
    """Do for a module of ours what importlib does, where its bytecode is valid."""
    search = [place] if name in _PACKAGES else None
    file = place + ("/__init__.py" if search else ".py")
    code = None if sys.flags.optimize or sys.pycache_prefix else _bytecode(file)
    if code is None:
        __import__(name)
        return
    parent, _, last = name.rpartition(".")
    loader = _external.SourceFileLoader(name, file)
    spec = _bootstrap.ModuleSpec(name, loader, origin=file)
    spec._initializing = True  # who imports it now waits for the lock that we hold
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
    """Return the code of a source file as compiled earlier; None where that is not known.

    The header of a .pyc file: https://peps.python.org/pep-0552/. In an image bytecode can be of the
    kind that is never checked; what is checked by a hash is left to importlib.
    """
    folder, _, file = source.rpartition("/")
    try:
        status = os.stat(source)
        found = os.open(
            f"{folder}/__pycache__/{file[:-3]}.{sys.implementation.cache_tag}.pyc", os.O_RDONLY
        )
    except OSError as problem:
        if problem.errno is None:  # not the system's: a TimeoutError of the program's
            raise
        return None
    try:
        data = os.read(found, 1 << 20)
    finally:
        os.close(found)
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
