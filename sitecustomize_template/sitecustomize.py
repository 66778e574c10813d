# Starts autotask in each Python process that has this folder on PYTHONPATH.
#
# Any interpreter may run it: nothing here is newer than Python 2.7, and if the agent cannot run it
# says nothing. The machine's own sitecustomize runs first, just as it would without us.
_is_guest = any(name[:2] != "__" for name in globals())  # in the module of a peer's sitecustomize
import os  # noqa: E402
import sys  # noqa: E402

_spells_odd = sys.version_info < (3, 11)
_BUNDLED = False  # `autotask bundle` writes True: then the agent is inside this folder


def _step_aside():
    """Take our folder off the path; return it, and the entries that come after it."""
    folder, behind = __file__.rpartition("/")[0] or ".", sys.path
    for entry in [entry for entry in sys.path if str(entry).rstrip("/") == folder]:
        behind = sys.path[sys.path.index(entry) + 1 :]
        sys.path.remove(entry)
    for entry in list(sys.path_importer_cache):  # up to 3.10 spelt as in PYTHONPATH
        if entry.rstrip("/") == folder or (_spells_odd and os.path.abspath(entry) == folder):
            del sys.path_importer_cache[entry]
    return folder, behind


def _run_behind(path):
    """Run the machine's own sitecustomize, if it has one, as a peer's would have: in this module.

    New Relic's stops at an ImportError, or if `sitecustomize` is missing in sys.modules.
    """
    external = sys.modules.get("_frozen_importlib_external")
    spec = external and external.PathFinder.find_spec(_name, path)
    if spec:
        globals()["__file__"] = spec.origin
        exec(spec.loader.get_code(_name), globals())  # noqa: S102


def _start(folder, name):
    """Start a module of the agent's, whose folder is never on the program's path."""
    if sys.version_info < (3, 9) or sys.implementation.name not in ("cpython", "pypy"):
        return
    try:
        if "autotask.agent" not in sys.modules:
            _load(folder + "/autotask.d" if _BUNDLED else folder.rpartition("/")[0] + "/autotask")
        if name != "agent":
            load = __import__("autotask.imports").imports.load
            load("naming", "around", name)
        sys.modules["autotask." + name].start()
    except Exception:  # noqa: S110  a broken installation must not reach the program
        pass


def _load(folder):
    """Import autotask.agent from its folder, without a search on the path."""
    package = sys.modules.get("autotask") or _package(folder)
    agent = _module("autotask.agent", folder + "/agent.py")
    agent.__spec__.loader.exec_module(agent)
    sys.modules["autotask"] = package
    sys.modules["autotask.agent"] = package.agent = agent


def _package(folder):
    """Make the package, whose own file is executed only once a name in it is asked for.

    If the program has an `autotask` of its own, that one takes its place then.
    """
    package = _module("autotask", folder + "/__init__.py", [folder])

    def load(name):
        if os.path.exists(folder + "/" + name + ".py") or name in ("around", "tool"):
            raise AttributeError(name)  # one of our modules: the import system looks for it next
        del package.__getattr__
        theirs = sys.modules["_frozen_importlib_external"].PathFinder.find_spec("autotask")
        if theirs and theirs.loader and not os.path.exists(theirs.origin[:-11] + "agent.py"):
            package.__spec__, package.__file__ = theirs, theirs.origin
            package.__path__ = list(theirs.submodule_search_locations or ()) + [folder]  # noqa: RUF005
        package.__spec__.loader.exec_module(package)
        return getattr(package, name)

    package.__getattr__ = load
    return package


def _module(name, path, search=None):
    """Make a module as importlib.util does from a file, in a third of the time."""
    loader = sys.modules["_frozen_importlib_external"].SourceFileLoader(name, path)
    spec = sys.modules["_frozen_importlib"].ModuleSpec(name, loader, origin=path)
    spec.has_location = True
    module = type(sys)(name)
    module.__spec__, module.__loader__, module.__file__ = spec, loader, path
    module.__package__ = "autotask"
    if search:
        module.__path__ = spec.submodule_search_locations = search
    return module


_name = "usercustomize" if __name__ == "usercustomize" else "sitecustomize"
_ours = sys.modules.get(_name)  # kept: Python 2 would empty it
_is_guest = _is_guest or getattr(_ours, "__dict__", None) is not globals()
_folder, _behind = _step_aside()
_environ = getattr(sys.modules.get("posix"), "environ", {})  # what os.environ is made of
try:
    if b"AUTOTASK_SUPERVISE" in _environ and not _environ.get(b"AUTOTASK_PARENT"):
        _start(_folder, "around.supervise")  # forks: before anybody has threads and files
    if _is_guest:
        _run_behind(_behind)
    else:
        # Raises what it would raise without us: ImportError if there is none, which makes the
        # import system forget this module, or whatever the machine's own file raises.
        del sys.modules[_name]
        __import__(_name)
finally:
    _start(_folder, "agent")
