# Starts autotask in each Python process that has this folder on PYTHONPATH.
#
# It may meet any interpreter: nothing here is newer than Python 2.7, and where the agent cannot
# run there is silence. The machine's own sitecustomize runs first, just as it would without us.
import sys


def _step_aside():
    """Leave no trace on the path, so that the machine's own sitecustomize is found."""
    folder = __file__.rpartition("/")[0] or "."
    for entry in [entry for entry in sys.path if entry.rstrip("/") == folder]:
        sys.path.remove(entry)
    for entry in (folder, folder + "/"):
        sys.path_importer_cache.pop(entry, None)
    return folder


def _start(folder):
    """Load the agent from its own place, which never is on the program's path."""
    if sys.version_info < (3, 9) or sys.implementation.name not in ("cpython", "pypy"):
        return
    try:
        for parent in (folder, folder.rpartition("/")[0]):
            place = parent + "/autotask"
            try:
                open(place + "/agent.py").close()
            except OSError:
                continue
            if "autotask" not in sys.modules:
                _load(place)
            from autotask import agent

            agent.start()
            return
    except Exception:  # a broken installation of ours is no trouble of the program's
        sys.modules.pop("autotask", None)


def _load(place):
    bootstrap = sys.modules["_frozen_importlib_external"]
    spec = bootstrap.spec_from_file_location(
        "autotask", place + "/__init__.py", submodule_search_locations=[place]
    )
    module = type(sys)("autotask")
    module.__spec__ = spec
    module.__loader__ = spec.loader
    module.__file__ = spec.origin
    module.__path__ = [place]
    module.__package__ = "autotask"
    sys.modules["autotask"] = module
    spec.loader.exec_module(module)


_ours = sys.modules.pop("sitecustomize")  # kept: Python 2 would empty it
_folder = _step_aside()
try:
    # Raises just what it would raise without us: ImportError where there is none, which makes
    # the import system forget us, or whatever the machine's own file raises.
    import sitecustomize  # noqa: F401
finally:
    _start(_folder)
