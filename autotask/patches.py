"""Functions of the standard library that a task's process has replaced."""

# All that autotask changes in the host's process is listed here; docs/how-it-works.md has the same
# with what a program could notice, and when it is undone.
#
# - `sys.meta_path`: the agent is the first finder, to hear of a framework's import (`agent`). For
#   the time of one import, our `exec_module` replaces that of a watched module's loader
#   (`imports`).
# - `threading.Thread.start`: notes on the thread which run has started it, because a new thread
#   has an empty context (here, once `threading` is imported and a run has begun).
# - `os._exit`, `os.execv`, `os.execve`, also in the module `posix`: they leave without calling
#   anything registered with atexit, and would leave runs open (here, once a run has begun).
# - `sys.exit`, and `SystemExit` as `exit()` and `quit()` raise it: they note the status, because
#   the interpreter has dropped that exception before it calls us (`exits`, for the run of this
#   very process, or one that ends with it).
# - `atexit`, `multiprocessing.util.Finalize`: one function each that closes the runs that the end
#   of the interpreter cuts off (`recorder`, `process_run`, `agent`).
# - `os.environ`: AUTOTASK_PARENT names the run under which new processes hang (`recorder`); C's
#   copy of it is changed by `os.putenv` just before a process starts, told by an audit hook,
#   because glibc never frees an old value (`putenv`, after 1,000 runs). AUTOTASK_PROCESS=0 if this
#   process is a tool such as pip, whose child processes are not tasks (`process_run`).
#   AUTOTASK_PROCESS_RUN in the environment that exec gets: which runs the next program goes on
#   with (`exec_handover`).
# - PYTHONPATH in what `opentelemetry-instrument` and `elasticapm-run` become, whose own
#   sitecustomize would shut ours out: an audit hook moves our folder to the front
#   (`exec_launchers`).
# - Functions of the frameworks, as their modules in `frameworks/` name them, and those of the
#   user's that AUTOTASK_FUNCTIONS names (`functions`): a run begins and ends around them.
# - `_ExecutorManagerThread.terminate_broken` of `concurrent.futures.process`: ends the runs of the
#   children of a broken pool (`frameworks/apscheduler`, once it hands a job to such a pool).
# - `f_trace` of a frame that an exception has left: notes the failed run (`failures`).
# - `sys.path`: loses the folder that PYTHONPATH has added (`sitecustomize_template`).

from __future__ import annotations

import os
import sys

from autotask.guard import guarded, raised_here, swallow
from autotask.loading import when_imported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

    Instead = Callable[..., object]

_STARTED_BY = "_autotask_run"  # an attribute of threads


class StandIn:
    """A builtin function whose calls go to *instead*, with the original as its first argument.

    Apart from its type it looks like the original, which answers for all attributes: name,
    signature, how to pickle it. Like a builtin function it binds to no instance.
    """

    __slots__ = ("__weakref__", "_instead", "_original")
    __reduce__: Any = None  # anything but object's own: then copy and pickle ask the original

    def __init__(self, original: Any, instead: Instead) -> None:
        object.__setattr__(self, "_original", original)
        object.__setattr__(self, "_instead", instead)

    def __getattribute__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_original"), name)

    def _refuse(self, name: str, *value: Any) -> None:
        """Let the original say why it cannot be changed."""
        change: Any = setattr if value else delattr
        change(object.__getattribute__(self, "_original"), name, *value)

    __setattr__ = __delattr__ = _refuse

    def __repr__(self) -> str:
        return repr(object.__getattribute__(self, "_original"))

    def autotask_call(self, /, *args: Any, **kwargs: Any) -> Any:  # noqa: D102
        original = object.__getattribute__(self, "_original")
        try:
            return object.__getattribute__(self, "_instead")(original, *args, **kwargs)
        except BaseException as problem:
            # A builtin has no frames. From 3.11 on we add none; before, `raise` puts back this one.
            caught = problem.__traceback__
            if caught is not None:
                caught.tb_next = None
            problem.__traceback__ = None
            raise

    __call__ = autotask_call


StandIn.__name__ = "builtin_function_or_method"  # in the texts of errors


def follow_exits(leaves_something: Callable[[], bool], recorder: ModuleType) -> None:
    """From now on, end or hand over what the program leaves behind: open runs, a mark."""

    def leave(original: Any, *args: Any, **kwargs: Any) -> None:
        try:
            if leaves_something():
                from autotask import exec_handover

                original = exec_handover.prepared(original, recorder)
        except raised_here(Exception) as problem:
            swallow("leave", problem)
        original(*args, **kwargs)

    for name in ("_exit", "execv", "execve"):
        original: Any = getattr(os, name)
        stand_in = StandIn(original, leave)
        setattr(os, name, stand_in)
        setattr(sys.modules[original.__module__], name, stand_in)  # it is pickled by that name
        if original in os.supports_fd:
            os.supports_fd.add(stand_in)


def follow_threads(current: Callable[[], Run | None], hide_frame: Callable[[Any], object]) -> None:
    """From now on, note on each thread the run that *current* gives as it is started."""

    def instrument(threading: ModuleType) -> None:
        original = threading.Thread.start
        if hasattr(original, "__wrapped__"):
            return

        @guarded
        def note(thread: Any) -> None:
            run = current()
            if run is not None:
                thread.__dict__[_STARTED_BY] = run

        def autotask_start(thread: Any, *args: Any, **kwargs: Any) -> Any:
            note(thread)
            try:
                return original(thread, *args, **kwargs)
            except BaseException as exc:
                hide_frame(exc)
                raise

        autotask_start.__wrapped__ = original  # type: ignore[attr-defined]
        for name in ("__name__", "__qualname__", "__doc__", "__module__"):
            setattr(autotask_start, name, getattr(original, name))
        threading.Thread.start = autotask_start

    when_imported("threading", instrument)


def starter() -> Run | None:
    """Return the run that was open where this thread was started."""
    threading = sys.modules.get("threading")
    if threading is None:
        return None
    # threading's own get_ident: gevent, which may come after us, puts another in its place
    thread = getattr(threading, "_active", {}).get(threading.get_ident())
    return None if thread is None else thread.__dict__.get(_STARTED_BY)  # it may have a __getattr__
